package intake_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// The same events in the same order lead to the same reservations, however they are divided into batches. Late and
// repeated events are among them, and don't affect the names of rooms that appear after them.
func TestBatchesDontChangeNamesOfRooms(t *testing.T) {
	t.Parallel()
	w := foreign(t, passThrough)
	w.source.Guests = true
	random := func(booking string) []string {
		var events []string
		for range 4 + rand.IntN(5) {
			minute, status := rand.IntN(8), "confirmed"
			var outputs []string
			switch units := rand.Perm(4)[:1+rand.IntN(3)]; rand.IntN(10) {
			case 0:
				outputs = append(outputs, room(booking, "", "L", "cancelled", minute))
			case 1: // one room alone, and none of the others
				outputs = append(outputs, strings.Replace(room(booking, fmt.Sprint(units[0]), "L", status, minute),
					`"rest": true, `, "", 1))
			case 2: // without a time of its own
				outputs = append(outputs, withoutVersion(room(booking, fmt.Sprint(units[0]), "L", status, 0)))
			case 3: // the first can't be read
				outputs = append(outputs, strings.Replace(room(booking, fmt.Sprint(units[0]), "L", status, minute),
					`"2024-11-01T15:00:00Z"`, `"soon"`, 1))
				for _, unit := range units[1:] {
					outputs = append(outputs, room(booking, fmt.Sprint(unit), "L", status, minute))
				}
			case 4: // a guest besides
				outputs = append(outputs, strings.Replace(room(booking, fmt.Sprint(units[0]), "L", status, minute),
					`"status"`, `"guests": [{"guest_id": "g"}], "status"`, 1))
			default:
				for _, unit := range units {
					outputs = append(outputs, room(booking, fmt.Sprint(unit), "L", status, minute))
				}
			}
			events = append(events, strings.Join(outputs, ","))
		}
		return append(events, events[rand.IntN(len(events))])
	}
	for round := range 40 {
		booking := fmt.Sprintf("B%d", round)
		events := random(booking)
		for _, e := range events {
			w.post(strings.ReplaceAll(e, `"`+booking+`"`, `"`+booking+`a"`))
			w.drain()
		}
		for _, e := range events {
			w.post(strings.ReplaceAll(e, `"`+booking+`"`, `"`+booking+`b"`))
		}
		w.drain()
		alone, together := w.ofBooking(booking+"a"), w.ofBooking(booking+"b")
		if !slices.Equal(alone, together) {
			t.Fatalf("one by one:  %s\nin a batch: %s\nof the events\n%s", strings.Join(alone, ", "),
				strings.Join(together, ", "), strings.Join(events, "\n"))
		}
	}
}

func withoutVersion(output string) string {
	before, _, _ := strings.Cut(output, `, "version"`)
	return before + "}}"
}

// ofBooking returns the reservations of a booking, by what follows the booking in their ids, with their units and
// statuses.
func (w *world) ofBooking(booking string) []string {
	w.t.Helper()
	rows, _ := w.store.Pool().Query(context.Background(), `
		SELECT substr(reservation_id, length($1) + 1) || ' ' || coalesce(unit, '-') || ' ' || status
		FROM reservations WHERE reservation_id = $1 OR booking_id = $1 ORDER BY 1`, booking)
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}
