package admin

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
)

// replayAtMost bounds one replay by filter: each of a dry run's events is locked with what it is about.
const replayAtMost = 500

// ReplayRequest says which events should be applied again.
type ReplayRequest struct {
	EventIDs      []string `json:"event_ids,omitempty" minItems:"1" maxItems:"500" doc:"Replay exactly these events. Can't be combined with filters or cursor."`
	Source        string   `json:"source,omitempty" example:"default"`
	Status        string   `json:"status,omitempty" enum:"applied,superseded,ignored,rejected" example:"rejected"`
	Type          string   `json:"type,omitempty" example:"reservation.created"`
	ReservationID string   `json:"reservation_id,omitempty" example:"3333122-433"`
	ListingID     string   `json:"listing_id,omitempty"`
	DryRun        bool     `json:"dry_run,omitempty" doc:"Only report what would change."`
	Limit         int      `json:"limit,omitempty" minimum:"1" maximum:"500" default:"500" doc:"Maximum number of events, newest first."`
	Cursor        string   `json:"cursor,omitempty" doc:"next_cursor of the previous answer, for older events."`
	Author        string   `json:"author,omitempty" maxLength:"100" doc:"Person who uses the token, if several people share it."`
}

// Replayed is the result of a replay.
type Replayed struct {
	Events      []Event      // that are applied again, or, of a dry run, would be
	Differences []Difference // of a dry run: what all of them together would change
	Next        string       // the cursor for older events; "" if there are no more
}

// ReplayOne applies one event again. An event that waits to be applied is left to that.
func (s Events) ReplayOne(ctx context.Context, id string) (Event, error) {
	e, err := s.Get(ctx, id)
	if err != nil {
		return Event{}, err
	}
	if e.Status != stay.EventAccepted {
		done, err := s.intake.Replay(ctx, []Event{e}, ActorOf(ctx).Audit(auditReplay, ""))
		switch {
		case err != nil:
			return Event{}, notFound(err, noEvent)
		case len(done) == 0 && e.Body == nil:
			return Event{}, refuse(Conflict,
				"the event can't be replayed, because the retention policy deleted its body (STAYKEY_RETAIN_BODIES)")
		}
	}
	e.Status, e.Reason = stay.EventAccepted, nil
	return e, nil
}

// Replay applies events again, or finds out what that would change.
func (s Events) Replay(ctx context.Context, in ReplayRequest) (Replayed, error) {
	events, next, err := s.toReplay(ctx, in)
	if err != nil {
		return Replayed{}, err
	}
	if in.DryRun {
		preview, err := s.intake.PreviewReplay(ctx, events)
		return Replayed{preview.Events, preview.Differences, next}, err
	}
	done, err := s.intake.Replay(ctx, events, ActorOf(ctx).Audit(auditReplay, plainText(in.Author)))
	return Replayed{Events: done, Next: next}, err
}

// ReplayDone returns what a replay with an Idempotency-Key has done whose answer was lost: its events as they are now.
func (s Events) ReplayDone(ctx context.Context, in ReplayRequest) (Replayed, error) {
	entries, err := s.store.Audit.OfRequest(ctx, ActorOf(ctx).RequestKey)
	if err != nil {
		return Replayed{}, err
	}

	var done Replayed
	oldest := int64(math.MaxInt64)
	for _, entry := range entries {
		ids, _ := entry.After["event_ids"].(string)
		for id := range strings.FieldsSeq(ids) {
			e, err := s.Get(ctx, id)
			if _, gone := IsRefusal(err); gone {
				continue // by retention
			}
			if err != nil {
				return Replayed{}, err
			}
			done.Events, oldest = append(done.Events, e), min(oldest, e.Seq)
		}
	}

	slices.SortFunc(done.Events, func(a, b Event) int { return cmp.Compare(b.Seq, a.Seq) })
	if in.EventIDs != nil || len(done.Events) == 0 {
		return done, nil
	}
	done.Next, err = s.olderThan(ctx, in.query(), oldest)
	return done, err
}

// olderThan is the cursor of a replay's events that are older than one of them; "" if there are none.
func (s Events) olderThan(ctx context.Context, q EventQuery, seq int64) (string, error) {
	q.Paging = Paging{}
	older, err := s.store.Events.List(ctx, q.filter(ctx), seq, 1)
	if err != nil || len(older) == 0 {
		return "", err
	}
	return s.sealCursor(listName(replayList, q), seq), nil
}

// replayList is the name of the list that replays go through.
const replayList = "replay"

// query are the request's filters.
func (in ReplayRequest) query() EventQuery {
	return EventQuery{
		Paging: Paging{Limit: in.Limit, Cursor: in.Cursor},
		Source: only(in.Source), Status: only(in.Status), Type: only(in.Type), ReservationID: in.ReservationID,
		ListingID: in.ListingID,
	}
}

// check returns what is wrong with the request's fields.
func (in ReplayRequest) check() error {
	for field, text := range map[string]string{
		"source": in.Source, "type": in.Type, "reservation_id": in.ReservationID,
		"listing_id": in.ListingID,
	} {
		if !pms.IsText(text) {
			return InvalidField(field, "must be UTF-8 text without NUL")
		}
	}

	narrowed := in.query().Narrowed()
	if in.EventIDs != nil && (narrowed || in.Cursor != "") {
		return InvalidField("event_ids", "can't be combined with filters or a cursor")
	}
	if in.EventIDs == nil && !narrowed {
		return InvalidField("status",
			"set at least one of source, status, type, reservation_id, listing_id or event_ids")
	}
	return nil
}

// toReplay returns the events that the request selects, and the cursor for those after them.
func (s Events) toReplay(ctx context.Context, in ReplayRequest) (events []Event, next string, err error) {
	if err := in.check(); err != nil {
		return nil, "", err
	}
	if in.EventIDs != nil {
		events, err = s.named(ctx, in.EventIDs)
		return events, "", err
	}

	q := in.query()
	if q.Limit <= 0 || q.Limit > replayAtMost {
		q.Limit = replayAtMost
	}
	found, err := s.list(ctx, replayList, q)
	if refusal, is := IsRefusal(err); is {
		refusal.Fields[0].Field = "cursor" // it is in the body
		return nil, "", refusal
	}
	if err != nil {
		return nil, "", err
	}
	for _, e := range found.Items {
		if e.Status != stay.EventAccepted { // it will be applied anyway
			events = append(events, e)
		}
	}
	return events, found.Next, nil
}

// named returns the events with these ids, each once however often it is named.
func (s Events) named(ctx context.Context, ids []string) (events []Event, err error) {
	if len(ids) == 0 {
		return nil, InvalidField("event_ids", "is empty: leave it out to select events by filters")
	}
	for i, id := range ids {
		e, err := s.Get(ctx, id)
		if refusal, is := IsRefusal(err); is && refusal.Kind == NotFound {
			return nil, InvalidField("event_ids["+strconv.Itoa(i)+"]", noEvent)
		}
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(events, func(named Event) bool { return named.EventID == e.EventID }) {
			events = append(events, e)
		}
	}
	return events, nil
}
