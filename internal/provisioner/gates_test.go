package provisioner_test

import (
	"context"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	domain "github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// gatedBy gives every source one gate.
func gatedBy(g pms.Gate) func(string) pms.Policy {
	return func(string) pms.Policy {
		p := pms.DefaultPolicy()
		p.OwnIdentity = true
		p.Gates = []pms.Gate{g}
		return p
	}
}

// gate sets a stay's gate paid, as a program does.
func (r *rig) gate(s stay, state string) {
	r.t.Helper()
	_, err := r.applier.SetGate(context.Background(), store.Ref{Source: s.source, ReservationID: s.id},
		intake.GateAction{Name: "paid", State: state, By: "till"})
	if err != nil {
		r.t.Fatal(err)
	}
}

func waitsForGate(v store.View) bool {
	return v.Key.Status == store.KeyWaiting && v.Key.Reason != nil && *v.Key.Reason == domain.ReasonGateClosed
}

func isClosedAgain(v store.View) bool {
	return v.Key.Status == store.KeyAttention && v.Key.Reason != nil && *v.Key.Reason == domain.ReasonGateClosed
}

// A key waits for its gate, is kept when the gate closes again, follows a shorter stay, and is removed with a cancel.
func TestAGateHoldsTheKey(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.policy = gatedBy(pms.Gate{Name: "paid", Holds: domain.HoldsKey})
	r.listing("default", "L", "555555-5555")
	s := r.stay("R1")
	r.book(s)
	r.untilThat(s, "waiting for a gate", waitsForGate)
	if calls := r.changing(); len(calls) > 0 {
		t.Fatalf("calls before the gate is open: %v", calls)
	}
	r.gate(s, domain.GateOpen)
	before := r.until(s, store.KeyIssued)
	r.gate(s, domain.GateClosed)
	r.untilThat(s, "closed again", isClosedAgain)
	s.out = s.out.Add(-24 * time.Hour)
	r.book(s)
	after := r.untilThat(s, "shorter", func(v store.View) bool {
		return isClosedAgain(v) && v.User != nil &&
			v.User.EndsAt.Equal(s.out)
	})
	r.mustKeepIDs(before, after)
	r.cancel(s)
	r.until(s, store.KeyRevoked)
	r.mustHold(s.id)
	r.mustBeSound()
}

// A gate that takes keys away does so before access begins, and allows another when it opens. A guest who may be
// inside keeps the key.
func TestAGateTakesTheKey(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.policy = gatedBy(pms.Gate{Name: "paid", Holds: domain.HoldsKey, Revoke: true})
	r.listing("default", "L", "555555-5555")
	s := r.stay("R1")
	r.book(s)
	r.gate(s, domain.GateOpen)
	first := r.until(s, store.KeyIssued)
	r.gate(s, domain.GateClosed)
	r.untilThat(s, "waiting for a gate", waitsForGate)
	r.mustHold(s.id)
	r.gate(s, domain.GateOpen)
	second := r.until(s, store.KeyIssued)
	if *first.User.ACSUserID == *second.User.ACSUserID {
		t.Error("the ACS user that was taken away is back")
	}
	r.advance(49 * time.Hour)
	r.gate(s, domain.GateClosed)
	r.untilThat(s, "closed again", isClosedAgain)
	r.mustBeSound()
}

// What was read back from Seam remains true whatever a gate does: an issued key keeps its status until somebody has
// looked.
func TestAGateKeepsTheStatus(t *testing.T) {
	t.Parallel()
	for _, holds := range []string{domain.HoldsKey, domain.HoldsLink} {
		t.Run(holds, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, fast(), simulator.Options{})
			r.policy = gatedBy(pms.Gate{Name: "paid", Holds: holds})
			r.listing("default", "L", "555555-5555")
			s := r.stay("R1")
			r.book(s)
			r.gate(s, domain.GateOpen)
			r.until(s, store.KeyIssued)
			r.stop()
			asBefore := func(who string) {
				t.Helper()
				if k := r.view(s).Key; k.Status != store.KeyIssued || k.ObservedGeneration == k.Generation {
					t.Errorf("after %s: %s, generation %d, observed %d", who, k.Status, k.Generation,
						k.ObservedGeneration)
				}
			}
			r.gate(s, domain.GateClosed)
			asBefore("a program's report")
			s.gates = map[string]string{"paid": domain.GateOpen}
			r.book(s)
			asBefore("the PMS's report")
			r.start()
			r.until(s, store.KeyIssued)
			r.mustBeSound()
		})
	}
}

// Gates open and close while answers are lost. In the end an open gate leaves one key, and a closed one none.
func TestGatesUnderFaults(t *testing.T) {
	t.Parallel()
	for _, path := range []string{
		seam.PathIdentityCreate, seam.PathUserCreate, seam.PathCredentialCreate,
		seam.PathUserDelete,
	} {
		for _, kind := range []simulator.FaultKind{simulator.LostAfter, simulator.LostBefore, simulator.Error500After} {
			t.Run(path+" "+string(kind), func(t *testing.T) {
				t.Parallel()
				r := newLossyRig(t, fast(), simulator.Options{})
				r.policy = gatedBy(pms.Gate{Name: "paid", Holds: domain.HoldsKey, Revoke: true})
				r.listing("default", "L", "555555-5555")
				s := r.stay("R1")
				r.book(s)
				r.untilThat(s, "waiting for a gate", waitsForGate)
				r.sim.Inject(simulator.Fault{Kind: kind, Path: path})
				for _, state := range []string{domain.GateOpen, domain.GateClosed, domain.GateOpen, domain.GateClosed} {
					r.gate(s, state)
				}
				r.gate(s, domain.GateOpen)
				r.until(s, store.KeyIssued)
				r.gate(s, domain.GateClosed)
				r.untilThat(s, "waiting for a gate", waitsForGate)
				r.gate(s, domain.GateOpen)
				r.until(s, store.KeyIssued)
				if got := r.holds(s.id); len(got) != 1 {
					t.Errorf("with an open gate Seam holds %v", got)
				}
				r.gate(s, domain.GateClosed)
				r.untilThat(s, "waiting for a gate", waitsForGate)
				r.mustHold(s.id)
				r.mustBeSound()
			})
		}
	}
}

// A gate that is added reaches existing stays: their keys are kept, and somebody is notified. One that is removed
// holds nothing.
func TestGatesOfTheConfiguration(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.policy = perStay
	r.listing("default", "L", "555555-5555")
	s := r.stay("R1")
	issued(r, &s)
	before := r.view(s)
	r.policy = gatedBy(pms.Gate{Name: "paid", Holds: domain.HoldsKey})
	r.book(s)
	r.gate(s, domain.GateClosed)
	r.recheck(s)
	r.mustKeepIDs(before, r.untilThat(s, "closed again", isClosedAgain))
	r.policy = perStay
	r.recheck(s)
	r.mustKeepIDs(before, r.until(s, store.KeyIssued))
}
