package provisioner_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

// What ends the search for what a lost create may have left.

// issuedAfterALoss is a stay that has its key although the answer to a create was lost: the search has begun.
func issuedAfterALoss(t *testing.T) (*rig, stay) {
	t.Helper()
	r := newLossyRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "555555-5555")
	waitFor(t, "the access groups to be known", func() bool { return r.sim.Calls() >= 2 })
	r.sim.Inject(simulator.Fault{Kind: simulator.LostAfter, Path: seam.PathUserCreate})
	s := r.stay("R1")
	r.book(s)
	r.until(s, store.KeyIssued)
	return r, s
}

// An admin holds a stay that is then cancelled: as long as nothing is compared, the search has not ended, and what
// shows up late is removed with the rest when the hold is released.
func TestAHoldOfACancelledStayEndsNoSearch(t *testing.T) {
	t.Parallel()
	r, s := issuedAfterALoss(t)
	v := r.rest(s)
	r.mustAct(s, intake.Action{Kind: intake.ActionHold})
	r.cancel(s)
	r.leaveSecond(*v.User.ACSUserID)
	for range 2 {
		r.advance(6 * time.Minute)
		r.rest(s)
	}
	if len(r.holds(s.id)) != 2 {
		t.Fatalf("something was changed on hold: %+v", r.holds(s.id))
	}
	r.mustAct(s, intake.Action{Kind: intake.ActionRelease})
	r.untilLater(s, "revoked", func(v store.View) bool {
		return v.Key.Status == store.KeyRevoked && v.Key.UncertainSince == nil
	})
	r.mustHold(s.id)
}

// A difference that Seam doesn't keep repaired is left, right after an attempt has found a mobile key whose create was
// marked by a process that died: a second key of that create is still looked for.
func TestLeavingADifferenceEndsNoSearch(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "555555-5555", "lobby")
	s := r.stay("R1")
	issued(r, &s)
	r.advance(time.Minute)
	r.rest(s)
	r.alter(s, func(u *simulator.User) { u.GroupIDs = []string{"lobby"} })
	if _, err := r.store.Pool().Exec(context.Background(), `
		UPDATE acs_users SET acs_credential_id = NULL, credential_lost_at = NULL, credential_marked_at = $1,
			unkept = 3, unkept_by = '{"credential": 3, "access_group:555555-5555": 3}', changed_at = $2`,
		r.now(), r.now().Add(-time.Minute)); err != nil {
		t.Fatal(err)
	}
	r.recheck(s)
	v := r.untilLater(s, "not_kept_by_seam", func(v store.View) bool { return str(v.Key.Reason) == "not_kept_by_seam" })
	if v.Key.UncertainSince == nil {
		t.Error("the search for what the lost create may have left has ended")
	}
}

// Reads still show what was just deleted: differences that Seam did not keep repaired before say nothing about that
// delete.
func TestRepairsInVainSayNothingOfADelete(t *testing.T) {
	t.Parallel()
	r, s := newStay(t, simulator.Options{})
	r.advance(time.Minute)
	r.rest(s)
	if _, err := r.store.Pool().Exec(context.Background(), `
		UPDATE acs_users SET unkept = 3, unkept_by = '{"access_group:555555-5555": 3}'`); err != nil {
		t.Fatal(err)
	}
	r.sim.Configure(func(o *simulator.Options) { o.ReadLag = 3 * time.Second })
	r.cancel(s)
	waitFor(t, "the key to be removed", func() bool {
		k := r.view(s).Key
		if reason := str(k.Reason); reason != "" {
			t.Fatalf("after the first delete: %s", reason)
		}
		return k.Status == store.KeyRevoked
	})
	r.mustHold(s.id)
}

// A lost create takes effect long after the stay was cancelled: until the late look-up removes it, it has no mobile key
// and opens nothing.
func TestACreateThatShowsUpAfterTheCancelOpensNothing(t *testing.T) {
	t.Parallel()
	for _, path := range []string{seam.PathUserCreate, seam.PathCredentialCreate} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			r := newLossyRig(t, fast(), simulator.Options{})
			r.listing("default", "L", "555555-5555")
			waitFor(t, "the access groups to be known", func() bool { return r.sim.Calls() >= 2 })
			r.sim.Inject(simulator.Fault{Kind: simulator.Late, Path: path, Delay: 30 * time.Second})
			s := r.stay("R1")
			r.book(s)
			waitFor(t, "the lost call", func() bool { return r.called(path) > 0 })
			r.cancel(s)
			r.until(s, store.KeyRevoked)
			opens := false
			r.sim.Configure(func(o *simulator.Options) {
				o.Watch = func(st *simulator.State) {
					for _, u := range st.UsersNamed(s.id) {
						opens = opens || len(st.MobileKeys(u.ID)) > 0
					}
				}
			})
			r.advance(31 * time.Second)
			r.rest(s)
			r.advance(11 * time.Minute)
			r.rest(s)
			r.until(s, store.KeyRevoked)
			r.mustHold(s.id)
			if opens {
				t.Error("a cancelled stay had a mobile key")
			}
		})
	}
}

// Seam wrongly answers the list of the last look-up with a 404, once or until later. The search for what a lost create
// may have left has not ended, and Seam is asked less and less often.
func TestAWrongNotFoundEndsNoSearch(t *testing.T) {
	t.Parallel()
	for _, count := range []int{1, 2, -1} {
		t.Run(fmt.Sprint(count), func(t *testing.T) {
			t.Parallel()
			r, s := issuedAfterALoss(t)
			r.advance(2 * time.Minute)
			r.mustBeCalm(s, "the first look-up")
			v := r.view(s)
			r.leaveSecond(*v.User.ACSUserID)
			r.sim.Inject(simulator.Fault{
				Kind: simulator.WrongNotFound, Path: "/acs/users/list", Contains: v.User.UserIdentityID, Count: count,
			})
			for _, d := range []time.Duration{10 * time.Minute, time.Hour} {
				r.advance(d)
				r.mustBeCalm(s, d.String()+" later")
				r.until(s, store.KeyIssued)
			}
			r.sim.Heal()
			r.untilLater(s, "the end of the search", func(v store.View) bool { return v.Key.UncertainSince == nil })
			r.mustHold(s.id, s.wants(system, "555555-5555"))
		})
	}
}

// A lost create shows up when the ACS user of a cancelled stay is gone, and the access system has changed its name. It
// is known by its hours.
func TestARenamedUserIsKnownByItsHours(t *testing.T) {
	t.Parallel()
	r, s := issuedAfterALoss(t)
	second := r.sim.State().Users[*r.view(s).User.ACSUserID]
	second.ID, second.FullName = secondUser, "r-1"
	r.cancel(s)
	waitFor(t, "the ACS user to be gone", func() bool {
		r.pass()
		var onlyLooks bool
		err := r.store.Pool().QueryRow(context.Background(), `
			SELECT EXISTS (SELECT FROM acs_users WHERE reservation_id = $1 AND acs_user_id IS NULL
				AND lost_at IS NOT NULL)`, s.id).Scan(&onlyLooks)
		return err == nil && onlyLooks
	})
	r.sim.Change(func(st *simulator.State) { st.Users[second.ID] = second })
	r.mustEndTheSearch(s)
}

// mustEndTheSearch waits until the search has ended, and fails the test if the second ACS user is still there.
func (r *rig) mustEndTheSearch(s stay) {
	r.t.Helper()
	r.untilLater(s, "the end of the search", func(v store.View) bool { return v.Key.UncertainSince == nil })
	r.rest(s)
	if _, there := r.sim.State().Users[secondUser]; there {
		r.tell(s)
		r.t.Error("the search has ended, and what the lost create left is still there")
	}
	r.mustBeCalm(s, "after the search")
}

// Somebody deletes or suspends the stay's ACS user before the look-ups: what a lost create has left in addition has a
// key of its own, and is found all the same.
func TestTheSearchDoesntDependOnTheFirstUser(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*rig, store.View){
		"deleted": func(r *rig, v store.View) {
			r.sim.Change(func(st *simulator.State) { delete(st.Users, *v.User.ACSUserID) })
		},
		"suspended": func(r *rig, v store.View) {
			r.sim.Change(func(st *simulator.State) {
				u := st.Users[*v.User.ACSUserID]
				u.Suspended = true
				st.Users[u.ID] = u
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, s := issuedAfterALoss(t)
			v := r.view(s)
			r.leaveSecond(*v.User.ACSUserID)
			r.giveSecondAKey()
			change(r, v)
			r.recheck(s)
			r.untilLater(s, "attention", func(v store.View) bool { return v.Key.Status == store.KeyAttention })
			r.mustEndTheSearch(s)
		})
	}
}

// What a lost create left can't be removed: the search for more ends all the same.
func TestASearchEndsAlthoughTheSecondUserStays(t *testing.T) {
	t.Parallel()
	r, s := issuedAfterALoss(t)
	r.leaveSecond(*r.view(s).User.ACSUserID)
	r.sim.Configure(func(o *simulator.Options) { o.RefuseDeletes = true })
	r.untilLater(s, "not removed", func(v store.View) bool { return str(v.Key.Reason) == "not_removed" })
	r.mustEndWithin20Minutes(s)
}

// mustEndWithin20Minutes fails the test if the search for what a lost create has left lasts longer.
func (r *rig) mustEndWithin20Minutes(s stay) {
	r.t.Helper()
	for range 4 {
		r.advance(5 * time.Minute)
		if v := r.rest(s); v.Key.Status != store.KeyAttention {
			r.t.Errorf("the key is %s although a person is needed", v.Key.Status)
		}
	}
	if since := r.view(s).Key.UncertainSince; since != nil {
		r.tell(s)
		r.t.Errorf("the search that began at %s has not ended", since)
	}
	r.mustBeCalm(s, "after the search")
}

// A stay has moved to another access system, and whether the old ACS user is gone can't be read: what the lost create
// left there is removed, and the search ends.
func TestASearchEndsWhileTheOldUserStays(t *testing.T) {
	t.Parallel()
	r, s := issuedAfterALoss(t)
	r.listing("default", "V", groupsV...)
	old := *r.view(s).User.ACSUserID
	r.leaveSecond(old)
	r.sim.Configure(func(o *simulator.Options) {
		o.Hook = func(path string, after bool) bool {
			if path == seam.PathUserDelete && !after {
				r.sim.Configure(func(o *simulator.Options) { o.Hook = nil })
				r.sim.Inject(simulator.Fault{
					Kind: simulator.Forbidden, Path: "/acs/users/get", Contains: old, Count: -1,
				})
			}
			return false
		}
	})
	s.listing = "V"
	r.book(s)
	waitFor(t, "the old one to stay", func() bool { r.pass(); return r.view(s).Key.Status == store.KeyAttention })
	r.mustEndWithin20Minutes(s)
	if _, there := r.sim.State().Users[secondUser]; there {
		t.Error("what the lost create left is still there")
	}
}
