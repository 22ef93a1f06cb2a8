package rest

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/staykey/staykey/internal/stay"
)

// EraseRequest names the guest whose data must be erased.
type EraseRequest struct {
	GuestEmail string `json:"guest_email" minLength:"3" maxLength:"320" example:"jane@example.com" doc:"The complete address, case-insensitive."`
	Author     string `json:"author,omitempty" maxLength:"100" doc:"Person who uses the token, if several people share it."`
}

// EraseInput is an erasure.
type EraseInput struct{ Body EraseRequest }

func (s *API) eraseOperation(api huma.API) {
	o := operation("erase-guest", http.MethodPost, "/v1/guests/erase", "Reservations", "Erase a guest's data",
		withBody(http.StatusForbidden, http.StatusConflict)...)
	o.Description = "Removes name, address and phone from reservations; the raw bodies, documents and requests of " +
		"all events that contain the complete address, in any spelling; and the user identity at Seam, if staykey " +
		"created it and nothing else is linked to it. " +
		"Returns 409 while a stay of the guest is not over or not yet removed at Seam. Can be repeated. Not for " +
		"tokens limited to some sources. Doesn't change backups of Postgres."
	huma.Register(api, o, func(ctx context.Context, in *EraseInput) (*Output[stay.Erasure], error) {
		result, err := s.Admin.GuestAccess.Erase(ctx, in.Body.GuestEmail, in.Body.Author)
		if err != nil {
			return nil, s.problemOf(ctx, err)
		}
		return &Output[stay.Erasure]{result}, nil
	})
}
