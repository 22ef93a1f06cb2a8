package store_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/store/storetest"
)

// planNode is a node of what EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) prints.
type planNode struct {
	Type    string  `json:"Node Type"`
	Index   string  `json:"Index Name"`
	Table   string  `json:"Relation Name"`
	Rows    float64 `json:"Actual Rows"`
	Loops   float64 `json:"Actual Loops"`
	Removed float64 `json:"Rows Removed by Filter"`
	Again   float64 `json:"Rows Removed by Index Recheck"`
	Thought float64 `json:"Plan Rows"`
	Cond    string  `json:"Index Cond"`
	Filter  string
	Plans   []planNode
}

// explained runs a query, and returns what Postgres has done for it.
func explained(t *testing.T, s *store.Store, query string, args []any) planNode {
	t.Helper()
	var raw []byte
	if err := s.Pool().QueryRow(context.Background(), `EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) `+query,
		args...).Scan(&raw); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	var plan []struct{ Plan planNode }
	if err := json.Unmarshal(raw, &plan); err != nil {
		t.Fatal(err)
	}
	return plan[0].Plan
}

// analyzed has Postgres count reservations and keys. Only these tables: ANALYZE locks the catalogs that databases
// share, and other tests analyze too. It counts all rows, not a random sample: each run sees the same plans.
func analyzed(t *testing.T, s *store.Store) {
	t.Helper()
	ctx := context.Background()
	if err := s.InTx(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `SET LOCAL default_statistics_target = 1000; ANALYZE reservations, mobile_keys`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// read is how many rows a plan has read from tables and indexes.
func (n planNode) read() float64 {
	var rows float64
	if n.Table != "" || n.Index != "" {
		rows = (n.Rows + n.Removed + n.Again) * n.Loops
	}
	for _, p := range n.Plans {
		rows += p.read()
	}
	return rows
}

// lines are the plan in short.
func (n planNode) lines(indent string) string {
	text := fmt.Sprintf("%s%s %s%s: %.0f rows (thought %.0f), %.0f removed, %.0f times %s %s\n", indent, n.Type,
		n.Table, " "+n.Index, n.Rows, n.Thought, n.Removed, n.Loops, n.Cond, n.Filter)
	for _, p := range n.Plans {
		text += p.lines(indent + "  ")
	}
	return text
}

// many is how many reservations there are, of which a page has 50.
const many = 40_000

// TestListsReadLittle reads lists of many more reservations than a page has. Most of them are over, of a few years.
// The subtests share these rows, which take seconds to write, and only read.
func TestListsReadLittle(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	now := time.Date(2026, 6, 15, 12, 0, 0, 0, time.UTC)
	seedMany(t, s, now)
	t.Run("pages", func(t *testing.T) { pagesReadLittle(t, s, now) })
	t.Run("calendar", func(t *testing.T) { calendarReadsLittle(t, s, now) })
}

// seedMany books many stays of a few years, most of which are over, in a thousand listings.
func seedMany(t *testing.T, s *store.Store, now time.Time) {
	t.Helper()
	ctx := context.Background()
	if _, err := s.Pool().Exec(ctx, `INSERT INTO listings (source, listing_id, known, updated_at, created_at, name)
		SELECT 'default', 'l' || n, true, $1, $1, 'Room ' || n FROM generate_series(0, 999) n`, now); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		`INSERT INTO reservations (source, reservation_id, status, listing_id, guest_email, guest_name, check_in,
			check_out, version_at, version_seq, created_at, updated_at)
		SELECT CASE WHEN n % 2 = 0 THEN 'default' ELSE 'other' END, 'r' || n,
			CASE WHEN n % 9 = 0 THEN 'cancelled' ELSE 'confirmed' END, 'l' || n % 1000,
			'guest-' || n || '@example.com', CASE WHEN n % 13 = 0 THEN 'María García' ELSE 'Jane Doe ' || n % 1000 END,
				d, d + (1 + n % 7) * interval '1 day', $1, n, $1, $1
		FROM (SELECT n, $1::timestamptz - interval '900 days' + n * interval '38 minutes' AS d
			FROM generate_series(1, $2::int) n) s`,
		`INSERT INTO mobile_keys (source, reservation_id, status, check_in, cancelled, changed_at)
		SELECT source, reservation_id, CASE WHEN status = 'cancelled' THEN 'revoked' WHEN version_seq % 5000 = 1
			THEN 'attention' WHEN check_out < $1 THEN 'expired' ELSE 'issued' END,
			check_in, status = 'cancelled', least(check_out, $1) + version_seq * interval '1 microsecond'
				FROM reservations WHERE $2::int > 0`,
	} {
		if _, err := s.Pool().Exec(ctx, statement, now, many); err != nil {
			t.Fatal(err)
		}
	}
	analyzed(t, s)
}

// pagesReadLittle has Postgres explain the first page and a deep one of lists by each pair of filters, in each order.
// Some reservations of each kind are rare.
func pagesReadLittle(t *testing.T, s *store.Store, now time.Time) {
	ctx := context.Background()
	day := func(days int) *store.Bound {
		at := now.AddDate(0, 0, days).Truncate(24 * time.Hour)
		return &store.Bound{At: at, Sources: map[string]time.Time{"default": at.Add(-2 * time.Hour)}}
	}
	since := func(days int) *time.Time { at := now.AddDate(0, 0, days); return &at }
	narrow := []struct {
		name string
		add  func(*store.ReservationFilter)
	}{
		{"all", func(*store.ReservationFilter) {}},
		{"one source", func(f *store.ReservationFilter) { f.Source = []string{"default"} }},
		{"two sources", func(f *store.ReservationFilter) { f.Source = []string{"default", "other"} }},
		{"cancelled", func(f *store.ReservationFilter) { f.Status = []string{"cancelled"} }},
		{"attention", func(f *store.ReservationFilter) { f.KeyStatus = []string{"attention"} }},
		{"attention or waiting", func(f *store.ReservationFilter) { f.KeyStatus = []string{"attention", "waiting"} }},
		{"check-in from today", func(f *store.ReservationFilter) { f.CheckIn.From = day(0) }},
		{"check-in until today", func(f *store.ReservationFilter) { f.CheckIn.To = day(0) }},
		{"check-in until long ago", func(f *store.ReservationFilter) { f.CheckIn.To = day(-800) }},
		{"check-in until next year", func(f *store.ReservationFilter) { f.CheckIn.To = day(400) }},
		{"check-in from long ago", func(f *store.ReservationFilter) { f.CheckIn.From = day(-800) }},
		{"check-out from long ago", func(f *store.ReservationFilter) { f.CheckOut.From = day(-800) }},
		{"check-out until next year", func(f *store.ReservationFilter) { f.CheckOut.To = day(400) }},
		{"check-out from today", func(f *store.ReservationFilter) { f.CheckOut.From = day(0) }},
		{"check-out today", func(f *store.ReservationFilter) { f.CheckOut = store.Range{From: day(0), To: day(1)} }},
		{"check-out until long ago", func(f *store.ReservationFilter) { f.CheckOut.To = day(-800) }},
		{"changed lately", func(f *store.ReservationFilter) { f.ChangedSince = since(-1) }},
		{"changed this year", func(f *store.ReservationFilter) { f.ChangedSince = since(-300) }},
		{"without times", func(f *store.ReservationFilter) { f.Undated = &now }},
		{"one listing", func(f *store.ReservationFilter) { f.ListingID = "l7" }},
		{"a text", func(f *store.ReservationFilter) { f.Query = "guest-4711" }},
		{"a frequent name", func(f *store.ReservationFilter) { f.Query = "garcia maria" }},
	}
	middle, err := s.Reservations.View(ctx, stay.Ref{Source: "other", ReservationID: fmt.Sprint("r", many/2+1)})
	if err != nil {
		t.Fatal(err)
	}
	for _, order := range []store.Order{store.ByChange, store.ByCheckIn} {
		for i, a := range narrow {
			for _, b := range narrow[i:] {
				f := store.ReservationFilter{Order: order}
				a.add(&f)
				b.add(&f)
				name := fmt.Sprintf("order %d, %s, %s", order, a.name, b.name)
				for page, after := range []store.Cursor{{}, order.CursorOf(middle, "1:1:")} {
					query, args, err := s.PageQuery(ctx, f, after, 51)
					if err != nil {
						t.Fatalf("%s: %v", name, err)
					}
					plan := explained(t, s, query, args)
					most := many * 0.3
					if order == store.ByCheckIn && f.ChangedSince != nil {
						// up to half of them, each of which is read from the index and from the table, and may need its
						// time zone
						most = many * 2
					}
					if read := plan.read(); read > most {
						t.Errorf("%s, page %d: %.0f rows were read\n%s", name, page, read, plan.lines(""))
					}
				}
			}
		}
	}
}

// Deliveries are read by the index that fits what narrows them: a status or a source that few of them have must not
// lead through all of them. They were written in the order of seq, which makes an index in that order look cheap.
func TestDeliveriesReadLittle(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := context.Background()
	if _, err := s.Pool().Exec(ctx, `
		INSERT INTO deliveries (delivery_id, subscription, type, source, reservation_id, sequence, status, body,
			created_at)
		SELECT gen_random_uuid(), CASE WHEN n < 200 THEN 'rare' ELSE 'works' END, 'mobile_key.ready',
			CASE WHEN n % 50 = 0 AND n < $1 / 2 THEN 'third' ELSE 'default' END, 'r' || n, 1,
			CASE WHEN n < 300 THEN 'dropped' ELSE 'delivered' END, convert_to(repeat('x', 300), 'UTF8'), now()
		FROM generate_series(1, $1::int) n`, many); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Pool().Exec(ctx, `ANALYZE deliveries`); err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]store.DeliveryFilter{
		"all": {}, "one subscription": {Subscription: []string{"works"}},
		"a rare one":             {Subscription: []string{"rare"}},
		"two":                    {Subscription: []string{"rare", "works"}},
		"dropped":                {Status: []string{"dropped"}},
		"dropped of one":         {Subscription: []string{"works"}, Status: []string{"dropped"}},
		"one property":           {Source: []string{"third"}},
		"one property, and type": {Source: []string{"third"}, Type: []string{"mobile_key.ready"}},
		"one stay":               {ReservationID: "r77"},
		"visible sources":        {Subscription: []string{"works"}, Sources: []string{"third"}},
	} {
		for _, below := range []int64{1 << 40, many / 2} {
			query, args := store.DeliveriesQuery(f, below, 51)
			plan := explained(t, s, query, args)
			if read := plan.read(); read > 1000 {
				t.Errorf("%s, below %d: %.0f rows were read\n%s", name, below, read, plan.lines(""))
			}
		}
	}
}

// A claim reads what it takes up, not what is due: also if it is only for guests who arrive soon, and all others are
// due, as while a burst is accepted.
func TestClaimsReadLittle(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := context.Background()
	now := time.Date(2026, 6, 15, 12, 0, 0, 0, time.UTC)
	if _, err := s.Pool().Exec(ctx, `
		WITH stays AS (
			INSERT INTO reservations (source, reservation_id, status, check_in, version_at, version_seq, created_at,
				updated_at)
			SELECT 'default', 'r' || n, 'confirmed', $1::timestamptz + n * interval '1 minute', $1, n, $1, $1
			FROM generate_series(2 * 1440, 2 * 1440 + $2::int) n
			RETURNING source, reservation_id, check_in)
		INSERT INTO mobile_keys (source, reservation_id, status, queued, next_reconcile_at, changed_at, rank_at)
		SELECT source, reservation_id, 'waiting', true, $1, $1, check_in FROM stays`, now, many); err != nil {
		t.Fatal(err)
	}
	// Statistics of an empty table, as a queue's often are, and those of a full one.
	for _, known := range []string{"", `ANALYZE mobile_keys`} {
		if _, err := s.Pool().Exec(ctx, known); err != nil {
			t.Fatal(err)
		}
		for name, before := range map[string]time.Time{
			"any": {}, "who arrive soon, of whom there is none": now.AddDate(0, 0, 1),
			"who arrive soon, of whom there are some": now.AddDate(0, 0, 3),
		} {
			query, args := store.ClaimQuery(before, 16)
			plan := explained(t, s, query, args)
			if read := plan.read(); read > 200 {
				t.Errorf("%s, %q: %.0f rows were read\n%s", name, known, read, plan.lines(""))
			}
		}
	}
}
