package intake

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/point"
	"github.com/staykey/staykey/internal/store"
)

// A batch is a number of events that are applied in one transaction, in this order:
//
//	map    what each event says, and its version (mapping.go). Needs only the event and its source's format
//	lock   bookings and guests, then listings, then reservations, ids ascending (lock.go). Events that follow a
//	       postponed one about the same objects leave the batch
//	fold   the changes into the rows in memory, in the order of receipt (fold.go, fold_listing.go, stay.go). Rooms
//	       get their names here (rooms.go). Pure: no clock, no database, no configuration except the policies
//	save   what changed: reservations, listings, guests, keys, results, timelines (save.go)
//
// Mapping comes before the transaction's locks because it may be slow, and locking before folding because a change
// may depend on any row that it names: the listing of a stay, the other rooms of a booking, the reservations of a
// guest. What a change turns out to need without having been locked is reported as [store.ErrRaced], and the batch is
// repeated.
//
// An error undoes the whole batch; apply.go decides what follows from it.
type batch struct {
	now      time.Time
	source   func(string) pms.Source
	log      *slog.Logger
	policies namedPolicies

	events  []*mapped
	requeue []store.Requeue // claimed events to leave to a later batch

	listings     map[store.ListingRef]store.Listing
	reservations map[store.Ref]store.Reservation
	guests       map[store.Ref]store.Guest // what is known about the guests that events name, by the guest's id
	ofGuest      map[store.Ref][]store.Ref // the reservations of guests
	// the reservations of bookings, including the one with the booking's own id
	bookings      map[store.Ref][]store.Ref
	before        map[store.Ref]store.Reservation // the rows before the batch, for those that a change was applied to
	listed        map[store.ListingRef]bool       // listings that a change was applied to
	guestsChanged map[store.Ref]bool              // guests that a change was applied to
	names         map[store.Ref]bool              // possible ids of bookings' reservations, see possibleNames
	unlocked      bool                            // a room was given a name that is not among those
	tries         map[uuid.UUID][]store.Try       // the requests for the documents of events
	entries       []store.Entry
}

func newBatch(now time.Time, source func(string) pms.Source, log *slog.Logger) *batch {
	return &batch{
		now: now, source: source, policies: namedPolicies{source, map[string]namedPolicy{}}, log: log,
		listings: map[store.ListingRef]store.Listing{}, reservations: map[store.Ref]store.Reservation{},
		guests:  map[store.Ref]store.Guest{},
		ofGuest: map[store.Ref][]store.Ref{}, bookings: map[store.Ref][]store.Ref{},
		before: map[store.Ref]store.Reservation{},
		listed: map[store.ListingRef]bool{}, guestsChanged: map[store.Ref]bool{},
	}
}

// run applies claimed events. fetches fetches the documents that events need.
func (b *batch) run(ctx context.Context, tx pgx.Tx, events []store.Event, anyPostponed bool, fetches Fetches,
	traced bool,
) error {
	b.mapEvents(ctx, events)
	if err := b.lock(ctx, tx, anyPostponed); err != nil {
		return err
	}
	point.Reach(point.ApplyLocked)
	b.fold()
	if b.unlocked { // events of one booking have used up the names: a smaller batch has enough
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
