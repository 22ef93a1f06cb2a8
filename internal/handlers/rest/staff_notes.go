package rest

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/staykey/staykey/internal/admin"
)

// StaffNote is what somebody of the staff wrote about a stay.
type StaffNote struct {
	NoteID int64  `json:"note_id"`
	At     string `json:"at" format:"date-time"`
	Author string `json:"author" example:"Maria (front-desk)"`
	Text   string `json:"text" example:"Called: arrives at 23:00."`
}

// StaffNoteText is a new note.
type StaffNoteText struct {
	Text   string `json:"text" minLength:"1" maxLength:"1000" example:"Called: arrives at 23:00." doc:"May be about the guest: notes are erased with the guest's data, and are in no log."`
	Author string `json:"author,omitempty" maxLength:"100" example:"Maria" doc:"Person who uses the token, if several people share it."`
}

// StaffNoteInput is the request to add a note.
type StaffNoteInput struct {
	ReservationPath
	Body StaffNoteText
}

// StaffNotePath names a note.
type StaffNotePath struct {
	ReservationPath
	NoteID int64 `path:"note_id"`
}

// StaffNotes are the notes on a stay.
type StaffNotes struct {
	Items []StaffNote `json:"items" nullable:"false"`
}

func showStaffNote(n admin.StayNote) StaffNote {
	return StaffNote{NoteID: n.NoteID, At: stamp(n.At), Author: n.Author, Text: n.Body}
}

const staffNotesPath = reservationPath + "/staff-notes"

func (s *API) staffNoteOperations(api huma.API) {
	const tag = "Reservations"
	list := described(operation("list-staff-notes", http.MethodGet, staffNotesPath, tag, "List the staff's notes on a stay",
		http.StatusNotFound),
		"Notes that people wrote for their colleagues, oldest first. The guest never sees them.")
	huma.Register(api, list, func(ctx context.Context, in *ReservationPath) (*Output[StaffNotes], error) {
		notes, err := s.Admin.Notes.Of(ctx, in.ref())
		if err != nil {
			return nil, s.problemOf(ctx, err)
		}
		out := StaffNotes{Items: make([]StaffNote, len(notes))}
		for i, n := range notes {
			out.Items[i] = showStaffNote(n)
		}
		return &Output[StaffNotes]{out}, nil
	})

	add := described(operation("add-staff-note", http.MethodPost, staffNotesPath, tag, "Add a note to a stay",
		withBody(http.StatusForbidden, http.StatusNotFound)...),
		"For colleagues: the guest never sees it. It is erased with the guest's data.")
	add.DefaultStatus = http.StatusCreated
	huma.Register(api, add, func(ctx context.Context, in *StaffNoteInput) (*Output[StaffNote], error) {
		n, err := s.Admin.Notes.Add(ctx, in.ref(), in.Body.Text, in.Body.Author)
		if err != nil {
			return nil, s.problemOf(ctx, err)
		}
		return &Output[StaffNote]{showStaffNote(n)}, nil
	})

	remove := described(operation("delete-staff-note", http.MethodDelete, staffNotesPath+"/{note_id}", tag,
		"Delete a note of a stay", http.StatusForbidden, http.StatusNotFound),
		"Any token with write access can delete it. The audit log records who did, not the text.")
	remove.DefaultStatus = http.StatusNoContent
	huma.Register(api, remove, func(ctx context.Context, in *StaffNotePath) (*struct{}, error) {
		if err := s.Admin.Notes.Delete(ctx, in.ref(), in.NoteID); err != nil {
			return nil, s.problemOf(ctx, err)
		}
		return nil, nil
	})
}

// keptStaffNote stores the answer to a new note without its text, which may be about the guest.
func (s *API) keptStaffNote() keeping {
	return keeping{
		clean: cleaned(func(n *StaffNote) { n.Text = "" }),
		fill: filled(func(ctx context.Context, r *http.Request, n *StaffNote) error {
			notes, err := s.Admin.Notes.Of(ctx, refOf(r))
			for _, other := range notes {
				if other.NoteID == n.NoteID {
					n.Text = other.Body
				}
			}
			return err
		}),
		present: func(ctx context.Context, r *http.Request) (admin.Answer, error) {
			n, err := s.Admin.Notes.Added(ctx, refOf(r))
			return answer(http.StatusCreated, showStaffNote(n), err)
		},
	}
}
