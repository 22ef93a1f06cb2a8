package intake

import (
	"encoding/json"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// namedPolicy is a source's policy with its fingerprint.
type namedPolicy struct {
	pms.Policy
	fingerprint string
}

func nameOf(p pms.Policy) namedPolicy { return namedPolicy{p, p.Fingerprint()} }

// namedPolicies are the policies of the sources that a batch is about, each with its fingerprint.
type namedPolicies struct {
	source func(string) pms.Source
	known  map[string]namedPolicy
}

func (n namedPolicies) of(source string) namedPolicy {
	p, known := n.known[source]
	if !known {
		p = nameOf(n.source(source).Policy)
		n.known[source] = p
	}
	return p
}

// completeStay works out check-in and check-out, and when the stay moves to its next room, and records in the row
// what they were completed with.
func completeStay(r *store.Reservation, l store.Listing, policy namedPolicy, now time.Time) {
	r.Policy = &policy.fingerprint
	c := policy.Complete(stay.Text(r.ListingID), stay.Text(l.TimeZone), stay.Text(l.CheckInTime),
		stay.Text(l.CheckOutTime))
	r.ListingGeneration = l.Generation
	r.CheckIn = completeMoment(r.CheckInText, c.Zone, c.CheckInTime)
	r.CheckOut = completeMoment(r.CheckOutText, c.Zone, c.CheckOutTime)
	// A stay that its PMS reports as checked in has begun, whatever was planned; and never later than that.
	if begun := r.CheckedInAt; begun != nil && r.CheckIn != nil && begun.Before(*r.CheckIn) {
		r.CheckIn = begun
	}
	if overdue := r.SegmentDue != nil && !r.SegmentDue.After(now) && r.Segments != nil &&
		r.Status == pms.Confirmed; !overdue {
		r.SegmentDue = nextRoomAt(*r, c, now)
	}
}

func completeMoment(specified *string, zone *time.Location, clock string) *time.Time {
	if specified == nil {
		return nil
	}
	m, err := pms.ParseStoredMoment(*specified)
	if err != nil {
		return nil
	}
	t, err := m.Resolve(zone, clock)
	if err != nil {
		return nil // no time zone yet: the reservation waits for it
	}
	return &t
}

// segment is a part of a stay in one room, as stored.
type segment struct {
	ListingID *string `json:"listing_id,omitempty"`
	From      *string `json:"from,omitempty"`
}

func encodeSegments(list []pms.Segment) []byte {
	kept := make([]segment, len(list))
	for i, s := range list {
		kept[i] = segment{s.ListingID, momentText(s.From)}
	}
	encoded, _ := json.Marshal(kept) // only texts: it can't fail
	return encoded
}

func segmentsOf(encoded []byte) []segment {
	var list []segment
	_ = json.Unmarshal(encoded, &list) // written here: anything else counts as no segments
	return list
}

// roomOf is the present room of a stay of several segments: the last one that has begun, or the first. moves is false
// for a stay with one room. In a segment whose room is not assigned yet, the guest keeps the previous room.
func roomOf(r store.Reservation, l store.Listing, policy namedPolicy, now time.Time) (room *string, moves bool) {
	list := segmentsOf(r.Segments)
	if len(list) == 0 {
		return nil, false
	}
	c := policy.Complete(stay.Text(r.ListingID), stay.Text(l.TimeZone), stay.Text(l.CheckInTime),
		stay.Text(l.CheckOutTime))
	room = list[0].ListingID
	for _, s := range list[1:] {
		if begins := completeMoment(s.From, c.Zone, c.CheckInTime); begins != nil && !begins.After(now) &&
			s.ListingID != nil {
			room = s.ListingID
		}
	}
	return room, true
}

// nextRoomAt is when a stay moves to its next room; nil if it doesn't.
func nextRoomAt(r store.Reservation, c pms.Completion, now time.Time) *time.Time {
	if r.Status != pms.Confirmed || r.Segments == nil || (r.CheckOut != nil && !r.CheckOut.After(now)) {
		return nil
	}
	var next *time.Time
	for _, s := range segmentsOf(r.Segments)[1:] {
		begins := completeMoment(s.From, c.Zone, c.CheckInTime)
		if begins != nil && begins.After(now) && (next == nil || begins.Before(*next)) {
			next = begins
		}
	}
	return next
}

func momentText(m *pms.Moment) *string {
	if m == nil {
		return nil
	}
	s := m.String()
	return &s
}

// keyRequest requests the key that a reservation asks for now.
func keyRequest(r store.Reservation, now time.Time, changed, revive bool) store.KeyRequest {
	w := store.KeyRequest{
		Ref: r.Ref(), CheckIn: r.CheckIn, Cancelled: r.Status == pms.Cancelled, RankAt: r.CheckIn,
		Changed: changed, Revive: revive, CheckOut: r.CheckOut,
	}
	switch over := r.CheckOut != nil && !r.CheckOut.After(now); {
	case r.Status == pms.Cancelled:
		w.Interim, w.RankAt = stay.KeyRevoking, cleanupRank(r.CheckIn, now)
	case !over:
		w.Interim = stay.KeyProvisioning
	}
	return w
}

// cleanupRank is the rank of a cancelled stay. Taking back its key waits for the guests who arrive within a day, whose
// check-ins are their ranks, however long ago its own check-in was; and no longer, because the key still opens doors.
func cleanupRank(checkIn *time.Time, now time.Time) *time.Time {
	after := now.Add(24 * time.Hour)
	if checkIn != nil && checkIn.After(after) {
		return checkIn
	}
	return &after
}

// stayChanged reports whether a reservation asks for another key than before. A guest's name, phone number or another
// spelling of the same address doesn't affect the key.
func stayChanged(a, b store.Reservation) bool {
	sameTime := func(a, b *time.Time) bool { return (a == nil) == (b == nil) && (a == nil || a.Equal(*b)) }
	return a.VersionSeq == 0 || a.Status != b.Status || (a.ListingID == nil) != (b.ListingID == nil) ||
		stay.Text(a.ListingID) != stay.Text(b.ListingID) ||
		pms.GuestAddress(stay.Text(a.GuestEmail)) != pms.GuestAddress(stay.Text(b.GuestEmail)) ||
		// a key may wait for an address, even a relay's
		(stay.Text(a.GuestEmail) == "") != (stay.Text(b.GuestEmail) == "") ||
		!sameTime(a.CheckIn, b.CheckIn) || !sameTime(a.CheckOut, b.CheckOut)
}
