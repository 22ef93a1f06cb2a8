package handlers_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/notify"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/until"
)

// inbox is a receiver's server, which keeps what it gets.
type inbox struct {
	mu     sync.Mutex
	ids    []string
	status int
}

func (i *inbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.ids = append(i.ids, r.Header.Get("webhook-id"))
	w.WriteHeader(i.status)
}

// subscribed configures a subscription of all sources, sends it a message that the stay 3333122-433 needs a person, and
// returns the message's id.
func (a *app) subscribed(name string) string {
	a.t.Helper()
	_, id := a.subscribedBy(notify.Subscription{Name: name})
	return id
}

func (a *app) subscribedBy(s notify.Subscription) (*inbox, string) {
	a.t.Helper()
	return a.subscribedAbout(s, "default", "3333122-433")
}

// subscribedAbout sends a subscription a message that a stay needs a person.
func (a *app) subscribedAbout(s notify.Subscription, source, reservation string) (*inbox, string) {
	a.t.Helper()
	receiver := &inbox{status: http.StatusNoContent}
	server := httptest.NewServer(receiver)
	a.t.Cleanup(server.Close)
	s.URL, s.Insecure, s.Secrets = server.URL+"/hooks/a-secret-path", true,
		[]pms.Secret{pms.Secret("0123456789abcdef01234567")}
	n := notify.New(a.store, slog.New(slog.DiscardHandler),
		notify.Options{Subscriptions: func() []notify.Subscription { return []notify.Subscription{s} }, Now: time.Now})
	a.subscriptions = append(a.subscriptions, admin.SubscriptionSettings{
		Name: s.Name, Kind: notify.KindWebhook,
		URL: s.Receiver(), Events: s.Events, Sources: s.Sources, Insecure: s.Insecure, Secrets: 1,
	})
	a.testSubscription = func(ctx context.Context, _ string) (store.Delivery, store.AttemptResult, error) {
		return n.Test(ctx, s)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); n.Run(ctx, time.Second) }()
	a.t.Cleanup(func() { cancel(); <-ended })
	if _, err := a.store.Pool().Exec(ctx,
		`UPDATE mobile_keys SET status = 'attention', reason = 'rejected_by_seam' WHERE source = $1 AND reservation_id = $2`, source, reservation); err != nil {
		a.t.Fatal(err)
	}
	n.Wake()
	var found []store.Delivery
	until.True(a.t, "a delivery", func() bool {
		var err error
		if found, err = a.store.Deliveries.List(ctx, store.DeliveryFilter{
			Subscription: []string{s.Name},
			Status:       []string{store.DeliveryDelivered}, ReservationID: reservation,
		}, 0, 1); err != nil {
			a.t.Fatal(err)
		}
		return len(found) > 0
	})
	return receiver, found[0].DeliveryID.String()
}

func TestSubscriptionsOverREST(t *testing.T) {
	t.Parallel()
	a := two(t)
	a.tokens = append(a.tokens, token("desk", "reads-default", false, "default"))
	receiver, id := a.subscribedBy(notify.Subscription{Name: "guest app/1", Events: []string{notify.TypeAttention}})

	list := a.get("/v1/subscriptions")
	if list.status != 200 || len(list.body["items"].([]any)) != 1 || strings.Contains(list.rawBody, "a-secret-path") {
		t.Fatalf("subscriptions: %d %s", list.status, list.rawBody)
	}
	s := a.get("/v1/subscriptions/guest%20app%2F1").body
	if s["state"] != "enabled" || s["last_success_at"] == nil || s["waiting"] != 0.0 || s["secrets"] != 1.0 {
		t.Errorf("subscription: %v", s)
	}

	d := a.get("/v1/deliveries/" + id)
	if d.body["status"] != "delivered" || d.body["type"] != "mobile_key.attention" ||
		len(d.body["attempts"].([]any)) != 1 || strings.Contains(d.rawBody, "jane") {
		t.Errorf("delivery: %s", d.rawBody)
	}
	for filter, want := range map[string]int{
		"": 1, "subscription=guest+app/1": 1, "subscription=other": 0, "status=delivered": 1, "status=waiting": 0,
		"type=mobile_key.attention": 1, "type=mobile_key.ready": 0,
		"source=default": 1, "source=open": 0, "reservation_id=3333122-433": 1,
		"reservation_id=3333122-433&status=dropped": 0, "reservation_id=x": 0,
		"status=delivered&type=mobile_key.attention&source=default": 1,
	} {
		if r := a.get("/v1/deliveries?" + filter); r.status != 200 || len(r.body["items"].([]any)) != want {
			t.Errorf("%s: %d %s, want %d", filter, r.status, r.rawBody, want)
		}
	}
	for _, wrong := range []string{"status=sent", "type=reservation.created", "colour=red"} {
		a.get("/v1/deliveries?"+wrong).mustBeProblem(t, 422)
	}

	test := a.call("POST", "/v1/subscriptions/guest%20app%2F1/test", "")
	if test.status != 200 || test.body["ok"] != true || test.body["status"] != 204.0 {
		t.Errorf("test: %d %s", test.status, test.rawBody)
	}
	testID := test.body["delivery_id"].(string)
	if r := a.get("/v1/deliveries?type=subscription.test"); len(r.body["items"].([]any)) != 1 {
		t.Errorf("the test is not listed: %s", r.rawBody)
	}
	a.call("POST", "/v1/deliveries/"+testID+"/resend", "").mustBeProblem(t, 409)
	receiver.mu.Lock()
	receiver.status = 500
	receiver.mu.Unlock()
	if r := a.call("POST", "/v1/subscriptions/guest%20app%2F1/test", ""); r.status != 200 || r.body["ok"] != false ||
		r.body["status"] != 500.0 {
		t.Errorf("a test that fails: %d %s", r.status, r.rawBody)
	}
	if s := a.get("/v1/subscriptions/guest%20app%2F1").body; s["state"] != "enabled" {
		t.Errorf("a failed test counts: %v", s)
	}

	if r := a.call("POST", "/v1/deliveries/"+id+"/resend", ""); r.status != 202 || r.body["delivery_id"] != id ||
		a.woken == 0 {
		t.Errorf("resend: %d %s", r.status, r.rawBody)
	}
	disabled := a.call("POST", "/v1/subscriptions/guest%20app%2F1/disable",
		`{"reason":"moving house","author":"Maria"}`)
	if disabled.status != 200 || disabled.body["state"] != "disabled" ||
		disabled.body["disabled_by"] != "Maria (admin)" || disabled.body["disabled_reason"] != "moving house" {
		t.Errorf("disable: %d %s", disabled.status, disabled.rawBody)
	}
	a.call("POST", "/v1/deliveries/"+id+"/resend", "").mustBeProblem(t, 409)
	if r := a.call("POST", "/v1/subscriptions/guest%20app%2F1/enable", ""); r.status != 200 ||
		r.body["state"] != "enabled" || r.body["disabled_at"] != nil {
		t.Errorf("enable: %d %s", r.status, r.rawBody)
	}
	for _, path := range []string{
		"/v1/subscriptions/nobody/test", "/v1/subscriptions/nobody/enable",
		"/v1/deliveries/" + strings.Repeat("0", 8) + "/resend",
	} {
		a.call("POST", path, "").mustBeProblem(t, 404)
	}
	a.get("/v1/subscriptions/nobody").mustBeProblem(t, 404)
	a.get("/v1/deliveries/nothing").mustBeProblem(t, 404)

	// A token of one source doesn't see a subscription that is about others too, but the messages about its own stays.
	if r := a.as("reads-default", "GET", "/v1/subscriptions", ""); len(r.body["items"].([]any)) != 0 {
		t.Errorf("a token of one source sees %s", r.rawBody)
	}
	if r := a.as("reads-default", "GET", "/v1/deliveries", ""); len(r.body["items"].([]any)) != 1 {
		t.Errorf("a token of one source sees %s", r.rawBody)
	}
	a.as("reads-default", "GET", "/v1/deliveries/"+testID, "").mustBeProblem(t, 404)
	a.as("reads-default", "POST", "/v1/deliveries/"+id+"/resend", "").mustBeProblem(t, 403)
}

// REST and the page take every type that is sent as a filter.
func TestDeliveriesOfEveryType(t *testing.T) {
	t.Parallel()
	a := two(t)
	a.subscribed("app")
	v := a.visitor()
	v.signIn(adminToken)
	page := v.see("/subscriptions/app").body
	for _, kind := range append(notify.Types(), notify.TypeTest, notify.TypeDigest) {
		if r := a.get("/v1/deliveries?type=" + kind); r.status != http.StatusOK {
			t.Errorf("%s: %d %s", kind, r.status, r.rawBody)
		}
		if !strings.Contains(page, ">"+kind+"<") {
			t.Errorf("the page doesn't offer %s", kind)
		}
	}
}

func TestSubscriptionPages(t *testing.T) {
	t.Parallel()
	a := two(t)
	_, id := a.subscribedBy(notify.Subscription{Name: "app", Sources: []string{"default"}})
	v := a.visitor()
	v.signIn(adminToken)
	for path, want := range map[string]string{
		"/subscriptions": "app", "/subscriptions/app": id,
		"/subscriptions/app?status=delivered&reservation_id=3333122-433": id,
		"/subscriptions/app?type=mobile_key.ready":                       "No message",
	} {
		if page := v.see(path); page.status != 200 || !strings.Contains(page.body, want) ||
			strings.Contains(page.body, "a-secret-path") || strings.Contains(page.body, "jane@") {
			t.Errorf("%s: %d, want %q in\n%s", path, page.status, want, page.body)
		}
	}
	if page := v.post("/subscriptions/app/test", nil); page.status != 200 ||
		!strings.Contains(page.body, "accepted the test message") {
		t.Errorf("test: %d\n%s", page.status, page.body)
	}
	if page := v.post("/subscriptions/app/disable", nil); page.status != 200 ||
		!strings.Contains(page.body, "Nothing is sent") {
		t.Errorf("disable: %d\n%s", page.status, page.body)
	}
	if page := v.post("/subscriptions/app/enable", nil); page.status != 200 ||
		strings.Contains(page.body, "Nothing is sent") {
		t.Errorf("enable: %d", page.status)
	}
	if page := v.post("/subscriptions/app/deliveries/"+id+"/resend", nil); page.status != 200 ||
		page.path != "/subscriptions/app" {
		t.Errorf("resend: %d at %s", page.status, page.path)
	}
	for _, path := range []string{"/subscriptions/nobody", "/subscriptions/app?cursor=x"} {
		if page := v.see(path); page.status < 400 {
			t.Errorf("%s: %d", path, page.status)
		}
	}
	if page := v.post("/subscriptions/app/explode", nil); page.status != 404 {
		t.Errorf("an unknown verb: %d", page.status)
	}
}
