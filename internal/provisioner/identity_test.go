package provisioner_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

// User identities that somebody deleted, gave away or merged.

// A lost create leaves a mark, and the identity that it names is deleted at Seam: the stay gets another identity, or
// ends.
func TestMarkOfADeletedIdentity(t *testing.T) {
	t.Parallel()
	for _, unknown := range []simulator.UnknownIdentity{simulator.Empty, simulator.NotFound, simulator.Everything} {
		for _, cancelled := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, cancelled %v", unknown, cancelled), func(t *testing.T) {
				t.Parallel()
				options := fast()
				options.SweepInterval = 100 * time.Millisecond
				r := newRig(t, options, simulator.Options{UnknownIdentity: unknown})
				r.listing("default", "L", "555555-5555")
				waitFor(t, "the access groups to be known", func() bool { return r.sim.Calls() >= 2 })
				r.sim.Inject(simulator.Fault{Kind: simulator.Error500Before, Path: seam.PathUserCreate})
				done := false
				r.sim.Configure(func(o *simulator.Options) {
					o.Hook = func(path string, after bool) bool {
						if path == seam.PathUserCreate && !after && !done {
							done = true
							r.sim.Change(func(st *simulator.State) { clear(st.Identities) })
						}
						return false
					}
				})
				s := r.stay("R1")
				r.book(s)
				waitFor(t, "the create to be lost", func() bool { return fired(r, seam.PathUserCreate) })
				if cancelled {
					r.cancel(s)
					r.until(s, store.KeyRevoked)
					return
				}
				r.until(s, store.KeyIssued)
				r.mustBeOne(s)
			})
		}
	}
}

// The identity that a stay was about to use is gone, and another one has its key: another installation, or a
// create of ours that was late, has made it. The stay gets that one, or ends and leaves nothing behind.
func TestAnIdentityWhoseKeyAnotherOneHas(t *testing.T) {
	t.Parallel()
	for _, email := range []string{"jane@example.com", ""} {
		for _, lost := range []bool{false, true} {
			for _, cancelled := range []bool{false, true} {
				t.Run(fmt.Sprintf("guest %q, lost %v, cancelled %v", email, lost, cancelled), func(t *testing.T) {
					t.Parallel()
					options := fast()
					options.SweepInterval = 100 * time.Millisecond
					r := newRig(t, options, simulator.Options{})
					r.listing("default", "L", "555555-5555")
					waitFor(t, "the access groups to be known", func() bool { return r.sim.Calls() >= 2 })
					if lost {
						r.sim.Inject(simulator.Fault{Kind: simulator.Error500Before, Path: seam.PathUserCreate})
					}
					replaced := make(chan struct{})
					var once sync.Once
					r.sim.Configure(func(o *simulator.Options) {
						o.Hook = func(path string, after bool) bool {
							if path == seam.PathUserCreate && !after {
								once.Do(func() { r.replaceIdentities(); close(replaced) })
							}
							return false
						}
					})
					s := r.stay("R1")
					s.email = email
					r.book(s)
					<-replaced
					if cancelled {
						r.cancel(s)
						r.until(s, store.KeyRevoked)
						for range 2 { // the late look-ups for what the lost create may have made
							r.rest(s)
							r.advance(11 * time.Minute)
						}
						waitFor(t, "a stay's own identity to be deleted", func() bool {
							return email != "" || len(r.sim.State().Identities) == 0
						})
						return
					}
					r.until(s, store.KeyIssued)
					r.mustBeOne(s)
				})
			}
		}
	}
}

// replaceIdentities has other user identities have the keys of those at Seam.
func (r *rig) replaceIdentities() {
	r.sim.Change(func(st *simulator.State) {
		others := map[string]simulator.Identity{}
		for _, i := range st.Identities {
			i.ID = uuid.NewString()
			others[i.ID] = i
		}
		st.Identities = others
	})
}

// The identity of a live ACS user is gone, so it can't be linked: hours and doors are updated anyway.
func TestARefusedLinkStarvesNothing(t *testing.T) {
	t.Parallel()
	options := fast()
	options.SweepInterval = 100 * time.Millisecond
	r := newRig(t, options, simulator.Options{})
	r.listing("default", "L", "555555-5555")
	s := r.stay("R1")
	issued(r, &s)
	r.sim.Change(func(st *simulator.State) {
		for id, u := range st.Users {
			u.IdentityID = ""
			st.Users[id] = u
		}
		clear(st.Identities)
	})
	r.advance(time.Minute)
	s.out = s.out.Add(24 * time.Hour)
	r.book(s)
	waitFor(t, "the extension", func() bool { h := r.holds(s.id); return len(h) == 1 && h[0].Ends.Equal(s.out) })
	r.until(s, store.KeyIssued)
	r.recheck(s)
	waitFor(t, "an identity again", func() bool { h := r.holds(s.id); return len(h) == 1 && h[0].Identity == s.email })
	r.until(s, store.KeyIssued)
	r.mustBeOne(s)
}

// Seam refuses the new hours of a stay that also moves to another room: its doors follow at once, and its hours when
// Seam takes them.
func TestARefusedStepStarvesNothing(t *testing.T) {
	t.Parallel()
	r, s := newStay(t, simulator.Options{})
	r.listing("default", "M", "666666-6666")
	r.sim.Inject(simulator.Fault{Kind: simulator.Forbidden, Path: seam.PathUserUpdate, Count: -1})
	before := s.out
	s.listing, s.out = "M", s.out.Add(24*time.Hour)
	r.book(s)
	waitFor(t, "the doors of the other room", func() bool {
		h := r.holds(s.id)
		return len(h) == 1 && slices.Equal(h[0].Groups, []string{"666666-6666"})
	})
	if h := r.holds(s.id); !h[0].Ends.Equal(before) {
		t.Errorf("access ends at %s", h[0].Ends)
	}
	waitFor(t, "attention", func() bool { return r.view(s).Key.Status == store.KeyAttention })
	r.sim.Heal()
	r.advance(6 * time.Minute)
	r.until(s, store.KeyIssued)
	r.mustHold(s.id, s.wants(system, "666666-6666"))
}

// A slot is claimed, its create is refused, and before the next try the guest's identity is given to somebody else:
// the key doesn't follow.
func TestAClaimedSlotThatBecameSomebodyElses(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "555555-5555")
	r.sim.Inject(simulator.Fault{Kind: simulator.Conflict, Path: seam.PathUserCreate, Count: 1})
	s := r.stay("R1")
	r.book(s)
	waitFor(t, "the refusal", func() bool { return r.view(s).Key.Status == store.KeyAttention })
	for id := range r.sim.State().Identities {
		r.sim.EditIdentity(id, "bob@example.com")
	}
	r.advance(r.view(s).Key.NextReconcileAt.Sub(r.now()))
	r.until(s, store.KeyIssued)
	if got := r.holds(s.id); len(got) != 1 || got[0].Identity != "own" {
		r.tell(s)
		t.Errorf("Seam holds %+v", got)
	}
	r.mustBeOne(s)
}

// Somebody gives a guest's identity another address at Seam: the guest's next key must not appear in that person's
// app.
func TestAnIdentityThatBecameSomebodyElses(t *testing.T) {
	t.Parallel()
	r, first := newStay(t, simulator.Options{})
	r.cancel(first)
	r.until(first, store.KeyRevoked)
	r.sim.Change(func(st *simulator.State) {
		for id, i := range st.Identities {
			i.Email = "bob@example.com"
			st.Identities[id] = i
		}
	})
	r.advance(time.Minute)
	s := r.stay("R2")
	r.book(s)
	r.until(s, store.KeyIssued)
	if got := r.holds(s.id); len(got) != 1 || got[0].Identity == "bob@example.com" {
		t.Errorf("Jane's key is on %+v", got)
	}
}

// A stay has lost its guest and its room, and somebody unlinks its remaining ACS user. The identity, which was the
// former guest's, is somebody else's now, or gone: nothing is linked to that person, and the former guest's identity
// is not created without an address.
func TestAnUnlinkedUserOfAFormerGuest(t *testing.T) {
	t.Parallel()
	for fate, address := range map[string]string{
		"somebody else's":   "bob@example.com",
		"folds to the same": "\u212aate@example.com", "gone": "",
	} {
		t.Run(fate, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, fast(), simulator.Options{})
			r.listing("default", "L", "555555-5555")
			s := r.stay("R1")
			s.email = "kate@example.com"
			issued(r, &s)
			s.email, s.listing = "", ""
			r.book(s)
			r.until(s, store.KeyWaiting)
			r.alter(s, func(u *simulator.User) { u.IdentityID = "" })
			for id := range r.sim.State().Identities {
				if address == "" {
					r.sim.Change(func(st *simulator.State) { delete(st.Identities, id) })
				} else {
					r.sim.EditIdentity(id, address)
				}
			}
			r.advance(time.Minute)
			r.sim.Forget()
			r.recheck(s)
			r.rest(s)
			if got := r.holds(s.id); len(got) != 1 || got[0].Identity != "own" {
				r.tell(s)
				t.Errorf("Seam holds %+v", got)
			}
			if n := r.called(seam.PathIdentityCreate); n != 0 {
				t.Errorf("%d user identities were created for nobody", n)
			}
			s.listing = "L"
			r.book(s)
			r.until(s, store.KeyIssued)
			r.mustBeOne(s)
		})
	}
}

// A guest is erased while a new booking of the same guest arrives: the new key must not be deleted with the identity.
func TestErasingWhileTheGuestBooksAgain(t *testing.T) {
	t.Parallel()
	r, first := newStay(t, simulator.Options{})
	r.cancel(first)
	r.until(first, store.KeyRevoked)
	s := r.stay("R2")
	booked := false
	r.sim.Configure(func(o *simulator.Options) {
		o.Hook = func(path string, after bool) bool {
			if path == "/user_identities/list_acs_users" && after && !booked { // after the look, before the deletion
				booked = true
				r.book(s)
				waitFor(t, "the new stay to wait for the erasure",
					func() bool { return strings.Contains(str(r.view(s).Key.Message), "being erased") })
			}
			return false
		}
	})
	if _, err := r.prov.EraseGuest(context.Background(), first.email,
		store.Audit{Author: "Maria", Action: "erase_guest"}); err != nil {
		t.Fatal(err)
	}
	r.sim.Configure(func(o *simulator.Options) { o.Hook = nil })
	r.advance(time.Minute)
	r.until(s, store.KeyIssued)
	r.recheck(s)
	r.rest(s)
	r.until(s, store.KeyIssued)
	r.mustHold(s.id, s.wants(system, "555555-5555"))
	r.mustBeOne(s)
}

// The guest's identity is merged into another at Seam. A lost create is found anyway, and the stay stays linked.
func TestMergedIdentity(t *testing.T) {
	t.Parallel()
	for i := range 4 {
		lost, wrong := i%2 == 1, i > 1
		t.Run(fmt.Sprintf("create lost %v, one wrong 404 %v", lost, wrong), func(t *testing.T) {
			t.Parallel()
			r := newLossyRig(t, fast(), simulator.Options{})
			r.listing("default", "L", "555555-5555")
			waitFor(t, "the access groups to be known", func() bool { return r.sim.Calls() >= 2 })
			s := r.stay("R1")
			merge := func() {
				var from []string
				r.sim.Change(func(st *simulator.State) {
					for id := range st.Identities {
						from = append(from, id)
					}
					st.Identities["99999999-9999-4999-8999-999999999999"] = simulator.Identity{
						ID: "99999999-9999-4999-8999-999999999999", Email: "jane.doe@example.com",
					}
				})
				r.sim.MergeIdentities("99999999-9999-4999-8999-999999999999", from...)
				if wrong {
					r.sim.Inject(simulator.Fault{Kind: simulator.WrongNotFound, Path: "/user_identities/get"})
				}
			}
			if lost {
				r.sim.Configure(func(o *simulator.Options) {
					done := false
					o.Hook = func(path string, after bool) bool {
						if path == seam.PathUserCreate && after && !done {
							done = true
							merge()
							return true
						}
						return false
					}
				})
			}
			r.book(s)
			r.until(s, store.KeyIssued)
			if !lost {
				merge()
				r.advance(time.Minute)
				r.recheck(s)
				r.rest(s)
				r.until(s, store.KeyIssued)
			}
			r.advance(11 * time.Minute)
			r.rest(s)
			if n := r.called(seam.PathIdentityAddUser); n != 0 {
				t.Errorf("the ACS user was linked again %d times", n)
			}
			r.mustBeOne(s)
			if n := r.called(seam.PathIdentityDelete); n != 0 {
				t.Error("an identity that may be somebody else's was deleted")
			}
		})
	}
}
