package provisioner_test

import (
	"maps"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/provisioner"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

// unhurried are options under which nothing becomes certain before the test moves the clock.
func unhurried() provisioner.Options {
	o := fast()
	o.ReadLag = 5 * time.Minute
	return o
}

// arriving is a rig with the key of a guest who arrives in 45 minutes, and for whom no removal is waited for. The
// read lag is over.
func arriving(t *testing.T, options provisioner.Options, simulated simulator.Options) (*rig, stay) {
	t.Helper()
	r := newRig(t, options, simulated)
	r.listing("default", "L", "555555-5555")
	s := r.stay("R1")
	s.in = r.now().Add(45 * time.Minute).Truncate(time.Millisecond)
	issued(r, &s)
	r.advance(6 * time.Minute)
	return r, s
}

// mustKeep waits until a stay that was booked again has the ACS user that it had before. No other was created since.
func (r *rig) mustKeep(s stay, only string) {
	r.t.Helper()
	waitFor(r.t, "the existing ACS user to be kept", func() bool {
		if n := r.called(seam.PathUserCreate); n != 0 {
			r.tell(s)
			r.t.Fatalf("%d more ACS users were created, and Seam holds %v instead of %s", n, r.live(s), only)
		}
		v := r.view(s)
		return v.Key.Status == store.KeyIssued && v.User != nil && str(v.User.ACSUserID) == only
	})
	r.mustHold(s.id, s.wants(system, "555555-5555"))
	r.mustBeSound()
}

// A stay is cancelled, the answer to its delete is lost, and it is booked again. While Seam is asked whether it took
// effect, the time passes after which the answer would have counted: it was asked too early all the same, and nothing
// is created before it is asked again.
func TestASlowLookAtAnUncertainDelete(t *testing.T) {
	t.Parallel()
	r, s := arriving(t, unhurried(), simulator.Options{})
	only := r.live(s)[0]
	r.sim.Inject(simulator.Fault{Kind: simulator.LostBefore, Path: seam.PathUserDelete, Count: -1})
	r.cancel(s)
	waitFor(t, "the delete to be lost", func() bool { return str(r.view(s).Key.LastError) != "" })
	r.sim.Forget()
	var slow atomic.Bool
	r.sim.Configure(func(o *simulator.Options) {
		o.Hook = func(path string, after bool) bool {
			if path == "/acs/users/get" && after && slow.CompareAndSwap(false, true) {
				r.advance(6 * time.Minute)
			}
			return false
		}
	})
	r.book(s)
	r.mustKeep(s, only)
	if !slow.Load() {
		t.Error("nobody asked whether the delete took effect")
	}
}

// A stay is cancelled and booked again while it is uncertain whether its ACS user is gone, and its guest can't wait.
// Whatever Seam shows, no second one is created before it is known that the first is gone.
func TestNothingIsCreatedBesideAnUncertainDelete(t *testing.T) {
	t.Parallel()
	t.Run("get and list contradict each other", func(t *testing.T) {
		t.Parallel()
		r, s := arriving(t, unhurried(), simulator.Options{})
		only := r.live(s)[0]
		r.sim.Inject(simulator.Fault{Kind: simulator.LostBefore, Path: seam.PathUserDelete, Count: -1})
		r.cancel(s)
		waitFor(t, "the delete to be lost", func() bool { return str(r.view(s).Key.LastError) != "" })
		r.sim.Forget()
		r.sim.Inject(simulator.Fault{Kind: simulator.WrongNotFound, Path: "/acs/users/get", Count: -1})
		r.book(s)
		r.advance(6 * time.Minute)
		waitFor(t, "Seam to be asked a few times", func() bool {
			return r.called("/acs/users/list") > 3 || r.called(seam.PathUserCreate) > 0
		})
		r.sim.Heal()
		r.mustKeep(s, only)
	})
	t.Run("Salto KS keeps it", func(t *testing.T) {
		t.Parallel()
		r, s := arriving(t, unhurried(), simulator.Options{RefuseDeletes: true})
		only := r.live(s)[0]
		r.cancel(s)
		waitFor(t, "not_removed", func() bool { return str(r.view(s).Key.Reason) == "not_removed" })
		r.sim.Forget()
		r.book(s)
		// an attempt that began as a removal would delete it, once that is due again and Salto KS no longer refuses
		waitFor(t, "an attempt for the booking", func() bool { return str(r.view(s).Key.Reason) != "not_removed" })
		r.advance(6 * time.Minute)
		r.sim.Configure(func(o *simulator.Options) { o.RefuseDeletes = false })
		r.alter(s, func(u *simulator.User) { u.ErrorCode = "" })
		r.mustKeep(s, only)
	})
	t.Run("deletes have no effect", func(t *testing.T) {
		t.Parallel()
		r, s := arriving(t, fast(), simulator.Options{})
		only := r.live(s)[0]
		kept := r.sim.State()
		r.sim.Configure(func(o *simulator.Options) {
			o.Hook = func(path string, after bool) bool {
				if path == seam.PathUserDelete && after {
					r.sim.Change(func(st *simulator.State) {
						maps.Copy(st.Users, kept.Users)
						maps.Copy(st.Credentials, kept.Credentials)
					})
				}
				return false
			}
		})
		r.cancel(s)
		waitFor(t, "not_removed", func() bool { return str(r.view(s).Key.Reason) == "not_removed" })
		r.sim.Forget()
		r.book(s)
		r.mustKeep(s, only)
	})
}

// Two rows of a stay are kept to look for what a lost create may have left. While one of them can't be looked at,
// nothing is created in the place of the other.
func TestAFreeSlotWaitsForALookUp(t *testing.T) {
	t.Parallel()
	r, s := leaveTwo(t)
	r.cancel(s)
	waitFor(t, "the third to be deleted", func() bool { return r.deletes() == 3 })
	r.sim.Configure(func(o *simulator.Options) { o.DeleteHang = 0 })
	r.advance(3 * time.Minute)
	var looking []string
	waitFor(t, "two rows that only look", func() bool {
		rows, err := r.store.Pool().Query(t.Context(), `
			SELECT user_identity_id::text FROM acs_users WHERE acs_user_id IS NULL AND acs_system_id::text = $1
			ORDER BY acs_users.id`, system)
		if err != nil {
			t.Fatal(err)
		}
		looking, err = pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		return len(looking) == 2
	})
	r.rest(s)
	r.sim.Forget()
	r.sim.Inject(simulator.Fault{
		Kind: simulator.Error500Before, Path: "/acs/users/list", Contains: looking[0],
		Count: -1,
	})
	r.book(s)
	waitFor(t, "the look-up to fail twice", func() bool {
		return r.view(s).Key.Attempts >= 2 || r.called(seam.PathUserCreate) > 0
	})
	if n := r.called(seam.PathUserCreate); n != 0 {
		r.tell(s)
		t.Errorf("%d ACS users were created", n)
	}
	r.sim.Heal()
	r.advance(time.Minute)
	r.until(s, store.KeyIssued)
	r.mustBeOne(s)
}

// leaveTwo deletes two ACS users of a stay on one access system, of which Seam is still removing the first. A create
// was lost in the meantime, so their rows are kept for a while after they are gone. The stay is cancelled.
func leaveTwo(t *testing.T) (*rig, stay) {
	t.Helper()
	r := newLossyRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "555555-5555")
	r.listing("default", "V", "verde-1")
	waitFor(t, "the access groups to be known", func() bool { return r.sim.Calls() >= 2 })
	s := r.stay("R1")
	s.in = r.now().Add(45 * time.Minute).Truncate(time.Millisecond) // soon: nothing waits for a removal
	issued(r, &s)
	r.advance(time.Minute)
	r.sim.Configure(func(o *simulator.Options) { o.DeleteHang = 2 * time.Minute })
	s.listing = "V"
	r.book(s)
	waitFor(t, "the first to be deleted", func() bool { return r.deletes() == 1 })

	r.advance(time.Minute)
	r.sim.Inject(simulator.Fault{Kind: simulator.LostAfter, Path: seam.PathUserCreate})
	s.listing = "L"
	r.book(s)
	waitFor(t, "the second to be deleted", func() bool { return r.deletes() == 2 })
	return r, s
}

// The rows of two ACS users that are gone are only kept to look for the result of a lost create. The ACS user that
// was created since is not replaced by one in their slots.
func TestRowsThatOnlyLookLeadToNoSecondUser(t *testing.T) {
	t.Parallel()
	r, s := leaveTwo(t)
	r.cancel(s)
	waitFor(t, "the third to be deleted", func() bool { return r.deletes() == 3 })
	r.advance(65 * time.Second) // the first is gone, the third is not
	r.book(s)
	waitFor(t, "an ACS user with its key", func() bool { return len(r.live(s)) == 1 })
	only := r.live(s)[0]
	r.sim.Configure(func(o *simulator.Options) { o.DeleteHang = 0 })
	r.advance(3 * time.Minute) // the others are gone
	if v := r.until(s, store.KeyIssued); str(v.User.ACSUserID) != only {
		r.tell(s)
		t.Errorf("ACS user %s was replaced by %s", only, str(v.User.ACSUserID))
	}
	r.advance(11 * time.Minute)
	r.rest(s)
	r.mustBeOne(s)
}

// A slot is free because its ACS user is gone, but it is unknown whether a delete of another one took effect: nothing
// is created before that is known.
func TestAFreeSlotWaitsForAnUncertainDelete(t *testing.T) {
	t.Parallel()
	r, s := leaveTwo(t)
	only := r.live(s)[0]
	r.sim.Inject(simulator.Fault{Kind: simulator.LostBefore, Path: seam.PathUserDelete, Count: 1000})
	r.cancel(s)
	waitFor(t, "a delete to be lost", func() bool { return str(r.view(s).Key.LastError) != "" })
	r.advance(65 * time.Second) // the first is gone
	r.sim.Forget()
	r.book(s)
	waitFor(t, "the existing ACS user to be kept", func() bool {
		v := r.view(s)
		return v.User != nil && str(v.User.ACSUserID) == only || r.called(seam.PathUserCreate) > 0
	})
	if n := r.called(seam.PathUserCreate); n != 0 {
		r.tell(s)
		t.Errorf("%d more ACS users were created, and Seam holds %v instead of %s", n, r.live(s), only)
	}
}

// An ACS user that somebody deleted in Salto's app is replaced only once what is left of it is removed at Seam: while
// Seam refuses that, there is no second one.
func TestNothingReplacesWhatCantBeDeleted(t *testing.T) {
	t.Parallel()
	r, s := newStay(t, simulator.Options{})
	r.advance(time.Minute)
	r.alter(s, func(u *simulator.User) { u.ErrorCode = "deleted_externally" })
	r.sim.Inject(simulator.Fault{Kind: simulator.Forbidden, Path: seam.PathUserDelete, Count: -1})
	r.sim.Forget()
	r.mustAct(s, intake.Action{Kind: intake.ActionReconcile})
	waitFor(t, "the delete to be refused", func() bool { return str(r.view(s).Key.Reason) == "forbidden_by_seam" })
	if n := r.called(seam.PathUserCreate); n != 0 {
		t.Errorf("%d ACS users were created", n)
	}
	r.sim.Heal()
	r.advance(6 * time.Minute)
	r.until(s, store.KeyIssued)
	r.mustBeOne(s)
}

// Seam refuses the delete of a cancelled stay's ACS user although it took effect, or because somebody else was first,
// and the stay is booked again before the delete is repeated. What is recorded isn't believed: the guest gets a new
// key.
func TestARefusedDeleteAndAReturn(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault simulator.Fault
		young bool // the read lag after its create isn't over
	}{
		"400":        {fault: simulator.Fault{Kind: simulator.RefusedAfter, Status: 400}},
		"403":        {fault: simulator.Fault{Kind: simulator.RefusedAfter, Status: 403}},
		"409":        {fault: simulator.Fault{Kind: simulator.RefusedAfter, Status: 409}},
		"404":        {fault: simulator.Fault{Kind: simulator.RefusedAfter, Status: 404, Type: "acs_user_not_found"}},
		"404, young": {simulator.Fault{Kind: simulator.RefusedAfter, Status: 404, Type: "acs_user_not_found"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, patient(), simulator.Options{})
			r.listing("default", "L", "555555-5555")
			s := r.stay("R1")
			s.in = r.now().Add(48 * time.Hour).Truncate(time.Millisecond)
			issued(r, &s)
			if !c.young {
				r.advance(6 * time.Minute)
			}
			only := r.live(s)[0]
			c.fault.Path = seam.PathUserDelete
			r.sim.Inject(c.fault)
			r.cancel(s)
			waitFor(t, "the delete to be refused", func() bool {
				busy, _ := r.work()
				return !busy && r.called(seam.PathUserDelete) > 0
			})
			r.book(s)
			r.untilLater(s, "a new key", func(v store.View) bool {
				return v.Key.Status == store.KeyIssued && v.User != nil && str(v.User.ACSUserID) != only
			})
			r.mustHold(s.id, s.wants(system, "555555-5555"))
			r.mustBeSound()
		})
	}
}
