package handlers

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/staykey/staykey/internal/store"
)

// SubscriptionSettings are a subscription of the configuration, without its secrets.
type SubscriptionSettings struct {
	Name     string
	Kind     string   // webhook, slack or email
	URL      string   // without what may be secret in it
	Events   []string // nil for all
	Sources  []string // nil for all
	Insecure bool
	Secrets  int // how many sign
}

// States of a subscription.
const (
	subscriptionEnabled  = "enabled"
	subscriptionFailing  = "failing"
	subscriptionDisabled = "disabled"
)

// Subscription is a subscription and how its receiver is doing.
type Subscription struct {
	Name           string   `json:"name" example:"guest-app"`
	Kind           string   `json:"kind" enum:"webhook,slack,email" doc:"webhook: for programs. slack, email: for people."`
	State          string   `json:"state" enum:"enabled,failing,disabled" doc:"failing: the last message was not delivered. disabled: nothing is sent until it is enabled."`
	URL            string   `json:"url" example:"https://app.example.com/…" doc:"Where messages go; its path is not shown, because it may be a secret."`
	Events         []string `json:"events" nullable:"false" doc:"The types that it chose; empty: all."`
	Sources        []string `json:"sources" nullable:"false" doc:"The sources that it is about; empty: all."`
	Insecure       bool     `json:"insecure" doc:"It may use plain http, or be at a private or loopback address."`
	Secrets        int      `json:"secrets" doc:"How many secrets sign each message."`
	Waiting        int      `json:"waiting" doc:"Stays whose current state it may not have been told, counted to 10,000."`
	LastSuccessAt  *string  `json:"last_success_at" format:"date-time"`
	LastFailureAt  *string  `json:"last_failure_at" format:"date-time"`
	LastError      *string  `json:"last_error" doc:"Why the last message that failed did."`
	Failures       int      `json:"failures" doc:"Attempts that failed since the last success."`
	FailingSince   *string  `json:"failing_since" format:"date-time" doc:"The first of them. After 5 days of nothing but failures the subscription is disabled."`
	DisabledAt     *string  `json:"disabled_at" format:"date-time"`
	DisabledBy     *string  `json:"disabled_by" example:"staykey"`
	DisabledReason *string  `json:"disabled_reason" example:"the receiver answered 410 Gone"`
}

func showSubscription(settings SubscriptionSettings, state store.Subscription, waiting int) Subscription {
	s := Subscription{
		Name: settings.Name, Kind: settings.Kind, State: subscriptionEnabled, URL: settings.URL, Events: append([]string{}, settings.Events...), Sources: append([]string{}, settings.Sources...),
		Insecure: settings.Insecure, Secrets: settings.Secrets, Waiting: waiting, LastSuccessAt: stampOrNull(state.LastSuccessAt),
		LastFailureAt: stampOrNull(state.LastFailureAt), LastError: state.LastError, Failures: state.Failures, FailingSince: stampOrNull(state.FailingSince),
		DisabledAt: stampOrNull(state.DisabledAt), DisabledBy: state.DisabledBy, DisabledReason: state.DisabledWhy,
	}
	switch {
	case state.DisabledAt != nil:
		s.State = subscriptionDisabled
	case state.Failures > 0:
		s.State = subscriptionFailing
	}
	return s
}

// SubscriptionName is the parameter that names one subscription.
type SubscriptionName struct {
	Name string `path:"name" example:"guest-app"`
}

// SubscriptionSwitch enables or disables a subscription.
type SubscriptionSwitch struct {
	SubscriptionName
	Body *WhyMaybe
}

// SubscriptionTest is how a test message ended.
type SubscriptionTest struct {
	OK         bool   `json:"ok"`
	Status     int    `json:"status" doc:"The answer's HTTP status; 0 where there was none."`
	DeliveryID string `json:"delivery_id" format:"uuid" doc:"The message, among the deliveries; its webhook-id."`
	Message    string `json:"message" example:"the receiver accepted the test message"`
}

const noSubscription = "there is no subscription of this name in the configuration"

func (s *server) subscriptionOperations(api huma.API) {
	const tag = "Subscriptions"
	huma.Register(api, operation("list-subscriptions", http.MethodGet, "/v1/subscriptions", tag, "List the subscriptions and how their receivers are doing"),
		func(ctx context.Context, _ *struct{}) (*Output[List[Subscription]], error) {
			list, err := s.subscriptionsOf(ctx)
			if err != nil {
				return nil, s.fromStore(err, "")
			}
			return &Output[List[Subscription]]{List[Subscription]{Items: list}}, nil
		})
	huma.Register(api, operation("get-subscription", http.MethodGet, "/v1/subscriptions/{name}", tag, "Get one subscription", http.StatusNotFound),
		func(ctx context.Context, in *SubscriptionName) (*Output[Subscription], error) {
			found, p := s.subscription(ctx, in.Name)
			if p != nil {
				return nil, p
			}
			return &Output[Subscription]{found}, nil
		})
	test := operation("test-subscription", http.MethodPost, "/v1/subscriptions/{name}/test", tag, "Send a test message", http.StatusForbidden, http.StatusNotFound)
	test.Description = "A signed message of the type subscription.test, at once, also while the subscription is disabled. A failure is not tried again, and doesn't count."
	huma.Register(api, test, func(ctx context.Context, in *SubscriptionName) (*Output[SubscriptionTest], error) {
		result, p := s.orderSubscriptionTest(ctx, in.Name)
		if p != nil {
			return nil, p
		}
		return &Output[SubscriptionTest]{result}, nil
	})
	for _, o := range []struct{ verb, summary, description string }{
		{"enable", "Enable a subscription", "Each stay whose state differs from what was delivered last is told at once, by its current state."},
		{"disable", "Disable a subscription", "Nothing is sent until it is enabled. What changes meanwhile is not lost: the current states are told then."},
	} {
		op := operation(o.verb+"-subscription", http.MethodPost, "/v1/subscriptions/{name}/"+o.verb, tag, o.summary, withBody(http.StatusForbidden, http.StatusNotFound)...)
		op.Description = o.description
		huma.Register(api, op, func(ctx context.Context, in *SubscriptionSwitch) (*Output[Subscription], error) {
			var why WhyMaybe
			if in.Body != nil {
				why = *in.Body
			}
			found, p := s.switchSubscription(ctx, in.Name, o.verb == "enable", why)
			if p != nil {
				return nil, p
			}
			return &Output[Subscription]{found}, nil
		})
	}
}

// visibleSubscriptions are those of the configuration that the actor may know of: all, or, with a token of single sources, those that are about
// nothing else.
func (s *server) visibleSubscriptions(ctx context.Context) []SubscriptionSettings {
	var visible []SubscriptionSettings
	a := actorOf(ctx)
	for _, sub := range s.Subscriptions() {
		sees := a.Sources == nil || sub.Sources != nil
		for _, source := range sub.Sources {
			sees = sees && a.sees(source)
		}
		if sees {
			visible = append(visible, sub)
		}
	}
	return visible
}

func (s *server) subscriptionsOf(ctx context.Context) ([]Subscription, error) {
	settings := s.visibleSubscriptions(ctx)
	names, scopes := make([]string, len(settings)), make([]store.Scope, len(settings))
	for i, sub := range settings {
		names[i], scopes[i] = sub.Name, store.Scope{Subscription: sub.Name, Sources: sub.Sources}
	}
	states, err := s.Store.Subscriptions(ctx, names)
	if err != nil {
		return nil, err
	}
	waiting, err := s.Store.UntoldStays(ctx, scopes)
	if err != nil {
		return nil, err
	}
	list := make([]Subscription, len(settings))
	for i, sub := range settings {
		list[i] = showSubscription(sub, states[sub.Name], waiting[sub.Name])
	}
	return list, nil
}

func (s *server) subscription(ctx context.Context, name string) (Subscription, *Problem) {
	list, err := s.subscriptionsOf(ctx)
	if err != nil {
		return Subscription{}, s.fromStore(err, "")
	}
	for _, sub := range list {
		if sub.Name == name {
			return sub, nil
		}
	}
	return Subscription{}, problem(http.StatusNotFound, noSubscription)
}

// switchSubscription enables or disables a subscription, for REST and the page.
func (s *server) switchSubscription(ctx context.Context, name string, enable bool, why WhyMaybe) (Subscription, *Problem) {
	if _, p := s.subscription(ctx, name); p != nil {
		return Subscription{}, p
	}
	a, now := actorOf(ctx), s.Now().UTC()
	var err error
	if enable {
		entry := a.audit(auditEnableSubscription, plainText(why.Author)).About("", name, plainText(why.Reason))
		entry.At = now
		err = s.Store.EnableSubscription(ctx, name, now, entry)
	} else {
		entry := a.audit(auditDisableSubscription, plainText(why.Author)).About("", name, plainText(why.Reason))
		entry.At = now
		err = s.Store.DisableSubscription(ctx, name, entry.Author, plainText(why.Reason), now, entry)
	}
	if err != nil {
		return Subscription{}, s.fromStore(err, noSubscription)
	}
	s.Deliver()
	return s.subscription(ctx, name)
}

// orderSubscriptionTest sends a test message, for REST and the page.
func (s *server) orderSubscriptionTest(ctx context.Context, name string) (SubscriptionTest, *Problem) {
	if _, p := s.subscription(ctx, name); p != nil {
		return SubscriptionTest{}, p
	}
	d, result, err := s.TestSubscription(ctx, name)
	if err != nil {
		return SubscriptionTest{}, s.fromStore(err, noSubscription)
	}
	test := SubscriptionTest{OK: d.Status == store.DeliveryDelivered, Status: result.StatusCode, DeliveryID: d.DeliveryID.String(), Message: result.Error}
	if test.OK {
		test.Message = "the receiver accepted the test message"
	}
	entry := actorOf(ctx).audit(auditTestSubscription, "").About("", name, "")
	entry.At, entry.After = s.Now().UTC(), map[string]any{"ok": test.OK, "status": test.Status}
	if err := s.Store.AddAudit(ctx, entry); err != nil {
		return test, s.fromStore(err, "")
	}
	return test, nil
}
