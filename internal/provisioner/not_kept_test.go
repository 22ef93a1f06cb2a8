package provisioner_test

import (
	"testing"
	"time"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

// What Seam doesn't keep is repaired a few times in a row, and then once an hour.

func isNotKept(v store.View) bool {
	return v.Key.Status == store.KeyAttention && str(v.Key.Reason) == "not_kept_by_seam"
}

// dropKeys lets time pass in which the access system drops each mobile key after some time.
func (r *rig) dropKeys(s stay, during, after time.Duration) {
	r.t.Helper()
	for end := r.now().Add(during); r.now().Before(end); {
		r.advance(after * 2 / 3)
		r.mustBeCalm(s, "while the key is there") // a look-up that is due sees it
		r.advance(after / 3)
		r.sim.Change(func(st *simulator.State) {
			for id, c := range st.Credentials {
				if !c.CreatedAt.After(r.now().Add(-after)) {
					delete(st.Credentials, id)
				}
			}
		})
		r.mustBeCalm(s, "within a step")
	}
}

// The access system drops each mobile key, before or after the first look-up that follows the loss of the one before.
// Its stay is reported, and few keys are created. A request tries once more, and a key that is kept ends all that.
func TestAKeyThatSeamNeverKeeps(t *testing.T) {
	t.Parallel()
	for _, after := range []time.Duration{30 * time.Second, 2 * time.Minute} {
		t.Run(after.String(), func(t *testing.T) {
			t.Parallel()
			r, s := newStay(t, simulator.Options{})
			created := func() int { return r.called(seam.PathCredentialCreate) }
			before := created()
			r.sim.Change(func(st *simulator.State) { clear(st.Credentials) })
			r.recheck(s)

			r.dropKeys(s, time.Hour, after)
			if n := created() - before; n > 5 {
				t.Errorf("%d mobile keys were created within an hour", n)
			}
			r.untilLater(s, "not kept", isNotKept)

			before = created()
			r.mustAct(s, intake.Action{Kind: intake.ActionReconcile})
			r.until(s, store.KeyIssued)
			if n := created() - before; n != 1 {
				t.Errorf("a request created %d mobile keys", n)
			}

			r.advance(11 * time.Minute)
			r.untilLater(s, "kept", func(v store.View) bool { return len(v.User.UnkeptBy) == 0 })
			r.until(s, store.KeyIssued)
			r.mustHold(s.id, s.wants(system, "555555-5555"))
		})
	}
}

// Seam drops the link of an ACS user each time that it is set, or has a second mobile key each time that one is
// deleted. No read-back sees that.
func TestWhatAReadBackDoesNotSee(t *testing.T) {
	t.Parallel()
	for name, undo := range map[string]func(*simulator.State, simulator.User){
		"link": func(st *simulator.State, u simulator.User) {
			u.IdentityID = ""
			st.Users[u.ID] = u
		},
		"second key": func(st *simulator.State, u simulator.User) {
			st.Credentials["second"] = simulator.Credential{
				ID: "second", UserID: u.ID, AccessMethod: "mobile_key", MultiPhone: true,
				CreatedAt: u.CreatedAt.Add(time.Hour),
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, s := newStay(t, simulator.Options{})
			// The look that a repair schedules may come before the next change. It sees what was repaired and ends the
			// count, so on a slow machine it takes several rounds.
			waitFor(t, "not kept", func() bool {
				for range 4 {
					r.advance(time.Minute)
					r.sim.Change(func(st *simulator.State) {
						for _, u := range st.UsersNamed(s.id) {
							undo(st, u)
						}
					})
					r.recheck(s)
					r.mustBeCalm(s, "after a change")
				}
				return isNotKept(r.view(s))
			})
			r.untilLater(s, "kept", func(v store.View) bool { return len(v.User.UnkeptBy) == 0 })
			r.until(s, store.KeyIssued)
		})
	}
}
