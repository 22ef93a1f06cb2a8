package provisioner_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/until"
)

func TestSeedsFlow(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.listing("default", "2222222-2222", "555555-5555", "666666-6666")
	r.prov.Wake()
	s := r.stay("3333122-433")
	s.listing = "2222222-2222"
	// The listing's groups are looked up once, before any reservation needs them.
	waitFor(t, "the access groups to be known", func() bool { return r.sim.Calls() >= 2 })
	r.sim.Forget()
	r.book(s)
	v := r.until(s, store.KeyIssued)
	r.mustCall("/user_identities/create", "/acs/users/create", "/acs/credentials/create", "/acs/users/get",
		"/acs/access_groups/list")
	r.mustHold(s.id, s.wants(system, "555555-5555", "666666-6666"))
	if v.User == nil || v.User.ACSUserID == nil || v.User.CredentialID == nil || v.Key.Attempts != 1 {
		t.Errorf("REST would lack ids: %+v, attempts %d", v.User, v.Key.Attempts)
	}

	// An event that changes nothing costs no request.
	r.sim.Forget()
	again := s
	again.email = " Jane@Example.COM"
	r.book(again)
	r.until(s, store.KeyIssued)
	r.mustCall()

	// A change of dates costs two and keeps the ids.
	r.sim.Forget()
	s.out = s.out.Add(24 * time.Hour)
	r.book(s)
	after := r.until(s, store.KeyIssued)
	r.mustCall("/acs/users/update", "/acs/users/get")
	r.mustHold(s.id, s.wants(system, "555555-5555", "666666-6666"))
	r.mustKeepIDs(v, after)

	// A cancel leaves nothing, and reinstating creates a new ACS user and key.
	r.cancel(s)
	r.until(s, store.KeyRevoked)
	r.mustHold(s.id)
	r.book(s)
	after = r.until(s, store.KeyIssued)
	r.mustHold(s.id, s.wants(system, "555555-5555", "666666-6666"))
	if *after.User.ACSUserID == *v.User.ACSUserID || *after.User.CredentialID == *v.User.CredentialID {
		t.Error("the ids of the cancelled key are back")
	}
	r.mustBeSound()
}

func (r *rig) mustKeepIDs(before, after store.View) {
	r.t.Helper()
	if *before.User.ACSUserID != *after.User.ACSUserID || *before.User.CredentialID != *after.User.CredentialID {
		r.t.Error("the change has created another ACS user or credential")
	}
}

// waitFor waits until something is reached. Meanwhile the clocks of the test's rigs move on to what is due next.
func waitFor(t testing.TB, what string, reached func() bool) {
	t.Helper()
	rigs := rigsOf(t)
	until.True(t, what, func() bool {
		return reached() || slices.ContainsFunc(rigs, (*rig).pass)
	})
}

func waitWithin(t testing.TB, patience, every time.Duration, what string, reached func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for !reached() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("waited too long for %s", what)
		}
	}
}

// keyFor is a rig with three listings and a stay that has its key: L and M open doors of one access system, V of
// another.
func keyFor(t *testing.T, listing string) (*rig, stay, store.View) {
	t.Helper()
	r := newRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "555555-5555", "lobby")
	r.listing("default", "M", "666666-6666", "lobby")
	r.listing("default", "V", "verde-1")
	s := r.stay("R1")
	s.listing = listing
	r.book(s)
	return r, s, r.until(s, store.KeyIssued)
}

func TestMoves(t *testing.T) {
	t.Parallel()
	t.Run("on the same system: opens, then closes, and keeps the ids", func(t *testing.T) {
		t.Parallel()
		r, s, before := keyFor(t, "L")
		r.sim.Forget()
		s.listing = "M"
		r.book(s)
		after := r.until(s, store.KeyIssued)
		r.mustCall(seam.PathGroupAdd, seam.PathGroupRemove, "/acs/users/get", "/acs/access_groups/list")
		r.mustHold(s.id, s.wants(system, "666666-6666", "lobby"))
		r.mustKeepIDs(before, after)
		r.mustBeSound()
	})
	t.Run("to another system: the new key is there before the old one is removed", func(t *testing.T) {
		t.Parallel()
		r, s, _ := keyFor(t, "L")
		r.sim.Configure(func(o *simulator.Options) { o.Pending = 200 * time.Millisecond })
		r.sim.Forget()
		s.listing = "V"
		r.book(s)
		r.until(s, store.KeyIssued)
		r.mustHold(s.id, s.wants(systemB, "verde-1"))
		calls := r.changing()
		if want := []string{
			seam.PathUserCreate, seam.PathCredentialCreate,
			seam.PathUserDelete,
		}; fmt.Sprint(calls) != fmt.Sprint(want) {
			t.Errorf("changing calls: got %v, want %v", calls, want)
		}
		for _, c := range r.sim.Records() {
			if c.Path == seam.PathUserDelete {
				for _, u := range r.sim.State().UsersNamed(s.id) {
					if c.At.Before(u.CreatedAt.Add(200 * time.Millisecond)) {
						t.Error("the old doors closed before the new key was on its access system")
					}
				}
			}
		}
		r.mustBeSound()
	})
	t.Run("no room: the doors close and the key is kept", func(t *testing.T) {
		t.Parallel()
		r, s, before := keyFor(t, "V")
		s.listing = ""
		r.book(s)
		v := r.until(s, store.KeyWaiting)
		if str(v.Key.Reason) != "no_room_assigned" {
			t.Errorf("reason: got %s", str(v.Key.Reason))
		}
		r.mustHold(s.id, s.wants(systemB))

		s.listing = "V"
		r.book(s)
		r.mustKeepIDs(before, r.until(s, store.KeyIssued))
		r.mustHold(s.id, s.wants(systemB, "verde-1"))
		r.mustBeSound()
	})
}

// Keys follow their listing while it changes its groups, is deleted, comes back and loses its groups.
func TestKeysFollowTheirListing(t *testing.T) {
	t.Parallel()
	r, s, before := keyFor(t, "V")

	// Other groups: every stay's key opens them, and keeps its ids.
	other := r.stay("R2")
	other.listing, other.email = "V", "joe@example.com"
	r.book(other)
	r.until(other, store.KeyIssued)
	r.listing("default", "V", "verde-2")
	r.until(other, store.KeyIssued)
	after := r.until(s, store.KeyIssued)
	r.mustHold(s.id, s.wants(systemB, "verde-2"))
	r.mustHold(other.id, other.wants(systemB, "verde-2"))
	r.mustKeepIDs(before, after)

	// Deleted: keys stay, under attention, and no new one is created.
	r.send("default", "listing.deleted", map[string]any{"listing_id": "V"})
	if v := r.until(s, store.KeyAttention); str(v.Key.Reason) != "listing_deleted" {
		t.Errorf("reason: got %s", str(v.Key.Reason))
	}
	r.mustHold(s.id, s.wants(systemB, "verde-2"))
	late := r.stay("R3")
	late.listing, late.email = "V", "late@example.com"
	r.book(late)
	if v := r.until(late, store.KeyWaiting); str(v.Key.Reason) != "listing_deleted" {
		t.Errorf("reason: got %s", str(v.Key.Reason))
	}
	r.mustHold(late.id)

	// Back: the stay that waited has its key.
	r.listing("default", "V", "verde-1")
	r.until(late, store.KeyIssued)
	r.mustHold(late.id, late.wants(systemB, "verde-1"))
	r.until(s, store.KeyIssued)

	// Without groups: as when it was deleted.
	r.listing("default", "V")
	if v := r.until(s, store.KeyAttention); str(v.Key.Reason) != "no_access_groups" {
		t.Errorf("reason: got %s", str(v.Key.Reason))
	}
	r.mustHold(s.id, s.wants(systemB, "verde-1"))
	r.mustBeSound()
}

func TestUnknownGroup(t *testing.T) {
	t.Parallel()
	for _, ignored := range []bool{false, true} {
		t.Run(fmt.Sprintf("ignored by Seam: %v", ignored), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, fast(), simulator.Options{IgnoreUnknownGroups: ignored})
			r.listing("default", "L", "555555-5555", "nowhere")
			s := r.stay("R1")
			r.book(s)
			if v := r.until(s, store.KeyAttention); str(v.Key.Reason) != "access_group_not_found" {
				t.Errorf("reason: got %s", str(v.Key.Reason))
			}
			r.mustHold(s.id, s.wants(system, "555555-5555"))
			r.listing("default", "L", "555555-5555")
			r.until(s, store.KeyIssued)
		})
	}
}

func TestReservationBeforeItsListing(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	s := r.stay("R1")
	r.book(s)
	if v := r.until(s, store.KeyWaiting); str(v.Key.Reason) != "listing_unknown" {
		t.Errorf("reason: got %s", str(v.Key.Reason))
	}
	r.listing("default", "L", "555555-5555")
	r.until(s, store.KeyIssued)
	r.mustHold(s.id, s.wants(system, "555555-5555"))
}

func TestLocalDatesWaitForTheirZone(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "555555-5555")
	year := r.now().Year() + 1
	r.send("default", "reservation.created", map[string]any{
		"reservation_id": "R1", "listing_id": "L", "check_in": fmt.Sprintf("%d-07-01", year),
		"check_out": fmt.Sprintf("%d-07-04T10:30", year),
	})
	s := stay{source: "default", id: "R1"}
	if v := r.until(s, store.KeyWaiting); str(v.Key.Reason) != "time_zone_unknown" {
		t.Errorf("reason: got %s", str(v.Key.Reason))
	}
	r.send("default", "listing.updated", map[string]any{
		"listing_id": "L", "seam_access_group_ids": []string{"555555-5555"}, "time_zone": "Europe/Madrid",
		"check_in_time": "16:00",
	})
	r.until(s, store.KeyIssued)
	s.in, s.out = time.Date(year, 7, 1, 14, 0, 0, 0, time.UTC), time.Date(year, 7, 4, 8, 30, 0, 0, time.UTC)
	r.mustHold("R1", s.wants(system, "555555-5555"))
}

func TestStaysThatAreOver(t *testing.T) {
	t.Parallel()
	t.Run("one that was over when it came costs no request", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, fast(), simulator.Options{})
		r.listing("default", "L", "555555-5555")
		waitFor(t, "the access groups to be known", func() bool { return r.sim.Calls() >= 2 })
		r.sim.Forget()
		s := r.stay("R1")
		s.in, s.out = r.now().Add(-72*time.Hour), r.now().Add(-time.Hour)
		r.book(s)
		r.until(s, store.KeyExpired)
		r.mustCall()
	})
	t.Run("one that is cut short loses its key at once", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, fast(), simulator.Options{})
		r.listing("default", "L", "555555-5555")
		s := r.stay("R1")
		s.in = r.now().Add(-24 * time.Hour)
		r.book(s)
		r.until(s, store.KeyActive)
		s.out = r.now().Add(-time.Minute)
		r.book(s)
		r.until(s, store.KeyExpired)
		r.mustHold(s.id)
	})
	t.Run("one that ends keeps its ACS user for a while", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, fast(), simulator.Options{})
		r.listing("default", "L", "555555-5555")
		s := r.stay("R1")
		s.email = ""
		r.book(s)
		r.until(s, store.KeyIssued)
		r.advance(49 * time.Hour)
		r.until(s, store.KeyActive)
		r.advance(72 * time.Hour)
		r.until(s, store.KeyExpired)
		r.mustHold(s.id, s.wants(system, "555555-5555"))
		r.advance(24 * time.Hour)
		waitFor(t, "the ACS user and the stay's own identity to be removed", func() bool {
			return len(r.holds(s.id)) == 0 && len(r.sim.State().Identities) == 0
		})
	})
}

func TestGraceWidensTheSchedule(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.policy = func(string) pms.Policy {
		p := pms.DefaultPolicy()
		p.GraceBefore, p.GraceAfter = time.Hour, 30*time.Minute
		return p
	}
	r.listing("default", "L", "555555-5555")
	s := r.stay("R1")
	r.book(s)
	r.until(s, store.KeyIssued)
	s.in, s.out = s.in.Add(-time.Hour), s.out.Add(30*time.Minute)
	r.mustHold(s.id, s.wants(system, "555555-5555"))
}

func TestPlanSaysWhatReconcileWouldDo(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "555555-5555")
	s := r.stay("R1")
	ref := store.Ref{Source: s.source, ReservationID: s.id}
	r.stop()
	r.book(s)
	calls, err := r.prov.Plan(context.Background(), ref)
	if err != nil {
		t.Fatal(err)
	}
	paths := ""
	for _, c := range calls {
		paths += c.Path + " "
	}
	if want := "/user_identities/create /acs/users/create /acs/credentials/create "; paths != want {
		t.Errorf("plan: got %s, want %s", paths, want)
	}
	if len(r.changing()) != 0 {
		t.Error("planning has changed something")
	}
	r.start()
	v := r.until(s, store.KeyIssued)
	if calls, err := r.prov.Plan(context.Background(), ref); err != nil || len(calls) != 0 {
		t.Errorf("an issued reservation's plan: %v %v", calls, err)
	}
	r.sim.Change(func(st *simulator.State) {
		u := st.Users[*v.User.ACSUserID]
		u.GroupIDs = nil
		st.Users[u.ID] = u
	})
	if calls, err := r.prov.Plan(context.Background(), ref); err != nil || len(calls) != 1 ||
		calls[0].Path != seam.PathGroupAdd {
		t.Errorf("the plan of a drifted one: %v %v", calls, err)
	}
}

func TestRowsChangeWhileTheyAreReconciled(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{Latency: time.Millisecond})
	second := r.prov
	r.start() // a second provisioner shares the database
	_ = second
	r.listing("default", "L", "555555-5555")
	const stays, rounds = 12, 12
	list := make([]stay, stays)
	for i := range list {
		list[i] = r.stay(fmtStay(i))
		list[i].email = fmt.Sprintf("guest%d@example.com", i%5)
	}
	for round := range rounds {
		for i := range list {
			list[i].out = list[i].out.Add(time.Duration(round+i) * time.Minute)
			r.book(list[i])
		}
	}
	for _, s := range list {
		v := r.until(s, store.KeyIssued)
		u := r.sim.State().Users[*v.User.ACSUserID]
		if !u.Schedule.EndsAt.Equal(s.out) {
			t.Errorf("%s is stale: Seam has it end at %v, want %v", s.id, u.Schedule.EndsAt, s.out)
		}
		if n := len(r.sim.State().UsersNamed(s.id)); n != 1 {
			t.Errorf("%s has %d ACS users", s.id, n)
		}
	}
	r.mustBeSound()
}

// Seam may defer what it does at the access system until a stay begins. Then the key is as it should be, and nobody
// asks about it for weeks; for a stay that has begun it is not.
func TestDeferredCreation(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{Defer: true, SubscribeDelay: 10 * time.Minute})
	r.listing("default", "L", "555555-5555")
	s := r.stay("R1")
	r.book(s)
	if v := r.until(s, store.KeyIssued); v.Key.NextReconcileAt == nil || !v.Key.NextReconcileAt.Equal(s.in) {
		t.Errorf("it is looked at again at %v, check-in is %v", v.Key.NextReconcileAt, s.in)
	}
	r.advance(s.in.Add(time.Minute).Sub(r.now()))
	r.until(s, store.KeyProvisioning)
	r.advance(10 * time.Minute)
	r.until(s, store.KeyActive)
	r.mustHold(s.id, s.wants(system, "555555-5555"))
}
