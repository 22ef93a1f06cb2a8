package handlers_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/handlers/rest"
)

// as makes a request with a token.
func (a *app) as(secret, method, path, body string) answered {
	a.t.Helper()
	req, err := http.NewRequest(method, a.url+path, strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	if secret != "" {
		req.Header.Set("Authorization", "Bearer "+secret)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	return a.do(req)
}

// two returns an app with two sources, each with a listing, a reservation and a rejected event.
func two(t *testing.T) *app {
	t.Helper()
	return fillTwo(newApp(t))
}

// fillTwo posts what [two] has.
func fillTwo(a *app) *app {
	a.t.Helper()
	for _, source := range []string{"default", "a%20b%2Fc"} {
		for i, body := range []string{
			listingBody, reservationBody,
			`{"type":"reservation.created","timestamp":"2024-10-20T09:00:00.000Z","data":{"reservation_id":""}}`,
		} {
			a.post(hook{source: source, id: fmt.Sprint("two-", i), body: body})
		}
	}
	a.apply()
	return a
}

const onePath = "/v1/reservations/default/3333122-433"

func TestScopedTokens(t *testing.T) {
	t.Parallel()
	a := two(t)
	a.tokens = append(a.tokens, token("reader", "reads-everything", false),
		token("desk", "reads-default", false, "default"), token("other", "writes-other", true, "a b/c"))

	t.Run("a token of one source sees nothing of another", func(t *testing.T) {
		for _, list := range []string{
			"/v1/reservations", "/v1/listings", "/v1/events", "/v1/reservations?q=3333122",
			"/v1/listings?q=2222", "/v1/reservations?listing_id=2222222-2222",
			"/v1/reservations?guest_email=jane@example.com", "/v1/events?reservation_id=3333122-433",
			"/v1/events?status=rejected",
		} {
			all := a.as("reads-everything", "GET", list, "").body["items"].([]any)
			own := a.as("reads-default", "GET", list, "").body["items"].([]any)
			if len(own) == 0 || len(own)*2 != len(all) {
				t.Errorf("%s: %d of %d items", list, len(own), len(all))
			}
			for _, item := range own {
				if source := item.(map[string]any)["source"]; source != "default" {
					t.Errorf("%s shows something of %v", list, source)
				}
			}
		}
		for _, list := range []string{"/v1/reservations", "/v1/listings", "/v1/events"} {
			if got := a.as("reads-default", "GET", list+"?source=a%20b/c", "").body["items"].([]any); len(got) > 0 {
				t.Errorf("%s of another source: %v", list, got)
			}
		}
		event := a.as("reads-default", "GET", "/v1/events",
			"").body["items"].([]any)[0].(map[string]any)["event_id"].(string)
		for _, path := range []string{
			onePath, onePath + "/timeline", onePath + "/plan", onePath + "/overrides",
			"/v1/listings/default/2222222-2222", "/v1/events/" + event,
		} {
			if r := a.as("reads-default", "GET", path, ""); r.status != 200 {
				t.Errorf("%s with its token: %d %s", path, r.status, r.rawBody)
			}
			a.as("writes-other", "GET", path, "").mustBeProblem(t, 404)
		}
		for _, kind := range []string{"reconcile", "revoke", "reissue", "hold", "release", "window"} {
			a.as("writes-other", "POST", onePath+"/"+kind, `{"reason":"mine"}`).mustBeProblem(t, 404)
		}
		foreign := a.as("writes-other", "PUT", "/v1/listings/default/2222222-2222", `{"name":"mine"}`)
		foreign.mustBeProblem(t, 404)
		if want := `unknown source "default": the configured sources are a b/c`; foreign.body["detail"] != want {
			t.Errorf("the detail is %v, not %s", foreign.body["detail"], want)
		}
		a.as("writes-other", "POST", "/v1/events/"+event+"/replay", "").mustBeProblem(t, 404)
		a.as("writes-other", "POST", "/v1/events/replay", `{"event_ids":["`+event+`"]}`).mustBeProblem(t, 422)
		if r := a.as("writes-other", "POST", "/v1/events/replay",
			`{"source":"default"}`); len(r.body["items"].([]any)) > 0 {
			t.Errorf("a replay of another source: %s", r.rawBody)
		}
		summary := a.as("reads-default", "GET", "/v1/summary", "")
		if n := summary.body["reservations"].(map[string]any)["confirmed"]; n != 1.0 {
			t.Errorf("the summary counts %v", n)
		}
		if strings.Contains(summary.rawBody, "a b/c") {
			t.Errorf("the summary shows another source: %s", summary.rawBody)
		}
	})
	t.Run("a token that may read changes nothing", func(t *testing.T) {
		for _, call := range [][2]string{
			{"POST", onePath + "/hold"},
			{"POST", onePath + "/reconcile"},
			{"PUT", "/v1/listings/default/2222222-2222"},
			{"POST", "/v1/events/replay"},
		} {
			a.as("reads-everything", call[0], call[1], `{"reason":"r"}`).mustBeProblem(t, 403)
		}
	})
	t.Run("a token that goes from the configuration is worth nothing", func(t *testing.T) {
		a.tokens = slices.DeleteFunc(slices.Clone(a.tokens), func(t admin.Token) bool { return t.Name == "reader" })
		r := a.as("reads-everything", "GET", "/v1/summary", "")
		r.mustBeProblem(t, 401)
		if challenge := r.header.Get("WWW-Authenticate"); challenge != `Bearer realm="staykey", error="invalid_token"` {
			t.Errorf("challenge %q", challenge)
		}
		if challenge := a.as("", "GET", "/v1/summary",
			"").header.Get("WWW-Authenticate"); challenge != `Bearer realm="staykey"` {
			t.Errorf("challenge without a token %q", challenge)
		}
	})
}

// An address that sends many wrong tokens gets one answer a second. A token that was right from there before still
// works.
func TestGuessing(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	slowed := 0
	for i := range 300 {
		r := a.as(fmt.Sprintf("guess-number-%d-of-the-tests", i), "GET", "/v1/summary", "")
		switch r.status {
		case 429:
			slowed++
			r.mustBeProblem(t, 429)
			if r.header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
		case 401:
		default:
			t.Fatalf("a wrong token: %d", r.status)
		}
		if i%10 == 9 {
			if r := a.get("/v1/summary"); r.status != 200 {
				t.Errorf("a valid token after %d wrong ones: %d", i+1, r.status)
			}
		}
	}
	if slowed == 0 {
		t.Error("300 wrong tokens in a row, and never 429")
	}
	a.as("", "GET", "/v1/summary", "").mustBeProblem(t, 401) // no guess
}

func TestCursorsCannotBeForged(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	for i := range 5 {
		a.post(hook{body: fmt.Sprintf(
			`{"type":"reservation.created","timestamp":"2024-10-20T09:00:00.000Z","data":{"reservation_id":"R%d","listing_id":"L","check_in":"2030-11-01T15:00:00Z","check_out":"2030-11-04T11:00:00Z"}}`, i)})
		a.post(hook{body: fmt.Sprintf(
			`{"type":"listing.created","timestamp":"2024-10-20T09:00:00.000Z","data":{"listing_id":"L%d","seam_access_group_ids":[]}}`, i)})
	}
	a.apply()
	lists := []string{"/v1/reservations", "/v1/listings", "/v1/events", "/v1/reservations/default/R1/timeline"}
	cursors := map[string]string{}
	for _, list := range lists[:3] {
		cursor, _ := a.get(list + "?limit=2").body["next_cursor"].(string)
		if cursor == "" {
			t.Fatalf("%s has no next page", list)
		}
		cursors[list] = cursor
		if r := a.get(list + "?limit=3&cursor=" + cursor); r.status != 200 || len(r.body["items"].([]any)) == 0 {
			t.Errorf("%s, second page: %d %s", list, r.status, r.rawBody)
		}
	}
	for of, cursor := range cursors {
		forged := []string{
			cursor[1:], cursor + "AAAA", otherAt(cursor, 0), otherAt(cursor, len(cursor)/2),
			otherAt(cursor, len(cursor)-1), "bnVsbA", "%00", "eyJ0IjoiMjAyNC0xMS0wMVQxNTowMDowMFoiLCJzIjoiIiwiaSI6IiJ9",
		}
		for _, list := range lists {
			try := forged
			if list != of {
				try = append(slices.Clone(forged), cursor)
			}
			for _, c := range try {
				r := a.get(list + "?cursor=" + url.QueryEscape(c))
				r.mustBeProblem(t, 422)
				if diff := cmp.Diff([]string{"query.cursor"}, r.wrongFields(t)); diff != "" {
					t.Errorf("%s with %q: %s", list, c, diff)
				}
			}
		}
	}
}

// otherAt replaces one character of a text.
func otherAt(s string, at int) string {
	c := "A"
	if s[at] == 'A' {
		c = "B"
	}
	return s[:at] + c + s[at+1:]
}

func TestReplayByFilter(t *testing.T) {
	t.Parallel()
	a := two(t)
	before := a.get(onePath).rawBody
	dry := a.call("POST", "/v1/events/replay", `{"source":"default","dry_run":true}`)
	if dry.status != 200 || dry.body["dry_run"] != true {
		t.Fatalf("got %d %s", dry.status, dry.rawBody)
	}
	statuses := map[string]string{}
	for _, item := range dry.body["items"].([]any) {
		e := item.(map[string]any)
		statuses[e["type"].(string)+" "+fmt.Sprint(e["reservation_id"])] = e["status"].(string)
	}
	want := map[string]string{
		"listing.created <nil>": "applied", "reservation.created 3333122-433": "applied",
		"reservation.created <nil>": "rejected",
	}
	if diff := cmp.Diff(want, statuses); diff != "" {
		t.Errorf("would become (-want +got):\n%s", diff)
	}
	if d := dry.body["differences"].([]any); len(d) > 0 {
		t.Errorf("nothing would change, but it says %v", d)
	}
	if a.get(onePath).rawBody != before {
		t.Error("the dry run has changed something")
	}

	// What an admin decides about the listing is not what the PMS sent; what the PMS sent last about the reservation
	// has been overtaken by a row that was lost: the dry run shows how it would come back.
	if err := a.store.InTx(t.Context(), func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(),
			`UPDATE reservations SET listing_id = 'lost', guest_email = NULL WHERE source = 'default'`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	dry = a.call("POST", "/v1/events/replay", `{"reservation_id":"3333122-433","source":"default","dry_run":true}`)
	differences := fmt.Sprint(dry.body["differences"])
	for _, word := range []string{
		"field:guest_email from:<nil> to:jane@example.com",
		"field:listing_id from:lost to:2222222-2222", "reservation_id:3333122-433",
	} {
		if !strings.Contains(differences, word) {
			t.Errorf("the dry run does not say %s: %s", word, differences)
		}
	}
	real := a.call("POST", "/v1/events/replay", `{"reservation_id":"3333122-433","source":"default","author":"Maria"}`)
	if real.status != 200 || len(real.body["items"].([]any)) != 1 || len(real.body["differences"].([]any)) != 0 {
		t.Fatalf("got %d %s", real.status, real.rawBody)
	}
	a.apply()
	if got := a.get(onePath).body; got["listing_id"] != "2222222-2222" || got["guest_email"] != "jane@example.com" {
		t.Errorf("replayed, it is %v", got)
	}
	if story := a.get(onePath + "/timeline").rawBody; !strings.Contains(story,
		"Maria (admin) had reservation.created applied again") {
		t.Errorf("the timeline does not show the replay: %s", story)
	}

	pages, cursor := 0, ""
	for {
		page := a.call("POST", "/v1/events/replay",
			fmt.Sprintf(`{"type":"reservation.created","dry_run":true,"limit":1,"cursor":%q}`, cursor))
		if page.status != 200 {
			t.Fatalf("page %d: %d %s", pages, page.status, page.rawBody)
		}
		pages += len(page.body["items"].([]any))
		next, more := page.body["next_cursor"].(string)
		if !more {
			break
		}
		cursor = next
	}
	if pages != 4 {
		t.Errorf("%d events in pages of one", pages)
	}
}

// REST shows admins' actions with their author and reason.
func TestActions(t *testing.T) {
	t.Parallel()
	a := two(t)
	a.tokens = append(a.tokens, token("desk", "the-desk-of-the-tests", true))
	act := func(kind, body string) answered { return a.as("the-desk-of-the-tests", "POST", onePath+"/"+kind, body) }
	if r := act("hold", `{"reason":"the guest disputes the bill","author":"Maria"}`); r.status != 202 ||
		r.body["reservation_id"] != "3333122-433" {
		t.Fatalf("hold: %d %s", r.status, r.rawBody)
	}
	hold := a.get(onePath + "/overrides").body["held"].(map[string]any)
	if hold["by"] != "Maria (desk)" || hold["reason"] != "the guest disputes the bill" || hold["at"] == nil {
		t.Errorf("held: %v", hold)
	}
	for _, kind := range []string{"revoke", "reissue", "window", "reconcile"} {
		act(kind, `{"reason":"x"}`).mustBeProblem(t, 409)
	}
	act("release", `{"reason":"settled"}`)
	act("window", `{"reason":"early check-in","starts_at":"2030-11-01T12:00:00Z"}`)
	window := a.get(onePath + "/overrides").body["window"].(map[string]any)
	if window["starts_at"] != "2030-11-01T12:00:00.000Z" || window["ends_at"] != nil || window["by"] != "desk" {
		t.Errorf("window: %v", window)
	}
	act("revoke", `{"reason":"lost phone"}`)
	after := a.get(onePath + "/overrides").body
	if after["held"] != nil || after["revoked"] == nil {
		t.Errorf("overrides: %v", after)
	}
	act("reissue", `{"reason":"found it"}`)
	if a.get(onePath + "/overrides").body["revoked"] != nil {
		t.Error("issued again, and still revoked")
	}
	act("reconcile", "")
	var story []string
	for _, item := range a.get(onePath + "/timeline").body["items"].([]any) {
		if i := item.(map[string]any); i["kind"] == "action" {
			story = append(story, i["summary"].(string))
		}
	}
	want := []string{
		"desk requested a check and repair", "desk requested a new mobile key (found it)",
		"desk revoked the key (lost phone)",
		"desk changed the access times (early check-in)", "desk released the hold (settled)",
		"Maria (desk) put it on hold (the guest disputes the bill)",
	}
	if diff := cmp.Diff(want, story); diff != "" {
		t.Errorf("the timeline (-want +got):\n%s", diff)
	}
}

// Every wrong input is answered with a problem that names the field, and never with 500.
func TestWrongInputs(t *testing.T) {
	t.Parallel()
	a := two(t)
	event := a.get("/v1/events").body["items"].([]any)[0].(map[string]any)["event_id"].(string)
	long := strings.Repeat("x", 501)
	for _, c := range []struct {
		why, method, path, body string
		status                  int
		fields                  []string
	}{
		{"a page of nothing", "GET", "/v1/reservations?limit=0", "", 422, []string{"query.limit"}},
		{"a page that is too long", "GET", "/v1/reservations?limit=501", "", 422, []string{"query.limit"}},
		{"a limit in words", "GET", "/v1/reservations?limit=many", "", 422, []string{"query.limit"}},
		{"an unknown status", "GET", "/v1/reservations?status=maybe", "", 422, []string{"query.status"}},
		{
			"an unknown status of a key",
			"GET", "/v1/reservations?key_status=lost", "", 422,
			[]string{"query.key_status"},
		},
		{"a day in words", "GET", "/v1/reservations?check_in_from=tomorrow", "", 422, []string{"query.check_in_from"}},
		{
			"a day of a thirteenth month",
			"GET", "/v1/reservations?check_in_to=2026-13-01", "", 422,
			[]string{"query.check_in_to"},
		},
		{"a parameter with a typo", "GET", "/v1/reservations?stauts=confirmed", "", 422, []string{"query.stauts"}},
		{"NUL, which Postgres can't store", "GET", "/v1/reservations?q=%00", "", 422, []string{"query.q"}},
		{"an id in braces", "GET", "/v1/events/%7B" + event + "%7D", "", 404, nil},
		{"an id as a URN", "GET", "/v1/events/urn:uuid:" + event, "", 404, nil},
		{"an id without hyphens", "GET", "/v1/events/" + strings.ReplaceAll(event, "-", ""), "", 404, nil},
		{
			"an id in braces, in a list",
			"POST", "/v1/events/replay", `{"event_ids": ["{` + event + `}"]}`, 422,
			[]string{"event_ids[0]"},
		},
		{
			"a field given twice",
			"POST", onePath + "/hold", `{"reason": "one", "reason": "another"}`, 400,
			[]string{"body"},
		},
		{
			"doors given twice",
			"PUT", "/v1/listings/default/L", `{"seam_access_group_ids": ["a"], "seam_access_group_ids": ["b"]}`, 422,
			[]string{"seam_access_group_ids"},
		},
		{"NUL and a semicolon", "GET", "/v1/reservations?q=%00;", "", 422, []string{"query"}},
		{"a semicolon, which some take for an ampersand", "GET", "/v1/reservations?q=a;b", "", 422, []string{"query"}},
		{"an escape that isn't one", "GET", "/v1/listings?q=%zz", "", 422, []string{"query"}},
		{"NUL in an address", "GET", "/v1/reservations?guest_email=%00", "", 422, []string{"query.guest_email"}},
		{"a source that isn't UTF-8", "GET", "/v1/reservations?source=%ff", "", 422, []string{"query.source"}},
		{"neither true nor false", "GET", "/v1/listings?deleted=perhaps", "", 422, []string{"query.deleted"}},
		{"an unknown status of an event", "GET", "/v1/events?status=lost", "", 422, []string{"query.status"}},
		{"NUL in a type", "GET", "/v1/events?type=%00", "", 422, []string{"query.type"}},
		{"a history that is too long", "GET", onePath + "/timeline?limit=1001", "", 422, []string{"query.limit"}},
		{"a plan has no parameters", "GET", onePath + "/plan?now=1", "", 422, []string{"query.now"}},
		{"a summary has no parameters", "GET", "/v1/summary?source=default", "", 422, []string{"query.source"}},
		{"a source in a path that isn't UTF-8", "PUT", "/v1/listings/%ff/L", "{}", 422, []string{"path.source"}},
		{"an unknown reservation", "GET", "/v1/reservations/default/none", "", 404, nil},
		{"NUL in a reservation's id", "GET", "/v1/reservations/default/%00", "", 404, nil},
		{"a plan of a source that isn't UTF-8", "GET", "/v1/reservations/%ff/x/plan", "", 404, nil},
		{"NUL in a listing's id", "GET", "/v1/listings/default/%00", "", 404, nil},
		{"an event's id that isn't a UUID", "GET", "/v1/events/1", "", 404, nil},
		{"an unknown event", "GET", "/v1/events/00000000-0000-0000-0000-000000000000", "", 404, nil},
		{"a replay of an id that isn't a UUID", "POST", "/v1/events/none/replay", "", 404, nil},
		{"no reason", "POST", onePath + "/hold", `{}`, 422, []string{"reason"}},
		{"no body", "POST", onePath + "/hold", ``, 400, nil},
		{"an empty reason", "POST", onePath + "/hold", `{"reason":""}`, 422, []string{"reason"}},
		{"a reason that is too long", "POST", onePath + "/hold", `{"reason":"` + long + `"}`, 422, []string{"reason"}},
		{"a number instead of a reason", "POST", onePath + "/hold", `{"reason":7}`, 422, []string{"reason"}},
		{"an unknown field", "POST", onePath + "/hold", `{"reason":"x","why":"y"}`, 422, []string{"why"}},
		{"a body that was cut off", "POST", onePath + "/hold", `{"reason":`, 400, []string{"body"}},
		{"a list instead of an object", "POST", onePath + "/hold", `[]`, 422, []string{"body"}},
		{
			"an author that is too long",
			"POST", onePath + "/release", `{"reason":"x","author":"` + long + `"}`, 422,
			[]string{"author"},
		},
		{
			"a number instead of an optional reason",
			"POST", onePath + "/reconcile", `{"reason":7}`, 422,
			[]string{"reason"},
		},
		{
			"a time in words",
			"POST", onePath + "/window", `{"reason":"x","starts_at":"noon"}`, 422,
			[]string{"starts_at"},
		},
		{
			"a time in a thirteenth month",
			"POST", onePath + "/window", `{"reason":"x","ends_at":"2030-13-04T14:00:00Z"}`, 422,
			[]string{"ends_at"},
		},
		{
			"access that would begin after check-out",
			"POST", onePath + "/window", `{"reason":"x","starts_at":"2030-11-04T12:00:00Z"}`, 409, nil,
		},
		{
			"an action on an unknown reservation",
			"POST", "/v1/reservations/default/none/hold", `{"reason":"x"}`, 404, nil,
		},
		{"an action on an id with NUL", "POST", "/v1/reservations/default/%00/hold", `{"reason":"x"}`, 404, nil},
		{"a replay of everything", "POST", "/v1/events/replay", `{}`, 422, []string{"status"}},
		{
			"a replay of events that aren't applied yet",
			"POST", "/v1/events/replay", `{"status":"accepted"}`, 422,
			[]string{"status"},
		},
		{"a replay of nothing", "POST", "/v1/events/replay", `{"status":"rejected","limit":0}`, 422, []string{"limit"}},
		{
			"a replay of too many",
			"POST", "/v1/events/replay", `{"status":"rejected","limit":501}`, 422,
			[]string{"limit"},
		},
		{
			"a cursor that no list has returned",
			"POST", "/v1/events/replay", `{"status":"rejected","cursor":"x"}`, 422,
			[]string{"cursor"},
		},
		{
			"an id that isn't a UUID, in a list",
			"POST", "/v1/events/replay", `{"event_ids":["x","` + event + `"]}`, 422,
			[]string{"event_ids[0]"},
		},
		{
			"an unknown time zone",
			"PUT", "/v1/listings/default/L", `{"time_zone":"Mars/Olympus"}`, 422,
			[]string{"time_zone"},
		},
		{
			"an hour that no day has",
			"PUT", "/v1/listings/default/L", `{"check_in_time":"25:00"}`, 422,
			[]string{"check_in_time"},
		},
		{
			"a text instead of a list",
			"PUT", "/v1/listings/default/L", `{"seam_access_group_ids":"x"}`, 422,
			[]string{"seam_access_group_ids"},
		},
		{"a listing that was cut off", "PUT", "/v1/listings/default/L", `{`, 400, nil},
		{"a listing's id that isn't UTF-8", "PUT", "/v1/listings/default/%ff", `{}`, 422, []string{"path.listing_id"}},
		{"NUL as an escape, in a source", "POST", "/v1/events/replay", `{"source":"\u0000"}`, 422, []string{"source"}},
		{
			"NUL as an escape, in a type",
			"POST", "/v1/events/replay", `{"type":"\u0000","source":"default"}`, 422,
			[]string{"type"},
		},
		{
			"NUL as an escape, in a listing's id",
			"POST", "/v1/events/replay", `{"listing_id":"\u0000"}`, 422,
			[]string{"listing_id"},
		},
		{
			"NUL as an escape, in a reservation's id",
			"POST", "/v1/events/replay", `{"reservation_id":"\u0000"}`, 422,
			[]string{"reservation_id"},
		},
		{"NUL in a token's name", "GET", "/v1/audit?token=%00", "", 422, []string{"query.token"}},
		{"the audit log isn't sorted", "GET", "/v1/audit?sort=at", "", 422, []string{"query.sort"}},
		{"NUL in a new listing's id", "PUT", "/v1/listings/default/%00", `{}`, 422, []string{"path.listing_id"}},
		{"a listing of an unknown source", "PUT", "/v1/listings/nobody/L", `{}`, 404, nil},
		{
			"an address without an @",
			"POST", "/v1/guests/erase", `{"guest_email":"nobody"}`, 422,
			[]string{"guest_email"},
		},
		{
			"an address with nothing before the @",
			"POST", "/v1/guests/erase", `{"guest_email":"@b."}`, 422,
			[]string{"guest_email"},
		},
		{
			"an address of a domain only",
			"POST", "/v1/guests/erase", `{"guest_email":"@example.com"}`, 422,
			[]string{"guest_email"},
		},
		{
			"two addresses at once",
			"POST", "/v1/guests/erase", `{"guest_email":"a@example.com,b@example.com"}`, 422,
			[]string{"guest_email"},
		},
		{
			"NUL in the address to erase",
			"POST", "/v1/guests/erase", `{"guest_email":"a\u0000@example.com"}`, 422,
			[]string{"guest_email"},
		},
		{"no address", "POST", "/v1/guests/erase", `{}`, 422, []string{"guest_email"}},
		{"an erasure without a body", "POST", "/v1/guests/erase", ``, 400, nil},
		{"sources have no filters", "GET", "/v1/sources?name=x", "", 422, []string{"query.name"}},
		{"a test of an unknown source", "POST", "/v1/sources/nobody/test", "", 404, nil},
		{"a test of a source without secrets", "POST", "/v1/sources/disabled/test", "", 422, nil},
		{"a diagnosis has no parameters", "GET", "/v1/diagnosis?check=x", "", 422, []string{"query.check"}},
		{"reservations can't be deleted", "DELETE", onePath, "", 405, nil},
		{"an unknown path", "GET", "/v1/nothing", "", 404, nil},
	} {
		t.Run(c.why, func(t *testing.T) {
			r := a.call(c.method, c.path, c.body)
			r.mustBeProblem(t, c.status)
			if diff := cmp.Diff(c.fields, r.wrongFields(t)); diff != "" {
				t.Errorf("%s %s: wrong fields (-want +got), in %s:\n%s", c.method, c.path, r.rawBody, diff)
			}
		})
	}
}

// FuzzQueries sends arbitrary queries to lists: each is answered or refused with a reason.
func FuzzQueries(f *testing.F) {
	for _, seed := range []string{
		"", "q=a", "limit=1&cursor=x", "q=%25&source=default",
		"check_in_from=2026-01-01&check_in_to=2026-01-02T00:00:00Z",
		"status=confirmed&key_status=waiting&source=default&listing_id=x&guest_email=a@b", "q=%00", "q=%00;", "q=%",
		"source=%ff", "check_in_from=0000-01-01", "check_in_to=9999-12-31T23:59:59Z", "q=\\", "a=b&a=c", ";",
		"limit=1e2", "type=x&status=ignored&deleted=true",
	} {
		f.Add(seed)
	}
	a := newApp(f)
	f.Fuzz(func(t *testing.T, query string) {
		for _, list := range []string{"/v1/reservations", "/v1/listings", "/v1/events"} {
			u, err := url.Parse(a.url + list)
			if err != nil {
				t.Fatal(err)
			}
			u.RawQuery = query
			req := &http.Request{
				Method: http.MethodGet, URL: u,
				Header: http.Header{"Authorization": {"Bearer " + adminToken}},
			}
			if strings.ContainsAny(query, " \x00\r\n\t#") || !printable(query) {
				return // no client can send it
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body) // otherwise each request uses up a connection
			_ = resp.Body.Close()
			if r := resp.StatusCode; r != 200 && r != 422 && r != 400 {
				t.Errorf("%s?%s: %d", list, query, r)
			}
		}
	})
}

func printable(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < 0x21 || r > 0x7e }) < 0
}

// The OpenAPI document has every answer of an operation.
func TestOpenAPIHasTheErrors(t *testing.T) {
	t.Parallel()
	a := two(t)
	raw, err := rest.OpenAPI("1")
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Paths map[string]map[string]struct {
			Summary     string
			Description string
			Responses   map[string]any
		}
	}
	if err := json.Unmarshal(raw, &document); err != nil {
		t.Fatal(err)
	}
	hold := document.Paths["/v1/reservations/{source}/{reservation_id}/hold"]["post"].Responses
	for what, change := range map[string]func(*http.Request){
		"another type": func(r *http.Request) { r.Header.Set("Content-Type", "text/csv") },
		"no JSON":      func(*http.Request) {},
		"no token":     func(r *http.Request) { r.Header.Del("Authorization") },
		"too large": func(r *http.Request) {
			body := `{"reason":"` + strings.Repeat("x", 2<<20) + `"}`
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
		},
	} {
		req, err := http.NewRequest(http.MethodPost, a.url+onePath+"/hold", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+adminToken)
		req.Header.Set("Content-Type", "application/json")
		change(req)
		if r := a.do(req); hold[fmt.Sprint(r.status)] == nil || r.status < 400 ||
			r.media != "application/problem+json" {
			t.Errorf("%s: %d %s, which the document has not", what, r.status, r.media)
		}
	}
	for path, item := range document.Paths {
		for method, o := range item {
			if o.Summary == "" || o.Description == "" || len(o.Responses) < 2 {
				t.Errorf("%s %s lacks a summary, a description or its errors", method, path)
			}
		}
	}
}
