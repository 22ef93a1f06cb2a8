package provisioner_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/store/storetest"
)

// open switches the rig to another database.
func (r *rig) open(dsn string) {
	r.t.Helper()
	s, err := store.Open(context.Background(), dsn)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(s.Close)
	r.store = s
	r.start()
}

// TestRestore goes back to a copy of the database that was made some time ago. What was created at Seam since is
// found and adopted, not created twice; what was removed at Seam since is not created again.
func TestRestore(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "lobby")
	kept, moved, cancelled := r.stay("kept"), r.stay("moved"), r.stay("cancelled")
	moved.email, cancelled.email = "moved@example.com", "cancelled@example.com"
	for _, s := range []stay{kept, moved, cancelled} {
		r.book(s)
		r.until(s, store.KeyIssued)
	}
	r.stop()
	original := r.store.Pool().Config().ConnConfig.Database
	r.store.Close()
	copied := storetest.Copy(t, r.store)

	r.open(storetest.Of(t, original)) // time continues
	moved.out = moved.out.Add(24 * time.Hour)
	r.book(moved)
	r.cancel(cancelled)
	later, anonymous, again := r.stay("later"), r.stay("anonymous"), r.stay("again")
	later.email, anonymous.email = "later@example.com", ""
	again.email, again.own = kept.email, true // the guest has a stay already: it gets an identity of its own
	for _, s := range []stay{later, anonymous, again} {
		r.book(s)
		r.until(s, store.KeyIssued)
	}
	r.until(moved, store.KeyIssued)
	r.until(cancelled, store.KeyRevoked)
	want := map[string]store.View{}
	for _, s := range []stay{kept, moved, later, anonymous, again} {
		want[s.id] = r.view(s)
	}
	r.stop()
	r.store.Close()
	r.sim.Forget()

	r.open(copied) // and back
	for _, s := range []stay{kept, moved, cancelled, later, anonymous, again} {
		if s.id == cancelled.id {
			r.cancel(s)
			continue
		}
		r.book(s) // the PMS sends its data again
	}
	r.until(cancelled, store.KeyRevoked)
	for _, s := range []stay{kept, moved, later, anonymous, again} {
		v := r.until(s, store.KeyIssued)
		if *v.User.ACSUserID != *want[s.id].User.ACSUserID || *v.User.CredentialID != *want[s.id].User.CredentialID {
			t.Errorf("%s has another ACS user or mobile key than before the restore", s.id)
		}
		w := s.wants(system, "lobby")
		if s.own {
			w.Identity = "own"
		}
		r.mustHold(s.id, w)
	}
	r.mustHold(cancelled.id)
	for _, path := range r.changing() {
		if path == "/acs/users/create" || path == "/acs/credentials/create" {
			t.Errorf("%s was called after the restore", path)
		}
	}
	r.mustBeSound()
}

// After a restore with the policy to report, nothing at Seam is taken back before the PMS has sent its data again,
// and missing keys are shown however many they are.
func TestRestoreTakesNothingBack(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "lobby")
	leaving := r.stay("leaving") // in the house, and extended after the backup
	leaving.email = "leaving@example.com"
	leaving.in, leaving.out = r.now().Add(-24*time.Hour).Truncate(time.Millisecond),
		r.now().Add(time.Hour).Truncate(time.Millisecond)
	stays := []stay{leaving}
	for i := range 6 {
		s := r.stay(fmtStay(i))
		s.email = strings.ToLower(s.id) + "@example.com"
		stays = append(stays, s)
	}
	for _, s := range stays {
		r.book(s)
		waitFor(t, "its key", func() bool { h := r.holds(s.id); return len(h) == 1 && h[0].Keys == 1 })
		r.rest(s)
	}
	r.stop()
	original := r.store.Pool().Config().ConnConfig.Database
	r.store.Close()
	copied := storetest.Copy(t, r.store)
	r.open(storetest.Of(t, original))
	stays[0].out = leaving.out.Add(5 * 24 * time.Hour)
	stays[1].out = stays[1].out.Add(24 * time.Hour)
	for _, s := range stays[:2] {
		r.book(s)
		waitFor(t, "the extension", func() bool { return r.holds(s.id)[0].Ends.Equal(s.out) })
	}
	for _, s := range stays[2:] {
		r.cancel(s)
		r.until(s, store.KeyRevoked)
	}
	r.stop()
	r.store.Close()
	r.sim.Forget()

	r.policy = policyOnDrift(pms.DriftReport)
	r.open(copied)
	if swept := r.sweepNow(); swept.HeldBack != 0 {
		t.Errorf("withheld: %+v", swept)
	}
	for _, s := range stays[2:] {
		r.untilThat(s, "removed_at_seam", func(v store.View) bool { return str(v.Key.Reason) == "removed_at_seam" })
	}
	r.untilThat(stays[1], "drifted", func(v store.View) bool { return str(v.Key.Reason) == "drifted" })
	r.advance(26 * time.Hour) // the old check-out, and the time for which a key is kept after it, have passed
	waitFor(t, "the extension to be reported", func() bool { return str(r.view(stays[0]).Key.Reason) == "drifted" })
	if got := r.changing(); len(got) != 0 {
		t.Errorf("changed at Seam before the PMS has sent anything: %v", got)
	}
	for _, s := range stays[:2] {
		r.book(s)
		r.untilThat(s, "good again", func(v store.View) bool {
			return v.Key.Status == store.KeyIssued ||
				v.Key.Status == store.KeyActive
		})
		r.mustHold(s.id, s.wants(system, "lobby"))
	}
}

// A sweep finds out that the database was restored from an older backup: Seam has ACS users whose identities only this
// installation's salt makes, and the database has no record of them. Once the PMS has sent its data again, all is well.
// A create whose answer was lost is no sign of it, nor is somebody else's ACS user.
func TestRestoreIsNoticed(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "lobby")
	kept, later := r.stay("kept"), r.stay("later")
	later.email = "later@example.com"
	r.book(kept)
	r.until(kept, store.KeyIssued)
	r.stop()
	original := r.store.Pool().Config().ConnConfig.Database
	r.store.Close()
	copied := storetest.Copy(t, r.store)

	r.open(storetest.Of(t, original)) // time continues
	r.book(later)
	r.until(later, store.KeyIssued)
	r.sim.Change(func(st *simulator.State) { // somebody else's, on the same system
		st.Identities["stranger"] = simulator.Identity{
			ID: "stranger", Key: "of-somebody-else",
			Email: "stranger@example.com", CreatedAt: r.now(),
		}
		st.Users["stranger"] = simulator.User{
			ID: "stranger", SystemID: system, IdentityID: "stranger",
			FullName: "Stranger", CreatedAt: r.now(),
		}
	})
	forgotten := r.stay("forgotten") // by retention; somebody else uses the guest's identity now
	forgotten.email = "forgotten@example.com"
	r.book(forgotten)
	r.until(forgotten, store.KeyIssued)
	r.cancel(forgotten)
	r.until(forgotten, store.KeyRevoked)
	found := false
	r.sim.Change(func(st *simulator.State) {
		for id, i := range st.Identities {
			if found = found || i.Email == forgotten.email; i.Email == forgotten.email {
				i.CreatedAt = r.now().Add(-store.IdentitiesKept - 24*time.Hour)
				st.Identities[id] = i
				st.Users["theirs"] = simulator.User{
					ID: "theirs", SystemID: system, IdentityID: id, FullName: "Theirs",
					CreatedAt: r.now(),
				}
				if _, err := r.store.Pool().Exec(t.Context(), `DELETE FROM user_identities WHERE user_identity_id = $1`,
					id); err != nil {
					t.Error(err)
				}
			}
		}
	})
	if !found {
		t.Error("the guest has no identity")
	}
	if swept := r.sweepNow(); swept.Unknown != 0 {
		t.Errorf("before the restore: %+v", swept)
	}
	r.stop()
	r.store.Close()

	r.open(copied)
	if swept := r.sweepNow(); swept.Unknown != 1 {
		t.Errorf("after the restore: %+v", swept)
	}
	for name, fault := range map[string]simulator.Fault{
		"identities are not listed":    {Kind: simulator.LostAfter, Path: "/user_identities/list", Count: -1},
		"identities are refused":       {Kind: simulator.Refused, Path: "/user_identities/list", Count: -1},
		"ACS users are not listed":     {Kind: simulator.LostAfter, Path: "/acs/users/list", Count: -1},
		"ACS users are refused":        {Kind: simulator.Refused, Path: "/acs/users/list", Count: -1},
		"suspects can't be looked at":  {Kind: simulator.LostAfter, Path: "/user_identities/list", Skip: 1, Count: -1},
		"access systems are not known": {Kind: simulator.LostAfter, Path: "/acs/systems/list", Count: -1},
	} {
		r.sim.Inject(fault)
		if swept := r.sweepNow(); swept.Unknown != 1 {
			t.Errorf("%s: what is not known counts as none: %+v", name, swept)
		}
		r.sim.Heal()
	}
	r.book(later) // the PMS sends its data again
	r.until(later, store.KeyIssued)
	if swept := r.sweepNow(); swept.Unknown != 0 {
		t.Errorf("after the PMS has sent its data again: %+v", swept)
	}
}
