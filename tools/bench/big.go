package main

import (
	"context"
	"fmt"
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
