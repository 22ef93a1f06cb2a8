package provisioner_test

import (
	"slices"
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
	for range 1 + 2*times {
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
			waitFor(t, "the name", func() bool {
				r.sweepNow()
				r.mustBeCalm(s, "after a sweep")
				return len(r.sim.State().UsersNamed(s.id)) == 1
			})
			r.until(s, store.KeyIssued)
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

// By policy, another name is only noted: it needs nobody, and hides nothing else. An admin's request gives the name
// back.
func TestAnotherNameIsOnlyNoted(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.policy = policyOnDrift(pms.DriftReport)
	s := r.issue(1)[0]
	id := r.sim.State().UsersNamed(s.id)[0].ID
	r.rename(s)
	r.mustRename(s, 0)
	r.mustHaveSaid("the ACS user has another name than the reservation's number (reported)")

	r.sim.Change(func(st *simulator.State) { u := st.Users[id]; u.GroupIDs = u.GroupIDs[:1]; st.Users[id] = u })
	r.sweepNow()
	r.untilThat(s, "drifted", func(v store.View) bool { return str(v.Key.Reason) == "drifted" })
	r.mustAct(s, intake.Action{Kind: intake.ActionReconcile})
	r.untilLater(s, "repaired", func(v store.View) bool {
		return v.Key.Status == store.KeyIssued && len(r.sim.State().UsersNamed(s.id)) == 1
	})
	r.mustHold(s.id, s.wants(system, "555555-5555", "lobby"))
}

// statuses counts the statuses that a stay has had.
func (r *rig) statuses(s stay) int {
	r.t.Helper()
	items, err := r.store.Reservations.Timeline(r.t.Context(), s.ref(), 0, 500)
	if err != nil {
		r.t.Fatal(err)
	}
	return len(slices.DeleteFunc(items, func(i store.TimelineItem) bool { return i.Kind != "status" }))
}

// While Seam gives no usable answer to a rename, or takes its time, the key stays issued, and is not asked about again
// and again.
func TestARenameTakesNoStatusAway(t *testing.T) {
	t.Parallel()
	at := seam.PathUserUpdate
	for name, fault := range map[string]simulator.Fault{
		"rate limited":    {Kind: simulator.Limited, Path: at, RetryAfter: time.Second, Count: -1},
		"failed":          {Kind: simulator.Error500Before, Path: at, Count: -1},
		"not found":       {Kind: simulator.WrongNotFound, Path: at, Count: -1},
		"no such address": {Kind: simulator.NoEndpoint, Path: at, Count: -1},
		"disconnected":    {Kind: simulator.Refused, Type: "device_disconnected", Path: at, Count: -1},
		"conflict":        {Kind: simulator.Conflict, Path: at, Count: -1},
		"slow":            {Kind: simulator.Refused, Path: "/nowhere"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			options := simulator.Options{}
			if name == "slow" {
				options.Pending = 2 * time.Minute
			}
			r := newLossyRig(t, fast(), options)
			s := r.issue(1)[0]
			r.advance(15 * time.Minute)
			r.mustBeCalm(s, "at first")
			r.rename(s)
			before := r.statuses(s)
			r.sim.Inject(fault)
			for range 5 {
				r.sweepNow()
				r.mustBeCalm(s, "after a sweep")
				r.advance(time.Minute)
				r.mustBeCalm(s, "later")
			}
			if n := r.statuses(s); n > before {
				r.tell(s)
				t.Errorf("%d changes of the status", n-before)
			}
			if n := r.called(at); n == 0 || n > 5 {
				t.Errorf("%d renames in five sweeps", n)
			}
		})
	}
}

// A suspended key keeps its name, and one on hold: both get it back later.
func TestARenameWaits(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		begin, end func(*rig, stay, string)
		status     string
		reason     string
	}{
		"suspended": {
			begin:  func(r *rig, _ stay, id string) { r.suspend(id, true) },
			end:    func(r *rig, _ stay, id string) { r.suspend(id, false) },
			status: store.KeyAttention, reason: "suspended_at_seam",
		},
		"on hold": {
			begin:  func(r *rig, s stay, _ string) { r.mustAct(s, intake.Action{Kind: intake.ActionHold}) },
			end:    func(r *rig, s stay, _ string) { r.mustAct(s, intake.Action{Kind: intake.ActionRelease}) },
			status: store.KeyIssued, reason: "held",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, s := newStay(t, simulator.Options{})
			id := r.sim.State().UsersNamed(s.id)[0].ID
			c.begin(r, s, id)
			r.rename(s)
			for range 5 {
				r.sweepNow()
				r.mustBeCalm(s, name)
			}
			if v := r.view(s); v.Key.Status != c.status || str(v.Key.Reason) != c.reason || len(r.changing()) > 0 {
				r.tell(s)
				t.Errorf("%s / %s; changing calls: %v", v.Key.Status, str(v.Key.Reason), r.changing())
			}
			c.end(r, s, id)
			waitFor(t, "the name", func() bool {
				r.sweepNow()
				return len(r.sim.State().UsersNamed(s.id)) == 1
			})
			r.until(s, store.KeyIssued)
		})
	}
}

func (r *rig) suspend(id string, suspended bool) {
	r.sim.Change(func(st *simulator.State) { u := st.Users[id]; u.Suspended = suspended; st.Users[id] = u })
}
