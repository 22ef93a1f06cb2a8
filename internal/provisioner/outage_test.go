package provisioner_test

import (
	"strings"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

// Seam becomes unusable while the service runs. That shows, pauses nothing, and ends with the first usable answer.
func TestOutageOfSeam(t *testing.T) {
	t.Parallel()
	const soon, later = 30 * time.Minute, 72 * time.Hour
	for name, c := range map[string]struct {
		fault  simulator.Fault
		arrive time.Duration
	}{
		"500":                                 {simulator.Fault{Kind: simulator.Error500Before}, soon},
		"reset":                               {simulator.Fault{Kind: simulator.Reset}, soon},
		"hang":                                {simulator.Fault{Kind: simulator.Hang}, soon},
		"429":                                 {simulator.Fault{Kind: simulator.Limited}, soon},
		"429 for long":                        {simulator.Fault{Kind: simulator.Limited, RetryAfterText: "900"}, soon},
		"429 for long, and nobody is waiting": {simulator.Fault{Kind: simulator.Limited, RetryAfterText: "900"}, later},
		"no endpoint":                         {simulator.Fault{Kind: simulator.NoEndpoint}, soon},
		"garbage":                             {simulator.Fault{Kind: simulator.Garbage}, soon},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newLossyRig(t, fast(), simulator.Options{})
			r.stop()
			log := r.logTo()
			r.start()
			r.listing("default", "L", "555555-5555")
			old := r.stay("R1")
			issued(r, &old)

			c.fault.Count = -1
			r.sim.Inject(c.fault)
			s := r.stay("R2")
			s.email, s.in = "joe@example.com", r.now().Add(c.arrive).Truncate(time.Millisecond)
			r.book(s)
			began := r.now()
			waitFor(t, "the outage to show", func() bool {
				r.advance(10 * time.Second)
				return r.prov.Outage() != "" || r.now().Sub(began) > 14*time.Minute
			})

			if got := r.prov.Outage(); !strings.HasPrefix(got, "Seam gives no usable answer: Seam /") {
				t.Errorf("the outage is %q", got)
			}
			if why := r.prov.Trouble(); why != "" {
				t.Errorf("provisioning is paused: %s", why)
			}
			before := r.sim.Calls()
			waitFor(t, "attempts to continue, and the outage to be logged", func() bool {
				r.advance(10 * time.Second)
				return r.sim.Calls() >= before+3 && strings.Contains(log(), "Seam gives no usable answer")
			})

			r.sim.Heal()
			waitFor(t, "the outage to end", func() bool {
				if r.prov.Outage() == "" {
					return true
				}
				r.advance(10 * time.Second)
				return false
			})
			waitFor(t, "the end to be logged", func() bool {
				r.advance(time.Second)
				return strings.Contains(log(), "Seam answers again")
			})
			waitFor(t, "the key", func() bool {
				r.skipTo(r.view(s)) // Seam has asked for a pause, and this guest can wait for it
				return r.view(s).Key.Status == store.KeyIssued
			})
			if n := strings.Count(log(), "Seam gives no usable answer"); n != 1 {
				t.Errorf("the outage was logged %d times, want once", n)
			}
		})
	}
}

// mustBeNoOutage books a stay, and waits until Seam was asked several times whether it answers at all. No outage may
// show meanwhile.
func (r *rig) mustBeNoOutage(s stay) {
	r.t.Helper()
	asked := r.called("/workspaces/get")
	r.book(s)
	waitFor(r.t, "Seam to be asked several times", func() bool {
		r.advance(10 * time.Second)
		if why := r.prov.Outage(); why != "" {
			r.t.Fatalf("an outage: %s", why)
		}
		return r.called("/workspaces/get") >= asked+5
	})
}

// All calls for one stay fail for a long time, and nothing else is due. Seam is asked whether it answers at all, and it
// does.
func TestOneStayIsNoOutage(t *testing.T) {
	t.Parallel()
	r := newLossyRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "555555-5555")
	waitFor(t, "the access groups to be known", func() bool { return r.sim.Calls() >= 2 })
	r.sim.Configure(func(o *simulator.Options) {
		o.Hook = func(path string, _ bool) bool { return path != "/workspaces/get" }
	})
	s := r.stay("R1")
	s.in = r.now().Add(2 * time.Hour).Truncate(time.Millisecond)
	r.mustBeNoOutage(s)
	if v := r.view(s); v.Key.Attempts < outageCalls {
		t.Errorf("only %d attempts", v.Key.Attempts)
	}
}

// Seam asks for a long pause at one endpoint only. Seam is asked for the workspace meanwhile, and answers: that is no
// outage.
func TestALongPauseOfOneEndpointIsNoOutage(t *testing.T) {
	t.Parallel()
	r := newLossyRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "555555-5555")
	waitFor(t, "the access groups to be known", func() bool { return r.sim.Calls() >= 2 })
	r.sim.Inject(simulator.Fault{
		Kind: simulator.Limited, RetryAfterText: "900", Path: seam.PathIdentityCreate, Count: -1,
	})
	s := r.stay("R1")
	s.in = r.now().Add(30 * time.Minute).Truncate(time.Millisecond)
	r.mustBeNoOutage(s)
}

// Seam asks everybody to wait for a quarter of an hour at each call, and nobody arrives soon: that shows after a
// minute, and the stay that waits has a reason after ten.
func TestALongPauseShowsSoon(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "555555-5555")
	waitFor(t, "the access groups to be known", func() bool { return r.sim.Calls() >= 2 })
	r.sim.Inject(simulator.Fault{Kind: simulator.Limited, RetryAfterText: "900", Count: -1})
	s, began := r.stay("R1"), r.now()
	r.book(s)
	waitFor(t, "the first 429", func() bool { return r.called(seam.PathIdentityCreate) > 0 })
	r.rested(s)
	for range 2 {
		asked := r.called("/workspaces/get")
		r.advance(31 * time.Second)
		waitFor(t, "Seam to be asked", func() bool { return r.called("/workspaces/get") > asked })
	}
	waitFor(t, "the outage to show", func() bool { return r.prov.Outage() != "" })
	waitFor(t, "a reason", func() bool {
		v := r.rested(s)
		if v.Key.Status == store.KeyAttention && str(v.Key.Reason) == "no_answer_from_seam" {
			return true
		}
		r.skipTo(v)
		return false
	})
	if took := r.now().Sub(began); took > 14*time.Minute {
		t.Errorf("it took %s", took)
	}
	r.sim.Heal()
	r.untilLater(s, "issued", func(v store.View) bool { return v.Key.Status == store.KeyIssued })
}

// Seam answers 429 to the calls of one stay without an end, and to no others: that stay has a reason, and others get
// their keys, whatever pause Seam asks for.
func TestARateLimitOfOneStayStopsNoOthers(t *testing.T) {
	t.Parallel()
	for _, pause := range []string{"", "900"} {
		t.Run("Retry-After "+pause, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, fast(), simulator.Options{})
			r.listing("default", "L", "555555-5555")
			s, other := r.stay("R1"), r.stay("R2")
			other.email = "joe@example.com"
			r.sim.Inject(simulator.Fault{
				Kind: simulator.Limited, Path: seam.PathUserCreate, Contains: `"R1"`, RetryAfterText: pause, Count: -1,
			})
			r.book(s)
			waitFor(t, "the first 429", func() bool { return r.called(seam.PathUserCreate) > 0 })
			r.rested(s)
			began := r.now()
			r.book(other)
			if pause != "" {
				r.rested(other)
				asked := r.called("/workspaces/get")
				r.advance(31 * time.Second)
				waitFor(t, "Seam to be asked", func() bool { return r.called("/workspaces/get") > asked })
			}
			r.untilLater(other, "issued", func(v store.View) bool { return v.Key.Status == store.KeyIssued })
			if took := r.now().Sub(began); took > 10*time.Minute {
				t.Errorf("the other stay waited %s", took)
			}

			waitFor(t, "a reason", func() bool {
				v := r.rested(s)
				r.skipTo(v)
				return v.Key.Status == store.KeyAttention && str(v.Key.Reason) == "no_answer_from_seam"
			})
			creates := r.called(seam.PathUserCreate)
			for began := r.now(); r.now().Before(began.Add(time.Hour)); {
				r.skipTo(r.rested(s))
			}
			if n := r.called(seam.PathUserCreate) - creates; n == 0 || n > 20 {
				t.Errorf("%d creates in an hour", n)
			}
			r.sim.Heal()
			r.untilLater(s, "issued", func(v store.View) bool { return v.Key.Status == store.KeyIssued })
			r.mustBeOne(s)
		})
	}
}

// outageCalls is how many calls without an answer amount to an outage.
const outageCalls = 3
