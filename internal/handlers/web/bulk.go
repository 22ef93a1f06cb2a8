package web

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/handlers"
	"github.com/staykey/staykey/internal/lang"
	"github.com/staykey/staykey/internal/stay"
)

// bulkForm acts on the reservations that are selected in the list.
type bulkForm struct {
	Back    string   // the address of the list as shown
	Picked  []string // as [stayRow.Value]
	Action  string
	Reason  string
	Problem string
}

// Choices are the actions that can be applied to several reservations, in the order of the form's select.
func (bulkForm) Choices() []bulkChoice {
	return []bulkChoice{
		{string(admin.Reconcile), "Check and repair"},
		{string(admin.Hold), "Hold"},
		{string(admin.Release), "Release"},
		{string(admin.Window) + "+60", "Late check-out by 1 hour"},
		{string(admin.Window) + "+120", "Late check-out by 2 hours"},
		{string(admin.Window) + "-60", "Early check-in by 1 hour"},
		{string(admin.Window) + "-120", "Early check-in by 2 hours"},
		{string(admin.Revoke), "Revoke the keys"},
	}
}

type bulkChoice struct {
	Value string
	Title lang.Text
}

// bulkAction reads a choice of the form.
func bulkAction(choice, reason string) (admin.BulkAction, bool) {
	kind, minutes := choice, 0
	if i := strings.IndexAny(choice, "+-"); i > 0 {
		kind = choice[:i]
		minutes, _ = strconv.Atoi(choice[i:]) // an invalid number becomes 0, which changes nothing and is refused
	}
	a := admin.BulkAction{Action: admin.Action{Kind: admin.ActionKind(kind), Reason: reason}}
	if move := time.Duration(minutes) * time.Minute; move < 0 {
		a.Earlier = -move
	} else {
		a.Later = move
	}
	for _, known := range (bulkForm{}).Choices() {
		if known.Value == choice {
			return a, true
		}
	}
	return a, false
}

// Value names the reservation in a form.
func (r stayRow) Value() string { return strings.TrimPrefix(r.Link(), "/reservations/") }

// actOnMany applies an action to the selected reservations.
func (s reservationPages) actOnMany(w http.ResponseWriter, r *http.Request) {
	form := bulkForm{
		Picked: r.PostForm["stay"], Action: r.PostFormValue("action"),
		Reason: strings.TrimSpace(r.PostFormValue("reason")),
	}
	back, err := url.Parse(nextPage(r.PostFormValue("back")))
	named, ok := listingsOf(form.Picked) // two escaped segments, like those of listings
	action, known := bulkAction(form.Action, form.Reason)
	if err != nil || !ok || !known {
		s.refuse(w, r, handlers.NewProblem(http.StatusBadRequest, "this form can't be read: reload the page"))
		return
	}

	again := func(problem string) {
		form.Problem = problem
		s.show(w, r, http.StatusUnprocessableEntity, back.Query(), form)
	}

	if len(named) == 0 {
		again(localeOf(r).T("Select reservations first."))
		return
	}

	refs := make([]stay.Ref, len(named))
	for i, one := range named {
		refs[i] = stay.Ref{Source: one.Source, ReservationID: one.ListingID}
	}

	done, err := s.Admin.Actions.ActOnMany(r.Context(), refs, action)
	if refusal, is := admin.IsRefusal(err); is && refusal.Kind == admin.Invalid {
		again(pageText(localeOf(r), s.problemOf(r, err)))
		return
	}
	if err != nil {
		s.refuse(w, r, s.problemOf(r, err))
		return
	}
	http.Redirect(w, r, withDone(back, done.ID), http.StatusSeeOther)
}

// withDone is the address of a page that reports what was done.
func withDone(back *url.URL, id string) string {
	q := back.Query()
	q.Set("done", id)
	return back.Path + "?" + q.Encode()
}

// undo undoes what was done.
func (s reservationPages) undo(w http.ResponseWriter, r *http.Request) {
	back, err := url.Parse(nextPage(r.PostFormValue("back")))
	if err != nil {
		back = &url.URL{Path: "/"}
	}
	undone, err := s.Admin.Actions.Undo(r.Context(), chi.URLParam(r, "undo_id"), "")
	if err != nil {
		s.refuse(w, r, s.problemOf(r, err))
		return
	}
	http.Redirect(w, r, withDone(back, undone.ID), http.StatusSeeOther)
}

// doneNote reports what was done, and offers to undo it.
type doneNote struct {
	Text    string
	Left    []leftAlone
	Undo    string // the address that undoes it; "" where nothing can be undone
	Back    string
	Seconds int // for which Undo is offered
}

// leftAlone is a reservation that was skipped, and why.
type leftAlone struct{ ID, Link, Why string }

// doneTexts are the reports, with the number of reservations.
var doneTexts = map[admin.ActionKind]lang.Text{
	admin.Reconcile: "{n} reservation: compared with Seam now.|{n} reservations: compared with Seam now.",
	admin.Hold:      "{n} reservation put on hold.|{n} reservations put on hold.",
	admin.Release:   "{n} reservation released.|{n} reservations released.",
	admin.Revoke:    "{n} reservation: key revoked.|{n} reservations: key revoked.",
	admin.Reissue:   "{n} reservation: new mobile key requested.|{n} reservations: new mobile key requested.",
	admin.Window:    "{n} reservation: access times changed.|{n} reservations: access times changed.",
}

// doneNote reads the id of a finished action from an address. It returns nil if there is none or it is no longer known.
// back is the address without it.
func (s *core) doneNote(r *http.Request, back string) (*doneNote, error) {
	id := r.URL.Query().Get("done")
	if id == "" {
		return nil, nil
	}
	done, err := s.Admin.Actions.Batch(r.Context(), id)
	if _, gone := admin.IsRefusal(err); gone {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}

	note, in := doneNote{Back: back}, localeOf(r)
	n := len(done.Done)
	if text := doneTexts[done.Action]; n > 0 && !done.Undone {
		note.Text = in.T(text, n)
	}
	if done.Undone && n > len(done.Refused) {
		note.Text = in.T("Undone: {n} reservation.|Undone: {n} reservations.", n-len(done.Refused))
	}
	for _, one := range done.Refused {
		note.Left = append(note.Left, leftAlone{
			one.ReservationID, escapedPath([]string{"reservations", one.Source, one.ReservationID}), one.Why,
		})
	}

	if done.UndoUntil != nil && !done.Undone && admin.ActorOf(r.Context()).Write {
		note.Undo = "/undo/" + done.ID
		note.Seconds = int(done.UndoUntil.Sub(s.Now()).Seconds())
	}
	return &note, nil
}
