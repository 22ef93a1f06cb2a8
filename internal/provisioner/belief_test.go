package provisioner_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

// What one wrong, missing or late answer of Seam must not lead to: a second ACS user, a lost one, a door that stays
// open, a stay that gets stuck.

// readPaths are the reads that a comparison makes.
var readPaths = []string{
	"/acs/users/get", "/acs/users/list", "/acs/access_groups/list", "/acs/credentials/list", "/acs/credentials/get",
	"/user_identities/get", "/user_identities/list_acs_users", "/acs/access_groups/get", "/acs/systems/get",
}

func TestOneWrongNotFoundDuringAReconcile(t *testing.T) {
	t.Parallel()
	for _, path := range readPaths {
		for skip := range 2 {
			t.Run(fmt.Sprintf("%s (%d failed so far)", path, skip), func(t *testing.T) {
				t.Parallel()
				r, s := newStay(t, simulator.Options{})
				before := r.view(s)
				r.advance(time.Minute)
				r.sim.Inject(simulator.Fault{Kind: simulator.WrongNotFound, Path: path, Skip: skip})
				r.mustAct(s, intake.Action{Kind: intake.ActionReconcile})
				r.until(s, store.KeyIssued)
				r.rest(s)
				r.mustKeepIDs(before, r.view(s))
				r.sim.Heal()
				r.mustBeOne(s)
			})
		}
	}
}

func TestWrongNotFoundOnAWrite(t *testing.T) {
	t.Parallel()
	for _, path := range []string{seam.PathUserUpdate, seam.PathGroupAdd, seam.PathGroupRemove, seam.PathUserDelete} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			options := fast()
			options.SweepInterval = 200 * time.Millisecond // a refused call is tried again soon
			r := newRig(t, options, simulator.Options{})
			r.listing("default", "L", "555555-5555")
			r.listing("default", "M", "666666-6666")
			s := r.stay("R1")
			issued(r, &s)
			before := r.view(s)
			r.advance(time.Minute)
			r.sim.Inject(simulator.Fault{Kind: simulator.WrongNotFound, Path: path})
			s.listing, s.out = "M", s.out.Add(time.Hour)
			r.book(s)
			after := r.until(s, store.KeyIssued)
			r.mustHold(s.id, s.wants(system, "666666-6666"))
			r.mustKeepIDs(before, after)
			r.mustBeOne(s)
		})
	}
}

// A get that keeps not finding an ACS user which the list shows proves nothing, however often it is repeated.
func TestGetAndListContradict(t *testing.T) {
	t.Parallel()
	r, s := newStay(t, simulator.Options{})
	before := r.view(s)
	r.advance(time.Minute)
	r.sim.Inject(simulator.Fault{Kind: simulator.WrongNotFound, Path: "/acs/users/get", Count: -1})
	for range 3 {
		r.mustAct(s, intake.Action{Kind: intake.ActionReconcile})
		r.untilThat(s, "looked at", func(v store.View) bool {
			return v.Key.Status == store.KeyIssued &&
				v.Key.NextReconcileAt != nil
		})
		r.advance(10 * time.Minute)
	}
	if made := r.called(seam.PathUserCreate); made != 1 {
		t.Errorf("%d ACS users were created", made)
	}
	r.sim.Heal()
	s.out = s.out.Add(time.Hour)
	r.book(s)
	r.mustKeepIDs(before, r.until(s, store.KeyIssued))
	r.mustBeOne(s)
}

// Somebody deletes the ACS user in Salto's app. Seam reports that on the object itself, which remains until it is
// deleted.
func TestDeletedExternally(t *testing.T) {
	t.Parallel()
	r, s := newStay(t, simulator.Options{})
	r.advance(time.Minute)
	r.alter(s, func(u *simulator.User) { u.ErrorCode = "deleted_externally" })
	r.recheck(s)
	r.untilThat(s, "removed_at_seam", func(v store.View) bool { return str(v.Key.Reason) == "removed_at_seam" })
	r.mustAct(s, intake.Action{Kind: intake.ActionReconcile})
	r.until(s, store.KeyIssued)
	if got := r.holds(s.id); len(got) != 1 || got[0].Identity != s.email {
		t.Errorf("Seam holds %+v: what was deleted is left, or the guest's identity was passed over", got)
	}
	r.mustBeOne(s)
}

// Somebody really deletes the ACS user, while lists keep showing it: the new one is created on the guest's identity
// as soon as they stop. The request that wants it back is not spent by answers that contradict each other.
func TestListLagsARealRemoval(t *testing.T) {
	t.Parallel()
	r, s := newStay(t, simulator.Options{})
	r.advance(time.Minute)
	r.rest(s)
	r.sim.Forget()
	r.sim.Configure(func(o *simulator.Options) { o.ListLag = 2 * time.Minute })
	r.sim.Change(func(st *simulator.State) { clear(st.Users); clear(st.Credentials) })
	r.mustAct(s, intake.Action{Kind: intake.ActionReconcile})
	waitFor(t, "the contradiction to be seen", func() bool { return r.called("/acs/users/list") > 0 })
	r.rest(s)
	r.sim.Configure(func(o *simulator.Options) { o.ListLag = 0 })
	r.untilLater(s, "a new key", func(v store.View) bool {
		got := r.holds(s.id)
		return len(got) == 1 && got[0].Keys == 1 && v.Key.Status == store.KeyIssued
	})
	if got := r.holds(s.id); got[0].Identity != s.email {
		t.Errorf("the guest's identity is free, and the key is on %+v", got)
	}
	r.mustBeOne(s)
}

// A create is lost and shows up late; the next try is refused for another reason. The result of the lost one is still
// ours.
func TestRefusalKeepsTheMarkOfALostCreate(t *testing.T) {
	t.Parallel()
	for _, refusal := range []simulator.FaultKind{
		simulator.Limited, simulator.Refused, simulator.Forbidden,
		simulator.Conflict, simulator.Unprocessable,
	} {
		t.Run(string(refusal), func(t *testing.T) {
			t.Parallel()
			options := fast()
			options.SweepInterval = 200 * time.Millisecond
			r := newLossyRig(t, options, simulator.Options{})
			r.listing("default", "L", "555555-5555")
			waitFor(t, "the access groups to be known", func() bool { return r.sim.Calls() >= 2 })
			r.sim.Configure(func(o *simulator.Options) { o.ReadLag = time.Hour })
			r.sim.Inject(simulator.Fault{Kind: simulator.LostAfter, Path: seam.PathUserCreate},
				simulator.Fault{Kind: refusal, Path: seam.PathUserCreate, Count: -1, RetryAfter: time.Second})
			s := r.stay("R1")
			r.book(s)
			waitFor(t, "the refusal", func() bool { return r.called(seam.PathUserCreate) >= 2 })
			r.sim.Configure(func(o *simulator.Options) { o.ReadLag = 0 })
			r.advance(2 * time.Second)
			// An attempt may be about to create with a look that is older than that: creates are refused until one has
			// looked since.
			waitFor(t, "the look-up", func() bool {
				v := r.view(s)
				return v.User != nil && v.User.ACSUserID != nil || r.called(seam.PathIdentityCreate) > 1
			})
			r.sim.Heal()
			r.until(s, store.KeyIssued)
			r.advance(11 * time.Minute)
			r.rest(s)
			r.mustBeOne(s)
		})
	}
}

// An extension is lost, and the stay is cut back to a check-out that has passed: the door closes at once.
func TestLostExtensionOfAStayThatIsOver(t *testing.T) {
	t.Parallel()
	r := newLossyRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "555555-5555")
	s := r.stay("R1")
	s.in, s.out = r.now().Add(-24*time.Hour).Truncate(time.Millisecond),
		r.now().Add(time.Hour).Truncate(time.Millisecond)
	r.book(s)
	r.until(s, store.KeyActive)
	out := s.out
	r.sim.Inject(simulator.Fault{Kind: simulator.LostAfter, Path: seam.PathUserUpdate, Count: -1})
	s.out = out.Add(48 * time.Hour)
	r.book(s)
	waitFor(t, "the extension to be lost", func() bool { return fired(r, seam.PathUserUpdate) })
	// Nothing shows the extension before the stay is over.
	r.sim.Inject(simulator.Fault{Kind: simulator.Error500Before, Path: "/acs/users/get", Count: -1})
	r.advance(2 * time.Hour)
	s.out = out
	r.book(s)
	waitFor(t, "the stay to be over", func() bool {
		k := r.view(s).Key
		return k.Status == store.KeyRevoking || k.Status == store.KeyExpired && k.ObservedGeneration == k.Generation
	})
	r.sim.Heal()
	r.until(s, store.KeyExpired)
	waitFor(t, "the door to close", func() bool {
		for _, h := range r.holds(s.id) {
			if h.Ends.After(r.sim.Now()) {
				return false
			}
		}
		return true
	})
}

// After a restart Seam hides an access group: no door closes on guests who are in the house.
func TestAGroupThatIsNotShownStaysOpen(t *testing.T) {
	t.Parallel()
	for _, refusal := range []simulator.FaultKind{
		simulator.Refused, simulator.Forbidden, simulator.WrongNotFound,
		simulator.Error500Before,
	} {
		t.Run(string(refusal), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, fast(), simulator.Options{})
			r.listing("default", "L", "555555-5555", "lobby")
			s := r.stay("R1")
			s.in = r.now().Add(-time.Hour).Truncate(time.Millisecond)
			r.book(s)
			r.until(s, store.KeyActive)
			r.stop()
			if _, err := r.store.Pool().Exec(context.Background(),
				`DELETE FROM access_groups WHERE acs_access_group_id = 'lobby'`); err != nil {
				t.Fatal(err) // as if it had never been seen
			}
			r.sim.Configure(func(o *simulator.Options) { o.Hidden = []string{"lobby"} })
			r.sim.Inject(simulator.Fault{Kind: refusal, Path: "/acs/access_groups/get", Contains: "lobby", Count: -1})
			r.start()
			s.out = s.out.Add(time.Hour)
			r.book(s)
			waitFor(t, "the extension", func() bool {
				h := r.holds(s.id)
				return len(h) == 1 &&
					h[0].Ends.Equal(s.out)
			})
			r.untilThat(s, "done with the change", func(store.View) bool { return true })
			if got := r.holds(s.id)[0].Groups; len(got) != 2 {
				t.Errorf("the guest's doors are %v", got)
			}
			if n := r.called(seam.PathGroupRemove); n != 0 {
				t.Errorf("%d groups were removed", n)
			}
		})
	}
}

// Seam's access group endpoints fail during a restart: the record is enough to extend a stay.
func TestExtensionWithoutTheDirectory(t *testing.T) {
	t.Parallel()
	for name, groups := range map[string][]string{
		"the same doors": {"555555-5555"}, "and a door that nobody has looked up": {"555555-5555", "lobby"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, fast(), simulator.Options{})
			r.listing("default", "L", "555555-5555")
			s := r.stay("R1")
			s.in, s.out = r.now().Add(-24*time.Hour).Truncate(time.Millisecond),
				r.now().Add(time.Hour).Truncate(time.Millisecond)
			r.book(s)
			r.until(s, store.KeyActive)
			r.stop()
			if _, err := r.store.Pool().Exec(t.Context(),
				`DELETE FROM access_groups WHERE acs_access_group_id = 'lobby'`); err != nil {
				t.Fatal(err)
			}
			for _, path := range []string{"/acs/access_groups/list", "/acs/access_groups/get"} {
				r.sim.Inject(simulator.Fault{Kind: simulator.Error500Before, Path: path, Count: -1})
			}
			r.start()
			r.listing("default", "L", groups...)
			s.out = s.out.Add(24 * time.Hour)
			r.book(s)
			waitFor(t, "the extension", func() bool {
				h := r.holds(s.id)
				return len(h) == 1 && h[0].Ends.Equal(s.out)
			})
		})
	}
}
