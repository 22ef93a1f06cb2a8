package store_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/store/storetest"
)

// TestCountsOfKeys: whatever changes keys, the counts are what counting all of them would give, before and after they
// are folded, and where two fold at once.
func TestCountsOfKeys(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := context.Background()
	run := func(statement string, args ...any) {
		t.Helper()
		if _, err := s.Pool().Exec(ctx, statement, args...); err != nil {
			t.Fatal(err)
		}
	}
	counted := func(after string) {
		t.Helper()
		for _, sources := range [][]string{nil, {"a"}, {"b", "none"}, {}} {
			want := store.Summary{Reservations: map[string]int{}, Keys: map[string]int{}}
			rows, err := s.Pool().Query(ctx, `SELECT cancelled, status FROM mobile_keys
				WHERE $1::text[] IS NULL OR source = ANY ($1)`, sources)
			if err != nil {
				t.Fatal(err)
			}
			for rows.Next() {
				var cancelled bool
				var status string
				if err := rows.Scan(&cancelled, &status); err != nil {
					t.Fatal(err)
				}
				want.Reservations[map[bool]string{true: "cancelled", false: "confirmed"}[cancelled]]++
				want.Keys[status]++
			}
			got, err := s.Keys.Summary(ctx, sources)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("after %s, of the sources %q (-counted all +summary):\n%s", after, sources, diff)
			}
		}
	}
	counted("nothing")
	run(`INSERT INTO reservations (source, reservation_id, status, version_at, version_seq, created_at, updated_at)
		SELECT CASE WHEN n % 3 = 0 THEN 'b' ELSE 'a' END, 'r' || n, 'confirmed', $1, n, $1, $1
			FROM generate_series(1, 90) n`, epoch)
	const upsert = `INSERT INTO mobile_keys AS k (source, reservation_id, status, changed_at)
		SELECT source, reservation_id, 'provisioning', $1 FROM reservations WHERE version_seq <= $2
		ON CONFLICT (source, reservation_id) DO UPDATE SET status = 'issued', cancelled = k.reservation_id LIKE '%7'`
	run(upsert, epoch, 60)
	counted("new keys")
	run(upsert, epoch, 80)
	counted("new and changed keys in one statement")
	run(`UPDATE mobile_keys SET rank_at = $1`, epoch)
	counted("a change of something else")
	if err := s.Keys.FoldCounts(ctx); err != nil {
		t.Fatal(err)
	}
	counted("folding")
	run(`UPDATE mobile_keys SET status = 'expired', source = source WHERE reservation_id LIKE '%2'`)
	counted("a change of some")
	run(`DELETE FROM reservations WHERE reservation_id LIKE '%1'`)
	counted("a deletion that cascades")
	errs := make(chan error, 4)
	for range cap(errs) {
		go func() { errs <- s.Keys.FoldCounts(ctx) }()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	counted("folding at once")
	run(`SET session_replication_role = replica; DELETE FROM mobile_keys WHERE reservation_id LIKE '%8'; SET session_replication_role = origin`)
	run(`SELECT staykey_recount_keys()`)
	counted("a recount of what no trigger saw")
	run(`DELETE FROM mobile_keys`)
	if err := s.Keys.FoldCounts(ctx); err != nil {
		t.Fatal(err)
	}
	counted("the deletion of all")
	var rows int
	if err := s.Pool().QueryRow(ctx, `SELECT count(*) FROM key_counts`).Scan(&rows); err != nil || rows != 0 {
		t.Errorf("%d rows are left, %v", rows, err)
	}
}

// TestCountsWhileKeysChange: a summary never shows keys twice or not at all while they change and counts are folded.
func TestCountsWhileKeysChange(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := context.Background()
	const keys, rounds = 20, 30
	for n := range keys {
		if _, err := s.Pool().Exec(ctx, `
			WITH r AS (INSERT INTO reservations (source, reservation_id, status, version_at, version_seq, created_at,
				updated_at)
				VALUES ('a', $1, 'confirmed', $2, $3, $2, $2) RETURNING source, reservation_id)
			INSERT INTO mobile_keys (source, reservation_id, status, changed_at)
				SELECT source, reservation_id, 'waiting', $2 FROM r`,
			fmt.Sprint("r", n), epoch, n); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan error, 2)
	go func() {
		for i := range rounds {
			if _, err := s.Pool().Exec(ctx, `UPDATE mobile_keys SET status = $1, changed_at = $2
				WHERE reservation_id LIKE $3`,
				[]string{"issued", "waiting", "active"}[i%3], epoch.Add(time.Duration(i)),
				fmt.Sprintf("%%%d", i%10)); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	go func() {
		for range rounds {
			if err := s.Keys.FoldCounts(ctx); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for ended := 0; ended < cap(done); {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			ended++
		default:
		}
		sum, err := s.Keys.Summary(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		total := 0
		for _, n := range sum.Keys {
			total += n
		}
		if total != keys || sum.Reservations["confirmed"] != keys {
			t.Fatalf("%d keys are counted: %+v", total, sum)
		}
	}
}

// Arrivals without a key include stays whose times aren't known, by the days that their PMS sent: those that may be
// near in any time zone, and not those of which nobody knows whether they come.
func TestUndatedArrivalsWithoutKey(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := context.Background()
	now := time.Date(2026, 6, 15, 12, 0, 0, 0, time.UTC)
	book := func(id, known, in, out, status, booking string) {
		t.Helper()
		if _, err := s.Pool().Exec(ctx, `
			WITH booked AS (
				INSERT INTO reservations (source, reservation_id, status, check_in, check_out, check_in_said,
					check_out_said,
					version_at, version_seq, created_at, updated_at)
				VALUES ('default', $1, $6, nullif($2, '')::timestamptz, nullif($2, '')::timestamptz + interval '1 day',
					nullif($3, ''), nullif($4, ''), now(), 1, now(), now()) RETURNING *)
			INSERT INTO mobile_keys (source, reservation_id, status, rank_at, cancelled, changed_at)
			SELECT source, reservation_id, $5, check_in, status = 'cancelled', now() FROM booked`,
			id, known, in, out, status, booking); err != nil {
			t.Fatal(err)
		}
	}
	const yes = "confirmed"
	book("known", "2026-06-15T18:00:00Z", "2026-06-15T18:00:00Z", "2026-06-16T18:00:00Z", "waiting", yes)
	book("here", "", "2026-06-10", "2026-06-16T11:00", "waiting", yes)
	book("tomorrow", "", "2026-06-16T15:00", "2026-06-18", "attention", yes)
	book("later", "", "2026-06-18", "2026-06-20", "waiting", yes)
	book("over", "", "2026-06-10", "2026-06-14", "waiting", yes)
	book("has a key", "", "2026-06-15", "2026-06-17", "issued", yes)
	book("cancelled", "", "2026-06-15", "2026-06-17", "revoked", "cancelled")
	book("wrong way round", "", "2026-06-16", "2026-06-10", "waiting", yes)
	book("without a check-out", "", "2026-06-15", "", "waiting", yes)
	book("without dates", "", "", "", "waiting", yes)

	until := now.AddDate(0, 0, 1)
	views, err := s.Keys.ArrivalsWithoutKey(ctx, now, until, nil, 50)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, v := range views {
		got = append(got, v.Reservation.ReservationID)
	}
	if diff := cmp.Diff([]string{"here", "known", "tomorrow", "wrong way round"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	n, first, err := s.Keys.CountArrivalsWithoutKey(ctx, now, until)
	if err != nil || n != 4 || first.ReservationID != "here" || first.CheckIn != nil || first.Sent != "2026-06-10" {
		t.Errorf("%d, the first is %+v, %v", n, first, err)
	}
	if views, err = s.Keys.ArrivalsWithoutKey(ctx, now, until, []string{"another"}, 50); err != nil || len(views) > 0 {
		t.Errorf("of another source: %d, %v", len(views), err)
	}
}
