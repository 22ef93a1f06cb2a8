package notify

import (
	"context"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/tools/chaos"
)

// The steps of a delivery after which a process may die.
const (
	diesAfterClaim  = iota // the claim is committed, nothing has left
	diesAfterSend          // the message arrived, its result is not stored
	diesBeforeClaim        // changes are ordered, and nothing else
	survives
	waysToDie
)

// oneDelivery does what a process does until it dies.
func (r *rig) oneDelivery(ctx context.Context, s Subscription, death int) {
	r.t.Helper()
	if _, err := r.db.Changes.Order(ctx, changesAtMax); err != nil {
		r.t.Fatal(err)
	}
	if death == diesBeforeClaim {
		return
	}
	claimed, _, err := r.claim(ctx, r.claims, s, 2)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, c := range claimed {
		if death == diesAfterClaim {
			continue
		}
		o, result := r.clients.send(ctx, s, post{c.DeliveryID.String(), c.Body}, "test", r.clock)
		if death == diesAfterSend {
			continue
		}
		if err := r.record(ctx, r.claims, c, o, result, 0); err != nil {
			r.t.Fatal(err)
		}
	}
}

// Stays change, receivers fail or accept a message without confirming it, and the process dies at every step, in every
// order. In the end a subscription has received the last state of each stay; one id always had the same body; messages
// about a stay arrived in the order of their numbers, repetitions aside; and nothing was sent that was not true when
// its claim was committed.
func TestNothingIsLostWhateverDiesWhen(t *testing.T) {
	t.Parallel()
	deliverUnderDeaths(t, chaos.Size("STAYKEY_DELIVERY_DEATHS", 80), false)
}

// The same with processes that really are ones, and really are killed: at a marked step, or at any moment.
// STAYKEY_DELIVERY_KILLS makes it longer.
func TestKilledWhileDelivering(t *testing.T) {
	t.Parallel()
	kills := chaos.Size("STAYKEY_DELIVERY_KILLS", 8)
	lanes := min(16, kills)
	for n := range lanes {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			t.Parallel()
			deliverUnderDeaths(t, (kills+lanes-1)/lanes, true)
		})
	}
}

func deliverUnderDeaths(t *testing.T, wanted int, killed bool) {
	seed := uint64(time.Now().UnixNano())
	if n, err := strconv.ParseUint(os.Getenv("STAYKEY_WORLD_SEED"), 10, 64); err == nil {
		seed = n
	}
	t.Logf("STAYKEY_WORLD_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 1)) // #nosec G404 -- a test
	receiver := newReceiver(t)
	pager := newReceiver(t)
	app, alarm := receiver.subscription("app"), pager.subscription("pager", TypeAttention, TypeRecovered)
	r := newRig(t, app, alarm)
	gates := []pms.Gate{{Name: "paid", Holds: "key"}, {Name: "signed", Holds: "link"}}
	stays := []string{"A", "B", "C"}
	for _, id := range stays {
		r.stay(id)
	}
	ctx := context.Background()
	var all, paged []heard
	deaths := 0
	for deaths < wanted {
		for range 40 {
			id := stays[random.IntN(len(stays))]
			switch random.IntN(10) {
			case 0, 1:
				r.key(id, []string{
					"waiting", "provisioning", "issued", "active", "revoking", "revoked",
					"expired",
				}[random.IntN(7)], "")
			case 2:
				r.key(id, "attention", []string{"not_subscribed", "rejected_by_seam"}[random.IntN(2)])
			case 3:
				r.doors(id, strconv.Itoa(random.IntN(5)))
			case 4:
				status := []int{204, 204, 500, 0, 429}[random.IntN(5)]
				receiver.answers(status)
				pager.answers(status)
			case 5:
				r.pass(time.Duration(random.IntN(600)) * time.Second)
			case 6:
				r.say(id, gates[random.IntN(len(gates))].Name, stay.GateStates()[random.IntN(3)])
			case 7: // the configuration changes
				r.gated = [][]pms.Gate{nil, gates[:1], gates[1:], gates}[random.IntN(4)]
			default:
				if killed {
					if r.send(random) {
						deaths++
					}
					r.crash()
					continue
				}
				death := random.IntN(waysToDie)
				for _, s := range []Subscription{app, alarm} {
					r.oneDelivery(ctx, s, death)
				}
				if death != survives {
					deaths++
					r.crash()
				}
			}
		}
		receiver.answers(204)
		pager.answers(204)
		for _, id := range stays {
			for _, g := range gates {
				r.say(id, g.Name, stay.GateOpen)
			}
		}
		r.pass(25 * time.Hour)
		r.settle()
		r.pass(25 * time.Hour) // what a receiver's silence still holds back
		r.settle()
		all, paged = append(all, receiver.take()...), append(paged, pager.take()...)
		for _, id := range stays {
			r.checkLast(id, all, paged)
		}
	}
	checkOrder(t, all)
	checkOrder(t, paged)
	wrong := 0
	if t.Failed() {
		wrong = 1
	}
	result := chaos.Result{Rig: "deliveries", Faults: deaths, Events: len(all) + len(paged), Wrong: wrong}
	if killed {
		result.Rig, result.Faults, result.Kills = "deliveries, processes killed", 0, deaths
	}
	chaos.Record(t, result)
}

// checkLast holds what was heard last of a stay against what is true.
func (r *rig) checkLast(id string, all, paged []heard) {
	r.t.Helper()
	var status string
	var sequence int64
	var groups []string
	if err := r.db.Pool().QueryRow(context.Background(), `SELECT k.status, k.sequence, u.acs_access_group_ids
		FROM mobile_keys k JOIN acs_users u USING (source, reservation_id) WHERE reservation_id = $1`, id).Scan(&status,
		&sequence, &groups); err != nil {
		r.t.Fatal(err)
	}
	last := lastOf(all, id)
	switch {
	case status == "issued" || status == "active":
		if last == nil || (last.Type != TypeReady && last.Type != TypeChanged) ||
			last.Data.AccessGroupIDs[0] != groups[0] {
			r.t.Errorf("%s is %s with doors %v, and heard was last %+v", id, status, groups, last)
		}
	case status == "attention":
		if last == nil || last.Type != TypeAttention {
			r.t.Errorf("%s needs a person, and heard was last %+v", id, last)
		}
	case status == "revoked" || status == "expired":
		if last == nil || last.Data.KeyStatus != status {
			r.t.Errorf("%s is %s, and heard was last %+v", id, status, last)
		}
	}
	if status == "provisioning" || status == "revoking" {
		return // whether a person is needed is not known
	}
	last = lastOf(paged, id)
	if needed := status == "attention"; (last != nil && last.Type == TypeAttention) != needed {
		r.t.Errorf("%s: a person is needed: %t, and the pager heard last %+v", id, needed, last)
	}
}

// lastOf is what was heard last of a stay's key; that a gate withholds it is heard besides.
func lastOf(messages []heard, id string) *heard {
	var last *heard
	for i := range messages {
		if messages[i].Data.ReservationID == id && messages[i].Type != TypeWithheld {
			last = &messages[i]
		}
	}
	return last
}

func checkOrder(t *testing.T, messages []heard) {
	t.Helper()
	// by message, stay and stay
	bodies, sequence, lastID := map[string]string{}, map[string]int64{}, map[string]string{}
	for _, h := range messages {
		id := h.Data.ReservationID
		if body, known := bodies[h.ID]; known && body != h.Body {
			t.Errorf("%s has two bodies:\n%s\n%s", h.ID, body, h.Body)
		}
		if h.Data.Sequence < sequence[id] || (h.Data.Sequence == sequence[id] && h.ID != lastID[id]) {
			t.Errorf("%s: %s with sequence %d after %d:\n%s\n%s", id, h.Type, h.Data.Sequence, sequence[id],
				bodies[lastID[id]], h.Body)
		}
		bodies[h.ID], sequence[id], lastID[id] = h.Body, h.Data.Sequence, h.ID
	}
}

// A worker that was stopped for longer than its lease notes nothing any more, and sends nothing.
func TestALostLeaseChangesNothing(t *testing.T) {
	t.Parallel()
	receiver := newReceiver(t)
	s := receiver.subscription("app")
	r := newRig(t, s)
	r.stay("R1")
	r.key("R1", "issued", "")
	ctx := context.Background()
	if _, err := r.db.Changes.Order(ctx, changesAtMax); err != nil {
		t.Fatal(err)
	}
	claimed, _, err := r.claim(ctx, r.claims, s, 1)
	if err != nil || len(claimed) != 1 {
		t.Fatalf("claimed %+v, %v", claimed, err)
	}
	late := claimed[0]
	late.Until = time.Now()
	if r.attempt(ctx, r.claims, s, late) {
		t.Error("it was sent after its lease")
	}
	r.crash()
	r.settle()
	wantTypes(t, receiver.take(), TypeReady)
	if err := r.record(ctx, r.claims, claimed[0], outcome{}, store.AttemptResult{At: r.clock(), Error: "late"},
		0); err != nil {
		t.Fatal(err)
	}
	if d := r.deliveries(store.DeliveryFilter{})[0]; d.Status != store.DeliveryDelivered || d.Attempts != 1 {
		t.Errorf("the delivery: %+v", d)
	}
	if r.state("app").Failures != 0 {
		t.Error("a result that came too late counts")
	}
}
