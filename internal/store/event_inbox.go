package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/stay"
)

// This file stores events, and recognizes repeated ones; events.go shows where the row of an event may be in its life.
// What a webhook's handler has settled already, such as a test event, gets its result at once. The same key after a
// rejection queues the event again (tryAgain).
//
// An event is recognized by its source and key. Sorting by key lets two replicas insert the same events without waiting
// for each other in a circle.

// Events is the inbox: every event that was accepted, until it is applied or set aside, and afterwards its result.
// Webhooks and imports insert events; [ClaimEvents] and [FinishEvents] begin and end applying them, in a caller's
// transaction.
type Events struct{ *db }

// Accepted is the result for one event given to [Events.Insert].
type Accepted struct {
	EventID   uuid.UUID // of the event, or of the known one that it repeats
	Duplicate bool      // the same event key was accepted before
}

// eventRows are the columns of many events, for unnest. Ids and keys are never empty: "" stands for null.
type eventRows struct {
	ids                                                             [][16]byte
	sources, keys, types, statuses, reasons, reservations, listings []string
	occurred                                                        []*time.Time
	received                                                        []time.Time
	urgent, rejected                                                []bool
	bodies, requests                                                [][]byte
}

func newEventRows(events []Event) eventRows {
	n := len(events)
	texts := make([]string, 7*n)
	r := eventRows{
		ids: make([][16]byte, n), sources: texts[:n], keys: texts[n : 2*n], types: texts[2*n : 3*n],
		statuses: texts[3*n : 4*n],
		reasons:  texts[4*n : 5*n], reservations: texts[5*n : 6*n], listings: texts[6*n:], occurred: make([]*time.Time,
			n),
		received: make([]time.Time, n), urgent: make([]bool, n), rejected: make([]bool, n), bodies: make([][]byte,
			n), requests: make([][]byte, n),
	}
	for i, e := range events {
		r.ids[i], r.sources[i], r.keys[i], r.types[i], r.statuses[i] = e.EventID, e.Source,
			stay.Text(e.EventKey), e.Type, e.Status
		r.reasons[i], r.reservations[i] = stay.Text(e.Reason), stay.Text(e.ReservationID)
		r.listings[i] = stay.Text(e.ListingID)
		r.occurred[i], r.received[i], r.urgent[i], r.rejected[i], r.bodies[i] = e.OccurredAt, e.ReceivedAt, e.Urgent,
			e.Status == EventRejected, e.Body
		r.requests[i] = e.Request
	}
	return r
}

// Statements of [Events.Insert]. What they don't return existed before, by its key.
const (
	storeEvents = `
		INSERT INTO events (event_id, source, event_key, type, reservation_id, listing_id, urgent, rejected,
			occurred_at, received_at, body, request)
		SELECT event_id, source, nullif(event_key, ''), type, nullif(reservation_id, ''), nullif(listing_id, ''),
			urgent, rejected, occurred_at, received_at, body, request
		FROM unnest(@ids::uuid[], @sources::text[], @keys::text[], @types::text[], @reservations::text[],
			@listings::text[], @urgent::boolean[], @rejected::boolean[], @occurred::timestamptz[],
			@received::timestamptz[], @bodies::bytea[], @requests::jsonb[])
			AS n (event_id, source, event_key, type, reservation_id, listing_id, urgent, rejected, occurred_at,
				received_at, body, request)
		ON CONFLICT (source, event_key) WHERE event_key IS NOT NULL DO NOTHING
		RETURNING seq, event_id, source, type, reservation_id, listing_id, urgent, occurred_at, received_at,
			octet_length(body) AS bytes`
	insertWaiting = `
		WITH stored AS (` + storeEvents + `)
		INSERT INTO event_queue (seq, event_id, source, type, reservation_id, listing_id, urgent, bytes)
		SELECT seq, event_id, source, type, reservation_id, listing_id, urgent, bytes FROM stored RETURNING event_id`
	insertSettled = `
		WITH stored AS (` + storeEvents + `)
		INSERT INTO event_results (seq, event_id, source, type, status, reason, reservation_id, listing_id, occurred_at,
			received_at)
		SELECT s.seq, s.event_id, s.source, s.type, n.status, nullif(n.reason, ''), s.reservation_id, s.listing_id,
			s.occurred_at, s.received_at
		FROM stored s JOIN unnest(@ids::uuid[], @statuses::text[], @reasons::text[]) AS n (event_id, status, reason)
			USING (event_id)
		RETURNING event_id`
)

// waiting are the arguments of insertWaiting.
func (r eventRows) waiting() pgx.StrictNamedArgs {
	return pgx.StrictNamedArgs{
		"ids": r.ids, "sources": r.sources, "keys": r.keys, "types": r.types, "reservations": r.reservations,
		"listings": r.listings, "urgent": r.urgent, "rejected": r.rejected, "occurred": r.occurred,
		"received": r.received, "bodies": r.bodies, "requests": r.requests,
	}
}

// settled are the arguments of insertSettled.
func (r eventRows) settled() pgx.StrictNamedArgs {
	args := r.waiting()
	args["statuses"], args["reasons"] = r.statuses, r.reasons
	return args
}

// Insert stores events in one commit, and returns their results in the same order. An event whose source and
// key are known is a duplicate, unless the known one was rejected: then that one is tried again with the new body. No
// two events of one call may have the same source and key.
func (s Events) Insert(ctx context.Context, events []Event) ([]Accepted, error) {
	fresh := make(map[uuid.UUID]bool, len(events))
	note := func(rows pgx.Rows) error {
		var id uuid.UUID
		_, err := pgx.ForEachRow(rows, []any{&id}, func() error { fresh[id] = true; return nil })
		return err
	}

	var batch pgx.Batch // one round trip, and one transaction
	waiting, settled := splitEvents(events)
	if len(waiting) > 0 {
		batch.Queue(insertWaiting, newEventRows(waiting).waiting()).Query(note)
	}

	if len(settled) > 0 {
		batch.Queue(insertSettled, newEventRows(settled).settled()).Query(note)
		if rejected := rejectedOf(settled); len(rejected) > 0 {
			batch.Queue(noteRejected, rejected)
		}
	}

	if err := s.intake.SendBatch(ctx, &batch).Close(); err != nil {
		return nil, fmt.Errorf("insert %d events: %w", len(events), err)
	}

	fates := make([]Accepted, len(events))
	var known []int
	for i, e := range events {
		if fates[i] = (Accepted{EventID: e.EventID}); !fresh[e.EventID] {
			known = append(known, i)
		}
	}
	return fates, s.meetAgain(ctx, events, known, fates)
}

// rejectedOf are the ids of those events that are rejected and about a reservation.
func rejectedOf(events []Event) (ids [][16]byte) {
	for _, e := range events {
		if e.Status == EventRejected && e.ReservationID != nil {
			ids = append(ids, e.EventID)
		}
	}
	return ids
}

// queueAgain queues stored events, in their old positions.
const queueAgain = `
	INSERT INTO event_queue (seq, event_id, source, type, reservation_id, listing_id, urgent, bytes)
	SELECT seq, event_id, source, type, reservation_id, listing_id, urgent, octet_length(body) FROM events WHERE `

// splitEvents separates the events that wait to be applied from those whose result is known at once. Each part is
// ordered by key, so that two replicas that insert the same events never wait for each other.
func splitEvents(events []Event) (waiting, settled []Event) {
	sorted := slices.Clone(events)
	slices.SortFunc(sorted, func(a, b Event) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(stay.Text(a.EventKey), stay.Text(b.EventKey)))
	})
	for _, e := range sorted {
		if e.Status == EventAccepted {
			waiting = append(waiting, e)
		} else {
			settled = append(settled, e)
		}
	}
	return waiting, settled
}

// meetAgain finds the results of events whose keys existed before.
func (s Events) meetAgain(ctx context.Context, events []Event, known []int, fates []Accepted) error {
	if len(known) == 0 {
		return nil
	}
	sources, keys := make([]string, len(known)), make([]string, len(known))
	for at, i := range known {
		sources[at], keys[at] = events[i].Source, *events[i].EventKey
	}

	rows, _ := s.intake.Query(ctx, `
		SELECT n.i, e.event_id, e.rejected FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS n (source, event_key,
			i)
		JOIN events e USING (source, event_key)`, sources, keys)

	var at int
	var id uuid.UUID
	var rejected bool
	var again []int
	found := 0

	if _, err := pgx.ForEachRow(rows, []any{&at, &id, &rejected}, func() error {
		i := known[at-1]
		found++
		if fates[i] = (Accepted{EventID: id, Duplicate: true}); rejected {
			again = append(again, i)
		}
		return nil
	}); err != nil {
		return fmt.Errorf("find %d repeated events: %w", len(known), err)
	}

	if found < len(known) { // retention came between; the sender tries again
		return fmt.Errorf("find %d repeated events: %w", len(known), ErrNotFound)
	}

	for _, i := range again {
		if err := s.tryAgain(ctx, events[i], &fates[i]); err != nil {
			return err
		}
	}
	return nil
}

// tryAgain gives a rejected event the body with which it was sent again. If somebody else has done so in the
// meantime, this one is a duplicate.
func (s Events) tryAgain(ctx context.Context, e Event, fate *Accepted) error {
	tried := false
	err := s.inTxOn(ctx, s.intake, func(tx pgx.Tx) error {
		tried = false
		r := newEventRows([]Event{e})
		var seq int64
		err := tx.QueryRow(ctx, `
			UPDATE events SET seq = nextval('event_order'), type = @type, reservation_id = nullif(@reservation_id, ''),
				listing_id = nullif(@listing_id, ''), urgent = @urgent, rejected = @rejected,
				occurred_at = @occurred_at, received_at = @received_at, body = @body, request = @request
			WHERE source = @source AND event_key = @event_key AND rejected RETURNING seq, event_id`,
			pgx.StrictNamedArgs{
				"source": e.Source, "event_key": e.EventKey, "type": e.Type, "reservation_id": r.reservations[0],
				"listing_id": r.listings[0], "urgent": e.Urgent, "rejected": r.rejected[0],
				"occurred_at": e.OccurredAt, "received_at": e.ReceivedAt, "body": e.Body, "request": e.Request,
			}).Scan(&seq, &e.EventID)

		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}

		if _, err := tx.Exec(ctx, `DELETE FROM event_results WHERE event_id = $1
			AND status = 'rejected'`, e.EventID); err != nil {
			return err
		}
		tried = true

		if e.Status == EventAccepted {
			_, err = tx.Exec(ctx, queueAgain+`event_id = $1`, e.EventID)
			return err
		}

		e.Seq = seq
		var batch pgx.Batch
		FinishEvents(&batch, []Event{e})
		if rejected := rejectedOf([]Event{e}); len(rejected) > 0 {
			batch.Queue(noteRejected, rejected)
		}
		return tx.SendBatch(ctx, &batch).Close()
	})
	if err == nil && tried {
		fate.Duplicate = false
	}
	return wrap(err, "try event %q of source %s again", *e.EventKey, e.Source)
}

// IDByKey returns the id of the accepted or ignored event with that key, or [ErrNotFound].
func (s Events) IDByKey(ctx context.Context, source, key string) (uuid.UUID, error) {
	var id uuid.UUID
	err := s.pool.QueryRow(ctx, `
		SELECT event_id FROM events WHERE source = $1 AND event_key = $2 AND NOT rejected`, source, key).Scan(&id)
	return id, wrap(err, "find event %q of source %s", key, source)
}

// FinishEvents writes the results of events that this transaction has claimed: their Status, Reason and AppliedAt.
func FinishEvents(batch *pgx.Batch, events []Event) {
	n := len(events)
	r := newEventRows(events)
	seqs, applied, details := make([]int64, n), make([]*time.Time, n), make([]*string, n)
	also := make([]*string, n)
	var rejected, fetched, replayed [][16]byte
	for i, e := range events {
		details[i] = jsonText(e.Detail)
		if len(e.AlsoAbout) > 0 {
			encoded, _ := json.Marshal(e.AlsoAbout) // only texts: it can't fail
			also[i] = jsonText(encoded)
		}
		if seqs[i], applied[i] = e.Seq, e.AppliedAt; e.Status == EventRejected {
			rejected = append(rejected, e.EventID)
		}
		if e.Documents != nil {
			fetched = append(fetched, e.EventID)
		}
		if e.Replay {
			replayed = append(replayed, e.EventID)
		}
	}

	batch.Queue(`
		INSERT INTO event_results (seq, event_id, source, type, status, reason, reservation_id, listing_id, occurred_at,
			received_at, applied_at, detail, also_about)
		SELECT seq, event_id, source, type, status, nullif(reason, ''), nullif(reservation_id, ''),
			nullif(listing_id, ''), occurred_at, received_at, applied_at, detail::jsonb,
			CASE WHEN also IS NOT NULL THEN ARRAY (SELECT jsonb_array_elements_text(also::jsonb)) END
		FROM unnest(@seqs::bigint[], @ids::uuid[], @sources::text[], @types::text[], @statuses::text[],
			@reasons::text[], @reservations::text[], @listings::text[],
				@occurred::timestamptz[], @received::timestamptz[], @applied::timestamptz[],
				@details::text[], @also::text[])
			AS n (seq, event_id, source, type, status, reason, reservation_id, listing_id, occurred_at, received_at,
				applied_at, detail, also)`,
		pgx.StrictNamedArgs{
			"seqs": seqs, "ids": r.ids, "sources": r.sources, "types": r.types, "statuses": r.statuses,
			"reasons": r.reasons, "reservations": r.reservations,
			"listings": r.listings, "occurred": r.occurred, "received": r.received, "applied": applied,
			"details": details, "also": also,
		})
	if len(rejected) > 0 {
		batch.Queue(`UPDATE events SET rejected = true WHERE event_id = ANY ($1)`, rejected)
	}
	if len(fetched) > 0 {
		batch.Queue(`DELETE FROM event_fetches WHERE event_id = ANY ($1)`, fetched)
	}
	if len(replayed) > 0 {
		batch.Queue(settleReplays, replayed)
	}
}

// settleReplays turns the results that were just written for these events into those of their replays, next to
// their results before. Events that were not replayed are unchanged.
const settleReplays = `
	WITH settled AS (DELETE FROM event_replays WHERE event_id = ANY ($1) RETURNING *),
		kept AS (UPDATE events e SET rejected = false FROM settled p WHERE e.event_id = p.event_id
			AND p.status = 'applied' AND e.rejected)
	UPDATE event_results r SET replayed_at = now(), replay_status = r.status, replay_reason = r.reason,
		first_status = coalesce(p.first_status, p.status), first_reason = CASE WHEN p.first_status IS NULL THEN p.reason
			ELSE p.first_reason END,
		status = CASE WHEN p.status = 'applied' THEN p.status ELSE r.status END,
		reason = CASE WHEN p.status = 'applied' AND r.status <> 'applied' THEN p.reason ELSE r.reason END,
		applied_at = coalesce(p.applied_at, r.applied_at),
		type = CASE WHEN r.status = 'rejected' THEN p.type ELSE r.type END,
		reservation_id = coalesce(r.reservation_id, p.reservation_id), listing_id = coalesce(r.listing_id, p.listing_id)
	FROM settled p WHERE r.seq = p.seq AND r.event_id = p.event_id`

// WithBodies returns events with their bodies, in the order of receipt, without those whose body has been removed.
func (s Events) WithBodies(ctx context.Context, events []Event) ([]Event, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT e.event_id, e.seq, e.source, e.event_key, e.type, 'accepted' AS status, NULL::text AS reason,
			e.reservation_id, e.listing_id,
			e.occurred_at, e.received_at, NULL::timestamptz AS applied_at, false AS urgent, e.body, e.request,
				NULL::json AS documents, `+noReplays+`,
			0 AS tries, false AS applied_before, NULL::jsonb AS detail
		FROM events e WHERE e.event_id = ANY ($1) AND e.body IS NOT NULL ORDER BY e.seq`, eventIDs(events))
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[Event])
	return list, wrap(err, "read events")
}

func eventIDs(events []Event) [][16]byte {
	ids := make([][16]byte, len(events))
	for i, e := range events {
		ids[i] = e.EventID
	}
	return ids
}

// Backlog returns how many events of the sources (nil: of all) wait to be applied, at most 10,000, and how long the
// first of them has: oldest is when it was queued, which was its receipt, a replay, or the arrival of its documents.
func (s Events) Backlog(ctx context.Context, sources []string) (n int, oldest *time.Time, err error) {
	err = s.pool.QueryRow(ctx, `
		SELECT count(*), min(queued_at) FROM (SELECT queued_at FROM event_queue
			WHERE $1::text[] IS NULL OR source = ANY ($1) ORDER BY seq LIMIT 10000) q`, sources).Scan(&n, &oldest)
	return n, oldest, wrap(err, "count the backlog")
}
