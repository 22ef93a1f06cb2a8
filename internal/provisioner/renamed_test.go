package provisioner_test

import (
	"strings"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/provisioner/record"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

// Somebody gives a stay's ACS user another name.

func (r *rig) rename(s stay) {
	r.t.Helper()
	r.alter(s, func(u *simulator.User) { u.FullName = "Jane Doe" })
	r.sim.Forget()
}

// mustRename sweeps until the ACS user has been given its name so many times. Then nothing changes it any more.
func (r *rig) mustRename(s stay, times int) {
	r.t.Helper()
	for range 2 * times {
		r.sweepNow()
		r.mustBeCalm(s, "after a sweep")
		r.advance(time.Minute)
		r.mustBeCalm(s, "after a comparison")
	}
	if n := r.called(seam.PathUserUpdate); n != times || len(r.changing()) != times {
		r.tell(s)
		r.t.Errorf("the ACS user was given its name %d times, want %d; changing calls: %v", n, times, r.changing())
	}
	r.sim.Forget()
	swept := r.sweepNow()
	r.mustBeCalm(s, "after the last sweep")
	if swept.Different > 0 || r.called("/acs/users/get") > 0 {
		r.t.Errorf("a sweep later, %d differ", swept.Different)
	}
	r.recheck(s)
	r.mustBeCalm(s, "after the last comparison")
	if n := len(r.changing()); n > 0 {
		r.t.Errorf("a sweep and a comparison later, %d calls change something", n)
	}
	if v := r.view(s); v.Key.Status != store.KeyIssued || v.Key.Reason != nil {
		r.t.Errorf("the key is %s, %s", v.Key.Status, str(v.Key.Reason))
	}
}

// The name comes back, and the hours stay.
func TestARenamedUserGetsItsNameBack(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]*simulator.Fault{
		"answered":     nil,
		"lost answer":  {Kind: simulator.LostAfter, Path: seam.PathUserUpdate},
		"rate limited": {Kind: simulator.Limited, Path: seam.PathUserUpdate, RetryAfter: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newLossyRig(t, fast(), simulator.Options{})
			s := r.issue(1)[0]
			r.rename(s)
			if fault != nil {
				r.sim.Inject(*fault)
			}
			r.sweepNow()
			r.untilLater(s, "renamed", func(v store.View) bool {
				return v.Key.Status == store.KeyIssued && len(r.sim.State().UsersNamed(s.id)) == 1
			})
			r.mustHold(s.id, s.wants(system, "555555-5555", "lobby"))
		})
	}
}

// A name that the access system doesn't take, or doesn't keep, opens doors like any other.
func TestANameThatSeamDoesNotTake(t *testing.T) {
	t.Parallel()
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		r, s := newStay(t, simulator.Options{})
		r.rename(s)
		r.sim.Inject(simulator.Fault{Kind: simulator.Refused, Path: seam.PathUserUpdate, Count: -1})
		r.mustRename(s, record.MaxUnkept)
	})
	t.Run("not kept", func(t *testing.T) {
		t.Parallel()
		r, s := newStay(t, simulator.Options{StoredName: simulator.OtherNames})
		r.sim.Forget()
		r.mustRename(s, record.MaxUnkept)
	})
}

// What access systems are known to make of a name is no other name.
func TestStoredNamesAreNotRepaired(t *testing.T) {
	t.Parallel()
	for style, id := range oddNames {
		if style == simulator.OtherNames {
			continue
		}
		t.Run(string(style), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, fast(), simulator.Options{StoredName: style})
			r.listing("default", "L", "555555-5555")
			s := r.stay(id)
			r.book(s)
			r.until(s, store.KeyIssued)
			r.advance(time.Minute)
			r.mustBeCalm(s, "at first")
			r.sim.Forget()
			if swept := r.sweepNow(); swept.Different > 0 || len(r.changing()) > 0 {
				t.Errorf("a sweep: %d differ, and %v change something", swept.Different, r.changing())
			}
		})
	}
}

// By policy, another name is only reported, until an admin asks for a repair.
func TestAnotherNameIsReported(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.policy = func(string) pms.Policy {
		p := pms.DefaultPolicy()
		p.Drift = pms.DriftReport
		return p
	}
	s := r.issue(1)[0]
	r.rename(s)
	r.sweepNow()
	v := r.untilThat(s, "drifted", func(v store.View) bool { return str(v.Key.Reason) == "drifted" })
	if n := len(r.changing()); n > 0 || !strings.Contains(str(v.User.Drift), "another name") {
		t.Errorf("%d changing calls; reported is %q", n, str(v.User.Drift))
	}
	r.mustAct(s, intake.Action{Kind: intake.ActionReconcile})
	r.until(s, store.KeyIssued)
	r.mustHold(s.id, s.wants(system, "555555-5555", "lobby"))
}
