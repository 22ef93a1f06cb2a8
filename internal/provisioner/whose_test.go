package provisioner_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

// Whose an ACS user is, if its name, its hours or the time of its creation are not what was sent.

// mustEndWithNothing cancels a stay, and fails the test if anything is left at Seam, also after the late look-ups.
func (r *rig) mustEndWithNothing(s stay) {
	r.t.Helper()
	r.cancel(s)
	r.until(s, store.KeyRevoked)
	r.advance(11 * time.Minute)
	r.rest(s)
	r.until(s, store.KeyRevoked)
	r.mustHold(s.id)
}

// oddNames are what an access system may make of a reservation's number.
var oddNames = map[simulator.StoredName]string{
	simulator.CutName:      strings.Repeat("reservation-", 8),
	simulator.UpperCase:    "r1",
	simulator.SingleSpaces: "R  1",
	simulator.ComposedName: "Re\u0301s 1",
	simulator.EscapedName:  "R<b>1</b>&",
	simulator.OtherNames:   "R1",
}

// The access system stores another name than was sent: the answer to a create is the stay's whatever its name is, and
// so is what a lost create has made, if its name can be recognized.
func TestNamesThatAreStoredOtherwise(t *testing.T) {
	t.Parallel()
	for style, id := range oddNames {
		for _, lost := range []bool{false, true} {
			if lost && style == simulator.OtherNames {
				continue // nothing tells it from a walk-in
			}
			t.Run(fmt.Sprintf("%s, lost %v", style, lost), func(t *testing.T) {
				t.Parallel()
				r := newLossyRig(t, fast(), simulator.Options{StoredName: style})
				r.listing("default", "L", "555555-5555")
				if lost {
					r.sim.Inject(simulator.Fault{Kind: simulator.LostAfter, Path: seam.PathUserCreate})
				}
				s := r.stay(id)
				r.book(s)
				v := r.until(s, store.KeyIssued)
				r.advance(2 * time.Minute)
				r.mustAct(s, intake.Action{Kind: intake.ActionReconcile})
				r.rest(s)
				r.advance(11 * time.Minute)
				r.rest(s)
				r.mustKeepIDs(v, r.until(s, store.KeyIssued))
				r.mustHold(s.id, s.wants(system, "555555-5555"))
				r.mustEndWithNothing(s)
			})
		}
	}
}

// Seam's clock differs from ours by more than a minute, and perhaps answers lack names, hours or both.
func TestAClockUnlikeOurs(t *testing.T) {
	t.Parallel()
	for _, ahead := range []time.Duration{-3 * time.Minute, 3 * time.Minute} {
		for name, omit := range map[string][]string{
			"all": nil, "no names": {"acs_user.full_name"}, "neither names nor hours": namelessAnswers,
		} {
			for _, lost := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %s, lost %v", ahead, name, lost), func(t *testing.T) {
					t.Parallel()
					r := newLossyRig(t, fast(), simulator.Options{ClockAhead: ahead, Omit: omit})
					r.listing("default", "L", "555555-5555")
					if lost {
						r.sim.Inject(simulator.Fault{Kind: simulator.LostAfter, Path: seam.PathUserCreate})
					}
					s := r.stay("R1")
					r.book(s)
					v := r.until(s, store.KeyIssued)
					for range 3 {
						r.advance(6 * time.Minute)
						r.rest(s)
					}
					r.mustAct(s, intake.Action{Kind: intake.ActionReconcile})
					r.rest(s)
					r.mustKeepIDs(v, r.until(s, store.KeyIssued))
					r.mustHold(s.id, s.wants(system, "555555-5555"))
					r.mustEndWithNothing(s)
				})
			}
		}
	}
}

// A create that showed up late has left a second ACS user, and Seam's clock differs from ours: it is removed anyway.
func TestASecondUserByAClockUnlikeOurs(t *testing.T) {
	t.Parallel()
	for _, ahead := range []time.Duration{-3 * time.Minute, 3 * time.Minute} {
		t.Run(ahead.String(), func(t *testing.T) {
			t.Parallel()
			r, s := newStay(t, simulator.Options{ClockAhead: ahead})
			v := r.view(s)
			r.leaveSecond(*v.User.ACSUserID)
			r.advance(time.Minute)
			r.recheck(s)
			waitFor(t, "the second one to be removed", func() bool { r.pass(); return len(r.holds(s.id)) == 1 })
			r.mustKeepIDs(v, r.until(s, store.KeyIssued))
		})
	}
}

// Each create is answered with an ACS user that can't be the stay's. One more is tried, on an identity of the stay's
// own; then a person is asked, and nothing more is created before those are gone.
func TestAnswersThatAreSomebodyElses(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{
		StoredName: simulator.OtherNames, ClockAhead: -time.Hour, Omit: []string{"acs_user.access_schedule"},
	})
	r.listing("default", "L", "555555-5555")
	s := r.stay("R1")
	r.book(s)
	asked := func(v store.View) bool {
		if n := r.called(seam.PathUserCreate); n > 2 {
			t.Fatalf("%d creates", n)
		}
		return v.Key.Status == store.KeyAttention && str(v.Key.Reason) == "not_kept_by_seam"
	}
	waitFor(t, "a person to be asked", func() bool { return asked(r.view(s)) })
	v := r.view(s)
	for id := range r.sim.State().Users {
		if !strings.Contains(str(v.Key.Message), id) {
			t.Errorf("ACS user %s is not named: %s", id, str(v.Key.Message))
		}
	}
	for range 4 {
		r.advance(20 * time.Minute)
		r.rest(s)
	}
	r.mustAct(s, intake.Action{Kind: intake.ActionReconcile})
	r.rest(s)
	waitFor(t, "a person to be asked still", func() bool { return asked(r.view(s)) })
	if n := len(r.holds(s.id)); n != 2 {
		t.Errorf("%d ACS users for one stay", n)
	}

	r.sim.Configure(func(o *simulator.Options) { *o = simulator.Options{} })
	r.sim.Change(func(st *simulator.State) { clear(st.Users) }) // somebody has removed them
	r.advance(20 * time.Minute)
	r.until(s, store.KeyIssued)
	if n := len(r.holds(s.id)); n != 1 {
		t.Errorf("%d ACS users for one stay", n)
	}
}

// An answer was taken for somebody else's, and later answers show that it is the stay's: it is removed with the stay.
func TestAnAnswerThatTurnsOutToBeOurs(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{
		StoredName: simulator.OtherNames, ClockAhead: -time.Hour, Omit: []string{"acs_user.access_schedule"},
	})
	r.listing("default", "L", "555555-5555")
	s := r.stay("R1")
	r.book(s)
	waitFor(t, "a person to be asked", func() bool { return str(r.view(s).Key.Reason) == "not_kept_by_seam" })
	r.sim.Configure(func(o *simulator.Options) { *o = simulator.Options{} })
	r.mustEndWithNothing(s)
}

// Somebody adds an ACS user with the reservation's number as its name, long after ours was created: it is reported
// once, and left unchanged.
func TestSomebodyElsesUserWithOurName(t *testing.T) {
	t.Parallel()
	for name, then := range map[string]func(*rig, *stay){
		"reconcile": func(r *rig, s *stay) { r.mustAct(*s, intake.Action{Kind: intake.ActionReconcile}) },
		"sweep":     func(r *rig, _ *stay) { r.sweepNow() },
		"cancel":    func(r *rig, s *stay) { r.cancel(*s) },
		"a lost change": func(r *rig, s *stay) {
			r.sim.Inject(simulator.Fault{Kind: simulator.LostAfter, Path: seam.PathUserUpdate})
			s.out = s.out.Add(time.Hour)
			r.book(*s)
			r.rest(*s)
			r.advance(2 * time.Minute)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, s := newStay(t, simulator.Options{})
			r.advance(24 * time.Hour)
			r.rest(s)
			id := uuid.NewString()
			r.sim.Change(func(st *simulator.State) {
				st.Users[id] = simulator.User{
					ID: id, SystemID: system, IdentityID: st.UsersNamed(s.id)[0].IdentityID, FullName: s.id,
					Schedule: &simulator.Schedule{StartsAt: r.now()}, GroupIDs: []string{"lobby"}, CreatedAt: r.now(),
				}
			})
			before := r.sim.State()
			then(r, &s)
			r.rest(s)
			r.advance(11 * time.Minute)
			r.rest(s)
			r.mustLeaveAlone(s, id, before)
			if name == "cancel" {
				r.until(s, store.KeyRevoked)
				return
			}
			r.mustAct(s, intake.Action{Kind: intake.ActionReconcile})
			r.rest(s)
			r.until(s, store.KeyIssued)
			r.mustLeaveAlone(s, id, before)
			told := 0
			items, err := r.store.Reservations.Timeline(context.Background(), s.ref(), 0, 200)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range items {
				if strings.Contains(e.Summary, "staykey did not create it") && strings.Contains(e.Summary, id) {
					told++
				}
			}
			if told != 1 {
				t.Errorf("it is reported %d times", told)
			}
			if swept := r.sweepNow(); swept.Different != 0 {
				t.Errorf("a sweep still finds %d differences", swept.Different)
			}
		})
	}
}
