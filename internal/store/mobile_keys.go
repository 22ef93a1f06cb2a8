package store

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Statuses of a mobile key, as the contract words them.
const (
	KeyWaiting      = "waiting"
	KeyProvisioning = "provisioning"
	KeyIssued       = "issued"
	KeyActive       = "active"
	KeyAttention    = "attention"
	KeyRevoking     = "revoking"
	KeyRevoked      = "revoked"
	KeyExpired      = "expired"
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
	Revive             bool
	UncertainSince     *time.Time
	VerifiedAt         *time.Time
	SettledAt          *time.Time
	ChangedAt          time.Time
}

const keyColumns = `status, reason, message, generation, observed_generation, attempt_generation, attempts, last_error,
	next_reconcile_at, next_is_retry, check_requested, revive, uncertain_since, verified_at, settled_at, changed_at`

func (k *MobileKey) scan() []any {
	return []any{
		&k.Status, &k.Reason, &k.Message, &k.Generation, &k.ObservedGeneration, &k.AttemptGeneration, &k.Attempts, &k.LastError,
		&k.NextReconcileAt, &k.NextIsRetry, &k.CheckRequested, &k.Revive, &k.UncertainSince, &k.VerifiedAt, &k.SettledAt, &k.ChangedAt,
	}
}

func prefixed(table, columns string) string {
	names := strings.Split(columns, ",")
	for i, n := range names {
		names[i] = table + "." + strings.TrimSpace(n)
	}
	return strings.Join(names, ", ")
}

// Wish is what an event, a listing's change or an admin asks of a key.
type Wish struct {
	Ref
	RankAt  *time.Time // check-in: the nearest is provisioned first
	Changed bool       // what is desired is another than before
	Revive  bool       // what somebody removed or suspended at Seam is wanted back
	Check   bool       // compare with Seam
}

// WishKeys makes keys due at once where something changed, and touches the others. It is the only way in
// which work is queued. One call never holds one key twice.
func WishKeys(ctx context.Context, tx pgx.Tx, wishes []Wish, now time.Time) error {
	if len(wishes) == 0 {
		return nil
	}
	refs := make([]Ref, len(wishes))
	byRef := make(map[Ref]Wish, len(wishes))
	for i, w := range wishes {
		refs[i], byRef[w.Ref] = w.Ref, w
	}
	sources, ids := splitRefs(refs)
	ranks, changed := make([]*time.Time, len(ids)), make([]bool, len(ids))
	revive, check := make([]bool, len(ids)), make([]bool, len(ids))
	for i := range ids {
		w := byRef[Ref{sources[i], ids[i]}]
		ranks[i], changed[i], revive[i], check[i] = w.RankAt, w.Changed, w.Revive, w.Check
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO mobile_keys AS k (source, reservation_id, next_reconcile_at, rank_at, revive, check_requested, changed_at)
		SELECT source, reservation_id, $7, rank_at, false, false, $7
		FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::boolean[], $5::boolean[], $6::boolean[])
			AS w (source, reservation_id, rank_at, changed, revive, asked)
		ON CONFLICT (source, reservation_id) DO NOTHING`, sources, ids, ranks, changed, revive, check, now)
	if err != nil {
		return wrap(err, "make mobile keys")
	}
	_, err = tx.Exec(ctx, `
		UPDATE mobile_keys k SET
			generation = k.generation + (w.changed OR w.asked)::int,
			next_reconcile_at = CASE WHEN w.changed OR w.asked THEN $7 ELSE k.next_reconcile_at END,
			next_is_retry = k.next_is_retry AND NOT (w.changed OR w.asked),
			rank_at = coalesce(w.rank_at, k.rank_at),
			revive = k.revive OR w.revive,
			check_requested = k.check_requested OR w.asked,
			changed_at = greatest($7, k.changed_at + interval '1 microsecond')
		FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::boolean[], $5::boolean[], $6::boolean[])
			AS w (source, reservation_id, rank_at, changed, revive, asked)
		WHERE k.source = w.source AND k.reservation_id = w.reservation_id`, sources, ids, ranks, changed, revive, check, now)
	return wrap(err, "queue %d mobile keys", len(ids))
}

// Lease is a worker's claim of one key for a time. Nothing of the key is written by anyone else meanwhile,
// except wishes, which the end of the lease sees.
type Lease struct {
	Ref
	Token uuid.UUID
}

// ClaimKeys leases up to limit keys that are due, the nearest check-in first. Leases run by the database's
// clock, so that the clocks of replicas don't matter; what is due is judged by now.
func (s *Store) ClaimKeys(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]Lease, error) {
	rows, _ := s.pool.Query(ctx, `
		UPDATE mobile_keys SET lease_token = gen_random_uuid(), lease_until = clock_timestamp() + $2::interval
		WHERE (source, reservation_id) IN (
			SELECT source, reservation_id FROM mobile_keys
			WHERE next_reconcile_at <= $1 AND (lease_until IS NULL OR lease_until < clock_timestamp())
			ORDER BY rank_at, next_reconcile_at LIMIT $3 FOR UPDATE SKIP LOCKED)
		RETURNING source, reservation_id, lease_token`, now, lease, limit)
	leases, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Lease, error) {
		var l Lease
		return l, row.Scan(&l.Source, &l.ReservationID, &l.Token)
	})
	return leases, wrap(err, "claim keys")
}

// RenewLease prolongs a lease; [ErrLeaseLost] if another worker has the key.
func (s *Store) RenewLease(ctx context.Context, l Lease, lease time.Duration) error {
	tag, err := s.pool.Exec(ctx, `
		UPDATE mobile_keys SET lease_until = clock_timestamp() + $4::interval
		WHERE source = $1 AND reservation_id = $2 AND lease_token = $3`, l.Source, l.ReservationID, l.Token, lease)
	if err == nil && tag.RowsAffected() == 0 {
		err = ErrLeaseLost
	}
	return wrap(err, "renew the lease of %s/%s", l.Source, l.ReservationID)
}

// ReleaseLease gives a key back untouched: it is due as before.
func (s *Store) ReleaseLease(ctx context.Context, l Lease) error {
	_, err := s.pool.Exec(ctx, `
		UPDATE mobile_keys SET lease_token = NULL, lease_until = NULL
		WHERE source = $1 AND reservation_id = $2 AND lease_token = $3`, l.Source, l.ReservationID, l.Token)
	return wrap(err, "release the lease of %s/%s", l.Source, l.ReservationID)
}

// WithLease runs fn in a transaction that commits only if the lease still holds, and returns the generation
// that the key has by then. Every mark and result goes through it.
func (s *Store) WithLease(ctx context.Context, l Lease, fn func(tx pgx.Tx, generation int64) error) (generation int64, err error) {
	err = s.InTx(ctx, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `
			SELECT generation FROM mobile_keys WHERE source = $1 AND reservation_id = $2 AND lease_token = $3 FOR NO KEY UPDATE`,
			l.Source, l.ReservationID, l.Token).Scan(&generation)
		if errors.Is(err, pgx.ErrNoRows) {
			return ErrLeaseLost
		}
		if err != nil {
			return err
		}
		return fn(tx, generation)
	})
	return generation, err
}

// Work is all that a reconcile starts from.
type Work struct {
	Reservation Reservation
	Listing     *Listing // nil: the reservation names none, or one that is not known
	Key         MobileKey
	Users       []ACSUser
}

// LoadWork reads a reservation with its listing, key and ACS users, in one snapshot.
func (s *Store) LoadWork(ctx context.Context, ref Ref) (Work, error) {
	var w Work
	err := pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `
			SELECT `+prefixed("r", reservationColumns)+`, `+prefixed("k", keyColumns)+`
			FROM reservations r JOIN mobile_keys k USING (source, reservation_id)
			WHERE r.source = $1 AND r.reservation_id = $2`, ref.Source, ref.ReservationID).
			Scan(append(w.Reservation.scan(), w.Key.scan()...)...)
		if err != nil {
			return err
		}
		if w.Reservation.ListingID != nil {
			rows, _ := tx.Query(ctx, `SELECT `+listingColumns+` FROM listings WHERE source = $1 AND listing_id = $2 AND known`,
				ref.Source, *w.Reservation.ListingID)
			l, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Listing])
			switch {
			case err == nil:
				w.Listing = &l
			case !errors.Is(err, pgx.ErrNoRows):
				return err
			}
		}
		rows, _ := tx.Query(ctx, `SELECT `+userColumns+` FROM acs_users WHERE source = $1 AND reservation_id = $2 ORDER BY id`, ref.Source, ref.ReservationID)
		w.Users, err = pgx.CollectRows(rows, pgx.RowToStructByName[ACSUser])
		return err
	})
	return w, wrap(err, "load reservation %s/%s", ref.Source, ref.ReservationID)
}

// Verdict is how a reconcile ends.
type Verdict struct {
	Status         string
	Reason         string
	Message        string
	LastError      string
	Generation     int64 // the one that was worked on
	Done           bool  // nothing of it is left to do
	Check          bool  // compare with Seam next time
	Attempts       int
	AttemptsOf     int64 // the generation that attempts count for
	Next           *time.Time
	NextIsRetry    bool
	RankAt         *time.Time // nil: as it is
	UncertainSince *time.Time
	VerifiedAt     *time.Time
	SettledAt      *time.Time
}

// FinishKey writes the verdict and ends the lease. Whatever was wished meanwhile makes the key due at once.
// It reports whether status, reason or message changed.
func FinishKey(ctx context.Context, tx pgx.Tx, l Lease, v Verdict, now time.Time) (changed bool, err error) {
	err = tx.QueryRow(ctx, `
		WITH before AS (SELECT status, reason, message FROM mobile_keys WHERE source = $1 AND reservation_id = $2)
		UPDATE mobile_keys k SET
			status = $4::text, reason = nullif($5::text, ''), message = nullif($6::text, ''), last_error = nullif($7::text, ''),
			observed_generation = CASE WHEN $9::boolean THEN $8::bigint ELSE k.observed_generation END,
			attempt_generation = $19, attempts = $10::integer,
			next_reconcile_at = CASE WHEN k.generation = $8::bigint THEN $11::timestamptz ELSE least($11::timestamptz, $17::timestamptz) END,
			next_is_retry = $12 AND k.generation = $8,
			rank_at = coalesce($13, k.rank_at),
			check_requested = $18 OR (k.check_requested AND (k.generation <> $8 OR NOT $9)),
			revive = k.revive AND (k.generation <> $8 OR NOT $9),
			uncertain_since = $14, verified_at = coalesce($15, k.verified_at), settled_at = $16::timestamptz,
			lease_token = NULL, lease_until = NULL,
			changed_at = CASE WHEN (k.status, k.reason, k.message, k.attempts, k.last_error, k.settled_at)
				IS DISTINCT FROM ($4::text, nullif($5::text, ''), nullif($6::text, ''), $10::integer, nullif($7::text, ''), $16::timestamptz)
				THEN greatest($17::timestamptz, k.changed_at + interval '1 microsecond') ELSE k.changed_at END
		FROM before b
		WHERE k.source = $1 AND k.reservation_id = $2 AND k.lease_token = $3
		RETURNING (b.status, b.reason, b.message) IS DISTINCT FROM (k.status, k.reason, k.message)`,
		l.Source, l.ReservationID, l.Token, v.Status, v.Reason, v.Message, v.LastError, v.Generation, v.Done, v.Attempts,
		v.Next, v.NextIsRetry, v.RankAt, v.UncertainSince, v.VerifiedAt, v.SettledAt, now, v.Check, v.AttemptsOf).Scan(&changed)
	if errors.Is(err, pgx.ErrNoRows) {
		err = ErrLeaseLost
	}
	return changed, wrap(err, "finish %s/%s", l.Source, l.ReservationID)
}

// Recheck asks that the keys of these ACS users or credentials be compared with Seam now.
func (s *Store) Recheck(ctx context.Context, acsUserID, acsCredentialID string, now time.Time) (int, error) {
	n := 0
	err := s.InTx(ctx, func(tx pgx.Tx) error {
		rows, _ := tx.Query(ctx, `
			SELECT DISTINCT source, reservation_id FROM acs_users
			WHERE deleted_at IS NULL AND (acs_user_id = nullif($1, '') OR acs_credential_id = nullif($2, ''))`,
			acsUserID, acsCredentialID)
		refs, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Ref])
		if err != nil {
			return err
		}
		wishes := make([]Wish, len(refs))
		for i, r := range refs {
			wishes[i] = Wish{Ref: r, Check: true}
		}
		n = len(refs)
		return WishKeys(ctx, tx, wishes, now)
	})
	return n, wrap(err, "recheck what Seam's event names")
}

// Summary counts reservations and keys.
type Summary struct {
	Reservations map[string]int
	Keys         map[string]int
}

// Summary returns the counts by status.
func (s *Store) Summary(ctx context.Context) (Summary, error) {
	sum := Summary{Reservations: map[string]int{}, Keys: map[string]int{}}
	for query, into := range map[string]map[string]int{
		`SELECT status, count(*) FROM reservations WHERE version_seq > 0 GROUP BY 1`: sum.Reservations,
		`SELECT status, count(*) FROM mobile_keys GROUP BY 1`:                        sum.Keys,
	} {
		rows, _ := s.pool.Query(ctx, query)
		var status string
		var n int
		if _, err := pgx.ForEachRow(rows, []any{&status, &n}, func() error { into[status] = n; return nil }); err != nil {
			return Summary{}, wrap(err, "count by status")
		}
	}
	return sum, nil
}

// OldestWaiting returns the key that has waited longest, or [ErrNotFound].
func (s *Store) OldestWaiting(ctx context.Context) (View, error) {
	return s.one(ctx, `SELECT source, reservation_id FROM mobile_keys WHERE status = 'waiting' ORDER BY changed_at LIMIT 1`)
}

// ArrivalsWithoutKey returns confirmed stays that begin before until, or have begun and last, without an issued key; the nearest first.
func (s *Store) ArrivalsWithoutKey(ctx context.Context, now, until time.Time, limit int) ([]View, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT r.source, r.reservation_id FROM reservations r JOIN mobile_keys k USING (source, reservation_id)
		WHERE r.status = 'confirmed' AND r.check_in <= $2 AND r.check_out > $1 AND k.status NOT IN ('issued', 'active')
		ORDER BY r.check_in, r.source, r.reservation_id LIMIT $3`, now, until, limit)
	refs, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Ref])
	if err != nil {
		return nil, wrap(err, "find arrivals without a key")
	}
	views := make([]View, 0, len(refs))
	for _, r := range refs {
		v, err := s.View(ctx, r)
		if err != nil {
			return nil, err
		}
		views = append(views, v)
	}
	return views, nil
}

func (s *Store) one(ctx context.Context, query string) (View, error) {
	var ref Ref
	if err := s.pool.QueryRow(ctx, query).Scan(&ref.Source, &ref.ReservationID); err != nil {
		return View{}, wrap(err, "find a reservation")
	}
	return s.View(ctx, ref)
}
