package notify

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/tools/chaos"
)

func wantTypes(t *testing.T, got []heard, want ...string) {
	t.Helper()
	if !slices.Equal(kinds(got), want) {
		t.Fatalf("heard %v, want %v", kinds(got), want)
	}
}

func TestLifeOfAStay(t *testing.T) {
	t.Parallel()
	receiver := newReceiver(t)
	r := newRig(t, receiver.subscription("app"))
	r.stay("R1")
	r.key("R1", "provisioning", "")
	r.settle()
	wantTypes(t, receiver.take())

	r.key("R1", "issued", "")
	r.settle()
	ready := receiver.take()
	wantTypes(t, ready, TypeReady)
	d := ready[0].Data
	if d.KeyStatus != "issued" || d.AccessSchedule.StartsAt != instant(starts) || d.AccessGroupIDs[0] != "g1" ||
		*d.URL != "https://keys.example.com/v1/reservations/default/R1" {
		t.Errorf("ready: %+v", d)
	}

	r.key("R1", "active", "")
	r.settle()
	wantTypes(t, receiver.take())

	r.doors("R1", "g2") // a change that no status shows
	r.settle()
	changed := receiver.take()
	wantTypes(t, changed, TypeChanged)

	r.key("R1", "attention", "not_subscribed")
	r.settle()
	r.key("R1", "active", "")
	r.settle()
	rest := receiver.take()
	wantTypes(t, rest, TypeAttention, TypeRecovered, TypeReady)

	r.exec(`UPDATE acs_users SET contested_at = now(), removed_at = now()`) // displaced: its key may be in a phone
	r.key("R1", "attention", "removed_at_seam")
	r.settle()
	displaced := receiver.take()
	wantTypes(t, displaced, TypeAttention)
	if d := displaced[0].Data; d.AccessSchedule == nil || len(d.AccessGroupIDs) == 0 {
		t.Errorf("the ACS user opens doors, but the message is %+v", d)
	}

	r.key("R1", "revoked", "")
	r.exec(`DELETE FROM acs_users WHERE reservation_id = 'R1'`)
	r.settle()
	revoked := receiver.take()
	wantTypes(t, revoked, TypeRecovered, TypeRevoked)
	if revoked[0].Data.AccessSchedule != nil || len(revoked[0].Data.AccessGroupIDs) > 0 {
		t.Errorf("no key is left, but the message is %+v", revoked[0].Data)
	}
	sequence := int64(0)
	for _, h := range slices.Concat(ready, changed, rest, displaced, revoked) {
		if h.Data.Sequence <= sequence {
			t.Errorf("%s has sequence %d after %d", h.Type, h.Data.Sequence, sequence)
		}
		sequence = h.Data.Sequence
		if strings.Contains(h.Body, "ane") || strings.Contains(h.Body, "+34") {
			t.Errorf("a guest is in %s", h.Body)
		}
	}
}

// Each change that a subscriber can see raises the sequence in its own commit, anyone who makes it; what nobody can see
// doesn't.
func TestSequenceRisesWithWhatCanBeSeen(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.stay("R1")
	r.key("R1", "issued", "")
	for _, tt := range []struct {
		name, sql string
		rises     bool
	}{
		{"status", `UPDATE mobile_keys SET status = 'active'`, true},
		{"reason", `UPDATE mobile_keys SET reason = 'drifted'`, true},
		{"it is being changed, which is not reported", `UPDATE mobile_keys SET status = 'provisioning'`, false},
		{"it is changed", `UPDATE mobile_keys SET status = 'active'`, true},
		{"window", `UPDATE acs_users SET ends_at = ends_at + interval '1 hour'`, true},
		{"doors", `UPDATE acs_users SET acs_access_group_ids = '{g7}'`, true},
		{"credential", `UPDATE acs_users SET acs_credential_id = 'c7'`, true},
		{"displaced", `UPDATE acs_users SET contested_at = now(), removed_at = now()`, true},
		{"removed by somebody", `UPDATE acs_users SET contested_at = NULL`, true},
		{"being deleted", `UPDATE acs_users SET deleted_at = now()`, true},
		{"listing", `UPDATE reservations SET listing_id = 'L7'`, true},
		{"reservation's status", `UPDATE reservations SET status = 'cancelled'`, true},
		{"a lease", `UPDATE mobile_keys SET lease_token = gen_random_uuid(), queued = true`, false},
		{"the same again", `UPDATE acs_users SET acs_access_group_ids = '{g7}', settled = true`, false},
		{"the guest's name", `UPDATE reservations SET guest_name = 'Joe'`, false},
		{"the ACS user goes", `DELETE FROM acs_users`, true},
	} {
		before := r.number(`SELECT sequence FROM mobile_keys`)
		r.exec(tt.sql)
		want := 0
		if tt.rises {
			want = 1
		}
		if rose := r.number(`SELECT sequence FROM mobile_keys`) - before; rose != want {
			t.Errorf("%s: the sequence rose by %d, want %d", tt.name, rose, want)
		}
		if queued := r.number(`SELECT count(*) FROM stay_changes`) > 0; queued != tt.rises {
			t.Errorf("%s: the change is noted: %t, want %t", tt.name, queued, tt.rises)
		}
		r.exec(`DELETE FROM stay_changes`)
	}
}

func TestRetriesCarryTheNewestState(t *testing.T) {
	t.Parallel()
	receiver := newReceiver(t)
	receiver.answers(500)
	r := newRig(t, receiver.subscription("app"))
	r.stay("R1")
	r.key("R1", "issued", "")
	r.settle()
	first := receiver.take()
	wantTypes(t, first, TypeReady)
	r.pass(7 * time.Second) // 5 s and jitter
	r.settle()
	second := receiver.take()
	wantTypes(t, second, TypeReady)
	if second[0].ID != first[0].ID || second[0].Body != first[0].Body {
		t.Errorf("the same message again: %+v, then %+v", first[0], second[0])
	}
	r.doors("R1", "g1", "g2")
	receiver.answers(200)
	r.pass(40 * time.Second)
	r.settle()
	third := receiver.take()
	wantTypes(t, third, TypeReady) // it has never been reported as ready
	if third[0].ID == first[0].ID || len(third[0].Data.AccessGroupIDs) != 2 {
		t.Errorf("another body under the id %s (before: %s): %+v", third[0].ID, first[0].ID, third[0].Data)
	}
	list := r.deliveries(store.DeliveryFilter{Subscription: []string{"app"}})
	if len(list) != 2 || list[0].Status != store.DeliveryDelivered || list[1].Status != store.DeliveryDropped ||
		list[1].Attempts != 2 {
		t.Errorf("deliveries: %+v", list)
	}
	attempts, err := r.db.Deliveries.Attempts(context.Background(), []uuid.UUID{list[1].DeliveryID})
	if err != nil || len(attempts[list[1].DeliveryID]) != 2 || attempts[list[1].DeliveryID][1].StatusCode != 500 {
		t.Errorf("attempts: %+v, %v", attempts, err)
	}
	r.pass(48 * time.Hour)
	r.settle()
	wantTypes(t, receiver.take())
}

// An attention whose answer was lost, and which is over before the next try: anyone who heard of it hears that it is
// over.
func TestALostAnswerIsNotForgotten(t *testing.T) {
	t.Parallel()
	receiver := newReceiver(t)
	r := newRig(t, receiver.subscription("pager", TypeAttention, TypeRecovered))
	r.stay("R1")
	r.key("R1", "issued", "")
	r.settle()
	receiver.answers(0)
	r.key("R1", "attention", "not_subscribed")
	r.settle()
	wantTypes(t, receiver.take(), TypeAttention)
	r.key("R1", "issued", "")
	receiver.answers(200)
	r.pass(time.Minute)
	r.settle()
	wantTypes(t, receiver.take(), TypeRecovered)
}

func TestASubscriptionIsDisabledAndEnabled(t *testing.T) {
	t.Parallel()
	receiver := newReceiver(t)
	r := newRig(t, receiver.subscription("app"))
	r.stay("R1")
	r.stay("R2")
	r.key("R1", "issued", "")
	r.settle()
	receiver.take()
	receiver.answers(http.StatusGone)
	r.doors("R1", "g2")
	r.settle()
	wantTypes(t, receiver.take(), TypeChanged)
	if s := r.state("app"); s.DisabledAt == nil || *s.DisabledBy != "staykey" ||
		!strings.Contains(*s.DisabledWhy, "410") {
		t.Fatalf("after a 410: %+v", s)
	}
	r.key("R2", "issued", "")
	for _, doors := range []string{"g3", "g4"} { // many changes, one message
		r.doors("R1", doors)
	}
	receiver.answers(200)
	r.pass(100 * time.Hour)
	r.settle()
	wantTypes(t, receiver.take())
	if err := r.db.Subscriptions.Enable(context.Background(), "app", r.clock(), store.Audit{
		At: r.clock(), Token: "admin",
		Author: "admin", Via: store.AuditREST, Action: "enable_subscription",
	}); err != nil {
		t.Fatal(err)
	}
	r.settle()
	got := receiver.take()
	slices.SortFunc(got, func(a, b heard) int { return strings.Compare(a.Data.ReservationID, b.Data.ReservationID) })
	wantTypes(t, got, TypeChanged, TypeReady)
	if got[0].Data.AccessGroupIDs[0] != "g4" {
		t.Errorf("%v was sent, not the present doors", got[0].Data.AccessGroupIDs)
	}
}

func TestFiveDaysOfFailuresDisable(t *testing.T) {
	t.Parallel()
	receiver := newReceiver(t)
	receiver.answers(500)
	r := newRig(t, receiver.subscription("app"))
	r.stay("R1")
	r.key("R1", "issued", "")
	r.settle()
	began, tries := r.clock(), 1
	for r.state("app").DisabledAt == nil {
		if r.clock().Sub(began) > 8*24*time.Hour {
			t.Fatal("it is still enabled after 8 days")
		}
		r.pass(time.Minute)
		if due := r.number(`SELECT count(*) FROM subscription_stays WHERE due_at <= $1`, r.clock()); due > 0 {
			r.settle()
			tries++
		}
	}
	if lasted := r.clock().Sub(began); lasted < disableAfter {
		t.Errorf("disabled after %s", lasted)
	}
	if tries != 15 && tries != 14 { // 11 waits total 52 h; then every 24 h, with jitter
		t.Errorf("%d tries in 5 days", tries)
	}
	if got := len(receiver.take()); got != tries {
		t.Errorf("%d messages arrived, %d were tried", got, tries)
	}
}

// A new subscription hears how stays are, and nothing of those that were over before.
func TestANewSubscriptionHearsOfStaysThatAreNotOver(t *testing.T) {
	t.Parallel()
	receiver := newReceiver(t)
	r := newRig(t)
	for id, status := range map[string]string{
		"ready": "issued", "gone": "revoked", "over": "expired",
		"waits": "waiting",
	} {
		r.stay(id)
		r.key(id, status, "")
	}
	r.settle()
	if _, err := r.round(context.Background(), context.Background()); err != nil {
		t.Fatal(err)
	}
	r.subscriptions = []Subscription{receiver.subscription("late")}
	r.settle()
	wantTypes(t, receiver.take(), TypeReady)
	r.key("waits", "expired", "")
	r.settle()
	wantTypes(t, receiver.take(), TypeExpired)
}

func TestSourcesAndEventsAreFiltered(t *testing.T) {
	t.Parallel()
	a, b := newReceiver(t), newReceiver(t)
	first := a.subscription("first", TypeReady)
	second := b.subscription("second")
	second.Sources = []string{"hotel"}
	r := newRig(t, first, second)
	r.stayOf("default", "R1")
	r.stayOf("hotel", "R2")
	r.key("R1", "issued", "")
	r.key("R2", "issued", "")
	r.settle()
	r.key("R1", "expired", "")
	r.key("R2", "expired", "")
	r.settle()
	wantTypes(t, a.take(), TypeReady, TypeReady)
	heard := b.take()
	wantTypes(t, heard, TypeReady, TypeExpired)
	if heard[0].Data.Source != "hotel" {
		t.Errorf("heard of %s", heard[0].Data.Source)
	}
}

// Receivers that redirect, are on a private address, or answer too late.
func TestReceiversThatDontTakeIt(t *testing.T) {
	t.Parallel()
	target := newReceiver(t)
	redirect := httptest.NewServer(http.RedirectHandler(target.URL, http.StatusTemporaryRedirect))
	t.Cleanup(redirect.Close)
	redirecting := target.subscription("redirecting")
	redirecting.URL = redirect.URL
	private := target.subscription("private")
	private.Insecure = false
	local := target.subscription("local")
	local.Insecure, local.URL = false, strings.Replace(target.URL, "127.0.0.1", "localhost", 1)
	dead := target.subscription("dead")
	dead.URL = nobody
	r := newRig(t, redirecting, private, local, dead)
	r.stay("R1")
	r.key("R1", "issued", "")
	r.settle()
	wantTypes(t, target.take())
	for name, want := range map[string]string{
		"redirecting": "redirects", "private": "insecure: true",
		"local": "insecure: true", "dead": "can't connect",
	} {
		list := r.deliveries(store.DeliveryFilter{Subscription: []string{name}})
		if len(list) != 1 || list[0].Status != store.DeliveryWaiting {
			t.Fatalf("%s: %+v", name, list)
		}
		attempts, err := r.db.Deliveries.Attempts(context.Background(), []uuid.UUID{list[0].DeliveryID})
		if err != nil || len(attempts[list[0].DeliveryID]) != 1 {
			t.Fatalf("%s: %+v, %v", name, attempts, err)
		}
		if a := attempts[list[0].DeliveryID][0]; a.Error == nil || !strings.Contains(*a.Error, want) ||
			strings.Contains(*a.Error, "secret-path") {
			t.Errorf("%s: attempt %+v", name, a)
		}
	}
}

// A receiver takes the message, and its 200 comes when nobody waits for it any more: that counts as no answer, and the
// same message is sent a second time, under its id.
func TestAnAnswerThatComesTooLate(t *testing.T) {
	t.Parallel()
	receiver := newReceiver(t)
	late := make(chan struct{}, 1)
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-late:
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			taken := r.Clone(context.Background())
			taken.Body = io.NopCloser(bytes.NewReader(body))
			receiver.ServeHTTP(httptest.NewRecorder(), taken) // it has it, and acts on it
			<-r.Context().Done()                              // the sender has given up
			w.WriteHeader(http.StatusOK)
		default:
			receiver.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(slow.Close)
	s := receiver.subscription("app")
	s.URL = slow.URL
	r := newRig(t, s)
	r.clients.within = time.Second
	r.stay("R1")
	r.key("R1", "issued", "")
	var first []heard
	for len(first) == 0 { // a busy machine may not even hand it over within the second
		select {
		case late <- struct{}{}:
		default:
		}
		r.pass(time.Hour)
		r.settle()
		first = receiver.take()
	}
	list := r.deliveries(store.DeliveryFilter{})
	if len(list) != 1 || list[0].Status != store.DeliveryWaiting {
		t.Fatalf("it counts as delivered: %+v", list)
	}
	r.clients.within = hangs
	r.pass(25 * time.Hour)
	r.settle()
	again := receiver.take()
	wantTypes(t, append(first, again...), TypeReady, TypeReady)
	if first[0].ID != again[0].ID || first[0].Body != again[0].Body {
		t.Errorf("the second message is another one: %+v, %+v", first[0], again[0])
	}
	if list := r.deliveries(store.DeliveryFilter{}); len(list) != 1 || list[0].Status != store.DeliveryDelivered ||
		list[0].Attempts < 2 {
		t.Errorf("deliveries: %+v", list)
	}
}

// One receiver that never answers delays no other, and takes one connection.
func TestASilentReceiverDelaysNobody(t *testing.T) {
	t.Parallel()
	healthy := newReceiver(t)
	var open, most atomic.Int32
	release := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		n := open.Add(1)
		defer open.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(silent.Close)
	t.Cleanup(func() { close(release) })
	stuck := healthy.subscription("silent")
	stuck.URL = silent.URL
	r := newRig(t, healthy.subscription("healthy"), stuck)
	for i := range 30 {
		id := fmt.Sprintf("R%d", i)
		r.stay(id)
		r.key(id, "issued", "")
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); r.Run(ctx, 0) }()
	deadline := time.After(hangs)
	for n := 0; n < 30; {
		n += len(healthy.take())
		select {
		case <-deadline:
			t.Fatalf("the healthy receiver got %d of 30", n)
		case <-time.After(5 * time.Millisecond):
		}
	}
	cancel()
	<-ended
	if most.Load() > 1 {
		t.Errorf("%d messages at a time were sent to a receiver that has taken none", most.Load())
	}
}

// Many receivers are dead (STAYKEY_DEAD_RECEIVERS). They hold back few stays each, and the healthy one gets everything.
func TestDeadReceiversCostLittle(t *testing.T) {
	t.Parallel()
	healthy := newReceiver(t)
	subscriptions := []Subscription{healthy.subscription("healthy")}
	for i := range chaos.Size("STAYKEY_DEAD_RECEIVERS", 15) {
		dead := healthy.subscription(fmt.Sprintf("dead%d", i))
		dead.URL = nobody
		subscriptions = append(subscriptions, dead)
	}
	r := newRig(t, subscriptions...)
	const stays = 100
	for i := range stays {
		id := fmt.Sprintf("R%d", i)
		r.stay(id)
		r.key(id, "issued", "")
	}
	r.settle()
	if got := len(healthy.take()); got != stays {
		t.Errorf("the healthy receiver got %d of %d", got, stays)
	}
	if most := r.number(
		`SELECT max(n) FROM (SELECT count(*) AS n FROM subscription_stays WHERE subscription <> 'healthy' GROUP BY subscription) s`); most > 16 {
		t.Errorf("a dead receiver holds %d stays", most)
	}
	counts, err := r.db.Subscriptions.UnreportedStays(context.Background(),
		[]store.Scope{{Subscription: "dead3"}, {Subscription: "healthy"}})
	if err != nil || counts["dead3"] != stays || counts["healthy"] != 0 {
		t.Errorf("undelivered: %v, %v", counts, err)
	}
}

// While a receiver is down, one stay waits for another try, whatever changes. One that answers may have something
// against a message, so a few wait. Both get everything once they accept it.
func TestADeadReceiverHoldsFewStays(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status, holds int
	}{"no answer": {0, 1}, "refused": {500, 8}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			receiver := newReceiver(t)
			r := newRig(t, receiver.subscription("app"))
			receiver.answers(c.status)
			r.exec(`UPDATE subscriptions SET failures = 3, failing_since = $1, last_failure_at = $1, unanswered = $2`,
				r.clock(), c.status == 0)
			const stays = 30
			for i := range stays {
				id := fmt.Sprintf("R%d", i)
				r.stay(id)
				r.key(id, "issued", "")
			}
			r.settle()
			if got := r.number(`SELECT count(*) FROM subscription_stays WHERE tries > 0`); got != c.holds {
				t.Errorf("%d stays wait for another try, want %d", got, c.holds)
			}
			if state := r.state("app"); state.Unanswered != (c.status == 0) {
				t.Errorf("unanswered: %t", state.Unanswered)
			}
			receiver.answers(204)
			receiver.take()
			r.pass(7 * time.Second) // the next try
			r.settle()
			if got := len(receiver.take()); got != stays {
				t.Errorf("it got %d of %d", got, stays)
			}
			if r.state("app").Unanswered {
				t.Error("it counts as unanswered")
			}
		})
	}
}

// A message that its receiver never accepts holds back no other stay.
func TestOneRefusedMessageHoldsBackNoOther(t *testing.T) {
	t.Parallel()
	receiver := newReceiver(t)
	receiver.answersBy(func(h heard) int {
		if strings.HasPrefix(h.Data.ReservationID, "bad") {
			return 500
		}
		return 200
	})
	r := newRig(t, receiver.subscription("app"))
	for i := range 20 { // so many that the receiver looks dead
		id := fmt.Sprintf("bad%d", i)
		r.stay(id)
		r.key(id, "issued", "")
	}
	r.settle()
	for i := range 20 {
		id := fmt.Sprintf("good%d", i)
		r.stay(id)
		r.key(id, "issued", "")
	}
	good := map[string]bool{}
	for n := 0; len(good) < 20; n++ {
		if n == 1000 {
			t.Fatalf("after %d minutes %d of 20 arrived", n, len(good))
		}
		r.pass(time.Minute)
		r.settle()
		for _, h := range receiver.take() {
			if strings.HasPrefix(h.Data.ReservationID, "good") {
				good[h.Data.ReservationID] = true
			}
		}
	}
}

func TestRetryAfterSilencesTheSubscription(t *testing.T) {
	t.Parallel()
	receiver := newReceiver(t)
	busy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "600")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	t.Cleanup(busy.Close)
	s := receiver.subscription("app")
	s.URL = busy.URL
	r := newRig(t, s)
	r.stay("R1")
	r.stay("R2")
	r.key("R1", "issued", "")
	r.settle()
	r.subscriptions = []Subscription{receiver.subscription("app")} // it has calmed down
	r.key("R2", "issued", "")
	r.pass(599 * time.Second)
	r.settle()
	wantTypes(t, receiver.take())
	r.pass(2 * time.Second)
	r.settle()
	wantTypes(t, receiver.take(), TypeReady, TypeReady)
}

func TestEverySecretSigns(t *testing.T) {
	t.Parallel()
	receiver := newReceiver(t)
	old, fresh := pms.Secret("the old secret, 24 bytes"), pms.Secret("the new secret, 24 bytes")
	s := receiver.subscription("app")
	s.Secrets = []pms.Secret{fresh, old}
	r := newRig(t, s)
	for _, known := range s.Secrets {
		receiver.secrets = []pms.Secret{known} // the receiver verifies by one of them, and fails the test otherwise
		d, result, err := r.Test(context.Background(), s)
		if err != nil || d.Status != store.DeliveryDelivered || result.StatusCode != http.StatusNoContent {
			t.Fatalf("test message: %+v, %+v, %v", d, result, err)
		}
	}
	wantTypes(t, receiver.take(), TypeTest, TypeTest)
}

func TestResendSendsTheSameUnlessItIsOvertaken(t *testing.T) {
	t.Parallel()
	receiver := newReceiver(t)
	r := newRig(t, receiver.subscription("app"))
	r.stay("R1")
	r.key("R1", "issued", "")
	r.settle()
	first := receiver.take()[0]
	resend := func(id string) store.Delivery {
		t.Helper()
		d, err := r.db.Deliveries.Get(context.Background(), parseID(t, id))
		if err == nil {
			d, err = r.db.Deliveries.Resend(context.Background(), d, r.clock(), store.Audit{
				At: r.clock(), Token: "admin",
				Author: "admin", Via: store.AuditREST, Action: "resend_delivery",
			})
		}
		if err != nil {
			t.Fatal(err)
		}
		r.settle()
		return d
	}
	resend(first.ID)
	again := receiver.take()
	wantTypes(t, again, TypeReady)
	if again[0].ID != first.ID || again[0].Body != first.Body {
		t.Errorf("resent: %+v, first: %+v", again[0], first)
	}
	r.doors("R1", "g2")
	r.settle()
	second := receiver.take()[0]
	if d := resend(first.ID); d.DeliveryID.String() != second.ID {
		t.Errorf("resending what was overtaken sends %s, not the newest, %s", d.DeliveryID, second.ID)
	}
	again = receiver.take()
	wantTypes(t, again, TypeChanged)
	if again[0].ID != second.ID || again[0].Body != second.Body {
		t.Errorf("resent: %+v, newest: %+v", again[0], second)
	}
	receiver.answers(500) // a resend that fails is tried again
	resend(second.ID)
	receiver.answers(200)
	r.pass(time.Minute)
	r.settle()
	if got := receiver.take(); len(got) != 2 || got[1].ID != second.ID {
		t.Errorf("a failed resend: %+v", got)
	}
	if d := r.deliveries(store.DeliveryFilter{Subscription: []string{"app"}})[0]; d.Status != store.DeliveryDelivered ||
		d.Attempts != 4 {
		t.Errorf("the delivery: %+v", d)
	}
}

func TestDeliveriesArePruned(t *testing.T) {
	t.Parallel()
	receiver := newReceiver(t)
	r := newRig(t, receiver.subscription("app"))
	r.stay("R1")
	r.key("R1", "issued", "")
	r.settle()
	receiver.answers(500)
	r.doors("R1", "g2")
	r.settle()
	r.Retain = 24 * time.Hour
	r.pass(25 * time.Hour)
	r.prune(context.Background())
	if list := r.deliveries(store.DeliveryFilter{}); len(list) != 1 || list[0].Status != store.DeliveryWaiting {
		t.Errorf("left are %+v: what waits must stay, what is done must go", list)
	}
	receiver.answers(200)
	r.settle()
	r.prune(context.Background())
	if n := r.number(`SELECT (SELECT count(*) FROM deliveries) + (SELECT count(*) FROM delivery_attempts)`); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}
