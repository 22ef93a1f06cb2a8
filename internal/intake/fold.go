package intake

import (
	"bytes"
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
	superseded: store.EventSuperseded, repeated: store.EventIgnored, changesNothing: store.EventIgnored,
	applied: store.EventApplied,
}

// fold applies the events to the rows in memory, in the order of receipt.
func (b *batch) fold() {
	for _, m := range b.events {
		b.foldEvent(m)
	}
	for ref := range b.before {
		r := b.reservations[ref]
		b.complete(&r)
		b.reservations[ref] = r
	}
}

// foldEvent applies the changes of one event, item by item, and settles it unless it waits for documents.
func (b *batch) foldEvent(m *mapped) {
	if m.says.Disconnected != "" {
		b.log.Warn("PMS disconnected: it will send no more events", "source", m.Source, "reason", m.says.Disconnected)
	}

	b.nameRooms(m)
	var done []foldResult
	for _, c := range m.changes {
		done = append(done, b.foldChange(m, c))
		m.note(c)
	}
	for _, lost := range m.says.Rejected {
		b.reject(m, lost)
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
	b.close(m, status, store.Storable(reason))
}

// close records an event's result.
func (b *batch) close(m *mapped, status, reason string) {
	m.Status, m.AlsoAbout = status, m.others()
	if reason != "" {
		m.Reason = &reason
	}
	if status == store.EventApplied {
		m.AppliedAt = &b.now
	}
	if len(m.notes.Notes)+len(m.notes.Rejected) > 0 {
		m.Detail, _ = json.Marshal(m.notes) // only texts: it can't fail
	}

	if status == store.EventRejected || len(m.says.Rejected) > 0 {
		b.log.Warn("event partly rejected: fix the cause, then replay it", "source", m.Source, "event_id",
			m.EventID.String(), "reservation_id", stay.Text(m.ReservationID), "listing_id", stay.Text(m.ListingID),
			"status", status, "reason", reason)
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

func (b *batch) foldChange(m *mapped, c change) foldResult {
	switch {
	case c.Reservation != nil:
		v := b.foldBooking(m, c)
		if v == changesNothing {
			b.strangeStatus(m, c)
		}
		b.addTimeline(m, c, v)
		return v
	case c.Listing != nil:
		return b.foldListing(m, c)
	case c.Merge != nil:
		return b.foldMerge(m, c)
	}
	return b.foldGuest(m, c)
}

// settle returns the status of an event from the results of its changes. It is applied if any of them is.
func (m *mapped) settle(done []foldResult) (status, reason string) {
	lost := pms.Reasons(m.says.RejectedErrors())
	switch {
	case len(m.says.Invalid) > 0:
		return store.EventRejected, pms.Reasons(m.says.Invalid)
	case m.says.Ignored && m.says.Why != "":
		return store.EventIgnored, m.says.Why
	case m.says.Ignored:
		return store.EventIgnored, "staykey doesn't use this type"
	case slices.Contains(done, applied) && lost != "":
		return store.EventApplied, "applied, except for " + lost
	case slices.Contains(done, applied), m.AppliedBefore && lost == "":
		return store.EventApplied, ""
	case lost != "":
		return store.EventRejected, lost
	case slices.Contains(done, superseded):
		return store.EventSuperseded, "a later event of this " + m.kind() + " had been applied"
	case slices.Contains(done, repeated):
		return store.EventIgnored,
			"the same body had been applied before the reservation was cancelled, and it has no time of its own: it counts as a repetition"
	}

	for _, c := range m.changes {
		if r := c.Reservation; r != nil {
			return store.EventIgnored, fmt.Sprintf("the status %q (%s) neither creates nor removes a key",
				r.PMSStatus, r.StatusClass)
		}
	}
	return store.EventIgnored, "no current reservation has this guest"
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
func (b *batch) addTimeline(m *mapped, c change, v foldResult) {
	ref := store.Ref{Source: m.Source, ReservationID: c.Reservation.ReservationID}
	if b.reservations[ref].VersionSeq == 0 {
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
	b.entry(ref, m, foldResultWords[v], detail)
}

// entry adds a line about an event to a reservation's timeline.
func (b *batch) entry(ref store.Ref, m *mapped, what string, detail map[string]any) {
	kind := m.Type
	if kind == "" {
		kind = "an event"
	}
	if detail == nil {
		detail = map[string]any{"status": store.EventApplied}
	}
	detail["event_id"], detail["type"] = m.EventID.String(), m.Type
	b.entries = append(b.entries, store.Entry{
		Ref: ref, At: b.now, Kind: store.TimelineEvent,
		Summary: kind + " " + what, Detail: detail,
	})
}

// foldBooking applies a change of a reservation. A change of a whole booking counts in the order of the booking, and
// revokes the booking's other reservations.
func (b *batch) foldBooking(m *mapped, c change) foldResult {
	r := c.Reservation
	if r.Status == "" {
		return changesNothing
	}
	if r.BookingID == "" || !r.Rest {
		return b.foldReservation(m, c)
	}

	booking := store.Ref{Source: m.Source, ReservationID: r.BookingID}
	siblings := b.bookings[booking]
	if b.anyIsNewer(siblings, c) {
		return superseded
	}

	own := store.Ref{Source: m.Source, ReservationID: r.ReservationID}
	// A cancel of a whole booking needs no reservation with the booking's own id, if all of its rooms have others.
	elsewhere := r.Status == pms.Cancelled && len(siblings) > 0 && !slices.Contains(siblings, own)
	v := applied
	if !elsewhere {
		v = b.foldReservation(m, c)
	}
	if v == unsure {
		return v
	}

	for _, ref := range siblings {
		if ref != own && !m.named(ref) && (elsewhere || b.reservations[ref].Status != pms.Cancelled) {
			b.cancelSibling(m, c, ref)
		}
	}
	return v
}

// anyIsNewer reports whether one of some reservations has already had a later change.
func (b *batch) anyIsNewer(refs []store.Ref, c change) bool {
	for _, ref := range refs {
		if s := b.reservations[ref]; s.VersionSeq > 0 && c.isOlder(s) {
			return true
		}
	}
	return false
}

// cancelSibling cancels a reservation, if it is known, that its booking no longer includes.
func (b *batch) cancelSibling(m *mapped, c change, ref store.Ref) {
	s := b.reservations[ref]
	if s.VersionSeq == 0 {
		return
	}
	gone := pms.Reservation{
		ReservationID: ref.ReservationID, BookingID: c.Reservation.BookingID,
		Status: pms.Cancelled, Partial: true,
	}
	live := s.Status != pms.Cancelled
	ends := change{version: c.version, foreign: c.foreign, Change: pms.Change{Reservation: &gone}}
	if b.foldReservation(m, ends) == applied && live {
		b.entry(ref, m, "applied: the booking no longer includes it", nil)
	}
}

// named reports whether an event says something about a reservation itself, even if that couldn't be read.
func (m *mapped) named(ref store.Ref) bool {
	return slices.ContainsFunc(m.changes,
		func(c change) bool { return c.Reservation != nil && c.Reservation.ReservationID == ref.ReservationID }) ||
		slices.ContainsFunc(m.says.Rejected,
			func(lost pms.Rejection) bool { return lost.ReservationID == ref.ReservationID })
}

func (b *batch) foldReservation(m *mapped, c change) foldResult {
	says := *c.Reservation
	ref := store.Ref{Source: m.Source, ReservationID: says.ReservationID}
	r := b.reservations[ref]
	switch {
	case r.VersionSeq > 0 && c.isOlder(r):
		return superseded
	case r.Status == pms.Cancelled && says.Status == pms.Confirmed && hasBody(r.Bodies, c.hashes):
		return repeated
	}

	if b.mayUndo(m, c, r) {
		return unsure
	}

	b.changes(ref, r)
	if r.VersionSeq == 0 {
		r.Source, r.ReservationID, r.CreatedAt = ref.Source, ref.ReservationID, b.now
	}
	r.Status, r.VersionAt, r.VersionSeq, r.UpdatedAt = says.Status, c.at, c.seq, b.now
	r.VersionReceipt = nil
	if c.byReceipt {
		r.VersionReceipt = &c.at
	}

	r.Notes = notesOf(c.Notes, m, b.now)
	if says.Status == pms.Confirmed {
		r.Bodies = withBody(r.Bodies, c.hashes)
	}

	r.Gates = store.MergeGateReports(r.Gates, says.Gates, m.ReceivedAt)
	b.applyReservation(&r, says)
	b.checkedIn(&r, c)
	b.ofBooking(&r, says)
	b.fromGuest(&r, c)
	b.mayMoveBack(m, c, b.reservations[ref], r)
	b.reservations[ref] = r

	return applied
}

// documentLag is how old a PMS's documents may be compared with its webhooks: they come from caches and replicas of its
// database.
const documentLag = 30 * time.Second

// fetchAgain refetches the documents of an event, at a time when they can be trusted.
func (m *mapped) fetchAgain(at time.Time, why string) {
	if at.After(m.again) {
		m.again, m.againWhy = at, why
	}
}

// shortLag is how old documents are at most, as a rule.
const shortLag = 5 * time.Second

// recheck refetches documents that the format finds to be older than the webhook: soon after it, and once more
// when no document can be that old.
func (m *mapped) recheck() {
	if m.says.Recheck == "" || m.asked.IsZero() {
		return
	}
	for _, lag := range []time.Duration{shortLag, documentLag} {
		if at := m.ReceivedAt.Add(lag); m.asked.Before(at) {
			m.fetchAgain(at, m.says.Recheck)
			return
		}
	}
}

// mayUndo reports whether a document would bring a cancelled stay back, or add a room to a cancelled booking, but was
// requested so soon after the cancel that it may be older. If documents have a time of the PMS, and the cancel has one
// too, the order of events decides; others are fetched again a little later.
func (b *batch) mayUndo(m *mapped, c change, r store.Reservation) bool {
	sure := !c.Undated && !(versionOf(r).byReceipt && c.before(versionOf(r)))
	if m.asked.IsZero() || sure || c.Reservation.Status != pms.Confirmed {
		return false
	}
	cancelled := b.cancelledAt(m, c, r)
	if cancelled.IsZero() || !m.asked.Before(cancelled.Add(documentLag)) {
		return false
	}
	m.fetchAgain(cancelled.Add(documentLag), "the PMS's documents may be older than a cancel")
	return true
}

// mayMoveBack refetches a document that moved a stay so soon after another change that it may be older than
// that. Until then it counts: most often it is right, and a guest may be waiting.
func (b *batch) mayMoveBack(m *mapped, c change, before, after store.Reservation) {
	if m.asked.IsZero() || !c.Undated || before.VersionSeq == 0 || before.VersionSeq == c.seq ||
		after.Status != pms.Confirmed || !m.asked.Before(before.UpdatedAt.Add(documentLag)) {
		return
	}
	if stay.Text(before.ListingID) != stay.Text(after.ListingID) ||
		stay.Text(before.CheckInText) != stay.Text(after.CheckInText) ||
		stay.Text(before.CheckOutText) != stay.Text(after.CheckOutText) ||
		!bytes.Equal(before.Segments, after.Segments) {
		m.fetchAgain(before.UpdatedAt.Add(documentLag), "the PMS's documents may be older than the change before")
	}
}

// cancelledAt returns when a cancelled stay was last changed; for a new stay of a booking whose other stays are all
// cancelled, when the last of those was. It is zero for any other stay.
func (b *batch) cancelledAt(m *mapped, c change, r store.Reservation) (at time.Time) {
	if r.VersionSeq > 0 {
		if r.Status == pms.Cancelled {
			at = r.UpdatedAt
		}
		return at
	}
	for _, ref := range b.bookings[store.Ref{Source: m.Source, ReservationID: c.Reservation.BookingID}] {
		s := b.reservations[ref]
		if s.VersionSeq > 0 && s.Status != pms.Cancelled {
			return time.Time{}
		}
		if s.VersionSeq > 0 && s.UpdatedAt.After(at) {
			at = s.UpdatedAt
		}
	}
	return at
}

// applyReservation applies what a change says about its reservation to the row. In a complete reservation, an
// unspecified field means none.
func (b *batch) applyReservation(r *store.Reservation, says pms.Reservation) {
	whole := says.Whole()
	set := func(field **string, value *string) {
		if whole || value != nil {
			*field = value
		}
	}
	set(&r.ListingID, b.present(r.Source, says.ListingID))
	if says.NoRoom {
		r.ListingID = nil
	}
	set(&r.GuestEmail, says.GuestEmail)
	set(&r.GuestName, says.GuestName)
	set(&r.GuestPhone, says.GuestPhone)
	set(&r.GuestLanguage, says.GuestLanguage)
	set(&r.CheckInText, momentText(says.CheckIn))
	set(&r.CheckOutText, momentText(says.CheckOut))
	set(&r.GuestID, says.GuestID)
	switch {
	case len(says.Segments) > 0:
		r.Segments = encodeSegments(says.Segments)
	case whole, says.ListingID != nil, says.NoRoom:
		r.Segments = nil
	}
}

// ofBooking records which booking and room a reservation belongs to.
func (b *batch) ofBooking(r *store.Reservation, says pms.Reservation) {
	if says.Unit != "" && says.Companion == "" {
		r.Unit = &says.Unit
	}
	if says.BookingID == "" {
		return
	}
	booking := store.Ref{Source: r.Source, ReservationID: says.BookingID}
	if says.BookingID != r.ReservationID && r.BookingID == nil {
		r.BookingID = &says.BookingID
	}
	if !slices.Contains(b.bookings[booking], r.Ref()) {
		b.bookings[booking] = append(b.bookings[booking], r.Ref())
	}
}

// changes records that a reservation changes, and its row before; zeros for a new one.
func (b *batch) changes(ref store.Ref, r store.Reservation) {
	if _, seen := b.before[ref]; !seen {
		b.before[ref] = r
	}
}

// foldGuest updates the reservations of a guest that a PMS reports separately, and remembers the guest for later
// ones. It counts in the order of the guest; if a reservation has the field itself, the later value wins.
func (b *batch) foldGuest(m *mapped, c change) foldResult {
	says := c.Guest
	guest := store.Ref{Source: m.Source, ReservationID: says.GuestID}
	g := b.guests[guest]
	if g.VersionSeq > 0 && c.before(version{at: g.VersionAt, seq: g.VersionSeq}) {
		return superseded
	}

	g.Source, g.GuestID, g.VersionAt, g.VersionSeq, g.UpdatedAt = m.Source, says.GuestID, c.at, c.seq, b.now
	keep(&g.GuestEmail, says.Email)
	keep(&g.GuestName, says.Name)
	keep(&g.GuestPhone, says.Phone)
	b.guests[guest], b.guestsChanged[guest] = g, true

	v := changesNothing
	for _, ref := range b.reservationsOf(guest) {
		r := b.reservations[ref]
		take := keep
		if c.before(versionOf(r)) { // the reservation's own fields are later; the guest's fill in the rest
			take = keepMissing
			if (says.Email == nil || r.GuestEmail != nil) && (says.Name == nil || r.GuestName != nil) &&
				(says.Phone == nil || r.GuestPhone != nil) {
				if v == changesNothing {
					v = superseded
				}
				continue
			}
		}

		b.changes(ref, r)
		take(&r.GuestEmail, says.Email)
		take(&r.GuestName, says.Name)
		take(&r.GuestPhone, says.Phone)
		r.UpdatedAt = b.now
		b.reservations[ref] = r
		b.entry(ref, m, "applied", nil)
		v = applied
	}
	return v
}

func keep(field **string, value *string) {
	if value != nil {
		*field = value
	}
}

func keepMissing(field **string, value *string) {
	if *field == nil {
		*field = value
	}
}

// reservationsOf are the reservations of a guest, including those of this batch.
func (b *batch) reservationsOf(guest store.Ref) []store.Ref {
	list := slices.Clone(b.ofGuest[guest])
	for ref := range b.before {
		r := b.reservations[ref]
		if r.Source == guest.Source && stay.Text(r.GuestID) == guest.ReservationID && !slices.Contains(list, ref) {
			list = append(list, ref)
		}
	}
	list = slices.DeleteFunc(list,
		func(ref store.Ref) bool { return stay.Text(b.reservations[ref].GuestID) != guest.ReservationID })
	slices.SortFunc(list, store.Ref.Compare)
	return list
}

// fromGuest fills in a reservation from its guest's own events, where the reservation has no value of its own, or an
// older one.
func (b *batch) fromGuest(r *store.Reservation, c change) {
	if r.GuestID == nil || c.Reservation.Status != pms.Confirmed {
		return
	}
	g, known := b.guests[store.Ref{Source: r.Source, ReservationID: *r.GuestID}]
	if !known || g.VersionSeq == 0 {
		return
	}
	later := c.before(version{at: g.VersionAt, seq: g.VersionSeq})
	for _, field := range []struct {
		of   **string
		says *string
	}{{&r.GuestEmail, g.GuestEmail}, {&r.GuestName, g.GuestName}, {&r.GuestPhone, g.GuestPhone}} {
		if field.says != nil && (later || *field.of == nil) {
			*field.of = field.says
		}
	}
}

// older reports whether a listing's version is later than the given one.
func older(v version, at *time.Time, seq *int64) bool {
	return at != nil && v.before(version{at: *at, seq: *seq})
}
