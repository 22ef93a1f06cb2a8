package handlers_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
)

// stuck books a guest who arrived two hours ago and has no key, for a reason.
func (a *app) stuck(id, listing, reason string) {
	a.t.Helper()
	now := time.Now()
	a.post(hook{id: "stuck-" + id, body: fmt.Sprintf(
		`{"type":"reservation.created","timestamp":"2024-10-20T09:00:00.000Z","data":{"reservation_id":%q,"listing_id":%q,"guest_name":"Guest %s","guest_phone":"+34612340001","check_in":%q,"check_out":%q}}`,
		id, listing, id, pms.FormatInstant(now.Add(-2*time.Hour)), pms.FormatInstant(now.Add(20*time.Hour)))})
	a.apply()
	a.sql(`UPDATE mobile_keys SET status = 'attention', reason = $2 WHERE reservation_id = $1`, id, reason)
}

func (a *app) sql(statement string, args ...any) {
	a.t.Helper()
	if _, err := a.store.Pool().Exec(a.t.Context(), statement, args...); err != nil {
		a.t.Fatal(err)
	}
}

var countOf = regexp.MustCompile(`<span class="count">(\d+)</span> <span class="name">([^<]+)<`)

func TestToday(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	for i := range 7 {
		a.stuck(fmt.Sprint("doors-", i), fmt.Sprint("room-", i%2), stay.ReasonNoGroups)
	}
	a.stuck("removed", "room-9", stay.ReasonRemovedAtSeam)
	v := a.visitor()
	v.signIn(adminToken)
	page := v.see("/")
	for _, want := range []string{
		"7 guests: 2 listings without doors", "1 guest: Somebody took the key away in Salto KS", "2 h late",
		`href="tel:&#43;34612340001"`, `href="/listings/default/room-0"`, "Choose doors",
		`action="/reservations/default/removed/reconcile"`, "Restore the key",
		`href="/?part=problems&amp;reason=no_access_groups">All 7</a>`,
	} {
		if !strings.Contains(page.body, want) {
			t.Errorf("Today lacks %q:\n%s", want, page.body)
		}
	}
	if strings.Contains(page.body, "seam_access_group_ids") {
		t.Error("Today speaks the words of the API")
	}

	t.Run("each count is the length of its list", func(t *testing.T) {
		for _, found := range countOf.FindAllStringSubmatch(page.body, -1) {
			part := map[string]string{
				"Without a key": "problems", "Arrivals": "arrivals", "In house": "in_house",
				"Departures": "departures",
			}[found[2]]
			list := v.see("/?part=" + part)
			if n := strings.Count(list.body, `<td data-label="Guest" class="who">`); fmt.Sprint(n) != found[1] {
				t.Errorf("%s: %s, and the list has %d", found[2], found[1], n)
			}
		}
	})
	t.Run("a button checks a stay and leads back", func(t *testing.T) {
		back := v.post("/reservations/default/removed/reconcile", url.Values{"back": {"/?part=problems&checked=1"}})
		if back.status != http.StatusOK || back.path != "/" ||
			!strings.Contains(back.body, "comparing the stay with Seam now") {
			t.Errorf("%d at %s", back.status, back.path)
		}
		if elsewhere := v.post("/reservations/default/removed/reconcile",
			url.Values{"back": {"https://evil.example"}}); elsewhere.path != "/" || elsewhere.status != http.StatusOK {
			t.Errorf("another host: %d at %s", elsewhere.status, elsewhere.path)
		}
	})
	t.Run("a reader has no button that posts", func(t *testing.T) {
		a.tokens = append(a.tokens, token("reader", "reads-everything", false))
		reader := a.visitor()
		reader.signIn("reads-everything")
		if page := reader.see("/"); strings.Contains(page.body, "/reconcile") ||
			!strings.Contains(page.body, "Choose doors") {
			t.Errorf("a reader sees\n%s", page.body)
		}
	})
	t.Run("nonsense is refused or forgotten", func(t *testing.T) {
		for path, want := range map[string]int{
			"/?date=yesterday": 422, "/?part=nothing": 200,
			"/?reason=nothing&part=problems": 200, "/?cursor=x": 422, "/?source=nowhere": 200, "/?date=0000-01-01": 200,
			"/?date=9999-12-31": 200,
		} {
			if page := v.see(path); page.status != want {
				t.Errorf("%s: %d, not %d", path, page.status, want)
			}
		}
	})
}

// An access system most of whose doors are offline is one line on Today, under its name, instead of one for each door.
func TestTodayNamesASystemAtRisk(t *testing.T) {
	t.Parallel()
	a := two(t)
	since := time.Now().Add(-time.Hour).UTC()
	ref := stay.Ref{Source: "default", ReservationID: "3333122-433"}
	if err := a.store.Doors.SetRisk(t.Context(), ref, []stay.DoorProblem{
		{EntranceID: "door-1", SystemID: "s", Name: "Front door", Problem: stay.DoorOffline, Since: since},
		{EntranceID: "door-2", SystemID: "s", Name: "Room 12", Problem: stay.DoorOffline, Since: since},
		{GroupID: "555555-5555", Problem: stay.DoorNoMobileKey, Since: since},
	}, since); err != nil {
		t.Fatal(err)
	}
	v := a.visitor()
	v.signIn(adminToken)
	page := v.see("/").body
	for _, want := range []string{
		"<strong>Building A</strong>: most of its doors are offline",
		"<strong>Room 12</strong>: none of its doors opens with a mobile key",
		`<a href="/reservations/default/3333122-433">`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("Today lacks %q:\n%s", want, page)
		}
	}
	if strings.Contains(page, "Front door") {
		t.Error("Today names each door of the system")
	}
}
