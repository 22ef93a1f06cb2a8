package provisioner_test

import (
	"testing"
	"time"

	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

// Identities that somebody else created, or that answers name by another id.

const hotels = "99999999-9999-4999-8999-999999999999"

// givenAway is a rig in which Jane's identity was adopted from the hotel's own system, which has since given it Bob's
// address.
func givenAway(t *testing.T, before func(r *rig, s stay)) (*rig, stay) {
	t.Helper()
	r := newRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "555555-5555")
	is := func(address string) {
		r.sim.Change(func(st *simulator.State) {
			st.Identities[hotels] = simulator.Identity{ID: hotels, Key: "hotel:1", Email: address}
		})
	}
	is("jane@example.com")
	first := r.stay("R1")
	r.book(first)
	r.until(first, store.KeyIssued)
	r.cancel(first)
	r.until(first, store.KeyRevoked)
	s := r.stay("R2")
	before(r, s)
	is("bob@example.com")
	r.advance(time.Hour)
	return r, s
}

// An identity that was adopted for an address now has another guest's address. The address is free at Seam: the
// guest's next key is on an identity with her address, and the other one is left alone.
func TestAnAdoptedIdentityThatBecameAnotherGuests(t *testing.T) {
	t.Parallel()
	r, s := givenAway(t, func(*rig, stay) {})
	r.book(s)
	r.until(s, store.KeyIssued)
	if got := r.holds(s.id); len(got) != 1 || got[0].Identity != "jane@example.com" {
		r.tell(s)
		t.Errorf("Jane's key is on %+v", got)
	}
	r.mustBeOne(s)
	if _, there := r.sim.State().Identities[hotels]; !there {
		t.Error("the hotel's identity was deleted")
	}
}

// The same, and the next stay has claimed the adopted identity's slot before it was given away.
func TestAClaimedAdoptedIdentityThatBecameAnotherGuests(t *testing.T) {
	t.Parallel()
	r, s := givenAway(t, func(r *rig, s stay) {
		r.sim.Inject(simulator.Fault{Kind: simulator.Conflict, Path: seam.PathUserCreate, Count: 1})
		r.book(s)
		waitFor(t, "the refusal", func() bool { return r.view(s).Key.Status == store.KeyAttention })
	})
	r.until(s, store.KeyIssued)
	if got := r.holds(s.id); len(got) != 1 || got[0].Identity != "jane@example.com" {
		r.tell(s)
		t.Errorf("Jane's key is on %+v", got)
	}
	r.mustBeOne(s)
}

// Seam names another identity in what it answers about ACS users, as after a merge, and a get of ours by its id does
// not show that. What a lost create has made is the stay's all the same: no second one is created.
func TestALostCreateThatNamesAnotherIdentity(t *testing.T) {
	t.Parallel()
	r, first := newStay(t, simulator.Options{})
	r.cancel(first)
	r.until(first, store.KeyRevoked)
	r.sim.Configure(func(o *simulator.Options) { o.ShownIdentity = hotels })
	r.sim.Inject(simulator.Fault{Kind: simulator.LostAfter, Path: seam.PathUserCreate})
	s := r.stay("R2")
	r.book(s)
	r.until(s, store.KeyIssued)
	r.advance(11 * time.Minute)
	r.rest(s)
	r.until(s, store.KeyIssued)
	if n := r.called(seam.PathIdentityAddUser); n != 0 {
		t.Errorf("the ACS user was linked again %d times", n)
	}
	r.mustBeOne(s)
}
