package intake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/attribute"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/tracing"
)

// mapWithin is how long the formats' programs may take over one batch, whose events nobody else can have meanwhile.
const mapWithin = time.Second

// batch is a number of events and the locked rows that they are about.
type batch struct {
	now          time.Time
	source       func(string) pms.Source
	log          *slog.Logger
	events       []store.Event // their results are written into them
	parsed       []pms.Event
	awaiting     map[int]bool // events that wait for documents, by their place in events
	listings     map[store.ListingRef]store.Listing
	reservations map[store.Ref]store.Reservation
	bookings     map[store.Ref][]store.Ref       // the reservations of the bookings that events are about
	guests       map[store.Ref][]store.Ref       // those of the guests, by the guest's id in place of a reservation's
	before       map[store.Ref]store.Reservation // as they were, for those that a change was applied to
	listed       map[store.ListingRef]bool       // listings that a change was applied to
	policies     namedPolicies
	entries      []store.Entry
}

func newBatch(now time.Time, source func(string) pms.Source, log *slog.Logger) *batch {
	return &batch{
		now: now, source: source, policies: namedPolicies{source, map[string]namedPolicy{}}, log: log, awaiting: map[int]bool{}, bookings: map[store.Ref][]store.Ref{}, guests: map[store.Ref][]store.Ref{},
		before: map[store.Ref]store.Reservation{}, listed: map[store.ListingRef]bool{},
	}
}

// mapEvents finds out what events say, and returns those for which there was no time.
func (b *batch) mapEvents(ctx context.Context, events []store.Event) (left []store.Event) {
	began := time.Now()
	for i, e := range events {
		if i > 0 && time.Since(began) > mapWithin {
			return events[i:]
		}
		p, err := MapEvent(ctx, b.source(e.Source), e)
		if err != nil {
			p.Invalid = []pms.FieldError{{Field: "body", Message: err.Error()}}
		}
		if len(p.Invalid) > 0 {
			p.Changes, p.Fetches, p.Rejected = nil, nil, nil
		}
		if e.Request != nil {
			describe(&e, p)
		}
		b.events, b.parsed = append(b.events, e), append(b.parsed, p)
	}
	return nil
}

// MapEvent finds out what one event says: by its source's format, or by ours where that is how it is worded.
func MapEvent(ctx context.Context, source pms.Source, e store.Event) (pms.Event, error) {
	if e.Request == nil {
		return pms.ParseStaykeyAt(e.Body, e.ReceivedAt)
	}
	m, err := MappingOf(e)
	if err != nil {
		return pms.Event{}, err
	}
	if m.Request.Format == pms.CanonicalFormat {
		return pms.ParseStaykeyAt(e.Body, e.ReceivedAt)
	}
	if source.Format == nil {
		return pms.Event{}, fmt.Errorf("the configuration has no format for the source %q any more: name it again, then replay the event", e.Source)
	}
	p, err := source.Map(ctx, m)
	for i := range p.Changes { // a PMS's clock, or one without a zone, must not put an event behind what comes later
		if at := &p.Changes[i].OccurredAt; at.IsZero() || at.After(e.ReceivedAt) {
			*at = e.ReceivedAt
		}
	}
	return p, err
}

// MappingOf is what a source's format is to map for an event.
func MappingOf(e store.Event) (pms.Mapping, error) {
	m := pms.Mapping{Body: e.Body}
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
func describe(e *store.Event, p pms.Event) {
	if p.Type != "" {
		e.Type = p.Type
	}
	for _, c := range slices.Backward(p.Changes) { // the first counts
		e.OccurredAt = &c.OccurredAt
		switch {
		case c.Reservation != nil:
			e.ReservationID, e.ListingID = &c.Reservation.ReservationID, c.Reservation.ListingID
		case c.Listing != nil:
			e.ListingID = &c.Listing.ListingID
		case c.Merge != nil:
			e.ListingID = &c.Merge.From
		}
	}
	for _, lost := range p.Rejected {
		if e.ReservationID == nil && lost.ReservationID != "" {
			e.ReservationID = &lost.ReservationID
		}
		if e.ListingID == nil && lost.ListingID != "" {
			e.ListingID = &lost.ListingID
		}
	}
}

// lock locks what the events are about, in the order that everybody keeps: bookings, listings, reservations.
func (b *batch) lock(ctx context.Context, tx pgx.Tx) error {
	var reservations, bookings, unsaid []store.Ref
	var listings []store.ListingRef
	change := false
	for i, p := range b.parsed {
		if len(p.Fetches) > 0 {
			b.awaiting[i] = true
			continue
		}
		source := b.events[i].Source
		for _, c := range p.Changes {
			if r := c.Reservation; r != nil {
				reservations = append(reservations, store.Ref{Source: source, ReservationID: r.ReservationID})
				switch {
				case r.ListingID != nil:
					listings = append(listings, store.ListingRef{Source: source, ListingID: *r.ListingID})
				case r.Partial && !r.NoRoom && r.Status == pms.Confirmed: // its times are completed from the listing that it has
					unsaid = append(unsaid, store.Ref{Source: source, ReservationID: r.ReservationID})
				}
				if r.BookingID != "" {
					booking := store.Ref{Source: source, ReservationID: r.BookingID}
					bookings, reservations = append(bookings, booking), append(reservations, booking)
				}
			}
			if l := c.Listing; l != nil {
				change = true
				listings = append(listings, store.ListingRef{Source: source, ListingID: l.ListingID})
			}
			if m := c.Merge; m != nil {
				change = true
				listings = append(listings, store.ListingRef{Source: source, ListingID: m.From}, store.ListingRef{Source: source, ListingID: m.Into})
			}
			if g := c.Guest; g != nil {
				guest := store.Ref{Source: source, ReservationID: g.GuestID}
				refs, err := store.ReservationsOfGuest(ctx, tx, source, g.GuestID)
				if err != nil {
					return err
				}
				b.guests[guest], reservations = refs, append(reservations, refs...)
			}
		}
	}
	more, err := store.LockBookings(ctx, tx, bookings)
	if err != nil {
		return err
	}
	had, err := store.ListingsOf(ctx, tx, unsaid)
	if err != nil {
		return err
	}
	if err := b.lockListings(ctx, tx, append(listings, had...), change); err != nil {
		return err
	}
	if b.reservations, err = store.LockReservations(ctx, tx, append(reservations, more...)); err != nil {
		return err
	}
	for _, ref := range unsaid {
		if id := b.reservations[ref].ListingID; id != nil {
			if _, locked := b.listings[store.ListingRef{Source: ref.Source, ListingID: *id}]; !locked {
				return store.ErrRaced // it was moved meanwhile
			}
		}
	}
	for ref, r := range b.reservations {
		if r.BookingID != nil {
			booking := store.Ref{Source: ref.Source, ReservationID: *r.BookingID}
			b.bookings[booking] = append(b.bookings[booking], ref)
		}
	}
	return nil
}

// mostMerges bounds how far a listing is followed to what it has become part of.
const mostMerges = 5

func (b *batch) lockListings(ctx context.Context, tx pgx.Tx, refs []store.ListingRef, change bool) (err error) {
	b.listings = map[store.ListingRef]store.Listing{}
	for range mostMerges {
		found, err := store.LockListings(ctx, tx, refs, change, b.now)
		if err != nil {
			return err
		}
		refs = nil
		for ref, l := range found {
			b.listings[ref] = l
			if l.MergedInto == nil {
				continue
			}
			into := store.ListingRef{Source: ref.Source, ListingID: *l.MergedInto}
			if _, locked := b.listings[into]; !locked {
				refs = append(refs, into)
			}
		}
		if len(refs) == 0 {
			return nil
		}
	}
	return nil
}

// present is the listing that a listing is by now, for whoever names one that has become part of another.
func (b *batch) present(source string, id *string) *string {
	for range mostMerges {
		if id == nil {
			return nil
		}
		l := b.listings[store.ListingRef{Source: source, ListingID: *id}]
		if l.MergedInto == nil {
			return id
		}
		id = l.MergedInto
	}
	return id
}

// fold applies the events to the rows in memory, in the order of receipt.
func (b *batch) fold() {
	for i := range b.events {
		if b.awaiting[i] {
			continue
		}
		e, p := &b.events[i], b.parsed[i]
		status, reason := b.foldEvent(*e, p)
		e.Status = status
		if reason != "" {
			e.Reason = &reason
		}
		if status == store.EventApplied {
			e.AppliedAt = &b.now
		}
	}
	for ref := range b.before {
		r := b.reservations[ref]
		b.complete(&r)
		b.reservations[ref] = r
	}
}

// verdict is what became of one change.
type verdict int

const (
	superseded verdict = iota + 1
	changesNothing
	applied
)

// foldEvent applies one event. It is applied if any of its changes is.
func (b *batch) foldEvent(e store.Event, p pms.Event) (status, reason string) {
	if p.Disconnected != "" {
		b.log.Warn("a PMS has ended the connection: nothing more comes from it", "source", e.Source, "reason", p.Disconnected)
	}
	switch {
	case len(p.Invalid) > 0:
		return store.EventRejected, pms.Reasons(p.Invalid)
	case p.Ignored && p.Why != "":
		return store.EventIgnored, p.Why
	case p.Ignored:
		return store.EventIgnored, "the type means nothing here"
	case len(p.Changes) == 0 && len(p.Rejected) > 0:
		return store.EventRejected, pms.Reasons(p.RejectedErrors())
	}
	var done []verdict
	about := ""
	for _, c := range p.Changes {
		switch {
		case c.Reservation != nil:
			about = "reservation"
			done = append(done, b.foldBooking(e, c, p.Changes))
			if v := done[len(done)-1]; v == changesNothing {
				reason = fmt.Sprintf("the status %q (%s) makes no key and takes none away", c.Reservation.PMSStatus, c.Reservation.StatusClass)
			}
			b.tell(e, p, c, done[len(done)-1])
		case c.Listing != nil:
			about = "listing"
			done = append(done, b.foldListing(e, c))
		case c.Merge != nil:
			about = "listing"
			done = append(done, b.foldMerge(e, c))
		case c.Guest != nil:
			about = "guest"
			done = append(done, b.foldGuest(e, c))
		}
	}
	switch {
	case slices.Contains(done, applied) && len(p.Rejected) > 0:
		return store.EventApplied, "applied, but for " + pms.Reasons(p.RejectedErrors())
	case slices.Contains(done, applied):
		return store.EventApplied, ""
	case slices.Contains(done, superseded):
		return store.EventSuperseded, "a later event of this " + about + " had been applied"
	case reason == "":
		reason = "it is about a guest of no reservation that lasts"
	}
	return store.EventIgnored, reason
}

// tell writes an event into a reservation's timeline.
func (b *batch) tell(e store.Event, p pms.Event, c pms.Change, v verdict) {
	ref := store.Ref{Source: e.Source, ReservationID: c.Reservation.ReservationID}
	if r := b.reservations[ref]; r.VersionSeq == 0 {
		return // there is none to tell of
	}
	word := map[verdict]string{superseded: store.EventSuperseded, changesNothing: store.EventIgnored, applied: store.EventApplied}[v]
	at := p.OccurredAt
	if at.IsZero() {
		at = c.OccurredAt
	}
	detail := map[string]any{"event_id": e.EventID.String(), "type": e.Type, "status": word, "timestamp": pms.FormatInstant(at)}
	if c.Reservation.PMSStatus != "" {
		detail["pms_status"] = c.Reservation.PMSStatus
	}
	kind := e.Type
	if kind == "" {
		kind = "an event"
	}
	b.entries = append(b.entries, store.Entry{Ref: ref, At: b.now, Kind: store.TimelineEvent, Summary: kind + " " + word, Detail: detail})
}

// place is a change's place in the order of its reservation or listing.
func place(e store.Event, c pms.Change) (time.Time, int64) {
	if !c.OccurredAt.IsZero() {
		return c.OccurredAt, e.Seq
	}
	at := e.ReceivedAt.Add(clockLead)
	if e.OccurredAt != nil && e.OccurredAt.Before(at) {
		at = *e.OccurredAt
	}
	return at, e.Seq
}

func older(at time.Time, seq int64, thanAt time.Time, thanSeq int64) bool {
	return at.Before(thanAt) || (at.Equal(thanAt) && seq < thanSeq)
}

// foldBooking applies a change of a reservation. One that is about all of a PMS's booking takes its place in the order of the
// booking, and revokes what the booking had besides.
func (b *batch) foldBooking(e store.Event, c pms.Change, all []pms.Change) verdict {
	r := c.Reservation
	if r.Status == "" {
		return changesNothing
	}
	if r.BookingID == "" || !r.Rest {
		return b.foldReservation(e, c)
	}
	booking := store.Ref{Source: e.Source, ReservationID: r.BookingID}
	siblings := append([]store.Ref{booking}, b.bookings[booking]...)
	at, seq := place(e, c)
	for _, ref := range siblings {
		if s := b.reservations[ref]; s.VersionSeq > 0 && older(at, seq, s.VersionAt, s.VersionSeq) {
			return superseded
		}
	}
	v := b.foldReservation(e, c)
	for _, ref := range siblings {
		s := b.reservations[ref]
		said := slices.ContainsFunc(all, func(other pms.Change) bool {
			return other.Reservation != nil && other.Reservation.ReservationID == ref.ReservationID
		})
		if said || s.VersionSeq == 0 || s.Status == pms.Cancelled {
			continue
		}
		gone := pms.Change{OccurredAt: c.OccurredAt, Reservation: &pms.Reservation{ReservationID: ref.ReservationID, BookingID: r.BookingID, Status: pms.Cancelled, Partial: true}}
		if b.foldReservation(e, gone) == applied {
			b.entries = append(b.entries, store.Entry{
				Ref: ref, At: b.now, Kind: store.TimelineEvent, Summary: e.Type + " applied: the booking has it no more",
				Detail: map[string]any{"event_id": e.EventID.String(), "type": e.Type, "status": store.EventApplied},
			})
		}
	}
	return v
}

func (b *batch) foldReservation(e store.Event, change pms.Change) verdict {
	c := *change.Reservation
	ref := store.Ref{Source: e.Source, ReservationID: c.ReservationID}
	r := b.reservations[ref]
	at, seq := place(e, change)
	if r.VersionSeq > 0 && older(at, seq, r.VersionAt, r.VersionSeq) {
		return superseded
	}
	b.changes(ref, r)
	if r.VersionSeq == 0 {
		r.Source, r.ReservationID, r.CreatedAt = ref.Source, ref.ReservationID, b.now
	}
	r.Status, r.VersionAt, r.VersionSeq, r.UpdatedAt = c.Status, at, seq, b.now
	whole := c.Whole()
	set := func(field **string, value *string) {
		if whole || value != nil {
			*field = value
		}
	}
	set(&r.ListingID, b.present(e.Source, c.ListingID))
	if c.NoRoom {
		r.ListingID = nil
	}
	set(&r.GuestEmail, c.GuestEmail)
	set(&r.GuestName, c.GuestName)
	set(&r.GuestPhone, c.GuestPhone)
	set(&r.CheckInSaid, said(c.CheckIn))
	set(&r.CheckOutSaid, said(c.CheckOut))
	set(&r.GuestID, c.GuestID)
	if c.BookingID != "" && c.BookingID != c.ReservationID && r.BookingID == nil {
		booking := store.Ref{Source: e.Source, ReservationID: c.BookingID}
		r.BookingID = &c.BookingID
		b.bookings[booking] = append(b.bookings[booking], ref)
	}
	b.reservations[ref] = r
	return applied
}

// changes notes that a reservation changes, and how it was; of a new one, nothing but zeros.
func (b *batch) changes(ref store.Ref, r store.Reservation) {
	if _, seen := b.before[ref]; !seen {
		b.before[ref] = r
	}
}

// foldGuest gives the reservations of a guest what a PMS says of them apart. It has no place in the order of the
// reservations: what they said themselves later wins.
func (b *batch) foldGuest(e store.Event, c pms.Change) verdict {
	at, seq := place(e, c)
	v := changesNothing
	for _, ref := range b.guests[store.Ref{Source: e.Source, ReservationID: c.Guest.GuestID}] {
		r := b.reservations[ref]
		if older(at, seq, r.VersionAt, r.VersionSeq) {
			if v == changesNothing {
				v = superseded
			}
			continue
		}
		b.changes(ref, r)
		for field, value := range map[**string]*string{&r.GuestEmail: c.Guest.Email, &r.GuestName: c.Guest.Name, &r.GuestPhone: c.Guest.Phone} {
			if value != nil {
				*field = value
			}
		}
		r.UpdatedAt = b.now
		b.reservations[ref] = r
		b.entries = append(b.entries, store.Entry{
			Ref: ref, At: b.now, Kind: store.TimelineEvent, Summary: e.Type + " applied", Detail: map[string]any{"event_id": e.EventID.String(), "type": e.Type, "status": store.EventApplied},
		})
		v = applied
	}
	return v
}

func said(m *pms.Moment) *string {
	if m == nil {
		return nil
	}
	s := m.String()
	return &s
}

// complete works out check-in and check-out from what was said. A cancel may leave out the listing that the
// row names; such a one is not locked here, and nothing depends on its times.
func (b *batch) complete(r *store.Reservation) {
	policy := b.policies.of(r.Source)
	if r.ListingID == nil {
		completeStay(r, store.Listing{}, policy)
		return
	}
	listing, locked := b.listings[store.ListingRef{Source: r.Source, ListingID: *r.ListingID}]
	if locked {
		completeStay(r, listing, policy)
	}
}

// namedPolicy is a source's policy with its fingerprint.
type namedPolicy struct {
	pms.Policy
	fingerprint string
}

func nameOf(p pms.Policy) namedPolicy { return namedPolicy{p, p.Fingerprint()} }

// namedPolicies are those of the sources that a batch is about, each named once.
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

// completeStay works out check-in and check-out, and notes in the row what with.
func completeStay(r *store.Reservation, l store.Listing, policy namedPolicy) {
	r.Policy = &policy.fingerprint
	c := policy.Complete(text(r.ListingID), text(l.TimeZone), text(l.CheckInTime), text(l.CheckOutTime))
	r.ListingGeneration = l.Generation
	r.CheckIn = completeMoment(r.CheckInSaid, c.Zone, c.CheckInTime)
	r.CheckOut = completeMoment(r.CheckOutSaid, c.Zone, c.CheckOutTime)
}

func completeMoment(said *string, zone *time.Location, clock string) *time.Time {
	if said == nil {
		return nil
	}
	m, err := pms.ParseStoredMoment(*said)
	if err != nil {
		return nil
	}
	t, err := m.Resolve(zone, clock)
	if err != nil {
		return nil // no zone yet: the reservation waits for it
	}
	return &t
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func (b *batch) foldListing(e store.Event, change pms.Change) verdict {
	c := change.Listing
	ref := store.ListingRef{Source: e.Source, ListingID: c.ListingID}
	l := b.listings[ref]
	at, seq := place(e, change)
	if l.VersionAt != nil && older(at, seq, *l.VersionAt, *l.VersionSeq) {
		return superseded
	}
	before := l
	l.VersionAt, l.VersionSeq, l.UpdatedAt = &at, &seq, b.now
	if !l.Known {
		l.Known, l.CreatedAt = true, b.now
	}
	if l.Deleted = c.Deleted; !c.Deleted {
		set := func(field **string, value *string) {
			if !c.Partial || value != nil {
				*field = value
			}
		}
		if !c.Partial || c.AccessGroupIDs != nil {
			l.AccessGroupIDs = c.AccessGroupIDs
		}
		set(&l.Name, c.Name)
		set(&l.ACSSystemID, c.ACSSystemID)
		set(&l.TimeZone, c.TimeZone)
		set(&l.CheckInTime, c.CheckInTime)
		set(&l.CheckOutTime, c.CheckOutTime)
		l.MergedInto = nil
	}
	b.keep(before, l)
	return applied
}

// keep notes a changed listing.
func (b *batch) keep(before, l store.Listing) {
	if l.AccessGroupIDs == nil {
		l.AccessGroupIDs = []string{}
	}
	if listingMatters(before, l) {
		l.Generation++
	}
	ref := store.ListingRef{Source: l.Source, ListingID: l.ListingID}
	b.listings[ref], b.listed[ref] = l, true
}

// foldMerge makes a listing part of another. What the other one lacks it has from this one, so that keys go on opening.
func (b *batch) foldMerge(e store.Event, c pms.Change) verdict {
	from := b.listings[store.ListingRef{Source: e.Source, ListingID: c.Merge.From}]
	at, seq := place(e, c)
	if from.VersionAt != nil && older(at, seq, *from.VersionAt, *from.VersionSeq) {
		return superseded
	}
	into := b.listings[store.ListingRef{Source: e.Source, ListingID: c.Merge.Into}]
	if into.MergedInto != nil && *into.MergedInto == from.ListingID {
		into.MergedInto = nil // the other way round by now
	}
	before, intoBefore := from, into
	from.VersionAt, from.VersionSeq, from.UpdatedAt, from.Deleted, from.MergedInto = &at, &seq, b.now, true, &into.ListingID
	if !into.Known {
		into.Known, into.CreatedAt, into.UpdatedAt = true, b.now, b.now
		into.Name, into.TimeZone, into.CheckInTime, into.CheckOutTime, into.ACSSystemID = from.Name, from.TimeZone, from.CheckInTime, from.CheckOutTime, from.ACSSystemID
	}
	if len(into.Groups()) == 0 && len(from.Groups()) > 0 {
		into.AdminAccessGroupIDs, into.UpdatedAt = from.Groups(), b.now
	}
	b.keep(before, from)
	b.keep(intoBefore, into)
	return applied
}

// listingMatters tells whether a change of a listing can change any of its stays.
func listingMatters(a, b store.Listing) bool {
	same := func(a, b *string) bool { return text(a) == text(b) }
	return a.Known != b.Known || a.Deleted != b.Deleted || !slices.Equal(a.Groups(), b.Groups()) ||
		!same(a.ACSSystemID, b.ACSSystemID) || !same(a.TimeZone, b.TimeZone) ||
		!same(a.CheckInTime, b.CheckInTime) || !same(a.MergedInto, b.MergedInto) || !same(a.CheckOutTime, b.CheckOutTime)
}

// await has the documents fetched that events wait for, and tells of those that were.
func (b *batch) await(ctx context.Context, tx pgx.Tx, fetches Fetches) error {
	var events []store.Event
	var wants []json.RawMessage
	var reasons []string
	var jobs []store.Event
	var fetched []uuid.UUID
	for i, e := range b.events {
		if e.Documents != nil && !b.awaiting[i] {
			fetched = append(fetched, e.EventID)
		}
		if !b.awaiting[i] {
			continue
		}
		encoded, err := json.Marshal(b.parsed[i].Fetches)
		if err != nil {
			return fmt.Errorf("encode what is to be fetched: %w", err)
		}
		reason := store.ReasonNeedsFetch
		if b.source(e.Source).Fetch != nil {
			reason = ""
			jobs = append(jobs, e)
		}
		events, wants, reasons = append(events, e), append(wants, encoded), append(reasons, reason)
	}
	if len(events) > 0 {
		var batch pgx.Batch
		store.AwaitDocuments(&batch, events, wants, reasons, make([]bool, len(events)), b.now)
		if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
			return fmt.Errorf("have documents fetched for %d events: %w", len(events), err)
		}
	}
	if len(jobs) > 0 {
		if fetches == nil {
			return errors.New("nothing fetches documents here")
		}
		if err := fetches.Enqueue(ctx, tx, jobs); err != nil {
			return err
		}
	}
	return b.tellOfDocuments(ctx, tx, fetched)
}

// tellOfDocuments writes the requests that were made for events into the timelines of their reservations.
func (b *batch) tellOfDocuments(ctx context.Context, tx pgx.Tx, ids []uuid.UUID) error {
	if len(ids) == 0 {
		return nil
	}
	tries, err := store.Tries(ctx, tx, ids)
	if err != nil {
		return err
	}
	for i, e := range b.events {
		for _, c := range b.parsed[i].Changes {
			if c.Reservation == nil {
				continue
			}
			ref := store.Ref{Source: e.Source, ReservationID: c.Reservation.ReservationID}
			if b.reservations[ref].VersionSeq == 0 {
				continue
			}
			if made := tries[e.EventID]; len(made) > 0 {
				b.entries = append(b.entries, fetchEntry(ref, e.EventID, made))
			}
		}
	}
	return nil
}

// fetchEntry is one line of a timeline about all requests that were made for an event, however many there were.
func fetchEntry(ref store.Ref, event uuid.UUID, tries []store.Try) store.Entry {
	last, asked := tries[len(tries)-1], 0
	for _, t := range tries {
		asked += max(t.Attempt, 1)
		if t.At.After(last.At) {
			last = t
		}
	}
	outcome := fmt.Sprintf("answered %d", last.Status)
	if last.Error != "" {
		outcome = "failed"
	}
	what := last.Document
	if len(tries) > 1 {
		what = fmt.Sprintf("%d documents", len(tries))
	}
	summary := "asked the PMS for " + what + ": " + outcome
	if asked > len(tries) {
		summary = fmt.Sprintf("asked the PMS for %s, %d times: %s", what, asked, outcome)
	}
	return store.Entry{
		Ref: ref, At: last.At, Kind: store.TimelineFetch, Summary: summary,
		Detail: map[string]any{"event_id": event.String(), "requests": asked, "documents": tries},
	}
}

// settled are the events that this batch brings to an end.
func (b *batch) settled() []store.Event {
	if len(b.awaiting) == 0 {
		return b.events
	}
	var list []store.Event
	for i, e := range b.events {
		if !b.awaiting[i] {
			list = append(list, e)
		}
	}
	return list
}

// count tells the metrics what became of the events.
func (b *batch) count(activity *store.Activity) {
	for _, e := range b.settled() {
		result := e.Status
		if e.Replay { // it is no new webhook
			result = store.ActivityReplay
		}
		activity.Add(e.Source, result, b.now)
		appliedEvents.WithLabelValues(e.Source, result).Inc()
	}
	for i, p := range b.parsed {
		if b.events[i].Replay {
			continue
		}
		for _, c := range p.Changes {
			if r := c.Reservation; r != nil && r.StatusClass == "other" && !b.awaiting[i] {
				unknownStatuses.WithLabelValues(b.events[i].Source).Inc()
			}
		}
	}
}

// trace adds the applying of each event to its trace.
func (b *batch) trace(ctx context.Context, ended time.Time) {
	for _, e := range b.settled() {
		tracing.Done(tracing.Of(ctx, &e.EventID), "apply", b.now, ended, nil, attribute.String("staykey.source", e.Source), attribute.String("staykey.event.status", e.Status))
	}
}

func (b *batch) save(ctx context.Context, tx pgx.Tx, traced bool) error {
	var fresh, known []store.Reservation
	var made, changed []store.Wish
	for ref, before := range b.before {
		r := b.reservations[ref]
		differs := stayChanged(before, r)
		w := wish(r, b.now, differs, differs)
		if traced {
			w.EventID = b.lastOf(ref)
		}
		if before.VersionSeq > 0 {
			known, changed = append(known, r), append(changed, w)
			continue
		}
		if r.CheckOut != nil && !r.CheckOut.After(b.now) {
			w.RankAt = &store.LastRank // it never had a key, nobody waits for it, and an import may bring many
		}
		fresh, made = append(fresh, r), append(made, w)
	}
	if err := store.InsertReservations(ctx, tx, fresh); err != nil {
		return err
	}
	if err := store.UpdateReservations(ctx, tx, known); err != nil {
		return err
	}
	var writes pgx.Batch
	for _, ref := range slices.SortedFunc(maps.Keys(b.listed), store.ListingRef.Compare) {
		store.SaveListing(&writes, b.listings[ref])
	}
	store.InsertKeys(&writes, made, b.now)
	store.WishKeys(&writes, changed, b.now)
	store.FinishEvents(&writes, b.settled())
	if err := b.lapseWindows(ctx, tx, &writes); err != nil {
		return err
	}
	if err := store.QueueTimeline(&writes, b.entries); err != nil {
		return err
	}
	if err := tx.SendBatch(ctx, &writes).Close(); err != nil {
		return fmt.Errorf("write what %d events say: %w", len(b.events), err)
	}
	return nil
}

// lastOf is the last applied event about a reservation.
func (b *batch) lastOf(ref store.Ref) *uuid.UUID {
	for i, e := range slices.Backward(b.events) {
		if e.Status == store.EventApplied && e.Source == ref.Source && slices.ContainsFunc(b.parsed[i].Changes, func(c pms.Change) bool {
			return c.Reservation != nil && c.Reservation.ReservationID == ref.ReservationID
		}) {
			return &e.EventID
		}
	}
	return nil
}

// wish asks for what a reservation says by now.
func wish(r store.Reservation, now time.Time, changed, revive bool) store.Wish {
	w := store.Wish{Ref: r.Ref(), CheckIn: r.CheckIn, Cancelled: r.Status == pms.Cancelled, RankAt: r.CheckIn, Changed: changed, Revive: revive}
	switch over := r.CheckOut != nil && !r.CheckOut.After(now); {
	case r.Status == pms.Cancelled:
		w.Interim = store.KeyRevoking
	case !over:
		w.Interim = store.KeyProvisioning
	}
	return w
}

// stayChanged tells whether a reservation asks for another key than before. A guest's name, phone number or
// another spelling of the same address ask for nothing; the first address at all may be what a key waits for, a relay's among them.
func stayChanged(a, b store.Reservation) bool {
	sameTime := func(a, b *time.Time) bool { return (a == nil) == (b == nil) && (a == nil || a.Equal(*b)) }
	return a.VersionSeq == 0 || a.Status != b.Status || (a.ListingID == nil) != (b.ListingID == nil) || text(a.ListingID) != text(b.ListingID) ||
		pms.GuestAddress(text(a.GuestEmail)) != pms.GuestAddress(text(b.GuestEmail)) || (text(a.GuestEmail) == "") != (text(b.GuestEmail) == "") ||
		!sameTime(a.CheckIn, b.CheckIn) || !sameTime(a.CheckOut, b.CheckOut)
}
