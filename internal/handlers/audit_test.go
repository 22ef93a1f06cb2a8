package handlers_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/staykey/staykey/internal/logs/logtest"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// changingRoutes are the routes of the public listener by which an admin changes something.
func (a *app) changingRoutes() []string {
	a.t.Helper()
	var routes []string
	err := chi.Walk(a.routes, func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		if method != http.MethodGet && method != http.MethodHead && !strings.Contains(route, "webhooks") {
			routes = append(routes, method+" "+route)
		}
		return nil
	})
	if err != nil {
		a.t.Fatal(err)
	}
	return routes
}

// Every route that changes something leaves an audit entry, with the token, the author and the door. A new route needs
// a case here.
func TestEveryChangeIsAudited(t *testing.T) {
	t.Parallel()
	a := two(t)
	a.gate("default", pms.Gate{Name: "paid", Holds: stay.HoldsKey})
	a.linked = true
	a.tokens = append(a.tokens, token("desk", "writes-all-of-it", true))
	page := a.visitor()
	if got := page.signIn("writes-all-of-it"); got.status != 200 {
		t.Fatalf("sign in: %d", got.status)
	}
	event := a.get("/v1/events").body["items"].([]any)[0].(map[string]any)["event_id"].(string)
	message := a.subscribed("app")
	const one, reason = "/default/3333122-433", `{"reason":"because","author":"Maria"}`
	rest := func(method, path, body string) func() int {
		return func() int { return a.as("writes-all-of-it", method, path, body).status }
	}
	form := func(path string, f url.Values) func() int { return func() int { return page.post(path, f).status } }
	visit := func() int { return a.visitor().signIn("writes-all-of-it").status }
	cases := map[string]struct {
		action string
		do     []func() int // the requests, in an order that works and leaves the state as it was
	}{
		"POST /v1/reservations/{source}/{reservation_id}/reconcile": {
			"reconcile",
			[]func() int{rest("POST", onePath+"/reconcile", "")},
		},
		"POST /v1/reservations/{source}/{reservation_id}/revoke": {
			"revoke",
			[]func() int{rest("POST", onePath+"/revoke", reason)},
		},
		"POST /v1/reservations/{source}/{reservation_id}/reissue": {
			"reissue",
			[]func() int{rest("POST", onePath+"/reissue", reason)},
		},
		"POST /v1/reservations/{source}/{reservation_id}/hold": {
			"hold",
			[]func() int{rest("POST", onePath+"/hold", reason), rest("POST", onePath+"/release", reason)},
		},
		"POST /v1/reservations/{source}/{reservation_id}/release": {
			"release",
			[]func() int{rest("POST", onePath+"/hold", reason), rest("POST", onePath+"/release", reason)},
		},
		"POST /v1/reservations/{source}/{reservation_id}/window": {
			"window",
			[]func() int{rest("POST", onePath+"/window", reason)},
		},
		"POST /v1/reservations/{source}/{reservation_id}/app-session": {
			"app_session",
			[]func() int{rest("POST", onePath+"/app-session", "")},
		},
		"POST /v1/reservations/{source}/{reservation_id}/backup-code": {
			"show_backup_code",
			[]func() int{rest("POST", onePath+"/backup-code", "")},
		},
		"POST /v1/reservations/{source}/{reservation_id}/guest-link/renew": {
			"renew_guest_link",
			[]func() int{rest("POST", onePath+"/guest-link/renew", "")},
		},
		"PUT /v1/listings/{source}/{listing_id}": {
			"put_listing",
			[]func() int{rest("PUT", "/v1/listings/default/2222222-2222", `{"name":"Room 12"}`)},
		},
		"POST /v1/reservations/actions": {"hold", []func() int{
			rest("POST", "/v1/reservations/actions", holdsOne), rest("POST", onePath+"/release", reason),
		}},
		"POST /v1/undo/{undo_id}": {"undo", []func() int{func() int {
			return a.as("writes-all-of-it", "POST", "/v1/undo/"+a.undoOf("writes-all-of-it", holdsOne), "").status
		}}},
		"POST /reservations/actions": {"reconcile", []func() int{form("/reservations/actions", url.Values{
			"stay": {"default/3333122-433"}, "action": {"reconcile"}, "back": {"/reservations"},
		})}},
		"POST /undo/{undo_id}": {"undo", []func() int{func() int {
			undo := "/undo/" + a.undoOf("writes-all-of-it", holdsOne)
			return page.post(undo, url.Values{"back": {"/reservations"}}).status
		}}},
		"POST /v1/reservations/{source}/{reservation_id}/staff-notes": {"add_note", []func() int{
			rest("POST", onePath+"/staff-notes", `{"text":"Called","author":"Maria"}`),
		}},
		"DELETE /v1/reservations/{source}/{reservation_id}/staff-notes/{note_id}": {"delete_note", []func() int{
			func() int {
				note := a.as("writes-all-of-it", "POST", onePath+"/staff-notes", `{"text":"Short-lived"}`)
				path := fmt.Sprint(onePath, "/staff-notes/", note.body["note_id"])
				return a.as("writes-all-of-it", "DELETE", path, "").status
			},
		}},
		"POST /reservations/{source}/{reservation_id}/notes": {"add_note", []func() int{
			form("/reservations"+one+"/notes", url.Values{"text": {"Called"}}),
		}},
		"POST /reservations/{source}/{reservation_id}/notes/delete": {"delete_note", []func() int{func() int {
			note := a.as("writes-all-of-it", "POST", onePath+"/staff-notes", `{"text":"Short-lived"}`)
			id := url.Values{"note_id": {fmt.Sprint(note.body["note_id"])}}
			return page.post("/reservations"+one+"/notes/delete", id).status
		}}},
		"PUT /v1/views/{list}/{name}": {"save_view", []func() int{
			rest("PUT", "/v1/views/events/Rejected", `{"filters":{"status":"rejected"}}`),
		}},
		"DELETE /v1/views/{list}/{name}": {"delete_view", []func() int{
			rest("PUT", "/v1/views/events/Short-lived", `{"filters":{"status":"rejected"}}`),
			rest("DELETE", "/v1/views/events/Short-lived", ""),
		}},
		"POST /views/{list}": {"save_view", []func() int{
			form("/views/reservations", url.Values{"name": {"All"}, "query": {"when=all"}}),
		}},
		"POST /views/{list}/delete": {"delete_view", []func() int{
			form("/views/reservations", url.Values{"name": {"Short-lived"}, "query": {"when=all"}}),
			form("/views/reservations/delete", url.Values{"name": {"Short-lived"}}),
		}},
		"PUT /v1/listings": {"put_listing", []func() int{
			rest("PUT", "/v1/listings", `{"items":[{"source":"default","listing_id":"of-many","name":"Many"}]}`),
		}},
		"DELETE /v1/listings/{source}/{listing_id}": {"delete_listing", []func() int{
			rest("PUT", "/v1/listings/default/short-lived", `{"name":"Short-lived"}`),
			rest("DELETE", "/v1/listings/default/short-lived", ""),
		}},
		"POST /doors": {"put_listing", []func() int{
			form("/doors", url.Values{
				"mode": {"remove"}, "listing": {"default/2222222-2222"}, "group": {"555555-5555"},
				"back": {"/doors"},
			}),
			form("/doors", url.Values{
				"mode": {"replace"}, "listing": {"default/2222222-2222"},
				"group": {"555555-5555"}, "back": {"/doors"},
			}),
		}},
		"POST /doors/typed": {"put_listing", []func() int{
			rest("PUT", "/v1/listings/default/typed-doors", `{"name":"Typed doors"}`),
			form("/doors/typed", url.Values{"row": {"default/typed-doors"}, "typed": {"room 12"}, "back": {"/doors"}}),
		}},
		"POST /doors/file": {"put_listing", []func() int{
			form("/doors/file", url.Values{
				"table": {"source,listing_id,name,doors\ndefault,of-a-file,File,Room 12\n"},
				"apply": {"1"},
			}),
		}},
		"POST /v1/events/replay": {
			"replay",
			[]func() int{rest("POST", "/v1/events/replay", `{"source":"default"}`)},
		},
		"POST /v1/events/{event_id}/replay": {
			"replay",
			[]func() int{rest("POST", "/v1/events/"+event+"/replay", "")},
		},
		"POST /v1/guests/erase": {
			"erase_guest",
			[]func() int{rest("POST", "/v1/guests/erase", `{"guest_email":"nobody@example.com"}`)},
		},
		"PUT /v1/reservations/{source}/{reservation_id}/gates/{name}": {
			"set_gate",
			[]func() int{rest("PUT", onePath+"/gates/paid", `{"state":"open","author":"Maria"}`)},
		},
		"POST /v1/sources/{source}/import": {"import", []func() int{
			rest("POST", "/v1/sources/default/import",
				`{"events":[{"type":"listing.created","timestamp":"2020-01-01T00:00:00Z","data":{"listing_id":"imported","seam_access_group_ids":[]}}]}`),
		}},
		"POST /v1/sources/{source}/test": {"test_source", []func() int{rest("POST", "/v1/sources/default/test", "")}},
		"POST /sign-in":                  {"sign_in", []func() int{visit}},
		"POST /sign-out": {"sign_out", []func() int{
			form("/sign-out", nil),
			func() int { return page.signIn("writes-all-of-it").status },
		}},
		"POST /reservations/{source}/{reservation_id}/{action}": {
			"reconcile",
			[]func() int{form("/reservations"+one+"/reconcile", nil)},
		},
		"POST /reservations/{source}/{reservation_id}/gates/{name}": {
			"set_gate",
			[]func() int{form("/reservations"+one+"/gates/paid", url.Values{"state": {"closed"}})},
		},
		"POST /listings/{source}/{listing_id}": {
			"put_listing",
			[]func() int{form("/listings/default/2222222-2222", url.Values{
				"name": {"Room 13"}, "groups_by": {"admin"},
				"group": {"555555-5555"},
			})},
		},
		"POST /events/replay": {
			"replay",
			[]func() int{form("/events/replay", url.Values{"query": {"source=default"}})},
		},
		"POST /v1/subscriptions/{name}/test": {
			"test_subscription",
			[]func() int{rest("POST", "/v1/subscriptions/app/test", "")},
		},
		"POST /v1/subscriptions/{name}/disable": {"disable_subscription", []func() int{
			rest("POST", "/v1/subscriptions/app/disable", reason), rest("POST", "/v1/subscriptions/app/enable", ""),
		}},
		"POST /v1/subscriptions/{name}/enable": {
			"enable_subscription",
			[]func() int{rest("POST", "/v1/subscriptions/app/enable", "")},
		},
		"POST /v1/deliveries/{delivery_id}/resend": {
			"resend_delivery",
			[]func() int{rest("POST", "/v1/deliveries/"+message+"/resend", "")},
		},
		"POST /subscriptions/{name}/{verb}": {
			"test_subscription",
			[]func() int{form("/subscriptions/app/test", nil)},
		},
		"POST /subscriptions/{name}/deliveries/{delivery_id}/resend": {
			"resend_delivery",
			[]func() int{form("/subscriptions/app/deliveries/"+message+"/resend", nil)},
		},
		"POST /sources/{source}/test": {
			"test_source",
			[]func() int{form("/sources/default/test", nil)},
		},
	}
	for _, route := range a.changingRoutes() {
		c, known := cases[route]
		if !known {
			t.Errorf("%s changes something and has no case here: have it write an audit entry", route)
			continue
		}
		a.apply() // what the case before has queued again
		before := a.audits()
		for _, do := range c.do {
			if status := do(); status < 200 || status > 299 {
				t.Errorf("%s: %d", route, status)
			}
		}
		after := a.audits()
		via := store.AuditPage
		if strings.Contains(route, "/v1/") {
			via = store.AuditREST
		}
		found := false
		for _, entry := range after[:len(after)-len(before)] {
			found = found || entry.Action == c.action && entry.Token == "desk" && strings.Contains(entry.Author,
				"desk") && entry.Via == via && entry.RequestID != nil && entry.Address != nil
		}
		if !found {
			t.Errorf("%s leaves no entry %s: %+v", route, c.action, after[:len(after)-len(before)])
		}
	}
}

// audits is the whole audit log, newest first.
func (a *app) audits() []store.Audit {
	a.t.Helper()
	list, err := a.store.Audit.List(context.Background(), store.AuditFilter{}, 0, 1000)
	if err != nil {
		a.t.Fatal(err)
	}
	return list
}

// A change of doors is recorded with its author and the previous doors. A token of one source sees only that source's
// entries.
func TestAuditOfDoors(t *testing.T) {
	t.Parallel()
	a := two(t)
	a.tokens = append(a.tokens, token("desk", "writes-default", true, "default"),
		token("other", "reads-other", false, "a b/c"))
	if r := a.as("writes-default", "PUT", "/v1/listings/default/2222222-2222",
		`{"seam_access_group_ids":["777777-7777"]}`); r.status != 200 {
		t.Fatal(r.rawBody)
	}
	a.as("writes-default", "POST", onePath+"/hold", `{"reason":" lost\u202e\u001b phone "}`)
	items := a.as("writes-default", "GET", "/v1/audit", "").body["items"].([]any)
	if len(items) != 2 {
		t.Fatalf("%d entries", len(items))
	}
	hold, put := items[0].(map[string]any), items[1].(map[string]any)
	if diff := cmp.Diff(map[string]any{"seam_access_group_ids": "555555-5555, 666666-6666"},
		put["before"]); diff != "" {
		t.Errorf("before (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]any{"seam_access_group_ids": "777777-7777"}, put["after"]); diff != "" {
		t.Errorf("after (-want +got):\n%s", diff)
	}
	for field, want := range map[string]any{
		"token": "desk", "author": "desk", "source": "default",
		"subject": "2222222-2222", "action": "put_listing", "via": "rest",
	} {
		if put[field] != want {
			t.Errorf("%s is %v", field, put[field])
		}
	}
	if hold["reason"] != "lost phone" {
		t.Errorf("the reason is %q", hold["reason"])
	}
	if got := a.as("reads-other", "GET", "/v1/audit", "").body["items"].([]any); len(got) > 0 {
		t.Errorf("a token of another source sees %v", got)
	}
	if got := a.get("/v1/audit?subject=3333122-433&action=hold&token=desk&from=2024-01-01").body["items"].([]any); len(
		got) != 1 {
		t.Errorf("filters find %v", got)
	}
	a.as("reads-other", "GET", "/v1/audit?from=tomorrow", "").mustBeProblem(t, 422)
	first := a.as("writes-default", "GET", "/v1/audit?limit=1", "").body
	second := a.as("writes-default", "GET", "/v1/audit?limit=1&cursor="+first["next_cursor"].(string), "").body
	if second["items"].([]any)[0].(map[string]any)["action"] != "put_listing" {
		t.Errorf("the second page: %v", second)
	}
	v := a.visitor()
	v.signIn("writes-default")
	if page := v.see("/audit"); !strings.Contains(page.body, "555555-5555, 666666-6666 → 777777-7777") ||
		strings.Contains(page.body, "sign in") {
		t.Errorf("the page of a scoped token:\n%s", page.body)
	}
}

// A change that fails leaves no entry.
func TestAuditOfWhatFails(t *testing.T) {
	t.Parallel()
	a := two(t)
	for _, call := range [][3]string{
		{"POST", onePath + "/hold", `{"reason":" \u0000 "}`},
		{"POST", onePath + "/release", `{"reason":"\t"}`},
		{
			"POST", "/v1/reservations/default/none/hold",
			`{"reason":"x"}`,
		},
		{"PUT", "/v1/listings/default/L", `{"time_zone":"Mars"}`},
	} {
		if r := a.call(call[0], call[1], call[2]); r.status < 400 {
			t.Errorf("%v: %d", call, r.status)
		}
	}
	if got := a.audits(); len(got) > 0 {
		t.Errorf("%+v", got)
	}
}

// Each request's log record names the token, and a wrong sign-in is logged.
func TestLogNamesTheToken(t *testing.T) {
	t.Parallel()
	var out logtest.Buffer
	a := newAppLogging(t, slog.New(slog.NewTextHandler(&out, nil)))
	a.tokens = append(a.tokens, token("desk", "reads-everything", false))
	a.as("reads-everything", "GET", "/v1/summary", "")
	v := a.visitor()
	v.signIn("reads-everything")
	v.signIn("nothing-that-anybody-has")
	for _, want := range []string{
		"route=/v1/summary status=200", "route=/sign-in status=303",
		"sign-in refused: wrong token", "address=127.0.0.1",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the log lacks %q", want)
		}
	}
	if strings.Count(out.String(), "token=desk") < 3 {
		t.Errorf("the token is not named:\n%s", out.String())
	}
}
