package web

import (
	"net/http"
	"net/url"
	"slices"

	"github.com/go-chi/chi/v5"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/handlers"
	"github.com/staykey/staykey/internal/stay"
)

// setGate records a person's decision about a gate.
func (s stayPages) setGate(w http.ResponseWriter, r *http.Request) {
	ref, state := refOf(r), r.PostFormValue("state")
	if state != "" && !slices.Contains(stay.GateStates(), state) {
		s.refuse(w, r, handlers.NewProblem(http.StatusUnprocessableEntity, "a gate is open, closed or unknown"))
		return
	}
	change := admin.GateChange{Name: chi.URLParam(r, "name"), State: state, Evidence: r.PostFormValue("evidence")}
	if _, err := s.Admin.Actions.SetGate(r.Context(), ref, change); err != nil {
		s.refuse(w, r, s.problemOf(r, err))
		return
	}
	http.Redirect(w, r, "/reservations/"+url.PathEscape(ref.Source)+"/"+url.PathEscape(ref.ReservationID)+"#gates",
		http.StatusSeeOther)
}
