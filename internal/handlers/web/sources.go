package web

import (
	"net/http"

	"github.com/staykey/staykey/internal/admin"
)

// sourceView is the page of sources.
type sourceView struct{ Rows []sourceRow }

type sourceRow struct {
	admin.SourceState
	ErrorRate int // of the last day, in per cent
}

func sourceRowOf(state admin.SourceState) sourceRow {
	row := sourceRow{SourceState: state}
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
	text := "Nothing from the PMS for " + admin.InWords(s.Quiet.For)
	if s.Quiet.Usual > 0 {
		text += "; the longest pause before was " + admin.InWords(s.Quiet.Usual)
	}
	return text + ". Check that its webhook is still enabled."
}

func (s *Pages) sourcesPage(w http.ResponseWriter, r *http.Request) {
	states, err := s.Admin.Sources(r.Context())
	if err != nil {
		s.refuse(w, r, s.problemOf(err))
		return
	}
	var v sourceView
	for _, state := range states {
		v.Rows = append(v.Rows, sourceRowOf(state))
	}
	s.render(w, r, http.StatusOK, "sources", page{Title: "Sources", Active: "sources", Body: v})
}

func (s *Pages) healthPage(w http.ResponseWriter, r *http.Request) {
	d, err := s.Admin.Diagnose(r.Context())
	if err != nil {
		s.refuse(w, r, s.problemOf(err))
		return
	}
	s.render(w, r, http.StatusOK, "health", page{Title: "Health", Active: "health", Body: d})
}
