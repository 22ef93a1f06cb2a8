package intake_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
	"pgregory.net/rapid"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/store/storetest"
	"github.com/staykey/staykey/internal/until"
	"github.com/staykey/staykey/tools/chaos"
)

// slowStore delays commits until the test releases them.
type slowStore struct {
	mu      sync.Mutex
	batches [][]string
	entered chan struct{}
	release chan struct{}
	refuse  func([]store.Event) error
}

func (s *slowStore) Insert(_ context.Context, events []store.Event) ([]store.Accepted, error) {
	s.entered <- struct{}{}
	<-s.release
	if s.refuse != nil {
		if err := s.refuse(events); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var keys []string
	out := make([]store.Accepted, len(events))
	for i, e := range events {
		keys = append(keys, *e.EventKey)
		out[i] = store.Accepted{EventID: e.EventID}
	}
	s.batches = append(s.batches, keys)
	return out, nil
}

func keyed(key string) store.Event {
	return store.Event{EventID: uuid.New(), Source: "default", EventKey: &key, Status: stay.EventAccepted}
}

func TestGroupCommit(t *testing.T) {
	t.Parallel()
	s := &slowStore{entered: make(chan struct{}, 100), release: make(chan struct{})}
	a := intake.NewAcceptor(s, slog.New(slog.DiscardHandler), &intake.Pace{}, func() {}, until.Patience)
	var wg sync.WaitGroup
	accept := func(key string) { wg.Go(func() { _, _ = a.Accept(context.Background(), keyed(key)) }) }
	accept("first")
	<-s.entered
	gone, leave := context.WithCancel(context.Background())
	leave()
	if _, err := a.Accept(gone, keyed("gone")); !errors.Is(err, intake.ErrUnavailable) {
		t.Errorf("a request that went away: %v", err)
	}
	for i := range 5 {
		accept(fmt.Sprint(i % 4)) // one key twice: not in the same commit
	}
	// Everything that arrived during the first commit is in the next; closing waits for it.
	closed := make(chan struct{})
	for a.Waiting() < 6 { // the one whose request went away, and these five
		runtime.Gosched()
	}
	go func() { _ = a.Close(context.Background()); close(closed) }()
	close(s.release)
	wg.Wait()
	<-closed
	total := 0
	for _, b := range s.batches {
		seen := map[string]bool{}
		for _, k := range b {
			if seen[k] {
				t.Errorf("a batch holds %s twice", k)
			}
			seen[k] = true
		}
		total += len(b)
	}
	if total != 7 || len(s.batches) > 4 {
		t.Errorf("got batches %v, want 7 events in few commits, the one whose request went away among them", s.batches)
	}
	if _, err := a.Accept(context.Background(), keyed("late")); !errors.Is(err, intake.ErrUnavailable) {
		t.Errorf("after Close: %v", err)
	}
}

func TestOneBadRowDoesNotFailItsNeighbors(t *testing.T) {
	t.Parallel()
	s := &slowStore{
		entered: make(chan struct{}, 1000), release: make(chan struct{}),
		refuse: func(events []store.Event) error {
			for _, e := range events {
				if *e.EventKey == "bad" {
					return &pgconn.PgError{Code: "22021", Message: "invalid byte sequence"}
				}
			}
			return nil
		},
	}
	a := intake.NewAcceptor(s, slog.New(slog.DiscardHandler), &intake.Pace{}, func() {}, until.Patience)
	defer func() { _ = a.Close(context.Background()) }()
	errs := make([]error, 20)
	var wg sync.WaitGroup
	for i := range errs {
		key := fmt.Sprint(i)
		if i == 11 {
			key = "bad"
		}
		wg.Go(func() { _, errs[i] = a.Accept(context.Background(), keyed(key)) })
	}
	close(s.release)
	wg.Wait()
	for i, err := range errs {
		if (err != nil) != (i == 11) {
			t.Errorf("event %d: %v", i, err)
		}
	}
}

// world is an applier on a database of its own.
type world struct {
	t       testing.TB
	store   *store.Store
	applier *intake.Applier
	now     time.Time
	source  pms.Source // of all names
}

func newWorld(t testing.TB) *world { return worldOf(t, storetest.New(t)) }

// newWorldWithLocks is for tests of what happens when a lock isn't released.
func newWorldWithLocks(t testing.TB) *world {
	return worldOf(t, storetest.NewWithBriefLockWaits(t, 20))
}

func worldOf(t testing.TB, s *store.Store) *world {
	w := &world{
		t: t, store: s, now: time.Date(2024, 10, 20, 9, 0, 0, 0, time.UTC),
		source: pms.Source{Policy: pms.DefaultPolicy(), Statuses: pms.DefaultStatuses()},
	}
	w.applier = intake.NewApplier(w.store, slog.New(slog.NewTextHandler(t.Output(), nil)), w.options())
	return w
}

// options are those of an applier with the world's clock and source.
func (w *world) options() intake.Options {
	return intake.Options{
		Now: func() time.Time { return w.now }, Source: func(string) pms.Source { return w.source },
	}
}

func (w *world) put(source, body string) store.Event {
	w.t.Helper()
	p, err := pms.ParseStaykey([]byte(body))
	if err != nil {
		w.t.Fatal(err)
	}
	key := uuid.NewString()
	e := store.Event{
		EventID: uuid.New(), Source: source, EventKey: &key, Type: p.Type, Status: stay.EventAccepted,
		OccurredAt: &p.OccurredAt, ReceivedAt: w.now, Body: []byte(body),
	}
	if _, err := w.store.Events.Insert(context.Background(), []store.Event{e}); err != nil {
		w.t.Fatal(err)
	}
	return e
}

func (w *world) drain() {
	w.t.Helper()
	if err := w.applier.Drain(context.Background()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) status(e store.Event) string {
	w.t.Helper()
	got, err := w.store.Events.Get(context.Background(), e.EventID)
	if err != nil {
		w.t.Fatal(err)
	}
	return got.Status
}

func (w *world) reservation(id string) store.View {
	w.t.Helper()
	v, err := w.store.Reservations.View(context.Background(), stay.Ref{Source: "default", ReservationID: id})
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

func update(id string, at int, listing string) string {
	return fmt.Sprintf(
		`{"type":"reservation.updated","timestamp":"2024-10-20T08:%02d:00Z","data":{"reservation_id":%q,"listing_id":%q,"check_in":"2024-11-01T15:00:00Z","check_out":"2024-11-04T11:00:00Z"}}`, at, id, listing)
}

func cancelled(id string, at int) string {
	return fmt.Sprintf(
		`{"type":"reservation.cancelled","timestamp":"2024-10-20T08:%02d:00Z","data":{"reservation_id":%q}}`, at, id)
}

func TestOrderIsByTimestamp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	newer := w.put("default", update("R", 10, "new"))
	w.drain()
	older := w.put("default", update("R", 5, "old"))
	w.drain()
	if w.status(newer) != stay.EventApplied || w.status(older) != stay.EventSuperseded {
		t.Errorf("newer %s, older %s", w.status(newer), w.status(older))
	}
	same := w.put("default", update("R", 10, "same time, later receipt"))
	w.drain()
	if v := w.reservation("R"); w.status(same) != stay.EventApplied ||
		*v.Reservation.ListingID != "same time, later receipt" {
		t.Errorf("%s, listing %s", w.status(same), *v.Reservation.ListingID)
	}
	t.Run("a cancel that arrives before its reservation is remembered", func(t *testing.T) {
		w.put("default", cancelled("C", 10))
		w.drain()
		late := w.put("default", update("C", 5, "L"))
		w.drain()
		if v := w.reservation("C"); v.Reservation.Status != pms.Cancelled || w.status(late) != stay.EventSuperseded {
			t.Errorf("%s, the late one %s", v.Reservation.Status, w.status(late))
		}
		w.put("default", update("C", 15, "L"))
		w.drain()
		if v := w.reservation("C"); v.Reservation.Status != pms.Confirmed {
			t.Error("a later update does not bring it back")
		}
	})
	t.Run("a clock that is far ahead does not block what comes later", func(t *testing.T) {
		w.put("default", strings.Replace(update("F", 0, "from the future"), "2024-10-20T08:00", "2034-10-20T08:00", 1))
		w.drain()
		w.now = w.now.Add(6 * time.Minute)
		w.put("default", strings.Replace(update("F", 0, "L"), "08:00:00Z\",\"data", "09:05:30Z\",\"data", 1))
		w.drain()
		if v := w.reservation("F"); *v.Reservation.ListingID != "L" {
			t.Errorf("listing %s", *v.Reservation.ListingID)
		}
	})
	t.Run("a replay keeps its position", func(t *testing.T) {
		if _, err := w.store.Events.Replay(context.Background(), []store.Event{older},
			store.Audit{Author: "a test", Action: "replay"}, time.Now()); err != nil {
			t.Fatal(err)
		}
		w.drain()
		if v := w.reservation("R"); w.status(older) != stay.EventSuperseded || *v.Reservation.ListingID == "old" {
			t.Errorf("replayed: %s, listing %s", w.status(older), *v.Reservation.ListingID)
		}
	})
}

// With distinct timestamps, the state of reservations depends on the set of events, not on their order of arrival, on
// the division into batches, or on repetitions.
func TestArrivalOrderDoesNotMatter(t *testing.T) {
	t.Parallel()
	type state struct{ Status, Listing string }
	w := newWorld(t)
	round := 0
	rapid.Check(t, func(rt *rapid.T) {
		round++
		id := fmt.Sprintf("R%d", round)
		n := rapid.IntRange(1, 8).Draw(rt, "events")
		bodies := make([]string, n)
		for i := range bodies {
			if rapid.Bool().Draw(rt, "cancel") {
				bodies[i] = cancelled(id, i)
			} else {
				bodies[i] = update(id, i, fmt.Sprintf("L%d", rapid.IntRange(0, 2).Draw(rt, "listing")))
			}
		}
		want := state{Status: pms.Confirmed}
		last, err := pms.ParseStaykey([]byte(bodies[n-1]))
		if err != nil {
			rt.Fatal(err)
		}
		want.Status = last.Change().Reservation.Status
		if want.Status == pms.Confirmed {
			want.Listing = *last.Change().Reservation.ListingID
		}
		order := rapid.Permutation(bodies).Draw(rt, "arrival")
		for _, body := range order {
			w.put("default", body)
			if rapid.Bool().Draw(rt, "again") {
				w.put("default", body)
			}
			if rapid.Bool().Draw(rt, "apply now") {
				w.drain()
			}
		}
		w.drain()
		v := w.reservation(id)
		got := state{Status: v.Reservation.Status}
		if got.Status == pms.Confirmed {
			got.Listing = *v.Reservation.ListingID
		}
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestAppliersShareTheWork(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const stays = 500 // one batch per version, so that two appliers have two versions of the same stays
	for round := range chaos.Size("STAYKEY_APPLY_ROUNDS", 12) {
		for v := range 2 {
			for i := range stays {
				w.put("default", update(fmt.Sprintf("R%d", i), 2*round+v, fmt.Sprintf("L%d", 2*round+v)))
			}
		}
		start := make(chan struct{})
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				<-start
				if err := w.applier.Drain(context.Background()); err != nil {
					t.Error(err)
				}
			})
		}
		close(start)
		wg.Wait()
		w.drain()
		for i := range stays {
			if v, want := w.reservation(fmt.Sprintf("R%d", i)),
				fmt.Sprintf("L%d", 2*round+1); *v.Reservation.ListingID != want {
				t.Fatalf("R%d is at %s, want %s: an applier has written over another's work", i,
					*v.Reservation.ListingID, want)
			}
		}
	}
	if n, _, err := w.store.Events.Backlog(context.Background(), nil); err != nil || n != 0 {
		t.Errorf("%d events are left: %v", n, err)
	}
}

func TestAPoisonEventIsSetAside(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good := w.put("default", update("R", 1, "L"))
	bad := w.put("default",
		`{"type":"reservation.updated","timestamp":"2024-10-20T08:00:00Z","data":{"reservation_id":"P"}}`)
	after := w.put("default", update("S", 1, "L"))
	w.drain()
	if w.status(good) != stay.EventApplied || w.status(after) != stay.EventApplied ||
		w.status(bad) != stay.EventRejected {
		t.Errorf("good %s, bad %s, after %s", w.status(good), w.status(bad), w.status(after))
	}
}

func TestAListingsChangeReachesItsStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 3 {
		w.put("default", strings.Replace(update(fmt.Sprintf("R%d", i), 1, "L"), "2024-11-01T15:00:00Z",
			"2024-11-01", 1))
	}
	w.drain()
	if v := w.reservation("R0"); v.Reservation.CheckIn != nil {
		t.Fatal("a check-in without a time zone")
	}
	before := w.reservation("R0").Key.Generation
	w.put("default",
		`{"type":"listing.created","timestamp":"2024-10-20T08:00:00Z","data":{"listing_id":"L","seam_access_group_ids":["g"],"time_zone":"America/New_York"}}`)
	w.drain()
	for i := range 3 {
		v := w.reservation(fmt.Sprintf("R%d", i))
		if v.Reservation.CheckIn == nil || !v.Reservation.CheckIn.Equal(time.Date(2024, 11, 1, 19, 0, 0, 0,
			time.UTC)) || v.Key.Generation <= before {
			t.Errorf("R%d: check-in %v, generation %d", i, v.Reservation.CheckIn, v.Key.Generation)
		}
	}
	left, err := w.store.Listings.ToFanOut(context.Background(), 10)
	if err != nil || len(left) != 0 {
		t.Errorf("left to fan out: %v %v", left, err)
	}
}

// TestDuplicatesAndDisorderAtVolume sends a history with three in ten of its events twice and two in ten late, to two
// replicas that accept and apply at the same time. The result is what a single reader of the ordered history would
// know.
func TestDuplicatesAndDisorderAtVolume(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const stays, each = 200, 10
	random := rand.New(rand.NewPCG(3, 4))
	var sent []store.Event
	for i := range stays * each {
		id, key := fmt.Sprint("stay-", i%stays), fmt.Sprint("msg_", i)
		at := w.now.Add(-time.Hour + time.Duration(i)*time.Millisecond)
		body := fmt.Sprintf(
			`{"type":"reservation.updated","timestamp":%q,"data":{"reservation_id":%q,"listing_id":"l","check_in":"2030-01-01T15:00:00Z","check_out":"2030-01-02T11:00:00Z","guest_name":"%d"}}`,
			pms.FormatInstant(at), id, i/stays)
		sent = append(sent, store.Event{
			EventID: uuid.New(), Source: "default", EventKey: &key,
			Type: "reservation.updated", Status: stay.EventAccepted, ReservationID: &id, OccurredAt: &at,
			ReceivedAt: w.now, Body: []byte(body),
		})
	}
	for i := range sent {
		if random.IntN(10) < 2 {
			j := min(i+random.IntN(3*stays), len(sent)-1)
			sent[i], sent[j] = sent[j], sent[i]
		}
	}
	for i := range stays * each {
		if random.IntN(10) < 3 {
			again := sent[i]
			again.EventID = uuid.New()
			sent = append(sent, again)
		}
	}
	log := slog.New(slog.DiscardHandler)
	ctx, stop := context.WithCancel(context.Background())
	var replicas sync.WaitGroup
	next := make(chan store.Event)
	var duplicates atomic.Int64
	for range 2 {
		var pace intake.Pace
		applier := intake.NewApplier(w.store, log, intake.Options{
			Now: func() time.Time { return w.now }, Pace: &pace,
			Source: func(string) pms.Source { return pms.Source{Policy: pms.DefaultPolicy()} },
		})
		acceptor := intake.NewAcceptor(w.store.Events, log, &pace, applier.Wake, until.Patience)
		replicas.Go(func() { applier.Run(ctx) })
		var senders sync.WaitGroup
		for range 16 {
			senders.Go(func() {
				for e := range next {
					got, err := acceptor.Accept(context.Background(), e)
					if err != nil {
						t.Error(err)
					}
					if got.Duplicate {
						duplicates.Add(1)
					}
				}
			})
		}
		replicas.Go(func() { senders.Wait(); _ = acceptor.Close(context.Background()) })
	}
	for _, e := range sent {
		next <- e
	}
	close(next)
	stop()
	replicas.Wait()
	until.True(t, "events that were put back to be applied, too", func() bool {
		if err := w.applier.Drain(context.Background()); err != nil {
			t.Fatal(err)
		}
		waiting, _, err := w.store.Events.Backlog(context.Background(), nil)
		return err == nil && waiting == 0
	})
	if n := len(sent) - stays*each; int(duplicates.Load()) != n {
		t.Errorf("%d duplicates were reported, %d sent", duplicates.Load(), n)
	}
	var events, results, known, latest int
	err := w.store.Pool().QueryRow(context.Background(), `
		SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM event_results
			WHERE status IN ('applied', 'superseded')),
			(SELECT count(*) FROM reservations), (SELECT count(*) FROM reservations WHERE guest_name = $1)`,
		fmt.Sprint(each-1)).Scan(&events, &results, &known, &latest)
	if err != nil || events != stays*each || results != events || known != stays || latest != stays {
		t.Errorf("%d events, %d results, %d reservations, %d of them by their last event: %v", events, results, known,
			latest, err)
	}
}
