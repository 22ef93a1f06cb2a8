package provisioner_test

import (
	"sync"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

// A stay is cancelled, the answer to its delete is lost, it is booked again, and its ACS user is kept. If the delete
// takes effect minutes later, the ACS user is created again: nobody else has deleted it.
func TestADeleteThatTakesEffectLate(t *testing.T) {
	t.Parallel()
	for _, delay := range []time.Duration{4 * time.Second, 20 * time.Second, 50 * time.Second, 5 * time.Minute} {
		t.Run(delay.String(), func(t *testing.T) {
			t.Parallel()
			r, s := keptAfterALostDelete(t, simulator.Fault{Kind: simulator.Late, Delay: delay})
			r.advance(delay)
			for range 3 { // the look-ups after a minute, and after ten
				r.advance(11 * time.Minute)
				r.rest(s)
			}
			r.mustLast(s)
		})
	}
}

// Once a lost delete can't take effect any more, a deletion is somebody else's again, and stays.
func TestADeletionLongAfterALostDelete(t *testing.T) {
	t.Parallel()
	r, s := keptAfterALostDelete(t, simulator.Fault{Kind: simulator.LostBefore})
	for range 2 {
		r.advance(11 * time.Minute)
		r.rest(s)
	}
	r.sim.Change(func(st *simulator.State) {
		for _, u := range st.UsersNamed(s.id) {
			delete(st.Users, u.ID)
		}
	})
	r.advance(time.Minute)
	r.recheck(s)
	if v := r.until(s, store.KeyAttention); str(v.Key.Reason) != "removed_at_seam" {
		r.tell(s)
		t.Errorf("%s", str(v.Key.Reason))
	}
}

// keptAfterALostDelete is a rig with a stay that was cancelled and booked again while its delete was lost.
func keptAfterALostDelete(t *testing.T, fault simulator.Fault) (*rig, stay) {
	t.Helper()
	r := newLossyRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "555555-5555")
	s := r.stay("R1")
	issued(r, &s)
	r.advance(time.Minute)
	r.rest(s)

	fault.Path = seam.PathUserDelete
	r.sim.Inject(fault)
	var once sync.Once
	r.sim.Configure(func(o *simulator.Options) {
		o.Hook = func(path string, _ bool) bool {
			if path == seam.PathUserDelete {
				once.Do(func() { r.book(s) })
			}
			return false
		}
	})
	r.cancel(s)
	waitFor(t, "the delete", func() bool { return r.deletes() > 0 || r.called(seam.PathUserDelete) > 0 })
	r.until(s, store.KeyIssued)
	return r, s
}
