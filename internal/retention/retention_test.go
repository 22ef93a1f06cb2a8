package retention_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/retention"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/store/storetest"
)

const day = 24 * time.Hour

var start = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// world is an inbox, and a keeper with a clock of its own.
type world struct {
	t      *testing.T
	store  *store.Store
	now    time.Time
	n      int
	keeper *retention.Keeper
}

func newWorld(t *testing.T, ages retention.Ages) *world { return newWorldOn(t, storetest.New(t), ages) }

func newWorldOn(t *testing.T, s *store.Store, ages retention.Ages) *world {
	w := &world{t: t, store: s, now: start}
	w.keeper = retention.New(w.store, slog.New(slog.DiscardHandler), func() time.Time { return w.now }, ages,
		func() bool { return false })
	return w
}

// put posts an event and has it applied.
func (w *world) put(body string) store.Event {
	w.t.Helper()
	p, err := pms.ParseStaykey([]byte(body))
	if err != nil {
		w.t.Fatal(err)
	}
	w.n++
	key := fmt.Sprint("msg_", w.n)
	e := store.Event{
		EventID: uuid.New(), Source: "default", EventKey: &key, Type: p.Type, Status: stay.EventAccepted,
		ReceivedAt: w.now, OccurredAt: &w.now, Body: []byte(body),
	}
	if c := p.Change().Reservation; c != nil {
		e.ReservationID = &c.ReservationID
	}
	if p.Ignored {
		e.Status = stay.EventIgnored
	}
	if _, err := w.store.Events.Insert(context.Background(), []store.Event{e}); err != nil {
		w.t.Fatal(err)
	}
	applier := intake.NewApplier(w.store, slog.New(slog.DiscardHandler), intake.Options{
		Now:    func() time.Time { return w.now },
		Source: func(string) pms.Source { return pms.Source{Policy: pms.DefaultPolicy()} },
	})
	if err := applier.Drain(context.Background()); err != nil {
		w.t.Fatal(err)
	}
	return e
}

func (w *world) booked(id string, checkOut time.Time) store.Event {
	w.t.Helper()
	return w.put(fmt.Sprintf(
		`{"type":"reservation.created","timestamp":%q,"data":{"reservation_id":%q,"listing_id":"l","guest_email":"jane@example.com","guest_name":"Jane","guest_phone":"+34600000000","check_in":%q,"check_out":%q}}`,
		pms.FormatInstant(w.now), id, pms.FormatInstant(checkOut.Add(-2*day)), pms.FormatInstant(checkOut)))
}

// left counts what is left of everything.
type left struct{ Bodies, Events, Results, Timeline, Reservations, Guests, Keys int }

func (w *world) left() (l left) {
	w.t.Helper()
	err := w.store.Pool().QueryRow(context.Background(), `
		SELECT (SELECT count(body) FROM events), (SELECT count(*) FROM events), (SELECT count(*) FROM event_results),
			(SELECT count(*) FROM timeline),
			(SELECT count(*) FROM reservations), (SELECT count(coalesce(guest_email, guest_name, guest_phone))
				FROM reservations), (SELECT count(*) FROM mobile_keys)`).
		Scan(&l.Bodies, &l.Events, &l.Results, &l.Timeline, &l.Reservations, &l.Guests, &l.Keys)
	if err != nil {
		w.t.Fatal(err)
	}
	return l
}

func (w *world) at(now time.Time, want left) {
	w.t.Helper()
	w.now = now
	if err := w.keeper.Prune(context.Background()); err != nil {
		w.t.Fatal(err)
	}
	if diff := cmp.Diff(want, w.left()); diff != "" {
		w.t.Errorf("%.0f days on (-want +got):\n%s", now.Sub(start).Hours()/24, diff)
	}
}

// Batches of actions go a day after their request, with their stays' decisions.
func TestBatchesOfActions(t *testing.T) {
	t.Parallel()
	w := newWorld(t, retention.Defaults())
	batch := uuid.New()
	b := store.ActionBatch{BatchID: batch, At: start, UndoUntil: start, Action: "hold"}
	if err := w.store.Batches.Begin(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	w.at(start.Add(store.BatchesKept), left{})
	if _, _, err := w.store.Batches.Get(t.Context(), batch); err != nil {
		t.Error(err)
	}
	w.at(start.Add(store.BatchesKept+time.Second), left{})
	if _, _, err := w.store.Batches.Get(t.Context(), batch); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a batch is still there: %v", err)
	}
}

// TestAges: each kind goes when its age after check-out has come, and not a moment before.
func TestAges(t *testing.T) {
	t.Parallel()
	w := newWorld(t, retention.Defaults())
	out := start.Add(10 * day)
	booked := w.booked("old", out)
	w.booked("new", out.Add(1000*day))
	both := left{Bodies: 2, Events: 2, Results: 2, Timeline: 2, Reservations: 2, Guests: 2, Keys: 2}
	w.at(out.Add(30*day), both)
	w.at(out.Add(30*day+time.Second), left{
		Bodies: 1, Events: 2, Results: 2, Timeline: 2, Reservations: 2,
		Guests: 1, Keys: 2,
	})
	if again, err := w.store.Events.Replay(context.Background(), []store.Event{booked},
		store.Audit{Author: "a test", Action: "replay"}, w.now); len(again) > 0 || err != nil {
		t.Errorf("an event without its body is replayed: %v", err)
	}
	w.at(out.Add(90*day), left{Bodies: 1, Events: 2, Results: 2, Timeline: 2, Reservations: 2, Guests: 1, Keys: 2})
	w.at(out.Add(90*day+time.Second), left{
		Bodies: 1, Events: 1, Results: 1, Timeline: 2, Reservations: 2,
		Guests: 1, Keys: 2,
	})
	w.at(out.Add(180*day+time.Second), left{
		Bodies: 1, Events: 1, Results: 1, Timeline: 1, Reservations: 2,
		Guests: 1, Keys: 2,
	})
	w.at(out.Add(400*day), left{Bodies: 1, Events: 1, Results: 1, Timeline: 1, Reservations: 2, Guests: 1, Keys: 2})
	w.at(out.Add(400*day+time.Second), left{
		Bodies: 1, Events: 1, Results: 1, Timeline: 1, Reservations: 1,
		Guests: 1, Keys: 1,
	})
}

// The body of an event about several stays goes with the first of them that is forgotten: it has that guest's data too.
func TestEventsAboutSeveralStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t, retention.Defaults())
	format, err := pms.ParseFormat("own.jq", `.body[]`)
	if err != nil {
		t.Fatal(err)
	}
	out := start.Add(10 * day)
	booked := func(id string, out time.Time) string {
		return fmt.Sprintf(
			`{"reservation": {"reservation_id": %q, "listing_id": "l", "status": "confirmed", "guest_email": "%s@example.com", "check_in": %q, "check_out": %q}}`,
			id, id, pms.FormatInstant(out.Add(-2*day)), pms.FormatInstant(out))
	}
	e := store.Event{
		EventID: uuid.New(), Source: "default", Status: stay.EventAccepted, ReceivedAt: w.now,
		Request: []byte(`{}`), Body: []byte(`[` + booked("long", out.Add(1000*day)) + `,` + booked("short", out) + `]`),
	}
	if _, err := w.store.Events.Insert(t.Context(), []store.Event{e}); err != nil {
		t.Fatal(err)
	}
	source := pms.Source{Name: "default", Format: format, Policy: pms.DefaultPolicy(), Statuses: pms.DefaultStatuses()}
	if err := intake.NewApplier(w.store, slog.New(slog.DiscardHandler), intake.Options{
		Now: func() time.Time { return w.now }, Source: func(string) pms.Source { return source },
	}).Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.at(out.Add(30*day), left{Bodies: 1, Events: 1, Results: 1, Timeline: 2, Reservations: 2, Guests: 2, Keys: 2})
	w.at(out.Add(30*day+time.Second), left{
		Bodies: 0, Events: 1, Results: 1, Timeline: 2, Reservations: 2,
		Guests: 1, Keys: 2,
	})
}

// TestWhatHasNoCheckOut is kept 400 days at least: cancels of what never came, listings, what means nothing. Of what
// belongs to no reservation the bodies go at their age.
func TestWhatHasNoCheckOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, retention.Ages{Bodies: day, Events: day, Timeline: day, Reservations: day})
	w.put(`{"type":"reservation.cancelled","timestamp":"2026-01-01T12:00:00Z","data":{"reservation_id":"unknown"}}`)
	w.put(
		`{"type":"listing.created","timestamp":"2026-01-01T12:00:00Z","data":{"listing_id":"l","seam_access_group_ids":[]}}`)
	w.put(`{"type":"message.created","timestamp":"2026-01-01T12:00:00Z","data":{}}`)
	all := left{Bodies: 3, Events: 3, Results: 3, Timeline: 1, Reservations: 1, Keys: 1}
	w.at(start.Add(day), all)
	all.Bodies = 1
	w.at(start.Add(day+time.Second), all)
	w.at(start.Add(400*day), all)
	w.at(start.Add(400*day+time.Second), left{})
}

// TestUndatedStays: a stay whose check-out isn't known, because its time zone isn't, ends with the day that its PMS
// sent: its guest's data is kept no longer than that of others.
func TestUndatedStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t, retention.Ages{Bodies: 30 * day, Events: 40 * day, Timeline: 50 * day, Reservations: 60 * day})
	w.put(
		`{"type":"reservation.created","timestamp":"2026-01-01T12:00:00Z","data":{"reservation_id":"r","listing_id":"l","guest_name":"Jane","check_in":"2026-01-03T15:00","check_out":"2026-01-05T11:00"}}`)
	all := w.left()
	if all.Guests != 1 || all.Reservations != 1 {
		t.Fatalf("%+v", all)
	}
	ended := time.Date(2026, 1, 6, 12, 0, 0, 0, time.UTC) // where days end last
	w.at(ended.Add(30*day), all)
	all.Bodies, all.Guests = 0, 0
	w.at(ended.Add(31*day), all)
	w.at(ended.Add(61*day), left{})
}

// TestWaitingEvents: what waits for documents that nobody fetches goes when its body's age has come, and says so.
func TestWaitingEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t, retention.Defaults())
	e := store.Event{
		EventID: uuid.New(), Source: "ownerrez", Status: stay.EventAccepted, ReceivedAt: w.now,
		Request: []byte(`{}`), Body: []byte(`{"entity":{"guest":{"first_name":"Jane"}}}`),
	}
	if _, err := w.store.Events.Insert(t.Context(), []store.Event{e}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.store.Pool().Exec(t.Context(), `
		WITH taken AS (DELETE FROM event_queue RETURNING event_id, seq)
		INSERT INTO event_fetches (event_id, seq, source, wants, created_at)
			SELECT event_id, seq, 'ownerrez', '[]', now() FROM taken`); err != nil {
		t.Fatal(err)
	}
	w.at(start.Add(30*day), left{Bodies: 1, Events: 1})
	w.at(start.Add(30*day+time.Second), left{Events: 1, Results: 1})
	got, err := w.store.Events.Get(t.Context(), e.EventID)
	if err != nil || got.Status != stay.EventRejected || *got.Reason != store.ReasonTooOld {
		t.Errorf("%+v %v", got, err)
	}
}

// TestReplayOfALooseEvent has an event of no reservation be replayed while older ones are removed: its result comes
// back at its old place, and goes with the next turn.
func TestReplayOfALooseEvent(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t, retention.Defaults())
	ping := `{"type":"message.created","timestamp":"2026-01-01T12:00:00.000Z","data":{}}`
	w.put(ping)
	replayed := w.put(ping)
	w.put(ping)
	if again, err := w.store.Events.Replay(ctx, []store.Event{replayed},
		store.Audit{Author: "a test", Action: "replay"},
		w.now); len(again) != 1 || err != nil {
		t.Fatalf("%d replayed: %v", len(again), err)
	}
	after, n, err := w.store.Retention.PruneLooseEvents(ctx, 0, w.now.Add(day), 100)
	if err != nil || n != 1 {
		t.Fatalf("%d removed before the one that is replayed: %v", n, err)
	}
	w.put(ping) // has what waits applied
	if _, _, err := w.store.Retention.PruneLooseEvents(ctx, after, w.now.Add(day), 100); err != nil {
		t.Fatal(err)
	}
	if got := w.left(); got.Events != 0 || got.Results != 0 {
		t.Errorf("left for good: %+v", got)
	}
}

// TestResultBelowRetentionsPlace: an event of a stay is old when its program has learned that it is about none, and a
// replay says so. Retention has passed it, and looks again.
func TestResultBelowRetentionsPlace(t *testing.T) {
	t.Parallel()
	w := newWorld(t, retention.Defaults())
	turn := func(now time.Time) {
		t.Helper()
		w.now = now
		if err := w.keeper.Turn(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	turn(start) // schedules the first
	w.booked("long", start.Add(1000*day))
	turn(start.Add(500 * day)) // passes the event
	if l := w.left(); l.Bodies != 1 {
		t.Fatalf("before the replay: %+v", l)
	}
	if _, err := w.store.Pool().Exec(t.Context(), `
		UPDATE event_results SET reservation_id = NULL, listing_id = NULL, status = 'ignored', replayed_at = now()
	`); err != nil {
		t.Fatal(err)
	}
	for hour := range 7*24 + 2 {
		turn(start.Add(500*day + time.Duration(hour+1)*time.Hour))
	}
	if l := w.left(); l.Bodies != 0 || l.Events != 0 || l.Results != 0 {
		t.Errorf("a week later: %+v", l)
	}
}

// TestALockedStay: one stay of which something is locked doesn't keep the others from being removed.
func TestALockedStay(t *testing.T) {
	t.Parallel()
	w := newWorldOn(t, storetest.NewWithBriefLockWaits(t, 20), retention.Defaults())
	out := start.Add(10 * day)
	var locked store.Event
	for i := range 5 {
		if e := w.booked(fmt.Sprint(i), out); i == 1 {
			locked = e
		}
	}
	forgotten := storetest.Begin(t, w.store)
	if _, err := forgotten.Exec(t.Context(), `SELECT FROM events WHERE event_id = $1 FOR UPDATE`,
		locked.EventID); err != nil {
		t.Fatal(err)
	}
	w.at(out.Add(31*day), left{Bodies: 1, Events: 5, Results: 5, Timeline: 5, Reservations: 5, Guests: 1, Keys: 5})
	if err := forgotten.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.at(out.Add(31*day), left{Events: 5, Results: 5, Timeline: 5, Reservations: 5, Keys: 5})
}

// TestLiveStaysAreNotTouched: while an ACS user exists, or may, none of the stay is removed; what comes later
// about a stay that was pruned starts again.
func TestLiveStaysAreNotTouched(t *testing.T) {
	t.Parallel()
	w := newWorld(t, retention.Ages{Bodies: day, Events: day, Timeline: day, Reservations: 2 * day})
	ctx := context.Background()
	w.booked("held", start.Add(day))
	w.booked("free", start.Add(day))
	if _, err := w.store.Pool().Exec(ctx, `
		WITH i AS (INSERT INTO user_identities (user_identity_key, own, created_at) VALUES ('k', false, now())
			RETURNING user_identity_key)
		INSERT INTO acs_users (source, reservation_id, acs_system_id, user_identity_key, user_identity_id, guest_key)
			SELECT 'default', 'held', 's', 'k', 'i', '' FROM i`); err != nil {
		t.Fatal(err)
	}
	w.at(start.Add(2*day+time.Second), left{
		Bodies: 1, Events: 1, Results: 1, Timeline: 1, Reservations: 2,
		Guests: 1, Keys: 2,
	})
	w.booked("free", start.Add(day)) // the PMS says it again
	if l := w.left(); l.Guests != 2 || l.Bodies != 2 {
		t.Errorf("what was sent again is missing: %+v", l)
	}
	w.at(start.Add(100*day), left{Bodies: 1, Events: 1, Results: 1, Timeline: 1, Reservations: 1, Guests: 1, Keys: 1})
	if _, err := w.store.Pool().Exec(ctx, `DELETE FROM acs_users`); err != nil {
		t.Fatal(err)
	}
	w.at(start.Add(100*day), left{})
}

// TestNever keeps everything.
func TestNever(t *testing.T) {
	t.Parallel()
	w := newWorld(t, retention.Ages{
		Bodies: retention.Never, Events: retention.Never, Timeline: retention.Never,
		Reservations: retention.Never,
	})
	w.booked("old", start.Add(day))
	w.at(start.AddDate(50, 0, 0), left{
		Bodies: 1, Events: 1, Results: 1, Timeline: 1, Reservations: 1,
		Guests: 1, Keys: 1,
	})
}

// TestDiskUseLevelsOff: what comes in takes the place of what goes.
func TestDiskUseLevelsOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t, retention.Ages{Bodies: day, Events: 2 * day, Timeline: 2 * day, Reservations: 3 * day})
	ctx := context.Background()
	var sizes []int64
	for cycle := range 8 {
		for i := range 60 {
			w.booked(fmt.Sprintf("%d-%d", cycle, i), w.now.Add(2*time.Hour))
		}
		w.now = w.now.Add(day)
		if err := w.keeper.Prune(ctx); err != nil {
			t.Fatal(err)
		}
		var size int64
		for _, table := range []string{
			"events", "event_queue", "event_results", "reservations", "mobile_keys",
			"timeline",
		} {
			if _, err := w.store.Pool().Exec(ctx, `VACUUM `+table); err != nil { // as autovacuum does, in its time
				t.Fatal(err)
			}
			var of int64
			if err := w.store.Pool().QueryRow(ctx, `SELECT pg_table_size($1::regclass)`, table).Scan(&of); err != nil {
				t.Fatal(err)
			}
			size += of
		}
		sizes = append(sizes, size)
	}
	if last, full := sizes[7], sizes[4]; last > full+full/10 {
		t.Errorf("the tables still grow when as much goes as comes: %v bytes", sizes)
	}
}
