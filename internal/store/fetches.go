package store

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// An event whose documents are missing leaves the queue and has a row in event_fetches. Who moves it, and where to:
//
//	queue ── AwaitDocuments (applier) ──▶ waiting ── Fetched (fetcher) ──▶ queue, in its old position
//	  ▲                                    │    ▲
//	  │                                    │    └── Note, Hold: why it still waits
//	  └── ForgetDocuments (applier): the   └── GiveUp (fetcher) ──▶ settled: rejected, or applied if a part of it was
//	      documents can't be trusted yet,
//	      and the event waits again
//
// The row of a settled event stays while its documents are fetched once more; that look replaces the result.

// Fetches are events that wait for documents which their PMS only names.
type Fetches struct{ *db }

// ReasonNeedsFetch is why an event waits if its source doesn't configure how to fetch its documents.
const ReasonNeedsFetch = "needs_fetch"

// EventFetch is an event that waits for documents of its PMS.
type EventFetch struct {
	EventID  uuid.UUID  // of the event
	Seq      int64      // its place in the order of events
	Source   string     // the source's name
	Attempts int        // jobs that tried so far
	AskedAt  *time.Time // when the PMS was first asked; nil: not yet
	Tries    []Try      // the last requests, oldest first
	Urgent   bool       // a guest arrives soon
	Body     []byte     // of the webhook
	Request  []byte     // as in [Event]

	ReservationIDs []string // that it is about, if its webhook names them
}

// Since is how long the PMS has been asked for.
func (e EventFetch) Since(now time.Time) time.Duration {
	if e.AskedAt == nil {
		return 0
	}
	return now.Sub(*e.AskedAt)
}

// Try is one request for a document, or the last of several for the same one.
type Try struct {
	At         time.Time `json:"at"`               // when the request was sent; of several, the last
	First      time.Time `json:"first,omitzero"`   // of several
	Attempt    int       `json:"attempt"`          // how many there were
	Document   string    `json:"document"`         // kind and ids
	DurationMS int64     `json:"duration_ms"`      // milliseconds until the answer, or until it failed
	Status     int       `json:"status,omitempty"` // of HTTP; 0 where there was no answer
	Error      string    `json:"error,omitempty"`  // why it failed, without guest data; "" if it didn't
}

// mostTries bounds the documents of one event whose requests are recorded separately.
const mostTries = 20

// Note adds a request to those of the event: one entry per document, however often it was asked for.
func (e *EventFetch) Note(t Try) {
	t.Attempt = 1
	at := slices.IndexFunc(e.Tries, func(known Try) bool { return known.Document == t.Document })
	if at < 0 && len(e.Tries) >= mostTries {
		at = len(e.Tries) - 1
		t.Document = "others"
	}
	if at < 0 {
		e.Tries = append(e.Tries, t)
		return
	}
	known := e.Tries[at]
	t.Attempt, t.First = known.Attempt+1, known.First
	if t.First.IsZero() {
		t.First = known.At
	}
	e.Tries[at] = t
}

// Awaiting is a claimed event that waits for documents.
type Awaiting struct {
	Event   Event           // as it was accepted
	Wants   json.RawMessage // which documents to fetch, as package fetch encodes them
	Reason  string          // that the inbox shows; "" for none
	Applied bool            // part of the event was applied already

	BookingIDs []string // of the PMS, that the documents are about
}

// AwaitDocuments takes claimed events out of the queue until their documents arrive. They are about the reservations of
// their bookings, as far as those exist.
func AwaitDocuments(batch *pgx.Batch, events []Awaiting, now time.Time) {
	if len(events) == 0 {
		return
	}
	n := len(events)
	ids, seqs, applied := make([][16]byte, n), make([]int64, n), make([]bool, n)
	sources, wanted, reasons, bookings := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	for i, a := range events {
		ids[i], seqs[i], sources[i], applied[i] = a.Event.EventID, a.Event.Seq, a.Event.Source, a.Applied
		about, _ := json.Marshal(a.BookingIDs) // only texts: it can't fail
		wanted[i], reasons[i], bookings[i] = string(a.Wants), a.Reason, string(about)
	}

	batch.Queue(`
		WITH named AS (
			SELECT n.event_id,
				array_agg(coalesce(r.reservation_id, b.id) ORDER BY b.at, r.reservation_id COLLATE "C") AS ids
			FROM unnest(@ids::uuid[], @sources::text[], @bookings::text[]) AS n (event_id, source, bookings)
			CROSS JOIN LATERAL jsonb_array_elements_text(nullif(n.bookings, 'null')::jsonb)
				WITH ORDINALITY AS b (id, at)
			LEFT JOIN LATERAL (
				SELECT r.reservation_id FROM reservations r WHERE r.source = n.source AND r.booking_id = b.id
				UNION SELECT r.reservation_id FROM reservations r WHERE r.source = n.source
					AND r.reservation_id = b.id) r
				ON true
			GROUP BY n.event_id),
		begun AS (
			INSERT INTO event_fetches (event_id, seq, source, wants, reason, applied, created_at, reservation_ids)
			SELECT n.event_id, seq, source, wants::jsonb, nullif(reason, ''), applied, @now, named.ids
			FROM unnest(@ids::uuid[], @seqs::bigint[], @sources::text[], @wants::text[], @reasons::text[],
				@applied::boolean[])
				AS n (event_id, seq, source, wants, reason, applied) LEFT JOIN named USING (event_id)
			ON CONFLICT (event_id) DO UPDATE SET seq = excluded.seq, wants = excluded.wants, reason = excluded.reason,
				applied = excluded.applied, documents = NULL, attempts = 0, asked_at = NULL, tries = '[]',
				reservation_ids = excluded.reservation_ids
			RETURNING event_id, source, reason, reservation_ids)`+noteWaiting+` WHERE b.reason IS NOT NULL`,
		pgx.StrictNamedArgs{
			"ids": ids, "seqs": seqs, "sources": sources, "wants": wanted, "reasons": reasons,
			"applied": applied, "now": now, "bookings": bookings,
		})
}

// ForgetDocuments makes a claimed event wait for its documents once more: those that arrived can't be trusted yet.
// The reason is what the inbox shows; applied reports that part of the event was applied. A settled event has its
// result, and keeps it until the documents are there: then it is applied once more.
func ForgetDocuments(ctx context.Context, tx pgx.Tx, id uuid.UUID, applied, settled bool, reason string) error {
	_, err := tx.Exec(ctx, `
		UPDATE event_fetches SET documents = NULL, reason = $2, applied = applied OR $3 OR $4,
			tries = CASE WHEN $4 THEN '[]' ELSE tries END, asked_at = CASE WHEN $4 THEN NULL ELSE asked_at END,
			attempts = CASE WHEN $4 THEN 0 ELSE attempts END
		WHERE event_id = $1`, id, reason, applied, settled)
	return wrap(err, "let event %s wait for its documents again", id)
}

// Get returns an event that waits for documents; [ErrNotFound] once it doesn't.
func (s Fetches) Get(ctx context.Context, id uuid.UUID) (EventFetch, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT f.event_id, f.seq, f.source, f.attempts, f.asked_at, f.tries, e.urgent, e.body, e.request,
			coalesce(f.reservation_ids, '{}') AS reservation_ids
		FROM event_fetches f JOIN events e USING (event_id) WHERE f.event_id = $1 AND f.documents IS NULL
			AND e.body IS NOT NULL`, id)
	f, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[EventFetch])
	return f, wrap(err, "event %s to fetch for", id)
}

// Hold records why an event waits although nothing was requested for it: its source is paused.
func (s Fetches) Hold(ctx context.Context, id uuid.UUID, reason string) error {
	_, err := s.pool.Exec(ctx, `
		WITH known AS (SELECT event_id, reason FROM event_fetches WHERE event_id = $1),
			begun AS (
				UPDATE event_fetches f SET reason = $2,
					asked_at = CASE WHEN $2 = '`+ReasonNeedsFetch+`' THEN asked_at ELSE coalesce(asked_at, now()) END
				FROM known WHERE f.event_id = known.event_id AND documents IS NULL
					AND (f.reason IS DISTINCT FROM $2 OR asked_at IS NULL)
				RETURNING f.event_id, f.source, f.reason, f.reservation_ids, known.reason AS before)`+
		noteWaiting+` WHERE b.before IS NULL`, id, reason)
	return wrap(err, "note what event %s waits for", id)
}

// Note records the requests for an event after an attempt that has not brought all documents, and why.
func (s Fetches) Note(ctx context.Context, id uuid.UUID, tries []Try, reason string) error {
	encoded, err := json.Marshal(tries)
	if err != nil {
		return wrap(err, "encode requests")
	}
	_, err = s.pool.Exec(ctx, `
		WITH known AS (SELECT event_id, reason FROM event_fetches WHERE event_id = $1),
			begun AS (
				UPDATE event_fetches f SET attempts = attempts + 1, asked_at = coalesce(asked_at, now()),
					tries = $2::jsonb,
					reason = $3
				FROM known WHERE f.event_id = known.event_id AND documents IS NULL
				RETURNING f.event_id, f.source, f.reason, f.reservation_ids, known.reason AS before)`+
		noteWaiting+` WHERE b.before IS NULL`, id, encoded, reason)
	return wrap(err, "note an attempt to fetch for event %s", id)
}

// Fetched stores the documents of an event and queues it, in its old position. Where it has a result, that is
// replaced by the next one.
func (s Fetches) Fetched(ctx context.Context, e EventFetch, documents json.RawMessage) error {
	encoded, err := json.Marshal(e.Tries)
	if err != nil {
		return wrap(err, "encode requests")
	}
	_, err = s.pool.Exec(ctx, `
		WITH done AS (
			UPDATE event_fetches SET attempts = attempts + 1, tries = $2::jsonb, documents = $3, reason = NULL
			WHERE event_id = $1 AND documents IS NULL RETURNING event_id, seq, reservation_ids),
			settled AS (DELETE FROM event_results r USING done d WHERE r.seq = d.seq)
		INSERT INTO event_queue (seq, event_id, source, type, reservation_id, listing_id, urgent, bytes)
		SELECT d.seq, d.event_id, e.source, e.type, coalesce(d.reservation_ids[1], e.reservation_id), e.listing_id, $5,
			octet_length(e.body) + $4
		FROM done d JOIN events e USING (event_id)`, e.EventID, encoded, []byte(documents), len(documents), e.Urgent)
	return wrap(err, "keep what was fetched for event %s", e.EventID)
}

// Tries returns the requests that were made for claimed events, by event.
func Tries(ctx context.Context, tx pgx.Tx, ids []uuid.UUID) (map[uuid.UUID][]Try, error) {
	rows, _ := tx.Query(ctx, `SELECT event_id, tries FROM event_fetches WHERE event_id = ANY ($1)`, ids)
	tries := map[uuid.UUID][]Try{}
	var id uuid.UUID
	var list []Try
	_, err := pgx.ForEachRow(rows, []any{&id, &list}, func() error {
		tries[id] = list
		list = nil
		return nil
	})
	return tries, wrap(err, "read the requests for documents")
}

// givenUp is a statement that settles events whose documents will not come: what a WITH query named "gone" has
// taken out of event_fetches (event_id, seq, applied, reservation_ids). An event of which something was applied before,
// most often a cancel, stays applied, and one that has a result keeps it.
const givenUp = `
	INSERT INTO event_results (seq, event_id, source, type, status, reason, reservation_id, also_about, listing_id,
		occurred_at, received_at, applied_at)
	SELECT g.seq, g.event_id, e.source, e.type, CASE WHEN g.applied THEN 'applied' ELSE 'rejected' END,
		CASE WHEN g.applied THEN 'applied, except for the rest: ' ELSE '' END || @reason,
		coalesce(g.reservation_ids[1], e.reservation_id), nullif(g.reservation_ids[2:], '{}'), e.listing_id,
		e.occurred_at, e.received_at, CASE WHEN g.applied THEN now() END
	FROM gone g JOIN events e USING (event_id)
	WHERE NOT EXISTS (SELECT FROM event_results r WHERE r.seq = g.seq) RETURNING event_id, seq, status`

// GiveUp settles an event whose documents can't be fetched: it is rejected, or stays partly applied.
// It can be replayed.
func (s Fetches) GiveUp(ctx context.Context, id uuid.UUID, reason string) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		var event uuid.UUID
		var seq int64
		var status string
		err := tx.QueryRow(ctx, `
			WITH gone AS (DELETE FROM event_fetches WHERE event_id = @id AND documents IS NULL
				RETURNING event_id, seq, applied, reservation_ids)`+givenUp,
			pgx.StrictNamedArgs{"id": id, "reason": reason}).Scan(&event, &seq, &status)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil // they have come meanwhile, or the event is gone, or settled
		}
		if err != nil {
			return err
		}
		if _, err = tx.Exec(ctx, `UPDATE events SET rejected = $2 WHERE event_id = $1`, id,
			status == EventRejected); err != nil {
			return err
		}
		if _, err = tx.Exec(ctx, settleReplays, []uuid.UUID{id}); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, noteResults+`t.seq = $1`, seq)
		return err
	})
	return wrap(err, "give up fetching for event %s", id)
}

// Waiting returns the events of a source that wait for documents, oldest first, from after a position.
func (s Fetches) Waiting(ctx context.Context, source string, after int64, limit int) ([]EventFetch, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT event_id, seq, source, attempts, asked_at, NULL::jsonb AS tries, false AS urgent, NULL::bytea AS body,
			NULL::jsonb AS request, NULL::text[] AS reservation_ids FROM event_fetches
		WHERE source = $1 AND documents IS NULL AND seq > $2 ORDER BY seq LIMIT $3`, source, after, limit)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[EventFetch])
	return list, wrap(err, "list events of source %s that wait for documents", source)
}

// CountAwaiting returns how many events wait for documents of their PMS, at most 10,000.
func (s Fetches) CountAwaiting(ctx context.Context) (n int, err error) {
	err = s.pool.QueryRow(ctx, `SELECT count(*) FROM (SELECT FROM event_fetches WHERE documents IS NULL
		LIMIT 10000) f`).Scan(&n)
	return n, wrap(err, "count events that wait for documents")
}
