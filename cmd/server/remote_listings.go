package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/staykey/staykey/internal/handlers/rest"
)

type listingsCommand struct {
	Source       string `help:"Only this source; several separated by commas." placeholder:"NAME"`
	Query        string `help:"Only with this part in the id or name." placeholder:"TEXT"`
	Deleted      string `help:"Only deleted ones (true), or only others (false)." placeholder:"BOOL"`
	UpdatedSince string `help:"Only changed since, inclusive." placeholder:"TIME"`
	Limit        int    `default:"50" help:"Maximum number, 1 to 500; default ${default}."`
	Cursor       string `help:"Continue from this next_cursor."`
	Remote       remote `embed:""`
}

// Run lists listings with their access groups.
func (c *listingsCommand) Run(ctx context.Context, out *streams) error {
	var list rest.List[rest.Listing]
	raw, _, err := c.Remote.get(ctx, "/v1/listings", query("source", c.Source, "q", c.Query, "deleted", c.Deleted,
		"updated_since", c.UpdatedSince, "limit", strconv.Itoa(c.Limit), "cursor", c.Cursor), &list)
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
