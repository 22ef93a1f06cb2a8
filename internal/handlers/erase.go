package handlers

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/staykey/staykey/internal/stay"
)

// EraseRequest names the guest whose data is to be erased.
type EraseRequest struct {
	GuestEmail string `json:"guest_email" minLength:"3" maxLength:"320" example:"jane@example.com" doc:"The whole address, in any case."`
	Author     string `json:"author,omitempty" maxLength:"100" doc:"Person who uses the token, if several people share it."`
}

// EraseInput is an erasure.
type EraseInput struct{ Body EraseRequest }

func (s *server) eraseOperation(api huma.API) {
	o := operation("erase-guest", http.MethodPost, "/v1/guests/erase", "Reservations", "Erase a guest's data", withBody(http.StatusForbidden, http.StatusConflict)...)
	o.Description = "Name, address and phone in reservations, the raw bodies, documents and requests of all events that hold the address as a whole, in whatever spelling, and the user identity at Seam, if we made it and nothing else is linked to it. " +
		"Refused with 409 while a stay of the guest's is not over, or anything of one is left at Seam. It may be repeated. Not for a token of single sources. Back-ups of Postgres are yours."
	huma.Register(api, o, func(ctx context.Context, in *EraseInput) (*Output[stay.Erasure], error) {
		result, err := s.admin.EraseGuest(ctx, in.Body.GuestEmail, in.Body.Author)
		if err != nil {
			return nil, s.problemOf(err)
		}
		return &Output[stay.Erasure]{result}, nil
	})
}
