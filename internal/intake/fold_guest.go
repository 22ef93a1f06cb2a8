package intake

import (
	"slices"

	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// Some PMSs report guests separately from their reservations. What they say is kept for reservations that come later
// (fromGuest), and applied here to those that exist.

// foldGuest updates the reservations of a guest that a PMS reports separately, and remembers the guest for later
// ones. It counts in the order of the guest; if a reservation has the field itself, the later value wins.
func (b guestFold) foldGuest(m *mapped, c change) foldResult {
	says := c.Guest
	guest := store.Ref{Source: m.Source, ReservationID: says.GuestID}
	g := b.guests[guest]
	if g.VersionSeq > 0 && c.before(version{at: g.VersionAt, seq: g.VersionSeq}) {
		return superseded
	}

	g.Source, g.GuestID, g.VersionAt, g.VersionSeq, g.UpdatedAt = m.Source, says.GuestID, c.at, c.seq, b.now
	keep(&g.GuestEmail, says.Email)
	keep(&g.GuestName, says.Name)
	keep(&g.GuestPhone, says.Phone)
	b.guests[guest], b.guestsChanged[guest] = g, true

	v := changesNothing
	for _, ref := range b.reservationsOf(guest) {
		r := b.reservations[ref]
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

		b.changes(ref, r)
		take(&r.GuestEmail, says.Email)
		take(&r.GuestName, says.Name)
		take(&r.GuestPhone, says.Phone)
		r.UpdatedAt = b.now
		b.reservations[ref] = r
		b.entry(ref, m, "applied", nil)
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
func (b guestFold) reservationsOf(guest store.Ref) []store.Ref {
	list := slices.Clone(b.ofGuest[guest])
	for ref := range b.before {
		r := b.reservations[ref]
		if r.Source == guest.Source && stay.Text(r.GuestID) == guest.ReservationID && !slices.Contains(list, ref) {
			list = append(list, ref)
		}
	}
	list = slices.DeleteFunc(list,
		func(ref store.Ref) bool { return stay.Text(b.reservations[ref].GuestID) != guest.ReservationID })
	slices.SortFunc(list, store.Ref.Compare)
	return list
}
