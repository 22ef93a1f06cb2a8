package web

import (
	"net/http"
	"strconv"

	"github.com/staykey/staykey/internal/admin"
)

// addNote adds a note to a stay, and deleteNote deletes one.
func (s stayPages) addNote(w http.ResponseWriter, r *http.Request) {
	_, err := s.Admin.Notes.Add(r.Context(), refOf(r), r.PostFormValue("text"), "")
	s.backToNotes(w, r, err)
}

func (s stayPages) deleteNote(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.ParseInt(r.PostFormValue("note_id"), 10, 64)
	if err != nil {
		err = &admin.Error{Kind: admin.NotFound, Message: "This note was deleted already."}
	} else {
		err = s.Admin.Notes.Delete(r.Context(), refOf(r), id)
	}
	s.backToNotes(w, r, err)
}

func (s stayPages) backToNotes(w http.ResponseWriter, r *http.Request, err error) {
	if err != nil {
		s.refuse(w, r, s.problemOf(r, err))
		return
	}
	ref := refOf(r)
	http.Redirect(w, r, escapedPath([]string{"reservations", ref.Source, ref.ReservationID})+"#staff-notes",
		http.StatusSeeOther)
}
