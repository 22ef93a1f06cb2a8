package intake

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/store"
)

const (
	// mapWithin is how long the formats' programs may take over one batch, whose events nobody else can have meanwhile.
	mapWithin = time.Second
	// mapTries is how often a mapping that takes too long is tried, each time with more patience, before its event is rejected.
	mapTries = 4
	// morePatience is how many times as long as before a mapping may take the next time.
	morePatience = 4
)

// mapped is an event with what it says. Where it stands in the order of its reservation is decided here and nowhere else.
type mapped struct {
	store.Event // Status, Reason, AppliedAt and Detail are what happens to it

	says     pms.Event
	changes  []change
	awaiting bool      // its documents have to be fetched: it is not settled
	asked    time.Time // when its documents were asked for, the last of them; zero where it has none
	again    time.Time // its documents are too old to be believed, and asked for again then; zero where they are not
	notes    store.EventNotes
}

// change is one thing that an event says.
type change struct {
	pms.Change
	place
	hash []byte // of the event's body, where the time of receipt counts for want of a usable one of the PMS
}

// place is where something stands in the order of its reservation, listing or guest: events take effect in the order of (at, seq).
type place struct {
	at  time.Time
	seq int64
}

func (p place) before(other place) bool {
	return p.at.Before(other.at) || (p.at.Equal(other.at) && p.seq < other.seq)
}

// mapEvents finds out what events say. Those that there is no time for, or that need more, go back into the queue.
func (b *batch) mapEvents(ctx context.Context, events []store.Event) {
	began := time.Now()
	for i, e := range events {
		if i > 0 && time.Since(began) > mapWithin {
			for _, left := range events[i:] {
				b.requeue = append(b.requeue, store.Requeue{Event: left, Tries: left.Tries})
			}
			return
		}
		m, err := mapEvent(ctx, b.source(e.Source), e)
		if errors.Is(err, pms.ErrTooLong) && e.Tries+1 < mapTries {
			until := b.now.Add(time.Second << e.Tries)
			b.log.Warn("mapping an event timed out; retrying with more time", "source", e.Source, "event_id", e.EventID.String(), "tries", e.Tries+1)
			b.requeue = append(b.requeue, store.Requeue{Event: e, NotBefore: &until, Tries: e.Tries + 1})
			continue
		}
		if err != nil {
			m.says = pms.Event{Type: m.says.Type, Invalid: []pms.FieldError{{Field: "body", Message: err.Error()}}}
			m.changes = nil
		}
		b.add(m)
	}
}

// add takes a mapped event into the batch. Its body is not needed any more: a batch holds many.
func (b *batch) add(m *mapped) {
	if len(m.says.Invalid) > 0 {
		m.says.Fetches, m.says.Rejected, m.changes = nil, nil, nil
	}
	m.awaiting = len(m.says.Fetches) > 0
	if m.Request != nil {
		m.describe()
	}
	m.Body = nil
	if m.Documents != nil {
		m.Documents = []byte{}
	}
	b.events = append(b.events, m)
}

// MapEvent finds out what one event says, for people. The OccurredAt of each change is its place in the order.
func MapEvent(ctx context.Context, source pms.Source, e store.Event) (pms.Event, error) {
	m, err := mapEvent(ctx, source, e)
	m.says.Changes = nil
	for _, c := range m.changes {
		c.OccurredAt = c.at
		m.says.Changes = append(m.says.Changes, c.Change)
	}
	return m.says, err
}

// mapEvent finds out what one event says: by its source's format, or by ours where that is how it is worded.
func mapEvent(ctx context.Context, source pms.Source, e store.Event) (*mapped, error) {
	m := &mapped{Event: e}
	foreign, err := MappingOf(e)
	if err != nil {
		return m, err
	}
	if e.Request == nil || foreign.Request.Format == pms.CanonicalFormat {
		m.says, err = pms.ParseStaykeyAt(e.Body, e.ReceivedAt)
		m.order(func(pms.Change) time.Time { return m.says.OccurredAt }, e.ReceivedAt.Add(clockLead))
		return m, err
	}
	if source.Format == nil {
		return m, fmt.Errorf("the configuration has no format for the source %q any more: name it again, then replay the event", e.Source)
	}
	foreign.Patience = patienceOf(e.Tries)
	m.says, err = source.Map(ctx, foreign)
	// A PMS's clock, or one without a zone, must not put an event after what comes later.
	m.order(func(c pms.Change) time.Time { return c.OccurredAt }, e.ReceivedAt)
	return m, err
}

func patienceOf(tries int) int {
	patience := 1
	for range min(tries, mapTries) {
		patience *= morePatience
	}
	return patience
}

// order gives each change its place: the sender's time, but never later than the latest; where there is none, the latest.
func (m *mapped) order(said func(pms.Change) time.Time, latest time.Time) {
	var hash []byte
	for _, c := range m.says.Changes {
		placed := change{Change: c, place: place{said(c), m.Seq}}
		untimed := placed.at.IsZero()
		if untimed {
			placed.at = m.ReceivedAt
		}
		if placed.at.After(latest) { // as a local time without a zone often is
			placed.at, untimed = latest, latest.Equal(m.ReceivedAt)
		}
		if untimed {
			if hash == nil {
				hash = m.hash()
			}
			placed.hash = hash
		}
		m.changes = append(m.changes, placed)
	}
}

// hash tells one body from another, with the query that it came with; nil where documents were fetched: what the PMS says by now
// is no repetition, however its webhooks look.
func (m *mapped) hash() []byte {
	if m.Documents != nil {
		return nil
	}
	text := m.Body
	if foreign, err := MappingOf(m.Event); err == nil && len(foreign.Request.Query) > 0 {
		query, _ := json.Marshal(foreign.Request.Query) // texts only, in the order of their names
		text = slices.Concat(m.Body, []byte{0}, query)
	}
	sum := sha256.Sum256(text)
	return sum[:bodyHash]
}

// MappingOf is what a source's format is to map for an event.
func MappingOf(e store.Event) (pms.Mapping, error) {
	m := pms.Mapping{Body: e.Body, ReceivedAt: e.ReceivedAt}
	if e.Request != nil {
		if err := json.Unmarshal(e.Request, &m.Request); err != nil {
			return m, fmt.Errorf("read what surrounds the body: %w", err)
		}
	}
	if e.Documents != nil {
		documents, err := pms.DecodeJSON(e.Documents)
		if err != nil {
			return m, fmt.Errorf("read what was fetched: %w", err)
		}
		m.Fetched, _ = documents.(map[string]any)
	}
	return m, nil
}

// describe gives an event what lists show, now that it is known.
func (m *mapped) describe() {
	if m.says.Type != "" {
		m.Type = store.Storable(m.says.Type)
	}
	if len(m.changes) > 0 {
		m.OccurredAt = &m.changes[0].at
	}
	for _, c := range m.changes {
		m.names(c)
		if m.ReservationID != nil {
			break
		}
	}
	for _, lost := range m.says.Rejected {
		if m.ReservationID == nil && lost.ReservationID != "" {
			m.ReservationID = &lost.ReservationID
		}
		if m.ListingID == nil && lost.ListingID != "" {
			m.ListingID = &lost.ListingID
		}
	}
}

// names notes what a change is about, where that is not known yet.
func (m *mapped) names(c change) {
	switch {
	case c.Reservation != nil:
		m.ReservationID = &c.Reservation.ReservationID
		if c.Reservation.ListingID != nil {
			m.ListingID = c.Reservation.ListingID
		}
	case m.ListingID != nil:
	case c.Listing != nil:
		m.ListingID = &c.Listing.ListingID
	case c.Merge != nil:
		m.ListingID = &c.Merge.From
	}
}
