package provisioner_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

// What one wrong, missing or late answer of Seam must not lead to: a second ACS user, a lost one, a door that stays
// open, a stay that gets stuck.

// rest waits until nothing about a stay is due within a minute: everything is done.
func (r *rig) rest(s stay) store.View {
	r.t.Helper()
	waitFor(r.t, s.id+" to settle", func() bool {
		var atRest bool
		err := r.store.Pool().QueryRow(context.Background(), `
			SELECT NOT queued AND lease_token IS NULL AND coalesce(next_reconcile_at > $3, true) FROM mobile_keys WHERE source = $1 AND reservation_id = $2`,
			s.source, s.id, r.now().Add(30*time.Second)).Scan(&atRest)
		return err == nil && atRest
	})
	return r.view(s)
}

// recheck has a stay compared with Seam, like the sweep or a Seam event.
func (r *rig) recheck(s stay) {
	r.t.Helper()
	if err := r.store.CheckKeys(context.Background(), []store.Ref{s.ref()}, r.now()); err != nil {
		r.t.Fatal(err)
	}
	r.prov.Wake()
}

// mustBeOne checks that Seam holds exactly the stay's one ACS user with its one key, and none after a cancel.
func (r *rig) mustBeOne(s stay) {
	r.t.Helper()
	if got := r.holds(s.id); len(got) != 1 || got[0].Keys != 1 {
		r.tell(s)
		r.t.Errorf("Seam holds %+v for one stay", got)
	}
	r.cancel(s)
	r.until(s, store.KeyRevoked)
	r.rest(s)
	if got := r.holds(s.id); len(got) != 0 {
		r.tell(s)
		r.t.Errorf("the stay is revoked, but Seam still holds %+v", got)
	}
	r.mustBeSound()
}

// readPaths are the reads that a comparison makes.
var readPaths = []string{
	"/acs/users/get", "/acs/users/list", "/acs/access_groups/list", "/acs/credentials/list", "/acs/credentials/get",
	"/user_identities/get", "/user_identities/list_acs_users", "/acs/access_groups/get", "/acs/systems/get",
}

func TestOneWrongNotFoundDuringAReconcile(t *testing.T) {
	t.Parallel()
	for _, path := range readPaths {
		for skip := range 2 {
			t.Run(fmt.Sprintf("%s (%d failed so far)", path, skip), func(t *testing.T) {
				t.Parallel()
				r, s := newStay(t, simulator.Options{})
				before := r.view(s)
				r.advance(time.Minute)
				r.sim.Inject(simulator.Fault{Kind: simulator.WrongNotFound, Path: path, Skip: skip})
				r.mustAct(s, intake.Action{Kind: intake.ActionReconcile})
				r.until(s, store.KeyIssued)
				r.rest(s)
				r.mustKeepIDs(before, r.view(s))
				r.sim.Heal()
				r.mustBeOne(s)
			})
		}
	}
}

func TestWrongNotFoundOnAWrite(t *testing.T) {
	t.Parallel()
	for _, path := range []string{seam.PathUserUpdate, seam.PathGroupAdd, seam.PathGroupRemove, seam.PathUserDelete} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			options := fast()
			options.SweepInterval = 200 * time.Millisecond // a refused call is tried again soon
			r := newRig(t, options, simulator.Options{})
			r.listing("default", "L", "555555-5555")
			r.listing("default", "M", "666666-6666")
			s := r.stay("R1")
			issued(r, &s)
			before := r.view(s)
			r.advance(time.Minute)
			r.sim.Inject(simulator.Fault{Kind: simulator.WrongNotFound, Path: path})
			s.listing, s.out = "M", s.out.Add(time.Hour)
			r.book(s)
			after := r.until(s, store.KeyIssued)
			r.mustHold(s.id, s.wants(system, "666666-6666"))
			r.mustKeepIDs(before, after)
			r.mustBeOne(s)
		})
	}
}

// A get that keeps not finding an ACS user which the list shows proves nothing, however often it is repeated.
func TestGetAndListContradict(t *testing.T) {
	t.Parallel()
	r, s := newStay(t, simulator.Options{})
	before := r.view(s)
	r.advance(time.Minute)
	r.sim.Inject(simulator.Fault{Kind: simulator.WrongNotFound, Path: "/acs/users/get", Count: -1})
	for range 3 {
		r.mustAct(s, intake.Action{Kind: intake.ActionReconcile})
		r.untilThat(s, "looked at", func(v store.View) bool { return v.Key.Status == store.KeyIssued && v.Key.NextReconcileAt != nil })
		r.advance(10 * time.Minute)
	}
	if made := r.called(seam.PathUserCreate); made != 1 {
		t.Errorf("%d ACS users were created", made)
	}
	r.sim.Heal()
	s.out = s.out.Add(time.Hour)
	r.book(s)
	r.mustKeepIDs(before, r.until(s, store.KeyIssued))
	r.mustBeOne(s)
}

// called counts the calls of a path.
func (r *rig) called(path string) int {
	n := 0
	for _, c := range r.sim.Records() {
		if c.Path == path {
			n++
		}
	}
	return n
}

// Somebody deletes the ACS user in Salto's app. Seam reports that on the object itself, which remains until it is
// deleted.
func TestDeletedExternally(t *testing.T) {
	t.Parallel()
	r, s := newStay(t, simulator.Options{})
	r.advance(time.Minute)
	r.alter(s, func(u *simulator.User) { u.ErrorCode = "deleted_externally" })
	r.recheck(s)
	r.untilThat(s, "removed_at_seam", func(v store.View) bool { return str(v.Key.Reason) == "removed_at_seam" })
	r.mustAct(s, intake.Action{Kind: intake.ActionReconcile})
	r.until(s, store.KeyIssued)
	if got := r.holds(s.id); len(got) != 1 || got[0].Identity != s.email {
		t.Errorf("Seam holds %+v: what was deleted is left, or the guest's identity was passed over", got)
	}
	r.mustBeOne(s)
}

// Somebody really deletes the ACS user, while lists keep showing it: the new one is created on the guest's identity
// as soon as they stop.
func TestListLagsARealRemoval(t *testing.T) {
	t.Parallel()
	r, s := newStay(t, simulator.Options{})
	r.advance(time.Minute)
	r.sim.Configure(func(o *simulator.Options) { o.ListLag = 2 * time.Minute })
	r.sim.Change(func(st *simulator.State) { clear(st.Users); clear(st.Credentials) })
	r.mustAct(s, intake.Action{Kind: intake.ActionReconcile})
	waitFor(t, "the contradiction to be seen", func() bool { return r.called("/acs/users/list") > 0 })
	r.sim.Configure(func(o *simulator.Options) { o.ListLag = 0 })
	r.advance(6 * time.Minute)
	r.mustAct(s, intake.Action{Kind: intake.ActionReconcile})
	r.untilThat(s, "a new key", func(v store.View) bool { return len(r.holds(s.id)) == 1 && v.Key.Status == store.KeyIssued })
	if got := r.holds(s.id); got[0].Identity != s.email {
		t.Errorf("the guest's identity is free, and the key is on %+v", got)
	}
	r.mustBeOne(s)
}

// A create is lost and shows up late; the next try is refused for another reason. The result of the lost one is still
// ours.
func TestRefusalKeepsTheMarkOfALostCreate(t *testing.T) {
	t.Parallel()
	for _, refusal := range []simulator.FaultKind{simulator.Limited, simulator.Refused, simulator.Forbidden, simulator.Conflict, simulator.Unprocessable} {
		t.Run(string(refusal), func(t *testing.T) {
			t.Parallel()
			options := fast()
			options.SweepInterval = 200 * time.Millisecond
			r := newLossyRig(t, options, simulator.Options{})
			r.listing("default", "L", "555555-5555")
			waitFor(t, "the access groups to be known", func() bool { return r.sim.Calls() >= 2 })
			r.sim.Configure(func(o *simulator.Options) { o.ReadLag = time.Hour })
			r.sim.Inject(simulator.Fault{Kind: simulator.LostAfter, Path: seam.PathUserCreate}, simulator.Fault{Kind: refusal, Path: seam.PathUserCreate, Count: -1, RetryAfter: time.Second})
			s := r.stay("R1")
			r.book(s)
			waitFor(t, "the refusal", func() bool { return r.called(seam.PathUserCreate) >= 2 })
			r.sim.Configure(func(o *simulator.Options) { o.ReadLag = 0 })
			r.advance(2 * time.Second)
			r.sim.Heal()
			r.until(s, store.KeyIssued)
			r.advance(11 * time.Minute)
			r.rest(s)
			r.mustBeOne(s)
		})
	}
}

// An extension is lost, and the stay is cut back to a check-out that has passed: the door closes at once.
func TestLostExtensionOfAStayThatIsOver(t *testing.T) {
	t.Parallel()
	r := newLossyRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "555555-5555")
	s := r.stay("R1")
	s.in, s.out = r.now().Add(-24*time.Hour).Truncate(time.Millisecond), r.now().Add(time.Hour).Truncate(time.Millisecond)
	r.book(s)
	r.until(s, store.KeyActive)
	out := s.out
	r.sim.Inject(simulator.Fault{Kind: simulator.LostAfter, Path: seam.PathUserUpdate, Count: -1})
	s.out = out.Add(48 * time.Hour)
	r.book(s)
	waitFor(t, "the extension to be lost", func() bool { return fired(r, seam.PathUserUpdate) })
	r.advance(2 * time.Hour)
	s.out = out
	r.book(s)
	r.until(s, store.KeyExpired)
	r.sim.Heal()
	waitFor(t, "the door to close", func() bool {
		for _, h := range r.holds(s.id) {
			if h.Ends.After(r.sim.Now()) {
				return false
			}
		}
		return true
	})
}

// After a restart Seam hides an access group: no door closes on guests who are in the house.
func TestAGroupThatIsNotShownStaysOpen(t *testing.T) {
	t.Parallel()
	for _, refusal := range []simulator.FaultKind{simulator.Refused, simulator.Forbidden, simulator.WrongNotFound, simulator.Error500Before} {
		t.Run(string(refusal), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, fast(), simulator.Options{})
			r.listing("default", "L", "555555-5555", "lobby")
			s := r.stay("R1")
			s.in = r.now().Add(-time.Hour).Truncate(time.Millisecond)
			r.book(s)
			r.until(s, store.KeyActive)
			r.stop()
			if _, err := r.store.Pool().Exec(context.Background(), `DELETE FROM access_groups WHERE acs_access_group_id = 'lobby'`); err != nil {
				t.Fatal(err) // as if it had never been seen
			}
			r.sim.Configure(func(o *simulator.Options) { o.Hidden = []string{"lobby"} })
			r.sim.Inject(simulator.Fault{Kind: refusal, Path: "/acs/access_groups/get", Contains: "lobby", Count: -1})
			r.start()
			s.out = s.out.Add(time.Hour)
			r.book(s)
			waitFor(t, "the extension", func() bool { h := r.holds(s.id); return len(h) == 1 && h[0].Ends.Equal(s.out) })
			r.untilThat(s, "done with the change", func(store.View) bool { return true })
			if got := r.holds(s.id)[0].Groups; len(got) != 2 {
				t.Errorf("the guest's doors are %v", got)
			}
			if n := r.called(seam.PathGroupRemove); n != 0 {
				t.Errorf("%d groups were removed", n)
			}
		})
	}
}

// Seam's access group endpoints fail during a restart: the record is enough to extend a stay.
func TestExtensionWithoutTheDirectory(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "555555-5555")
	s := r.stay("R1")
	s.in, s.out = r.now().Add(-24*time.Hour).Truncate(time.Millisecond), r.now().Add(time.Hour).Truncate(time.Millisecond)
	r.book(s)
	r.until(s, store.KeyActive)
	r.stop()
	for _, path := range []string{"/acs/access_groups/list", "/acs/access_groups/get"} {
		r.sim.Inject(simulator.Fault{Kind: simulator.Error500Before, Path: path, Count: -1})
	}
	r.start()
	s.out = s.out.Add(24 * time.Hour)
	r.book(s)
	waitFor(t, "the extension", func() bool { h := r.holds(s.id); return len(h) == 1 && h[0].Ends.Equal(s.out) })
}

// A key of another workspace, or of an unknown one, must change nothing once a workspace is pinned.
func TestAWorkspaceThatCantBeConfirmedPauses(t *testing.T) {
	t.Parallel()
	for _, refusal := range []simulator.FaultKind{simulator.Refused, simulator.Forbidden, simulator.WrongNotFound, simulator.EmptyObject, simulator.NoObject} {
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

// After an outage of a week, a guest who arrives in ten minutes comes before all cleanup.
func TestArrivalsComeBeforeCleanup(t *testing.T) {
	t.Parallel()
	options := fast()
	options.Workers = 1
	r := newRig(t, options, simulator.Options{})
	r.listing("default", "L", "555555-5555")
	const n = 20
	for i := range n {
		s := r.stay(fmtStay(i))
		s.email = ""
		r.book(s)
	}
	for i := range n {
		r.until(stay{source: "default", id: fmtStay(i)}, store.KeyIssued)
	}
	r.stop()
	r.sim.Forget()
	r.advance(7 * 24 * time.Hour)
	s := r.stay("NOW")
	s.in = r.now().Add(10 * time.Minute).Truncate(time.Millisecond)
	r.book(s)
	if _, err := r.store.QueueDue(context.Background(), r.now()); err != nil {
		t.Fatal(err)
	}
	r.start()
	r.until(s, store.KeyIssued)
	for _, c := range r.sim.Records() {
		if c.Path == seam.PathUserCreate {
			break
		}
		if c.Path == seam.PathUserDelete {
			t.Fatal("a finished stay was removed before the guest who arrives got a key")
		}
	}
}

// guests.without_email is wait, and then the PMS sends a relay address: that counts as an address.
func TestARelaysAddressEndsTheWait(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.policy = func(string) pms.Policy { p := pms.DefaultPolicy(); p.NeedEmail = true; return p }
	r.listing("default", "L", "555555-5555")
	s := r.stay("R1")
	s.email = ""
	r.book(s)
	v := r.until(s, store.KeyWaiting)
	if next := v.Key.NextReconcileAt; next == nil || next.After(r.now().Add(25*time.Hour)) {
		t.Errorf("the next look is at %v: nothing may sleep until check-out", next)
	}
	s.email = "abc-123@guest.booking.com"
	r.book(s)
	r.until(s, store.KeyIssued)
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

// The look-ups after a lost create are recorded in the same commit as the loss: a process that dies right after it
// forgets nothing.
func TestLookUpsSurviveACrash(t *testing.T) {
	t.Parallel()
	r := newLossyRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "555555-5555")
	waitFor(t, "the access groups to be known", func() bool { return r.sim.Calls() >= 2 })
	r.sim.Inject(simulator.Fault{Kind: simulator.LostBefore, Path: seam.PathUserCreate, Count: -1})
	s := r.stay("R1")
	r.book(s)
	waitFor(t, "the loss", func() bool { return fired(r, seam.PathUserCreate) })
	waitFor(t, "both to be recorded", func() bool {
		var lost, uncertain bool
		err := r.store.Pool().QueryRow(context.Background(), `
			SELECT coalesce(bool_or(u.lost_at IS NOT NULL), false), coalesce(bool_or(k.uncertain_since IS NOT NULL), false)
			FROM mobile_keys k LEFT JOIN acs_users u USING (source, reservation_id)`).Scan(&lost, &uncertain)
		if err != nil {
			t.Fatal(err)
		}
		if lost && !uncertain {
			t.Fatal("the loss is recorded, but not the look-up")
		}
		return lost && uncertain
	})
}
