package rest

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/staykey/staykey/internal/admin"
)

// Event is an event of the inbox.
type Event struct {
	EventID       string  `json:"event_id" format:"uuid"`
	Source        string  `json:"source" example:"default"`
	Type          string  `json:"type" example:"reservation.created"`
	Status        string  `json:"status" enum:"accepted,applied,superseded,ignored,rejected"`
	Reason        *string `json:"reason" doc:"Why the event is superseded, ignored or rejected, or what it waits for."`
	ReservationID *string `json:"reservation_id"`
	ListingID     *string `json:"listing_id"`
	Timestamp     *string `json:"timestamp" format:"date-time" doc:"The sender's timestamp."`
	ReceivedAt    string  `json:"received_at" format:"date-time"`
	AppliedAt     *string `json:"applied_at" format:"date-time" doc:"When it was first applied. A replay doesn't change it."`
	ReplayedAt    *string `json:"replayed_at" format:"date-time" doc:"When it was last replayed; null if never. An event that was applied once stays applied, whatever a replay results in."`
	ReplayStatus  *string `json:"replay_status" enum:"applied,superseded,ignored,rejected" doc:"Result of the last replay."`
	ReplayReason  *string `json:"replay_reason"`
	FirstStatus   *string `json:"first_status" enum:"applied,superseded,ignored,rejected" doc:"Result before the first replay."`
	FirstReason   *string `json:"first_reason"`
}

// EventDetail is one event with what was posted.
type EventDetail struct {
	Event
	Notes    []admin.FieldNote    `json:"notes" nullable:"false" doc:"Fields that could not be read and were dropped."`
	Rejected []admin.RejectedItem `json:"rejected" nullable:"false" doc:"Items that could not be read while the others were applied. A replay tries them again."`
	Body     *string              `json:"body" doc:"The raw body as received; null after the retention policy deleted it (STAYKEY_RETAIN_BODIES)."`
	Changes  []any                `json:"changes" nullable:"false" doc:"Changes read from the event: {\"reservation\": ...}, {\"listing\": ...}, {\"merge\": ...} or {\"guest\": ...}; empty if documents from the PMS are needed."`
}

func showEvent(e admin.Event) Event {
	return Event{
		EventID: e.EventID.String(), Source: e.Source, Type: e.Type, Status: e.Status, Reason: e.Reason,
		ReservationID: e.ReservationID,
		ListingID:     e.ListingID, Timestamp: stampOrNull(e.OccurredAt), ReceivedAt: stamp(e.ReceivedAt),
		AppliedAt:  stampOrNull(e.AppliedAt),
		ReplayedAt: stampOrNull(e.ReplayedAt), ReplayStatus: e.ReplayStatus, ReplayReason: e.ReplayReason,
		FirstStatus: e.FirstStatus, FirstReason: e.FirstReason,
	}
}

func (s *API) showEventDetail(ctx context.Context, e admin.Event) EventDetail {
	d := EventDetail{
		Event: showEvent(e), Changes: s.Admin.Events.ChangesOf(ctx, e), Notes: []admin.FieldNote{},
		Rejected: []admin.RejectedItem{},
	}
	notes := e.ReadNotes()
	d.Notes, d.Rejected = append(d.Notes, notes.Notes...), append(d.Rejected, notes.Rejected...)
	if e.Body != nil {
		body := string(e.Body)
		d.Body = &body
	}
	return d
}

// EventName is the parameter that names one event.
type EventName struct {
	EventID string `path:"event_id" example:"0190b5a0-7a7c-7c3e-9d2e-6f1f8f0c2a11"`
}

func (s *API) eventOperations(api huma.API) {
	const tag = "Events"
	huma.Register(api, described(operation("list-events", http.MethodGet, "/v1/events", tag, "List the inbox, newest first"),
		"Everything that PMSs posted with a valid signature, or that was imported, with its result: applied, "+
			"superseded by a later event, ignored or rejected. Bodies are left out here."),
		func(ctx context.Context, in *admin.EventQuery) (*Output[List[Event]], error) {
			found, err := s.Admin.Events.List(ctx, *in)
			if err != nil {
				return nil, s.problemOf(ctx, err)
			}
			return listOf(found, showEvent), nil
		})

	huma.Register(api, described(operation("get-event", http.MethodGet, "/v1/events/{event_id}", tag,
		"Get one event with its raw body", http.StatusNotFound),
		"The body as received, until the retention policy deletes it. For an event of a PMS's own format, also the changes that its mapping read from it."),
		func(ctx context.Context, in *EventName) (*Output[EventDetail], error) {
			e, err := s.Admin.Events.Get(ctx, in.EventID)
			if err != nil {
				return nil, s.problemOf(ctx, err)
			}
			return &Output[EventDetail]{s.showEventDetail(ctx, e)}, nil
		})

	replay := operation("replay-event", http.MethodPost, "/v1/events/{event_id}/replay", tag, "Replay an event",
		http.StatusForbidden, http.StatusNotFound, http.StatusConflict)
	replay.Description = "The event keeps its place in the order: an outdated event changes nothing."
	replay.DefaultStatus = http.StatusAccepted
	huma.Register(api, replay, func(ctx context.Context, in *EventName) (*Output[Event], error) {
		e, err := s.Admin.Events.ReplayOne(ctx, in.EventID)
		if err != nil {
			return nil, s.problemOf(ctx, err)
		}
		return &Output[Event]{showEvent(e)}, nil
	})

	s.replayOperation(api)
	s.importOperation(api)
}
