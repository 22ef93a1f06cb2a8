package handlers

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/store"
)

// Why is what every action asks for.
type Why struct {
	Reason string `json:"reason" minLength:"1" maxLength:"500" example:"lost phone, told at the desk" doc:"Why, for whoever reads the timeline. No guest data: it is kept as long as the timeline."`
	Author string `json:"author,omitempty" maxLength:"100" example:"Maria" doc:"Who uses the token, if several people do."`
}

// WhyMaybe is what a reconcile may say.
type WhyMaybe struct {
	Reason string `json:"reason,omitempty" maxLength:"500" doc:"Why, for whoever reads the timeline."`
	Author string `json:"author,omitempty" maxLength:"100" doc:"Who uses the token, if several people do."`
}

// Window is when access is to begin and end instead of with the stay.
type Window struct {
	Why
	StartsAt *string `json:"starts_at,omitempty" format:"date-time" example:"2030-11-01T12:00:00Z" doc:"An instant; null or absent is as the stay begins."`
	EndsAt   *string `json:"ends_at,omitempty" format:"date-time" example:"2030-11-04T14:00:00Z" doc:"An instant; null or absent is as the stay ends."`
}

// ReconcileInput is a reconcile.
type ReconcileInput struct {
	Names
	Body *WhyMaybe
}

// ActionInput is an action that needs no more than a reason.
type ActionInput struct {
	Names
	Body Why
}

// WindowInput is a change of the window.
type WindowInput struct {
	Names
	Body Window
}

// Overrides are an admin's word on a reservation.
type Overrides struct {
	Held    *Word       `json:"held" doc:"Nothing at Seam is changed while it is not null."`
	Revoked *Word       `json:"revoked" doc:"No key, whatever the PMS says, until it is issued again."`
	Window  *WindowWord `json:"window" doc:"When access begins and ends instead of with the stay."`
}

// Word is what an admin decided.
type Word struct {
	By     string `json:"by" example:"Maria (front-desk)"`
	Reason string `json:"reason" example:"lost phone, told at the desk"`
	At     string `json:"at" format:"date-time"`
}

// WindowWord is a window that an admin has set.
type WindowWord struct {
	Word
	StartsAt *string `json:"starts_at" format:"date-time" doc:"Null: as the stay begins."`
	EndsAt   *string `json:"ends_at" format:"date-time" doc:"Null: as the stay ends."`
}

func showOverrides(o store.Overrides, r store.Reservation) Overrides {
	word := func(at *time.Time, by, why *string) *Word {
		if at == nil {
			return nil
		}
		return &Word{By: text(by), Reason: text(why), At: stamp(*at)}
	}
	out := Overrides{Held: word(o.HeldAt, o.HeldBy, o.HeldWhy), Revoked: word(o.RevokedAt, o.RevokedBy, o.RevokedWhy)}
	if w := word(o.WindowAt, o.WindowBy, o.WindowWhy); w != nil && o.WindowHolds(r) {
		starts, ends := o.Window(r)
		out.Window = &WindowWord{Word: *w, StartsAt: stampUnlessZero(starts), EndsAt: stampUnlessZero(ends)}
	}
	return out
}

func stampUnlessZero(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	return stampOrNull(&t)
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

const reservationPath = "/v1/reservations/{source}/{reservation_id}"

func (s *server) actionOperations(api huma.API) {
	const tag = "Actions"
	action := func(id string, kind intake.ActionKind, summary, description string) huma.Operation {
		o := operation(id, http.MethodPost, reservationPath+"/"+string(kind), tag, summary, withBody(http.StatusForbidden, http.StatusNotFound, http.StatusConflict)...)
		o.Description = description
		o.DefaultStatus = http.StatusAccepted
		return o
	}
	huma.Register(api, action("reconcile", intake.ActionReconcile, "Check a reservation against Seam and repair it, now",
		"It also wants back what somebody removed or suspended at Seam. Refused with 409 while the reservation is held."),
		func(ctx context.Context, in *ReconcileInput) (*Output[Reservation], error) {
			var why WhyMaybe
			if in.Body != nil {
				why = *in.Body
			}
			return s.act(ctx, in.Names, actorOf(ctx).action(intake.ActionReconcile, why.Author, why.Reason))
		})
	for _, o := range []struct {
		id                   string
		kind                 intake.ActionKind
		summary, description string
	}{
		{"revoke", intake.ActionRevoke, "Revoke the key of a reservation", "It stays revoked, whatever the PMS says, until it is issued again."},
		{"reissue", intake.ActionReissue, "Make a new mobile key in place of the present one", "For a lost phone: the present mobile key is deleted first. It also lifts a revocation."},
		{"hold", intake.ActionHold, "Change nothing of a reservation at Seam until it is released", "What the PMS says meanwhile is kept, and done when it is released. A key that is not as it should be shows as attention, with the reason held. Even a cancel or the end of the stay removes nothing; access still ends with the schedule that the key has."},
		{"release", intake.ActionRelease, "Let a held reservation go on", "It is compared with Seam, and brought to what it should be."},
	} {
		huma.Register(api, action(o.id, o.kind, o.summary, o.description), func(ctx context.Context, in *ActionInput) (*Output[Reservation], error) {
			return s.act(ctx, in.Names, actorOf(ctx).action(o.kind, in.Body.Author, in.Body.Reason))
		})
	}
	huma.Register(api, action("set-window", intake.ActionWindow, "Have access begin or end otherwise than the stay",
		"For an early check-in or a late check-out, at most seven days beyond the stay. It belongs to the stay as the PMS specified it: if the PMS moves check-in or check-out, the whole window lapses, and the timeline says so. A change of the listing's or the source's hours does not touch it. Without both times access is that of the stay again."),
		func(ctx context.Context, in *WindowInput) (*Output[Reservation], error) {
			a := actorOf(ctx).action(intake.ActionWindow, in.Body.Author, in.Body.Reason)
			var p *Problem
			if a.StartsAt, p = instant("starts_at", text(in.Body.StartsAt)); p == nil {
				a.EndsAt, p = instant("ends_at", text(in.Body.EndsAt))
			}
			if p != nil {
				return nil, p
			}
			return s.act(ctx, in.Names, a)
		})
	overrides := operation("get-overrides", http.MethodGet, reservationPath+"/overrides", tag, "See what admins have decided about a reservation", http.StatusNotFound)
	huma.Register(api, overrides, func(ctx context.Context, in *Names) (*Output[Overrides], error) {
		ref, p := visibleRef(ctx, *in)
		if p != nil {
			return nil, p
		}
		v, err := s.Store.View(ctx, ref)
		if err != nil {
			return nil, s.fromStore(err, noReservation)
		}
		o, err := s.Store.Overrides(ctx, ref)
		if err != nil {
			return nil, s.fromStore(err, "")
		}
		return &Output[Overrides]{showOverrides(o, v.Reservation)}, nil
	})
}

// act does an action and answers how the reservation stands then.
func (s *server) act(ctx context.Context, n Names, a intake.Action) (*Output[Reservation], error) {
	v, p := s.doAction(ctx, n, a)
	if p != nil {
		return nil, p
	}
	return &Output[Reservation]{showReservation(v)}, nil
}

func (s *server) doAction(ctx context.Context, n Names, a intake.Action) (store.View, *Problem) {
	ref, p := visibleRef(ctx, n)
	if p != nil {
		return store.View{}, p
	}
	err := s.Admin.Act(ctx, ref, a)
	if conflict := intake.ConflictError(""); errors.As(err, &conflict) {
		return store.View{}, problem(http.StatusConflict, conflict.Error())
	}
	if input := (intake.InputError{}); errors.As(err, &input) {
		return store.View{}, unfit(input.Field, input.Message)
	}
	if err != nil {
		return store.View{}, s.fromStore(err, noReservation)
	}
	v, err := s.Store.View(ctx, ref)
	if err != nil {
		return store.View{}, s.fromStore(err, noReservation)
	}
	return v, nil
}

// replayAtMost bounds one replay by filter: each of a dry run's events is locked with what it is about.
const replayAtMost = 500

// ReplayRequest says which events are to be applied again.
type ReplayRequest struct {
	EventIDs      []string `json:"event_ids,omitempty" minItems:"1" maxItems:"500" doc:"Exactly these, each once. Not together with filters or cursor."`
	Source        string   `json:"source,omitempty" example:"default"`
	Status        string   `json:"status,omitempty" enum:"applied,superseded,ignored,rejected" example:"rejected"`
	Type          string   `json:"type,omitempty" example:"reservation.created"`
	ReservationID string   `json:"reservation_id,omitempty" example:"3333122-433"`
	ListingID     string   `json:"listing_id,omitempty"`
	DryRun        bool     `json:"dry_run,omitempty" doc:"Only find out what would change."`
	Limit         int      `json:"limit,omitempty" minimum:"1" maximum:"500" default:"500" doc:"How many events at most, the newest first."`
	Cursor        string   `json:"cursor,omitempty" doc:"next_cursor of the answer before, for the older ones."`
	Author        string   `json:"author,omitempty" maxLength:"100" doc:"Who uses the token, if several people do."`
}

// ReplayReport is what a replay comes to.
type ReplayReport struct {
	DryRun      bool                `json:"dry_run"`
	Items       []Event             `json:"items" nullable:"false" doc:"The events that are applied again, or, of a dry run, what would become of them. Those whose body has been removed are not among them."`
	Differences []intake.Difference `json:"differences" nullable:"false" doc:"Of a dry run: what all of them together would change."`
	NextCursor  *string             `json:"next_cursor" doc:"Give it as cursor to go on with older events; null where there are no more."`
}

// ReplayInput is a replay by filter.
type ReplayInput struct{ Body ReplayRequest }

func (s *server) replayOperation(api huma.API) {
	replay := operation("replay-events", http.MethodPost, "/v1/events/replay", "Events", "Apply events again, by filter", withBody(http.StatusForbidden)...)
	replay.Description = "Each keeps its place in the order: it changes nothing if what it says has been overtaken. With dry_run nothing is changed, and the answer says what would be. Either event_ids or at least one of the filters is needed."
	huma.Register(api, replay, func(ctx context.Context, in *ReplayInput) (*Output[ReplayReport], error) {
		report, p := s.replay(ctx, in.Body)
		if p != nil {
			return nil, p
		}
		return &Output[ReplayReport]{report}, nil
	})
}

func (s *server) replay(ctx context.Context, in ReplayRequest) (ReplayReport, *Problem) {
	report := ReplayReport{DryRun: in.DryRun, Items: []Event{}, Differences: []intake.Difference{}}
	events, next, p := s.eventsToReplay(ctx, in)
	if p != nil {
		return report, p
	}
	report.NextCursor = next
	done := events
	var err error
	if in.DryRun {
		var preview intake.Preview
		preview, err = s.Admin.PreviewReplay(ctx, events)
		done = preview.Events
		report.Differences = append(report.Differences, preview.Differences...)
	} else {
		done, err = s.Admin.Replay(ctx, events, actorOf(ctx).audit(auditReplay, plainText(in.Author)))
	}
	if err != nil {
		return report, s.fromStore(err, "")
	}
	for _, e := range done {
		report.Items = append(report.Items, showEvent(e))
	}
	return report, nil
}

func (s *server) eventsToReplay(ctx context.Context, in ReplayRequest) (events []store.Event, next *string, p *Problem) {
	for field, text := range map[string]string{"source": in.Source, "type": in.Type, "reservation_id": in.ReservationID, "listing_id": in.ListingID} {
		if unstorable(text) {
			return nil, nil, unfit(field, "must be UTF-8 text without NUL")
		}
	}
	f := store.EventFilter{Source: in.Source, Status: in.Status, Type: in.Type, ReservationID: in.ReservationID, ListingID: in.ListingID}
	filtered := in.Source+in.Status+in.Type+in.ReservationID+in.ListingID != ""
	switch {
	case in.EventIDs != nil && (filtered || in.Cursor != ""):
		return nil, nil, unfit("event_ids", "can't be combined with filters or a cursor: send one or the other")
	case in.EventIDs != nil:
		events, p = s.eventsNamed(ctx, in.EventIDs)
		return events, nil, p
	case !filtered:
		return nil, nil, unfit("status", "say which events: by source, status, type, reservation_id, listing_id or event_ids")
	}
	f.Sources = actorOf(ctx).Sources
	var below int64
	if p := s.openCursor("replay", in.Cursor, &below); p != nil {
		p.Errors[0].Field = "cursor"
		return nil, nil, p
	}
	limit := in.Limit
	if limit <= 0 || limit > replayAtMost {
		limit = replayAtMost
	}
	rows, err := s.Store.Events(ctx, f, below, limit+1)
	if err != nil {
		return nil, nil, s.fromStore(err, "")
	}
	if len(rows) > limit {
		next, rows = s.sealCursor("replay", rows[limit-1].Seq), rows[:limit]
	}
	for _, e := range rows {
		if e.Status != store.EventAccepted { // it is going to be applied anyway
			events = append(events, e)
		}
	}
	return events, next, nil
}

// eventsNamed returns the events with these ids, each once however often it is named.
func (s *server) eventsNamed(ctx context.Context, ids []string) (events []store.Event, p *Problem) {
	if len(ids) == 0 {
		return nil, unfit("event_ids", "names no event: leave it out to choose by filters")
	}
	for i, id := range ids {
		e, p := s.event(ctx, id)
		if p != nil {
			if p.Status == http.StatusNotFound {
				p = unfit("event_ids["+strconv.Itoa(i)+"]", noEvent)
			}
			return nil, p
		}
		if !slices.ContainsFunc(events, func(named store.Event) bool { return named.EventID == e.EventID }) {
			events = append(events, e)
		}
	}
	return events, nil
}
