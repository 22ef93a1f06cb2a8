package intake

import (
	"fmt"
	"slices"
	"strings"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// Each room of a booking is a reservation. The id of a room's reservation must not depend on how many rooms the
// booking has at the moment, or a guest's key would be replaced because a second room was booked. So a name, once
// given, stays with its room: a booking that is first seen with one room gives it the booking's own id; rooms that
// are added later, and all rooms of a booking that is first seen with several, are called booking_unit. A room that
// is exchanged for another hands its reservation on.

// Names are given while the events are folded, from what the rows contain at that moment: an event that is late,
// repeated or irrelevant to keys leaves no trace in them, whether it is applied in a batch with others or alone.

// rooms are the reservations of one booking, by which its rooms are named.
type rooms struct {
	booking string
	known   []store.Reservation // in the order of their ids
}

// roomsOf returns the present rooms of a booking.
func (rs *rows) roomsOf(booking stay.Ref) rooms {
	r := rooms{booking: booking.ReservationID}
	refs := slices.Clone(rs.bookings[booking])
	if !slices.Contains(refs, booking) {
		refs = append(refs, booking)
	}
	slices.SortFunc(refs, stay.Ref.Compare)
	for _, ref := range refs {
		if row := rs.reservations[ref]; row.VersionSeq > 0 && !isCompanion(ref, refs) {
			r.known = append(r.known, row)
		}
	}
	return r
}

// isCompanion reports whether a reservation belongs to an additional guest of a room: it is not a room of its own.
func isCompanion(ref stay.Ref, all []stay.Ref) bool {
	return slices.ContainsFunc(all, func(room stay.Ref) bool {
		begin := room.ReservationID + companion
		return len(ref.ReservationID) > len(begin) && strings.HasPrefix(ref.ReservationID, begin)
	})
}

// companion separates the room's id from the additional guest's in a reservation's id.
const companion = "_guest-"

// nameRooms names the rooms of an event, booking by booking.
func (f *folding) nameRooms(m *mapped) {
	of := map[stay.Ref][]*pms.Reservation{}
	add := func(booking string, r *pms.Reservation) {
		ref := stay.Ref{Source: m.Source, ReservationID: booking}
		of[ref] = append(of[ref], r)
	}
	for _, c := range m.changes {
		if r := c.Reservation; r != nil && r.BookingID != "" {
			add(r.BookingID, r)
		}
	}

	lost := make([]*pms.Reservation, len(m.says.Rejected))
	for i, item := range m.says.Rejected {
		if item.BookingID != "" {
			lost[i] = &pms.Reservation{BookingID: item.BookingID, Unit: item.Unit}
			add(item.BookingID, lost[i])
		}
	}
	if len(of) == 0 {
		return
	}
	for booking, changes := range of {
		f.roomsOf(booking).name(changes)
		for _, c := range changes {
			ref := stay.Ref{Source: booking.Source, ReservationID: c.ReservationID}
			if _, looked := f.names[ref]; !looked && f.reservations[ref].VersionSeq == 0 {
				f.unlocked = true
			}
		}
	}

	for i, r := range lost {
		if r != nil {
			m.says.Rejected[i].ReservationID = r.ReservationID
		}
	}

	m.ReservationID, m.ListingID = nil, nil
	m.describe()
}

// possible is what the reservations of one booking in a batch may be called.
type possible struct {
	rooms      []string
	companions []string
	inherit    bool // an event of the booking relies on the listing that its reservation has
}

// possibleNames are the ids that the reservations of the batch's bookings may get: those that exist are locked before
// anything is decided. The value reports whether a reservation's own listing is locked, too.
func (l *locking) possibleNames() map[stay.Ref]bool {
	bookings := map[stay.Ref]*possible{}
	for _, m := range l.events {
		for _, c := range m.changes {
			if r := c.Reservation; r != nil && r.BookingID != "" {
				p := l.possible(bookings, stay.Ref{Source: m.Source, ReservationID: r.BookingID}, r.Unit)
				p.companions = append(p.companions, r.Companion)
				p.inherit = p.inherit || inheritsListing(*r)
			}
		}
		for _, lost := range m.says.Rejected {
			if lost.BookingID != "" {
				l.possible(bookings, stay.Ref{Source: m.Source, ReservationID: lost.BookingID}, lost.Unit)
			}
		}
	}

	names := map[stay.Ref]bool{}
	for booking, p := range bookings {
		for _, room := range unique(p.rooms) {
			for _, companion := range unique(append(p.companions, "")) {
				names[stay.Ref{Source: booking.Source, ReservationID: room + companion}] = p.inherit
			}
		}
	}
	return names
}

func (l *locking) possible(bookings map[stay.Ref]*possible, booking stay.Ref, unit string) *possible {
	p := bookings[booking]
	if p == nil {
		p = &possible{rooms: []string{booking.ReservationID}}
		for _, known := range l.bookings[booking] {
			p.rooms = append(p.rooms, known.ReservationID)
		}
		bookings[booking] = p
	}
	if unit != "" {
		p.rooms = append(p.rooms, l.namesOf(booking, unit)...)
	}
	return p
}

// namesOf are the possible names of a new room: from its unit, with a number if others have that name.
func (l *locking) namesOf(booking stay.Ref, unit string) []string {
	full := booking.ReservationID + "_" + unit
	names := []string{full}
	for n := 2; ; n++ {
		name := numbered(full, n)
		names = append(names, name)
		if !slices.Contains(l.bookings[booking], stay.Ref{Source: booking.Source, ReservationID: name}) {
			return names
		}
	}
}

func numbered(name string, n int) string { return fmt.Sprintf("%s_%d", name, n) }

func unique(list []string) []string {
	list = slices.Sorted(slices.Values(list))
	return slices.Compact(list)
}

// name sets the reservation ids in one event's changes of the booking. Rejected items are included, without a status:
// their rooms count.
func (r rooms) name(changes []*pms.Reservation) {
	units := unitsOf(changes)
	for _, c := range changes {
		c.ReservationID = r.idOf(c, units, changes) + c.Companion
	}
}

// unitsOf are the distinct units that an event names.
func unitsOf(changes []*pms.Reservation) []string {
	var units []string
	for _, c := range changes {
		if c.Unit != "" && !slices.Contains(units, c.Unit) {
			units = append(units, c.Unit)
		}
	}
	return units
}

func (r rooms) idOf(c *pms.Reservation, units []string, all []*pms.Reservation) string {
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

// free is a name that no other room has: a room that was exchanged has left its name to its replacement, and may
// return.
func (r rooms) free(name string) string {
	free := name
	for n := 2; slices.ContainsFunc(r.known, func(k store.Reservation) bool { return k.ReservationID == free }); n++ {
		free = numbered(name, n)
	}
	return free
}

// exchanged is the reservation whose room is exchanged for another: the booking has one room less and one more. The
// stay moves, and with it the guest's key. Some PMSs identify rooms of a booking only by the property.
func (r rooms) exchanged(c *pms.Reservation, units []string) string {
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

// idOfWhole is the reservation that a change is about if it names no room: the booking's own reservation, or, if the
// booking's rooms have names of their own, the one that matches.
func (r rooms) idOfWhole(c *pms.Reservation) string {
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

// isUnnamed reports whether the booking has one reservation with an unknown room: it was seen without rooms, or by a
// version that didn't store them.
func (r rooms) isUnnamed() bool {
	return len(r.known) == 1 && r.known[0].ReservationID == r.booking && r.known[0].Unit == nil
}

// successor is the unit that the reservation without one belongs to: the one with the same listing, or else the
// first.
func (r rooms) successor(changes []*pms.Reservation) string {
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
