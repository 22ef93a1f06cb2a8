package notify

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/store/storetest"
)

// A transaction that somebody forgot, and that keeps a row of one stay locked, holds up the messages of that stay and
// of no other; they are sent once it has ended.
func TestALockedStayHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	const lockReservation, lockKey = `SELECT FROM reservations WHERE reservation_id = 'locked' FOR UPDATE`,
		`SELECT FROM mobile_keys WHERE reservation_id = 'locked' FOR UPDATE`
	ready := func(r *rig, ids ...string) {
		for _, id := range ids {
			r.key(id, "issued", "")
		}
	}
	for name, c := range map[string]struct {
		before, after func(r *rig) // the lock
		lock          string
		want          string
	}{
		"before its change is ordered": {
			func(r *rig) { ready(r, "locked", "free") }, func(*rig) {}, lockReservation,
			TypeReady,
		},
		"after its change was ordered": {func(r *rig) {
			ready(r, "locked", "free")
			if n, err := r.db.Changes.Order(t.Context(), changesAtMax); err != nil || n == 0 {
				t.Fatalf("%d changes ordered: %v", n, err)
			}
		}, func(*rig) {}, lockReservation, TypeReady},
		"while it changes": {func(*rig) {}, func(r *rig) { ready(r, "locked", "free") }, lockReservation, TypeReady},
		"before a deadline of its gate": {func(r *rig) {
			r.gated = []pms.Gate{{Name: "paid", Holds: "key"}}
			r.now = starts.Add(-24*time.Hour - time.Second)
			r.key("locked", "waiting", "gate_closed")
			r.key("free", "waiting", "gate_closed")
			r.settle()
		}, func(r *rig) { r.pass(time.Second) }, lockKey, TypeWithheld},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			receiver := newReceiver(t)
			r := newRigOn(t, storetest.NewWithBriefLockWaits(t, 1), receiver.subscription("app"))
			ctx, cancel := context.WithTimeout(t.Context(), hangs)
			defer cancel()
			r.stay("free")
			r.stay("locked")
			c.before(r)
			forgotten := storetest.Begin(t, r.db)
			if _, err := forgotten.Exec(ctx, c.lock); err != nil {
				t.Fatal(err)
			}
			c.after(r)
			for !slices.Equal(r.delivered("free"), []string{c.want}) {
				if _, err := r.round(ctx, ctx); err != nil {
					t.Fatal(err)
				}
				r.runners.Wait()
			}
			r.wantDelivered("locked")
			if err := forgotten.Rollback(ctx); err != nil {
				t.Fatal(err)
			}
			r.pass(deadlinesLocked)
			r.settle()
			r.wantDelivered("locked", c.want)
			r.wantDelivered("free", c.want)
		})
	}
}
