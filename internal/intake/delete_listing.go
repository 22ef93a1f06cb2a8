package intake

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// DeleteListing deletes a listing as the PMS's listing.deleted does: it makes no new keys. It refuses with a
// [ConflictError] while a stay that is not over uses the listing, also one that moves there later, so that no guest
// depends on it. The listing stays locked meanwhile, so that no such stay can come in between. A later event of the
// PMS about the listing, or a PUT, brings it back. It is outside the order of events.
func (a *Applier) DeleteListing(ctx context.Context, ref stay.ListingRef, audit store.Audit) error {
	err := a.store.InTx(ctx, func(tx pgx.Tx) error {
		now := a.now().UTC()
		listings, err := store.LockListings(ctx, tx, []stay.ListingRef{ref}, true, now)
		if err != nil {
			return err
		}

		l := listings[ref]
		switch {
		case !l.Known:
			return store.ErrNotFound
		case l.Deleted:
			return nil
		}

		stays, err := store.StaysUsing(ctx, tx, ref, now)
		if err != nil {
			return err
		}
		if stays > 0 {
			return ConflictError{
				"listing_in_use",
				fmt.Sprintf("%d stays that are not over use this listing: move or cancel them first", stays),
			}
		}

		before := l
		l.Deleted, l.UpdatedAt = true, now
		l.Generation++

		return saveAudited(ctx, tx, before, l, audit, "delete_listing")
	})
	if err == nil {
		a.Wake()
	}
	return err
}
