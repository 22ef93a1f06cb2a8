package main

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/staykey/staykey/internal/handlers/rest"
	"github.com/staykey/staykey/internal/stay"
)

type eraseGuestCommand struct {
	Email  string `arg:"" help:"The guest's e-mail address."`
	Remote remote `embed:""`
}

// Run erases a guest. The error says that nothing was known of the address.
func (c *eraseGuestCommand) Run(ctx context.Context, out *streams) error {
	var e stay.Erasure
	raw, _, err := c.Remote.call(ctx, http.MethodPost, "/v1/guests/erase", nil,
		rest.EraseRequest{GuestEmail: c.Email}, &e)
	if err != nil {
		return err
	}
	err = c.Remote.show(out.out, raw, func(w io.Writer) {
		if e.Found {
			_, _ = fmt.Fprintf(w, "erased: %s, %s, %s; %s\n", counted(e.Reservations, "reservation"),
				counted(e.Bodies, "other event"), counted(e.Waiting, "waiting event"), e.Identity)
		}
	})
	if err == nil && !e.Found {
		return fmt.Errorf("nothing is stored for %s, here or at Seam: check the spelling; it may already be erased",
			c.Email)
	}
	return err
}
