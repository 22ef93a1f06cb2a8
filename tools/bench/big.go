package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// fillBig makes what two years of a large PMS leave behind: $1 reservations, $2 events for each, $3 listings of which
// $4 have reservations, three sources of very different size, check-ins from 700 days ago to 300 days ahead, a tenth
// cancelled. Each full name is that of a thousandth of the guests.
var fillBig = []string{
	`INSERT INTO listings (source, listing_id, known, deleted, name, acs_system_id, access_group_ids, version_at,
		version_seq, created_at, updated_at)
	SELECT 'default', 'listing-' || n, true, n % 500 = 0, 'House ' || n, 'bench-system', ARRAY['bench-group'], now(), 0,
		now(), now() - n * interval '1 minute'
	FROM generate_series(1, $3) n`,
	`INSERT INTO reservations (source, reservation_id, status, listing_id, guest_email, guest_name, check_in_said,
		check_out_said, check_in, check_out, version_at, version_seq, created_at, updated_at, policy)
	SELECT CASE WHEN n % 50 = 0 THEN 'third' WHEN n % 10 = 0 THEN 'second' ELSE 'default' END, 'HM' || n, CASE
		WHEN n % 10 = 3 THEN 'cancelled' ELSE 'confirmed' END,
		'listing-' || 1 + n % $4, 'guest-' || n / 2 || '@example.com',
			(ARRAY['Maria','José','Mette','Akira','Lucía','Tom','Chloé','Giulia','Piotr','Sofia'])[1 + n / 2 % 10]
				|| ' ' ||
			(ARRAY['García','Fernández','Sørensen','Tanaka','Ortega','Becker','Martin','Rossi','Nowak','Almeida'])
				[1 + n / 20 % 10] || ' ' || n / 200 % 10, d::text,
			(d + interval '3 days')::text, d, d + interval '3 days', d, n * $2, d - interval '40 days',
			d - interval '30 days', p.value
	FROM (SELECT n, date_trunc('day', now()) - interval '700 days' + (n::float8 / $1 * 1000) * interval '1 day' AS d
		FROM generate_series(1, $1) n) r
	LEFT JOIN settings p ON p.name = 'policy:' || CASE WHEN n % 50 = 0 THEN 'third' WHEN n % 10 = 0 THEN 'second'
		ELSE 'default' END ORDER BY n`,
	`INSERT INTO mobile_keys (source, reservation_id, status, observed_generation, rank_at, check_in, check_out,
		check_out_month, cancelled, changed_at)
	SELECT source, reservation_id, CASE WHEN status = 'cancelled' THEN 'revoked' WHEN check_out < now() THEN 'expired'
		WHEN check_in < now() THEN 'active'
			WHEN version_seq / $2 % 100 = 1 THEN 'attention' WHEN version_seq / $2 % 100 = 2 THEN 'waiting'
				ELSE 'issued' END,
		1, check_in, check_in, check_out, extract(year FROM check_out AT TIME ZONE 'UTC')::int * 12
			+ extract(month FROM check_out AT TIME ZONE 'UTC')::int, status = 'cancelled',
			least(check_out + interval '1 day', now() - (version_seq % 8640000) * interval '1 second')
	FROM reservations`,
	`INSERT INTO events (event_id, seq, source, event_key, type, reservation_id, listing_id, urgent, occurred_at,
		received_at, body)
	SELECT gen_random_uuid(), r.version_seq - n, r.source, 'msg_' || r.version_seq - n, CASE WHEN n = 0
		THEN 'reservation.created' ELSE 'reservation.updated' END,
		r.reservation_id, r.listing_id, false, r.created_at, r.created_at, convert_to(repeat('{"x":"0123456789"} ', 32),
			'UTF8')
	FROM reservations r, generate_series(0, $2 - 1) n ORDER BY 2`,
	`INSERT INTO event_results (seq, event_id, source, type, status, reservation_id, listing_id, occurred_at,
		received_at, applied_at)
	SELECT seq, event_id, source, CASE WHEN seq % 1000 = 0 THEN 'listing.updated' ELSE type END, CASE WHEN seq % 20 = 0
		THEN 'superseded' WHEN seq % 1001 = 0 THEN 'rejected' ELSE 'applied' END,
		reservation_id, listing_id, occurred_at, received_at, received_at FROM events
			ORDER BY seq`,
	`INSERT INTO timeline (source, reservation_id, at, kind, summary)
	SELECT source, reservation_id, created_at, 'event', 'reservation.created applied' FROM reservations`,
}

// bigTables are those that must never be read whole.
var bigTables = []string{
	"events", "event_results", "reservations", "mobile_keys", "timeline", "listings", "acs_users",
	"user_identities",
}

// big measures accepting and lists on big tables.
func (b bigRun) big(ctx context.Context) error {
	name, db, err := b.database(ctx, "migrated")
	if err != nil {
		return err
	}
	defer b.drop(ctx, name, db)
	f := filling{
		bookings: b.bookings, each: b.events / b.bookings, listings: max(b.bookings/10, 1000),
		named: max(b.bookings/100, 10),
	}
	if err := b.decidePolicies(ctx, name); err != nil {
		return err
	}
	if err := b.fillTables(ctx, db, f, fillBig); err != nil {
		return err
	}
	if err := b.bigLists(ctx, name, db); err != nil {
		return err
	}
	return b.bigAccept(ctx, name, db)
}

// filling is how much a database is filled with.
type filling struct {
	bookings int // reservations: $1
	each     int // events of each: $2
	listings int // $3
	named    int // listings that have reservations: $4
}

// decidePolicies starts a server once, so that the stays which are filled in follow their sources' policies already:
// else the server that is measured brings a million up to date.
func (b tables) decidePolicies(ctx context.Context, name string, env ...string) error {
	_, seam, err := simulatedSeam(0)
	if err != nil {
		return err
	}
	defer seam.Close()
	s, err := b.server(ctx, name, seam.URL, env...)
	if err != nil {
		return err
	}
	if err := s.stop(); err != nil {
		return err
	}
	db, err := pgx.Connect(ctx, b.dsn(name))
	if err != nil {
		return err
	}
	defer func() { _ = db.Close(ctx) }()
	// another simulator is another workspace
	_, err = db.Exec(ctx, `DELETE FROM settings WHERE name = 'seam_workspace_id'`)
	return err
}

// fillTables runs statements that make big tables, and brings the database to the state of one that has run for long.
func (b tables) fillTables(ctx context.Context, db *pgx.Conn, f filling, statements []string) error {
	say("filling a database with %d events and %d reservations of %d listings", f.bookings*f.each, f.bookings, f.named)
	sizes := strings.NewReplacer("$1", strconv.Itoa(f.bookings), "$2", strconv.Itoa(f.each), "$3",
		strconv.Itoa(f.listings), "$4", strconv.Itoa(f.named))
	for _, statement := range statements {
		if _, err := db.Exec(ctx, sizes.Replace(statement)); err != nil {
			return fmt.Errorf("%s...: %w", strings.TrimSpace(statement[:40]), err)
		}
	}
	if _, err := db.Exec(ctx, `SELECT setval('event_order', $1)`, f.bookings*f.each+1); err != nil {
		return err
	}
	if _, err := db.Exec(ctx, `VACUUM ANALYZE`); err != nil {
		return err
	}
	_, err := b.admin.Exec(ctx, `CHECKPOINT`)
	return err
}

// bigAccept compares accepting on the big tables with accepting on empty ones, in turn.
func (b bigRun) bigAccept(ctx context.Context, big string, bigDB *pgx.Conn) error {
	var full, empty, ratios []float64
	_, seam, err := simulatedSeam(80 * time.Millisecond)
	if err != nil {
		return err
	}
	defer seam.Close()

	on := func(name string, db *pgx.Conn) (float64, error) {
		s, err := b.server(ctx, name, seam.URL)
		if err != nil {
			return 0, err
		}
		defer func() { _ = s.stop() }()
		l, err := b.post(ctx, db, []*program{s}, b.compared*2, posts{})
		return l.perSecond(), err
	}

	for range b.rounds {
		name, db, err := b.database(ctx, "migrated")
		if err != nil {
			return err
		}
		if err := addListings(ctx, db); err != nil {
			return err
		}
		e, err := on(name, db)
		b.drop(ctx, name, db)
		if err != nil {
			return err
		}
		f, err := on(big, bigDB)
		if err != nil {
			return err
		}
		full, empty, ratios = append(full, f), append(empty, e), append(ratios, f/e)
	}

	b.add(line{
		what: fmt.Sprintf("accepted with %d events and %d reservations there", b.events,
			b.bookings), value: fmt.Sprintf("%.0f/s", median(full)),
		against: "empty tables", base: fmt.Sprintf("%.0f/s", median(empty)), ratio: fmt.Sprintf("%.2f",
			median(ratios)), target: "0.9",
	})
	return nil
}

// filters are the values that each filter of a list is tried with.
type filters struct {
	path   string
	values map[string][]string
}

func bigFilters(now time.Time) []filters {
	in := func(days int) string { return now.AddDate(0, 0, days).UTC().Format(time.RFC3339) }
	day := func(days int) string { return now.AddDate(0, 0, days).UTC().Format(time.DateOnly) }
	return []filters{
		{"/v1/reservations", map[string][]string{
			"source": {"default", "third"}, "status": {"confirmed", "cancelled"}, "key_status": {
				"expired", "attention",
				"revoked", "attention,waiting",
			}, "listing_id": {"listing-7"},
			"guest_email": {"GUEST-4711@example.com"}, "check_in_from": {
				in(0), in(-650),
				in(290),
			}, "check_in_to": {in(7), in(-500)}, "check_out_from": {day(0), in(-600)},
			"check_out_to":  {day(1), in(-500)},
			"updated_since": {in(-1), in(-400)}, "sort": {"check_in"}, "q": {
				"guest-4711", "example.com",
				"nothing has this",
			},
		}},
		{"/v1/events", map[string][]string{
			"source": {"default", "third"}, "status": {
				"applied", "superseded", "rejected",
				"accepted",
			}, "type": {"reservation.updated", "listing.updated", "none"},
			"reservation_id": {"HM4711"}, "listing_id": {"listing-7"},
		}},
		{"/v1/listings", map[string][]string{
			"source": {"default", "third"}, "listing_id": {"listing-7"},
			"deleted": {"true", "false"}, "q": {"house 47", "listing", "nothing has this"},
		}},
		{"/v1/summary", nil},
	}
}

// queries are no filter, each filter, and each pair, with each of their values.
func (f filters) queries() []url.Values {
	list := []url.Values{{}}
	names := make([]string, 0, len(f.values))
	for n := range f.values {
		names = append(names, n)
	}
	slices.Sort(names)
	for i, a := range names {
		for _, v := range f.values[a] {
			list = append(list, url.Values{a: {v}})
			for _, b := range names[i+1:] {
				for _, w := range f.values[b] {
					list = append(list, url.Values{a: {v}, b: {w}})
				}
			}
		}
	}
	return list
}

// listed is how long the requests of one query took.
type listed struct {
	query string
	took  []float64 // seconds
}

func (b bigRun) bigLists(ctx context.Context, name string, db *pgx.Conn) error {
	_, seam, err := simulatedSeam(0)
	if err != nil {
		return err
	}
	defer seam.Close()

	if _, err := db.Exec(ctx, `SELECT pg_stat_force_next_flush()`); err != nil {
		return err
	}
	before, err := wholeReads(ctx, db)
	if err != nil {
		return err
	}

	s, err := b.server(ctx, name, seam.URL)
	if err != nil {
		return err
	}
	for _, f := range bigFilters(time.Now()) {
		var all []float64
		var slow []listed
		for _, q := range f.queries() {
			l, err := listQuery(ctx, s.url+f.path, q)
			if err != nil {
				_ = s.stop()
				return err
			}
			all = append(all, l.took...)
			slow = append(slow, l)
		}

		sort.Slice(slow, func(i, j int) bool { return quantile(slow[i].took, 0.99) > quantile(slow[j].took, 0.99) })
		worst := slow[0]
		ms := func(seconds float64) string { return milliseconds(time.Duration(seconds * float64(time.Second))) }

		b.add(line{
			what: fmt.Sprintf("GET %s, %d queries, first and deep pages", f.path,
				len(slow)), value: ms(quantile(all, 0.5)), p50: ms(quantile(all, 0.5)), p99: ms(quantile(all, 0.99)),
			against: "the slowest: " + strings.ReplaceAll(worst.query, "|", "%7C"), base: "p99 " +
				ms(quantile(worst.took, 0.99)), target: "p99 under 50 ms",
		})
		for _, l := range slow[1:min(5, len(slow))] {
			say("  then %s: p99 %s", l.query, ms(quantile(l.took, 0.99)))
		}
	}

	if err := s.stop(); err != nil { // its connections report what they did when they end
		return err
	}
	return b.noteWholeReads(ctx, db, before)
}

// noteWholeReads reports the big tables that have been read whole since before.
func (b tables) noteWholeReads(ctx context.Context, db *pgx.Conn, before map[string]int64) error {
	after, err := wholeReads(ctx, db)
	if err != nil {
		return err
	}
	for table, n := range after {
		if n > before[table] {
			b.note("%s was read whole %d times", table, n-before[table])
		}
	}
	return nil
}

// wholeReads is how often each big table has been read from beginning to end.
func wholeReads(ctx context.Context, db *pgx.Conn) (map[string]int64, error) {
	rows, err := db.Query(ctx, `SELECT relname, seq_scan FROM pg_stat_user_tables WHERE relname = ANY ($1)`, bigTables)
	if err != nil {
		return nil, err
	}
	reads := map[string]int64{}
	var table string
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&table, &n}, func() error { reads[table] = n; return nil })
	return reads, err
}

// listRepeats is how often each page of a list is requested.
const listRepeats = 10

// listQuery requests a first page and a much later one, several times each.
func listQuery(ctx context.Context, path string, q url.Values) (listed, error) {
	l := listed{query: q.Encode()}
	const deep = 8
	get := func(q url.Values, count bool) (cursor string, err error) {
		began := time.Now()
		cursor, err = getPage(ctx, path, q)
		if count {
			l.took = append(l.took, time.Since(began).Seconds())
		}
		return cursor, err
	}

	repeat := func(q url.Values) error {
		for i := range listRepeats + 1 {
			if _, err := get(q, i > 0); err != nil { // the first one warms up
				return err
			}
		}
		return nil
	}

	if err := repeat(q); err != nil || strings.HasSuffix(path, "/summary") {
		return l, err
	}

	far := url.Values{"limit": {"500"}}
	for name, values := range q {
		far[name] = values
	}

	for range deep {
		cursor, err := get(far, false)
		if err != nil {
			return l, err
		}
		if cursor == "" {
			return l, nil // not so many match
		}
		far.Set("cursor", cursor)
	}
	far.Del("limit")
	return l, repeat(far)
}

// getPage reads one page of a list and returns the cursor of the next one.
func getPage(ctx context.Context, path string, q url.Values) (cursor string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, path+"?"+q.Encode(), nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+adminToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s: %s", req.URL, resp.Status, body)
	}
	var page struct {
		Cursor string `json:"next_cursor"`
	}
	return page.Cursor, json.Unmarshal(body, &page)
}
