package migrations_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestBigTables takes an inbox of the version before through 00003, back, and through again: no event is lost, and
// each is where its status requires.
func TestBigTables(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	_, db, provider := migratedTo(t, 2)
	run := func(statement string) {
		t.Helper()
		if _, err := db.ExecContext(ctx, statement); err != nil {
			t.Fatal(err)
		}
	}
	run(
		`INSERT INTO events (event_id, source, event_key, type, status, reason, reservation_id, listing_id, occurred_at,
			received_at, applied_at, urgent, body)
		SELECT gen_random_uuid(), 'a', 'msg_' || n, 'reservation.created',
			(ARRAY['accepted', 'applied', 'superseded', 'ignored', 'rejected'])[n], CASE WHEN n > 2 THEN 'why' END, 'r',
			'l', now(), now(), CASE WHEN n = 2 THEN now() END, n = 1, 'body'
		FROM generate_series(1, 5) n`)
	run(
		`INSERT INTO reservations (source, reservation_id, status, check_in, version_at, version_seq, created_at, updated_at) VALUES ('a', 'r', 'cancelled', now(), now(), 1, now(), now())`)
	run(`INSERT INTO mobile_keys (source, reservation_id, changed_at) VALUES ('a', 'r', now())`)
	read := func(query string) (out []string) {
		t.Helper()
		rows, err := db.QueryContext(ctx, query)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				t.Fatal(err)
			}
			out = append(out, line)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		return out
	}
	const events = `SELECT concat_ws(' ', seq, event_id, source, event_key, type, status, reason, reservation_id, listing_id, occurred_at, received_at, applied_at, urgent, body) FROM events ORDER BY seq`
	before := read(events)
	up := func() {
		t.Helper()
		if _, err := provider.UpTo(ctx, 4); err != nil {
			t.Fatal(err)
		}
		got := read(`SELECT concat_ws(' ', seq, 'accepted', urgent) FROM event_queue UNION ALL SELECT * FROM (
			SELECT concat_ws(' ', seq, r.status, e.rejected, r.applied_at IS NOT NULL) FROM event_results r
				JOIN events e USING (seq, event_id) ORDER BY seq) r`)
		if diff := cmp.Diff([]string{
			"1 accepted t", "2 applied f t", "3 superseded f f", "4 ignored f f",
			"5 rejected t f",
		}, got); diff != "" {
			t.Errorf("after the migration (-want +got):\n%s", diff)
		}
		if got := read(
			`SELECT concat_ws(' ', k.cancelled, k.check_in = r.check_in) FROM mobile_keys k JOIN reservations r USING (source, reservation_id)`); !cmp.Equal(got, []string{"t t"}) {
			t.Errorf("keys: %v", got)
		}
		if got := read(`SELECT (nextval('event_order') > 5)::text`); !cmp.Equal(got, []string{"true"}) {
			t.Error("the order of receipt starts over")
		}
	}
	up()
	if _, err := provider.DownTo(ctx, 2); err != nil {
		t.Fatal(err)
	}
	// Ignored and rejected events look as they did before.
	if diff := cmp.Diff(before, read(events)); diff != "" {
		t.Errorf("after migrating down (-want +got):\n%s", diff)
	}
	up()
}
