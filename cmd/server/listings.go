package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/staykey/staykey/internal/handlers/rest"
)

type listingsCommand struct {
	Source       string `query:"source" help:"Only this source; several separated by commas." placeholder:"NAME"`
	Query        string `query:"q" help:"Only listings whose id or name has these words, with or without accents." placeholder:"TEXT"`
	Listing      string `query:"listing_id" help:"Only this listing, of any source." placeholder:"ID"`
	Deleted      string `query:"deleted" help:"true: only deleted listings. false: only others." placeholder:"BOOL"`
	UpdatedSince string `query:"updated_since" help:"Only changed at or after this instant." placeholder:"TIME"`
	Limit        int    `query:"limit" default:"50" placeholder:"N" help:"Maximum number of rows, 1 to 500; default ${default}."`
	Cursor       string `query:"cursor" placeholder:"CURSOR" help:"Continue from the next_cursor of an earlier answer."`
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
