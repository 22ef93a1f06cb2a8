package pms

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"
)

// Source is one PMS account: who signs its webhooks, and what its reservations and listings default to.
type Source struct {
	Name     string
	Secrets  []Secret
	Insecure bool // no verification at all, said explicitly in the configuration
	Limit    RateLimit
	Policy   Policy
}

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
	Drift        Drift         `json:",omitempty"` // what becomes of a key that somebody changed at Seam
}

// Drift is a policy for keys that somebody changed at Seam, otherwise than by deleting or suspending the user.
type Drift string

// Policies for drift. The default is DriftRepair.
const (
	DriftRepair Drift = "repair" // it is made as it should be
	DriftReport Drift = "report" // it stays as it is, under attention, until an admin or a later event wants it mended
)

// Valid tells whether it is one of them.
func (d Drift) Valid() bool { return d == DriftRepair || d == DriftReport }

// DefaultPolicy holds for a source that says nothing.
func DefaultPolicy() Policy {
	return Policy{CheckInTime: DefaultCheckInTime, CheckOutTime: DefaultCheckOutTime, KeepAfter: 24 * time.Hour}
}

// Fingerprint changes whenever what stays should be does.
func (p Policy) Fingerprint() string {
	p.Drift = ""                  // it says when to mend, not what should be
	encoded, _ := json.Marshal(p) // strings and integers only: it can't fail
	sum := sha256.Sum256(encoded)
	return hex.EncodeToString(sum[:8])
}

// Completion is what a stay's local times are completed from.
type Completion struct {
	Zone                      *time.Location // nil: not known
	CheckInTime, CheckOutTime string
}

// Complete joins a listing's own settings, "" for none, with the policy.
func (p Policy) Complete(timeZone, checkInTime, checkOutTime string) Completion {
	first := func(values ...string) string {
		for _, v := range values {
			if v != "" {
				return v
			}
		}
		return ""
	}
	c := Completion{
		CheckInTime:  first(checkInTime, p.CheckInTime, DefaultCheckInTime),
		CheckOutTime: first(checkOutTime, p.CheckOutTime, DefaultCheckOutTime),
	}
	if name := first(timeZone, p.TimeZone); name != "" {
		c.Zone, _ = ParseTimeZone(name) // checked when it came; one that has gone from the database is none
	}
	return c
}
