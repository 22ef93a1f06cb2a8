package intake

import (
	"slices"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// A change of a reservation, or of a whole booking, on its way into rows:
//
//	foldBooking         a whole booking: its order counts for all rooms, and rooms that it no longer has are cancelled
//	foldReservation     one reservation: superseded, repeated, unsure, or applied
//	applyReservation    what it says about dates, listing and guest
//	checkedIn           whether the stay has begun
//	fromGuest           what the guest's own events say where the reservation says nothing, or something older

// reservationFold folds changes of reservations and bookings.
type reservationFold struct {
	*rows
	stays *stayChanges
}

// foldBooking applies a change of a reservation. A change of a whole booking counts in the order of the booking, and
// revokes the booking's other reservations.
func (f reservationFold) foldBooking(m *mapped, c change) foldResult {
	r := c.Reservation
	if r.Status == "" {
		return changesNothing
	}
	if r.BookingID == "" || !r.Rest {
		return f.foldReservation(m, c)
	}

	booking := stay.Ref{Source: m.Source, ReservationID: r.BookingID}
	siblings := f.bookings[booking]
	if f.anyIsNewer(siblings, c) {
		return superseded
	}

	own := stay.Ref{Source: m.Source, ReservationID: r.ReservationID}
	// A cancel of a whole booking needs no reservation with the booking's own id, if all of its rooms have others.
	elsewhere := r.Status == pms.Cancelled && len(siblings) > 0 && !slices.Contains(siblings, own)
	v := applied
	if !elsewhere {
		v = f.foldReservation(m, c)
	}
	if v == unsure {
		return v
	}

	for _, ref := range siblings {
		if ref != own && !m.named(ref) && (elsewhere || f.reservations[ref].Status != pms.Cancelled) {
			f.cancelSibling(m, c, ref)
		}
	}
	return v
}

// anyIsNewer reports whether one of some reservations has already had a later change.
func (f reservationFold) anyIsNewer(refs []stay.Ref, c change) bool {
	for _, ref := range refs {
		if s := f.reservations[ref]; s.VersionSeq > 0 && c.isOlder(s) {
			return true
		}
	}
	return false
}

// cancelSibling cancels a reservation, if it is known, that its booking no longer includes.
func (f reservationFold) cancelSibling(m *mapped, c change, ref stay.Ref) {
	s := f.reservations[ref]
	if s.VersionSeq == 0 {
		return
	}
	gone := pms.Reservation{
		ReservationID: ref.ReservationID, BookingID: c.Reservation.BookingID,
		Status: pms.Cancelled, Partial: true,
	}
	live := s.Status != pms.Cancelled
	ends := change{version: c.version, foreign: c.foreign, Change: pms.Change{Reservation: &gone}}
	if f.foldReservation(m, ends) == applied && live {
		f.stays.entry(ref, m, "applied: the booking no longer includes it", nil)
	}
}

// named reports whether an event says something about a reservation itself, even if that couldn't be read.
func (m *mapped) named(ref stay.Ref) bool {
	return slices.ContainsFunc(m.changes,
		func(c change) bool { return c.Reservation != nil && c.Reservation.ReservationID == ref.ReservationID }) ||
		slices.ContainsFunc(m.says.Rejected,
			func(lost pms.Rejection) bool { return lost.ReservationID == ref.ReservationID })
}

func (f reservationFold) foldReservation(m *mapped, c change) foldResult {
	says := *c.Reservation
	ref := stay.Ref{Source: m.Source, ReservationID: says.ReservationID}
	r := f.reservations[ref]
	switch {
	case r.VersionSeq > 0 && c.isOlder(r):
		return superseded
	case r.Status == pms.Cancelled && says.Status == pms.Confirmed && hasBody(r.Bodies, c.hashes):
		return repeated
	}

	if f.mayUndo(m, c, r) {
		return unsure
	}

	f.stays.changes(ref, r)
	if r.VersionSeq == 0 {
		r.Source, r.ReservationID, r.CreatedAt = ref.Source, ref.ReservationID, f.now
	}
	r.Status, r.VersionAt, r.VersionSeq, r.UpdatedAt = says.Status, c.at, c.seq, f.now
	r.VersionReceipt = nil
	if c.byReceipt {
		r.VersionReceipt = &c.at
	}

	r.Notes = notesOf(c.Notes, m, f.now)
	if says.Status == pms.Confirmed {
		r.Bodies = withBody(r.Bodies, c.hashes)
	}

	r.Gates = store.MergeGateReports(r.Gates, says.Gates, m.ReceivedAt)
	f.applyReservation(&r, says)
	f.checkedIn(&r, c)
	f.ofBooking(&r, says)
	f.fromGuest(&r, c)
	f.mayMoveBack(m, c, f.reservations[ref], r)
	f.reservations[ref] = r

	return applied
}

// applyReservation applies what a change says about its reservation to the row. In a complete reservation, an
// unspecified field means none.
func (f reservationFold) applyReservation(r *store.Reservation, says pms.Reservation) {
	whole := says.Whole()
	set := func(field **string, value *string) {
		if whole || value != nil {
			*field = value
		}
	}
	set(&r.ListingID, f.present(r.Source, says.ListingID))
	if says.NoRoom {
		r.ListingID = nil
	}
	set(&r.GuestEmail, says.GuestEmail)
	set(&r.GuestName, says.GuestName)
	set(&r.GuestPhone, says.GuestPhone)
	set(&r.GuestLanguage, says.GuestLanguage)
	set(&r.CheckInText, momentText(says.CheckIn))
	set(&r.CheckOutText, momentText(says.CheckOut))
	set(&r.GuestID, says.GuestID)
	switch {
	case len(says.Segments) > 0:
		r.Segments = encodeSegments(says.Segments)
	case whole, says.ListingID != nil, says.NoRoom:
		r.Segments = nil
	}
}

// ofBooking records which booking and room a reservation belongs to.
func (f reservationFold) ofBooking(r *store.Reservation, says pms.Reservation) {
	if says.Unit != "" && says.Companion == "" {
		r.Unit = &says.Unit
	}
	if says.BookingID == "" {
		return
	}
	booking := stay.Ref{Source: r.Source, ReservationID: says.BookingID}
	if says.BookingID != r.ReservationID && r.BookingID == nil {
		r.BookingID = &says.BookingID
	}
	if !slices.Contains(f.bookings[booking], r.Ref()) {
		f.bookings[booking] = append(f.bookings[booking], r.Ref())
	}
}

// movedOn is how long before its planned check-in a stay may have been reported as begun. If the PMS moves a stay
// further than that, the check-in no longer counts.
const movedOn = 48 * time.Hour

// checkedIn records that the PMS has reported a stay as begun. Later events that don't mention it don't change that,
// until the reservation is cancelled or moved to other days.
func (f reservationFold) checkedIn(r *store.Reservation, c change) {
	says := c.Reservation
	if says.Status == pms.Cancelled {
		r.CheckedInAt = nil
		return
	}
	if says.CheckedIn {
		at := says.CheckedInAt
		if at.IsZero() || at.After(f.now) {
			at = c.at
		}
		if r.CheckedInAt == nil || !says.CheckedInAt.IsZero() {
			r.CheckedInAt = &at
		}
		return
	}
	if r.CheckedInAt == nil || says.CheckIn == nil {
		return
	}
	if planned, err := says.CheckIn.Resolve(time.UTC, pms.DefaultCheckInTime); err == nil &&
		planned.After(r.CheckedInAt.Add(movedOn)) {
		r.CheckedInAt = nil
	}
}

// fromGuest fills in a reservation from its guest's own events, where the reservation has no value of its own, or an
// older one.
func (f reservationFold) fromGuest(r *store.Reservation, c change) {
	if r.GuestID == nil || c.Reservation.Status != pms.Confirmed {
		return
	}
	g, known := f.guests[stay.Ref{Source: r.Source, ReservationID: *r.GuestID}]
	if !known || g.VersionSeq == 0 {
		return
	}
	later := c.before(version{at: g.VersionAt, seq: g.VersionSeq})
	for _, field := range []struct {
		of   **string
		says *string
	}{{&r.GuestEmail, g.GuestEmail}, {&r.GuestName, g.GuestName}, {&r.GuestPhone, g.GuestPhone}} {
		if field.says != nil && (later || *field.of == nil) {
			*field.of = field.says
		}
	}
}
