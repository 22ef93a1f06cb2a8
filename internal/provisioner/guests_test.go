package provisioner_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

// Guests with several stays, and guests who change.

func TestChangeOfGuest(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "555555-5555")
	s := r.stay("R1")
	r.book(s)
	before := r.until(s, store.KeyIssued)
	for _, email := range []string{"joe@example.com", "", "relay@guest.booking.com", "jane@example.com"} {
		s.email = email
		r.book(s)
		after := r.until(s, store.KeyIssued)
		want := s
		if email == "relay@guest.booking.com" {
			want.email = ""
		}
		r.mustHold(s.id, want.wants(system, "555555-5555"))
		changed := *after.User.ACSUserID != *before.User.ACSUserID
		// a relay address belongs to nobody, like no address
		if wantChange := email != "relay@guest.booking.com"; changed != wantChange {
			t.Errorf("to %q: another ACS user %v, want %v", email, changed, wantChange)
		}
		before = after
	}
	for _, i := range r.sim.State().Identities {
		if i.Email == "" {
			t.Error("the reservation's own identity is left")
		}
	}
	r.mustBeSound()
}

func TestOneGuestWithSeveralStays(t *testing.T) {
	t.Parallel()
	for _, second := range []simulator.SecondUser{
		simulator.Allow, simulator.Refuse, simulator.ReturnExisting,
		simulator.MoveLink,
	} {
		for _, twoSources := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, two sources %v", second, twoSources), func(t *testing.T) {
				t.Parallel()
				r := newRig(t, fast(), simulator.Options{SecondUser: second})
				a, b := r.stay("R1"), r.stay("R2")
				b.email, b.in = "JANE@example.com", b.in.Add(24*time.Hour)
				if twoSources {
					b.source, b.id = "other", "R1"
				}
				r.listing(a.source, "L", "555555-5555")
				r.listing(b.source, "L2", "666666-6666")
				b.listing = "L2"
				r.book(a)
				r.book(b)
				r.until(a, store.KeyIssued)
				r.until(b, store.KeyIssued)
				va, vb := r.view(a), r.view(b)
				if *va.User.ACSUserID == *vb.User.ACSUserID {
					t.Fatal("two stays share one ACS user")
				}
				if va.User.UserIdentityID == vb.User.UserIdentityID {
					t.Error("two ACS users of one identity on one system: Seam documents one")
				}
				state := r.sim.State()
				for _, x := range []struct {
					v     store.View
					s     stay
					group string
				}{{va, a, "555555-5555"}, {vb, b, "666666-6666"}} {
					u := state.Users[*x.v.User.ACSUserID]
					if fmt.Sprint(u.GroupIDs) != fmt.Sprint([]string{x.group}) || !u.Schedule.StartsAt.Equal(x.s.in) ||
						u.FullName != x.s.id || u.IdentityID == "" || len(state.MobileKeys(u.ID)) != 1 {
						t.Errorf("%s/%s: Seam holds %+v", x.s.source, x.s.id, u)
					}
				}
				r.cancel(a)
				r.until(a, store.KeyRevoked)
				if _, ok := r.sim.State().Users[*vb.User.ACSUserID]; !ok {
					t.Error("cancelling one stay has removed the other's ACS user")
				}
				if after := r.until(b, store.KeyIssued); *after.User.CredentialID != *vb.User.CredentialID {
					t.Error("cancelling one stay has changed the other's key")
				}
				// The freed slot is available to new stays.
				c := r.stay("R3")
				r.listing("default", "L", "555555-5555")
				r.book(c)
				r.until(c, store.KeyIssued)
				r.mustBeSound()
			})
		}
	}
}

// Two stays of a guest look for a slot at the same moment, and both find it free.
func TestTwoStaysOfAGuestAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "555555-5555")
	earlier, a, b := r.stay("R0"), r.stay("R1"), r.stay("R2")
	r.book(earlier)
	r.until(earlier, store.KeyIssued)
	r.cancel(earlier)
	r.until(earlier, store.KeyRevoked) // the guest's identity is known
	r.stop()
	r.book(a)
	r.book(b)
	r.sim.Configure(func(o *simulator.Options) { o.Latency = 100 * time.Millisecond })
	r.start()
	va, vb := r.until(a, store.KeyIssued), r.until(b, store.KeyIssued)
	if va.User.UserIdentityID == vb.User.UserIdentityID || *va.User.ACSUserID == *vb.User.ACSUserID {
		t.Error("two ACS users of one identity on one system: Seam documents one")
	}
}

func TestAdoptedIdentitySurvivesEverything(t *testing.T) {
	t.Parallel()
	for _, withUser := range []bool{false, true} {
		for _, second := range []simulator.SecondUser{
			simulator.Allow, simulator.Refuse, simulator.ReturnExisting,
			simulator.MoveLink,
		} {
			t.Run(fmt.Sprintf("with an ACS user %v, %s", withUser, second), func(t *testing.T) {
				t.Parallel()
				r := newRig(t, fast(), simulator.Options{SecondUser: second, UniqueStatus: 409})
				r.sim.Change(func(s *simulator.State) {
					s.Identities["theirs"] = simulator.Identity{
						ID: "theirs", Email: "Jane@Example.com",
						FullName: "Jane", CreatedAt: r.now(),
					}
					if withUser {
						s.Users["their-user"] = simulator.User{
							ID: "their-user", SystemID: system, IdentityID: "theirs",
							FullName: "Jane D.", Schedule: &simulator.Schedule{StartsAt: r.now()}, CreatedAt: r.now(),
						}
					}
				})
				before := r.sim.State()
				r.listing("default", "L", "555555-5555")
				s := r.stay("R1")
				r.book(s)
				v := r.until(s, store.KeyIssued)
				linked := r.sim.State().Users[*v.User.ACSUserID].IdentityID
				if (linked == "theirs") == withUser {
					t.Errorf("linked to %q although the identity has an ACS user there: %v", linked, withUser)
				}
				r.cancel(s)
				r.until(s, store.KeyRevoked)
				after := r.sim.State()
				if fmt.Sprint(after.Identities) != fmt.Sprint(before.Identities) ||
					fmt.Sprint(after.Users) != fmt.Sprint(before.Users) {
					t.Errorf("somebody else's things have changed:\n%+v %+v\n%+v %+v", before.Identities, before.Users,
						after.Identities, after.Users)
				}
			})
		}
	}
}

func TestAddressThatSeamRefuses(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{RefuseEmail: "odd@example.com"})
	r.listing("default", "L", "555555-5555")
	s := r.stay("R1")
	s.email = "odd@example.com"
	r.book(s)
	r.until(s, store.KeyIssued)
	s.email = ""
	r.mustHold(s.id, s.wants(system, "555555-5555"))
}
