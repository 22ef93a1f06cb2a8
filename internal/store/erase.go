package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// GuestStays returns the reservations of a guest: those that are over, with nothing of them left at Seam, and those that are not.
func (s *Store) GuestStays(ctx context.Context, address string, now time.Time) (over, live []Ref, err error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT r.source, r.reservation_id,
			EXISTS (SELECT FROM acs_users u WHERE u.source = r.source AND u.reservation_id = r.reservation_id)
				OR (r.status = 'confirmed' AND coalesce(r.check_out > $2, true)) AS live
		FROM reservations r WHERE lower(r.guest_email) = lower($1) ORDER BY r.source, r.reservation_id`, address, now)
	var ref Ref
	var isLive bool
	_, err = pgx.ForEachRow(rows, []any{&ref.Source, &ref.ReservationID, &isLive}, func() error {
		if isLive {
			live = append(live, ref)
		} else {
			over = append(over, ref)
		}
		return nil
	})
	return over, live, wrap(err, "find a guest's stays")
}

// EraseStays removes the guest's data from reservations, and tells their timelines and the audit log who wanted it.
func (s *Store) EraseStays(ctx context.Context, refs []Ref, audit Audit, now time.Time) error {
	by := audit.Author
	sources, ids := splitRefs(refs)
	entries := make([]Entry, len(refs))
	for i, ref := range refs {
		entries[i] = Entry{Ref: ref, At: now, Kind: TimelineAction, Summary: by + " had the guest's data erased", Detail: map[string]any{"action": "erase", "by": by}}
	}
	err := s.InTx(ctx, func(tx pgx.Tx) error {
		var b pgx.Batch
		const these = `(t.source, t.reservation_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))`
		b.Queue(`UPDATE reservations t SET guest_email = NULL, guest_name = NULL, guest_phone = NULL, guest_id = NULL, pruned = greatest(pruned, 1::smallint) WHERE `+these, sources, ids)
		b.Queue(`DELETE FROM overrides t WHERE `+these, sources, ids)
		b.Queue(`UPDATE events e SET body = NULL, request = NULL FROM event_results t WHERE e.event_id = t.event_id AND `+these, sources, ids)
		if err := QueueTimeline(&b, entries); err != nil {
			return err
		}
		audit.At = now
		if err := QueueAudit(&b, audit); err != nil {
			return err
		}
		return tx.SendBatch(ctx, &b).Close()
	})
	return wrap(err, "erase the guest of %d reservations", len(refs))
}

// erasePage is how many events are looked through at a time.
const erasePage = 5000

// EraseBodies removes the raw bodies that hold a text, in any case, whatever they are about: of settled events, because what waits is
// still to be applied. It looks through all of them, in pages, and returns how many there were.
func (s *Store) EraseBodies(ctx context.Context, text string) (n int, err error) {
	last := uuid.Nil
	for {
		var looked int
		var found int
		err := s.pool.QueryRow(ctx, `
			WITH page AS (SELECT event_id, seq, body FROM events WHERE event_id > $1 ORDER BY event_id LIMIT $3),
				hit AS (
					SELECT p.event_id FROM page p
					WHERE p.body IS NOT NULL AND position(lower($2) IN lower(encode(p.body, 'escape'))) > 0
						AND EXISTS (SELECT FROM event_results r WHERE r.seq = p.seq)),
				erased AS (UPDATE events e SET body = NULL, request = NULL FROM hit h WHERE e.event_id = h.event_id RETURNING 1)
			SELECT (SELECT count(*) FROM page), (SELECT count(*) FROM erased), coalesce((SELECT event_id FROM page ORDER BY event_id DESC LIMIT 1), $1)`,
			last, text, erasePage).Scan(&looked, &found, &last)
		n += found
		if err != nil || looked < erasePage {
			return n, wrap(err, "erase bodies")
		}
	}
}

// DeleteUserIdentity forgets an identity that is gone at Seam, unless an ACS user of ours is linked to it.
func (s *Store) DeleteUserIdentity(ctx context.Context, key string) error {
	_, err := s.pool.Exec(ctx, `
		DELETE FROM user_identities i WHERE user_identity_key = $1 AND NOT EXISTS (SELECT FROM acs_users u WHERE u.user_identity_key = i.user_identity_key)`, key)
	return wrap(err, "forget a user identity")
}
