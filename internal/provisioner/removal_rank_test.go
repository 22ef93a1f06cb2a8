package provisioner_test

import (
	"testing"
	"time"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

// A key that opens doors long before check-in is taken away as soon as the guests of the day are served, whether the
// PMS cancels the stay or an admin revokes the key.
func TestARemovalRanksByWhenTheKeyOpens(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*rig, stay){
		"cancelled": func(r *rig, s stay) { r.cancel(s) },
		"revoked": func(r *rig, s stay) {
			r.mustAct(s, intake.Action{Kind: intake.ActionRevoke, Why: "it was lost"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, fast(), simulator.Options{})
			r.listing("default", "L", "555555-5555")
			s := r.stay("R1")
			s.in = r.now().Add(6 * 24 * time.Hour).Truncate(time.Millisecond)
			s.out = s.in.Add(48 * time.Hour)
			issued(r, &s)
			early := r.now().Add(time.Minute).Truncate(time.Millisecond)
			r.mustAct(s, intake.Action{Kind: intake.ActionWindow, StartsAt: &early, Why: "luggage"})
			r.untilThat(s, "the window", func(v store.View) bool {
				return v.User != nil && v.User.StartsAt != nil && v.User.StartsAt.Equal(early)
			})
			end(r, s)
			var rank time.Time
			if err := r.store.Pool().QueryRow(t.Context(), `SELECT rank_at FROM mobile_keys`).Scan(&rank); err != nil {
				t.Fatal(err)
			}
			if in := rank.Sub(r.now()); in < 23*time.Hour || in > 25*time.Hour {
				t.Errorf("the removal ranks %s from now", in)
			}
		})
	}
}
