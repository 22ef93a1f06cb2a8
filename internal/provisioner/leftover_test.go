package provisioner_test

import (
	"maps"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

// A lost create has left a second ACS user that only shows up later; the stay is cancelled, and Seam takes longer to remove the one that is known than
// the look-ups for the other one last. The other one goes all the same.
func TestSecondUserAfterALongRemoval(t *testing.T) {
	t.Parallel()
	r := newLossyRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "555555-5555")
	waitFor(t, "the access groups to be known", func() bool { return r.sim.Calls() >= 2 })
	r.sim.Configure(func(o *simulator.Options) { o.ReadLag, o.DeleteHang = 2*time.Second, 14*time.Minute })
	r.sim.Inject(simulator.Fault{Kind: simulator.LostAfter, Path: seam.PathUserCreate})
	s := r.stay("R1")
	r.book(s)
	waitFor(t, "both", func() bool { return len(r.holds(s.id)) == 2 })
	r.sim.Configure(func(o *simulator.Options) { o.ReadLag = 0 })
	r.until(s, store.KeyIssued)
	r.cancel(s)
	waitFor(t, "the one that is known to be deleted", func() bool { return r.deletes() == 1 })
	r.advance(15 * time.Minute)
	waitFor(t, "the other one to be deleted", func() bool {
		if r.view(s).Key.NextReconcileAt == nil && r.deletes() == 1 {
			t.Fatalf("nothing is left to do, and Seam holds %+v", r.holds(s.id))
		}
		return r.deletes() == 2
	})
	r.advance(15 * time.Minute)
	r.until(s, store.KeyRevoked)
	waitFor(t, "nothing to be left", func() bool { return len(r.holds(s.id)) == 0 })
}

// Seam takes a delete and keeps the ACS user, without an error: it is deleted a few times, then a person is told, and it is tried again every few
// minutes.
func TestDeletesWithoutEffect(t *testing.T) {
	t.Parallel()
	for _, left := range []string{"", "deleted_externally"} {
		t.Run(left, func(t *testing.T) {
			t.Parallel()
			r, s := newStay(t, simulator.Options{})
			r.advance(time.Minute)
			r.alter(s, func(u *simulator.User) { u.ErrorCode = left })
			kept := r.sim.State().Users
			r.sim.Configure(func(o *simulator.Options) {
				o.Hook = func(path string, after bool) bool {
					if path == seam.PathUserDelete && after {
						r.sim.Change(func(st *simulator.State) { maps.Copy(st.Users, kept) })
					}
					return false
				}
			})
			r.sim.Forget()
			r.cancel(s)
			waitFor(t, "attention", func() bool {
				if n := r.deletes(); n > 5 {
					t.Fatalf("%d deletes, and the key is %s %q", n, r.view(s).Key.Status, str(r.view(s).Key.Message))
				}
				k := r.view(s).Key
				return k.Status == store.KeyAttention && str(k.Reason) == "not_removed"
			})
			n := r.deletes()
			r.advance(6 * time.Minute)
			waitFor(t, "another try", func() bool { return r.deletes() == n+1 })
			r.sim.Configure(func(o *simulator.Options) { o.Hook = nil })
			r.advance(6 * time.Minute)
			r.until(s, store.KeyRevoked)
			r.mustHold(s.id)
		})
	}
}

// One wrong 404 on a delete leaves no second key and no second ACS user.
func TestOneWrongNotFoundOnADelete(t *testing.T) {
	t.Parallel()
	r, s := newStay(t, simulator.Options{})
	r.advance(time.Minute)
	before := r.until(s, store.KeyIssued)
	r.sim.Inject(simulator.Fault{Kind: simulator.WrongNotFound, Path: seam.PathCredentialDelete})
	r.mustAct(s, intake.Action{Kind: intake.ActionReissue})
	r.untilThat(s, "another mobile key", func(v store.View) bool {
		return v.Key.Status == store.KeyIssued && v.User != nil && str(v.User.CredentialID) != *before.User.CredentialID
	})
	r.mustHold(s.id, s.wants(system, "555555-5555"))

	r.advance(time.Minute)
	r.sim.Change(func(st *simulator.State) {
		u := st.Users[*before.User.ACSUserID]
		u.ID, u.CreatedAt = "12121212-1212-4212-8212-121212121212", r.now()
		st.Users[u.ID] = u
	})
	r.sim.Inject(simulator.Fault{Kind: simulator.WrongNotFound, Path: seam.PathUserDelete})
	r.recheck(s)
	r.rest(s)
	r.until(s, store.KeyIssued)
	r.mustHold(s.id, s.wants(system, "555555-5555"))
}

// What somebody removed at Seam, and an event wants back while an admin holds the stay, comes back with the release.
func TestHoldKeepsWhatIsWantedBack(t *testing.T) {
	t.Parallel()
	r, s := newStay(t, simulator.Options{})
	r.advance(time.Minute)
	r.sim.Change(func(st *simulator.State) { clear(st.Users); clear(st.Credentials) })
	r.recheck(s)
	r.untilThat(s, "removed_at_seam", func(v store.View) bool { return str(v.Key.Reason) == "removed_at_seam" })
	r.mustAct(s, intake.Action{Kind: intake.ActionHold})
	r.rest(s)
	s.out = s.out.Add(time.Hour)
	r.book(s)
	r.rest(s)
	if n := len(r.holds(s.id)); n != 0 {
		t.Errorf("%d ACS users were made while it was held", n)
	}
	r.mustAct(s, intake.Action{Kind: intake.ActionRelease})
	r.rest(s)
	r.until(s, store.KeyIssued)
	r.mustHold(s.id, s.wants(system, "555555-5555"))
}

// Somebody unlinked the guest; the repair does not come through at once. The guest is linked all the same, before the key counts as issued.
func TestLinkThatIsPutOff(t *testing.T) {
	t.Parallel()
	for _, untold := range []bool{false, true} {
		r, s := newStay(t, simulator.Options{})
		r.advance(time.Minute)
		if untold {
			r.sim.Configure(func(o *simulator.Options) { o.Omit = []string{"acs_user.user_identity_id"} })
		}
		r.alter(s, func(u *simulator.User) { u.IdentityID = "" })
		r.sim.Inject(simulator.Fault{Kind: simulator.Limited, Path: seam.PathIdentityAddUser, Count: 4, RetryAfter: 10 * time.Millisecond})
		r.recheck(s)
		r.rest(s)
		r.until(s, store.KeyIssued)
		r.mustHold(s.id, s.wants(system, "555555-5555"))
	}
}

// The comparison that an admin asked for is answered without is_suspended, and only the read-back shows that the ACS user is suspended: it is
// unsuspended all the same.
func TestSuspensionThatOnlyTheReadBackShows(t *testing.T) {
	t.Parallel()
	r, s := newStay(t, simulator.Options{})
	r.advance(time.Minute)
	r.alter(s, func(u *simulator.User) { u.Suspended = true })
	r.sim.Inject(simulator.Fault{Kind: simulator.NoOptional, Path: "/acs/users/get"})
	r.mustAct(s, intake.Action{Kind: intake.ActionReconcile})
	waitFor(t, "the ACS user to be unsuspended", func() bool {
		for _, u := range r.sim.State().Users {
			if u.Suspended {
				return false
			}
		}
		return true
	})
	r.until(s, store.KeyIssued)
}
