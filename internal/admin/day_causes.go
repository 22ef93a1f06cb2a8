package admin

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/staykey/staykey/internal/stay"
)

// Why guests have no key, grouped, so that one thing done for a group helps all of its guests.

func works(status string) bool { return status == stay.KeyIssued || status == stay.KeyActive }

// causeOf is why a stay of the day has no key, if a person should know; "" if not. Before check-in, what the guest
// or the PMS still does on time is no problem yet; after it, everything is that keeps the guest outside, and so is
// what keeps check-in from being known.
func causeOf(e entry, now time.Time) string {
	switch e.Status {
	case stay.KeyAttention:
		return cmp.Or(e.Reason, e.Status)
	case stay.KeyProvisioning:
		if e.Attempts > 0 || (e.late && now.Sub(e.ChangedAt) > slowMaking) {
			return cmp.Or(e.Reason, e.Status)
		}
	case stay.KeyWaiting:
		if e.late || e.undated || needsPerson(e.Reason) {
			return cmp.Or(e.Reason, e.Status)
		}
	}
	return ""
}

// needsPerson reports whether a key that waits for a reason doesn't come on its own in time.
func needsPerson(reason string) bool {
	switch reason {
	case stay.ReasonNoRoom, stay.ReasonGateClosed, stay.ReasonNoEmail, stay.ReasonNoDates:
		return false // usual until the guest arrives
	}
	r, known := stay.Find(reason)
	return known && r.Fix != stay.FixNobody
}

// causesOf groups the problems, those that keep most guests outside first.
func (s Days) causesOf(ctx context.Context, b *board) ([]Cause, error) {
	byReason, first := map[string]*Cause{}, map[string][]entry{}
	var order []*Cause
	var shown []entry
	for _, e := range b.lists[DayProblems] {
		c := byReason[e.cause]
		if c == nil {
			c = &Cause{Reason: e.cause}
			byReason[e.cause] = c
			order = append(order, c)
		}
		if c.Guests++; e.late {
			c.Late++
		}
		if e.ListingID != nil {
			c.Listings = append(c.Listings, stay.ListingRef{Source: e.Source, ListingID: *e.ListingID})
		}
		if len(first[e.cause]) < causeShown {
			first[e.cause], shown = append(first[e.cause], e), append(shown, e)
		}
	}

	stays, err := s.staysOf(ctx, shown)
	if err != nil {
		return nil, err
	}
	byRef := map[stay.Ref]Stay{}
	for _, one := range stays {
		byRef[one.Reservation.Ref()] = one
	}

	slices.SortStableFunc(order, func(x, y *Cause) int { return cmp.Or(y.Late-x.Late, y.Guests-x.Guests) })
	causes := make([]Cause, len(order))
	for i, c := range order {
		slices.SortFunc(c.Listings, stay.ListingRef.Compare)
		c.Listings = slices.Compact(c.Listings)
		for _, e := range first[c.Reason] {
			if one, still := byRef[e.Ref]; still {
				c.First = append(c.First, one)
			}
		}
		causes[i] = *c
	}
	return causes, nil
}

// staysOf reads what pages show of stays.
func (s Days) staysOf(ctx context.Context, entries []entry) ([]Stay, error) {
	refs := make([]stay.Ref, len(entries))
	for i, e := range entries {
		refs[i] = e.Ref
	}
	views, err := s.store.Reservations.Of(ctx, refs)
	if err != nil {
		return nil, err
	}
	return Reservations(s).Stays(ctx, Reservations(s).views(views))
}
