package rest

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/staykey/staykey/internal/stay"
)

// GuestLink is the link by which a stay's guest gets the key.
type GuestLink struct {
	URL      string  `json:"url" format:"uri" example:"https://keys.example.com/k/Rk9yIHRoZSBndWVzdCBvbmx5" doc:"For the guest alone: anyone who has it gets the key."`
	OpenedAt *string `json:"opened_at" format:"date-time" doc:"When the guest first got a key through the link."`
	Openings int     `json:"openings" doc:"How often the guest got a key through the link."`
}

func showGuestLink(l *stay.GuestLink) *GuestLink {
	if l == nil {
		return nil
	}
	return &GuestLink{URL: l.URL, OpenedAt: stampOrNull(l.OpenedAt), Openings: l.Openings}
}

// RenewedLink is a reservation's new link, and nothing else of the reservation: tokens with scope guest can't read it.
type RenewedLink struct {
	GuestLink *GuestLink `json:"guest_link" doc:"Null if the reservation was cancelled meanwhile."`
}

// AppSession is what an app with Seam's mobile SDK needs.
type AppSession struct {
	Token      string `json:"client_session_token" example:"seam_cst1..." doc:"For Seam's mobile SDK. Anyone who has it has the key."`
	ExpiresAt  string `json:"expires_at" format:"date-time" doc:"Repeat the request before then to extend the session."`
	IdentityID string `json:"user_identity_id"`
}

func (s *API) guestOperations(api huma.API) {
	const tag = "Guests"
	s.backupCodeOperation(api)

	session := operation("create-app-session", http.MethodPost, reservationPath+"/app-session", tag,
		"Get a session for the guest's app",
		http.StatusForbidden, http.StatusNotFound, http.StatusConflict)
	session.Description = "For the backend of an app with Seam's mobile SDK. Needs a token with scope guest or " +
		"write. The session shows this stay's key and no other. Returns 409 while the key is not ready to be " +
		"handed out. Repeated requests return the same session and extend it. It is revoked when the key is " +
		"removed or the guest changes. docs/guest-app.md describes the whole process."
	huma.Register(api, session, func(ctx context.Context, in *ReservationPath) (*Output[AppSession], error) {
		got, err := s.Admin.GuestAccess.AppSession(ctx, in.ref())
		if err != nil {
			return nil, s.problemOf(ctx, err)
		}
		return &Output[AppSession]{AppSession{
			Token: got.Token, ExpiresAt: stamp(got.ExpiresAt),
			IdentityID: got.IdentityID,
		}}, nil
	})

	renew := operation("renew-guest-link", http.MethodPost, reservationPath+"/guest-link/renew", tag,
		"Replace a reservation's guest link",
		withBody(http.StatusForbidden, http.StatusNotFound, http.StatusConflict)...)
	renew.Description = "Use it if the link has been shared with somebody else. Needs a token with scope guest or " +
		"write. The old link then returns 410, and the instant keys that it gave out are deleted. Sessions of the " +
		"guest's app keep working."
	huma.Register(api, renew, func(ctx context.Context, in *ReconcileInput) (*Output[RenewedLink], error) {
		var why OptionalReason
		if in.Body != nil {
			why = *in.Body
		}
		v, err := s.Admin.GuestAccess.RenewLink(ctx, in.ref(), why.Author, why.Reason)
		if err != nil {
			return nil, s.problemOf(ctx, err)
		}
		return &Output[RenewedLink]{RenewedLink{showGuestLink(v.GuestLink)}}, nil
	})
}
