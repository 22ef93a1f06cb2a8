package store

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/stay"
)

// An event is one row in events, of which only retention changes anything (it removes the body). Rows in other tables
// say where the event is:
//
//	event_queue     accepted, to be applied (events with urgent guests first). A postponed one has not_before and tries
//	event_fetches   accepted, and waits for documents of the PMS, or has them (fetches.go)
//	event_results   settled: applied, superseded, ignored or rejected, with a reason
//
//	Events.Insert ─▶ event_queue ──▶ event_results ──▶ deleted by retention (retention.go)
//	                  │   ▲   ▲          │
//	                  ▼   │   └──────────┘ replay: the row is queued again, and event_replays keeps the first result
//	                event_fetches
//
// Only an applier that has claimed an event moves it, in the transaction that also writes what the event changed. A
// claim is a row lock (FOR UPDATE SKIP LOCKED), so the event of a process that dies is still in the queue.
//
// By file: event_inbox.go inserts, queue.go claims and settles, event_replays.go queues again, event_lists.go and
// event_timeline.go read.

// Statuses of an event.
const (
	EventAccepted   = stay.EventAccepted
	EventApplied    = stay.EventApplied
	EventSuperseded = stay.EventSuperseded
	EventIgnored    = stay.EventIgnored
	EventRejected   = stay.EventRejected
)

// Event is an event of the inbox: what was posted, and its result.
type Event struct {
	EventID       uuid.UUID  // given on receipt
	Seq           int64      // order of receipt; a rejected event that is sent again gets a new one
	Source        string     // the source's name
	EventKey      *string    // the sender's id; nil: it has none, and nothing is deduplicated
	Type          string     // as the PMS names it, or the canonical type
	Status        string     // one of the Event constants
	Reason        *string    // why it has that status; nil for none
	ReservationID *string    // that it is about; nil: none, or not known yet
	ListingID     *string    // that it is about; nil: none, or not known yet
	OccurredAt    *time.Time // the envelope's timestamp; nil: the PMS sends none
	ReceivedAt    time.Time  // by our clock
	AppliedAt     *time.Time // when it got its result; nil while it waits
	Urgent        bool       // a guest arrives soon: it is applied before what waits
	Body          []byte     // nil where it was not asked for, or retention has removed it
	Request       []byte     // JSON of what surrounded the body; nil for the canonical format
	Documents     []byte     // JSON of the PMS's documents that were fetched for it; nil for none
	Tries         int        // how often it was put back into the queue
	AppliedBefore bool       // something of it was applied before its documents were there
	Detail        []byte     // JSON of an EventNotes; nil for none
	Replays

	// QueuedAt is when it was queued last, by Postgres' clock; only of claimed events.
	QueuedAt time.Time `db:"-"`
	// AlsoAbout are the reservations that it is about besides ReservationID; only to be written.
	AlsoAbout []string `db:"-"`
}

// EventNotes are what could not be read of an event that was understood otherwise.
type EventNotes struct {
	Notes    []FieldNote    `json:"notes,omitempty"`    // fields that were dropped
	Rejected []RejectedItem `json:"rejected,omitempty"` // items that were left out
}

// ReadNotes are the notes of an event's row.
func (e Event) ReadNotes() EventNotes {
	var n EventNotes
	_ = json.Unmarshal(e.Detail, &n) // written by intake: anything else is none
	return n
}

// FieldNote is a field that could not be read and was dropped. It never quotes the value.
type FieldNote struct {
	Field         string `json:"field"`                    // the path of the field in the payload
	Problem       string `json:"problem"`                  // why it could not be read
	ReservationID string `json:"reservation_id,omitempty"` // "" if it is not about one
	ListingID     string `json:"listing_id,omitempty"`     // "" if it is not about one
}

// RejectedItem is an item of an event that could not be read.
type RejectedItem struct {
	Where         string      `json:"where"`                    // the path of the item in the payload
	ReservationID string      `json:"reservation_id,omitempty"` // "" if it could not be read
	ListingID     string      `json:"listing_id,omitempty"`     // "" if it could not be read
	Errors        []FieldNote `json:"errors"`                   // at least one
}

// Replays describe an event that was replayed. Status is the event's result: applied once it has been
// applied, at first or by a replay, and otherwise the last result. AppliedAt is the first time.
type Replays struct {
	Replay       bool       // it is queued to be applied again
	ReplayedAt   *time.Time // the last time
	ReplayStatus *string    // what came of that
	ReplayReason *string    // why; nil for none
	FirstStatus  *string    // the result before the first replay
	FirstReason  *string    // like FirstStatus
}

// noReplays are the columns of events that are not known to have been replayed.
const noReplays = `false AS replay, NULL::timestamptz AS replayed_at, NULL::text AS replay_status,
	NULL::text AS replay_reason, NULL::text AS first_status, NULL::text AS first_reason`

// putBackReason is why an event of the queue q waits though it had its turn.
const putBackReason = `CASE WHEN q.not_before IS NOT NULL THEN 'it could not be applied yet, in ' ||
	greatest(q.tries, 1) || ' tries: its subject is locked or takes too long; retried automatically' END`

// Get returns one event with its body, or [ErrNotFound].
func (s Events) Get(ctx context.Context, id uuid.UUID) (Event, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT e.event_id, e.seq, e.source, e.event_key, coalesce(r.type, e.type) AS type,
			coalesce(r.status, 'accepted') AS status,
			coalesce(r.reason, f.reason, `+putBackReason+`) AS reason,
			coalesce(r.reservation_id, f.reservation_ids[1], e.reservation_id) AS reservation_id,
			coalesce(r.listing_id, e.listing_id) AS listing_id,
			e.occurred_at, e.received_at, coalesce(r.applied_at, p.applied_at) AS applied_at,
				coalesce(q.urgent, false) AS urgent, e.body, e.request, f.documents,
			p.event_id IS NOT NULL AS replay, r.replayed_at, r.replay_status, r.replay_reason,
			coalesce(r.first_status, p.first_status, p.status) AS first_status, coalesce(r.first_reason, p.first_reason,
				p.reason) AS first_reason,
			coalesce(q.tries, 0) AS tries, coalesce(f.applied, false) AS applied_before, r.detail
		FROM events e LEFT JOIN event_queue q USING (seq) LEFT JOIN event_results r USING (seq) LEFT
			JOIN event_fetches f ON f.event_id = e.event_id
			LEFT JOIN event_replays p ON p.event_id = e.event_id
		WHERE e.event_id = $1 AND (q.seq IS NOT NULL OR r.seq IS NOT NULL OR f.seq IS NOT NULL)`, id)
	e, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Event])
	return e, wrap(err, "event %s", id)
}
