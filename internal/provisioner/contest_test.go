package provisioner_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

// ACS users whose identity somebody has linked to another one.

// stolen is a stay with a key, from whose identity somebody has moved the link to ACS user "theirs".
func stolen(t *testing.T, groups ...string) (*rig, stay, store.View) {
	t.Helper()
	r := newRig(t, fast(), simulator.Options{})
	r.listing("default", "L", groups...)
	s := r.stay("R1")
	issued(r, &s)
	r.advance(time.Minute)
	r.rest(s)
	v := r.view(s)
	r.steal(v)
	return r, s, v
}

// steal moves the link of a stay's identity to ACS user "theirs".
func (r *rig) steal(v store.View) {
	r.sim.Change(func(st *simulator.State) {
		u := st.Users[*v.User.ACSUserID]
		st.Users["theirs"] = simulator.User{
			ID: "theirs", SystemID: system, IdentityID: u.IdentityID, FullName: "Somebody Else", CreatedAt: r.now(),
		}
		u.IdentityID = ""
		st.Users[u.ID] = u
	})
}

// giveBack undoes steal.
func (r *rig) giveBack(v store.View) {
	r.sim.Change(func(st *simulator.State) {
		u := st.Users[*v.User.ACSUserID]
		u.IdentityID = st.Users["theirs"].IdentityID
		st.Users[u.ID] = u
		delete(st.Users, "theirs")
	})
}

func (r *rig) untilRemoved(s stay) store.View {
	r.t.Helper()
	return r.untilLater(s, "removed_at_seam", func(v store.View) bool { return str(v.Key.Reason) == "removed_at_seam" })
}

// mustNotLink fails the test if a link was taken from somebody.
func (r *rig) mustNotLink() {
	r.t.Helper()
	if n := r.called(seam.PathIdentityAddUser); n > 0 {
		r.t.Errorf("the ACS user was linked %d times: the link is another's", n)
	}
}

// Answers name no identity, and the list leaves out the stay's ACS user and shows another: that proves nothing.
func TestALinkThatAListDenies(t *testing.T) {
	t.Parallel()
	r, s := newStay(t, simulator.Options{})
	r.advance(time.Minute)
	r.rest(s)
	v := r.view(s)
	r.sim.Change(func(st *simulator.State) {
		st.Users["other"] = simulator.User{
			ID: "other", SystemID: system, IdentityID: v.User.UserIdentityID, FullName: "Somebody Else",
			CreatedAt: r.now(),
		}
	})
	r.sim.Configure(func(o *simulator.Options) {
		o.Omit, o.Hidden = []string{"acs_user.user_identity_id"}, []string{*v.User.ACSUserID}
	})
	r.sim.Forget()
	for range 3 {
		r.recheck(s)
		r.rest(s)
		r.advance(10 * time.Second)
		r.mustKeepIDs(v, r.until(s, store.KeyIssued))
	}
	r.mustNotLink()
}

// Somebody moves the link and puts it back between two looks: one look proves nothing.
func TestALinkThatIsMovedForAMoment(t *testing.T) {
	t.Parallel()
	r, s := newStay(t, simulator.Options{})
	r.advance(time.Minute)
	r.rest(s)
	v := r.view(s)
	gets := 0
	r.sim.Configure(func(o *simulator.Options) {
		o.Hook = func(path string, after bool) bool {
			if path == "/acs/users/get" && after {
				if gets++; gets == 2 { // its own, and the other one's
					r.giveBack(v)
				}
			}
			return false
		}
	})
	r.steal(v)
	r.sim.Forget()
	r.recheck(s)
	waitFor(t, "two looks", func() bool {
		r.pass()
		if reason := str(r.view(s).Key.Reason); reason != "" {
			t.Fatalf("after one look: %s", reason)
		}
		return r.called("/acs/users/get") > 2
	})
	r.rest(s)
	r.mustKeepIDs(v, r.until(s, store.KeyIssued))
	r.mustNotLink()
}

// The ACS user that has lost its identity still has a key: its doors and hours are narrowed with the stay's, sweeps
// leave it alone, and it goes with the stay. It is reported once, with the first time.
func TestADisplacedUserIsNarrowed(t *testing.T) {
	t.Parallel()
	r, s, v := stolen(t, "555555-5555", "lobby")
	r.sim.Forget()
	r.recheck(s)
	v = r.untilRemoved(s)
	since := v.User.RemovedAt
	if !strings.Contains(str(v.Key.Message), "identity at Seam is somebody else's") {
		t.Errorf("the message is %q", str(v.Key.Message))
	}
	r.rest(s)

	r.sim.Forget()
	for range 2 {
		if swept := r.sweepNow(); swept.Different+swept.Missing > 0 {
			t.Errorf("a sweep finds %+v", swept)
		}
		r.rest(s)
	}
	if n := r.called("/acs/users/get"); n > 0 {
		t.Errorf("sweeps compare it again: %d times", n)
	}

	own := func() simulator.User { return r.sim.State().Users[*v.User.ACSUserID] }
	r.listing("default", "L", "555555-5555")
	waitFor(t, "the door to be closed", func() bool {
		r.pass()
		return slices.Equal(own().GroupIDs, []string{"555555-5555"})
	})
	// The ends of the stay are an admin's decision here, so that nothing asks for a repair.
	if _, err := r.store.Pool().Exec(context.Background(), `
		UPDATE reservations SET check_out = check_out - interval '1 hour'
			WHERE reservation_id = $1`, s.id); err != nil {
		t.Fatal(err)
	}
	r.recheck(s)
	waitFor(t, "the hours to be cut", func() bool {
		r.pass()
		return own().Schedule.EndsAt.Equal(s.out.Add(-time.Hour))
	})
	now := r.untilRemoved(s)
	if !now.User.RemovedAt.Equal(*since) {
		t.Errorf("it is displaced since %s, and was since %s", now.User.RemovedAt, since)
	}
	items, err := r.store.Reservations.Timeline(context.Background(), s.ref(), 0, 500)
	if err != nil {
		t.Fatal(err)
	}
	notes := 0
	for _, item := range items {
		if strings.Contains(item.Summary, "was linked to ACS user theirs") {
			notes++
		}
	}
	if notes != 1 {
		t.Errorf("it is reported %d times, want once", notes)
	}

	r.cancel(s)
	r.until(s, store.KeyRevoked)
	r.mustHold(s.id)
	if r.sim.State().Users["theirs"].IdentityID == "" {
		t.Error("the other ACS user has lost its link")
	}
	r.mustNotLink()
}

// A request replaces it, on an identity of the stay's own.
func TestADisplacedUserIsReplaced(t *testing.T) {
	t.Parallel()
	r, s, _ := stolen(t, "555555-5555")
	r.recheck(s)
	r.untilRemoved(s)
	r.mustAct(s, intake.Action{Kind: intake.ActionReconcile})
	r.until(s, store.KeyIssued)
	own := s
	own.email = ""
	r.mustHold(s.id, own.wants(system, "555555-5555"))
	if r.sim.State().Users["theirs"].IdentityID == "" {
		t.Error("the other ACS user has lost its link")
	}
	r.mustNotLink()
}

// The identity comes back: so does the key.
func TestADisplacedUserGetsItsIdentityBack(t *testing.T) {
	t.Parallel()
	r, s, v := stolen(t, "555555-5555")
	r.recheck(s)
	r.untilRemoved(s)
	r.giveBack(v)
	r.sweepNow()
	r.mustKeepIDs(v, r.until(s, store.KeyIssued))
	r.mustNotLink()
}

// Somebody moves the link while a lost call may still take effect: the link is not taken from the other ACS user.
func TestALinkThatIsMovedAfterALostCall(t *testing.T) {
	t.Parallel()
	for name, identity := range map[string]string{"to none": "", "to another identity": "another"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newLossyRig(t, fast(), simulator.Options{})
			r.listing("default", "L", "555555-5555")
			s := r.stay("R1")
			issued(r, &s)
			r.advance(time.Minute)
			r.rest(s)
			v := r.view(s)
			r.sim.Configure(func(o *simulator.Options) {
				o.Hook = func(path string, after bool) bool {
					if path == seam.PathUserUpdate && after {
						r.sim.Configure(func(o *simulator.Options) { o.Hook = nil })
						r.steal(v)
						r.sim.Change(func(st *simulator.State) {
							st.Identities["another"] = simulator.Identity{ID: "another", CreatedAt: r.now()}
							u := st.Users[*v.User.ACSUserID]
							u.IdentityID = identity
							st.Users[u.ID] = u
						})
						return true
					}
					return false
				}
			})
			r.sim.Forget()
			s.out = s.out.Add(time.Hour)
			r.book(s)
			waitFor(t, "the lost call", func() bool { r.pass(); return r.called(seam.PathUserUpdate) > 0 })
			s.out = s.out.Add(-2 * time.Hour)
			r.book(s)
			for range 3 {
				r.advance(6 * time.Minute)
				r.rest(s)
			}
			if r.sim.State().Users["theirs"].IdentityID == "" {
				t.Error("the other ACS user has lost its link")
			}
			r.mustNotLink()
		})
	}
}

// Seam wrongly answers the list of the identity's ACS users with a 404, for a while: that it doesn't show another one
// is no reason to take the link from it.
func TestAWrongNotFoundTakesNoLink(t *testing.T) {
	t.Parallel()
	r, s, v := stolen(t, "555555-5555")
	r.sim.Inject(simulator.Fault{
		Kind: simulator.WrongNotFound, Path: "/acs/users/list", Contains: v.User.UserIdentityID, Count: -1,
	})
	r.sim.Forget()
	r.recheck(s)
	waitFor(t, "the list", func() bool { return r.called("/acs/users/list") > 0 })
	r.rest(s)
	r.mustNotLink()
	r.sim.Heal()
	r.untilRemoved(s)
	r.mustNotLink()
}

// What a lost create left in addition to an ACS user whose identity is another's has a key of its own: it is removed.
func TestASecondUserOfADisplacedOne(t *testing.T) {
	t.Parallel()
	r, s, v := stolen(t, "555555-5555")
	r.recheck(s)
	r.untilRemoved(s)
	r.leaveSecond(*v.User.ACSUserID)
	r.giveSecondAKey()
	r.sim.Change(func(st *simulator.State) {
		u := st.Users[secondUser]
		u.IdentityID = v.User.UserIdentityID
		st.Users[u.ID] = u
	})
	r.recheck(s)
	waitFor(t, "the second one to be removed", func() bool {
		r.pass()
		_, there := r.sim.State().Users[secondUser]
		return !there
	})
	r.untilRemoved(s)
	r.mustNotLink()
}
