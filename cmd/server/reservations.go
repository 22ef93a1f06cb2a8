package main

import (
	"context"
	"fmt"
	"io"

	"github.com/staykey/staykey/internal/handlers/rest"
)

type reservationsCommand struct {
	Query     string `query:"q" arg:"" optional:"" help:"Words of the id, listing id, e-mail address, name or phone number, with or without accents."`
	Source    string `query:"source" help:"Only this source; several separated by commas." placeholder:"NAME"`
	Key       string `query:"key_status" name:"key" help:"Only with this key status, such as waiting or attention; several separated by commas." placeholder:"STATUS"`
	Status    string `query:"status" help:"Only confirmed or cancelled." placeholder:"STATUS"`
	Listing   string `query:"listing_id" help:"Only this listing." placeholder:"ID"`
	Email     string `query:"guest_email" help:"Only this guest." placeholder:"ADDRESS"`
	CheckInTo string `query:"check_in_to" name:"check-in-to" help:"Only with check-in before this instant, or day of the property." placeholder:"WHEN"`
	From      string `query:"check_in_from" name:"check-in-from" help:"Only with check-in at or after this instant, or day of the property." placeholder:"WHEN"`
	OutTo     string `query:"check_out_to" name:"check-out-to" help:"Only with check-out before this instant, or day of the property." placeholder:"WHEN"`
	OutFrom   string `query:"check_out_from" name:"check-out-from" help:"Only with check-out at or after this instant, or day of the property." placeholder:"WHEN"`
	Since     string `query:"updated_since" name:"updated-since" help:"Only changed at or after this instant." placeholder:"WHEN"`
	Undated   bool   `query:"undated" help:"Only stays that are not over and whose check-in or check-out is unknown."`
	Sort      string `query:"sort" help:"-updated_at (default): newest change first. check_in: earliest check-in first." placeholder:"ORDER"`
	Limit     int    `query:"limit" default:"50" placeholder:"N" help:"Maximum number of rows, 1 to 500; default ${default}."`
	Cursor    string `query:"cursor" placeholder:"CURSOR" help:"Continue from the next_cursor of an earlier answer."`
	Remote    remote `embed:""`
}

// Run lists reservations.
func (c *reservationsCommand) Run(ctx context.Context, out *streams) error {
	var list rest.List[rest.Reservation]
	raw, _, err := c.Remote.get(ctx, "/v1/reservations", parameters(c), &list)
	if err != nil {
		return err
	}
	return showList(c.Remote, out.out, raw, list, "SOURCE\tRESERVATION\tKEY\tREASON\tCHECK-IN\tLISTING\tGUEST",
		func(w io.Writer, r rest.Reservation) {
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Source, r.ReservationID, r.MobileKey.Status,
				orDash(r.MobileKey.Reason), orDash(r.CheckIn), orDash(r.ListingID), orDash(r.GuestEmail))
		})
}
