package handlers_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/handlers"
	"github.com/staykey/staykey/internal/handlers/rest"
	"github.com/staykey/staykey/internal/handlers/web"
	"github.com/staykey/staykey/internal/handlers/webhook"
	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/sso"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/store/storetest"
	"github.com/staykey/staykey/internal/until"
)

const adminToken = "an-admin-token-of-the-tests"

var (
	secretA = pms.Secret("0123456789abcdef0123456789abcdef")
	secretB = pms.Secret("fedcba9876543210fedcba9876543210")
	seamKey = pms.Secret("seamseamseamseamseamseamseamseam")
)

// app is the HTTP side on a database of its own. Events are applied when the test says so.
type app struct {
	t       testing.TB
	store   *store.Store
	routes  chi.Routes // of the public listener
	applier *intake.Applier
	applied *store.Activity // what the applier has counted
	url     string
	changed int
	sources map[string]pms.Source
	trusted pms.Addresses
	groups  []stay.AccessGroup
	owners  map[string]string // of access groups: the sources that may open them
	tokenMu sync.Mutex        // where a test changes them while requests are answered
	tokens  []admin.Token
	// provisioning is what the service says of the work at Seam.
	provisioning admin.Provisioning
	// subscriptions are those of the configuration, and testSubscription sends a test message.
	subscriptions    []admin.SubscriptionSettings
	testSubscription func(context.Context, string) (store.Delivery, store.AttemptResult, error)
	woken            int                          // how often deliveries were wanted at once
	linked           bool                         // stays have links
	sessionErr       error                        // why there is no app session
	signIns          atomic.Pointer[sso.Settings] // of the configuration; nil: people sign in with tokens only
}

func token(name, secret string, write bool, sources ...string) admin.Token {
	return admin.Token{Name: name, Hash: sha256.Sum256([]byte(secret)), Write: write, Sources: sources}
}

func newApp(t testing.TB) *app {
	t.Helper()
	return newAppLogging(t, slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})))
}

func newAppLogging(t testing.TB, log *slog.Logger) *app {
	t.Helper()
	return newAppOn(t, storetest.NewSmall(t, 2), log)
}

// newAppWithLocks is for tests of what happens when a lock isn't released.
func newAppWithLocks(t testing.TB) *app {
	t.Helper()
	return newAppOn(t, storetest.NewWithBriefLockWaits(t, 2), slog.New(slog.DiscardHandler))
}

func newAppOn(t testing.TB, db *store.Store, log *slog.Logger) *app {
	t.Helper()
	a := &app{
		t: t, store: db, applied: store.NewActivity(),
		provisioning: admin.Provisioning{Disconnected: []admin.Disconnected{}},
	}
	a.groups = []stay.AccessGroup{{ID: "555555-5555", Name: "Room 12", SystemID: "s", SystemName: "Building A"}}
	a.applier = intake.NewApplier(a.store, log, intake.Options{
		Source: func(name string) pms.Source { return a.sources[name] }, Activity: a.applied,
	})
	acceptor := intake.NewAcceptor(a.store.Events, log, &intake.Pace{}, func() {}, until.Patience)
	a.sources = map[string]pms.Source{
		"default": {
			Name: "default", Verifier: pms.StandardWebhooks{Secrets: []pms.Secret{secretA, secretB}},
			Policy: pms.DefaultPolicy(),
		},
		"open": {Name: "open", Insecure: true, Verifier: pms.Anybody{}, Policy: pms.DefaultPolicy()},
		"a b/c": {
			Name: "a b/c", Verifier: pms.StandardWebhooks{Secrets: []pms.Secret{secretA}},
			Policy: pms.DefaultPolicy(),
		},
		"limited": {
			Name: "limited", Verifier: pms.StandardWebhooks{Secrets: []pms.Secret{secretA}},
			Limit: pms.RateLimit{PerSecond: 0.001, Burst: 2}, Policy: pms.DefaultPolicy(),
		},
		"disabled": {Name: "disabled", Policy: pms.DefaultPolicy()},
	}
	a.tokens = []admin.Token{token("another", "another-token-of-the-tests", true), token("admin", adminToken, true)}
	sources := func() map[string]pms.Source { return a.sources }
	cursorKey := []byte("a key of the tests")
	activity := store.NewActivity()
	tester := &webhook.Tester{Now: time.Now, Key: cursorKey}
	service := admin.New(admin.Config{
		Store: a.store, Intake: a.applier, Provisioner: provisionerStub{a}, Activity: activity, Log: log, Now: time.Now,
		CursorKey: cursorKey,
		DueWithin: 24 * time.Hour, Sources: sources,
		Gates:         func(name string) []pms.Gate { return a.sources[name].Policy.Gates },
		Subscriptions: func() []admin.SubscriptionSettings { return a.subscriptions },
		Provisioning:  func(context.Context) (admin.Provisioning, error) { return a.provisioning, nil },
		Diagnose:      func(context.Context) []admin.Finding { return nil },
		TestSource:    tester.Test,
		TestSubscription: func(ctx context.Context, name string) (store.Delivery, store.AttemptResult, error) {
			return a.testSubscription(ctx, name)
		},
		Deliver: func() { a.woken++ },
		Guests:  guestsStub{a},
	})
	proxies := handlers.Proxies(func() pms.Addresses { return a.trusted })
	limits := handlers.NewLimits(proxies.Sender)
	auth := handlers.NewAuth(func() []admin.Token { a.tokenMu.Lock(); defer a.tokenMu.Unlock(); return a.tokens },
		proxies, time.Now)
	server := httptest.NewUnstartedServer(nil)
	a.url = "http://" + server.Listener.Addr().String()
	public, _ := handlers.New(
		handlers.Config{
			Log: log, Metrics: prometheus.NewRegistry(),
			Ready: func(context.Context) handlers.Readiness { return handlers.Readiness{Ready: true} },
		},
		webhook.New(webhook.Config{
			Sources: sources, Inbox: acceptor, Store: a.store, Activity: activity, Limits: limits, Proxies: proxies,
			Log: log, Now: time.Now,
			SeamSecrets: func() []pms.Secret { return []pms.Secret{seamKey} }, SeamChanged: func() { a.changed++ },
			TestKey: cursorKey,
		}),
		rest.New(rest.Config{Admin: service, Auth: auth, Limits: limits, Log: log}),
		web.New(web.Config{
			Admin: service, Auth: auth, Limits: limits, Proxies: proxies, Log: log, Now: time.Now,
			FormKey: cursorKey, PublicURL: a.url, AdminURL: a.url,
			SSO: &web.SSO{Client: sso.New(time.Now, until.Patience), Settings: a.signIns.Load},
		}),
	)
	tester.Public = public
	a.routes = public.(chi.Routes)
	server.Config.Handler = public
	server.Start()
	t.Cleanup(func() { server.Close(); _ = acceptor.Close(context.Background()) })
	return a
}

// provisionerStub answers what admins ask about Seam.
type provisionerStub struct{ *app }

func (p provisionerStub) AccessGroups(context.Context) ([]stay.AccessGroup, error) {
	return slices.Clone(p.groups), nil
}

func (p provisionerStub) NotAllowed(_ context.Context, source string, groups []string) (denied []string, err error) {
	for _, group := range groups {
		if owner, owned := p.owners[group]; owned && owner != source {
			denied = append(denied, group)
		}
	}
	return denied, nil
}

func (p provisionerStub) EraseGuest(ctx context.Context, _ string, audit store.Audit) (stay.Erasure, error) {
	_, _, err := p.store.Erasure.Erase(ctx, store.Erasing{Audit: audit, Now: time.Now()})
	return stay.Erasure{}, err
}

func (provisionerStub) Explain(context.Context, stay.Ref) (stay.Target, error) {
	return stay.Target{Key: true}, nil
}

func (provisionerStub) Plan(context.Context, stay.Ref) ([]stay.PlannedCall, error) {
	return []stay.PlannedCall{}, nil
}

// answered is the answer to a request.
type answered struct {
	status  int
	header  http.Header
	body    map[string]any
	media   string
	rawBody string
}

func answeredOf(t testing.TB, resp *http.Response) string {
	t.Helper()
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func (a *app) do(req *http.Request) answered {
	a.t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	out := answered{
		status: resp.StatusCode, header: resp.Header, media: resp.Header.Get("Content-Type"),
		rawBody: string(raw),
	}
	_ = json.Unmarshal(raw, &out.body)
	return out
}

// hook is a webhook in the making; the zero value of a field is what is right.
type hook struct {
	source, id, body, contentType string
	secret                        pms.Secret
	at                            time.Time
	spelling                      string // of the headers: "webhook" or "svix"
	change                        func(*http.Request)
}

func (a *app) post(h hook) answered {
	a.t.Helper()
	or := func(s, otherwise string) string {
		if s == "" {
			return otherwise
		}
		return s
	}
	if h.secret == nil {
		h.secret = secretA
	}
	if h.at.IsZero() {
		h.at = time.Now()
	}
	id := or(h.id, fmt.Sprintf("msg_%d", time.Now().UnixNano()))
	req, err := http.NewRequest(http.MethodPost, a.url+"/webhooks/"+or(h.source, "default"), strings.NewReader(h.body))
	if err != nil {
		a.t.Fatal(err)
	}
	spelling := or(h.spelling, "webhook")
	req.Header.Set("Content-Type", or(h.contentType, "application/json"))
	req.Header.Set(spelling+"-id", id)
	req.Header.Set(spelling+"-timestamp", fmt.Sprint(h.at.Unix()))
	req.Header.Set(spelling+"-signature", h.secret.Sign(id, h.at, []byte(h.body)))
	if h.change != nil {
		h.change(req)
	}
	return a.do(req)
}

func (a *app) get(path string) answered {
	a.t.Helper()
	return a.call(http.MethodGet, path, "")
}

func (a *app) call(method, path, body string) answered {
	a.t.Helper()
	req, err := http.NewRequest(method, a.url+path, strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+adminToken)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	return a.do(req)
}

func (a *app) apply() {
	a.t.Helper()
	if err := a.applier.Drain(context.Background()); err != nil {
		a.t.Fatal(err)
	}
}

// wrongFields are the fields of a problem, sorted; each must have one entry with a message.
func (r answered) wrongFields(t *testing.T) []string {
	t.Helper()
	var fields []string
	list, _ := r.body["errors"].([]any)
	for _, e := range list {
		entry := e.(map[string]any)
		fields = append(fields, entry["field"].(string))
		if entry["message"] == "" {
			t.Errorf("%s has no message", entry["field"])
		}
	}
	slices.Sort(fields)
	return fields
}

func (r answered) mustBeProblem(t *testing.T, status int) {
	t.Helper()
	if r.status != status || r.media != "application/problem+json" {
		t.Errorf("got %d %s %s, want a problem with %d", r.status, r.media, r.rawBody, status)
		return
	}
	if r.body["status"] != float64(status) || r.body["title"] != http.StatusText(status) || r.body["type"] == "" ||
		r.body["detail"] == "" {
		t.Errorf("the problem lacks something: %s", r.rawBody)
	}
	if id := r.header.Get("X-Request-Id"); r.body["code"] == nil || id == "" || r.body["request_id"] != id {
		t.Errorf("the problem lacks its code, or request_id %q: %s", id, r.rawBody)
	}
}

const (
	listingBody     = `{"type":"listing.created","timestamp":"2024-10-20T09:00:00.000Z","data":{"listing_id":"2222222-2222","seam_access_group_ids":["555555-5555","666666-6666"]}}`
	reservationBody = `{"type":"reservation.created","timestamp":"2024-10-20T09:00:00.000Z","data":{"reservation_id":"3333122-433","guest_email":"jane@example.com","listing_id":"2222222-2222","check_in":"2030-11-01T15:00:00.000Z","check_out":"2030-11-04T11:00:00.000Z"}}`
)

// TestContractTable has a case for each answer that docs/webhooks.md lists.
func TestContractTable(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	count := func() int {
		events, err := a.store.Events.List(context.Background(), store.EventFilter{}, 0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		return len(events)
	}

	t.Run("202 accepted, kept byte for byte", func(t *testing.T) {
		body := "  " + reservationBody + "\n"
		r := a.post(hook{id: "first", body: body})
		if r.status != 202 || r.body["status"] != "accepted" || r.media != "application/json" {
			t.Fatalf("got %d %s %s", r.status, r.media, r.rawBody)
		}
		e := a.get("/v1/events/" + r.body["event_id"].(string))
		if e.body["body"] != body || e.body["status"] != "accepted" {
			t.Errorf("the event is kept as %s", e.rawBody)
		}
	})
	t.Run("200 duplicate, whatever the body", func(t *testing.T) {
		first := a.post(hook{id: "twice", body: reservationBody}).body["event_id"]
		before := count()
		for _, body := range []string{reservationBody, listingBody, `{"type":"reservation.created"}`, `not json`} {
			r := a.post(hook{id: "twice", body: body})
			if r.status != 200 || r.body["status"] != "duplicate" || r.body["event_id"] != first {
				t.Errorf("%s: got %d %s, want 200 with %v", body, r.status, r.rawBody, first)
			}
		}
		if count() != before {
			t.Error("a duplicate has been kept")
		}
	})
	t.Run("of two at once one gets 202, the other 200, with one id", func(t *testing.T) {
		const n = 16
		results := make([]answered, n)
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() { results[i] = a.post(hook{id: "together", body: listingBody}) })
		}
		wg.Wait()
		accepted, ids := 0, map[any]bool{}
		for _, r := range results {
			if r.status == 202 {
				accepted++
			} else if r.status != 200 {
				t.Errorf("got %d %s", r.status, r.rawBody)
			}
			ids[r.body["event_id"]] = true
		}
		if accepted != 1 || len(ids) != 1 {
			t.Errorf("%d got 202, %d ids", accepted, len(ids))
		}
	})
	t.Run("the same webhook-id in another source is another event", func(t *testing.T) {
		for _, source := range []string{"default", "a%20b%2Fc"} {
			if r := a.post(hook{source: source, id: "shared", body: reservationBody}); r.status != 202 {
				t.Errorf("%s: got %d %s", source, r.status, r.rawBody)
			}
		}
	})
	t.Run("202 ignored, and then a duplicate", func(t *testing.T) {
		r := a.post(hook{id: "ignored", body: `{"type":"invoice.paid","anything":1}`})
		if r.status != 202 || r.body["status"] != "ignored" {
			t.Fatalf("got %d %s", r.status, r.rawBody)
		}
		again := a.post(hook{id: "ignored", body: reservationBody})
		if again.status != 200 || again.body["event_id"] != r.body["event_id"] {
			t.Errorf("got %d %s", again.status, again.rawBody)
		}
	})
	t.Run("422 lists every wrong field and keeps the event; resent, it is tried again", func(t *testing.T) {
		r := a.post(hook{
			id:   "repaired",
			body: `{"type":"reservation.created","timestamp":"yesterday","data":{"listing_id":7,"check_in":"2024-13-01","guest_email":"nobody","guest_phone":"600","status":"maybe"}}`,
		})
		r.mustBeProblem(t, 422)
		want := []string{
			"data.check_in", "data.guest_email", "data.guest_phone", "data.listing_id",
			"data.reservation_id", "data.status", "timestamp",
		}
		if diff := cmp.Diff(want, r.wrongFields(t)); diff != "" {
			t.Errorf("wrong fields (-want +got):\n%s", diff)
		}
		rejected := a.get("/v1/events?status=rejected").body["items"].([]any)
		id := rejected[0].(map[string]any)["event_id"]
		again := a.post(hook{id: "repaired", body: reservationBody})
		if again.status != 202 || again.body["event_id"] != id {
			t.Errorf("resent: got %d %s, want 202 with %v", again.status, again.rawBody, id)
		}
		if r := a.post(hook{id: "repaired", body: reservationBody}); r.status != 200 {
			t.Errorf("and then: got %d", r.status)
		}
	})
	nothingKept := func(name string, status int, h hook) {
		t.Run(name, func(t *testing.T) {
			before := count()
			r := a.post(h)
			r.mustBeProblem(t, status)
			if count() != before {
				t.Error("something has been kept")
			}
		})
	}
	nothingKept("400 not JSON", 400, hook{body: `{"type": }`})
	nothingKept("400 empty", 400, hook{body: ``})
	nothingKept("400 two values", 400, hook{body: listingBody + listingBody})
	nothingKept("400 not UTF-8", 400,
		hook{
			body: "{\"type\":\"reservation.cancelled\",\"timestamp\":\"2024-10-20T09:00:00Z\",\"data\":{\"reservation_id\":\"\xff\"}}",
		})
	nothingKept("400 a webhook-id with a space", 400, hook{id: "a b", body: listingBody})
	nothingKept("400 a webhook-id of 201 characters", 400, hook{id: strings.Repeat("x", 201), body: listingBody})
	nothingKept("413 a declared length", 413, hook{body: `"` + strings.Repeat("x", 1<<20) + `"`})
	nothingKept("413 chunked", 413, hook{body: `"` + strings.Repeat("x", 1<<20) + `"`, change: func(r *http.Request) {
		r.ContentLength = -1
		r.Body = io.NopCloser(io.MultiReader(strings.NewReader(`"`), strings.NewReader(strings.Repeat("x", 1<<20)),
			strings.NewReader(`"`)))
	}})
	nothingKept("415 a form", 415, hook{body: listingBody, contentType: "application/x-www-form-urlencoded"})
	nothingKept("415 another encoding", 415, hook{
		body:   listingBody,
		change: func(r *http.Request) { r.Header.Set("Content-Encoding", "br") },
	})
	nothingKept("404 no such source", 404, hook{source: "nobody", body: listingBody})
	nothingKept("401 a source without secrets", 401, hook{source: "disabled", body: listingBody})
	nothingKept("401 another secret", 401, hook{
		body:   listingBody,
		secret: pms.Secret("another secret that nobody knows"),
	})
	nothingKept("401 too old", 401, hook{body: listingBody, at: time.Now().Add(-301 * time.Second)})
	nothingKept("401 too far ahead", 401, hook{body: listingBody, at: time.Now().Add(302 * time.Second)})
	for _, header := range []string{"webhook-id", "webhook-timestamp", "webhook-signature"} {
		nothingKept("401 no "+header, 401, hook{
			body:   listingBody,
			change: func(r *http.Request) { r.Header.Del(header) },
		})
	}
	nothingKept("401 a body that was tampered with", 401, hook{body: listingBody, change: func(r *http.Request) {
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(reservationBody)), int64(len(reservationBody))
	}})
	accepted := func(name string, h hook) {
		t.Run(name, func(t *testing.T) {
			if r := a.post(h); r.status != 202 {
				t.Errorf("got %d %s", r.status, r.rawBody)
			}
		})
	}
	accepted("any of the secrets verifies", hook{body: listingBody, secret: secretB})
	accepted("svix's spelling", hook{body: listingBody, spelling: "svix"})
	accepted("one right signature of several", hook{body: listingBody, id: "many", change: func(r *http.Request) {
		r.Header.Set("webhook-signature", "v1,AAAA v2,zzz v1a,yyy "+r.Header.Get("webhook-signature"))
	}})
	for _, parameter := range []string{
		"charset=UTF-8", "charset=utf8", "charset=latin1", `charset="utf-8"`, "charset",
		"v=1; charset=us-ascii",
	} {
		accepted("the media type decides, not its parameter "+parameter,
			hook{body: listingBody, contentType: "application/json; " + parameter})
	}
	accepted("a byte order mark", hook{body: "\xef\xbb\xbf" + listingBody})
	accepted("a lone surrogate", hook{body: strings.Replace(reservationBody, `"guest_email"`,
		`"guest_name":"Ana \ud83d","guest_email"`, 1)})
	accepted("a signature of two lines", hook{body: listingBody, change: func(r *http.Request) {
		right := r.Header.Get("webhook-signature")
		r.Header.Set("webhook-signature", "v1,AAAA")
		r.Header.Add("webhook-signature", right)
	}})
	accepted("svix's spelling next to a gateway's own", hook{
		body: listingBody, spelling: "svix",
		change: func(r *http.Request) {
			for name, value := range map[string]string{
				"webhook-id": "gateway", "webhook-timestamp": "1",
				"webhook-signature": "v1,AAAA",
			} {
				r.Header.Set(name, value)
			}
		},
	})
	accepted("a source without verification", hook{source: "open", body: listingBody, secret: secretB})
	accepted("exactly 1 MiB", hook{body: listingBody + strings.Repeat(" ", 1<<20-len(listingBody))})
	t.Run("405 has a problem and Allow, at every path", func(t *testing.T) {
		for path, allow := range map[string]string{
			"/webhooks/default": "POST", "/seam/webhooks": "POST", "/healthz": "GET, HEAD",
			"/v1/reservations": "GET, HEAD",
			"/v1/listings":     "GET, HEAD, PUT", "/v1/listings/default/L": "GET, HEAD, PUT, DELETE",
			"/v1/reservations/default/R/reconcile": "POST", "/openapi.json": "GET, HEAD",
		} {
			for _, method := range []string{
				http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut,
				http.MethodPost, http.MethodDelete, "PROPFIND",
			} {
				if slices.Contains(strings.Split(allow, ", "), method) {
					continue
				}
				req, err := http.NewRequest(method, a.url+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				r := a.do(req)
				if r.status != 405 || r.header.Get("Allow") != allow {
					t.Errorf("%s %s: %d, Allow %q, want %q", method, path, r.status, r.header.Get("Allow"), allow)
				}
			}
		}
		a.get("/webhooks/default").mustBeProblem(t, 405)
	})
	t.Run("HEAD is answered wherever GET is", func(t *testing.T) {
		for _, path := range []string{"/healthz", "/readyz", "/openapi.json", "/sign-in"} {
			req, err := http.NewRequest(http.MethodHead, a.url+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if r := a.do(req); r.status != 200 || r.rawBody != "" {
				t.Errorf("%s: %d %q", path, r.status, r.rawBody)
			}
		}
	})
	t.Run("503 with Retry-After while Postgres can't commit", func(t *testing.T) {
		b := newApp(t)
		b.store.Close()
		r := b.post(hook{body: listingBody})
		r.mustBeProblem(t, 503)
		if r.header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	})
}

func TestFieldNamesAreCaseSensitive(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	for name, c := range map[string]struct {
		body string
		want []string
	}{
		"the envelope": {strings.Replace(reservationBody, `"type"`, `"Type"`, 1), []string{"type"}},
		"a required field": {
			strings.Replace(reservationBody, `"reservation_id"`, `"RESERVATION_ID"`, 1),
			[]string{"data.reservation_id"},
		},
		"a field twice": {
			strings.Replace(reservationBody, `"data":{`, `"data":{"reservation_id":"other",`, 1),
			[]string{"data.reservation_id"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := a.post(hook{body: c.body})
			r.mustBeProblem(t, 422)
			if diff := cmp.Diff(c.want, r.wrongFields(t)); diff != "" {
				t.Errorf("wrong fields (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("an optional field is unknown, with a note", func(t *testing.T) {
		r := a.post(hook{body: strings.Replace(reservationBody, `"guest_email"`, `"Guest_Email"`, 1)})
		if r.status != 202 || r.body["status"] != "accepted" {
			t.Fatalf("answered %d: %s", r.status, r.rawBody)
		}
		a.apply()
		got := a.get("/v1/reservations/default/3333122-433").body
		notes, _ := got["notes"].([]any)
		if got["guest_email"] != nil || len(notes) != 1 || notes[0].(map[string]any)["field"] != "data.Guest_Email" {
			t.Errorf("guest_email %v, notes %v", got["guest_email"], notes)
		}
	})
}

func TestREST(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.post(hook{body: listingBody})
	a.post(hook{body: reservationBody})
	for i := range 7 {
		a.post(hook{body: strings.NewReplacer("3333122-433", fmt.Sprintf("R %d/x%%2F", i), "jane@",
			fmt.Sprintf("Guest%d@", i)).Replace(reservationBody)})
	}
	a.post(
		hook{
			body: `{"type":"reservation.cancelled","timestamp":"2024-10-20T09:00:00.000Z","data":{"reservation_id":"only cancelled"}}`,
		})
	a.apply()

	t.Run("a reservation, as the contract shows it", func(t *testing.T) {
		r := a.get("/v1/reservations/default/3333122-433")
		delete(r.body, "created_at")
		delete(r.body, "updated_at")
		want := map[string]any{
			"source": "default", "reservation_id": "3333122-433", "listing_id": "2222222-2222", "status": "confirmed",
			"guest_email": "jane@example.com", "guest_name": nil, "guest_phone": nil,
			"check_in": "2030-11-01T15:00:00.000Z", "check_out": "2030-11-04T11:00:00.000Z",
			"mobile_key": map[string]any{
				"status": "provisioning", "reason": nil, "message": nil, "user_identity_id": nil, "acs_system_id": nil,
				"acs_user_id":          nil,
				"acs_access_group_ids": []any{}, "acs_credential_id": nil, "access_schedule": nil, "attempts": 0.0,
				"last_error":      nil,
				"next_attempt_at": nil, "settled_at": nil, "first_used_at": nil, "denied": nil,
			},
			"notes": []any{}, "gates": []any{}, "guest_link": nil, "write_back": nil, "backup_code": nil,
			"door_at_risk": nil,
		}
		if diff := cmp.Diff(want, r.body); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	t.Run("ids with slashes, spaces and percent signs are decoded once", func(t *testing.T) {
		r := a.get("/v1/reservations/default/R%203%2Fx%252F")
		if r.status != 200 || r.body["reservation_id"] != "R 3/x%2F" {
			t.Errorf("got %d %s", r.status, r.rawBody)
		}
	})
	t.Run("one known by its cancel only", func(t *testing.T) {
		r := a.get("/v1/reservations/default/only%20cancelled")
		if r.body["status"] != "cancelled" || r.body["listing_id"] != nil || r.body["check_in"] != nil ||
			r.body["check_out"] != nil {
			t.Errorf("got %s", r.rawBody)
		}
	})
	t.Run("paging shows each once, newest change first", func(t *testing.T) {
		for path, key := range map[string]string{"/v1/reservations": "reservation_id", "/v1/events": "event_id"} {
			var seen []string
			cursor := ""
			for {
				r := a.get(path + "?limit=2&cursor=" + cursor)
				for _, i := range r.body["items"].([]any) {
					seen = append(seen, i.(map[string]any)[key].(string))
				}
				next, more := r.body["next_cursor"].(string)
				if !more {
					break
				}
				cursor = next
			}
			sorted := slices.Compact(slices.Sorted(slices.Values(seen)))
			if len(sorted) != len(seen) || len(seen) < 9 {
				t.Errorf("%s: %d items, %d different", path, len(seen), len(sorted))
			}
		}
	})
	t.Run("filters", func(t *testing.T) {
		for query, want := range map[string]int{
			"source=default": 9, "source=other": 0, "status=cancelled": 1, "status=confirmed": 8,
			"listing_id=2222222-2222":        8,
			"guest_email=GUEST3@example.COM": 1, "guest_email=guest3": 0, "q=guest3": 1, "q=3333122": 1, "q=%25": 7,
			"check_in_from=2030-11-01": 8, "check_in_from=2030-11-02": 0, "check_in_to=2030-11-01T15:00:00Z": 0,
			"check_in_to=2030-11-01T15:00:00.001Z": 8, "key_status=waiting": 0, "key_status=provisioning": 8,
			"key_status=revoking": 1, "key_status=issued": 0, "status=confirmed&q=guest": 7,
		} {
			r := a.get("/v1/reservations?" + query)
			if items, _ := r.body["items"].([]any); r.status != 200 || len(items) != want {
				t.Errorf("%s: got %d with %d items, want %d", query, r.status, len(items), want)
			}
		}
	})
	t.Run("422 for an unknown parameter or a bad value", func(t *testing.T) {
		for _, path := range []string{
			"/v1/reservations?foo=1", "/v1/reservations?limit=0", "/v1/reservations?limit=501",
			"/v1/reservations?limit=x", "/v1/reservations?status=maybe",
			"/v1/reservations?key_status=x", "/v1/reservations?check_in_from=tomorrow", "/v1/reservations?cursor=x",
			"/v1/events?status=x",
			"/v1/events?cursor=%00", "/v1/listings?deleted=perhaps", "/v1/reservations/default/3333122-433?verbose=1",
			"/v1/reservations?limit=1&limit=2", "/v1/events?source=default&source=default",
		} {
			a.get(path).mustBeProblem(t, 422)
		}
	})
	t.Run("404 says what is missing", func(t *testing.T) {
		for _, path := range []string{
			"/v1/reservations/default/x", "/v1/reservations/default/x/timeline",
			"/v1/listings/default/x", "/v1/events/x", "/v1/events/0190b5a0-7a7c-7c3e-9d2e-6f1f8f0c2a11", "/nowhere",
		} {
			a.get(path).mustBeProblem(t, 404)
		}
		a.call(http.MethodPost, "/v1/reservations/default/x/reconcile", "").mustBeProblem(t, 404)
		a.call(http.MethodPut, "/v1/listings/nobody/x", "{}").mustBeProblem(t, 404)
	})
	t.Run("401 without a token", func(t *testing.T) {
		for _, header := range []string{"", "Bearer", "Bearer wrong", "Basic " + adminToken, adminToken} {
			req, _ := http.NewRequest(http.MethodGet, a.url+"/v1/reservations?foo=1", nil)
			req.Header.Set("Authorization", header)
			r := a.do(req)
			r.mustBeProblem(t, 401)
			if r.header.Get("WWW-Authenticate") == "" {
				t.Error("no challenge")
			}
		}
	})
	t.Run("timeline, summary, reconcile", func(t *testing.T) {
		r := a.call(http.MethodPost, "/v1/reservations/default/3333122-433/reconcile", "")
		if r.status != 202 {
			t.Errorf("reconcile: got %d %s", r.status, r.rawBody)
		}
		r = a.get("/v1/reservations/default/3333122-433/timeline")
		var kinds []string
		for _, i := range r.body["items"].([]any) {
			kinds = append(kinds, i.(map[string]any)["kind"].(string))
		}
		if diff := cmp.Diff([]string{"action", "event"}, kinds); diff != "" {
			t.Errorf("timeline (-want +got):\n%s", diff)
		}
		r = a.get("/v1/summary")
		if counts, _ := r.body["reservations"].(map[string]any); counts["confirmed"] != 8.0 ||
			counts["cancelled"] != 1.0 {
			t.Errorf("summary: %s", r.rawBody)
		}
	})
	t.Run("an applied event is shown with its changes, and can be replayed", func(t *testing.T) {
		items := a.get("/v1/events?reservation_id=3333122-433").body["items"].([]any)
		id := items[0].(map[string]any)["event_id"].(string)
		r := a.get("/v1/events/" + id)
		changes, _ := r.body["changes"].([]any)
		if r.body["status"] != "applied" || len(changes) != 1 || r.body["applied_at"] == nil ||
			r.body["timestamp"] != "2024-10-20T09:00:00.000Z" {
			t.Errorf("got %s", r.rawBody)
		}
		if r := a.call(http.MethodPost, "/v1/events/"+id+"/replay", ""); r.status != 202 {
			t.Errorf("replay: got %d %s", r.status, r.rawBody)
		}
		a.apply()
		if r := a.get("/v1/events/" + id); r.body["status"] != "applied" {
			t.Errorf("replayed: %s", r.rawBody)
		}
	})
	t.Run("OpenAPI and its page need no token", func(t *testing.T) {
		for _, path := range []string{"/openapi.json", "/docs", "/healthz", "/readyz"} {
			resp, err := http.Get(a.url + path)
			if err != nil || resp.StatusCode != 200 {
				t.Errorf("%s: %v %v", path, resp, err)
			}
			_ = resp.Body.Close()
		}
		r := a.get("/openapi.json")
		if r.body["openapi"] != "3.1.0" {
			t.Errorf("openapi: %v", r.body["openapi"])
		}
		docs := a.get("/docs")
		if strings.Contains(docs.rawBody, "<script") || strings.Contains(docs.rawBody, "<style") ||
			strings.Contains(docs.rawBody, " style=") {
			t.Error("the page has something inline")
		}
		if csp := docs.header.Get("Content-Security-Policy"); strings.Contains(csp, "unsafe") ||
			!strings.Contains(csp, "frame-ancestors 'none'") {
			t.Errorf("Content-Security-Policy of /docs: %q", csp)
		}
		if style := a.get("/docs.css"); style.status != 200 ||
			style.header.Get("Content-Type") != "text/css; charset=utf-8" {
			t.Errorf("the style of /docs: %d %s", style.status, style.header.Get("Content-Type"))
		}
	})
}

// A listener without the page has no start page to go to, and no style.
func TestProblemPageLeadsNowhereThatIsMissing(t *testing.T) {
	t.Parallel()
	seen := func(url string) string {
		req, err := http.NewRequest(http.MethodGet, url+"/nowhere", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", "text/html")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		page, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusNotFound || !strings.Contains(string(page), "Not Found") {
			t.Fatalf("%d %v: %s", resp.StatusCode, err, page)
		}
		return string(page)
	}
	bare := httptest.NewServer(handlers.Serve(handlers.Config{Log: slog.New(slog.DiscardHandler)}))
	t.Cleanup(bare.Close)
	if page := seen(bare.URL); strings.Contains(page, "href=") {
		t.Errorf("a listener without the page links to it:\n%s", page)
	}
	if page := seen(newApp(t).url); !strings.Contains(page, `href="/"`) || !strings.Contains(page, `href="/docs.css"`) {
		t.Errorf("the page has lost its links:\n%s", page)
	}
}

func TestPutListing(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	const path = "/v1/listings/default/2222222-2222"
	groups := func(r answered) string { return fmt.Sprint(r.body["seam_access_group_ids"]) }
	a.get(path).mustBeProblem(t, 404)
	if r := a.call(http.MethodPut, path, `{"name":"Casa","time_zone":"Europe/Madrid"}`); r.status != 201 ||
		groups(r) != "[]" {
		t.Errorf("made by PUT: %d %s", r.status, r.rawBody)
	}
	a.post(hook{body: strings.Replace(listingBody, `"listing_id"`, `"time_zone":"Europe/Lisbon","listing_id"`, 1)})
	a.apply()
	if r := a.get(path); groups(r) != "[555555-5555 666666-6666]" || r.body["name"] != nil ||
		r.body["time_zone"] != "Europe/Lisbon" {
		t.Errorf("the PMS's event is whole: %s", r.rawBody)
	}
	if r := a.call(http.MethodPut, path, `{"seam_access_group_ids":["lobby"]}`); r.status != 200 ||
		groups(r) != "[lobby]" || r.body["time_zone"] != "Europe/Lisbon" {
		t.Errorf("absent fields stay: %s", r.rawBody)
	}
	a.post(hook{body: listingBody})
	a.apply()
	if r := a.get(path); groups(r) != "[lobby]" {
		t.Errorf("groups set by PUT stay: %s", r.rawBody)
	}
	if r := a.call(http.MethodPut, path, `{"seam_access_group_ids":null}`); groups(r) != "[555555-5555 666666-6666]" {
		t.Errorf("until PUT sets them to null: %s", r.rawBody)
	}
	if r := a.call(http.MethodPut, path, a.get(path).rawBody); r.status != 200 {
		t.Errorf("what a GET gave can be PUT: %d %s", r.status, r.rawBody)
	}
	r := a.call(http.MethodPut, path, `{"names":"x","time_zone":"Mars","check_in_time":"25:00"}`)
	r.mustBeProblem(t, 422)
	if diff := cmp.Diff([]string{"check_in_time", "names", "time_zone"}, r.wrongFields(t)); diff != "" {
		t.Errorf("wrong fields (-want +got):\n%s", diff)
	}
	a.call(http.MethodPut, path, `{`).mustBeProblem(t, 400)
	if items := a.get("/v1/listings?q=2222").body["items"].([]any); len(items) != 1 {
		t.Errorf("listed %d times", len(items))
	}
}

func TestSeamEvents(t *testing.T) {
	t.Parallel()
	a := newAppWithLocks(t)
	post := func(secret pms.Secret, body string) answered {
		req, _ := http.NewRequest(http.MethodPost, a.url+"/seam/webhooks", bytes.NewReader([]byte(body)))
		now := time.Now()
		req.Header.Set("svix-id", "evt")
		req.Header.Set("svix-timestamp", fmt.Sprint(now.Unix()))
		req.Header.Set("svix-signature", secret.Sign("evt", now, []byte(body)))
		return a.do(req)
	}
	if r := post(seamKey, `{"event_type":"acs_user.deleted","acs_user_id":"u"}`); r.status != 204 {
		t.Errorf("got %d %s", r.status, r.rawBody)
	}
	post(secretA, `{"event_type":"acs_system.disconnected","acs_system_id":"s"}`).mustBeProblem(t, 401)
	post(seamKey, `x`).mustBeProblem(t, 400)
	if a.changed != 0 {
		t.Error("an unknown ACS user has made work")
	}
	if list, err := a.store.ACSSystems.Disconnections(context.Background()); err != nil || len(list) != 0 {
		t.Errorf("a forged event was believed: %v %v", list, err)
	}

	// A stay with an ACS user: its events are acted upon once each.
	a.post(
		hook{
			body: `{"type":"reservation.created","timestamp":"2026-10-20T09:00:00.000Z","data":{"reservation_id":"R1","listing_id":"L","check_in":"2030-11-01T15:00:00Z","check_out":"2030-11-04T11:00:00Z"}}`,
		})
	a.apply()
	if err := a.store.InTx(context.Background(), func(tx pgx.Tx) error {
		id, key, now := "uid", "cid", time.Now()
		u := store.ACSUser{
			Source: "default", ReservationID: "R1", ACSSystemID: "s", UserIdentityKey: "k",
			UserIdentityID: "i",
		}
		if err := store.SaveUserIdentity(context.Background(), tx,
			store.UserIdentity{Key: "k", CreatedAt: time.Now()}); err != nil {
			return err
		}
		var slot pgx.Batch
		store.QueueSlot(&slot, &u, 1, time.Now())
		if err := tx.SendBatch(context.Background(), &slot).Close(); err != nil {
			return err
		}
		u.ACSUserID, u.MadeAt, u.CredentialID, u.AccessGroupIDs = &id, &now, &key, []string{"g"}
		return store.SaveACSUser(context.Background(), tx, u)
	}); err != nil {
		t.Fatal(err)
	}
	for i, body := range []string{
		`{"event_type":"acs_user.deleted","acs_user_id":"uid"}`,
		`{"event_type":"acs_credential.invalidated","acs_credential_id":"cid"}`,
		`{"event_type":"acs_access_group.deleted","acs_system_id":"s","acs_access_group_id":"g"}`,
		`{"event_type":"acs_system.disconnected","acs_system_id":"s","occurred_at":"2026-01-02T03:04:05.678Z","acs_system_errors":[{"error_code":"account_disconnected"}]}`,
		`{"event_type":"acs_system.connected","acs_system_id":"s","occurred_at":"2026-01-02T03:04:06Z"}`,
	} {
		for range 3 {
			if r := post(seamKey, body); r.status != 204 {
				t.Errorf("%s: got %d %s", body, r.status, r.rawBody)
			}
		}
		if a.changed != i+1 {
			t.Errorf("%s: acted upon %d times, want once", body, a.changed-i)
		}
		a.changed = i + 1
		if i == 3 {
			list, err := a.store.ACSSystems.Disconnections(context.Background())
			if err != nil || len(list) != 1 || *list[0].Problem != "account_disconnected" {
				t.Errorf("not recorded: %v %v", list, err)
			}
		}
	}
	if list, err := a.store.ACSSystems.Disconnections(context.Background()); err != nil || len(list) != 0 {
		t.Errorf("still disconnected: %v %v", list, err)
	}
	for _, body := range []string{
		`{"event_type":"acs_user.created","acs_user_id":"uid"}`,
		`{"event_type":"acs_user.deleted","acs_user_id":"another"}`, `{}`,
		`{"event_type":"acs_user.deleted","acs_user_id":"\u0000","acs_credential_id":"\u0000"}`,
		`{"event_type":"acs_access_group.deleted","acs_system_id":"\u0000","acs_access_group_id":"g\u0000"}`,
		`{"event_type":"acs_system.disconnected","acs_system_id":"\u0000"}`,
		`{"event_type":"lock.unlocked","acs_user_id":"\u0000"}`, `{"event_type":"\u0000"}`, `null`,
	} {
		if before := a.changed; post(seamKey, body).status != 204 || a.changed != before {
			t.Errorf("%s has made work", body)
		}
	}

	// A key that somebody keeps locked: Seam is asked to repeat the event, soon.
	ctx := context.Background()
	tx := storetest.Begin(t, a.store)
	if _, err := tx.Exec(ctx, `SELECT FROM mobile_keys FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	const repeated = `{"event_type":"acs_user.deleted","acs_user_id":"uid","occurred_at":"2026-01-02T03:05:06Z"}`
	if r := post(seamKey, repeated); r.status != 503 || r.header.Get("Retry-After") == "" {
		t.Errorf("next to a locked key: %d %s", r.status, r.rawBody)
	}
	if err := tx.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	if before := a.changed; post(seamKey, repeated).status != 204 || a.changed != before+1 {
		t.Error("the repeated event was not acted upon")
	}
}
