package notify

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/store"
)

// say has the PMS say something about a gate.
func (r *rig) say(id, gate, state string) {
	r.t.Helper()
	r.exec(
		`UPDATE reservations SET gates = coalesce(gates, '{}') || jsonb_build_object($2::text, jsonb_build_object('state', $3::text, 'at', $4::timestamptz, 'opened', $3 = 'open')) WHERE reservation_id = $1`,
		id, gate, state, r.clock())
}

// delivered are the types of messages that were delivered about a stay, oldest first.
func (r *rig) delivered(id string) []string {
	r.t.Helper()
	var types []string
	for _, d := range slices.Backward(r.deliveries(store.DeliveryFilter{ReservationID: id})) {
		types = append(types, d.Type)
	}
	return types
}

func (r *rig) wantDelivered(id string, want ...string) {
	r.t.Helper()
	if got := r.delivered(id); !slices.Equal(got, want) {
		r.t.Errorf("%s: delivered %v, want %v", id, got, want)
	}
}

// A closed gate is reported 24 hours and 2 hours before check-in, once each, whatever is started again in between, and
// not after it was opened.
func TestHeldBeforeCheckIn(t *testing.T) {
	t.Parallel()
	receiver := newReceiver(t)
	r := newRig(t, receiver.subscription("app"))
	r.gated = []pms.Gate{{Name: "paid", Holds: "key"}, {Name: "signed", Holds: "link"}}
	r.now = starts.Add(-72 * time.Hour)
	for _, id := range []string{"never", "opens", "early", "cancelled"} {
		r.stay(id)
		r.say(id, "signed", "open")
		r.key(id, "waiting", "gate_closed")
	}
	r.say("early", "paid", "open")
	r.key("early", "issued", "")
	r.settle()
	r.wantDelivered("early", TypeReady)
	for _, step := range []struct {
		before time.Duration
		do     func()
		never  []string
		opens  []string
	}{
		{24*time.Hour + time.Second, nil, nil, nil},
		{24 * time.Hour, nil, []string{TypeWithheld}, []string{TypeWithheld}},
		{23 * time.Hour, r.crash, []string{TypeWithheld}, []string{TypeWithheld}},
		{
			3 * time.Hour, func() { r.say("opens", "paid", "open"); r.key("opens", "issued", "") },
			[]string{TypeWithheld},
			[]string{TypeWithheld, TypeReady},
		},
		{2 * time.Hour, nil, []string{TypeWithheld, TypeWithheld}, []string{TypeWithheld, TypeReady}},
		{time.Hour, r.crash, []string{TypeWithheld, TypeWithheld}, []string{TypeWithheld, TypeReady}},
		{-time.Hour, nil, []string{TypeWithheld, TypeWithheld}, []string{TypeWithheld, TypeReady}},
	} {
		r.now = starts.Add(-step.before)
		if step.do != nil {
			step.do()
		}
		if step.before == 24*time.Hour+time.Second {
			r.key("cancelled", "revoked", "")
		}
		r.settle()
		r.wantDelivered("never", step.never...)
		r.wantDelivered("opens", step.opens...)
		r.wantDelivered("early", TypeReady)
	}
	r.wantDelivered("cancelled", TypeRevoked)
	var body struct{ Data Data }
	first := r.deliveries(store.DeliveryFilter{ReservationID: "never"})[1]
	if err := json.Unmarshal(first.Body, &body); err != nil {
		t.Fatal(err)
	}
	if want := []Gate{{"paid", "key", "unknown"}}; !slices.Equal(body.Data.Gates, want) {
		t.Errorf("gates %+v, want %+v", body.Data.Gates, want)
	}
}

// A deadline that passes while nothing runs is reported afterwards, and so is one of a stay that arrives after it. A
// moved stay has deadlines of its own.
func TestHeldAfterAnOutage(t *testing.T) {
	t.Parallel()
	receiver := newReceiver(t)
	r := newRig(t, receiver.subscription("app"))
	r.gated = []pms.Gate{{Name: "paid", Holds: "key"}}
	r.now = starts.Add(-10 * 24 * time.Hour)
	r.stay("R1")
	r.key("R1", "waiting", "gate_closed")
	r.settle()
	r.wantDelivered("R1")
	r.now = starts.Add(-time.Hour) // down for nine days
	r.restart()
	r.settle()
	r.wantDelivered("R1", TypeWithheld)
	r.stay("R2")
	r.key("R2", "waiting", "gate_closed")
	r.settle()
	r.wantDelivered("R2", TypeWithheld)
	r.exec(`UPDATE reservations SET check_in = $1 WHERE reservation_id = 'R1'`, starts.Add(48*time.Hour))
	r.exec(`UPDATE mobile_keys SET check_in = $1 WHERE reservation_id = 'R1'`, starts.Add(48*time.Hour))
	r.settle()
	r.wantDelivered("R1", TypeWithheld)
	r.now = starts.Add(24 * time.Hour)
	r.settle()
	r.wantDelivered("R1", TypeWithheld, TypeWithheld)
}

// A process that claims messages is stopped for a while after it has looked at its clock, and another finds that a
// deadline has passed: the stay is judged at the time at which it is read, so that the deadline is reported.
func TestADeadlineThatPassesDuringAClaim(t *testing.T) {
	t.Parallel()
	receiver := newReceiver(t)
	r := newRig(t, receiver.subscription("app"))
	r.gated = []pms.Gate{{Name: "paid", Holds: "key"}}
	r.now = starts.Add(-25 * time.Hour)
	r.stay("R1")
	r.key("R1", "waiting", "gate_closed")
	r.settle()
	pass := func(now time.Time) {
		if _, err := r.db.Gates.PassDeadlines(t.Context(), r.GatedSources(), deadlines, now); err != nil {
			t.Fatal(err)
		}
		if _, err := r.db.Changes.Order(t.Context(), 100); err != nil {
			t.Fatal(err)
		}
	}
	clock, looked := r.Now, false
	r.Now = func() time.Time {
		now := clock()
		if !looked {
			looked = true
			r.now = starts.Add(-23 * time.Hour)
			pass(r.now)
		}
		return now
	}
	claimed, _, err := r.claim(t.Context(), r.claims, r.subscriptions[0], 1)
	if err != nil || len(claimed) != 1 || claimed[0].Type != TypeWithheld {
		t.Errorf("claimed %v: %v", claimed, err)
	}
}

// A stay that is moved past its deadlines is reported at once: no deadline passes that would say so.
func TestHeldWhenTheCheckInMoves(t *testing.T) {
	t.Parallel()
	receiver := newReceiver(t)
	r := newRig(t, receiver.subscription("app"))
	r.gated = []pms.Gate{{Name: "paid", Holds: "key"}}
	r.now = starts.Add(-10 * 24 * time.Hour)
	move := func(to time.Time) {
		r.exec(`UPDATE reservations SET check_in = $1`, to)
		r.exec(`UPDATE mobile_keys SET check_in = $1`, to)
		r.settle()
	}
	for _, id := range []string{"R1", "R2"} {
		r.stay(id)
	}
	r.key("R1", "waiting", "gate_closed")
	r.key("R2", "attention", "gate_closed")
	r.settle()
	r.wantDelivered("R1")
	r.wantDelivered("R2", TypeAttention)
	move(r.now.Add(time.Hour))
	r.wantDelivered("R1", TypeWithheld)
	r.wantDelivered("R2", TypeAttention, TypeWithheld)
	move(r.now.Add(48 * time.Hour))
	r.wantDelivered("R1", TypeWithheld)
}

// A key that a gate withholds is not ready, and says so when the gate opens. One that a gate took away is reported as
// revoked.
func TestGatesAndReady(t *testing.T) {
	t.Parallel()
	receiver := newReceiver(t)
	r := newRig(t, receiver.subscription("app"))
	r.gated = []pms.Gate{{Name: "paid", Holds: "link"}}
	r.now = starts.Add(-72 * time.Hour)
	r.stay("R1")
	r.key("R1", "issued", "")
	r.settle()
	r.wantDelivered("R1")
	r.say("R1", "paid", "open")
	r.settle()
	r.wantDelivered("R1", TypeReady)
	r.say("R1", "paid", "open") // repeated
	r.settle()
	r.wantDelivered("R1", TypeReady)
	r.key("R1", "provisioning", "")
	r.say("R1", "paid", "closed")
	r.exec(`DELETE FROM acs_users WHERE reservation_id = 'R1'`)
	r.key("R1", "waiting", "gate_closed")
	r.settle()
	r.wantDelivered("R1", TypeReady, TypeRevoked)
}

// People learn which gates withhold which keys, without the guest's data.
func TestHeldForPeople(t *testing.T) {
	t.Parallel()
	r := newRig(t, Subscription{Name: "desk", Kind: KindSlack})
	r.gated = []pms.Gate{{Name: "paid", Holds: "key"}}
	r.stay("R1")
	r.key("R1", "waiting", "gate_closed")
	claimed, _, err := r.claim(t.Context(), r.claims, r.subscriptions[0], 1)
	if err != nil {
		t.Fatal(err)
	}
	if len(claimed) == 0 {
		if _, err := r.db.Changes.Order(t.Context(), 100); err != nil {
			t.Fatal(err)
		}
		r.exec(`UPDATE reservations SET check_in = $1 WHERE reservation_id = 'R1'`, r.clock())
		if claimed, _, err = r.claim(t.Context(), r.claims, r.subscriptions[0], 1); err != nil {
			t.Fatal(err)
		}
	}
	l := r.subscriptions[0].compose(claimed, r.gates, "")
	if !strings.Contains(l.text, "1 key is withheld by a gate:\n- R1") ||
		!strings.Contains(l.text, ": paid is unknown") || strings.Contains(l.text, "Jane") {
		t.Errorf("the message says: %s", l.text)
	}
}
