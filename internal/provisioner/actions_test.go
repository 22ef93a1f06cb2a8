package provisioner_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/provisioner"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

func (s stay) ref() store.Ref { return store.Ref{Source: s.source, ReservationID: s.id} }

// act performs an admin's action, and returns why it can't be done.
func (r *rig) act(s stay, a intake.Action) (conflict string) {
	r.t.Helper()
	if a.By == "" {
		a.By, a.Why = "Maria (front desk)", "as the guest asked"
	}
	err := r.applier.Act(context.Background(), s.ref(), a)
	if c := (intake.ConflictError{}); errors.As(err, &c) {
		return c.Error()
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return ""
}

func (r *rig) mustAct(s stay, a intake.Action) {
	r.t.Helper()
	if conflict := r.act(s, a); conflict != "" {
		r.t.Fatalf("%s: %s", a.Kind, conflict)
	}
}

// withKey books a stay and waits for its key.
func withKey(t *testing.T, options provisioner.Options) (*rig, stay, store.View) {
	t.Helper()
	r := newRig(t, options, simulator.Options{})
	r.listing("default", "L", "lobby")
	s := r.stay("R1")
	r.book(s)
	return r, s, r.until(s, store.KeyIssued)
}

func TestHold(t *testing.T) {
	t.Parallel()
	r, s, before := withKey(t, fast())
	r.mustAct(s, intake.Action{Kind: intake.ActionHold})
	r.untilThat(s, "issued, and held", func(v store.View) bool {
		return v.Key.Status == store.KeyIssued &&
			str(v.Key.Reason) == "held"
	})
	r.sim.Forget()

	later := s
	later.out = s.out.Add(24 * time.Hour)
	r.book(later)
	v := r.untilThat(s, "under attention, and held",
		func(v store.View) bool { return v.Key.Status == store.KeyAttention && str(v.Key.Reason) == "held" })
	for _, word := range []string{
		"Maria (front desk)", "as the guest asked", "access lasts from check-in to check-out",
		"release the hold",
	} {
		if !strings.Contains(str(v.Key.Message), word) {
			t.Errorf("the message does not contain %q: %s", word, str(v.Key.Message))
		}
	}
	for _, kind := range []intake.ActionKind{
		intake.ActionReconcile, intake.ActionRevoke, intake.ActionReissue,
		intake.ActionWindow,
	} {
		if conflict := r.act(s, intake.Action{Kind: kind}); !strings.Contains(conflict, "release it first") {
			t.Errorf("%s of a held reservation: %q", kind, conflict)
		}
	}
	r.mustHold(s.id, s.wants(system, "lobby"))
	r.cancel(s)
	r.untilThat(s, "under attention for its cancel", func(v store.View) bool {
		return v.Key.Status == store.KeyAttention && strings.Contains(str(v.Key.Message), "cancelled")
	})
	if calls := r.changing(); len(calls) > 0 {
		t.Errorf("changing calls to Seam while it was held: %v", calls)
	}
	plan, err := r.prov.Plan(context.Background(), s.ref())
	if err != nil || len(plan) != 1 || plan[0].Path != seam.PathUserDelete {
		t.Errorf("a release would do %v (%v)", plan, err)
	}
	r.book(later)
	r.untilThat(s, "held again", func(v store.View) bool { return v.Key.Status == store.KeyAttention })
	r.mustAct(s, intake.Action{Kind: intake.ActionRelease})
	after := r.until(s, store.KeyIssued)
	r.mustHold(s.id, later.wants(system, "lobby"))
	r.mustKeepIDs(before, after)
	if after.Key.Reason != nil {
		t.Errorf("it is released, and its reason is %q", *after.Key.Reason)
	}
	r.mustBeSound()
}

// Drift that the sweep would repair is left while the reservation is held.
func TestHoldKeepsHandsOffDrift(t *testing.T) {
	t.Parallel()
	options := fast()
	options.SweepInterval = 200 * time.Millisecond
	r, s, v := withKey(t, options)
	r.mustAct(s, intake.Action{Kind: intake.ActionHold})
	r.untilThat(s, "held", func(v store.View) bool { return str(v.Key.Reason) == "held" })
	r.sim.Forget()
	r.sim.Change(func(st *simulator.State) {
		u := st.Users[*v.User.ACSUserID]
		u.GroupIDs = append(u.GroupIDs, "555555-5555")
		st.Users[*v.User.ACSUserID] = u
	})
	r.untilThat(s, "under attention for the drift",
		func(v store.View) bool { return v.Key.Status == store.KeyAttention && str(v.Key.Reason) == "held" })
	if calls := r.changing(); len(calls) > 0 {
		t.Errorf("changing calls to Seam while it was held: %v", calls)
	}
	r.mustAct(s, intake.Action{Kind: intake.ActionRelease})
	r.until(s, store.KeyIssued)
	r.mustHold(s.id, s.wants(system, "lobby"))
}

func TestRevokeAndReissue(t *testing.T) {
	t.Parallel()
	r, s, before := withKey(t, fast())
	r.mustAct(s, intake.Action{Kind: intake.ActionRevoke})
	v := r.until(s, store.KeyRevoked)
	r.mustHold(s.id)
	if str(v.Key.Reason) != "revoked_by_admin" || !strings.Contains(str(v.Key.Message), "Maria (front desk)") {
		t.Errorf("revoked for %q: %s", str(v.Key.Reason), str(v.Key.Message))
	}

	r.sim.Forget()
	later := s
	later.out = s.out.Add(24 * time.Hour)
	r.book(later)
	r.until(s, store.KeyRevoked)
	r.mustHold(s.id) // whatever the PMS sends
	if calls := r.changing(); len(calls) > 0 {
		t.Errorf("a revoked reservation was changed at Seam: %v", calls)
	}

	r.mustAct(s, intake.Action{Kind: intake.ActionReissue})
	again := r.until(s, store.KeyIssued)
	r.mustHold(s.id, later.wants(system, "lobby"))
	if *again.User.ACSUserID == *before.User.ACSUserID {
		t.Error("the deleted ACS user has returned")
	}

	r.sim.Forget()
	r.mustAct(s, intake.Action{Kind: intake.ActionReissue})
	fresh := r.untilThat(s, "issued with another mobile key", func(v store.View) bool {
		return v.Key.Status == store.KeyIssued && v.User != nil && str(v.User.CredentialID) != *again.User.CredentialID
	})
	if *fresh.User.ACSUserID != *again.User.ACSUserID {
		t.Error("re-issuing a mobile key has created another ACS user")
	}
	r.mustHold(s.id, later.wants(system, "lobby"))
	if calls := strings.Join(r.changing(), " "); calls != seam.PathCredentialDelete+" "+seam.PathCredentialCreate {
		t.Errorf("re-issuing made the calls %s", calls)
	}

	r.cancel(s)
	r.until(s, store.KeyRevoked)
	if conflict := r.act(s, intake.Action{Kind: intake.ActionReissue}); !strings.Contains(conflict, "cancelled") {
		t.Errorf("re-issue of a cancelled reservation: %q", conflict)
	}
	r.mustBeSound()
}

// Whatever happens to the calls of a re-issue, one key is left, and not the old one.
func TestReissueMeetsFaults(t *testing.T) {
	t.Parallel()
	for _, path := range []string{seam.PathCredentialDelete, seam.PathCredentialCreate, "/acs/credentials/list"} {
		for _, kind := range simulator.FaultKinds {
			t.Run(strings.ReplaceAll(path[1:], "/", "_")+"/"+string(kind), func(t *testing.T) {
				t.Parallel()
				r := newLossyRig(t, fast(), simulator.Options{ReadLag: 80 * time.Millisecond})
				r.listing("default", "L", "lobby")
				s := r.stay("R1")
				r.book(s)
				before := r.until(s, store.KeyIssued)
				r.sim.Inject(simulator.Fault{Kind: kind, Path: path, RetryAfter: 10 * time.Millisecond})
				r.mustAct(s, intake.Action{Kind: intake.ActionReissue})
				r.untilThat(s, "issued with another mobile key", func(v store.View) bool {
					return v.Key.Status == store.KeyIssued && v.User != nil && v.User.CredentialID != nil &&
						*v.User.CredentialID != *before.User.CredentialID
				})
				waitFor(t, "one mobile key", func() bool { h := r.holds(s.id); return len(h) == 1 && h[0].Keys == 1 })
				r.mustHold(s.id, s.wants(system, "lobby"))
			})
		}
	}
}

func TestWindow(t *testing.T) {
	t.Parallel()
	r, s, before := withKey(t, fast())
	early, late := s.in.Add(-3*time.Hour), s.out.Add(2*time.Hour)
	r.mustAct(s, intake.Action{Kind: intake.ActionWindow, StartsAt: &early, EndsAt: &late})
	r.until(s, store.KeyIssued)
	wide := s
	wide.in, wide.out = early, late
	r.mustHold(s.id, wide.wants(system, "lobby"))

	// The PMS moves check-in: what was agreed for the old stay does not apply to the new one, at either end.
	moved := s
	moved.in = s.in.Add(5 * time.Hour)
	r.book(moved)
	r.until(s, store.KeyIssued)
	r.mustHold(s.id, moved.wants(system, "lobby"))

	r.mustAct(s, intake.Action{Kind: intake.ActionWindow, EndsAt: &late})
	r.until(s, store.KeyIssued)
	wide = moved
	wide.out = late
	r.mustHold(s.id, wide.wants(system, "lobby"))
	r.mustAct(s, intake.Action{Kind: intake.ActionWindow})
	after := r.until(s, store.KeyIssued)
	r.mustHold(s.id, moved.wants(system, "lobby"))
	r.mustKeepIDs(before, after)

	tooFar := s.out.Add(30 * 24 * time.Hour)
	for what, a := range map[string]intake.Action{
		"ends before it begins": {StartsAt: &late, EndsAt: &early}, "a month": {EndsAt: &tooFar},
	} {
		a.Kind = intake.ActionWindow
		if r.act(s, a) == "" {
			t.Errorf("a window that %s is accepted", what)
		}
	}
	r.mustHold(s.id, moved.wants(system, "lobby"))
	r.mustBeSound()
}

// A key that somebody removed at Seam leaves nothing to replace: re-issuing it creates another.
func TestReissueWhatWasRemoved(t *testing.T) {
	t.Parallel()
	r, s, before := withKey(t, fast())
	r.sim.Change(func(st *simulator.State) { delete(st.Users, *before.User.ACSUserID) })
	r.mustAct(s, intake.Action{Kind: intake.ActionRelease}) // compares with Seam
	r.untilThat(s, "removed at Seam", func(v store.View) bool { return str(v.Key.Reason) == "removed_at_seam" })
	r.mustAct(s, intake.Action{Kind: intake.ActionReissue})
	r.until(s, store.KeyIssued)
	r.mustHold(s.id, s.wants(system, "lobby"))
}
