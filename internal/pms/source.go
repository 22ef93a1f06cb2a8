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
	Policy   Policy
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
}

// DefaultPolicy holds for a source that says nothing.
func DefaultPolicy() Policy {
	return Policy{CheckInTime: DefaultCheckInTime, CheckOutTime: DefaultCheckOutTime, KeepAfter: 24 * time.Hour}
}

// Fingerprint changes whenever the policy does.
func (p Policy) Fingerprint() string {
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
