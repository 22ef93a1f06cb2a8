package provisioner_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

// What a stay may have left at Seam, and who may touch it.

// A create is lost, and lists leave out what it made. Meanwhile somebody else's ACS user appears on the guest's
// identity, so that the stay gets an identity of its own. What the lost create made is looked for all the same: once
// lists show it, one of the two is removed.
func TestALostCreateInASlotThatIsLeft(t *testing.T) {
	t.Parallel()
	r := newLossyRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "555555-5555")
	waitFor(t, "the access groups to be known", func() bool { return r.sim.Calls() >= 2 })
	s := r.stay("R1")
	first := true
	r.sim.Inject(simulator.Fault{Kind: simulator.LostAfter, Path: seam.PathUserCreate})
	r.sim.Configure(func(o *simulator.Options) {
		o.Hook = func(path string, after bool) bool {
			if path != seam.PathUserCreate || !after || !first {
				return false
			}
			first = false
			made := r.sim.State().UsersNamed(s.id)[0]
			r.sim.Configure(func(o *simulator.Options) { o.Hidden = []string{made.ID} })
			r.sim.Change(func(st *simulator.State) {
				st.Users["theirs"] = simulator.User{
					ID: "theirs", SystemID: system, IdentityID: made.IdentityID, FullName: "walk-in",
					CreatedAt: r.now(),
				}
			})
			return false
		}
	})
	r.book(s)
	r.until(s, store.KeyIssued)
	if n := len(r.holds(s.id)); n != 2 {
		t.Fatalf("%d ACS users while lists leave one out", n)
	}
	r.sim.Configure(func(o *simulator.Options) { o.Hidden, o.Hook = nil, nil })
	r.advance(11 * time.Minute)
	waitFor(t, "one of them to be removed", func() bool { r.pass(); return len(r.holds(s.id)) == 1 })
	r.until(s, store.KeyIssued)
	r.cancel(s)
	r.until(s, store.KeyRevoked)
	r.rest(s)
	r.mustHold(s.id)
	if r.sim.State().Users["theirs"].ID == "" {
		t.Error("somebody else's ACS user is gone")
	}
}

// A worker loses its lease while it asks what is linked to a stay's own identity. The worker that has it now may have
// linked something since, which would be deleted with the identity: it is not deleted.
func TestAnIdentityIsDeletedOnlyUnderTheLease(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.stop()
	logged := r.logTo()
	r.start()
	r.listing("default", "L", "555555-5555")
	s := r.stay("R1")
	s.email = ""
	issued(r, &s)
	r.advance(time.Minute)
	lease := func(until string) {
		if _, err := r.store.Pool().Exec(context.Background(), `
			UPDATE mobile_keys SET lease_token = gen_random_uuid(), lease_until = clock_timestamp() + $3::interval
			WHERE source = $1 AND reservation_id = $2`, s.source, s.id, until); err != nil {
			t.Error(err)
		}
	}
	r.sim.Configure(func(o *simulator.Options) {
		o.Hook = func(path string, after bool) bool {
			if path == "/user_identities/list_acs_users" && !after {
				lease("1 day")
			}
			return false
		}
	})
	r.cancel(s)
	waitFor(t, "the worker to notice", func() bool {
		return strings.Contains(logged(), "taken over by another worker")
	})
	if n := r.called(seam.PathIdentityDelete); n != 0 {
		t.Errorf("the identity was deleted %d times without the lease", n)
	}
	r.sim.Configure(func(o *simulator.Options) { o.Hook = nil })
	lease("-1 second")
	r.until(s, store.KeyRevoked)
	if n := r.called(seam.PathIdentityDelete); n != 1 || len(r.sim.State().Identities) != 0 {
		t.Errorf("the identity was deleted %d times in the end", n)
	}
}

// Seam doesn't say on which access system a group is. It is asked again, so that the stay doesn't wait for good.
func TestAGroupWithoutASystemIsAskedForAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{Null: []string{"acs_access_group.acs_system_id"}})
	r.listing("default", "L", "555555-5555")
	s := r.stay("R1")
	r.book(s)
	r.untilThat(s, "no_access_system", func(v store.View) bool { return str(v.Key.Reason) == "no_access_system" })
	r.sim.Configure(func(o *simulator.Options) { o.Null = nil })
	r.advance(6 * time.Minute)
	r.until(s, store.KeyIssued)
	r.mustHold(s.id, s.wants(system, "555555-5555"))
}

// The database has forgotten the identity that staykey created for a guest, and Seam wrongly doesn't find it by its
// key. It is found by the guest's address, and its key shows that it is ours: it is erased with the guest.
func TestOurIdentityThatIsFoundByItsAddress(t *testing.T) {
	t.Parallel()
	r, s := newStay(t, simulator.Options{})
	r.cancel(s)
	r.until(s, store.KeyRevoked)
	if _, err := r.store.Pool().Exec(context.Background(), `DELETE FROM user_identities`); err != nil {
		t.Fatal(err)
	}
	r.sim.Inject(simulator.Fault{Kind: simulator.WrongNotFound, Path: "/user_identities/get"})
	r.book(s)
	r.until(s, store.KeyIssued)
	r.mustHold(s.id, s.wants(system, "555555-5555"))
	r.cancel(s)
	r.until(s, store.KeyRevoked)
	if identity, _, _, _ := r.erase(s.email); !strings.Contains(identity, "is deleted") {
		t.Errorf("erased: %q", identity)
	}
	if left := r.sim.State().Identities; len(left) != 0 {
		t.Errorf("user identities are left: %+v", left)
	}
}

// A get by a stale replica and a list that is incomplete don't show an ACS user once, after an event of Seam's. Then
// the stay's dates change: the stay keeps its ACS user.
func TestAStaleReplicaThenAChangeOfDates(t *testing.T) {
	t.Parallel()
	r, s := newStay(t, simulator.Options{})
	before := r.view(s)
	r.advance(time.Minute)
	r.hideOnce(s, 0)
	r.recheck(s)
	waitFor(t, "the first look", func() bool { return fired(r, "/acs/users/get") })
	s.out = s.out.Add(time.Hour)
	r.book(s)
	after := r.until(s, store.KeyIssued)
	r.mustKeepIDs(before, after)
	r.sim.Configure(func(o *simulator.Options) { o.Hidden = nil })
	r.mustHold(s.id, s.wants(system, "555555-5555"))
	r.mustBeOne(s)
}

// The answer to a create is lost, and the list that shows that it made nothing is wrong: it is empty, or lacks half,
// and claims to be complete. One such list leads to no second ACS user.
func TestAnIncompleteListAfterALostCreate(t *testing.T) {
	t.Parallel()
	for _, kind := range []simulator.FaultKind{simulator.EmptyObject, simulator.HalfList} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			r := newLossyRig(t, fast(), simulator.Options{})
			r.listing("default", "L", "555555-5555")
			s := r.stay("R1")
			r.sim.Inject(simulator.Fault{Kind: simulator.LostAfter, Path: seam.PathUserCreate},
				simulator.Fault{Kind: simulator.Error503Before, Path: "/acs/users/list", Count: -1})
			r.book(s)
			waitFor(t, "the create to be lost", func() bool { return fired(r, seam.PathUserCreate) })
			r.rested(s)
			r.sim.Heal()
			r.sim.Inject(simulator.Fault{Kind: kind, Path: "/acs/users/list"})
			r.advance(time.Minute) // reads count now
			r.untilLater(s, "issued", func(v store.View) bool { return v.Key.Status == store.KeyIssued })
			r.mustHold(s.id, s.wants(system, "555555-5555"))
			r.mustBeSound()
		})
	}
}
