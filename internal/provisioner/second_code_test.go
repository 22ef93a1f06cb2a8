package provisioner_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

// holdAtNextGet has an admin hold a stay while an attempt reads its ACS user.
func (r *rig) holdAtNextGet(s stay) {
	var once sync.Once
	r.sim.Configure(func(o *simulator.Options) {
		o.Hook = func(path string, after bool) bool {
			if path == "/acs/users/get" && after {
				once.Do(func() { r.mustAct(s, intake.Action{Kind: intake.ActionHold, Why: "wait"}) })
			}
			return false
		}
	})
}

// mustHoldStill waits until a stay is on hold, and checks that nothing was deleted at Seam since then.
func (r *rig) mustHoldStill(s stay, before []string) {
	r.t.Helper()
	r.untilLater(s, "held", func(v store.View) bool { return str(v.Key.Reason) == "held" })
	for _, path := range r.changing()[len(before):] {
		if path == seam.PathUserDelete || path == seam.PathCredentialDelete {
			r.tell(s)
			r.t.Errorf("%s was sent while the stay was on hold", path)
		}
	}
}

// An admin holds a stay while an attempt is about to delete a second ACS user once more.
func TestAHoldBeforeASecondUserIsDeleted(t *testing.T) {
	t.Parallel()
	r, s := newStay(t, simulator.Options{})
	r.advance(time.Minute)
	r.leaveSecond(*r.rest(s).User.ACSUserID)
	r.sim.Configure(func(o *simulator.Options) { o.RefuseDeletes = true })
	r.recheck(s)
	r.untilThat(s, "not removed", func(v store.View) bool { return str(v.Key.Reason) == "not_removed" })
	r.rest(s)
	before := r.changing()
	r.holdAtNextGet(s)
	r.mustHoldStill(s, before)

	r.sim.Configure(func(o *simulator.Options) { o.RefuseDeletes = false })
	r.mustAct(s, intake.Action{Kind: intake.ActionRelease, Why: "done"})
	r.untilLater(s, "the second one gone", func(store.View) bool { return len(r.holds(s.id)) == 1 })
}

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
	r.sim.Change(func(st *simulator.State) { st.Credentials[secondCode] = second(first) })
	if _, err := r.store.Pool().Exec(context.Background(), `
		UPDATE backup_codes SET surplus = ARRAY[$1] WHERE source = $2 AND reservation_id = $3`, secondCode, s.source,
		s.id); err != nil {
		t.Fatal(err)
	}
	return r, s, first
}

// An admin holds a stay while an attempt is about to delete a second backup code.
func TestAHoldBeforeASecondCodeIsDeleted(t *testing.T) {
	t.Parallel()
	r, s, _ := newSecondCode(t)
	before := r.changing()
	r.holdAtNextGet(s)
	r.recheck(s)
	r.mustHoldStill(s, before)

	r.mustAct(s, intake.Action{Kind: intake.ActionRelease, Why: "done"})
	r.untilLater(s, "the second one gone", func(store.View) bool {
		return !slices.ContainsFunc(r.codesAtSeam(s), func(c simulator.Credential) bool { return c.ID == secondCode })
	})
	r.mustHaveOneCode(s)
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
