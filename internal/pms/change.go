// Package pms understands property management systems: who may post for a source, and what a webhook means. It uses
// neither the database nor Seam.
//
// # From a webhook to changes
//
//	Post ─▶ Source.Verify ─▶ Proof           is it authentic?        verify.go, standard_webhooks.go
//	body ─▶ Source.Map    ─▶ Event           what does it mean?      format.go, run.go, outputs.go
//	                         Changes         to apply now            change.go
//	                         Fetches         documents to read first (package fetch)
//	                         Rejected        items that can't be read
//
// A format is a jq program (formats/*.jq) that turns a PMS's body into objects of a fixed form. Its module directive,
// the [Manifest], declares how the PMS signs and where its documents are. The canonical format, staykey's own, is read
// by Go (staykey.go, object.go) and is strict: it reports every wrong field. All other formats are tolerant, because a
// PMS can't fix what staykey doesn't understand: outputs.go has the rules for values that can't be read, tolerant.go
// lets one bad item not cost the others, and run.go limits what a program may cost.
//
// # Other parts
//
//	source.go           a source's configuration: its policy for stays and listings
//	moment.go, hours.go local dates and times, completed by the listing's zone and hours
//	mentions.go         finds a guest's address in anything that a PMS sent
//	account.go, fetch.go how to call a PMS's API; package pmsapi does
//	write_back.go       presets that write into a PMS's fields; package writeback runs them
package pms

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Statuses of a reservation.
const (
	Confirmed = "confirmed"
	Cancelled = "cancelled"
)

// Event is the content of one authentic POST. Its items are judged one by one: Changes and Fetches hold those that
// could be read, Rejected those that could not. An event can have all three at once.
type Event struct {
	Type         string
	OccurredAt   time.Time // by the sender's clock; zero where it could not be read
	Changes      []Change  // to apply now, whatever else the event holds
	Rejected     []Rejection
	Ignored      bool         // it has no effect here
	Why          string       // it is ignored; "" if the type alone is the reason
	Disconnected string       // why the PMS will send nothing more; "" while it does
	Fetches      []Fetch      // documents that are needed to understand the rest of the event
	Recheck      string       // why the documents that were fetched may be older than the webhook; "" if not
	Invalid      []FieldError // why the event as a whole can't be read; one entry per field
}

// Rejection is one item of an event that can't be read. Those of its ids that could be read connect it with its
// reservation or listing.
type Rejection struct {
	Where         string // the item's place in the event: "[2].reservation", or "reservation" where it is the only one
	ReservationID string // as [Reservation.ReservationID]
	BookingID     string // as [Reservation.BookingID]
	Unit          string // as [Reservation.Unit]
	ListingID     string
	Errors        []FieldError
}

// Note is a field that could not be read and was dropped. Problem never quotes the value: it may be a guest's.
type Note struct {
	Field   string `json:"field"`
	Problem string `json:"problem"`
}

// RejectedErrors returns what is wrong with all rejected items, in order.
func (e Event) RejectedErrors() []FieldError {
	var all []FieldError
	for _, r := range e.Rejected {
		all = append(all, r.Errors...)
	}
	return all
}

// NotesOf joins notes into one line, for places that can't show a list.
func NotesOf(notes []Note) string {
	parts := make([]string, len(notes))
	for i, n := range notes {
		parts[i] = n.Field + ": " + n.Problem
	}
	return joined(parts)
}

// Change returns the one change that an event of the canonical format has, or the zero Change.
func (e Event) Change() Change {
	if len(e.Changes) == 0 {
		return Change{}
	}
	return e.Changes[0]
}

// Change is one thing that an event means: exactly one of its pointers is set.
type Change struct {
	Reservation *Reservation `json:"reservation,omitempty"`
	Listing     *Listing     `json:"listing,omitempty"`
	Merge       *Merge       `json:"merge,omitempty"`
	Guest       *Guest       `json:"guest,omitempty"`
	Notes       []Note       `json:"notes,omitempty"` // fields that were dropped because they could not be read
	// OccurredAt is when this happened, by the sender's clock; zero means the time of the event.
	OccurredAt time.Time `json:"-"`
	// Undated means that the document has no time of its own: OccurredAt, if any, is its webhook's. Nothing shows
	// whether an undated document is older than its webhook.
	Undated bool `json:"-"`
}

// Reservation is a reservation as its PMS reports it. In a complete reservation nil fields mean "none", otherwise
// "unchanged".
type Reservation struct {
	ReservationID string `json:"reservation_id"`
	// Confirmed, Cancelled, or "" for a status that neither creates nor removes a key
	Status     string  `json:"status"`
	ListingID  *string `json:"listing_id"`
	GuestEmail *string `json:"guest_email"`
	GuestName  *string `json:"guest_name"`
	GuestPhone *string `json:"guest_phone"`
	CheckIn    *Moment `json:"check_in"`
	CheckOut   *Moment `json:"check_out"`

	// Gates are the states of gates by name: open, closed or unknown. Absent gates are unchanged, even in a complete
	// reservation.
	Gates map[string]string `json:"gates,omitempty"`

	// Fields that only formats other than the canonical one set.

	Partial bool `json:"-"` // nil fields are unchanged
	NoRoom  bool `json:"-"` // no room is assigned: ListingID nil says so

	// BookingID is the PMS's id of the booking, and Unit its id of the room within the booking ("" where the PMS has
	// none). One booking is a reservation per unit. ReservationID is BookingID_Unit, or BookingID without a unit: a
	// proposal, which intake replaces if the unit already has another id. The id of a further guest's reservation is
	// that of the unit's reservation, followed by Companion.
	BookingID string `json:"booking_id,omitempty"`
	Unit      string `json:"unit,omitempty"`
	// "_guest-…" for the reservation of a further guest; "" for the first one's
	Companion string `json:"companion,omitempty"`
	// the booking has no reservations other than those that this event names
	Rest bool `json:"-"`

	// CheckedIn means that the stay has begun: at CheckedInAt or, if that is zero, at some time before this event.
	// Access starts then, and never later than the planned check-in.
	CheckedIn   bool      `json:"checked_in,omitempty"`
	CheckedInAt time.Time `json:"checked_in_at,omitzero"`

	// Segments are the rooms of a stay whose guest changes rooms, earliest first. Empty for a stay in one room,
	// ListingID.
	Segments []Segment `json:"segments,omitempty"`

	GuestID *string `json:"guest_id,omitempty"` // of the PMS
	// GuestLanguage is a BCP 47 tag.
	GuestLanguage *string `json:"guest_language,omitempty"`
	PMSStatus     string  `json:"pms_status,omitempty"`   // in the PMS's words
	StatusClass   string  `json:"status_class,omitempty"` // one of [StatusClasses]
}

// Segment is a part of a stay in one room. A nil From is the check-in, a nil Until the check-out.
type Segment struct {
	ListingID *string `json:"listing_id"` // nil: no room is assigned for this part yet
	From      *Moment `json:"from,omitempty"`
	Until     *Moment `json:"until,omitempty"`
}

// Whole reports whether absent fields mean "none".
func (r Reservation) Whole() bool { return r.Status == Confirmed && !r.Partial }

// ArrivesWithin reports whether a confirmed stay has begun and isn't over, or begins that soon. Local times are treated
// as UTC, which is close enough here.
func (r Reservation) ArrivesWithin(now time.Time, soon time.Duration) bool {
	if r.Status != Confirmed || r.CheckIn == nil || r.CheckOut == nil {
		return false
	}
	in, err := r.CheckIn.Resolve(time.UTC, DefaultCheckInTime)
	if err != nil || in.After(now.Add(soon)) {
		return false
	}
	out, err := r.CheckOut.Resolve(time.UTC, DefaultCheckOutTime)
	return err == nil && out.After(now)
}

// ArrivesWithin reports whether any of the event's stays has begun and isn't over, or begins that soon.
func (e Event) ArrivesWithin(now time.Time, soon time.Duration) bool {
	return slices.ContainsFunc(e.Changes,
		func(c Change) bool { return c.Reservation != nil && c.Reservation.ArrivesWithin(now, soon) })
}

// Listing is a listing as its PMS reports it. In a complete listing nil fields mean "none", otherwise "unchanged".
type Listing struct {
	ListingID      string   `json:"listing_id"`
	Deleted        bool     `json:"deleted"`
	AccessGroupIDs []string `json:"seam_access_group_ids"`
	Name           *string  `json:"name"`
	ACSSystemID    *string  `json:"acs_system_id"`
	TimeZone       *string  `json:"time_zone"`
	CheckInTime    *string  `json:"check_in_time"`
	CheckOutTime   *string  `json:"check_out_time"`
	Partial        bool     `json:"-"`
}

// Merge says that one listing has become part of another: its stays continue there.
type Merge struct {
	From string `json:"from"`
	Into string `json:"into"`
}

// Guest is a change of a guest's data, in all of the guest's reservations. Nil fields are unchanged.
type Guest struct {
	GuestID string  `json:"guest_id"`
	Email   *string `json:"guest_email,omitempty"`
	Name    *string `json:"guest_name,omitempty"`
	Phone   *string `json:"guest_phone,omitempty"`
}

// Fetch names documents that must be read from the PMS to understand an event.
type Fetch struct {
	Kind string            `json:"kind"`
	IDs  []string          `json:"ids"`
	With map[string]string `json:"with,omitempty"` // other values that its address needs
	// AsOf is how new a document must be; zero for any.
	AsOf time.Time `json:"as_of,omitzero"`
	// ReservationIDs are the reservations that the documents are about, by the PMS's ids of their bookings.
	ReservationIDs []string `json:"reservation_ids,omitempty"`
	// Optional documents may be missing at the PMS: the program then gets an empty list.
	Optional bool `json:"optional,omitempty"`
}

// FieldError says what is wrong with one field, and what is expected.
type FieldError struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

// Reasons joins field errors into one line, for places that can't show a list.
func Reasons(errs []FieldError) string {
	parts := make([]string, len(errs))
	for i, e := range errs {
		parts[i] = e.Field + ": " + e.Message
	}
	return joined(parts)
}

// longestReason bounds a line of reasons, in bytes: an event can have thousands of items.
const longestReason = 1500

// joined joins as many sentences as fit into one line.
func joined(parts []string) string {
	length := 0
	for i, part := range parts {
		if length += len(part) + 2; length > longestReason && i > 0 {
			return fmt.Sprintf("%s; and %d more", strings.Join(parts[:i], "; "), len(parts)-i)
		}
	}
	return strings.Join(parts, "; ")
}

// relayDomains forward mail for a booking, not for a person: the address is another one each time, or is
// shared by many (help.mews.com on OTA guest profiles; ownerrez.com on Booking.com aliases).
var relayDomains = []string{
	"agoda-messaging.com", "guest.airbnb.com", "guest.booking.com", "guest.trip.com",
	"m.expediapartnercentral.com", "messages.homeaway.com", "no-email-supplied.co",
}

// GuestAddress returns the e-mail address that identifies a guest, in lower case, or "" if the given text is no address
// or a booking channel's relay address, which identifies nobody.
func GuestAddress(email string) string {
	email = strings.ToLower(strings.TrimSpace(email))
	_, domain, ok := strings.Cut(email, "@")
	if !ok {
		return ""
	}
	for _, relay := range relayDomains {
		if domain == relay || strings.HasSuffix(domain, "."+relay) {
			return ""
		}
	}
	return email
}
