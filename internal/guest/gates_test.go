package guest_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/staykey/staykey/internal/guest"
	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// A key that a gate withholds exists, and none of it is handed out until the gate opens.
func TestAGateHoldsTheLink(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Options{})
	r.source.Policy.Gates = []pms.Gate{{Name: "paid", Holds: stay.HoldsLink}}
	encoded, err := json.Marshal(r.source.Policy)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	policy := store.SourcePolicy{
		Source: "default", Fingerprint: r.source.Policy.Fingerprint(),
		Encoded: string(encoded),
	}
	if _, err := r.store.Policies.Decide(ctx, []store.SourcePolicy{policy}); err != nil {
		t.Fatal(err)
	}
	r.listing("g1")
	a := r.issued(r.booking("A"))
	link := r.link(a)
	mustBeHeld := func() {
		t.Helper()
		_, err := r.open(link)
		refused := (*guest.NotReadyError)(nil)
		if !errors.As(err, &refused) || refused.Page.Readiness != guest.Withheld {
			t.Errorf("opening answers %v, want withheld", err)
		}
		if page, err := r.guest.Look(ctx, link); err != nil || page.Readiness != guest.Withheld {
			t.Errorf("the page says %+v %v, want held", page.Readiness, err)
		}
	}
	set := func(state string) {
		t.Helper()
		if _, err := r.applier.SetGate(ctx, a.ref(), intake.GateAction{
			Name: "paid", State: state,
			By: "till",
		}); err != nil {
			t.Fatal(err)
		}
	}
	mustBeHeld()
	if n := len(r.sim.State().InstantKeys); n != 0 {
		t.Errorf("%d instant keys were made", n)
	}
	set(stay.GateOpen)
	r.until(a, stay.KeyIssued)
	r.mustOpen(a)
	set(stay.GateClosed)
	mustBeHeld()
	r.until(a, stay.KeyAttention)
	set(stay.GateOpen)
	r.until(a, stay.KeyIssued)
	r.mustOpen(a)
}
