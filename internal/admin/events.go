package admin

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// Events reads the inbox, applies events again, and imports.
type Events struct{ *core }

// EventQuery are the filters of the inbox.
type EventQuery struct {
	Paging
	Source        []string `query:"source" nullable:"false" doc:"One source, or several separated by commas."`
	Status        []string `query:"status" nullable:"false" enum:"accepted,applied,superseded,ignored,rejected" doc:"One status, or several separated by commas."`
	Type          []string `query:"type" nullable:"false" doc:"One type, or several separated by commas."`
	ReservationID string   `query:"reservation_id"`
	ListingID     string   `query:"listing_id"`
	// WithoutTests leaves out test events of ours. It is for pages; a list by type or status has them.
	WithoutTests bool
}

// Narrowed reports whether the query leaves any event out.
func (q EventQuery) Narrowed() bool {
	q.Paging, q.WithoutTests = Paging{}, false
	return narrowed(q)
}

func (q EventQuery) filter(ctx context.Context) store.EventFilter {
	return store.EventFilter{
		Source: q.Source, Status: q.Status, Type: q.Type, ReservationID: q.ReservationID, ListingID: q.ListingID,
		Sources: ActorOf(ctx).Sources, WithoutTests: q.WithoutTests,
	}
}

const noEvent = "no event has this id"

// List lists the inbox, newest first.
func (s Events) List(ctx context.Context, q EventQuery) (Page[Event], error) {
	return s.list(ctx, "events", q)
}

func (s Events) list(ctx context.Context, list string, q EventQuery) (Page[Event], error) {
	if err := checkEnums(q); err != nil {
		return Page[Event]{}, err
	}
	p := q.Paging
	q.Paging = Paging{}
	list = listName(list, q)
	var below int64
	if err := s.openCursor(list, p.Cursor, &below); err != nil {
		return Page[Event]{}, err
	}
	rows, err := s.store.Events.List(ctx, q.filter(ctx), below, p.Limit+1)
	if err != nil {
		return Page[Event]{}, err
	}
	return page(s.core, list, rows, p.Limit, func(e Event) any { return e.Seq }), nil
}

// parseID reads an id in the only form that REST shows it in: not in braces, nor as a URN.
func parseID(id string) (uuid.UUID, error) {
	parsed, err := uuid.Parse(id)
	if err == nil && parsed.String() != strings.ToLower(id) {
		err = errors.New("it doesn't have the form of an id")
	}
	return parsed, err
}

// Get returns one event of the inbox.
func (s Events) Get(ctx context.Context, id string) (Event, error) {
	parsed, err := parseID(id)
	if err != nil {
		return Event{}, refuse(NotFound, noEvent)
	}
	e, err := s.store.Events.Get(ctx, parsed)
	if err != nil {
		return Event{}, notFound(err, noEvent)
	}
	if !ActorOf(ctx).Sees(e.Source) {
		return Event{}, refuse(NotFound, noEvent)
	}
	return e, nil
}

// Zone returns the time zone that the configuration has for an event's listing or source; nil for none.
func (s Events) Zone(e Event) *time.Location {
	source, _ := s.source(e.Source)
	return source.Policy.Complete(stay.Text(e.ListingID), "", "", "").Zone
}

// ChangesOf returns what an event means, by the configuration of now; nothing where its body has been removed or
// can't be understood, or documents of the PMS are needed to tell.
func (s Events) ChangesOf(ctx context.Context, e Event) []any {
	changes := []any{}
	if e.Body == nil {
		return changes
	}
	source, _ := s.source(e.Source)
	parsed, err := intake.MapEvent(ctx, source, e)
	if err != nil || len(parsed.Invalid) > 0 {
		return changes
	}
	for _, c := range parsed.Changes {
		changes = append(changes, c)
	}
	return changes
}
