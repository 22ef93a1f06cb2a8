package provisioner_test

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/store"
)

// send puts an event through inbox and apply. Timestamps are distinct and in the order of sending.
func (r *rig) send(source, eventType string, data map[string]any) store.Event {
	r.t.Helper()
	r.mu.Lock()
	at := time.Now().Add(r.offset).UTC()
	if !at.After(r.lastAt) {
		at = r.lastAt.Add(time.Millisecond)
	}
	r.lastAt = at
	r.mu.Unlock()
	return r.sendAt(source, eventType, at, data)
}

func (r *rig) sendAt(source, eventType string, at time.Time, data map[string]any) store.Event {
	r.t.Helper()
	e := r.accept(source, eventType, at, data)
	r.drain()
	return e
}

// drain applies all waiting events.
func (r *rig) drain() {
	r.t.Helper()
	if err := r.applier.Drain(context.Background()); err != nil {
		r.t.Fatal(err)
	}
}

// accept puts an event into the inbox, as the handler does.
func (r *rig) accept(source, eventType string, at time.Time, data map[string]any) store.Event {
	r.t.Helper()
	body, err := json.Marshal(map[string]any{
		"type": eventType, "timestamp": at.Format("2006-01-02T15:04:05.000Z"),
		"data": data,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	parsed, err := pms.ParseStaykey(body)
	if err != nil || len(parsed.Invalid) > 0 {
		r.t.Fatalf("the test's event is not valid: %v %v", err, parsed.Invalid)
	}
	key := uuid.NewString()
	e := store.Event{
		EventID: uuid.New(), Source: source, EventKey: &key, Type: eventType, Status: store.EventAccepted,
		OccurredAt: &parsed.OccurredAt, ReceivedAt: r.now(), Body: body,
	}
	if s := parsed.Change().Reservation; s != nil {
		e.Urgent = s.ArrivesWithin(e.ReceivedAt, 24*time.Hour)
	}
	if _, err := r.store.Events.Insert(context.Background(), []store.Event{e}); err != nil {
		r.t.Fatal(err)
	}
	return e
}

func (r *rig) listing(source, id string, groups ...string) {
	r.t.Helper()
	if groups == nil {
		groups = []string{}
	}
	r.send(source, "listing.updated", map[string]any{"listing_id": id, "seam_access_group_ids": groups})
}

// stay is a reservation as the test will book it.
type stay struct {
	source, id, listing, email string
	in, out                    time.Time
	// the guest's identity is taken, or not used: the stay has one of its own
	own   bool
	gates map[string]string // what the PMS says about gates
}

func (r *rig) stay(id string) stay {
	in := r.now().Add(48 * time.Hour).Truncate(time.Millisecond)
	return stay{source: "default", id: id, listing: "L", email: "jane@example.com", in: in, out: in.Add(72 * time.Hour)}
}

func (r *rig) book(s stay) {
	r.t.Helper()
	data := map[string]any{
		"reservation_id": s.id, "check_in": s.in.Format(time.RFC3339Nano),
		"check_out": s.out.Format(time.RFC3339Nano), "listing_id": nil,
	}
	if s.listing != "" {
		data["listing_id"] = s.listing
	}
	if s.email != "" {
		data["guest_email"] = s.email
	}
	if s.gates != nil {
		data["gates"] = s.gates
	}
	r.send(s.source, "reservation.updated", data)
}

func (r *rig) cancel(s stay) {
	r.t.Helper()
	r.send(s.source, "reservation.cancelled", map[string]any{"reservation_id": s.id})
}
