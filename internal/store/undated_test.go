package store_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/store/storetest"
)

// Where a property has no time zone, all its stays are undated: those of a day, a page of their list in each order, and
// what counts them read little, however many there are.
func TestUndatedStaysReadLittle(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := context.Background()
	now := time.Date(2026, 6, 15, 12, 0, 0, 0, time.UTC)
	for _, statement := range []string{
		`INSERT INTO reservations (source, reservation_id, status, listing_id, check_in_said, check_out_said,
			version_at, version_seq, created_at, updated_at)
		SELECT CASE WHEN n % 2 = 0 THEN 'default' ELSE 'other' END, 'r' || n, 'confirmed', 'l' || n % 1000,
			to_char(d, 'YYYY-MM-DD"T"15:00'),
			to_char(d + (1 + n % 7) * interval '1 day', 'YYYY-MM-DD'), $1, n, $1, $1
		FROM (SELECT n, $1::timestamptz - interval '530 days' + n * interval '20 minutes' AS d
			FROM generate_series(1, $2::int) n) s`,
		`INSERT INTO mobile_keys (source, reservation_id, status, reason, cancelled, changed_at)
		SELECT source, reservation_id, 'waiting', 'time_zone_unknown', false,
			$1::timestamptz - version_seq * 7919 % $2 * interval '1 minute'
		FROM reservations`,
	} {
		if _, err := s.Pool().Exec(ctx, statement, now, many); err != nil {
			t.Fatal(err)
		}
	}
	analyzed(t, s)
	reads := func(name, query string, args []any, most float64) {
		t.Helper()
		plan := explained(t, s, query, args)
		if read := plan.read(); read > most {
			t.Errorf("%s: %.0f rows were read\n%s", name, read, plan.lines(""))
		}
	}

	// some 72 arrive a day, and stay four days; most are over
	query, args := store.UndatedBetweenQuery(now.AddDate(0, 0, -1), now.AddDate(0, 0, 1), nil)
	reads("the stays of a day", query, args, many*0.05)
	ids, sources := make([]string, 500), make([]string, 500) // a page of the calendar
	for i := range ids {
		ids[i], sources[i] = fmt.Sprint("l", 2*i), "default"
	}
	query, args = store.UndatedBarsQuery(sources, ids, now, now.AddDate(0, 0, 13), 20_000)
	reads("two weeks of the calendar", query, args, many*0.2)
	query, args = store.UndatedBarsQuery([]string{"default", "other"}, nil, now, now.AddDate(0, 0, 13), 1_000)
	reads("two weeks of the calendar, without a listing", query, args, many*0.1)
	query, args = store.ArrivalsQuery(now, now.AddDate(0, 0, 1))
	reads("arrivals without a key", query, args, many*0.05)
	query, args = store.CountUndatedQuery(now, nil, 500)
	reads("counts by listing", query, args, 2500)

	for _, order := range []store.Order{store.ByChange, store.ByCheckIn} {
		f := store.ReservationFilter{Undated: &now, Order: order}
		first, err := s.Reservations.List(ctx, f, store.Cursor{}, 51)
		if err != nil || len(first) != 51 {
			t.Fatalf("%d stays, %v", len(first), err)
		}
		middle, err := s.Reservations.View(ctx, stay.Ref{Source: "other", ReservationID: fmt.Sprint("r", many*3/4+1)})
		if err != nil {
			t.Fatal(err)
		}
		snapshot, err := s.Reservations.Snapshot(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for page, after := range []store.Cursor{{}, order.CursorOf(middle, snapshot)} {
			for name, f := range map[string]store.ReservationFilter{
				"all": f, "one source": {Undated: &now, Order: order, Source: []string{"other"}},
				"a status":  {Undated: &now, Order: order, KeyStatus: []string{"waiting"}},
				"a listing": {Undated: &now, Order: order, ListingID: "l7"},
			} {
				query, args, err := s.PageQuery(ctx, f, after, 51)
				if err != nil {
					t.Fatal(err)
				}
				reads(fmt.Sprintf("order %d, %s, page %d", order, name, page), query, args, many*0.2)
			}
		}
	}
}

// The pages of undated stays have each of them once, in either order.
func TestUndatedStaysByPages(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := context.Background()
	now := time.Date(2026, 6, 15, 12, 0, 0, 0, time.UTC)
	for _, statement := range []string{
		`INSERT INTO reservations (source, reservation_id, status, check_in, check_in_said, check_out_said, version_at,
			version_seq, created_at, updated_at)
		SELECT 'default', 'r' || n, CASE WHEN n % 10 = 9 THEN 'cancelled' ELSE 'confirmed' END,
			CASE WHEN n % 4 = 0 THEN $1::timestamptz + n * interval '1 hour' END,
			'2026-06-14', CASE n % 3 WHEN 0 THEN '2026-06-14' WHEN 1 THEN '2026-06-20T11:00' END, $1, n, $1, $1
				FROM generate_series(1, 60) n`,
		`INSERT INTO mobile_keys (source, reservation_id, status, check_in, cancelled, changed_at)
		SELECT source, reservation_id, 'waiting', check_in, status = 'cancelled',
			$1::timestamptz - version_seq / 7 * interval '1 minute' FROM reservations`,
	} {
		if _, err := s.Pool().Exec(ctx, statement, now); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]bool{}
	for n := 1; n <= 60; n++ {
		if n%10 != 9 && n%3 != 0 { // neither cancelled nor over
			want[fmt.Sprint("r", n)] = true
		}
	}
	for _, order := range []store.Order{store.ByChange, store.ByCheckIn} {
		f := store.ReservationFilter{Undated: &now, Order: order}
		snapshot, err := s.Reservations.Snapshot(ctx)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]bool{}
		for after := (store.Cursor{}); ; {
			page, err := s.Reservations.List(ctx, f, after, 7)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			for _, v := range page {
				if got[v.Reservation.ReservationID] {
					t.Errorf("order %d has %s twice", order, v.Reservation.ReservationID)
				}
				got[v.Reservation.ReservationID] = true
			}
			after = order.CursorOf(page[len(page)-1], snapshot)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("order %d (-want +got):\n%s", order, diff)
		}
		if n, err := s.Reservations.Count(ctx, f, 1000); err != nil || n != len(want) {
			t.Errorf("order %d counts %d, %v", order, n, err)
		}
	}
}
