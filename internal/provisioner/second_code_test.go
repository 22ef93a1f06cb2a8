package provisioner_test

import (
	"testing"
	"time"

	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
)

const secondCode = "34343434-3434-4434-8434-343434343434"

// second is a code like the first, with the id secondCode.
func second(first simulator.Credential) simulator.Credential {
	first.ID = secondCode
	return first
}

// newSecondCode starts a rig with one stay, whose second backup code must be deleted. first is the other.
func newSecondCode(t *testing.T) (r *rig, s stay, first simulator.Credential) {
	t.Helper()
	r = newCodeRig(t, simulator.Options{})
	s = r.stay("R1")
	r.book(s)
	first = r.untilCode(s)
	r.rest(s)
	r.addSecondCode(s, secondCode)
	return r, s, first
}

// Salto KS keeps a second backup code, although Seam accepts each delete: it is deleted repeatedly, with pauses.
func TestASecondCodeThatSaltoKeeps(t *testing.T) {
	t.Parallel()
	r, s, first := newSecondCode(t)
	r.recheck(s)
	const hours = 6
	for began := r.now(); r.now().Sub(began) < hours*time.Hour; {
		r.rested(s)
		r.sim.Change(func(st *simulator.State) { st.Credentials[secondCode] = second(first) })
		r.skipTo(r.view(s))
	}
	if n := r.called(seam.PathCredentialDelete); n < hours || n > hours*20 {
		t.Errorf("it was deleted %d times in %d hours", n, hours)
	}
}
