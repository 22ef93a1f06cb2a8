package intake

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/chaos/point"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/store"
)

// fanOutSome carries the change of one listing to one page of its stays, so that events need not wait for all
// of a large one. more tells whether there was any such listing.
func (a *Applier) fanOutSome(ctx context.Context) (more bool, err error) {
	refs, err := a.store.ListingsToFanOut(ctx, 1)
	if err != nil || len(refs) == 0 {
		return false, err
	}
	n, err := a.fanOut(ctx, refs[0])
	if n > 0 {
		point.Reach(point.FanOutBehind)
		a.applied()
	}
	if err != nil {
		return false, fmt.Errorf("fan out listing %s/%s: %w", refs[0].Source, refs[0].ListingID, err)
	}
	return true, nil
}

// fanOut reaches the next stays of a listing, at most a page. It may be cut off or run twice anywhere: what a
// stay was completed with is written in its row.
func (a *Applier) fanOut(ctx context.Context, ref store.ListingRef) (reached int, err error) {
	generation := int64(0)
	err = a.store.InTx(context.WithoutCancel(ctx), func(tx pgx.Tx) error {
		now := a.now().UTC()
		refs := []store.ListingRef{ref}
		into, err := store.MergedInto(ctx, tx, ref)
		if err != nil {
			return err
		}
		if into != nil {
			refs = append(refs, store.ListingRef{Source: ref.Source, ListingID: *into})
		}
		listings, err := store.LockListings(ctx, tx, refs, true, now)
		if err != nil {
			return err
		}
		l := listings[ref]
		generation = l.Generation
		if text(l.MergedInto) != text(into) {
			return store.ErrRaced
		}
		stays, err := store.LockStaysBehindListing(ctx, tx, ref, l.Generation, now, fanOutBatch)
		if err != nil {
			return err
		}
		reached = len(stays)
		policy := a.source(ref.Source).Policy
		wishes := make([]store.Wish, reached)
		for i := range stays {
			if into != nil { // it goes on there
				stays[i].ListingID = into
				completeStay(&stays[i], listings[refs[1]], policy)
			} else {
				completeStay(&stays[i], l, policy)
			}
			wishes[i] = wish(stays[i], now, true, false)
		}
		if err := store.UpdateReservations(ctx, tx, stays); err != nil {
			return err
		}
		var writes pgx.Batch
		store.WishKeys(&writes, wishes, now)
		return tx.SendBatch(ctx, &writes).Close()
	})
	if err != nil || reached == fanOutBatch {
		return reached, err
	}
	return reached, a.store.ListingFannedOut(ctx, ref, generation)
}

// PutListing is an admin's word on a listing. Fields that the patch doesn't say stay; groups it sets win over
// what the PMS says until it sets them to null. It has no place in the order of events.
func (a *Applier) PutListing(ctx context.Context, ref store.ListingRef, patch pms.ListingPatch) (store.Listing, error) {
	var l store.Listing
	err := a.store.InTx(ctx, func(tx pgx.Tx) error {
		now := a.now().UTC()
		listings, err := store.LockListings(ctx, tx, []store.ListingRef{ref}, true, now)
		if err != nil {
			return err
		}
		l = listings[ref]
		before := l
		l.UpdatedAt, l.Deleted, l.MergedInto = now, false, nil
		if !l.Known {
			l.Known, l.CreatedAt = true, now
		}
		for field, set := range map[string]func(){
			"seam_access_group_ids": func() { l.AdminAccessGroupIDs = patch.Listing.AccessGroupIDs },
			"name":                  func() { l.Name = patch.Listing.Name },
			"acs_system_id":         func() { l.ACSSystemID = patch.Listing.ACSSystemID },
			"time_zone":             func() { l.TimeZone = patch.Listing.TimeZone },
			"check_in_time":         func() { l.CheckInTime = patch.Listing.CheckInTime },
			"check_out_time":        func() { l.CheckOutTime = patch.Listing.CheckOutTime },
		} {
			if patch.Said[field] {
				set()
			}
		}
		if listingMatters(before, l) {
			l.Generation++
		}
		var writes pgx.Batch
		store.SaveListing(&writes, l)
		return tx.SendBatch(ctx, &writes).Close()
	})
	if err != nil {
		return store.Listing{}, err
	}
	a.Wake()
	return a.store.Listing(ctx, ref)
}

// Reconcile is an admin's wish that a reservation be compared with Seam and repaired now.
func (a *Applier) Reconcile(ctx context.Context, ref store.Ref) error {
	err := a.store.InTx(ctx, func(tx pgx.Tx) error {
		now := a.now().UTC()
		found, err := store.LockReservations(ctx, tx, []store.Ref{ref})
		if err != nil {
			return err
		}
		r, ok := found[ref]
		if !ok || r.VersionSeq == 0 {
			return store.ErrNotFound
		}
		w := wish(r, now, false, true)
		w.Check = true
		var writes pgx.Batch
		store.WishKeys(&writes, []store.Wish{w}, now)
		err = store.QueueTimeline(&writes, []store.Entry{{
			Ref: ref, At: now, Kind: store.TimelineAction, Summary: "an admin asked to check it against Seam and repair it",
			Detail: map[string]any{"action": "reconcile"},
		}})
		if err != nil {
			return err
		}
		return tx.SendBatch(ctx, &writes).Close()
	})
	if err == nil {
		a.applied()
	}
	if errors.Is(err, store.ErrNotFound) {
		return err
	}
	if err != nil {
		return fmt.Errorf("reconcile %s/%s: %w", ref.Source, ref.ReservationID, err)
	}
	return nil
}
