package provisioner_test

import (
	"testing"
	"time"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

// An admin's reconcile can't be completed, because Seam's list answers 404 for good. What somebody suspends days later
// was not meant by it.
func TestAnOldRequestLiftsNoSuspension(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "555555-5555")
	s := r.stay("R1")
	s.in = r.now().Add(30 * 24 * time.Hour).Truncate(time.Millisecond)
	s.out = s.in.Add(48 * time.Hour)
	issued(r, &s)
	r.rest(s)
	r.sim.Inject(simulator.Fault{Kind: simulator.WrongNotFound, Path: "/acs/users/list", Count: -1})
	r.mustAct(s, intake.Action{Kind: intake.ActionReconcile})
	r.rested(s)
	r.advance(72 * time.Hour)
	r.rested(s)
	r.alter(s, func(u *simulator.User) { u.Suspended = true })
	r.recheck(s)
	r.untilThat(s, "the suspension", func(v store.View) bool {
		return v.Key.Status == store.KeyAttention && str(v.Key.Reason) == "suspended_at_seam"
	})
}
