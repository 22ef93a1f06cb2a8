package intake

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// rows are what a transaction has locked, in memory. They are locked in the order that lock.go describes. What locked
// them writes them, too: a batch of events (save.go), or what follows a change of a listing (fanout.go) or of a
// source's policy (follow.go), or a stay's move to its next room (move).
type rows struct {
	now      time.Time
	policies namedPolicies
	source   func(string) pms.Source

	listings     map[stay.ListingRef]store.Listing
	reservations map[stay.Ref]store.Reservation
	guests       map[stay.Ref]store.Guest // what is known about the guests that events name, by the guest's id
	ofGuest      map[stay.Ref][]stay.Ref  // the reservations of guests
	// the reservations of bookings, including the one with the booking's own id
	bookings map[stay.Ref][]stay.Ref
}

func newRows(now time.Time, source func(string) pms.Source) *rows {
	return &rows{
		now: now, source: source, policies: namedPolicies{source, map[string]namedPolicy{}},
		listings: map[stay.ListingRef]store.Listing{}, reservations: map[stay.Ref]store.Reservation{},
		guests: map[stay.Ref]store.Guest{}, ofGuest: map[stay.Ref][]stay.Ref{},
		bookings: map[stay.Ref][]stay.Ref{},
	}
}

// mostMerges bounds how many merges are followed from a listing.
const mostMerges = 5

// lockListings locks listings, and those that they were merged into.
func (rs *rows) lockListings(ctx context.Context, tx pgx.Tx, refs []stay.ListingRef, change bool) error {
	for range mostMerges {
		found, err := store.LockListings(ctx, tx, refs, change, rs.now)
		if err != nil {
			return err
		}
		refs = nil
		for ref, l := range found {
			rs.listings[ref] = l
			if l.MergedInto == nil {
				continue
			}
			into := stay.ListingRef{Source: ref.Source, ListingID: *l.MergedInto}
			if _, locked := rs.listings[into]; !locked {
				refs = append(refs, into)
			}
		}
		if len(refs) == 0 {
			return nil
		}
	}
	return nil
}

// present is the listing that a listing has been merged into, or the listing itself.
func (rs *rows) present(source string, id *string) *string {
	for range mostMerges {
		if id == nil {
			return nil
		}
		l := rs.listings[stay.ListingRef{Source: source, ListingID: *id}]
		if l.MergedInto == nil {
			return id
		}
		id = l.MergedInto
	}
	return id
}

// complete works out the present room, check-in and check-out from what was specified. A cancel may omit the listing
// that the row names; such a listing is not locked here, and nothing depends on its times.
func (rs *rows) complete(r *store.Reservation) {
	policy := rs.policies.of(r.Source)
	listing, locked := rs.listingOf(r)
	if !locked {
		return
	}
	room, moves := roomOf(*r, listing, policy, rs.now)
	if !moves {
		completeStay(r, listing, policy, rs.now)
		return
	}
	r.SegmentDue = nil
	if present := rs.present(r.Source, room); stay.Text(present) != stay.Text(r.ListingID) {
		if _, locked := rs.listings[stay.ListingRef{Source: r.Source, ListingID: stay.Text(present)}]; !locked &&
			present != nil {
			r.SegmentDue = &rs.now // another batch, which locks that one too, moves the stay
		} else {
			r.ListingID = present
			listing, _ = rs.listingOf(r)
		}
	}
	completeStay(r, listing, policy, rs.now)
}

// listingOf is a reservation's listing; the zero value if it has none. locked reports whether it may be relied on.
func (rs *rows) listingOf(r *store.Reservation) (l store.Listing, locked bool) {
	if r.ListingID == nil {
		for _, s := range segmentsOf(r.Segments) { // its times are those of the property
			if known, locked := rs.listings[stay.ListingRef{
				Source:    r.Source,
				ListingID: stay.Text(rs.present(r.Source, s.ListingID)),
			}]; locked {
				return store.Listing{
					TimeZone: known.TimeZone, CheckInTime: known.CheckInTime,
					CheckOutTime: known.CheckOutTime,
				}, true
			}
		}
		return store.Listing{}, true
	}
	l, locked = rs.listings[stay.ListingRef{Source: r.Source, ListingID: *r.ListingID}]
	return l, locked
}
