package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// Guest is what a PMS's last event about a guest contained. It is kept so that a reservation that names the guest
// finds it, whichever of the two comes first.
type Guest struct {
	Source     string    // with GuestID: the guest
	GuestID    string    // the PMS's id
	GuestEmail *string   // nil: none
	GuestName  *string   // nil: none
	GuestPhone *string   // nil: none
	VersionAt  time.Time // the timestamp of the event; older events change nothing
	VersionSeq int64     // the order of receipt, between events with the same timestamp
	UpdatedAt  time.Time // when the row was written
}

// Ref names the guest, with the guest's id in place of a reservation's.
func (g Guest) Ref() Ref { return Ref{Source: g.Source, ReservationID: g.GuestID} }

const guestColumns = `source, guest_id, guest_email, guest_name, guest_phone, version_at, version_seq, updated_at`

// LockShared makes events about the same bookings and guests of a PMS wait for each other, whichever reservations they
// name. It is called before anything else is locked. Two with the same hash wait for each other needlessly.
func LockShared(ctx context.Context, tx pgx.Tx, bookings, guests []Ref) error {
	if len(bookings)+len(guests) == 0 {
		return nil
	}
	sources, ids := splitRefs(bookings)
	guestSources, guestIDs := splitRefs(guests)
	// By the hash: it is what is locked, and two orders of the same locks end in a deadlock.
	_, err := tx.Exec(ctx, `
		SELECT pg_advisory_xact_lock(h) FROM (
			SELECT h FROM (
				SELECT hashtextextended(source || '/' || id, 0) AS h
					FROM unnest($1::text[], $2::text[]) AS b (source, id)
				UNION SELECT hashtextextended('guest/' || source || '/' || id, 0)
					FROM unnest($3::text[], $4::text[]) AS g (source, id)) all_of_them
			ORDER BY h OFFSET 0) sorted`, sources, ids, guestSources, guestIDs)
	return wrap(err, "lock bookings and guests")
}

// Guests returns the records of guests. [LockShared] has locked them.
func Guests(ctx context.Context, tx pgx.Tx, refs []Ref) (map[Ref]Guest, error) {
	known := map[Ref]Guest{}
	if len(refs) == 0 {
		return known, nil
	}
	sources, ids := splitRefs(refs)
	rows, _ := tx.Query(ctx, `
		SELECT `+prefixed("g", guestColumns)+` FROM unnest($1::text[], $2::text[]) AS n (source, id)
		JOIN guests g ON g.source = n.source AND g.guest_id = n.id`, sources, ids)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[Guest])
	for _, g := range list {
		known[g.Ref()] = g
	}
	return known, wrap(err, "read guests")
}

// SaveGuests writes all columns of guests.
func SaveGuests(batch *pgx.Batch, list []Guest) {
	for _, g := range list {
		batch.Queue(`
			INSERT INTO guests (`+guestColumns+`) VALUES (@source, @id, @email, @name, @phone, @at, @seq, @now)
			ON CONFLICT (source, guest_id) DO UPDATE SET guest_email = excluded.guest_email,
				guest_name = excluded.guest_name,
				guest_phone = excluded.guest_phone, version_at = excluded.version_at,
					version_seq = excluded.version_seq, updated_at = excluded.updated_at`,
			pgx.StrictNamedArgs{
				"source": g.Source, "id": g.GuestID, "email": g.GuestEmail, "name": g.GuestName, "phone": g.GuestPhone,
				"at": g.VersionAt, "seq": g.VersionSeq, "now": g.UpdatedAt,
			})
	}
}

// mostOfGuest bounds the reservations that one change of a guest reaches.
const mostOfGuest = 500

// ReservationsOfGuests returns the reservations of a PMS's guests that are not over, by guest.
func ReservationsOfGuests(ctx context.Context, tx pgx.Tx, guests []Ref, now time.Time) (map[Ref][]Ref, error) {
	found := map[Ref][]Ref{}
	if len(guests) == 0 {
		return found, nil
	}
	sources, ids := splitRefs(guests)
	rows, _ := tx.Query(ctx, `
		SELECT n.source, n.id, r.reservation_id FROM unnest($1::text[], $2::text[]) AS n (source, id)
		CROSS JOIN LATERAL (
			SELECT reservation_id FROM reservations r
			WHERE r.source = n.source AND r.guest_id = n.id AND (r.check_out IS NULL OR r.check_out > $3)
				ORDER BY r.reservation_id LIMIT $4) r`,
		sources, ids, now, mostOfGuest)
	var guest Ref
	var id string
	_, err := pgx.ForEachRow(rows, []any{&guest.Source, &guest.ReservationID, &id}, func() error {
		found[guest] = append(found[guest], Ref{Source: guest.Source, ReservationID: id})
		return nil
	})
	return found, wrap(err, "find the reservations of guests")
}

// PruneGuests deletes up to limit guests that no event has mentioned since a time and that no reservation names.
func (s Retention) PruneGuests(ctx context.Context, updated time.Time, limit int) (int, error) {
	tag, err := s.pool.Exec(ctx, `
		DELETE FROM guests WHERE (source, guest_id) IN (
			SELECT source, guest_id FROM guests g WHERE updated_at < $1
				AND NOT EXISTS (SELECT FROM reservations r WHERE r.source = g.source AND r.guest_id = g.guest_id)
			ORDER BY updated_at LIMIT $2 FOR UPDATE SKIP LOCKED)`, updated, limit)
	return int(tag.RowsAffected()), wrap(err, "prune guests")
}
