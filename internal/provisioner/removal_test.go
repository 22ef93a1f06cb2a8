package provisioner_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

// overdue counts the keys that should have been gone a quarter of an hour ago.
func (r *rig) overdue() int {
	r.t.Helper()
	n, first, err := r.store.Keys.CountOverdueRemovals(context.Background(), r.now().Add(-15*time.Minute))
	if err != nil || (n > 0) != (first != nil) {
		r.t.Fatalf("%d overdue removals, the first is %v: %v", n, first, err)
	}
	return n
}

// Salto KS doesn't remove the user of a cancelled stay: a person is notified that the door may open, and the removal
// is tried until it works.
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
	// the PMS repeats its cancel: the removal is as late as before, also once it has been tried again for it
	r.cancel(s)
	if got := r.overdue(); got != 1 {
		t.Errorf("%d removals are overdue after the PMS repeated its cancel", got)
	}
	r.sim.Configure(func(o *simulator.Options) { o.RefuseDeletes = false })
	r.advance(6 * time.Minute)
	r.until(s, store.KeyRevoked)
	r.mustHold(s.id)
	if got := r.overdue(); got != 0 {
		t.Errorf("%d removals are overdue in the end", got)
	}
}

// Seam refuses to delete the ACS user of a key that an admin has revoked: the removal is overdue like any other, from
// the request on, however the reason changes.
func TestARefusedRevokeIsOverdue(t *testing.T) {
	t.Parallel()
	r, s := newStay(t, simulator.Options{})
	r.sim.Inject(simulator.Fault{Kind: simulator.Forbidden, Path: seam.PathUserDelete, Count: -1})
	r.mustAct(s, intake.Action{Kind: intake.ActionRevoke})
	hasReason := func(reason string) {
		t.Helper()
		waitFor(t, reason, func() bool {
			k := r.view(s).Key
			return k.Status == store.KeyAttention && str(k.Reason) == reason
		})
	}
	hasReason("forbidden_by_seam")
	if n := r.overdue(); n != 0 {
		t.Errorf("%d removals are overdue at once", n)
	}
	r.sim.Heal()
	r.sim.Inject(simulator.Fault{Kind: simulator.Refused, Path: seam.PathUserDelete, Count: -1})
	r.advance(16 * time.Minute)
	hasReason("rejected_by_seam")
	if n := r.overdue(); n != 1 {
		t.Errorf("%d removals are overdue", n)
	}
	r.sim.Heal()
	r.advance(6 * time.Minute)
	r.until(s, store.KeyRevoked)
	if n := r.overdue(); n != 0 {
		t.Errorf("%d removals are overdue in the end", n)
	}
}

// A removal takes Seam hours: it is checked less and less, and a person is notified.
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

// A stay that is over keeps that status while its remains are removed.
func TestOverIsNotProvisioning(t *testing.T) {
	t.Parallel()
	r, s := newStay(t, simulator.Options{})
	r.advance(s.out.Add(time.Minute).Sub(r.now()))
	const over = "The stay is over, and so is its access. "
	if m := str(r.until(s, store.KeyExpired).Key.Message); !strings.HasPrefix(m, over+"Its ACS user will be removed") {
		t.Errorf("message %q", m)
	}
	r.sim.Configure(func(o *simulator.Options) { o.Pending = time.Minute })
	r.sim.Inject(simulator.Fault{Kind: simulator.Error503Before, Path: seam.PathUserDelete})
	r.advance(25 * time.Hour)
	waitFor(t, "the deletion to be tried", func() bool {
		return str(r.view(s).Key.Message) == over+"Its ACS user could not be removed from Seam yet: retrying."
	})
	waitFor(t, "the deletion to be waited for", func() bool {
		return str(r.view(s).Key.Message) == over+"Seam is removing the ACS user."
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

// An admin holds a stay that is being removed: nothing at Seam changes, cleanup included.
func TestHoldDuringARemoval(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{DeleteHang: 10 * time.Minute})
	r.listing("default", "L", "555555-5555")
	s := r.stay("R1")
	s.email = "" // an identity of its own, to be removed with the stay
	issued(r, &s)
	r.cancel(s)
	waitFor(t, "the deletion", func() bool { return r.deletes() == 1 })
	r.mustAct(s, intake.Action{Kind: intake.ActionHold, Why: "wait"})
	before := len(r.changing())
	r.advance(20 * time.Minute)
	r.recheck(s)
	r.rest(s)
	if after := r.changing(); len(after) != before {
		t.Errorf("changed while held: %v", after[before:])
	}
	r.mustAct(s, intake.Action{Kind: intake.ActionRelease, Why: "done"})
	r.until(s, store.KeyRevoked)
	waitFor(t, "the identity to be deleted", func() bool { return len(r.sim.State().Identities) == 0 })
}

// A cancelled stay is reinstated while a deletion is stuck at Seam: it waits for its slot as long as it can, and then
// gets a key elsewhere.
func TestAStuckDeletionLocksNobodyOut(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "555555-5555")
	s := r.stay("R1")
	s.in = r.now().Add(2 * time.Hour).Truncate(time.Millisecond)
	issued(r, &s)
	r.sim.Configure(func(o *simulator.Options) { o.DeleteHang = 48 * time.Hour })
	r.cancel(s)
	waitFor(t, "the deletion", func() bool { return r.deletes() > 0 })
	r.book(s)
	r.advance(16 * time.Minute)
	waitFor(t, "a key", func() bool {
		for _, u := range r.sim.State().UsersNamed(s.id) {
			if u.GoneAt.IsZero() && len(r.sim.State().MobileKeys(u.ID)) == 1 {
				return true
			}
		}
		return false
	})
}

// A stay with an ACS user on each of two access systems is cancelled, and one system doesn't delete its own: that
// doesn't delay the other, whose slot is free once its ACS user is gone.
func TestAStuckRemovalDelaysNoOther(t *testing.T) {
	t.Parallel()
	for name, stick := range map[string]func(r *rig, old string){
		"its reads are refused": func(r *rig, old string) {
			r.sim.Inject(simulator.Fault{
				Kind: simulator.Forbidden, Path: "/acs/users/get", Contains: old, Count: -1,
			})
		},
		"it refuses the delete": func(r *rig, _ string) {
			deletes := 0
			r.sim.Configure(func(o *simulator.Options) {
				o.Hook = func(path string, after bool) bool {
					if path == seam.PathUserDelete && !after {
						deletes++
						r.sim.Configure(func(o *simulator.Options) { o.RefuseDeletes = deletes != 2 })
					}
					return false
				}
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, fast(), simulator.Options{Pending: time.Minute})
			r.listing("default", "L", groupsL...)
			r.listing("default", "V", groupsV...)
			s := r.stay("R1")
			r.book(s)
			waitFor(t, "the first key", func() bool { return len(r.holds(s.id)) == 1 })
			r.advance(2 * time.Minute)
			old := *r.until(s, store.KeyIssued).User.ACSUserID
			s.listing = "V"
			r.book(s)
			waitFor(t, "the second key", func() bool { return len(r.holds(s.id)) == 2 })
			stick(r, old)
			r.cancel(s)
			var left string
			r.passMinutes(4)
			if err := r.store.Pool().QueryRow(context.Background(), `
				SELECT coalesce(string_agg(acs_system_id, ','), '') FROM acs_users WHERE reservation_id = $1`,
				s.id).Scan(&left); err != nil {
				t.Fatal(err)
			}
			if left != system {
				r.tell(s)
				t.Errorf("there are ACS users on %q", left)
			}
			r.sim.Heal()
			r.sim.Configure(func(o *simulator.Options) { o.Hook, o.RefuseDeletes = nil, false })
			r.untilLater(s, "revoked", func(v store.View) bool { return v.Key.Status == store.KeyRevoked })
			r.mustHold(s.id)
		})
	}
}
