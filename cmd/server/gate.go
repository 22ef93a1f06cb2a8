package main

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/staykey/staykey/internal/handlers/rest"
	"github.com/staykey/staykey/internal/stay"
)

// letThePMSDecide takes a person's decision on a gate back.
const letThePMSDecide = "default"

type gateCommand struct {
	Source   string `arg:"" help:"The source, such as default."`
	ID       string `arg:"" help:"The reservation's id."`
	Gate     string `arg:"" help:"The gate, such as paid."`
	State    string `arg:"" enum:"open,closed,unknown,default" help:"open, closed, unknown, or default: withdraw a person's decision, so that the PMS and programs decide."`
	Evidence string `help:"How you know." placeholder:"TEXT"`
	Author   string `help:"The person who decides. Without one, the PMS's next event replaces it." placeholder:"NAME"`
	Remote   remote `embed:""`
}

// Run sets a gate.
func (c *gateCommand) Run(ctx context.Context, out *streams) error {
	setting := rest.GateSetting{State: &c.State, Evidence: c.Evidence, Author: c.Author}
	if c.State == letThePMSDecide {
		setting.State = nil
	}
	var g rest.Gate
	raw, _, err := c.Remote.call(ctx, http.MethodPut, stay.GatePath(c.Source, c.ID, c.Gate), nil, setting, &g)
	if err != nil {
		return err
	}
	return c.Remote.show(out.out, raw,
		func(w io.Writer) { _, _ = fmt.Fprintf(w, "gate %s is %s, by %s\n", g.Name, g.State, orDash(g.By)) })
}
