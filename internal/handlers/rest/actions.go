package rest

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/stay"
)

// ActionReason says why and by whom an action is taken. Every action that changes something requires it.
type ActionReason struct {
	Reason string `json:"reason" minLength:"1" maxLength:"500" example:"lost phone, reported at the desk" doc:"Shown in the timeline. Don't include guest data: it is kept as long as the timeline."`
	Author string `json:"author,omitempty" maxLength:"100" example:"Maria" doc:"Person who uses the token, if several people share it."`
}

// OptionalReason is an [ActionReason] of which everything may be left out.
type OptionalReason struct {
	Reason string `json:"reason,omitempty" maxLength:"500" doc:"Shown in the timeline."`
	Author string `json:"author,omitempty" maxLength:"100" doc:"Person who uses the token, if several people share it."`
}

// Window is the access times that replace the stay's.
type Window struct {
	ActionReason
	StartsAt *string `json:"starts_at,omitempty" format:"date-time" example:"2030-11-01T12:00:00Z" doc:"Instant. Null or absent: when the stay begins."`
	EndsAt   *string `json:"ends_at,omitempty" format:"date-time" example:"2030-11-04T14:00:00Z" doc:"Instant. Null or absent: when the stay ends."`
}

// ReconcileInput is the request of a reconcile.
type ReconcileInput struct {
	ReservationPath
	Body *OptionalReason
}

// ActionInput is the request of an action that takes only a reason.
type ActionInput struct {
	ReservationPath
	Body ActionReason
}

// WindowInput is the request to change the access times.
type WindowInput struct {
	ReservationPath
	Body Window
}

// Overrides are an admin's decisions about a reservation.
type Overrides struct {
	Held    *Decision       `json:"held" doc:"While it is not null, nothing is changed at Seam."`
	Revoked *Decision       `json:"revoked" doc:"No key, whatever the PMS sends, until it is reissued."`
	Window  *WindowDecision `json:"window" doc:"Access times that replace the stay's."`
}

// Decision is an admin's decision: who made it, when and why.
type Decision struct {
	By     string `json:"by" example:"Maria (front-desk)"`
	Reason string `json:"reason" example:"lost phone, reported at the desk"`
	At     string `json:"at" format:"date-time"`
}

// WindowDecision is the access times that an admin set.
type WindowDecision struct {
	Decision
	StartsAt *string `json:"starts_at" format:"date-time" doc:"Null: when the stay begins."`
	EndsAt   *string `json:"ends_at" format:"date-time" doc:"Null: when the stay ends."`
}

func showOverrides(o admin.Overrides) Overrides {
	out := Overrides{Held: showDecision(o.Held), Revoked: showDecision(o.Revoked)}
	if w := o.Window; w != nil {
		out.Window = &WindowDecision{*showDecision(&w.Decision), stampOrNull(w.StartsAt), stampOrNull(w.EndsAt)}
	}
	return out
}

func showDecision(d *admin.Decision) *Decision {
	if d == nil {
		return nil
	}
	return &Decision{By: d.By, Reason: d.Reason, At: stamp(d.At)}
}

const reservationPath = "/v1/reservations/{source}/{reservation_id}"

func (s *API) actionOperations(api huma.API) {
	const tag = "Actions"
	action := func(id string, kind admin.ActionKind, summary, description string) huma.Operation {
		o := operation(id, http.MethodPost, reservationPath+"/"+string(kind), tag, summary,
			withBody(http.StatusForbidden, http.StatusNotFound, http.StatusConflict)...)
		o.Description = description
		o.DefaultStatus = http.StatusAccepted
		return o
	}

	huma.Register(api, action("reconcile", admin.Reconcile, "Reconcile a reservation with Seam now",
		"Compares with Seam and repairs differences. Also restores what somebody removed or suspended at Seam. Returns 409 while the reservation is held."),
		func(ctx context.Context, in *ReconcileInput) (*Output[Reservation], error) {
			var why OptionalReason
			if in.Body != nil {
				why = *in.Body
			}
			return s.act(ctx, in.ReservationPath,
				admin.Action{Kind: admin.Reconcile, Author: why.Author, Reason: why.Reason})
		})

	for _, o := range []struct {
		id                   string
		kind                 admin.ActionKind
		summary, description string
	}{
		{
			"revoke", admin.Revoke, "Revoke the key of a reservation",
			"The key stays revoked, whatever the PMS sends, until it is reissued.",
		},
		{
			"reissue", admin.Reissue, "Replace the mobile key with a new one",
			"For a lost phone: the current mobile key is deleted first. Also lifts a revocation.",
		},
		{
			"hold", admin.Hold, "Hold a reservation: change nothing at Seam until it is released",
			"Changes from the PMS are stored and applied on release. If changes are pending, the key shows " +
				"attention with the reason held. Even a cancel or the end of the stay removes nothing; access " +
				"still ends with the key's schedule.",
		},
		{"release", admin.Release, "Release a held reservation", "Compares with Seam and applies pending changes."},
	} {
		huma.Register(api, action(o.id, o.kind, o.summary, o.description),
			func(ctx context.Context, in *ActionInput) (*Output[Reservation], error) {
				return s.act(ctx, in.ReservationPath,
					admin.Action{Kind: o.kind, Author: in.Body.Author, Reason: in.Body.Reason})
			})
	}

	huma.Register(api, action("set-window", admin.Window, "Change access times",
		"For an early check-in or a late check-out, at most seven days beyond the stay. It belongs to the stay as "+
			"the PMS specified it: if the PMS moves check-in or check-out, the whole window lapses, and the "+
			"timeline says so. Changed hours of the listing or the source don't affect it. Omit both times to "+
			"follow the stay again."),
		func(ctx context.Context, in *WindowInput) (*Output[Reservation], error) {
			a := admin.Action{Kind: admin.Window, Author: in.Body.Author, Reason: in.Body.Reason}
			var err error
			if a.StartsAt, err = admin.ParseInstant("starts_at", stay.Text(in.Body.StartsAt)); err == nil {
				a.EndsAt, err = admin.ParseInstant("ends_at", stay.Text(in.Body.EndsAt))
			}
			if err != nil {
				return nil, s.problemOf(ctx, err)
			}
			return s.act(ctx, in.ReservationPath, a)
		})
	s.batchOperations(api)
	s.viewOperations(api)

	overrides := described(operation("get-overrides", http.MethodGet, reservationPath+"/overrides", tag,
		"Get the admins' decisions about a reservation", http.StatusNotFound),
		"A hold, a revocation and custom access times, each with who decided it, when and why. Null: no such decision.")
	huma.Register(api, overrides, func(ctx context.Context, in *ReservationPath) (*Output[Overrides], error) {
		v, err := s.Admin.Reservations.Get(ctx, in.ref())
		if err != nil {
			return nil, s.problemOf(ctx, err)
		}
		o, err := s.Admin.Actions.Overrides(ctx, v)
		if err != nil {
			return nil, s.problemOf(ctx, err)
		}
		return &Output[Overrides]{showOverrides(o)}, nil
	})
}

// act runs an action and answers with the resulting reservation.
func (s *API) act(ctx context.Context, n ReservationPath, a admin.Action) (*Output[Reservation], error) {
	v, err := s.Admin.Actions.Act(ctx, n.ref(), a)
	if err != nil {
		return nil, s.problemOf(ctx, err)
	}
	return &Output[Reservation]{showReservation(v)}, nil
}
