package provisioner_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

// Access systems that are disconnected.

// While an access system is disconnected its reservations report that, without a call for each, and they resume when
// it is connected again: reported by Seam's event, or found by the sweep.
func TestDisconnectedSystem(t *testing.T) {
	t.Parallel()
	cut := func(r *rig, is bool) {
		r.sim.Change(func(st *simulator.State) {
			sys := st.Systems[system]
			sys.Disconnected = is
			st.Systems[system] = sys
		})
	}
	event := func(r *rig, problem string) {
		r.t.Helper()
		now := r.now()
		if _, err := r.store.ACSSystems.Seen(context.Background(), system, problem, &now, now); err != nil {
			r.t.Fatal(err)
		}
		if _, err := r.store.ACSSystems.Queue(context.Background(), system, now); err != nil {
			r.t.Fatal(err)
		}
		r.prov.Wake()
	}
	for _, reported := range []bool{true, false} {
		t.Run(fmt.Sprintf("reported by an event: %v", reported), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, fast(), simulator.Options{})
			stays := r.issue(6)
			r.listing("default", "V", "verde-1")
			elsewhere := r.stay("V1")
			elsewhere.listing = "V"
			r.book(elsewhere)
			r.until(elsewhere, store.KeyIssued)
			tell := func(is bool) {
				cut(r, is)
				if !reported {
					r.sweepNow()
					return
				}
				event(r, map[bool]string{true: "acs_system_disconnected"}[is])
			}
			r.sim.Forget()
			tell(true)
			disconnected := func(v store.View) bool {
				return v.Key.Status == store.KeyAttention && str(v.Key.Reason) == "access_system_disconnected"
			}
			for _, s := range stays {
				r.untilThat(s, "under attention", disconnected)
			}
			if n := r.sim.Calls(); reported && n != 0 {
				t.Errorf("%d calls although one event reported it", n)
			}
			late := r.stay("late")
			late.email = "late@example.com"
			r.book(late)
			waitFor(t, "the new one to report it too", func() bool { return disconnected(r.view(late)) })
			stays[0].out = stays[0].out.Add(time.Hour)
			r.book(stays[0])
			r.cancel(stays[1]) // doors close anyway
			r.until(stays[1], store.KeyRevoked)
			if v := r.view(elsewhere); v.Key.Status != store.KeyIssued {
				t.Errorf("a stay on another system is %s", v.Key.Status)
			}
			tell(false)
			r.until(late, store.KeyIssued)
			for i, s := range stays {
				if i == 1 {
					continue
				}
				r.until(s, store.KeyIssued)
				r.mustHold(s.id, s.wants(system, "555555-5555", "lobby"))
			}
			r.mustBeSound()
		})
	}
	t.Run("found by a refusal", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, fast(), simulator.Options{})
		r.listing("default", "L", "555555-5555")
		waitFor(t, "the access groups to be known", func() bool { return r.sim.Calls() >= 2 })
		cut(r, true)
		s := r.stay("R1")
		r.book(s)
		waitFor(t, "the refusal", func() bool { return str(r.view(s).Key.Reason) == "access_system_disconnected" })
		cut(r, false)
		r.advance(10 * time.Minute) // no event arrives: Seam is asked
		r.until(s, store.KeyIssued)
	})
}

// Late Seam events don't override what happened since.
func TestOlderSystemEventChangesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	now := r.now()
	before := now.Add(-time.Minute)
	for _, e := range []struct {
		problem string
		at      *time.Time
		changed bool
	}{
		{"", &now, false},
		{"acs_system_disconnected", &before, false},
		{"account_disconnected", &now, true},
		{"", &now, true},
	} {
		changed, err := r.store.ACSSystems.Seen(context.Background(), system, e.problem, e.at, now)
		if err != nil || changed != e.changed {
			t.Errorf("%q at %v: changed %v, %v", e.problem, e.at, changed, err)
		}
	}
	// Reads right after an event may be stale.
	for in, want := range map[time.Duration]bool{10 * time.Second: false, 2 * time.Minute: true} {
		changed, err := r.store.ACSSystems.Seen(context.Background(), system, "account_disconnected", nil, now.Add(in))
		if err != nil || changed != want {
			t.Errorf("read %s later: changed %v, %v", in, changed, err)
		}
		if changed, err = r.store.ACSSystems.Seen(context.Background(), system, "", nil, now.Add(in)); err != nil ||
			changed != want {
			t.Errorf("read again %s later: changed %v, %v", in, changed, err)
		}
	}
}
