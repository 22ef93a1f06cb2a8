package provisioner_test

import (
	"sync"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

// Somebody unlinked the guest, and the repair is delayed. The guest is linked before the key counts as issued.
func TestLinkThatIsPutOff(t *testing.T) {
	t.Parallel()
	for _, unlisted := range []bool{false, true} {
		r, s := newStay(t, simulator.Options{})
		r.advance(time.Minute)
		if unlisted {
			r.sim.Configure(func(o *simulator.Options) { o.Omit = []string{"acs_user.user_identity_id"} })
		}
		r.alter(s, func(u *simulator.User) { u.IdentityID = "" })
		r.sim.Inject(simulator.Fault{
			Kind: simulator.Limited, Path: seam.PathIdentityAddUser, Count: 4,
			RetryAfter: 10 * time.Millisecond,
		})
		r.recheck(s)
		r.rest(s)
		r.until(s, store.KeyIssued)
		r.mustHold(s.id, s.wants(system, "555555-5555"))
	}
}

// The comparison that an admin asked for is answered without is_suspended, and only the read-back shows that the ACS
// user is suspended: it is unsuspended anyway.
func TestSuspensionThatOnlyTheReadBackShows(t *testing.T) {
	t.Parallel()
	r, s := newStay(t, simulator.Options{})
	r.advance(time.Minute)
	r.alter(s, func(u *simulator.User) { u.Suspended = true })
	r.sim.Inject(simulator.Fault{Kind: simulator.NoOptional, Path: "/acs/users/get"})
	r.mustAct(s, intake.Action{Kind: intake.ActionReconcile})
	waitFor(t, "the ACS user to be unsuspended", func() bool {
		for _, u := range r.sim.State().Users {
			if u.Suspended {
				return false
			}
		}
		return true
	})
	r.until(s, store.KeyIssued)
}

// A door is removed from a listing and added again before its stays are updated. The answer to the closing call was
// lost, although it took effect, and reads still show the door open: the key is not shown as issued before the door
// is open again.
func TestALostDoorThatIsWantedAgain(t *testing.T) {
	t.Parallel()
	r := newLossyRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "555555-5555", "lobby")
	s := r.stay("R1")
	issued(r, &s)
	r.advance(time.Minute)
	groups := func(of []string) {
		if _, err := r.store.Pool().Exec(t.Context(), "UPDATE listings SET access_group_ids = $1", of); err != nil {
			t.Error(err)
		}
	}
	lost := make(chan struct{})
	var once sync.Once
	r.sim.Configure(func(o *simulator.Options) {
		o.ReadLag = 400 * time.Millisecond
		o.Hook = func(path string, after bool) (drop bool) {
			if path == seam.PathGroupRemove && after {
				once.Do(func() {
					groups([]string{"555555-5555", "lobby"})
					drop = true
					close(lost)
				})
			}
			return drop
		}
	})
	r.listing("default", "L", "555555-5555")
	<-lost
	r.untilThat(s, "issued", func(v store.View) bool {
		return v.Key.Status == store.KeyIssued && v.Key.ObservedGeneration == v.Key.Generation
	})
	r.mustHold(s.id, s.wants(system, "555555-5555", "lobby"))
}
