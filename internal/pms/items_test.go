package pms_test

import (
	"testing"
)

// One unreadable item doesn't affect the others, and is linked to its reservation.
func TestItemsAreJudgedOneByOne(t *testing.T) {
	t.Parallel()
	e, err := one(t, `.body[] | {reservation: .}`, `[
		{"reservation_id": "gone", "status": "cancelled"},
		{"reservation_id": "B", "unit": "2", "listing_id": "L", "status": "confirmed", "check_in": "soon"},
		{"status": "confirmed"},
		{"reservation_id": "new", "status": "confirmed", "check_in": "2026-11-01"}]`)
	if err != nil || len(e.Invalid) > 0 || e.Ignored {
		t.Fatalf("%v, %+v", err, e)
	}
	if len(e.Changes) != 2 || e.Changes[0].Reservation.ReservationID != "gone" ||
		e.Changes[1].Reservation.ReservationID != "new" {
		t.Errorf("changes: %+v", e.Changes)
	}
	if len(e.Rejected) != 2 {
		t.Fatalf("rejected: %+v", e.Rejected)
	}
	if r := e.Rejected[0]; r.Where != "[1].reservation" || r.ReservationID != "B" || r.BookingID != "B" ||
		r.Unit != "2" || r.ListingID != "L" ||
		len(r.Errors) != 1 || r.Errors[0].Field != "[1].reservation.check_in" {
		t.Errorf("%+v", r)
	}
	if r := e.Rejected[1]; r.ReservationID != "" || r.Where != "[2].reservation" {
		t.Errorf("%+v", r)
	}
}

// A booking's rooms that an event doesn't name are gone, unless one of its items can't be read so far as to say which
// room it is about.
func TestAnUnreadRoomKeepsTheOthers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		why, unread string
		rest        bool
	}{
		{"the room is known", `"unit": "2"`, true},
		{"the room is not known", `"unit": {}`, false},
	} {
		e, err := one(t, `.body[] | {reservation: (. + {rest: true, reservation_id: "B", status: "confirmed"})}`,
			`[{"unit": "1"}, {`+c.unread+`, "check_in": "soon"}]`)
		if err != nil || len(e.Changes) != 1 || len(e.Rejected) != 1 {
			t.Fatalf("%s: %v %+v", c.why, err, e)
		}
		if got := e.Changes[0].Reservation.Rest; got != c.rest {
			t.Errorf("%s: rest is %t", c.why, got)
		}
	}
}

// When a segment ends is known from the next one: an end that can't be read costs nothing.
func TestEndsOfSegments(t *testing.T) {
	t.Parallel()
	e, err := one(t,
		`{reservation: {reservation_id: "R", status: "confirmed", check_in: "2026-08-01", check_out: "2026-08-04",
		segments: [{listing_id: "a", from: "2026-08-01", until: "soon"}, {listing_id: "b", from: "2026-08-02", until: true}]}}`, `{}`)
	if err != nil || len(e.Changes) != 1 || len(e.Changes[0].Reservation.Segments) != 2 ||
		len(e.Changes[0].Notes) != 2 {
		t.Errorf("%v %+v", err, e)
	}
}
