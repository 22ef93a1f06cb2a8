package intake

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// Folding applies the changes of a batch's events to the rows that the batch has locked, in memory. It needs no
// database and no clock, so the same events on the same rows always give the same result.
//
// Events are folded in the order of receipt, and the changes of an event in the order in which its format lists them.
// Whether a change counts is decided per reservation, by version: the time that the PMS gave the event, or, without
// one, the time of receipt.
//
//	older than the row's version                            superseded
//	a confirmation, identical to one from before a cancel   repeated: a late copy brings no booking back
//	it would undo a cancel, from documents that may be old  unsure: the documents are fetched again first
//	a status that neither creates nor removes a key         changesNothing
//	anything else                                          applied
//
// A change of a whole booking counts for all of its rooms: it is superseded if any room has had a later one, and rooms
// that it doesn't name are cancelled. Rooms that it names in a part that can't be read are left alone.
//
// The event's own result follows from those of its changes (settle): applied if any change was, otherwise rejected,
// superseded or ignored, in this order, always with a reason. An event of which a change is unsure keeps what was
// applied of it, and waits for its documents.
//
// folding takes the events; reservationFold, guestFold and listingFold take one change of theirs each, with the rows
// that such a change may write.
//
// What a row needs besides the change itself (its listing, its room's name, the guest's data) is completed once all
// events are folded, so that it doesn't matter in which order a batch had them.

// foldResult is the result of one change.
type foldResult int

const (
	superseded     foldResult = iota + 1 // older than what was applied before
	repeated                             // a body that was applied before, after a cancel
	changesNothing                       // it neither creates nor removes a key
	unsure                               // its document may be older than a cancel: it is fetched again
	applied
)

var foldResultWords = map[foldResult]string{
	superseded: stay.EventSuperseded, repeated: stay.EventIgnored, changesNothing: stay.EventIgnored,
	applied: stay.EventApplied,
}

// folding applies events to locked rows.
type folding struct {
	*rows
	names map[stay.Ref]bool // the ids of bookings' reservations that were looked for and locked

	stays         *stayChanges
	listed        map[stay.ListingRef]bool // listings that a change was applied to
	guestsChanged map[stay.Ref]bool        // guests that a change was applied to
	unlocked      bool                     // a room was given a name that is not among those locked
}

func newFolding(l *locking) *folding {
	return &folding{
		rows: l.rows, names: l.names, stays: &stayChanges{now: l.now, before: map[stay.Ref]store.Reservation{}},
		listed: map[stay.ListingRef]bool{}, guestsChanged: map[stay.Ref]bool{},
	}
}

// stayChanges are the reservations that a batch changes, and what their timelines will say of it.
type stayChanges struct {
	now     time.Time
	before  map[stay.Ref]store.Reservation // the rows before the batch, for those that a change was applied to
	entries []store.Entry
}

// changes records that a reservation changes, and its row before; zeros for a new one.
func (s *stayChanges) changes(ref stay.Ref, r store.Reservation) {
	if _, seen := s.before[ref]; !seen {
		s.before[ref] = r
	}
}

// entry adds a line about an event to a reservation's timeline.
func (s *stayChanges) entry(ref stay.Ref, m *mapped, what string, detail map[string]any) {
	kind := m.Type
	if kind == "" {
		kind = "an event"
	}
	if detail == nil {
		detail = map[string]any{"status": stay.EventApplied}
	}
	detail["event_id"], detail["type"] = m.EventID.String(), m.Type
	s.entries = append(s.entries, store.Entry{
		Ref: ref, At: s.now, Kind: stay.TimelineEvent,
		Summary: kind + " " + what, Detail: detail,
	})
}

// fold applies events to the rows in memory, in the order of receipt.
func (f *folding) fold(events []*mapped) {
	for _, m := range events {
		f.foldEvent(m)
	}
	for ref := range f.stays.before {
		r := f.reservations[ref]
		f.complete(&r)
		f.reservations[ref] = r
	}
}

// foldEvent applies the changes of one event, item by item, and settles it unless it waits for documents.
func (f *folding) foldEvent(m *mapped) {
	f.nameRooms(m)
	var done []foldResult
	for _, c := range m.changes {
		done = append(done, f.foldChange(m, c))
		m.note(c)
	}
	for _, lost := range m.says.Rejected {
		f.reject(m, lost)
	}
	m.recheck()

	status, reason := m.settle(done)
	isApplied := slices.Contains(done, applied)
	if m.awaiting = m.awaiting || slices.Contains(done, unsure) || (!m.again.IsZero() && !isApplied); m.awaiting {
		m.AppliedBefore = isApplied
		return
	}
	if m.rechecked = !m.again.IsZero(); m.rechecked {
		m.Documents = nil // what is kept of them is kept for the second look
	}
	f.close(m, status, store.Storable(reason))
}

// close records an event's result.
func (f *folding) close(m *mapped, status, reason string) {
	m.Status, m.AlsoAbout = status, m.others()
	if reason != "" {
		m.Reason = &reason
	}
	if status == stay.EventApplied {
		m.AppliedAt = &f.now
	}
	if len(m.notes.Notes)+len(m.notes.Rejected) > 0 {
		m.Detail, _ = json.Marshal(m.notes) // only texts: it can't fail
	}
}

// others are the reservations that an event is about besides the first.
func (m *mapped) others() []string {
	var ids []string
	seen := map[string]bool{"": true, stay.Text(m.ReservationID): true}
	add := func(id string) {
		if !seen[id] {
			ids, seen[id] = append(ids, id), true
		}
	}
	for _, c := range m.changes {
		if c.Reservation != nil {
			add(c.Reservation.ReservationID)
		}
	}
	for _, lost := range m.says.Rejected {
		add(lost.ReservationID)
	}
	return ids
}

func (f *folding) foldChange(m *mapped, c change) foldResult {
	switch {
	case c.Reservation != nil:
		v := reservationFold{f.rows, f.stays}.foldBooking(m, c)
		if v == changesNothing {
			f.strangeStatus(m, c)
		}
		f.addTimeline(m, c, v)
		return v
	case c.Listing != nil:
		return listingFold{f.now, f.listings, f.listed}.foldListing(m, c)
	case c.Merge != nil:
		return listingFold{f.now, f.listings, f.listed}.foldMerge(m, c)
	}
	return guestFold{f.rows, f.stays, f.guestsChanged}.foldGuest(m, c)
}

// settle returns the status of an event from the results of its changes. It is applied if any of them is.
func (m *mapped) settle(done []foldResult) (status, reason string) {
	lost := pms.Reasons(m.says.RejectedErrors())
	switch {
	case len(m.says.Invalid) > 0:
		return stay.EventRejected, pms.Reasons(m.says.Invalid)
	case m.says.Ignored && m.says.Why != "":
		return stay.EventIgnored, m.says.Why
	case m.says.Ignored:
		return stay.EventIgnored, "staykey doesn't use this type"
	case slices.Contains(done, applied) && lost != "":
		return stay.EventApplied, "applied, except for " + lost
	case slices.Contains(done, applied), m.AppliedBefore && lost == "":
		return stay.EventApplied, ""
	case lost != "":
		return stay.EventRejected, lost
	case slices.Contains(done, superseded):
		return stay.EventSuperseded, "a later event of this " + m.kind() + " had been applied"
	case slices.Contains(done, repeated):
		return stay.EventIgnored,
			"the same body was applied before the cancellation, and has no time of its own: it counts as a repetition"
	}

	for _, c := range m.changes {
		if r := c.Reservation; r != nil {
			return stay.EventIgnored, fmt.Sprintf("the status %q (%s) neither creates nor removes a key",
				r.PMSStatus, r.StatusClass)
		}
	}
	return stay.EventIgnored, "no current reservation has this guest"
}

// kind is what an event is about, in a word.
func (m *mapped) kind() string {
	for _, c := range m.changes {
		switch {
		case c.Reservation != nil:
			return "reservation"
		case c.Guest != nil:
			return "guest"
		}
	}
	return "listing"
}

// addTimeline adds an event to a reservation's timeline.
func (f *folding) addTimeline(m *mapped, c change, v foldResult) {
	ref := stay.Ref{Source: m.Source, ReservationID: c.Reservation.ReservationID}
	if f.reservations[ref].VersionSeq == 0 {
		return // there is none
	}
	at := m.says.OccurredAt
	if at.IsZero() {
		at = c.at
	}
	detail := map[string]any{"status": foldResultWords[v], "timestamp": pms.FormatInstant(at)}
	if c.Reservation.PMSStatus != "" {
		detail["pms_status"] = c.Reservation.PMSStatus
	}
	if len(c.Reservation.Gates) > 0 {
		detail["gates"] = c.Reservation.Gates
	}
	if len(c.Notes) > 0 {
		detail["notes"] = pms.NotesOf(c.Notes)
	}
	f.stays.entry(ref, m, foldResultWords[v], detail)
}
