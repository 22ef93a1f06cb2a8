package provisioner_test

import (
	"slices"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

// TestARefusedDoorLocksNobodyOut makes Seam refuse a listing's new door for a while: the old one stays open until the
// new one is, and a person is notified.
func TestARefusedDoorLocksNobodyOut(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.listing("default", "L", groupsL...)
	s := r.stay("R1")
	r.book(s)
	r.until(s, store.KeyIssued)
	r.sim.Inject(simulator.Fault{Kind: simulator.Unprocessable, Path: seam.PathGroupAdd, Count: -1})
	r.listing("default", "L", groupsM...)
	waitFor(t, "somebody to be notified", func() bool { return r.view(s).Key.Status == store.KeyAttention })
	if got := r.holds(s.id); len(got) != 1 || !slices.Equal(got[0].Groups, []string{"555555-5555", "lobby"}) {
		t.Errorf("the guest has %+v while the new door is refused", got)
	}
	r.sim.Heal()
	r.advance(10 * time.Minute)
	r.until(s, store.KeyIssued)
	r.mustHold(s.id, s.wants(system, groupsM...))
}
