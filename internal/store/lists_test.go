package store_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/store/storetest"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// pages follows a list to its end and returns the names on it.
func pages[P comparable, T any](t *testing.T, page func(after P) ([]T, error), name func(T) string,
	place func(T) P,
) []string {
	t.Helper()
	var names []string
	var after P
	for {
		items, err := page(after)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range items {
			names = append(names, name(i))
			after = place(i)
		}
		if len(items) == 0 {
			return names
		}
	}
}

// some is each subset of at most two of n filters.
func some(n int) [][]int {
	sets := [][]int{{}}
	for i := range n {
		sets = append(sets, []int{i})
		for j := i + 1; j < n; j++ {
			sets = append(sets, []int{i, j})
		}
	}
	return sets
}

// TestEventLists compares each filter and each pair of filters, page by page, with what a reader would pick by hand.
func TestEventLists(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := context.Background()
	random := rand.New(rand.NewPCG(1, 2))
	var all []store.Event
	pick := func(values ...string) string { return values[random.IntN(len(values))] }
	optional := func(values ...string) *string {
		if v := pick(values...); v != "" {
			return &v
		}
		return nil
	}
	statuses := []string{
		stay.EventAccepted, stay.EventApplied, stay.EventSuperseded, stay.EventIgnored,
		stay.EventRejected,
	}
	for i := range 200 {
		key := fmt.Sprint("msg_", i)
		e := store.Event{
			EventID: uuid.New(), Source: pick("a", "a", "a", "b"), EventKey: &key,
			Type: pick("reservation.created", "listing.updated", "ping"), Status: pick(statuses...),
			ReservationID: optional("", "r1", "r2"), ListingID: optional("", "l1", "l2"), ReceivedAt: epoch,
			Body: []byte("{}"),
		}
		stored := e
		if e.Status == stay.EventApplied || e.Status == stay.EventSuperseded { // such are settled by an applier
			stored.Status = stay.EventRejected
		}
		if _, err := s.Events.Insert(ctx, []store.Event{stored}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Pool().Exec(ctx, `UPDATE event_results SET status = $2 WHERE event_id = $1`, e.EventID,
			e.Status); err != nil {
			t.Fatal(err)
		}
		all = append([]store.Event{e}, all...)
	}
	text := func(p *string) string {
		if p == nil {
			return ""
		}
		return *p
	}
	values := [][]string{
		{"a", "b", "nobody", "a,nobody"},
		append(statuses, "accepted,rejected", "applied,ignored"),
		{"reservation.created", "listing.updated", "ping", "none", "ping,none"},
		{"r1", "none"},
		{"l2", "none"},
	}
	for _, set := range some(len(values)) {
		fields := make([]string, len(values))
		each(set, values, fields, func() {
			f := store.EventFilter{
				Source: several(fields[0]), Status: several(fields[1]), Type: several(fields[2]),
				ReservationID: fields[3], ListingID: fields[4],
			}
			got := pages(t, func(below int64) ([]store.Event, error) { return s.Events.List(ctx, f, below, 7) },
				func(e store.Event) string { return e.EventID.String() }, func(e store.Event) int64 { return e.Seq })
			var want []string
			for _, e := range all {
				is := []string{e.Source, e.Status, e.Type, text(e.ReservationID), text(e.ListingID)}
				if !slices.ContainsFunc(set, func(i int) bool { return !slices.Contains(several(fields[i]), is[i]) }) {
					want = append(want, e.EventID.String())
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%+v (-want +got):\n%s", f, diff)
			}
		})
	}
}

// each sets the fields of a set to each of their values in turn.
func each(set []int, values [][]string, fields []string, do func()) {
	if len(set) == 0 {
		do()
		return
	}
	for _, v := range values[set[0]] {
		fields[set[0]] = v
		each(set[1:], values, fields, do)
	}
}

// several are the values of a filter, separated by commas; nil for none.
func several(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

// TestListingLists is the same for listings.
func TestListingLists(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := context.Background()
	if _, err := s.Pool().Exec(ctx, `
		INSERT INTO listings (source, listing_id, known, deleted, name, created_at, updated_at)
		SELECT CASE WHEN n % 4 = 0 THEN 'b' ELSE 'a' END, 'L' || n, n % 10 > 0, n % 5 = 1, 'House ' || n, $1,
			$1::timestamptz + n / 8 * interval '1 minute' FROM generate_series(1, 60) n`, epoch); err != nil {
		t.Fatal(err)
	}
	all, err := s.Listings.List(ctx, store.ListingFilter{}, store.Cursor{}, 1000)
	if err != nil || len(all) != 54 {
		t.Fatalf("%d listings: %v", len(all), err)
	}
	values := [][]string{
		{"a", "b", "nobody", "b,nobody,a"},
		{"L7", "none"},
		{"house 1", "l5", "nothing"},
		{"true", "false"},
		{"3m", "0m"},
	}
	for _, set := range some(len(values)) {
		fields := make([]string, len(values))
		each(set, values, fields, func() {
			f := store.ListingFilter{Source: several(fields[0]), ListingID: fields[1], Query: fields[2]}
			if fields[3] != "" {
				is := fields[3] == "true"
				f.Deleted = &is
			}
			if since, err := time.ParseDuration(fields[4]); err == nil {
				at := epoch.Add(since)
				f.ChangedSince = &at
			}
			name := func(l store.Listing) string { return l.Source + "/" + l.ListingID }
			got := pages(t,
				func(after store.Cursor) ([]store.Listing, error) { return s.Listings.List(ctx, f, after, 4) },
				name,
				func(l store.Listing) store.Cursor {
					return store.Cursor{At: l.UpdatedAt, Source: l.Source, ID: l.ListingID}
				})
			var want []string
			for _, l := range all {
				if (f.Source == nil || slices.Contains(f.Source, l.Source)) &&
					(f.ChangedSince == nil || !l.UpdatedAt.Before(*f.ChangedSince)) &&
					(f.ListingID == "" || l.ListingID == f.ListingID) &&
					(f.Deleted == nil || l.Deleted == *f.Deleted) &&
					!slices.ContainsFunc(strings.Fields(f.Query),
						func(word string) bool {
							return !strings.Contains(strings.ToLower(l.ListingID+" "+*l.Name),
								word)
						}) {
					want = append(want, name(l))
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%+v (-want +got):\n%s", f, diff)
			}
			for _, most := range []int{3, 100} {
				if n, err := s.Listings.Count(ctx, f, most); err != nil || n != min(len(want), most) {
					t.Errorf("%+v: of %d listings and at most %d, %d are counted: %v", f, len(want), most, n, err)
				}
			}
		})
	}
}

// TestRejectedEventSentAgainTwice: of two replicas that take the fixed event at once, one tries it again.
func TestRejectedEventSentAgainTwice(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := context.Background()
	key := "msg_1"
	event := func(status string) []store.Event {
		return []store.Event{{
			EventID: uuid.New(), Source: "a", EventKey: &key, Type: "reservation.created",
			Status: status, ReceivedAt: epoch, Body: []byte(status),
		}}
	}
	first, err := s.Events.Insert(ctx, event(stay.EventRejected))
	if err != nil {
		t.Fatal(err)
	}
	const replicas = 8
	fates := make(chan store.Accepted, replicas)
	for range replicas {
		go func() {
			got, err := s.Events.Insert(ctx, event(stay.EventAccepted))
			if err != nil || len(got) != 1 {
				t.Errorf("sent again: %v %v", got, err)
				got = make([]store.Accepted, 1)
			}
			fates <- got[0]
		}()
	}
	fresh := 0
	for range replicas {
		f := <-fates
		if f.EventID != first[0].EventID {
			t.Errorf("sent again it has the id %s, before %s", f.EventID, first[0].EventID)
		}
		if !f.Duplicate {
			fresh++
		}
	}
	n, _, err := s.Events.Backlog(ctx, nil)
	list, lerr := s.Events.List(ctx, store.EventFilter{}, 0, 10)
	if fresh != 1 || n != 1 || err != nil || lerr != nil || len(list) != 1 || list[0].Status != stay.EventAccepted {
		t.Errorf("%d tried it again, %d wait, the list says %+v: %v %v", fresh, n, list, err, lerr)
	}
}
