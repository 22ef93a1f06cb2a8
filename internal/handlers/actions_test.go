package handlers_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store/storetest"
)

// Two people, or a script and a PMS, create one listing at once: one of them creates it, the others change it.
func TestPutOfOneNewListingAtOnce(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	for round := range 10 {
		var wg sync.WaitGroup
		var mu sync.Mutex
		answers := map[int]int{}
		for range 4 {
			wg.Go(func() {
				r := a.as(adminToken, "PUT", fmt.Sprintf("/v1/listings/default/new-%d", round),
					`{"seam_access_group_ids":["555555-5555"]}`)
				mu.Lock()
				answers[r.status]++
				mu.Unlock()
			})
		}
		wg.Wait()
		if answers[http.StatusOK]+answers[http.StatusCreated] != 4 {
			t.Errorf("round %d: answers by status: %v", round, answers)
		}
	}
}

// A replay takes either ids or filters. A request with both, or with neither, is refused.
func TestReplayOfNamedEvents(t *testing.T) {
	t.Parallel()
	a := two(t)
	events := a.get("/v1/events?source=default&reservation_id=3333122-433&status=applied").body["items"].([]any)
	event := events[0].(map[string]any)["event_id"].(string)

	for _, tc := range []struct{ name, body, reason string }{
		{"an empty list", `{"event_ids":[]}`, "a script that found nothing must not replay everything"},
		{
			"an empty list and a filter", `{"event_ids":[],"source":"default"}`,
			"the list names no event, the filter nearly all",
		},
		{"ids and a filter", `{"event_ids":["` + event + `"],"status":"rejected"}`, "the filter would be dropped"},
		{"ids and a cursor", `{"event_ids":["` + event + `"],"cursor":"x"}`, "the cursor would be dropped"},
		{"neither", `{}`, "all events at once is no request"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if r := a.call("POST", "/v1/events/replay", tc.body); r.status != http.StatusUnprocessableEntity {
				t.Errorf("%d %s: %s", r.status, r.rawBody, tc.reason)
			}
		})
	}

	t.Run("an id given twice is one event", func(t *testing.T) {
		r := a.call("POST", "/v1/events/replay", `{"event_ids":["`+event+`","`+strings.ToUpper(event)+`"]}`)
		if items, _ := r.body["items"].([]any); len(items) != 1 {
			t.Fatalf("%d %s", r.status, r.rawBody)
		}
		if n := strings.Count(a.get(onePath+"/timeline").rawBody, "applied again"); n != 1 {
			t.Errorf("the timeline has %d replays, want 1", n)
		}
	})
}

// A second hold doesn't overwrite who holds a reservation and why: it must be released first.
func TestHoldOfAHeldReservation(t *testing.T) {
	t.Parallel()
	a := two(t)
	if r := a.call("POST", onePath+"/hold",
		`{"reason":"the police asked","author":"Maria"}`); r.status != http.StatusAccepted {
		t.Fatalf("%d %s", r.status, r.rawBody)
	}
	r := a.call("POST", onePath+"/hold", `{"reason":"a mistake","author":"Ben"}`)
	r.mustBeProblem(t, http.StatusConflict)
	if hold := a.get(onePath + "/overrides").body["held"].(map[string]any); hold["reason"] != "the police asked" {
		t.Errorf("held by %v: %v", hold["by"], hold["reason"])
	}
	if !strings.Contains(r.rawBody, "Maria") {
		t.Errorf("the answer does not say who holds it: %s", r.rawBody)
	}
}

// The page and REST ask for the same reason: 1 to 500 characters, of which some are not spaces.
func TestReasonsOfActions(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, reason string
		refused      bool
	}{
		{"none", "", true},
		{"spaces", "   ", true},
		{"a space without width", "\u200b", true},
		{"an accent without a letter", " \u0301 ", true},
		{"a sign", "✓", false},
		{"500 letters of two bytes", strings.Repeat("ж", 500), false},
		{"501 letters", strings.Repeat("x", 501), true},
		{"501 letters of two bytes", strings.Repeat("ж", 501), true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			a := two(t)
			v := a.visitor()
			v.signIn(adminToken)
			page := v.post("/reservations/default/3333122-433/revoke", url.Values{"reason": {tc.reason}})
			if refused := page.status == http.StatusUnprocessableEntity; refused != tc.refused {
				t.Errorf("the page answers %d", page.status)
			}
			r := a.call("POST", "/v1/reservations/a%20b%2Fc/3333122-433/revoke", `{"reason":"`+tc.reason+`"}`)
			if refused := r.status == http.StatusUnprocessableEntity; refused != tc.refused {
				t.Errorf("REST answers %d %s", r.status, r.rawBody)
			}
			if tc.refused {
				if fields := r.wrongFields(t); len(fields) != 1 || fields[0] != "reason" {
					t.Errorf("REST names the fields %v", fields)
				}
			}
		})
	}
}

// A token limited to some sources never sees access systems and keys of other sources, neither on the page nor
// in REST.
func TestTroublesOfScopedTokens(t *testing.T) {
	t.Parallel()
	a := two(t)
	a.tokens = append(a.tokens, token("desk", "reads-one-source-only", false, "default"))
	a.provisioning = admin.Provisioning{
		Disconnected: []admin.Disconnected{{ACSSystemID: "the-other-hotels-system", Since: "2030-11-01T15:00:00.000Z"}},
		LastSweep:    admin.ShowSweep(stay.Sweep{HeldBack: 7, Failed: []string{"the-other-hotels-system: gone"}}),
	}
	for secret, sees := range map[string]bool{"reads-one-source-only": false, adminToken: true} {
		v := a.visitor()
		v.signIn(secret)
		for face, text := range map[string]string{"page": v.see("/").body, "REST": a.as(secret, "GET", "/v1/summary",
			"").rawBody} {
			if strings.Contains(text, "the-other-hotels-system") != sees {
				t.Errorf("%s of %s: shown %v, want %v", face, secret, !sees, sees)
			}
			if face == "page" && strings.Contains(text, "missing at Seam") != sees {
				t.Errorf("the page of %s: keys that are left alone are shown %v, want %v", secret, !sees, sees)
			}
		}
	}
}

// The OpenAPI document has every answer of POST /seam/webhooks.
func TestSeamWebhookAnswersAreDocumented(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	document := a.as("", "GET", "/openapi.json", "").body
	path := document["paths"].(map[string]any)["/seam/webhooks"].(map[string]any)
	known := path["post"].(map[string]any)["responses"].(map[string]any)
	for name, body := range map[string]string{"too large": strings.Repeat("x", 1<<20+1), "not signed": "{}"} {
		req, err := http.NewRequestWithContext(context.Background(), "POST", a.url+"/seam/webhooks",
			strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if r := a.do(req); known[fmt.Sprint(r.status)] == nil {
			t.Errorf("%s: status %d is not in the document", name, r.status)
		}
	}
}

// TestRequestsMeetALock keeps a reservation and its listing locked: changes are refused soon, with advice, and reads
// are answered.
func TestRequestsMeetALock(t *testing.T) {
	t.Parallel()
	a := fillTwo(newAppWithLocks(t))
	ctx := t.Context()
	tx := storetest.Begin(t, a.store)
	if _, err := tx.Exec(ctx, `SELECT FROM reservations r, listings l FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{onePath, onePath + "/timeline", "/v1/listings", "/v1/summary"} {
		if r := a.call("GET", path, ""); r.status != 200 {
			t.Errorf("GET %s: %d %s", path, r.status, r.rawBody)
		}
	}
	for _, c := range [][3]string{
		{"POST", onePath + "/reconcile", ""},
		{"POST", onePath + "/hold", `{"reason": "x"}`},
		{"PUT", "/v1/listings/default/2222222-2222", `{"name": "x"}`},
	} {
		t.Run(c[1], func(t *testing.T) {
			t.Parallel()
			if r := a.call(c[0], c[1], c[2]); r.status != 503 || r.header.Get("Retry-After") == "" ||
				!strings.Contains(r.rawBody, "another transaction") {
				t.Errorf("%d %s", r.status, r.rawBody)
			}
		})
	}
}
