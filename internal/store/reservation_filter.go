package store

import (
	"math"
	"slices"
	"time"
)

// What a list of reservations may be filtered and sorted by, as conditions of SQL. How a page is found with them is in
// reservation_lists.go; what words find is in reservation_search.go.
//
// A new filter is a field of [ReservationFilter], and a condition in one of three functions: byKind if its column has
// few values, byTimes if it is a time of the key, byText, with isExact, if it is a text that few reservations have.

// Order is how a list of reservations is sorted.
type Order int

// checkInOrder is what [ByCheckIn] sorts by, as the index mobile_keys_check_in has it.
func checkInOrder(table string) string { return `coalesce(` + table + `.check_in, 'infinity')` }

// changeOrder is the time of the last change as the index mobile_keys_recent has it.
const changeOrder = `(t.changed_at AT TIME ZONE 'UTC')`

func (o Order) by(table string) string {
	names := table + `.source, ` + table + `.reservation_id`
	if o == ByCheckIn {
		return ` ORDER BY ` + checkInOrder(table) + `, ` + names
	}
	return ` ORDER BY ` + table + `.changed_at DESC, ` + names
}

// CursorOf is the place of a reservation in a list of an order. snapshot is that of the list's first page.
func (o Order) CursorOf(v View, snapshot string) Cursor {
	p := Cursor{At: v.Key.ChangedAt, Source: v.Reservation.Source, ID: v.Reservation.ReservationID}
	if o == ByCheckIn {
		p.At, p.Snapshot = time.Time{}, snapshot
		if v.Reservation.CheckIn != nil {
			p.At = *v.Reservation.CheckIn
		}
	}
	return p
}

// Bound is an end of a range of times: an instant, or a wall-clock time, which is another instant in each time zone.
type Bound struct {
	At       time.Time                // in UTC, which counts where no time zone is known
	Listings map[ListingRef]time.Time // of listings whose time zone is configured
	Zones    map[string]time.Time     // of other listings, by their time zone
	Sources  map[string]time.Time     // of the rest, by source
}

// span returns the first and the last instant that the bound is anywhere.
func (b Bound) span() (first, last time.Time) {
	first, last = b.At, b.At
	widen := func(t time.Time) {
		if t.Before(first) {
			first = t
		}
		if t.After(last) {
			last = t
		}
	}
	for _, t := range b.Listings {
		widen(t)
	}
	for _, t := range b.Zones {
		widen(t)
	}
	for _, t := range b.Sources {
		widen(t)
	}
	return first, last
}

// of is the instant that the bound is for the stay of the key t.
func (b Bound) of(w *where) string {
	var sources, ids, zones, bySource []string
	var listed, zoned, sourced []time.Time
	for ref, at := range b.Listings {
		sources, ids, listed = append(sources, ref.Source), append(ids, ref.ListingID), append(listed, at)
	}
	for zone, at := range b.Zones {
		zones, zoned = append(zones, zone), append(zoned, at)
	}
	for source, at := range b.Sources {
		bySource, sourced = append(bySource, source), append(sourced, at)
	}
	return `(SELECT coalesce(
			(SELECT x.at FROM unnest(` + w.arg(sources) + `::text[], ` + w.arg(ids) + `::text[], ` + w.arg(listed) +
		`::timestamptz[]) x (s, i, at) WHERE x.s = r.source AND x.i = r.listing_id),
			(SELECT x.at FROM listings l JOIN unnest(` + w.arg(zones) + `::text[], ` + w.arg(zoned) +
		`::timestamptz[]) x (z, at) ON x.z = l.time_zone
				WHERE l.source = r.source AND l.listing_id = r.listing_id AND l.known),
			(SELECT x.at FROM unnest(` + w.arg(bySource) + `::text[], ` + w.arg(sourced) +
		`::timestamptz[]) x (s, at) WHERE x.s = r.source),
			` + w.arg(b.At) + `::timestamptz)
		FROM reservations r WHERE r.source = t.source AND r.reservation_id = t.reservation_id)`
}

// Range is a range of times.
type Range struct {
	From *Bound // included; nil: no end on that side
	To   *Bound // not included; nil: no end on that side
}

func (r Range) isEmpty() bool { return r.From == nil && r.To == nil }

// add narrows keys to those with a column of t in the range.
func (r Range) add(w *where, column string) {
	if r.From != nil {
		first, last := r.From.span()
		w.add(column+" >= %s", first)
		if last.After(first) {
			w.add("("+column+" >= %s OR "+column+" >= "+r.From.of(w)+")", last)
		}
	}
	if r.To != nil {
		first, last := r.To.span()
		w.add(column+" < %s", last)
		if last.After(first) {
			w.add("("+column+" < %s OR "+column+" < "+r.To.of(w)+")", first)
		}
	}
}

// outer is the range from the first to the last instant that the range is anywhere.
func (r Range) outer() Range {
	if r.From != nil {
		first, _ := r.From.span()
		r.From = &Bound{At: first}
	}
	if r.To != nil {
		_, last := r.To.span()
		r.To = &Bound{At: last}
	}
	return r
}

// months are those that the range touches; nil for all.
func (r Range) months() *span {
	if r.isEmpty() {
		return nil
	}
	month := func(t time.Time) int { return t.UTC().Year()*12 + int(t.UTC().Month()) }
	s := &span{1, math.MaxInt32}
	if r.From != nil {
		first, _ := r.From.span()
		s.from = month(first)
	}
	if r.To != nil {
		_, last := r.To.span()
		s.to = month(last)
	}
	return s
}

// ReservationFilter narrows a list of reservations; empty fields don't.
type ReservationFilter struct {
	Source, Status, KeyStatus    []string   // any of them; nil for all
	ListingID, GuestEmail, Query string     // exactly; "" for all. Query is a part of an id, a name or an address
	CheckIn, CheckOut            Range      // when the stay begins and ends
	ChangedSince                 *time.Time // included; nil: no limit
	Undated                      *time.Time // only stays without a known time, not over on that day; nil: all
	Sources                      []string   // those that may be seen; nil for all
	Order                        Order      // of the list
}

// cancelled is the only value of the column that the statuses leave, if there is one.
func (f ReservationFilter) cancelled() (value, one bool) {
	if f.Status == nil {
		return false, false
	}
	value = slices.Contains(f.Status, "cancelled")
	return value, value != slices.Contains(f.Status, "confirmed")
}

// from narrows keys to those after a place, and by times.
func (f ReservationFilter) from(w *where, after Cursor) {
	f.after(w, after)
	f.byTimes(w)
}

// after narrows keys to those after a place.
func (f ReservationFilter) after(w *where, after Cursor) {
	switch {
	case after.isBeginning():
	case f.Order == ByCheckIn:
		f.afterCheckIn(w, after)
	default:
		w.add("t.changed_at <= %s", after.At)
		w.notUpTo("t.changed_at = %s", after.At, "t.source, t.reservation_id", after.Source, after.ID)
	}
}

// byTimes narrows keys by times.
func (f ReservationFilter) byTimes(w *where) {
	if f.Order == ByCheckIn && !f.CheckIn.isEmpty() {
		w.add("t.check_in IS NOT NULL") // what the order has for it is after everything
		f.CheckIn.add(w, checkInOrder("t"))
	} else {
		f.CheckIn.add(w, "t.check_in")
	}
	f.CheckOut.add(w, "t.check_out")
	if f.ChangedSince != nil {
		w.add("t.changed_at >= %s", *f.ChangedSince)
	}
}

// afterCheckIn narrows keys to those after a place in the order of check-in. A stay that was moved since the first
// page is left out, since it may have been on a page already. A transaction that this one can't see either belongs
// to another cluster, from which the database was copied.
func (f ReservationFilter) afterCheckIn(w *where, after Cursor) {
	order := checkInOrder("t")
	w.add(order+` >= coalesce(%s::timestamptz, 'infinity')`, pointerTo(after.At))
	w.notUpTo(order+` = coalesce(%s::timestamptz, 'infinity')`, pointerTo(after.At), "t.source, t.reservation_id",
		after.Source, after.ID)
	w.add(`(t.moved_by IS NULL OR pg_visible_in_snapshot(t.moved_by, %s::text::pg_snapshot)
		OR NOT pg_visible_in_snapshot(t.moved_by, pg_current_snapshot()))`, after.Snapshot)
}

func pointerTo(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// byKind narrows keys by what has few values.
func (f ReservationFilter) byKind(w *where) {
	w.among("t.source", within(f.Source, f.Sources))
	w.among("t.status", f.KeyStatus)
	if cancelled, one := f.cancelled(); one {
		w.add("t.cancelled = %s", cancelled)
	}
}

// isExact reports whether a whole text of a reservation is asked for, which few have. Those that are named here are
// narrowed by byText.
func (f ReservationFilter) isExact() bool { return f.ListingID != "" || f.GuestEmail != "" }

// byText narrows reservations by their texts.
func (f ReservationFilter) byText(w *where) {
	w.among("r.source", within(f.Source, f.Sources))
	w.equal("r.listing_id", f.ListingID)
	if f.GuestEmail != "" {
		w.add("staykey_fold(r.guest_email) = staykey_fold(%s)", f.GuestEmail)
	}
	if f.Undated != nil {
		w.add(undated)
		w.add(undatedLast, f.Undated.Format(time.DateOnly))
	}
	f.byQuery(w)
}

// Orders of reservations.
const (
	ByChange  Order = iota // newest change first
	ByCheckIn              // the earliest check-in first; stays whose check-in is not known come last
)
