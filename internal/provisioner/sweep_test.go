package provisioner_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/staykey/staykey/internal/chaos"
	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/provisioner"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	domain "github.com/staykey/staykey/internal/stay"
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
func (r *rig) sweepNow() domain.Sweep {
	r.t.Helper()
	before := r.lastSweep()
	waitFor(r.t, "the first sweep to be scheduled", func() bool { // by the clock as it is: one that is moved first would put it off
		var scheduled bool
		err := r.store.Pool().QueryRow(context.Background(), `SELECT EXISTS (SELECT FROM tasks WHERE name = 'sweep')`).Scan(&scheduled)
		return err == nil && scheduled
	})
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
	// systems/list; 3 pages of user identities; of the one system in use 3 pages of users, 3 of credentials, its groups and each one's members
	want := map[string]int{"/acs/systems/list": 1, "/user_identities/list": 3, "/acs/users/list": 3, "/acs/credentials/list": 3, "/acs/access_groups/list": 1, "/acs/access_groups/list_users": 3}
	// A machine with no time makes workers lose leases, and what they left is tidied up by and by: then it is tried again.
	var swept domain.Sweep
	var diff string
	for range 10 {
		r.sim.Forget()
		swept = r.sweepNow()
		got := map[string]int{}
		for _, c := range r.sim.Records() {
			got[c.Path]++
		}
		if diff = cmp.Diff(want, got); diff == "" && swept.Compared == 20 && swept.Different == 0 && swept.Missing == 0 {
			return
		}
	}
	t.Errorf("the sweep came to %+v; requests (-want +got):\n%s", swept, diff)
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
		"without a list of members": func(r *rig) {
			r.sim.Inject(simulator.Fault{Kind: simulator.NoEndpoint, Path: "/acs/access_groups/list_users", Count: -1})
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
		if err := r.applier.Act(context.Background(), store.Ref{Source: s.source, ReservationID: s.id}, intake.Action{Kind: intake.ActionReconcile}); err != nil {
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
		waitFor(t, "the repair", func() bool { return cmp.Equal(r.holds(s.id), []held{s.wants(system, "555555-5555", "lobby")}) })
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
	if err := r.applier.Act(context.Background(), store.Ref{Source: "default", ReservationID: stays[4].id}, intake.Action{Kind: intake.ActionReconcile}); err != nil {
		t.Fatal(err)
	}
	r.until(stays[4], store.KeyIssued)
	r.mustHold(stays[4].id, stays[4].wants(system, "555555-5555", "lobby"))
}

// A key that somebody keeps locked, such as a forgotten transaction, keeps no other from being repaired, and is repaired itself when it is free.
func TestSweepPassesOverALockedKey(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := newRig(t, fast(), simulator.Options{})
	stays := r.issue(4)
	tx, err := r.store.Pool().Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(ctx) }()
	if _, err := tx.Exec(ctx, `SET LOCAL idle_in_transaction_session_timeout = 0`); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(ctx, `SELECT FROM mobile_keys WHERE reservation_id = $1 FOR UPDATE`, stays[0].id); err != nil {
		t.Fatal(err)
	}
	for _, s := range stays[:3] {
		r.alter(s, func(u *simulator.User) { u.GroupIDs = []string{"lobby"} })
	}
	repaired := func(s stay) bool { return cmp.Equal(r.holds(s.id), []held{s.wants(system, "555555-5555", "lobby")}) }
	if swept := r.sweepNow(); len(swept.Failed) != 1 || swept.Different != 3 {
		t.Errorf("the sweep says nothing of the locked key: %+v", swept)
	}
	for _, s := range stays[1:3] {
		waitFor(t, s.id+" to be repaired beside a locked key", func() bool { return repaired(s) })
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

// A second ACS user that was created long ago is found by the sweep, without anything lost being known.
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

// While an access system is disconnected its reservations say so, without a call for each, and they continue when
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
	// What is read right after an event may be older.
	for in, want := range map[time.Duration]bool{10 * time.Second: false, 2 * time.Minute: true} {
		changed, err := r.store.SystemSeen(context.Background(), system, "account_disconnected", nil, now.Add(in))
		if err != nil || changed != want {
			t.Errorf("read %s behind: changed %v, %v", in, changed, err)
		}
		if changed, err = r.store.SystemSeen(context.Background(), system, "", nil, now.Add(in)); err != nil || changed != want {
			t.Errorf("read again %s behind: changed %v, %v", in, changed, err)
		}
	}
}

// TestManyKeysAreSwept sweeps a great many keys from lists, finds the few that somebody changed, and does not keep a
// guest waiting meanwhile. STAYKEY_SWEPT_KEYS makes it more.
func TestManyKeysAreSwept(t *testing.T) {
	t.Parallel()
	keys := chaos.Size("STAYKEY_SWEPT_KEYS", 2000)
	perGroup := 50
	r := newRig(t, fast(), simulator.Options{})
	r.stop()
	in := r.now().Add(30 * 24 * time.Hour).Truncate(time.Second)
	r.liveKeys(keys, perGroup, in)
	changed := []string{"M00003", fmt.Sprintf("M%05d", keys*35/100), fmt.Sprintf("M%05d", keys-1)}
	for _, id := range changed {
		r.alter(stay{id: id}, func(u *simulator.User) { u.GroupIDs = []string{"lobby"} })
	}
	r.sim.Forget()
	r.start()
	r.listing("default", "L", "555555-5555")
	waitFor(t, "the sweep to be scheduled", func() bool {
		var scheduled bool
		err := r.store.Pool().QueryRow(context.Background(), `SELECT EXISTS (SELECT FROM tasks)`).Scan(&scheduled)
		return err == nil && scheduled
	})
	r.advance(r.options.SweepInterval + time.Minute)
	waitFor(t, "the sweep to begin", func() bool { return r.sim.Calls() > 6 })
	near := r.stay("near")
	near.in = r.now().Add(time.Hour)
	booked := time.Now()
	r.book(near)
	r.until(near, store.KeyIssued)
	waited := time.Since(booked)
	deadline := time.NewTimer(10 * time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for r.lastSweep().At.IsZero() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatal("the sweep does not end")
		}
	}
	swept := r.lastSweep()
	// Pages overlap where something is made while they are read; what seems different then is looked at, and is not.
	if swept.Compared != keys || swept.Different < len(changed) || swept.Different > len(changed)+3 || swept.Missing > 3 || len(swept.Failed) != 0 {
		t.Errorf("the sweep came to %+v", swept)
	}
	for _, id := range changed {
		waitFor(t, id+" to be repaired", func() bool {
			h := r.holds(id)
			return len(h) == 1 && !slices.Equal(h[0].Groups, []string{"lobby"})
		})
	}
	// Pages of 500 users and 500 credentials, one read a group, and some for those that differ and the new stay.
	if most := 2*(keys/500+2) + keys/perGroup + 60; r.sim.Calls() > most {
		t.Errorf("%d requests for %d keys, want at most %d", r.sim.Calls(), keys, most)
	}
	t.Logf("%d keys swept in %d ms with %d requests in all; a guest who arrives in an hour had a key in %s meanwhile",
		keys, swept.TookMS, r.sim.Calls(), waited.Round(time.Millisecond))
}

// liveKeys makes issued keys, in the database and at Seam, as if they had been provisioned long ago.
func (r *rig) liveKeys(n, perGroup int, in time.Time) {
	r.t.Helper()
	out := in.Add(72 * time.Hour)
	r.sim.Change(func(st *simulator.State) {
		for i := range n {
			id := fmt.Sprintf("%05d", i)
			group := fmt.Sprintf("g%d", i/perGroup)
			st.Groups[group] = simulator.AccessGroup{ID: group, SystemID: system, Name: group}
			st.Identities["i"+id] = simulator.Identity{ID: "i" + id, Key: "k" + id, CreatedAt: in}
			st.Users["u"+id] = simulator.User{
				ID: "u" + id, SystemID: system, IdentityID: "i" + id, FullName: "M" + id, Schedule: &simulator.Schedule{StartsAt: in, EndsAt: out},
				GroupIDs: []string{group}, CreatedAt: in,
			}
			st.Credentials["c"+id] = simulator.Credential{ID: "c" + id, UserID: "u" + id, AccessMethod: "mobile_key", MultiPhone: true, CreatedAt: in}
		}
	})
	if _, err := r.store.Pool().Exec(context.Background(), `
		WITH n AS (SELECT lpad(i::text, 5, '0') AS id, i FROM generate_series(0, $1::int - 1) i),
		l AS (INSERT INTO listings (source, listing_id, known, access_group_ids, generation, fanned_generation, created_at, updated_at)
			SELECT DISTINCT 'default', 'G' || i / $2::int, true, ARRAY['g' || i / $2::int], 1, 1, now(), now() FROM n),
		r AS (INSERT INTO reservations (source, reservation_id, status, listing_id, check_in, check_out, listing_generation, version_at, version_seq, created_at, updated_at)
			SELECT 'default', 'M' || id, 'confirmed', 'G' || i / $2::int, $3, $4, 1, now(), 1, now(), now() FROM n),
		k AS (INSERT INTO mobile_keys (source, reservation_id, status, generation, observed_generation, next_reconcile_at, rank_at, settled_at, changed_at)
			SELECT 'default', 'M' || id, 'issued', 1, 1, $3, $3, now(), now() FROM n),
		i AS (INSERT INTO user_identities (user_identity_key, user_identity_id, made, own, created_at) SELECT 'k' || id, 'i' || id, true, false, now() FROM n)
		INSERT INTO acs_users (source, reservation_id, acs_system_id, user_identity_key, user_identity_id, guest_key, marked_at, acs_user_id, made_at, starts_at,
			ends_at, acs_access_group_ids, acs_credential_id, credential_marked_at, settled)
		SELECT 'default', 'M' || id, $5, 'k' || id, 'i' || id, '', '2024-01-01', 'u' || id, '2024-01-01', $3, $4, ARRAY['g' || i / $2::int], 'c' || id, '2024-01-01', true FROM n`,
		n, perGroup, in, out, system); err != nil {
		r.t.Fatal(err)
	}
}

// Seam's list doesn't tell whose the ACS users are: a sweep verifies some of the links, not each; where there are few it still finds the one
// that somebody has taken away.
func TestSweepWhereLinksAreNotTold(t *testing.T) {
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
			t.Errorf("of 30 links 20 should be verified: the sweep came to %+v, %d were looked at, and changed: %v", swept, looked, r.changing())
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
			return cmp.Equal(r.holds(stays[1].id), []held{stays[1].wants(system, "555555-5555", "lobby")})
		})
	})
}
