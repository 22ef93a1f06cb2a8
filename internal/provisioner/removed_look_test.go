package provisioner_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	domain "github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// A removed ACS user is back at Seam, and looking for it goes wrong.

// formerKey is a stay whose ACS user, of the id old, was removed in one of the ways of [removals]. Every look that
// follows a removal is over. show has Seam show the ACS user again.
func formerKey(t *testing.T, removal string) (r *rig, s stay, old string, show func()) {
	t.Helper()
	r = newRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "555555-5555")
	r.listing("default", "V", "verde-1")
	s = r.stay("R1")
	issued(r, &s)
	r.advance(time.Minute)
	r.rest(s)
	old = *r.view(s).User.ACSUserID
	show = r.hide(s)
	r.until(s, removals[removal](r, &s))
	for range 2 {
		r.advance(11 * time.Minute)
		r.rest(s)
	}
	return r, s, old, show
}

// untilGone waits until Seam has an ACS user no longer.
func (r *rig) untilGone(s stay, id string) {
	r.t.Helper()
	waitFor(r.t, "the old ACS user of "+s.id+" to be removed", func() bool {
		_, exists := r.sim.State().Users[id]
		return !exists
	})
}

// lookFaults are faults of both ways in which one ACS user can be read, for as long as they are injected.
func lookFaults(kind simulator.FaultKind, id string) []simulator.Fault {
	return []simulator.Fault{
		{Kind: kind, Type: "action_forbidden", Path: "/acs/users/get", Contains: id, Count: -1},
		{Kind: kind, Type: "action_forbidden", Path: "/acs/users/list", Contains: id, Count: -1},
	}
}

// A sweep finds what is back, and Seam never answers when it is asked for it alone: it is deleted all the same. Whether
// that had an effect isn't known then, and the stay shows that.
func TestARemovedUserThatCantBeReadIsRemoved(t *testing.T) {
	t.Parallel()
	for _, kind := range []simulator.FaultKind{simulator.Forbidden, simulator.Error503Before} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			r, s, old, show := formerKey(t, "the stay is cancelled")
			show()
			r.sim.Inject(lookFaults(kind, old)[0])
			r.sweepNow()
			r.untilGone(s, old)
			waitFor(t, "the stay to show that it isn't known", func() bool {
				k := r.view(s).Key
				return k.Status != store.KeyRevoked && str(k.LastError) != ""
			})

			r.sim.Heal()
			r.advance(6 * time.Minute)
			r.until(s, store.KeyRevoked)
			r.mustHold(s.id)
		})
	}
}

// An earlier ACS user of a reinstated stay is back, and Seam refuses to read it. The guest arrives in two days: the
// stay gets no second ACS user meanwhile.
func TestARefusedLookIsNoAbsence(t *testing.T) {
	t.Parallel()
	for name, reads := range map[string]int{"a get is refused": 1, "get and list are refused": 2} {
		for _, kind := range []simulator.FaultKind{simulator.Forbidden, simulator.Refused} {
			t.Run(name+"/"+string(kind), func(t *testing.T) {
				t.Parallel()
				r, s, old, show := removedBefore(t, 1)
				most := r.mostUsers(s)
				show()
				r.sim.Inject(lookFaults(kind, old[0])[:reads]...)
				s.in = r.now().Add(48 * time.Hour).Truncate(time.Millisecond)
				r.book(s)
				waitFor(t, "a reason to show", func() bool { return r.view(s).Key.Status == store.KeyAttention })
				if most() > 1 {
					r.tell(s)
					t.Fatalf("Seam has %+v", r.holds(s.id))
				}

				r.sim.Heal()
				r.advance(6 * time.Minute)
				r.until(s, store.KeyIssued)
				if got := r.holds(s.id); len(got) != 1 || most() != 1 {
					t.Errorf("Seam has %+v, %d at most", got, most())
				}
			})
		}
	}
}

// A stay is reinstated while its earlier ACS user is back, which Seam wrongly doesn't find. That one answer leads to no
// second ACS user.
func TestOneWrongNotFoundBeforeACreate(t *testing.T) {
	t.Parallel()
	r, s, old, show := removedBefore(t, 1)
	most := r.mostUsers(s)
	show()
	r.sim.Inject(simulator.Fault{Kind: simulator.WrongNotFound, Path: "/acs/users/get", Contains: old[0]})
	s.in = r.now().Add(48 * time.Hour).Truncate(time.Millisecond)
	r.book(s)
	r.until(s, store.KeyIssued)
	if got := r.holds(s.id); len(got) != 1 || most() != 1 {
		r.tell(s)
		t.Errorf("Seam has %+v, %d at most", got, most())
	}
}

// What is back is asked for, and Seam gives no answer, or its delete can't be recorded and so isn't sent. It is asked
// for again a few minutes later, although nobody has asked for that.
func TestALookWithoutAnAnswerIsRepeated(t *testing.T) {
	t.Parallel()
	failures := map[string]func(r *rig, old string) (end func()){
		"Seam gives no answer": func(r *rig, old string) func() {
			r.sim.Inject(lookFaults(simulator.Error503Before, old)...)
			return func() { r.sim.Heal() }
		},
		"the delete is never sent": func(r *rig, _ string) func() {
			r.exec(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql
				AS 'BEGIN RAISE EXCEPTION ''refused''; END'`)
			r.exec(`CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON removed_acs_users
				FOR EACH ROW WHEN (NEW.deletes > 0) EXECUTE FUNCTION refuse()`)
			return func() { r.exec(`DROP TRIGGER refuse ON removed_acs_users`) }
		},
	}
	for removal := range removals {
		for name, fail := range failures {
			t.Run(removal+"/"+name, func(t *testing.T) {
				t.Parallel()
				r, s, old, show := formerKey(t, removal)
				show()
				end := fail(r, old)
				looks := r.looks(old)
				r.recheck(s)
				waitFor(t, "a look", func() bool { return r.looks(old) > looks })
				r.rested(s)
				end()
				r.advance(6 * time.Minute)
				r.untilGone(s, old)
			})
		}
	}
}

// A stay has moved to another access system, which is disconnected now. Its former ACS user, which is back on the
// first one, is removed all the same.
func TestARemovedUserIsRemovedWhileAnotherSystemIsDisconnected(t *testing.T) {
	t.Parallel()
	r, s, old, show := formerKey(t, "a room on another access system")
	r.sim.Change(func(st *simulator.State) {
		cut := st.Systems[systemB]
		cut.Disconnected = true
		st.Systems[systemB] = cut
	})
	r.sweepNow()
	r.recheck(s)
	if v := r.until(s, store.KeyAttention); str(v.Key.Reason) != domain.ReasonDisconnected {
		t.Fatalf("reason %s", str(v.Key.Reason))
	}
	show()
	r.sweepNow()
	r.untilGone(s, old)
	if v := r.view(s); str(v.Key.Reason) != domain.ReasonDisconnected {
		t.Errorf("reason %s", str(v.Key.Reason))
	}
}

// Seam refuses to list an access system: a sweep has each stay look for what was removed from it.
func TestASweepThatMayNotListLooksForRemovedUsers(t *testing.T) {
	t.Parallel()
	r, s, old, show := formerKey(t, "the stay is cancelled")
	show()
	r.sim.Inject(simulator.Fault{Kind: simulator.Forbidden, Path: "/acs/users/list", Count: -1})
	r.sweepNow()
	r.untilGone(s, old)
}

// An admin holds a cancelled stay, and its ACS user comes back: that shows, and it is removed when the hold ends.
func TestARemovedUserThatIsBackDuringAHoldIsPending(t *testing.T) {
	t.Parallel()
	r, s, old, show := formerKey(t, "the stay is cancelled")
	r.mustAct(s, intake.Action{Kind: intake.ActionHold, Why: "asked by the police"})
	r.until(s, store.KeyRevoked)
	r.rest(s)
	show()
	r.sim.Forget()
	r.sweepNow()
	if v := r.until(s, store.KeyAttention); str(v.Key.Reason) != domain.ReasonHeld {
		t.Errorf("reason %s", str(v.Key.Reason))
	}
	r.rest(s)
	if n := r.called(seam.PathUserDelete); n > 0 {
		t.Errorf("%d deletes during a hold", n)
	}

	r.mustAct(s, intake.Action{Kind: intake.ActionRelease})
	r.untilGone(s, old)
	r.until(s, store.KeyRevoked)
}

// The plan of a stay contains the delete of what is back.
func TestThePlanDeletesARemovedUserThatIsBack(t *testing.T) {
	t.Parallel()
	r, s, old, show := formerKey(t, "the stay is cancelled")
	show()
	r.sim.Forget()
	got, err := r.prov.Plan(t.Context(), s.ref())
	if err != nil {
		t.Fatal(err)
	}
	want := []domain.PlannedCall{{
		Path: seam.PathUserDelete, Body: seam.UserID{ACSUserID: old}, Reason: "a removed ACS user is back",
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the plan (-want +got):\n%s", diff)
	}
	if n := r.called(seam.PathUserDelete); n > 0 {
		t.Errorf("%d deletes while planning", n)
	}
	r.mustAct(s, intake.Action{Kind: intake.ActionReconcile})
	r.untilGone(s, old)
}
