package handlers_test

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/notify"
	"github.com/staykey/staykey/internal/stay"
)

// publicRoutes answer without a token or a session.
var publicRoutes = []string{
	"/webhooks/{source}", "/webhooks/{source}/*", "/seam/webhooks", "/healthz", "/readyz", "/openapi.json", "/docs",
	"/docs.css", "/event.schema.json", "/sign-in", "/language/{tag}", "/sign-in/provider", "/sign-in/callback",
	"/assets/{tag}/{name}", "/k/{id}",
}

const foreignMark = "FOREIGN"

var otherParameter = regexp.MustCompile(`\{[a-z_]+\}`)

// withForeign is an app with a source of its own, and another source whose every text has the mark, Seam included.
func withForeign(t *testing.T) *app {
	t.Helper()
	a := newApp(t)
	a.owners = map[string]string{"FOREIGN-group": "open", "555555-5555": "default", "666666-6666": "default"}
	a.groups = append(a.groups, stay.AccessGroup{
		ID: "FOREIGN-group", Name: "FOREIGN vault", SystemID: "FOREIGN-system",
		SystemName: "FOREIGN building",
	})
	problem := "FOREIGN-problem"
	a.provisioning.Disconnected = []admin.Disconnected{{
		ACSSystemID: "FOREIGN-system",
		Since:       "2026-01-01T00:00:00.000Z", Problem: &problem,
	}}
	a.provisioning.LastSweep = admin.ShowSweep(stay.Sweep{HeldBack: 7, Failed: []string{"FOREIGN-system"}})
	a.post(hook{source: "default", id: "1", body: listingBody})
	a.post(hook{source: "default", id: "2", body: reservationBody})
	a.post(hook{
		source: "open", id: "3",
		body: `{"type":"listing.created","timestamp":"2024-10-20T09:00:00.000Z","data":{"listing_id":"FOREIGN-L","name":"FOREIGN suite","seam_access_group_ids":["FOREIGN-group"]}}`,
	})
	a.post(hook{
		source: "open", id: "4",
		body: `{"type":"reservation.created","timestamp":"2024-10-20T09:00:00.000Z","data":{"reservation_id":"FOREIGN-R","guest_email":"FOREIGN@example.com","guest_name":"FOREIGN guest","listing_id":"FOREIGN-L","check_in":"2030-11-01T15:00:00.000Z","check_out":"2030-11-04T11:00:00.000Z"}}`,
	})
	a.apply()
	if r := a.call("POST", "/v1/reservations/open/FOREIGN-R/hold", `{"reason":"FOREIGN reason"}`); r.status != 202 {
		t.Fatal(r.rawBody)
	}
	return a
}

// only is a token for a single purpose, of the source default.
func only(scope, secret string) admin.Token {
	t := token(scope, secret, false, "default")
	t.Only = scope
	return t
}

// mayBeAsked are the routes that tokens for one thing may use.
var mayBeAsked = map[string][]string{
	"sets-gates": {"PUT /v1/reservations/{source}/{reservation_id}/gates/{name}"},
	"hands-guest": {
		"POST /v1/reservations/{source}/{reservation_id}/app-session",
		"POST /v1/reservations/{source}/{reservation_id}/backup-code",
		"POST /v1/reservations/{source}/{reservation_id}/guest-link/renew",
	},
}

// Every route of the router, with every scope: without a token nothing is answered, a token of one source sees nothing
// of another, and a token for a single purpose allows nothing else. New routes are covered automatically.
func TestEveryRouteWithEveryScope(t *testing.T) {
	t.Parallel()
	a := withForeign(t)
	a.tokens = append(a.tokens, token("reader", "reads-default", false, "default"),
		token("writer", "writes-default", true, "default"),
		only(admin.OnlyGates, "sets-gates"), only(admin.OnlyGuest, "hands-guest"))
	_, foreignDelivery := a.subscribedAbout(notify.Subscription{
		Name:    "FOREIGN-subscription",
		Sources: []string{"open"},
	}, "open", "FOREIGN-R")
	foreignEvent := a.get("/v1/events?source=open").body["items"].([]any)[0].(map[string]any)["event_id"].(string)
	ownEvent := a.get("/v1/events?source=default").body["items"].([]any)[0].(map[string]any)["event_id"].(string)
	pages := map[string]*visitor{
		"nobody": a.visitor(), "reads-default": a.visitor(), "writes-default": a.visitor(), "sets-gates": a.visitor(),
		"hands-guest": a.visitor(),
	}
	for secret, v := range pages {
		want := http.StatusOK
		if mayBeAsked[secret] != nil {
			want = http.StatusForbidden
		}
		if secret != "nobody" && v.signIn(secret).status != want {
			t.Fatalf("%s signs in, or can't", secret)
		}
		v.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	}
	// A body that fits most; what is refused for its body has at least been refused without telling anything.
	const body = `{"reason":"r","event_ids":["EVENT"],"guest_email":"nobody@example.com","name":"n"}`
	tried := 0
	err := chi.Walk(a.routes, func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		if slices.Contains(publicRoutes, route) || route == "/updates" || method == http.MethodHead {
			return nil
		}
		for whose, fill := range map[string]*strings.Replacer{
			"own": strings.NewReplacer("{source}", "default", "{reservation_id}", "3333122-433", "{listing_id}",
				"2222222-2222", "{event_id}", ownEvent, "{action}", "hold", "EVENT", ownEvent),
			"foreign": strings.NewReplacer("{source}", "open", "{reservation_id}", "FOREIGN-R", "{listing_id}",
				"FOREIGN-L", "{event_id}", foreignEvent, "{action}", "hold", "EVENT", foreignEvent,
				"{delivery_id}", foreignDelivery, "/gates/{name}", "/gates/paid", "{name}", "FOREIGN-subscription",
				"{verb}", "disable"),
		} {
			path := otherParameter.ReplaceAllString(fill.Replace(route),
				map[string]string{"own": "x", "foreign": foreignMark}[whose])
			for secret, v := range pages {
				tried++
				oneThing := mayBeAsked[secret] != nil
				// at pages there is no way to show such a token
				stranger := secret == "nobody" || oneThing && !strings.HasPrefix(path, "/v1/")
				status, text := a.try(v, secret, method, path, fill.Replace(body))
				what := method + " " + path + " by " + secret
				switch {
				case stranger && status != http.StatusUnauthorized && status != http.StatusSeeOther &&
					status != http.StatusTooManyRequests && status != http.StatusForbidden:
					t.Errorf("%s: %d", what, status)
				case oneThing && !stranger && status != http.StatusForbidden && !slices.Contains(mayBeAsked[secret],
					method+" "+route):
					t.Errorf("%s, which is for one thing: %d", what, status)
				case status >= 500:
					t.Errorf("%s: %d %s", what, status, text)
				case strings.Contains(strings.NewReplacer(path, "", url.QueryEscape(path), "").Replace(text),
					foreignMark): // but for what was asked for
					t.Errorf("%s shows something of another source:\n%s", what, text)
				case secret == "reads-default" && method != http.MethodGet && route != "/sign-out" && status < 400:
					t.Errorf("%s, which may only read: %d", what, status)
				case !stranger && whose == "foreign" && strings.Contains(route, "{") && status < 400:
					t.Errorf("%s: %d", what, status)
				}
				if route == "/sign-out" && !stranger {
					v.signIn(secret)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if tried < 500 {
		t.Errorf("%d requests were tried", tried)
	}
	after := a.get("/v1/reservations/open/FOREIGN-R/timeline").rawBody
	if strings.Contains(after, "(desk)") || strings.Contains(after, `"by":"writer"`) {
		t.Errorf("a token of another source changed something: %s", after)
	}
}

func (a *app) try(v *visitor, secret, method, path, body string) (status int, text string) {
	a.t.Helper()
	if strings.HasPrefix(path, "/v1/") {
		if secret == "nobody" {
			secret = ""
		}
		if method == http.MethodGet {
			body = ""
		}
		r := a.as(secret, method, path, body)
		return r.status, r.rawBody
	}
	if method == http.MethodGet {
		p := v.see(path)
		return p.status, p.body
	}
	p := v.post(path, url.Values{"reason": {"r"}, "query": {"source=open"}})
	return p.status, p.body
}

// A token of one source is offered its own doors only, on the page and by PUT.
func TestDoorsOfScopedTokens(t *testing.T) {
	t.Parallel()
	a := withForeign(t)
	a.tokens = append(a.tokens, token("writer", "writes-default", true, "default"))
	put := a.as("writes-default", "PUT", "/v1/listings/default/2222222-2222",
		`{"seam_access_group_ids":["555555-5555","FOREIGN-group"]}`)
	put.mustBeProblem(t, 422)
	if fields := put.wrongFields(t); !slices.Equal(fields, []string{"seam_access_group_ids"}) {
		t.Errorf("wrong fields: %v", fields)
	}
	if got := a.groupsOf("/v1/listings/default/2222222-2222"); slices.Contains(got, "FOREIGN-group") {
		t.Errorf("the listing has %v", got)
	}
	v := a.visitor()
	v.signIn("writes-default")
	if page := v.see("/listings/default/2222222-2222"); !strings.Contains(page.body, "Room 12") ||
		strings.Contains(page.body, foreignMark) {
		t.Errorf("the page offers:\n%s", page.body)
	}
	if page := v.post("/listings/default/2222222-2222", url.Values{
		"groups_by": {"admin"},
		"group":     {"FOREIGN-group"},
	}); page.status != 422 {
		t.Errorf("the form: %d", page.status)
	}
	if r := a.as("writes-default", "PUT", "/v1/listings/default/2222222-2222",
		`{"seam_access_group_ids":["555555-5555"]}`); r.status != 200 {
		t.Errorf("its own: %d %s", r.status, r.rawBody)
	}
	// Its PMS may name another source's door: of that it sees the id, which is its own listing's, and nothing else.
	a.post(hook{
		source: "default", id: "5",
		body: `{"type":"listing.updated","timestamp":"2024-10-20T09:00:01.000Z","data":{"listing_id":"2222222-2222","seam_access_group_ids":["555555-5555","FOREIGN-group"]}}`,
	})
	a.post(hook{
		source: "default", id: "6",
		body: `{"type":"listing.created","timestamp":"2024-10-20T09:00:00.000Z","data":{"listing_id":"mixed","seam_access_group_ids":["555555-5555","FOREIGN-group"]}}`,
	})
	a.apply()
	for _, path := range []string{
		"/listings/default/mixed", "/listings", "/listings/default/2222222-2222",
		"/reservations/default/3333122-433",
	} {
		text := v.see(path).body
		if path == "/listings/default/mixed" && !strings.Contains(text, "FOREIGN-group") {
			t.Errorf("%s lacks the id of a door of its own listing", path)
		}
		if strings.Contains(strings.ReplaceAll(text, "FOREIGN-group", ""), foreignMark) {
			t.Errorf("%s tells more of another source's door than its id:\n%s", path, text)
		}
	}
}
