package store_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/store/storetest"
)

// lockListing has somebody keep a listing locked, and returns the number of the connection.
func lockListing(t *testing.T, pool *pgxpool.Pool, id string) uint32 {
	t.Helper()
	ctx := context.Background()
	if _, err := pool.Exec(ctx,
		`INSERT INTO listings (source, listing_id, known, created_at, updated_at) VALUES ('default', $1, true, now(), now()) ON CONFLICT DO NOTHING`, id); err != nil {
		t.Fatal(err)
	}
	tx, err := pool.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	if _, err := tx.Exec(ctx, `SELECT FROM listings WHERE listing_id = $1 FOR UPDATE`, id); err != nil {
		t.Fatal(err)
	}
	return tx.Conn().PgConn().PID()
}

// TestNoStatementWaitsLongForALock has a statement that limits nothing itself meet a forgotten transaction: it gives up
// long before its own deadline, and a lock_timeout of the DSN decides otherwise.
func TestNoStatementWaitsLongForALock(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := storetest.NewWithBriefLockWaits(t, 20)
	lockListing(t, s.Pool(), "l")
	_, err := s.Pool().Exec(ctx, `UPDATE listings SET name = 'x' WHERE listing_id = 'l'`)
	if !store.IsLockWait(err) || store.CauseOf(err) != store.CauseLocked {
		t.Errorf("got %v", err)
	}
	config := s.Pool().Config()
	config.ConnConfig.RuntimeParams["lock_timeout"] = "17ms"
	chosen, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	defer chosen.Close()
	for pool, want := range map[*pgxpool.Pool]string{s.Pool(): "4s", chosen: "17ms"} {
		var got string
		if err := pool.QueryRow(ctx, `SHOW lock_timeout`).Scan(&got); err != nil || got != want {
			t.Errorf("lock_timeout is %s, want %s: %v", got, want, err)
		}
	}
}

// TestBlockersAreTheFirstOfTheirQueue has a connection wait for another that waits itself: only the one that holds the
// lock is named.
func TestBlockersAreTheFirstOfTheirQueue(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s := storetest.New(t)
	holder := lockListing(t, s.Pool(), "l")
	var pids []int
	for range 3 {
		conn, err := s.Pool().Acquire(ctx)
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, int(conn.Conn().PgConn().PID()))
		if _, err := conn.Exec(ctx, `SET lock_timeout = 0`); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_, _ = conn.Exec(ctx, `UPDATE listings SET name = 'x' WHERE listing_id = 'l'`) // it is cut off
		}()
		t.Cleanup(func() { cancel(); <-ended; conn.Release() })
		for waiting := false; !waiting; {
			if err := s.Pool().QueryRow(ctx, `SELECT cardinality(pg_blocking_pids($1)) > 0`,
				pids[len(pids)-1]).Scan(&waiting); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, pid := range pids {
		if got, err := s.Blockers(ctx, pid); err != nil || len(got) != 1 || got[0].PID != int(holder) ||
			got[0].State != "idle in transaction" || got[0].Since == nil {
			t.Errorf("connection %d waits for %+v, want %d: %v", pid, got, holder, err)
		}
	}
}
