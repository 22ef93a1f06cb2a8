package admin

import (
	"context"
	"time"

	"github.com/staykey/staykey/internal/store"
)

// Subscriptions reads, tests, enables and disables receivers of events out.
type Subscriptions struct{ *core }

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
	SubscriptionEnabled  = "enabled"
	SubscriptionFailing  = "failing"  // the last message was not delivered
	SubscriptionDisabled = "disabled" // nothing is sent until it is enabled
)

// Subscription is a subscription and how its receiver is doing.
type Subscription struct {
	SubscriptionSettings
	State          string
	Waiting        int // stays whose current state it may not have received, counted up to 10,000
	LastSuccessAt  *time.Time
	LastFailureAt  *time.Time
	LastError      *string    // why the last message that failed did
	Failures       int        // attempts that failed since the last success
	FailingSince   *time.Time // the first of them
	DisabledAt     *time.Time
	DisabledBy     *string
	DisabledReason *string
}

func subscriptionOf(settings SubscriptionSettings, state store.Subscription, waiting int) Subscription {
	s := Subscription{
		SubscriptionSettings: settings, State: SubscriptionEnabled, Waiting: waiting,
		LastSuccessAt: state.LastSuccessAt,
		LastFailureAt: state.LastFailureAt, LastError: state.LastError, Failures: state.Failures,
		FailingSince: state.FailingSince,
		DisabledAt:   state.DisabledAt, DisabledBy: state.DisabledBy, DisabledReason: state.DisabledWhy,
	}
	switch {
	case state.DisabledAt != nil:
		s.State = SubscriptionDisabled
	case state.Failures > 0:
		s.State = SubscriptionFailing
	}
	return s
}

// SubscriptionTest is the result of a test message.
type SubscriptionTest struct {
	OK         bool   `json:"ok"`
	Status     int    `json:"status" doc:"HTTP status of the answer; 0 without an answer."`
	DeliveryID string `json:"delivery_id" format:"uuid" doc:"Id of the delivery, which is its webhook-id."`
	Message    string `json:"message" example:"the receiver accepted the test message"`
}

const noSubscription = "unknown subscription: the configuration has none of this name"

// visible are those of the configuration that the actor may know of: all, or, with a token limited to
// some sources, those that are about nothing else.
func (s Subscriptions) visible(ctx context.Context) []SubscriptionSettings {
	var visible []SubscriptionSettings
	a := ActorOf(ctx)
	for _, sub := range s.config.Subscriptions() {
		sees := a.Sources == nil || sub.Sources != nil
		for _, source := range sub.Sources {
			sees = sees && a.Sees(source)
		}
		if sees {
			visible = append(visible, sub)
		}
	}
	return visible
}

// List lists the subscriptions that the actor sees.
func (s Subscriptions) List(ctx context.Context) ([]Subscription, error) {
	settings := s.visible(ctx)
	names, scopes := make([]string, len(settings)), make([]store.Scope, len(settings))
	for i, sub := range settings {
		names[i], scopes[i] = sub.Name, store.Scope{Subscription: sub.Name, Sources: sub.Sources}
	}
	states, err := s.store.Subscriptions.Named(ctx, names)
	if err != nil {
		return nil, err
	}
	waiting, err := s.store.Subscriptions.UnreportedStays(ctx, scopes)
	if err != nil {
		return nil, err
	}
	list := make([]Subscription, len(settings))
	for i, sub := range settings {
		list[i] = subscriptionOf(sub, states[sub.Name], waiting[sub.Name])
	}
	return list, nil
}

// Get returns one subscription.
func (s Subscriptions) Get(ctx context.Context, name string) (Subscription, error) {
	list, err := s.List(ctx)
	if err != nil {
		return Subscription{}, err
	}
	for _, sub := range list {
		if sub.Name == name {
			return sub, nil
		}
	}
	return Subscription{}, refuse(NotFound, noSubscription)
}

// Switch enables or disables a subscription. author is as for [Actor.Author].
func (s Subscriptions) Switch(ctx context.Context, name string, enable bool, author,
	reason string,
) (Subscription, error) {
	if _, err := s.Get(ctx, name); err != nil {
		return Subscription{}, err
	}
	now, action := s.now().UTC(), auditDisableSubscription
	if enable {
		action = auditEnableSubscription
	}
	entry := ActorOf(ctx).Audit(action, plainText(author)).About("", name, plainText(reason))
	entry.At = now
	var err error
	if enable {
		err = s.store.Subscriptions.Enable(ctx, name, now, entry)
	} else {
		err = s.store.Subscriptions.Disable(ctx, name, entry.Author, plainText(reason), now, entry)
	}
	if err != nil {
		return Subscription{}, notFound(err, noSubscription)
	}
	s.config.Deliver()
	return s.Get(ctx, name)
}

// Test sends a test message.
func (s Subscriptions) Test(ctx context.Context, name string) (SubscriptionTest, error) {
	if _, err := s.Get(ctx, name); err != nil {
		return SubscriptionTest{}, err
	}
	d, result, err := s.config.TestSubscription(ctx, name)
	if err != nil {
		return SubscriptionTest{}, notFound(err, noSubscription)
	}
	test := SubscriptionTest{
		OK: d.Status == store.DeliveryDelivered, Status: result.StatusCode,
		DeliveryID: d.DeliveryID.String(), Message: result.Error,
	}
	if test.OK {
		test.Message = "the receiver accepted the test message"
	}
	entry := ActorOf(ctx).Audit(auditTestSubscription, "").About("", name, "")
	entry.After = map[string]any{"ok": test.OK, "status": test.Status}
	return test, s.record(ctx, entry)
}
