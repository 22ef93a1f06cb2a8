package intake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/store"
)

const (
	// mapWithin is how long the formats' programs may take over one batch, whose events nobody else can have in the
	// meantime.
	mapWithin = time.Second
	// mapTries is how often a slow mapping is tried, each time with a longer limit, before its event is rejected.
	mapTries = 4
	// morePatience is by how much the time limit of a mapping grows with each try.
	morePatience = 4
)

// mapped is an event with its changes. Their order among all events of a reservation is decided here and nowhere
// else.
type mapped struct {
	store.Event // Status, Reason, AppliedAt and Detail are its result

	says     pms.Event
	changes  []change
	imported bool      // it came with an import, not from the PMS
	awaiting bool      // its documents have to be fetched: it is not settled
	asked    time.Time // when its documents were last requested; zero if it has none
	again    time.Time // its documents may be stale, and will be fetched again at this time; zero if not
	againWhy string
	notes    store.EventNotes

	// rechecked: it is settled, and applied once more when its documents have been fetched again
	rechecked bool
}

// change is one thing that an event changes.
type change struct {
	pms.Change
	version
	hashes   []byte // of the event's body, if the time of receipt counts because the PMS sends no usable one
	foreign  bool   // not of the canonical format
	document bool   // read from documents of the PMS
}

// version is the position of something in the order of its reservation, listing or guest: events take effect in the
// order of (at, seq), as far as their times can be compared.
type version struct {
	at  time.Time
	seq int64
	// byReceipt: there is no time of the sender, and at is the time of receipt.
	byReceipt bool
}

func (v version) before(other version) bool {
	return v.at.Before(other.at) || (v.at.Equal(other.at) && v.seq < other.seq)
}

func versionOf(r store.Reservation) version { return version{r.VersionAt, r.VersionSeq, r.ByReceipt()} }

// twoClocks is how far a PMS's time and a time of receipt may be apart without saying which was first.
const twoClocks = 30 * time.Second

// isOlder reports whether a change is older than what a reservation says. A PMS's time and a time of receipt come from
// two clocks. The order of receipt decides between them, unless the PMS's time is so old that its webhook must have
// been late: a late webhook must not undo what came before it. A cancel is never late, and neither is a document,
// which says what was so when it was asked for.
func (c change) isOlder(r store.Reservation) bool {
	v := versionOf(r)
	if !c.foreign || c.byReceipt == v.byReceipt {
		return c.before(v)
	}
	if c.byReceipt {
		late := r.Status != pms.Cancelled && v.at.Before(c.at.Add(-twoClocks))
		return c.seq < v.seq && !late
	}
	late := c.Reservation.Status != pms.Cancelled && !c.document && c.at.Before(v.at.Add(-twoClocks))
	return c.seq < v.seq || late
}

// mapping works out what claimed events say. It needs each event and its source's format, no database, and no other
// event.
type mapping struct {
	now    time.Time
	source func(string) pms.Source
	log    *slog.Logger
}

// mapEvents maps events, and returns those that need more time as later: a batch takes them from the queue again.
func (p mapping) mapEvents(ctx context.Context, events []store.Event) (done []*mapped, later []store.Requeue) {
	began := time.Now()
	for i, e := range events {
		if i > 0 && time.Since(began) > mapWithin {
			for _, left := range events[i:] {
				later = append(later, store.Requeue{Event: left, Tries: left.Tries})
			}
			return done, later
		}

		m, err := mapEvent(ctx, p.source(e.Source), e)
		if errors.Is(err, pms.ErrTooLong) && e.Tries+1 < mapTries {
			until := p.now.Add(time.Second << e.Tries)
			p.log.Warn("mapping an event timed out; retrying with more time", "source", e.Source, "event_id",
				e.EventID.String(), "tries", e.Tries+1)
			later = append(later, store.Requeue{Event: e, NotBefore: &until, Tries: e.Tries + 1})
			continue
		}
		if err != nil {
			m.says = pms.Event{Type: m.says.Type, Invalid: []pms.FieldError{{Field: "body", Message: err.Error()}}}
			m.changes = nil
		}
		m.prepare()
		done = append(done, m)
	}
	return done, later
}

// prepare readies a mapped event for a batch. Its body is no longer needed, and dropped: a batch holds many.
func (m *mapped) prepare() {
	m.tie()
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
}

// tie ties what could not be read of documents to the reservation that their webhook named, if it named one.
func (m *mapped) tie() {
	if m.Documents == nil || m.ReservationID == nil {
		return
	}
	if len(m.says.Invalid) > 0 {
		m.says.Rejected, m.says.Invalid = []pms.Rejection{{Errors: m.says.Invalid}}, nil
		m.changes = nil
	}
	for i := range m.says.Rejected {
		if lost := &m.says.Rejected[i]; lost.ReservationID == "" {
			lost.ReservationID = *m.ReservationID
		}
	}
}

// MapEvent maps one event, for people. The OccurredAt of each change is its time in the order.
func MapEvent(ctx context.Context, source pms.Source, e store.Event) (pms.Event, error) {
	m, err := mapEvent(ctx, source, e)
	m.says.Changes = nil
	for _, c := range m.changes {
		c.OccurredAt = c.at
		m.says.Changes = append(m.says.Changes, c.Change)
	}
	return m.says, err
}

// mapEvent maps one event: with its source's format, or with the canonical one if that is how it is written.
func mapEvent(ctx context.Context, source pms.Source, e store.Event) (*mapped, error) {
	m := &mapped{Event: e}
	foreign, err := MappingOf(e)
	if err != nil {
		return m, err
	}
	m.imported = foreign.Request.Format == pms.CanonicalFormat // only imports specify a format
	if e.Request == nil || m.imported {
		m.says, err = pms.ParseStaykeyAt(e.Body, e.ReceivedAt)
		m.order(func(pms.Change) time.Time { return m.says.OccurredAt }, e.ReceivedAt.Add(clockLead))
		return m, err
	}
	if source.Format == nil {
		return m, fmt.Errorf("source %q no longer has a format: add it to the configuration, then replay the event",
			e.Source)
	}
	foreign.Patience = patienceOf(e.Tries)
	m.says, err = source.Map(ctx, foreign)
	// A PMS's clock, or a time without a zone, must not order an event after later ones.
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

// order orders each change by the sender's time, but never later than latest; by latest if there is none.
func (m *mapped) order(timeOf func(pms.Change) time.Time, latest time.Time) {
	var known *repeats
	foreign := latest.Equal(m.ReceivedAt) // a sender of the canonical format may be a little ahead
	if foreign {
		latest = latest.Truncate(time.Millisecond) // as all times of PMSs are
	}
	for _, c := range m.says.Changes {
		placed := change{
			Change: c, version: version{at: timeOf(c), seq: m.Seq}, foreign: foreign,
			document: m.Documents != nil,
		}
		untimed := placed.at.IsZero()
		if untimed {
			placed.at, placed.byReceipt = m.ReceivedAt, true
		} else if placed.at.After(latest) { // as a local time without a zone often is
			placed.at, untimed = latest, foreign
		}
		if untimed && c.Reservation != nil {
			if known == nil {
				known = m.repeats()
			}
			placed.hashes = known.of(c.Reservation.BookingID)
		}
		m.changes = append(m.changes, placed)
	}
}

// MappingOf returns the input to a source's format for an event, or an error if its stored request can't be read.
func MappingOf(e store.Event) (pms.Mapping, error) {
	m := pms.Mapping{Body: e.Body, ReceivedAt: e.ReceivedAt}
	if e.Request != nil {
		if err := json.Unmarshal(e.Request, &m.Request); err != nil {
			return m, fmt.Errorf("read the request of the event: %w", err)
		}
	}
	if e.Documents != nil {
		documents, err := pms.DecodeJSON(e.Documents)
		if err != nil {
			return m, fmt.Errorf("read the fetched documents: %w", err)
		}
		m.Fetched, _ = documents.(map[string]any)
	}
	return m, nil
}

// describe fills in what lists show about an event, once it is known.
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

// names records what a change is about, if that is not known yet.
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
