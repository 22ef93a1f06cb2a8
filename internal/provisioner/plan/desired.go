// Package plan is the decision part of the provisioner: what should be true at Seam ([Desire]), which calls lead
// there ([Plan]), and what status results ([Judge]). Everything here is a pure function of its arguments: no clock,
// no network, no database.
//
// The three are called in this order, once per round of an attempt:
//
//	Situation ─▶ Desire ─▶ Desired ─▶ WithFirstKeyWaiting ─▶ Plan ─▶ steps, empty when done
//	                                                      └▶ Judge ─▶ status, reason, when to look again
//
// Desire reads the reservation, its listing, the source's policy and an admin's decisions (desired.go); gates that are
// closed take something away from it (gates.go). Plan compares the result with the recorded ACS users and lists all
// missing calls, of which an attempt takes only the first (plan.go). Judge is asked when no step is left (verdict.go).
// Which doors are opened and which are never closed is Desire's decision; closeGroups of plan.go closes the others.
//
// To add a reason for a status, add it to package stay and return it from Desire or a verdict. Reasons of calls that
// Seam refused or didn't answer are in internal/provisioner/verdict.go and internal/provisioner/silence.go.
package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/provisioner/record"
	"github.com/staykey/staykey/internal/stay"
)

// Goal is what should exist for a reservation.
type Goal int

// The goals.
const (
	Have Goal = iota + 1 // one ACS user with one mobile key
	Over                 // the stay is over: access ends now, and the ACS user is deleted at RemoveAt
	Gone                 // nothing
)

// Desired is what should be true at Seam for one reservation, and why.
type Desired struct {
	Goal       Goal        // whether an ACS user should exist
	Generation int64       // of the desired state, ascending: each event and each request of an admin raises it
	SystemID   string      // of the access system; "" if unknown
	FullName   string      // of the ACS user
	GuestKey   string      // identity key of the guest; "" if no address identifies one
	Email      string      // the guest's address in lower case
	OwnKey     string      // identity key of the reservation's own identity
	PerStay    bool        // new ACS users are linked to an identity of the stay's own, never to the guest's
	Moves      bool        // and one that is linked to the guest's is replaced, because nobody can have used it yet
	IdentityID string      // the identity that a preview knows to be usable; "" if one must be created
	Starts     time.Time   // when access begins; zero if unknown
	Ends       time.Time   // when access ends; zero if unknown
	RemoveAt   time.Time   // when all of it must be gone; zero if the check-out is unknown
	Expired    bool        // the stay is over
	Groups     []string    // to open, for goal Have
	Listed     []string    // never to be closed: the listing's groups, even those that Seam doesn't show now
	KeepGroups bool        // an existing ACS user keeps whatever groups it has
	Create     bool        // a new ACS user may be created
	CreateAt   time.Time   // when the first one is created, if that is only a matter of time; otherwise zero
	WaitsFor   *Finding    // what a first key waits for, although nothing is wrong
	Blocked    *Finding    // why not everything is as it should be, if nothing can be done about it here
	Revoked    string      // which admin wants no key, and why; "" for none
	Source     string      // the reservation's source
	Begun      bool        // access has started
	Gates      []stay.Gate // of the source, with their state for this stay
	NoKey      bool        // closed gates let nothing exist: existing keys are removed
	// under closed gates, one more than the index of the only ACS user that stays; 0: it is not limited to one
	Stays   int
	Replace string // the mobile key to replace by a new one; "" for none
}

// Finding is a reason for a status, for machines and for people.
type Finding struct {
	Status        string // if no key exists
	StatusWithKey string // if one exists
	Reason        string // one of the reasons of package stay
	Message       string // for people: what is wrong and what to do
}

// GroupSystem returns which access system an access group is on. known is false for a group that Seam reported as not
// existing; system is "" while its system is not known.
type GroupSystem func(groupID string) (system string, known bool)

// Situation is everything that [Desire] depends on.
type Situation struct {
	Reservation   Reservation                 // as the PMS last reported it
	Listing       *Listing                    // nil: the reservation names none, or an unknown one
	Generation    int64                       // of the desired state
	Decisions     Decisions                   // an admin's decisions
	Gates         map[string]stay.GateReports // what was reported about gates, by their name
	Policy        pms.Policy                  // the settings of the source
	DefaultSystem string                      // the access system if nothing closer names one; "" for none
	GuestKey      func(address string) string // derives the identity key from an e-mail address
	Group         GroupSystem                 // the system of an access group
	// whether the source may open a group; system is "" while it is not known. nil: everything
	MayOpen func(groupID, system string) bool
	Now     time.Time // when the decision is made
}

// Reservation is what a decision depends on of a reservation.
type Reservation struct {
	Source        string     // with ReservationID: the stay
	ReservationID string     // see Source
	Status        string     // [pms.Confirmed] or another status of package pms
	ListingID     string     // "" for none
	GuestEmail    string     // "" for none
	CheckIn       *time.Time // nil: unknown, or without a time zone
	CheckOut      *time.Time // like CheckIn
	HasDates      bool       // the PMS has reported check-in and check-out, which may still lack a time zone
}

// Listing is what a decision depends on of a listing.
type Listing struct {
	Groups      []string // ids of its access groups
	ACSSystemID string   // the access system that it names; "" for none
	Deleted     bool     // the PMS has deleted it
}

// Decisions are what an admin has decided about a reservation.
type Decisions struct {
	Revoked    string // who wants no key, and why; "" for nobody
	ReplaceKey string // the mobile key to replace by a new one; "" for none
	// when access begins and ends, from what it would be otherwise. nil: no admin has set that
	Access func(starts, ends time.Time) (from, until time.Time)
}

// Desire works out what should be true. The same situation always gives the same answer.
func Desire(s Situation) Desired {
	r := s.Reservation
	d := Desired{Goal: Have, FullName: r.ReservationID, Generation: s.Generation}
	if address := pms.GuestAddress(r.GuestEmail); address != "" {
		d.Email, d.GuestKey = address, s.GuestKey(address)
	}
	d.setHours(s)
	d.PerStay = s.Policy.OwnIdentity
	d.Moves = d.PerStay && s.Now.Before(d.Starts)

	if r.Status != pms.Confirmed {
		d.Goal = Gone
		return d
	}

	d.Replace = s.Decisions.ReplaceKey
	if d.Revoked = s.Decisions.Revoked; d.Revoked != "" {
		d.Goal = Gone
		return d
	}

	if !d.Ends.IsZero() && !s.Now.Before(d.Ends) {
		d.Goal, d.Expired = Over, true
		if !s.Now.Before(d.RemoveAt) {
			d.Goal = Gone
		}
		return d
	}

	d.Gates, d.Source, d.Begun = stay.Gates(s.Policy.Gates, s.Gates), r.Source, !d.Starts.IsZero() &&
		!s.Now.Before(d.Starts)
	d.Blocked = d.setListing(s)
	d.setLimits(s)
	return d
}

// setHours sets when the key opens doors: from check-in to check-out, extended by the source's grace, or as an admin
// set it.
func (d *Desired) setHours(s Situation) {
	r := s.Reservation
	before, after := s.Policy.Grace(r.ListingID)
	d.Starts, d.Ends = stay.Hours(r.CheckIn, r.CheckOut, before, after)
	if d.Ends.IsZero() {
		return
	}
	if s.Decisions.Access != nil {
		d.Starts, d.Ends = s.Decisions.Access(d.Starts, d.Ends)
	}
	d.RemoveAt = d.Ends.Add(s.Policy.KeepAfter)
}

// setLimits finds what prevents a new key although the listing has doors.
func (d *Desired) setLimits(s Situation) {
	switch {
	case d.Create && d.Starts.IsZero():
		d.Create = false
		d.Blocked = waiting(stay.ReasonNoTimeZone)
		if !s.Reservation.HasDates {
			d.Blocked = waiting(stay.ReasonNoDates)
		}
	case d.Create:
		d.setWaits(s)
	}
	if !d.Starts.IsZero() && !d.Ends.After(d.Starts) {
		d.Create = false
		d.Blocked = attention(stay.ReasonInvalidStay)
	}
}

// setWaits finds what a first key must wait for by the source's policy.
func (d *Desired) setWaits(s Situation) {
	if from := d.Starts.Add(-s.Policy.Horizon); s.Policy.Horizon > 0 && s.Now.Before(from) {
		d.CreateAt = from
		d.WaitsFor = waiting(stay.ReasonBeforeHorizon, pms.FormatInstant(from), stay.DescribeDuration(s.Policy.Horizon))
	} else if s.Policy.NeedEmail && s.Reservation.GuestEmail == "" {
		d.WaitsFor = waiting(stay.ReasonNoEmail)
	}
}

// WithFirstKeyWaiting is d if the first key must wait: for its time, for the guest's address, or for a gate. A stay
// that has had a key continues with its changes, unless a gate takes the key away.
func (d Desired) WithFirstKeyWaiting(users []record.User) Desired {
	if d.Goal != Have {
		return d
	}
	if d = d.withGates(users); d.NoKey {
		return d
	}
	has := func(u record.User) bool { return u.DeletedAt == nil && u.MayExist() }
	if d.WaitsFor == nil || !d.Create || slices.ContainsFunc(users, has) {
		return d
	}
	d.Create, d.Blocked = false, d.WaitsFor
	return d
}

// setListing sets access system and groups, and returns what prevents a new key.
func (d *Desired) setListing(s Situation) *Finding {
	d.KeepGroups = true
	listingID := s.Reservation.ListingID
	switch {
	case listingID == "":
		// The old room may be another guest's: its doors close, but the key is kept.
		d.KeepGroups = false
		return waiting(stay.ReasonNoRoom)
	case s.Listing == nil:
		return waiting(stay.ReasonListingUnknown, listingID, stay.ListingPath(s.Reservation.Source, listingID))
	case s.Listing.Deleted:
		return attentionWithKey(stay.ReasonListingDeleted, listingID)
	case len(s.Listing.Groups) == 0:
		return attentionWithKey(stay.ReasonNoGroups, listingID, stay.ListingPath(s.Reservation.Source, listingID))
	}
	return d.setGroups(s, s.Listing.Groups)
}

// setGroups sorts the listing's groups by what Seam reports about them. A group that Seam doesn't know, or that the
// same key can't open, is not opened; but nothing that the listing has is closed because of it. What the source may
// not open is neither opened nor left open.
func (d *Desired) setGroups(s Situation, groups []string) *Finding {
	d.SystemID = cmp.Or(s.Listing.ACSSystemID, s.Policy.ACSSystemID, s.DefaultSystem)
	var missing, elsewhere, here, denied []string
	for _, g := range groups {
		system, known := s.Group(g)
		if s.MayOpen != nil && !s.MayOpen(g, cmp.Or(system, d.SystemID)) {
			denied = append(denied, g)
			continue
		}
		d.Listed = append(d.Listed, g)
		switch {
		case !known:
			missing = append(missing, g)
		case d.SystemID == "" || system == "" || system == d.SystemID:
			d.SystemID = cmp.Or(d.SystemID, system)
			here = append(here, g)
		default:
			elsewhere = append(elsewhere, g)
		}
	}
	d.Groups = here
	d.Create = len(here) > 0 && d.SystemID != ""
	// What the source may not open is closed if it is open, even if nothing is left.
	d.KeepGroups = len(denied) == 0 && (len(here) == 0 || d.SystemID == "")
	switch {
	case len(denied) > 0:
		return attention(stay.ReasonGroupNotAllowed, s.Reservation.Source, quoted(denied))
	case len(missing) > 0:
		return attention(stay.ReasonGroupNotFound, quoted(missing))
	case len(elsewhere) > 0:
		return attention(stay.ReasonSeveralSystems, quoted(elsewhere), d.SystemID)
	case d.SystemID == "":
		return waiting(stay.ReasonNoSystem)
	}
	return nil
}

// waiting is a finding that leaves the key waiting, whether one exists or not.
func waiting(reason string, details ...any) *Finding {
	return &Finding{
		Status: stay.KeyWaiting, StatusWithKey: stay.KeyWaiting, Reason: reason,
		Message: stay.Message(reason, details...),
	}
}

// attention is a finding that needs a person.
func attention(reason string, details ...any) *Finding {
	return &Finding{
		Status: stay.KeyAttention, StatusWithKey: stay.KeyAttention, Reason: reason,
		Message: stay.Message(reason, details...),
	}
}

// attentionWithKey is a finding that needs a person only if a key exists.
func attentionWithKey(reason string, details ...any) *Finding {
	return &Finding{
		Status: stay.KeyWaiting, StatusWithKey: stay.KeyAttention, Reason: reason,
		Message: stay.Message(reason, details...),
	}
}

func quoted(ids []string) string {
	sorted := slices.Clone(ids)
	slices.Sort(sorted)
	return `"` + strings.Join(sorted, `", "`) + `"`
}

// String names a goal in logs and tests.
func (g Goal) String() string {
	if g < Have || g > Gone {
		return fmt.Sprintf("goal %d", int(g))
	}
	return []string{"have", "over", "gone"}[g-1]
}
