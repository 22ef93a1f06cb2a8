package rest

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/stay"
)

// BatchAction is one action for several reservations.
type BatchAction struct {
	Action         string           `json:"action" enum:"reconcile,hold,release,revoke,reissue,window"`
	Reason         string           `json:"reason,omitempty" maxLength:"500" example:"the owner asks for no changes" doc:"Required, except for a reconcile. Shown in the timeline. Don't include guest data."`
	Author         string           `json:"author,omitempty" maxLength:"100" example:"Maria" doc:"Person who uses the token, if several people share it."`
	EarlierMinutes int              `json:"earlier_minutes,omitempty" minimum:"0" maximum:"10080" doc:"With action window: how many minutes before check-in access begins."`
	LaterMinutes   int              `json:"later_minutes,omitempty" minimum:"0" maximum:"10080" doc:"With action window: how many minutes after check-out access ends."`
	Reservations   []ReservationRef `json:"reservations" minItems:"1" maxItems:"100" nullable:"false"`
}

// ReservationRef names a reservation.
type ReservationRef struct {
	Source        string `json:"source" example:"default"`
	ReservationID string `json:"reservation_id" example:"3333122-433"`
}

// BatchInput is the request of an action for several reservations.
type BatchInput struct{ Body BatchAction }

// UndoInput is the request to undo what another request did.
type UndoInput struct {
	UndoID string `path:"undo_id" format:"uuid"`
	Body   *UndoBody
}

// UndoBody says who undoes what another request did.
type UndoBody struct {
	Author string `json:"author,omitempty" maxLength:"100" doc:"Person who uses the token, if several people share it."`
}

// BatchReport is the result of an action, or of its undo, for each reservation.
type BatchReport struct {
	UndoID    string        `json:"undo_id" format:"uuid"`
	UndoUntil *string       `json:"undo_until" format:"date-time" doc:"Until when POST /v1/undo/{undo_id} can undo the action. Null if there is nothing to undo, as for reconcile and reissue."`
	Undone    bool          `json:"undone"`
	Items     []BatchResult `json:"items" nullable:"false"`
}

// BatchResult is what an action, or its undo, did to one reservation.
type BatchResult struct {
	Source        string  `json:"source"`
	ReservationID string  `json:"reservation_id"`
	Status        string  `json:"status" enum:"done,undone,refused"`
	Code          *string `json:"code" doc:"Why it was refused, as a code for programs, such as reservation_held. docs/errors.md lists the codes."`
	Message       *string `json:"message" doc:"Why it was refused, as a text for people."`
}

func showBatch(b admin.Batch) BatchReport {
	report := BatchReport{UndoID: b.ID, UndoUntil: stampOrNull(b.UndoUntil), Undone: b.Undone, Items: []BatchResult{}}
	refused := map[stay.Ref]bool{}
	for _, one := range b.Refused {
		refused[stay.Ref{Source: one.Source, ReservationID: one.ReservationID}] = true
		report.Items = append(report.Items, BatchResult{
			Source: one.Source, ReservationID: one.ReservationID, Status: "refused",
			Code: stay.OrNil(one.Code), Message: stay.OrNil(one.Why),
		})
	}
	status := "done"
	if b.Undone {
		status = "undone"
	}
	for _, ref := range b.Done {
		if !refused[ref] {
			report.Items = append(report.Items, BatchResult{
				Source: ref.Source, ReservationID: ref.ReservationID, Status: status,
			})
		}
	}
	return report
}

func (s *API) batchOperations(api huma.API) {
	const tag = "Actions"
	several := operation("act-on-reservations", http.MethodPost, "/v1/reservations/actions", tag,
		"Apply one action to several reservations", withBody(http.StatusForbidden)...)
	several.Description = "Each reservation is handled on its own: a refusal doesn't stop the others. hold, release, revoke and window can be undone for 15 minutes."

	huma.Register(api, several, func(ctx context.Context, in *BatchInput) (*Output[BatchReport], error) {
		refs := make([]stay.Ref, len(in.Body.Reservations))
		for i, one := range in.Body.Reservations {
			refs[i] = stay.Ref{Source: one.Source, ReservationID: one.ReservationID}
		}
		done, err := s.Admin.Actions.ActOnMany(ctx, refs, admin.BulkAction{
			Action: admin.Action{
				Kind: admin.ActionKind(in.Body.Action), Author: in.Body.Author,
				Reason: in.Body.Reason,
			},
			Earlier: time.Duration(in.Body.EarlierMinutes) * time.Minute,
			Later:   time.Duration(in.Body.LaterMinutes) * time.Minute,
		})
		if err != nil {
			return nil, s.problemOf(ctx, err)
		}
		return &Output[BatchReport]{showBatch(done)}, nil
	})

	undo := operation("undo", http.MethodPost, "/v1/undo/{undo_id}", tag, "Undo an action",
		withBody(http.StatusForbidden, http.StatusNotFound, http.StatusConflict)...)
	undo.Description = "Restores what admins had decided before, within 15 minutes. Reservations that somebody has " +
		"changed since are refused. A key that was deleted meanwhile is created again, and the guest must accept " +
		"it."
	huma.Register(api, undo, func(ctx context.Context, in *UndoInput) (*Output[BatchReport], error) {
		var author string
		if in.Body != nil {
			author = in.Body.Author
		}
		done, err := s.Admin.Actions.Undo(ctx, in.UndoID, author)
		if err != nil {
			return nil, s.problemOf(ctx, err)
		}
		return &Output[BatchReport]{showBatch(done)}, nil
	})
}
