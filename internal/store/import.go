package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/stay"
)

// Import is [Events.Insert] with an entry of the audit log for those that are new.
func (s Events) Import(ctx context.Context, events []Event, audit Audit, now time.Time) ([]Accepted, error) {
	accepted, err := s.Insert(ctx, events)
	if err != nil {
		return nil, err
	}
	fresh := 0
	for _, a := range accepted {
		if !a.Duplicate {
			fresh++
		}
	}
	if fresh == 0 {
		return accepted, nil
	}
	audit.At, audit.Source, audit.After = now, &events[0].Source, map[string]any{"events": fresh}
	var b pgx.Batch
	if err := QueueAudit(&b, audit); err != nil {
		return nil, err
	}
	return accepted, wrap(s.pool.SendBatch(ctx, &b).Close(), "write the audit log")
}

// Result is the result of an event.
type Result struct {
	Status string // one of the Event constants
	Reason string // "" for none
}

// ResultsOf returns the results of those events that are settled.
func (s Events) ResultsOf(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]Result, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT e.event_id, r.status, coalesce(r.reason, '') FROM events e JOIN event_results r USING (seq)
			WHERE e.event_id = ANY ($1)`, ids)
	found := map[uuid.UUID]Result{}
	var id uuid.UUID
	var r Result
	_, err := pgx.ForEachRow(rows, []any{&id, &r.Status, &r.Reason}, func() error { found[id] = r; return nil })
	return found, wrap(err, "read the results of %d events", len(ids))
}

// KnownKeys returns which of the keys of events of one source are known, but for those of rejected events.
func (s Events) KnownKeys(ctx context.Context, events []Event) (map[string]bool, error) {
	known := map[string]bool{}
	keys := make([]string, len(events))
	for i, e := range events {
		keys[i] = stay.Text(e.EventKey)
	}
	if len(events) == 0 {
		return known, nil
	}
	rows, _ := s.pool.Query(ctx, `SELECT event_key FROM events WHERE source = $1 AND event_key = ANY ($2)
		AND NOT rejected`, events[0].Source, keys)
	var key string
	_, err := pgx.ForEachRow(rows, []any{&key}, func() error { known[key] = true; return nil })
	return known, wrap(err, "look for events that are known")
}
