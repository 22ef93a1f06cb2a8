package intake

import (
	"bytes"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// A PMS's documents may be older than its webhooks: they come from caches and replicas of its database. This file
// decides which documents are fetched again, and when:
//
//	recheck       the format itself finds that a document is older than the webhook
//	mayUndo       it would bring a cancelled stay back, or add a room to a cancelled booking: no effect until then
//	mayMoveBack   it moves a stay soon after another change: it has its effect at once, and once more when it is certain

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
func (f reservationFold) mayUndo(m *mapped, c change, r store.Reservation) bool {
	sure := !c.Undated && !(versionOf(r).byReceipt && c.before(versionOf(r)))
	if m.asked.IsZero() || sure || c.Reservation.Status != pms.Confirmed {
		return false
	}
	cancelled := f.cancelledAt(m, c, r)
	if cancelled.IsZero() || !m.asked.Before(cancelled.Add(documentLag)) {
		return false
	}
	m.fetchAgain(cancelled.Add(documentLag), "the PMS's documents may be older than a cancel")
	return true
}

// mayMoveBack refetches a document that moved a stay so soon after another change that it may be older than
// that. Until then it counts: most often it is right, and a guest may be waiting.
func (f reservationFold) mayMoveBack(m *mapped, c change, before, after store.Reservation) {
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
func (f reservationFold) cancelledAt(m *mapped, c change, r store.Reservation) (at time.Time) {
	if r.VersionSeq > 0 {
		if r.Status == pms.Cancelled {
			at = r.UpdatedAt
		}
		return at
	}
	for _, ref := range f.bookings[stay.Ref{Source: m.Source, ReservationID: c.Reservation.BookingID}] {
		s := f.reservations[ref]
		if s.VersionSeq > 0 && s.Status != pms.Cancelled {
			return time.Time{}
		}
		if s.VersionSeq > 0 && s.UpdatedAt.After(at) {
			at = s.UpdatedAt
		}
	}
	return at
}
