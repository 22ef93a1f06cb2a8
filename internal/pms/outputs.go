package pms

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/big"
	"net/mail"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// reading collects what the outputs of a program say.
type reading struct {
	guests bool // each named guest gets a reservation

	changes      []Change
	fetches      []Fetch
	rejected     []Rejection
	ignored      []string
	disconnected string
	outputs      int
}

// into writes the result: an event that says nothing that counts is ignored.
func (r *reading) into(e *Event) {
	r.keepUnread()
	e.Changes, e.Fetches, e.Rejected, e.Disconnected = r.changes, r.fetches, r.rejected, r.disconnected
	if len(r.changes) == 0 && len(r.fetches) == 0 && len(r.rejected) == 0 {
		e.Ignored, e.Why = true, strings.Join(r.ignored, "; ")
		if r.outputs == 0 {
			e.Why = "it means nothing to this format"
		}
	}
}

// keepUnread keeps a booking's other reservations where one of its items could not be read and doesn't say which room it is
// about: the event no longer tells what exists no more.
func (r *reading) keepUnread() {
	for _, lost := range r.rejected {
		for i := range r.changes {
			if s := r.changes[i].Reservation; s != nil && lost.Unit == "" && s.Unit != "" && s.BookingID == lost.BookingID {
				s.Rest = false
			}
		}
	}
}

// output reads one output. One that can't be read is rejected by itself.
func (r *reading) output(where string, v any) {
	r.outputs++
	before := *r
	var errs []FieldError
	r.read(where, v, &errs)
	if len(errs) == 0 {
		return
	}
	lost := Rejection{Where: strings.TrimSuffix(where, "."), Errors: errs}
	for _, c := range r.changes[len(before.changes):] {
		switch {
		case c.Reservation != nil && lost.ReservationID == "":
			lost.ReservationID, lost.BookingID, lost.Unit = c.Reservation.ReservationID, c.Reservation.BookingID, c.Reservation.Unit
			if c.Reservation.ListingID != nil {
				lost.ListingID = *c.Reservation.ListingID
			}
		case c.Listing != nil:
			lost.ListingID = c.Listing.ListingID
		case c.Merge != nil:
			lost.ListingID = c.Merge.From
		}
	}
	if object, ok := v.(map[string]any); ok && len(object) == 1 {
		for kind := range object {
			lost.Where = where + printable(kind, maxID)
		}
	}
	outputs := r.outputs
	*r = before
	r.outputs, r.rejected = outputs, append(r.rejected, lost)
}

// read reads an object with one field, which says what it is.
func (r *reading) read(where string, v any, errs *[]FieldError) {
	object, ok := v.(map[string]any)
	if !ok || len(object) != 1 {
		*errs = append(*errs, FieldError{where + "output", `must be an object with one field: reservation, listing, merge, guest, fetch, ignore, ping or disconnected`})
		return
	}
	for kind, value := range object {
		f := fields{prefix: where + kind, errs: errs}
		switch kind {
		case "ignore", "disconnected":
			why, ok := value.(string)
			if !ok || why == "" {
				f.fail("", "must be a text that says why")
				return
			}
			if kind == "disconnected" {
				r.disconnected = why
			}
			r.ignored = append(r.ignored, printable(why, maxText))
			return
		case "ping":
			r.ignored = append(r.ignored, "a test of the connection")
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
			f.only("from", "into", "version")
			m := Merge{From: f.id("from", true), Into: f.id("into", true)}
			if m.From == m.Into && m.From != "" {
				f.fail("into", "must be another listing than from")
			}
			r.changes = append(r.changes, Change{Merge: &m, OccurredAt: f.version()})
		case "guest":
			f.only("guest_id", "guest_email", "guest_name", "guest_phone", "version")
			g := Guest{GuestID: f.id("guest_id", true), Email: f.email(), Name: f.text("guest_name"), Phone: f.phone()}
			r.changes = append(r.changes, Change{Guest: &g, OccurredAt: f.version()})
		case "fetch":
			r.fetch(f)
		default:
			f.fail("", "is none of reservation, listing, merge, guest, fetch, ignore, ping and disconnected")
		}
	}
}

// Classes of a PMS's statuses. A source's configuration says which hold a key and which revoke it.
var StatusClasses = []string{"inquiry", "pending", "confirmed", "cancelled", "checked_in", "checked_out", "no_show", "other"}

func (r *reading) reservation(f fields) {
	f.only("reservation_id", "unit", "rest", "listing_id", "status", "pms_status", "guest_id", "guest_email", "guest_name", "guest_phone",
		"guests", "check_in", "check_out", "version")
	s := Reservation{Partial: true, BookingID: f.id("reservation_id", true), StatusClass: "other"}
	s.ReservationID = s.BookingID
	s.Rest = f.values["unit"] == nil // what names no unit is about the whole booking
	if rest, said := f.values["rest"].(bool); said {
		s.Rest = rest
	}
	if s.Unit = f.id("unit", false); s.Unit != "" {
		s.ReservationID += "_" + s.Unit
		if CheckID(s.ReservationID) != nil {
			f.fail("unit", "makes an id that is too long")
		}
	}
	if v, said := f.values["listing_id"]; said && v == nil {
		s.NoRoom = true
	}
	s.ListingID = f.optionalID("listing_id")
	if status, ok := f.values["status"].(string); !ok {
		f.fail("status", "is required: one of "+strings.Join(StatusClasses, ", "))
	} else if !slices.Contains(StatusClasses, status) {
		f.fail("status", fmt.Sprintf("%q must be one of %s", printable(status, 100), strings.Join(StatusClasses, ", ")))
	} else {
		s.StatusClass = status
	}
	if said := f.text("pms_status"); said != nil {
		s.PMSStatus = *said
	}
	s.GuestID = f.optionalID("guest_id")
	s.GuestEmail, s.GuestName, s.GuestPhone = f.email(), f.text("guest_name"), f.phone()
	s.CheckIn, s.CheckOut = f.moment("check_in"), f.moment("check_out")
	if endsBeforeItStarts(s.CheckIn, s.CheckOut) {
		f.fail("check_out", "must be after check_in")
	}
	at := f.version()
	r.changes = append(r.changes, Change{Reservation: &s, OccurredAt: at})
	r.companions(f, s, at)
}

// companions are the guests behind the first: each has a reservation of the same room and time, where that is wanted.
func (r *reading) companions(f fields, main Reservation, at time.Time) {
	v, said := f.values["guests"]
	if !said || v == nil {
		return
	}
	list, ok := v.([]any)
	if !ok {
		f.fail("guests", "must be a list of guests besides the one of the reservation")
		return
	}
	for i, item := range list {
		g := fields{prefix: fmt.Sprintf("%s.guests[%d]", f.prefix, i), errs: f.errs}
		if g.values, ok = item.(map[string]any); !ok {
			g.fail("", "must be an object")
			return
		}
		g.only("guest_id", "guest_email", "guest_name", "guest_phone")
		if !r.guests {
			continue
		}
		s := main
		s.GuestID, s.GuestEmail, s.GuestName, s.GuestPhone = g.optionalID("guest_id"), g.email(), g.text("guest_name"), g.phone()
		name := strconv.Itoa(i + 2)
		if s.GuestID != nil {
			name = *s.GuestID
		}
		s.Companion = "_guest-" + name
		s.ReservationID += s.Companion
		r.changes = append(r.changes, Change{Reservation: &s, OccurredAt: at})
	}
}

func (r *reading) listing(f fields) {
	f.only("listing_id", "deleted", "name", "acs_system_id", "time_zone", "check_in_time", "check_out_time", "seam_access_group_ids", "version")
	l := Listing{
		Partial: true, ListingID: f.id("listing_id", true), Name: f.text("name"), ACSSystemID: f.optionalID("acs_system_id"),
		CheckInTime: f.clock("check_in_time"), CheckOutTime: f.clock("check_out_time"),
	}
	l.Deleted, _ = f.values["deleted"].(bool)
	if zone := f.text("time_zone"); zone != nil {
		if _, err := ParseTimeZone(*zone); err != nil {
			f.fail("time_zone", err.Error())
		}
		l.TimeZone = zone
	}
	if groups := f.values["seam_access_group_ids"]; groups != nil {
		l.AccessGroupIDs = f.ids("seam_access_group_ids")
	}
	r.changes = append(r.changes, Change{Listing: &l, OccurredAt: f.version()})
}

func (r *reading) fetch(f fields) {
	f.only("kind", "id", "ids", "with", "as_of", "optional")
	want := Fetch{Kind: f.id("kind", true), IDs: f.ids("ids")}
	if id := f.id("id", false); id != "" {
		want.IDs = append(want.IDs, id)
	}
	if len(want.IDs) == 0 {
		f.fail("id", "is required: the id of what is to be fetched, or ids")
	}
	if with, said := f.values["with"].(map[string]any); said {
		w := fields{prefix: f.prefix + ".with", values: with, errs: f.errs}
		want.With = map[string]string{}
		for name := range with {
			want.With[name] = w.id(name, true)
		}
	}
	want.AsOf = f.instant("as_of")
	want.Optional, _ = f.values["optional"].(bool)
	r.fetches = append(r.fetches, want)
}

// fields are the fields of one object that a program has made.
type fields struct {
	prefix string
	values map[string]any
	errs   *[]FieldError
}

func (f fields) fail(name, message string) {
	field := f.prefix
	if name != "" {
		field += "." + name
	}
	*f.errs = append(*f.errs, FieldError{field, message})
}

// only refuses fields of other names: most often one is misspelt.
func (f fields) only(known ...string) {
	for _, name := range slices.Sorted(maps.Keys(f.values)) {
		if !slices.Contains(known, name) {
			f.fail(name, "is not a field of it: it has "+strings.Join(known, ", "))
		}
	}
}

// id reads a text or a number; "" where it is not said.
func (f fields) id(name string, required bool) string {
	s, ok := asText(f.values[name])
	switch s = strings.TrimSpace(s); {
	case !ok:
		f.fail(name, "must be a text or a number")
	case s == "" && required:
		f.fail(name, "is required")
	case s != "":
		if err := CheckID(s); err != nil {
			f.fail(name, err.Error())
		}
	}
	return s
}

func (f fields) optionalID(name string) *string {
	if s := f.id(name, false); s != "" {
		return &s
	}
	return nil
}

func (f fields) ids(name string) []string {
	v := f.values[name]
	if v == nil {
		return nil
	}
	list, ok := v.([]any)
	if !ok || len(list) > 1000 {
		f.fail(name, "must be a list of at most 1000 ids")
		return nil
	}
	ids := []string{}
	for i, item := range list {
		one := fields{prefix: f.prefix, errs: f.errs, values: map[string]any{fmt.Sprintf("%s[%d]", name, i): item}}
		if id := one.id(fmt.Sprintf("%s[%d]", name, i), true); id != "" && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// text reads a text for people. What a PMS puts in there can't be mended by it or us: it is cut to what can be kept.
func (f fields) text(name string) *string {
	s, ok := asText(f.values[name])
	if !ok {
		f.fail(name, "must be a text")
	}
	if s = printable(s, maxText); s == "" {
		return nil
	}
	return &s
}

func printable(s string, most int) string {
	s = strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "�")))
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most])
	}
	return s
}

// email reads a guest's address; one that is none is as good as not said.
func (f fields) email() *string {
	s := f.text("guest_email")
	if s == nil || len(*s) > maxEmail {
		return nil
	}
	if a, err := mail.ParseAddress(*s); err != nil || a.Address != *s {
		return nil
	}
	return s
}

// phone reads a number, without what people put between its digits.
func (f fields) phone() *string {
	s := f.text("guest_phone")
	if s == nil {
		return nil
	}
	if bare := strings.NewReplacer(" ", "", "-", "", "(", "", ")", "", ".", "", "/", "").Replace(*s); e164.MatchString(bare) {
		return &bare
	}
	return s
}

func (f fields) clock(name string) *string {
	s := f.text(name)
	if s == nil {
		return nil
	}
	clock, err := ParseClock(*s)
	if err != nil {
		f.fail(name, err.Error())
		return nil
	}
	return &clock
}

// moment reads a text as [ParseMoment] does, or {date, time, time_zone}, of which only the date is required.
func (f fields) moment(name string) *Moment {
	v := f.values[name]
	if v == nil {
		return nil
	}
	m, err := readMoment(v)
	if err != nil {
		f.fail(name, err.Error())
		return nil
	}
	return &m
}

func readMoment(v any) (Moment, error) {
	switch v := v.(type) {
	case string:
		return ParseMoment(strings.TrimSpace(v))
	case map[string]any:
		part := func(name string) string {
			s, _ := asText(v[name])
			return strings.TrimSpace(s)
		}
		m, err := ParseMoment(part("date"))
		if clock := part("time"); err == nil && clock != "" {
			m, err = m.at(clock)
		}
		if zone := part("time_zone"); err == nil && zone != "" {
			m, err = m.in(zone)
		}
		return m, err
	}
	return Moment{}, fmt.Errorf(`%w, or {"date", "time", "time_zone"}`, errMoment)
}

// version is when the PMS made the change; zero where it doesn't say.
func (f fields) version() time.Time { return f.instant("version") }

func (f fields) instant(name string) time.Time {
	v := f.values[name]
	if v == nil {
		return time.Time{}
	}
	t, err := ReadInstant(v)
	if err != nil {
		f.fail(name, err.Error())
	}
	return t
}

var errInstant = errors.New(`must be an RFC 3339 date-time, "2026-11-01 15:00" or "2026-11-01 15:00:30" of UTC, or seconds or milliseconds since 1970`)

// ReadInstant reads a time in any of the ways in which PMSs word when something changed.
func ReadInstant(v any) (time.Time, error) {
	text, ok := asText(v)
	if !ok {
		return time.Time{}, errInstant
	}
	text = strings.TrimSpace(text)
	if t, err := ParseInstant(text); err == nil {
		return t, nil
	}
	for _, layout := range []string{"2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02T15:04:05.999999999", "2006-01-02T15:04"} {
		if t, err := time.Parse(layout, text); err == nil && plausible(t) {
			return t.Truncate(time.Millisecond), nil
		}
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || seconds < 1e8 || math.IsInf(seconds, 0) {
		return time.Time{}, errInstant
	}
	if seconds > 1e11 { // milliseconds
		seconds /= 1000
	}
	t := time.UnixMilli(int64(math.Round(seconds * 1000))).UTC()
	if !plausible(t) {
		return time.Time{}, errInstant
	}
	return t, nil
}

// asText reads a text, or a number as it was written; null is "".
func asText(v any) (string, bool) {
	switch v := v.(type) {
	case nil:
		return "", true
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case int:
		return strconv.Itoa(v), true
	case *big.Int:
		return v.String(), true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), true
	}
	return "", false
}
