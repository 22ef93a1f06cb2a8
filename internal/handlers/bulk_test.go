package handlers_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/staykey/staykey/internal/store/storetest"
)

// results are the items of an action for several reservations, one a line.
func results(answer answered) string {
	var lines []string
	items, _ := answer.body["items"].([]any)
	for _, one := range items {
		item := one.(map[string]any)
		lines = append(lines, fmt.Sprint(item["reservation_id"], " ", item["status"], " ", item["code"]))
	}
	return strings.Join(lines, ", ")
}

// decisions are the admins' decisions about a reservation, as REST shows them.
func (a *app) decisions(id string) map[string]any {
	a.t.Helper()
	return a.get("/v1/reservations/default/" + url.PathEscape(id) + "/overrides").body
}

// holdsOne holds the reservation of [two].
const holdsOne = `{"action":"hold","reason":"because","author":"Maria",` +
	`"reservations":[{"source":"default","reservation_id":"3333122-433"}]}`

// undoOf applies an action to several reservations, and returns the id with which it can be undone.
func (a *app) undoOf(secret, body string) string {
	a.t.Helper()
	done := a.as(secret, "POST", "/v1/reservations/actions", body)
	id, _ := done.body["undo_id"].(string)
	return id
}

const threeOf = `"reservations":[{"source":"default","reservation_id":"day+1"},` +
	`{"source":"default","reservation_id":"day+3"},{"source":"default","reservation_id":"nobody"}]`

func TestActOnSeveralAndUndo(t *testing.T) {
	t.Parallel()
	a, _ := week(t, 1, 3, 5)
	for _, tc := range []struct {
		action, reason string
		window         string
	}{
		{action: "hold", reason: "nothing changes while it is on hold"},
		{action: "revoke", reason: "the guest gets the key back"},
		{action: "window", window: `"later_minutes":60,`, reason: "the stay's own times again"},
	} {
		before := []map[string]any{a.decisions("day+1"), a.decisions("day+3")}
		done := a.call(
			"POST",
			"/v1/reservations/actions",
			`{"action":"`+tc.action+`","reason":"because","author":"Maria",`+tc.window+threeOf+`}`,
		)
		want := "nobody refused not_found, day+1 done <nil>, day+3 done <nil>"
		if got := results(done); done.status != 200 || got != want {
			t.Fatalf("%s: %d %s, not %s: %s", tc.action, done.status, got, want, done.rawBody)
		}
		if cmp.Equal(before[0], a.decisions("day+1")) || done.body["undo_until"] == nil {
			t.Errorf("%s changed nothing: %s", tc.action, done.rawBody)
		}
		undo := "/v1/undo/" + done.body["undo_id"].(string)
		undone := a.call("POST", undo, `{"author":"Maria"}`)
		if got, want := results(undone), "day+1 undone <nil>, day+3 undone <nil>"; undone.status != 200 ||
			got != want {
			t.Errorf("undo %s: %d %s, not %s", tc.action, undone.status, got, want)
		}
		for i, id := range []string{"day+1", "day+3"} {
			if diff := cmp.Diff(before[i], a.decisions(id)); diff != "" {
				t.Errorf("undo %s (%s):\n%s", tc.action, tc.reason, diff)
			}
		}
		if again := a.call("POST", undo, ""); again.status != 200 || results(again) != results(undone) {
			t.Errorf("undone twice: %d %s", again.status, again.rawBody)
		}
	}
	if history := a.get("/v1/reservations/default/day+1/timeline").rawBody; !strings.Contains(
		history,
		"Maria (admin) undid the last action",
	) {
		t.Errorf("the history does not tell: %s", history)
	}
}

// Undo leaves later decisions alone.
func TestUndoLeavesLaterDecisions(t *testing.T) {
	t.Parallel()
	a, _ := week(t, 1, 3)
	two := `"reservations":[{"source":"default","reservation_id":"day+1"},{"source":"default","reservation_id":"day+3"}]`
	done := a.call("POST", "/v1/reservations/actions", `{"action":"hold","reason":"because",`+two+`}`)
	if r := a.call("POST", "/v1/reservations/default/day+1/release", `{"reason":"settled"}`); r.status != 202 {
		t.Fatal(r.rawBody)
	}
	undone := a.call("POST", "/v1/undo/"+done.body["undo_id"].(string), "")
	if got, want := results(undone), "day+1 refused changed_since, day+3 undone <nil>"; got != want {
		t.Errorf("%s, not %s", got, want)
	}
}

func TestActOnSeveralOnce(t *testing.T) {
	t.Parallel()
	a, _ := week(t, 1, 3)
	body := `{"action":"hold","reason":"because",` + threeOf + `}`
	first := a.keyed("bulk-1", adminToken, "POST", "/v1/reservations/actions", body)
	// the answer was lost before it was kept: the change must not be made again, nor refused because it was
	a.sql(`DELETE FROM idempotent_requests`)
	second := a.keyed("bulk-1", adminToken, "POST", "/v1/reservations/actions", body)
	if results(first) != results(second) || first.body["undo_id"] != second.body["undo_id"] {
		t.Errorf("first %s, then %s", first.rawBody, second.rawBody)
	}
	if n := len(a.get("/v1/audit?action=hold").body["items"].([]any)); n != 2 {
		t.Errorf("%d holds are recorded, not 2", n)
	}
}

func TestActOnSeveralIsRefused(t *testing.T) {
	t.Parallel()
	a, _ := week(t, 1, 3)
	a.tokens = append(
		a.tokens,
		token("other", "writes-another-source", true, "a b/c"),
		token("reader", "reads-only-reads-only", false),
	)
	one := `"reservations":[{"source":"default","reservation_id":"day+1"}]`
	for _, tc := range []struct {
		name, token, body, reason string
		status                    int
	}{
		{"no reason", adminToken, `{"action":"hold",` + one + `}`, "it is in the history", 422},
		{"no reservation", adminToken, `{"action":"hold","reason":"x","reservations":[]}`, "nothing to do", 422},
		{"no time", adminToken, `{"action":"window","reason":"x",` + one + `}`, "these are the stay's", 422},
		{"an unknown action", adminToken, `{"action":"erase","reason":"x",` + one + `}`, "there is none", 422},
		{"may read", "reads-only-reads-only", `{"action":"hold","reason":"x",` + one + `}`, "it changes nothing", 403},
	} {
		r := a.as(tc.token, "POST", "/v1/reservations/actions", tc.body)
		if r.status != tc.status {
			t.Errorf("%s: %d %s, not %d: %s", tc.name, r.status, r.rawBody, tc.status, tc.reason)
		}
	}
	r := a.as("writes-another-source", "POST", "/v1/reservations/actions", `{"action":"hold","reason":"x",`+one+`}`)
	if results(r) != "day+1 refused not_found" {
		t.Errorf("another source: %s", r.rawBody)
	}
	done := a.call("POST", "/v1/reservations/actions", `{"action":"hold","reason":"x",`+one+`}`)
	undo := "/v1/undo/" + done.body["undo_id"].(string)
	if r := a.as("writes-another-source", "POST", undo, ""); r.status != 404 {
		t.Errorf("undo of another source: %d %s", r.status, r.rawBody)
	}
	a.sql(`UPDATE action_batches SET undo_until = now() - interval '1 second'`)
	if r := a.call("POST", undo, ""); r.status != 409 || r.body["code"] != "nothing_to_undo" {
		t.Errorf("too late: %d %s", r.status, r.rawBody)
	}
	reissued := a.call("POST", "/v1/reservations/actions", `{"action":"reconcile",`+one+`}`)
	if r := a.call("POST", "/v1/undo/"+reissued.body["undo_id"].(string), ""); reissued.body["undo_until"] != nil ||
		r.status != 409 {
		t.Errorf("a check can't be undone: %s, %d", reissued.rawBody, r.status)
	}
}

// A reservation that somebody has locked is refused; the others are done, and can be undone.
func TestActOnSeveralMeetsALock(t *testing.T) {
	t.Parallel()
	a := newAppWithLocks(t)
	bookWeek(a, 1, 3)
	tx := storetest.Begin(t, a.store)
	_, err := tx.Exec(t.Context(), `SELECT FROM reservations WHERE reservation_id = 'day+1' FOR UPDATE`)
	if err != nil {
		t.Fatal(err)
	}
	done := a.call("POST", "/v1/reservations/actions", `{"action":"hold","reason":"x","reservations":[
		{"source":"default","reservation_id":"day+1"},{"source":"default","reservation_id":"day+3"}]}`)
	if got := results(done); got != "day+1 refused unavailable, day+3 done <nil>" || done.body["undo_id"] == nil {
		t.Errorf("%d %s", done.status, done.rawBody)
	}
}

// Without scripts: select, apply, read what was done and what was not, and undo it.
func TestBulkPage(t *testing.T) {
	t.Parallel()
	a, v := week(t, 1, 3, 5)
	form := url.Values{
		"stay":   {"default/day+1", "default/day+3"},
		"action": {"hold"},
		"back":   {"/reservations?key_status=provisioning"},
	}
	page := v.post("/reservations/actions", form)
	for _, want := range []string{"Reason is required", `value="default/day&#43;1" aria-label="Select =Jane &#43;1 Doe, day&#43;1" checked`, `<option value="hold" selected>`} {
		if !strings.Contains(page.body, want) {
			t.Errorf("%d: the form again lacks %q:\n%s", page.status, want, page.body)
		}
	}
	form.Set("reason", "the owner asks")
	if r := a.call("POST", "/v1/reservations/default/day+3/hold", `{"reason":"already"}`); r.status != 202 {
		t.Fatal(r.rawBody)
	}
	page = v.post("/reservations/actions", form)
	for _, want := range []string{"1 reservation put on hold.", "Nothing was done to 1 reservation:", "the reservation is held", ">Undo</button>"} {
		if page.status != 200 || page.path != "/reservations" || !strings.Contains(page.body, want) {
			t.Errorf("%d %s lacks %q:\n%s", page.status, page.path, want, page.body)
		}
	}
	_, undo, _ := strings.Cut(page.body, `<form method="post" action="/undo/`)
	undo, _, _ = strings.Cut(undo, `"`)
	page = v.post("/undo/"+undo, url.Values{"back": {"/reservations?key_status=provisioning"}})
	if !strings.Contains(page.body, "Undone: 1 reservation.") || strings.Contains(page.body, ">Undo</button>") ||
		a.decisions("day+1")["held"] != nil ||
		a.decisions("day+3")["held"] == nil {
		t.Errorf("undone: %v %v\n%s", a.decisions("day+1"), a.decisions("day+3"), page.body)
	}
	page = v.post(
		"/reservations/actions",
		url.Values{"action": {"hold"}, "reason": {"x"}, "back": {"https://evil.example/"}},
	)
	if page.status != 422 || !strings.Contains(page.body, "Select reservations first.") {
		t.Errorf("nothing selected: %d", page.status)
	}
	page = v.post("/reservations/default/day+1/revoke", url.Values{"reason": {"payment failed"}})
	if !strings.Contains(page.body, "1 reservation: key revoked.") || !strings.Contains(page.body, ">Undo</button>") {
		t.Errorf("one action offers no undo:\n%s", page.body)
	}
	a.tokens = append(a.tokens, token("reader", "reads-only-reads-only", false))
	reader := a.visitor()
	reader.signIn("reads-only-reads-only")
	if page := reader.see("/reservations"); strings.Contains(page.body, `name="stay"`) ||
		strings.Contains(page.body, "Save this view") {
		t.Error("a token that may only read is offered actions")
	}
}

func TestSavedViews(t *testing.T) {
	t.Parallel()
	a, v := week(t, 2, 40)
	page := v.post(
		"/views/reservations",
		url.Values{"name": {"Tomorrow"}, "query": {"when=week&q=jane&cursor=x&guest_email=a@b.example"}},
	)
	if page.status != 200 || stays(page) != "day+2" ||
		!strings.Contains(page.body, `<a href="/reservations?when=week" aria-current="true">Tomorrow</a>`) {
		t.Errorf("%d %s\n%s", page.status, stays(page), page.body)
	}
	if page := v.see("/reservations?key_status=waiting"); !strings.Contains(
		page.body,
		`<a href="/reservations?when=week">Tomorrow</a>`,
	) ||
		!strings.Contains(page.body, "Save this view") {
		t.Errorf("another view of the list:\n%s", page.body)
	}
	if page := v.see("/events"); strings.Contains(page.body, "Tomorrow") {
		t.Error("a view of reservations is shown at events")
	}
	v.post("/views/events", url.Values{"name": {"Rejected"}, "query": {"status=rejected&source=default"}})
	a.tokens = append(a.tokens, token("other", "reads-another-source", false, "a b/c"))
	other := a.visitor()
	other.signIn("reads-another-source")
	if page := other.see("/events"); strings.Contains(page.body, "Rejected</a>") {
		t.Error("a view of a source that the token doesn't see is shown")
	}
	for name, query := range map[string]string{
		"About a listing": "listing_id=garden", "About a stay": "status=rejected&reservation_id=day%2B2",
	} {
		v.post("/views/events", url.Values{"name": {name}, "query": {query}})
		if page := v.see("/events"); !strings.Contains(page.body, name+"</a>") {
			t.Errorf("a view of %s is not shown:\n%s", query, page.body)
		}
		if page := other.see("/events"); strings.Contains(page.body, "About ") {
			t.Errorf("a view of %s is shown to a token that doesn't see it", query)
		}
	}
	a.tokens = append(a.tokens, token("own", "reads-own-source", false, "default"))
	own := a.visitor()
	own.signIn("reads-own-source")
	if page := own.see("/events"); strings.Count(page.body, ">About a ") != 2 {
		t.Errorf("a token of the source doesn't see the views of its listing and stay:\n%s", page.body)
	}
	a.tokens = append(a.tokens, token("third", "writes-another-source", true, "a b/c"))
	third := a.visitor()
	third.signIn("writes-another-source")
	for _, path := range []string{"/views/events", "/views/events/delete"} {
		if page := third.post(path, url.Values{"name": {"Rejected"}, "query": {"status=applied"}}); page.status != 409 {
			t.Errorf("%s of a view that the token doesn't see: %d", path, page.status)
		}
	}
	for _, tc := range []struct {
		path   string
		form   url.Values
		status int
	}{
		{"/views/reservations", url.Values{"name": {" "}, "query": {"when=all"}}, 422},
		{"/views/audit", url.Values{"name": {"x"}, "query": {"when=all"}}, 404},
		{"/views/reservations/delete", url.Values{"name": {"never saved"}}, 404},
		{"/views/reservations/delete", url.Values{"name": {"Tomorrow"}}, 200},
	} {
		if page := v.post(tc.path, tc.form); page.status != tc.status {
			t.Errorf("%s %v: %d, not %d", tc.path, tc.form, page.status, tc.status)
		}
	}
	if page := v.see("/reservations"); strings.Contains(page.body, "Tomorrow</a>") {
		t.Error("a deleted view is shown")
	}
}

// Relative days are those at the property.
func TestRelativeDays(t *testing.T) {
	t.Parallel()
	a, _ := week(t, -40, 40) // far enough from the edges, whatever the time is
	for query, want := range map[string]int{
		"check_in_from=today&check_in_to=today%2B60": 1, "check_in_from=today-60&check_in_to=today": 1,
		"check_in_from=today-60": 2, "check_in_from=today%2B60": 0,
	} {
		if got := len(a.get("/v1/reservations?" + query).body["items"].([]any)); got != want {
			t.Errorf("%s: %d, not %d", query, got, want)
		}
	}
	if r := a.get("/v1/reservations?check_in_from=yesterday"); r.status != 422 {
		t.Errorf("an unknown word: %d", r.status)
	}
}

// A token of one source undoes only the part of an action that it sees.
func TestUndoOfOneSourceLeavesTheOthers(t *testing.T) {
	t.Parallel()
	a := two(t)
	a.tokens = append(a.tokens, token("other", "writes-another-source", true, "a b/c"))
	undo := "/v1/undo/" + a.undoOf(adminToken, `{"action":"hold","reason":"because","reservations":[`+
		`{"source":"default","reservation_id":"3333122-433"},{"source":"a b/c","reservation_id":"3333122-433"}]}`)
	if r := a.as("writes-another-source", "POST", undo, ""); results(r) != "3333122-433 undone <nil>" {
		t.Fatalf("of one source: %d %s", r.status, r.rawBody)
	}
	if a.decisions("3333122-433")["held"] == nil {
		t.Fatal("a token undid what it doesn't see")
	}
	r := a.call("POST", undo, "")
	if results(r) != "3333122-433 undone <nil>, 3333122-433 undone <nil>" || a.decisions("3333122-433")["held"] != nil {
		t.Errorf("of every source: %d %s, and it is still %v", r.status, r.rawBody, a.decisions("3333122-433")["held"])
	}
}

// A late check-out for several stays doesn't take away the early check-in that one of them was given before.
func TestWindowOfSeveralKeepsTheOtherEnd(t *testing.T) {
	t.Parallel()
	a, _ := week(t, 1)
	for _, minutes := range []string{`"later_minutes":60`, `"earlier_minutes":60`} {
		r := a.call("POST", "/v1/reservations/actions", `{"action":"window","reason":"because",`+minutes+
			`,"reservations":[{"source":"default","reservation_id":"day+1"}]}`)
		if results(r) != "day+1 done <nil>" {
			t.Fatalf("%d %s", r.status, r.rawBody)
		}
	}
	window, _ := a.decisions("day+1")["window"].(map[string]any)
	if window["starts_at"] == nil || window["ends_at"] == nil {
		t.Errorf("one of the times was taken away: %v", window)
	}
}

// The reason of a hold may be about the guest, so it isn't stored with actions that were refused because of the hold.
func TestRefusedActionsKeepNoReason(t *testing.T) {
	t.Parallel()
	a, _ := week(t, 1)
	if r := a.call("POST", "/v1/reservations/default/day+1/hold", `{"reason":"Jane is ill"}`); r.status != 202 {
		t.Fatal(r.rawBody)
	}
	r := a.call("POST", "/v1/reservations/actions",
		`{"action":"hold","reason":"x","reservations":[{"source":"default","reservation_id":"day+1"}]}`)
	if results(r) != "day+1 refused reservation_held" || strings.Contains(r.rawBody, "ill") {
		t.Errorf("%d %s", r.status, r.rawBody)
	}
}
