package provisioner_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

// Somebody else's ACS user on the guest's identity, while answers leave out whose it is and which hours it has.

// namelessAnswers leave out what would show whose an ACS user is.
var namelessAnswers = []string{"acs_user.full_name", "acs_user.access_schedule"}

// walkIn has the hotel add an ACS user by hand, on the identity of the stay's guest.
func (r *rig) walkIn(s stay) (id string) {
	id = uuid.NewString()
	r.sim.Change(func(st *simulator.State) {
		st.Users[id] = simulator.User{
			ID: id, SystemID: system, IdentityID: st.UsersNamed(s.id)[0].IdentityID, FullName: "walk-in",
			Schedule: &simulator.Schedule{StartsAt: r.now()}, GroupIDs: []string{"lobby"}, CreatedAt: r.now(),
		}
	})
	return id
}

// mustLeaveAlone fails the test if somebody else's ACS user is not as it was.
func (r *rig) mustLeaveAlone(s stay, id string, before *simulator.State) {
	r.t.Helper()
	was, is := fmt.Sprintf("%+v", *before.Users[id].Schedule), r.sim.State().Users[id]
	if is.ID == "" || is.Schedule == nil || fmt.Sprintf("%+v", *is.Schedule) != was || len(is.GroupIDs) != 1 ||
		len(r.sim.State().MobileKeys(id)) != 0 {
		r.tell(s)
		r.t.Errorf("somebody else's ACS user is now %+v, with %d keys", is, len(r.sim.State().MobileKeys(id)))
	}
}

// A change is lost, so that what a lost create may have left is looked for, and the stay is cancelled, and perhaps
// booked again, and perhaps that create is lost, too: the walk-in stays unchanged.
func TestAWalkInIsNeitherDeletedNorTaken(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ again, lost bool }{
		"cancelled":                             {false, false},
		"booked again":                          {true, false},
		"booked again by a create that is lost": {true, true},
	} {
		for _, age := range []time.Duration{time.Second, time.Minute, time.Hour} {
			t.Run(fmt.Sprintf("%s, key of %s", name, age), func(t *testing.T) {
				t.Parallel()
				r := newLossyRig(t, fast(), simulator.Options{})
				r.listing("default", "L", "555555-5555")
				s := r.stay("R1")
				issued(r, &s)
				r.advance(age)
				r.rest(s)
				id := r.walkIn(s)
				before := r.sim.State()
				r.advance(3 * time.Minute)
				r.sim.Inject(simulator.Fault{Kind: simulator.LostAfter, Path: seam.PathUserUpdate})
				s.out = s.out.Add(time.Hour)
				r.book(s)
				r.until(s, store.KeyIssued)
				r.sim.Configure(func(o *simulator.Options) { o.Omit = namelessAnswers })
				r.cancel(s)
				r.until(s, store.KeyRevoked)
				if c.again {
					if c.lost {
						r.sim.Inject(simulator.Fault{Kind: simulator.LostAfter, Path: seam.PathUserCreate})
					}
					r.book(s)
					r.until(s, store.KeyIssued)
				}
				for range 3 {
					r.advance(6 * time.Minute)
					r.rest(s)
					r.mustLeaveAlone(s, id, before)
				}
				r.sim.Configure(func(o *simulator.Options) { o.Omit = nil })
				if !c.again {
					r.mustHold(s.id)
					return
				}
				r.until(s, store.KeyIssued)
				own := s
				own.email = ""
				r.mustHold(s.id, own.wants(system, "555555-5555"))
				r.cancel(s)
				r.until(s, store.KeyRevoked)
				r.mustHold(s.id)
				r.mustLeaveAlone(s, id, before)
			})
		}
	}
}

// The walk-in comes right after a create that is lost, and answers leave out whose it is: it isn't deleted as a second
// ACS user of the stay's.
func TestAWalkInRightAfterALostCreate(t *testing.T) {
	t.Parallel()
	r := newLossyRig(t, fast(), simulator.Options{Omit: namelessAnswers})
	r.listing("default", "L", "555555-5555")
	waitFor(t, "the access groups to be known", func() bool { return r.sim.Calls() >= 2 })
	s := r.stay("R1")
	id, before := "", r.sim.State()
	r.sim.Inject(simulator.Fault{Kind: simulator.LostAfter, Path: seam.PathUserCreate})
	r.sim.Configure(func(o *simulator.Options) {
		o.Hook = func(path string, after bool) bool {
			if path == seam.PathUserCreate && after && id == "" {
				id = r.walkIn(s)
				before = r.sim.State()
			}
			return false
		}
	})
	r.book(s)
	r.until(s, store.KeyIssued)
	r.advance(2 * time.Minute)
	r.mustAct(s, intake.Action{Kind: intake.ActionReconcile})
	r.rest(s)
	r.advance(11 * time.Minute)
	r.rest(s)
	r.until(s, store.KeyIssued)
	r.mustLeaveAlone(s, id, before)
	r.mustHold(s.id, s.wants(system, "555555-5555"))
	r.mustBeSound()
}

// The hotel gives the guest's identity to another ACS user, for which Seam takes the link of the stay's. The link isn't
// taken back, because somebody would lose the key in their app. The stay gets an identity of its own when an admin asks
// for a repair.
func TestALinkIsNotTakenFromSomebodyElse(t *testing.T) {
	t.Parallel()
	for _, swept := range []bool{false, true} {
		t.Run(fmt.Sprintf("swept %t", swept), func(t *testing.T) {
			t.Parallel()
			r, s := newStay(t, simulator.Options{SecondUser: simulator.MoveLink})
			r.advance(time.Minute)
			id := r.walkIn(s)
			r.alter(s, func(u *simulator.User) { u.IdentityID = "" })
			before := r.sim.State()
			if swept {
				r.sweepNow()
				r.untilThat(s, "removed", func(v store.View) bool { return str(v.Key.Reason) == "removed_at_seam" })
			}
			r.mustAct(s, intake.Action{Kind: intake.ActionReconcile})
			r.until(s, store.KeyIssued)
			r.mustLeaveAlone(s, id, before)
			if was, is := before.Users[id].IdentityID, r.sim.State().Users[id].IdentityID; is != was {
				t.Errorf("somebody else's ACS user is linked to %q instead of %q", is, was)
			}
			own := s
			own.email = ""
			r.mustHold(s.id, own.wants(system, "555555-5555"))
		})
	}
}
