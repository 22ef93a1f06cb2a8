package main

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/staykey/staykey/internal/handlers/rest"
)

type auditCommand struct {
	Source  string `help:"Only this source." placeholder:"NAME"`
	Token   string `name:"by-token" help:"Only this token's name." placeholder:"NAME"`
	Action  string `help:"Only this action, such as put_listing, hold or sign_in." placeholder:"ACTION"`
	Subject string `help:"Only about this reservation, listing or event." placeholder:"ID"`
	From    string `help:"Only from this day or instant on." placeholder:"WHEN"`
	To      string `help:"Only before this day or instant." placeholder:"WHEN"`
	Limit   int    `default:"50" help:"Maximum number, 1 to 500; default ${default}."`
	Cursor  string `help:"Continue from this next_cursor."`
	Remote  remote `embed:""`
}

// Run lists the audit log.
func (c *auditCommand) Run(ctx context.Context, out *streams) error {
	var list rest.List[rest.AuditEntry]
	raw, _, err := c.Remote.get(ctx, "/v1/audit", query("source", c.Source, "token", c.Token, "action", c.Action,
		"subject", c.Subject, "from", c.From, "to", c.To,
		"limit", strconv.Itoa(c.Limit), "cursor", c.Cursor), &list)
	if err != nil {
		return err
	}
	return showList(c.Remote, out.out, raw, list, "AT\tWHO\tVIA\tACTION\tSOURCE\tABOUT\tREASON",
		func(w io.Writer, e rest.AuditEntry) {
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", e.At, e.Author, e.Via, e.Action, orDash(e.Source),
				orDash(e.Subject), orDash(e.Reason))
		})
}
