package store_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/store/storetest"
)

// calendarReadsLittle has Postgres explain the two statements of a page of the calendar, where most stays of its
// listings are over.
func calendarReadsLittle(t *testing.T, s *store.Store, now time.Time) {
	ctx := context.Background()
	listings, err := s.Calendar.Listings(ctx, nil, "", store.NameCursor{}, 500)
	if err != nil || len(listings) != 500 {
		t.Fatalf("%d listings, %v", len(listings), err)
	}
	sources, ids := make([]string, len(listings)), make([]string, len(listings))
	for i, l := range listings {
		sources[i], ids[i] = l.Source, l.ListingID
	}
	for name, c := range map[string]struct {
		sources, ids []string
		days, at     int
		most         float64
	}{
		"two weeks":             {sources, ids, 14, 0, many * 0.06},
		"a month":               {sources, ids, 31, 0, many * 0.09},
		"long ago":              {sources, ids, 14, -600, many * 0.06},
		"without a listing":     {[]string{"default", "other"}, nil, 31, 0, 100},
		"one source of several": {[]string{"other"}, nil, 14, -600, 100},
	} {
		t.Run(name, func(t *testing.T) {
			from := now.AddDate(0, 0, c.at)
			query, args := store.CalendarQuery(c.sources, c.ids, from, from.AddDate(0, 0, c.days), 20_000)
			plan := explained(t, s, query, args)
			if read := plan.read(); read > c.most {
				t.Errorf("%.0f rows were read, not at most %.0f\n%s", read, c.most, plan.lines(""))
			}
		})
	}
}

// TestCalendarStays compares what the calendar reads with a plain search, for stays of all lengths around its ends.
func TestCalendarStays(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := context.Background()
	from := time.Date(2026, 6, 15, 12, 0, 0, 0, time.UTC)
	until := from.AddDate(0, 0, 14)
	var want, wantNone []string
	n := 0
	for _, begins := range []int{-400, -62, -32, -31, -30, -5, 0, 3, 14, 15} {
		for _, length := range []int{-1, 0, 1, 5, 30, 31, 32, 63, 401} {
			for _, listing := range []any{"101", "102", nil} {
				n++
				id := fmt.Sprintf("%03d", n)
				in, status := from.AddDate(0, 0, begins), "confirmed"
				out := in.AddDate(0, 0, length)
				if n%7 == 0 {
					status = "cancelled"
				}
				if _, err := s.Pool().Exec(ctx, `WITH r AS (
					INSERT INTO reservations (source, reservation_id, status, listing_id, guest_name, check_in,
						check_out, version_at, version_seq, created_at, updated_at)
					VALUES ('default', $1, $2, $3, 'Jane', $4, $5, now(), 1, now(), now()))
					INSERT INTO mobile_keys (source, reservation_id, status, changed_at)
						VALUES ('default', $1, 'issued', now())`, id, status, listing, in, out); err != nil {
					t.Fatal(err)
				}
				if status != "confirmed" || !in.Before(until) || out.Before(from) {
					continue
				}
				switch listing {
				case "101":
					want = append(want, id)
				case nil:
					wantNone = append(wantNone, id)
				}
			}
		}
	}
	idsOf := func(stays []store.CalendarStay, err error) []string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		ids := make([]string, len(stays))
		for i, one := range stays {
			ids[i] = one.ReservationID
		}
		slices.Sort(ids)
		return ids
	}
	if diff := cmp.Diff(want, idsOf(s.Calendar.StaysOf(ctx, []stay.ListingRef{
		{Source: "default", ListingID: "101"},
		{Source: "other", ListingID: "102"},
	}, from, until, 1000))); diff != "" {
		t.Errorf("of a listing: %s", diff)
	}
	if diff := cmp.Diff(wantNone, idsOf(s.Calendar.StaysWithoutListing(ctx, []string{"default"}, from, until,
		1000))); diff != "" {
		t.Errorf("without a listing: %s", diff)
	}
	if none := idsOf(s.Calendar.StaysWithoutListing(ctx, []string{}, from, until, 1000)); len(none) > 0 {
		t.Errorf("of no source: %v", none)
	}
}
