package intake

import (
	"context"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/attribute"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/point"
	"github.com/staykey/staykey/internal/stay"
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
// Each stage is a type with what it works on, so that it can be read alone: mapping, locking, folding (with
// reservationFold, guestFold and listingFold) and saving. run hands the results of one to the next. The locked rows are
// a type of their own (rows.go), because what follows a change of a listing, a policy or a room works on them without
// any event. Previews of imports and replays stop after folding.
//
// Mapping comes before the transaction's locks because it may be slow, and locking before folding because a change
// may depend on any row that it names: the listing of a stay, the other rooms of a booking, the reservations of a
// guest. What a change turns out to need without having been locked is reported as [store.ErrRaced], and the batch is
// repeated.
//
// An error undoes the whole batch; apply.go decides what follows from it.
type batch struct {
	now    time.Time
	source func(string) pms.Source
	log    *slog.Logger
	lag    *time.Duration // as in [store.Claimed]

	events []*mapped // mapped, and from then on those that remain in the batch
}

// run applies claimed events. fetches fetches the documents that events need.
func (b *batch) run(ctx context.Context, tx pgx.Tx, events []store.Event, anyPostponed bool, fetches Fetches,
	traced bool,
) error {
	var later []store.Requeue
	b.events, later = mapping{b.now, b.source, b.log}.mapEvents(ctx, events)

	l := newLocking(newRows(b.now, b.source), b.events)
	if err := l.lock(ctx, tx, anyPostponed); err != nil {
		return err
	}
	b.events = l.events
	point.Reach(point.ApplyLocked)

	f := newFolding(l)
	f.fold(b.events)
	if f.unlocked { // events of one booking have used up the names: a smaller batch has enough
		return store.ErrRaced
	}
	defer point.Reach(point.ApplyBefore)

	if err := store.RequeueEvents(ctx, tx, append(later, l.requeue...)); err != nil {
		return err
	}
	s := saving{
		rows: l.rows, stays: f.stays, listed: f.listed, guestsChanged: f.guestsChanged,
		events: b.events, tries: l.tries, fetches: fetches, traced: traced,
	}
	if err := s.await(ctx, tx); err != nil {
		return err
	}
	return s.save(ctx, tx)
}

// settled are the events that a batch finishes.
func settled(events []*mapped) []store.Event {
	list := make([]store.Event, 0, len(events))
	for _, m := range events {
		if !m.awaiting {
			list = append(list, m.Event)
		}
	}
	return list
}

// finish reports the results of a committed batch: to the log, to traces and to the counters.
func (b *batch) finish(ctx context.Context, a *Applier) {
	for _, m := range b.events {
		m.warn(b.log)
	}
	if a.traced {
		b.trace(ctx, a.now())
	}
	b.count(a.activity)
	if b.lag != nil {
		a.pace.applied(len(b.events), *b.lag)
	} else {
		a.pace.overtaken(len(b.events))
	}
}

// warn logs what a person must know of an event.
func (m *mapped) warn(log *slog.Logger) {
	if m.says.Disconnected != "" {
		log.Warn("PMS disconnected: it will send no more events", "source", m.Source, "reason", m.says.Disconnected)
	}
	if !m.awaiting && (m.Status == stay.EventRejected || len(m.says.Rejected) > 0) {
		log.Warn("event partly rejected: fix the cause, then replay it", "source", m.Source, "event_id",
			m.EventID.String(), "reservation_id", stay.Text(m.ReservationID), "listing_id", stay.Text(m.ListingID),
			"status", m.Status, "reason", stay.Text(m.Reason))
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

		kind := m.Status
		if m.imported { // not a webhook either
			kind = store.ActivityImport
		}
		activity.Add(m.Source, kind, b.now)
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
	for _, e := range settled(b.events) {
		tracing.Done(tracing.Of(ctx, &e.EventID), "apply", b.now, ended, nil,
			attribute.String("staykey.source", e.Source), attribute.String("staykey.event.status", e.Status))
	}
}
