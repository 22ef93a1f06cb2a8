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

// The answer to the delete of an erasure is lost, and it takes effect when the guest has booked again: the new stay
// uses no identity that may still be deleted.
func TestBookedAfterALostErasure(t *testing.T) {
	t.Parallel()
	for name, fault := range lostDeletes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newLossyRig(t, fast(), simulator.Options{})
			r.listing("default", "L", "555555-5555")
			first, again := r.stay("R1"), r.stay("R2")
			issued(r, &first)
			r.cancel(first)
			r.until(first, store.KeyRevoked)
			r.advance(time.Minute)

			fault.Path = seam.PathIdentityDelete
			r.sim.Inject(fault)
			_, err := r.prov.EraseGuest(context.Background(), first.email, store.Audit{Action: "erase_guest"})
			if err == nil {
				t.Error("an erasure whose delete was lost reports success")
			}
			r.book(again)
			r.mustLast(again)
		})
	}
}

// An erasure is repeated after its delete was lost, and Seam refuses the second delete: the first may still take
// effect.
func TestARefusedErasureKeepsTheMarkOfALostOne(t *testing.T) {
	t.Parallel()
	r := newLossyRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "555555-5555")
	first, again := r.stay("R1"), r.stay("R2")
	issued(r, &first)
	r.cancel(first)
	r.until(first, store.KeyRevoked)
	r.advance(time.Minute)

	r.sim.Inject(simulator.Fault{Kind: simulator.Late, Path: seam.PathIdentityDelete, Delay: 8 * time.Second})
	r.sim.Inject(simulator.Fault{Kind: simulator.Forbidden, Path: seam.PathIdentityDelete})
	for range 2 {
		_, err := r.prov.EraseGuest(context.Background(), first.email, store.Audit{Action: "erase_guest"})
		if err == nil {
			t.Error("an erasure whose delete was lost or refused reports success")
		}
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
			r := newLossyRig(t, fast(), simulator.Options{})
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
