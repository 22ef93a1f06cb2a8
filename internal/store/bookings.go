package store

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// ReservationOfBooking names a reservation and the PMS's booking that it belongs to.
type ReservationOfBooking struct {
	Source        string // of both
	BookingID     string // the PMS's id of the booking
	ReservationID string // the reservation's id here
}

// ReservationsOfBookings returns the existing reservations of bookings, in the order of their ids. [LockShared] has
// locked the bookings.
func ReservationsOfBookings(ctx context.Context, tx pgx.Tx, bookings []Ref) ([]ReservationOfBooking, error) {
	if len(bookings) == 0 {
		return nil, nil
	}
	sources, ids := splitRefs(bookings)
	rows, _ := tx.Query(ctx, `
		SELECT b.source, b.id AS booking_id, r.reservation_id FROM unnest($1::text[], $2::text[]) AS b (source, id)
		CROSS JOIN LATERAL (
			SELECT * FROM reservations r WHERE r.source = b.source AND r.booking_id = b.id AND r.reservation_id <> b.id
			UNION ALL SELECT * FROM reservations r WHERE r.source = b.source AND r.reservation_id = b.id) r
		ORDER BY r.source COLLATE "C", r.reservation_id COLLATE "C"`, sources, ids)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[ReservationOfBooking])
	return list, wrap(err, "find the reservations of bookings")
}

// ListingsOf returns the listings that reservations have, as far as both exist. Nothing is locked.
func ListingsOf(ctx context.Context, tx pgx.Tx, refs []Ref) ([]ListingRef, error) {
	if len(refs) == 0 {
		return nil, nil
	}
	sources, ids := splitRefs(refs)
	rows, _ := tx.Query(ctx, `
		SELECT r.source, r.listing_id FROM unnest($1::text[], $2::text[]) AS n (source, id)
		JOIN reservations r ON r.source = n.source AND r.reservation_id = n.id
			WHERE r.listing_id IS NOT NULL`, sources, ids)
	listings, err := pgx.CollectRows(rows, pgx.RowToStructByPos[ListingRef])
	return listings, wrap(err, "find the listings of reservations")
}
