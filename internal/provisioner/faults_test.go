package provisioner_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

// TestFaults strikes each call of each life stage with each fault. However a call fails, the stay comes to
// exactly what it should be, and at no moment is there a second ACS user or key. A cell counts only if its
// fault fired.
func TestFaults(t *testing.T) {
	t.Parallel()
	stages := []struct {
		name  string
		paths []string
		act   func(*rig, *stay)
		want  string
	}{
		{"create", []string{seam.PathIdentityCreate, seam.PathUserCreate, seam.PathCredentialCreate, "/acs/users/get"}, func(*rig, *stay) {}, store.KeyIssued},
		{"date change", []string{seam.PathUserUpdate, "/acs/users/get"}, func(_ *rig, s *stay) { s.out = s.out.Add(time.Hour) }, store.KeyIssued},
		{"move", []string{seam.PathGroupAdd, seam.PathGroupRemove, "/acs/users/get"}, func(_ *rig, s *stay) { s.listing = "M" }, store.KeyIssued},
		{"move to another system", []string{"/acs/users/list", seam.PathUserCreate, seam.PathCredentialCreate, seam.PathUserDelete, "/acs/users/get"}, func(_ *rig, s *stay) { s.listing = "V" }, store.KeyIssued},
		{"change of guest", []string{seam.PathIdentityCreate, seam.PathUserCreate, seam.PathCredentialCreate, seam.PathUserDelete}, func(_ *rig, s *stay) { s.email = "new-" + s.email }, store.KeyIssued},
		{"cancel", []string{seam.PathUserDelete, "/acs/users/get"}, func(*rig, *stay) {}, store.KeyRevoked},
		{"reinstate", []string{"/acs/users/list", seam.PathUserCreate, seam.PathCredentialCreate}, func(*rig, *stay) {}, store.KeyIssued},
	}
	groups := map[string][]string{"L": {"555555-5555"}, "M": {"666666-6666"}, "V": {"verde-1"}}
	systems := map[string]string{"L": system, "M": system, "V": systemB}
	for _, kind := range simulator.FaultKinds {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, fast(), simulator.Options{})
			for l, g := range groups {
				r.listing("default", l, g...)
			}
			for _, stage := range stages {
				for i, path := range stage.paths {
					s := r.stay(fmt.Sprintf("%s-%d", stage.name, i))
					s.email = fmt.Sprintf("g%d@example.com", time.Now().UnixNano())
					if stage.name != "create" {
						r.book(s)
						r.until(s, store.KeyIssued)
					}
					if stage.name == "reinstate" {
						r.cancel(s)
						r.until(s, store.KeyRevoked)
					}
					r.sim.Inject(simulator.Fault{Kind: kind, Path: path, RetryAfter: 50 * time.Millisecond})
					stage.act(r, &s)
					if stage.want == store.KeyRevoked {
						r.cancel(s)
					} else {
						r.book(s)
					}
					r.until(s, stage.want)
					if stage.want == store.KeyRevoked {
						r.mustHold(s.id)
					} else {
						r.mustHold(s.id, s.wants(systems[s.listing], groups[s.listing]...))
					}
					if r.sim.Heal() == 0 {
						t.Errorf("%s: the fault on %s did not fire", stage.name, path)
					}
					r.mustBeSound()
				}
			}
		})
	}
}

// A create whose answer was lost and a cancel right behind it: nothing is left.
func TestLostCreateThenCancel(t *testing.T) {
	t.Parallel()
	for _, email := range []string{"jane@example.com", ""} {
		for _, path := range []string{seam.PathIdentityCreate, seam.PathUserCreate, seam.PathCredentialCreate} {
			t.Run(fmt.Sprintf("%s %q", path, email), func(t *testing.T) {
				t.Parallel()
				r := newRig(t, fast(), simulator.Options{})
				r.listing("default", "L", "555555-5555")
				s := r.stay("R1")
				s.email = email
				r.sim.Inject(simulator.Fault{Kind: simulator.LostAfter, Path: path})
				r.book(s)
				waitFor(t, "the fault", func() bool { return fired(r, path) })
				r.cancel(s)
				r.until(s, store.KeyRevoked)
				r.mustHold(s.id)
				if n := len(r.sim.State().Identities); email == "" && n != 0 {
					t.Errorf("%d identities of a stay with one of its own are left", n)
				}
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
			r := newRig(t, options, simulator.Options{})
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

// Where reads lag by more than the grace a second one may come about; it is found and removed at the next
// look-up, and the one that REST reports stays.
func TestReadsThatLagTooLong(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "555555-5555")
	waitFor(t, "the access groups to be known", func() bool { return r.sim.Calls() >= 2 })
	r.sim.Configure(func(o *simulator.Options) { o.ReadLag = 2 * time.Second })
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

func TestRejectedKeyPausesAndResumes(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "555555-5555")
	waitFor(t, "the access groups to be known", func() bool { return r.sim.Calls() >= 2 })
	r.sim.Configure(func(o *simulator.Options) { o.APIKey = "another" })
	s := r.stay("R1")
	r.book(s)
	waitFor(t, "the pause", func() bool { return r.prov.Trouble() != "" })
	r.sim.Configure(func(o *simulator.Options) { o.APIKey = "" })
	waitFor(t, "the provisioner to go on", func() bool { return r.prov.Trouble() == "" })
	r.advance(time.Minute)
	if v := r.until(s, store.KeyIssued); v.Key.Attempts != 1 {
		t.Errorf("attempts: got %d, want 1", v.Key.Attempts)
	}
}

func TestKeyOfAnotherWorkspaceStops(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "555555-5555")
	waitFor(t, "the workspace to be pinned", func() bool { return r.sim.Calls() >= 2 })
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

func TestSubscription(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.sim.Change(func(st *simulator.State) {
		sys := st.Systems[system]
		sys.SubscriptionLimit = 1
		st.Systems[system] = sys
	})
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

// A Seam that can't be reached from the start shows in the reservation, and webhooks go on.
func TestUnreachableFromTheStart(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.stop()
	real := r.seamURL
	r.seamURL = "http://127.0.0.1:1"
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
	r.seamURL = real
	r.start()
	r.until(s, store.KeyIssued)
	r.mustHold(s.id, s.wants(system, "555555-5555"))
}
