package provisioner_test

import (
	"testing"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

// Seam refuses a change that takes effect all the same, and the PMS takes the change back: Seam is asked before the key
// is issued. By policy `report`, too, that is no change of somebody else's.
func TestARefusedChangeThatIsTakenBack(t *testing.T) {
	t.Parallel()
	for _, policy := range []pms.Drift{pms.DriftRepair, pms.DriftReport} {
		t.Run(string(policy), func(t *testing.T) {
			t.Parallel()
			takeRefusedChangesBack(t, policy)
		})
	}
}

func takeRefusedChangesBack(t *testing.T, policy pms.Drift) {
	withHours := func(more time.Duration) func(*rig, stay) {
		return func(r *rig, s stay) {
			s.out = s.out.Add(more)
			r.book(s)
		}
	}
	for name, c := range map[string]struct {
		path   string
		status int
		begin  func(*rig, stay)
	}{
		"another door": {seam.PathGroupAdd, 403, func(r *rig, _ stay) {
			r.listing("default", "L", "555555-5555", "lobby")
		}},
		"a door less": {seam.PathGroupRemove, 409, func(r *rig, _ stay) {
			r.listing("default", "L", "666666-6666")
		}},
		"longer":  {seam.PathUserUpdate, 400, withHours(24 * time.Hour)},
		"shorter": {seam.PathUserUpdate, 400, withHours(-24 * time.Hour)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, fast(), simulator.Options{})
			r.policy = policyOnDrift(policy)
			r.listing("default", "L", "555555-5555")
			s := r.stay("R1")
			issued(r, &s)
			r.advance(15 * time.Minute)
			r.mustBeCalm(s, "at first")
			r.sim.Inject(simulator.Fault{Kind: simulator.RefusedAfter, Status: c.status, Path: c.path})
			c.begin(r, s)
			waitFor(t, "the change", func() bool { return r.called(c.path) > 0 })
			r.rest(s)
			r.listing("default", "L", "555555-5555")
			r.book(s)
			for range 3 { // no sweep comes so soon
				r.advance(time.Minute)
				r.mustBeCalm(s, "later")
			}
			r.until(s, store.KeyIssued)
			r.mustHold(s.id, s.wants(system, "555555-5555"))
		})
	}
}

// By policy `report`, a stay that is over and whose access somebody has extended at Seam keeps its ACS user, also if
// its delete was refused before.
func TestARefusedDeleteAndAnExtension(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.policy = policyOnDrift(pms.DriftReport)
	s := r.issue(1)[0]
	r.sim.Inject(simulator.Fault{Kind: simulator.Refused, Path: seam.PathUserDelete})
	r.advance(s.out.Add(25 * time.Hour).Sub(r.now()))
	waitFor(t, "a refused delete", func() bool { return r.called(seam.PathUserDelete) > 0 })
	r.mustBeCalm(s, "after the refusal")
	r.alter(s, func(u *simulator.User) {
		u.Schedule = &simulator.Schedule{StartsAt: s.in, EndsAt: s.out.Add(10 * 24 * time.Hour)}
	})
	r.untilLater(s, "reported", func(v store.View) bool { return str(v.Key.Reason) == "drifted" })
	if n := len(r.sim.State().UsersNamed(s.id)); n != 1 {
		r.tell(s)
		t.Errorf("%d ACS users", n)
	}
}

// What Seam refuses for good is not looked at again with each try.
func TestARefusedChangeIsNotComparedEachTime(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]simulator.Fault{
		"refused": {Kind: simulator.Forbidden, Path: seam.PathGroupAdd, Count: -1},
		"not found": {
			Kind: simulator.Refused, Type: "acs_access_group_not_found", Status: 404, Path: seam.PathGroupAdd,
			Count: -1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, s := newStay(t, simulator.Options{})
			r.advance(15 * time.Minute)
			r.mustBeCalm(s, "at first")
			r.sim.Inject(fault)
			r.listing("default", "L", "555555-5555", "lobby")
			waitFor(t, "the change", func() bool { return r.called(seam.PathGroupAdd) > 0 })
			r.rest(s)
			r.sim.Forget()
			for range 50 {
				r.advance(time.Minute)
				r.mustBeCalm(s, "later")
			}
			if n := r.called("/acs/credentials/list"); n > 1 {
				t.Errorf("compared %d times in 50 minutes", n)
			}
			if n := r.called(seam.PathGroupAdd); n > 11 {
				t.Errorf("%d tries in 50 minutes", n)
			}
		})
	}
}
