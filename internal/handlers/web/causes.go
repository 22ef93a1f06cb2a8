package web

import (
	"cmp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/lang"
	"github.com/staykey/staykey/internal/stay"
)

// What keeps guests from their keys, in the words of a front desk, and the button that fixes it. REST's messages are in
// package stay: they name settings and ids, for people who know those.

// fix is what a button does about a cause.
type fix int

const (
	fixDoors  fix = iota + 1 // opens the listing, to choose its doors or its other settings
	fixStay                  // opens the stay, which has the actions
	fixCheck                 // compares the stay with Seam again, and repairs it
	fixHold                  // asks to release the hold
	fixRenew                 // asks to create a new key
	fixReport                // the desk can't do anything
)

// causeWords describe a cause in hotel words.
type causeWords struct {
	Listings lang.Text // how many listings hold up how many guests; "" where it isn't about listings
	Problem  lang.Text // what is wrong with one stay
	Do       lang.Text // what to do, if the button doesn't say it
	Button   lang.Text
	Fix      fix
}

var causes = map[string]causeWords{
	stay.ReasonListingUnknown: {
		"{guests}: {n} listing not set up yet|{guests}: {n} listings not set up yet", "This listing isn't set up yet.",
		"Name it and choose its doors.", "Set up the listing", fixDoors,
	},
	stay.ReasonNoGroups: {
		"{guests}: {n} listing without doors|{guests}: {n} listings without doors", "This listing has no doors yet.",
		"Choose the doors that its keys open.", "Choose doors", fixDoors,
	},
	stay.ReasonGroupNotFound: {
		"{guests}: {n} listing with a door that no longer exists|{guests}: {n} listings with a door that no longer exists",
		"A door of this listing no longer exists in Salto KS.", "Choose the doors again.", "Choose doors", fixDoors,
	},
	stay.ReasonGroupNotAllowed: {
		"{guests}: {n} listing with doors of another property|{guests}: {n} listings with doors of another property",
		"A door of this listing belongs to another property.",
		"Choose other doors, or ask your operator to allow the door in the configuration.", "Choose doors", fixDoors,
	},
	stay.ReasonSeveralSystems: {
		"{guests}: {n} listing with doors of two access systems|{guests}: {n} listings with doors of two access systems",
		"The doors of this listing are on two access systems. A key opens doors of one.", "Choose doors of one system.",
		"Choose doors", fixDoors,
	},
	stay.ReasonNoSystem: {
		"{guests}: {n} listing without an access system|{guests}: {n} listings without an access system",
		"The access system of this listing isn't known.",
		"Choose its doors, or name its access system.", "Set up the listing", fixDoors,
	},
	stay.ReasonSystemNotFound: {
		"{guests}: {n} listing with an unknown access system|{guests}: {n} listings with an unknown access system",
		"Seam doesn't know the access system of this listing.", "Correct it.", "Set up the listing", fixDoors,
	},
	stay.ReasonNoTimeZone: {
		"{guests}: {n} listing without a time zone|{guests}: {n} listings without a time zone", "The time zone of this listing isn't known.",
		"Enter it, so that keys open doors at the right hour.", "Set the time zone", fixDoors,
	},
	stay.ReasonListingDeleted: {
		"{guests}: {n} listing deleted in the PMS|{guests}: {n} listings deleted in the PMS", "This listing was deleted in the PMS.",
		"Move the stay to another room in the PMS.", "Open the listing", fixDoors,
	},
	stay.ReasonNoRoom: {
		"", "No room is assigned yet.", "Assign one in the PMS: the key follows at once.",
		"Open the stay", fixStay,
	},
	stay.ReasonNoDates: {
		"", "The PMS hasn't sent the dates of the stay.",
		"Save the reservation again in the PMS.", "Open the stay", fixStay,
	},
	stay.ReasonInvalidStay: {
		"", "Check-out is not after check-in.", "Correct the dates in the PMS.",
		"Open the stay", fixStay,
	},
	stay.ReasonNoEmail: {
		"", "The guest's e-mail address is missing.",
		"Enter it in the PMS: the key follows at once.", "Open the stay", fixStay,
	},
	stay.ReasonGateClosed: {
		"", "Something is still open, such as a payment or the check-in form.",
		"Settle it in the PMS, or open it on the stay's page.", "Open the stay", fixStay,
	},
	stay.ReasonBeforeHorizon: {"", "The key isn't due yet.", "", "Open the stay", fixStay},
	stay.ReasonHeld: {
		"", "Somebody put the stay on hold.", "Release it to apply changes to the key.",
		"Release", fixHold,
	},
	stay.ReasonRevokedByAdmin: {
		"", "Somebody revoked the key.", "Create a new one if the guest may enter.",
		"New mobile key", fixRenew,
	},
	stay.ReasonRemovedAtSeam:   {"", "Somebody deleted the guest in Salto KS.", "", "Restore the key", fixCheck},
	stay.ReasonSuspendedAtSeam: {"", "Somebody suspended the guest in Salto KS.", "", "Restore the key", fixCheck},
	stay.ReasonDrifted:         {"", "Somebody changed the key in Salto KS.", "", "Restore the key", fixCheck},
	stay.ReasonSubscriptionLimit: {
		"", "Salto KS has no free user subscription.",
		"Add subscriptions or remove users in Salto KS. staykey tries again every minute.", "Try again", fixCheck,
	},
	stay.ReasonNotSubscribed: {
		"", "Salto KS hasn't activated the guest.",
		"Check the site's user subscriptions in Salto KS.", "Try again", fixCheck,
	},
	stay.ReasonDisconnected: {
		"", "The access system is disconnected.",
		"Reconnect it in the Seam console: the keys follow on their own.", "Try again", fixCheck,
	},
	stay.ReasonForbidden: {
		"", "Seam doesn't let staykey use the access system.",
		"Ask your operator to check the Seam API key.", "Try again", fixCheck,
	},
	stay.ReasonNotKept: {
		"", "Seam doesn't keep what staykey sends.",
		"Ask your operator to check the guest in the Seam console.", "Try again", fixCheck,
	},
	stay.ReasonRejected: {
		"", "Seam refused the key.", "The stay's page has the reason.",
		"Try again", fixCheck,
	},
	stay.ReasonRejectedByAccessSys: {
		"", "Salto KS refused the guest.", "Ask your operator to check the guest in the Seam console.",
		"Try again", fixCheck,
	},
	stay.ReasonSeamReportsError: {
		"", "Seam reports an error on the key.",
		"A new key often helps. The stay's page has the error.", "New mobile key", fixRenew,
	},
	stay.ReasonNotRemoved: {
		"", "A key that should be gone may still open doors.",
		"If this doesn't clear, remove the guest in Salto KS.", "Try again", fixCheck,
	},
	stay.ReasonUnexpected: {
		"", "staykey couldn't finish the key.",
		"It tries again on its own. The stay's page has the error.", "Try again", fixCheck,
	},
	// Keys without a reason, by status.
	stay.KeyProvisioning: {
		"", "The key takes longer than usual.", "The stay's page has the last error.",
		"Try again", fixCheck,
	},
	stay.KeyWaiting:   {"", "The key hasn't been started yet.", "", "Try again", fixCheck},
	stay.KeyAttention: {"", "Check this key.", "", "Open the stay", fixStay},
}

func wordsOf(reason string) causeWords {
	if w, ok := causes[reason]; ok {
		return w
	}
	return causeWords{
		Problem: lang.Text(capital(strings.ReplaceAll(reason, "_", " ")) + "."),
		Button:  "Open the stay", Fix: fixStay,
	}
}

// problemRow is a stay without a working key, with the button that fixes it.
type problemRow struct {
	stayRow
	causeWords
}

// Late reports whether check-in has passed and check-out hasn't, as far as both are known.
func (p problemRow) Late(now time.Time) bool {
	in, out := p.Reservation.CheckIn, p.Reservation.CheckOut
	return in != nil && out != nil && !in.After(now) && out.After(now)
}

// Over reports whether check-out has passed.
func (p problemRow) Over(now time.Time) bool {
	out := p.Reservation.CheckOut
	return out != nil && !out.After(now)
}

// OpensListing reports whether the button leads to the listing.
func (p problemRow) OpensListing() bool { return p.Fix == fixDoors && p.ListingLink() != "" }

// Post is the address that the button posts to; "" if it is a link.
func (p problemRow) Post() string {
	if p.Fix == fixCheck {
		return p.Link() + "/" + string(admin.Reconcile)
	}
	return ""
}

// Href is the address of the button.
func (p problemRow) Href() string {
	switch {
	case p.OpensListing() && stay.Text(p.Key.Reason) == stay.ReasonGroupNotFound:
		return p.ListingLink() + "?" + withoutMissing + "=1" // saving it takes the door that is gone away
	case p.OpensListing() && stay.Text(p.Key.Reason) == stay.ReasonNoTimeZone:
		return p.ListingLink() + "#time_zone"
	case p.OpensListing():
		return p.ListingLink()
	case p.Fix == fixHold:
		return p.Link() + "/" + string(admin.Release)
	case p.Fix == fixRenew:
		return p.Link() + "/" + string(admin.Reissue)
	}
	return p.Link()
}

// causeGroup is a cause and the stays that have it.
type causeGroup struct {
	admin.Cause
	causeWords
	in   *lang.Locale
	Rows []problemRow
	All  string // the address of the whole list; "" where Rows are all of it
}

// Many is the page that fixes the cause for all listings at once; "" if one button is enough.
func (g causeGroup) Many() string {
	if len(g.Cause.Listings) < 2 || g.Fix != fixDoors || g.Reason == stay.ReasonNoTimeZone ||
		g.Reason == stay.ReasonListingDeleted { // what is wrong isn't the doors
		return ""
	}
	if g.Reason == stay.ReasonNoGroups || g.Reason == stay.ReasonListingUnknown {
		return "/doors?missing=1"
	}
	return "/doors"
}

// Title says how many stays have the cause.
func (g causeGroup) Title() string {
	guests := g.in.T("{n} guest|{n} guests", g.Guests)
	if g.causeWords.Listings == "" || len(g.Cause.Listings) == 0 {
		return g.in.T("{guests}: {problem}", guests, strings.TrimSuffix(g.in.T(g.Problem), "."))
	}
	return g.in.T(g.causeWords.Listings, guests, len(g.Cause.Listings))
}

func problemRows(in *lang.Locale, stays []admin.Stay) []problemRow {
	rows := make([]problemRow, len(stays))
	for i, one := range stays {
		rows[i] = problemRow{stayRow{one, in}, wordsOf(cmp.Or(stay.Text(one.Key.Reason), one.Key.Status))}
	}
	return rows
}

// capital writes the first letter as a capital.
func capital(s string) string {
	if s == "" {
		return s
	}
	first, size := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(first)) + s[size:]
}
