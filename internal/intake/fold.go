package intake

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/store"
)

// verdict is the result of one change.
type verdict int

const (
	superseded     verdict = iota + 1 // older than what had been applied
	repeated                          // a body that had been applied, after a cancel
	changesNothing                    // it makes no key and takes none away
	unsure                            // its document may be older than a cancel: it is fetched again
	applied
)

var verdictWords = map[verdict]string{
	superseded: store.EventSuperseded, repeated: store.EventIgnored, changesNothing: store.EventIgnored, applied: store.EventApplied,
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

// foldEvent applies what one event says, item by item, and settles it unless it waits for documents.
func (b *batch) foldEvent(m *mapped) {
	if m.says.Disconnected != "" {
		b.log.Warn("PMS disconnected: it will send no more events", "source", m.Source, "reason", m.says.Disconnected)
	}
	b.nameRooms(m)
	var done []verdict
	for _, c := range m.changes {
		done = append(done, b.foldChange(m, c))
		m.note(c)
	}
	for _, lost := range m.says.Rejected {
		b.reject(m, lost)
	}
	status, reason := m.settle(done)
	m.awaiting = m.awaiting || slices.Contains(done, unsure)
	if m.awaiting {
		m.AppliedBefore = slices.Contains(done, applied)
		return
	}
	m.Status = status
	if reason != "" {
		reason = store.Storable(reason)
		m.Reason = &reason
	}
	if status == store.EventApplied {
		m.AppliedAt = &b.now
	}
	if status == store.EventRejected || len(m.says.Rejected) > 0 {
		b.log.Warn("event partly rejected: fix the cause, then replay it", "source", m.Source, "event_id", m.EventID.String(),
			"reservation_id", text(m.ReservationID), "listing_id", text(m.ListingID), "status", status, "reason", reason)
	}
	if len(m.notes.Notes)+len(m.notes.Rejected) > 0 {
		m.Detail, _ = json.Marshal(m.notes) // texts only: it can't fail
	}
}

func (b *batch) foldChange(m *mapped, c change) verdict {
	switch {
	case c.Reservation != nil:
		v := b.foldBooking(m, c)
		if v == changesNothing {
			b.strangeStatus(m, c)
		}
		b.tell(m, c, v)
		return v
	case c.Listing != nil:
		return b.foldListing(m, c)
	case c.Merge != nil:
		return b.foldMerge(m, c)
	}
	return b.foldGuest(m, c)
}

// settle is what happens to an event of whose changes this has become. It is applied if any of them is.
func (m *mapped) settle(done []verdict) (status, reason string) {
	lost := pms.Reasons(m.says.RejectedErrors())
	switch {
	case len(m.says.Invalid) > 0:
		return store.EventRejected, pms.Reasons(m.says.Invalid)
	case m.says.Ignored && m.says.Why != "":
		return store.EventIgnored, m.says.Why
	case m.says.Ignored:
		return store.EventIgnored, "staykey doesn't use this type"
	case slices.Contains(done, applied) && lost != "":
		return store.EventApplied, "applied, but for " + lost
	case slices.Contains(done, applied), m.AppliedBefore && lost == "":
		return store.EventApplied, ""
	case lost != "":
		return store.EventRejected, lost
	case slices.Contains(done, superseded):
		return store.EventSuperseded, "a later event of this " + m.kind() + " had been applied"
	case slices.Contains(done, repeated):
		return store.EventIgnored, "the same body had been applied before the reservation was cancelled, and it has no time of its own: it is taken for a repetition"
	}
	for _, c := range m.changes {
		if r := c.Reservation; r != nil {
			return store.EventIgnored, fmt.Sprintf("the status %q (%s) makes no key and takes none away", r.PMSStatus, r.StatusClass)
		}
	}
	return store.EventIgnored, "it is about a guest of no reservation that lasts"
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

// tell writes an event into a reservation's timeline.
func (b *batch) tell(m *mapped, c change, v verdict) {
	ref := store.Ref{Source: m.Source, ReservationID: c.Reservation.ReservationID}
	if b.reservations[ref].VersionSeq == 0 {
		return // there is none
	}
	at := m.says.OccurredAt
	if at.IsZero() {
		at = c.at
	}
	detail := map[string]any{"status": verdictWords[v], "timestamp": pms.FormatInstant(at)}
	if c.Reservation.PMSStatus != "" {
		detail["pms_status"] = c.Reservation.PMSStatus
	}
	if len(c.Reservation.Gates) > 0 {
		detail["gates"] = c.Reservation.Gates
	}
	if len(c.Notes) > 0 {
		detail["notes"] = pms.NotesOf(c.Notes)
	}
	b.entry(ref, m, verdictWords[v], detail)
}

// entry writes a line about an event into a reservation's timeline.
func (b *batch) entry(ref store.Ref, m *mapped, what string, detail map[string]any) {
	kind := m.Type
	if kind == "" {
		kind = "an event"
	}
	if detail == nil {
		detail = map[string]any{"status": store.EventApplied}
	}
	detail["event_id"], detail["type"] = m.EventID.String(), m.Type
	b.entries = append(b.entries, store.Entry{Ref: ref, At: b.now, Kind: store.TimelineEvent, Summary: kind + " " + what, Detail: detail})
}

// foldBooking applies a change of a reservation. One that is about all of a PMS's booking takes its place in the order of the
// booking, and revokes what the booking had besides.
func (b *batch) foldBooking(m *mapped, c change) verdict {
	r := c.Reservation
	if r.Status == "" {
		return changesNothing
	}
	if r.BookingID == "" || !r.Rest {
		return b.foldReservation(m, c)
	}
	booking := store.Ref{Source: m.Source, ReservationID: r.BookingID}
	siblings := b.bookings[booking]
	for _, ref := range siblings {
		if s := b.reservations[ref]; s.VersionSeq > 0 && c.before(versionOf(s)) {
			return superseded
		}
	}
	own := store.Ref{Source: m.Source, ReservationID: r.ReservationID}
	// A cancel of the whole booking needs no reservation of the booking's own id, where all of its rooms have others.
	elsewhere := r.Status == pms.Cancelled && len(siblings) > 0 && !slices.Contains(siblings, own)
	v := applied
	if !elsewhere {
		v = b.foldReservation(m, c)
	}
	if v == unsure {
		return v
	}
	for _, ref := range siblings {
		s := b.reservations[ref]
		if ref == own || m.named(ref) || s.VersionSeq == 0 || (s.Status == pms.Cancelled && !elsewhere) {
			continue
		}
		gone := pms.Reservation{ReservationID: ref.ReservationID, BookingID: r.BookingID, Status: pms.Cancelled, Partial: true}
		live := s.Status != pms.Cancelled
		if b.foldReservation(m, change{place: c.place, Change: pms.Change{Reservation: &gone}}) == applied && live {
			b.entry(ref, m, "applied: the booking has it no more", nil)
		}
	}
	return v
}

// named reports whether an event says something of a reservation itself, also where it couldn't be read.
func (m *mapped) named(ref store.Ref) bool {
	return slices.ContainsFunc(m.changes, func(c change) bool { return c.Reservation != nil && c.Reservation.ReservationID == ref.ReservationID }) ||
		slices.ContainsFunc(m.says.Rejected, func(lost pms.Rejection) bool { return lost.ReservationID == ref.ReservationID })
}

func versionOf(r store.Reservation) place { return place{r.VersionAt, r.VersionSeq} }

func (b *batch) foldReservation(m *mapped, c change) verdict {
	says := *c.Reservation
	ref := store.Ref{Source: m.Source, ReservationID: says.ReservationID}
	r := b.reservations[ref]
	switch {
	case r.VersionSeq > 0 && c.before(versionOf(r)):
		return superseded
	case r.Status == pms.Cancelled && says.Status == pms.Confirmed && hasBody(r.Bodies, c.hash):
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
	r.Notes = notesOf(c.Notes, m, b.now)
	if says.Status == pms.Confirmed {
		r.Bodies = withBody(r.Bodies, c.hash)
	}
	r.Gates = store.SayGates(r.Gates, says.Gates, m.ReceivedAt)
	b.saidOf(&r, says)
	b.checkedIn(&r, c)
	b.ofBooking(&r, says)
	b.fromGuest(&r, c)
	b.reservations[ref] = r
	return applied
}

// behind is how far a PMS's documents may be behind its webhooks: they come from caches and replicas of its database.
const behind = 30 * time.Second

// mayUndo reports whether a document would bring a cancelled stay back that was asked for so soon after the cancel that it may be older.
// Where documents have a time of the PMS, the order of events decides that; those that have none are asked for again a little later.
func (b *batch) mayUndo(m *mapped, c change, r store.Reservation) bool {
	if m.asked.IsZero() || !c.Undated || r.VersionSeq == 0 || r.Status != pms.Cancelled || c.Reservation.Status != pms.Confirmed {
		return false
	}
	sure := r.UpdatedAt.Add(behind)
	if !m.asked.Before(sure) {
		return false
	}
	if sure.After(m.again) {
		m.again = sure
	}
	return true
}

// saidOf takes what a change says of its reservation into the row. Of a whole one, what is not specified is none.
func (b *batch) saidOf(r *store.Reservation, says pms.Reservation) {
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
	set(&r.CheckInSaid, said(says.CheckIn))
	set(&r.CheckOutSaid, said(says.CheckOut))
	set(&r.GuestID, says.GuestID)
	switch {
	case len(says.Segments) > 0:
		r.Segments = encodeSegments(says.Segments)
	case whole, says.ListingID != nil, says.NoRoom:
		r.Segments = nil
	}
}

// ofBooking notes to which booking and room a reservation belongs.
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

// changes notes that a reservation changes, and how it was; of a new one, only zeros.
func (b *batch) changes(ref store.Ref, r store.Reservation) {
	if _, seen := b.before[ref]; !seen {
		b.before[ref] = r
	}
}

// foldGuest gives the reservations of a guest what a PMS says of them apart, and remembers it for those to come. It has a place in
// the order of the guest; of what a reservation sent itself, the later wins.
func (b *batch) foldGuest(m *mapped, c change) verdict {
	says := c.Guest
	guest := store.Ref{Source: m.Source, ReservationID: says.GuestID}
	g := b.guests[guest]
	if g.VersionSeq > 0 && c.before(place{g.VersionAt, g.VersionSeq}) {
		return superseded
	}
	g.Source, g.GuestID, g.VersionAt, g.VersionSeq, g.UpdatedAt = m.Source, says.GuestID, c.at, c.seq, b.now
	keep(&g.GuestEmail, says.Email)
	keep(&g.GuestName, says.Name)
	keep(&g.GuestPhone, says.Phone)
	b.guests[guest], b.told[guest] = g, true
	v := changesNothing
	for _, ref := range b.reservationsOf(guest) {
		r := b.reservations[ref]
		take := keep
		if c.before(versionOf(r)) { // what the reservation says itself is later; what it doesn't say is the guest's
			take = keepMissing
			if (says.Email == nil || r.GuestEmail != nil) && (says.Name == nil || r.GuestName != nil) && (says.Phone == nil || r.GuestPhone != nil) {
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

// reservationsOf are the reservations of a guest, those of this batch included.
func (b *batch) reservationsOf(guest store.Ref) []store.Ref {
	list := slices.Clone(b.ofGuest[guest])
	for ref := range b.before {
		r := b.reservations[ref]
		if r.Source == guest.Source && text(r.GuestID) == guest.ReservationID && !slices.Contains(list, ref) {
			list = append(list, ref)
		}
	}
	list = slices.DeleteFunc(list, func(ref store.Ref) bool { return text(b.reservations[ref].GuestID) != guest.ReservationID })
	slices.SortFunc(list, store.Ref.Compare)
	return list
}

// fromGuest gives a reservation what its guest's own events have sent, where the reservation says nothing about it, or said it before.
func (b *batch) fromGuest(r *store.Reservation, c change) {
	if r.GuestID == nil || c.Reservation.Status != pms.Confirmed {
		return
	}
	g, known := b.guests[store.Ref{Source: r.Source, ReservationID: *r.GuestID}]
	if !known || g.VersionSeq == 0 {
		return
	}
	later := c.before(place{g.VersionAt, g.VersionSeq})
	for _, field := range []struct {
		of   **string
		says *string
	}{{&r.GuestEmail, g.GuestEmail}, {&r.GuestName, g.GuestName}, {&r.GuestPhone, g.GuestPhone}} {
		if field.says != nil && (later || *field.of == nil) {
			*field.of = field.says
		}
	}
}

// bodyHash is how many bytes of a body's hash are kept, and mostBodies how many hashes.
const (
	bodyHash   = 16
	mostBodies = 16
)

// hasBody reports whether a body has confirmed the reservation before. Of a PMS that gives its events neither an id nor a time, a
// delivery that is repeated late, or on purpose, looks like news: it must not bring a cancelled stay back.
func hasBody(bodies, hash []byte) bool {
	for at := 0; hash != nil && at+bodyHash <= len(bodies); at += bodyHash {
		if bytes.Equal(bodies[at:at+bodyHash], hash) {
			return true
		}
	}
	return false
}

func withBody(bodies, hash []byte) []byte {
	if hash == nil || hasBody(bodies, hash) {
		return bodies
	}
	bodies = slices.Concat(bodies, hash)
	return bodies[max(0, len(bodies)-mostBodies*bodyHash):]
}

// older reports whether a listing's version is later than a place.
func older(p place, at *time.Time, seq *int64) bool {
	return at != nil && p.before(place{*at, *seq})
}
