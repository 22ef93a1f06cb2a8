package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/staykey/staykey/internal/provisioner/record"
	"github.com/staykey/staykey/internal/stay"
)

// How closed gates affect a stay that should have a key:
//
//	gate that holds          no key of this guest      a key of this guest
//	key                      nothing is created        the key stays, attention
//	key, revoke              nothing is created        removed while the stay has not begun; after that it stays, attention
//	link, never opened       the key is created        the key stays
//	link, closed again       the key is created        the key stays, attention
//	link, again, revoke      as for key, revoke        as for key, revoke
//
// A key here is an ACS user that exists: anything missing from it is still added, and hours and doors are still
// changed, so that no reduction of access waits for a gate. One that somebody deleted at Seam is restored as without a
// gate, when an admin or a later event asks for it, unless a gate lets nothing be created. An ACS user of another
// guest, or on an access system that the stay has left, is not the stay's key: it is removed at once.

// withGates is d with the effects of its closed gates.
func (d Desired) withGates(users []record.User) Desired {
	holding, again, takes := d.closedGates()
	closed := append(slices.Clone(holding), again...)
	if len(closed) == 0 {
		return d
	}
	path := stay.GatePath(d.Source, d.FullName, closed[0].Name)
	switch key := d.keyUnderGates(users); {
	case takes, key < 0 && len(holding) > 0:
		d.NoKey, d.Stays, d.Create = true, 0, false
		if d.Blocked == nil {
			d.Blocked = waiting(stay.ReasonGateClosed, "Nothing is created while "+named(closed)+".", path)
		}
	case key >= 0 && (len(holding) > 0 || users[key].Exists()):
		d.Stays, d.Create = key+1, false
		if d.Blocked == nil || d.Blocked.StatusWithKey != stay.KeyAttention {
			d.Blocked = attention(stay.ReasonGateClosed, "The key stays, although "+named(closed)+" again.", path)
		}
	}
	return d
}

// closedGates returns the closed gates that let no key be created, those that only hold a link and were open before,
// and whether any of them takes a key away. A gate that holds a link and takes keys away lets none be created once it
// has been open.
func (d Desired) closedGates() (holding, again []stay.Gate, takes bool) {
	for _, g := range d.Gates {
		switch {
		case !g.Closed():
			continue
		case g.Holds == stay.HoldsKey, g.Opened && g.Revoke:
			holding = append(holding, g)
		case g.Opened:
			again = append(again, g)
		default:
			continue
		}
		takes = takes || g.TakesKey() && !d.Begun
	}
	return holding, again, takes
}

// keyUnderGates is the index of the ACS user that is kept under closed gates; -1 for none. While the stay has no
// access system, that is any that exists. One that somebody deleted comes last.
func (d Desired) keyUnderGates(users []record.User) int {
	deleted := -1
	for i, u := range slices.Backward(users) {
		known := u.DeletedAt == nil && u.ACSUserID != nil
		switch {
		case !known || u.GuestKey != d.GuestKey || d.SystemID != "" && u.ACSSystemID != d.SystemID:
		case u.Exists():
			return i
		case deleted < 0:
			deleted = i
		}
	}
	return deleted
}

// named lists gates with their states, for people.
func named(gates []stay.Gate) string {
	parts := make([]string, len(gates))
	for i, g := range gates {
		parts[i] = fmt.Sprintf("gate %q is %s", g.Name, g.State)
	}
	return strings.Join(parts, " and ")
}
