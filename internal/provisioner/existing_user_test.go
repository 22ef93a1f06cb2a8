package provisioner_test

import (
	"testing"
	"time"

	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

// Creates that Seam answers with an ACS user that exists already.

// bringBack has Salto bring a stay's deleted ACS user back between the look and the create, as after a delete that it
// undid.
func (r *rig) bringBack(id string, kept *simulator.State) {
	r.sim.Configure(func(o *simulator.Options) {
		o.Hook = func(path string, after bool) bool {
			if path == seam.PathUserCreate && !after {
				r.sim.Change(func(st *simulator.State) {
					st.Users[id] = kept.Users[id]
					for _, k := range kept.MobileKeys(id) {
						st.Credentials[k.ID] = k
					}
				})
			}
			return false
		}
	})
}

// A create is answered with the stay's earlier ACS user, which has a key, and the hours and doors of then: it keeps
// that key, and has the hours and doors of now.
func TestACreateThatReturnsTheEarlierUser(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		age  time.Duration // of the earlier ACS user
		omit []string
	}{
		"created a second ago":              {age: 2 * time.Second},
		"created a minute ago":              {age: time.Minute},
		"created a week ago":                {age: 7 * 24 * time.Hour},
		"created a week ago, without hours": {7 * 24 * time.Hour, []string{"acs_user.access_schedule"}},
		// Its creation counts as ours for a minute: a busy machine must not use that up.
		"created a second ago, without name": {2 * time.Second, []string{"acs_user.full_name"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, fast(), simulator.Options{SecondUser: simulator.ReturnExisting})
			r.listing("default", "L", "555555-5555")
			r.listing("default", "M", "666666-6666")
			s := r.stay("R1")
			s.in, s.out = s.in.Add(14*24*time.Hour), s.out.Add(14*24*time.Hour)
			issued(r, &s)
			r.advance(c.age)
			id := *r.rest(s).User.ACSUserID
			kept := r.sim.State()
			r.cancel(s)
			r.until(s, store.KeyRevoked)
			r.bringBack(id, kept)
			r.sim.Configure(func(o *simulator.Options) { o.Omit = c.omit })
			s.listing, s.out = "M", s.out.Add(24*time.Hour)
			r.book(s)
			r.until(s, store.KeyIssued)
			r.advance(time.Minute)
			r.rest(s)
			r.until(s, store.KeyIssued)
			r.mustHold(s.id, s.wants(system, "666666-6666"))
			r.mustBeSound()
		})
	}
}

// A stay is reinstated, and its create is answered with the earlier ACS user, which Salto is still deleting: once that
// one is gone, the stay gets a new one. If Seam answers each create like that, a person is asked after a few.
func TestACreateThatReturnsTheDeletedUser(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		always   bool
		failures int // of other calls, before the create
	}{"once": {}, "always": {always: true}, "once, after other failures": {failures: 5}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, fast(), simulator.Options{SecondUser: simulator.ReturnExisting, DeletingBlocks: true})
			r.listing("default", "L", "555555-5555")
			s := r.stay("R1")
			s.in, s.out = s.in.Add(14*24*time.Hour), s.out.Add(14*24*time.Hour)
			issued(r, &s)
			r.advance(5 * time.Minute)
			id := *r.rest(s).User.ACSUserID
			kept := r.sim.State()
			r.cancel(s)
			r.until(s, store.KeyRevoked)
			r.sim.Configure(func(o *simulator.Options) {
				o.Hook = func(path string, after bool) bool {
					if path != seam.PathUserCreate || after {
						return false
					}
					r.sim.Change(func(st *simulator.State) {
						u := kept.Users[id]
						u.GoneAt = r.now().Add(time.Minute)
						st.Users[id] = u
					})
					if !c.always {
						r.sim.Configure(func(o *simulator.Options) { o.Hook = nil })
					}
					return false
				}
			})
			r.sim.Forget()
			if c.failures > 0 {
				r.sim.Inject(simulator.Fault{
					Kind: simulator.Error500Before, Path: "/acs/users/list", Count: c.failures,
				})
			}
			r.book(s)
			if !c.always {
				r.untilLater(s, "issued", func(v store.View) bool { return v.Key.Status == store.KeyIssued })
				r.mustHold(s.id, s.wants(system, "555555-5555"))
				return
			}
			r.untilRemoved(s)
			r.mustBeCalm(s, "after a few tries")
			if n := r.called(seam.PathUserCreate); n > 4 {
				t.Errorf("%d creates, want 4 at most", n)
			}
		})
	}
}

// Comparing the returned ACS user fails at first: it gets no key before its hours and doors are known.
func TestAReturnedUserIsComparedFirst(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{SecondUser: simulator.ReturnExisting})
	r.listing("default", "L", "555555-5555", "lobby")
	r.listing("default", "M", "666666-6666")
	s := r.stay("R1")
	issued(r, &s)
	r.advance(5 * time.Minute)
	id := *r.rest(s).User.ACSUserID
	kept := r.sim.State()
	for _, k := range kept.MobileKeys(id) {
		delete(kept.Credentials, k.ID)
	}
	r.cancel(s)
	r.until(s, store.KeyRevoked)
	r.bringBack(id, kept)
	r.sim.Inject(simulator.Fault{Kind: simulator.Error500Before, Path: "/acs/access_groups/list", Count: 2})
	early := false
	r.sim.Configure(func(o *simulator.Options) {
		o.Watch = func(st *simulator.State) {
			u := st.Users[id]
			early = early || len(st.MobileKeys(id)) > 0 && len(u.GroupIDs) != 1
		}
	})
	s.listing = "M"
	r.book(s)
	r.until(s, store.KeyIssued)
	r.mustHold(s.id, s.wants(system, "666666-6666"))
	if early {
		t.Error("the key opened doors that the stay no longer has")
	}
	r.mustBeSound()
}
