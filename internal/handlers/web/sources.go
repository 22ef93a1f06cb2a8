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
	source, listing, ofListing := strings.Cut(f.Subject, "/")
	switch {
	case f.Check == "listing" && ofListing:
		row.Href, row.Button = escapedPath([]string{"listings", source, listing}), "Open the listing"
	case f.Check == "listing" && f.Subject == "more":
		row.Href, row.Button = "/doors?missing=1", "Choose doors"
	case f.Check == "arrivals" && f.Subject == "guests":
		row.Href, row.Button = "/", "Open Today"
	case (f.Check == "arrivals" || f.Check == "listing") && f.Subject == "times":
		row.Href, row.Button = "/reservations?when="+undatedStays, "Show the stays"
	case f.Check == "arrivals" && slices.Contains(sources, f.Subject):
		row.Href = nextLink("/reservations", url.Values{"source": {f.Subject}, "when": {undatedStays}}, "")
		row.Button = "Show the stays"
	case f.Check == "intake" && f.Subject != "inbox":
		row.Href = nextLink("/events", url.Values{"source": {f.Subject}, "status": {"rejected"}}, "")
		row.Button = "Show the events"
	case (f.Check == "source" || f.Check == "webhook") && slices.Contains(sources, f.Subject):
		row.Href, row.Button = escapedPath([]string{"sources", f.Subject}), "Open the source"
	case f.Check == "subscription" && f.Subject != "all":
		row.Href, row.Button = escapedPath([]string{"subscriptions", f.Subject}), "Open the subscription"
	}
	return row
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
