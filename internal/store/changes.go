package store

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// Changes of stays, in an order that readers can follow.
//
// Triggers append a row to stay_changes in the commit of each change that a subscriber can see. [Changes.Order]
// moves them to stay_positions, which has one row per stay, at the position of its last change. One process at a time
// assigns positions, so that a reader at a position has seen every stay before it, no matter how long the
// transactions took that changed them.

// Changes are the order in which subscriptions follow the changes of stays, and the number of changes by which pages
// notice that they are out of date.
type Changes struct{ *db }

// orderChangesLock is the advisory lock of the process that assigns positions.
const orderChangesLock = 7_820_021

// Order assigns positions to up to limit changes, and returns how many it took: 0 also while another process does so.
// Changes of a stay whose reservation somebody keeps locked wait, and others pass them: assigning a position needs a
// weak lock of it, as every foreign key does. It doesn't wait for the disk: should Postgres crash, the changes wait
// again, as does everything that was committed later.
func (s Changes) Order(ctx context.Context, limit int) (n int, err error) {
	var waiting bool
	if err := s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM stay_changes)`).Scan(&waiting); err != nil || !waiting {
		return 0, wrap(err, "look for changed stays")
	}
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		var ours bool
		if err := tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock($1)`, orderChangesLock).Scan(&ours); err != nil ||
			!ours {
			return err
		}
		if _, err := tx.Exec(ctx, dontWaitForDisk); err != nil {
			return err
		}
		return tx.QueryRow(ctx, `
			WITH free AS (
				SELECT c.id, c.source, c.reservation_id FROM stay_changes c
					JOIN reservations r USING (source, reservation_id)
				ORDER BY c.id LIMIT $1 FOR KEY SHARE OF r SKIP LOCKED),
			gone AS (
				SELECT id FROM (SELECT * FROM stay_changes ORDER BY id LIMIT $1) c
				WHERE NOT EXISTS (SELECT FROM reservations r WHERE r.source = c.source
					AND r.reservation_id = c.reservation_id)),
			taken AS (
				DELETE FROM stay_changes WHERE id = ANY (ARRAY (SELECT id FROM free UNION ALL SELECT id FROM gone))
					RETURNING 1),
			placed AS (
				INSERT INTO stay_positions (source, reservation_id, position)
				SELECT source, reservation_id, nextval('stay_order') FROM (SELECT DISTINCT source, reservation_id
					FROM free) s
				ORDER BY source COLLATE "C", reservation_id COLLATE "C"
				ON CONFLICT (source, reservation_id) DO UPDATE SET position = excluded.position)
			SELECT count(*) FROM taken`, limit).Scan(&n)
	})
	return n, wrap(err, "order the changes of stays")
}

// OnCommit has fn called after commits that may have changed stays, so that the sender of changes needn't poll
// closely. It must not block. Nothing depends on it but speed.
func (s *Store) OnCommit(fn func()) { s.onCommit.Store(&fn) }

func (s *db) committed() {
	if fn := s.onCommit.Load(); fn != nil {
		(*fn)()
	}
}
