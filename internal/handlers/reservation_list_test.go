package handlers_test

import (
	"encoding/csv"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
)

// week books a guest for each of some days from now on; negative days are over.
func week(t *testing.T, days ...int) (*app, *visitor) {
	t.Helper()
	a := newApp(t)
	return a, bookWeek(a, days...)
}

// bookWeek books what [week] has, and signs an admin in.
func bookWeek(a *app, days ...int) *visitor {
	a.t.Helper()
	a.put("default", "garden",
		`{"name":"Garden suite","time_zone":"Europe/Madrid","seam_access_group_ids":["555555-5555"]}`)
	for i, day := range days {
		in := time.Now().AddDate(0, 0, day)
		a.post(hook{id: fmt.Sprint("week-", i), body: fmt.Sprintf(
			`{"type":"reservation.created","timestamp":"2024-10-20T09:00:00.000Z","data":{"reservation_id":"day%+d","listing_id":"garden","guest_name":"=Jane %+d Doe","guest_email":"jane%d@example.com","check_in":%q,"check_out":%q}}`,
			day, day, day, pms.FormatInstant(in), pms.FormatInstant(in.AddDate(0, 0, 2)))})
	}
	a.apply()
	v := a.visitor()
	v.signIn(adminToken)
	return v
}

// stays are the reservations that a page lists, in its order.
func stays(page shown) string {
	var ids []string
	const row = `<td data-label="Guest" class="who"><a href="/reservations/default/`
	for _, part := range strings.Split(page.body, row)[1:] {
		id, _, _ := strings.Cut(part, `"`)
		ids = append(ids, strings.ReplaceAll(id, "&#43;", "+"))
	}
	return strings.Join(ids, " ")
}

func TestReservationList(t *testing.T) {
	t.Parallel()
	a, v := week(t, 5, 1, -9, 3)
	a.sql(`UPDATE mobile_keys SET status = 'attention', reason = $1 WHERE reservation_id = 'day+3'`,
		stay.ReasonRemovedAtSeam)
	a.sql(`UPDATE mobile_keys SET status = 'waiting' WHERE reservation_id = 'day+5'`)
	a.sql(`UPDATE mobile_keys SET status = 'issued' WHERE reservation_id IN ('day+1', 'day-9')`)
	for path, want := range map[string]string{
		"/reservations":                                        "day+1 day+3 day+5",
		"/reservations?when=all":                               "day-9 day+1 day+3 day+5",
		"/reservations?key_status=attention,waiting":           "day+3 day+5",
		"/reservations?key_status=issued&when=all":             "day-9 day+1",
		"/reservations?sort=check_in&check_in_from=2020-01-01": "day-9 day+1 day+3 day+5",
		"/reservations?q=doe+jane&sort=check_in":               "day-9 day+1 day+3 day+5",
		"/reservations?q=doe+%2B3+jane":                        "day+3",
		"/reservations?listing_id=garden&source=default":       "day+1 day+3 day+5",
		"/search?q=doe+%2B5":                                   "day+5",
	} {
		if got := stays(v.see(path)); got != want {
			t.Errorf("%s: %s, not %s", path, got, want)
		}
	}
	page := v.see("/reservations?key_status=attention")
	for _, want := range []string{
		`1 reservation<`, `href="/reservations" aria-current="true">Needs you`,
		`href="/reservations?key_status=attention%2Cwaiting">Waiting`, "Somebody took the key away in Salto KS.",
	} {
		if !strings.Contains(page.body, want) {
			t.Errorf("the list lacks %q:\n%s", want, page.body)
		}
	}
	if page := v.see("/search?q=garden+suite"); !strings.Contains(page.body,
		`href="/listings/default/garden">Garden suite`) {
		t.Errorf("a listing's name finds\n%s", page.body)
	}
	if page := v.see("/search?q=day%2B1"); !strings.Contains(page.body, "reservation.created") {
		t.Errorf("an id finds no events:\n%s", page.body)
	}
	if page := v.see("/search?q=nobody-of-this-name"); !strings.Contains(page.body, "No results") {
		t.Errorf("nothing found:\n%s", page.body)
	}
}

func TestExportOfReservations(t *testing.T) {
	t.Parallel()
	a, v := week(t, 5, 1, -9)
	sheet := v.see("/reservations.csv?when=all")
	rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(sheet.body, "\uFEFF"))).ReadAll()
	if err != nil || sheet.status != 200 || !strings.HasPrefix(sheet.header.Get("Content-Type"), "text/csv") ||
		!strings.HasPrefix(sheet.header.Get("Content-Disposition"), "attachment") {
		t.Fatalf("%d %v %v", sheet.status, sheet.header, err)
	}
	var ids []string
	for _, row := range rows {
		ids = append(ids, row[1]+"|"+row[3]+"|"+row[7]+"|"+row[10])
	}
	if diff := cmp.Diff([]string{
		"reservation_id|guest_name|listing|time_zone",
		"day-9|'=Jane -9 Doe|Garden suite|Europe/Madrid", "day+1|'=Jane +1 Doe|Garden suite|Europe/Madrid",
		"day+5|'=Jane +5 Doe|Garden suite|Europe/Madrid",
	}, ids); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	v.see("/reservations.csv?q=jane1@example.com&key_status=waiting")
	entries := a.get("/v1/audit?action=export_reservations").body["items"].([]any)
	if len(entries) != 2 {
		t.Fatalf("the audit log has %v", entries)
	}
	last := fmt.Sprint(entries[0])
	if !strings.Contains(last, "Maria (admin)") || !strings.Contains(last, "reservations:") ||
		!strings.Contains(last, "key_status:waiting") || strings.Contains(last, "jane1@example.com") {
		t.Errorf("the entry is %s", last)
	}
	a.tokens = append(a.tokens, token("other", "reads-another-source", false, "a b/c"))
	other := a.visitor()
	other.signIn("reads-another-source")
	for _, path := range []string{
		"/reservations.csv?when=all", "/reservations.csv?source=default&when=all",
		"/arrivals", "/search?q=jane",
	} {
		if sheet := other.see(path); strings.Contains(sheet.body, "Jane ") {
			t.Errorf("%s shows another source:\n%s", path, sheet.body)
		}
	}
}

func TestExportIsBounded(t *testing.T) {
	t.Parallel()
	a, v := week(t)
	a.sql(
		`INSERT INTO reservations (source, reservation_id, status, check_in, check_out, version_at, version_seq,
			created_at, updated_at)
		SELECT 'default', 'r' || n, 'confirmed', now(), now() + interval '1 day', now(), n, now(), now()
			FROM generate_series(1, 10001) n`)
	a.sql(
		`INSERT INTO mobile_keys (source, reservation_id, status, check_in, changed_at) SELECT source, reservation_id, 'waiting', check_in, now() FROM reservations`)
	if sheet := v.see("/reservations.csv"); sheet.status != 409 ||
		!strings.Contains(sheet.body, "more than 10000 reservations: narrow the filters") {
		t.Errorf("%d\n%s", sheet.status, sheet.body)
	}
	if page := v.see("/reservations"); !strings.Contains(page.body, "more than 1000 reservations") {
		t.Errorf("the total of many:\n%s", page.body)
	}
}

func TestArrivalsSheet(t *testing.T) {
	t.Parallel()
	_, v := week(t, 0, 1)
	page := v.see("/arrivals")
	if !strings.Contains(page.body, "=Jane &#43;0 Doe") || strings.Contains(page.body, "=Jane &#43;1 Doe") ||
		!strings.Contains(page.body, "data-print") {
		t.Errorf("today's arrivals:\n%s", page.body)
	}
	if page := v.see("/arrivals?date=never"); page.status != 422 {
		t.Errorf("no date: %d", page.status)
	}
}

// Lists say how many stays they leave out because their times aren't known: of those that their filters leave, and not
// as a number where there are more than are counted.
func TestListsCountStaysWithoutTimes(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.sql(`INSERT INTO reservations (source, reservation_id, status, listing_id, check_in_said, check_out_said,
			version_at, version_seq, created_at, updated_at)
		SELECT 'default', 'u' || n, 'confirmed', 'l' || least(n, 2), '2090-01-01', '2090-01-02', now(), n, now(), now()
		FROM generate_series(1, 1001) n`)
	a.sql(`INSERT INTO mobile_keys (source, reservation_id, status, reason, changed_at)
		SELECT source, reservation_id, CASE WHEN version_seq > 3 THEN 'waiting' ELSE 'attention' END,
			'time_zone_unknown', now()
		FROM reservations`)
	v := a.visitor()
	v.signIn(adminToken)
	for path, want := range map[string]string{
		"/reservations":                      "1000 or more stays are not shown here",
		"/calendar":                          "time of 1000 or more stays isn&#39;t known",
		"/calendar?source=default":           `href="/reservations?source=default&amp;when=undated"`,
		"/calendar?source=open":              "",
		"/calendar?q=l1":                     "",
		"/reservations?key_status=attention": "3 stays are not shown here, because their",
		"/reservations?key_status=attention&listing_id=l1":        "1 stay is not shown here, because its",
		"/reservations?key_status=attention&when=today":           `href="/reservations?key_status=attention&amp;when=undated"`,
		"/reservations?check_in_from=2026-01-01&status=confirmed": `href="/reservations?status=confirmed&amp;when=undated"`,
		"/reservations?source=open":                               "",
		"/reservations?status=cancelled":                          "",
		"/reservations?when=all":                                  "", // which has them
		"/reservations?when=undated":                              "",
	} {
		page := v.see(path)
		if want == "" && strings.Contains(page.body, "when=undated\">Show") || !strings.Contains(page.body, want) {
			t.Errorf("%s should say %q:\n%s", path, want, page.body)
		}
	}
	page := v.see("/reservations?key_status=attention&when=undated")
	if !strings.Contains(page.body, "3 reservations") {
		t.Errorf("the list of stays without times has others than were counted:\n%s", page.body)
	}
}

// What the PMS sent of a stay's times is shown wherever the times would be, as long as no time zone is known.
func TestStaysWithoutTimesShowWhatWasSent(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	for id, times := range map[string]string{
		"hours": `"check_in":"2091-11-26T15:30","check_out":"2091-11-28T11:15"`,
		"days":  `"check_in":"2091-11-26","check_out":"2091-11-28"`,
	} {
		a.post(hook{id: "sent-" + id, body: fmt.Sprintf(
			`{"type":"reservation.created","timestamp":"2024-10-20T09:00:00.000Z","data":{"reservation_id":%q,"listing_id":"attic","guest_name":"Guest %s",%s}}`,
			id, id, times)})
	}
	a.apply()
	v := a.visitor()
	v.signIn(adminToken)
	for path, wants := range map[string][]string{
		"/reservations/default/hours":        {"Mon 26 Nov 2091, 15:30", "Wed 28 Nov 2091, 11:15", "(as the PMS sent it)"},
		"/reservations/default/days":         {"Mon 26 Nov 2091 <", "Wed 28 Nov 2091 <", "(as the PMS sent it)"},
		"/reservations/default/hours/window": {"Mon 26 Nov 2091, 15:30"},
		"/reservations?when=undated":         {"Mon 26 Nov 2091, 15:30", "Mon 26 Nov 2091<"},
		"/calendar?from=2091-11-20": {
			`class="bar provisioning s13 w4 undated" href="/reservations/default/hours"`,
			`class="bar provisioning s13 w4 undated" href="/reservations/default/days"`,
			"Guest hours, Mon 26 Nov 2091, 15:30 – Wed 28 Nov 2091, 11:15 (as the PMS sent it): Being set up",
			"Guest days, Mon 26 Nov 2091 – Wed 28 Nov 2091 (as the PMS sent it): Being set up",
		},
		"/arrivals?date=2091-11-26": {`"Check-in">15:30<`, "Wed 28 Nov 2091, 11:15"},
		"/?date=2091-11-26":         {`class="in">15:30<`},
		"/reservations.csv?when=undated": {
			",2091-11-26 15:30,2091-11-28 11:15,,", ",2091-11-26,2091-11-28,,",
		},
	} {
		page := v.see(path)
		for _, want := range wants {
			if !strings.Contains(page.body, want) {
				t.Errorf("%s lacks %q:\n%s", path, want, page.body)
			}
		}
	}
}
