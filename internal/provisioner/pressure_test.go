package provisioner_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

// backlog books n far stays like a backfill: they are in the inbox, but not applied yet.
func (r *rig) backlog(n int, in time.Time) {
	r.t.Helper()
	for from := 0; from < n; from += 100 {
		events := make([]store.Event, 0, 100)
		for i := from; i < min(from+100, n); i++ {
			at := r.now()
			body, err := json.Marshal(map[string]any{
				"type":      "reservation.created",
				"timestamp": at.Format("2006-01-02T15:04:05.000Z"), "data": map[string]any{
					"reservation_id": fmt.Sprintf("far-%05d", i), "listing_id": "L",
					"guest_email": fmt.Sprintf("far%d@example.com", i),
					"check_in":    in.Format(time.RFC3339), "check_out": in.Add(48 * time.Hour).Format(time.RFC3339),
				},
			})
			if err != nil {
				r.t.Fatal(err)
			}
			key := uuid.NewString()
			events = append(events, store.Event{
				EventID: uuid.New(), Source: "default", EventKey: &key,
				Type: "reservation.created", Status: store.EventAccepted, OccurredAt: &at, ReceivedAt: at, Body: body,
			})
		}
		if _, err := r.store.Events.Insert(context.Background(), events); err != nil {
			r.t.Fatal(err)
		}
	}
}

// pressure is how many stays a backfill or a change of a listing brings; STAYKEY_PRESSURE increases it.
func pressure() int {
	if n, err := strconv.Atoi(os.Getenv("STAYKEY_PRESSURE")); err == nil {
		return n
	}
	return 600
}

// waitLong waits for something that takes as long as a great many stays.
func waitLong(t testing.TB, what string, reached func() bool) {
	t.Helper()
	waitWithin(t, 20*time.Minute, 200*time.Millisecond, what, reached)
}

// provisionedFar counts the far stays that Seam has so far.
func (r *rig) provisionedFar() int {
	n := 0
	for _, u := range r.sim.State().Users {
		if len(u.FullName) > 4 && u.FullName[:4] == "far-" {
			n++
		}
	}
	return n
}

// A guest who arrives in an hour is served before a backfill of far stays: only those already under way come first.
func TestNearArrivalOvertakesABackfill(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{Latency: 2 * time.Millisecond})
	r.listing("default", "L", "555555-5555")
	far := pressure()
	r.backlog(far, r.now().Add(60*24*time.Hour))
	applying := make(chan error, 2)
	apply := func() { applying <- r.applier.Drain(context.Background()) }
	go apply()
	waitFor(t, "the backfill to be worked on", func() bool { return r.provisionedFar() >= 20 })
	near := r.stay("near")
	near.in = r.now().Add(time.Hour)
	sent, applied := time.Now(), r.provisionedFar()
	r.accept("default", "reservation.created", r.now(), map[string]any{
		"reservation_id": near.id, "listing_id": near.listing, "check_in": near.in.Format(time.RFC3339),
		"check_out": near.out.Format(time.RFC3339),
	})
	go apply() // the first one may be working on the backfill, or done
	waitFor(t, "it to be applied", func() bool {
		_, err := r.store.Reservations.View(context.Background(),
			store.Ref{Source: near.source, ReservationID: near.id})
		return err == nil
	})
	r.until(near, store.KeyIssued)
	if between := r.provisionedFar() - applied; between > far/4 && between > 4*r.options.Workers {
		t.Errorf("%d far stays were provisioned before the one that begins in an hour", between)
	}
	t.Logf("issued %s after its event; %d of %d far stays were provisioned by then",
		time.Since(sent).Round(time.Millisecond), r.provisionedFar(), far)
	for range 2 {
		if err := <-applying; err != nil {
			t.Fatal(err)
		}
	}
}

// An event of a guest who arrives soon is applied before a backlog of earlier ones.
func TestUrgentEventsAreAppliedFirst(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.stop()
	r.backlog(600, r.now().Add(60*24*time.Hour))
	at, key := r.now(), "urgent"
	body := fmt.Sprintf(
		`{"type":"reservation.created","timestamp":%q,"data":{"reservation_id":"near","listing_id":"L","check_in":%q,"check_out":%q}}`,
		at.Format("2006-01-02T15:04:05.000Z"), at.Add(time.Hour).Format(time.RFC3339),
		at.Add(24*time.Hour).Format(time.RFC3339))
	if _, err := r.store.Events.Insert(context.Background(), []store.Event{{
		EventID: uuid.New(), Source: "default", EventKey: &key, Type: "reservation.created",
		Status: store.EventAccepted, OccurredAt: &at, ReceivedAt: at, Urgent: true, Body: []byte(body),
	}}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // so that only one batch is applied
	if err := r.applier.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	if n, _, err := r.store.Events.Backlog(context.Background(), nil); err != nil || n == 0 || n >= 601 {
		t.Fatalf("%d events wait after one batch: %v", n, err)
	}
	if _, err := r.store.Reservations.View(context.Background(),
		store.Ref{Source: "default", ReservationID: "near"}); err != nil {
		t.Errorf("the urgent one is not among the first: %v", err)
	}
}

// The listing of a great many stays changes: a new guest who arrives in an hour does not wait for all of them.
func TestNearArrivalOvertakesAFanOut(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.listing("default", "L", "555555-5555")
	far := pressure()
	r.backlog(far, r.now().Add(60*24*time.Hour))
	if err := r.applier.Drain(context.Background()); err != nil {
		t.Fatal(err)
	}
	waitLong(t, "the far stays", func() bool { return r.provisionedFar() == far })
	r.sim.Configure(func(o *simulator.Options) { o.Latency = 2 * time.Millisecond })
	changed := func() int {
		n := 0
		for _, u := range r.sim.State().Users {
			if len(u.GroupIDs) == 2 {
				n++
			}
		}
		return n
	}
	go r.listing("default", "L", "555555-5555", "lobby")
	waitFor(t, "the change to be worked on", func() bool { return changed() >= 20 })
	near := r.stay("near")
	near.in = r.now().Add(time.Hour)
	r.book(near)
	before := changed()
	r.until(near, store.KeyIssued)
	if between := changed() - before; between > far/4 && between > 4*r.options.Workers {
		t.Errorf("%d far stays were changed before the one that begins in an hour was served", between)
	}
	waitLong(t, "the change to reach all", func() bool { return changed() == far+1 })
}

// Arrivals without a key are counted, logged once, and logged again when they have changed.
func TestArrivalsWithoutKeyAreLogged(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.stop()
	log := r.logTo()
	for i, in := range []time.Duration{-time.Hour, 3 * time.Hour, 30 * time.Hour} { // the last is too far to matter
		s := r.stay(fmtStay(i))
		s.in, s.listing = r.now().Add(in), "unknown"
		r.book(s)
	}
	r.start()
	waitFor(t, "the log", func() bool {
		return strings.Contains(log(), "upcoming arrivals without a key") &&
			strings.Contains(log(), "count=2 within=24h0m0s source=default reservation_id=R0")
	})
	count, nearest, err := r.store.Keys.CountArrivalsWithoutKey(context.Background(), r.now(),
		r.now().Add(24*time.Hour))
	if err != nil || count != 2 || nearest.ReservationID != "R0" {
		t.Errorf("got %d, %+v, %v", count, nearest, err)
	}
	r.listing("default", "unknown", "555555-5555")
	for i := range 2 {
		waitFor(t, "its key", func() bool {
			v := r.view(r.stay(fmtStay(i)))
			return v.Key.Status == store.KeyIssued || v.Key.Status == store.KeyActive
		})
	}
	count, nearest, err = r.store.Keys.CountArrivalsWithoutKey(context.Background(), r.now(), r.now().Add(24*time.Hour))
	if err != nil || count != 0 || nearest != nil {
		t.Errorf("with their keys: got %d, %+v, %v", count, nearest, err)
	}
}

// After an outage of a week, a guest who arrives in ten minutes comes before all cleanup.
func TestArrivalsComeBeforeCleanup(t *testing.T) {
	t.Parallel()
	r, _ := outage(t)
	r.advance(7 * 24 * time.Hour)
	r.mustComeFirst(func() {
		if _, err := r.store.Keys.QueueDue(context.Background(), r.now()); err != nil {
			t.Fatal(err)
		}
	})
}

// No-shows of yesterday are cancelled while the provisioner is down, and a guest arrives in ten minutes: the guest
// comes first, and then all of them are removed.
func TestArrivalsComeBeforeNoShows(t *testing.T) {
	t.Parallel()
	r, noShows := outage(t)
	r.advance(noShows[0].in.Add(24 * time.Hour).Sub(r.now()))
	for _, s := range noShows {
		r.cancel(s)
	}
	r.mustComeFirst(func() {})
	for _, s := range noShows {
		r.until(s, store.KeyRevoked)
	}
}

// outage is a provisioner with one worker that is down, and the stays whose keys it has issued.
func outage(t *testing.T) (*rig, []stay) {
	t.Helper()
	options := fast()
	options.Workers = 1
	r := newRig(t, options, simulator.Options{})
	r.listing("default", "L", "555555-5555")
	var stays []stay
	for i := range 20 {
		s := r.stay(fmtStay(i))
		s.email = ""
		r.book(s)
		stays = append(stays, s)
	}
	for _, s := range stays {
		r.until(s, store.KeyIssued)
	}
	r.stop()
	r.sim.Forget()
	return r, stays
}

// mustComeFirst books a guest who arrives in ten minutes, starts the provisioner, and checks that no other stay's key
// is taken back before the guest's is created.
func (r *rig) mustComeFirst(booked func()) {
	r.t.Helper()
	s := r.stay("NOW")
	s.in = r.now().Add(10 * time.Minute).Truncate(time.Millisecond)
	r.book(s)
	booked()
	r.start()
	r.until(s, store.KeyIssued)
	for _, c := range r.sim.Records() {
		if c.Path == seam.PathUserCreate {
			break
		}
		if c.Path == seam.PathUserDelete {
			r.t.Fatal("a stay was removed before the guest who arrives got a key")
		}
	}
}

// guests.without_email is wait, and then the PMS sends a relay address: that counts as an address.
func TestARelaysAddressEndsTheWait(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	r.policy = func(string) pms.Policy { p := pms.DefaultPolicy(); p.NeedEmail = true; return p }
	r.listing("default", "L", "555555-5555")
	s := r.stay("R1")
	s.email = ""
	r.book(s)
	v := r.until(s, store.KeyWaiting)
	if next := v.Key.NextReconcileAt; next == nil || next.After(r.now().Add(25*time.Hour)) {
		t.Errorf("the next look is at %v: nothing may sleep until check-out", next)
	}
	s.email = "abc-123@guest.booking.com"
	r.book(s)
	r.until(s, store.KeyIssued)
}

// After an outage more timers are due than one statement queues, and the last of them is for a guest who arrives in
// ten minutes: that guest still comes first.
func TestNearTimerOvertakesOlderOnes(t *testing.T) {
	t.Parallel()
	options := fast()
	options.Workers = 1
	r := newRig(t, options, simulator.Options{})
	r.listing("default", "L", "555555-5555")
	waitFor(t, "the access groups to be known", func() bool { return r.sim.Calls() >= 2 })
	r.stop()
	s := r.stay("NEAR")
	s.in = r.now().Add(10 * time.Minute).Truncate(time.Millisecond)
	r.book(s)
	for _, q := range []string{
		`UPDATE mobile_keys SET queued = false, next_reconcile_at = $1::timestamptz - interval '1 second'`,
		`INSERT INTO reservations (source, reservation_id, status, check_in, check_out, version_at, version_seq,
			created_at, updated_at)
			SELECT 'default', 'far-' || i, 'confirmed', $1::timestamptz + interval '30 days',
				$1::timestamptz + interval '32 days', $1, 1, $1, $1
			FROM generate_series(1, 4100) i`,
		`INSERT INTO mobile_keys (source, reservation_id, status, queued, next_reconcile_at, rank_at, changed_at)
			SELECT source, reservation_id, 'waiting', false, $1::timestamptz - interval '1 hour', check_in, $1
				FROM reservations
			WHERE reservation_id LIKE 'far-%'`,
	} {
		if _, err := r.store.Pool().Exec(context.Background(), q, r.now()); err != nil {
			t.Fatal(err)
		}
	}
	before := make(chan int, 1)
	r.sim.Configure(func(o *simulator.Options) {
		o.Hook = func(path string, after bool) bool {
			if path == seam.PathUserCreate && !after {
				var n int
				if err := r.store.Pool().QueryRow(context.Background(), `
					SELECT count(*) FROM mobile_keys WHERE reservation_id LIKE 'far-%' AND reason IS NOT NULL`).Scan(
					&n); err != nil {
					t.Error(err)
				}
				before <- n
			}
			return false
		}
	})
	r.start()
	if n := <-before; n != 0 {
		t.Errorf("%d stays that are far away came first", n)
	}
	r.stop()
}
