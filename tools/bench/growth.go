package main

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/store"
)

// This file measures what one operation costs with many and with few reservations in the database: each should cost
// the same.

// What is measured at each size: the processor time of Postgres and, where one works, of the server. It tells what an
// operation costs however busy the machine is.
const (
	growthAccept  = "an event accepted"
	growthApply   = "an event applied"
	growthClaim   = "16 keys claimed"
	growthSoon    = "a claim in a burst, no guest arrives soon"
	growthSweep   = "1,000 live keys read by the sweep"
	growthPage    = "first page of a list"
	growthDeep    = "page 4,000 rows later"
	growthListing = "list by listing"
	growthSearch  = "search for a part of an address"
	growthEvents  = "list of events by reservation"
	growthSummary = "summary"
)

// growthOperations are shown in this order.
var growthOperations = []string{
	growthAccept, growthApply, growthClaim, growthSoon, growthSweep, growthPage, growthDeep, growthListing,
	growthSearch, growthEvents, growthSummary,
}

// growth measures each operation at each size, in a database of its own that is dropped before the next one.
func (b growth) growth(ctx context.Context) error {
	costs := map[string][]float64{} // seconds
	var sizes []string
	for _, n := range b.sizes {
		say("growth: filling a database with %d reservations", n)
		sizes = append(sizes, fmt.Sprintf("%g million", float64(n)/1e6))
		if err := b.grown(ctx, n, func(operation string, seconds float64) {
			say("  %s: %s", operation, exactly(seconds))
			costs[operation] = append(costs[operation], seconds)
		}); err != nil {
			return err
		}
	}
	for _, operation := range growthOperations {
		values := costs[operation]
		shown := make([]string, len(values))
		for i, seconds := range values {
			shown[i] = exactly(seconds)
		}

		b.add(line{
			what: operation + ", processor time", value: strings.Join(shown, ", "),
			against: "reservations: " + strings.Join(sizes, ", "),
			ratio:   fmt.Sprintf("%.2f", values[len(values)-1]/values[0]), target: "under 1.3",
		})
	}
	return nil
}

func exactly(seconds float64) string {
	if seconds < 0.001 {
		return fmt.Sprintf("%.0f µs", seconds*1e6)
	}
	return fmt.Sprintf("%.2f ms", seconds*1e3)
}

// grown fills a database with so many reservations and measures the operations.
func (b growth) grown(ctx context.Context, n int, report func(operation string, seconds float64)) error {
	name, db, err := b.database(ctx, "migrated")
	if err != nil {
		return err
	}
	defer b.drop(ctx, name, db)

	if err := b.decidePolicies(ctx, name); err != nil {
		return err
	}
	if err := b.fillFast(ctx, db, n); err != nil {
		return err
	}

	var size string
	if err := db.QueryRow(ctx, `SELECT pg_size_pretty(pg_database_size(current_database()))`).Scan(&size); err != nil {
		return err
	}
	say("  %s on disk", size)

	if err := b.grownLists(ctx, name, db, report); err != nil {
		return err
	}
	if err := b.grownQueue(ctx, name, db, report); err != nil {
		return err
	}

	for _, c := range []struct{ operation, role string }{{growthAccept, roleAccept}, {growthApply, roleApply}} {
		var server time.Duration
		postgres, err := spent(ctx, db, nil, 1, func() (err error) {
			server, err = inRole(ctx, b.dsn(name), c.role, b.costEvents)
			return err
		})
		if err != nil {
			return err
		}
		report(c.operation, (server.Seconds()+postgres)/float64(b.costEvents))
	}
	return nil
}

// grownQueue measures claiming and the sweep's reading.
func (b growth) grownQueue(ctx context.Context, name string, db *pgx.Conn, report func(string, float64)) error {
	const claims, inVain, atOnce = 50, 2000, 16
	// Of all reservations one in twenty is due, and none of these guests arrives soon.
	tag, err := db.Exec(ctx, `
		UPDATE mobile_keys SET queued = true, next_reconcile_at = now(), rank_at = now() + interval '30 days'
		WHERE (source, reservation_id) IN (SELECT source, reservation_id FROM reservations
			WHERE reservation_id = ANY (SELECT 'HM' || n * 20
				FROM generate_series(1, (SELECT count(*) FROM reservations) / 20) n))`)
	if err != nil {
		return err
	}
	if due := tag.RowsAffected(); due < claims*atOnce {
		return fmt.Errorf("%d keys are due; claims take %d", due, claims*atOnce)
	}

	s, err := store.Open(ctx, b.dsn(name))
	if err != nil {
		return err
	}
	defer s.Close()

	soon, err := spent(ctx, db, nil, inVain, func() error {
		leases, err := s.Keys.Claim(ctx, time.Minute, time.Now().Add(24*time.Hour), atOnce)
		if err == nil && len(leases) > 0 {
			err = fmt.Errorf("%d keys of guests who don't arrive soon were claimed", len(leases))
		}
		return err
	})
	if err != nil {
		return err
	}

	report(growthSoon, soon)

	claim, err := spent(ctx, db, nil, claims, func() error {
		leases, err := s.Keys.Claim(ctx, time.Minute, time.Time{}, atOnce)
		if err == nil && len(leases) != atOnce {
			err = fmt.Errorf("%d of %d keys were claimed", len(leases), atOnce)
		}
		return err
	})
	if err != nil {
		return err
	}

	report(growthClaim, claim)

	const pageOfSweep, reads = 1000, 50
	after := int64(0)
	sweep, err := spent(ctx, db, nil, reads, func() error {
		users, err := s.ACSUsers.Recorded(ctx, system, time.Now(), after, pageOfSweep)
		if err != nil {
			return err
		}
		if len(users) == pageOfSweep {
			after = users[len(users)-1].ID
			return nil
		}
		if after == 0 {
			return fmt.Errorf("the sweep finds %d keys; a page of it has %d", len(users), pageOfSweep)
		}
		after = 0 // the last page; the next sweep begins
		return nil
	})
	if err != nil {
		return err
	}

	report(growthSweep, sweep)
	_, err = db.Exec(ctx, `UPDATE mobile_keys SET queued = false, lease_token = NULL, lease_until = NULL WHERE queued`)
	return err
}

// grownLists measures lists. The server provisions nothing: Seam is never reached.
func (b growth) grownLists(ctx context.Context, name string, db *pgx.Conn, report func(string, float64)) error {
	s, err := b.server(ctx, name, "http://127.0.0.1:9")
	if err != nil {
		return err
	}
	defer func() { _ = s.stop() }()

	first := url.Values{"source": {"default"}, "status": {"confirmed"}}
	later, err := pageLater(ctx, s.url+"/v1/reservations", first)
	if err != nil {
		return err
	}

	for _, l := range []struct {
		operation, path string
		query           url.Values
	}{
		{growthPage, "/v1/reservations", first},
		{growthDeep, "/v1/reservations", later},
		{growthListing, "/v1/reservations", url.Values{"listing_id": {"listing-7"}}},
		{growthSearch, "/v1/reservations", url.Values{"q": {"guest-4711@"}}},
		{growthEvents, "/v1/events", url.Values{"reservation_id": {"HM4711"}}},
		{growthSummary, "/v1/summary", nil},
	} {
		read := func() error {
			_, err := getPage(ctx, s.url+l.path, l.query)
			return err
		}

		for range 10 { // the plans of several connections, and what they read, are there before the clock runs
			if err := read(); err != nil {
				return err
			}
		}

		seconds, err := spent(ctx, db, []*program{s}, 100, read)
		if err != nil {
			return err
		}
		report(l.operation, seconds)
	}
	return nil
}

// pageLater is the query of a page 4,000 rows later.
func pageLater(ctx context.Context, path string, first url.Values) (url.Values, error) {
	const pages = 8
	far := maps.Clone(first)
	far.Set("limit", "500")
	for range pages {
		cursor, err := getPage(ctx, path, far)
		if err != nil {
			return nil, err
		}
		far.Set("cursor", cursor)
	}
	far.Del("limit")
	return far, nil
}

// spent is the processor time, in seconds, that each of n rounds of work takes: Postgres' and that of servers if there
// are any.
func spent(ctx context.Context, db *pgx.Conn, servers []*program, n int, work func() error) (float64, error) {
	if _, err := db.Exec(ctx, `CHECKPOINT`); err != nil {
		return 0, err
	}
	before, err := processorTime(ctx, db, servers...)
	if err != nil {
		return 0, err
	}
	for range n {
		if err := work(); err != nil {
			return 0, err
		}
	}
	after, err := processorTime(ctx, db, servers...)
	return (after - before).Seconds() / float64(n), err
}

// fillFast fills a database without its secondary indexes, constraints and triggers, and adds the indexes afterwards.
func (b growth) fillFast(ctx context.Context, db *pgx.Conn, n int) error {
	tables := []string{"listings", "reservations", "mobile_keys", "events", "event_results", "timeline", "acs_users"}
	rows, _ := db.Query(ctx, `SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
		WHERE indrelid = ANY ($1::regclass[])
			AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)`, tables)
	var index, definition string
	var drops, creates []string
	if _, err := pgx.ForEachRow(rows, []any{&index, &definition}, func() error {
		drops, creates = append(drops, `DROP INDEX `+index), append(creates, definition)
		return nil
	}); err != nil {
		return err
	}
	drops = append(drops, `SET session_replication_role = replica`, `SET maintenance_work_mem = '512MB'`)
	creates = append(creates, `SET session_replication_role = origin`, `RESET maintenance_work_mem`)
	return b.fillTables(ctx, db, filling{
		bookings: n, each: 1, listings: max(n/10, 1000), named: max(n/100, 10),
	}, slices.Concat(drops, fillBig, []string{fillUsers}, creates, []string{`SELECT staykey_recount_keys()`}))
}

// fillUsers makes the ACS users of stays that are not over.
const fillUsers = `INSERT INTO acs_users (source, reservation_id, acs_system_id, user_identity_key, user_identity_id,
		guest_key, acs_user_id, acs_credential_id, made_at, starts_at, ends_at, acs_access_group_ids,
		settled, subscribed)
	SELECT source, reservation_id, 'bench-system', 'key-' || source || reservation_id,
		'identity-' || md5(source || reservation_id), 'key-' || source || reservation_id,
		'user-' || source || reservation_id,
		'credential-' || source || reservation_id, least(created_at, now() - interval '1 day'), check_in, check_out,
		ARRAY['bench-group'], true, true
	FROM reservations WHERE check_out > now() AND status = 'confirmed'`
