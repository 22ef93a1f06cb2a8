package web

import (
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/staykey/staykey/internal/admin"
)

// sourceView is the page of sources.
type sourceView struct {
	Rows   []sourceRow
	Tested *admin.SourceTest // of the last test
	Of     string
}

type sourceRow struct {
	admin.SourceState
	ErrorRate int // of the last day, in per cent
}

func (s *Pages) sourcesPage(w http.ResponseWriter, r *http.Request) {
	s.showSources(w, r, http.StatusOK, sourceView{})
}

func (s *Pages) testSourcePage(w http.ResponseWriter, r *http.Request) {
	name := chi.URLParam(r, "source")
	result, err := s.Admin.TestSource(r.Context(), name)
	if err != nil {
		s.refuse(w, r, s.problemOf(err))
		return
	}
	s.showSources(w, r, http.StatusOK, sourceView{Tested: &result, Of: name})
}

func (s *Pages) showSources(w http.ResponseWriter, r *http.Request, status int, v sourceView) {
	states, err := s.Admin.Sources(r.Context())
	if err != nil {
		s.refuse(w, r, s.problemOf(err))
		return
	}
	for _, state := range states {
		row := sourceRow{SourceState: state}
		if state.EventsOfLastDay > 0 {
			row.ErrorRate = (100*state.ErrorsOfLastDay + state.EventsOfLastDay - 1) / state.EventsOfLastDay
		}
		v.Rows = append(v.Rows, row)
	}
	s.render(w, r, status, "sources", page{Title: "Sources", Active: "sources", Body: v})
}

func (s *Pages) healthPage(w http.ResponseWriter, r *http.Request) {
	d, err := s.Admin.Diagnose(r.Context())
	if err != nil {
		s.refuse(w, r, s.problemOf(err))
		return
	}
	s.render(w, r, http.StatusOK, "health", page{Title: "Health", Active: "health", Body: d})
}
