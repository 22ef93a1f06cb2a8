package intake

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/chaos/point"
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
		policy := nameOf(a.source(ref.Source).Policy)
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
		var writes pgx.Batch
		store.SaveCompletions(&writes, stays)
		store.WishKeys(&writes, wishes, now)
		return tx.SendBatch(ctx, &writes).Close()
	})
	if err != nil || reached == fanOutBatch {
		return reached, err
	}
	return reached, a.store.ListingFannedOut(ctx, ref, generation)
}
