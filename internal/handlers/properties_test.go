package handlers_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/stay"
)

// Rooms of several properties have the same name, and guests, too: each row says which property it belongs to, and the
// time zone where they differ, unless the page shows one property.
func TestRowsNameTheirProperty(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	for i, source := range []string{"default", "open"} {
		a.put(source, "101", fmt.Sprintf(`{"name":"Garden Room 101","time_zone":%q,"seam_access_group_ids":["555555-5555"]}`,
			[]string{"Europe/Madrid", "America/New_York"}[i]))
		for _, id := range []string{"arrives", "waits"} {
			a.post(hook{source: source, id: source + id, body: fmt.Sprintf(`{"type":"reservation.created",
				"timestamp":"2024-10-20T09:00:00.000Z","data":{"reservation_id":%q,"listing_id":"101","guest_name":"José",
				"check_in":"2040-08-03T15:00:00.000Z","check_out":"2040-08-05T11:00:00.000Z"}}`, id)})
		}
	}
	a.apply()
	a.sql(`UPDATE mobile_keys SET status = 'attention', reason = $1 WHERE reservation_id = 'waits'`,
		stay.ReasonNoGroups)
	v := a.visitor()
	v.signIn(adminToken)

	named := regexp.MustCompile(`Garden Room 101(?:</a>)?<div class="soft property">([^<]+)</div>`)
	rows := func(page shown) (names []string) {
		for _, found := range named.FindAllStringSubmatch(page.body, -1) {
			names = append(names, found[1])
		}
		return names
	}
	const differ = "default · Europe/Madrid, open · America/New_York"
	for path, want := range map[string]string{
		"/?date=2040-08-03&part=arrivals": "default · Europe/Madrid, default · Europe/Madrid, " +
			"open · America/New_York, open · America/New_York",
		"/?date=2040-08-03&part=problems": differ,
		"/arrivals?date=2040-08-03": "default · Europe/Madrid, default · Europe/Madrid, " +
			"open · America/New_York, open · America/New_York",
		"/calendar?from=2040-08-01": differ,
		"/search?q=garden":          "open, default", // listings have no times to show

		"/?date=2040-08-03&part=arrivals&source=open": "",
		"/?date=2040-08-03&part=problems&source=open": "",
		"/arrivals?date=2040-08-03&source=open":       "",
		"/calendar?from=2040-08-01&source=open":       "",
	} {
		page := v.see(path)
		if got := strings.Join(rows(page), ", "); got != want || !strings.Contains(page.body, "Garden Room 101") {
			t.Errorf("%s names %q, not %q", path, got, want)
		}
	}

	a.put("open", "101", `{"time_zone":"Europe/Madrid"}`)
	if got := strings.Join(rows(v.see("/?date=2040-08-03&part=problems")), ", "); got != "default, open" {
		t.Errorf("in one time zone the rows are named %q", got)
	}

	a.tokens = append(a.tokens, token("guest house", "sees-one-source-only", true, "open"))
	one := a.visitor()
	one.signIn("sees-one-source-only")
	for _, path := range []string{
		"/?date=2040-08-03", "/arrivals?date=2040-08-03", "/calendar?from=2040-08-01", "/search?q=garden",
	} {
		if got := rows(one.see(path)); len(got) > 0 {
			t.Errorf("who sees one property reads %v at %s", got, path)
		}
	}
}

// Where it is another day at another property, the arrows of Today skip no day of either.
func TestArrowsSkipNoDay(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	for source, zone := range map[string]string{"default": "Pacific/Kiritimati", "open": "Pacific/Pago_Pago"} {
		s := a.sources[source]
		s.Policy.TimeZone = zone
		a.sources[source] = s
	}
	in := func(name string, days int) string {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		return "/?date=" + time.Now().In(zone).AddDate(0, 0, days).Format(time.DateOnly)
	}
	arrows := func() [2]string { return [2]string{in("Pacific/Kiritimati", -1), in("Pacific/Pago_Pago", 1)} }

	v := a.visitor()
	v.signIn(adminToken)
	want, page := arrows(), v.see("/")
	for now := arrows(); want != now; now = arrows() { // midnight has passed
		want, page = now, v.see("/")
	}
	arrow := regexp.MustCompile(`href="([^"]*)" aria-label="(?:Previous|Next) day"`)
	found := arrow.FindAllStringSubmatch(page.body, -1)
	if len(found) != 2 || found[0][1] != want[0] || found[1][1] != want[1] {
		t.Errorf("the arrows lead to %v, not %v", found, want)
	}
}
