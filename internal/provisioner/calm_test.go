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

// A stay for which nothing can be done is left alone until something may have changed.

// mostCalls is more than any stay of these tests needs for an attempt and what follows it.
const mostCalls = 100

// mustBeCalm fails the test if a stay is still due after mostCalls calls to Seam, although nothing changes.
func (r *rig) mustBeCalm(s stay, when string) {
	r.t.Helper()
	before := r.sim.Calls()
	waitFor(r.t, s.id+" to be left alone", func() bool {
		if made := r.sim.Calls() - before; made > mostCalls {
			r.tell(s)
			r.t.Fatalf("%s: %d calls to Seam for one stay, and it is due again", when, made)
		}

		var isDue bool
		err := r.store.Pool().QueryRow(context.Background(), `
			SELECT queued OR lease_token IS NOT NULL OR coalesce(next_reconcile_at <= $3, false)
			FROM mobile_keys WHERE source = $1 AND reservation_id = $2`, s.source, s.id, r.now()).Scan(&isDue)
		return err == nil && !isDue
	})
}

// An admin holds a stay after a call whose answer was lost, so that a change stays pending while the call's result is
// looked for.
func TestAHeldStayIsLeftAlone(t *testing.T) {
	t.Parallel()
	pending := map[string]func(*rig, *stay){
		"other dates": func(r *rig, s *stay) {
			s.out = s.out.Add(time.Hour)
			r.book(*s)
		},
		"a cancel": func(r *rig, s *stay) { r.cancel(*s) },
		"nothing":  func(*rig, *stay) {},
		"a second ACS user": func(r *rig, s *stay) {
			r.leaveSecond(*r.view(*s).User.ACSUserID)
			r.recheck(*s)
		},
		"a deleted key": func(r *rig, s *stay) {
			r.sim.Change(func(st *simulator.State) { clear(st.Credentials) })
			r.recheck(*s)
		},
	}
	for _, lost := range []string{"", seam.PathUserCreate, seam.PathCredentialCreate, seam.PathUserUpdate} {
		for what, change := range pending {
			t.Run(fmt.Sprintf("%s after a lost %q", what, lost), func(t *testing.T) {
				t.Parallel()
				r := newLossyRig(t, fast(), simulator.Options{})
				r.listing("default", "L", "555555-5555")
				if lost != "" {
					r.sim.Inject(simulator.Fault{Kind: simulator.LostAfter, Path: lost})
				}
				s := r.stay("R1")
				r.book(s)
				r.until(s, store.KeyIssued)
				s.out = s.out.Add(time.Hour)
				r.book(s)
				r.until(s, store.KeyIssued)

				r.mustAct(s, intake.Action{Kind: intake.ActionHold})
				change(r, &s)
				r.mustBeCalm(s, "at once")
				for _, d := range []time.Duration{2 * time.Minute, 12 * time.Minute, 24 * time.Hour} {
					r.advance(d)
					r.mustBeCalm(s, d.String()+" later")
				}
			})
		}
	}
}

// Get finds nothing, and the list shows the ACS user: nothing can be concluded, and Seam is asked less and less often.
func TestAContradictionAfterALostCreateIsLeftAlone(t *testing.T) {
	t.Parallel()
	r := newLossyRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "555555-5555")
	s := r.stay("R1")
	r.sim.Inject(simulator.Fault{Kind: simulator.LostAfter, Path: seam.PathUserCreate})
	r.book(s)
	r.until(s, store.KeyIssued)
	r.rest(s)

	r.sim.Inject(simulator.Fault{Kind: simulator.WrongNotFound, Path: "/acs/users/get", Count: -1})
	for _, d := range []time.Duration{2 * time.Minute, 12 * time.Minute, time.Hour} {
		r.advance(d)
		r.mustBeCalm(s, d.String()+" later")
	}
	r.sim.Heal()
	r.advance(time.Hour)
	r.until(s, store.KeyIssued)
	r.mustHold(s.id, s.wants(system, "555555-5555"))
}
