package provisioner_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

// A stay that had ACS users before is about to get another one, and something goes wrong with the earlier ones.

// removedBefore is a stay with a user identity of its own that was booked and cancelled so many times. Every look that
// follows a removal is over. old are the ids of the ACS users that it had, and show has Seam show them again.
func removedBefore(t *testing.T, times int) (r *rig, s stay, old []string, show func()) {
	t.Helper()
	r = newLossyRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "555555-5555")
	first := r.stay("R1")
	issued(r, &first)
	r.rest(first)

	s = r.stay("R2") // of the same guest, whose identity the first stay has
	var shows []func()
	for range times {
		issued(r, &s)
		r.rest(s)
		old = append(old, *r.view(s).User.ACSUserID)
		shows = append(shows, r.hide(s))
		r.cancel(s)
		r.until(s, store.KeyRevoked)
		r.rest(s)
		r.advance(11 * time.Minute)
		r.rest(s)
	}
	return r, s, old, func() {
		for _, show := range shows {
			show()
		}
	}
}

// mostUsers counts the ACS users of a stay at Seam, on whatever identity, and returns what returns the most at a time.
func (r *rig) mostUsers(s stay) (most func() int) {
	var seen atomic.Int64
	r.sim.Configure(func(o *simulator.Options) {
		o.Watch = func(st *simulator.State) { // one call at a time
			seen.Store(max(seen.Load(), int64(len(st.UsersNamed(s.id)))))
		}
	})
	return func() int { return int(seen.Load()) }
}

// looks counts the calls that asked Seam for one ACS user.
func (r *rig) looks(id string) (n int) {
	for _, c := range r.sim.Records() {
		if c.Path == "/acs/users/get" && c.Body["acs_user_id"] == id {
			n++
		}
	}
	return n
}

// A guest arrives in half an hour, and Seam gives no answer about two ACS users that the stay had before it was
// reinstated. The guest gets a key all the same, at the first attempt.
func TestAGuestWhoArrivesSoonDoesNotWaitForAnAnswer(t *testing.T) {
	t.Parallel()
	for _, kind := range []simulator.FaultKind{simulator.Hang, simulator.Error503Before, simulator.LostBefore} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			r, s, old, _ := removedBefore(t, 2)
			for _, id := range old {
				r.sim.Inject(simulator.Fault{Kind: kind, Path: "/acs/users/get", Contains: id, Count: -1})
			}
			creates, looks := r.called(seam.PathUserCreate), r.looks(old[0])
			s.in = r.now().Add(30 * time.Minute).Truncate(time.Millisecond)
			r.book(s)
			waitFor(t, "a look", func() bool { return r.looks(old[0]) > looks })
			r.rested(s)
			if r.called(seam.PathUserCreate) == creates {
				r.tell(s)
				t.Fatal("the guest waits for an answer about an earlier ACS user")
			}
			r.until(s, store.KeyIssued)
			if got := r.holds(s.id); len(got) != 1 || got[0].Keys != 1 {
				t.Errorf("Seam has %+v", got)
			}
		})
	}
}

// A guest arrives in two days. An earlier ACS user of the stay is back at Seam and is deleted again, and then Seam
// gives no answer about it. There is time: the stay gets no second ACS user before Seam answers that the first is gone.
func TestAGuestWhoArrivesLaterWaitsForAnAnswer(t *testing.T) {
	t.Parallel()
	r, s, old, show := removedBefore(t, 1)
	r.sim.Configure(func(o *simulator.Options) { o.DeleteHang = 10 * time.Hour })
	r.sim.Inject(simulator.Fault{
		Kind: simulator.Error503Before, Path: "/acs/users/get", Contains: old[0], Skip: 1, Count: -1,
	})
	most := r.mostUsers(s)
	show()
	looks := r.looks(old[0])
	r.book(s)
	waitFor(t, "a few attempts", func() bool { return most() > 1 || r.looks(old[0]) > looks+5 })
	if most() > 1 {
		r.tell(s)
		t.Fatalf("Seam has %+v", r.holds(s.id))
	}

	r.sim.Change(func(st *simulator.State) { delete(st.Users, old[0]) })
	r.sim.Heal()
	r.until(s, store.KeyIssued)
	if most() != 1 {
		t.Errorf("%d ACS users at a time", most())
	}
}

// A stay is reinstated. Seam is asked whether its earlier ACS user is back, and then refuses to create a new one, so
// that nothing was made. The stay is recorded as it was before the create: nothing is looked for that can't exist. What
// an earlier create may have made, whose answer was lost, is still looked for.
func TestARefusedCreateAfterALookLeavesNoMark(t *testing.T) {
	t.Parallel()
	lost := simulator.Fault{Kind: simulator.LostBefore, Path: seam.PathUserCreate}
	unknown := simulator.Fault{
		Kind: simulator.Refused, Type: "acs_system_not_found", Path: seam.PathUserCreate, Count: -1,
	}
	limited := simulator.Fault{
		Kind: simulator.Limited, RetryAfter: time.Hour, Path: seam.PathUserCreate, Count: -1,
	}
	for name, faults := range map[string][]simulator.Fault{
		"Seam doesn't know the access system":                      {unknown},
		"Seam limits the rate":                                     {limited},
		"after a lost create, Seam doesn't know the access system": {lost, unknown},
		"after a lost create, Seam limits the rate":                {lost, limited},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, s, old, _ := removedBefore(t, 1)
			creates, looks := r.called(seam.PathUserCreate), r.looks(old[0])
			r.sim.Inject(faults...)
			r.book(s)
			waitFor(t, "the refusal", func() bool { return r.called(seam.PathUserCreate) == creates+len(faults) })
			r.rest(s)
			if r.looks(old[0]) == looks {
				t.Fatal("Seam was not asked for the earlier ACS user")
			}

			var isMarked, isLost bool
			err := r.store.Pool().QueryRow(t.Context(), `
				SELECT marked_at IS NOT NULL, lost_at IS NOT NULL FROM acs_users
				WHERE source = $1 AND reservation_id = $2`, s.source, s.id).Scan(&isMarked, &isLost)
			if err != nil {
				t.Fatal(err)
			}
			if wasLost := len(faults) > 1; isMarked != wasLost || isLost != wasLost {
				r.tell(s)
				t.Errorf("after the refusal: marked %v, lost %v; want both %v", isMarked, isLost, wasLost)
			}
		})
	}
}

// Two earlier ACS users of a stay are back at Seam, and their deletes don't end. The guest arrives in two days: both
// are deleted at once, so that the stay waits 15 minutes for both, and not for one after the other.
func TestTheWaitsForUsersThatAreBackDoNotAddUp(t *testing.T) {
	t.Parallel()
	r, s, old, show := removedBefore(t, 2)
	r.sim.Configure(func(o *simulator.Options) { o.DeleteHang = 10 * time.Hour })
	show()
	deletes := r.called(seam.PathUserDelete)
	r.book(s)
	waitFor(t, "a delete", func() bool { return r.called(seam.PathUserDelete) > deletes })
	r.rested(s)
	if n := r.called(seam.PathUserDelete) - deletes; n != len(old) {
		r.tell(s)
		t.Fatalf("%d of %d were deleted by the first attempt", n, len(old))
	}
	if n := len(r.live(s)); n != 0 {
		t.Fatalf("%d keys while the guest can wait", n)
	}
	r.advance(16 * time.Minute)
	waitFor(t, "the new key", func() bool { return len(r.live(s)) == 1 })
}

// An earlier ACS user of a stay is back at Seam, and its delete can't be recorded, so that it is never sent. The guest
// arrives in two days: the stay gets no second ACS user before the first one is deleted.
func TestADeleteThatWasNeverSentIsNotPassedOver(t *testing.T) {
	t.Parallel()
	r, s, old, show := removedBefore(t, 1)
	r.exec(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''refused''; END'`)
	r.exec(`CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON removed_acs_users
		FOR EACH ROW WHEN (NEW.deletes > 0) EXECUTE FUNCTION refuse()`)
	most := r.mostUsers(s)
	show()
	deletes, looks := r.called(seam.PathUserDelete), r.looks(old[0])
	r.book(s)
	waitFor(t, "a few attempts", func() bool { return most() > 1 || r.looks(old[0]) > looks+2 })
	if most() > 1 || r.called(seam.PathUserDelete) != deletes {
		r.tell(s)
		t.Fatalf("Seam has %+v, after %d deletes", r.holds(s.id), r.called(seam.PathUserDelete)-deletes)
	}

	r.exec(`DROP TRIGGER refuse ON removed_acs_users`)
	r.until(s, store.KeyIssued)
	if got := r.holds(s.id); len(got) != 1 || *r.view(s).User.ACSUserID == old[0] {
		t.Errorf("Seam has %+v", got)
	}
	if most() != 1 {
		t.Errorf("%d ACS users at a time", most())
	}
}
