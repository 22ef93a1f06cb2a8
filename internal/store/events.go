package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Statuses of an event.
const (
	EventAccepted   = "accepted"   // durable, not applied yet
	EventApplied    = "applied"    // true of reservations or listings now
	EventSuperseded = "superseded" // older than what had been applied
	EventIgnored    = "ignored"    // of a type that means nothing here
	EventRejected   = "rejected"   // not valid; kept for its sender to mend
)

// Event is a row of the inbox.
type Event struct {
	EventID       uuid.UUID
	Seq           int64
	Source        string
	EventKey      *string
	Type          string
	Status        string
	Reason        *string
	ReservationID *string
	ListingID     *string
	OccurredAt    *time.Time
	ReceivedAt    time.Time
	AppliedAt     *time.Time
	Urgent        bool // a guest arrives soon: it is applied before what waits
	Body          []byte
}

const eventColumns = `event_id, seq, source, event_key, type, status, reason, reservation_id, listing_id,
	occurred_at, received_at, applied_at, urgent`

// Accepted is the fate of one event given to [Store.InsertEvents].
type Accepted struct {
	EventID   uuid.UUID
	Duplicate bool
}

// InsertEvents stores events in one statement, in one commit, and returns their fates in the same order. An
// event whose source and key are known is a duplicate, unless the known one was rejected: then that row is
// tried again with the new body. No two events of one call may have the same source and key.
func (s *Store) InsertEvents(ctx context.Context, events []Event) ([]Accepted, error) {
	// Rows are locked in one order, so that two replicas never wait for each other.
	order := make([]int, len(events))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(events[a].Source, events[b].Source), cmp.Compare(deref(events[a].EventKey), deref(events[b].EventKey)))
	})
	n := len(events)
	ids, sources, keys := make([]uuid.UUID, n), make([]string, n), make([]*string, n)
	types, statuses, reasons := make([]string, n), make([]string, n), make([]*string, n)
	reservations, listings := make([]*string, n), make([]*string, n)
	occurred, received, urgent, bodies := make([]*time.Time, n), make([]time.Time, n), make([]bool, n), make([][]byte, n)
	for at, i := range order {
		e := events[i]
		ids[at], sources[at], keys[at] = e.EventID, e.Source, e.EventKey
		types[at], statuses[at], reasons[at] = e.Type, e.Status, e.Reason
		reservations[at], listings[at] = e.ReservationID, e.ListingID
		occurred[at], received[at], urgent[at], bodies[at] = e.OccurredAt, e.ReceivedAt, e.Urgent, e.Body
	}
	rows, err := s.pool.Query(ctx, `
		INSERT INTO events (event_id, source, event_key, type, status, reason, reservation_id, listing_id, occurred_at, received_at, urgent, body)
		SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
			$9::timestamptz[], $10::timestamptz[], $11::boolean[], $12::bytea[])
		ON CONFLICT (source, event_key) WHERE event_key IS NOT NULL DO UPDATE SET
			seq = EXCLUDED.seq, type = EXCLUDED.type, status = EXCLUDED.status, reason = EXCLUDED.reason,
			reservation_id = EXCLUDED.reservation_id, listing_id = EXCLUDED.listing_id,
			occurred_at = EXCLUDED.occurred_at, received_at = EXCLUDED.received_at, urgent = EXCLUDED.urgent, body = EXCLUDED.body
		WHERE events.status = 'rejected'
		RETURNING event_id, source, event_key`,
		ids, sources, keys, types, statuses, reasons, reservations, listings, occurred, received, urgent, bodies)
	if err != nil {
		return nil, fmt.Errorf("insert %d events: %w", n, err)
	}
	type key struct{ source, key string }
	stored, unkeyed := map[key]uuid.UUID{}, map[uuid.UUID]bool{}
	var row struct {
		id     uuid.UUID
		source string
		key    *string
	}
	if _, err := pgx.ForEachRow(rows, []any{&row.id, &row.source, &row.key}, func() error {
		if row.key == nil {
			unkeyed[row.id] = true
		} else {
			stored[key{row.source, *row.key}] = row.id
		}
		return nil
	}); err != nil {
		return nil, fmt.Errorf("insert %d events: %w", n, err)
	}
	fates := make([]Accepted, n)
	var missing []int
	for i, e := range events {
		switch {
		case e.EventKey == nil:
			fates[i] = Accepted{EventID: e.EventID}
		default:
			id, ok := stored[key{e.Source, *e.EventKey}]
			if !ok {
				missing = append(missing, i)
				continue
			}
			fates[i] = Accepted{EventID: id}
		}
	}
	// The first statement's snapshot need not see what it collided with: ask again.
	for _, i := range missing {
		id, err := s.EventIDByKey(ctx, events[i].Source, *events[i].EventKey)
		if err != nil {
			return nil, err
		}
		fates[i] = Accepted{EventID: id, Duplicate: true}
	}
	return fates, nil
}

// EventIDByKey returns the id of the accepted or ignored event with that key, or [ErrNotFound].
func (s *Store) EventIDByKey(ctx context.Context, source, key string) (uuid.UUID, error) {
	var id uuid.UUID
	err := s.pool.QueryRow(ctx, `
		SELECT event_id FROM events WHERE source = $1 AND event_key = $2 AND status <> 'rejected'`, source, key).Scan(&id)
	return id, wrap(err, "find event %q of source %s", key, source)
}

// ClaimEvents locks the oldest accepted events, urgent ones first, at most limit, for the rest of the
// transaction. Concurrent appliers get different ones. They come in the order of receipt; that urgent ones have
// overtaken others changes nothing in the end, because each has its place in the order of its reservation.
func ClaimEvents(ctx context.Context, tx pgx.Tx, limit int) ([]Event, error) {
	var events []Event
	for _, which := range []string{"urgent", "NOT urgent"} {
		rows, _ := tx.Query(ctx, `
			SELECT `+eventColumns+`, body FROM events WHERE status = 'accepted' AND `+which+`
			ORDER BY seq LIMIT $1 FOR UPDATE SKIP LOCKED`, limit-len(events))
		some, err := pgx.CollectRows(rows, pgx.RowToStructByName[Event])
		if err != nil {
			return nil, wrap(err, "claim events")
		}
		if events = append(events, some...); len(events) == limit {
			break
		}
	}
	slices.SortFunc(events, func(a, b Event) int { return cmp.Compare(a.Seq, b.Seq) })
	return events, nil
}

// EventResult is what became of an event.
type EventResult struct {
	EventID uuid.UUID
	Status  string
	Reason  string
}

// FinishEvents writes the results of applied events.
func FinishEvents(ctx context.Context, tx pgx.Tx, results []EventResult, now time.Time) error {
	ids, statuses, reasons := make([]uuid.UUID, len(results)), make([]string, len(results)), make([]string, len(results))
	for i, r := range results {
		ids[i], statuses[i], reasons[i] = r.EventID, r.Status, r.Reason
	}
	_, err := tx.Exec(ctx, `
		UPDATE events e SET status = r.status, reason = nullif(r.reason, ''),
			applied_at = CASE WHEN r.status = 'applied' THEN $4::timestamptz END
		FROM unnest($1::uuid[], $2::text[], $3::text[]) AS r (event_id, status, reason)
		WHERE e.event_id = r.event_id`, ids, statuses, reasons, now)
	return wrap(err, "finish %d events", len(results))
}

// Event returns one event with its body.
func (s *Store) Event(ctx context.Context, id uuid.UUID) (Event, error) {
	rows, _ := s.pool.Query(ctx, `SELECT `+eventColumns+`, body FROM events WHERE event_id = $1`, id)
	e, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Event])
	return e, wrap(err, "event %s", id)
}

// ReplayEvent queues an event again at its old place in the order.
func (s *Store) ReplayEvent(ctx context.Context, id uuid.UUID) error {
	tag, err := s.pool.Exec(ctx, `UPDATE events SET status = 'accepted', reason = NULL, applied_at = NULL WHERE event_id = $1`, id)
	if err == nil && tag.RowsAffected() == 0 {
		err = ErrNotFound
	}
	return wrap(err, "replay event %s", id)
}

// EventFilter narrows a list of events; empty fields don't.
type EventFilter struct {
	Source, Status, Type, ReservationID, ListingID string
}

// Events lists events, newest receipt first, without bodies, from below the given place (0: the newest).
func (s *Store) Events(ctx context.Context, f EventFilter, below int64, limit int) ([]Event, error) {
	var w where
	w.equal("source", f.Source)
	w.equal("status", f.Status)
	w.equal("type", f.Type)
	w.equal("reservation_id", f.ReservationID)
	w.equal("listing_id", f.ListingID)
	if below > 0 {
		w.add("seq < %s", below)
	}
	rows, _ := s.pool.Query(ctx, `SELECT `+eventColumns+`, NULL::bytea AS body FROM events`+w.sql()+` ORDER BY seq DESC LIMIT `+w.arg(limit), w.args...)
	events, err := pgx.CollectRows(rows, pgx.RowToStructByName[Event])
	return events, wrap(err, "list events")
}

// Backlog returns how many events wait to be applied, at most 10,000, and since when the oldest does.
func (s *Store) Backlog(ctx context.Context) (n int, oldest *time.Time, err error) {
	err = s.pool.QueryRow(ctx, `
		SELECT least(count(*), 10000), min(received_at) FROM (
			(SELECT received_at FROM events WHERE status = 'accepted' AND urgent ORDER BY seq LIMIT 10000)
			UNION ALL (SELECT received_at FROM events WHERE status = 'accepted' AND NOT urgent ORDER BY seq LIMIT 10000)) e`).Scan(&n, &oldest)
	return n, oldest, wrap(err, "count the backlog")
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
