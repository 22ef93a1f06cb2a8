package pms

import (
	"fmt"
	"strconv"
)

// Other guests of a room, where a source's policy gives each guest a key: each becomes a reservation of its own, next
// to the room's.

// maxGuests is how many guests a reservation can have.
const maxGuests = 100

// companions adds the guests after the first, if the source wants them: each gets a reservation of the same room and
// time.
func (r *reading) companions(f fields, main Change) {
	v, present := f.values["guests"]
	if !present || v == nil {
		return
	}
	list, ok := v.([]any)
	if !ok || len(list) > maxGuests {
		f.drop("guests", fmt.Sprintf("must be a list of at most %d guests besides the one of the reservation",
			maxGuests))
		r.keepCompanions()
		return
	}
	if !r.guests {
		return
	}
	for i, one := range list {
		r.companion(fields{prefix: fmt.Sprintf("%s.guests[%d]", f.prefix, i), item: f.item, lenient: f.lenient}, one, i,
			main)
	}
}

func (r *reading) companion(g fields, v any, i int, c Change) {
	var ok bool
	if g.values, ok = v.(map[string]any); !ok {
		g.drop("", "must be an object")
		r.keepCompanions()
		return
	}
	g.only("guest_id", "guest_email", "guest_name", "guest_phone")
	s := *c.Reservation
	s.GuestID, s.GuestEmail, s.GuestName, s.GuestPhone = g.dropID("guest_id"), g.email(),
		g.text("guest_name"), g.phone()
	name := strconv.Itoa(i + 2)
	if s.GuestID != nil {
		name = *s.GuestID
	}
	s.Companion = "_guest-" + name
	s.ReservationID += s.Companion
	if err := CheckID(s.ReservationID); err != nil {
		g.drop("guest_id", "makes the id of a reservation that is too long: this guest gets no key")
		r.keepCompanions()
		return
	}
	c.Reservation, c.Notes = &s, nil
	r.changes = append(r.changes, c)
}

// keepCompanions keeps the known guests of a stay if the event's list of guests could not be read.
func (r *reading) keepCompanions() {
	for i := len(r.changes) - 1; i >= 0; i-- {
		if s := r.changes[i].Reservation; s != nil && s.Companion == "" {
			s.Rest = s.Rest && r.statuses[s.StatusClass] == Cancelled
			return
		}
	}
}
