package intake

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/attribute"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/point"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/tracing"
)

// A batch is a number of events that are applied in one transaction, in this order:
//
//	map    what each event says, and its version (mapping.go). Needs only the event and its source's format
//	lock   bookings and guests, then listings, then reservations, ids ascending (lock.go). Events that follow a
//	       postponed one about the same objects leave the batch
//	fold   the changes into the rows in memory, in the order of receipt (fold.go, fold_reservation.go, fold_guest.go,
//	       fold_listing.go). Rooms get their names here (rooms.go). Pure: no clock, no database, no configuration
//	       except the policies
//	save   what changed: reservations, listings, guests, keys, results, timelines (save.go)
//
// Each stage is a type that embeds the batch, and so has the batch's data and its own methods: mapping, locking,
// folding (with reservationFold, guestFold and listingFold) and saving. The locked rows are a type of their own
// (rows.go), because what follows a change of a listing, a policy or a room works on them without any event.
//
// Mapping comes before the transaction's locks because it may be slow, and locking before folding because a change
// may depend on any row that it names: the listing of a stay, the other rooms of a booking, the reservations of a
// guest. What a change turns out to need without having been locked is reported as [store.ErrRaced], and the batch is
// repeated.
//
// An error undoes the whole batch; apply.go decides what follows from it.
type batch struct {
	*rows
	log *slog.Logger

	// mapped
	events  []*mapped
	requeue []store.Requeue // claimed events to leave to a later batch

	// locked, besides the rows
	names map[store.Ref]bool        // possible ids of bookings' reservations, see possibleNames
	tries map[uuid.UUID][]store.Try // the requests for the documents of events

	// folded
	before        map[store.Ref]store.Reservation // the rows before the batch, for those that a change was applied to
	listed        map[store.ListingRef]bool       // listings that a change was applied to
	guestsChanged map[store.Ref]bool              // guests that a change was applied to
	entries       []store.Entry
	unlocked      bool // a room was given a name that is not among those locked
}

// The stages of a batch.
type (
	mapping         struct{ *batch }
	locking         struct{ *batch }
	folding         struct{ *batch }
	reservationFold struct{ *batch }
	guestFold       struct{ *batch }
	listingFold     struct{ *batch }
	saving          struct{ *batch }
)

func newBatch(now time.Time, source func(string) pms.Source, log *slog.Logger) *batch {
	return &batch{
		rows: newRows(now, source), log: log,
		before: map[store.Ref]store.Reservation{},
		listed: map[store.ListingRef]bool{}, guestsChanged: map[store.Ref]bool{},
	}
}

// run applies claimed events. fetches fetches the documents that events need.
func (b *batch) run(ctx context.Context, tx pgx.Tx, events []store.Event, anyPostponed bool, fetches Fetches,
	traced bool,
) error {
	mapping{b}.mapEvents(ctx, events)
	if err := (locking{b}).lock(ctx, tx, anyPostponed); err != nil {
		return err
	}
	point.Reach(point.ApplyLocked)
	folding{b}.fold()
	if b.unlocked { // events of one booking have used up the names: a smaller batch has enough
		return store.ErrRaced
	}
	defer point.Reach(point.ApplyBefore)
	if err := store.RequeueEvents(ctx, tx, b.requeue); err != nil {
		return err
	}
	if err := (saving{b}).await(ctx, tx, fetches); err != nil {
		return err
	}
	return saving{b}.save(ctx, tx, traced)
}

// changes records that a reservation changes, and its row before; zeros for a new one.
func (b *batch) changes(ref store.Ref, r store.Reservation) {
	if _, seen := b.before[ref]; !seen {
		b.before[ref] = r
	}
}

// entry adds a line about an event to a reservation's timeline.
func (b *batch) entry(ref store.Ref, m *mapped, what string, detail map[string]any) {
	kind := m.Type
	if kind == "" {
		kind = "an event"
	}
	if detail == nil {
		detail = map[string]any{"status": store.EventApplied}
	}
	detail["event_id"], detail["type"] = m.EventID.String(), m.Type
	b.entries = append(b.entries, store.Entry{
		Ref: ref, At: b.now, Kind: store.TimelineEvent,
		Summary: kind + " " + what, Detail: detail,
	})
}

// settled are the events that this batch finishes.
func (b *batch) settled() []store.Event {
	list := make([]store.Event, 0, len(b.events))
	for _, m := range b.events {
		if !m.awaiting {
			list = append(list, m.Event)
		}
	}
	return list
}

// finish reports the results of a committed batch to the counters.
func (b *batch) finish(ctx context.Context, a *Applier) {
	if a.traced {
		b.trace(ctx, a.now())
	}
	b.count(a.activity)
	if oldest := slices.IndexFunc(b.events, func(m *mapped) bool { return !m.Urgent }); oldest >= 0 {
		a.pace.applied(len(b.events), b.now.Sub(b.events[oldest].ReceivedAt))
	} else {
		a.pace.overtaken(len(b.events))
	}
}

// count updates the metrics with the results of the events.
func (b *batch) count(activity *store.Activity) {
	for _, m := range b.events {
		if m.awaiting {
			continue
		}
		if m.Replay { // not a new webhook
			activity.Add(m.Source, store.ActivityReplay, b.now)
			appliedEvents.WithLabelValues(m.Source, store.ActivityReplay).Inc()
			continue
		}
		activity.Add(m.Source, m.Status, b.now)
		appliedEvents.WithLabelValues(m.Source, m.Status).Inc()
		for _, c := range m.changes {
			if r := c.Reservation; r != nil && r.StatusClass == "other" {
				unknownStatuses.WithLabelValues(m.Source).Inc()
			}
		}
		for _, n := range m.notes.Notes {
			droppedFields.WithLabelValues(m.Source, fieldOf(n.Field)).Inc()
		}
		rejectedItems.WithLabelValues(m.Source).Add(float64(len(m.notes.Rejected)))
	}
}

// trace adds the application of each event to its trace.
func (b *batch) trace(ctx context.Context, ended time.Time) {
	for _, e := range b.settled() {
		tracing.Done(tracing.Of(ctx, &e.EventID), "apply", b.now, ended, nil,
			attribute.String("staykey.source", e.Source), attribute.String("staykey.event.status", e.Status))
	}
}
