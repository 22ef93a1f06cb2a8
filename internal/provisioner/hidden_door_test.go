package provisioner_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/until"
)

// Seam's lists leave out one of a stay's doors, for long: that delays neither the repair of what somebody changes
// besides, nor an extension.
func TestAHiddenDoorDelaysNothingElse(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*simulator.State, *simulator.User)
		sweeps bool // a sweep finds it
	}{
		"the mobile key": {func(st *simulator.State, u *simulator.User) {
			clear(st.Credentials)
		}, false},
		"the mobile key, found by a sweep": {func(st *simulator.State, u *simulator.User) {
			clear(st.Credentials)
		}, true},
		"the hours": {func(_ *simulator.State, u *simulator.User) {
			u.Schedule = &simulator.Schedule{StartsAt: u.Schedule.StartsAt, EndsAt: u.Schedule.EndsAt.Add(-time.Hour)}
		}, false},
		"another door": {func(_ *simulator.State, u *simulator.User) {
			u.GroupIDs = []string{"555555-5555"}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			options := fast()
			options.SweepInterval = 5 * time.Minute
			r := newRig(t, options, simulator.Options{})
			r.listing("default", "L", "555555-5555", "lobby")
			s := r.stay("R1")
			issued(r, &s)
			r.advance(time.Minute)
			r.rest(s)
			r.sim.Configure(func(o *simulator.Options) { o.Hidden = []string{"555555-5555"} })
			r.recheck(s)
			r.untilLater(s, "not kept", func(v store.View) bool { return str(v.Key.Reason) == "not_kept_by_seam" })
			r.rest(s)
			began := r.now()
			id := *r.view(s).User.ACSUserID
			r.sim.Change(func(st *simulator.State) {
				u := st.Users[id]
				c.change(st, &u)
				st.Users[id] = u
			})
			if c.sweeps {
				r.sweepNow()
			} else {
				r.recheck(s)
			}
			waitFor(t, name+" to be repaired", func() bool {
				r.pass()
				h := r.holds(s.id)
				return len(h) == 1 && fmt.Sprint(h[0]) == fmt.Sprint(s.wants(system, "555555-5555", "lobby"))
			})
			if took := r.now().Sub(began); took > 20*time.Minute {
				t.Errorf("repaired after %s", took)
			}
			r.rest(s)
			r.recheck(s)
			r.rest(s)
			if reason := str(r.view(s).Key.Reason); reason != "not_kept_by_seam" {
				t.Errorf("the door is still hidden, and the reason is %q", reason)
			}
		})
	}
}

// Seam's lists leave out a door that was opened, for long. It is opened again a few times, and then rarely, also while
// the result of a lost create is looked for.
func TestADoorThatListsLeaveOut(t *testing.T) {
	t.Parallel()
	for _, source := range []string{"default", "coded"} {
		for _, lost := range []bool{false, true} {
			t.Run(source+map[bool]string{true: ", lost create"}[lost], func(t *testing.T) {
				t.Parallel()
				r := newLossyRig(t, fast(), simulator.Options{Hidden: []string{"555555-5555"}})
				r.policy = policyWithGates
				r.listing(source, "L", "555555-5555", "lobby")
				waitFor(t, "the access groups to be known", func() bool { return r.sim.Calls() >= 2 })
				if lost {
					r.sim.Inject(simulator.Fault{Kind: simulator.LostAfter, Path: seam.PathUserCreate})
				}
				s := r.stay("R1")
				s.source = source
				r.book(s)
				waitFor(t, "the key", func() bool { return len(r.holds(s.id)) == 1 && r.holds(s.id)[0].Keys == 1 })
				r.passMinutes(10)
				if n := r.called(seam.PathGroupAdd); n > 8 {
					t.Errorf("the door was opened %d times in ten minutes", n)
				}
				r.sim.Configure(func(o *simulator.Options) { o.Hidden = nil })
				r.mustAct(s, intake.Action{Kind: intake.ActionReconcile})
				r.until(s, store.KeyIssued)
				r.mustHold(s.id, s.wants(system, "555555-5555", "lobby"))
			})
		}
	}
}

// A stay is compared right after one of its doors, which lists leave out, was opened again: that comparison doesn't
// count yet, and the next one waits until its reads do.
func TestAHiddenDoorIsComparedTooEarly(t *testing.T) {
	t.Parallel()
	r, s := newStay(t, simulator.Options{})
	r.advance(time.Minute)
	r.rest(s)
	r.sim.Configure(func(o *simulator.Options) { o.Hidden = []string{"555555-5555"} })
	opened := r.called(seam.PathGroupAdd)
	openedAgain := func(n int) {
		until.True(t, "the door to be opened again", func() bool {
			busy, _ := r.work()
			return !busy && r.called(seam.PathGroupAdd) >= opened+n
		})
	}
	r.recheck(s)
	openedAgain(1)
	r.advance(2 * time.Second) // so that each of the two changes lasts into the lag of the other one
	r.recheck(s)
	openedAgain(2)
	r.passMinutes(10)
	if n := r.called(seam.PathGroupAdd) - opened; n > 8 {
		t.Errorf("the door was opened %d times in ten minutes", n)
	}
	r.untilLater(s, "not kept", func(v store.View) bool { return str(v.Key.Reason) == "not_kept_by_seam" })
}

// An admin asks for a repair of a door that Seam doesn't keep, and of an ACS user that somebody has suspended: the
// request does both.
func TestARequestRepairsAndRestores(t *testing.T) {
	t.Parallel()
	r, s := newStay(t, simulator.Options{})
	r.advance(time.Minute)
	r.rest(s)
	r.sim.Configure(func(o *simulator.Options) { o.Hidden = []string{"555555-5555"} })
	r.recheck(s)
	r.untilLater(s, "not kept", func(v store.View) bool { return str(v.Key.Reason) == "not_kept_by_seam" })
	r.alter(s, func(u *simulator.User) { u.Suspended = true })
	opened := r.called(seam.PathGroupAdd)
	r.mustAct(s, intake.Action{Kind: intake.ActionReconcile})
	r.untilLater(s, "not kept", func(v store.View) bool { return str(v.Key.Reason) == "not_kept_by_seam" })
	if n := r.called(seam.PathUserUnsuspend); n != 1 {
		t.Errorf("the ACS user was unsuspended %d times, want once", n)
	}
	if n := r.called(seam.PathGroupAdd) - opened; n != 1 {
		t.Errorf("the door was opened %d times, want once", n)
	}
}

// passMinutes has the service do what is due within some minutes, each thing at its time.
func (r *rig) passMinutes(n int) {
	r.t.Helper()
	end := r.now().Add(time.Duration(n) * time.Minute)
	waitFor(r.t, "some minutes", func() bool {
		now := r.now()
		if busy, next := r.work(); !busy && next != nil && next.After(now) {
			r.advance(min(next.Sub(now), 30*time.Second))
		}
		return now.After(end)
	})
}

// movedToHiddenDoors is a stay that moves to another access system, whose lists leave its doors out. opened is how many
// doors were opened before.
func movedToHiddenDoors(t *testing.T) (r *rig, s stay, opened int) {
	t.Helper()
	r = newLossyRig(t, fast(), simulator.Options{Hidden: groupsV})
	r.listing("default", "L", groupsL...)
	r.listing("default", "V", groupsV...)
	s = r.stay("R1")
	issued(r, &s)
	opened = r.called(seam.PathGroupAdd)
	s.listing = "V"
	r.book(s)
	waitFor(t, "the new key", func() bool { return r.called(seam.PathGroupAdd) > opened })
	return r, s, opened
}

// A stay moves to another access system, whose lists leave its door out, for long: the door is opened a few times while
// the old key waits for the new one, and then rarely. The same request stays open meanwhile.
func TestADoorOfANewKeyThatListsLeaveOut(t *testing.T) {
	t.Parallel()
	r, s, opened := movedToHiddenDoors(t)
	r.passMinutes(10)
	if n := r.called(seam.PathGroupAdd) - opened; n > 8 {
		t.Errorf("the door was opened %d times in ten minutes", n)
	}
	if k := r.view(s).Key; k.Status != store.KeyAttention || str(k.Reason) != "not_kept_by_seam" {
		t.Errorf("the key is %s (%s)", k.Status, str(k.Reason))
	}
	r.sim.Configure(func(o *simulator.Options) { o.Hidden = nil })
	r.mustAct(s, intake.Action{Kind: intake.ActionReconcile})
	r.until(s, store.KeyIssued)
	r.mustHold(s.id, s.wants(systemB, groupsV...))
}

// A stay moves to another access system, whose lists leave its door out, and then to a listing that isn't known: the
// old key waits for the new one, and the reason is the listing, without which no door is opened again.
func TestADoorOfANewKeyThatNobodyOpensAgain(t *testing.T) {
	t.Parallel()
	r, s, _ := movedToHiddenDoors(t)
	s.listing = "unknown"
	r.book(s)
	r.passMinutes(10)
	if n := len(r.holds(s.id)); n != 2 {
		t.Errorf("the stay has %d ACS users, want the old one and the new one", n)
	}
	k := r.view(s).Key
	if k.Status != store.KeyWaiting || str(k.Reason) != "listing_unknown" ||
		!strings.Contains(str(k.Message), "The old key stays") {
		t.Errorf("the key is %s (%s): %s", k.Status, str(k.Reason), str(k.Message))
	}
	r.sim.Configure(func(o *simulator.Options) { o.Hidden = nil })
	waitFor(t, "the old key to go", func() bool {
		r.skipTo(r.view(s))
		return len(r.holds(s.id)) == 1
	})
	r.mustHold(s.id, s.wants(systemB, groupsV...))
}

// A stay moves to a listing that isn't known, while lists leave out one of its doors, for long: the door counts as
// open, and without a listing nothing opens or closes it. Seam is asked rarely: no answer would change anything.
func TestAHiddenDoorOfAnUnknownListing(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "555555-5555", "lobby")
	s := r.stay("R1")
	issued(r, &s)
	r.advance(time.Minute)
	r.rest(s)
	r.sim.Configure(func(o *simulator.Options) { o.Hidden = []string{"555555-5555"} })
	s.listing = "unknown"
	r.book(s)
	r.until(s, store.KeyWaiting)
	asked := r.called("/acs/users/get")
	r.recheck(s)
	r.passMinutes(10)
	if n := r.called("/acs/users/get") - asked; n < 1 || n > 8 {
		t.Errorf("Seam was asked %d times in ten minutes", n)
	}
	if k := r.view(s).Key; k.CheckRequested || str(k.Reason) != "listing_unknown" {
		t.Errorf("the key is %s (%s), a comparison is due: %t", k.Status, str(k.Reason), k.CheckRequested)
	}
	// known again, without that door: it is closed although lists don't show it
	r.listing("default", "unknown", "lobby")
	r.until(s, store.KeyIssued)
	r.mustHold(s.id, s.wants(system, "lobby"))
}

// A stay moves to another access system, to a listing of which Seam doesn't know one door: the old key goes as soon as
// the new one has settled, and not later than without that door.
func TestAnUnknownDoorDoesntKeepTheOldKey(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.listing("default", "L", groupsL...)
	r.listing("default", "V", append([]string{"unknown"}, groupsV...)...)
	s := r.stay("R1")
	issued(r, &s)
	r.sim.Configure(func(o *simulator.Options) { o.Pending = 3 * time.Second })
	began := r.now()
	s.listing = "V"
	r.book(s)
	waitFor(t, "the old key to go", func() bool {
		r.skipTo(r.view(s))
		h := r.holds(s.id)
		return len(h) == 1 && h[0].System == systemB
	})
	if took := r.now().Sub(began); took > 4*time.Minute { // with the time that a busy machine takes itself
		t.Errorf("the old key went after %s", took)
	}
	r.untilLater(s, "the reason", func(v store.View) bool { return str(v.Key.Reason) == "access_group_not_found" })
}
