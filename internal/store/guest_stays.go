package store

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/stay"
)

// What a guest is given is made and taken back under a lease on the stay, by one process at a time:
//
//	TakeLease, or Claim of those that are due ─▶ WithLease: read the state with the key locked, and write ─▶ FinishGuestStay
//
// WithLease is the only way to write: a process that has lost the lease writes nothing. FinishGuestStay gives the lease
// back and says when to look again. What ends a key makes its stay due, by triggers (migration 00030), so no writer of
// keys needs to know of guests.

// GuestStays are the guest's side of stays: links, and instant keys and app sessions that were handed out, so that they
// can be taken back. One process at a time changes those of a stay, under its lease.
type GuestStays struct{ *db }

// GuestState is everything that decides what a stay's guest sees and gets now.
type GuestState struct {
	Ref
	Status     string     // of the reservation
	GuestEmail *string    // nil: not known
	Language   *string    // of the guest: a BCP 47 tag; nil: not known
	ListingID  *string    // nil: no room is assigned
	CheckIn    *time.Time // UTC; nil while no time zone is known
	CheckOut   *time.Time // like CheckIn
	// CheckInText and CheckOutText are what the PMS sent
	CheckInText, CheckOutText *string

	KeyStatus string     // one of the Key constants
	Reason    *string    // of the key; nil for none
	SettledAt *time.Time // when the key reached its status
	Name      *string    // of the listing
	TimeZone  *string    // of the listing
	// The ACS user that serves the stay; empty if there is none.
	IdentityID   *string
	KeyGuest     *string    // the guest it was created for, as [ACSUser.GuestKey]
	CredentialID *string    // the mobile key at Seam; nil while there is none
	StartsAt     *time.Time // when access begins at Seam, UTC; nil without an ACS user
	EndsAt       *time.Time // like StartsAt
	OwnIdentity  bool       // we created its user identity, for this stay alone
	Groups       []string   // the access groups of the ACS user: all doors that may be open
	// ListingGroups are the access groups that the listing has; nil if it is deleted, or not known.
	ListingGroups []string
	// CodeID is the credential of its PIN; nil while there is none that may open doors. Its digits are sealed.
	CodeID      *string
	SealedCode  []byte     // see [BackupCode]
	CodeAt      *time.Time // since when it is this code
	CodeWaiting bool       // Seam has not issued it yet
	CodeProblem *string    // why no code opens doors; nil for none
	OnHold      bool       // an admin holds the stay: nothing may change at Seam
	Revoked     bool       // an admin wants no key
	Decisions   Overrides  `db:"-"` // of an admin about its hours
	// ClosedGates are the gates that keep the key from being handed out.
	ClosedGates []string `db:"-"`
	GateTakes   bool     `db:"-"` // one of them takes the key away, while the stay has not begun
	// GatesSetAt is when the last of the open gates was set; nil where there is none.
	GatesSetAt *time.Time `db:"-"`

	Counter   int32       // of the link that is valid
	LinkGuest string      // the guest whose link it is, as [ACSUser.GuestKey]; "" while none is known
	OpenedAt  *time.Time  // when the link was first opened; nil: never
	Openings  int32       // how often the link was opened
	Recent    []time.Time // the last uses, oldest first
}

const guestState = `
	SELECT r.source, r.reservation_id, r.status, r.guest_email, r.guest_language AS language, r.listing_id, r.check_in,
		r.check_out, k.status AS key_status, k.reason, k.settled_at, l.name, l.time_zone,
		u.user_identity_id AS identity_id, u.guest_key AS key_guest, u.acs_credential_id AS credential_id, u.starts_at,
			u.ends_at, u.acs_access_group_ids AS groups,
		CASE WHEN NOT l.deleted THEN coalesce(l.admin_access_group_ids, l.access_group_ids) END AS listing_groups,
		coalesce(u.removed_at IS NULL AND i.own AND i.made AND i.user_identity_id = u.user_identity_id,
			false) AS own_identity,
		c.acs_credential_id AS code_id, c.sealed AS sealed_code, c.code_at, coalesce(c.waiting, false) AS code_waiting,
			c.problem AS code_problem,
		coalesce(o.held_at IS NOT NULL, false) AS on_hold, coalesce(o.revoked_at IS NOT NULL, false) AS revoked,
		r.check_in_said AS check_in_text, r.check_out_said AS check_out_text,
		o.window_at, o.starts_at AS window_starts_at, o.ends_at AS window_ends_at,
		o.of_check_in, o.of_check_out, o.of_check_in_text, o.of_check_out_text,
		r.gates AS pms_gates, (SELECT value FROM settings WHERE name = 'policy_text:' || r.source) AS policy,
		coalesce(s.counter, 0) AS counter, coalesce(s.guest_key, '') AS link_guest, s.opened_at,
			coalesce(s.openings, 0) AS openings,
		coalesce(s.recent, '{}') AS recent
	FROM reservations r JOIN mobile_keys k ON k.source = r.source AND k.reservation_id = r.reservation_id
	LEFT JOIN listings l ON l.known AND l.source = r.source AND l.listing_id = r.listing_id
	LEFT JOIN LATERAL (
		SELECT * FROM acs_users u WHERE u.source = r.source AND u.reservation_id = r.reservation_id
			AND u.deleted_at IS NULL ORDER BY ` + currentFirst + ` LIMIT 1) u ON true
	LEFT JOIN user_identities i ON i.user_identity_key = u.user_identity_key
	LEFT JOIN backup_codes c ON c.user_row = u.id AND c.acs_user_id = u.acs_user_id AND c.deleting_at IS NULL
		AND c.missing_at IS NULL AND u.removed_at IS NULL AND u.suspended_at IS NULL
	LEFT JOIN guest_stays s ON s.source = r.source AND s.reservation_id = r.reservation_id
	LEFT JOIN overrides o ON o.source = r.source AND o.reservation_id = r.reservation_id
	WHERE r.source = $1 AND r.reservation_id = $2`

type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func readGuestState(ctx context.Context, q querier, ref Ref) (GuestState, error) {
	rows, _ := q.Query(ctx, guestState, ref.Source, ref.ReservationID)
	row, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[guestRow])
	if err == nil {
		row.Decisions = row.window()
		err = row.judgeGates(ctx, q)
	}
	return row.GuestState, wrap(err, "what the guest of %s/%s may have", ref.Source, ref.ReservationID)
}

// guestRow is a [GuestState] with what its gates and hours follow from.
type guestRow struct {
	GuestState
	PMSGates []byte
	Policy   *string // of the source, as all replicas follow it; nil: not decided

	WindowAt, WindowStartsAt, WindowEndsAt, OfCheckIn, OfCheckOut *time.Time // as in [Overrides]
	OfCheckInText, OfCheckOutText                                 *string
}

// window is what an admin has decided about the hours of the stay.
func (r *guestRow) window() Overrides {
	return Overrides{
		WindowAt: r.WindowAt, StartsAt: r.WindowStartsAt, EndsAt: r.WindowEndsAt,
		OfCheckIn: r.OfCheckIn, OfCheckOut: r.OfCheckOut,
		OfCheckInText: r.OfCheckInText, OfCheckOutText: r.OfCheckOutText,
	}
}

// judgeGates fills in what follows from the gates of the stay.
func (r *guestRow) judgeGates(ctx context.Context, q querier) error {
	var policy struct{ Gates []stay.GateRule }
	if r.Policy == nil || json.Unmarshal([]byte(*r.Policy), &policy) != nil || len(policy.Gates) == 0 {
		return nil
	}
	rows, err := gateReportsOf(ctx, q, []Ref{r.Ref})
	gates := stay.Gates(policy.Gates, mergedGateReports(r.PMSGates, rows[r.Ref]))
	r.ClosedGates = stay.ClosedGates(gates)
	for _, g := range gates {
		r.GateTakes = r.GateTakes || g.TakesKey()
		if at := g.At; !g.Closed() && (r.GatesSetAt == nil || at.After(*r.GatesSetAt)) {
			r.GatesSetAt = &at
		}
	}
	return err
}

// Hours returns when access to the stay should begin and end, whatever Seam has; zero while that isn't known. before
// and after are the grace of its listing.
func (s GuestState) Hours(before, after time.Duration) (starts, ends time.Time) {
	starts, ends = stay.Hours(s.CheckIn, s.CheckOut, before, after)
	if ends.IsZero() {
		return starts, ends
	}
	return s.Decisions.Access(Reservation{
		CheckIn: s.CheckIn, CheckOut: s.CheckOut, CheckInText: s.CheckInText, CheckOutText: s.CheckOutText,
	}, starts, ends)
}

// WantsKey reports whether the stay should have a key now: it is confirmed and not over, and neither an admin nor a
// gate takes its key away. The status of the key doesn't tell: it may need attention because it can't be removed.
func (s GuestState) WantsKey(before, after time.Duration, now time.Time) bool {
	starts, ends := s.Hours(before, after)
	begun, over := !starts.IsZero() && !now.Before(starts), !ends.IsZero() && !now.Before(ends)
	return s.Status == "confirmed" && !s.Revoked && !over && (begun || !s.GateTakes)
}

// OpensOthers reports whether the stay was moved, and Seam still has the doors of before: the key opens doors that the
// listing doesn't have, and doesn't open all that it has. Without a room, the stay has no doors.
func (s GuestState) OpensOthers() bool {
	if s.ListingID == nil {
		return len(s.Groups) > 0
	}
	lacks := func(some, others []string) bool {
		return slices.ContainsFunc(some, func(id string) bool { return !slices.Contains(others, id) })
	}
	return len(s.ListingGroups) > 0 && lacks(s.Groups, s.ListingGroups) && lacks(s.ListingGroups, s.Groups)
}

// State returns what decides about a stay's guest, or [ErrNotFound].
func (s GuestStays) State(ctx context.Context, ref Ref) (GuestState, error) {
	return readGuestState(ctx, s.pool, ref)
}

// LockedGuestState is [GuestStays.State] with the stay's key locked: nobody changes it, or takes it away, until the
// transaction ends.
func LockedGuestState(ctx context.Context, tx pgx.Tx, ref Ref) (GuestState, error) {
	// Alone: only a later statement sees what was committed while this one waited.
	if _, err := tx.Exec(ctx, `SELECT FROM mobile_keys WHERE source = $1
		AND reservation_id = $2 FOR SHARE`, ref.Source, ref.ReservationID); err != nil {
		return GuestState{}, wrap(err, "lock the key of %s/%s", ref.Source, ref.ReservationID)
	}
	return readGuestState(ctx, tx, ref)
}

// GuestLink is the link of a stay: which one of those that it has had, and whose.
type GuestLink struct {
	Ref
	Counter  int32      // counts the stay's links; part of what the id is derived from
	GuestKey string     // "" while no e-mail address of the guest is known
	OpenedAt *time.Time // when it was first opened; nil: never
	Openings int32      // how often it was opened
	Hashes   [][]byte   // of the ids that open it: of several where the key that ids are derived with was changed
}

// Links returns the links of those of the stays that have one.
func (s GuestStays) Links(ctx context.Context, refs []Ref) (map[Ref]GuestLink, error) {
	sources, ids := splitRefs(refs)
	rows, _ := s.pool.Query(ctx, `
		SELECT s.source, s.reservation_id, s.counter, s.guest_key, s.opened_at, s.openings,
			coalesce(l.hashes, '{}') AS hashes
		FROM unnest($1::text[], $2::text[]) AS n (source, reservation_id)
			JOIN guest_stays s USING (source, reservation_id)
		LEFT JOIN LATERAL (
			SELECT array_agg(l.id_hash) AS hashes FROM guest_links l
			WHERE l.source = s.source AND l.reservation_id = s.reservation_id AND l.counter = s.counter) l
				ON true`, sources, ids)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[GuestLink])
	links := map[Ref]GuestLink{}
	for _, l := range list {
		links[l.Ref] = l
	}
	return links, wrap(err, "read the links of %d stays", len(refs))
}

// NewGuestLink is a link to be recorded.
type NewGuestLink struct {
	Ref
	Before   int32  // the counter as it was read; the link is recorded only while it is that
	Counter  int32  // of the new link
	GuestKey string // as in [GuestLink]
	Hash     []byte // of the link's id
}

// SaveLinks records links. Nothing is recorded for a link that has changed in the meantime.
func (s GuestStays) SaveLinks(ctx context.Context, links []NewGuestLink, now time.Time) error {
	var b pgx.Batch
	for _, l := range links {
		b.Queue(`
			WITH stay AS (
				INSERT INTO guest_stays AS s (source, reservation_id, counter, guest_key)
					VALUES (@source, @id, @counter, @guest)
				ON CONFLICT (source, reservation_id) DO UPDATE SET counter = @counter, guest_key = @guest,
					opened_at = CASE WHEN s.counter = @counter THEN s.opened_at END, openings = CASE
						WHEN s.counter = @counter THEN s.openings ELSE 0 END
				WHERE s.counter = @before RETURNING source, reservation_id)
			INSERT INTO guest_links (id_hash, source, reservation_id, counter, created_at)
			SELECT @hash, source, reservation_id, @counter, @now FROM stay ON CONFLICT DO NOTHING`, pgx.StrictNamedArgs{
			"source": l.Source, "id": l.ReservationID, "counter": l.Counter, "guest": l.GuestKey, "before": l.Before,
			"hash": l.Hash, "now": now,
		})
	}
	err := s.inTx(ctx, func(tx pgx.Tx) error { return tx.SendBatch(ctx, &b).Close() })
	return wrap(err, "record the links of %d stays", len(links))
}

// OfLink returns the stay that a link was created for, and which of its links it is, or [ErrNotFound].
func (s GuestStays) OfLink(ctx context.Context, hash []byte) (ref Ref, counter int32, err error) {
	err = s.pool.QueryRow(ctx, `SELECT source, reservation_id, counter FROM guest_links WHERE id_hash = $1`, hash).
		Scan(&ref.Source, &ref.ReservationID, &counter)
	return ref, counter, wrap(err, "look for a link")
}

// RenewLink replaces the link of a stay: the old one no longer works, and what was handed out through it ends.
func (s GuestStays) RenewLink(ctx context.Context, ref Ref, now time.Time, entries []Entry, audit Audit) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		var b pgx.Batch
		b.Queue(`
			INSERT INTO guest_stays AS s (source, reservation_id, counter) VALUES ($1, $2, 1)
			ON CONFLICT (source, reservation_id) DO UPDATE SET counter = s.counter + 1, opened_at = NULL, openings = 0,
				recent = '{}',
				due_at = 'epoch', changes = s.changes + 1`, ref.Source, ref.ReservationID)
		b.Queue(`
			UPDATE handed_out SET ending_at = $3
			WHERE source = $1 AND reservation_id = $2 AND kind = 'instant_key'
				AND ending_at IS NULL`, ref.Source, ref.ReservationID, now)
		if err := QueueTimeline(&b, entries); err != nil {
			return err
		}
		if err := QueueAudit(&b, audit); err != nil {
			return err
		}
		return tx.SendBatch(ctx, &b).Close()
	})
	return wrap(err, "renew the link of %s/%s", ref.Source, ref.ReservationID)
}

// GuestLease is the right to hand out, or take back, what belongs to one stay. It expires.
type GuestLease struct {
	Ref
	Token   uuid.UUID // proves the lease in later calls
	Changes int64     // of the stay's key, when the lease began
	Tries   int32     // failed cleanups in a row
}

// TakeLease takes the lease on a stay. ok is false while another process has it.
func (s GuestStays) TakeLease(ctx context.Context, ref Ref, lease time.Duration) (l GuestLease, ok bool, err error) {
	l.Ref = ref
	err = s.pool.QueryRow(ctx, `
		INSERT INTO guest_stays AS s (source, reservation_id, lease_token, lease_until)
		VALUES ($1, $2, gen_random_uuid(), clock_timestamp() + $3::interval)
		ON CONFLICT (source, reservation_id) DO UPDATE SET lease_token = excluded.lease_token,
			lease_until = excluded.lease_until
		WHERE s.lease_until IS NULL OR s.lease_until < clock_timestamp() RETURNING lease_token, changes, tries`,
		ref.Source, ref.ReservationID, lease).Scan(&l.Token, &l.Changes, &l.Tries)
	if errors.Is(err, pgx.ErrNoRows) {
		return l, false, nil
	}
	return l, err == nil, wrap(err, "take the lease on what the guest of %s/%s has", ref.Source, ref.ReservationID)
}

// Claim takes the leases on up to limit stays that are due.
func (s GuestStays) Claim(ctx context.Context, now time.Time, lease time.Duration,
	limit int,
) ([]GuestLease, error) {
	rows, _ := s.pool.Query(ctx, `
		UPDATE guest_stays s SET lease_token = gen_random_uuid(), lease_until = clock_timestamp() + $2::interval
		FROM (SELECT source, reservation_id FROM guest_stays
			WHERE due_at <= $1 AND (lease_until IS NULL OR lease_until < clock_timestamp()) ORDER BY due_at LIMIT $3
				FOR UPDATE SKIP LOCKED) due
		WHERE s.source = due.source AND s.reservation_id = due.reservation_id
		RETURNING s.source, s.reservation_id, s.lease_token AS token, s.changes, s.tries`, now, lease, limit)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[GuestLease])
	return list, wrap(err, "claim stays whose guests have something")
}

// ExtendLease extends a lease. It returns [ErrLeaseLost] if another process has it.
func (s GuestStays) ExtendLease(ctx context.Context, l GuestLease, lease time.Duration) error {
	tag, err := s.pool.Exec(ctx, `
		UPDATE guest_stays SET lease_until = clock_timestamp() + $4::interval WHERE source = $1 AND reservation_id = $2
			AND lease_token = $3`,
		l.Source, l.ReservationID, l.Token, lease)
	if err == nil && tag.RowsAffected() == 0 {
		err = ErrLeaseLost
	}
	return wrap(err, "extend the lease on what the guest of %s/%s has", l.Source, l.ReservationID)
}

// WithLease runs fn in a transaction that holds the lease on a stay, with the stay's key locked. state is nil if the
// stay is gone. It returns [ErrLeaseLost] if somebody else has the lease.
func (s GuestStays) WithLease(ctx context.Context, l GuestLease, fn func(tx pgx.Tx, state *GuestState) error) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		var state *GuestState
		locked, err := LockedGuestState(ctx, tx, l.Ref)
		switch {
		case err == nil:
			state = &locked
		case !errors.Is(err, ErrNotFound):
			return err
		}
		tag, err := tx.Exec(ctx, `SELECT FROM guest_stays WHERE source = $1 AND reservation_id = $2
			AND lease_token = $3 FOR UPDATE`,
			l.Source, l.ReservationID, l.Token)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return ErrLeaseLost
		}
		return fn(tx, state)
	})
	return wrap(err, "what the guest of %s/%s has", l.Source, l.ReservationID)
}

// releaseGuestLease gives a lease back: in the transaction that holds it, or alone ([GuestStays.DropLease]).
const releaseGuestLease = `
	UPDATE guest_stays SET lease_token = NULL, lease_until = NULL WHERE source = $1 AND reservation_id = $2
		AND lease_token = $3`

// DropLease releases a lease.
func (s GuestStays) DropLease(ctx context.Context, l GuestLease) error {
	_, err := s.pool.Exec(ctx, releaseGuestLease, l.Source, l.ReservationID, l.Token)
	return wrap(err, "give back the lease on what the guest of %s/%s has", l.Source, l.ReservationID)
}

// FinishGuestStay ends a look at what a stay's guest has, and gives the lease back. due is when to look next, nil
// for when the key changes. A change of the key since the lease began has it looked at again at once.
func FinishGuestStay(b *pgx.Batch, l GuestLease, due *time.Time, tries int32) {
	b.Queue(`
		UPDATE guest_stays SET lease_token = NULL, lease_until = NULL, tries = @tries, due_at = CASE
			WHEN changes = @changes THEN @due::timestamptz ELSE 'epoch' END
		WHERE source = @source AND reservation_id = @id AND lease_token = @token`, pgx.StrictNamedArgs{
		"source": l.Source, "id": l.ReservationID, "token": l.Token, "changes": l.Changes, "due": due, "tries": tries,
	})
}

// ForgetGuestStay removes a stay's links, unless anything is handed out that has not been taken back.
func ForgetGuestStay(b *pgx.Batch, ref Ref) {
	b.Queue(`
		DELETE FROM guest_stays s WHERE source = $1 AND reservation_id = $2
		AND NOT EXISTS (SELECT FROM handed_out h WHERE h.source = s.source
			AND h.reservation_id = s.reservation_id)`, ref.Source, ref.ReservationID)
}

// IsOnHold reports whether an admin holds a stay.
func (s GuestStays) IsOnHold(ctx context.Context, ref Ref) (held bool, err error) {
	err = s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM overrides WHERE source = $1 AND reservation_id = $2
		AND held_at IS NOT NULL)`, ref.Source, ref.ReservationID).Scan(&held)
	return held, wrap(err, "whether %s/%s is on hold", ref.Source, ref.ReservationID)
}

// CountOverdue counts instant keys and sessions that ended before a time and still may be out there, up to 10,000.
// Those of stays on hold wait for the release, and don't count.
func (s GuestStays) CountOverdue(ctx context.Context, ended time.Time) (n int, err error) {
	err = s.pool.QueryRow(ctx, `SELECT count(*) FROM (SELECT FROM handed_out h
		WHERE ending_at < $1 AND deleted_at IS NULL AND NOT EXISTS (SELECT FROM overrides o WHERE o.source = h.source
			AND o.reservation_id = h.reservation_id AND o.held_at IS NOT NULL) LIMIT 10000) h`, ended).Scan(&n)
	return n, wrap(err, "count what guests should have lost")
}
