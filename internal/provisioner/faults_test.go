package provisioner_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

func TestRateLimitSpendsNoAttempt(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "555555-5555")
	waitFor(t, "the access groups to be known", func() bool { return r.sim.Calls() >= 2 })
	r.sim.Inject(simulator.Fault{
		Kind: simulator.Limited, Path: seam.PathUserCreate, Count: 3,
		RetryAfter: 20 * time.Millisecond,
	})
	s := r.stay("R1")
	r.book(s)
	if v := r.until(s, store.KeyIssued); v.Key.Attempts != 1 {
		t.Errorf("attempts: got %d, want 1", v.Key.Attempts)
	}
}

// A key that Seam does not accept pauses the provisioner, which logs it once, and resumes automatically.
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
	waitFor(t, "the provisioner to resume", func() bool { return r.prov.Trouble() == "" })
	r.advance(time.Minute)
	for _, s := range stays {
		if v := r.until(s, store.KeyIssued); v.Key.Attempts != 1 {
			t.Errorf("%s: %d attempts, want 1", s.id, v.Key.Attempts)
		}
	}
	if n := strings.Count(log(), "provisioning paused"); n != 1 {
		t.Errorf("the pause was logged %d times, want once", n)
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

// limitSubscriptions limits how many subscriptions the site has.
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

// A guest changes while every subscription is taken: the old key has the subscription that the new one needs.
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
	waitFor(t, "the old key to be removed", func() bool {
		got := r.holds(s.id)
		return len(got) == 1 && got[0].Identity == s.email
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
		return k.Status == store.KeyAttention && str(k.Reason) == "rejected_by_access_system" &&
			k.NextReconcileAt != nil
	})
	r.mustHold(s.id, old, s.wants(system, "555555-5555"))
	refuse("")
	r.advance(2 * time.Minute)
	waitFor(t, "the old key to be deleted", func() bool { return r.view(s).Key.Status != store.KeyAttention })
	r.advance(2 * time.Minute)
	r.until(s, store.KeyIssued)
	r.mustHold(s.id, s.wants(system, "555555-5555"))
}

// Seam reports an error on a mobile key: the next sweep reports it, until it is over.
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
	if str(v.Key.Reason) != "seam_reports_error" || !strings.Contains(str(v.Key.Message),
		"something_is_wrong on the mobile key") {
		t.Errorf("reason %s: %s", str(v.Key.Reason), str(v.Key.Message))
	}
	trouble("")
	r.advance(2 * time.Minute)
	r.until(s, store.KeyIssued)
	r.mustHold(s.id, s.wants(system, "555555-5555"))
}

// A Seam that can't be reached from the start shows in the reservation, and webhooks are still accepted.
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
	if v := r.view(s); v.Key.Status != store.KeyProvisioning || v.Key.LastError == nil ||
		v.Key.NextReconcileAt == nil || !v.Key.NextIsRetry {
		t.Errorf("got %+v", v.Key)
	}
	if r.prov.Trouble() == "" {
		t.Error("the provisioner reports no trouble")
	}
	r.stop()
	r.server.URL = real
	r.start()
	r.until(s, store.KeyIssued)
	r.mustHold(s.id, s.wants(system, "555555-5555"))
}

// A door that a lost call has opened is not forgotten when something else is desired before the retry.
func TestLostChangeThenAnother(t *testing.T) {
	t.Parallel()
	r := newLossyRig(t, fast(), simulator.Options{})
	r.listing("default", "L", groupsL...)
	r.listing("default", "M", groupsM...)
	s := r.stay("R1")
	r.book(s)
	r.until(s, store.KeyIssued)
	r.sim.Inject(simulator.Fault{Kind: simulator.LostAfter, Path: seam.PathGroupAdd},
		simulator.Fault{Kind: simulator.LostBefore, Path: seam.PathGroupAdd, Count: 3})
	back := s
	s.listing = "M"
	r.book(s)
	waitFor(t, "the lost call", func() bool { return fired(r, seam.PathGroupAdd) })
	r.book(back) // before the effect of the lost call is known
	r.sim.Heal()
	r.until(back, store.KeyIssued)
	r.mustHold(back.id, back.wants(system, groupsL...))
}

// A stay whose guest changes repeatedly, each time with a lost create, does not run out of slots although each lost
// create is still being looked for.
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
		s.email = other.email // whose slot is taken
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

// A key of another workspace, or of an unknown one, must change nothing once a workspace is pinned.
func TestAWorkspaceThatCantBeConfirmedPauses(t *testing.T) {
	t.Parallel()
	for _, refusal := range []simulator.FaultKind{
		simulator.Refused, simulator.Forbidden, simulator.WrongNotFound,
		simulator.EmptyObject, simulator.NoObject,
	} {
		t.Run(string(refusal), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, fast(), simulator.Options{})
			r.listing("default", "L", "555555-5555")
			waitFor(t, "the workspace to be pinned", func() bool {
				pinned, err := r.store.Setting(context.Background(), "seam_workspace_id", func() string { return "" })
				return err == nil && pinned != ""
			})
			r.stop()
			r.sim.Change(func(s *simulator.State) { s.WorkspaceID = "another" })
			r.sim.Inject(simulator.Fault{Kind: refusal, Path: "/workspaces/get", Count: -1})
			r.sim.Forget()
			r.start()
			s := r.stay("R1")
			r.book(s)
			waitFor(t, "the pause", func() bool { return r.prov.Trouble() != "" && r.called("/workspaces/get") >= 3 })
			if got := r.changing(); len(got) != 0 {
				t.Errorf("changed things in a workspace not known to be ours: %v", got)
			}
		})
	}
}
