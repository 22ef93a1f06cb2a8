package admin

import (
	"context"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// StayNotes are what staff write about stays for each other.
type StayNotes struct{ *core }

// StayNote is what somebody of the staff wrote about a stay.
type StayNote = store.StayNote

// longestNote is how many characters a note may have, and mostNotes how many notes a stay may have: each page of the
// stay shows them all.
const (
	longestNote = 1000
	mostNotes   = 200
)

// Actions of the audit log about notes.
const (
	auditAddNote    = "add_note"
	auditDeleteNote = "delete_note"
)

// Of returns the notes on a stay, the oldest first.
func (s StayNotes) Of(ctx context.Context, ref stay.Ref) ([]StayNote, error) {
	if _, err := Reservations(s).Get(ctx, ref); err != nil {
		return nil, err
	}
	notes, err := s.store.Notes.Of(ctx, []stay.Ref{ref})
	return notes[ref], err
}

// Add adds a note to a stay. author is as for [Actor.Author].
func (s StayNotes) Add(ctx context.Context, ref stay.Ref, text, author string) (StayNote, error) {
	if err := visible(ctx, ref); err != nil {
		return StayNote{}, err
	}
	text, author = plainText(text), plainText(author)
	switch {
	case text == "":
		return StayNote{}, InvalidField("text", "is required")
	case utf8.RuneCountInString(text) > longestNote:
		return StayNote{}, InvalidField("text", fmt.Sprintf("must have at most %d characters", longestNote))
	}
	a, now := ActorOf(ctx), s.now().UTC()
	entry := a.Audit(auditAddNote, author)
	entry.At = now
	n, err := s.store.Notes.Add(ctx, ref, StayNote{At: now, Author: a.Author(author), Body: text}, mostNotes, entry)
	if errors.Is(err, store.ErrManyNotes) {
		return n, refuse(Conflict, fmt.Sprintf("This stay has %d notes: delete some first.", mostNotes))
	}
	return n, notFound(err, "reservation not found, or its guest's data has been removed")
}

// Added returns the note that a request with an Idempotency-Key has added and whose answer was lost.
func (s StayNotes) Added(ctx context.Context, ref stay.Ref) (StayNote, error) {
	entries, err := s.store.Audit.OfRequest(ctx, ActorOf(ctx).RequestKey)
	if err != nil {
		return StayNote{}, err
	}
	notes, err := s.Of(ctx, ref)
	if err != nil {
		return StayNote{}, err
	}
	for _, entry := range entries {
		id, _ := entry.After["note_id"].(float64) // as JSON has it
		for _, n := range notes {
			if n.NoteID == int64(id) {
				return n, nil
			}
		}
	}
	return StayNote{}, refuse(NotFound, "the note that this request added has been deleted")
}

// Delete deletes a note of a stay.
func (s StayNotes) Delete(ctx context.Context, ref stay.Ref, id int64) error {
	if err := visible(ctx, ref); err != nil {
		return err
	}
	entry := ActorOf(ctx).Audit(auditDeleteNote, "")
	entry.At = s.now().UTC()
	return notFound(s.store.Notes.Delete(ctx, ref, id, entry), "This note was deleted already.")
}
