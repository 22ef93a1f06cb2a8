package store

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/stay"
)

// Statuses of a mobile key, under the names that this package's users know.
const (
	KeyWaiting      = stay.KeyWaiting
	KeyProvisioning = stay.KeyProvisioning
	KeyIssued       = stay.KeyIssued
	KeyActive       = stay.KeyActive
	KeyAttention    = stay.KeyAttention
	KeyRevoking     = stay.KeyRevoking
	KeyRevoked      = stay.KeyRevoked
	KeyExpired      = stay.KeyExpired
)

// MobileKey is a row of mobile_keys.
type MobileKey struct {
	Status             string
	Reason             *string
	Message            *string
	Generation         int64
	ObservedGeneration int64
	AttemptGeneration  int64
	Attempts           int
	LastError          *string
	NextReconcileAt    *time.Time
	NextIsRetry        bool
	CheckRequested     bool
	Checks             int64 // requests to look again so far
	Revive             bool
	UncertainSince     *time.Time
	VerifiedAt         *time.Time
	SettledAt          *time.Time
	ChangedAt          time.Time
	EventID            *uuid.UUID // the event that has last changed what is desired; nil where nobody traces
}

const keyColumns = `status, reason, message, generation, observed_generation, attempt_generation, attempts, last_error,
	next_reconcile_at, next_is_retry, check_requested, checks, revive, uncertain_since, verified_at, settled_at, changed_at, event_id`

func (k *MobileKey) scan() []any {
	return []any{
		&k.Status, &k.Reason, &k.Message, &k.Generation, &k.ObservedGeneration, &k.AttemptGeneration, &k.Attempts, &k.LastError,
		&k.NextReconcileAt, &k.NextIsRetry, &k.CheckRequested, &k.Checks, &k.Revive, &k.UncertainSince, &k.VerifiedAt, &k.SettledAt, &k.ChangedAt, &k.EventID,
	}
}

func prefixed(table, columns string) string {
	names := strings.Split(columns, ",")
	for i, n := range names {
		names[i] = table + "." + strings.TrimSpace(n)
	}
	return strings.Join(names, ", ")
}

// Wish is what an event, a listing's change or an admin requests of a key.
type Wish struct {
	Ref
	CheckIn   *time.Time
	Cancelled bool
	RankAt    *time.Time // check-in: the nearest is provisioned first
	Interim   string     // status until a worker gets to it, "" for as it is
	Changed   bool       // what is desired is another than before
	Revive    bool       // what somebody removed or suspended at Seam is wanted back
	Check     bool       // compare with Seam, because a person asks
	EventID   *uuid.UUID // of the event that asks, where somebody traces
}

// LastRank is the rank of what nobody waits for: a stay that is over.
var LastRank = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// wishRows are the columns of [Wish], for unnest.
func wishRows(wishes []Wish) []any {
	wishes = slices.Clone(wishes)
	slices.SortFunc(wishes, func(a, b Wish) int { return a.Compare(b.Ref) }) // one order for locks
	n := len(wishes)
	sources, ids, interim := make([]string, n), make([]string, n), make([]string, n)
	checkIns, ranks := make([]*time.Time, n), make([]*time.Time, n)
	cancelled, changed, revive, asked := make([]bool, n), make([]bool, n), make([]bool, n), make([]bool, n)
	events := make([]*uuid.UUID, n)
	for i, w := range wishes {
		events[i] = w.EventID
		sources[i], ids[i], checkIns[i], cancelled[i], ranks[i] = w.Source, w.ReservationID, w.CheckIn, w.Cancelled, w.RankAt
		interim[i], changed[i], revive[i], asked[i] = w.Interim, w.Changed, w.Revive, w.Check
	}
	return []any{sources, ids, checkIns, cancelled, ranks, interim, changed, revive, asked, events}
}

// InsertKeys makes the keys of new reservations, due at once.
func InsertKeys(batch *pgx.Batch, wishes []Wish, now time.Time) {
	if len(wishes) == 0 {
		return
	}
	rows := wishRows(wishes)
	batch.Queue(`
		INSERT INTO mobile_keys (source, reservation_id, check_in, cancelled, rank_at, status, revive, event_id, attempt_generation, next_reconcile_at, queued, changed_at)
		SELECT source, reservation_id, check_in, cancelled, rank_at, coalesce(nullif(interim, ''), 'waiting'), revive, event_id, 1, $9, true, $9
		FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::boolean[], $5::timestamptz[], $6::text[], $7::boolean[], $8::uuid[])
			AS w (source, reservation_id, check_in, cancelled, rank_at, interim, revive, event_id)`,
		append(rows[:6:6], rows[7], rows[9], now)...)
}

// WishKeys makes keys due at once where something changed, and touches the others. One call never holds one
// key twice.
func WishKeys(batch *pgx.Batch, wishes []Wish, now time.Time) {
	if len(wishes) == 0 {
		return
	}
	rows := wishRows(wishes)
	// Locked first: what a worker writes meanwhile must be seen by what follows.
	batch.Queue(`
		SELECT FROM mobile_keys k JOIN unnest($1::text[], $2::text[]) AS w (source, reservation_id) USING (source, reservation_id)
		ORDER BY k.source COLLATE "C", k.reservation_id COLLATE "C" FOR NO KEY UPDATE OF k`, rows[0], rows[1])
	// A status that a worker has found stays until the next one has looked, unless it says more than is known now.
	batch.Queue(`
		UPDATE mobile_keys k SET
			check_in = w.check_in,
			cancelled = w.cancelled,
			generation = k.generation + w.due::int,
			event_id = CASE WHEN w.due THEN coalesce(w.event_id, k.event_id) ELSE k.event_id END,
			next_reconcile_at = CASE WHEN w.due THEN $11 ELSE k.next_reconcile_at END,
			queued = k.queued OR w.due,
			next_is_retry = k.next_is_retry AND NOT w.due,
			rank_at = coalesce(w.rank_at, k.rank_at),
			revive = k.revive OR w.revive,
			check_requested = k.check_requested OR w.asked,
			checks = k.checks + w.asked::int,
			attempts = CASE WHEN w.due THEN 0 ELSE k.attempts END,
			attempt_generation = CASE WHEN w.due THEN k.generation + 1 ELSE k.attempt_generation END,
			last_error = CASE WHEN w.due THEN NULL ELSE k.last_error END,
			status = CASE WHEN w.flips THEN w.interim ELSE k.status END,
			reason = CASE WHEN w.flips THEN NULL ELSE k.reason END,
			message = CASE WHEN w.flips THEN NULL ELSE k.message END,
			settled_at = CASE WHEN w.flips THEN NULL ELSE k.settled_at END,
			changed_at = greatest($11, k.changed_at + interval '1 microsecond')
		FROM (
			SELECT w.*, w.changed OR w.asked AS due,
				(w.changed OR w.asked) AND CASE w.interim
					WHEN 'revoking' THEN k.status <> 'revoked' AND (w.changed OR k.status <> 'attention')
					WHEN 'provisioning' THEN k.status IN ('issued', 'active', 'revoking', 'revoked', 'expired') OR (k.status = 'waiting' AND k.observed_generation = 0)
					ELSE false END AS flips
			FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::boolean[], $5::timestamptz[], $6::text[], $7::boolean[], $8::boolean[], $9::boolean[], $10::uuid[])
				AS w (source, reservation_id, check_in, cancelled, rank_at, interim, changed, revive, asked, event_id)
			JOIN mobile_keys k USING (source, reservation_id)) w
		WHERE k.source = w.source AND k.reservation_id = w.reservation_id`, append(rows, now)...)
}

// Lease is a worker's claim of one key for a time. None of the key is written by anyone else meanwhile,
// except requests, which the end of the lease sees.
type Lease struct {
	Ref
	Token uuid.UUID
	Until time.Time // by this machine's monotonic clock, and rather too early
}

// QueueAtMost bounds how many keys become due in one statement.
const QueueAtMost = 2000

// QueueDue has keys claimed whose time has come, at most [QueueAtMost] of them, and returns how many. What is due of a stay that is over is
// cleaning up, and takes the last rank: after an outage guests who arrive go first.
func (s *Store) QueueDue(ctx context.Context, now time.Time) (int, error) {
	ctx, cancel := prompt(ctx)
	defer cancel()
	tag, err := s.pool.Exec(ctx, `
		UPDATE mobile_keys SET queued = true, rank_at = CASE WHEN over_at <= $1 THEN $3 ELSE rank_at END
		WHERE (source, reservation_id) IN (
			SELECT source, reservation_id FROM mobile_keys WHERE NOT queued AND next_reconcile_at <= $1
			ORDER BY next_reconcile_at LIMIT $2 FOR UPDATE SKIP LOCKED)`, now, QueueAtMost, LastRank)
	return int(tag.RowsAffected()), wrap(err, "queue what is due")
}

// ClaimKeys leases up to limit keys that are due, the nearest check-in first, and if before is not zero only those
// with a check-in before it. Leases run by the database's clock, so that the clocks of replicas don't matter. A claim
// doesn't wait for the disk: should Postgres crash, the first mark made under it is refused, and no call was made before one.
func (s *Store) ClaimKeys(ctx context.Context, lease time.Duration, before time.Time, limit int) ([]Lease, error) {
	ctx, cancel := prompt(ctx)
	defer cancel()
	until := time.Now().Add(lease)
	if before.IsZero() {
		before = LastRank.AddDate(1, 0, 0)
	}
	var leases []Lease
	err := s.inPipeline(ctx, func(b *pgx.Batch) {
		b.Queue(dontWaitForDisk)
		b.Queue(`
			UPDATE mobile_keys SET lease_token = gen_random_uuid(), lease_until = clock_timestamp() + $1::interval
			WHERE (source, reservation_id) IN (
				SELECT source, reservation_id FROM mobile_keys
				WHERE queued AND coalesce(rank_at, '-infinity') < $2 AND (lease_until IS NULL OR lease_until < clock_timestamp())
				ORDER BY rank_at, next_reconcile_at LIMIT $3 FOR UPDATE SKIP LOCKED)
			RETURNING source, reservation_id, lease_token`, lease, before, limit).Query(func(rows pgx.Rows) (err error) {
			leases, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (Lease, error) {
				l := Lease{Until: until}
				return l, row.Scan(&l.Source, &l.ReservationID, &l.Token)
			})
			return err
		})
	}, nil, nil)
	return leases, wrap(err, "claim keys")
}

// dontWaitForDisk makes a commit return before it is on disk. Only for what is done again if it is lost.
const dontWaitForDisk = `SET LOCAL synchronous_commit = off`

// RenewLease prolongs a lease; [ErrLeaseLost] if another worker has the key.
func (s *Store) RenewLease(ctx context.Context, l Lease, lease time.Duration) error {
	ctx, cancel := prompt(ctx)
	defer cancel()
	tag, err := s.pool.Exec(ctx, `
		UPDATE mobile_keys SET lease_until = clock_timestamp() + $4::interval
		WHERE source = $1 AND reservation_id = $2 AND lease_token = $3`, l.Source, l.ReservationID, l.Token, lease)
	if err == nil && tag.RowsAffected() == 0 {
		err = ErrLeaseLost
	}
	return wrap(err, "renew the lease of %s/%s", l.Source, l.ReservationID)
}

// WithLease runs fn in a transaction that commits, with entries in the timeline, only if the lease still holds, and
// returns the generation that the key has by then. Every mark and result goes through it. lostAt is when a create of the key's was
// last lost, nil for as recorded: the look-ups that follow must survive a crash that the loss does.
func (s *Store) WithLease(ctx context.Context, l Lease, entries []Entry, lostAt *time.Time, fn func(tx pgx.Tx, generation int64) error) (generation int64, err error) {
	held := false
	err = s.inPipeline(ctx, func(b *pgx.Batch) {
		b.Queue(`
			SELECT generation FROM mobile_keys WHERE source = $1 AND reservation_id = $2 AND lease_token = $3 FOR NO KEY UPDATE`,
			l.Source, l.ReservationID, l.Token).QueryRow(func(row pgx.Row) error {
			err := row.Scan(&generation)
			if held = err == nil; errors.Is(err, pgx.ErrNoRows) {
				return nil
			}
			return err
		})
	}, func(tx pgx.Tx) error {
		if !held {
			return ErrLeaseLost
		}
		return fn(tx, generation)
	}, func(b *pgx.Batch) error {
		if lostAt != nil {
			b.Queue(`UPDATE mobile_keys SET uncertain_since = $4 WHERE source = $1 AND reservation_id = $2 AND lease_token = $3`,
				l.Source, l.ReservationID, l.Token, lostAt)
		}
		return QueueTimeline(b, entries)
	})
	return generation, err
}

// Work is all that a reconcile starts from.
type Work struct {
	Reservation Reservation
	Listing     *Listing // nil: the reservation names none, or one that is not known
	Key         MobileKey
	Users       []ACSUser
	Overrides   Overrides
	Gates       map[string]stay.GateWords
	Unreachable []Disconnection   // access systems that Seam can't reach
	GroupOwners map[string]string // which sources used the listing's access groups first
}

// LoadWork reads a reservation with its listing, key and ACS users, in one snapshot and one round trip.
func (s *Store) LoadWork(ctx context.Context, ref Ref) (Work, error) {
	var w Work
	var b pgx.Batch
	b.Queue(`begin isolation level repeatable read read only`)
	b.Queue(`
		SELECT `+prefixed("r", reservationColumns)+`, `+prefixed("k", keyColumns)+`
		FROM reservations r JOIN mobile_keys k USING (source, reservation_id)
		WHERE r.source = $1 AND r.reservation_id = $2`, ref.Source, ref.ReservationID).QueryRow(func(row pgx.Row) error {
		return row.Scan(append(w.Reservation.scan(), w.Key.scan()...)...)
	})
	b.Queue(`
		SELECT `+listingColumns+` FROM listings WHERE known AND source = $1
			AND listing_id = (SELECT listing_id FROM reservations WHERE source = $1 AND reservation_id = $2)`, ref.Source, ref.ReservationID).Query(func(rows pgx.Rows) error {
		list, err := pgx.CollectRows(rows, pgx.RowToStructByName[Listing])
		if len(list) > 0 {
			w.Listing = &list[0]
		}
		return err
	})
	b.Queue(`SELECT `+userColumns+` FROM acs_users WHERE source = $1 AND reservation_id = $2 ORDER BY id`, ref.Source, ref.ReservationID).Query(func(rows pgx.Rows) (err error) {
		w.Users, err = pgx.CollectRows(rows, pgx.RowToStructByName[ACSUser])
		return err
	})
	b.Queue(overridesOf, ref.Source, ref.ReservationID).QueryRow(func(row pgx.Row) (err error) {
		w.Overrides, err = scanOverrides(row)
		return err
	})
	b.Queue(gateWordsOfOne, ref.Source, ref.ReservationID).Query(func(rows pgx.Rows) error {
		words, err := pgx.CollectRows(rows, pgx.RowToStructByName[gateRow])
		w.Gates = allGateWords(w.Reservation.Gates, words)
		return err
	})
	b.Queue(disconnections).Query(func(rows pgx.Rows) (err error) {
		w.Unreachable, err = pgx.CollectRows(rows, pgx.RowToStructByName[Disconnection])
		return err
	})
	b.Queue(`
		SELECT o.acs_access_group_id, o.source FROM listings l, unnest(coalesce(l.admin_access_group_ids, l.access_group_ids)) AS g
			CROSS JOIN LATERAL (SELECT * FROM access_group_owners WHERE acs_access_group_id = g OFFSET 0) o
		WHERE l.known AND l.source = $1 AND l.listing_id = (SELECT listing_id FROM reservations WHERE source = $1 AND reservation_id = $2)`,
		ref.Source, ref.ReservationID).Query(func(rows pgx.Rows) (err error) {
		w.GroupOwners, err = collectOwners(rows)
		return err
	})
	b.Queue(`commit`)
	return w, wrap(s.pool.SendBatch(ctx, &b).Close(), "load reservation %s/%s", ref.Source, ref.ReservationID)
}

// Verdict is how a reconcile ends.
type Verdict struct {
	Status         string
	Reason         string
	Message        string
	LastError      string
	Generation     int64 // the one that was worked on
	Checks         int64 // the requests to look again that it knew of
	Done           bool  // no work is left
	Check          bool  // compare with Seam next time
	KeepRevive     bool  // what somebody removed or suspended at Seam is still wanted back: an admin holds the key
	Attempts       int
	AttemptsOf     int64 // the generation that attempts count for
	Next           *time.Time
	NextIsRetry    bool
	RankAt         *time.Time // nil: as it is
	OverAt         *time.Time // when the stay is over; nil: not known
	UncertainSince *time.Time
	VerifiedAt     *time.Time
	SettledAt      *time.Time
}

// finishKey writes a verdict. What was asked for meanwhile (another generation, more checks) stays due, and keeps its rank.
const finishKey = `
	WITH before AS (
		SELECT status, reason, message, generation = @generation::bigint AS current, generation = @generation::bigint AND checks = @checks::bigint AS quiet
		FROM mobile_keys WHERE source = @source AND reservation_id = @reservation_id FOR NO KEY UPDATE)
	UPDATE mobile_keys k SET
		status = CASE WHEN b.current THEN @status::text ELSE k.status END,
		reason = CASE WHEN b.current THEN nullif(@reason::text, '') ELSE k.reason END,
		message = CASE WHEN b.current THEN nullif(@message::text, '') ELSE k.message END,
		last_error = CASE WHEN b.current THEN nullif(@last_error::text, '') ELSE k.last_error END,
		observed_generation = CASE WHEN @done::boolean THEN @generation::bigint ELSE k.observed_generation END,
		attempt_generation = CASE WHEN b.current THEN @attempts_of::bigint ELSE k.attempt_generation END,
		attempts = CASE WHEN b.current THEN @attempts::integer ELSE k.attempts END,
		next_reconcile_at = CASE WHEN b.quiet THEN @next::timestamptz ELSE least(@next::timestamptz, @now::timestamptz) END,
		queued = NOT b.quiet OR coalesce(@next::timestamptz <= @now::timestamptz, false),
		next_is_retry = @next_is_retry::boolean AND b.current,
		rank_at = CASE WHEN b.quiet THEN coalesce(@rank_at::timestamptz, k.rank_at) ELSE k.rank_at END,
		over_at = @over_at::timestamptz,
		check_requested = @check::boolean OR (k.check_requested AND NOT (b.quiet AND @done::boolean)),
		revive = k.revive AND (@keep_revive::boolean OR NOT (b.current AND @done::boolean)),
		uncertain_since = @uncertain_since::timestamptz, verified_at = coalesce(@verified_at::timestamptz, k.verified_at),
		settled_at = CASE WHEN b.current THEN @settled_at::timestamptz ELSE k.settled_at END,
		lease_token = NULL, lease_until = NULL,
		changed_at = CASE WHEN b.current AND (k.status, k.reason, k.message, k.attempts, k.last_error, k.settled_at)
			IS DISTINCT FROM (@status::text, nullif(@reason::text, ''), nullif(@message::text, ''), @attempts::integer, nullif(@last_error::text, ''), @settled_at::timestamptz)
			THEN greatest(@now::timestamptz, k.changed_at + interval '1 microsecond') ELSE k.changed_at END
	FROM before b
	WHERE k.source = @source AND k.reservation_id = @reservation_id AND k.lease_token = @token::uuid
	RETURNING (b.status, b.reason, b.message) IS DISTINCT FROM (k.status, k.reason, k.message)`

// FinishKey writes the verdict and ends the lease. Any request made meanwhile makes the key due at once. It doesn't
// wait for the disk: what an attempt has made is recorded already, and should Postgres crash, the key is looked at again.
// entries are what the timeline gets, given whether status, reason or message changed.
func (s *Store) FinishKey(ctx context.Context, l Lease, v Verdict, now time.Time, entries func(changed bool) []Entry) error {
	changed, held := false, false
	err := s.inPipeline(ctx, func(b *pgx.Batch) {
		b.Queue(dontWaitForDisk)
		b.Queue(finishKey, pgx.StrictNamedArgs{
			"source": l.Source, "reservation_id": l.ReservationID, "token": l.Token, "now": now,
			"status": v.Status, "reason": v.Reason, "message": Storable(v.Message), "last_error": Storable(v.LastError),
			"generation": v.Generation, "done": v.Done, "attempts": v.Attempts, "attempts_of": v.AttemptsOf, "checks": v.Checks, "check": v.Check, "keep_revive": v.KeepRevive,
			"next": v.Next, "next_is_retry": v.NextIsRetry, "rank_at": v.RankAt, "over_at": v.OverAt,
			"uncertain_since": v.UncertainSince, "verified_at": v.VerifiedAt, "settled_at": v.SettledAt,
		}).QueryRow(func(row pgx.Row) error {
			err := row.Scan(&changed)
			if held = err == nil; errors.Is(err, pgx.ErrNoRows) {
				return nil
			}
			return err
		})
	}, func(pgx.Tx) error {
		if !held {
			return ErrLeaseLost
		}
		return nil
	}, func(b *pgx.Batch) error { return QueueTimeline(b, entries(changed)) })
	return wrap(err, "finish %s/%s", l.Source, l.ReservationID)
}

// Summary counts reservations and keys.
type Summary struct {
	Reservations map[string]int
	Keys         map[string]int
}

// Summary returns the counts by status of the sources (nil: of all), from one pass over an index.
func (s *Store) Summary(ctx context.Context, sources []string) (Summary, error) {
	sum := Summary{Reservations: map[string]int{}, Keys: map[string]int{}}
	rows, _ := s.pool.Query(ctx, `SELECT CASE WHEN cancelled THEN 'cancelled' ELSE 'confirmed' END, status, count(*) FROM mobile_keys
		WHERE $1::text[] IS NULL OR source = ANY ($1) GROUP BY 1, 2`, sources)
	var status, keyStatus string
	var n int
	_, err := pgx.ForEachRow(rows, []any{&status, &keyStatus, &n}, func() error {
		sum.Reservations[status] += n
		sum.Keys[keyStatus] += n
		return nil
	})
	return sum, wrap(err, "count by status")
}

// OldestWaiting returns the key of the sources (nil: of all) that has waited longest, or [ErrNotFound].
func (s *Store) OldestWaiting(ctx context.Context, sources []string) (View, error) {
	var w where
	k := kinds{table: "mobile_keys", columns: []string{"source", "cancelled", "status", "check_in_month"}, values: []any{nil, nil, KeyWaiting, nil}, among: sources}
	views, err := s.views(ctx, `SELECT source, reservation_id FROM `+k.merge(&w, `t.source, t.reservation_id, t.changed_at`, ` ORDER BY t.changed_at, t.source, t.reservation_id DESC LIMIT 1`)+` t`, w.planned()...)
	if err == nil && len(views) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return View{}, wrap(err, "find the oldest waiting")
	}
	return views[0], nil
}

// arrivalsWithoutKey is answered by an index on what has no key, which is never much. $1 is now, $2 until when.
const arrivalsWithoutKey = `
	FROM mobile_keys k JOIN reservations r USING (source, reservation_id)
	WHERE k.status IN ('waiting', 'provisioning', 'attention') AND k.rank_at <= $2
		AND r.status = 'confirmed' AND r.check_in <= $2 AND r.check_out > $1`

// ArrivalsWithoutKey returns confirmed stays of the sources (nil: of all) that begin before until, or have begun and last,
// without an issued key; the nearest first.
func (s *Store) ArrivalsWithoutKey(ctx context.Context, now, until time.Time, sources []string, limit int) ([]View, error) {
	views, err := s.inOrderOf(ctx, `
		SELECT r.source, r.reservation_id `+arrivalsWithoutKey+` AND ($4::text[] IS NULL OR r.source = ANY ($4))
		ORDER BY r.check_in, r.source, r.reservation_id LIMIT $3`, now, until, limit, sources)
	return views, wrap(err, "find arrivals without a key")
}

// Arrivals returns confirmed stays of the sources (nil: of all) that begin from then until then, the nearest first.
func (s *Store) Arrivals(ctx context.Context, from, until time.Time, sources []string, limit int) ([]View, error) {
	views, err := s.inOrderOf(ctx, `
		SELECT k.source, k.reservation_id FROM mobile_keys k
		WHERE NOT k.cancelled AND k.check_in >= $1 AND k.check_in < $2 AND ($4::text[] IS NULL OR k.source = ANY ($4))
		ORDER BY k.check_in LIMIT $3`, from, until, limit, sources)
	return views, wrap(err, "find arrivals")
}

// CountArrivals counts what [Store.Arrivals] returns without a limit, by key status.
func (s *Store) CountArrivals(ctx context.Context, from, until time.Time, sources []string) (map[string]int, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT status, count(*) FROM mobile_keys
		WHERE NOT cancelled AND check_in >= $1 AND check_in < $2 AND ($3::text[] IS NULL OR source = ANY ($3)) GROUP BY 1`, from, until, sources)
	counts := map[string]int{}
	var status string
	var n int
	_, err := pgx.ForEachRow(rows, []any{&status, &n}, func() error { counts[status] = n; return nil })
	return counts, wrap(err, "count arrivals")
}

// inOrderOf reads what a query names, in its order.
func (s *Store) inOrderOf(ctx context.Context, query string, args ...any) ([]View, error) {
	rows, _ := s.pool.Query(ctx, query, args...)
	refs, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Ref])
	if err != nil || len(refs) == 0 {
		return []View{}, err
	}
	sources, ids := make([]string, len(refs)), make([]string, len(refs))
	place := make(map[Ref]int, len(refs))
	for i, r := range refs {
		sources[i], ids[i], place[r] = r.Source, r.ReservationID, i
	}
	views, err := s.views(ctx, `SELECT * FROM unnest($1::text[], $2::text[]) AS n (source, reservation_id)`, sources, ids)
	slices.SortFunc(views, func(a, b View) int { return place[a.Reservation.Ref()] - place[b.Reservation.Ref()] })
	return views, err
}

// Arrival is a stay that begins soon and has no key.
type Arrival struct {
	Ref
	CheckIn time.Time
	Status  string
	Reason  string
}

// CountArrivalsWithoutKey counts what [Store.ArrivalsWithoutKey] returns, and returns the nearest, nil for none.
func (s *Store) CountArrivalsWithoutKey(ctx context.Context, now, until time.Time) (count int, nearest *Arrival, err error) {
	var a Arrival
	err = s.pool.QueryRow(ctx, `
		SELECT count(*) OVER (), r.source, r.reservation_id, r.check_in, k.status, coalesce(k.reason, '') `+arrivalsWithoutKey+`
		ORDER BY r.check_in, r.source, r.reservation_id LIMIT 1`, now, until).
		Scan(&count, &a.Source, &a.ReservationID, &a.CheckIn, &a.Status, &a.Reason)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil, nil
	}
	return count, &a, wrap(err, "count arrivals without a key")
}

// Removal is a key that should be gone.
type Removal struct {
	Ref
	Since  time.Time // it should
	Status string
	Reason string
}

// CountOverdueRemovals counts the keys that should have been gone at a time and are not, or not for certain, and returns the
// one that should have been first, nil for none.
func (s *Store) CountOverdueRemovals(ctx context.Context, by time.Time) (count int, first *Removal, err error) {
	var r Removal
	err = s.pool.QueryRow(ctx, `
		SELECT count(*) OVER (), source, reservation_id, since, status, reason FROM (
			SELECT source, reservation_id, coalesce(k.remove_since, k.changed_at) AS since, k.status, coalesce(k.reason, '') AS reason
			FROM mobile_keys k
			WHERE k.status = 'revoking' OR (k.status = 'attention' AND (k.cancelled OR k.reason = 'not_removed'))) removals
		WHERE since < $1 ORDER BY since, source, reservation_id LIMIT 1`, by).
		Scan(&count, &r.Source, &r.ReservationID, &r.Since, &r.Status, &r.Reason)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil, nil
	}
	return count, &r, wrap(err, "count overdue removals")
}

// DueKeys returns how many keys a worker could take up now, at most 10,000, and since when the first of them is due.
func (s *Store) DueKeys(ctx context.Context) (n int, since *time.Time, err error) {
	err = s.pool.QueryRow(ctx, `
		SELECT count(*), min(next_reconcile_at) FROM (
			SELECT next_reconcile_at FROM mobile_keys WHERE queued AND (lease_until IS NULL OR lease_until < clock_timestamp()) LIMIT 10000) k`).Scan(&n, &since)
	return n, since, wrap(err, "count due keys")
}
