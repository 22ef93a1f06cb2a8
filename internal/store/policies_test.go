package store_test

import (
	"context"
	"testing"

	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/store/storetest"
)

// TestStaleReadsLittle looks for stays of other policies, which appliers do all the time, with a plan that was made
// while there were no stays.
func TestStaleReadsLittle(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := storetest.NewSmall(t, 1) // one connection, which keeps its plans
	if _, err := s.Policies.Decide(ctx, []store.SourcePolicy{{Source: "default", Fingerprint: "present"}}); err != nil {
		t.Fatal(err)
	}
	stale := func(want int) {
		t.Helper()
		for range 7 { // until Postgres keeps the plan
			if got, err := s.Policies.Stale(ctx); err != nil || len(got) != want {
				t.Fatalf("%v, %v; want %d", got, err, want)
			}
		}
	}
	stale(0)

	const stays = 2000
	if _, err := s.Pool().Exec(ctx, `
		INSERT INTO reservations (source, reservation_id, status, policy, version_at, version_seq, created_at,
			updated_at)
		SELECT 'default', 'r' || n, 'confirmed', 'present', now(), n, now(), now() FROM generate_series(1, $1) n`,
		stays); err != nil {
		t.Fatal(err)
	}
	read := func() (rows int) {
		t.Helper()
		if _, err := s.Pool().Exec(ctx, `SELECT pg_stat_force_next_flush()`); err != nil {
			t.Fatal(err)
		}
		if err := s.Pool().QueryRow(ctx, `
			SELECT (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname = 'reservations')
				+ (SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'reservations')`).
			Scan(&rows); err != nil {
			t.Fatal(err)
		}
		return rows
	}
	before := read()
	stale(0)
	if rows := read() - before; rows >= stays {
		t.Errorf("%d rows of %d stays were read", rows, stays)
	}

	for _, policy := range []any{nil, "older", "unknown"} {
		if _, err := s.Pool().Exec(ctx, `UPDATE reservations SET policy = $1 WHERE reservation_id = 'r7'`,
			policy); err != nil {
			t.Fatal(err)
		}
		stale(1)
	}
}
