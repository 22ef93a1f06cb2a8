// Package pms holds what a property management system says and how it says it: sources, the verification
// of their webhooks, and their formats, all of which come down to a [Change]. It knows no database and no Seam.
package pms

import (
	"strings"
	"time"
)

// Statuses of a reservation.
const (
	Confirmed = "confirmed"
	Cancelled = "cancelled"
)

// Event is what one authentic POST says.
type Event struct {
	Type       string
	OccurredAt time.Time // by the sender's clock; zero where it could not be read
	Change     Change
	Ignored    bool         // the type means nothing here
	Invalid    []FieldError // why it is no valid event; one entry a field
}

// Change is what an event means: exactly one of its fields is set.
type Change struct {
	Reservation *Reservation `json:"reservation,omitempty"`
	Listing     *Listing     `json:"listing,omitempty"`
}

// Reservation is a reservation as its PMS says it. Nil fields of a confirmed one mean "none"; of a cancelled
// one "not said", because a cancel needs no more than the id.
type Reservation struct {
	ReservationID string  `json:"reservation_id"`
	Status        string  `json:"status"`
	ListingID     *string `json:"listing_id"`
	GuestEmail    *string `json:"guest_email"`
	GuestName     *string `json:"guest_name"`
	GuestPhone    *string `json:"guest_phone"`
	CheckIn       *Moment `json:"check_in"`
	CheckOut      *Moment `json:"check_out"`
}

// ArrivesWithin tells whether a confirmed stay begins so soon, or has begun and lasts. A local time counts as
// one of UTC: what matters by hours is told well enough.
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

// Listing is a listing as its PMS says it: whole, nil means none.
type Listing struct {
	ListingID      string   `json:"listing_id"`
	Deleted        bool     `json:"deleted"`
	AccessGroupIDs []string `json:"seam_access_group_ids"`
	Name           *string  `json:"name"`
	ACSSystemID    *string  `json:"acs_system_id"`
	TimeZone       *string  `json:"time_zone"`
	CheckInTime    *string  `json:"check_in_time"`
	CheckOutTime   *string  `json:"check_out_time"`
}

// FieldError says what is wrong with one field and what would be right.
type FieldError struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

// Reasons joins field errors to one line, for where there is no list.
func Reasons(errs []FieldError) string {
	parts := make([]string, len(errs))
	for i, e := range errs {
		parts[i] = e.Field + ": " + e.Message
	}
	return strings.Join(parts, "; ")
}

// relayDomains forward mail for a booking, not for a person: the address is another one each time, or is
// shared by many (help.mews.com on OTA guest profiles; ownerrez.com on Booking.com aliases).
var relayDomains = []string{
	"agoda-messaging.com", "guest.airbnb.com", "guest.booking.com", "guest.trip.com",
	"m.expediapartnercentral.com", "messages.homeaway.com", "no-email-supplied.co",
}

// GuestAddress returns the e-mail address that identifies a guest, in lower case, or "" where the given one
// identifies nobody: none at all, or a relay address of a booking channel.
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
