package provisioner_test

import (
	"testing"
	"time"

	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

// Seam wrongly answers 404, to the get of a deleted ACS user and to every list. A list that isn't found proves nothing:
// the ACS user, which Salto KS kept, is not forgotten.
func TestAListThatIsNotFoundIsNoAbsence(t *testing.T) {
	t.Parallel()
	r, s := newStay(t, simulator.Options{RefuseDeletes: true})
	r.advance(time.Minute)
	r.rest(s)
	for _, path := range []string{"/acs/users/get", "/acs/users/list"} {
		r.sim.Inject(simulator.Fault{Kind: simulator.WrongNotFound, Path: path, Count: -1})
	}
	r.cancel(s)
	for range 12 {
		r.skipTo(r.rested(s))
	}
	if n := r.rows(s); n != 1 {
		t.Fatalf("Seam holds %+v, and %d rows name it", r.holds(s.id), n)
	}
	r.sim.Heal()
	r.sim.Configure(func(o *simulator.Options) { o.RefuseDeletes = false })
	r.untilLater(s, store.KeyRevoked, func(v store.View) bool { return v.Key.Status == store.KeyRevoked })
	r.mustHold(s.id)
}
