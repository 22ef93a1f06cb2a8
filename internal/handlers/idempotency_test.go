package handlers_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
)

// keyed makes a request with an Idempotency-Key.
func (a *app) keyed(key, secret, method, path, body string) answered {
	a.t.Helper()
	req, err := http.NewRequest(method, a.url+path, strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+secret)
	req.Header.Set("Idempotency-Key", key)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	return a.do(req)
}

// audited counts the entries of the audit log with an action.
func (a *app) audited(action string) int {
	a.t.Helper()
	r := a.get("/v1/audit?action=" + action)
	items, is := r.body["items"].([]any)
	if !is {
		a.t.Fatalf("the audit log: %d %s", r.status, r.rawBody)
	}
	return len(items)
}

// same fails unless the repeated answer equals the first one.
func same(t *testing.T, first, again answered) {
	t.Helper()
	if first.status/100 != 2 || first.header.Get("Idempotent-Replayed") != "" {
		t.Errorf("first: %d %v %s", first.status, first.header, first.rawBody)
	}
	if again.status != first.status || again.rawBody != first.rawBody || again.media != first.media ||
		again.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("again: %d %v %s\nfirst: %d %v %s", again.status, again.header, again.rawBody, first.status,
			first.header, first.rawBody)
	}
}

// For every operation, a repeated key gets the same answer and does nothing. The stored answer has no guest data.
func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ method, path, body, action string }{
		"an action": {"POST", onePath + "/reissue", `{"reason":"lost phone"}`, "reissue"},
		"a gate": {
			"PUT", onePath + "/gates/paid", `{"state":"open","evidence":"receipt of jane","author":"Maria"}`,
			"set_gate",
		},
		"a renewal":  {"POST", onePath + "/guest-link/renew", `{"reason":"forwarded"}`, "renew_guest_link"},
		"a listing":  {"PUT", "/v1/listings/default/new", `{"name":"Garden"}`, "put_listing"},
		"a replay":   {"POST", "/v1/events/replay", `{"reservation_id":"3333122-433"}`, "replay"},
		"an erasure": {"POST", "/v1/guests/erase", `{"guest_email":"nobody@example.com"}`, "erase_guest"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := two(t)
			a.linked = true
			a.gate("default", pms.Gate{Name: "paid", Holds: stay.HoldsKey})
			first := a.keyed("k-1", adminToken, c.method, c.path, c.body)
			done := a.audited(c.action)
			same(t, first, a.keyed("k-1", adminToken, c.method, c.path, c.body))
			if n := a.audited(c.action); n != done || done == 0 {
				t.Errorf("done %d times, and then %d", done, n)
			}
			a.keyed("k-1", adminToken, c.method, c.path, c.body+" ").mustBeProblem(t, 422)
			r := a.keyed("k-1", adminToken, "POST", onePath+"/hold", `{"reason":"another"}`)
			r.mustBeProblem(t, 422)
			if r.body["code"] != "idempotency_key_reused" ||
				strings.Join(r.wrongFields(t), " ") != "header.Idempotency-Key" {
				t.Errorf("used for another request: %s", r.rawBody)
			}
			var kept string
			if err := a.store.Pool().QueryRow(t.Context(),
				`SELECT string_agg(encode(coalesce(body, ''), 'escape'), ' ') FROM idempotent_requests`).Scan(
				&kept); err != nil {
				t.Fatal(err)
			}
			for _, secret := range []string{"jane", "keys.example.com", "receipt", "nobody@"} {
				if strings.Contains(kept, secret) {
					t.Errorf("%q is kept: %s", secret, kept)
				}
			}
			// Another key does it again, and so does another token's.
			a.tokens = append(a.tokens, token("desk", "the-desk-of-the-tests", true))
			a.keyed("k-2", adminToken, c.method, c.path, c.body)
			a.keyed("k-1", "the-desk-of-the-tests", c.method, c.path, c.body)
			if n := a.audited(c.action); n < done+1 && name != "a listing" && name != "a replay" {
				t.Errorf("with other keys done %d times", n)
			}
			// After a day the key is as good as new.
			if _, err := a.store.Pool().Exec(t.Context(),
				`UPDATE idempotent_requests SET created_at = now() - interval '25 hours'`); err != nil {
				t.Fatal(err)
			}
			if n, err := a.store.Requests.Prune(t.Context(), 100); err != nil || n != 3 {
				t.Errorf("%d requests were forgotten: %v", n, err)
			}
		})
	}
}

// Of several concurrent requests with one key, one runs and all get the same answer.
func TestIdempotencyKeyConcurrently(t *testing.T) {
	t.Parallel()
	a := two(t)
	const n = 8
	answers := make([]answered, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			for { // on a slow machine some wait for the first one for too long, and are to try again
				answers[i] = a.keyed("k", adminToken, "POST", onePath+"/reissue", `{"reason":"lost phone"}`)
				inUse := strings.Contains(answers[i].rawBody, `"code":"idempotency_key_in_use"`)
				if answers[i].status != http.StatusServiceUnavailable && !inUse {
					return
				}
			}
		})
	}
	all.Wait()
	for _, r := range answers {
		if r.status != http.StatusAccepted || r.rawBody != answers[0].rawBody {
			t.Errorf("%d %s", r.status, r.rawBody)
		}
	}
	if n := a.audited("reissue"); n != 1 {
		t.Errorf("done %d times", n)
	}
}

// A request whose key can't be claimed is answered 503 with Retry-After, as every request is while Postgres is away.
func TestIdempotencyKeyWithoutPostgres(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.store.Close()
	r := a.keyed("k", adminToken, "POST", onePath+"/reissue", `{"reason":"lost phone"}`)
	r.mustBeProblem(t, http.StatusServiceUnavailable)
	if r.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

// A request whose answer was lost after its change was committed is not run again. It is answered from the current
// state.
func TestIdempotencyKeyAfterLostAnswer(t *testing.T) {
	t.Parallel()
	a := two(t)
	a.linked = true
	a.gate("default", pms.Gate{Name: "paid", Holds: stay.HoldsKey})
	message := a.subscribed("app")
	for i, c := range []struct{ method, path, body, action string }{
		{"POST", onePath + "/reissue", `{"reason":"lost phone"}`, "reissue"},
		{"PUT", onePath + "/gates/paid", `{"state":"open"}`, "set_gate"},
		{"POST", onePath + "/guest-link/renew", `{"reason":"forwarded"}`, "renew_guest_link"},
		{"PUT", "/v1/listings/default/new", `{"name":"Garden"}`, "put_listing"},
		{"POST", "/v1/events/replay", `{"status":"applied","source":"default","limit":2}`, "replay"},
		{"POST", "/v1/events/" + a.eventIDs("status=applied")[0] + "/replay", ``, "replay"},
		{"POST", "/v1/deliveries/" + message + "/resend", ``, "resend_delivery"},
		{"POST", "/v1/subscriptions/app/disable", `{"reason":"moving"}`, "disable_subscription"},
		{"POST", "/v1/subscriptions/app/enable", ``, "enable_subscription"},
	} {
		key := fmt.Sprint("k-", i)
		before := a.audited(c.action)
		first := a.keyed(key, adminToken, c.method, c.path, c.body)
		for name, lose := range map[string]string{
			"the process died":  `UPDATE idempotent_requests SET status = NULL, body = NULL, lease_token = gen_random_uuid(), lease_until = now() - interval '1 second'`,
			"the claim is gone": `DELETE FROM idempotent_requests`,
		} {
			if _, err := a.store.Pool().Exec(t.Context(), lose); err != nil {
				t.Fatal(err)
			}
			again := a.keyed(key, adminToken, c.method, c.path, c.body)
			if again.status/100 != 2 || again.media != "application/json" ||
				(c.method == "POST" && again.status != first.status) {
				t.Errorf("%s, %s: %d %s", c.path, name, again.status, again.rawBody)
			}
			if n := a.audited(c.action) - before; n != 1 {
				t.Errorf("%s, %s: done %d times", c.path, name, n)
			}
		}
		a.apply()
	}
}

// A replay whose answer was lost answers with the events that it had queued, as they are now, and with the cursor of
// the older ones: a client that continues from there misses none.
func TestIdempotencyKeyOfAReplay(t *testing.T) {
	t.Parallel()
	a := two(t)
	for i := range 5 {
		a.post(hook{body: strings.Replace(reservationBody, "3333122-433", fmt.Sprint("more-", i), 1)})
	}
	a.apply()
	lost := func() {
		if _, err := a.store.Pool().Exec(t.Context(),
			`UPDATE idempotent_requests SET status = NULL, body = NULL, lease_token = gen_random_uuid(), lease_until = now() - interval '1 second'`); err != nil {
			t.Fatal(err)
		}
	}
	ids := func(r answered) (ids []string) {
		t.Helper()
		items, _ := r.body["items"].([]any)
		for _, item := range items {
			ids = append(ids, item.(map[string]any)["event_id"].(string))
		}
		if r.status != http.StatusOK {
			t.Errorf("%d %s", r.status, r.rawBody)
		}
		return ids
	}
	all := a.eventIDs("status=applied")
	var replayed []string
	cursor := ""
	for page := 0; ; page++ {
		key, body := fmt.Sprint("page-", page), fmt.Sprintf(`{"status":"applied","limit":2,"cursor":%q}`, cursor)
		first := ids(a.keyed(key, adminToken, "POST", "/v1/events/replay", body))
		lost()
		again := a.keyed(key, adminToken, "POST", "/v1/events/replay", body)
		if got := ids(again); !slices.Equal(got, first) {
			t.Errorf("page %d had %v, and again %v", page, first, got)
		}
		replayed = append(replayed, first...)
		next, more := again.body["next_cursor"].(string)
		if !more {
			break
		}
		cursor = next
	}
	if !slices.Equal(replayed, all) {
		t.Errorf("replayed %v, want %v", replayed, all)
	}
	named := fmt.Sprintf(`{"event_ids":[%q,%q]}`, all[1], all[0])
	a.apply()
	first := ids(a.keyed("named", adminToken, "POST", "/v1/events/replay", named))
	lost()
	again := ids(a.keyed("named", adminToken, "POST", "/v1/events/replay", named))
	slices.Sort(first)
	slices.Sort(again)
	if len(first) != 2 || !slices.Equal(again, first) {
		t.Errorf("named events: %v, and again %v", first, again)
	}
}

// eventIDs are those of events in the inbox, newest first.
func (a *app) eventIDs(query string) (ids []string) {
	a.t.Helper()
	items, _ := a.get("/v1/events?limit=500&" + query).body["items"].([]any)
	for _, item := range items {
		ids = append(ids, item.(map[string]any)["event_id"].(string))
	}
	return ids
}

// Refused requests and dry runs are not stored, sessions are requested again, and malformed keys are refused.
func TestIdempotencyKeyOfWhatChangedNothing(t *testing.T) {
	t.Parallel()
	a := two(t)
	a.linked = true
	a.call("POST", onePath+"/hold", `{"reason":"r"}`)
	refused := a.keyed("k", adminToken, "POST", onePath+"/reissue", `{"reason":"lost"}`)
	refused.mustBeProblem(t, 409)
	a.call("POST", onePath+"/release", `{"reason":"r"}`)
	if r := a.keyed("k", adminToken, "POST", onePath+"/reissue", `{"reason":"lost"}`); r.status != 202 {
		t.Errorf("after the release: %d %s", r.status, r.rawBody)
	}
	a.keyed("dry", adminToken, "POST", "/v1/events/replay", `{"source":"default","dry_run":true}`)
	for range 2 { // the digits must not be kept
		if r := a.keyed("code", adminToken, "POST", onePath+"/backup-code", ""); r.status != 200 ||
			r.body["code"] != "846201" {
			t.Errorf("a backup code: %d %s", r.status, r.rawBody)
		}
	}
	a.keyed("app", adminToken, "POST", onePath+"/app-session", "")
	if r := a.keyed("app", adminToken, "POST", onePath+"/app-session", ""); r.status != 200 ||
		r.body["client_session_token"] != "seam_cst1x" {
		t.Errorf("a session: %d %s", r.status, r.rawBody)
	}
	if r := a.keyed("get", adminToken, "GET", onePath, ""); r.status != 200 {
		t.Errorf("a GET: %d %s", r.status, r.rawBody)
	}
	var kept int
	if err := a.store.Pool().QueryRow(t.Context(),
		`SELECT count(*) FROM idempotent_requests`).Scan(&kept); err != nil || kept != 1 {
		t.Errorf("%d requests are kept: %v", kept, err)
	}
	for _, key := range []string{strings.Repeat("x", 256), "a b", "ä", "\t"} {
		a.keyed(key, adminToken, "POST", onePath+"/reissue", `{"reason":"lost"}`).mustBeProblem(t, 422)
	}
	req, err := http.NewRequest("POST", a.url+onePath+"/reissue", strings.NewReader(`{"reason":"lost"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{
		"Authorization": {"Bearer " + adminToken}, "Content-Type": {"application/json"},
		"Idempotency-Key": {"a", "b"},
	}
	a.do(req).mustBeProblem(t, 422)
	a.keyed("large", adminToken, "POST", onePath+"/reissue", `{"reason":"`+strings.Repeat("x", 2<<20)+
		`"}`).mustBeProblem(t, 413)
	a.keyed("none", "a-token-nobody-has", "POST", onePath+"/reissue", `{"reason":"lost"}`).mustBeProblem(t, 401)
}
