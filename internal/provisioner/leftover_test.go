package provisioner_test

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

// A lost create has left a second ACS user that only shows up later; the stay is cancelled, and removing the known
// one takes Seam longer than the look-ups for the other one last. The other one is removed anyway.
func TestSecondUserAfterALongRemoval(t *testing.T) {
	t.Parallel()
	r := newLossyRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "555555-5555")
	waitFor(t, "the access groups to be known", func() bool { return r.sim.Calls() >= 2 })
	r.sim.Configure(func(o *simulator.Options) { o.ReadLag, o.DeleteHang = time.Hour, 14*time.Minute })
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
		k := r.view(s).Key
		if k.NextReconcileAt == nil && r.deletes() == 1 {
			t.Fatalf("nothing is left to do, and Seam holds %+v", r.holds(s.id))
		}
		// What was read before the clock moved still showed the first one.
		if k.NextReconcileAt != nil && k.NextReconcileAt.After(r.now()) {
			r.advance(6 * time.Minute)
		}
		return r.deletes() == 2
	})
	r.advance(15 * time.Minute)
	r.until(s, store.KeyRevoked)
	waitFor(t, "nothing to be left", func() bool { return len(r.holds(s.id)) == 0 })
}

// Seam accepts a delete and keeps the ACS user, without an error: it is deleted a few times, then a person is
// notified, and it is tried again every few minutes.
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
	r.leaveSecond(*before.User.ACSUserID)
	r.sim.Inject(simulator.Fault{Kind: simulator.WrongNotFound, Path: seam.PathUserDelete})
	r.recheck(s)
	r.rest(s)
	r.until(s, store.KeyIssued)
	r.mustHold(s.id, s.wants(system, "555555-5555"))
}

// If an event restores what somebody removed at Seam while an admin holds the stay, it is restored with the release.
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
		t.Errorf("%d ACS users were created while it was held", n)
	}
	r.mustAct(s, intake.Action{Kind: intake.ActionRelease})
	r.rest(s)
	r.until(s, store.KeyIssued)
	r.mustHold(s.id, s.wants(system, "555555-5555"))
}

// A delete had no effect, and Seam refuses to list the mobile keys: the ACS user of a cancelled stay is deleted again
// without a comparison.
func TestADeleteNeedsNoComparison(t *testing.T) {
	t.Parallel()
	r, s := newStay(t, simulator.Options{})
	r.advance(time.Minute)
	kept := r.sim.State().Users
	first := true
	r.sim.Configure(func(o *simulator.Options) {
		o.Hook = func(path string, after bool) bool {
			if path == seam.PathUserDelete && after && first {
				first = false
				r.sim.Change(func(st *simulator.State) { maps.Copy(st.Users, kept) })
			}
			return false
		}
	})
	r.sim.Inject(simulator.Fault{Kind: simulator.Forbidden, Path: "/acs/credentials/list", Count: -1})
	r.cancel(s)
	r.until(s, store.KeyRevoked)
	r.mustHold(s.id)
	if n := r.deletes(); n != 2 {
		t.Errorf("%d deletes", n)
	}
}

// A stay is cancelled while the result of a lost create can't be looked up: the known ACS user is removed anyway, and
// the stay counts as revoked only once the other one has been looked for.
func TestALookUpThatFailsKeepsNothingElse(t *testing.T) {
	t.Parallel()
	for _, kind := range []simulator.FaultKind{simulator.Forbidden, simulator.Error500Before} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			r, s := newStay(t, simulator.Options{})
			r.advance(time.Minute)
			r.sim.Inject(simulator.Fault{Kind: simulator.LostBefore, Path: seam.PathUserCreate, Count: -1})
			s.email = "joe@example.com"
			r.book(s)
			waitFor(t, "a lost create", func() bool { return fired(r, seam.PathUserCreate) })
			r.sim.Inject(simulator.Fault{Kind: kind, Path: "/acs/users/list", Count: -1})
			r.cancel(s)
			waitFor(t, "the known ACS user to be gone", func() bool { return len(r.holds(s.id)) == 0 })
			waitFor(t, "its row to be gone", func() bool {
				v := r.view(s)
				return v.User == nil || v.User.ACSUserID == nil
			})
			if k := r.view(s).Key; k.Status == store.KeyRevoked {
				t.Error("it is revoked although nobody has looked for the result of the lost create")
			}
			r.sim.Heal()
			waitFor(t, "the stay to be revoked", func() bool {
				r.advance(time.Minute)
				return r.view(s).Key.Status == store.KeyRevoked
			})
			r.mustHold(s.id)
		})
	}
}

// Seam asks for a pause of a quarter of an hour: a guest who arrives soon waits half a minute, and after that nobody
// waits any longer.
func TestALongPauseAndAGuestWhoArrivesSoon(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "555555-5555")
	waitFor(t, "the access groups to be known", func() bool { return r.sim.Calls() >= 2 })
	r.sim.Inject(simulator.Fault{
		Kind: simulator.Limited, Path: seam.PathIdentityCreate, Count: 2,
		RetryAfterText: "900",
	})
	far, near := r.stay("R1"), r.stay("R2")
	far.in, far.out, far.email = r.now().Add(72*time.Hour).Truncate(time.Millisecond),
		r.now().Add(96*time.Hour).Truncate(time.Millisecond), "joe@example.com"
	near.in = r.now().Add(2 * time.Hour).Truncate(time.Millisecond)
	r.book(far)
	waitFor(t, "the pause", func() bool {
		return str(
			r.view(far).Key.Message) == "Seam is rate limiting requests: waiting."
	})
	r.book(near)
	waitFor(t, "the near one to wait too",
		func() bool { return str(r.view(near).Key.Message) == "Seam is rate limiting requests: waiting." })
	for range 2 { // the first probe is refused too
		r.advance(seam.ProbeEvery + time.Second)
		r.rest(near)
	}
	r.until(near, store.KeyIssued)
	r.advance(15 * time.Minute)
	r.until(far, store.KeyIssued)
}

// Seam refuses the key once, and asks for a long pause when it is asked about that: nothing is provisioned until it has
// answered, so it is asked again as soon as during any other pause.
func TestALongPauseOfACheckOfTheKey(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "555555-5555")
	waitFor(t, "the access groups to be known", func() bool { return r.sim.Calls() >= 2 })
	r.sim.Inject(
		simulator.Fault{Kind: simulator.NotAuthorized, Path: seam.PathIdentityCreate},
		simulator.Fault{Kind: simulator.Limited, Path: "/workspaces/get", RetryAfterText: "900"},
	)
	s := r.stay("R1")
	s.in = r.now().Add(2 * time.Hour).Truncate(time.Millisecond)
	r.book(s)
	waitFor(t, "the pause", func() bool { return strings.Contains(r.prov.Trouble(), "rate_limited") })
	r.advance(seam.ProbeEvery + time.Second)
	r.until(s, store.KeyIssued)
}

// The guest changes after the stay has begun, and Salto KS is slow to subscribe the new user: the old one is kept
// until the new one opens doors, but not longer than it takes to notify a person.
func TestNobodyInTheHouseWaitsForASubscription(t *testing.T) {
	t.Parallel()
	for _, delay := range []time.Duration{5 * time.Minute, 48 * time.Hour} {
		t.Run(delay.String(), func(t *testing.T) {
			t.Parallel()
			r, s := newStay(t, simulator.Options{})
			r.advance(50 * time.Hour)
			r.until(s, store.KeyActive)
			r.sim.Configure(func(o *simulator.Options) { o.SubscribeDelay = delay })
			r.alter(s, func(u *simulator.User) {
				u.CreatedAt, u.Schedule.StartsAt = u.CreatedAt.Add(-delay), u.Schedule.StartsAt.Add(-delay)
			}) // it is subscribed
			s.email = "joe@example.com"
			r.book(s)
			waitFor(t, "the old one to be kept", func() bool {
				return strings.Contains(str(r.view(s).Key.Message),
					"has not subscribed the new user")
			})
			if n := len(r.holds(s.id)); n != 2 {
				t.Errorf("%d ACS users while the new one opens nothing yet", n)
			}
			r.advance(6 * time.Minute)
			if delay > time.Hour {
				waitFor(t, "another look", func() bool {
					next := r.view(s).Key.NextReconcileAt
					return next != nil && next.After(r.now())
				})
				if n := len(r.holds(s.id)); n != 2 {
					t.Errorf("%d ACS users after 6 minutes", n)
				}
				r.advance(10 * time.Minute)
			}
			waitFor(t, "the old one to be removed", func() bool { return len(r.holds(s.id)) == 1 })
		})
	}
}

// A stay moves to another access system. Before its new key is complete, somebody deletes its ACS users at Seam and
// the PMS takes its room away. Then nothing is under way that the cleanup could wait for: the stay reports what it
// needs, and is complete.
func TestRemovedBeforeTheMoveIsComplete(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		reason  string
		deleted func(simulator.User) bool // by somebody else
		want    string
		left    int
	}{
		"both": {"nothing is left to wait for", func(simulator.User) bool { return true }, "removed_at_seam", 0},
		"the new": {
			"the old one is the guest's only way in",
			func(u simulator.User) bool { return u.SystemID == systemB }, "no_room_assigned", 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, fast(), simulator.Options{Pending: time.Minute})
			r.listing("default", "L", "555555-5555")
			r.listing("default", "V", "verde-1")
			s := r.stay("R1")
			r.book(s)
			waitFor(t, "the first key", func() bool { return len(r.holds(s.id)) == 1 })
			r.advance(2 * time.Minute)
			r.until(s, store.KeyIssued)
			s.listing = "V"
			r.book(s)
			waitFor(t, "the second key", func() bool { return len(r.holds(s.id)) == 2 })

			r.sim.Change(func(st *simulator.State) {
				for _, u := range st.UsersNamed(s.id) {
					if c.deleted(u) {
						for _, k := range st.MobileKeys(u.ID) {
							delete(st.Credentials, k.ID)
						}
						delete(st.Users, u.ID)
					}
				}
			})
			s.listing = ""
			r.book(s)
			waitFor(t, c.want+": "+c.reason, func() bool {
				r.advance(10 * time.Second)
				k := r.view(s).Key
				return k.ObservedGeneration == k.Generation && str(k.Reason) == c.want
			})
			if n := len(r.holds(s.id)); n != c.left {
				t.Errorf("%d ACS users are left, want %d: %s", n, c.left, c.reason)
			}
		})
	}
}
