package provisioner_test

import (
	"strings"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

// hide takes the ACS users of a stay out of Seam, with their keys, as if it didn't know them, and returns what shows
// them again.
func (r *rig) hide(s stay) (show func()) {
	r.t.Helper()
	users, keys := map[string]simulator.User{}, map[string]simulator.Credential{}
	r.sim.Change(func(st *simulator.State) {
		for _, u := range st.UsersNamed(s.id) {
			users[u.ID] = u
			for _, c := range st.MobileKeys(u.ID) {
				keys[c.ID] = c
				delete(st.Credentials, c.ID)
			}
			delete(st.Users, u.ID)
		}
	})
	if len(users) != 1 || len(keys) != 1 {
		r.t.Fatalf("%d ACS users and %d keys were hidden", len(users), len(keys))
	}
	return func() {
		r.sim.Change(func(st *simulator.State) {
			for id, u := range users {
				st.Users[id] = u
			}
			for id, c := range keys {
				st.Credentials[id] = c
			}
		})
	}
}

// removedStay is a cancelled stay whose ACS user Seam has stopped showing, and keeps; show has it shown again.
func removedStay(t *testing.T) (r *rig, s stay, old string, show func()) {
	t.Helper()
	r, s = newStay(t, simulator.Options{})
	r.advance(time.Minute)
	r.rest(s)
	old = *r.view(s).User.ACSUserID
	show = r.hide(s)
	r.cancel(s)
	r.until(s, store.KeyRevoked)
	return r, s, old, show
}

// removals end a stay's ACS user in each way, and return the status of the key after it.
var removals = map[string]func(*rig, *stay) string{
	"the stay is cancelled": func(r *rig, s *stay) string {
		r.cancel(*s)
		return store.KeyRevoked
	},
	"an admin revokes the key": func(r *rig, s *stay) string {
		r.mustAct(*s, intake.Action{Kind: intake.ActionRevoke})
		return store.KeyRevoked
	},
	"another guest": func(r *rig, s *stay) string {
		s.email = "other@example.com"
		r.book(*s)
		return store.KeyIssued
	},
	"a room on another access system": func(r *rig, s *stay) string {
		s.listing = "V"
		r.book(*s)
		return store.KeyIssued
	},
}

// Get, list and search agree that an ACS user is gone, while it is being removed, and it comes back: it is removed
// again at the next look, the next sweep, or when an admin asks, whichever is first. The stay keeps what it has then.
func TestARemovedUserThatComesBackIsRemovedAgain(t *testing.T) {
	t.Parallel()
	looks := map[string]func(*rig, stay){
		"the looks that follow a removal": func(r *rig, _ stay) { r.advance(11 * time.Minute) },
		"an admin's reconcile": func(r *rig, s stay) {
			r.mustAct(s, intake.Action{Kind: intake.ActionReconcile})
		},
		"a sweep, when all looks are over": func(r *rig, _ stay) { r.sweepNow() },
	}
	for removal, remove := range removals {
		for look, find := range looks {
			t.Run(removal+"/"+look, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, fast(), simulator.Options{})
				r.listing("default", "L", "555555-5555")
				r.listing("default", "V", "verde-1")
				s := r.stay("R1")
				issued(r, &s)
				r.advance(time.Minute)
				r.rest(s)
				old := *r.view(s).User.ACSUserID
				show := r.hide(s)
				status := remove(r, &s)
				r.until(s, status)
				if look == "a sweep, when all looks are over" {
					for range 2 {
						r.advance(11 * time.Minute)
						r.rest(s)
					}
				}
				wanted := r.holds(s.id)

				show()
				find(r, s)
				r.rest(s)
				r.until(s, status)
				if _, exists := r.sim.State().Users[old]; exists {
					r.tell(s)
					t.Error("the old ACS user is back")
				}
				r.mustHold(s.id, wanted...)
			})
		}
	}
}

// Seam accepts a delete, shows the ACS user nowhere, and shows it again when Salto KS has refused it: it is deleted
// until it is gone, and while it isn't, the stay shows that.
func TestADeleteThatSaltoRefusesAfterItShowed(t *testing.T) {
	t.Parallel()
	r, s := newStay(t, simulator.Options{RefuseDeletesAfter: 30 * time.Second})
	r.rest(s)
	r.cancel(s)
	r.until(s, store.KeyRevoked)
	r.sim.Configure(func(o *simulator.Options) { o.RefuseDeletesAfter, o.RefuseDeletes = 0, true })
	r.advance(2 * time.Minute)
	v := r.until(s, store.KeyAttention)
	if str(v.Key.Reason) != "not_removed" {
		r.tell(s)
		t.Errorf("reason %s", str(v.Key.Reason))
	}

	r.sim.Configure(func(o *simulator.Options) { o.RefuseDeletes = false })
	r.advance(10 * time.Minute)
	r.until(s, store.KeyRevoked)
	r.mustHold(s.id)
}

// A removed ACS user is back, and Seam wrongly doesn't find it at the last look that follows a removal: that ends
// nothing.
func TestOneWrongNotFoundEndsNoFollowUp(t *testing.T) {
	t.Parallel()
	r, s, old, show := removedStay(t)
	r.advance(2 * time.Minute)
	r.rest(s)

	show()
	r.sim.Inject(simulator.Fault{Kind: simulator.WrongNotFound, Path: "/acs/users/get", Contains: old})
	looks := r.looks(old)
	r.advance(9 * time.Minute)
	waitFor(t, "the last look", func() bool { return r.looks(old) > looks })
	r.rest(s)
	r.until(s, store.KeyRevoked)
	r.mustHold(s.id)
}

// A removed ACS user is back, and its delete has no effect. Seam wrongly doesn't find it after that: the key isn't
// revoked because of that one answer.
func TestOneWrongNotFoundOfOneThatIsBack(t *testing.T) {
	t.Parallel()
	r, s, old, show := removedStay(t)
	show()
	r.sim.Configure(func(o *simulator.Options) { o.RefuseDeletes, o.Hidden = true, []string{old} })
	r.sim.Inject(simulator.Fault{Kind: simulator.WrongNotFound, Path: "/acs/users/get", Contains: old, Skip: 1})
	r.recheck(s)
	if v := r.until(s, store.KeyAttention); str(v.Key.Reason) != "not_removed" {
		t.Errorf("reason %s", str(v.Key.Reason))
	}
	items, err := r.store.Reservations.Timeline(t.Context(), s.ref(), 0, 120)
	if err != nil {
		t.Fatal(err)
	}
	revoked := 0
	for _, i := range items {
		if i.Kind == store.TimelineStatus && strings.HasSuffix(i.Summary, "→ "+store.KeyRevoked) {
			revoked++
		}
	}
	if revoked != 1 {
		r.tell(s)
		t.Errorf("the key was revoked %d times, want once", revoked)
	}
}

// Seam lists a removed ACS user again, and never finds it when it is asked for it alone: it is deleted all the same.
func TestARemovedUserThatOnlyListsShow(t *testing.T) {
	t.Parallel()
	r, s, old, show := removedStay(t)
	for range 2 { // the looks that follow a removal
		r.advance(11 * time.Minute)
		r.rest(s)
	}
	show()
	r.sim.Inject(simulator.Fault{Kind: simulator.WrongNotFound, Path: "/acs/users/get", Contains: old, Count: -1})
	r.sweepNow()
	r.rest(s)
	r.until(s, store.KeyRevoked)
	r.mustHold(s.id)
}

// An admin holds a stay: what comes back then is removed when the hold ends.
func TestARemovedUserThatComesBackDuringAHold(t *testing.T) {
	t.Parallel()
	r, s, _, show := removedStay(t)
	r.mustAct(s, intake.Action{Kind: intake.ActionHold, Why: "asked by the police"})
	r.rest(s)
	show()
	r.sim.Forget()
	r.advance(11 * time.Minute)
	r.rest(s)
	if n := r.called(seam.PathUserDelete); n > 0 {
		t.Errorf("%d deletes during a hold", n)
	}
	r.mustAct(s, intake.Action{Kind: intake.ActionRelease})
	r.mustAct(s, intake.Action{Kind: intake.ActionReconcile})
	r.rest(s)
	r.until(s, store.KeyRevoked)
	r.mustHold(s.id)
}

// A cancelled stay's ACS user comes back, and the stay is reinstated, before or after that is noticed: it ends with one
// ACS user and one key, which nothing takes away later.
func TestARemovedUserThatComesBackToAReinstatedStay(t *testing.T) {
	t.Parallel()
	for name, isNoticed := range map[string]bool{"before it is noticed": false, "while it is deleted again": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, s := newStay(t, simulator.Options{})
			r.sim.Configure(func(o *simulator.Options) { o.GetLag, o.ListLag = 2*time.Second, 2*time.Second })
			r.advance(time.Minute)
			r.rest(s)
			show := r.hide(s)
			r.cancel(s)
			r.until(s, store.KeyRevoked)
			r.advance(10 * time.Second)
			r.rest(s)
			show()
			r.advance(10 * time.Second)
			if isNoticed {
				deletes := r.called(seam.PathUserDelete)
				r.recheck(s)
				waitFor(t, "it to be deleted again", func() bool { return r.called(seam.PathUserDelete) > deletes })
			}
			r.book(s)
			r.until(s, store.KeyIssued)
			for range 3 {
				r.advance(11 * time.Minute)
				r.rest(s)
				r.recheck(s)
				r.rest(s)
			}
			r.until(s, store.KeyIssued)
			if got := r.holds(s.id); len(got) != 1 || got[0].Keys != 1 {
				r.tell(s)
				t.Errorf("Seam has %+v", got)
			}
		})
	}
}

// A removed ACS user is back on a user identity that the stay no longer has, and the stay is reinstated with another
// one: what is back is deleted first, so that the stay never has two, unless Seam refuses that. A guest who is at the
// door doesn't wait for it.
func TestARemovedUserThatIsBackOnAnotherIdentity(t *testing.T) {
	t.Parallel()
	for name, refuses := range map[string]bool{"it is deleted": false, "Seam refuses to delete it": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, first := newStay(t, simulator.Options{})
			second := r.stay("R2") // of the same guest, and so with an identity of its own
			issued(r, &second)
			r.rest(first)
			old := *r.view(second).User.ACSUserID
			show := r.hide(second)
			r.cancel(second)
			r.until(second, store.KeyRevoked)
			for range 2 { // the looks that follow a removal
				r.advance(11 * time.Minute)
				r.rest(second)
			}
			show()
			if refuses {
				r.sim.Inject(simulator.Fault{Kind: simulator.Forbidden, Path: seam.PathUserDelete, Count: -1})
			}

			r.book(second)
			if refuses {
				waitFor(t, "a person to be notified", func() bool {
					key := r.view(second).Key
					return key.Status == store.KeyAttention && str(key.Reason) == "not_removed"
				})
				if got := r.holds(second.id); len(got) != 2 {
					t.Errorf("Seam has %+v, want the new key next to the old one", got)
				}
				return
			}
			r.until(second, store.KeyIssued)
			if got := r.holds(second.id); len(got) != 1 || *r.view(second).User.ACSUserID == old {
				t.Errorf("Seam has %+v", got)
			}
			if n := r.sim.Peaks().UsersOfOneStay; n != 1 {
				r.tell(second)
				t.Errorf("%d ACS users at a time", n)
			}
		})
	}
}

// The delete of what is back hangs, and the guest arrives soon: the new key doesn't wait for it.
func TestAGuestWhoArrivesSoonDoesNotWaitForWhatIsBack(t *testing.T) {
	t.Parallel()
	r, first := newStay(t, simulator.Options{})
	second := r.stay("R2")
	second.in = r.now().Add(30 * time.Minute)
	issued(r, &second)
	r.rest(first)
	show := r.hide(second)
	r.cancel(second)
	r.until(second, store.KeyRevoked)
	r.advance(2 * time.Minute)
	r.rest(second)
	show()
	r.sim.Configure(func(o *simulator.Options) { o.DeleteHang = 2 * time.Hour })

	deletes := r.called(seam.PathUserDelete)
	r.book(second)
	waitFor(t, "it to be deleted again", func() bool { return r.called(seam.PathUserDelete) > deletes })
	r.advance(10 * time.Second)
	r.until(second, store.KeyIssued)
}

// What is back stays, whatever Seam answers to each delete, and the guest arrives soon: the new key waits for one read
// lag, not for one after each delete.
func TestWaitsForDeletesWithoutEffectDoNotAddUp(t *testing.T) {
	t.Parallel()
	r, first := newStay(t, simulator.Options{})
	second := r.stay("R2")
	second.in = r.now().Add(30 * time.Minute).Truncate(time.Millisecond)
	issued(r, &second)
	r.rest(first)
	show := r.hide(second)
	r.cancel(second)
	r.until(second, store.KeyRevoked)
	r.advance(2 * time.Minute)
	r.rest(second)
	show()
	r.sim.Configure(func(o *simulator.Options) {
		o.Hook = func(path string, after bool) bool {
			if path == seam.PathUserDelete && after {
				show()
			}
			return false
		}
	})

	deletes := r.called(seam.PathUserDelete)
	r.book(second)
	waitFor(t, "the new key", func() bool { return len(r.live(second)) == 2 })
	if n := r.called(seam.PathUserDelete) - deletes; n > 2 {
		r.tell(second)
		t.Errorf("the new key came after %d deletes", n)
	}
}

// Seam refuses to delete what is back, next to the ACS user that the stay has: a person is notified.
func TestARemovedUserThatIsBackAndCantBeDeleted(t *testing.T) {
	t.Parallel()
	r, s := newStay(t, simulator.Options{})
	r.advance(time.Minute)
	r.rest(s)
	show := r.hide(s)
	s.email = "other@example.com"
	r.book(s)
	r.until(s, store.KeyIssued)
	show()
	r.sim.Inject(simulator.Fault{Kind: simulator.Forbidden, Path: seam.PathUserDelete, Count: -1})
	r.recheck(s)
	if v := r.until(s, store.KeyAttention); str(v.Key.Reason) != "not_removed" {
		r.tell(s)
		t.Errorf("reason %s", str(v.Key.Reason))
	}
	r.sim.Heal()
	r.advance(10 * time.Minute)
	r.until(s, store.KeyIssued)
	r.rest(s)
	if got := r.holds(s.id); len(got) != 1 {
		t.Errorf("Seam has %+v", got)
	}
}

// newStayBeingDeleted has a stay cancelled whose ACS user, of that id, is back, with a delete under way that never
// ends.
func newStayBeingDeleted(t *testing.T) (r *rig, s stay, old string) {
	t.Helper()
	r, s, old, show := removedStay(t)
	show()
	r.sim.Change(func(st *simulator.State) {
		u := st.Users[old]
		u.WarningCode = "being_deleted"
		st.Users[old] = u
	})
	r.recheck(s)
	waitFor(t, "the delete under way to be recorded", func() bool {
		var isRecorded bool
		err := r.store.Pool().QueryRow(t.Context(), `
			SELECT deleted_at IS NOT NULL FROM removed_acs_users WHERE acs_user_id = $1`, old).Scan(&isRecorded)
		return err == nil && isRecorded
	})
	r.rested(s)
	return r, s, old
}

// What is back has a delete under way that never ends: the old key opens doors, so a person is notified.
func TestARemovedUserThatIsBackAndBeingDeletedForever(t *testing.T) {
	t.Parallel()
	r, s, old := newStayBeingDeleted(t)
	r.advance(16 * time.Minute)
	if v := r.until(s, store.KeyAttention); str(v.Key.Reason) != "not_removed" {
		r.tell(s)
		t.Errorf("reason %s", str(v.Key.Reason))
	}

	r.sim.Change(func(st *simulator.State) { delete(st.Users, old) })
	r.advance(10 * time.Minute)
	r.until(s, store.KeyRevoked)
}

// A guest isn't kept waiting by a delete of the former key that never ends.
func TestARemovedUserThatIsBeingDeletedDoesNotDelayAReinstatedStay(t *testing.T) {
	t.Parallel()
	r, s, _ := newStayBeingDeleted(t)
	r.book(s)
	r.until(s, store.KeyIssued)
}

// A removed ACS user may have become another stay's, because Seam answered a create with it: then it is that stay's,
// whatever the old one remembers.
func TestARemovedUserThatAnotherStayHas(t *testing.T) {
	t.Parallel()
	r, s := newStay(t, simulator.Options{})
	again := r.stay("R2")
	again.email = "other@example.com"
	issued(r, &again)
	r.cancel(s)
	r.until(s, store.KeyRevoked)
	taken := *r.view(again).User.ACSUserID
	if _, err := r.store.Pool().Exec(t.Context(), `UPDATE removed_acs_users SET acs_user_id = $1`, taken); err != nil {
		t.Fatal(err)
	}
	r.recheck(s)
	r.until(s, store.KeyRevoked)
	r.rest(s)
	if _, exists := r.sim.State().Users[taken]; !exists {
		t.Error("the ACS user of another stay was deleted")
	}
	if n := r.remembered(); n != 0 {
		t.Errorf("%d ids are still kept", n)
	}
}

// A removed ACS user is back, and is followed as a second ACS user of its stay: a sweep doesn't report it as back, too.
func TestARemovedUserThatIsFollowedAsASecondOne(t *testing.T) {
	t.Parallel()
	r, s := newStay(t, simulator.Options{})
	id := "12121212-1212-4212-8212-121212121212"
	r.exec(`INSERT INTO removed_acs_users (acs_user_id, acs_system_id, source, reservation_id, removed_at, kept_until)
		SELECT '` + id + `', acs_system_id, source, reservation_id, now() - interval '1 day', now() + interval '1 day'
		FROM acs_users`)
	for want, surplus := range map[int]string{1: `[]`, 0: `[{"id": "` + id + `"}]`} {
		r.exec(`UPDATE acs_users SET surplus = '` + surplus + `'`)
		removed, err := r.store.ACSUsers.RemovedFrom(t.Context(), system, r.now())
		if err != nil || len(removed) != want || want > 0 && removed[id] != s.ref() {
			t.Errorf("with surplus %s: %v, %v; want %d", surplus, removed, err, want)
		}
	}
}

// remembered is how many ids of removed ACS users are kept.
func (r *rig) remembered() (n int) {
	r.t.Helper()
	if err := r.store.Pool().QueryRow(r.t.Context(), `SELECT count(*) FROM removed_acs_users`).Scan(&n); err != nil {
		r.t.Fatal(err)
	}
	return n
}

// What a lost create left in addition, and whose removal takes long, is looked for soon after it is gone, too.
func TestARemovedSecondUserIsLookedFor(t *testing.T) {
	t.Parallel()
	r, s := newStay(t, simulator.Options{DeleteHang: 30 * time.Minute})
	r.advance(15 * time.Minute)
	r.mustBeCalm(s, "at first")
	r.leaveSecond(*r.view(s).User.ACSUserID)
	r.recheck(s)
	r.untilLater(s, "without the second", func(store.View) bool { return r.remembered() == 1 })
	for range 12 {
		r.advance(time.Minute)
		r.mustBeCalm(s, "later")
	}
	var looked bool
	err := r.store.Pool().QueryRow(t.Context(), `SELECT looked_at IS NOT NULL FROM removed_acs_users`).Scan(&looked)
	if err != nil || !looked {
		t.Errorf("nobody has looked for it since it is gone, %v", err)
	}
}

// Ids are kept as long as they may open a door, and no longer.
func TestIDsOfRemovedUsersAreForgotten(t *testing.T) {
	t.Parallel()
	r, s := newStay(t, simulator.Options{})
	r.cancel(s)
	r.until(s, store.KeyRevoked)
	if n := r.remembered(); n != 1 {
		t.Fatalf("%d ids are kept", n)
	}
	for range 2 {
		r.advance(11 * time.Minute)
		r.rest(s)
	}
	r.advance(s.out.Add(72 * time.Hour).Sub(r.now()))
	r.sweepNow()
	if n := r.remembered(); n != 0 {
		t.Errorf("%d ids are kept after the end of the stay", n)
	}
}
