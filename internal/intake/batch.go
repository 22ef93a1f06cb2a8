package intake

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/chaos/point"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/store"
)

// A batch is a number of events that are applied in one transaction, in this order:
//
//	map    what each event says, and its place in the order (mapping.go). Needs only the event and its source's format
//	lock   bookings and guests, then listings, then reservations, ids ascending (lock.go). Events step back behind earlier ones
//	       that were put back
//	fold   the changes into the rows in memory, in the order of receipt (fold.go, fold_listing.go, stay.go). Here rooms get their
//	       names (rooms.go). Pure: no clock, no database, no configuration but the policies
//	save   what changed: reservations, listings, guests, keys, results, timelines (save.go)
//
// An error undoes all of it; what follows from one is decided in apply.go.
type batch struct {
	now      time.Time
	source   func(string) pms.Source
	log      *slog.Logger
	policies namedPolicies

	events  []*mapped
	requeue []store.Requeue // claimed events that are for a later batch

	listings     map[store.ListingRef]store.Listing
	reservations map[store.Ref]store.Reservation
	guests       map[store.Ref]store.Guest       // what is known of the guests that events name, by the guest's id
	ofGuest      map[store.Ref][]store.Ref       // the reservations of guests
	bookings     map[store.Ref][]store.Ref       // the reservations of bookings, the one with the booking's own id included
	before       map[store.Ref]store.Reservation // as they were, for those that a change was applied to
	listed       map[store.ListingRef]bool       // listings that a change was applied to
	told         map[store.Ref]bool              // guests that a change was applied to
	names        map[store.Ref]bool              // what reservations of bookings may be called, see possibleNames
	unlocked     bool                            // a room was given a name besides those
	tries        map[uuid.UUID][]store.Try       // the requests that were made for the documents of events
	entries      []store.Entry
}

func newBatch(now time.Time, source func(string) pms.Source, log *slog.Logger) *batch {
	return &batch{
		now: now, source: source, policies: namedPolicies{source, map[string]namedPolicy{}}, log: log,
		listings: map[store.ListingRef]store.Listing{}, reservations: map[store.Ref]store.Reservation{}, guests: map[store.Ref]store.Guest{},
		ofGuest: map[store.Ref][]store.Ref{}, bookings: map[store.Ref][]store.Ref{}, before: map[store.Ref]store.Reservation{},
		listed: map[store.ListingRef]bool{}, told: map[store.Ref]bool{},
	}
}

// run applies claimed events. fetches has documents fetched that events need.
func (b *batch) run(ctx context.Context, tx pgx.Tx, events []store.Event, behind bool, fetches Fetches, traced bool) error {
	b.mapEvents(ctx, events)
	if err := b.lock(ctx, tx, behind); err != nil {
		return err
	}
	point.Reach(point.ApplyLocked)
	b.fold()
	if b.unlocked { // events of one booking have used up the names: fewer of them have enough
		return store.ErrRaced
	}
	defer point.Reach(point.ApplyBefore)
	if err := store.RequeueEvents(ctx, tx, b.requeue); err != nil {
		return err
	}
	if err := b.await(ctx, tx, fetches); err != nil {
		return err
	}
	return b.save(ctx, tx, traced)
}
