package provisioner_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

// Refusals with statuses and types that Seam's documents don't have: the work is bounded, the stay has a reason, and
// nothing counts as gone.

// passHour lets an hour pass by the rig's clock, attempt by attempt, and returns how many calls Seam received.
func (r *rig) passHour(s stay) int {
	r.t.Helper()
	calls := r.sim.Calls()
	for end := r.now().Add(time.Hour); r.now().Before(end); {
		v := r.rested(s)
		if at := v.Key.NextReconcileAt; at == nil || at.After(end) {
			r.advance(end.Sub(r.now()))
			break
		}
		r.skipTo(v)
	}
	return r.sim.Calls() - calls
}

func (r *rig) untilReason(s stay) store.View {
	r.t.Helper()
	var v store.View
	waitFor(r.t, "a reason", func() bool {
		v = r.rested(s)
		if v.Key.Status == store.KeyAttention && v.Key.Reason != nil {
			return true
		}
		r.skipTo(v)
		return false
	})
	return v
}

func TestReadsThatAreRefusedOddly(t *testing.T) {
	t.Parallel()
	for _, status := range []int{409, 418, 425, 451} {
		for _, path := range []string{"/acs/users/get", "/acs/access_groups/list", "/acs/credentials/list"} {
			t.Run(fmt.Sprintf("%d %s", status, path), func(t *testing.T) {
				t.Parallel()
				r, s := newStay(t, simulator.Options{})
				before := r.view(s)
				r.advance(time.Minute)
				r.sim.Inject(simulator.Fault{
					Kind: simulator.RefusedAfter, Path: path, Status: status, Type: "something_unusual", Count: -1,
				})
				r.mustAct(s, intake.Action{Kind: intake.ActionReconcile})
				r.untilReason(s)
				if n := r.passHour(s); n > 100 {
					t.Errorf("%d calls in an hour", n)
				}
				if v := r.untilReason(s); v.Key.LastError == nil {
					t.Error("the last error doesn't say why")
				}
				if n := len(r.changing()); n != 3 { // those of the booking
					t.Errorf("%d changing calls: %v", n, r.changing())
				}
				r.sim.Heal()
				v := r.untilLater(s, "issued", func(v store.View) bool { return v.Key.Status == store.KeyIssued })
				r.mustKeepIDs(before, v)
				r.mustBeOne(s)
			})
		}
	}
}

func TestCreatesThatAreRefusedOddly(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"salto_ks_subscription_limit_exceeded", "something_unusual"} {
		for _, status := range []int{400, 409, 418, 425, 451} {
			for _, path := range []string{seam.PathIdentityCreate, seam.PathUserCreate, seam.PathCredentialCreate} {
				t.Run(fmt.Sprintf("%s %d %s", kind, status, path), func(t *testing.T) {
					t.Parallel()
					r := newRig(t, fast(), simulator.Options{})
					r.listing("default", "L", "555555-5555")
					s := r.stay("R1")
					r.sim.Inject(simulator.Fault{
						Kind: simulator.RefusedAfter, Path: path, Status: status, Type: kind, Count: 1,
					}, simulator.Fault{
						Kind: simulator.Conflict, Path: path, Type: kind, Count: -1,
					})
					r.book(s)
					r.rested(s)
					if n := r.passHour(s); n > 150 {
						t.Errorf("%d calls in an hour", n)
					}
					if v := r.rested(s); v.Key.Status != store.KeyIssued && v.Key.Reason == nil {
						t.Errorf("%s without a reason", v.Key.Status)
					}
					r.sim.Heal()
					r.untilLater(s, "issued", func(v store.View) bool { return v.Key.Status == store.KeyIssued })
					r.mustBeOne(s)
				})
			}
		}
	}
}
