package store_test

import (
	"context"
	"testing"

	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/store/storetest"
)

// TestSearchFindsWhatPeopleType looks for a guest and a listing as people at a desk type them.
func TestSearchFindsWhatPeopleType(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := context.Background()
	for _, statement := range []string{
		`WITH r AS (INSERT INTO reservations (source, reservation_id, status, listing_id, guest_name, guest_email,
			guest_phone, version_at, version_seq, created_at, updated_at)
			VALUES ('default', '3333122-433', 'confirmed', '102', 'José Søren Fernández', 'jose@example.com',
				'+34612340001', now(), 1, now(), now()))
			INSERT INTO mobile_keys (source, reservation_id, status, changed_at)
				VALUES ('default', '3333122-433', 'issued', now())`,
		`INSERT INTO listings (source, listing_id, known, updated_at, created_at, name) VALUES ('default', '102', true, now(), now(), 'Ático 2ª')`,
	} {
		if _, err := s.Pool().Exec(ctx, statement); err != nil {
			t.Fatal(err)
		}
	}
	for query, want := range map[string]int{
		// Names, with and without accents, in any order.
		"fernandez": 1, "FERNÁNDEZ": 1, "fernandez jose": 1, "soren": 1, "Fernande\u0301z": 1, "fernandes": 0,
		// Telephone numbers, as people write them.
		"+34612340001": 1, "612 340 001": 1, "+34 612-340-001": 1, "(612) 340.001": 1, "0034 612 340 001": 1,
		"+34 (0)612 340001": 1, "0612/340001": 1, "0001": 1, "612-340-002": 0,
		// Ids, as they are: signs and order count.
		"3333122-433": 1, "433-3333122": 0, "433-3333": 0,
		// Signs of LIKE and of nothing find nobody; an accent alone is left out.
		"%": 0, "_": 0, `\`: 0, "---": 0, "(": 0, "\u0301": 1,
	} {
		views, err := s.Reservations.List(ctx, store.ReservationFilter{Query: query}, store.Cursor{}, 10)
		if err != nil || len(views) != want {
			t.Errorf("%q finds %d guests, %v", query, len(views), err)
		}
	}
	for query, want := range map[string]int{
		"atico": 1, "ÁTICO 2": 1, "attico": 0, "2 atico": 1, "102 at": 1,
		"atico 3": 0, "%": 0, "_": 0, `\`: 0,
	} {
		listings, err := s.Listings.List(ctx, store.ListingFilter{Query: query}, store.Cursor{}, 10)
		if err != nil || len(listings) != want {
			t.Errorf("%q finds %d listings, %v", query, len(listings), err)
		}
		rows, err := s.Calendar.Listings(ctx, nil, query, store.NameCursor{}, 10)
		if err != nil || len(rows) != want {
			t.Errorf("%q finds %d listings of the calendar, %v", query, len(rows), err)
		}
	}
}
