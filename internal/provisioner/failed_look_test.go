package provisioner_test

import (
	"testing"
	"time"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/seam/simulator"
)

// A comparison of a key that is issued fails, and is repeated: that takes no status away, also on hold.
func TestAFailedLookTakesNoStatusAway(t *testing.T) {
	t.Parallel()
	for _, hold := range []bool{false, true} {
		for _, kind := range []simulator.FaultKind{simulator.Error500Before, simulator.Limited} {
			t.Run(string(kind)+map[bool]string{true: ", on hold"}[hold], func(t *testing.T) {
				t.Parallel()
				r, s := newStay(t, simulator.Options{})
				r.advance(time.Minute)
				r.rest(s)
				if hold {
					r.mustAct(s, intake.Action{Kind: intake.ActionHold})
				}
				before := r.rest(s).Key
				asked := r.called("/acs/users/get")
				r.sim.Inject(simulator.Fault{Kind: kind, Path: "/acs/users/get", Count: 3})
				r.recheck(s)
				waitFor(t, "a comparison to succeed", func() bool {
					if k := r.view(s).Key; k.Status != before.Status || str(k.Reason) != str(before.Reason) {
						t.Fatalf("the key was %s (%s), and is %s (%s)", before.Status, str(before.Reason), k.Status,
							str(k.Reason))
					}
					return r.called("/acs/users/get") > asked+3
				})
			})
		}
	}
}
