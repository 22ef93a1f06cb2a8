package handlers

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// EraseRequest names the guest whose data is to be erased.
type EraseRequest struct {
	GuestEmail string `json:"guest_email" minLength:"3" maxLength:"320" example:"jane@example.com" doc:"The whole address, in any case."`
	Author     string `json:"author,omitempty" maxLength:"100" doc:"Who uses the token, if several people do."`
}

// EraseInput is an erasure.
type EraseInput struct{ Body EraseRequest }

func (s *server) eraseOperation(api huma.API) {
	o := operation("erase-guest", http.MethodPost, "/v1/guests/erase", "Reservations", "Erase a guest's data", withBody(http.StatusForbidden, http.StatusConflict)...)
	o.Description = "Name, address and phone in reservations, the raw bodies, documents and requests of all events that hold the address as a whole, in whatever spelling, and the user identity at Seam, if we made it and nothing else is linked to it. " +
		"Refused with 409 while a stay of the guest's is not over, or anything of one is left at Seam. It may be repeated. Not for a token of single sources. Back-ups of Postgres are yours."
	huma.Register(api, o, func(ctx context.Context, in *EraseInput) (*Output[stay.Erasure], error) {
		a := actorOf(ctx)
		if a.Sources != nil {
			return nil, problem(http.StatusForbidden, "this token is for single sources: a guest is erased from all")
		}
		address := strings.TrimSpace(in.Body.GuestEmail)
		if _, whole := pms.MentionsOf(address); !whole || strings.ContainsRune(address, 0) {
			return nil, unfit("guest_email", "must be one whole e-mail address, such as jane@example.com")
		}
		result, err := s.EraseGuest(ctx, address, a.audit(auditErase, plainText(in.Body.Author)))
		if err != nil {
			s.log.Error("a guest could not be erased", "error", err)
			return nil, problem(http.StatusServiceUnavailable, "Postgres or Seam does not answer now, and not everything is erased: try again in a moment")
		}
		if len(result.Live) > 0 {
			return nil, problem(http.StatusConflict, "nothing is erased, because stays of this guest are not over, or are still to be removed at Seam: "+named(result.Live)+"; cancel them in the PMS, or wait until they are over")
		}
		if result.Unsettled > 0 {
			return nil, problem(http.StatusConflict, "nothing is erased, because events about this guest are being applied: try again in a moment").after(time.Second)
		}
		return &Output[stay.Erasure]{result}, nil
	})
}

// named lists some reservations.
func named(refs []store.Ref) string {
	const most = 5
	names := make([]string, 0, most+1)
	for i, ref := range refs {
		if i == most {
			names = append(names, "...")
			break
		}
		names = append(names, ref.Source+"/"+ref.ReservationID)
	}
	return strings.Join(names, ", ")
}
