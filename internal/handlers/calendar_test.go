package handlers_test

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
)

var barAt = regexp.MustCompile(`class="bar (\w+) s(\d+) w(\d+)([ a-z]*?)(?: urgent)?" href="/reservations/default/([^"]+)"`)

func TestCalendar(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	for id, name := range map[string]string{"101": "Zebra", "102": "Änne", "103": "Empty"} {
		a.put("default", id, fmt.Sprintf(
			`{"name":%q,"time_zone":"Pacific/Auckland","seam_access_group_ids":["555555-5555"]}`, name))
	}
	for i, one := range []struct{ listing, in, out string }{
		{`"101"`, "2026-07-31T15:00", "2026-08-02T11:00"}, // from before
		{`"101"`, "2026-08-02T15:00", "2026-08-05T11:00"}, // on the day that the one before it leaves
		{`"101"`, "2026-08-14T15:00", "2026-08-20T11:00"}, // until after
		// early on the first day of the property, which is the day before in UTC
		{`"102"`, "2026-08-01T00:30", "2026-08-02T11:00"},
		{`"101"`, "2026-07-01T15:00", "2026-07-31T23:30"},   // over, on the property's day before
		{`"101"`, "2026-08-15T00:10", "2026-08-20T11:00"},   // later than two weeks
		{`"unset"`, "2026-08-03T15:00", "2026-08-04T11:00"}, // a listing that nobody has set up
		{`null`, "2026-08-03T15:00", "2026-08-03T20:00"},    // no room yet, and of a single day
	} {
		r := a.post(hook{id: fmt.Sprint("c-", i), body: fmt.Sprintf(
			`{"type":"reservation.created","timestamp":"2024-10-20T09:00:00.000Z","data":{"reservation_id":"c%d","listing_id":%s,"guest_name":"Guest %d","check_in":%q,"check_out":%q}}`,
			i, one.listing, i, instantIn(one.in), instantIn(one.out))})
		if r.status != 202 {
			t.Fatalf("%d %s", r.status, r.rawBody)
		}
	}
	a.apply()
	v := a.visitor()
	v.signIn(adminToken)
	page := v.see("/calendar?from=2026-08-01")
	got := map[string]string{}
	for _, found := range barAt.FindAllStringSubmatch(page.body, -1) {
		got[found[5]] = found[2] + " " + found[3] + found[4]
	}
	for id, want := range map[string]string{
		"c0": "0 3 earlier", "c1": "3 6", "c2": "27 1 later", "c3": "1 2",
		"c6": "5 1", "c7": "5 1",
	} {
		if got[id] != want {
			t.Errorf("%s is at %q, not %q", id, got[id], want)
		}
		delete(got, id)
	}
	if len(got) > 0 {
		t.Errorf("and these are too many: %v", got)
	}
	order := regexp.MustCompile(`(?s)scope="row">No room yet.*>Änne<.*>Empty<.*>unset<.*>Zebra<`)
	if page.status != http.StatusOK || !order.MatchString(page.body) ||
		!strings.Contains(page.body, "1 – 14 August 2026") {
		t.Errorf("%d\n%s", page.status, page.body)
	}

	t.Run("a month", func(t *testing.T) {
		page := v.see("/calendar?from=2026-08-20&span=month")
		if n := len(barAt.FindAllString(page.body, -1)); n != 7 || !strings.Contains(page.body, "August 2026") ||
			!strings.Contains(page.body, "calendar d31") {
			t.Errorf("%d bars\n%s", n, page.body)
		}
		if !strings.Contains(page.body, `href="/calendar?from=2026-07-01&amp;span=month"`) ||
			!strings.Contains(page.body, `href="/calendar?from=2026-09-01&amp;span=month"`) {
			t.Error("its arrows lead elsewhere")
		}
	})
	t.Run("a listing by a part of its name", func(t *testing.T) {
		page := v.see("/calendar?from=2026-08-01&q=ANNE")
		if !strings.Contains(page.body, "Änne") || strings.Contains(page.body, "Zebra") ||
			strings.Contains(page.body, "No room yet") {
			t.Errorf("%s", page.body)
		}
	})
	t.Run("a problem in words", func(t *testing.T) {
		a.sql(`UPDATE mobile_keys SET status = 'attention', reason = $1 WHERE reservation_id = 'c1'`,
			stay.ReasonNoGroups)
		if page := v.see("/calendar?from=2026-08-01"); !strings.Contains(page.body,
			"Needs you. This listing has no doors yet") {
			t.Errorf("%s", page.body)
		}
	})
	t.Run("of others", func(t *testing.T) {
		a.tokens = append(a.tokens, token("guest house", "sees-one-source-only", true, "open"))
		other := a.visitor()
		other.signIn("sees-one-source-only")
		for _, path := range []string{"/calendar?from=2026-08-01", "/calendar?from=2026-08-01&source=default"} {
			if page := other.see(path); page.status != http.StatusOK || strings.Contains(page.body, "Guest ") ||
				strings.Contains(page.body, "Zebra") {
				t.Errorf("%s: %d\n%s", path, page.status, page.body)
			}
		}
	})
	t.Run("nonsense", func(t *testing.T) {
		for path, want := range map[string]int{
			"/calendar?from=x": 422, "/calendar?span=year": 200,
			"/calendar?cursor=x": 422, "/calendar?from=0000-01-01": 200, "/calendar?from=9999-12-31": 200,
			"/calendar?q=%00": 422,
		} {
			if page := v.see(path); page.status != want {
				t.Errorf("%s: %d, not %d", path, page.status, want)
			}
		}
	})
}

// Stays whose times aren't known are on the days that their PMS sent, in the row of their listing.
func TestCalendarOfStaysWithoutTimes(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.sql(`INSERT INTO listings (source, listing_id, known, updated_at, created_at, name) VALUES ('default', '101', true, now(), now(), 'Zebra')`)
	for id, one := range map[string]struct{ listing, in, out any }{
		"whole":   {"101", "2026-08-03", "2026-08-05T11:00"},
		"no-room": {nil, "2026-08-03T15:00", "2026-08-05"},
		"in-only": {"101", "2026-08-03", nil}, "out-only": {"101", nil, "2026-08-05"},
		"turned":  {"101", "2026-08-05", "2026-08-03"}, // the wrong way round
		"earlier": {"101", "2026-07-20", "2026-08-02"}, "over": {"101", "2026-07-20", "2026-07-31"},
		"later": {"101", "2026-08-14", "2026-08-20"}, "after": {"101", "2026-08-15", "2026-08-20"},
		"never": {"101", nil, nil},
	} {
		a.sql(`INSERT INTO reservations (source, reservation_id, status, listing_id, check_in_said, check_out_said,
				version_at, version_seq, created_at, updated_at)
			VALUES ('default', $1, 'confirmed', $2, $3, $4, now(), 1, now(), now())`, id, one.listing, one.in, one.out)
	}
	a.sql(`INSERT INTO mobile_keys (source, reservation_id, status, reason, changed_at)
		SELECT source, reservation_id, 'waiting', 'time_zone_unknown', now() FROM reservations`)
	v := a.visitor()
	v.signIn(adminToken)
	page := v.see("/calendar?from=2026-08-01")
	got := map[string]string{}
	for _, found := range barAt.FindAllStringSubmatch(page.body, -1) {
		got[found[5]] = found[2] + " " + found[3] + found[4]
	}
	if diff := cmp.Diff(map[string]string{
		"whole": "5 4 undated", "no-room": "5 4 undated", "in-only": "5 2 undated", "out-only": "7 2 undated",
		"turned": "9 1 undated", "earlier": "0 3 earlier undated", "later": "27 1 later undated",
	}, got); diff != "" {
		t.Errorf("bars (-want +got):\n%s\n%s", diff, page.body)
	}
	if !regexp.MustCompile(`(?s)No room yet.*no-room.*Zebra.*whole`).MatchString(page.body) {
		t.Errorf("stays are in other rows:\n%s", page.body)
	}
	if page := v.see("/calendar?from=2026-08-01&source=open"); strings.Contains(page.body, "undated") {
		t.Errorf("another property shows them:\n%s", page.body)
	}
}

// TestCalendarIsLoudAboutGuestsWhoCantGetIn checks which bars have the loud color: those of guests whom Today lists as
// without a key, if they are due within 24 hours.
func TestCalendarIsLoudAboutGuestsWhoCantGetIn(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.sql(`INSERT INTO listings (source, listing_id, known, updated_at, created_at, name)
		VALUES ('default', '101', true, now(), now(), 'Zebra')`)
	for id, one := range map[string]struct {
		in, out, status, reason string
		attempts                int
	}{
		"attention-now":   {"-1 hour", "1 day", stay.KeyAttention, stay.ReasonNoGroups, 0},
		"attention-soon":  {"23 hours", "3 days", stay.KeyAttention, stay.ReasonNoGroups, 0},
		"attention-later": {"25 hours", "3 days", stay.KeyAttention, stay.ReasonNoGroups, 0},
		"attention-over":  {"-2 days", "-1 minute", stay.KeyAttention, stay.ReasonNoGroups, 0},
		"doors-now":       {"-1 hour", "1 day", stay.KeyWaiting, stay.ReasonNoGroups, 0},
		"doors-later":     {"25 hours", "3 days", stay.KeyWaiting, stay.ReasonNoGroups, 0},
		"email-now":       {"-1 hour", "1 day", stay.KeyWaiting, stay.ReasonNoEmail, 0},
		"email-soon":      {"1 hour", "1 day", stay.KeyWaiting, stay.ReasonNoEmail, 0}, // the guest has an hour left
		"failing":         {"1 hour", "1 day", stay.KeyProvisioning, "", 1},
		"new":             {"-1 hour", "1 day", stay.KeyProvisioning, "", 0},
		"in-use":          {"-1 hour", "1 day", stay.KeyActive, "", 0},
	} {
		a.sql(`INSERT INTO reservations (source, reservation_id, status, listing_id, check_in, check_out,
				version_at, version_seq, created_at, updated_at)
			VALUES ('default', $1, 'confirmed', '101', now() + $2::text::interval, now() + $3::text::interval,
				now(), 1, now(), now())`, id, one.in, one.out)
		a.sql(`INSERT INTO mobile_keys (source, reservation_id, status, reason, attempts, changed_at)
			VALUES ('default', $1, $2, nullif($3, ''), $4, now())`, id, one.status, one.reason, one.attempts)
	}
	v := a.visitor()
	v.signIn(adminToken)
	from := time.Now().UTC().AddDate(0, 0, -1).Format(time.DateOnly)
	page := v.see("/calendar?from=" + from)
	var loud []string
	for _, found := range regexp.MustCompile(`class="bar [ a-z0-9]* urgent" href="/reservations/default/([^"]+)"`).
		FindAllStringSubmatch(page.body, -1) {
		loud = append(loud, found[1])
	}
	slices.Sort(loud)
	want := []string{"attention-now", "attention-soon", "doors-now", "email-now", "failing"}
	if diff := cmp.Diff(want, loud); diff != "" {
		t.Errorf("loud bars (-want +got):\n%s\n%s", diff, page.body)
	}
	if !strings.Contains(page.body, "This listing has no doors yet. Can&#39;t get in, now or within 24 hours.") {
		t.Errorf("the tooltip doesn't say why:\n%s", page.body)
	}
}

// TestCalendarPages follows the pages of a calendar of more listings than one page has.
func TestCalendarPages(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.sql(`INSERT INTO listings (source, listing_id, known, updated_at, created_at, name)
		SELECT 'default', n::text, true, now(), now(), 'Room ' || lpad(n::text, 4, '0') FROM generate_series(1, 750) n`)
	v := a.visitor()
	v.signIn(adminToken)
	next, seen := "/calendar?span=month", 0
	link := regexp.MustCompile(`<a href="([^"]+)" rel="next"`)
	for next != "" {
		page := v.see(next)
		seen += strings.Count(page.body, `<th scope="row">`)
		next = ""
		if found := link.FindStringSubmatch(page.body); found != nil {
			next = strings.ReplaceAll(found[1], "&amp;", "&")
		}
	}
	if seen != 750 {
		t.Errorf("%d listings on all pages", seen)
	}
}

// TestCalendarOfTooMany has more stays without a room than a page can show, and checks that the page says so.
func TestCalendarOfTooMany(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	const say = "later ones are left out"
	add := func(from, to int) {
		a.sql(
			`WITH r AS (INSERT INTO reservations (source, reservation_id, status, check_in, check_out, version_at,
				version_seq, created_at, updated_at)
			SELECT 'default', 'n' || n, 'confirmed', '2026-08-03', '2026-08-04', now(), 1, now(), now()
				FROM generate_series($1::int, $2) n)
			INSERT INTO mobile_keys (source, reservation_id, status, changed_at)
				SELECT 'default', 'n' || n, 'waiting', now() FROM generate_series($1, $2) n`, from, to)
	}
	v := a.visitor()
	v.signIn(adminToken)
	add(1, 1000)
	if page := v.see("/calendar?from=2026-08-01"); strings.Count(page.body, "data-panel") != 1000 ||
		strings.Contains(page.body, say) {
		t.Errorf("%d stays of 1000", strings.Count(page.body, "data-panel"))
	}
	add(1001, 1200)
	if page := v.see("/calendar?from=2026-08-01"); strings.Count(page.body, "data-panel") != 1000 ||
		!strings.Contains(page.body, say) {
		t.Errorf("%d stays of 1200", strings.Count(page.body, "data-panel"))
	}
}

// instantIn is a wall-clock time of the tests' properties as an instant.
func instantIn(text string) string {
	zone, err := time.LoadLocation("Pacific/Auckland")
	if err != nil {
		panic(err)
	}
	at, err := time.ParseInLocation("2006-01-02T15:04", text, zone)
	if err != nil {
		panic(err)
	}
	return pms.FormatInstant(at)
}
