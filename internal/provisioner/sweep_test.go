package provisioner_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/provisioner"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

// issue books n stays of guests of their own and waits for their keys.
func (r *rig) issue(n int) []stay {
	r.t.Helper()
	r.listing("default", "L", "555555-5555", "lobby")
	stays := make([]stay, n)
	for i := range stays {
		stays[i] = r.stay(fmt.Sprintf("S%03d", i))
		stays[i].email = fmt.Sprintf("guest%d@example.com", i)
		r.book(stays[i])
	}
	for _, s := range stays {
		r.until(s, store.KeyIssued)
	}
	return stays
}

// sweepNow moves the clocks to the sweep's next turn and waits for its end.
func (r *rig) sweepNow() provisioner.Sweep {
	r.t.Helper()
	before := r.lastSweep()
	r.advance(r.options.SweepInterval + time.Minute)
	waitFor(r.t, "a sweep", func() bool { return r.lastSweep().At.After(before.At) })
	return r.lastSweep()
}

func (r *rig) lastSweep() provisioner.Sweep {
	r.t.Helper()
	last, err := provisioner.LastSweep(context.Background(), r.store)
	if err != nil {
		r.t.Fatal(err)
	}
	return last
}

// alter changes an ACS user as somebody in Salto's own app would.
func (r *rig) alter(s stay, change func(*simulator.User)) {
	r.t.Helper()
	r.sim.Change(func(st *simulator.State) {
		for _, u := range st.UsersNamed(s.id) {
			change(&u)
			st.Users[u.ID] = u
		}
	})
}

func TestSweepReadsListsAndNotKeys(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{PageSize: 7})
	r.issue(20)
	r.sim.Forget()
	swept := r.sweepNow()
	if swept.Compared != 20 || swept.Different != 0 || swept.Missing != 0 {
		t.Errorf("the sweep came to %+v", swept)
	}
	// systems/list; of the one system in use 3 pages of users, 3 of credentials, its groups and each one's members
	want := map[string]int{"/acs/systems/list": 1, "/acs/users/list": 3, "/acs/credentials/list": 3, "/acs/access_groups/list": 1, "/acs/access_groups/list_users": 3}
	got := map[string]int{}
	for _, c := range r.sim.Records() {
		got[c.Path]++
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

// A sweep finds each kind of drift, whichever way it has to read the groups, and nothing else is touched.
func TestSweepFindsWhatChanged(t *testing.T) {
	t.Parallel()
	for name, configure := range map[string]func(*rig){
		"group by group": func(*rig) {},
		"user by user":   func(r *rig) { r.sim.AddSystem(system, "Casa Azul", manyGroups()...) },
		"without members": func(r *rig) {
			r.sim.Inject(simulator.Fault{Kind: simulator.Refused, Path: "/acs/access_groups/list_users", Count: -1})
		},
		"without lists": func(r *rig) {
			r.sim.Inject(simulator.Fault{Kind: simulator.Refused, Path: "/acs/users/list", Contains: system + `"}`, Count: -1})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, fast(), simulator.Options{})
			stays := r.issue(8)
			configure(r)
			r.alter(stays[0], func(u *simulator.User) {
				u.Schedule = &simulator.Schedule{StartsAt: stays[0].in, EndsAt: stays[0].out.Add(time.Hour)}
			})
			r.alter(stays[1], func(u *simulator.User) { u.GroupIDs = append(slices.Clone(u.GroupIDs), "666666-6666") })
			r.alter(stays[2], func(u *simulator.User) { u.GroupIDs = nil })
			r.alter(stays[3], func(u *simulator.User) { u.IdentityID = "" })
			r.alter(stays[4], func(u *simulator.User) { u.Suspended = true })
			r.sim.Change(func(st *simulator.State) {
				id := st.UsersNamed(stays[5].id)[0].ID
				st.Credentials["more"] = simulator.Credential{ID: "more", UserID: id, AccessMethod: "mobile_key", MultiPhone: true, CreatedAt: r.now()}
				delete(st.Credentials, st.MobileKeys(st.UsersNamed(stays[6].id)[0].ID)[0].ID)
			})
			r.sim.Forget()
			r.sweepNow()
			for i, s := range stays {
				if i == 4 {
					continue
				}
				waitFor(t, s.id+" to be repaired", func() bool { return cmp.Equal(r.holds(s.id), []held{s.wants(system, "555555-5555", "lobby")}) })
				r.until(s, store.KeyIssued)
			}
			r.untilThat(stays[4], "suspended", func(v store.View) bool { return str(v.Key.Reason) == "suspended_at_seam" })
			want := []string{
				seam.PathUserUpdate, seam.PathGroupRemove, seam.PathGroupAdd, seam.PathGroupAdd, seam.PathIdentityAddUser,
				seam.PathCredentialDelete, seam.PathCredentialCreate,
			}
			if diff := cmp.Diff(slices.Sorted(slices.Values(want)), slices.Sorted(slices.Values(r.changing()))); diff != "" {
				t.Errorf("changing calls (-want +got):\n%s", diff)
			}
		})
	}
}

func manyGroups() []string {
	groups := []string{"555555-5555", "666666-6666", "lobby"}
	for i := range 20 {
		groups = append(groups, fmt.Sprintf("more-%d", i))
	}
	return groups
}

// Drift under the policy "report" stays, visibly, until a person or a later event says otherwise.
func TestDriftIsReported(t *testing.T) {
	t.Parallel()
	setup := func(t *testing.T) (*rig, stay) {
		r := newRig(t, fast(), simulator.Options{})
		r.policy = func(string) pms.Policy {
			p := pms.DefaultPolicy()
			p.Drift = pms.DriftReport
			return p
		}
		s := r.issue(1)[0]
		r.alter(s, func(u *simulator.User) { u.GroupIDs = []string{"lobby", "666666-6666"} })
		r.sim.Change(func(st *simulator.State) { delete(st.Credentials, st.MobileKeys(st.UsersNamed(s.id)[0].ID)[0].ID) })
		r.sim.Forget()
		r.sweepNow()
		r.untilThat(s, "drifted", func(v store.View) bool { return str(v.Key.Reason) == "drifted" })
		r.sim.Forget()
		r.sweepNow() // known already: no key is looked at one by one
		for _, c := range r.sim.Records() {
			if c.Path == "/acs/users/get" {
				t.Error("a drift that is known is looked at again")
			}
		}
		if got := r.changing(); len(got) != 0 {
			t.Errorf("changed what was to be reported only: %v", got)
		}
		return r, s
	}
	t.Run("an admin's reconcile repairs it", func(t *testing.T) {
		t.Parallel()
		r, s := setup(t)
		if err := r.applier.Reconcile(context.Background(), store.Ref{Source: s.source, ReservationID: s.id}); err != nil {
			t.Fatal(err)
		}
		r.until(s, store.KeyIssued)
		r.mustHold(s.id, s.wants(system, "555555-5555", "lobby"))
	})
	t.Run("a later event repairs it", func(t *testing.T) {
		t.Parallel()
		r, s := setup(t)
		s.out = s.out.Add(time.Hour)
		r.book(s)
		r.until(s, store.KeyIssued)
		r.mustHold(s.id, s.wants(system, "555555-5555", "lobby"))
	})
	t.Run("undone by hand it is forgotten", func(t *testing.T) {
		t.Parallel()
		r, s := setup(t)
		r.alter(s, func(u *simulator.User) { u.GroupIDs = []string{"lobby", "555555-5555"} })
		v := r.view(s)
		r.sim.Change(func(st *simulator.State) {
			st.Credentials[*v.User.CredentialID] = simulator.Credential{ID: *v.User.CredentialID, UserID: *v.User.ACSUserID, AccessMethod: "mobile_key", MultiPhone: true, CreatedAt: r.now()}
		})
		r.sweepNow()
		r.until(s, store.KeyIssued)
		if got := r.changing(); len(got) != 0 {
			t.Errorf("changed what was right again: %v", got)
		}
	})
}

// A list that lacks many keys at once is not believed; one that lacks a few is.
func TestSweepHoldsBackWhereManyAreMissing(t *testing.T) {
	t.Parallel()
	remove := func(r *rig, stays []stay) {
		r.sim.Change(func(st *simulator.State) {
			for _, s := range stays {
				u := st.UsersNamed(s.id)[0]
				delete(st.Credentials, st.MobileKeys(u.ID)[0].ID)
				delete(st.Users, u.ID)
			}
		})
	}
	r := newRig(t, fast(), simulator.Options{})
	stays := r.issue(20)
	remove(r, stays[:4])
	if swept := r.sweepNow(); swept.Missing != 4 || swept.HeldBack != 0 {
		t.Errorf("four missing: %+v", swept)
	}
	for _, s := range stays[:4] {
		r.untilThat(s, "removed", func(v store.View) bool { return str(v.Key.Reason) == "removed_at_seam" })
	}
	remove(r, stays[4:9])
	r.sim.Forget()
	if swept := r.sweepNow(); swept.Missing != 5 || swept.HeldBack != 5 {
		t.Errorf("five missing: %+v", swept)
	}
	for _, s := range stays[4:9] {
		if v := r.view(s); v.Key.Status != store.KeyIssued || v.Key.CheckRequested {
			t.Errorf("%s is %s although nothing was to be concluded", s.id, v.Key.Status)
		}
	}
	if got := r.changing(); len(got) != 0 {
		t.Errorf("changed something: %v", got)
	}
	// A person is believed.
	if err := r.applier.Reconcile(context.Background(), store.Ref{Source: "default", ReservationID: stays[4].id}); err != nil {
		t.Fatal(err)
	}
	r.until(stays[4], store.KeyIssued)
	r.mustHold(stays[4].id, stays[4].wants(system, "555555-5555", "lobby"))
}

// A second ACS user that came about long ago is found by the sweep, without anything lost being known.
func TestSweepFindsSurplusUser(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	s := r.issue(1)[0]
	v := r.view(s)
	r.sim.Change(func(st *simulator.State) {
		u := st.Users[*v.User.ACSUserID]
		u.ID, u.CreatedAt = "second", u.CreatedAt.Add(time.Second)
		st.Users[u.ID] = u
	})
	r.sweepNow()
	waitFor(t, "the second one to go", func() bool { return len(r.holds(s.id)) == 1 })
	if after := r.until(s, store.KeyIssued); *after.User.ACSUserID != *v.User.ACSUserID {
		t.Error("the one that REST reported has gone")
	}
}

// While an access system is disconnected its reservations say so, without a call for each, and they go on when
// it is back: told by Seam's event, or found by the sweep.
func TestDisconnectedSystem(t *testing.T) {
	t.Parallel()
	cut := func(r *rig, is bool) {
		r.sim.Change(func(st *simulator.State) {
			sys := st.Systems[system]
			sys.Disconnected = is
			st.Systems[system] = sys
		})
	}
	event := func(r *rig, problem string) {
		r.t.Helper()
		now := r.now()
		if _, err := r.store.SystemSeen(context.Background(), system, problem, &now, now); err != nil {
			r.t.Fatal(err)
		}
		if _, err := r.store.QueueSystem(context.Background(), system, now); err != nil {
			r.t.Fatal(err)
		}
		r.prov.Wake()
	}
	for _, told := range []bool{true, false} {
		t.Run(fmt.Sprintf("told by an event: %v", told), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, fast(), simulator.Options{})
			stays := r.issue(6)
			r.listing("default", "V", "verde-1")
			elsewhere := r.stay("V1")
			elsewhere.listing = "V"
			r.book(elsewhere)
			r.until(elsewhere, store.KeyIssued)
			tell := func(is bool) {
				cut(r, is)
				if !told {
					r.sweepNow()
					return
				}
				event(r, map[bool]string{true: "acs_system_disconnected"}[is])
			}
			r.sim.Forget()
			tell(true)
			disconnected := func(v store.View) bool {
				return v.Key.Status == store.KeyAttention && str(v.Key.Reason) == "access_system_disconnected"
			}
			for _, s := range stays {
				r.untilThat(s, "under attention", disconnected)
			}
			if n := r.sim.Calls(); told && n != 0 {
				t.Errorf("%d calls for what one event said", n)
			}
			late := r.stay("late")
			late.email = "late@example.com"
			r.book(late)
			waitFor(t, "the new one to say so too", func() bool { return disconnected(r.view(late)) })
			stays[0].out = stays[0].out.Add(time.Hour)
			r.book(stays[0])
			r.cancel(stays[1]) // doors close all the same
			r.until(stays[1], store.KeyRevoked)
			if v := r.view(elsewhere); v.Key.Status != store.KeyIssued {
				t.Errorf("a stay on another system is %s", v.Key.Status)
			}
			tell(false)
			r.until(late, store.KeyIssued)
			for i, s := range stays {
				if i == 1 {
					continue
				}
				r.until(s, store.KeyIssued)
				r.mustHold(s.id, s.wants(system, "555555-5555", "lobby"))
			}
			r.mustBeSound()
		})
	}
	t.Run("found by a refusal", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, fast(), simulator.Options{})
		r.listing("default", "L", "555555-5555")
		waitFor(t, "the access groups to be known", func() bool { return r.sim.Calls() >= 2 })
		cut(r, true)
		s := r.stay("R1")
		r.book(s)
		waitFor(t, "the refusal", func() bool { return str(r.view(s).Key.Reason) == "access_system_disconnected" })
		cut(r, false)
		r.advance(10 * time.Minute) // nobody tells: it is asked after
		r.until(s, store.KeyIssued)
	})
}

// Events of Seam's that come late say nothing about what happened since.
func TestOlderSystemEventChangesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	now := r.now()
	before := now.Add(-time.Minute)
	for _, e := range []struct {
		problem string
		at      *time.Time
		changed bool
	}{{"", &now, false}, {"acs_system_disconnected", &before, false}, {"account_disconnected", &now, true}, {"", &now, true}} {
		changed, err := r.store.SystemSeen(context.Background(), system, e.problem, e.at, now)
		if err != nil || changed != e.changed {
			t.Errorf("%q at %v: changed %v, %v", e.problem, e.at, changed, err)
		}
	}
}
