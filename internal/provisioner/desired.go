package provisioner

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/store"
)

// Reasons of a mobile key's status that come from what is desired. Those that come from Seam are beside the
// code that finds them.
const (
	reasonListingUnknown = "listing_unknown"
	reasonNoRoom         = "no_room_assigned"
	reasonListingDeleted = "listing_deleted"
	reasonNoGroups       = "no_access_groups"
	reasonNoSystem       = "no_access_system"
	reasonNoTimeZone     = "time_zone_unknown"
	reasonInvalidStay    = "invalid_stay"
	reasonBeforeHorizon  = "before_horizon"
	reasonNoEmail        = "no_guest_email"
	reasonGroupNotFound  = "access_group_not_found"
	reasonSeveralSystems = "access_groups_of_several_systems"
	reasonHeld           = "held"
	reasonRevoked        = "revoked_by_admin"
	reasonNotRemoved     = "not_removed"
)

// goal is what should exist of a reservation.
type goal int

const (
	have goal = iota + 1 // one ACS user with one mobile key
	over                 // the stay is over: what it had goes at removeAt, what reaches further goes now
	gone                 // nothing
)

// desired is what should be true in Seam for one reservation, and why.
type desired struct {
	goal       goal
	systemID   string
	fullName   string
	guestKey   string // identity key of the guest; "" where no address identifies one
	email      string // the guest's address in lower case
	ownKey     string // identity key of the reservation's own identity
	identityID string // the identity that a preview knows to be usable; "" where one is to be made
	starts     time.Time
	ends       time.Time
	removeAt   time.Time // when nothing of it may exist any more
	expired    bool      // the stay is over, for as long as that has been
	groups     []string  // of goal have
	keepGroups bool      // whatever groups an existing ACS user has stay
	create     bool      // a new ACS user may be made
	createAt   time.Time // when the first one is made, where it is only a matter of time
	waitsFor   *finding  // what a first key waits for, although nothing is wrong
	blocked    *finding  // why not everything is as it should be, although nothing can be done about it here
	revoked    string    // which admin wants no key, and why; "" for none
	replace    string    // the mobile key that a new one is to take the place of; "" for none
}

// finding is a reason for a status, for machines and for people.
type finding struct {
	status  string // where no key exists; an existing one is under attention, unless waiting is said
	held    string // status where a key exists
	reason  string
	message string
}

// groupSystem tells which access system a group is on. known is false for a group that Seam doesn't have.
type groupSystem func(groupID string) (systemID string, known bool)

// situation is everything that desired depends on.
type situation struct {
	reservation   store.Reservation
	listing       *store.Listing
	overrides     store.Overrides
	policy        pms.Policy
	defaultSystem string
	guestKey      func(address string) string
	group         groupSystem
	now           time.Time
}

// desire works out what should be true. It is pure: the same situation always gives the same answer.
func desire(s situation) desired {
	r := s.reservation
	d := desired{goal: have, fullName: r.ReservationID}
	if address := pms.GuestAddress(deref(r.GuestEmail)); address != "" {
		d.email, d.guestKey = address, s.guestKey(address)
	}
	if r.Status != pms.Confirmed {
		d.goal = gone
		return d
	}
	d.replace = deref(s.overrides.ReplaceCredential)
	if d.revoked = s.overrides.Revoked(); d.revoked != "" {
		d.goal = gone
		return d
	}
	if r.CheckIn != nil && r.CheckOut != nil {
		before, after := s.policy.Grace(deref(r.ListingID))
		d.starts, d.ends = r.CheckIn.Add(-before).UTC(), r.CheckOut.Add(after).UTC()
		if starts, ends := s.overrides.Window(r.CheckIn, r.CheckOut); !starts.IsZero() || !ends.IsZero() {
			d.starts, d.ends = firstTime(starts, d.starts), firstTime(ends, d.ends)
		}
		d.removeAt = d.ends.Add(s.policy.KeepAfter)
		if !s.now.Before(d.ends) {
			d.goal, d.expired = over, true
			if !s.now.Before(d.removeAt) {
				d.goal = gone
			}
			return d
		}
	}
	d.blocked = d.withListing(s)
	if d.create && d.starts.IsZero() {
		d.create = false
		d.blocked = &finding{
			status: store.KeyWaiting, held: store.KeyWaiting, reason: reasonNoTimeZone,
			message: "check-in and check-out are local times and no time zone is known: set time_zone on the listing or on the source",
		}
	}
	if d.create {
		d.waits(s)
	}
	if !d.starts.IsZero() && !d.ends.After(d.starts) {
		d.create = false
		d.blocked = &finding{
			status: store.KeyAttention, held: store.KeyAttention, reason: reasonInvalidStay,
			message: "check-out is not after check-in: correct the reservation in the PMS, or check_in_time and check_out_time of the listing",
		}
	}
	return d
}

// waits finds what a source's policy has a first key wait for.
func (d *desired) waits(s situation) {
	wait := func(reason, message string) *finding {
		return &finding{status: store.KeyWaiting, reason: reason, message: message}
	}
	if from := d.starts.Add(-s.policy.Horizon); s.policy.Horizon > 0 && s.now.Before(from) {
		d.createAt = from
		d.waitsFor = wait(reasonBeforeHorizon, fmt.Sprintf("the source's horizon is %s: the key is made at %s", s.policy.Horizon, pms.FormatInstant(from)))
	} else if s.policy.NeedEmail && deref(s.reservation.GuestEmail) == "" {
		d.waitsFor = wait(reasonNoEmail, "the guest's e-mail address is not known, and the source's guests.without_email is wait: the key is made as soon as the PMS says one")
	}
}

// heldBack is d where it is waited with the first key. A stay that has had one goes on with what changes.
func (d desired) heldBack(o observed) desired {
	has := func(u seen) bool { return u.DeletedAt == nil && (u.ACSUserID != nil || u.MarkedAt != nil) }
	if d.waitsFor == nil || !d.create || slices.ContainsFunc(o.users, has) {
		return d
	}
	d.create, d.blocked = false, d.waitsFor
	return d
}

// withListing fills in access system and groups, and returns what stands in the way of a new key.
func (d *desired) withListing(s situation) *finding {
	d.keepGroups = true
	listingID := deref(s.reservation.ListingID)
	switch {
	case listingID == "":
		// The old room may be somebody else's by now: its doors close, the key itself lives on.
		d.keepGroups = false
		return &finding{
			status: store.KeyWaiting, held: store.KeyWaiting, reason: reasonNoRoom,
			message: "no room is assigned yet: the key is made, or opens doors again, as soon as the PMS assigns one",
		}
	case s.listing == nil:
		return &finding{
			status: store.KeyWaiting, held: store.KeyWaiting, reason: reasonListingUnknown,
			message: fmt.Sprintf("listing %q is not known: have the PMS send it, or PUT /v1/listings/%s/%s", listingID, s.reservation.Source, listingID),
		}
	case s.listing.Deleted:
		return &finding{
			status: store.KeyWaiting, held: store.KeyAttention, reason: reasonListingDeleted,
			message: fmt.Sprintf("listing %q was deleted: move the reservation to another one; an existing key stays until check-out", listingID),
		}
	case len(s.listing.Groups()) == 0:
		return &finding{
			status: store.KeyWaiting, held: store.KeyAttention, reason: reasonNoGroups,
			message: fmt.Sprintf("listing %q has no access groups: set seam_access_group_ids in the PMS or with PUT /v1/listings/%s/%s", listingID, s.reservation.Source, listingID),
		}
	}
	return d.withGroups(s, s.listing.Groups())
}

func (d *desired) withGroups(s situation, groups []string) *finding {
	d.systemID = firstOf(deref(s.listing.ACSSystemID), s.policy.ACSSystemID, s.defaultSystem)
	var missing, elsewhere, here []string
	for _, g := range groups {
		system, known := s.group(g)
		switch {
		case !known:
			missing = append(missing, g)
		case d.systemID == "" || system == "" || system == d.systemID:
			d.systemID = firstOf(d.systemID, system)
			here = append(here, g)
		default:
			elsewhere = append(elsewhere, g)
		}
	}
	d.groups, d.keepGroups = here, false
	d.create = len(here) > 0 && d.systemID != ""
	switch {
	case len(missing) > 0:
		d.keepGroups = len(here) == 0
		return &finding{
			status: store.KeyAttention, held: store.KeyAttention, reason: reasonGroupNotFound,
			message: fmt.Sprintf("Seam knows no access group %s: correct the listing's seam_access_group_ids", quoted(missing)),
		}
	case len(elsewhere) > 0:
		d.keepGroups = len(here) == 0
		return &finding{
			status: store.KeyAttention, held: store.KeyAttention, reason: reasonSeveralSystems,
			message: fmt.Sprintf("access groups %s are not on access system %s: a key opens doors of one system only", quoted(elsewhere), d.systemID),
		}
	case d.systemID == "":
		d.keepGroups = true
		return &finding{
			status: store.KeyWaiting, held: store.KeyWaiting, reason: reasonNoSystem,
			message: "the access system is not known: set acs_system_id on the listing or the source, or SEAM_ACS_SYSTEM_ID",
		}
	}
	return nil
}

func quoted(ids []string) string {
	sorted := slices.Clone(ids)
	slices.Sort(sorted)
	return `"` + strings.Join(sorted, `", "`) + `"`
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

func firstTime(t, otherwise time.Time) time.Time {
	if t.IsZero() {
		return otherwise
	}
	return t.UTC()
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
