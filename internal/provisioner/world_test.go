package provisioner_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/tools/chaos"
)

// TestRandomWorld changes many stays at random while calls fail at random and provisioners are stopped and started,
// and then compares what Seam holds with what the last events require. STAYKEY_WORLD_SEED repeats a run,
// STAYKEY_WORLD_ROUNDS makes it longer.
func TestRandomWorld(t *testing.T) {
	t.Parallel()
	for i, second := range []simulator.SecondUser{
		simulator.Allow, simulator.Refuse, simulator.ReturnExisting,
		simulator.MoveLink,
	} {
		t.Run(string(second), func(t *testing.T) {
			t.Parallel()
			seed, rounds := chaos.Seed(uint64(i)), chaos.Size("STAYKEY_WORLD_ROUNDS", 100)
			t.Logf("STAYKEY_WORLD_SEED=%d", seed)
			newWorld(t, second, rand.New(rand.NewPCG(seed, seed))).run(rounds)
		})
	}
}

// world is a rig with a model of what should be.
type world struct {
	*rig
	random *rand.Rand
	stays  []*modelStay
	groups map[string][]string // of each listing, as last sent
}

type modelStay struct {
	stay
	booked    bool
	cancelled bool
}

func newWorld(t *testing.T, second simulator.SecondUser, random *rand.Rand) *world {
	w := &world{rig: newRigWith(t, rigKind{timeout: lossyTimeout, connections: racing}, fast(), simulator.Options{
		SecondUser:         second,
		CaseSensitiveEmail: random.IntN(2) == 0,
	}), random: random, groups: map[string][]string{}}
	w.policy = policyWithGates
	for i := range 12 {
		s := w.rig.stay(fmt.Sprintf("S%d", i))
		s.source = []string{"default", "coded"}[i%2]
		w.stays = append(w.stays, &modelStay{stay: s})
	}
	waitFor(t, "the access groups to be known", func() bool { return w.sim.Calls() >= 2 })
	w.sim.Configure(func(o *simulator.Options) { // less than the read lag, so that it must not show
		o.ReadLag, o.Pending = time.Duration(random.IntN(2)*80)*time.Millisecond,
			time.Duration(random.IntN(2)*60)*time.Millisecond
	})
	for _, l := range []string{"L", "M", "V"} {
		w.setListing(l)
	}
	return w
}

var possible = map[string][]string{
	"L": {"555555-5555", "lobby"}, "M": {"666666-6666", "lobby"},
	"V": {"verde-1", "verde-2"},
}

func (w *world) setListing(id string) {
	all := possible[id]
	groups := all[:1+w.random.IntN(len(all))]
	w.groups[id] = groups
	for _, source := range []string{"default", "coded"} {
		w.listing(source, id, groups...)
	}
}

func (w *world) run(rounds int) {
	paths := []string{
		seam.PathIdentityCreate, seam.PathUserCreate, seam.PathCredentialCreate, seam.PathUserUpdate,
		seam.PathUserDelete, seam.PathGroupAdd, seam.PathGroupRemove,
		"/acs/users/get", "/acs/users/list", "/acs/credentials/list", "/user_identities/get",
	}
	for range rounds {
		if w.random.IntN(2) == 0 {
			w.sim.Inject(simulator.Fault{
				Kind: simulator.FaultKinds[w.random.IntN(len(simulator.FaultKinds))],
				Path: paths[w.random.IntN(len(paths))], RetryAfter: 10 * time.Millisecond,
			})
		}
		switch w.random.IntN(20) {
		case 0:
			w.setListing([]string{"L", "M", "V"}[w.random.IntN(3)])
		case 1:
			w.stopAndSettle()
			w.start()
		default:
			w.changeStay(w.stays[w.random.IntN(len(w.stays))])
		}
	}
	result := chaos.Result{Rig: "random worlds", Cells: 1, Fired: 1, Faults: w.sim.Heal(), Events: rounds}
	w.sim.Configure(func(o *simulator.Options) { o.ReadLag = 0 })
	quiet := time.Now()
	for _, s := range w.stays {
		if s.booked {
			w.check(s)
			result.Converge = append(result.Converge, time.Since(quiet))
		}
	}
	w.mustBeSound()
	if w.t.Failed() {
		result.Wrong = 1
	}
	chaos.Record(w.t, result)
}

func (w *world) changeStay(s *modelStay) {
	switch {
	case s.booked && w.random.IntN(5) == 0:
		s.cancelled = true
		w.cancel(s.stay)
		return
	case w.random.IntN(3) == 0:
		s.out = s.out.Add(time.Duration(1+w.random.IntN(48)) * time.Hour)
	case w.random.IntN(3) == 0:
		s.listing = []string{"L", "M", "V", ""}[w.random.IntN(4)]
	case w.random.IntN(3) == 0:
		s.email = []string{"jane@example.com", "Joe@example.com", ""}[w.random.IntN(3)]
	}
	s.booked, s.cancelled = true, false
	w.book(s.stay)
}

func (w *world) check(s *modelStay) {
	w.t.Helper()
	if s.cancelled {
		w.until(s.stay, store.KeyRevoked)
		w.mustHold(s.id)
		w.mustHaveRightCode(s.stay)
		return
	}
	if s.listing == "" {
		w.until(s.stay, store.KeyWaiting)
		for _, h := range w.holds(s.id) {
			if len(h.Groups) != 0 || len(w.holds(s.id)) > 1 {
				w.t.Errorf("%s has no room, and opens doors: %+v", s.id, h)
			}
		}
		return
	}
	w.until(s.stay, store.KeyIssued)
	want := s.wants(map[string]string{"L": system, "M": system, "V": systemB}[s.listing], w.groups[s.listing]...)
	got := w.holds(s.id)
	if len(got) == 1 {
		// Whether the guest's slot was free depends on the others; an identity of the stay's own is just as good.
		if got[0].Identity != "own" && got[0].Identity != pms.GuestAddress(s.email) {
			w.t.Errorf("%s of %q is linked to the identity of %q", s.id, s.email, got[0].Identity)
		}
		want.Identity = got[0].Identity
	}
	slices.Sort(want.Groups)
	if diff := cmp.Diff([]access{want}, got); diff != "" {
		w.tell(s.stay)
		w.t.Errorf("Seam holds for %s (-want +got):\n%s", s.id, diff)
	}
	w.mustHaveRightCode(s.stay)
}
