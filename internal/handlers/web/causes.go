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

// What keeps guests from their keys, in the words of a front desk, and the button that fixes it. Both come from the
// table of reasons in package stay.

// causeWords describe a cause in hotel words.
type causeWords struct {
	Listings lang.Text // how many listings hold up how many guests; "" where it isn't about listings
	Problem  lang.Text // what is wrong with one stay
	Do       lang.Text // what to do, if the button doesn't say it
	Button   lang.Text
	Fix      stay.Opening
}

// causes are the words of each reason, and of the statuses of keys that have none.
var causes = func() map[string]causeWords {
	words := map[string]causeWords{
		stay.KeyProvisioning: {
			"", "The key takes longer than usual.", "The stay's page has the last error.",
			"Try again", stay.CompareStay,
		},
		stay.KeyWaiting:   {"", "The key hasn't been started yet.", "", "Try again", stay.CompareStay},
		stay.KeyAttention: {"", "Check this key.", "", "Open the stay", stay.OpenStay},
	}
	for _, r := range stay.Reasons() {
		d := r.Desk
		words[r.Code] = causeWords{
			lang.Text(d.Listings), lang.Text(d.Problem), lang.Text(d.Do), lang.Text(d.Button), d.Opens,
		}
	}
	return words
}()

// reasonMessages and reasonCodes are the texts of the reasons' table that the page translates: messages, by their
// shape; and codes, as words. Those for the front desk are in causes.
var reasonMessages, reasonCodes = reasonTexts()

func reasonTexts() (messages, codes []lang.Text) {
	for _, r := range stay.Reasons() {
		messages = append(messages, lang.Text(r.Message))
		codes = append(codes, lang.Text(strings.ReplaceAll(r.Code, "_", " ")))
	}
	return messages, codes
}

func wordsOf(reason string) causeWords {
	if w, ok := causes[reason]; ok {
		return w
	}
	return causeWords{
		Problem: lang.Text(capital(strings.ReplaceAll(reason, "_", " ")) + "."),
		Button:  "Open the stay", Fix: stay.OpenStay,
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
func (p problemRow) OpensListing() bool { return p.Fix == stay.OpenListing && p.ListingLink() != "" }

// Post is the address that the button posts to; "" if it is a link.
func (p problemRow) Post() string {
	if p.Fix == stay.CompareStay {
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
	case p.Fix == stay.ReleaseHold:
		return p.Link() + "/" + string(admin.Release)
	case p.Fix == stay.RenewKey:
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
	if len(g.Cause.Listings) < 2 || g.Fix != stay.OpenListing || g.Reason == stay.ReasonNoTimeZone ||
		g.Reason == stay.ReasonListingDeleted { // what is wrong isn't the doors
		return ""
	}
	if g.Reason == stay.ReasonNoGroups || g.Reason == stay.ReasonListingUnknown {
		return missingDoors
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
		rows[i] = problemRow{stayRow{Stay: one, in: in}, wordsOf(cmp.Or(stay.Text(one.Key.Reason), one.Key.Status))}
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
