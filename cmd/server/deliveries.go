package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/staykey/staykey/internal/handlers/rest"
)

type deliveriesCommand struct {
	List   deliveriesListCommand `cmd:"" default:"withargs" help:"List messages to subscriptions, newest first (the default)."`
	Show   deliveryShowCommand   `cmd:"" help:"Show one message with its attempts and its body."`
	Resend deliveryResendCommand `cmd:"" help:"Resend a message, or the newer state that replaced it."`
}

type deliveriesListCommand struct {
	Subscription string `query:"subscription" help:"Only to this subscription; several separated by commas." placeholder:"NAME"`
	Status       string `query:"status" help:"Only waiting, delivered or dropped; several separated by commas." placeholder:"STATUS"`
	Type         string `query:"type" help:"Only of this type, such as mobile_key.ready; several separated by commas." placeholder:"TYPE"`
	Source       string `query:"source" help:"Only this source; several separated by commas." placeholder:"NAME"`
	Reservation  string `query:"reservation_id" help:"Only about this reservation." placeholder:"ID"`
	Limit        int    `query:"limit" default:"50" placeholder:"N" help:"Maximum number of rows, 1 to 500; default ${default}."`
	Cursor       string `query:"cursor" placeholder:"CURSOR" help:"Continue from the next_cursor of an earlier answer."`
	Remote       remote `embed:""`
}

// Run lists messages.
func (c *deliveriesListCommand) Run(ctx context.Context, out *streams) error {
	var list rest.List[rest.Delivery]
	raw, _, err := c.Remote.get(ctx, "/v1/deliveries", parameters(c), &list)
	if err != nil {
		return err
	}
	return showList(c.Remote, out.out, raw, list,
		"CREATED\tSUBSCRIPTION\tTYPE\tSTATUS\tRESERVATION\tATTEMPTS\tNEXT\tLAST ERROR\tID",
		func(w io.Writer, d rest.Delivery) {
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\n", d.CreatedAt, d.Subscription, d.Type, d.Status,
				orDash(d.ReservationID), len(d.Attempts),
				orDash(d.NextAttemptAt), lastError(d), d.DeliveryID)
		})
}

func lastError(d rest.Delivery) string {
	if len(d.Attempts) == 0 {
		return "-"
	}
	return orDash(d.Attempts[len(d.Attempts)-1].Error)
}

type deliveryShowCommand struct {
	ID     string `arg:"" help:"The message's id."`
	Remote remote `embed:""`
}

// Run shows one message.
func (c *deliveryShowCommand) Run(ctx context.Context, out *streams) error {
	var d rest.Delivery
	raw, _, err := c.Remote.get(ctx, "/v1/deliveries/"+url.PathEscape(c.ID), nil, &d)
	if err != nil {
		return err
	}
	return c.Remote.show(out.out, raw, func(w io.Writer) {
		_, _ = fmt.Fprintf(w, "%s to %s\t%s\n", d.Type, d.Subscription,
			strings.TrimSuffix(d.Status+", "+orDash(d.Reason), ", -"))
		for _, a := range d.Attempts {
			ended := "accepted with " + strconv.Itoa(a.Status)
			if a.Error != nil {
				ended = *a.Error
			}
			_, _ = fmt.Fprintf(w, "%s\t%s (%d ms)\n", a.At, ended, a.DurationMS)
		}
		if d.NextAttemptAt != nil {
			_, _ = fmt.Fprintf(w, "next attempt\t%s\n", *d.NextAttemptAt)
		}
		_, _ = fmt.Fprintf(w, "\n%s\n", d.Body)
	})
}

type deliveryResendCommand struct {
	ID     string `arg:"" help:"The message's id."`
	Remote remote `embed:""`
}

// Run sends a message again.
func (c *deliveryResendCommand) Run(ctx context.Context, out *streams) error {
	var d rest.Delivery
	raw, _, err := c.Remote.call(ctx, http.MethodPost, "/v1/deliveries/"+url.PathEscape(c.ID)+"/resend", nil, nil, &d)
	if err != nil {
		return err
	}
	return c.Remote.show(out.out, raw, func(w io.Writer) {
		_, _ = fmt.Fprintf(w, "%s to %s resent: %s\n", d.Type, d.Subscription, d.DeliveryID)
	})
}
