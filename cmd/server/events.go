package main

import (
	"context"
	"fmt"
	"io"

	"github.com/staykey/staykey/internal/handlers/rest"
)

type eventsCommand struct {
	Source      string `query:"source" help:"Only this source; several separated by commas." placeholder:"NAME"`
	Status      string `query:"status" help:"Only accepted, applied, superseded, ignored or rejected; several separated by commas." placeholder:"STATUS"`
	Type        string `query:"type" help:"Only this type; several separated by commas." placeholder:"TYPE"`
	Reservation string `query:"reservation_id" help:"Only about this reservation." placeholder:"ID"`
	Listing     string `query:"listing_id" help:"Only about this listing." placeholder:"ID"`
	Limit       int    `query:"limit" default:"50" placeholder:"N" help:"Maximum number of rows, 1 to 500; default ${default}."`
	Cursor      string `query:"cursor" placeholder:"CURSOR" help:"Continue from the next_cursor of an earlier answer."`
	Remote      remote `embed:""`
}

// Run lists the inbox.
func (c *eventsCommand) Run(ctx context.Context, out *streams) error {
	var list rest.List[rest.Event]
	raw, _, err := c.Remote.get(ctx, "/v1/events", parameters(c), &list)
	if err != nil {
		return err
	}
	return showList(c.Remote, out.out, raw, list, "RECEIVED\tSOURCE\tTYPE\tSTATUS\tRESERVATION\tLISTING\tREASON",
		func(w io.Writer, e rest.Event) {
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", e.ReceivedAt, e.Source, e.Type, e.Status,
				orDash(e.ReservationID), orDash(e.ListingID), orDash(e.Reason))
		})
}
