package provisioner_test

import (
	"cmp"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

// Seam gives no usable answer for good: the stay gets a visible reason and keeps it until an attempt succeeds, although
// attempts in between only wait.
func TestSilenceHasAReason(t *testing.T) {
	t.Parallel()
	always := func(kind simulator.FaultKind, path string) simulator.Fault {
		return simulator.Fault{Kind: kind, Path: path, Count: -1}
	}
	for name, c := range map[string]struct {
		faults []simulator.Fault
		begin  func(*rig, *stay) // books the stay if nil; otherwise its key is issued before
		while  string            // the status meanwhile, if it isn't attention
		end    string            // the status after that, if it isn't issued
	}{
		"no answer":      {faults: []simulator.Fault{always(simulator.LostBefore, seam.PathIdentityCreate)}},
		"errors of Seam": {faults: []simulator.Fault{always(simulator.Error503Before, seam.PathUserCreate)}},
		"null for a list": {faults: []simulator.Fault{
			always(simulator.LostBefore, seam.PathUserCreate), always(simulator.NullObject, "/acs/users/list"),
		}},
		"a list without its cursor": {faults: []simulator.Fault{
			always(simulator.LostBefore, seam.PathUserCreate), always(simulator.NoCursor, "/acs/users/list"),
		}},
		"a list that is not found": {faults: []simulator.Fault{
			always(simulator.LostAfter, seam.PathUserCreate), always(simulator.WrongNotFound, "/acs/users/list"),
		}},
		"no key": {faults: []simulator.Fault{always(simulator.Error500Before, seam.PathCredentialCreate)}},
		"no removal": {
			faults: []simulator.Fault{always(simulator.LostBefore, seam.PathUserDelete)},
			begin:  func(r *rig, s *stay) { r.cancel(*s) }, while: store.KeyRevoking, end: store.KeyRevoked,
		},
		"no removal of a key that an admin takes away": {
			faults: []simulator.Fault{always(simulator.LostBefore, seam.PathUserDelete)},
			begin: func(r *rig, s *stay) {
				r.mustAct(*s, intake.Action{Kind: intake.ActionRevoke, Why: "it was lost"})
			},
			while: store.KeyRevoking, end: store.KeyRevoked,
		},
		"no cleanup": {
			faults: []simulator.Fault{always(simulator.LostBefore, seam.PathUserDelete)},
			begin:  func(r *rig, s *stay) { r.advance(s.out.Add(25 * time.Hour).Sub(r.now())) },
			while:  store.KeyExpired, end: store.KeyExpired,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newLossyRig(t, fast(), simulator.Options{})
			r.listing("default", "L", "555555-5555")
			s := r.stay("R1")
			if c.begin != nil {
				issued(r, &s)
			}
			for _, f := range c.faults {
				r.sim.Inject(f)
			}
			if c.begin != nil {
				c.begin(r, &s)
			} else {
				r.book(s)
			}
			silent := func() bool {
				v := r.view(s)
				return v.Key.Status == cmp.Or(c.while, store.KeyAttention) && str(v.Key.Reason) == "no_answer_from_seam"
			}
			waitFor(t, "a reason", func() bool { r.skipTo(r.view(s)); return silent() })
			for range 20 { // until a few more attempts
				r.skipTo(r.rested(s))
				if !silent() {
					v := r.view(s)
					r.tell(s)
					t.Fatalf("the reason is gone: %s %s %q", v.Key.Status, str(v.Key.Reason), str(v.Key.Message))
				}
			}
			r.advance(20 * time.Minute)
			if late := r.overdue() == 1; late != (c.while == store.KeyRevoking) {
				r.tell(s)
				t.Errorf("the removal is overdue: %t", late)
			}
			r.sim.Heal()
			end := cmp.Or(c.end, store.KeyIssued)
			r.untilLater(s, end, func(v store.View) bool {
				return v.Key.Status == end && str(v.Key.Reason) != "no_answer_from_seam" &&
					(c.begin == nil || len(r.holds(s.id)) == 0)
			})
			if c.begin == nil {
				r.mustBeOne(s)
			}
		})
	}
}

// rested waits until no attempt at a stay is under way or due.
func (r *rig) rested(s stay) store.View {
	r.t.Helper()
	waitFor(r.t, "the attempt to end", func() bool { busy, _ := r.work(); return !busy })
	return r.view(s)
}

// A request while Seam gives no answer begins the count of tries again, and its first attempt may only wait: Seam has
// still given no answer, so that the reason stays.
func TestARequestDuringSilenceKeepsTheReason(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]simulator.Fault{
		"it waits for the read lag": {Kind: simulator.LostBefore, Path: seam.PathUserCreate, Count: -1},
		"Seam limits the rate":      {Kind: simulator.Limited, RetryAfter: 30 * time.Millisecond, Count: -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newLossyRig(t, fast(), simulator.Options{})
			r.listing("default", "L", "555555-5555")
			waitFor(t, "the access groups to be known", func() bool { return r.sim.Calls() >= 2 })
			r.sim.Inject(simulator.Fault{Kind: simulator.LostBefore, Path: seam.PathUserCreate, Count: -1})
			s := r.stay("R1")
			r.book(s)
			silent := func() bool { return str(r.view(s).Key.Reason) == "no_answer_from_seam" }
			waitFor(t, "a reason", func() bool { r.skipTo(r.view(s)); return silent() })

			r.sim.Heal()
			r.sim.Inject(fault)
			calls := r.sim.Calls()
			s.out = s.out.Add(time.Hour)
			r.book(s)
			waitFor(t, "the next attempt", func() bool { busy, _ := r.work(); return !busy && r.sim.Calls() > calls })
			if v := r.view(s); v.Key.Status != store.KeyAttention || !silent() {
				r.tell(s)
				t.Errorf("the reason is gone: %s %s %q", v.Key.Status, str(v.Key.Reason), str(v.Key.Message))
			}

			r.sim.Heal()
			r.untilLater(s, "issued", func(v store.View) bool { return v.Key.Status == store.KeyIssued })
			r.mustHold(s.id, s.wants(system, "555555-5555"))
		})
	}
}
