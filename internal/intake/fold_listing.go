package intake

import (
	"slices"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// listingFold folds changes of listings, and merges. It needs only the listings, and marks as listed those that it
// changes.
type listingFold struct {
	now      time.Time
	listings map[stay.ListingRef]store.Listing
	listed   map[stay.ListingRef]bool
}

func (f listingFold) foldListing(m *mapped, c change) foldResult {
	says := c.Listing
	l := f.listings[stay.ListingRef{Source: m.Source, ListingID: says.ListingID}]
	if older(c.version, l.VersionAt, l.VersionSeq) {
		return superseded
	}
	before := l
	l.VersionAt, l.VersionSeq, l.UpdatedAt = &c.at, &c.seq, f.now
	if !l.Known {
		l.Known, l.CreatedAt = true, f.now
	}
	if l.Deleted = says.Deleted; !says.Deleted {
		applyListing(&l, says)
	}
	f.keepListing(before, l)
	return applied
}

// applyListing applies what a change says about a listing to the row. In a complete listing, an unspecified field
// means none.
func applyListing(l *store.Listing, says *pms.Listing) {
	set := func(field **string, value *string) {
		if !says.Partial || value != nil {
			*field = value
		}
	}
	if !says.Partial || says.AccessGroupIDs != nil {
		l.AccessGroupIDs = says.AccessGroupIDs
	}
	set(&l.Name, says.Name)
	set(&l.ACSSystemID, says.ACSSystemID)
	set(&l.TimeZone, says.TimeZone)
	set(&l.CheckInTime, says.CheckInTime)
	set(&l.CheckOutTime, says.CheckOutTime)
	l.MergedInto = nil
}

// keepListing records a changed listing.
func (f listingFold) keepListing(before, l store.Listing) {
	if l.AccessGroupIDs == nil {
		l.AccessGroupIDs = []string{}
	}
	if listingMatters(before, l) {
		l.Generation++
	}
	ref := stay.ListingRef{Source: l.Source, ListingID: l.ListingID}
	f.listings[ref], f.listed[ref] = l, true
}

// foldMerge merges a listing into another. Fields that the other one lacks are copied, so that keys continue to work.
func (f listingFold) foldMerge(m *mapped, c change) foldResult {
	from := f.listings[stay.ListingRef{Source: m.Source, ListingID: c.Merge.From}]
	if older(c.version, from.VersionAt, from.VersionSeq) {
		return superseded
	}
	into := f.listings[stay.ListingRef{Source: m.Source, ListingID: c.Merge.Into}]
	if into.MergedInto != nil && *into.MergedInto == from.ListingID {
		into.MergedInto = nil // now the other way round
	}
	before, intoBefore := from, into
	from.VersionAt, from.VersionSeq, from.UpdatedAt, from.Deleted, from.MergedInto = &c.at, &c.seq, f.now,
		true, &into.ListingID
	if !into.Known {
		into.Known, into.CreatedAt, into.UpdatedAt = true, f.now, f.now
		into.Name, into.TimeZone, into.CheckInTime, into.CheckOutTime, into.ACSSystemID = from.Name, from.TimeZone,
			from.CheckInTime, from.CheckOutTime, from.ACSSystemID
	}
	if len(into.Groups()) == 0 && len(from.Groups()) > 0 {
		into.AdminAccessGroupIDs, into.UpdatedAt = from.Groups(), f.now
	}
	f.keepListing(before, from)
	f.keepListing(intoBefore, into)
	return applied
}

// listingMatters reports whether a change of a listing can change any of its stays.
func listingMatters(a, b store.Listing) bool {
	same := func(a, b *string) bool { return stay.Text(a) == stay.Text(b) }
	return a.Known != b.Known || a.Deleted != b.Deleted || !slices.Equal(a.Groups(), b.Groups()) ||
		!same(a.ACSSystemID, b.ACSSystemID) || !same(a.TimeZone, b.TimeZone) ||
		!same(a.CheckInTime, b.CheckInTime) || !same(a.MergedInto, b.MergedInto) ||
		!same(a.CheckOutTime, b.CheckOutTime)
}

// older reports whether a listing's version is later than the given one.
func older(v version, at *time.Time, seq *int64) bool {
	return at != nil && v.before(version{at: *at, seq: *seq})
}
