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
// is issued.
func TestARefusedChangeThatIsTakenBack(t *testing.T) {
	t.Parallel()
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
			r, s := newStay(t, simulator.Options{})
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
	r.policy = func(string) pms.Policy {
		p := pms.DefaultPolicy()
		p.Drift = pms.DriftReport
		return p
	}
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

// A delete is not made, somebody deletes the ACS user at Salto, and the stay is booked again: Seam is asked before the
// key is issued.
func TestADeleteThatIsNotMadeAndAReturn(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]simulator.Fault{
		"rate limited": {Kind: simulator.Limited, Path: seam.PathUserDelete, RetryAfter: 30 * time.Second},
		"disconnected": {Kind: simulator.Refused, Type: "acs_system_disconnected", Path: seam.PathUserDelete},
		"refused":      {Kind: simulator.Forbidden, Path: seam.PathUserDelete},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, s := newStay(t, simulator.Options{})
			r.advance(15 * time.Minute)
			r.mustBeCalm(s, "at first")
			r.sim.Inject(fault)
			r.cancel(s)
			waitFor(t, "the delete", func() bool { return r.called(seam.PathUserDelete) > 0 })
			r.mustBeCalm(s, "after the delete")
			r.hide(s)
			r.book(s)
			for range 3 { // no sweep comes so soon
				r.advance(time.Minute)
				r.mustBeCalm(s, "later")
			}
			if v := r.view(s); v.Key.Status != store.KeyIssued && str(v.Key.Reason) != "removed_at_seam" ||
				v.Key.Status == store.KeyIssued && len(r.holds(s.id)) != 1 {
				r.tell(s)
				t.Errorf("%s / %s with %d ACS users", v.Key.Status, str(v.Key.Reason), len(r.holds(s.id)))
			}
		})
	}
}
