package pms

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// ErrNotJSON says that a body is not RFC 8259 JSON in UTF-8.
var ErrNotJSON = errors.New("the body is not JSON in UTF-8")

// Longest values of the canonical format, in characters.
const (
	maxID    = 200
	maxText  = 500
	maxEmail = 254
	maxIDs   = 100
)

// withoutMark removes the byte order mark that some senders write (RFC 8259 section 8.1).
func withoutMark(text []byte) []byte { return bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")) }

// lenient accepts repeated names, and reads lone surrogates as U+FFFD. Callers check that the bytes are UTF-8.
func lenient(text []byte) *jsontext.Decoder {
	return jsontext.NewDecoder(bytes.NewBuffer(text), jsontext.AllowDuplicateNames(true),
		jsontext.AllowInvalidUTF8(true))
}

// CheckJSON reports whether body is one RFC 8259 value in UTF-8; the error says where it is not. A leading byte order
// mark and lone surrogates are accepted.
func CheckJSON(body []byte) error {
	body = withoutMark(body)
	if !utf8.Valid(body) {
		return fmt.Errorf("%w: at byte %d: invalid UTF-8", ErrNotJSON, firstInvalid(body))
	}
	d := lenient(body)
	if _, err := d.ReadValue(); err != nil {
		return notJSON(err)
	}
	if _, err := d.ReadToken(); err == nil {
		return fmt.Errorf("%w: more than one value", ErrNotJSON)
	} else if d.InputOffset() < int64(len(bytes.TrimRight(body, " \t\r\n"))) {
		return notJSON(err)
	}
	return nil
}

// firstInvalid is where a text stops being UTF-8.
func firstInvalid(text []byte) int {
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return len(text)
}

func notJSON(err error) error {
	if syntax := new(jsontext.SyntacticError); errors.As(err, &syntax) {
		return fmt.Errorf("%w: at byte %d: %s", ErrNotJSON, syntax.ByteOffset,
			strings.TrimPrefix(syntax.Err.Error(), "jsontext: "))
	}
	return fmt.Errorf("%w: it ends too early", ErrNotJSON)
}

// ParseStaykey reads a body of the canonical format as [ParseStaykeyAt] does, for a time at which no stay has begun.
func ParseStaykey(body []byte) (Event, error) { return ParseStaykeyAt(body, time.Time{}) }

// ParseStaykeyAt reads a body of the canonical format that was received at the given time. The error is
// [ErrNotJSON]; whatever else is wrong is in Event.Invalid, or, for an event that takes something away, in the
// notes of its change.
func ParseStaykeyAt(body []byte, received time.Time) (Event, error) {
	var e Event
	envelope, err := readBody(body, []string{"type", "timestamp", "data"}, &e.Invalid)
	if err != nil || !envelope.is {
		return e, err
	}
	e.Type, _ = envelope.text("type", true, 0)
	if e.Type != "" && !slices.Contains(eventTypes, e.Type) {
		ignored := Event{Type: e.Type, Ignored: true}
		if s, ok := envelope.text("timestamp", false, 0); ok {
			ignored.OccurredAt, _ = ParseInstant(s)
		}
		return ignored, nil
	}
	if s, ok := envelope.text("timestamp", true, 0); ok {
		t, err := ParseInstant(s)
		if err != nil {
			envelope.fail("timestamp", err.Error())
		}
		e.OccurredAt = t
	}
	data, ok := envelope.field("data")
	switch {
	case !ok || data.Kind() == 'n':
		envelope.failMissing("data", "is required")
	case strings.HasPrefix(e.Type, "reservation."):
		e.readReservation(envelope, data, received)
	case strings.HasPrefix(e.Type, "listing."):
		e.readListing(data)
	}
	return e, nil
}

func (e *Event) readReservation(envelope object, data jsontext.Value, received time.Time) {
	r, notes := readReservation(data, e.Type, received, &e.Invalid)
	if r == nil {
		return
	}
	e.Changes = []Change{{Reservation: r, Notes: notes}}
	if r.Status == Cancelled {
		e.forgive("data.reservation_id", timestampIsNone(envelope))
		if e.OccurredAt.IsZero() {
			e.OccurredAt = received
		}
	}
}

func (e *Event) readListing(data jsontext.Value) {
	l, notes := readListing(data, e.Type, &e.Invalid)
	if l == nil {
		return
	}
	e.Changes = []Change{{Listing: l, Notes: notes}}
	if l.Deleted {
		e.forgive("data.listing_id", true)
	}
}

// forgive turns the errors of an event that takes something away into notes of its change, except those of the envelope
// and of the id of its subject.
func (e *Event) forgive(id string, needsTimestamp bool) {
	var wrong []FieldError
	for _, f := range e.Invalid {
		if f.Field == id || f.Field == "type" || f.Field == "data" || (f.Field == "timestamp" && needsTimestamp) {
			wrong = append(wrong, f)
			continue
		}
		e.Changes[0].Notes = append(e.Changes[0].Notes, f.note())
	}
	e.Invalid = wrong
}

func (f FieldError) note() Note { return Note{f.Field, f.Message} }

// timestampIsNone reports whether an envelope has no timestamp. An unreadable one doesn't prevent a cancellation from
// being applied: the time of receipt counts instead.
func timestampIsNone(envelope object) bool {
	v, present := envelope.field("timestamp")
	return !present || v.Kind() == 'n' || (v.Kind() == '"' && strings.TrimSpace(unquoted(v)) == "")
}

var eventTypes = []string{
	"reservation.created", "reservation.updated", "reservation.cancelled",
	"listing.created", "listing.updated", "listing.deleted",
}

var e164 = regexp.MustCompile(`^\+[1-9][0-9]{1,14}$`)

var reservationFields = []string{
	"reservation_id", "listing_id", "check_in", "check_out", "guest_email", "guest_name", "guest_phone",
	"status", "gates",
}

func readReservation(v jsontext.Value, eventType string, received time.Time,
	errs *[]FieldError,
) (*Reservation, []Note) {
	o := readObject(v, "data.", reservationFields, errs)
	if !o.is {
		return nil, nil
	}

	r := &Reservation{}
	r.ReservationID, _ = o.id("reservation_id", true)
	r.Status = o.readStatus(eventType)

	whole := r.Status == Confirmed
	if listing, present := o.field("listing_id"); !present && whole {
		o.failMissing("listing_id", "is required; null while no room is assigned")
	} else if s, ok := o.id("listing_id", false); ok {
		r.ListingID = &s
	} else if present && whole && listing.Kind() == '"' {
		o.fail("listing_id", "must not be empty; null while no room is assigned")
	}

	o.readStay(r, whole, received)
	o.readGuest(r)
	r.Gates = o.gates()
	return r, o.misspelled(reservationFields...)
}

// readStatus reads a stay's status, which follows from the event's type if the field is missing.
func (o object) readStatus(eventType string) string {
	status := Confirmed
	if eventType == "reservation.cancelled" {
		status = Cancelled
	}
	given, ok := o.text("status", false, 0)
	if !ok {
		return status
	}

	if given != Confirmed && given != Cancelled {
		o.fail("status", `must be "confirmed" or "cancelled"`)
	}
	if given == Confirmed || status == Confirmed { // an invalid status doesn't prevent a cancellation
		status = given
	}
	return status
}

// readStay reads the dates of a stay. One that ends at or before its start is valid only if it has begun; then it is
// over.
func (o object) readStay(r *Reservation, whole bool, received time.Time) {
	r.CheckIn = o.moment("check_in", whole)
	r.CheckOut = o.moment("check_out", whole)
	if endsBeforeItStarts(r.CheckIn, r.CheckOut) && !(whole && r.CheckIn.mayHaveBegun(received)) {
		o.fail("check_out", "must be after check_in")
		r.CheckIn, r.CheckOut = nil, nil
	}
}

func (o object) readGuest(r *Reservation) {
	if s, ok := o.text("guest_email", false, maxEmail); ok {
		if isAddress(s) {
			r.GuestEmail = &s
		} else {
			o.fail("guest_email", `must be an e-mail address such as "jane@example.com"`)
		}
	}
	if s, ok := o.text("guest_name", false, maxText); ok {
		r.GuestName = &s
	}
	if s, ok := o.text("guest_phone", false, 0); ok {
		if e164.MatchString(s) {
			r.GuestPhone = &s
		} else {
			o.fail("guest_phone", `must be an E.164 number such as "+34600111222"`)
		}
	}
}

// furthestZone is how far ahead of UTC a time zone can be.
const furthestZone = 14 * time.Hour

// mayHaveBegun reports whether the moment has passed; for a local one, whether it has in some time zone.
func (m Moment) mayHaveBegun(now time.Time) bool {
	if m.IsLocal() {
		return !m.local.Add(-furthestZone).After(now)
	}
	return !m.instant.After(now)
}

// endsBeforeItStarts reports whether a stay ends before it starts whatever the missing time zone or times of day are.
func endsBeforeItStarts(in, out *Moment) bool {
	switch {
	case in == nil || out == nil || in.IsLocal() != out.IsLocal():
		return false
	case !in.IsLocal():
		return !out.instant.After(in.instant)
	case in.dayOnly || out.dayOnly:
		return out.local.Truncate(24 * time.Hour).Before(in.local.Truncate(24 * time.Hour))
	default:
		return !out.local.After(in.local)
	}
}

var listingFields = []string{
	"listing_id", "seam_access_group_ids", "name", "acs_system_id", "time_zone", "check_in_time", "check_out_time",
}

func readListing(v jsontext.Value, eventType string, errs *[]FieldError) (*Listing, []Note) {
	o := readObject(v, "data.", listingFields, errs)
	if !o.is {
		return nil, nil
	}
	l := &Listing{Deleted: eventType == "listing.deleted"}
	l.ListingID, _ = o.id("listing_id", true)
	if l.Deleted {
		return l, nil
	}
	l.AccessGroupIDs = o.ids("seam_access_group_ids", true)
	o.listingDetails(l)
	return l, o.misspelled(listingFields...)
}

// ListingPatch is an admin's PUT of a listing: absent fields stay unchanged, null means none.
type ListingPatch struct {
	Given   map[string]bool // by field name
	Listing Listing         // AccessGroupIDs is nil where groups were set to null
}

// ParseListingPatch reads the body of a PUT. The error is [ErrNotJSON].
func ParseListingPatch(body []byte) (ListingPatch, []FieldError, error) {
	known := []string{"seam_access_group_ids", "name", "acs_system_id", "time_zone", "check_in_time", "check_out_time"}
	var errs []FieldError
	o, err := readBody(body, append(known, listingReadOnly...), &errs)
	if err != nil {
		return ListingPatch{}, nil, err
	}
	patch := ListingPatch{Given: map[string]bool{}}
	for _, f := range o.fields {
		switch {
		case patch.Given[f.name]:
			o.fail(f.name, "is defined twice")
		case slices.Contains(known, f.name):
			patch.Given[f.name] = true
		case !slices.Contains(listingReadOnly, f.name):
			o.fail(f.name, "is not a field of a listing")
		}
	}
	if groups, present := o.field("seam_access_group_ids"); present && groups.Kind() != 'n' {
		patch.Listing.AccessGroupIDs = o.ids("seam_access_group_ids", true)
	}
	o.listingDetails(&patch.Listing)
	return patch, errs, nil
}

// listingReadOnly are the fields that a PUT may contain, because a GET returns them, and that it doesn't change.
var listingReadOnly = []string{
	"listing_id", "source", "deleted", "created_at", "updated_at",
	"seam_access_group_ids_set_by", "door_at_risk",
}

// listingDetails reads the fields that an event and an admin's PUT have in common.
func (o object) listingDetails(l *Listing) {
	if s, ok := o.text("name", false, maxText); ok {
		l.Name = &s
	}
	if s, ok := o.text("acs_system_id", false, maxID); ok {
		l.ACSSystemID = &s
	}
	if s, ok := o.text("time_zone", false, 0); ok {
		if _, err := ParseTimeZone(s); err != nil {
			o.fail("time_zone", err.Error())
		}
		l.TimeZone = &s
	}
	l.CheckInTime = o.clock("check_in_time")
	l.CheckOutTime = o.clock("check_out_time")
}

// CheckID reports whether s can be the id of a reservation or listing: 1 to 200 characters, no control
// characters. The error is for people.
func CheckID(s string) error {
	if strings.ContainsRune(s, utf8.RuneError) { // two damaged ids could become equal
		return errors.New("holds a character that could not be read")
	}
	return checkText(s, maxID)
}

func checkText(s string, most int) error {
	if strings.ContainsFunc(s, unicode.IsControl) {
		return errors.New("must not hold control characters")
	}
	if most > 0 && utf8.RuneCountInString(s) > most {
		return fmt.Errorf("must be at most %d characters long", most)
	}
	return nil
}
