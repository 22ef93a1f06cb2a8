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
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

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
