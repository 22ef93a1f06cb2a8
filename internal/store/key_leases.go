package store

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Keys are the provisioner's queue, and the row of a key is its place in it:
//
//	             request, or QueueDue                Claim                    Finish
//	not queued ──────────────────────▶ queued ───────────────▶ leased ─────────────────────▶ not queued
//	   (next_reconcile_at says when)     ▲                        │                             or queued, if something was
//	                                     └────────────────────────┘                             requested meanwhile
//	                                       the lease runs out
//
// A lease is a token and an end, by the database's clock. Each claim makes a new token, so that an earlier worker's
// writes fail with [ErrLeaseLost], however late they come. While it works, a worker renews its lease, and
// writes through one of three doors, each a transaction that locks the key and checks the token first:
//
//	WithLease       marks and results that need an answer of the database before they commit
//	SaveWithLease   the same in one round trip, for what needs none
//	Finish          the verdict; ends the lease (key_attempts.go)
//
// Requests don't need the lease: they raise the key's generation, which overtakes the work under it. A worker that
// writes with an older generation gets [ErrOvertaken], or the present generation, and decides itself.

// Lease is a worker's claim of one key for a time. Nobody else writes the key in the meantime, except requests, which
// the end of the lease takes into account.
type Lease struct {
	Ref
	Token  uuid.UUID  // proves the lease in later calls
	Until  time.Time  // by this machine's monotonic clock; early rather than late
	RankAt *time.Time // the key's rank when it was claimed; nil if it has none
}

// QueueAtMost bounds how many keys become due in one statement.
const QueueAtMost = 2000

// QueueDue queues keys whose time has come, at most [QueueAtMost] of them, and returns how many. Whatever is due for
// a stay that is over is cleanup, and takes the last rank: after an outage guests who arrive come first.
func (s MobileKeys) QueueDue(ctx context.Context, now time.Time) (int, error) {
	ctx, cancel := s.prompt(ctx)
	defer cancel()
	tag, err := s.pool.Exec(ctx, `
		UPDATE mobile_keys SET queued = true, rank_at = CASE WHEN over_at <= $1 THEN $3 ELSE rank_at END
		WHERE (source, reservation_id) IN (
			SELECT source, reservation_id FROM mobile_keys WHERE NOT queued AND next_reconcile_at <= $1
			ORDER BY next_reconcile_at LIMIT $2 FOR UPDATE SKIP LOCKED)`, now, QueueAtMost, LastRank)
	return int(tag.RowsAffected()), wrap(err, "queue what is due")
}

// Claim leases up to limit keys that are due, the nearest check-in first, and if before is not zero only those
// with an earlier check-in. Leases run by the database's clock, so that the clocks of replicas don't matter. A claim
// doesn't wait for the disk: if Postgres crashes, the first mark made under it is refused, and no call is made before
// a mark.
func (s MobileKeys) Claim(ctx context.Context, lease time.Duration, before time.Time, limit int) ([]Lease, error) {
	ctx, cancel := s.prompt(ctx)
	defer cancel()
	until := time.Now().Add(lease)
	query, args := claimQuery(lease, before, limit)
	var leases []Lease
	err := s.inPipeline(ctx, func(b *pgx.Batch) {
		b.Queue(dontWaitForDisk)
		b.Queue(query, args...).Query(func(rows pgx.Rows) (err error) {
			leases, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (Lease, error) {
				l := Lease{Until: until}
				return l, row.Scan(&l.Source, &l.ReservationID, &l.Token, &l.RankAt)
			})
			return err
		})
	}, nil, nil)
	return leases, wrap(err, "claim keys")
}

// claimQuery is the statement of a claim. What bounds the check-in bounds the index that it reads, too: while the
// provisioner is crowded, most claims find that no guest arrives soon, and must not read through all others to know
// it. A key without a check-in never counts as one of a guest who arrives soon.
func claimQuery(lease time.Duration, before time.Time, limit int) (query string, args []any) {
	args, soon := []any{lease, limit}, ""
	if !before.IsZero() {
		args, soon = append(args, before), "AND rank_at < $3"
	}
	return `
		UPDATE mobile_keys SET lease_token = gen_random_uuid(), lease_until = clock_timestamp() + $1::interval
		WHERE (source, reservation_id) IN (
			SELECT source, reservation_id FROM mobile_keys
			WHERE queued AND (lease_until IS NULL OR lease_until < clock_timestamp()) ` + soon + `
			ORDER BY rank_at, next_reconcile_at LIMIT $2 FOR UPDATE SKIP LOCKED)
		RETURNING source, reservation_id, lease_token, rank_at`, args
}

// dontWaitForDisk makes a commit return before it is on disk. Only for work that is repeated if it is lost.
const dontWaitForDisk = `SET LOCAL synchronous_commit = off`

// RenewLease extends a lease. It returns [ErrLeaseLost] if another worker has the key.
func (s MobileKeys) RenewLease(ctx context.Context, l Lease, lease time.Duration) error {
	ctx, cancel := s.prompt(ctx)
	defer cancel()
	tag, err := s.pool.Exec(ctx, `
		UPDATE mobile_keys SET lease_until = clock_timestamp() + $4::interval
		WHERE source = $1 AND reservation_id = $2 AND lease_token = $3`, l.Source, l.ReservationID, l.Token, lease)
	if err == nil && tag.RowsAffected() == 0 {
		err = ErrLeaseLost
	}
	return wrap(err, "renew the lease of %s/%s", l.Source, l.ReservationID)
}

// WithLease runs fn in a transaction that commits, with entries in the timeline, only if the lease is still ours, and
// returns the key's present generation. Every mark and result goes through it. lostAt is when the answer to a create
// of the key's was last lost, nil if unchanged: the look-ups that follow must survive a crash that the loss survives.
func (s MobileKeys) WithLease(ctx context.Context, l Lease, entries []Entry, lostAt *time.Time,
	fn func(tx pgx.Tx, generation int64) error,
) (generation int64, err error) {
	leased := false
	err = s.inPipeline(ctx, func(b *pgx.Batch) {
		b.Queue(`
			SELECT generation FROM mobile_keys WHERE source = $1 AND reservation_id = $2
				AND lease_token = $3 FOR NO KEY UPDATE`,
			l.Source, l.ReservationID, l.Token).QueryRow(func(row pgx.Row) error {
			err := row.Scan(&generation)
			if leased = err == nil; errors.Is(err, pgx.ErrNoRows) {
				return nil
			}
			return err
		})
	}, func(tx pgx.Tx) error {
		if !leased {
			return ErrLeaseLost
		}
		return fn(tx, generation)
	}, func(b *pgx.Batch) error {
		noteLost(b, l, lostAt)
		return QueueTimeline(b, entries)
	})
	return generation, err
}

// ErrOvertaken means that something newer is desired of the key than what the work under the lease began with.
var ErrOvertaken = errors.New("what is desired has changed in the meantime")

// Codes with which staykey_require ends transactions that are one round trip.
const (
	codeLeaseLost = "SK001"
	codeOvertaken = "SK002"
	codeErasing   = "SK003"
)

// required is the error that a requirement of a transaction stands for, or the error itself.
func required(err error) error {
	pg := new(pgconn.PgError)
	if !errors.As(err, &pg) {
		return err
	}
	switch {
	case pg.Code == codeLeaseLost:
		return ErrLeaseLost
	case pg.Code == codeOvertaken:
		return ErrOvertaken
	case pg.Code == codeErasing:
		return ErrErasing
	case pg.Code == "23505" && pg.TableName == "acs_users":
		return ErrIDTaken
	}
	return err
}

// requireLease locks a key and ends the transaction unless the lease is still ours and, if a generation is given,
// that is still the key's.
const requireLease = `
	WITH k AS MATERIALIZED (SELECT generation FROM mobile_keys WHERE source = $1 AND reservation_id = $2
		AND lease_token = $3 FOR NO KEY UPDATE)
	SELECT (SELECT generation FROM k),
		staykey_require(EXISTS (SELECT FROM k), '` + codeLeaseLost + `', 'another worker has this key'),
		staykey_require($4::bigint = 0 OR $4 = (SELECT generation FROM k), '` + codeOvertaken + `',
			'the desired state of this key has changed')`

// SaveWithLease is [MobileKeys.WithLease] in one round trip, for what needs no answer before it is committed: queue
// adds the statements. With a generation, nothing is committed and the error is [ErrOvertaken] unless that is still the
// key's; 0 is any. An id that another reservation has is [ErrIDTaken].
func (s MobileKeys) SaveWithLease(ctx context.Context, l Lease, onlyIf int64, entries []Entry, lostAt *time.Time,
	queue func(*pgx.Batch),
) (generation int64, err error) {
	rows, err := newTimelineRows(entries)
	if err != nil {
		return 0, err
	}
	err = s.inPipeline(ctx, func(b *pgx.Batch) {
		b.Queue(requireLease, l.Source, l.ReservationID, l.Token, onlyIf).QueryRow(func(row pgx.Row) error {
			return row.Scan(&generation, nil, nil)
		})
		queue(b)
		noteLost(b, l, lostAt)
		rows.queue(b)
	}, nil, nil)
	return generation, required(err)
}

// noteLost records when the answer to a create was last lost, unless that is unchanged (nil).
func noteLost(b *pgx.Batch, l Lease, lostAt *time.Time) {
	if lostAt != nil {
		b.Queue(`UPDATE mobile_keys SET uncertain_since = $4 WHERE source = $1 AND reservation_id = $2
			AND lease_token = $3`, l.Source, l.ReservationID, l.Token, lostAt)
	}
}

// CountDue returns how many keys a worker could take up now, at most 10,000, and since when the first of them is due.
func (s MobileKeys) CountDue(ctx context.Context) (n int, since *time.Time, err error) {
	err = s.pool.QueryRow(ctx, `
		SELECT count(*), min(next_reconcile_at) FROM (
			SELECT next_reconcile_at FROM mobile_keys WHERE queued
				AND (lease_until IS NULL OR lease_until < clock_timestamp()) LIMIT 10000) k`).Scan(&n, &since)
	return n, since, wrap(err, "count due keys")
}
