package web

import (
	"net/http"

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
