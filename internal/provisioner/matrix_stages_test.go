package provisioner_test

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	domain "github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/until"
)

// What happens in a stay's life, for [TestFaultMatrix].

// stage is something that happens in a stay's life, to which faults are injected.
type stage struct {
	name    string
	prepare func(*rig, *stay) // before; nil: the stay is issued
	act     func(*rig, *stay) // what happens; the stay then describes the expected result
	status  string            // the resulting status
	groups  []string          // at the end, on the final system
	moved   bool              // to another system
	live    bool              // the guest has a key all the time
	held    bool              // an admin holds the stay at the end
	last    int               // after a refusal of its call with this number, from 1, nothing is left to do; 0 for none
}

// Groups of the matrix' listings.
var (
	groupsL = []string{"555555-5555", "lobby"}
	groupsM = []string{"666666-6666", "lobby"}
	groupsV = []string{"verde-1", "verde-2"}
)

func booked(r *rig, s *stay) { r.book(*s) }

func issued(r *rig, s *stay) {
	r.book(*s)
	r.until(*s, store.KeyIssued)
	r.mustHaveRightCode(*s)
}

// ownListing gives the stay a listing of its own, so that its groups can change for it alone.
func ownListing(r *rig, s *stay) {
	s.listing = "own of " + s.id
	r.listing(s.source, s.listing, groupsL...)
	issued(r, s)
}

var stages = []stage{
	{name: "create", prepare: func(*rig, *stay) {}, act: booked, status: store.KeyIssued, groups: groupsL},
	{
		name: "create, no e-mail", prepare: func(_ *rig, s *stay) { s.email = "" }, act: booked,
		status: store.KeyIssued, groups: groupsL,
	},
	{
		name: "create, second stay of a guest", prepare: func(r *rig, s *stay) {
			other := *s
			other.id += " before"
			issued(r, &other)
		}, act: func(r *rig, s *stay) { s.own = true; r.book(*s) }, status: store.KeyIssued, groups: groupsL,
	},
	{
		name: "date change", act: func(r *rig, s *stay) {
			s.in, s.out = s.in.Add(-time.Hour),
				s.out.Add(time.Hour)
			r.book(*s)
		},
		status: store.KeyIssued, groups: groupsL, live: true,
	},
	{name: "group change", prepare: ownListing, act: func(r *rig, s *stay) {
		r.listing(s.source, s.listing,
			groupsM...)
	}, status: store.KeyIssued, groups: groupsM, live: true},
	{
		name: "move", act: func(r *rig, s *stay) { s.listing = "M"; r.book(*s) }, status: store.KeyIssued,
		groups: groupsM,
		live:   true,
	},
	{
		name: "move and dates", act: func(r *rig, s *stay) {
			s.listing, s.out = "M",
				s.out.Add(-time.Hour)
			r.book(*s)
		},
		status: store.KeyIssued, groups: groupsM, live: true,
	},
	{
		name: "move to another system", act: func(r *rig, s *stay) { s.listing = "V"; r.book(*s) },
		status: store.KeyIssued, groups: groupsV, moved: true, live: true,
	},
	{
		name: "guest change", act: func(r *rig, s *stay) { s.email = "new-" + s.email; r.book(*s) },
		status: store.KeyIssued, groups: groupsL, live: true,
	},
	{
		name: "guest without e-mail", act: func(r *rig, s *stay) { s.email = ""; r.book(*s) }, status: store.KeyIssued,
		groups: groupsL, live: true,
	},
	{name: "cancel", act: func(r *rig, s *stay) { r.cancel(*s) }, status: store.KeyRevoked},
	{
		name: "cancel, no e-mail", prepare: func(r *rig, s *stay) { s.email = ""; issued(r, s) },
		act:    func(r *rig, s *stay) { r.cancel(*s) },
		status: store.KeyRevoked,
	},
	{
		name: "reinstate", prepare: func(r *rig, s *stay) {
			issued(r, s)
			r.cancel(*s)
			r.until(*s, store.KeyRevoked)
		}, act: booked, status: store.KeyIssued, groups: groupsL,
	},
	{name: "booked again during a removal", prepare: func(r *rig, s *stay) {
		s.in = r.now().Add(45 * time.Minute).Truncate(time.Millisecond) // soon: nothing waits for a removal
		issued(r, s)
	}, act: bookedDuringItsRemoval, status: store.KeyIssued, groups: groupsL, last: 1},
	{
		name: "clean-up", act: func(r *rig, s *stay) { r.advance(s.out.Add(25 * time.Hour).Sub(r.now())) },
		status: store.KeyExpired,
	},
	{
		name: "cut short", prepare: func(r *rig, s *stay) {
			s.in = r.now().Add(-time.Hour).Truncate(time.Millisecond)
			r.book(*s)
			r.until(*s, store.KeyActive)
		}, act: func(r *rig, s *stay) { s.out = r.now().Add(-time.Second).Truncate(time.Millisecond); r.book(*s) },
		status: store.KeyExpired,
	},
}

// gatedStages are what gates do in a stay's life. What the sources have for gates is in [unkindGates].
var gatedStages = []stage{
	{name: "gate opens", prepare: waiting("gated"), act: openGates, status: store.KeyIssued, groups: groupsL},
	{name: "gate takes the key", prepare: admitted("strict"), act: closeGate, status: store.KeyWaiting},
	{
		name: "gate gives another key", prepare: func(r *rig, s *stay) {
			admitted("strict")(r, s)
			closeGate(r, s)
			r.untilThat(*s, "waiting for a gate", waitsForGate)
		}, act: openGates, status: store.KeyIssued, groups: groupsL,
	},
	{
		name: "shorter with a closed gate", prepare: closedAgain,
		act:    func(r *rig, s *stay) { s.out = s.out.Add(-time.Hour); r.book(*s) },
		status: store.KeyAttention, groups: groupsL, live: true,
	},
	{
		name: "move with a closed gate", prepare: closedAgain,
		act:    func(r *rig, s *stay) { s.listing = "M"; r.book(*s) },
		status: store.KeyAttention, groups: groupsM, live: true,
	},
	{
		name: "cancel with a closed gate", prepare: closedAgain, act: func(r *rig, s *stay) { r.cancel(*s) },
		status: store.KeyRevoked,
	},
}

// adminStages are what admins do in a stay's life.
var adminStages = []stage{
	{
		name: "drift on hold", prepare: func(r *rig, s *stay) {
			issued(r, s)
			hold(r, s)
			r.alter(*s, func(u *simulator.User) { u.GroupIDs = append(u.GroupIDs, groupsM[0]) })
		}, act: func(r *rig, s *stay) { r.recheck(*s) }, status: store.KeyAttention,
		groups: []string{groupsL[0], groupsL[1], groupsM[0]}, live: true, held: true,
	},
	{name: "revoke", act: admin(intake.Action{Kind: intake.ActionRevoke}), status: store.KeyRevoked},
	{
		name: "issue again", prepare: func(r *rig, s *stay) {
			issued(r, s)
			admin(intake.Action{Kind: intake.ActionRevoke})(r, s)
			r.until(*s, store.KeyRevoked)
			r.rest(*s)
		}, act: admin(intake.Action{Kind: intake.ActionReissue}), status: store.KeyIssued, groups: groupsL,
	},
	{
		name: "replace the mobile key", act: admin(intake.Action{Kind: intake.ActionReissue}), status: store.KeyIssued,
		groups: groupsL,
	},
	{
		name: "window", act: func(r *rig, s *stay) {
			s.in, s.out = s.in.Add(-time.Hour), s.out.Add(time.Hour)
			admin(intake.Action{Kind: intake.ActionWindow, StartsAt: &s.in, EndsAt: &s.out})(r, s)
		}, status: store.KeyIssued, groups: groupsL, live: true,
	},
}

func admin(a intake.Action) func(*rig, *stay) {
	return func(r *rig, s *stay) { r.mustAct(*s, a) }
}

// hold holds a stay. The calls of attempts that were under way are not those of the stage.
func hold(r *rig, s *stay) {
	admin(intake.Action{Kind: intake.ActionHold})(r, s)
	r.untilThat(*s, "held", func(v store.View) bool { return str(v.Key.Reason) == domain.ReasonHeld })
	r.rest(*s)
}

// waiting books a stay of a source whose gates nobody has opened.
func waiting(source string) func(*rig, *stay) {
	return func(r *rig, s *stay) {
		s.source, s.own = source, true
		r.book(*s)
		r.untilThat(*s, "waiting for a gate", waitsForGate)
	}
}

// admitted books a stay and opens its gates.
func admitted(source string) func(*rig, *stay) {
	return func(r *rig, s *stay) {
		waiting(source)(r, s)
		openGates(r, s)
		r.until(*s, store.KeyIssued)
		r.mustHaveRightCode(*s)
	}
}

// closedAgain has a gate close under a key that stays.
func closedAgain(r *rig, s *stay) {
	admitted("gated")(r, s)
	closeGate(r, s)
	r.untilThat(*s, "closed again", isClosedAgain)
}

func openGates(r *rig, s *stay) {
	s.gates = map[string]string{"paid": domain.GateOpen, "signed": domain.GateOpen}
	r.book(*s)
	s.gates = nil
}

func closeGate(r *rig, s *stay) { r.gate(*s, domain.GateClosed) }

// bookedDuringItsRemoval cancels a stay and books it again before Seam answers the delete. The new booking is applied
// by then, although the applier that cancels may take its event, too.
func bookedDuringItsRemoval(r *rig, s *stay) {
	done := make(chan struct{})
	var once sync.Once
	r.sim.Configure(func(o *simulator.Options) {
		o.Hook = func(path string, after bool) bool {
			if path == seam.PathUserDelete && !after {
				once.Do(func() {
					defer close(done)
					r.book(*s)
					until.True(r.t, "the new booking to be applied", func() bool {
						return r.view(*s).Reservation.Status == pms.Confirmed
					})
				})
			}
			return false
		}
	})
	r.cancel(*s)
	<-done
}

// reconcile is an admin's.
func reconcile(r *rig, s *stay) {
	if err := r.applier.Act(context.Background(), store.Ref{Source: s.source, ReservationID: s.id},
		intake.Action{Kind: intake.ActionReconcile}); err != nil {
		r.t.Error(err)
	}
}

// spoilt changes an issued stay's objects at Seam, as another person would.
func spoilt(change func(*simulator.State, simulator.User)) func(*rig, *stay) {
	return func(r *rig, s *stay) {
		issued(r, s)
		r.advance(10 * time.Second) // what is missing after the read lag counts as deleted
		r.sim.Change(func(st *simulator.State) {
			for _, u := range st.UsersNamed(s.id) {
				change(st, u)
			}
		})
	}
}

func init() {
	stages = slices.Concat(stages, gatedStages, codedStages, adminStages)
	for _, what := range []struct {
		name   string
		change func(*simulator.State, simulator.User)
		live   bool
	}{
		{"unlinked", func(st *simulator.State, u simulator.User) { u.IdentityID = ""; st.Users[u.ID] = u }, true},
		{"second key", func(st *simulator.State, u simulator.User) {
			st.Credentials["more "+u.ID] = simulator.Credential{
				ID: "more " + u.ID, UserID: u.ID,
				AccessMethod: "mobile_key", MultiPhone: true, CreatedAt: u.CreatedAt.Add(time.Second),
			}
		}, true},
		{"key deleted", func(st *simulator.State, u simulator.User) {
			delete(st.Credentials,
				st.MobileKeys(u.ID)[0].ID)
		}, false},
		{"suspended", func(st *simulator.State, u simulator.User) { u.Suspended = true; st.Users[u.ID] = u }, true},
		{"deleted", func(st *simulator.State, u simulator.User) {
			delete(st.Credentials, st.MobileKeys(u.ID)[0].ID)
			delete(st.Users, u.ID)
		}, false},
	} {
		stages = append(stages, stage{
			name: "reconcile, " + what.name, prepare: spoilt(what.change), act: reconcile,
			status: store.KeyIssued, groups: groupsL, live: what.live,
		})
	}
}
