package intake

import (
	"fmt"
	"slices"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/store"
)

// Rooms of one booking are a reservation each. What a room's reservation is called must not depend on how many rooms the booking
// has at the moment, or a guest's key would be replaced because a second room was booked. So a name, once given, stays with its
// room: a booking that is first seen with one room gives it the booking's own id; rooms that come later, and all rooms of a
// booking that is first seen with several, are booking_unit. A room that is exchanged for another one hands its reservation on.

// rooms are the reservations of one booking, by which its rooms are named. It remembers the names that it gives.
type rooms struct {
	booking string
	known   []store.RoomOfBooking // in the order of their ids
}

// name gives the changes of one event about the booking their reservations' ids. Items that were rejected are among them, without a
// status: their rooms count, but are not remembered.
func (r *rooms) name(changes []*pms.Reservation) {
	units := unitsOf(changes)
	ids := make([]string, len(changes))
	for i, c := range changes { // all before the first is remembered
		ids[i] = r.idOf(c, units, changes)
	}
	for i, c := range changes {
		c.ReservationID = ids[i] + c.Companion
		if c.Status != "" && c.Companion == "" {
			r.note(ids[i], c)
		}
	}
}

// unitsOf are the units that an event names, each once.
func unitsOf(changes []*pms.Reservation) []string {
	var units []string
	for _, c := range changes {
		if c.Unit != "" && !slices.Contains(units, c.Unit) {
			units = append(units, c.Unit)
		}
	}
	return units
}

func (r *rooms) idOf(c *pms.Reservation, units []string, all []*pms.Reservation) string {
	if c.Unit == "" {
		return r.idOfWhole(c)
	}
	full := r.booking + "_" + c.Unit
	for _, k := range r.known {
		if (k.Unit != nil && *k.Unit == c.Unit) || (k.Unit == nil && k.ReservationID == full) {
			return k.ReservationID
		}
	}
	switch {
	case len(r.known) == 0 && len(units) == 1:
		return r.booking
	case r.isUnnamed() && r.successor(all) == c.Unit:
		return r.booking
	}
	if left := r.exchanged(c, units); left != "" {
		return left
	}
	return r.free(full)
}

// free is a name that no other room has: a room that was exchanged has left its name to the one that came for it, and may come back.
func (r *rooms) free(name string) string {
	free := name
	for n := 2; slices.ContainsFunc(r.known, func(k store.RoomOfBooking) bool { return k.ReservationID == free }); n++ {
		free = fmt.Sprintf("%s_%d", name, n)
	}
	return free
}

// exchanged is the reservation whose room is exchanged for another one: the booking has one room less and one more. The stay moves,
// and with it the guest's key. Some PMSs know rooms of a booking by the property alone.
func (r *rooms) exchanged(c *pms.Reservation, units []string) string {
	if !c.Rest || c.Status != pms.Confirmed {
		return ""
	}
	left, gone, fresh := "", 0, len(units)
	for _, k := range r.known {
		switch {
		case k.Unit != nil && slices.Contains(units, *k.Unit):
			fresh--
		case k.Unit != nil && k.Status == pms.Confirmed:
			left = k.ReservationID
			gone++
		}
	}
	if gone != 1 || fresh != 1 {
		return ""
	}
	return left
}

// idOfWhole is what a change is about that names no room: the booking's own reservation, or, where the booking's rooms have names
// of their own, the one that it fits.
func (r *rooms) idOfWhole(c *pms.Reservation) string {
	if len(r.known) == 0 || c.Status != pms.Confirmed {
		return r.booking
	}
	fits := ""
	for _, k := range r.known {
		switch {
		case k.Status != pms.Confirmed:
		case k.ReservationID == r.booking:
			return r.booking
		case fits == "" || (c.ListingID != nil && k.ListingID != nil && *k.ListingID == *c.ListingID):
			fits = k.ReservationID
		}
	}
	if fits == "" {
		return r.booking
	}
	return fits
}

// isUnnamed tells whether the booking has one reservation, whose room is not known: it was seen without rooms, or by a version that
// didn't remember them.
func (r *rooms) isUnnamed() bool {
	return len(r.known) == 1 && r.known[0].ReservationID == r.booking && r.known[0].Unit == nil
}

// successor is the unit that the reservation without one belongs to: the one with the same listing, else the first.
func (r *rooms) successor(changes []*pms.Reservation) string {
	first := ""
	for _, c := range changes {
		if c.Unit == "" {
			continue
		}
		if first == "" {
			first = c.Unit
		}
		if at := r.known[0].ListingID; at != nil && c.ListingID != nil && *at == *c.ListingID {
			return c.Unit
		}
	}
	return first
}

// note remembers a name that an event gives, for those after it.
func (r *rooms) note(id string, c *pms.Reservation) {
	var unit *string
	if c.Unit != "" {
		unit = &c.Unit
	}
	at := slices.IndexFunc(r.known, func(k store.RoomOfBooking) bool { return k.ReservationID == id })
	if at < 0 {
		r.known = append(r.known, store.RoomOfBooking{BookingID: r.booking, ReservationID: id, Unit: unit, ListingID: c.ListingID, Status: c.Status})
		return
	}
	if unit != nil {
		r.known[at].Unit = unit
	}
	r.known[at].Status = c.Status
	if c.ListingID != nil {
		r.known[at].ListingID = c.ListingID
	}
}
