package intake_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/store/storetest"
)

// hotel is a database with one source, whose stays are completed by replicas with policies of their own.
type hotel struct {
	t     *testing.T
	store *store.Store
}

func (h hotel) post(bodies ...string) {
	h.t.Helper()
	for _, body := range bodies {
		key := uuid.NewString()
		e := store.Event{
			EventID: uuid.New(), Source: "hotel", EventKey: &key, Type: "x", Status: stay.EventAccepted,
			ReceivedAt: time.Now().UTC(), Body: []byte(body),
		}
		if _, err := h.store.Events.Insert(context.Background(), []store.Event{e}); err != nil {
			h.t.Fatal(err)
		}
	}
}

func (h hotel) decide(p pms.Policy) {
	h.t.Helper()
	if _, err := h.store.Policies.Decide(context.Background(),
		[]store.SourcePolicy{{Source: "hotel", Fingerprint: p.Fingerprint()}}); err != nil {
		h.t.Fatal(err)
	}
}

// work makes a replica with this policy do everything that waits.
func (h hotel) work(p pms.Policy) {
	h.t.Helper()
	a := intake.NewApplier(h.store, slog.New(slog.DiscardHandler), intake.Options{
		Source: func(name string) pms.Source {
			return pms.Source{Name: name, Policy: p, Statuses: pms.DefaultStatuses()}
		},
	})
	if err := a.Drain(context.Background()); err != nil {
		h.t.Fatal(err)
	}
}

func (h hotel) checkIn(id string) string {
	h.t.Helper()
	v, err := h.store.Reservations.View(context.Background(), stay.Ref{Source: "hotel", ReservationID: id})
	if err != nil {
		h.t.Fatal(err)
	}
	if v.Reservation.CheckIn == nil {
		return "none"
	}
	return pms.FormatInstant(*v.Reservation.CheckIn)
}

func (h hotel) generation(id string) int64 {
	h.t.Helper()
	v, err := h.store.Reservations.View(context.Background(), stay.Ref{Source: "hotel", ReservationID: id})
	if err != nil {
		h.t.Fatal(err)
	}
	return v.Key.Generation
}

const (
	hotelListing = `{"type":"listing.created","timestamp":"2026-10-20T09:00:00.000Z","data":{"listing_id":"L","seam_access_group_ids":["g"]}}`
	hotelStay    = `{"type":"reservation.created","timestamp":"2026-10-20T09:00:00.000Z","data":{"reservation_id":"R","listing_id":"L","guest_email":"a@example.com","check_in":"2030-11-01","check_out":"2030-11-04"}}`
	hotelNoRoom  = `{"type":"reservation.created","timestamp":"2026-10-20T09:00:00.000Z","data":{"reservation_id":"N","listing_id":null,"guest_email":"a@example.com","check_in":"2030-11-01","check_out":"2030-11-04"}}`
)

// A stay names the policy that it was completed with, so that it follows its source's present one, whatever made them
// differ.
func TestStaysFollowThePolicyOfTheirSource(t *testing.T) {
	t.Parallel()
	none, at15, at17 := pms.DefaultPolicy(), pms.DefaultPolicy(), pms.DefaultPolicy()
	at15.TimeZone, at17.TimeZone, at17.CheckInTime = "UTC", "UTC", "17:00"

	for _, tc := range []struct {
		name, reason string
		do           func(h hotel)
		want         string
	}{
		{
			"imported before the source has an entry", "neither a restart nor a reload applied the time zone to them",
			func(h hotel) { h.post(hotelListing, hotelStay); h.work(none); h.decide(at15); h.work(at15) }, "15",
		},
		{
			"without a room, before the source has an entry", "no listing's change could reach them",
			func(h hotel) {
				h.post(hotelNoRoom)
				h.work(none)
				h.decide(at15)
				h.work(at15)
				if got := h.checkIn("N"); got != "2030-11-01T15:00:00.000Z" {
					h.t.Errorf("the stay without a room: %s", got)
				}
				h.post(hotelListing, hotelStay)
				h.work(at15)
			}, "15",
		},
		{
			"a rolling update whose first work is an old replica's",
			"the old replica carried the change out with its old policy",
			func(h hotel) {
				h.decide(at15)
				h.post(hotelListing, hotelStay)
				h.work(at15)
				h.decide(at17) // the first new replica starts
				h.work(at15)   // an old one looks for work first
				h.decide(at17) // the second new one starts
				h.work(at17)
			}, "17",
		},
		{
			"an old replica applies an event after the change", "what it completes would never be updated",
			func(h hotel) {
				h.decide(at17)
				h.post(hotelListing, hotelStay)
				h.work(at15)
				h.work(at17)
			}, "17",
		},
		{
			"an old replica alone", "replicas of different configurations must not undo each other's work",
			func(h hotel) {
				h.decide(at17)
				h.post(hotelListing, hotelStay)
				h.work(at17)
				h.work(at15)
			}, "17",
		},
		{
			"back again", "the last decision counts",
			func(h hotel) {
				h.decide(at15)
				h.post(hotelListing, hotelStay)
				h.work(at15)
				h.decide(at17)
				h.work(at17)
				h.decide(at15)
				h.work(at15)
			}, "15",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			h := hotel{t, storetest.New(t)}
			tc.do(h)
			if got, want := h.checkIn("R"), "2030-11-01T"+tc.want+":00:00.000Z"; got != want {
				t.Errorf("check-in is %s, want %s: %s", got, want, tc.reason)
			}
		})
	}
}

// A part of a policy other than check-in and check-out times, such as grace, affects the key too: it is planned
// again, once.
func TestKeysArePlannedAgainForANewPolicy(t *testing.T) {
	t.Parallel()
	h := hotel{t, storetest.New(t)}
	before, after := pms.DefaultPolicy(), pms.DefaultPolicy()
	before.TimeZone, after.TimeZone, after.GraceAfter = "UTC", "UTC", time.Hour
	h.decide(before)
	h.post(hotelListing, hotelStay)
	h.work(before)
	first := h.generation("R")
	h.decide(after)
	h.work(after)
	second := h.generation("R")
	if second <= first {
		t.Errorf("generation %d after %d: the key is not planned again", second, first)
	}
	h.work(after)
	if third := h.generation("R"); third != second {
		t.Errorf("generation %d after %d: the key is planned over and over", third, second)
	}
}

// Stays of earlier versions have no fingerprint. If their source's policy is unchanged, nothing at Seam depends on
// it.
func TestUpgradeLeavesKeysAlone(t *testing.T) {
	t.Parallel()
	h := hotel{t, storetest.New(t)}
	ctx := context.Background()
	same, other := pms.DefaultPolicy(), pms.DefaultPolicy()
	same.TimeZone, other.TimeZone, other.GraceBefore = "UTC", "UTC", time.Hour
	h.decide(same)
	h.post(hotelListing, hotelStay)
	h.work(same)
	asBefore := func() {
		t.Helper()
		for _, sql := range []string{
			`UPDATE reservations SET policy = NULL`,
			`INSERT INTO settings (name, value) VALUES ('policy_before:hotel', '` + same.Fingerprint() +
				`') ON CONFLICT DO NOTHING`,
		} {
			if _, err := h.store.Pool().Exec(ctx, sql); err != nil {
				t.Fatal(err)
			}
		}
	}
	asBefore()
	before := h.generation("R")
	h.work(same)
	if after := h.generation("R"); after != before {
		t.Errorf("generation %d after %d: the upgrade has the key planned again", after, before)
	}
	stale, err := h.store.Policies.Stale(ctx)
	if err != nil || len(stale) != 0 {
		t.Errorf("still to follow: %v %v", stale, err)
	}
	asBefore()
	h.decide(other)
	h.work(other)
	if after := h.generation("R"); after == before {
		t.Error("the policy changed with the upgrade, but the key is not planned again")
	}
}

// Policies of several sources are recorded together or not at all.
func TestPoliciesAreDecidedTogether(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := context.Background()
	policies := []store.SourcePolicy{
		{Source: "b", Fingerprint: "1", Encoded: "{}"},
		{Source: "a", Fingerprint: "1", Encoded: "{}"},
	}
	if changed, err := s.Policies.Decide(ctx, policies); err != nil || len(changed) != 0 {
		t.Fatalf("changed %v: %v", changed, err)
	}
	policies[0].Fingerprint = "2"
	if changed, err := s.Policies.Decide(ctx, policies); err != nil || len(changed) != 1 || changed[0] != "b" {
		t.Fatalf("changed %v: %v", changed, err)
	}
	if _, err := s.Pool().Exec(ctx, `ALTER TABLE settings ADD CHECK (name <> 'policy:c')`); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Policies.Decide(ctx, []store.SourcePolicy{
		{Source: "a", Fingerprint: "3"},
		{Source: "c", Fingerprint: "3"},
	}); err == nil {
		t.Fatal("no error")
	}
	got, err := s.Policies.List(ctx)
	if err != nil || len(got) != 2 {
		t.Fatalf("%v: %v", got, err)
	}
	for _, p := range got {
		if p.Fingerprint == "3" || p.Encoded != "{}" {
			t.Errorf("half of it was decided: %+v", p)
		}
	}
}

// A stay of several rooms takes the times of its property from its present room, or from the first that is known;
// with another policy it moves at other times, and may be in another room.
func TestSegmentsFollowThePolicyOfTheirSource(t *testing.T) {
	t.Parallel()
	w := foreign(t, passThrough)
	w.source.Name = "default"
	decide := func(change func(*pms.Policy)) {
		t.Helper()
		change(&w.source.Policy)
		if _, err := w.store.Policies.Decide(t.Context(), []store.SourcePolicy{{
			Source:      "default",
			Fingerprint: w.source.Policy.Fingerprint(),
		}}); err != nil {
			t.Fatal(err)
		}
		w.drain()
	}
	decide(func(p *pms.Policy) { p.TimeZone = "UTC" })
	w.post(`{"listing": {"listing_id": "b", "time_zone": "Europe/Madrid"}}`)
	stay := func(id, first string) {
		w.post(`{"reservation":{"reservation_id":"` + id + `","status":"confirmed","listing_id":` + first +
			`,"check_in":"2024-10-20","check_out":"2024-10-23",
			"segments":[{"listing_id":` + first + `},{"listing_id":"b","from":"2024-10-21"}]}}`)
	}
	stay("unassigned", "null")
	stay("known", `"b"`)
	w.drain()
	starts := func(id string) string { return pms.FormatInstant(*w.reservation(id).Reservation.CheckIn) }
	for _, c := range []struct{ id, want string }{
		{"unassigned", "2024-10-20T13:00:00.000Z"},
		{"known", "2024-10-20T13:00:00.000Z"},
	} {
		if got := starts(c.id); got != c.want {
			t.Errorf("%s starts at %s, want %s", c.id, got, c.want)
		}
	}
	decide(func(p *pms.Policy) { p.CheckInTime = "16:00" })
	for _, id := range []string{"unassigned", "known"} {
		if got := starts(id); got != "2024-10-20T14:00:00.000Z" {
			t.Errorf("with the new policy %s starts at %s", id, got)
		}
		if due := w.reservation(id).Reservation.SegmentDue; due == nil || !due.Equal(instant("2024-10-21T14:00:00Z")) {
			t.Errorf("with the new policy %s moves at %v", id, due)
		}
	}
}

// An old backlog has been applied, and what follows it keeps failing: nobody gives way to the backlog any more.
func TestABacklogEndsAlthoughWhatFollowsItFails(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	var pace intake.Pace
	a := intake.NewApplier(db, slog.New(slog.DiscardHandler), intake.Options{
		Pace: &pace, Source: func(string) pms.Source { return pms.Source{Policy: pms.DefaultPolicy()} },
	})
	if _, err := db.Events.Insert(context.Background(), []store.Event{{
		EventID: uuid.New(), Source: "hotel", Type: "x", Status: stay.EventAccepted,
		ReceivedAt: time.Now(), Body: []byte(`{}`),
	}}); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Pool().Exec(t.Context(),
		`UPDATE event_queue SET queued_at = now() - interval '1 hour'`); err != nil {
		t.Fatal(err)
	}
	oneBatch, cancel := context.WithCancel(context.Background())
	cancel()
	if err := a.Drain(oneBatch); err != nil || !pace.Pressed() {
		t.Fatalf("after a batch of old events: pressed is %t, %v", pace.Pressed(), err)
	}

	if _, err := db.Pool().Exec(context.Background(), `ALTER TABLE listings RENAME TO out_of_reach`); err != nil {
		t.Fatal(err)
	}
	if err := a.Drain(context.Background()); err == nil {
		t.Fatal("listings are out of reach, and nothing fails")
	}
	if pace.Pressed() {
		t.Error("nothing waits, and keys of later guests still give way")
	}
}

// A replayed event was received long ago, and waits since the replay.
func TestAReplayIsNoBacklog(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	var pace intake.Pace
	a := intake.NewApplier(db, slog.New(slog.DiscardHandler), intake.Options{
		Pace: &pace, Source: func(string) pms.Source { return pms.Source{Policy: pms.DefaultPolicy()} },
	})
	event := store.Event{
		EventID: uuid.New(), Source: "hotel", Type: "x", Status: stay.EventAccepted,
		ReceivedAt: time.Now().Add(-time.Hour), Body: []byte(`{}`),
	}
	if _, err := db.Events.Insert(t.Context(), []store.Event{event}); err != nil {
		t.Fatal(err)
	}
	if err := a.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}

	var before time.Time
	if err := db.Pool().QueryRow(t.Context(), `SELECT clock_timestamp()`).Scan(&before); err != nil {
		t.Fatal(err)
	}
	n, err := db.Events.Replay(t.Context(), []store.Event{event}, store.Audit{Author: "a test", Action: "replay"},
		time.Now())
	if err != nil {
		t.Fatal(err)
	}
	_, oldest, err := db.Events.Backlog(t.Context(), nil)
	if err != nil || oldest == nil || oldest.Before(before) {
		t.Fatalf("the replay waits since %v, not since %v or later, %v", oldest, before, err)
	}
	// A second later it would be a backlog.
	if _, err := db.Pool().Exec(t.Context(),
		`UPDATE event_queue SET queued_at = now() + interval '1 hour'`); err != nil {
		t.Fatal(err)
	}

	oneBatch, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.Drain(oneBatch); err != nil || pace.Pressed() {
		t.Errorf("after a batch of replays (%v): pressed is %t, %v", n, pace.Pressed(), err)
	}
	if waiting, _, err := db.Events.Backlog(t.Context(), nil); err != nil || waiting != 0 {
		t.Errorf("%d events wait, %v", waiting, err)
	}
}
