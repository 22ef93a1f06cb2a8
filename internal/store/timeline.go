package store

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"
)

// Kinds of timeline items.
const (
	TimelineEvent   = "event"        // something a PMS posted
	TimelineRequest = "seam_request" // one request to Seam
	TimelineStep    = "step"         // something decided without a request of its own
	TimelineStatus  = "status"       // the mobile key's status changed
	TimelineAction  = "action"       // an admin did something
)

// TimelineItem is one line of a reservation's story. It holds ids and results, never guest data.
type TimelineItem struct {
	ID      int64
	At      time.Time
	Kind    string
	Summary string
	Detail  map[string]any
}

// Entry is a timeline item to be written.
type Entry struct {
	Ref
	At      time.Time
	Kind    string
	Summary string
	Detail  map[string]any
}

// AddToTimeline writes entries in their order.
func AddToTimeline(ctx context.Context, tx pgx.Tx, entries []Entry) error {
	if len(entries) == 0 {
		return nil
	}
	rows := make([][]any, len(entries))
	for i, e := range entries {
		detail := e.Detail
		if detail == nil {
			detail = map[string]any{}
		}
		encoded, err := json.Marshal(detail)
		if err != nil {
			return wrap(err, "encode a timeline entry")
		}
		rows[i] = []any{e.Source, e.ReservationID, e.At, e.Kind, e.Summary, encoded}
	}
	_, err := tx.CopyFrom(ctx, pgx.Identifier{"timeline"},
		[]string{"source", "reservation_id", "at", "kind", "summary", "detail"}, pgx.CopyFromRows(rows))
	return wrap(err, "write %d timeline entries", len(entries))
}

// Timeline returns a reservation's story, newest first, from below the given id (0: the newest).
func (s *Store) Timeline(ctx context.Context, ref Ref, below int64, limit int) ([]TimelineItem, error) {
	var w where
	w.equal("source", ref.Source)
	w.equal("reservation_id", ref.ReservationID)
	if below > 0 {
		w.add("id < %s", below)
	}
	rows, _ := s.pool.Query(ctx, `SELECT id, at, kind, summary, detail FROM timeline`+w.sql()+` ORDER BY id DESC LIMIT `+w.arg(limit), w.args...)
	items, err := pgx.CollectRows(rows, pgx.RowToStructByName[TimelineItem])
	return items, wrap(err, "timeline of %s/%s", ref.Source, ref.ReservationID)
}
