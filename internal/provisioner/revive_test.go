package provisioner_test

import (
	"testing"
	"time"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

// What Seam reports as gone each time that it is created, or as suspended each time that it is unsuspended, is restored
// once for each request: by the booking, by each later event, and by each reconcile. In between a person is asked.
func TestEachRequestRestoresOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		after  []string // the calls that it follows
		breaks func(*simulator.State)
		reason string
	}{
		"deleted in Salto KS": {[]string{seam.PathUserCreate}, func(st *simulator.State) {
			for id, u := range st.Users {
				u.ErrorCode = "deleted_externally"
				st.Users[id] = u
			}
		}, "removed_at_seam"},
		"being deleted": {[]string{seam.PathUserCreate}, func(st *simulator.State) {
			for id, u := range st.Users {
				u.GoneAt = u.CreatedAt.Add(time.Hour)
				st.Users[id] = u
			}
		}, "removed_at_seam"},
		"never shown": {[]string{seam.PathUserCreate}, func(st *simulator.State) {
			clear(st.Users)
		}, "removed_at_seam"},
		"suspended": {[]string{seam.PathUserCreate, seam.PathUserUnsuspend}, func(st *simulator.State) {
			for id, u := range st.Users {
				u.Suspended = true
				st.Users[id] = u
			}
		}, "suspended_at_seam"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, fast(), simulator.Options{})
			r.listing("default", "L", "555555-5555")
			r.sim.Configure(func(o *simulator.Options) {
				o.Hook = func(path string, after bool) bool {
					for _, call := range c.after {
						if path == call && after {
							r.sim.Change(c.breaks)
						}
					}
					return false
				}
			})
			s := r.stay("R1")
			restores := c.after[len(c.after)-1]
			mustAsk := func(when string) {
				t.Helper()
				r.untilLater(s, when+": attention", func(v store.View) bool {
					if n := r.called(restores); n > 1 {
						r.tell(s)
						t.Fatalf("%s: %d calls of %s, want one", when, n, restores)
					}
					return v.Key.Status == store.KeyAttention && str(v.Key.Reason) == c.reason
				})
				r.mustBeCalm(s, when)
				if n := r.called(restores); n > 1 {
					t.Errorf("%s: %d calls of %s, want one", when, n, restores)
				}
				r.sim.Forget()
			}

			r.book(s)
			mustAsk("booked")
			s.out = s.out.Add(time.Hour)
			r.book(s)
			mustAsk("other dates")
			r.mustAct(s, intake.Action{Kind: intake.ActionReconcile})
			mustAsk("reconciled")

			r.sim.Configure(func(o *simulator.Options) { o.Hook = nil })
			r.sim.Change(func(st *simulator.State) {
				for id, u := range st.Users {
					if !u.GoneAt.IsZero() {
						delete(st.Users, id)
					}
				}
			})
			r.mustAct(s, intake.Action{Kind: intake.ActionReconcile})
			r.untilLater(s, "issued", func(v store.View) bool { return v.Key.Status == store.KeyIssued })
			r.mustHold(s.id, s.wants(system, "555555-5555"))
		})
	}
}

// A read that still shows the suspension right after it was lifted is no suspension by somebody else.
func TestALateReadOfAnUnsuspendedUser(t *testing.T) {
	t.Parallel()
	r, s := newStay(t, simulator.Options{})
	r.advance(time.Minute)
	r.alter(s, func(u *simulator.User) { u.Suspended = true })
	r.recheck(s)
	r.untilLater(s, "suspended", func(v store.View) bool { return str(v.Key.Reason) == "suspended_at_seam" })

	r.sim.Configure(func(o *simulator.Options) { o.ReadLag = 3 * time.Second })
	r.mustAct(s, intake.Action{Kind: intake.ActionReconcile})
	r.untilLater(s, "issued", func(v store.View) bool {
		if str(v.Key.Reason) == "suspended_at_seam" {
			r.tell(s)
			t.Fatal("what Seam had shown before counts as somebody's suspension")
		}
		return v.Key.Status == store.KeyIssued
	})
	r.mustHold(s.id, s.wants(system, "555555-5555"))
}
