package store

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// LockBookings has events about one booking of a PMS applied one after another, whichever of its reservations they name, and
// returns those that exist besides the one that has the booking's own id. It is to be called before anything else is locked.
func LockBookings(ctx context.Context, tx pgx.Tx, bookings []Ref) ([]Ref, error) {
	if len(bookings) == 0 {
		return nil, nil
	}
	sources, ids := splitRefs(bookings)
	if _, err := tx.Exec(ctx, `
		SELECT pg_advisory_xact_lock(hashtextextended(source || '/' || id, 0))
		FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS b (source, id, i) ORDER BY i`, sources, ids); err != nil {
		return nil, wrap(err, "lock bookings")
	}
	rows, _ := tx.Query(ctx, `
		SELECT r.source, r.reservation_id FROM unnest($1::text[], $2::text[]) AS b (source, id)
		JOIN reservations r ON r.source = b.source AND r.booking_id = b.id`, sources, ids)
	refs, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Ref])
	return refs, wrap(err, "find the reservations of bookings")
}

// ListingsOf returns the listings that reservations have, as far as both exist. Nothing is locked.
func ListingsOf(ctx context.Context, tx pgx.Tx, refs []Ref) ([]ListingRef, error) {
	if len(refs) == 0 {
		return nil, nil
	}
	sources, ids := splitRefs(refs)
	rows, _ := tx.Query(ctx, `
		SELECT r.source, r.listing_id FROM unnest($1::text[], $2::text[]) AS n (source, id)
		JOIN reservations r ON r.source = n.source AND r.reservation_id = n.id WHERE r.listing_id IS NOT NULL`, sources, ids)
	listings, err := pgx.CollectRows(rows, pgx.RowToStructByPos[ListingRef])
	return listings, wrap(err, "find the listings of reservations")
}

// mostOfGuest bounds the reservations that one change of a guest reaches.
const mostOfGuest = 500

// ReservationsOfGuest returns the reservations of a PMS's guest that are not over.
func ReservationsOfGuest(ctx context.Context, tx pgx.Tx, source, guestID string) ([]Ref, error) {
	rows, _ := tx.Query(ctx, `
		SELECT source, reservation_id FROM reservations
		WHERE source = $1 AND guest_id = $2 AND (check_out IS NULL OR check_out > now()) LIMIT $3`, source, guestID, mostOfGuest)
	refs, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Ref])
	return refs, wrap(err, "find the reservations of a guest")
}
