package store

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/stay"
)

// Kinds of timeline items.
const (
	TimelineEvent   = stay.TimelineEvent
	TimelineRequest = stay.TimelineRequest
	TimelineFetch   = stay.TimelineFetch
	TimelineStep    = stay.TimelineStep
	TimelineStatus  = stay.TimelineStatus
	TimelineAction  = stay.TimelineAction
)

// TimelineItem is one line of a reservation's history. It holds ids and results, never guest data.
type TimelineItem struct {
	ID      int64          // ascending: the order of the history
	At      time.Time      // when it happened
	Kind    string         // one of the Timeline constants
	Summary string         // one line, for people
	Detail  map[string]any // ids and results, for programs; nil for none
}

// Entry is a timeline item to be written.
type Entry struct {
	Ref
	At      time.Time      // when it happened
	Kind    string         // one of the Timeline constants
	Summary string         // one line, for people
	Detail  map[string]any // ids and results, for programs; nil for none
}

// QueueTimeline writes entries, in their order, as part of a batch.
func QueueTimeline(batch *pgx.Batch, entries []Entry) error {
	rows, err := newTimelineRows(entries)
	if err != nil {
		return err
	}
	rows.queue(batch)
	return nil
}

// queue appends the rows, if there are any.
func (r timelineRows) queue(batch *pgx.Batch) {
	if len(r.at) == 0 {
		return
	}
	batch.Queue(`
		INSERT INTO timeline (source, reservation_id, at, kind, summary, detail)
		SELECT source, reservation_id, at, kind, summary, detail::jsonb
		FROM unnest(@sources::text[], @ids::text[], @at::timestamptz[], @kinds::text[], @summaries::text[],
			@details::text[])
			WITH ORDINALITY AS n (source, reservation_id, at, kind, summary, detail, i) ORDER BY i`,
		pgx.StrictNamedArgs{
			"sources": r.sources, "ids": r.ids, "at": r.at, "kinds": r.kinds, "summaries": r.summaries,
			"details": r.details,
		})
}

// timelineRows are the columns of entries, for unnest.
type timelineRows struct {
	sources, ids, kinds, summaries, details []string
	at                                      []time.Time
}

func newTimelineRows(entries []Entry) (timelineRows, error) {
	n := len(entries)
	r := timelineRows{
		sources: make([]string, n), ids: make([]string, n), kinds: make([]string, n), summaries: make([]string, n),
		details: make([]string, n), at: make([]time.Time, n),
	}
	for i, e := range entries {
		r.sources[i], r.ids[i], r.at[i], r.kinds[i], r.summaries[i], r.details[i] = e.Source, e.ReservationID, e.At,
			e.Kind, Storable(e.Summary), "{}"
		if len(e.Detail) > 0 {
			encoded, err := json.Marshal(storableDetail(e.Detail))
			if err != nil {
				return r, wrap(err, "encode a timeline entry")
			}
			r.details[i] = string(encoded)
		}
	}
	return r, nil
}

// Timeline returns a reservation's history, newest first, from below the given id (0: the newest).
func (s Reservations) Timeline(ctx context.Context, ref Ref, below int64, limit int) ([]TimelineItem, error) {
	var w where
	w.equal("source", ref.Source)
	w.equal("reservation_id", ref.ReservationID)
	if below > 0 {
		w.add("id < %s", below)
	}
	rows, _ := s.pool.Query(ctx, `SELECT id, at, kind, summary, detail FROM timeline`+w.sql()+
		` ORDER BY id DESC LIMIT `+w.arg(limit), w.args...)
	items, err := pgx.CollectRows(rows, pgx.RowToStructByName[TimelineItem])
	return items, wrap(err, "timeline of %s/%s", ref.Source, ref.ReservationID)
}
