package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/handlers/rest"
)

type subscriptionsCommand struct {
	List    subscriptionsListCommand   `cmd:"" default:"withargs" help:"List subscriptions and their receivers' status (the default)."`
	Test    subscriptionTestCommand    `cmd:"" help:"Send a test message; exit 1 if it is not delivered."`
	Enable  subscriptionEnableCommand  `cmd:"" help:"Enable a subscription and send everything that it missed."`
	Disable subscriptionDisableCommand `cmd:"" help:"Disable a subscription: nothing is sent until it is enabled."`
}

type subscriptionsListCommand struct {
	Remote remote `embed:""`
}

// Run lists the subscriptions.
func (c *subscriptionsListCommand) Run(ctx context.Context, out *streams) error {
	var list rest.List[rest.Subscription]
	raw, _, err := c.Remote.get(ctx, "/v1/subscriptions", nil, &list)
	if err != nil {
		return err
	}
	return showList(c.Remote, out.out, raw, list,
		"SUBSCRIPTION\tSTATE\tWAITING\tLAST SUCCESS\tLAST FAILURE\tRECEIVER\tERROR",
		func(w io.Writer, s rest.Subscription) {
			_, _ = fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\t%s\n", s.Name, s.State, s.Waiting, orDash(s.LastSuccessAt),
				orDash(s.LastFailureAt), s.URL, orDash(problemOf(s)))
		})
}

// problemOf says what is wrong with a subscription, nil for nothing.
func problemOf(s rest.Subscription) *string {
	switch s.State {
	case "disabled":
		return s.DisabledReason
	case "failing":
		return s.LastError
	}
	return nil
}

type subscriptionTestCommand struct {
	Name   string `arg:"" help:"The subscription."`
	Remote remote `embed:""`
}

// Run sends a test message. The error says why it was not delivered.
func (c *subscriptionTestCommand) Run(ctx context.Context, out *streams) error {
	var test admin.SubscriptionTest
	raw, _, err := c.Remote.call(ctx, http.MethodPost, subscriptionPath(c.Name, "test"), nil, nil, &test)
	if err != nil {
		return err
	}
	if err := c.Remote.show(out.out, raw, func(w io.Writer) { _, _ = fmt.Fprintln(w, test.Message) }); err != nil {
		return err
	}
	if !test.OK {
		return errors.New("the test message was not delivered")
	}
	return nil
}

func subscriptionPath(name, verb string) string {
	return "/v1/subscriptions/" + url.PathEscape(name) + "/" + verb
}

type subscriptionEnableCommand struct {
	Name   string `arg:"" help:"The subscription."`
	Reason string `help:"Reason, for the audit log." placeholder:"TEXT"`
	Remote remote `embed:""`
}

// Run enables a subscription.
func (c *subscriptionEnableCommand) Run(ctx context.Context, out *streams) error {
	return c.Remote.switchSubscription(ctx, out, c.Name, "enable", c.Reason)
}

type subscriptionDisableCommand struct {
	Name   string `arg:"" help:"The subscription."`
	Reason string `help:"Reason, for the audit log." placeholder:"TEXT"`
	Remote remote `embed:""`
}

// Run disables a subscription.
func (c *subscriptionDisableCommand) Run(ctx context.Context, out *streams) error {
	return c.Remote.switchSubscription(ctx, out, c.Name, "disable", c.Reason)
}

func (r remote) switchSubscription(ctx context.Context, out *streams, name, verb, reason string) error {
	var s rest.Subscription
	raw, _, err := r.call(ctx, http.MethodPost, subscriptionPath(name, verb), nil,
		rest.OptionalReason{Reason: reason}, &s)
	if err != nil {
		return err
	}
	return r.show(out.out, raw,
		func(w io.Writer) { _, _ = fmt.Fprintf(w, "%s is %s, %d stays waiting\n", s.Name, s.State, s.Waiting) })
}
