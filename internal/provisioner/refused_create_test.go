package provisioner_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

// Creates that Seam refuses although they took effect: an ACS user was made, and adding it to a group failed.

// refusedStatuses are those of refusals that may follow an effect.
var refusedStatuses = []int{400, 403, 409, 422}

// refuseAfter has Seam refuse the next create of an ACS user although it takes effect.
func (r *rig) refuseAfter(status int) {
	r.sim.Inject(simulator.Fault{Kind: simulator.RefusedAfter, Path: seam.PathUserCreate, Status: status})
}

// refusedRig is a rig whose next create is refused although it takes effect.
func refusedRig(t *testing.T, status int) (*rig, stay) {
	r := newRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "555555-5555")
	waitFor(t, "the access groups to be known", func() bool { return r.sim.Calls() >= 2 })
	r.refuseAfter(status)
	return r, r.stay("R1")
}

// What a refused create has made is the stay's, and no second ACS user is created.
func TestARefusedCreateThatTookEffect(t *testing.T) {
	t.Parallel()
	for _, status := range append([]int{429}, refusedStatuses...) {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			r, s := refusedRig(t, status)
			r.book(s)
			r.untilLater(s, "issued", func(v store.View) bool { return v.Key.Status == store.KeyIssued })
			r.mustHold(s.id, s.wants(system, "555555-5555"))
			r.mustBeOne(s)
		})
	}
}

// The same while lists lag, and an event comes before they show what was made.
func TestARefusedCreateThatShowsLate(t *testing.T) {
	t.Parallel()
	for _, status := range refusedStatuses {
		for _, cancelled := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d, cancelled %v", status, cancelled), func(t *testing.T) {
				t.Parallel()
				r, s := refusedRig(t, status)
				r.sim.Configure(func(o *simulator.Options) { o.ReadLag = 4 * time.Second })
				r.book(s)
				waitFor(t, "the refusal", func() bool { return r.view(s).Key.Status == store.KeyAttention })
				if cancelled {
					r.cancel(s)
					r.until(s, store.KeyRevoked)
					if got := r.holds(s.id); len(got) > 0 {
						r.tell(s)
						t.Errorf("the stay is revoked, and Seam holds %+v", got)
					}
					return
				}
				s.out = s.out.Add(time.Hour)
				r.book(s)
				r.until(s, store.KeyIssued)
				r.mustHold(s.id, s.wants(system, "555555-5555"))
				r.mustBeOne(s)
			})
		}
	}
}

// The same of a mobile key: no second one is created before lists show the first.
func TestARefusedKeyThatShowsLate(t *testing.T) {
	t.Parallel()
	for _, status := range refusedStatuses {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, fast(), simulator.Options{})
			r.listing("default", "L", "555555-5555")
			waitFor(t, "the access groups to be known", func() bool { return r.sim.Calls() >= 2 })
			r.sim.Inject(simulator.Fault{
				Kind: simulator.RefusedAfter, Path: seam.PathCredentialCreate, Status: status,
			})
			r.sim.Configure(func(o *simulator.Options) { o.ListLag = 4 * time.Second })
			s := r.stay("R1")
			r.book(s)
			waitFor(t, "the refusal", func() bool { return r.called(seam.PathCredentialCreate) > 0 })
			s.out = s.out.Add(time.Hour)
			r.book(s)
			r.until(s, store.KeyIssued)
			r.mustHold(s.id, s.wants(system, "555555-5555"))
			r.mustBeOne(s)
		})
	}
}

// A mobile key, and a user identity, whose create is refused although it takes effect, are used.
func TestARefusedKeyOrIdentityThatTookEffect(t *testing.T) {
	t.Parallel()
	for _, path := range []string{seam.PathCredentialCreate, seam.PathIdentityCreate} {
		for _, status := range refusedStatuses {
			t.Run(fmt.Sprintf("%s %d", path, status), func(t *testing.T) {
				t.Parallel()
				r := newRig(t, fast(), simulator.Options{})
				r.listing("default", "L", "555555-5555")
				r.sim.Inject(simulator.Fault{Kind: simulator.RefusedAfter, Path: path, Status: status})
				s := r.stay("R1")
				r.book(s)
				r.untilLater(s, "issued", func(v store.View) bool { return v.Key.Status == store.KeyIssued })
				r.mustHold(s.id, s.wants(system, "555555-5555"))
				if n := len(r.sim.State().Identities); n != 1 {
					t.Errorf("%d user identities were created", n)
				}
				r.mustBeOne(s)
			})
		}
	}
}

// Seam refuses a create that took effect. Its list, which doesn't know the new user identity yet, ignores that filter
// and names neither identities nor people: what it shows in place of the new ACS user isn't the reason of the refusal.
func TestARefusedCreateNextToAnUnfilteredList(t *testing.T) {
	t.Parallel()
	r := newLossyRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "555555-5555")
	other := r.stay("R0")
	issued(r, &other)
	r.advance(time.Minute)
	r.rest(other)
	s := r.stay("R1")
	s.email = ""
	most := r.mostUsers(s)
	r.sim.Configure(func(o *simulator.Options) {
		o.UnknownIdentity, o.ListLag, o.Null = simulator.Everything, 4*time.Second, []string{"optional"}
	})
	r.sim.Inject(simulator.Fault{Kind: simulator.RefusedAfter, Path: seam.PathUserCreate, Status: 409})
	r.book(s)
	waitFor(t, "the create to be refused", func() bool { return r.called(seam.PathUserCreate) > 1 })
	r.passMinutes(1)
	r.sim.Configure(func(o *simulator.Options) { o.Null = nil })
	r.mustAct(s, intake.Action{Kind: intake.ActionReconcile})
	r.until(s, store.KeyIssued)
	if n := most(); n != 1 {
		t.Errorf("the stay had %d ACS users at a time, want one", n)
	}
}
