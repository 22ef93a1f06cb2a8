package web

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

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

// Count is how many listings the row is about.
func (r healthRow) Count() int { return len(r.Listings) + r.More }

// groupShown is how many listings of a group are named.
const groupShown = 12

// healthGroup is what several listings may have in common.
type healthGroup struct {
	begins string // of the findings' messages
	title  lang.Text
	href   string // the page that fixes it for all of them; "" for the pages of each
}

var healthGroups = []healthGroup{
	{
		"no access groups",
		"{n} listing has no doors: its guests get no key.|{n} listings have no doors: their guests get no key.",
		"/doors?missing=1",
	},
	{
		"reservations name it", "Reservations name {n} listing that isn't set up: its guests get no key.|" +
			"Reservations name {n} listings that aren't set up: their guests get no key.",
		"/doors?missing=1",
	},
	{
		"its time zone isn't known", "The time zone of {n} listing isn't known: its guests get no key.|" +
			"The time zone of {n} listings isn't known: their guests get no key.",
		"",
	},
	{
		"Seam does not know access group",
		"{n} listing has a door that no longer exists.|{n} listings have doors that no longer exist.",
		"/doors",
	},
}

// grouped puts findings of the same kind about several listings into one row, where the first of them was.
func grouped(rows []healthRow) []healthRow {
	members := map[string][]healthRow{}
	for _, row := range rows {
		if g := groupOf(row); g != nil {
			members[g.begins] = append(members[g.begins], row)
		}
	}
	var list []healthRow
	for _, row := range rows {
		g := groupOf(row)
		if g == nil || len(members[g.begins]) == 1 {
			list = append(list, row)
			continue
		}
		if all := members[g.begins]; all[0].Subject == row.Subject {
			list = append(list, g.row(all))
		}
	}
	return list
}

func groupOf(row healthRow) *healthGroup {
	for i, g := range healthGroups {
		if row.Check == "listing" && row.Href != "" && strings.HasPrefix(row.Message, g.begins) {
			return &healthGroups[i]
		}
	}
	return nil
}

func (g *healthGroup) row(members []healthRow) healthRow {
	row := healthRow{Finding: members[0].Finding, Group: g.title, More: max(len(members)-groupShown, 0)}
	if row.Href = g.href; row.Href != "" {
		row.Button = "Choose doors"
	}
	for _, m := range members[:len(members)-row.More] {
		row.Listings = append(row.Listings, listRef{m.Subject, m.Href, m.Message})
	}
	return row
}

// healthRowOf adds the page to a finding that says that something is wrong. sources are those that have pages.
func healthRowOf(f admin.Finding, sources []string) healthRow {
	row := healthRow{Finding: f}
	if f.Level == admin.LevelOK {
		return row
	}
	ofSource := slices.Contains(sources, f.Subject)
	switch f.Check {
	case "listing":
		row.Href, row.Button = pageOfListings(f.Subject)
	case "arrivals":
		row.Href, row.Button = pageOfArrivals(f.Subject, ofSource)
	case "intake":
		if ofSource {
			row.Href = nextLink("/events", url.Values{"source": {f.Subject}, "status": {"rejected"}}, "")
			row.Button = "Show the events"
		}
	case "source", "webhook":
		if ofSource {
			row.Href, row.Button = escapedPath([]string{"sources", f.Subject}), "Open the source"
		}
	case "subscription":
		if f.Subject != "all" {
			row.Href, row.Button = escapedPath([]string{"subscriptions", f.Subject}), "Open the subscription"
		}
	}
	return row
}

// ofTimes is the subject of findings on stays without times of many listings.
const ofTimes = "times"

func pageOfListings(subject string) (href string, button lang.Text) {
	source, id, one := strings.Cut(subject, "/")
	switch {
	case one:
		return escapedPath([]string{"listings", source, id}), "Open the listing"
	case subject == "more":
		return "/doors?missing=1", "Choose doors"
	case subject == ofTimes:
		return pageOfArrivals(subject, false)
	}
	return "", ""
}

func pageOfArrivals(subject string, ofSource bool) (href string, button lang.Text) {
	without := url.Values{"when": {undatedStays}}
	switch {
	case ofSource:
		without.Set("source", subject)
	case subject == "guests":
		return "/", "Open Today"
	case subject != ofTimes:
		return "", ""
	}
	return nextLink("/reservations", without, ""), "Show the stays"
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
