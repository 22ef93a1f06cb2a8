package store

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// The queue of events that wait to be applied. A row is claimed by deleting it in the transaction that applies its
// event, so that a rollback puts it back.
//
//	inserted --claimed--> (applied | awaits documents | rejected)       in the same commit
//	         --claimed--> requeued, perhaps with a time before which it is passed over
//
// An event that is put back because what it is about is locked says what that is (about). Events after it that are
// about the same are put back after it: of two events that each say a part, the later one must not be applied
// first.

// unknownBytes is how large an event counts that an older version has queued.
const unknownBytes = 64 << 10

// Claim bounds what a claim takes off the queue.
type Claim struct {
	Events   int           // at most so many
	Bytes    int           // the last one begins before so many bytes of bodies and documents
	Now      time.Time     // those that were put back until later are passed over
	LockWait time.Duration // how long each statement of the transaction may wait for a lock, as in [LimitLockWait]
}

// Claimed are events that were taken off the queue.
type Claimed struct {
	Events      []Event        // in the order of receipt; locked until the transaction ends
	Lag         *time.Duration // how long they have waited; nil: unknown. See [lagOf]
	SomePutBack bool           // there are events that were put back: see [PutBack]
	PID         int            // of the server process that holds the locks
}

// lagOf is the time since the longest waiting of these events was queued, by Postgres' clock; nil if there is none to
// judge by. Urgent events have overtaken the others. Those that were put back wait for a lock or for a slow format, and
// whether anything else waits doesn't depend on them.
func lagOf(events []Event, now time.Time) *time.Duration {
	var lag *time.Duration
	for _, e := range events {
		if e.Urgent || e.Tries > 0 {
			continue
		}
		if waited := max(now.Sub(e.QueuedAt), 0); lag == nil || waited > *lag {
			lag = &waited
		}
	}
	return lag
}

// ClaimEvents takes the oldest waiting events off the queue, urgent ones first; a rollback puts them back.
// Concurrent appliers get different ones. They are returned in the order of receipt; that urgent ones have
// overtaken others changes nothing in the end, because each has its place in the order of its reservation. It
// begins the transaction's time limit for locks.
func ClaimEvents(ctx context.Context, tx pgx.Tx, c Claim) (Claimed, error) {
	var got Claimed
	var b pgx.Batch
	var now time.Time
	b.Queue(`SELECT set_config('lock_timeout', $1, true), pg_backend_pid(), EXISTS (SELECT FROM event_queue
		WHERE not_before IS NOT NULL), now()`,
		lockTimeout(tx.Conn(), c.LockWait)).QueryRow(func(row pgx.Row) error {
		var set string
		return row.Scan(&set, &got.PID, &got.SomePutBack, &now)
	})
	b.Queue(`
		WITH first AS (SELECT seq, bytes FROM event_queue WHERE urgent AND (not_before IS NULL OR not_before <= @now)
				ORDER BY seq LIMIT @events FOR UPDATE SKIP LOCKED),
			rest AS (SELECT seq, bytes FROM event_queue WHERE NOT urgent AND (not_before IS NULL OR not_before <= @now)
				ORDER BY seq LIMIT @events - (SELECT count(*) FROM first) FOR UPDATE SKIP LOCKED),
			both_of_them AS (SELECT seq, coalesce(bytes, @unknown) AS bytes, 0 AS part FROM first UNION ALL
				SELECT seq, coalesce(bytes, @unknown), 1 FROM rest),
			fit AS (SELECT seq FROM (SELECT seq, sum(bytes) OVER (ORDER BY part, seq) - bytes AS before
				FROM both_of_them) b WHERE before < @bytes),
			taken AS (DELETE FROM event_queue WHERE seq = ANY (ARRAY (SELECT seq FROM fit))
				RETURNING seq, event_id, urgent, tries, queued_at)
		SELECT t.event_id, t.seq, e.source, e.event_key, e.type, 'accepted' AS status, NULL::text AS reason,
			CASE WHEN cardinality(f.reservation_ids) = 1 THEN f.reservation_ids[1] ELSE e.reservation_id END
				AS reservation_id, e.listing_id,
			e.occurred_at, e.received_at, NULL::timestamptz AS applied_at, t.urgent, t.tries, e.body, e.request,
				f.documents,
			coalesce(f.applied, false) AS applied_before, NULL::jsonb AS detail,
			EXISTS (SELECT FROM event_replays p WHERE p.event_id = t.event_id) AS replay,
				NULL::timestamptz AS replayed_at, NULL::text AS replay_status,
			NULL::text AS replay_reason, NULL::text AS first_status, NULL::text AS first_reason, t.queued_at
		FROM taken t JOIN events e USING (event_id)
		LEFT JOIN event_fetches f ON f.event_id = t.event_id AND e.request IS NOT NULL`,
		pgx.StrictNamedArgs{
			"events": c.Events, "bytes": c.Bytes, "now": c.Now,
			"unknown": unknownBytes,
		}).Query(func(rows pgx.Rows) (err error) {
		got.Events, err = pgx.CollectRows(rows, rowToClaimed)
		return err
	})
	err := tx.SendBatch(ctx, &b).Close()
	got.Lag = lagOf(got.Events, now)
	slices.SortFunc(got.Events, func(a, b Event) int { return cmp.Compare(a.Seq, b.Seq) })
	return got, wrap(err, "claim events")
}

func rowToClaimed(row pgx.CollectableRow) (Event, error) {
	claimed, err := pgx.RowToStructByName[struct {
		Event
		At time.Time `db:"queued_at"`
	}](row)
	claimed.QueuedAt = claimed.At
	return claimed.Event, err
}

// PutBack is an event that was put back until later.
type PutBack struct {
	Seq       int64     // of the event
	NotBefore time.Time // when it may be claimed again
	About     []string  // keys of what it is about: later events about the same wait for it
}

// EventsPutBack returns the events that were put back, without those that the transaction has claimed.
func EventsPutBack(ctx context.Context, tx pgx.Tx) ([]PutBack, error) {
	rows, _ := tx.Query(ctx, `
		SELECT seq, not_before, coalesce(about, '{}') AS about FROM event_queue WHERE not_before IS NOT NULL
			ORDER BY seq`)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[PutBack])
	return list, wrap(err, "read events that were put back")
}

// Requeue is a claimed event to put back into the queue.
type Requeue struct {
	Event     Event      // as it was claimed
	NotBefore *time.Time // nil: at once
	Tries     int        // how often it was put back, this time included
	About     []string   // as in [PutBack]
}

// RequeueEvents puts claimed events back into the queue, in the transaction that claimed them. They have waited since
// they were queued before.
func RequeueEvents(ctx context.Context, tx pgx.Tx, list []Requeue) error {
	if len(list) == 0 {
		return nil
	}
	var b pgx.Batch
	for _, r := range list {
		b.Queue(`
			INSERT INTO event_queue (seq, event_id, source, type, reservation_id, listing_id, urgent, bytes, not_before,
				tries, about, queued_at)
			SELECT seq, event_id, source, type, reservation_id, listing_id, @urgent, octet_length(body) + @documents,
				@before, @tries, @about, @queued_at
			FROM events WHERE event_id = @id`, pgx.StrictNamedArgs{
			"urgent": r.Event.Urgent, "documents": len(r.Event.Documents), "before": r.NotBefore, "tries": r.Tries,
			"about": r.About, "id": r.Event.EventID, "queued_at": r.Event.QueuedAt,
		})
	}
	return wrap(tx.SendBatch(ctx, &b).Close(), "put %d events back", len(list))
}

// Postpone puts a waiting event back until later, once more than before. It has waited since it was queued before.
func (s Events) Postpone(ctx context.Context, seq int64, until time.Time, about []string) error {
	_, err := s.pool.Exec(ctx, `UPDATE event_queue SET not_before = $2, tries = tries + 1, about = $3
		WHERE seq = $1`, seq, until, about)
	return wrap(err, "put event %d back", seq)
}

// SetAside rejects a waiting event that can't be applied.
func (s Events) SetAside(ctx context.Context, seq int64, reason string) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		var id uuid.UUID
		err := tx.QueryRow(ctx, `
			WITH taken AS (DELETE FROM event_queue WHERE seq = $1 RETURNING seq, event_id)
			INSERT INTO event_results (seq, event_id, source, type, status, reason, reservation_id, listing_id,
				occurred_at, received_at)
			SELECT t.seq, t.event_id, e.source, e.type, 'rejected', $2, e.reservation_id, e.listing_id, e.occurred_at,
				e.received_at
			FROM taken t JOIN events e USING (event_id) RETURNING event_id`, seq, Storable(reason)).Scan(&id)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil // another applier was quicker
		}
		if err != nil {
			return err
		}
		var b pgx.Batch
		b.Queue(`UPDATE events SET rejected = true WHERE event_id = $1`, id)
		b.Queue(`DELETE FROM event_fetches WHERE event_id = $1`, id) // a replay asks the PMS again
		b.Queue(settleReplays, []uuid.UUID{id})
		b.Queue(noteRejected, []uuid.UUID{id})
		return tx.SendBatch(ctx, &b).Close()
	})
	return wrap(err, "set event %d aside", seq)
}

// IsLockWait reports whether a statement ended because it waited too long for a lock, or took too long, which most
// often is the same.
func IsLockWait(err error) bool {
	pg := new(pgconn.PgError)
	return errors.As(err, &pg) && (pg.Code == "55P03" || pg.Code == "57014")
}

// LockedRow is where a statement waited, in Postgres' words; "" if it didn't report it.
func LockedRow(err error) string {
	pg := new(pgconn.PgError)
	errors.As(err, &pg)
	return pg.Where
}

// Blocker is a connection that another one waits for.
type Blocker struct {
	PID         int        // of its server process
	Application string     // its application_name; "" if it set none
	User        string     // its database user
	State       string     // as pg_stat_activity shows it, such as "idle in transaction"
	Since       *time.Time // its transaction began
}

// Blockers returns the connections at the beginning of the queue that a connection of ours waits in: those that
// hold a lock and wait for none themselves. Others of ours may wait in between.
func (s *Store) Blockers(ctx context.Context, pid int) ([]Blocker, error) {
	rows, _ := s.pool.Query(ctx, `
		WITH RECURSIVE blocking (pid) AS (
			SELECT unnest(pg_blocking_pids($1)) UNION SELECT b FROM blocking, unnest(pg_blocking_pids(pid)) AS b)
		SELECT pid, coalesce(application_name, '') AS application, coalesce(usename::text, '') AS "user",
			coalesce(state, '') AS state, xact_start AS since
		FROM pg_stat_activity JOIN blocking USING (pid) WHERE pg_blocking_pids(pid) = '{}'`, pid)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[Blocker])
	return list, wrap(err, "find out who blocks connection %d", pid)
}

// keysLockWait is how long what flags many keys waits for one of them: workers hold them for milliseconds.
const keysLockWait = time.Second

// passingLocked runs what locks many rows. If one of them stays locked, it runs again with skip, the words that
// pass over locked rows, and returns the first run's error, one of [IsLockWait], so that the caller can repeat it
// later for those that were locked.
func (s *db) passingLocked(ctx context.Context, do func(tx pgx.Tx, skip string) error) error {
	locked := s.inTx(ctx, func(tx pgx.Tx) error {
		if err := LimitLockWait(ctx, tx, keysLockWait); err != nil {
			return err
		}
		return do(tx, "")
	})
	if !IsLockWait(locked) {
		return locked
	}
	if err := s.inTx(ctx, func(tx pgx.Tx) error { return do(tx, "SKIP LOCKED") }); err != nil {
		return err
	}
	return locked
}
