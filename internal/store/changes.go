package store

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// Changes of stays, in an order that readers can follow.
//
// Triggers append a row to stay_changes in the commit of each change that a subscriber can see. [Store.OrderChanges] empties that table into
// stay_positions, which has one row per stay, at the position of its last change. One process at a time assigns positions, so that a
// reader at a position has seen every stay before it, however long the transactions took that changed them.

// orderChangesLock is the advisory lock of the process that assigns positions.
const orderChangesLock = 7_820_021

// OrderChanges assigns positions to up to limit changes, and returns how many it took: 0 also where another process is at it. It doesn't
// wait for the disk: should Postgres crash, the changes wait again, as does everything that was committed later.
func (s *Store) OrderChanges(ctx context.Context, limit int) (n int, err error) {
	var waiting bool
	if err := s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM stay_changes)`).Scan(&waiting); err != nil || !waiting {
		return 0, wrap(err, "look for changed stays")
	}
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		var ours bool
		if err := tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock($1)`, orderChangesLock).Scan(&ours); err != nil || !ours {
			return err
		}
		if _, err := tx.Exec(ctx, dontWaitForDisk); err != nil {
			return err
		}
		return tx.QueryRow(ctx, `
			WITH taken AS (
				DELETE FROM stay_changes WHERE id = ANY (ARRAY (SELECT id FROM stay_changes ORDER BY id LIMIT $1)) RETURNING source, reservation_id),
			stays AS (
				SELECT r.source, r.reservation_id FROM (SELECT DISTINCT source, reservation_id FROM taken) t
				CROSS JOIN LATERAL (SELECT source, reservation_id FROM reservations
					WHERE source = t.source AND reservation_id = t.reservation_id FOR KEY SHARE) r),
			placed AS (
				INSERT INTO stay_positions (source, reservation_id, position)
				SELECT source, reservation_id, nextval('stay_order') FROM stays ORDER BY source COLLATE "C", reservation_id COLLATE "C"
				ON CONFLICT (source, reservation_id) DO UPDATE SET position = excluded.position)
			SELECT count(*) FROM taken`, limit).Scan(&n)
	})
	return n, wrap(err, "order the changes of stays")
}

// OnCommit has fn called after commits that may have changed stays, so that the sender of changes needn't poll closely. It must not
// block. Nothing depends on it but speed.
func (s *Store) OnCommit(fn func()) { s.onCommit.Store(&fn) }

func (s *Store) committed() {
	if fn := s.onCommit.Load(); fn != nil {
		(*fn)()
	}
}
