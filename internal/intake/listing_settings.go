package intake

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// PutListing records an admin's settings for a listing. Fields that the patch omits are unchanged; groups that it
// sets take precedence over the PMS until it sets them to null. It is outside the order of events. Each
// check gets the listing as it is before the change: if one returns an error, that is returned and nothing is changed.
// created reports whether the listing was unknown before.
func (a *Applier) PutListing(
	ctx context.Context, ref stay.ListingRef, patch pms.ListingPatch, audit store.Audit,
	checks ...func(store.Listing) error,
) (l store.Listing, created bool, err error) {
	err = a.store.InTx(ctx, func(tx pgx.Tx) error {
		now := a.now().UTC()
		listings, err := store.LockListings(ctx, tx, []stay.ListingRef{ref}, true, now)
		if err != nil {
			return err
		}

		l = listings[ref]
		for _, check := range checks {
			if err := check(l); err != nil {
				return err
			}
		}

		before := l
		created = !l.Known
		l = patched(l, patch, now)

		return saveAudited(ctx, tx, before, l, audit, "put_listing")
	})
	if err != nil {
		return store.Listing{}, false, err
	}
	a.Wake()
	l, err = a.store.Listings.Get(ctx, ref)
	return l, created, err
}

// patched is a listing with an admin's settings.
func patched(l store.Listing, patch pms.ListingPatch, now time.Time) store.Listing {
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
		if patch.Given[field] {
			set()
		}
	}

	if listingMatters(before, l) {
		l.Generation++
	}
	return l
}

// PutListings is [Applier.PutListing] for several listings in one transaction, each named once.
func (a *Applier) PutListings(ctx context.Context, patches map[stay.ListingRef]pms.ListingPatch,
	audit store.Audit,
) error {
	refs := slices.SortedFunc(maps.Keys(patches), stay.ListingRef.Compare)
	err := a.store.InTx(ctx, func(tx pgx.Tx) error {
		now := a.now().UTC()
		listings, err := store.LockListings(ctx, tx, refs, true, now)
		if err != nil {
			return err
		}

		var writes pgx.Batch
		for _, ref := range refs {
			before := listings[ref]
			after := patched(before, patches[ref], now)
			if err := queueAudited(&writes, before, after, audit, "put_listing"); err != nil {
				return err
			}
		}
		return tx.SendBatch(ctx, &writes).Close()
	})
	if err == nil {
		a.Wake()
	}
	return err
}

// saveAudited saves a listing that an admin changed, and records the change in the audit log.
func saveAudited(ctx context.Context, tx pgx.Tx, before, after store.Listing, audit store.Audit, action string) error {
	var writes pgx.Batch
	if err := queueAudited(&writes, before, after, audit, action); err != nil {
		return err
	}
	return tx.SendBatch(ctx, &writes).Close()
}

func queueAudited(writes *pgx.Batch, before, after store.Listing, audit store.Audit, action string) error {
	store.SaveListing(writes, after)

	audit = audit.About(after.Source, after.ListingID, "")
	audit.At, audit.Action = after.UpdatedAt, action
	audit.Before, audit.After = changedFields(listingDiffers(before, after))
	return store.QueueAudit(writes, audit)
}
