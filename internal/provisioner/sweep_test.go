package provisioner_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/provisioner"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	domain "github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/store/storetest"
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
func (r *rig) sweepNow() domain.Sweep {
	r.t.Helper()
	before := r.lastSweep()
	r.advance(r.options.SweepInterval + time.Minute)
	waitFor(r.t, "a sweep", func() bool { return r.lastSweep().At.After(before.At) })
	return r.lastSweep()
}

func (r *rig) lastSweep() domain.Sweep {
	r.t.Helper()
	last, err := provisioner.LastSweep(context.Background(), r.store)
	if err != nil {
		r.t.Fatal(err)
	}
	return last
}

// policyOnDrift is the default policy of every source, but for drift.
func policyOnDrift(drift pms.Drift) func(source string) pms.Policy {
	return func(string) pms.Policy {
		p := pms.DefaultPolicy()
		p.Drift = drift
		return p
	}
}

// alter changes an ACS user as another person would in Salto's app.
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
	// systems/list; 3 pages of user identities; of the one system in use 3 pages of users, 3 of credentials, its groups
	// and each one's members
	want := map[string]int{
		"/acs/systems/list": 1, "/user_identities/list": 3, "/acs/users/list": 3,
		"/acs/credentials/list": 3, "/acs/access_groups/list": 1, "/acs/access_groups/list_users": 3,
	}
	// On a machine that is too busy, workers lose leases, and their leftovers are tidied up later: then try again.
	var swept domain.Sweep
	var diff string
	for range 10 {
		r.sim.Forget()
		swept = r.sweepNow()
		got := map[string]int{}
		for _, c := range r.sim.Records() {
			got[c.Path]++
		}
		if diff = cmp.Diff(want, got); diff == "" && swept.Compared == 20 && swept.Different == 0 &&
			swept.Missing == 0 {
			return
		}
	}
	t.Errorf("the sweep's result is %+v; requests (-want +got):\n%s", swept, diff)
}

// A sweep finds each kind of drift, however it has to read the groups, and touches nothing else.
func TestSweepFindsWhatChanged(t *testing.T) {
	t.Parallel()
	for name, configure := range map[string]func(*rig){
		"group by group": func(*rig) {},
		"user by user":   func(r *rig) { r.sim.AddSystem(system, "Casa Azul", manyGroups()...) },
		"without members": func(r *rig) {
			r.sim.Inject(simulator.Fault{Kind: simulator.Refused, Path: "/acs/access_groups/list_users", Count: -1})
		},
		"without a list of members": func(r *rig) {
			r.sim.Inject(simulator.Fault{Kind: simulator.NoEndpoint, Path: "/acs/access_groups/list_users", Count: -1})
		},
		"without lists": func(r *rig) {
			r.sim.Inject(simulator.Fault{
				Kind: simulator.Refused, Path: "/acs/users/list", Contains: system + `"}`,
				Count: -1,
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, fast(), simulator.Options{})
			stays := r.issue(9)
			configure(r)
			r.alter(stays[0], func(u *simulator.User) {
				u.Schedule = &simulator.Schedule{StartsAt: stays[0].in, EndsAt: stays[0].out.Add(time.Hour)}
			})
			r.alter(stays[1], func(u *simulator.User) { u.GroupIDs = append(slices.Clone(u.GroupIDs), "666666-6666") })
			r.alter(stays[2], func(u *simulator.User) { u.GroupIDs = nil })
			r.alter(stays[3], func(u *simulator.User) { u.IdentityID = "" })
			r.alter(stays[4], func(u *simulator.User) { u.Suspended = true })
			r.alter(stays[8], func(u *simulator.User) { u.FullName = "Jane Doe" })
			r.sim.Change(func(st *simulator.State) {
				id := st.UsersNamed(stays[5].id)[0].ID
				st.Credentials["more"] = simulator.Credential{
					ID: "more", UserID: id, AccessMethod: "mobile_key",
					MultiPhone: true, CreatedAt: r.now(),
				}
				delete(st.Credentials, st.MobileKeys(st.UsersNamed(stays[6].id)[0].ID)[0].ID)
			})
			r.sim.Forget()
			r.sweepNow()
			for i, s := range stays {
				if i == 4 {
					continue
				}
				waitFor(t, s.id+" to be repaired", func() bool {
					return cmp.Equal(r.holds(s.id),
						[]access{s.wants(system, "555555-5555", "lobby")})
				})
				r.until(s, store.KeyIssued)
			}
			r.untilThat(stays[4], "suspended",
				func(v store.View) bool { return str(v.Key.Reason) == "suspended_at_seam" })
			want := []string{
				seam.PathUserUpdate, seam.PathUserUpdate, seam.PathGroupRemove, seam.PathGroupAdd, seam.PathGroupAdd,
				seam.PathIdentityAddUser,
				seam.PathCredentialDelete, seam.PathCredentialCreate,
			}
			if diff := cmp.Diff(slices.Sorted(slices.Values(want)),
				slices.Sorted(slices.Values(r.changing()))); diff != "" {
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

// Drift under the policy "report" is left, visibly, until a person or a later event asks for a repair.
func TestDriftIsReported(t *testing.T) {
	t.Parallel()
	setup := func(t *testing.T) (*rig, stay) {
		r := newRig(t, fast(), simulator.Options{})
		r.policy = policyOnDrift(pms.DriftReport)
		s := r.issue(1)[0]
		r.alter(s, func(u *simulator.User) { u.GroupIDs = []string{"lobby", "666666-6666"} })
		r.sim.Change(func(st *simulator.State) {
			delete(st.Credentials,
				st.MobileKeys(st.UsersNamed(s.id)[0].ID)[0].ID)
		})
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
			t.Errorf("changed what should only be reported: %v", got)
		}
		return r, s
	}
	t.Run("an admin's reconcile repairs it", func(t *testing.T) {
		t.Parallel()
		r, s := setup(t)
		if err := r.applier.Act(context.Background(), store.Ref{Source: s.source, ReservationID: s.id},
			intake.Action{Kind: intake.ActionReconcile}); err != nil {
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
	t.Run("another policy repairs it", func(t *testing.T) {
		t.Parallel()
		r, s := setup(t)
		r.stop()
		r.policy = func(string) pms.Policy { return pms.DefaultPolicy() }
		r.start()
		r.sweepNow()
		r.until(s, store.KeyIssued)
		waitFor(t, "the repair", func() bool {
			return cmp.Equal(r.holds(s.id),
				[]access{s.wants(system, "555555-5555", "lobby")})
		})
	})
	t.Run("it is forgotten once somebody reverts it", func(t *testing.T) {
		t.Parallel()
		r, s := setup(t)
		r.alter(s, func(u *simulator.User) { u.GroupIDs = []string{"lobby", "555555-5555"} })
		v := r.view(s)
		r.sim.Change(func(st *simulator.State) {
			st.Credentials[*v.User.CredentialID] = simulator.Credential{
				ID:     *v.User.CredentialID,
				UserID: *v.User.ACSUserID, AccessMethod: "mobile_key", MultiPhone: true, CreatedAt: r.now(),
			}
		})
		r.sweepNow()
		r.until(s, store.KeyIssued)
		if got := r.changing(); len(got) != 0 {
			t.Errorf("changed what was right again: %v", got)
		}
	})
}

// A list that lacks many keys at once is not trusted; one that lacks a few is.
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
			t.Errorf("%s is %s although the list should not be trusted", s.id, v.Key.Status)
		}
	}
	if got := r.changing(); len(got) != 0 {
		t.Errorf("changed something: %v", got)
	}
	for _, path := range []string{"/acs/users/list", "/acs/credentials/list"} { // what can't be counted is not zero
		r.sim.Inject(simulator.Fault{Kind: simulator.LostAfter, Path: path, Count: -1})
		if swept := r.sweepNow(); len(swept.Failed) == 0 || swept.HeldBack != 5 {
			t.Errorf("%s fails: %+v", path, swept)
		}
		r.sim.Heal()
	}
	// An admin is trusted.
	if err := r.applier.Act(context.Background(), store.Ref{Source: "default", ReservationID: stays[4].id},
		intake.Action{Kind: intake.ActionReconcile}); err != nil {
		t.Fatal(err)
	}
	r.until(stays[4], store.KeyIssued)
	r.mustHold(stays[4].id, stays[4].wants(system, "555555-5555", "lobby"))
}

// A key that somebody keeps locked, such as a forgotten transaction, does not prevent others from being repaired, and
// is repaired itself once it is free.
func TestSweepPassesOverALockedKey(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := newRigWith(t, rigKind{timeout: callTimeout, locks: true}, fast(), simulator.Options{})
	stays := r.issue(4)
	tx := storetest.Begin(t, r.store)
	if _, err := tx.Exec(ctx, `SELECT FROM mobile_keys WHERE reservation_id = $1 FOR UPDATE`, stays[0].id); err != nil {
		t.Fatal(err)
	}
	for _, s := range stays[:3] {
		r.alter(s, func(u *simulator.User) { u.GroupIDs = []string{"lobby"} })
	}
	repaired := func(s stay) bool { return cmp.Equal(r.holds(s.id), []access{s.wants(system, "555555-5555", "lobby")}) }
	if swept := r.sweepNow(); len(swept.Failed) != 1 || swept.Different != 3 {
		t.Errorf("the sweep doesn't report the locked key: %+v", swept)
	}
	for _, s := range stays[1:3] {
		waitFor(t, s.id+" to be repaired despite a locked key", func() bool { return repaired(s) })
	}
	if repaired(stays[0]) {
		t.Error("the locked key was repaired: it was not locked")
	}
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	r.sweepNow()
	waitFor(t, "the key that was locked to be repaired", func() bool { return repaired(stays[0]) })
}

// A second ACS user that was created long ago is found by the sweep, without any known lost create.
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
	waitFor(t, "the second one to be removed", func() bool { return len(r.holds(s.id)) == 1 })
	if after := r.until(s, store.KeyIssued); *after.User.ACSUserID != *v.User.ACSUserID {
		t.Error("the one that REST reported is gone")
	}
}

// Seam's list doesn't show whose the ACS users are: a sweep verifies some of the links, not each; if there are few it
// still finds the one that somebody has removed.
func TestSweepWithoutListedLinks(t *testing.T) {
	t.Parallel()
	t.Run("many", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, fast(), simulator.Options{})
		stays := r.issue(30)
		r.sim.Configure(func(o *simulator.Options) { o.Omit = []string{"acs_user.user_identity_id"} })
		r.sim.Forget()
		swept := r.sweepNow()
		for _, s := range stays {
			r.rest(s)
		}
		looked := 0
		for _, c := range r.sim.Records() {
			if c.Path == "/acs/users/get" {
				looked++
			}
		}
		if swept.Different != 20 || looked != 20 || len(r.changing()) > 0 {
			t.Errorf("of 30 links 20 should be verified: the sweep's result is %+v, %d were looked at, and changed: %v",
				swept, looked, r.changing())
		}
	})
	t.Run("few", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, fast(), simulator.Options{})
		stays := r.issue(3)
		r.sim.Configure(func(o *simulator.Options) { o.Omit = []string{"acs_user.user_identity_id"} })
		r.alter(stays[1], func(u *simulator.User) { u.IdentityID = "" })
		r.sweepNow()
		waitFor(t, "the link", func() bool {
			return cmp.Equal(r.holds(stays[1].id), []access{stays[1].wants(system, "555555-5555", "lobby")})
		})
	})
}
