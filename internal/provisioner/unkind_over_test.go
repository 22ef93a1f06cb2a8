package provisioner_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
)

// A stay that is over isn't compared with Seam, only emptied a day later. Until then the worlds' check must allow what
// others, or a change of guests shortly before the end, have left there.
func TestWorldsKnowStaysThatAreOver(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(*unkind, *unkindStay){
		"a second key": func(w *unkind, s *unkindStay) {
			w.passTime(4 * time.Hour)
			w.rest()
			w.mu.Lock()
			s.keysByOthers = true
			w.mu.Unlock()
			w.sim.Change(func(st *simulator.State) {
				for _, u := range st.UsersNamed(s.id) {
					w.meddleWith(st, u, "second key")
				}
			})
		},
		"the former guest's user": func(w *unkind, s *unkindStay) {
			w.mu.Lock()
			s.guestChanged = true
			w.mu.Unlock()
			w.sim.Inject(simulator.Fault{Kind: simulator.Forbidden, Path: seam.PathUserDelete, Count: -1})
			s.email = "joe@example.com"
			w.want(s)
			w.book(s.stay)
			w.rest()
			w.passTime(time.Minute)
			w.rest()
			w.passTime(4 * time.Hour)
			w.rest()
			w.sim.Heal()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newUnkind(t, simulator.ReturnExisting, rand.New(rand.NewPCG(1, 1)))
			s := w.stays[0]
			s.in = w.now().Add(-time.Hour).Truncate(time.Millisecond)
			s.out = w.now().Add(3 * time.Hour).Truncate(time.Millisecond)
			s.booked, s.listing = true, "L"
			w.want(s)
			w.book(s.stay)
			w.rest()
			leave(w, s)
			w.check()
			w.changeStay(w.stays[1]) // anything: the check looks at every stay again
			w.rest()
			if w.brokenYet() {
				t.Error("the worlds' check finds fault with a stay that is over")
			}
		})
	}
}
