package intake

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// What could not be read of an event is shown where people look: with the event (its detail), with the reservation
// (its notes, until its next event is applied), in the timeline, and in counters by source and field.

// Note is something in a reservation's recent events that could not be read. It never quotes a value: that may be a
// guest's.
type Note struct {
	Field   string    `json:"field"`    // the path of the field in the payload
	Problem string    `json:"problem"`  // why it could not be read
	EventID string    `json:"event_id"` // of the event that contained it
	At      time.Time `json:"at"`       // when that event was received
}

// mostNotes limits the notes of one reservation.
const mostNotes = 20

// ReadNotes reads the notes of a reservation's row; what can't be read counts as none.
func ReadNotes(encoded []byte) []Note {
	var notes []Note
	_ = json.Unmarshal(encoded, &notes) // written here: anything else counts as no notes
	return notes
}

func notesOf(notes []pms.Note, m *mapped, now time.Time) []byte {
	list := make([]Note, 0, len(notes))
	for _, n := range notes {
		list = append(list, Note{store.Storable(n.Field), store.Storable(n.Problem), m.EventID.String(), now})
	}
	return encodeNotes(list)
}

func encodeNotes(list []Note) []byte {
	if len(list) == 0 {
		return nil
	}
	encoded, _ := json.Marshal(list[max(0, len(list)-mostNotes):]) // only texts and times: it can't fail
	return encoded
}

// note keeps a change's notes for the event.
func (m *mapped) note(c change) {
	for _, n := range c.Notes {
		noted := store.FieldNote{Field: store.Storable(n.Field), Problem: store.Storable(n.Problem)}
		switch {
		case c.Reservation != nil:
			noted.ReservationID = c.Reservation.ReservationID
		case c.Listing != nil:
			noted.ListingID = c.Listing.ListingID
		}
		m.notes.Notes = append(m.notes.Notes, noted)
	}
}

// reject keeps an item that can't be read, with the event and, if its id could be read, with its reservation.
func (f *folding) reject(m *mapped, lost pms.Rejection) {
	item := store.RejectedItem{Where: lost.Where, ReservationID: lost.ReservationID, ListingID: lost.ListingID}
	for _, e := range lost.Errors {
		item.Errors = append(item.Errors, store.FieldNote{
			Field:   store.Storable(e.Field),
			Problem: store.Storable(e.Message),
		})
	}
	m.notes.Rejected = append(m.notes.Rejected, item)
	ref := stay.Ref{Source: m.Source, ReservationID: lost.ReservationID}
	if f.reservations[ref].VersionSeq == 0 {
		return
	}
	for _, e := range item.Errors {
		f.addNote(ref, m, e.Field, "the last event could not be read: "+e.Problem)
	}
	f.stays.entry(ref, m, stay.EventRejected, map[string]any{
		"status": stay.EventRejected,
		"reason": store.Storable(pms.Reasons(lost.Errors)),
	})
}

// addNote adds to the notes of a reservation, which is otherwise unchanged.
func (f *folding) addNote(ref stay.Ref, m *mapped, field, problem string) {
	r := f.reservations[ref]
	f.stays.changes(ref, r)
	r.Notes = encodeNotes(append(ReadNotes(r.Notes), Note{field, problem, m.EventID.String(), f.now}))
	r.UpdatedAt = f.now
	f.reservations[ref] = r
}

// strangeStatus makes a status visible that a stay with a key should not have: an unknown one, or that of a blocked
// part of the calendar. The key is kept.
func (f *folding) strangeStatus(m *mapped, c change) {
	says := c.Reservation
	why := map[string]string{"other": "is unknown", "block": "is that of a block in the calendar"}[says.StatusClass]
	ref := stay.Ref{Source: m.Source, ReservationID: says.ReservationID}
	if r := f.reservations[ref]; why == "" || r.Status != pms.Confirmed || c.before(versionOf(r)) {
		return
	}
	f.addNote(ref, m, "status",
		store.Storable(fmt.Sprintf(
			"the PMS's status %q %s: nothing was changed. See whether the guest still has a right to the key",
			says.PMSStatus, why)))
}

var plainField = regexp.MustCompile(`^[a-z_]{1,40}$`)

// fieldOf is the last name in a field's path, for a counter; "other" if no format of ours has it.
func fieldOf(path string) string {
	name := path[strings.LastIndexByte(path, '.')+1:]
	name, _, _ = strings.Cut(name, "[")
	if !plainField.MatchString(name) {
		return "other"
	}
	return name
}
