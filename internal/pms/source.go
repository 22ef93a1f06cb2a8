package pms

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"time"
)

// Source is one PMS account: who signs its webhooks, how they are worded, and what its reservations and listings
// default to.
type Source struct {
	Name     string
	Verifier Verifier
	Secrets  []string // as configured, to display, and to detect one that two sources share
	Insecure bool     // no verification at all, explicitly configured
	From     Addresses
	Format   *Format // nil: the canonical one
	Fetch    *FetchSettings
	Statuses Statuses
	Guests   bool // each guest that the PMS names gets a key
	Limit    RateLimit
	Policy   Policy

	GuestLinks bool // each reservation has a link for its guest
	GuestPage  GuestPage
	WriteBack  *WriteBackSettings // nil: nothing is written to the PMS
}

// Statuses say which classes of a PMS's statuses hold a key ([Confirmed]) and which revoke it ([Cancelled]). The others
// make no key and take none away.
type Statuses map[string]string

// DefaultStatuses hold for a source that says nothing.
func DefaultStatuses() Statuses {
	return Statuses{
		"confirmed": Confirmed, "checked_in": Confirmed, "cancelled": Cancelled, "no_show": Cancelled,
		"checked_out": Cancelled,
	}
}

// Verify reports whether a delivery is authentic; one to a source without a verifier never is.
func (s Source) Verify(d Delivery, now time.Time) (Proof, error) {
	if s.Verifier == nil {
		return Proof{}, ErrUnauthentic
	}
	return s.Verifier.Verify(d, now)
}

// Carries names where the secret itself travels with a delivery.
func (s Source) Carries() Carrier {
	if s.Verifier == nil {
		return Carrier{}
	}
	return s.Verifier.Carries()
}

// FormatName is the name of the source's format.
func (s Source) FormatName() string {
	if s.Format == nil {
		return CanonicalFormat
	}
	return s.Format.Name
}

// VerifyMethod is how the source's deliveries are verified; "" where none ever is authentic.
func (s Source) VerifyMethod() string {
	if s.Verifier == nil {
		return ""
	}
	return s.Verifier.Method()
}

// Canonical reports whether something posted is worded as our own format has it.
func (s Source) Canonical(r Request) bool { return s.Format == nil || r.Format == CanonicalFormat }

// Map runs the source's format over what was posted, or the canonical one where that is how it is worded.
func (s Source) Map(ctx context.Context, m Mapping) (Event, error) {
	if s.Canonical(m.Request) {
		return ParseStaykeyAt(m.Body, m.ReceivedAt)
	}
	m.Guests, m.Statuses = s.Guests, s.Statuses
	e, err := s.Format.Map(ctx, m)
	for _, c := range e.Changes {
		if r := c.Reservation; r != nil {
			r.Status = s.Statuses[r.StatusClass]
		}
	}
	return e, err
}

// CanonicalFormat is the name of our own format.
const CanonicalFormat = "staykey"

// RateLimit is how many authentic webhooks of a source a replica takes. The zero RateLimit is none.
type RateLimit struct {
	PerSecond float64
	Burst     int // at once, after a pause
}

// Policy is what a source says about its listings and stays.
type Policy struct {
	ACSSystemID  string        // for listings that name none; "" takes it from their access groups
	TimeZone     string        // IANA; "" is none
	CheckInTime  string        // HH:MM
	CheckOutTime string        // HH:MM
	GraceBefore  time.Duration // access starts so much before check-in
	GraceAfter   time.Duration // and ends so much after check-out
	KeepAfter    time.Duration // the ACS user is removed so long after access ends
	Drift        Drift         `json:",omitempty"` // what happens to a key that somebody changed at Seam
	Horizon      time.Duration `json:",omitempty"` // keys are made so long before access starts; 0: at once
	NeedEmail    bool          `json:",omitempty"` // no key for a guest whose e-mail address isn't known
	// OwnIdentity gives each stay a user identity of its own, also where the guest's address has one: what is
	// handed out for one stay then never shows another one's key.
	OwnIdentity bool `json:",omitempty"`
	// BackupCode gives each ACS user a PIN besides its mobile key.
	BackupCode bool `json:",omitempty"`
	// AccessSystems and AccessGroups are what the source may open, by their ids; empty is no limit of this kind.
	AccessSystems []string `json:",omitempty"`
	AccessGroups  []string `json:",omitempty"`
	// OwnGroups keeps the source from opening what another source used first. It holds where there are several
	// sources, for those without the two lists.
	OwnGroups bool `json:",omitempty"`
	// Gates must all be open before a key is created or handed out.
	Gates []Gate `json:",omitempty"`
	// Listings are the settings of individual listings, by their ids; the source's apply to what one omits.
	Listings map[string]ListingPolicy `json:",omitempty"`
}

// ListingPolicy is what is configured for one listing. It wins over what the PMS says.
type ListingPolicy struct {
	TimeZone     string         `json:",omitempty"`
	CheckInTime  string         `json:",omitempty"`
	CheckOutTime string         `json:",omitempty"`
	GraceBefore  *time.Duration `json:",omitempty"`
	GraceAfter   *time.Duration `json:",omitempty"`
}

// Grace is how much earlier and later than the stay access to a listing lasts.
func (p Policy) Grace(listingID string) (before, after time.Duration) {
	before, after = p.GraceBefore, p.GraceAfter
	l := p.Listings[listingID]
	if l.GraceBefore != nil {
		before = *l.GraceBefore
	}
	if l.GraceAfter != nil {
		after = *l.GraceAfter
	}
	return before, after
}

// MayOpen reports whether the source's keys may open an access group. system is the group's access system, "" while
// that is not known; owner is another source that used the group first, "" for none.
func (p Policy) MayOpen(group, system, owner string) bool {
	switch {
	case len(p.AccessGroups) > 0 && !slices.Contains(p.AccessGroups, group):
		return false
	case len(p.AccessSystems) > 0 && system != "" && !slices.Contains(p.AccessSystems, system):
		return false
	}
	return !p.OwnGroups || owner == ""
}

// Drift is a policy for keys that somebody changed at Seam, otherwise than by deleting or suspending the user.
type Drift string

// Policies for drift. The default is DriftRepair.
const (
	DriftRepair Drift = "repair" // it is made as it should be
	DriftReport Drift = "report" // it stays unchanged, under attention, until an admin or a later event wants it fixed
)

// Valid reports whether it is one of them.
func (d Drift) Valid() bool { return d == DriftRepair || d == DriftReport }

// DefaultPolicy holds for a source that says nothing.
func DefaultPolicy() Policy {
	return Policy{CheckInTime: DefaultCheckInTime, CheckOutTime: DefaultCheckOutTime, KeepAfter: 24 * time.Hour}
}

// Fingerprint changes whenever what stays should be does.
func (p Policy) Fingerprint() string {
	p.Drift = ""                  // it says when to fix, not what should be
	encoded, _ := json.Marshal(p) // strings and integers only: it can't fail
	sum := sha256.Sum256(encoded)
	return hex.EncodeToString(sum[:8])
}

// Completion is what a stay's local times are completed from.
type Completion struct {
	Zone                      *time.Location // nil: not known
	CheckInTime, CheckOutTime string
}

// Complete joins a listing's own settings, "" for none, with what is configured.
func (p Policy) Complete(listingID, timeZone, checkInTime, checkOutTime string) Completion {
	l := p.Listings[listingID]
	c := Completion{
		CheckInTime:  cmp.Or(l.CheckInTime, checkInTime, p.CheckInTime, DefaultCheckInTime),
		CheckOutTime: cmp.Or(l.CheckOutTime, checkOutTime, p.CheckOutTime, DefaultCheckOutTime),
	}
	if name := cmp.Or(l.TimeZone, timeZone, p.TimeZone); name != "" {
		c.Zone, _ = ParseTimeZone(name) // checked when it came; one that has gone from the database is none
	}
	return c
}
