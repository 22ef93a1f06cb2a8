package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/store/storetest"
)

// old is how many reservations, long over, half of them of another source, and events of theirs are in the way.
const old = 30_000

// walked is how many entries of each index, or rows of each table, have been read.
const walked = `
	SELECT indexrelname, idx_tup_read FROM pg_stat_user_indexes WHERE relname NOT LIKE 'goose%'
	UNION ALL SELECT relname, seq_tup_read FROM pg_stat_user_tables WHERE relname NOT LIKE 'goose%'`

// TestNoTableIsReadWhole runs what the service does, sweeps, retention and every list by every pair of filters, on
// tables full of what is not asked for, and has Postgres tell how much was read. Any one statement that read a table or
// an index from beginning to end would show. Where vacuum has not come by yet, an index alone doesn't tell what must be
// seen: plans differ then.
func TestNoTableIsReadWhole(t *testing.T) {
	t.Parallel()
	for name, maintenance := range map[string]string{"vacuumed": "VACUUM ANALYZE", "not vacuumed": "ANALYZE"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			readLittle(t, maintenance)
		})
	}
}

func readLittle(t *testing.T, maintenance string) {
	dsn := storetest.DSN(t)
	db, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close(context.Background()) }()
	for _, statement := range []string{
		`SET synchronous_commit = on`, // vacuum takes no row for visible to all whose commit it doesn't know on disk
		fmt.Sprintf(
			`INSERT INTO reservations (source, reservation_id, status, listing_id, guest_email, check_in, check_out,
				pruned, version_at, version_seq, created_at, updated_at)
			SELECT CASE WHEN n %% 2 = 0 THEN 'default' ELSE 'old' END, 'r' || n, 'confirmed', 'l' || n %% 1000,
				'someone-' || n || '@example.com', now() - interval '99 days', now() - interval '98 days', 1, now(), n,
				now(), now() FROM generate_series(1, %d) n`, old),
		`INSERT INTO mobile_keys (source, reservation_id, status, check_in, rank_at, changed_at) SELECT source, reservation_id, 'expired', check_in, check_in, now() - interval '98 days' FROM reservations`,
		`INSERT INTO timeline (source, reservation_id, at, kind, summary) SELECT source, reservation_id, now(), 'event', '' FROM reservations`,
		`INSERT INTO event_results (seq, event_id, source, type, status, reservation_id, listing_id, received_at)
			SELECT nextval('event_order'), gen_random_uuid(), source, 'reservation.updated', 'superseded',
				reservation_id, listing_id, now() FROM reservations`,
		`INSERT INTO events (event_id, seq, source, event_key, type, urgent, received_at) SELECT event_id, seq, source, 'm' || seq, type, false, received_at FROM event_results`,
		maintenance, `SELECT pg_stat_force_next_flush()`,
	} {
		if _, err := db.Exec(context.Background(), statement); err != nil {
			t.Fatal(err)
		}
	}
	before := readings(t, db)
	_, env := simulated(t, dsn)
	p := launch(t, append(env, "STAYKEY_SWEEP_INTERVAL=1s"))
	post := func(kind string, data map[string]any) {
		t.Helper()
		if got := p.post("default", kind, data); got != http.StatusAccepted {
			t.Fatalf("%s: %d", kind, got)
		}
	}
	post("listing.created", seedListing())
	for i := range 3 {
		r := seedReservation()
		r["reservation_id"] = fmt.Sprint("stay-", i)
		r["guest_email"] = fmt.Sprintf("guest-%d@example.com", i)
		post("reservation.created", r)
		p.until(fmt.Sprint("stay-", i), "issued")
	}
	post("reservation.cancelled", map[string]any{"reservation_id": "stay-0"})
	p.until("stay-0", "revoked")
	post("listing.updated", map[string]any{
		"listing_id":            "2222222-2222",
		"seam_access_group_ids": []string{"555555-5555"},
	})
	post("message.created", map[string]any{})
	filters := map[string]map[string]string{
		"/v1/reservations": {
			"source": "default", "status": "confirmed", "key_status": "issued", "listing_id": "2222222-2222",
			"guest_email":   "guest-1@example.com",
			"check_in_from": time.Now().UTC().Format(time.DateOnly), "check_in_to": "2090-01-01",
			"check_out_from": time.Now().UTC().Format(time.DateOnly),
			"check_out_to":   "2090-01-01", "updated_since": time.Now().Add(-time.Hour).UTC().Format(time.RFC3339),
			"q": "guest-1", "sort": "check_in",
		},
		"/v1/events": {
			"source": "default,other", "status": "applied,accepted",
			"type": "reservation.created", "reservation_id": "stay-1", "listing_id": "2222222-2222",
		},
		"/v1/listings": {
			"source": "default,other", "listing_id": "2222222-2222",
			"deleted": "false", "q": "222", "updated_since": "2026-01-01",
		},
		"/v1/reservations/default/stay-1":          {},
		"/v1/reservations/default/stay-1/timeline": {},
		"/v1/reservations/default/stay-1/plan":     {},
	}
	for path, of := range filters {
		queries := []url.Values{{}}
		for a, v := range of {
			queries = append(queries, url.Values{a: {v}})
			for b, w := range of {
				if a < b {
					queries = append(queries, url.Values{a: {v}, b: {w}})
				}
			}
		}
		for _, q := range queries {
			req, err := http.NewRequest(http.MethodGet, p.url+path+"?"+q.Encode(), nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+e2eToken)
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				t.Errorf("%s: %d %s", req.URL, resp.StatusCode, body)
			}
		}
	}
	readPages(t, p)
	waitUntil(t, "a sweep", func() bool { return strings.Contains(p.log.String(), `"msg":"swept"`) })
	_ = p.cmd.Process.Signal(os.Interrupt)
	<-p.done // its connections report what they did when they end
	for name, n := range readings(t, db) {
		if n -= before[name]; n >= old/3 {
			t.Errorf("%d entries of %s were read", n, name)
		}
	}
}

// readPages reads the pages that are no list of REST.
func readPages(t *testing.T, p *process) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar}
	resp, err := client.PostForm(p.url+"/sign-in", url.Values{"token": {e2eToken}})
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	tomorrow := time.Now().AddDate(0, 0, 1).Format(time.DateOnly)
	for _, path := range []string{
		"/", "/?source=default", "/?part=problems", "/?part=in_house&date=" + tomorrow,
		"/?part=departures&date=" + tomorrow, "/doors", "/doors?missing=1", "/doors?q=222", "/doors.csv",
		"/reservations", "/reservations?when=all", "/search?q=guest-1", "/arrivals", "/reservations.csv?q=guest-1",
	} {
		resp, err := client.Get(p.url + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK || resp.Request.URL.Path == "/sign-in" {
			t.Errorf("%s: %d at %s", path, resp.StatusCode, resp.Request.URL)
		}
	}
}

func readings(t *testing.T, db *pgx.Conn) map[string]int64 {
	t.Helper()
	rows, _ := db.Query(context.Background(), walked)
	read := map[string]int64{}
	var name string
	var n int64
	if _, err := pgx.ForEachRow(rows, []any{&name, &n}, func() error { read[name] = n; return nil }); err != nil {
		t.Fatal(err)
	}
	return read
}
