package handlers

import (
	"context"
	"net/http"

	"github.com/staykey/staykey/internal/admin"

	"github.com/danielgtaylor/huma/v2"
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

func showSubscription(s admin.Subscription) Subscription {
	return Subscription{
		Name: s.Name, Kind: s.Kind, State: s.State, URL: s.URL, Events: append([]string{}, s.Events...), Sources: append([]string{}, s.Sources...),
		Insecure: s.Insecure, Secrets: s.Secrets, Waiting: s.Waiting, LastSuccessAt: stampOrNull(s.LastSuccessAt),
		LastFailureAt: stampOrNull(s.LastFailureAt), LastError: s.LastError, Failures: s.Failures, FailingSince: stampOrNull(s.FailingSince),
		DisabledAt: stampOrNull(s.DisabledAt), DisabledBy: s.DisabledBy, DisabledReason: s.DisabledReason,
	}
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

func (s *server) subscriptionOperations(api huma.API) {
	const tag = "Subscriptions"
	huma.Register(api, operation("list-subscriptions", http.MethodGet, "/v1/subscriptions", tag, "List the subscriptions and how their receivers are doing"),
		func(ctx context.Context, _ *struct{}) (*Output[List[Subscription]], error) {
			list, err := s.admin.Subscriptions(ctx)
			if err != nil {
				return nil, s.problemOf(err)
			}
			return listOf(admin.Page[admin.Subscription]{Items: list}, showSubscription), nil
		})
	huma.Register(api, operation("get-subscription", http.MethodGet, "/v1/subscriptions/{name}", tag, "Get one subscription", http.StatusNotFound),
		func(ctx context.Context, in *SubscriptionName) (*Output[Subscription], error) {
			found, err := s.admin.Subscription(ctx, in.Name)
			if err != nil {
				return nil, s.problemOf(err)
			}
			return &Output[Subscription]{showSubscription(found)}, nil
		})
	test := operation("test-subscription", http.MethodPost, "/v1/subscriptions/{name}/test", tag, "Send a test message", http.StatusForbidden, http.StatusNotFound)
	test.Description = "A signed message of the type subscription.test, at once, also while the subscription is disabled. A failure is not tried again, and doesn't count."
	huma.Register(api, test, func(ctx context.Context, in *SubscriptionName) (*Output[admin.SubscriptionTest], error) {
		result, err := s.admin.TestSubscription(ctx, in.Name)
		if err != nil {
			return nil, s.problemOf(err)
		}
		return &Output[admin.SubscriptionTest]{result}, nil
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
			found, err := s.admin.SwitchSubscription(ctx, in.Name, o.verb == "enable", why.Author, why.Reason)
			if err != nil {
				return nil, s.problemOf(err)
			}
			return &Output[Subscription]{showSubscription(found)}, nil
		})
	}
}
