package provisioner_test

import (
	"strings"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

// Seam becomes unusable while the service runs. That shows, pauses nothing, and ends with the first usable answer.
func TestOutageOfSeam(t *testing.T) {
	t.Parallel()
	for _, fault := range []simulator.Fault{
		{Kind: simulator.Error500Before},
		{Kind: simulator.Reset},
		{Kind: simulator.Hang},
		{Kind: simulator.Limited},
		{Kind: simulator.Limited, RetryAfterText: "900"},
		{Kind: simulator.NoEndpoint},
		{Kind: simulator.Garbage},
	} {
		t.Run(string(fault.Kind)+fault.RetryAfterText, func(t *testing.T) {
			t.Parallel()
			r := newLossyRig(t, fast(), simulator.Options{})
			r.stop()
			log := r.logTo()
			r.start()
			r.listing("default", "L", "555555-5555")
			old := r.stay("R1")
			issued(r, &old)

			fault.Count = -1
			r.sim.Inject(fault)
			s := r.stay("R2")
			s.email, s.in = "joe@example.com", r.now().Add(30*time.Minute).Truncate(time.Millisecond)
			r.book(s)
			waitFor(t, "the outage to show", func() bool {
				r.advance(10 * time.Second)
				return r.prov.Outage() != ""
			})

			if got := r.prov.Outage(); !strings.HasPrefix(got, "Seam can't be reached: Seam /") {
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
			r.until(s, store.KeyIssued)
			if n := strings.Count(log(), "Seam gives no usable answer"); n != 1 {
				t.Errorf("the outage was logged %d times, want once", n)
			}
		})
	}
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
	asked := r.called("/workspaces/get")
	s := r.stay("R1")
	s.in = r.now().Add(2 * time.Hour).Truncate(time.Millisecond)
	r.book(s)
	waitFor(t, "Seam to be asked several times", func() bool {
		r.advance(10 * time.Second)
		if why := r.prov.Outage(); why != "" {
			t.Fatalf("an outage: %s", why)
		}
		return r.called("/workspaces/get") >= asked+5
	})
	if v := r.view(s); v.Key.Attempts < outageCalls {
		t.Errorf("only %d attempts", v.Key.Attempts)
	}
}

// outageCalls is how many calls without an answer amount to an outage.
const outageCalls = 3
