package store

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Erasure finds and removes what is kept about a guest.
type Erasure struct{ *db }

// StaysOf returns the reservations of a guest: those that are over and removed from Seam, and the others.
// The address matches as a whole, in any case.
func (s Erasure) StaysOf(ctx context.Context, address string, now time.Time) (over, live []Ref, err error) {
	address = strings.ToLower(address)
	// What Postgres folds to the same may still differ for us: the address is compared here, as everywhere.
	rows, _ := s.pool.Query(ctx, `
		SELECT r.source, r.reservation_id, r.guest_email,
			EXISTS (SELECT FROM acs_users u WHERE u.source = r.source AND u.reservation_id = r.reservation_id)
				OR EXISTS (SELECT FROM handed_out h WHERE h.source = r.source AND h.reservation_id = r.reservation_id
					AND h.seam_id IS NOT NULL)
				OR (r.status = 'confirmed' AND coalesce(r.check_out > $2, true)) AS live
		FROM reservations r WHERE staykey_fold(r.guest_email) = staykey_fold($1)
			ORDER BY r.source, r.reservation_id`, address, now)
	var ref Ref
	var email string
	var isLive bool
	_, err = pgx.ForEachRow(rows, []any{&ref.Source, &ref.ReservationID, &email, &isLive}, func() error {
		switch {
		case strings.ToLower(email) != address:
		case isLive:
			live = append(live, ref)
		default:
			over = append(over, ref)
		}
		return nil
	})
	return over, live, wrap(err, "find a guest's stays")
}

// The stages in which an event can be while a guest is erased.
const (
	EventSettled  = "settled"  // applied, superseded, ignored or rejected
	EventQueued   = "queued"   // about to be applied
	EventFetching = "fetching" // waits for documents of the PMS
)

// EventContent is all that is kept of what a PMS has sent with one event.
type EventContent struct {
	EventID   uuid.UUID // of the event
	Stage     string    // EventSettled, EventQueued or EventFetching
	Body      []byte    // nil: retention has removed it
	Request   []byte    // as in [Event]
	Documents []byte    // as in [Event]
}

// contentPage is how many events are read in one statement, each of which has a deadline. They are looked at one by
// one: the largest bodies would not fit into memory together.
const contentPage = 2000

// EachContent calls fn with the content of every event that still has any. The slices are good until fn returns.
func (s Erasure) EachContent(ctx context.Context, fn func(EventContent)) error {
	last := uuid.Nil
	for {
		looked := 0
		rows, _ := s.pool.Query(ctx, `
			SELECT e.event_id,
				CASE WHEN EXISTS (SELECT FROM event_queue q WHERE q.event_id = e.event_id) THEN 'queued'
					WHEN f.event_id IS NOT NULL THEN 'fetching' ELSE 'settled' END,
				e.body, convert_to(e.request::text, 'UTF8'), convert_to(f.documents::text, 'UTF8')
			FROM (SELECT event_id, body, request FROM events WHERE event_id > $1 ORDER BY event_id LIMIT $2) e
			LEFT JOIN event_fetches f USING (event_id) ORDER BY e.event_id`, last, contentPage)
		var c EventContent
		_, err := pgx.ForEachRow(rows, []any{&c.EventID, &c.Stage, &c.Body, &c.Request, &c.Documents}, func() error {
			looked++
			last = c.EventID
			fn(c)
			c = EventContent{}
			return nil
		})
		if err != nil || looked < contentPage {
			return wrap(err, "read what is kept of events")
		}
	}
}

// Erasing describes what to erase for a guest.
type Erasing struct {
	Address  string      // the guest's
	Stays    []Ref       // over, with nothing left at Seam
	Settled  []uuid.UUID // events whose content mentions the guest
	Fetching []uuid.UUID // the same, of events that wait for documents: they are rejected
	Audit    Audit       // the entry to write with it
	Now      time.Time   // when it is erased
}

// ReasonErased is why a waiting event is rejected: its guest was erased.
const ReasonErased = "erased"

// Erase erases a guest in one transaction and records that in timelines and the audit log. It returns how many
// events lost their content besides those of the stays, and how many waiting ones were rejected.
func (s Erasure) Erase(ctx context.Context, e Erasing) (bodies, waiting int, err error) {
	sources, ids := splitRefs(e.Stays)
	entries := make([]Entry, len(e.Stays))
	for i, ref := range e.Stays {
		entries[i] = Entry{
			Ref: ref, At: e.Now, Kind: TimelineAction, Summary: e.Audit.Author + " had the guest's data erased",
			Detail: map[string]any{"action": "erase", "by": e.Audit.Author},
		}
	}

	err = s.inTx(ctx, func(tx pgx.Tx) error {
		const these = `(t.source, t.reservation_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))`
		for _, statement := range []string{`DELETE FROM guests WHERE lower(guest_email) = lower($1)`, forgetNotesOf} {
			if _, err := tx.Exec(ctx, statement, e.Address); err != nil {
				return err
			}
		}

		for _, statement := range []string{
			`DELETE FROM guests g USING reservations t WHERE g.source = t.source AND g.guest_id = t.guest_id
				AND ` + these,
			`UPDATE reservations t SET guest_email = NULL, guest_name = NULL, guest_phone = NULL, guest_id = NULL,
				guest_language = NULL,
				pruned = greatest(pruned, 1::smallint) WHERE ` + these,
			`DELETE FROM guest_links t WHERE ` + these,
			`UPDATE guest_stays t SET counter = counter + 1, guest_key = '', opened_at = NULL, openings = 0,
				recent = '{}' WHERE ` + these,
			forgetDecisions[0] + these, forgetDecisions[1] + these, forgetReasons + these, forgetEvidence + these,
			forgetDoorUses + these, forgetBatches + these, forgetNotes + these,
			`UPDATE events e SET body = NULL, request = NULL FROM event_results t WHERE e.event_id = t.event_id
				AND ` + these,
		} {
			if _, err := tx.Exec(ctx, statement, sources, ids); err != nil {
				return err
			}
		}

		var err error
		if waiting, err = giveUpFetching(ctx, tx, e.Fetching); err != nil {
			return err
		}

		tag, err := tx.Exec(ctx, `
			UPDATE events e SET body = NULL, request = NULL
			WHERE e.event_id = ANY ($1) AND (e.body IS NOT NULL OR e.request IS NOT NULL)
				AND EXISTS (SELECT FROM event_results r WHERE r.event_id = e.event_id)`, e.Settled)
		if err != nil {
			return err
		}
		bodies = int(tag.RowsAffected())

		var b pgx.Batch
		if err := QueueTimeline(&b, entries); err != nil {
			return err
		}

		audit := e.Audit
		audit.At, audit.After = e.Now, map[string]any{
			"reservations": len(e.Stays), "bodies": bodies,
			"waiting_events": waiting,
		}
		if err := QueueAudit(&b, audit); err != nil {
			return err
		}
		return tx.SendBatch(ctx, &b).Close()
	})
	return bodies, waiting, wrap(err, "erase the guest of %d reservations", len(e.Stays))
}

// giveUpFetching settles events that wait for documents, without their content. One whose documents have just come
// is left alone.
func giveUpFetching(ctx context.Context, tx pgx.Tx, events []uuid.UUID) (int, error) {
	tag, err := tx.Exec(ctx, `
		WITH gone AS (DELETE FROM event_fetches WHERE event_id = ANY (@events) AND documents IS NULL
			RETURNING event_id, seq, applied, reservation_ids),
			emptied AS (UPDATE events e SET body = NULL, request = NULL FROM gone g
				WHERE e.event_id = g.event_id)`+givenUp,
		pgx.StrictNamedArgs{"events": events, "reason": ReasonErased})
	return int(tag.RowsAffected()), err
}

// Delete forgets an identity that is gone at Seam, unless an ACS user of ours is linked to it.
func (s UserIdentities) Delete(ctx context.Context, key string) error {
	_, err := s.pool.Exec(ctx, `
		DELETE FROM user_identities i WHERE user_identity_key = $1
			AND NOT EXISTS (SELECT FROM acs_users u WHERE u.user_identity_key = i.user_identity_key)`, key)
	return wrap(err, "forget a user identity")
}
