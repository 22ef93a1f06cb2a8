package intake

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// This file takes a batch's locks. All writers of stays keep one order, so that none of them can deadlock:
//
//	bookings and guests   advisory locks, of what several reservations belong to
//	listings              FOR SHARE, or FOR NO KEY UPDATE where an event changes one
//	reservations          FOR NO KEY UPDATE
//	mobile keys           by RequestKeys, in save.go
//	ACS users             by the provisioner only, under a key's lease
//
// and within each kind ids ascend, compared with COLLATE "C". What is needed is known only step by step: the rooms of a
// booking and the reservations of a guest once those are locked, the listings of reservations that an event completes
// once they are read. A reservation that moved to another listing between that read and its lock is [store.ErrRaced]:
// the batch is undone and repeated.
//
// An event that follows a postponed one about the same object leaves the batch here (stepBack), so that the order of
// receipt holds. It is put back with the time of the one that it waits for.

// locking locks what mapped events are about, and reads it into rows.
type locking struct {
	*rows

	events  []*mapped                 // those that remain in the batch
	requeue []store.Requeue           // those that left it
	names   map[stay.Ref]bool         // possible ids of bookings' reservations, see possibleNames
	tries   map[uuid.UUID][]store.Try // the requests for the documents of events
}

func newLocking(rs *rows, events []*mapped) *locking { return &locking{rows: rs, events: events} }

// lock locks what the events are about, in the order that everybody keeps: bookings and guests, listings,
// reservations. What can't be known before that (the rooms of bookings, and the reservations of guests) is read under
// the locks already held.
func (l *locking) lock(ctx context.Context, tx pgx.Tx, anyPostponed bool) error {
	bookings, guests := l.shared()
	if err := store.LockShared(ctx, tx, bookings, guests); err != nil {
		return err
	}

	if err := l.findRooms(ctx, tx, bookings); err != nil {
		return err
	}
	if anyPostponed {
		if err := l.stepBack(ctx, tx); err != nil {
			return err
		}
	}
	if err := l.readTries(ctx, tx); err != nil {
		return err
	}
	if err := l.readGuests(ctx, tx, guests); err != nil {
		return err
	}
	return l.lockRows(ctx, tx)
}

// readGuests reads what is known of guests, and the reservations of those that change.
func (l *locking) readGuests(ctx context.Context, tx pgx.Tx, guests []stay.Ref) (err error) {
	if l.guests, err = store.Guests(ctx, tx, guests); err != nil {
		return err
	}
	l.ofGuest, err = store.ReservationsOfGuests(ctx, tx, l.changedGuests(), l.now)
	return err
}

// lockRows locks listings, then reservations.
func (l *locking) lockRows(ctx context.Context, tx pgx.Tx) error {
	n := l.needed()
	had, err := store.ListingsOf(ctx, tx, n.completed)
	if err != nil {
		return err
	}
	if err := l.lockListings(ctx, tx, append(n.listings, had...), n.changesListings); err != nil {
		return err
	}
	if l.reservations, err = store.LockReservations(ctx, tx, n.reservations); err != nil {
		return err
	}

	for _, ref := range n.completed {
		if id := l.reservations[ref].ListingID; id != nil {
			if _, locked := l.listings[stay.ListingRef{Source: ref.Source, ListingID: *id}]; !locked {
				return store.ErrRaced // it has moved in the meantime
			}
		}
	}
	return nil
}

// readTries reads when the documents of events were requested.
func (l *locking) readTries(ctx context.Context, tx pgx.Tx) (err error) {
	var fetched []uuid.UUID
	for _, m := range l.events {
		if m.Documents != nil {
			fetched = append(fetched, m.EventID)
		}
	}
	if len(fetched) == 0 {
		return nil
	}
	l.tries, err = store.Tries(ctx, tx, fetched)
	for _, m := range l.events {
		for _, t := range l.tries[m.EventID] {
			if t.At.After(m.asked) {
				m.asked = t.At
			}
		}
	}
	return err
}

// shared are the bookings and guests that several reservations may belong to.
func (l *locking) shared() (bookings, guests []stay.Ref) {
	for _, m := range l.events {
		for _, c := range m.changes {
			if r := c.Reservation; r != nil {
				if r.BookingID != "" {
					bookings = append(bookings, stay.Ref{Source: m.Source, ReservationID: r.BookingID})
				}
				if r.GuestID != nil {
					guests = append(guests, stay.Ref{Source: m.Source, ReservationID: *r.GuestID})
				}
			}
			if c.Guest != nil {
				guests = append(guests, stay.Ref{Source: m.Source, ReservationID: c.Guest.GuestID})
			}
		}
		for _, lost := range m.says.Rejected {
			if lost.BookingID != "" {
				bookings = append(bookings, stay.Ref{Source: m.Source, ReservationID: lost.BookingID})
			}
		}
	}
	return bookings, guests
}

func (l *locking) changedGuests() []stay.Ref {
	var guests []stay.Ref
	for _, m := range l.events {
		for _, c := range m.changes {
			if c.Guest != nil {
				guests = append(guests, stay.Ref{Source: m.Source, ReservationID: c.Guest.GuestID})
			}
		}
	}
	return guests
}

// findRooms finds the reservations of bookings.
func (l *locking) findRooms(ctx context.Context, tx pgx.Tx, bookings []stay.Ref) error {
	known, err := store.ReservationsOfBookings(ctx, tx, bookings)
	for _, k := range known {
		booking := stay.Ref{Source: k.Source, ReservationID: k.BookingID}
		l.bookings[booking] = append(l.bookings[booking], stay.Ref{Source: k.Source, ReservationID: k.ReservationID})
	}
	return err
}

// needed is what has to be locked.
type needed struct {
	listings        []stay.ListingRef
	changesListings bool
	reservations    []stay.Ref
	completed       []stay.Ref // their times are completed from the listing that they have, which no event names
}

func (l *locking) needed() needed {
	var n needed
	for _, m := range l.events {
		for _, c := range m.changes {
			switch {
			case c.Reservation != nil:
				n.reservation(m.Source, *c.Reservation)
			case c.Listing != nil:
				n.changesListings = true
				n.listing(m.Source, c.Listing.ListingID)
			case c.Merge != nil:
				n.changesListings = true
				n.listing(m.Source, c.Merge.From)
				n.listing(m.Source, c.Merge.Into)
			}
		}
		for _, lost := range m.says.Rejected {
			if lost.ReservationID != "" {
				n.reservations = append(n.reservations, stay.Ref{Source: m.Source, ReservationID: lost.ReservationID})
			}
		}
	}

	for _, refs := range l.bookings {
		n.reservations = append(n.reservations, refs...)
	}

	l.names = l.possibleNames()
	for ref, inherits := range l.names {
		n.reservations = append(n.reservations, ref)
		if inherits {
			n.completed = append(n.completed, ref)
		}
	}

	for _, refs := range l.ofGuest {
		n.reservations = append(n.reservations, refs...)
	}
	return n
}

func (n *needed) reservation(source string, r pms.Reservation) {
	ref := stay.Ref{Source: source, ReservationID: r.ReservationID}
	n.reservations = append(n.reservations, ref)
	for _, s := range r.Segments {
		if s.ListingID != nil {
			n.listing(source, *s.ListingID)
		}
	}
	switch {
	case r.ListingID != nil:
		n.listing(source, *r.ListingID)
	case inheritsListing(r) && r.BookingID == "":
		n.completed = append(n.completed, ref)
	}
}

// inheritsListing reports whether a change relies on the listing that its reservation has.
func inheritsListing(r pms.Reservation) bool {
	return r.ListingID == nil && r.Partial && !r.NoRoom && r.Status == pms.Confirmed
}

func (n *needed) listing(source, id string) {
	n.listings = append(n.listings, stay.ListingRef{Source: source, ListingID: id})
}

// stepBack removes events from the batch that are about the same objects as an earlier, postponed one: if each event
// carries only a part, the later one must not be applied first.
func (l *locking) stepBack(ctx context.Context, tx pgx.Tx) error {
	earlier, err := store.EventsPutBack(ctx, tx)
	if err != nil || len(earlier) == 0 {
		return err
	}

	var remaining []*mapped
	for _, m := range l.events {
		about := m.about()
		at := slices.IndexFunc(earlier, func(p store.PutBack) bool {
			return p.Seq < m.Seq && slices.ContainsFunc(p.About,
				func(what string) bool { return slices.Contains(about, what) })
		})
		if at < 0 {
			remaining = append(remaining, m)
			continue
		}

		until := earlier[at].NotBefore
		if !until.After(l.now) {
			until = l.now.Add(time.Second)
		}
		l.requeue = append(l.requeue, store.Requeue{Event: m.Event, NotBefore: &until, Tries: m.Tries, About: about})
		earlier = append(earlier, store.PutBack{Seq: m.Seq, NotBefore: until, About: about})
	}

	l.events = remaining
	return nil
}

// about lists the objects for which the order of an event matters.
func (m *mapped) about() []string {
	var about []string
	for _, c := range m.changes {
		switch {
		case c.Reservation != nil:
			about = append(about, "reservation/"+m.Source+"/"+c.Reservation.ReservationID)
			if c.Reservation.BookingID != "" { // its reservation's id is decided later
				about = append(about, "booking/"+m.Source+"/"+c.Reservation.BookingID)
			}
		case c.Listing != nil:
			about = append(about, "listing/"+m.Source+"/"+c.Listing.ListingID)
		case c.Merge != nil:
			about = append(about, "listing/"+m.Source+"/"+c.Merge.From, "listing/"+m.Source+"/"+c.Merge.Into)
		case c.Guest != nil:
			about = append(about, "guest/"+m.Source+"/"+c.Guest.GuestID)
		}
	}
	slices.Sort(about)
	return slices.Compact(about)
}
