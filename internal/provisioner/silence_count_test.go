package provisioner_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

// Seam's rate limit lasts for hours: the stay gets a visible reason, and is provisioned when the limit ends.
func TestAnEndlessRateLimitHasAReason(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "555555-5555")
	s := r.stay("R1")
	r.sim.Inject(simulator.Fault{
		Kind: simulator.Limited, Path: seam.PathUserCreate, Count: -1, RetryAfter: time.Minute,
	})
	r.book(s)
	waitFor(t, "a reason", func() bool {
		v := r.view(s)
		r.skipTo(v)
		return v.Key.Status == store.KeyAttention && str(v.Key.Reason) == "no_answer_from_seam"
	})
	if v := r.rested(s); v.Key.LastError == nil {
		t.Error("the last error doesn't say why")
	}
	if n := len(r.changing()); n > 40 {
		t.Errorf("%d changing calls were sent until then", n)
	}
	r.sim.Heal()
	r.untilLater(s, "its key", func(v store.View) bool { return v.Key.Status == store.KeyIssued })
	r.mustBeOne(s)
}

// Each attempt opens a door, and then meets Seam's rate limit: the stay gets further, and nobody is notified.
func TestGettingFurtherIsNoSilence(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	var doors []string
	r.sim.Change(func(st *simulator.State) {
		for i := range 6 {
			door := fmt.Sprintf("door-%d", i)
			doors = append(doors, door)
			st.Groups[door] = simulator.AccessGroup{ID: door, SystemID: system, Name: door}
		}
	})
	r.listing("default", "L", "555555-5555")
	s := r.stay("R1")
	issued(r, &s)
	for i := range doors {
		r.sim.Inject(simulator.Fault{
			Kind: simulator.Limited, Path: seam.PathGroupAdd, Skip: i + 1, RetryAfter: 4 * time.Minute,
		})
	}
	began := r.now()
	r.listing("default", "L", append(doors, "555555-5555")...)
	r.untilLater(s, "all its doors", func(v store.View) bool {
		if str(v.Key.Reason) != "" {
			t.Errorf("after %s it is %s (%s)", r.now().Sub(began), v.Key.Status, str(v.Key.Reason))
		}
		return v.Key.Status == store.KeyIssued && len(r.holds(s.id)[0].Groups) == 7
	})
	if took := r.now().Sub(began); took < 12*time.Minute {
		t.Errorf("it took %s: too short to be silence", took)
	}
	r.mustNotHaveSaid("no_answer_from_seam")
}

// mustNotHaveSaid fails the test if a timeline has ever had a text.
func (r *rig) mustNotHaveSaid(text string) {
	r.t.Helper()
	if r.hasSaid(text) {
		r.t.Errorf("the timeline has %q", text)
	}
}

func (r *rig) mustHaveSaid(text string) {
	r.t.Helper()
	if !r.hasSaid(text) {
		r.t.Errorf("the timeline lacks %q", text)
	}
}

func (r *rig) hasSaid(text string) (said bool) {
	r.t.Helper()
	if err := r.store.Pool().QueryRow(r.t.Context(), `
		SELECT coalesce(bool_or(strpos(summary || detail::text, $1) > 0), false) FROM timeline`, text).
		Scan(&said); err != nil {
		r.t.Fatal(err)
	}
	return said
}

// Many attempts of which only the last two failed are no silence: what counts is how long no answer came.
func TestTwoLostCallsAreNoSilence(t *testing.T) {
	t.Parallel()
	r, s := newStay(t, simulator.Options{})
	r.rest(s)
	if _, err := r.store.Pool().Exec(t.Context(),
		`UPDATE mobile_keys SET attempts = 20, attempt_generation = generation`); err != nil {
		t.Fatal(err)
	}
	r.sim.Inject(simulator.Fault{Kind: simulator.Error503Before, Path: seam.PathGroupAdd, Count: 2})
	r.alter(s, func(u *simulator.User) { u.GroupIDs = nil })
	r.recheck(s)
	r.untilLater(s, "its door again", func(v store.View) bool {
		return v.Key.Status == store.KeyIssued && len(r.holds(s.id)[0].Groups) > 0
	})
	r.mustNotHaveSaid("no_answer_from_seam") // two lost calls are no silence
}

// A cancel that Salto KS refused is taken back: the old error of that deletion is no reason to doubt the key.
func TestAnOldFailedDeletionIsNoProblem(t *testing.T) {
	t.Parallel()
	r, s := newStay(t, simulator.Options{RefuseDeletes: true})
	r.cancel(s)
	waitFor(t, "not_removed", func() bool { return str(r.view(s).Key.Reason) == "not_removed" || r.pass() })
	r.book(s)
	r.untilLater(s, "its key", func(v store.View) bool { return v.Key.Status == store.KeyIssued })
	r.sim.Configure(func(o *simulator.Options) { o.RefuseDeletes = false })
	r.mustBeOne(s)
}
