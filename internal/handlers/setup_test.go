package handlers_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/pms"
)

// TestSetup follows the checklist on Today from nothing to the first key.
func TestSetup(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.sources = map[string]pms.Source{"default": a.sources["default"]}
	v := a.visitor()
	v.signIn(adminToken)
	step := func(when, done string, say ...string) {
		t.Helper()
		body := v.see("/").body
		for _, want := range append(say, done+" of 5 done") {
			if !strings.Contains(body, want) {
				t.Errorf("%s: Today lacks %q:\n%s", when, want, body)
			}
		}
	}
	step("at first", "1", "Connected: 1 door to choose from", `href="/sources/default">Connect default`,
		`action="/sources/default/test"`, "Listings appear when your PMS sends them")
	if page := v.post("/sources/default/test", nil); page.status != http.StatusOK ||
		!strings.Contains(page.body, "the test event was verified and stored") {
		t.Fatalf("%d: %s", page.status, page.body)
	}
	step("after a test event", "2", "Received.", `href="/sources/default">Connect default`)
	now := time.Now()
	a.post(hook{id: "first", body: fmt.Sprintf(
		`{"type":"reservation.created","timestamp":"2024-10-20T09:00:00.000Z","data":{"reservation_id":"1","listing_id":"101","check_in":%q,"check_out":%q}}`,
		pms.FormatInstant(now.Add(time.Hour)), pms.FormatInstant(now.Add(20*time.Hour)))})
	a.apply()
	step("after the first reservation", "3", "Its first events have arrived.", "1 listing without doors",
		`href="/doors?missing=1"`, "none has its key yet")
	a.put("default", "101", `{"seam_access_group_ids":["555555-5555"]}`)
	step("after its doors are chosen", "4", "Every listing has its doors.")
	a.sql(`UPDATE mobile_keys SET status = 'issued', reason = NULL`)
	if body := v.see("/").body; strings.Contains(body, "Set up staykey") {
		t.Error("the checklist stays after the first key")
	}

	t.Run("a reader sends no test event", func(t *testing.T) {
		a.sql(`UPDATE mobile_keys SET status = 'waiting'`)
		a.sql(`DELETE FROM activity`)
		a.tokens = append(a.tokens, token("reader", "reads-everything", false))
		reader := a.visitor()
		reader.signIn("reads-everything")
		if page := reader.see("/"); strings.Contains(page.body, "/test") ||
			!strings.Contains(page.body, "Set up staykey") {
			t.Errorf("a reader sees\n%s", page.body)
		}
	})
}

// TestConnect is the page of a source, before and after its first event.
func TestConnect(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	for _, name := range []string{"hospitable", "uplisting", "mews"} {
		f, err := pms.LoadFormat(name)
		if err != nil {
			t.Fatal(err)
		}
		verifier, problems := pms.NewVerifier(*f.Verify, []string{"a-secret-of-thirty-two-characters"})
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		a.sources["my "+name] = pms.Source{
			Name: "my " + name, Format: f, Verifier: verifier,
			Secrets: []string{"a-secret-of-thirty-two-characters"}, Policy: pms.DefaultPolicy(),
			Statuses: pms.DefaultStatuses(),
		}
	}
	v := a.visitor()
	v.signIn(adminToken)
	for name, wants := range map[string][]string{
		"default": {
			"/webhooks/default</code>", "signs each webhook with the secret", "own format",
			"Waiting for the first event",
		},
		"my hospitable": {"/webhooks/my%20hospitable</code>", "Partner Portal, Webhooks: add <code>" + a.url +
			"/webhooks/my%20hospitable</code>", "name: my hospitable"},
		"my uplisting": {"/webhooks/my%20uplisting/YOUR-TOKEN</code>", "in place of YOUR-TOKEN"},
		"my mews":      {"Ask Mews", "Events will wait for documents"},
		"disabled":     {"all its webhooks are refused"},
	} {
		page := v.see("/sources/" + url.PathEscape(name))
		if page.status != http.StatusOK || strings.Contains(page.body, "YOUR-HOST") ||
			strings.Contains(page.body, "a-secret-of") || strings.Contains(page.body, ".md") {
			t.Errorf("%s: %d\n%s", name, page.status, page.body)
		}
		for _, want := range wants {
			if !strings.Contains(page.body, want) {
				t.Errorf("%s lacks %q:\n%s", name, want, page.body)
			}
		}
	}
	if page := v.see("/sources/nowhere"); page.status != http.StatusNotFound {
		t.Errorf("an unknown source: %d", page.status)
	}
	a.post(hook{
		id:   "l",
		body: `{"type":"listing.created","timestamp":"2024-10-20T09:00:00.000Z","data":{"listing_id":"1","seam_access_group_ids":[]}}`,
	})
	a.apply()
	if page := v.see("/sources/default"); !strings.Contains(page.body, "Events arrive.") ||
		!strings.Contains(page.body, "listing.created") {
		t.Errorf("after an event:\n%s", page.body)
	}
	if back := v.see("/sources/default/test"); back.path != "/sources/default" {
		t.Errorf("a reload of a test leads to %s", back.path)
	}

	t.Run("of others", func(t *testing.T) {
		a.tokens = append(a.tokens, token("guest house", "sees-one-source-only", true, "open"))
		other := a.visitor()
		other.signIn("sees-one-source-only")
		if page := other.see("/sources/default"); page.status != http.StatusNotFound {
			t.Errorf("%d", page.status)
		}
	})
}

// TestTestEventsAreApart checks that a test event doesn't change the figures that show whether a source works.
func TestTestEventsAreApart(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	before := a.get("/v1/sources").rawBody
	if d := a.call("GET", "/v1/diagnosis", ""); d.status != http.StatusOK {
		t.Fatalf("%d %s", d.status, d.rawBody)
	}
	for range 5 { // more than the limit of the source lets through
		if r := a.call("POST", "/v1/sources/limited/test", ""); r.body["ok"] != true {
			t.Fatalf("%s", r.rawBody)
		}
	}
	if after := a.get("/v1/sources").rawBody; after != before {
		t.Errorf("sources were\n%s\nand are\n%s", before, after)
	}
	v := a.visitor()
	v.signIn(adminToken)
	if page := v.see("/events"); strings.Contains(page.body, "test event (no effect)") {
		t.Error("test events are among those of PMSs")
	}
	a.sql(
		`UPDATE event_results SET status = 'rejected', reason = 'of a PMS' WHERE seq = (SELECT min(seq) FROM event_results WHERE type = 'staykey.test')`)
	if page := v.see("/events"); !strings.Contains(page.body, "of a PMS") {
		t.Error("what a PMS posts under the type of test events is hidden")
	}
	if page := v.see("/events?type=staykey.test"); !strings.Contains(page.body, "test event (no effect)") {
		t.Errorf("test events are nowhere:\n%s", page.body)
	}
}

// TestForgedTestEvent checks that only this installation can mark a test event: with the mark, a sender would be
// outside its rate limit and its counts.
func TestForgedTestEvent(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	for i, mark := range []string{"1", fmt.Sprint(time.Now().Unix()), fmt.Sprint(time.Now().Unix(), ".00"), ""} {
		r := a.post(hook{
			source: "default", id: fmt.Sprint("forged-", i),
			body: `{"type":"listing.created","timestamp":"2024-10-20T09:00:00.000Z","data":{"listing_id":"` +
				fmt.Sprint(i) + `","seam_access_group_ids":[]}}`,
			change: func(r *http.Request) { r.Header.Set("Staykey-Test", mark) },
		})
		if r.status != http.StatusAccepted || r.body["status"] != "accepted" {
			t.Errorf("%q: %d %s", mark, r.status, r.rawBody)
		}
	}
}

// TestFindingsOnEvents checks what doctor and Health say of listings that nobody has set up, and of PMSs.
func TestFindingsOnEvents(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.sources = map[string]pms.Source{"default": a.sources["default"], "open": a.sources["open"]}
	a.stuck("r", "annex", "listing_unknown")
	for id, reason := range map[string]string{"zoneless": "time_zone_unknown", "dateless": "dates_unknown"} {
		a.stuck(id, "attic", reason)
		a.sql(`UPDATE reservations SET check_in = NULL, check_out = NULL WHERE reservation_id = $1`, id)
		a.sql(`UPDATE mobile_keys SET check_in = NULL WHERE reservation_id = $1`, id)
	}
	a.post(hook{
		id:   "wrong",
		body: `{"type":"reservation.created","timestamp":"2024-10-20T09:00:00.000Z","data":{"reservation_id":"x"}}`,
	})
	v := a.visitor()
	v.signIn(adminToken)
	page := v.see("/health")
	doctor := a.get("/v1/diagnosis")
	if strings.Contains(page.body, "No problems found.") || !strings.Contains(page.body, "warnings found.") {
		t.Errorf("a page with warnings begins as if there were none:\n%s", page.body)
	}

	for _, want := range []string{
		"default/annex", "reservations name it, but it isn&#39;t set up: 1 guest is waiting for a key",
		"1 of 4 webhooks of the last 24 hours were rejected, or had a wrong signature",
		"guests without a key who are due within 24 h or have arrived: 3",
		"default/attic", "its time zone isn&#39;t known: 1 guest is waiting for a key",
		"stays without a known check-in or check-out: 1",
		"its PMS has posted nothing within 35 days", "its PMS last posted less than a minute ago",
	} {
		if !strings.Contains(page.body, want) {
			t.Errorf("Health lacks %q:\n%s", want, page.body)
		}
		if plain := strings.ReplaceAll(want, "&#39;", "'"); !strings.Contains(doctor.rawBody, plain) {
			t.Errorf("doctor lacks %q:\n%s", plain, doctor.rawBody)
		}
	}

	for _, link := range []string{
		`href="/listings/default/annex"`, `href="/">Open Today<`,
		`href="/events?source=default&amp;status=rejected">Show the events<`, `href="/sources/open">Open the source<`,
		`href="/reservations?source=default&amp;when=undated">Show the stays<`,
	} {
		if !strings.Contains(page.body, link) {
			t.Errorf("Health lacks the link %s:\n%s", link, page.body)
		}
	}
	for path, want := range map[string]string{
		"/reservations": "2 stays are not shown here", "/reservations?source=default&when=week": "2 stays are not shown here",
		"/calendar": "time of 2 stays isn&#39;t known",
	} {
		if page := v.see(path); !strings.Contains(page.body, want) {
			t.Errorf("%s leaves stays out and doesn't say so:\n%s", path, page.body)
		}
	}
	without := v.see("/reservations?when=undated")
	for _, want := range []string{"zoneless", "dateless", "2 reservations"} {
		if !strings.Contains(without.body, want) {
			t.Errorf("the list of stays without times lacks %q:\n%s", want, without.body)
		}
	}
	if got := a.get("/v1/reservations?undated=true"); len(got.body["items"].([]any)) != 2 {
		t.Errorf("REST lists %s", got.rawBody)
	}
}
