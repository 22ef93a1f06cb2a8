package web

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/lang"
)

// sourcePages show PMS accounts, how to connect each, and the diagnosis.
type sourcePages struct{ *core }

// sourceView is the page of sources.
type sourceView struct{ Rows []sourceRow }

type sourceRow struct {
	admin.SourceState
	in        *lang.Locale
	ErrorRate int // of the last day, in per cent
}

func sourceRowOf(in *lang.Locale, state admin.SourceState) sourceRow {
	row := sourceRow{SourceState: state, in: in}
	if state.EventsOfLastDay > 0 {
		row.ErrorRate = (100*state.ErrorsOfLastDay + state.EventsOfLastDay - 1) / state.EventsOfLastDay
	}
	return row
}

// Link is the page of the source.
func (s sourceRow) Link() string { return escapedPath([]string{"sources", s.Name}) }

// Silence says for how long a PMS has posted nothing, if that is unusual.
func (s sourceRow) Silence() string {
	if !s.Quiet.Long {
		return ""
	}
	silent := s.in.Foreign(admin.InWords(s.Quiet.For))
	if s.Quiet.Usual > 0 {
		return s.in.T("Nothing from the PMS for {time}; the longest pause before was {usual}. "+
			"Check that its webhook is still enabled.", silent, s.in.Foreign(admin.InWords(s.Quiet.Usual)))
	}
	return s.in.T("Nothing from the PMS for {time}. Check that its webhook is still enabled.", silent)
}

func (s sourcePages) list(w http.ResponseWriter, r *http.Request) {
	states, err := s.Admin.Sources.List(r.Context())
	if err != nil {
		s.refuse(w, r, s.problemOf(r, err))
		return
	}
	var v sourceView
	for _, state := range states {
		v.Rows = append(v.Rows, sourceRowOf(localeOf(r), state))
	}
	s.render(w, r, http.StatusOK, "sources", page{Title: localeOf(r).T("Sources"), Active: "sources", Body: v})
}

// healthView is the page of the diagnosis.
type healthView struct {
	Findings         []healthRow
	Errors, Warnings int
}

// healthRow is a finding, with the page where it can be fixed.
type healthRow struct {
	admin.Finding
	Href   string // "" where no page helps
	Button lang.Text
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
		v.Findings = append(v.Findings, healthRowOf(found, s.Admin.Sources.Visible(r.Context())))
		switch found.Level {
		case admin.LevelError:
			v.Errors++
		case admin.LevelWarning:
			v.Warnings++
		}
	}
	s.render(w, r, http.StatusOK, "health", page{Title: localeOf(r).T("Health"), Active: "health", Body: v})
}
