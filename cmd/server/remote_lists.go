package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"reflect"
	"strings"

	"github.com/staykey/staykey/internal/handlers/rest"
)

// Commands that list something of a running service. A flag is a parameter of the list's query; its tag query names it,
// and a test names the filters that have no flag.

// parameters are those of the flags that were given.
func parameters(command any) url.Values {
	q := url.Values{}
	v := reflect.Indirect(reflect.ValueOf(command))
	for i := range v.NumField() {
		if name := v.Type().Field(i).Tag.Get("query"); name != "" && !v.Field(i).IsZero() {
			q.Set(name, fmt.Sprint(v.Field(i).Interface()))
		}
	}
	return q
}

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
	Limit     int    `query:"limit" default:"50" help:"Maximum number, 1 to 500; default ${default}."`
	Cursor    string `query:"cursor" help:"Continue from this next_cursor."`
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

type eventsCommand struct {
	Source      string `query:"source" help:"Only this source; several separated by commas." placeholder:"NAME"`
	Status      string `query:"status" help:"Only accepted, applied, superseded, ignored or rejected; several separated by commas." placeholder:"STATUS"`
	Type        string `query:"type" help:"Only this type; several separated by commas." placeholder:"TYPE"`
	Reservation string `query:"reservation_id" help:"Only about this reservation." placeholder:"ID"`
	Listing     string `query:"listing_id" help:"Only about this listing." placeholder:"ID"`
	Limit       int    `query:"limit" default:"50" help:"Maximum number, 1 to 500; default ${default}."`
	Cursor      string `query:"cursor" help:"Continue from this next_cursor."`
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

type listingsCommand struct {
	Source       string `query:"source" help:"Only this source; several separated by commas." placeholder:"NAME"`
	Query        string `query:"q" help:"Only with this part in the id or name." placeholder:"TEXT"`
	Listing      string `query:"listing_id" help:"Only this listing, of any source." placeholder:"ID"`
	Deleted      string `query:"deleted" help:"Only deleted ones (true), or only others (false)." placeholder:"BOOL"`
	UpdatedSince string `query:"updated_since" help:"Only changed since, inclusive." placeholder:"TIME"`
	Limit        int    `query:"limit" default:"50" help:"Maximum number, 1 to 500; default ${default}."`
	Cursor       string `query:"cursor" help:"Continue from this next_cursor."`
	Remote       remote `embed:""`
}

// Run lists listings with their access groups.
func (c *listingsCommand) Run(ctx context.Context, out *streams) error {
	var list rest.List[rest.Listing]
	raw, _, err := c.Remote.get(ctx, "/v1/listings", parameters(c), &list)
	if err != nil {
		return err
	}
	return showList(c.Remote, out.out, raw, list, "SOURCE\tLISTING\tNAME\tTIME ZONE\tACCESS GROUPS\tSET BY\tDELETED",
		func(w io.Writer, l rest.Listing) {
			groups := strings.Join(l.AccessGroupIDs, ",")
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%t\n", l.Source, l.ListingID, orDash(l.Name),
				orDash(l.TimeZone), orDash(&groups), l.GroupsSetBy, l.Deleted)
		})
}

// showList prints one page of a list: its header, a line for each item, and how to get the next page.
func showList[T any](r remote, out io.Writer, raw []byte, list rest.List[T], header string,
	line func(io.Writer, T),
) error {
	return r.show(out, raw, func(w io.Writer) {
		if len(list.Items) == 0 {
			_, _ = fmt.Fprintln(w, "no results")
			return
		}
		_, _ = fmt.Fprintln(w, header)
		for _, item := range list.Items {
			line(w, item)
		}
		if list.NextCursor != nil {
			_, _ = fmt.Fprintf(w, "\nmore: --cursor %s\n", *list.NextCursor)
		}
	})
}
