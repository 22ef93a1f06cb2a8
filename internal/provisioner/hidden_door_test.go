package provisioner_test

import (
	"testing"
	"time"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

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
				end := r.now().Add(10 * time.Minute)
				waitFor(t, "ten minutes", func() bool {
					now := r.now()
					if busy, next := r.work(); !busy && next != nil && next.After(now) {
						r.advance(min(next.Sub(now), 30*time.Second))
					}
					return now.After(end)
				})
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

// A stay moves to another access system, whose lists leave its door out, for long: the door is opened a few times while
// the old key waits for the new one, and then rarely. The same request stays open meanwhile.
func TestADoorOfANewKeyThatListsLeaveOut(t *testing.T) {
	t.Parallel()
	r := newLossyRig(t, fast(), simulator.Options{Hidden: groupsV})
	r.listing("default", "L", groupsL...)
	r.listing("default", "V", groupsV...)
	s := r.stay("R1")
	issued(r, &s)
	opened := r.called(seam.PathGroupAdd)
	s.listing = "V"
	r.book(s)
	waitFor(t, "the new key", func() bool { return r.called(seam.PathGroupAdd) > opened })
	end := r.now().Add(10 * time.Minute)
	waitFor(t, "ten minutes", func() bool {
		now := r.now()
		if busy, next := r.work(); !busy && next != nil && next.After(now) {
			r.advance(min(next.Sub(now), 30*time.Second))
		}
		return now.After(end)
	})
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
