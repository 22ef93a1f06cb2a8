package rest

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/staykey/staykey/internal/admin"
)

// Subscription is a subscription and how its receiver is doing.
type Subscription struct {
	Name           string   `json:"name" example:"guest-app"`
	Kind           string   `json:"kind" enum:"webhook,slack,email" doc:"webhook: for programs. slack, email: for people."`
	State          string   `json:"state" enum:"enabled,failing,disabled" doc:"failing: the last message was not delivered. disabled: nothing is sent until it is enabled."`
	URL            string   `json:"url" example:"https://app.example.com/…" doc:"Receiver. The path is not shown, because it may be secret."`
	Events         []string `json:"events" nullable:"false" doc:"Types that are sent; empty: all."`
	Sources        []string `json:"sources" nullable:"false" doc:"Sources included; empty: all."`
	Insecure       bool     `json:"insecure" doc:"Allows plain http and private or loopback addresses."`
	Secrets        int      `json:"secrets" doc:"Number of secrets that sign each message."`
	Waiting        int      `json:"waiting" doc:"Stays whose current state it may not have received, counted up to 10,000."`
	LastSuccessAt  *string  `json:"last_success_at" format:"date-time"`
	LastFailureAt  *string  `json:"last_failure_at" format:"date-time"`
	LastError      *string  `json:"last_error" doc:"Error of the last failed message."`
	Failures       int      `json:"failures" doc:"Attempts that failed since the last success."`
	FailingSince   *string  `json:"failing_since" format:"date-time" doc:"Time of the first of them. If every attempt fails for 5 days, the subscription is disabled."`
	DisabledAt     *string  `json:"disabled_at" format:"date-time"`
	DisabledBy     *string  `json:"disabled_by" example:"staykey"`
	DisabledReason *string  `json:"disabled_reason" example:"the receiver answered 410 Gone"`
}

func showSubscription(s admin.Subscription) Subscription {
	return Subscription{
		Name: s.Name, Kind: s.Kind, State: s.State, URL: s.URL, Events: append([]string{},
			s.Events...), Sources: append([]string{}, s.Sources...),
		Insecure: s.Insecure, Secrets: s.Secrets, Waiting: s.Waiting, LastSuccessAt: stampOrNull(s.LastSuccessAt),
		LastFailureAt: stampOrNull(s.LastFailureAt), LastError: s.LastError, Failures: s.Failures,
		FailingSince: stampOrNull(s.FailingSince),
		DisabledAt:   stampOrNull(s.DisabledAt), DisabledBy: s.DisabledBy, DisabledReason: s.DisabledReason,
	}
}

// SubscriptionName is the parameter that names one subscription.
type SubscriptionName struct {
	Name string `path:"name" example:"guest-app"`
}

// SubscriptionSwitch enables or disables a subscription.
type SubscriptionSwitch struct {
	SubscriptionName
	Body *OptionalReason
}

func (s *API) subscriptionOperations(api huma.API) {
	const tag = "Subscriptions"
	huma.Register(api, described(operation("list-subscriptions", http.MethodGet, "/v1/subscriptions", tag,
		"List subscriptions and their receivers' status"),
		"Subscriptions of the config file, with how many messages wait, the last success and the last failure."),
		func(ctx context.Context, _ *struct{}) (*Output[List[Subscription]], error) {
			list, err := s.Admin.Subscriptions.List(ctx)
			if err != nil {
				return nil, s.problemOf(ctx, err)
			}
			return listOf(admin.Page[admin.Subscription]{Items: list}, showSubscription), nil
		})

	huma.Register(api, described(operation("get-subscription", http.MethodGet, "/v1/subscriptions/{name}", tag,
		"Get one subscription", http.StatusNotFound),
		"The host of the receiver, the event types and sources that it gets, and its status. Secrets are never shown."),
		func(ctx context.Context, in *SubscriptionName) (*Output[Subscription], error) {
			found, err := s.Admin.Subscriptions.Get(ctx, in.Name)
			if err != nil {
				return nil, s.problemOf(ctx, err)
			}
			return &Output[Subscription]{showSubscription(found)}, nil
		})

	test := operation("test-subscription", http.MethodPost, "/v1/subscriptions/{name}/test", tag, "Send a test message",
		http.StatusForbidden, http.StatusNotFound)
	test.Description = "Sends a signed message of type subscription.test at once, even if the subscription is disabled. A failure is not retried and doesn't count."
	huma.Register(api, test, func(ctx context.Context, in *SubscriptionName) (*Output[admin.SubscriptionTest], error) {
		result, err := s.Admin.Subscriptions.Test(ctx, in.Name)
		if err != nil {
			return nil, s.problemOf(ctx, err)
		}
		return &Output[admin.SubscriptionTest]{result}, nil
	})

	for _, o := range []struct{ verb, summary, description string }{
		{
			"enable", "Enable a subscription",
			"Sends the current state of each stay that differs from the last one delivered.",
		},
		{
			"disable", "Disable a subscription",
			"Sends nothing until it is enabled. Changes are not lost: enabling it sends the current states.",
		},
	} {
		op := operation(o.verb+"-subscription", http.MethodPost, "/v1/subscriptions/{name}/"+o.verb, tag, o.summary,
			withBody(http.StatusForbidden, http.StatusNotFound)...)
		op.Description = o.description
		huma.Register(api, op, func(ctx context.Context, in *SubscriptionSwitch) (*Output[Subscription], error) {
			var why OptionalReason
			if in.Body != nil {
				why = *in.Body
			}
			found, err := s.Admin.Subscriptions.Switch(ctx, in.Name, o.verb == "enable", why.Author, why.Reason)
			if err != nil {
				return nil, s.problemOf(ctx, err)
			}
			return &Output[Subscription]{showSubscription(found)}, nil
		})
	}
}
