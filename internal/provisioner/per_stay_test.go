package provisioner_test

import (
	"testing"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

// perStay gives every stay an identity of its own.
func perStay(string) pms.Policy {
	p := pms.DefaultPolicy()
	p.OwnIdentity = true
	return p
}

func TestIdentityPerStay(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{SecondUser: simulator.Refuse})
	r.policy = perStay
	r.listing("default", "L", "555555-5555")
	first, second := r.stay("R1"), r.stay("R2")
	for _, s := range []*stay{&first, &second} {
		issued(r, s)
		own := *s
		own.email = ""
		r.mustHold(s.id, own.wants(system, "555555-5555"))
	}
	if a, b := r.view(first).User.UserIdentityID, r.view(second).User.UserIdentityID; a == b {
		t.Errorf("two stays of one guest share identity %s", a)
	}
	was := r.view(first).User
	first.email = "joe@example.com"
	r.book(first)
	v := r.untilThat(first, "another guest's", func(v store.View) bool { return v.Key.Status == store.KeyIssued })
	if v.User.UserIdentityID == was.UserIdentityID {
		t.Error("another guest of the stay has the identity of the one before")
	}
	for _, s := range []stay{first, second} {
		r.cancel(s)
		r.until(s, store.KeyRevoked)
	}
	if left := r.sim.State().Identities; len(left) > 0 {
		t.Errorf("identities are left at Seam: %v", left)
	}
	r.mustBeSound()
}

// A source changes to an identity per stay: a future stay moves to its own, the new key before the old one is
// removed; a stay that has begun keeps what the guest has on a phone.
func TestIdentityPerStayFromNowOn(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "555555-5555")
	begun, to := r.stay("R1"), r.stay("R2")
	to.email = "joe@example.com"
	begun.in = r.now().Add(time.Minute).Truncate(time.Millisecond)
	issued(r, &begun)
	issued(r, &to)
	r.advance(time.Hour)
	was := r.view(begun).User
	r.policy = perStay
	for _, s := range []*stay{&begun, &to} {
		s.out = s.out.Add(time.Hour)
		r.book(*s)
		r.untilThat(*s, "settled", func(v store.View) bool {
			return v.Key.Status == store.KeyIssued || v.Key.Status == store.KeyActive
		})
	}
	if is := r.view(begun).User; *is.ACSUserID != *was.ACSUserID || is.UserIdentityID != was.UserIdentityID {
		t.Errorf("a stay that has begun had %s and has %s", *was.ACSUserID, *is.ACSUserID)
	}
	own := to
	own.email = ""
	r.mustHold(to.id, own.wants(system, "555555-5555"))
	r.mustBeSound()
}
