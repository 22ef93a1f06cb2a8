package intake

import (
	"slices"

	"github.com/staykey/staykey/internal/stay"
)

// Some PMSs report guests separately from their reservations. What they say is kept for reservations that come later
// (fromGuest), and applied here to those that exist.

// guestFold folds changes of guests.
type guestFold struct {
	*rows
	stays         *stayChanges
	guestsChanged map[stay.Ref]bool
}

// foldGuest updates the reservations of a guest that a PMS reports separately, and remembers the guest for later
// ones. It counts in the order of the guest; if a reservation has the field itself, the later value wins.
func (f guestFold) foldGuest(m *mapped, c change) foldResult {
	says := c.Guest
	guest := stay.Ref{Source: m.Source, ReservationID: says.GuestID}
	g := f.guests[guest]
	if g.VersionSeq > 0 && c.before(version{at: g.VersionAt, seq: g.VersionSeq}) {
		return superseded
	}

	g.Source, g.GuestID, g.VersionAt, g.VersionSeq, g.UpdatedAt = m.Source, says.GuestID, c.at, c.seq, f.now
	keep(&g.GuestEmail, says.Email)
	keep(&g.GuestName, says.Name)
	keep(&g.GuestPhone, says.Phone)
	f.guests[guest], f.guestsChanged[guest] = g, true

	v := changesNothing
	for _, ref := range f.reservationsOf(guest) {
		r := f.reservations[ref]
		take := keep
		if c.before(versionOf(r)) { // the reservation's own fields are later; the guest's fill in the rest
			take = keepMissing
			if (says.Email == nil || r.GuestEmail != nil) && (says.Name == nil || r.GuestName != nil) &&
				(says.Phone == nil || r.GuestPhone != nil) {
				if v == changesNothing {
					v = superseded
				}
				continue
			}
		}

		f.stays.changes(ref, r)
		take(&r.GuestEmail, says.Email)
		take(&r.GuestName, says.Name)
		take(&r.GuestPhone, says.Phone)
		r.UpdatedAt = f.now
		f.reservations[ref] = r
		f.stays.entry(ref, m, "applied", nil)
		v = applied
	}
	return v
}

func keep(field **string, value *string) {
	if value != nil {
		*field = value
	}
}

func keepMissing(field **string, value *string) {
	if *field == nil {
		*field = value
	}
}

// reservationsOf are the reservations of a guest, including those of this batch.
func (f guestFold) reservationsOf(guest stay.Ref) []stay.Ref {
	list := slices.Clone(f.ofGuest[guest])
	for ref := range f.stays.before {
		r := f.reservations[ref]
		if r.Source == guest.Source && stay.Text(r.GuestID) == guest.ReservationID && !slices.Contains(list, ref) {
			list = append(list, ref)
		}
	}
	list = slices.DeleteFunc(list,
		func(ref stay.Ref) bool { return stay.Text(f.reservations[ref].GuestID) != guest.ReservationID })
	slices.SortFunc(list, stay.Ref.Compare)
	return list
}
