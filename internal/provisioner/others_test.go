package provisioner_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

// What other people change at Seam.

func TestGroupVanishesAtSeam(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "555555-5555", "666666-6666")
	waitFor(t, "the access groups to be known", func() bool { return r.sim.Calls() >= 2 })
	r.sim.Change(func(s *simulator.State) { delete(s.Groups, "666666-6666") })
	s := r.stay("R1")
	r.book(s)
	if v := r.until(s, store.KeyAttention); str(v.Key.Reason) != "access_group_not_found" {
		t.Errorf("reason: got %s", str(v.Key.Reason))
	}
	r.mustHold(s.id, s.wants(system, "555555-5555"))
	r.mustBeSound()
}

func TestRemovedAndSuspendedAtSeam(t *testing.T) {
	t.Parallel()
	type rigged struct {
		r *rig
		s stay
		v store.View
	}
	setup := func(t *testing.T, change func(*simulator.State, string)) rigged {
		r := newRig(t, fast(), simulator.Options{})
		r.listing("default", "L", "555555-5555")
		s := r.stay("R1")
		r.book(s)
		v := r.until(s, store.KeyIssued)
		r.sim.Change(func(st *simulator.State) { change(st, *v.User.ACSUserID) })
		r.advance(2 * time.Hour) // the sweep's turn
		return rigged{r, s, v}
	}
	deleteUser := func(st *simulator.State, id string) {
		for cid, c := range st.Credentials {
			if c.UserID == id {
				delete(st.Credentials, cid)
			}
		}
		delete(st.Users, id)
	}
	suspendUser := func(st *simulator.State, id string) {
		u := st.Users[id]
		u.Suspended = true
		st.Users[id] = u
	}
	for name, c := range map[string]struct {
		change func(*simulator.State, string)
		reason string
		left   int
	}{
		"deleted":   {deleteUser, "removed_at_seam", 0},
		"suspended": {suspendUser, "suspended_at_seam", 1},
	} {
		t.Run(name+" is left alone until an admin reconciles", func(t *testing.T) {
			t.Parallel()
			x := setup(t, c.change)
			v := x.r.untilThat(x.s, c.reason, func(v store.View) bool { return str(v.Key.Reason) == c.reason })
			if v.Key.Status != store.KeyAttention || len(x.r.holds(x.s.id)) != c.left {
				t.Errorf("status %s, Seam holds %d", v.Key.Status, len(x.r.holds(x.s.id)))
			}
			x.r.listing("default", "L", "555555-5555", "lobby") // no person asked for this stay
			x.r.untilThat(x.s, c.reason, func(v store.View) bool { return str(v.Key.Reason) == c.reason })
			if err := x.r.applier.Act(context.Background(), store.Ref{Source: "default", ReservationID: x.s.id},
				intake.Action{Kind: intake.ActionReconcile}); err != nil {
				t.Fatal(err)
			}
			x.r.until(x.s, store.KeyIssued)
			x.r.mustHold(x.s.id, x.s.wants(system, "555555-5555", "lobby"))
			for _, u := range x.r.sim.State().UsersNamed(x.s.id) {
				if u.Suspended {
					t.Error("still suspended")
				}
			}
		})
		t.Run(name+" is repaired by a later event", func(t *testing.T) {
			t.Parallel()
			x := setup(t, c.change)
			x.r.untilThat(x.s, c.reason, func(v store.View) bool { return str(v.Key.Reason) == c.reason })
			x.s.out = x.s.out.Add(time.Hour)
			x.r.book(x.s)
			x.r.until(x.s, store.KeyIssued)
			x.r.mustHold(x.s.id, x.s.wants(system, "555555-5555"))
		})
	}
}

func TestDriftIsRepaired(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "555555-5555", "lobby")
	s := r.stay("R1")
	r.book(s)
	v := r.until(s, store.KeyIssued)
	id := *v.User.ACSUserID
	for name, change := range map[string]func(*simulator.State){
		"schedule": func(st *simulator.State) { u := st.Users[id]; u.Schedule = nil; st.Users[id] = u },
		"groups": func(st *simulator.State) {
			u := st.Users[id]
			u.GroupIDs = []string{"666666-6666", "lobby"}
			st.Users[id] = u
		},
		"credential": func(st *simulator.State) { delete(st.Credentials, st.MobileKeys(id)[0].ID) },
		"surplus credential": func(st *simulator.State) {
			st.Credentials["more"] = simulator.Credential{
				ID: "more", UserID: id, AccessMethod: "mobile_key",
				MultiPhone: true, CreatedAt: r.now(),
			}
		},
		"link": func(st *simulator.State) { u := st.Users[id]; u.IdentityID = ""; st.Users[id] = u },
		"name": func(st *simulator.State) { u := st.Users[id]; u.FullName = "Jane Doe"; st.Users[id] = u },
	} {
		r.sim.Change(change)
		r.advance(2 * time.Hour)
		at := r.now().Truncate(time.Microsecond)
		waitFor(t, name+" to be repaired", func() bool {
			h := r.holds(s.id)
			want := s.wants(system, "555555-5555", "lobby")
			return len(h) == 1 && fmt.Sprint(h[0]) == fmt.Sprint(want)
		})
		after := r.until(s, store.KeyIssued)
		if *after.User.ACSUserID != id {
			t.Errorf("%s: another ACS user", name)
		}
		// The sweep's next turn starts from the repair.
		r.untilThat(s, "verified", func(v store.View) bool {
			return v.Key.VerifiedAt != nil &&
				!v.Key.VerifiedAt.Before(at)
		})
	}
}
