package handlers_test

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// ids are those of the items of a list, in its order.
func (r answered) ids(t *testing.T, name string) []string {
	t.Helper()
	items, is := r.body["items"].([]any)
	if r.status != 200 || !is {
		t.Fatalf("got %d %s", r.status, r.rawBody)
	}
	list := []string{}
	for _, item := range items {
		list = append(list, item.(map[string]any)[name].(string))
	}
	return list
}

// withStays is an app with properties in Tokyo, Los Angeles and one without a time zone, and stays whose ids tell when
// they begin and end there.
func withStays(t *testing.T) *app {
	t.Helper()
	a := newApp(t)
	for listing, zone := range map[string]string{
		"tokyo": `"Asia/Tokyo"`, "la": `"America/Los_Angeles"`,
		"none": "null",
	} {
		a.post(hook{body: fmt.Sprintf(
			`{"type":"listing.created","timestamp":"2024-10-20T09:00:00.000Z","data":{"listing_id":%q,"seam_access_group_ids":["g"],"time_zone":%s}}`, listing, zone)})
	}
	for i, s := range []string{
		"tokyo-1 tokyo 2030-10-31T15:00:00Z 2030-11-02T02:00:00Z", // midnight of 1 November there
		"tokyo-0 tokyo 2030-10-31T14:59:59Z 2030-11-01T14:59:59Z",
		"la-1 la 2030-11-01T07:00:00Z 2030-11-03T18:00:00Z", // midnight there
		"la-0 la 2030-11-01T06:59:59Z 2030-11-02T18:00:00Z",
		"utc-1 none 2030-11-01T00:00:00Z 2030-11-02T00:00:00Z",
		"utc-0 none 2030-10-31T23:59:59Z 2030-11-01T23:59:59Z",
	} {
		f := strings.Fields(s)
		a.post(hook{body: fmt.Sprintf(
			`{"type":"reservation.created","timestamp":"2024-10-20T09:00:0%d.000Z","data":{"reservation_id":%q,"listing_id":%q,"check_in":%q,"check_out":%q}}`, i, f[0], f[1], f[2], f[3])})
	}
	a.post(hook{
		source: "open",
		body:   `{"type":"reservation.cancelled","timestamp":"2024-10-20T09:00:00.000Z","data":{"reservation_id":"gone"}}`,
	})
	a.apply()
	return a
}

func TestReservationFilters(t *testing.T) {
	t.Parallel()
	a := withStays(t)
	all := []string{"gone", "la-0", "la-1", "tokyo-0", "tokyo-1", "utc-0", "utc-1"}
	for query, want := range map[string][]string{
		"":                            all,
		"status=confirmed,cancelled":  all,
		"status=cancelled":            {"gone"},
		"source=open,default":         all,
		"source=open,nobody":          {"gone"},
		"key_status=revoking,revoked": {"gone"},
		"key_status=issued,active":    {},
		"check_in_from=2030-11-01":    {"la-1", "tokyo-1", "utc-1"},
		"check_in_to=2030-11-01":      {"la-0", "tokyo-0", "utc-0"},
		"check_out_to=2030-11-02":     {"tokyo-0", "utc-0"},
		"check_out_from=2030-11-02":   {"la-0", "la-1", "tokyo-1", "utc-1"},
		"check_in_from=2030-11-01T00:00:00Z&check_in_to=2030-11-01T07:00:00Z":               {"la-0", "utc-1"},
		"check_in_to=2030-11-01&check_out_from=2030-11-02":                                  {"la-0"},
		"updated_since=" + url.QueryEscape(time.Now().Add(time.Hour).Format(time.RFC3339)):  {},
		"updated_since=" + url.QueryEscape(time.Now().Add(-time.Hour).Format(time.RFC3339)): all,
	} {
		for _, sort := range []string{"", "-updated_at", "check_in"} {
			r := a.get("/v1/reservations?" + query + "&sort=" + sort)
			got := r.ids(t, "reservation_id")
			if sort == "check_in" {
				items := r.body["items"].([]any)
				if !slices.IsSortedFunc(items, func(a, b any) int {
					return strings.Compare(checkInOf(a),
						checkInOf(b))
				}) {
					t.Errorf("%s: not in the order of check-in: %v", query, got)
				}
			}
			slices.Sort(got)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s, sort %q (-want +got):\n%s", query, sort, diff)
			}
		}
	}
	for query, field := range map[string]string{
		"status=confirmed,maybe": "query.status", "status=confirmed,": "query.status",
		"key_status=,issued": "query.key_status", "source=a,,b": "query.source",
		"sort=check_out": "query.sort", "sort=-check_in": "query.sort",
		"updated_since=yesterday": "query.updated_since", "check_out_from=soon": "query.check_out_from",
		"check_out_to=2030-02-30": "query.check_out_to",
	} {
		r := a.get("/v1/reservations?" + query)
		r.mustBeProblem(t, 422)
		if diff := cmp.Diff([]string{field}, r.wrongFields(t)); diff != "" {
			t.Errorf("%s: %s", query, diff)
		}
	}
}

// checkInOf is the check-in of an item of a list; one that is not known is after all others.
func checkInOf(item any) string {
	if at, known := item.(map[string]any)["check_in"].(string); known {
		return at
	}
	return "unknown"
}

// A cursor belongs to its query: filters and order. The limit may change.
func TestCursorsBelongToTheirQuery(t *testing.T) {
	t.Parallel()
	a := withStays(t)
	follow := func(query string) (ids []string) {
		for cursor := ""; ; {
			r := a.get("/v1/reservations?" + query + "&limit=2&cursor=" + url.QueryEscape(cursor))
			ids = append(ids, r.ids(t, "reservation_id")...)
			next, more := r.body["next_cursor"].(string)
			if !more {
				return ids
			}
			cursor = next
		}
	}
	for _, query := range []string{
		"sort=check_in", "sort=-updated_at", "sort=check_in&check_out_from=2030-11-01",
		"check_out_from=2030-11-01&status=confirmed", "sort=check_in&q=-",
	} {
		whole := a.get("/v1/reservations?"+query).ids(t, "reservation_id")
		if diff := cmp.Diff(whole, follow(query)); diff != "" {
			t.Errorf("%s in pages (-whole +pages):\n%s", query, diff)
		}
	}
	cursor := url.QueryEscape(a.get("/v1/reservations?limit=2&sort=check_in").body["next_cursor"].(string))
	if r := a.get("/v1/reservations?limit=3&sort=check_in&cursor=" + cursor); r.status != 200 {
		t.Errorf("with another limit: %d %s", r.status, r.rawBody)
	}
	for _, query := range []string{
		"", "sort=-updated_at", "sort=check_in&status=confirmed",
		"sort=check_in&source=default",
	} {
		r := a.get("/v1/reservations?limit=2&" + query + "&cursor=" + cursor)
		r.mustBeProblem(t, 422)
		if diff := cmp.Diff([]string{"query.cursor"}, r.wrongFields(t)); diff != "" {
			t.Errorf("%s: %s", query, diff)
		}
	}
}

// A query that is no guest's address when a list begins stays a text on its later pages, and the other way round,
// whichever guests have come and gone.
func TestPagesOfAnAddress(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	book := func(id, email string) {
		a.post(hook{body: fmt.Sprintf(
			`{"type":"reservation.created","timestamp":"2024-10-20T09:00:00.000Z","data":{"reservation_id":%q,"listing_id":"l","guest_email":%q,"check_in":"2030-11-01T15:00:00Z","check_out":"2030-11-03T10:00:00Z"}}`, id, email)})
		a.apply()
	}
	page := func(cursor string) ([]string, string) {
		r := a.get("/v1/reservations?q=nna%40example.com&sort=check_in&limit=2&cursor=" + url.QueryEscape(cursor))
		next, _ := r.body["next_cursor"].(string)
		return r.ids(t, "reservation_id"), next
	}
	for i, email := range []string{"anna@example.com", "joanna@example.com", "hanna@example.com", "tom@example.com"} {
		book(fmt.Sprint(i), email)
	}
	first, next := page("")
	book("the-address", "nna@example.com")
	second, _ := page(next)
	if got := slices.Concat(first, second); !slices.Equal(got, []string{"0", "1", "2", "the-address"}) {
		t.Errorf("as a text: %v", got)
	}
	for _, id := range []string{"the-address-2", "the-address-3"} {
		book(id, "nna@example.com")
	}
	first, next = page("")
	for _, id := range []string{"the-address", "the-address-2", "the-address-3"} {
		if _, err := a.store.Pool().Exec(context.Background(),
			`UPDATE reservations SET guest_email = 'other@example.com' WHERE reservation_id = $1`, id); err != nil {
			t.Fatal(err)
		}
	}
	second, _ = page(next)
	if len(first) != 2 || len(second) != 0 {
		t.Errorf("as an address: %v, and then %v", first, second)
	}
}

// Filters of the other lists take several values, too.
func TestSeveralValues(t *testing.T) {
	t.Parallel()
	a := two(t)
	for path, name := range map[string]string{
		"/v1/events?status=applied,rejected&type=reservation.created,none&source=default,none": "source",
		"/v1/listings?source=default,none&updated_since=2020-01-01":                            "source",
		"/v1/audit?action=hold,release&source=default,none":                                    "source",
	} {
		if strings.HasPrefix(path, "/v1/audit") {
			a.call("POST", onePath+"/hold", `{"reason":"r"}`)
			a.call("POST", "/v1/reservations/a%20b%2Fc/3333122-433/hold", `{"reason":"r"}`)
		}
		got := a.get(path).ids(t, name)
		if len(got) == 0 || slices.ContainsFunc(got, func(source string) bool { return source != "default" }) {
			t.Errorf("%s: %v", path, got)
		}
	}
	for _, path := range []string{
		"/v1/events?status=applied,lost", "/v1/deliveries?status=waiting,lost",
		"/v1/deliveries?type=,", "/v1/listings?source=,", "/v1/audit?token=a,",
	} {
		a.get(path).mustBeProblem(t, 422)
	}
}
