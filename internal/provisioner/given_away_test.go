package provisioner_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/provisioner/plan"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	domain "github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// Identities that were given to somebody else.

// Somebody gives the identity of a guest who has a key another e-mail address: a sweep reports it, and nothing is
// changed until an admin, or a later event, asks for a repair. Then the stay gets an identity of its own.
func TestAnIdentityThatIsGivenAwayLater(t *testing.T) {
	t.Parallel()
	for name, right := range map[string]func(*rig, *stay){
		"an admin": func(r *rig, s *stay) { r.mustAct(*s, intake.Action{Kind: intake.ActionReconcile}) },
		"an event": func(r *rig, s *stay) { s.out = s.out.Add(time.Hour); r.book(*s) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, s := newStay(t, simulator.Options{})
			before := r.view(s)
			r.sim.EditIdentity(before.User.UserIdentityID, "bob@example.com")
			r.sim.Forget()
			for range 2 {
				r.sweepNow()
				v := r.untilThat(s, "drifted", func(v store.View) bool {
					return v.Key.Status == store.KeyAttention &&
						str(v.Key.Reason) == "drifted"
				})
				if want := domain.Message(domain.ReasonDrifted, plan.GivenAway,
					domain.ReplaceKey); str(v.Key.Message) != want {
					t.Errorf("the message is %q instead of %q", str(v.Key.Message), want)
				}
				r.rest(s)
			}
			if got := r.changing(); len(got) > 0 {
				t.Errorf("changed before anybody wanted it: %v", got)
			}
			right(r, &s)
			r.until(s, store.KeyIssued)
			own := s
			own.email = ""
			r.mustHold(s.id, own.wants(system, "555555-5555"))
			r.sweepNow()
			r.rest(s)
			r.until(s, store.KeyIssued)
			r.mustBeSound()
		})
	}
	t.Run("and back", func(t *testing.T) {
		t.Parallel()
		r, s := newStay(t, simulator.Options{})
		before := r.view(s)
		r.sim.EditIdentity(before.User.UserIdentityID, "bob@example.com")
		r.sweepNow()
		r.untilThat(s, "drifted", func(v store.View) bool { return str(v.Key.Reason) == "drifted" })
		r.sim.EditIdentity(before.User.UserIdentityID, s.email)
		r.sweepNow()
		r.mustKeepIDs(before, r.until(s, store.KeyIssued))
	})
}

// An identity whose address only folds to the guest's is another person's.
func TestAddressesThatOnlyFoldToTheSame(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "555555-5555")
	r.sim.Change(func(st *simulator.State) {
		// with the kelvin sign
		st.Identities["theirs"] = simulator.Identity{ID: "theirs", Email: "\u212aate@example.com", CreatedAt: r.now()}
	})
	s := r.stay("R1")
	s.email = "kate@example.com"
	r.book(s)
	r.until(s, store.KeyIssued)
	if u := r.view(s).User; u.UserIdentityID == "theirs" {
		t.Error("the key is in somebody else's app")
	}
}

// The create of an ACS user is lost without effect. Before the next try somebody gives the guest's identity another
// e-mail address, and Seam once doesn't find the identity: one wrong 404 doesn't put the key in somebody else's app.
func TestAWrongNotFoundOnAnIdentityThatIsGivenAway(t *testing.T) {
	t.Parallel()
	r := newLossyRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "555555-5555")
	waitFor(t, "the access groups to be known", func() bool { return r.sim.Calls() >= 2 })
	r.sim.Inject(simulator.Fault{Kind: simulator.LostBefore, Path: seam.PathUserCreate})
	first := true
	r.sim.Configure(func(o *simulator.Options) {
		o.Hook = func(path string, after bool) bool {
			if path == seam.PathUserCreate && after && first {
				first = false
				for id := range r.sim.State().Identities {
					r.sim.EditIdentity(id, "bob@example.com")
				}
				r.sim.Inject(simulator.Fault{Kind: simulator.WrongNotFound, Path: "/user_identities/get"})
			}
			return false
		}
	})
	s := r.stay("R1")
	r.book(s)
	r.until(s, store.KeyIssued)
	own := s
	own.email = ""
	r.mustHold(s.id, own.wants(system, "555555-5555"))
	r.mustBeSound()
}

// Somebody unlinks the guest's ACS user and gives the identity another e-mail address, and Seam once doesn't find the
// identity: the ACS user isn't linked to it again.
func TestAWrongNotFoundOnTheIdentityToLinkTo(t *testing.T) {
	t.Parallel()
	for skip := range 3 {
		t.Run(fmt.Sprintf("%d answered so far", skip), func(t *testing.T) {
			t.Parallel()
			r, s := newStay(t, simulator.Options{})
			r.advance(time.Minute)
			r.rest(s)
			r.alter(s, func(u *simulator.User) { u.IdentityID = "" })
			r.sim.EditIdentity(r.view(s).User.UserIdentityID, "bob@example.com")
			r.sim.Inject(simulator.Fault{Kind: simulator.WrongNotFound, Path: "/user_identities/get", Skip: skip})
			r.mustAct(s, intake.Action{Kind: intake.ActionReconcile})
			r.until(s, store.KeyIssued)
			own := s
			own.email = ""
			r.mustHold(s.id, own.wants(system, "555555-5555"))
			if n := r.called(seam.PathIdentityAddUser); n != 0 {
				t.Errorf("the ACS user was linked to an identity %d times", n)
			}
			r.mustBeSound()
		})
	}
}
