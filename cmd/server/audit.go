package main

import (
	"context"
	"fmt"
	"io"

	"github.com/staykey/staykey/internal/handlers/rest"
)

type auditCommand struct {
	Source  string `query:"source" help:"Only this source; several separated by commas." placeholder:"NAME"`
	Token   string `query:"token" name:"by-token" help:"Only changes made with this token; several separated by commas." placeholder:"NAME"`
	Action  string `query:"action" help:"Only this action, such as put_listing, hold or sign_in; several separated by commas." placeholder:"ACTION"`
	Subject string `query:"subject" help:"Only about this reservation, listing or event." placeholder:"ID"`
	From    string `query:"from" help:"Only at or after this day or instant." placeholder:"WHEN"`
	To      string `query:"to" help:"Only before this day or instant." placeholder:"WHEN"`
	Limit   int    `query:"limit" default:"50" placeholder:"N" help:"Maximum number of rows, 1 to 500; default ${default}."`
	Cursor  string `query:"cursor" placeholder:"CURSOR" help:"Continue from the next_cursor of an earlier answer."`
	Remote  remote `embed:""`
}

// Run lists the audit log.
func (c *auditCommand) Run(ctx context.Context, out *streams) error {
	var list rest.List[rest.AuditEntry]
	raw, _, err := c.Remote.get(ctx, "/v1/audit", parameters(c), &list)
	if err != nil {
		return err
	}
	return showList(c.Remote, out.out, raw, list, "AT\tWHO\tVIA\tACTION\tSOURCE\tABOUT\tREASON",
		func(w io.Writer, e rest.AuditEntry) {
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", e.At, e.Author, e.Via, e.Action, orDash(e.Source),
				orDash(e.Subject), orDash(e.Reason))
		})
}
