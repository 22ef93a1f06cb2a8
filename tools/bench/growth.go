package main

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/store"
)

// This file measures what one operation costs with many and with few reservations in the database: each should cost
// the same.

// growthOperations are measured at each size, in this order.
var growthOperations = []string{
	"an event accepted, processor time", "an event applied, processor time", "16 keys claimed",
	"1,000 live keys read by the sweep", "first page of a list", "page 4,000 rows later", "list by listing",
	"search for a part of an address", "list of events by reservation", "summary",
}

// growth measures each operation at each size, in a database of its own that is dropped before the next one.
func (b *bench) growth(ctx context.Context) error {
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
			what: operation, value: strings.Join(shown, ", "), against: "reservations: " + strings.Join(sizes, ", "),
			ratio: fmt.Sprintf("%.2f", values[len(values)-1]/values[0]), target: "under 1.3",
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
func (b *bench) grown(ctx context.Context, n int, report func(operation string, seconds float64)) error {
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
	if err := b.grownLists(ctx, name, report); err != nil {
		return err
	}
	if err := b.grownQueue(ctx, name, db, report); err != nil {
		return err
	}
	for i, role := range []string{roleAccept, roleApply} {
		if _, err := db.Exec(ctx, `CHECKPOINT`); err != nil {
			return err
		}
		before, err := postgresTime(ctx, db)
		if err != nil {
			return err
		}
		server, err := b.inRole(ctx, b.dsn(name), role)
		if err != nil {
			return err
		}
		after, err := postgresTime(ctx, db)
		if err != nil {
			return err
		}
		report(growthOperations[i], (server+after-before).Seconds()/float64(b.costEvents))
	}
	return nil
}

// grownQueue measures claiming and the sweep's reading.
func (b *bench) grownQueue(ctx context.Context, name string, db *pgx.Conn, report func(string, float64)) error {
	const claims, atOnce = 50, 16
	if _, err := db.Exec(ctx, `UPDATE mobile_keys SET queued = true, next_reconcile_at = now(), rank_at = check_in
		WHERE (source, reservation_id) IN (SELECT source, reservation_id FROM reservations
			WHERE reservation_id = ANY (SELECT 'HM' || n * 10 FROM generate_series(1, $1) n))`, claims*atOnce*2); err != nil {
		return err
	}
	s, err := store.Open(ctx, b.dsn(name))
	if err != nil {
		return err
	}
	defer s.Close()
	var claimed, swept []float64
	for range claims {
		began := time.Now()
		leases, err := s.Keys.Claim(ctx, time.Minute, time.Time{}, atOnce)
		if err != nil {
			return err
		}
		if len(leases) != atOnce {
			return fmt.Errorf("%d of %d keys were claimed", len(leases), atOnce)
		}
		claimed = append(claimed, time.Since(began).Seconds())
	}
	report(growthOperations[2], quantile(claimed, 0.5))
	after := ""
	for range 20 {
		began := time.Now()
		users, err := s.ACSUsers.Recorded(ctx, system, time.Now(), after, 1000)
		if err != nil {
			return err
		}
		if len(users) != 1000 {
			return fmt.Errorf("the sweep reads %d of 1000 keys", len(users))
		}
		swept, after = append(swept, time.Since(began).Seconds()), users[len(users)-1].UserIdentityID
	}
	report(growthOperations[3], quantile(swept, 0.5))
	_, err = db.Exec(ctx, `UPDATE mobile_keys SET queued = false, lease_token = NULL, lease_until = NULL WHERE queued`)
	return err
}

// grownLists measures lists. The server provisions nothing: Seam is never reached.
func (b *bench) grownLists(ctx context.Context, name string, report func(string, float64)) error {
	s, err := b.server(ctx, name, "http://127.0.0.1:9")
	if err != nil {
		return err
	}
	defer func() { _ = s.stop() }()
	common := url.Values{"source": {"default"}, "status": {"confirmed"}}
	page, deep, err := listQueryApart(ctx, s.url+"/v1/reservations", common)
	if err != nil {
		return err
	}
	report(growthOperations[4], page)
	report(growthOperations[5], deep)
	for i, q := range []struct {
		path  string
		query url.Values
	}{
		{"/v1/reservations", url.Values{"listing_id": {"listing-7"}}},
		{"/v1/reservations", url.Values{"q": {"guest-4711@"}}},
		{"/v1/events", url.Values{"reservation_id": {"HM4711"}}},
		{"/v1/summary", nil},
	} {
		first, _, err := listQueryApart(ctx, s.url+q.path, q.query)
		if err != nil {
			return err
		}
		report(growthOperations[6+i], first)
	}
	return nil
}

// listQueryApart returns the medians of a query's first page and of a page much later.
func listQueryApart(ctx context.Context, path string, q url.Values) (first, later float64, err error) {
	l, err := listQuery(ctx, path, q)
	if err != nil {
		return 0, 0, err
	}
	half := len(l.took)
	if half > listRepeats {
		half = listRepeats
		later = quantile(l.took[half:], 0.5)
	}
	return quantile(l.took[:half], 0.5), later, nil
}

// fillFast fills a database without its secondary indexes, constraints and triggers, and adds the indexes afterwards.
func (b *bench) fillFast(ctx context.Context, db *pgx.Conn, n int) error {
	tables := []string{"listings", "reservations", "mobile_keys", "events", "event_results", "timeline", "acs_users"}
	rows, _ := db.Query(ctx, `SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
		WHERE indrelid = ANY ($1::regclass[]) AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)`, tables)
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
	}, slices.Concat(drops, fillBig, []string{fillUsers}, creates))
}

// fillUsers makes the ACS users of stays that are not over.
const fillUsers = `INSERT INTO acs_users (source, reservation_id, acs_system_id, user_identity_key, user_identity_id,
		guest_key, acs_user_id, acs_credential_id, made_at, starts_at, ends_at, acs_access_group_ids, settled, subscribed)
	SELECT source, reservation_id, 'bench-system', 'key-' || source || reservation_id,
		'identity-' || md5(source || reservation_id), 'key-' || source || reservation_id, 'user-' || source || reservation_id,
		'credential-' || source || reservation_id, created_at, check_in, check_out, ARRAY['bench-group'], true, true
	FROM reservations WHERE check_out > now() AND status = 'confirmed'`
