package provisioner_test

import (
	"sync"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

// cancelDuring has a stay be cancelled while the next call to a path is under way, so that nothing is sent after it
// which the stay still wants.
func (r *rig) cancelDuring(s stay, called string) {
	var once sync.Once
	r.sim.Configure(func(o *simulator.Options) {
		o.Hook = func(path string, after bool) bool {
			if path == called && !after {
				once.Do(func() {
					r.cancel(s)
					waitFor(r.t, "the cancel", func() bool { return r.view(s).Reservation.Status == pms.Cancelled })
				})
			}
			return false
		}
	})
}

// A stay's own identity is created a second time, because somebody deleted the first one. The answer is lost, the stay
// is cancelled at once, and then the create takes effect: the identity is not left at Seam.
func TestALateSecondCreateOfAnIdentity(t *testing.T) {
	t.Parallel()
	for name, hasUser := range map[string]bool{"with an ACS user": true, "without an ACS user": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newLossyRig(t, patient(), simulator.Options{})
			r.listing("default", "L", "555555-5555")
			s := r.stay("R1")
			s.email = ""
			if hasUser {
				issued(r, &s)
				r.rest(s)
			} else {
				r.sim.Inject(simulator.Fault{Kind: simulator.LostBefore, Path: seam.PathUserCreate, Count: -1})
				r.book(s)
				waitFor(t, "a lost create", func() bool { return r.called(seam.PathUserCreate) > 0 })
			}
			r.sim.Heal()
			r.sim.Forget()
			r.sim.Inject(simulator.Fault{Kind: simulator.Late, Path: seam.PathIdentityCreate, Delay: 4 * time.Second})
			r.cancelDuring(s, seam.PathIdentityCreate)
			r.sim.Change(func(st *simulator.State) {
				clear(st.Identities)
				for id, u := range st.Users {
					u.IdentityID = ""
					st.Users[id] = u
				}
			})
			r.advance(time.Minute)
			r.recheck(s)
			waitFor(t, "the second create", func() bool { return r.called(seam.PathIdentityCreate) > 0 || r.pass() })
			r.until(s, store.KeyRevoked)
			r.rest(s)
			for range 2 { // the late look-ups
				r.advance(11 * time.Minute)
				r.rest(s)
			}
			r.mustHold(s.id)
			if left := r.sim.State().Identities; len(left) != 0 {
				r.tell(s)
				t.Errorf("user identities are left: %+v", left)
			}
		})
	}
}
