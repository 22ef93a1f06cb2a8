package store

import (
	"context"
	"math"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// This file lists events: those that wait, those that wait for documents, and those that are settled.

// TestEvent is the type of test events of ours, which are ignored.
const TestEvent = "staykey.test"

// EventFilter narrows a list of events; empty fields don't.
type EventFilter struct {
	Source, Status, Type     []string // any of them; nil for all
	ReservationID, ListingID string   // exactly; "" for all
	Sources                  []string // those that may be seen; nil for all
	WithoutTests             bool     // leaves out test events of ours
}

func (f EventFilter) isEmpty() bool {
	return f.Source == nil && f.Sources == nil && f.Status == nil && f.Type == nil &&
		f.ReservationID == "" && f.ListingID == ""
}

// List lists events, newest receipt first, without bodies, from below the given place (0: the newest).
func (s Events) List(ctx context.Context, f EventFilter, below int64, limit int) ([]Event, error) {
	if below == 0 {
		below = math.MaxInt64
	}
	var w where
	parts := make([]string, 0, 3)
	if f.Status == nil || slices.Contains(f.Status, EventAccepted) {
		parts = append(parts, f.waiting(&w, below, limit), f.fetching(&w, below, limit))
	}
	if f.Status != nil {
		f.Status = slices.DeleteFunc(slices.Clone(f.Status),
			func(status string) bool { return status == EventAccepted })
	}
	if f.Status == nil || len(f.Status) > 0 {
		parts = append(parts, f.results(&w, below, limit)...)
	}
	rows, _ := s.pool.Query(ctx, `
		SELECT e.event_id, e.seq, e.source, NULL::text AS event_key, e.type, e.status, e.reason, e.reservation_id,
			e.listing_id, e.occurred_at, e.received_at,
			e.applied_at, false AS urgent, NULL::bytea AS body, NULL::jsonb AS request, NULL::json AS documents,
			e.replay, e.replayed_at, e.replay_status, e.replay_reason, e.first_status, e.first_reason,
			0 AS tries, false AS applied_before, NULL::jsonb AS detail
		FROM (`+strings.Join(parts, ` UNION ALL `)+`) e ORDER BY e.seq DESC LIMIT `+w.arg(limit), w.planned()...)
	events, err := pgx.CollectRows(rows, pgx.RowToStructByName[Event])
	return events, wrap(err, "list events")
}

// narrow adds the filters that every part of the list has in columns of its own.
func (f EventFilter) narrow(w *where, table string) {
	w.among(table+".source", within(f.Source, f.Sources))
	w.among(table+".type", f.Type)
	w.equal(table+".reservation_id", f.ReservationID)
	w.equal(table+".listing_id", f.ListingID)
}

// itsEvent looks up the event of each row of a short table, and never the other way round.
func itsEvent(table string) string {
	return ` CROSS JOIN LATERAL (SELECT * FROM events WHERE event_id = ` + table + `.event_id OFFSET 0) e`
}

// waiting selects from the queue, which is short.
func (f EventFilter) waiting(w *where, below int64, limit int) string {
	w.restart()
	w.add("q.seq < %s", below)
	f.narrow(w, "q")
	return `(SELECT q.event_id, q.seq, q.source, q.type, 'accepted' AS status, ` + putBackReason +
		` AS reason, q.reservation_id, q.listing_id, e.occurred_at, e.received_at,
		p.applied_at, p.event_id IS NOT NULL AS replay, NULL::timestamptz AS replayed_at, NULL::text AS replay_status,
			NULL::text AS replay_reason,
		coalesce(p.first_status, p.status) AS first_status, coalesce(p.first_reason, p.reason) AS first_reason
		FROM event_queue q LEFT JOIN event_replays p ON p.event_id = q.event_id` + itsEvent("q") + w.sql() +
		` ORDER BY q.seq DESC LIMIT ` + w.arg(limit) + `)`
}

// fetching selects from those that wait for documents.
func (f EventFilter) fetching(w *where, below int64, limit int) string {
	w.restart()
	w.add("f.seq < %s", below)
	if id := f.ReservationID; id != "" {
		w.add("(f.reservation_ids @> ARRAY[%s]::text[] OR e.reservation_id = %s)", id, id)
	}
	f.ReservationID = ""
	f.narrow(w, "e")
	// then it is listed with those that wait, or are settled
	w.add("NOT EXISTS (SELECT FROM event_queue q WHERE q.event_id = f.event_id)")
	w.add("NOT EXISTS (SELECT FROM event_results r WHERE r.seq = f.seq)")
	return `(SELECT f.event_id, f.seq, e.source, e.type, 'accepted' AS status, f.reason,
		coalesce(f.reservation_ids[1], e.reservation_id) AS reservation_id, e.listing_id,
		e.occurred_at, e.received_at,
		NULL::timestamptz AS applied_at, ` + noReplays + ` FROM event_fetches f` + itsEvent("f") + w.sql() +
		` ORDER BY f.seq DESC LIMIT ` + w.arg(limit) + `)`
}

// results are the selections from what is settled: by reservation or listing, which have few each, else by kind. But
// for the whole list the order is by -seq, as the indexes have it.
func (f EventFilter) results(w *where, below int64, limit int) []string {
	const columns = `t.event_id, t.seq, t.source, t.type, t.status, t.reason, t.reservation_id, t.listing_id,
		t.occurred_at, t.received_at, t.applied_at, false AS replay, t.replayed_at, t.replay_status, t.replay_reason,
		t.first_status, t.first_reason`
	w.restart()
	if f.WithoutTests {
		w.add("(t.type IS DISTINCT FROM %s OR t.status <> %s)", TestEvent, EventIgnored) // a PMS may use the type, too
	}

	if f.isEmpty() {
		w.add("t.seq < %s", below)
		return []string{`(SELECT ` + columns + ` FROM event_results t` + w.sql() + ` ORDER BY t.seq DESC LIMIT ` +
			w.arg(limit) + `)`}
	}

	w.add("-t.seq > %s", -below)
	newest := ` ORDER BY -t.seq LIMIT ` + w.arg(limit)
	if f.ReservationID == "" && f.ListingID == "" {
		k := kinds{
			table: "event_results", columns: []string{"source", "type", "status"},
			values: []any{oneOf(within(f.Source, f.Sources)), oneOf(f.Type), oneOf(f.Status)},
		}
		return []string{k.merge(w, columns, newest, newest)}
	}

	parts := make([]string, 0, 2)
	part := func() {
		parts = append(parts, `(SELECT `+columns+` FROM event_results t`+w.sql()+newest+`)`)
	}
	w.among("t.status", f.Status)
	f.narrow(w, "t")
	part()

	if id := f.ReservationID; id != "" { // it may also be one of several
		w.restart()
		w.add("-t.seq > %s", -below)
		w.among("t.status", f.Status)
		w.add("t.also_about @> ARRAY[%s]::text[]", id)
		f.ReservationID = ""
		f.narrow(w, "t")
		part()
	}
	return parts
}
