package pms

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// This file turns a program's outputs into changes. Three rules decide what happens to a value that can't be read:
//
//   - What takes a key away needs an id and nothing else: every other field that can't be read is dropped with a note.
//   - What gives a key needs its id, its room and its dates. Everything else (hours, zones, names, addresses, phone
//     numbers, versions) is dropped with a note, and the default of the listing or the source counts.
//   - An output that still can't be read is rejected on its own. The others are applied.

// reading collects the results of a program's outputs.
type reading struct {
	guests   bool     // each named guest gets a reservation
	statuses Statuses // of the source
	fetched  bool     // the program had documents to read

	changes      []Change
	fetches      []Fetch
	rejected     []Rejection
	ignored      []string
	disconnected string
	recheck      string
	outputs      int
}

// into stores the result in an event. One without changes, fetches or rejected items is ignored.
func (r *reading) into(e *Event) {
	r.nameSingleRooms()
	r.keepUnread()
	e.Changes, e.Fetches, e.Rejected, e.Disconnected = r.changes, r.fetches, r.rejected, r.disconnected
	e.Recheck = r.recheck
	switch {
	case r.outputs == 0 && r.fetched:
		e.Invalid = []FieldError{{
			"fetched",
			"the PMS's documents hold nothing that this format reads: look at them at the PMS, then replay the event",
		}}
	case r.outputs == 0:
		e.Ignored, e.Why = true, "it means nothing to this format"
	case len(r.changes) == 0 && len(r.fetches) == 0 && len(r.rejected) == 0:
		e.Ignored, e.Why = true, joined(r.ignored)
	}
}

// nameSingleRooms proposes the booking's own id as the reservation's id if the event names only one of its rooms.
func (r *reading) nameSingleRooms() {
	units := r.onlyUnits()
	for _, c := range r.changes {
		if s := c.Reservation; s != nil && s.Unit != "" && units[s.BookingID] == s.Unit {
			s.ReservationID = s.BookingID + s.Companion
		}
	}
	for i := range r.rejected {
		if lost := &r.rejected[i]; lost.Unit != "" && units[lost.BookingID] == lost.Unit {
			lost.ReservationID = lost.BookingID
		}
	}
}

// onlyUnits returns the unit of each booking of which the event names only one, and "" for the others.
func (r *reading) onlyUnits() map[string]string {
	units := map[string]string{}
	count := func(booking, unit string) {
		if known, seen := units[booking]; seen && known != unit {
			unit = ""
		}
		units[booking] = unit
	}

	for _, c := range r.changes {
		if s := c.Reservation; s != nil {
			count(s.BookingID, s.Unit)
		}
	}
	for _, lost := range r.rejected {
		count(lost.BookingID, lost.Unit)
	}
	return units
}

// keepUnread keeps a booking's other reservations if an item that could not be read might be one of them: an item of
// this booking or of an unknown one, without a readable room. Then the event doesn't prove that they are gone.
func (r *reading) keepUnread() {
	for _, lost := range r.rejected {
		for i := range r.changes {
			if s := r.changes[i].Reservation; s != nil && lost.Unit == "" && s.Unit != "" &&
				(lost.BookingID == "" || s.BookingID == lost.BookingID) && r.statuses[s.StatusClass] != Cancelled {
				s.Rest = false
			}
		}
	}
}

// output reads one output. One that can't be read is rejected on its own.
func (r *reading) output(where string, v any) {
	r.outputs++
	before := len(r.changes)
	it := item{errs: new([]FieldError), notes: new([]Note)}
	r.read(where, v, it)
	if len(*it.errs) == 0 {
		if len(*it.notes) > 0 && len(r.changes) > before {
			r.changes[before].Notes = *it.notes
		}
		return
	}
	lost := Rejection{Where: strings.TrimSuffix(where, "."), Errors: *it.errs}
	lost.about(r.changes[before:])
	if object, ok := v.(map[string]any); ok && len(object) == 1 {
		for kind := range object {
			if kind != failedKey {
				lost.Where = where + printable(kind, maxID)
			}
		}
	}
	r.changes, r.rejected = r.changes[:before], append(r.rejected, lost)
}

// about sets the ids of a rejected item from those of its changes that could be read.
func (lost *Rejection) about(changes []Change) {
	for _, c := range changes {
		switch s := c.Reservation; {
		case s != nil && lost.ReservationID == "" && s.BookingID != "":
			lost.ReservationID, lost.BookingID, lost.Unit = s.ReservationID, s.BookingID, s.Unit
			if s.ListingID != nil {
				lost.ListingID = *s.ListingID
			}
		case c.Listing != nil:
			lost.ListingID = c.Listing.ListingID
		case c.Merge != nil:
			lost.ListingID = c.Merge.From
		}
	}
}

// read reads an object with one field, whose name is the kind of the output.
func (r *reading) read(where string, v any, it item) {
	if why, is := failure(v); is {
		*it.errs = append(*it.errs, FieldError{where + "output", why})
		return
	}
	object, ok := v.(map[string]any)
	if !ok || len(object) != 1 {
		*it.errs = append(*it.errs,
			FieldError{
				where + "output",
				`must be an object with one field: reservation, listing, merge, guest, fetch, ignore, ping, recheck or disconnected`,
			})
		return
	}
	for kind, value := range object {
		f := fields{prefix: where + kind, item: it}
		if why, is := failure(value); is {
			f.fail("", why)
			return
		}
		if r.remark(kind, value, f) {
			return
		}
		if f.values, ok = value.(map[string]any); !ok {
			f.fail("", "must be an object")
			return
		}
		switch kind {
		case "reservation":
			r.reservation(f)
		case "listing":
			r.listing(f)
		case "merge":
			r.merge(f)
		case "guest":
			f.only("guest_id", "guest_email", "guest_name", "guest_phone", "version")
			g := Guest{GuestID: f.id("guest_id", true), Email: f.email(), Name: f.text("guest_name"), Phone: f.phone()}
			r.changes = append(r.changes, Change{Guest: &g, OccurredAt: f.version()})
		case "fetch":
			r.fetch(f)
		default:
			f.fail("", "is none of reservation, listing, merge, guest, fetch, ignore, ping, recheck and disconnected")
		}
	}
}

// remark reads an output that changes nothing; false for outputs of other kinds.
func (r *reading) remark(kind string, value any, f fields) bool {
	switch kind {
	case "ignore", "disconnected", "recheck":
		why, ok := value.(string)
		if !ok || why == "" {
			f.fail("", "must be a text that says why")
			return true
		}
		switch kind {
		case "disconnected":
			r.disconnected = printable(why, maxText)
		case "recheck":
			r.recheck = printable(why, maxText)
			return true
		}
		r.ignored = append(r.ignored, printable(why, maxText))
	case "ping":
		r.ignored = append(r.ignored, "a test of the connection")
	default:
		return false
	}
	return true
}

// StatusClasses are the classes of a PMS's statuses. A source's configuration says which ones hold a key and which
// revoke it. "block" is a blocked period in the calendar, "other" a status that the format doesn't know; neither ever
// creates a key.
var StatusClasses = []string{
	"inquiry", "pending", "confirmed", "cancelled", "checked_in", "checked_out",
	"no_show", "block", "other",
}

func (r *reading) reservation(f fields) {
	s := Reservation{Partial: true, StatusClass: f.statusClass()}
	f.lenient = r.statuses[s.StatusClass] == Cancelled
	f.overlooked("checked_in", "rest", failedKey)
	f.only("reservation_id", "unit", "rest", "listing_id", "status", "pms_status", "guest_id", "guest_email",
		"guest_name", "guest_phone", "guest_language",
		"guests", "check_in", "check_out", "checked_in", "checked_in_at", "segments", "gates", "version", "as_of")

	f.identity(&s)
	if v, present := f.values["listing_id"]; present && v == nil {
		s.NoRoom = true
	}
	s.ListingID = f.room("listing_id")
	if status := f.text("pms_status"); status != nil {
		s.PMSStatus = *status
	}

	if s.StatusClass == "other" {
		f.drop("status", "the format doesn't know this status, so it neither creates nor removes a key")
	}

	s.GuestID = f.dropID("guest_id")
	s.GuestEmail, s.GuestName, s.GuestPhone, s.GuestLanguage = f.email(), f.text("guest_name"), f.phone(),
		f.language("guest_language")

	f.stay(&s)
	s.Gates = f.gates()

	c := Change{Reservation: &s, OccurredAt: f.version()}
	if c.Undated = c.OccurredAt.IsZero(); c.Undated {
		c.OccurredAt = f.instant("as_of")
	}
	r.changes = append(r.changes, c)
	r.companions(f, c)
}

// statusClass reads the status class. It is required, because the program sets it, not the PMS.
func (f fields) statusClass() string {
	status, ok := f.values["status"].(string)
	switch {
	case !ok:
		f.fail("status", "is required: one of "+strings.Join(StatusClasses, ", "))
	case !slices.Contains(StatusClasses, status):
		f.fail("status", fmt.Sprintf("%q must be one of %s", printable(status, 100), strings.Join(StatusClasses, ", ")))
	default:
		return status
	}
	return "other"
}

// identity reads the ids of the reservation.
func (f fields) identity(s *Reservation) {
	s.BookingID = f.id("reservation_id", true)
	s.ReservationID = s.BookingID
	s.Rest = f.values["unit"] == nil // without a unit it is about the whole booking
	if rest, present := f.values["rest"].(bool); present {
		s.Rest = rest
	} else if f.values["rest"] != nil { // its value can't be read
		s.Rest = false
	}
	if s.Unit = f.id("unit", false); s.Unit != "" {
		s.ReservationID += "_" + s.Unit
		if CheckID(s.ReservationID) != nil {
			f.fail("unit", "makes an id that is too long")
		}
	}
}

// stay reads the dates and rooms of a stay.
func (f fields) stay(s *Reservation) {
	s.CheckIn, s.CheckOut = f.moment("check_in", startOfStay), f.moment("check_out", endOfStay)
	if endsBeforeItStarts(s.CheckIn, s.CheckOut) {
		f.drop("check_out", "is not after check_in: the stay is over if it has begun, and not valid if it has not")
		if f.lenient {
			s.CheckIn, s.CheckOut = nil, nil
		}
	}
	checkedIn, _ := f.values["checked_in"].(bool)
	if s.CheckedIn = checkedIn || s.StatusClass == "checked_in"; s.CheckedIn {
		s.CheckedInAt = f.instant("checked_in_at")
	}
	f.segments(s)
}

// segments reads the rooms of a stay whose guest changes rooms. A single segment is the stay itself.
func (f fields) segments(s *Reservation) {
	list, ok := f.values["segments"].([]any)
	if !ok {
		if f.values["segments"] != nil {
			f.refuse("segments", "must be a list of {listing_id, from, until}")
		}
		return
	}
	for i, item := range list {
		g := fields{prefix: fmt.Sprintf("%s.segments[%d]", f.prefix, i), item: f.item, lenient: f.lenient}
		if g.values, ok = item.(map[string]any); !ok {
			g.refuse("", "must be an object")
			return
		}
		g.only("listing_id", "from", "until")
		end := g
		end.lenient = true // the next segment's start is this one's end
		s.Segments = append(s.Segments, Segment{
			ListingID: g.room("listing_id"), From: g.moment("from", startOfStay),
			Until: end.moment("until", endOfStay),
		})
	}

	slices.SortStableFunc(s.Segments, func(a, b Segment) int { return a.From.compare(b.From) })
	if len(s.Segments) > 0 && s.ListingID == nil {
		s.ListingID = s.Segments[0].ListingID
		s.NoRoom = s.ListingID == nil
	}
	if len(s.Segments) < 2 {
		s.Segments = nil
	}
}

func (r *reading) listing(f fields) {
	deleted, _ := f.values["deleted"].(bool)
	f.lenient = deleted
	f.overlooked("deleted", failedKey)
	f.only("listing_id", "deleted", "name", "acs_system_id", "time_zone", "check_in_time", "check_out_time",
		"seam_access_group_ids", "version")
	l := Listing{
		Partial: true, Deleted: deleted, ListingID: f.id("listing_id", true), Name: f.text("name"),
		ACSSystemID: f.dropID("acs_system_id"),
		CheckInTime: f.clock("check_in_time"), CheckOutTime: f.clock("check_out_time"),
	}
	if zone := f.text("time_zone"); zone != nil {
		if iana, err := zoneNamed(*zone); err != nil {
			f.drop("time_zone", err.Error())
		} else {
			l.TimeZone = &iana
		}
	}
	if groups := f.values["seam_access_group_ids"]; groups != nil && !deleted {
		l.AccessGroupIDs = f.ids("seam_access_group_ids")
	}
	r.changes = append(r.changes, Change{Listing: &l, OccurredAt: f.version()})
}

func (r *reading) merge(f fields) {
	f.only("from", "into", "version")
	m := Merge{From: f.id("from", true), Into: f.id("into", true)}
	if m.From == m.Into && m.From != "" {
		f.fail("into", "must be another listing than from")
	}
	r.changes = append(r.changes, Change{Merge: &m, OccurredAt: f.version()})
}

// reservationIDs are the reservations that a document is about. Unreadable ones don't matter: the document has its own
// ids.
func (f fields) reservationIDs() (ids []string) {
	list, _ := f.values["reservation_ids"].([]any)
	for _, v := range append(list[:len(list):len(list)], f.values["reservation_id"]) {
		if id, err := readID(v); err == nil && id != "" && len(ids) < mostIDs {
			ids = append(ids, id)
		}
	}
	return ids
}

func (r *reading) fetch(f fields) {
	f.overlooked("optional", failedKey)
	f.only("kind", "id", "ids", "reservation_id", "reservation_ids", "with", "as_of", "optional")

	want := Fetch{Kind: f.id("kind", true), IDs: f.ids("ids")}
	if id := f.id("id", false); id != "" {
		want.IDs = append(want.IDs, id)
	}
	if len(want.IDs) == 0 {
		f.fail("id", "is required: the id of the document to fetch, or ids")
	}

	if with, present := f.values["with"].(map[string]any); present {
		w := fields{prefix: f.prefix + ".with", values: with, item: f.item}
		want.With = map[string]string{}
		for _, name := range slices.Sorted(maps.Keys(with)) {
			if value := w.id(name, false); value != "" {
				want.With[name] = value
			}
		}
	}

	want.AsOf = f.instant("as_of")
	want.Optional, _ = f.values["optional"].(bool)
	want.ReservationIDs = f.reservationIDs()
	if len(*f.errs) == 0 {
		r.fetches = append(r.fetches, want)
	}
}
