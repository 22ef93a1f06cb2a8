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

// Source is one PMS account: how its webhooks are verified and mapped, and the defaults of its reservations and
// listings.
type Source struct {
	Name     string
	Verifier Verifier
	Secrets  []string // as configured, to display them and to detect secrets that sources share
	Insecure bool     // no verification at all, explicitly configured
	From     Addresses
	Format   *Format // nil: the canonical one
	Fetch    *FetchSettings
	Statuses Statuses
	Guests   bool // every named guest gets a key
	Limit    RateLimit
	Policy   Policy

	GuestLinks bool // each reservation has a link for its guest
	GuestPage  GuestPage
	WriteBack  *WriteBackSettings // nil: nothing is written to the PMS
}

// Statuses say which classes of a PMS's statuses hold a key ([Confirmed]) and which revoke it ([Cancelled]). Other
// classes neither create a key nor take one away.
type Statuses map[string]string

// DefaultStatuses apply to sources that configure none.
func DefaultStatuses() Statuses {
	return Statuses{
		"confirmed": Confirmed, "checked_in": Confirmed, "cancelled": Cancelled, "no_show": Cancelled,
		"checked_out": Cancelled,
	}
}

// Verify reports whether a POST is authentic; one to a source without a verifier never is.
func (s Source) Verify(p Post, now time.Time) (Proof, error) {
	if s.Verifier == nil {
		return Proof{}, ErrUnauthentic
	}
	return s.Verifier.Verify(p, now)
}

// Carries names where in a POST the secret itself is sent, if it is.
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

// VerifyMethod is how the source's POSTs are verified; "" where none ever is authentic.
func (s Source) VerifyMethod() string {
	if s.Verifier == nil {
		return ""
	}
	return s.Verifier.Method()
}

// Canonical reports whether a request is in the canonical format.
func (s Source) Canonical(r Request) bool { return s.Format == nil || r.Format == CanonicalFormat }

// Map runs the source's format over what was posted, or the canonical one if the request is in that.
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

// RateLimit limits the authentic webhooks that a replica accepts from a source. The zero value is no limit.
type RateLimit struct {
	PerSecond float64
	Burst     int // at once, after a pause
}

// Policy is how a source's configuration treats its listings and stays.
type Policy struct {
	ACSSystemID  string        // for listings that name none; "" takes it from their access groups
	TimeZone     string        // IANA; "" is none
	CheckInTime  string        // HH:MM
	CheckOutTime string        // HH:MM
	GraceBefore  time.Duration // how much earlier than check-in access starts
	GraceAfter   time.Duration // how much later than check-out it ends
	KeepAfter    time.Duration // how long after that the ACS user is removed
	Drift        Drift         `json:",omitempty"` // what happens to a key that somebody changed at Seam
	Horizon      time.Duration `json:",omitempty"` // how long before access starts keys are created; 0: at once
	NeedEmail    bool          `json:",omitempty"` // no key for a guest whose e-mail address isn't known
	// OwnIdentity gives each stay a user identity of its own, even if the guest's address has one, so that what is
	// handed out for one stay never shows the key of another.
	OwnIdentity bool `json:",omitempty"`
	// BackupCode gives each ACS user a PIN besides its mobile key.
	BackupCode bool `json:",omitempty"`
	// AccessSystems and AccessGroups limit what the source may open, by id; empty means no such limit.
	AccessSystems []string `json:",omitempty"`
	AccessGroups  []string `json:",omitempty"`
	// OwnGroups keeps the source from opening groups that another source used first. It is set if there are several
	// sources, for those without the two lists.
	OwnGroups bool `json:",omitempty"`
	// Gates must all be open before a key is created or handed out.
	Gates []Gate `json:",omitempty"`
	// Listings are the settings of individual listings, by their ids; the source's apply to what one omits.
	Listings map[string]ListingPolicy `json:",omitempty"`
}

// ListingPolicy is the configuration of one listing. It overrides the PMS.
type ListingPolicy struct {
	TimeZone     string         `json:",omitempty"`
	CheckInTime  string         `json:",omitempty"`
	CheckOutTime string         `json:",omitempty"`
	GraceBefore  *time.Duration `json:",omitempty"`
	GraceAfter   *time.Duration `json:",omitempty"`
}

// Grace is how much earlier than the stay access to a listing begins, and how much later it ends.
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

// Drift is a policy for keys that somebody changed at Seam in any way except deleting or suspending the user.
type Drift string

// Policies for drift. The default is DriftRepair.
const (
	DriftRepair Drift = "repair" // the change is undone
	DriftReport Drift = "report" // the change stays, with status attention, until an admin's reconcile or a later event
)

// Valid reports whether it is one of them.
func (d Drift) Valid() bool { return d == DriftRepair || d == DriftReport }

// DefaultPolicy applies to sources that configure nothing.
func DefaultPolicy() Policy {
	return Policy{CheckInTime: DefaultCheckInTime, CheckOutTime: DefaultCheckOutTime, KeepAfter: 24 * time.Hour}
}

// Fingerprint changes whenever a change of the policy can change what keys should be.
func (p Policy) Fingerprint() string {
	p.Drift = ""                  // it decides when to repair, not what should be
	encoded, _ := json.Marshal(p) // strings and integers only: it can't fail
	sum := sha256.Sum256(encoded)
	return hex.EncodeToString(sum[:8])
}

// Completion has what a stay's local times are completed with.
type Completion struct {
	Zone                      *time.Location // nil: not known
	CheckInTime, CheckOutTime string
}

// Complete merges a listing's own settings ("" for none) with the configuration.
func (p Policy) Complete(listingID, timeZone, checkInTime, checkOutTime string) Completion {
	l := p.Listings[listingID]
	c := Completion{
		CheckInTime:  cmp.Or(l.CheckInTime, checkInTime, p.CheckInTime, DefaultCheckInTime),
		CheckOutTime: cmp.Or(l.CheckOutTime, checkOutTime, p.CheckOutTime, DefaultCheckOutTime),
	}
	if name := cmp.Or(l.TimeZone, timeZone, p.TimeZone); name != "" {
		c.Zone, _ = ParseTimeZone(name) // checked when it arrived; one that has left the zone database counts as none
	}
	return c
}
