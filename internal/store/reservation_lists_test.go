package store_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/store/storetest"
)

// The time zones of the properties: a listing's own, a configured one of a listing, and a source's for those that have
// none.
const (
	zoneOfL1 = "Asia/Tokyo"
	zoneOfL2 = "America/Los_Angeles"
	zoneOfB  = "Pacific/Kiritimati"
)

// listed is a database of 150 reservations, of which many changed at one moment.
func listed(t *testing.T) *store.Store {
	t.Helper()
	s := storetest.New(t)
	for _, statement := range []string{
		`INSERT INTO listings (source, listing_id, known, time_zone, created_at, updated_at) SELECT s, 'l1', true, '` +
			zoneOfL1 + `', $1::timestamptz, $1 FROM unnest('{a,b}'::text[]) s`,
		`INSERT INTO reservations (source, reservation_id, status, listing_id, guest_email, guest_name, check_in,
			check_out, version_at, version_seq, created_at, updated_at)
		SELECT CASE WHEN n % 4 = 0 THEN 'b' ELSE 'a' END, 'HM' || n, CASE WHEN n % 5 = 0 THEN 'cancelled'
			ELSE 'confirmed' END, CASE WHEN n % 3 > 0 THEN 'l' || n % 3 END,
			CASE WHEN n % 7 > 0 THEN 'Guest-' || n % 7 || '@Example.com' END,
				CASE WHEN n % 2 = 0 THEN '100%_\sure ' || n END,
			CASE WHEN n % 6 > 0 THEN $1::timestamptz + n % 11 * interval '7 hours' END,
				CASE WHEN n % 6 > 1 THEN $1::timestamptz + (20 + n % 13 * 9) * interval '1 hour' END,
			$1, n, $1, $1
		FROM generate_series(1, 150) n`,
		`INSERT INTO mobile_keys (source, reservation_id, status, check_in, cancelled, changed_at)
		SELECT source, reservation_id, CASE WHEN status = 'cancelled' THEN 'revoked' WHEN version_seq % 3 = 0
			THEN 'issued' ELSE 'waiting' END, check_in, status = 'cancelled',
			$1::timestamptz + version_seq / 20 * interval '1 minute' FROM reservations`,
	} {
		if _, err := s.Pool().Exec(context.Background(), statement, epoch); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// dayOf is the beginning of a day in each time zone, or an instant where the text is hours.
func dayOf(t *testing.T, text string) *store.Bound {
	t.Helper()
	if text == "" {
		return nil
	}
	if hours, err := time.ParseDuration(text); err == nil {
		return &store.Bound{At: epoch.Add(hours)}
	}
	in := func(name string) time.Time {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		day, err := time.ParseInLocation(time.DateOnly, text, zone)
		if err != nil {
			t.Fatal(err)
		}
		return day
	}
	return &store.Bound{
		At: in("UTC"), Zones: map[string]time.Time{zoneOfL1: in(zoneOfL1), "Europe/Madrid": in("Europe/Madrid")},
		Sources: map[string]time.Time{"b": in(zoneOfB)},
		Listings: map[stay.ListingRef]time.Time{
			{Source: "a", ListingID: "l2"}: in(zoneOfL2),
			{Source: "b", ListingID: "l2"}: in(zoneOfL2),
		},
	}
}

// startOf is what a bound is for one reservation.
func startOf(b *store.Bound, r store.Reservation) time.Time {
	if b.Zones == nil || r.ListingID == nil && r.Source != "b" {
		return b.At
	}
	switch {
	case r.ListingID != nil && *r.ListingID == "l1":
		return b.Zones[zoneOfL1]
	case r.ListingID != nil:
		return b.Listings[stay.ListingRef{Source: r.Source, ListingID: *r.ListingID}]
	}
	return b.Sources["b"]
}

func inRange(in store.Range, r store.Reservation, at *time.Time) bool {
	if in.From == nil && in.To == nil {
		return true
	}
	return at != nil && (in.From == nil || !at.Before(startOf(in.From, r))) &&
		(in.To == nil || at.Before(startOf(in.To, r)))
}

func matches(f store.ReservationFilter, v store.View) bool {
	r, text := v.Reservation, func(p *string) string {
		if p == nil {
			return ""
		}
		return strings.ToLower(*p)
	}
	in := func(value string, wanted []string) bool { return wanted == nil || slices.Contains(wanted, value) }
	is := func(value, wanted string) bool { return wanted == "" || value == wanted }
	searched := strings.ToLower(r.ReservationID) + " " + text(r.ListingID) + " " + text(r.GuestEmail) + " " +
		text(r.GuestName)
	return in(r.Source, f.Source) && in(r.Status, f.Status) && in(v.Key.Status, f.KeyStatus) &&
		is(text(r.ListingID), f.ListingID) &&
		is(text(r.GuestEmail), f.GuestEmail) && strings.Contains(searched, strings.ToLower(f.Query)) &&
		inRange(f.CheckIn, r, r.CheckIn) && inRange(f.CheckOut, r, r.CheckOut) &&
		(f.ChangedSince == nil || !v.Key.ChangedAt.Before(*f.ChangedSince))
}

// compareBy is an order, as a reader would explain it.
func compareBy(order store.Order) func(a, b store.View) int {
	last := time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(v store.View) time.Time {
		if v.Reservation.CheckIn == nil {
			return last
		}
		return *v.Reservation.CheckIn
	}
	return func(a, b store.View) int {
		c := b.Key.ChangedAt.Compare(a.Key.ChangedAt)
		if order == store.ByCheckIn {
			c = at(a).Compare(at(b))
		}
		if c != 0 {
			return c
		}
		return strings.Compare(a.Reservation.Source+"\x00"+a.Reservation.ReservationID,
			b.Reservation.Source+"\x00"+b.Reservation.ReservationID)
	}
}

// TestReservationLists compares each filter and each pair of filters, in each order and page by page, with what a
// reader would pick by hand.
func TestReservationLists(t *testing.T) {
	t.Parallel()
	for name, order := range map[string]store.Order{"by change": store.ByChange, "by check-in": store.ByCheckIn} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			listsBy(t, listed(t), order)
		})
	}
}

func listsBy(t *testing.T, s *store.Store, order store.Order) {
	ctx := context.Background()
	all, err := s.Reservations.List(ctx, store.ReservationFilter{Order: order}, store.Cursor{}, 1000)
	if err != nil || len(all) != 150 {
		t.Fatalf("%d reservations: %v", len(all), err)
	}
	if !slices.IsSortedFunc(all, compareBy(order)) {
		t.Error("the list is not in its order")
	}
	snapshot, err := s.Reservations.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	values := [][]string{
		{"a", "b", "nobody", "a,b"},
		{"confirmed", "cancelled", "confirmed,cancelled"},
		{"issued", "waiting", "revoked", "expired", "issued,revoked"},
		{"l1", "none"},
		{"guest-3@example.com", "none@example.com"},
		{"hm1", "L2", "100%", "_\\sure", "nothing"},
		{"2026-01-02", "40h"},
		{"2026-01-03", "10h"},
		{"2026-01-04", "99h"},
		{"2026-01-05", "80h"},
		{"4m", "0m"},
	}
	for _, set := range some(len(values)) {
		fields := make([]string, len(values))
		each(set, values, fields, func() {
			f := store.ReservationFilter{
				Source: several(fields[0]), Status: several(fields[1]), KeyStatus: several(fields[2]),
				ListingID: fields[3], GuestEmail: fields[4], Query: fields[5],
				CheckIn:  store.Range{From: dayOf(t, fields[6]), To: dayOf(t, fields[7])},
				CheckOut: store.Range{From: dayOf(t, fields[8]), To: dayOf(t, fields[9])}, Order: order,
			}
			if since, err := time.ParseDuration(fields[10]); err == nil {
				at := epoch.Add(since)
				f.ChangedSince = &at
			}
			name := func(v store.View) string { return v.Reservation.Source + "/" + v.Reservation.ReservationID }
			got := pages(t,
				func(after store.Cursor) ([]store.View, error) {
					page, err := s.Reservations.List(ctx, f, after, 31)
					if err == nil {
						mustWalkTo(t, s, f, after, page)
					}
					return page, err
				}, name,
				func(v store.View) store.Cursor { return order.CursorOf(v, snapshot) })
			var want []string
			for _, v := range all {
				if matches(f, v) {
					want = append(want, name(v))
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%q (-want +got):\n%s", fields, diff)
			}
		})
	}
}

// mustWalkTo compares a full page with that of a walk. Without all of a page's rows, a walk says nothing.
func mustWalkTo(t *testing.T, s *store.Store, f store.ReservationFilter, after store.Cursor, page []store.View) {
	t.Helper()
	const few = 3
	if len(page) < few {
		return
	}
	walked, ok, err := s.Walked(context.Background(), f, after, few)
	if err != nil {
		t.Fatal(err)
	}
	if ok && len(walked) == few && cmp.Diff(page[:few], walked) != "" {
		t.Errorf("a walk for %+v leads elsewhere:\n%s", f, cmp.Diff(page[:few], walked))
	}
	if known := page[few-1].Reservation.CheckIn != nil || f.Order == store.ByChange; ok && known && len(walked) < few {
		t.Errorf("a walk for %+v ends after %d", f, len(walked))
	}
}

// A query that is a guest's whole address finds that guest, and not those whose address contains it. Any other text is
// found in the midst of addresses as well.
func TestSearchByAddress(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := context.Background()
	for _, statement := range []string{
		`INSERT INTO reservations (source, reservation_id, status, guest_email, version_at, version_seq, created_at,
			updated_at)
		SELECT CASE WHEN a LIKE 'other%' THEN 'b' ELSE 'a' END, a, 'confirmed', a, $1, 1, $1, $1
		FROM unnest('{Anna@Example.com,joanna@example.com,anna@example.com.au,other@example.com}'::text[]) a`,
		`INSERT INTO mobile_keys (source, reservation_id, status, changed_at)
			SELECT source, reservation_id, 'issued', $1
		FROM reservations`,
	} {
		if _, err := s.Pool().Exec(ctx, statement, epoch); err != nil {
			t.Fatal(err)
		}
	}
	for query, want := range map[string][]string{
		"anna@example.com":   {"Anna@Example.com"},
		" ANNA@example.COM ": {"Anna@Example.com"},
		"nna@example.com":    {"Anna@Example.com", "anna@example.com.au", "joanna@example.com"},
		"anna@example":       {"Anna@Example.com", "anna@example.com.au", "joanna@example.com"},
		"other@example.com":  nil, // of a source that isn't visible
	} {
		f, _, err := s.Reservations.ByAddress(ctx, store.ReservationFilter{Query: query, Sources: []string{"a"}}, "")
		if err != nil {
			t.Fatal(err)
		}
		found, err := s.Reservations.List(ctx, f, store.Cursor{}, 50)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, v := range found {
			ids = append(ids, v.Reservation.ReservationID)
		}
		slices.Sort(ids)
		if diff := cmp.Diff(want, ids); diff != "" {
			t.Errorf("%q (-want +got):\n%s", query, diff)
		}
		if n, err := s.Reservations.Count(ctx, f, 100); err != nil || n != len(want) {
			t.Errorf("%q: %d are counted, %v", query, n, err)
		}
	}
}

// TestCheckInListWhileStaysMove: a stay that moves to a later day while the list is read is on no two pages, also where
// the move had begun before the first page and is committed after it. Stays that don't move are all there.
func TestCheckInListWhileStaysMove(t *testing.T) {
	t.Parallel()
	s := listed(t)
	ctx := context.Background()
	first, err := s.Reservations.List(ctx, store.ReservationFilter{Order: store.ByCheckIn}, store.Cursor{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	move := func(ref stay.Ref) error {
		_, err := s.Pool().Exec(ctx, `UPDATE mobile_keys SET check_in = $3 WHERE source = $1 AND reservation_id = $2`,
			ref.Source, ref.ReservationID, epoch.AddDate(0, 0, 30))
		return err
	}
	begun := storetest.Begin(t, s)
	early := first[0].Reservation.Ref()
	if _, err := begun.Exec(ctx,
		`UPDATE mobile_keys SET check_in = $3, changed_at = $3 WHERE source = $1 AND reservation_id = $2`, early.Source,
		early.ReservationID, epoch.AddDate(0, 0, 20)); err != nil {
		t.Fatal(err)
	}
	snapshot, err := s.Reservations.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[stay.Ref]int{}
	moved := 0
	var after store.Cursor
	for {
		page, err := s.Reservations.List(ctx, store.ReservationFilter{Order: store.ByCheckIn}, after, 20)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, v := range page {
			seen[v.Reservation.Ref()]++
		}
		after = store.ByCheckIn.CursorOf(page[len(page)-1], snapshot)
		if moved == 0 {
			if err := begun.Commit(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if err := move(page[0].Reservation.Ref()); err != nil {
			t.Fatal(err)
		}
		moved++
		if moved > 50 {
			t.Fatal("the list has no end")
		}
	}
	for ref, n := range seen {
		if n > 1 {
			t.Errorf("%v is on %d pages", ref, n)
		}
	}
	if len(seen) != 150 || moved < 8 {
		t.Errorf("%d of 150 reservations on %d pages", len(seen), moved)
	}
}

// The columns that lists by check-out read follow the reservation, whatever writes it.
func TestKeysFollowCheckOut(t *testing.T) {
	t.Parallel()
	s := listed(t)
	ctx := context.Background()
	differ := func() (n int) {
		t.Helper()
		if err := s.Pool().QueryRow(ctx, `
			SELECT count(*) FROM mobile_keys k JOIN reservations r USING (source, reservation_id)
			WHERE k.check_out IS DISTINCT FROM r.check_out OR k.check_out_month <>
				coalesce(extract(year FROM r.check_out AT TIME ZONE 'UTC') * 12 + extract(month
					FROM r.check_out AT TIME ZONE 'UTC'), 0)`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := differ(); n > 0 {
		t.Fatalf("%d keys differ from their reservations", n)
	}
	for i, change := range []string{`check_out + interval '40 days'`, `NULL`, `'2026-05-05T10:00:00Z'`} {
		if _, err := s.Pool().Exec(ctx,
			fmt.Sprintf(`UPDATE reservations SET check_out = %s WHERE version_seq %% 4 = %d`, change, i)); err != nil {
			t.Fatal(err)
		}
		if n := differ(); n > 0 {
			t.Errorf("after check_out = %s %d keys differ from their reservations", change, n)
		}
	}
}

// A stay's new dates reach its key in one update: each costs an entry in most of the key's indexes.
func TestNewDatesWriteKeyOnce(t *testing.T) {
	t.Parallel()
	s := listed(t)
	ctx := context.Background()
	ref := store.Ref{Source: "a", ReservationID: "HM1"}
	in, out := epoch.Add(400*time.Hour), epoch.Add(500*time.Hour)

	if err := s.InTx(ctx, func(tx pgx.Tx) error {
		found, err := store.LockReservations(ctx, tx, []store.Ref{ref})
		if err != nil {
			return err
		}
		r := found[ref]
		r.CheckIn, r.CheckOut = &in, &out
		if err := store.UpdateReservations(ctx, tx, []store.Reservation{r}); err != nil {
			return err
		}
		var writes pgx.Batch
		store.RequestKeys(&writes, []store.KeyRequest{{Ref: ref, CheckIn: &in, CheckOut: &out, Changed: true}}, epoch)
		writes.Queue(`SET CONSTRAINTS ALL IMMEDIATE`)
		if err := tx.SendBatch(ctx, &writes).Close(); err != nil {
			return err
		}

		var updates, months int
		if err := tx.QueryRow(ctx, `SELECT pg_stat_get_xact_tuples_updated('mobile_keys'::regclass), check_out_month
			FROM mobile_keys WHERE source = $1 AND reservation_id = $2 AND check_in = $3 AND check_out = $4`,
			ref.Source, ref.ReservationID, in, out).Scan(&updates, &months); err != nil {
			return err
		}
		if wanted := out.Year()*12 + int(out.Month()); updates != 1 || months != wanted {
			t.Errorf("%d updates, month %d; want 1 and %d", updates, months, wanted)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
