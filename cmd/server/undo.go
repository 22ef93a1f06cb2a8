package main

import (
	"context"
	"net/http"
	"net/url"

	"github.com/staykey/staykey/internal/handlers/rest"
)

type undoCommand struct {
	ID     string `arg:"" help:"The undo_id that staykey act or REST returned."`
	Author string `placeholder:"NAME" help:"Person who uses the token, if several people share it."`
	Remote remote `embed:""`
}

// Run restores what was decided before, and fails if a reservation refuses.
func (c *undoCommand) Run(ctx context.Context, out *streams) error {
	var report rest.BatchReport
	raw, _, err := c.Remote.call(ctx, http.MethodPost, "/v1/undo/"+url.PathEscape(c.ID), nil,
		rest.UndoBody{Author: c.Author}, &report)
	if err != nil {
		return err
	}
	if err := showBatch(c.Remote, out.out, raw, report); err != nil {
		return err
	}
	if refusedAny(report) {
		return errRefused
	}
	return nil
}
