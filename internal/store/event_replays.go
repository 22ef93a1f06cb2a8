package store

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// This file applies events again that were settled.

// Replay queues settled events again at their old places in the order, and returns those that are queued:
// what has lost its body is not. The author of audit is who wants it, for the timelines of reservations.
func (s Events) Replay(ctx context.Context, events []Event, audit Audit,
	now time.Time,
) (queued []Event, err error) {
	if len(events) == 0 {
		return nil, nil
	}
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		rows, _ := tx.Query(ctx, `
			WITH undone AS (
				DELETE FROM event_results r USING events e
				WHERE r.event_id = e.event_id AND r.seq = e.seq AND e.event_id = ANY ($1) AND e.body IS NOT NULL
				RETURNING r.*, e.urgent, octet_length(e.body) AS bytes),
			kept AS (
				INSERT INTO event_replays (event_id, seq, type, status, reason, reservation_id, listing_id, applied_at,
					first_status, first_reason)
				SELECT event_id, seq, type, status, reason, reservation_id, listing_id, applied_at, first_status,
					first_reason FROM undone),
			queued AS (
				INSERT INTO event_queue (seq, event_id, source, type, reservation_id, listing_id, urgent, bytes)
				SELECT seq, event_id, source, type, reservation_id, listing_id, urgent, bytes FROM undone
					RETURNING event_id)
			UPDATE events e SET rejected = false FROM queued q WHERE e.event_id = q.event_id
				RETURNING e.event_id`, eventIDs(events))
		ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
		if err != nil {
			return err
		}

		queued = nil
		for _, e := range events {
			if slices.Contains(ids, e.EventID) {
				e.Status, e.Reason, e.Replay = EventAccepted, nil, true
				queued = append(queued, e)
			}
		}

		entries, err := replayEntries(ctx, tx, queued, audit.Author, now)
		if err != nil {
			return err
		}

		var batch pgx.Batch
		if err := QueueTimeline(&batch, entries); err != nil {
			return err
		}
		for _, entry := range audit.bySource(queued) {
			entry.At = now
			if err := QueueAudit(&batch, entry); err != nil {
				return err
			}
		}
		return tx.SendBatch(ctx, &batch).Close()
	})
	return queued, wrap(err, "replay %d events", len(events))
}

// replayEntries record a replay in the timelines of existing reservations.
func replayEntries(ctx context.Context, tx pgx.Tx, events []Event, by string, now time.Time) ([]Entry, error) {
	var refs []Ref
	for _, e := range events {
		if e.ReservationID != nil {
			refs = append(refs, Ref{Source: e.Source, ReservationID: *e.ReservationID})
		}
	}

	sources, ids := splitRefs(refs)
	rows, _ := tx.Query(ctx, `
		SELECT source, reservation_id FROM reservations WHERE (source, reservation_id) IN (SELECT *
			FROM unnest($1::text[], $2::text[]))`, sources, ids)
	known, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Ref])
	if err != nil {
		return nil, err
	}
	var entries []Entry
	for _, e := range events {
		if e.ReservationID == nil || !slices.Contains(known, Ref{Source: e.Source, ReservationID: *e.ReservationID}) {
			continue
		}
		entries = append(entries, Entry{
			Ref: Ref{Source: e.Source, ReservationID: *e.ReservationID}, At: now, Kind: TimelineAction, Summary: by +
				" had " + e.Type + " applied again",
			Detail: map[string]any{"action": "replay", "by": by, "event_id": e.EventID.String()},
		})
	}
	return entries, nil
}
