package provisioner_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

// lostDeletes are the ways in which the answer to a delete is lost although it takes effect.
var lostDeletes = map[string]simulator.Fault{
	"late":                 {Kind: simulator.Late, Delay: 4 * time.Second},
	"the answer is lost":   {Kind: simulator.LostAfter},
	"503 after its effect": {Kind: simulator.Error503After},
}

// newFormerGuest is a rig with a cancelled stay, and another one of the same guest that is not booked yet.
func newFormerGuest(t *testing.T) (r *rig, first, again stay) {
	t.Helper()
	r = newLossyRig(t, patient(), simulator.Options{})
	r.listing("default", "L", "555555-5555")
	first, again = r.stay("R1"), r.stay("R2")
	issued(r, &first)
	r.cancel(first)
	r.until(first, store.KeyRevoked)
	r.advance(time.Minute)
	return r, first, again
}

// mustFailToErase erases the guest of a stay, whose delete is lost or refused.
func (r *rig) mustFailToErase(s stay) {
	r.t.Helper()
	if _, err := r.prov.EraseGuest(context.Background(), s.email, store.Audit{Action: "erase_guest"}); err == nil {
		r.t.Error("an erasure whose delete was lost or refused reports success")
	}
}

// The answer to the delete of an erasure is lost, and it takes effect when the guest has booked again: the new stay
// uses no identity that may still be deleted.
func TestBookedAfterALostErasure(t *testing.T) {
	t.Parallel()
	for name, fault := range lostDeletes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, first, again := newFormerGuest(t)
			fault.Path = seam.PathIdentityDelete
			r.sim.Inject(fault)
			r.mustFailToErase(first)
			r.book(again)
			r.mustLast(again)
		})
	}
}

// An erasure is repeated after its delete was lost, and Seam refuses the second delete: the first may still take
// effect.
func TestARefusedErasureKeepsTheMarkOfALostOne(t *testing.T) {
	t.Parallel()
	r, first, again := newFormerGuest(t)
	r.sim.Inject(simulator.Fault{Kind: simulator.Late, Path: seam.PathIdentityDelete, Delay: 8 * time.Second})
	r.sim.Inject(simulator.Fault{Kind: simulator.Forbidden, Path: seam.PathIdentityDelete})
	for range 2 {
		r.mustFailToErase(first)
	}
	r.book(again)
	r.mustLast(again)
}

// A stay with an identity of its own is cancelled. The answer to the delete of that identity is lost, and it takes
// effect when the stay was booked again on another access system.
func TestBookedAfterALostDeleteOfItsIdentity(t *testing.T) {
	t.Parallel()
	for name, fault := range lostDeletes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newLossyRig(t, patient(), simulator.Options{})
			r.listing("default", "L", "555555-5555")
			r.listing("default", "V", "verde-1")
			s := r.stay("R1")
			s.email = ""
			issued(r, &s)
			r.advance(time.Minute)
			r.rest(s)

			fault.Path = seam.PathIdentityDelete
			r.sim.Inject(fault)
			moved := s
			moved.listing = "V"
			var once sync.Once
			r.sim.Configure(func(o *simulator.Options) {
				o.Hook = func(path string, after bool) bool {
					if path == seam.PathIdentityDelete && after {
						once.Do(func() { r.book(moved) })
					}
					return false
				}
			})
			r.cancel(s)
			waitFor(t, "the delete", func() bool { return r.called(seam.PathIdentityDelete) > 0 })
			r.mustLast(moved)
		})
	}
}

// mustLast makes sure that a stay gets its key, and that nothing takes it away later.
func (r *rig) mustLast(s stay) {
	r.t.Helper()
	r.until(s, store.KeyIssued)
	for range 2 {
		r.advance(time.Minute)
		r.recheck(s)
		r.rest(s)
	}
	r.until(s, store.KeyIssued)
	if got := r.holds(s.id); len(got) != 1 || got[0].Keys != 1 {
		r.tell(s)
		r.t.Errorf("Seam holds %+v", got)
	}
	r.mustBeSound()
}
