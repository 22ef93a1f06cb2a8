package provisioner_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

// secondUser is an ACS user that a lost create left in addition to a stay's own.
const secondUser = "12121212-1212-4212-8212-121212121212"

// leaveSecond leaves it at Seam: a copy of the stay's own, created now.
func (r *rig) leaveSecond(own string) {
	r.sim.Change(func(st *simulator.State) {
		u := st.Users[own]
		u.ID, u.CreatedAt = secondUser, r.now()
		st.Users[u.ID] = u
	})
}

// giveSecondAKey gives it a mobile key.
func (r *rig) giveSecondAKey() {
	r.sim.Change(func(st *simulator.State) {
		st.Credentials["of the second"] = simulator.Credential{
			ID: "of the second", UserID: secondUser, AccessMethod: "mobile_key", MultiPhone: true, CreatedAt: r.now(),
		}
	})
}

// What counts as gone. Each test gives one get that wrongly doesn't find an object, at the same time as a list that
// leaves it out, while it is uncertain whether a delete took effect.

// rows counts the rows that lead to a stay's ACS users.
func (r *rig) rows(s stay) (n int) {
	r.t.Helper()
	err := r.store.Pool().QueryRow(context.Background(), `
		SELECT count(*) FROM acs_users WHERE source = $1 AND reservation_id = $2`, s.source, s.id).Scan(&n)
	if err != nil {
		r.t.Fatal(err)
	}
	return n
}

// hideOnce has lists leave out a stay's ACS user, and one of the gets that follow not find it.
func (r *rig) hideOnce(s stay, skip int) {
	r.t.Helper()
	hidden := r.live(s)
	r.sim.Configure(func(o *simulator.Options) { o.Hidden = hidden })
	r.sim.Inject(simulator.Fault{
		Kind: simulator.WrongNotFound, Path: "/acs/users/get", Contains: hidden[0],
		Skip: skip,
	})
}

// The delete of a cancelled stay's ACS user is wrongly answered with a 404. That is no evidence, and neither is one
// agreement of get and list.
func TestADeleteThatWasNotFoundIsNoEvidence(t *testing.T) {
	t.Parallel()
	for skip := range 3 {
		t.Run(fmt.Sprintf("the get after %d others", skip), func(t *testing.T) {
			t.Parallel()
			r, s := newStay(t, simulator.Options{})
			r.advance(time.Minute)
			r.hideOnce(s, skip)
			r.sim.Inject(simulator.Fault{Kind: simulator.WrongNotFound, Path: seam.PathUserDelete})
			r.cancel(s)
			r.until(s, store.KeyRevoked)
			r.rest(s)
			r.mustHold(s.id)
		})
	}
}

// The answer to a delete is lost and nothing happened. The stay is booked again: its ACS user is kept, because one
// agreement of get and list proves nothing.
func TestALostDeleteNeedsTwoAgreements(t *testing.T) {
	t.Parallel()
	for skip := range 3 {
		t.Run(fmt.Sprintf("the get after %d others", skip), func(t *testing.T) {
			t.Parallel()
			r, s := arriving(t, fast(), simulator.Options{})
			only := r.live(s)[0]
			r.sim.Inject(simulator.Fault{Kind: simulator.LostBefore, Path: seam.PathUserDelete, Count: -1})
			r.cancel(s)
			waitFor(t, "the delete to be lost", func() bool { return str(r.view(s).Key.LastError) != "" })
			r.sim.Forget()
			r.hideOnce(s, skip)
			r.book(s)
			r.until(s, store.KeyIssued)
			r.sim.Heal()
			r.mustKeep(s, only)
		})
	}
}

// Salto KS refuses a deletion that Seam accepted, and Seam shows that. From then on, that Seam accepted it is no
// longer evidence: neither before the next try, nor after it.
func TestADeleteThatSaltoRefusedIsNoEvidence(t *testing.T) {
	t.Parallel()
	for skip := range 3 {
		t.Run(fmt.Sprintf("the get after %d others", skip), func(t *testing.T) {
			t.Parallel()
			r, s := newStay(t, simulator.Options{RefuseDeletes: true})
			r.advance(time.Minute)
			notRemoved := func() bool { return str(r.view(s).Key.Reason) == "not_removed" }
			r.cancel(s)
			waitFor(t, "not_removed", notRemoved)
			r.hideOnce(s, skip)
			for range skip + 2 {
				r.advance(6 * time.Minute)
				waitFor(t, "another look", func() bool { r.pass(); return r.rest(s).Key.Status != "" })
			}
			if got := r.holds(s.id); len(got) != 1 || !notRemoved() {
				t.Errorf("Seam holds %+v, and the key is %s %s", got, r.view(s).Key.Status, str(r.view(s).Key.Reason))
			}
			r.sim.Configure(func(o *simulator.Options) { o.RefuseDeletes = false })
			r.advance(6 * time.Minute)
			r.until(s, store.KeyRevoked)
			r.mustHold(s.id)
		})
	}
}

// A guest cancels seconds after the key was issued, Seam accepts the delete, a replica that doesn't know the new ACS
// user yet answers the get, and then Salto refuses the delete. The user is not forgotten.
func TestADeletedUserThatReadsMayNotShowYet(t *testing.T) {
	t.Parallel()
	r, s := newStay(t, simulator.Options{RefuseDeletes: true})
	r.hideOnce(s, 0)
	r.cancel(s)
	waitFor(t, "the wrong answer, while the user is new", func() bool {
		r.pass()
		calls := r.sim.Records()
		deleted := slices.IndexFunc(calls, func(c simulator.Record) bool { return c.Path == seam.PathUserDelete })
		return deleted >= 0 && slices.ContainsFunc(calls[deleted:], func(c simulator.Record) bool {
			return c.Path == "/acs/users/get"
		})
	})
	advanced := 0
	waitFor(t, "not_removed", func() bool {
		if advanced++; advanced <= 30 { // until reads count, and not until a delete without effect is an old one
			r.advance(time.Second)
		}
		r.pass()
		return str(r.view(s).Key.Reason) == "not_removed"
	})
	r.sim.Configure(func(o *simulator.Options) { o.RefuseDeletes = false })
	r.advance(6 * time.Minute)
	r.until(s, store.KeyRevoked)
	r.mustHold(s.id)
}

// Seam accepts the delete of a cancelled stay's ACS user, and one get wrongly doesn't find it while the list shows it.
// Whether Salto KS refuses the delete or takes its time, the user is not forgotten, and a stay that is booked again
// gets no second one.
func TestAWrongNotFoundAfterAnAcceptedDelete(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]simulator.Options{
		"refused": {RefuseDeletes: true}, "slow": {DeleteHang: 10 * time.Minute},
	} {
		for _, again := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, booked again %v", name, again), func(t *testing.T) {
				t.Parallel()
				r, s := newStay(t, options)
				r.advance(time.Minute)
				r.rest(s)
				r.sim.Inject(simulator.Fault{Kind: simulator.WrongNotFound, Path: "/acs/users/get"})
				r.cancel(s)
				waitFor(t, "the wrong answer", func() bool { return fired(r, "/acs/users/get") || r.pass() })
				waitFor(t, "the wrong answer to be judged", func() bool { busy, _ := r.work(); return !busy })
				if n := r.rows(s); n != 1 {
					t.Errorf("Seam holds %+v, and %d rows name it", r.holds(s.id), n)
				}
				r.sim.Configure(func(o *simulator.Options) { o.RefuseDeletes = false })
				if again {
					r.alter(s, func(u *simulator.User) { u.ErrorCode = "" })
					r.book(s)
				}
				want := store.KeyRevoked
				if again {
					want = store.KeyIssued
				}
				r.untilLater(s, want, func(v store.View) bool { return v.Key.Status == want })
				if again {
					r.mustHold(s.id, s.wants(system, "555555-5555"))
					r.mustBeSound()
					return
				}
				r.mustHold(s.id)
			})
		}
	}
}

// Somebody took the ACS user's identity away, so that the list of its identity doesn't show it either. One wrong answer
// after the delete doesn't have it forgotten.
func TestAWrongNotFoundOnAnUnlinkedUser(t *testing.T) {
	t.Parallel()
	r, s := newStay(t, simulator.Options{RefuseDeletes: true})
	r.advance(time.Minute)
	r.rest(s)
	r.alter(s, func(u *simulator.User) { u.IdentityID = "" })
	r.sim.Inject(simulator.Fault{Kind: simulator.WrongNotFound, Path: "/acs/users/get"})
	r.cancel(s)
	waitFor(t, "the wrong answer", func() bool { return fired(r, "/acs/users/get") || r.pass() })
	waitFor(t, "the wrong answer to be judged", func() bool { busy, _ := r.work(); return !busy })
	if n := r.rows(s); n != 1 {
		t.Fatalf("Seam holds %+v, and %d rows name it", r.holds(s.id), n)
	}
	r.sim.Configure(func(o *simulator.Options) { o.RefuseDeletes = false })
	r.untilLater(s, store.KeyRevoked, func(v store.View) bool { return v.Key.Status == store.KeyRevoked })
	r.mustHold(s.id)
}

// Seam wrongly answers the delete of a mobile key that an admin has replaced with a 404, twice in a row. No second key
// is created, and the old one is not forgotten.
func TestAKeyThatWasNotFoundIsNotForgotten(t *testing.T) {
	t.Parallel()
	r, s := newStay(t, simulator.Options{})
	r.advance(time.Minute)
	old := str(r.view(s).User.CredentialID)
	r.sim.Inject(simulator.Fault{Kind: simulator.WrongNotFound, Path: seam.PathCredentialDelete, Count: 2})
	r.mustAct(s, intake.Action{Kind: intake.ActionReissue})
	r.untilThat(s, "another mobile key", func(v store.View) bool {
		return v.Key.Status == store.KeyIssued && v.User != nil && str(v.User.CredentialID) != old
	})
	r.mustHold(s.id, s.wants(system, "555555-5555"))
	r.mustBeSound()
}

// A lost create has left a second ACS user, and Seam wrongly answers its delete with a 404, twice in a row.
func TestASurplusUserThatWasNotFoundIsNotForgotten(t *testing.T) {
	t.Parallel()
	r, s := newStay(t, simulator.Options{})
	r.advance(time.Minute)
	before := r.until(s, store.KeyIssued)
	r.leaveSecond(*before.User.ACSUserID)
	r.sim.Inject(simulator.Fault{Kind: simulator.WrongNotFound, Path: seam.PathUserDelete, Count: 2})
	r.recheck(s)
	waitFor(t, "the second one to be gone", func() bool { r.pass(); return len(r.holds(s.id)) == 1 })
	r.mustKeepIDs(before, r.until(s, store.KeyIssued))
}

// Seam wrongly doesn't find a stay's own identity once, when it is read or deleted. It is not left behind.
func TestAnIdentityThatWasNotFoundIsNotForgotten(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/user_identities/get", seam.PathIdentityDelete} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, fast(), simulator.Options{})
			r.listing("default", "L", "555555-5555")
			s := r.stay("R1")
			s.email = ""
			issued(r, &s)
			r.advance(time.Minute)
			r.sim.Inject(simulator.Fault{Kind: simulator.WrongNotFound, Path: path})
			r.cancel(s)
			r.until(s, store.KeyRevoked)
			r.rest(s)
			r.mustHold(s.id)
			if left := r.sim.State().Identities; len(left) != 0 {
				t.Errorf("%d user identities are left: %+v", len(left), left)
			}
		})
	}
}

// An admin replaces the mobile key of an ACS user that somebody has deleted. The delete's 404 leads to that.
func TestAKeyOfADeletedUserIsReplaced(t *testing.T) {
	t.Parallel()
	r, s := newStay(t, simulator.Options{})
	r.advance(time.Minute)
	r.sim.Change(func(st *simulator.State) { clear(st.Users); clear(st.Credentials) })
	r.mustAct(s, intake.Action{Kind: intake.ActionReissue})
	r.untilThat(s, "a new key", func(v store.View) bool {
		return v.Key.Status == store.KeyIssued &&
			len(r.holds(s.id)) == 1
	})
	r.mustHold(s.id, s.wants(system, "555555-5555"))
	r.mustBeSound()
}

// The same of a stay that is cancelled before everything is compared once more.
func TestASurplusUserOfACancelledStayIsNotForgotten(t *testing.T) {
	t.Parallel()
	r, s := newStay(t, simulator.Options{})
	r.advance(time.Minute)
	before := r.rest(s)
	r.leaveSecond(*before.User.ACSUserID)
	// While its delete is under way the stay is cancelled.
	r.sim.Inject(simulator.Fault{Kind: simulator.WrongNotFound, Path: seam.PathUserDelete, Contains: secondUser})
	r.sim.Inject(simulator.Fault{Kind: simulator.WrongNotFound, Path: "/acs/users/get", Contains: secondUser})
	r.recheck(s)
	waitFor(t, "the second one not to be found", func() bool {
		return slices.ContainsFunc(r.sim.Records(), func(c simulator.Record) bool {
			return c.Path == "/acs/users/get" && c.Body["acs_user_id"] == secondUser
		})
	})
	r.cancel(s)
	r.until(s, store.KeyRevoked)
	r.rest(s)
	for range 2 {
		r.advance(11 * time.Minute)
		r.rest(s)
	}
	r.mustHold(s.id)
}

// Salto refuses to delete a second ACS user, for longer than the look-ups after a lost create last. A person hears of
// it, also after the stay is cancelled, and it is removed as soon as Salto allows that.
func TestASurplusUserThatSaltoKeeps(t *testing.T) {
	t.Parallel()
	for name, cancelled := range map[string]bool{"the stay lasts": false, "the stay is cancelled": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, s := newStay(t, simulator.Options{})
			r.advance(time.Minute)
			before := r.rest(s)
			r.leaveSecond(*before.User.ACSUserID)
			r.giveSecondAKey()
			r.sim.Configure(func(o *simulator.Options) { o.RefuseDeletes = true })
			r.recheck(s)
			refused := func(v store.View) bool {
				return v.Key.Status == store.KeyAttention && str(v.Key.Reason) == "not_removed"
			}
			r.untilThat(s, "not removed", refused)
			for range 3 {
				r.advance(11 * time.Minute)
				r.untilThat(s, "not removed", refused)
			}
			if cancelled {
				r.sim.Configure(func(o *simulator.Options) { o.RefuseDeletes = false })
				r.sim.Inject(simulator.Fault{
					Kind: simulator.Forbidden, Path: seam.PathUserDelete, Contains: secondUser, Count: -1,
				})
				r.cancel(s)
				for range 3 {
					r.advance(11 * time.Minute)
					waitFor(t, "only the second one to be left", func() bool {
						return slices.Equal(r.live(s), []string{secondUser})
					})
					waitFor(t, "attention", func() bool { return r.view(s).Key.Status == store.KeyAttention })
				}
				r.sim.Heal()
				r.advance(11 * time.Minute)
				r.until(s, store.KeyRevoked)
				r.rest(s)
				r.mustHold(s.id)
				return
			}
			r.sim.Configure(func(o *simulator.Options) { o.RefuseDeletes = false })
			r.advance(6 * time.Minute)
			waitFor(t, "the second one to be gone", func() bool { r.pass(); return len(r.holds(s.id)) == 1 })
			r.mustKeepIDs(before, r.until(s, store.KeyIssued))
		})
	}
}

// Salto keeps a second ACS user for good, and the stay's own for a while after it is cancelled: the stay's own is
// deleted again all the same.
func TestASurplusUserThatStaysKeepsNoOther(t *testing.T) {
	t.Parallel()
	r, s := newStay(t, simulator.Options{})
	r.advance(time.Minute)
	own := *r.rest(s).User.ACSUserID
	r.leaveSecond(own)
	r.giveSecondAKey()
	deleted := func(id string) func() bool {
		return func() bool {
			return slices.ContainsFunc(r.sim.Records(), func(c simulator.Record) bool {
				return c.Path == seam.PathUserDelete && c.Body["acs_user_id"] == id
			})
		}
	}
	r.sim.Inject(simulator.Fault{Kind: simulator.Forbidden, Path: seam.PathUserDelete, Contains: secondUser, Count: -1})
	r.recheck(s)
	waitFor(t, "the second one to be found", deleted(secondUser))
	r.sim.Configure(func(o *simulator.Options) { o.RefuseDeletes = true })
	r.cancel(s)
	waitFor(t, "the stay's own to be deleted", deleted(own))
	r.rest(s)
	r.sim.Configure(func(o *simulator.Options) { o.RefuseDeletes = false })
	for range 6 {
		r.advance(11 * time.Minute)
		r.rest(s)
	}
	if live := r.live(s); !slices.Equal(live, []string{secondUser}) {
		t.Errorf("%v are left, not only the second one", live)
	}
}

// One get and one list, at the same time, don't show an ACS user or a mobile key that nobody has deleted. That is
// asked a second time.
func TestOneAgreementIsNoEvidence(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/acs/users/get", "/acs/credentials/get"} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			r, s := newStay(t, simulator.Options{})
			r.advance(time.Minute)
			before := r.rest(s)
			id := *before.User.ACSUserID
			if path == "/acs/credentials/get" {
				id = *before.User.CredentialID
			}
			r.sim.Configure(func(o *simulator.Options) { o.Hidden = []string{id} })
			r.sim.Inject(simulator.Fault{Kind: simulator.WrongNotFound, Path: path, Contains: id})
			r.sim.Forget()
			r.recheck(s)
			waitFor(t, "both to be asked", func() bool { return r.called(path) > 0 })
			r.rest(s)
			after := r.until(s, store.KeyIssued)
			r.mustKeepIDs(before, after)
			if *after.User.CredentialID != *before.User.CredentialID {
				t.Error("the mobile key was replaced")
			}
			r.mustHold(s.id, s.wants(system, "555555-5555"))
		})
	}
}
