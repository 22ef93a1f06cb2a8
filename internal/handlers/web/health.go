package web

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/lang"
)

// This file shows the diagnosis: what is wrong first, by cause, each with the page that fixes it; what is right is
// folded away.

// healthView is the page of the diagnosis.
type healthView struct {
	Problems, Passed []healthRow
	Errors, Warnings int // of the problems
}

// healthRow is a finding, with the page where it can be fixed.
type healthRow struct {
	admin.Finding
	Href   string // "" where no page helps
	Button lang.Text

	Group    lang.Text // what is wrong with all of Listings, if it is the same; "" for a single finding
	Listings []listRef // at most groupShown
	More     int       // how many more listings there are
}

// listRef is a listing that a finding is about.
type listRef struct{ Title, Href, Message string }

// Title is what the finding is about: a listing by its name, if it has one.
func (r healthRow) Title() string {
	if r.Listing == nil {
		return r.Subject
	}
	return cmp.Or(r.Listing.Name, r.Listing.ListingID)
}

// Count is how many listings the row is about.
func (r healthRow) Count() int { return len(r.Listings) + r.More }

// groupShown is how many listings of a group are named.
const groupShown = 12

// healthGroup is what several listings with findings of one kind have in common.
type healthGroup struct {
	title lang.Text
	href  string // the page that fixes it for all of them; "" for the pages of each
}

var healthGroups = map[admin.FindingKind]healthGroup{
	admin.FindingNoDoors: {
		"{n} listing has no doors: its guests get no key.|{n} listings have no doors: their guests get no key.",
		missingDoors,
	},
	admin.FindingNotSetUp: {
		"Reservations name {n} listing that isn't set up: its guests get no key.|" +
			"Reservations name {n} listings that aren't set up: their guests get no key.",
		missingDoors,
	},
	admin.FindingNoTimeZone: {
		"The time zone of {n} listing isn't known: its guests get no key.|" +
			"The time zone of {n} listings isn't known: their guests get no key.",
		"",
	},
	admin.FindingUnknownDoor: {
		"{n} listing has a door that no longer exists.|{n} listings have doors that no longer exist.",
		"/doors",
	},
}

// missingDoors is the page of the listings that have no doors.
const missingDoors = "/doors?missing=1"

// grouped puts findings of one kind about several listings into one row, where the first of them was.
func grouped(rows []healthRow) []healthRow {
	members := map[admin.FindingKind][]healthRow{}
	for _, row := range rows {
		if row.Listing != nil {
			members[row.Kind] = append(members[row.Kind], row)
		}
	}
	var list []healthRow
	for _, row := range rows {
		all := members[row.Kind]
		switch {
		case row.Listing == nil || len(all) == 1:
			list = append(list, row)
		case all[0].Listing == row.Listing:
			list = append(list, healthGroups[row.Kind].row(all))
		}
	}
	return list
}

func (g healthGroup) row(members []healthRow) healthRow {
	row := healthRow{Finding: members[0].Finding, Group: g.title, More: max(len(members)-groupShown, 0)}
	if row.Href = g.href; row.Href != "" {
		row.Button = "Choose doors"
	}
	for _, m := range members[:len(members)-row.More] {
		row.Listings = append(row.Listings, listRef{m.Title(), m.Href, m.Message})
	}
	return row
}

// healthRowOf adds the page to a finding that says that something is wrong. sources are those that have pages.
func healthRowOf(f admin.Finding, sources []string) healthRow {
	row := healthRow{Finding: f}
	if f.Level != admin.LevelOK {
		row.Href, row.Button = pageOfFinding(f, slices.Contains(sources, f.Subject))
	}
	return row
}

// pageOfFinding is the page where a finding can be fixed. ofSource means that its subject is a source with a page.
func pageOfFinding(f admin.Finding, ofSource bool) (href string, button lang.Text) {
	switch {
	case f.Listing != nil:
		return escapedPath([]string{"listings", f.Listing.Source, f.Listing.ListingID}), "Open the listing"
	case f.Kind == admin.FindingMoreMissing:
		return missingDoors, "Choose doors"
	case f.Kind == admin.FindingGuests:
		return "/", "Open Today"
	case f.Kind == admin.FindingUndated:
		return undatedLink(f.Subject, ofSource), "Show the stays"
	case f.Check == "subscription" && f.Subject != "all":
		return escapedPath([]string{"subscriptions", f.Subject}), "Open the subscription"
	case ofSource && f.Check == "intake":
		return nextLink("/events", url.Values{"source": {f.Subject}, "status": {"rejected"}}, ""), "Show the events"
	case ofSource && (f.Check == "source" || f.Check == "webhook"):
		return escapedPath([]string{"sources", f.Subject}), "Open the source"
	}
	return "", ""
}

// undatedLink is the list of stays without times: of a source, or of all.
func undatedLink(subject string, ofSource bool) string {
	without := url.Values{"when": {undatedStays}}
	if ofSource {
		without.Set("source", subject)
	}
	return nextLink("/reservations", without, "")
}

func (s sourcePages) health(w http.ResponseWriter, r *http.Request) {
	d, err := s.Admin.Sources.Diagnose(r.Context())
	if err != nil {
		s.refuse(w, r, s.problemOf(r, err))
		return
	}

	var v healthView
	for _, found := range d.Findings {
		row := healthRowOf(found, s.Admin.Sources.Visible(r.Context()))
		if found.Level == admin.LevelOK {
			v.Passed = append(v.Passed, row)
		} else {
			v.Problems = append(v.Problems, row)
		}
	}
	v.Problems = grouped(v.Problems)
	for _, row := range v.Problems {
		if row.Level == admin.LevelError {
			v.Errors++
		} else {
			v.Warnings++
		}
	}
	s.render(w, r, http.StatusOK, "health", page{Title: localeOf(r).T("Health"), Active: "health", Body: v})
}
