package provisioner_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

// A create whose answer was lost and a cancel right after it: nothing is left.
func TestLostCreateThenCancel(t *testing.T) {
	t.Parallel()
	for _, email := range []string{"jane@example.com", ""} {
		for _, path := range []string{seam.PathIdentityCreate, seam.PathUserCreate, seam.PathCredentialCreate} {
			t.Run(fmt.Sprintf("%s %q", path, email), func(t *testing.T) {
				t.Parallel()
				r := newLossyRig(t, fast(), simulator.Options{})
				r.listing("default", "L", "555555-5555")
				s := r.stay("R1")
				s.email = email
				r.sim.Inject(simulator.Fault{Kind: simulator.LostAfter, Path: path})
				r.book(s)
				waitFor(t, "the fault", func() bool { return fired(r, path) })
				r.cancel(s)
				r.until(s, store.KeyRevoked)
				r.mustHold(s.id)
				r.advance(11 * time.Minute) // the look-ups are over
				waitFor(t, "the stay's own identity to go", func() bool { return email != "" || len(r.sim.State().Identities) == 0 })
			})
		}
	}
}

func fired(r *rig, path string) bool {
	for _, c := range r.sim.Records() {
		if c.Path == path && c.Status == 0 {
			return true
		}
	}
	return false
}

// Reads that lag writes by less than the grace hide what a lost create made; it is found all the same.
func TestReadsThatLag(t *testing.T) {
	t.Parallel()
	options := fast()
	options.Grace = 900 * time.Millisecond
	for _, kind := range []simulator.FaultKind{simulator.LostAfter, simulator.Error500After, simulator.Hang} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			r := newLossyRig(t, options, simulator.Options{})
			r.listing("default", "L", "555555-5555")
			waitFor(t, "the access groups to be known", func() bool { return r.sim.Calls() >= 2 })
			r.sim.Configure(func(o *simulator.Options) { o.ReadLag = 300 * time.Millisecond })
			for i, path := range []string{seam.PathIdentityCreate, seam.PathUserCreate, seam.PathCredentialCreate} {
				s := r.stay(fmtStay(i))
				s.email = fmt.Sprintf("g%d@example.com", i)
				r.sim.Inject(simulator.Fault{Kind: kind, Path: path})
				r.book(s)
				r.until(s, store.KeyIssued)
				r.mustHold(s.id, s.wants(system, "555555-5555"))
				s.out = s.out.Add(time.Hour)
				r.book(s)
				r.until(s, store.KeyIssued)
				r.mustHold(s.id, s.wants(system, "555555-5555"))
				r.cancel(s)
				r.until(s, store.KeyRevoked)
				r.mustHold(s.id)
			}
			r.mustBeSound()
		})
	}
}

// An answer may take longer than the grace. What it shows is as old as the question: "not found" doesn't count, although the grace has passed by
// the time that it arrives.
func TestASlowAnswerIsAsOldAsItsQuestion(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ create, list string }{
		{seam.PathUserCreate, "/acs/users/list"},
		{seam.PathCredentialCreate, "/acs/credentials/list"},
	} {
		t.Run(c.create, func(t *testing.T) {
			t.Parallel()
			options := fast()
			options.Grace = time.Minute // nobody asks again before the clock moves
			r := newLossyRig(t, options, simulator.Options{})
			r.listing("default", "L", "555555-5555")
			waitFor(t, "the access groups to be known", func() bool { return r.sim.Calls() >= 2 })
			var slow sync.Once
			r.sim.Configure(func(o *simulator.Options) {
				o.ReadLag = 30 * time.Second
				o.Hook = func(path string, after bool) bool {
					if after && path == c.list && fired(r, c.create) {
						slow.Do(func() { r.advance(2 * time.Minute) })
					}
					return false
				}
			})
			r.sim.Inject(simulator.Fault{Kind: simulator.LostAfter, Path: c.create})
			s := r.stay("R1")
			r.book(s)
			waitFor(t, "the look-up", func() bool { return r.called(c.list) > 0 })
			r.advance(time.Minute)
			r.until(s, store.KeyIssued)
			r.mustHold(s.id, s.wants(system, "555555-5555"))
			r.mustBeSound()
		})
	}
}

// A second ACS user that was created because reads lagged by more than the grace is removed although the stay is
// cancelled before the look-ups that would have found it.
func TestReadsThatLagTooLongThenCancel(t *testing.T) {
	t.Parallel()
	for _, email := range []string{"jane@example.com", ""} {
		t.Run(fmt.Sprintf("%q", email), func(t *testing.T) {
			t.Parallel()
			r := newLossyRig(t, fast(), simulator.Options{})
			r.listing("default", "L", "555555-5555")
			waitFor(t, "the access groups to be known", func() bool { return r.sim.Calls() >= 2 })
			r.sim.Configure(func(o *simulator.Options) { o.ReadLag = time.Hour })
			r.sim.Inject(simulator.Fault{Kind: simulator.LostAfter, Path: seam.PathUserCreate})
			s := r.stay("R1")
			s.email = email
			r.book(s)
			waitFor(t, "both", func() bool { return len(r.holds(s.id)) == 2 })
			r.cancel(s)
			waitFor(t, "the one that is known to go", func() bool { return len(r.holds(s.id)) == 1 })
			r.sim.Configure(func(o *simulator.Options) { o.ReadLag = 0 })
			r.until(s, store.KeyRevoked)
			r.advance(2 * time.Minute)
			waitFor(t, "the other one to go", func() bool { return len(r.holds(s.id)) == 0 })
			r.advance(11 * time.Minute)
			r.until(s, store.KeyRevoked)
			waitFor(t, "a stay's own identity to go", func() bool { return email != "" || len(r.sim.State().Identities) == 0 })
			r.mustHold(s.id)
		})
	}
}

// Where reads lag by more than the grace a second one may come about; it is found and removed at the next
// look-up, and the one that REST reports stays.
func TestReadsThatLagTooLong(t *testing.T) {
	t.Parallel()
	r := newLossyRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "555555-5555")
	waitFor(t, "the access groups to be known", func() bool { return r.sim.Calls() >= 2 })
	r.sim.Configure(func(o *simulator.Options) { o.ReadLag = time.Hour })
	r.sim.Inject(simulator.Fault{Kind: simulator.LostAfter, Path: seam.PathUserCreate}, simulator.Fault{Kind: simulator.LostAfter, Path: seam.PathCredentialCreate})
	s := r.stay("R1")
	r.book(s)
	waitFor(t, "both", func() bool { return len(r.holds(s.id)) == 2 })
	r.sim.Configure(func(o *simulator.Options) { o.ReadLag = 0 })
	v := r.until(s, store.KeyIssued)
	r.advance(2 * time.Minute)
	waitFor(t, "the surplus to go", func() bool { return len(r.holds(s.id)) == 1 })
	r.mustHold(s.id, s.wants(system, "555555-5555"))
	if after := r.until(s, store.KeyIssued); *after.User.ACSUserID != *v.User.ACSUserID {
		t.Error("another ACS user than the one that REST reported has survived")
	}
}

// Where Seam moves the identity's link to the second one, no look-up by identity finds the first again. It has neither key nor link, so that it
// opens nothing for anybody; the look-ups by name find it, and it goes.
func TestReadsThatLagTooLongAndLinksThatMove(t *testing.T) {
	t.Parallel()
	r := newLossyRig(t, fast(), simulator.Options{SecondUser: simulator.MoveLink})
	r.listing("default", "L", "555555-5555")
	waitFor(t, "the access groups to be known", func() bool { return r.sim.Calls() >= 2 })
	r.sim.Configure(func(o *simulator.Options) { o.ReadLag = time.Hour })
	r.sim.Inject(simulator.Fault{Kind: simulator.LostAfter, Path: seam.PathUserCreate})
	s := r.stay("R1")
	r.book(s)
	waitFor(t, "both", func() bool { return len(r.holds(s.id)) == 2 })
	r.sim.Configure(func(o *simulator.Options) { o.ReadLag = 0 })
	want := *r.until(s, store.KeyIssued).User.ACSUserID
	for _, later := range []time.Duration{2 * time.Minute, 11 * time.Minute} {
		r.advance(later)
		r.rest(s)
		if after := r.until(s, store.KeyIssued); *after.User.ACSUserID != want {
			t.Error("another ACS user than the one that REST reported has survived")
		}
		state := r.sim.State()
		for _, u := range state.UsersNamed(s.id) {
			if keys := len(state.MobileKeys(u.ID)); u.ID != want && (keys > 0 || u.IdentityID != "") || u.ID == want && (keys != 1 || u.IdentityID == "") {
				t.Errorf("after %s: %+v with %d keys", later, u, keys)
			}
		}
		if n := len(state.UsersNamed(s.id)); n != 1 {
			t.Errorf("%d ACS users after %s", n, later)
		}
	}
}

// The same, and the stay is cancelled before the look-ups: both go.
func TestLinksThatMoveThenCancel(t *testing.T) {
	t.Parallel()
	r := newLossyRig(t, fast(), simulator.Options{SecondUser: simulator.MoveLink})
	r.listing("default", "L", "555555-5555")
	waitFor(t, "the access groups to be known", func() bool { return r.sim.Calls() >= 2 })
	r.sim.Configure(func(o *simulator.Options) { o.ReadLag = time.Hour })
	r.sim.Inject(simulator.Fault{Kind: simulator.LostAfter, Path: seam.PathUserCreate})
	s := r.stay("R1")
	r.book(s)
	waitFor(t, "both", func() bool { return len(r.holds(s.id)) == 2 })
	r.sim.Configure(func(o *simulator.Options) { o.ReadLag = 0 })
	r.until(s, store.KeyIssued)
	r.cancel(s)
	for _, later := range []time.Duration{2 * time.Minute, 11 * time.Minute} {
		r.advance(later)
		r.rest(s)
	}
	r.until(s, store.KeyRevoked)
	r.mustHold(s.id)
}

func TestRateLimitSpendsNoAttempt(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "555555-5555")
	waitFor(t, "the access groups to be known", func() bool { return r.sim.Calls() >= 2 })
	r.sim.Inject(simulator.Fault{Kind: simulator.Limited, Path: seam.PathUserCreate, Count: 3, RetryAfter: 20 * time.Millisecond})
	s := r.stay("R1")
	r.book(s)
	if v := r.until(s, store.KeyIssued); v.Key.Attempts != 1 {
		t.Errorf("attempts: got %d, want 1", v.Key.Attempts)
	}
}

// A key that Seam does not accept pauses the provisioner, which says so once, and continues on its own.
func TestRejectedKeyPausesAndResumes(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.stop()
	log := r.logTo()
	r.sim.Forget()
	r.start()
	r.listing("default", "L", "555555-5555")
	waitFor(t, "the access groups to be known", func() bool { return r.sim.Calls() >= 2 })
	r.sim.Configure(func(o *simulator.Options) { o.APIKey = "another" })
	stays := []stay{r.stay("R1"), r.stay("R2"), r.stay("R3")}
	for i := range stays {
		stays[i].email = fmt.Sprintf("g%d@example.com", i)
		r.book(stays[i])
	}
	waitFor(t, "the pause", func() bool { return r.prov.Trouble() != "" })
	before := r.sim.Calls()
	waitFor(t, "the key to be tried a few more times", func() bool { return r.sim.Calls() >= before+3 })
	r.sim.Configure(func(o *simulator.Options) { o.APIKey = "" })
	waitFor(t, "the provisioner to go on", func() bool { return r.prov.Trouble() == "" })
	r.advance(time.Minute)
	for _, s := range stays {
		if v := r.until(s, store.KeyIssued); v.Key.Attempts != 1 {
			t.Errorf("%s: %d attempts, want 1", s.id, v.Key.Attempts)
		}
	}
	if n := strings.Count(log(), "provisioning paused"); n != 1 {
		t.Errorf("the pause was said %d times, want once", n)
	}
}

func TestKeyOfAnotherWorkspaceStops(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "555555-5555")
	waitFor(t, "the workspace to be pinned", func() bool {
		pinned, err := r.store.Setting(context.Background(), "seam_workspace_id", func() string { return "" })
		return err == nil && pinned != ""
	})
	r.stop()
	r.sim.Change(func(s *simulator.State) { s.WorkspaceID = "another" })
	r.sim.Forget()
	r.start()
	s := r.stay("R1")
	r.book(s)
	waitFor(t, "the stop", func() bool { return r.prov.Trouble() != "" })
	if got := r.changing(); len(got) != 0 {
		t.Errorf("changed things in another workspace: %v", got)
	}
}

// limitSubscriptions has the site take so many users at a time.
func (r *rig) limitSubscriptions(n int) {
	r.sim.Change(func(st *simulator.State) {
		sys := st.Systems[system]
		sys.SubscriptionLimit = n
		st.Systems[system] = sys
	})
}

func TestSubscription(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.limitSubscriptions(1)
	r.listing("default", "L", "555555-5555")
	a, b := r.stay("R1"), r.stay("R2")
	b.email, b.in = "joe@example.com", b.in.Add(time.Hour)
	r.book(a)
	r.book(b)
	r.until(a, store.KeyIssued)
	r.until(b, store.KeyIssued)
	r.advance(50 * time.Hour)
	r.until(a, store.KeyActive)
	if v := r.until(b, store.KeyAttention); str(v.Key.Reason) != "subscription_limit_exceeded" {
		t.Errorf("reason: got %s", str(v.Key.Reason))
	}
	r.cancel(a)
	r.until(a, store.KeyRevoked)
	r.advance(2 * time.Minute)
	r.until(b, store.KeyActive)
}

// A guest changes where every subscription is taken: the one that the new key waits for is held by the old key.
func TestChangedGuestNeedsTheSubscription(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.limitSubscriptions(1)
	r.listing("default", "L", "555555-5555")
	s := r.stay("R1")
	r.book(s)
	r.until(s, store.KeyIssued)
	r.advance(50 * time.Hour)
	r.until(s, store.KeyActive)
	s.email = "joe@example.com"
	r.book(s)
	waitFor(t, "the old key to go", func() bool {
		held := r.holds(s.id)
		return len(held) == 1 && held[0].Identity == s.email
	})
	r.advance(2 * time.Minute)
	r.until(s, store.KeyActive)
	r.mustHold(s.id, s.wants(system, "555555-5555"))
}

// A guest changes, and Salto KS refuses the new one: the old key stays, and a person is notified why.
func TestChangedGuestIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{Pending: time.Minute})
	r.listing("default", "L", "555555-5555")
	s := r.stay("R1")
	r.book(s)
	waitFor(t, "the first key", func() bool { return len(r.holds(s.id)) == 1 })
	r.advance(2 * time.Minute)
	r.until(s, store.KeyIssued)
	old := s.wants(system, "555555-5555")
	s.email = "joe@example.com"
	r.book(s)
	refuse := func(code string) {
		r.sim.Change(func(st *simulator.State) {
			for _, u := range st.UsersNamed(s.id) {
				if st.Identities[u.IdentityID].Email == s.email {
					u.ErrorCode = code
					st.Users[u.ID] = u
				}
			}
		})
	}
	waitFor(t, "the second key", func() bool { return len(r.holds(s.id)) == 2 })
	refuse("failed_to_create_on_acs_system")
	r.advance(2 * time.Minute)
	waitFor(t, "attention", func() bool {
		k := r.view(s).Key
		return k.Status == store.KeyAttention && str(k.Reason) == "rejected_by_access_system" && k.NextReconcileAt != nil
	})
	r.mustHold(s.id, old, s.wants(system, "555555-5555"))
	refuse("")
	r.advance(2 * time.Minute)
	waitFor(t, "the old key to be deleted", func() bool { return r.view(s).Key.Status != store.KeyAttention })
	r.advance(2 * time.Minute)
	r.until(s, store.KeyIssued)
	r.mustHold(s.id, s.wants(system, "555555-5555"))
}

// deletes counts the ACS users that Seam was told to delete.
func (r *rig) deletes() (n int) {
	for _, path := range r.changing() {
		if path == seam.PathUserDelete {
			n++
		}
	}
	return n
}

// overdue counts the keys that should have been gone a quarter of an hour ago.
func (r *rig) overdue() int {
	r.t.Helper()
	n, first, err := r.store.CountOverdueRemovals(context.Background(), r.now().Add(-15*time.Minute))
	if err != nil || (n > 0) != (first != nil) {
		r.t.Fatalf("%d overdue removals, the first is %v: %v", n, first, err)
	}
	return n
}

// Seam reports an error on a mobile key: the next sweep tells, and it is over when it is over.
func TestKeyInTrouble(t *testing.T) {
	t.Parallel()
	r, s := newStay(t, simulator.Options{})
	trouble := func(code string) {
		r.sim.Change(func(st *simulator.State) {
			for id, c := range st.Credentials {
				c.ErrorCode = code
				st.Credentials[id] = c
			}
		})
	}
	trouble("something_is_wrong")
	r.advance(time.Minute)
	r.sweepNow()
	v := r.until(s, store.KeyAttention)
	if str(v.Key.Reason) != "seam_reports_error" || !strings.Contains(str(v.Key.Message), "something_is_wrong on the mobile key") {
		t.Errorf("reason %s: %s", str(v.Key.Reason), str(v.Key.Message))
	}
	trouble("")
	r.advance(2 * time.Minute)
	r.until(s, store.KeyIssued)
	r.mustHold(s.id, s.wants(system, "555555-5555"))
}

// Salto KS doesn't remove the user of a cancelled stay: a person is notified that the door may open, and it is tried again until it is
// done.
func TestRemovalIsRefused(t *testing.T) {
	t.Parallel()
	r, s := newStay(t, simulator.Options{RefuseDeletes: true})
	r.cancel(s)
	notRemoved := func() bool {
		k := r.view(s).Key
		return k.Status == store.KeyAttention && str(k.Reason) == "not_removed" && k.NextReconcileAt != nil
	}
	waitFor(t, "attention", notRemoved)
	r.mustHold(s.id, s.wants(system, "555555-5555"))
	if got := r.overdue(); got != 0 {
		t.Errorf("%d removals are overdue at once", got)
	}
	r.advance(20 * time.Minute)
	waitFor(t, "the second try", func() bool { return r.deletes() == 2 && notRemoved() })
	if got := r.overdue(); got != 1 {
		t.Errorf("%d removals are overdue", got)
	}
	r.sim.Configure(func(o *simulator.Options) { o.RefuseDeletes = false })
	r.advance(6 * time.Minute)
	r.until(s, store.KeyRevoked)
	r.mustHold(s.id)
	if got := r.overdue(); got != 0 {
		t.Errorf("%d removals are overdue in the end", got)
	}
}

// Seam is at it for hours: it is asked less and less, and a person is notified.
func TestRemovalTakesLong(t *testing.T) {
	t.Parallel()
	r, s := newStay(t, simulator.Options{})
	r.sim.Configure(func(o *simulator.Options) { o.Pending = 2 * time.Hour })
	r.cancel(s)
	waitFor(t, "the deletion", func() bool { return r.deletes() == 1 })
	if k := r.view(s).Key; k.Status != store.KeyRevoking {
		t.Errorf("the key is %s", k.Status)
	}
	r.advance(16 * time.Minute)
	waitFor(t, "attention", func() bool {
		k := r.view(s).Key
		return k.Status == store.KeyAttention && str(k.Reason) == "not_removed"
	})
	r.advance(2 * time.Hour)
	r.until(s, store.KeyRevoked)
	r.mustHold(s.id)
}

// A stay that is over stays so while what is left of it is removed.
func TestOverIsNotProvisioning(t *testing.T) {
	t.Parallel()
	r, s := newStay(t, simulator.Options{})
	r.advance(s.out.Add(time.Minute).Sub(r.now()))
	r.until(s, store.KeyExpired)
	r.sim.Configure(func(o *simulator.Options) { o.Pending = time.Minute })
	r.advance(25 * time.Hour)
	waitFor(t, "the deletion to be waited for", func() bool {
		k := r.view(s).Key
		return r.deletes() == 1 && str(k.Message) == "Seam is removing the ACS user"
	})
	if k := r.view(s).Key; k.Status != store.KeyExpired {
		t.Errorf("the key is %s", k.Status)
	}
	r.advance(2 * time.Minute)
	r.until(s, store.KeyExpired)
	waitFor(t, "nothing to be left", func() bool { return len(r.holds(s.id)) == 0 })
}

// A stay that is cut short is not over while its key opens doors.
func TestCutShortIsRevoking(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "555555-5555")
	s := r.stay("R1")
	s.in = r.now().Add(-24 * time.Hour)
	r.book(s)
	r.until(s, store.KeyActive)
	r.sim.Configure(func(o *simulator.Options) { o.Pending = time.Minute })
	s.out = r.now().Add(-time.Minute)
	r.book(s)
	waitFor(t, "the deletion to be waited for", func() bool { return r.view(s).Key.Status == store.KeyRevoking })
	r.advance(2 * time.Minute)
	r.until(s, store.KeyExpired)
	r.mustHold(s.id)
}

// A Seam that can't be reached from the start shows in the reservation, and webhooks continue.
func TestUnreachableFromTheStart(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.stop()
	real := r.server.URL
	r.server.URL = "http://127.0.0.1:1"
	r.start()
	r.listing("default", "L", "555555-5555")
	s := r.stay("R1")
	r.book(s)
	waitFor(t, "two attempts", func() bool { return r.view(s).Key.Attempts >= 2 })
	if v := r.view(s); v.Key.Status != store.KeyProvisioning || v.Key.LastError == nil || v.Key.NextReconcileAt == nil || !v.Key.NextIsRetry {
		t.Errorf("got %+v", v.Key)
	}
	if r.prov.Trouble() == "" {
		t.Error("the provisioner knows of no trouble")
	}
	r.stop()
	r.server.URL = real
	r.start()
	r.until(s, store.KeyIssued)
	r.mustHold(s.id, s.wants(system, "555555-5555"))
}

// A door that a lost call has opened is not forgotten when something else is wanted before the retry.
func TestLostChangeThenAnother(t *testing.T) {
	t.Parallel()
	r := newLossyRig(t, fast(), simulator.Options{})
	r.listing("default", "L", groupsL...)
	r.listing("default", "M", groupsM...)
	s := r.stay("R1")
	r.book(s)
	r.until(s, store.KeyIssued)
	r.sim.Inject(simulator.Fault{Kind: simulator.LostAfter, Path: seam.PathGroupAdd}, simulator.Fault{Kind: simulator.LostBefore, Path: seam.PathGroupAdd, Count: 3})
	back := s
	s.listing = "M"
	r.book(s)
	waitFor(t, "the lost call", func() bool { return fired(r, seam.PathGroupAdd) })
	r.book(back) // before what the lost call did is known
	r.sim.Heal()
	r.until(back, store.KeyIssued)
	r.mustHold(back.id, back.wants(system, groupsL...))
}

// A stay whose guest changes repeatedly, each time with a lost create, does not run out of places although each
// of them is still looked after.
func TestManyLostCreatesOfOneStay(t *testing.T) {
	t.Parallel()
	r := newLossyRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "555555-5555")
	s := r.stay("R1")
	for i := range 7 {
		other := r.stay(fmt.Sprintf("other-%d", i))
		other.email = fmt.Sprintf("g%d@example.com", i)
		r.book(other)
		r.until(other, store.KeyIssued)
		s.email = other.email // whose place is taken
		r.sim.Inject(simulator.Fault{Kind: simulator.LostAfter, Path: seam.PathUserCreate})
		r.book(s)
		r.until(s, store.KeyIssued)
	}
	if r.sim.Heal() != 7 {
		t.Error("not every fault fired")
	}
	want := s.wants(system, "555555-5555")
	want.Identity = "own"
	r.mustHold(s.id, want)
	r.mustBeSound()
	r.advance(11 * time.Minute)
	r.cancel(s)
	r.until(s, store.KeyRevoked)
	r.mustHold(s.id)
}
