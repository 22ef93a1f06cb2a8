package intake

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/chaos/point"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/store"
)

const (
	applyBatch  = 250
	fanOutBatch = 500
	pollEvery   = time.Second
	// clockLead is how far an event's timestamp may be ahead of its receipt and still count; a sender whose
	// clock is wrong must not block the reservation for ever (contract section 3).
	clockLead = 5 * time.Minute
)

// Applier takes events from the inbox, in the order of receipt, and makes them true. Any number may run.
type Applier struct {
	store   *store.Store
	log     *slog.Logger
	now     func() time.Time
	policy  func(source string) pms.Policy
	pace    *Pace
	applied func() // something may be due for the provisioner
	wake    chan struct{}
}

// NewApplier returns an applier that is not running yet. pace is the one of the process's acceptor.
func NewApplier(s *store.Store, log *slog.Logger, now func() time.Time, policy func(string) pms.Policy, pace *Pace, applied func()) *Applier {
	return &Applier{store: s, log: log, now: now, policy: policy, pace: pace, applied: applied, wake: make(chan struct{}, 1)}
}

// Wake tells the applier to look at once. It never blocks.
func (a *Applier) Wake() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// Run applies until ctx ends; the batch under way is finished.
func (a *Applier) Run(ctx context.Context) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if err := a.Drain(ctx); err != nil && ctx.Err() == nil {
			a.log.Error("applying events failed; trying again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-a.wake:
		case <-tick.C:
		}
	}
}

// Drain applies whatever waits, and carries changes of listings to their stays.
func (a *Applier) Drain(ctx context.Context) error {
	for {
		began := time.Now()
		n, err := a.applySome(ctx)
		if err != nil {
			return err
		}
		took := time.Since(began)
		if n > 0 {
			point.Reach(point.ApplyBehind)
			a.applied()
			a.giveWay(ctx, took)
		}
		if ctx.Err() != nil {
			return nil
		}
		more, err := a.fanOutSome(ctx)
		if err != nil {
			return err
		}
		if n == 0 {
			a.pace.applied(0, 0)
			if !more {
				return nil
			}
		}
	}
}

// giveWay leaves the machine to a burst for a while.
func (a *Applier) giveWay(ctx context.Context, took time.Duration) {
	rest := a.pace.rest(took)
	if rest == 0 {
		return
	}
	select {
	case <-ctx.Done():
	case <-time.After(rest):
	}
}

// applySome applies one batch. If Postgres refuses a value of it, events go one by one, and the one at
// fault is set aside with the reason.
func (a *Applier) applySome(ctx context.Context) (int, error) {
	ctx = context.WithoutCancel(ctx) // a batch is short; it ends by its own
	n, _, err := a.applyBatch(ctx, applyBatch)
	if !isPoison(err) {
		return n, err
	}
	n, first, err := a.applyBatch(ctx, 1)
	if !isPoison(err) {
		return n, err
	}
	a.log.Error("an event can't be applied and is set aside", "event_id", first.EventID, "source", first.Source, "error", err)
	reason := "it could not be applied: " + err.Error()
	return 1, a.store.SetAside(ctx, first.Seq, reason)
}

var errPanicked = errors.New("a mistake in staykey, please report it")

// isPoison tells whether trying again can't help.
func isPoison(err error) bool { return store.IsDataError(err) || errors.Is(err, errPanicked) }

// maxRaces is how often a batch is begun anew because another applier made the same rows, or waited for ours while
// we waited for its.
const maxRaces = 10

func (a *Applier) applyBatch(ctx context.Context, limit int) (n int, first store.Event, err error) {
	for range maxRaces {
		if n, first, err = a.tryBatch(ctx, limit); !errors.Is(err, store.ErrRaced) {
			break
		}
	}
	return n, first, err
}

func (a *Applier) tryBatch(ctx context.Context, limit int) (n int, first store.Event, err error) {
	now := a.now().UTC()
	defer func() { // one event that we stumble over must not stop the others
		if recovered := recover(); recovered != nil {
			a.log.Error("applying events panicked", "panic", recovered, "stack", string(debug.Stack()))
			err = fmt.Errorf("%w: %v", errPanicked, recovered)
		}
	}()
	var b *batch
	err = a.store.InTx(ctx, func(tx pgx.Tx) error {
		events, err := store.ClaimEvents(ctx, tx, limit)
		if err != nil || len(events) == 0 {
			return err
		}
		n, first = len(events), events[0]
		if b, err = a.lockBatch(ctx, tx, events, now); err != nil {
			return err
		}
		point.Reach(point.ApplyLocked)
		b.fold()
		defer point.Reach(point.ApplyBefore)
		return b.save(ctx, tx)
	})
	if err != nil || b == nil {
		return n, first, err
	}
	for _, e := range b.events {
		appliedEvents.WithLabelValues(e.Source, e.Status).Inc()
	}
	if oldest := slices.IndexFunc(b.events, func(e store.Event) bool { return !e.Urgent }); oldest >= 0 {
		a.pace.applied(n, now.Sub(b.events[oldest].ReceivedAt))
	} else {
		a.pace.overtaken(n)
	}
	return n, first, nil
}

// batch is a number of events and the locked rows that they are about.
type batch struct {
	now          time.Time
	policy       func(string) pms.Policy
	events       []store.Event // their results are written into them
	parsed       []pms.Event
	listings     map[store.ListingRef]store.Listing
	reservations map[store.Ref]store.Reservation
	before       map[store.Ref]store.Reservation // as they were, for those that a change was applied to
	listed       map[store.ListingRef]bool       // listings that a change was applied to
	entries      []store.Entry
}

func (a *Applier) lockBatch(ctx context.Context, tx pgx.Tx, events []store.Event, now time.Time) (*batch, error) {
	b := &batch{now: now, policy: a.policy, events: events, before: map[store.Ref]store.Reservation{}, listed: map[store.ListingRef]bool{}}
	var reservations []store.Ref
	var listings []store.ListingRef
	change := false
	for _, e := range events {
		p, err := pms.ParseStaykey(e.Body)
		if err != nil {
			p.Invalid = []pms.FieldError{{Field: "body", Message: err.Error()}}
		}
		if len(p.Invalid) > 0 {
			p.Change = pms.Change{}
		}
		b.parsed = append(b.parsed, p)
		if r := p.Change.Reservation; r != nil {
			reservations = append(reservations, store.Ref{Source: e.Source, ReservationID: r.ReservationID})
			if r.ListingID != nil {
				listings = append(listings, store.ListingRef{Source: e.Source, ListingID: *r.ListingID})
			}
		}
		if l := p.Change.Listing; l != nil {
			change = true
			listings = append(listings, store.ListingRef{Source: e.Source, ListingID: l.ListingID})
		}
	}
	var err error
	if b.listings, err = store.LockListings(ctx, tx, listings, change, now); err != nil {
		return nil, err
	}
	b.reservations, err = store.LockReservations(ctx, tx, reservations)
	return b, err
}

// fold applies the events to the rows in memory, in the order of receipt.
func (b *batch) fold() {
	for i := range b.events {
		e, p := &b.events[i], b.parsed[i]
		status, reason := store.EventApplied, ""
		switch c := p.Change; {
		case len(p.Invalid) > 0:
			status, reason = store.EventRejected, pms.Reasons(p.Invalid)
		case p.Ignored:
			status, reason = store.EventIgnored, "the type means nothing here"
		case c.Reservation != nil:
			if !b.foldReservation(*e, *c.Reservation) {
				status, reason = store.EventSuperseded, "a later event of this reservation had been applied"
			}
			b.entries = append(b.entries, store.Entry{
				Ref: store.Ref{Source: e.Source, ReservationID: c.Reservation.ReservationID}, At: b.now,
				Kind: store.TimelineEvent, Summary: e.Type + " " + status,
				Detail: map[string]any{"event_id": e.EventID.String(), "type": e.Type, "status": status, "timestamp": pms.FormatInstant(p.OccurredAt)},
			})
		case c.Listing != nil:
			if !b.foldListing(*e, *c.Listing) {
				status, reason = store.EventSuperseded, "a later event of this listing had been applied"
			}
		}
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

// place is an event's place in the order of its reservation or listing.
func place(e store.Event) (time.Time, int64) {
	at := e.ReceivedAt.Add(clockLead)
	if e.OccurredAt != nil && e.OccurredAt.Before(at) {
		at = *e.OccurredAt
	}
	return at, e.Seq
}

func older(at time.Time, seq int64, thanAt time.Time, thanSeq int64) bool {
	return at.Before(thanAt) || (at.Equal(thanAt) && seq < thanSeq)
}

func (b *batch) foldReservation(e store.Event, c pms.Reservation) bool {
	ref := store.Ref{Source: e.Source, ReservationID: c.ReservationID}
	r := b.reservations[ref]
	at, seq := place(e)
	if r.VersionSeq > 0 && older(at, seq, r.VersionAt, r.VersionSeq) {
		return false
	}
	if _, seen := b.before[ref]; !seen {
		b.before[ref] = r // of a new one, nothing but zeros
	}
	if r.VersionSeq == 0 {
		r.Source, r.ReservationID, r.CreatedAt = ref.Source, ref.ReservationID, b.now
	}
	r.Status, r.VersionAt, r.VersionSeq, r.UpdatedAt = c.Status, at, seq, b.now
	whole := c.Status == pms.Confirmed
	set := func(field **string, value *string) {
		if whole || value != nil {
			*field = value
		}
	}
	set(&r.ListingID, c.ListingID)
	set(&r.GuestEmail, c.GuestEmail)
	set(&r.GuestName, c.GuestName)
	set(&r.GuestPhone, c.GuestPhone)
	set(&r.CheckInSaid, said(c.CheckIn))
	set(&r.CheckOutSaid, said(c.CheckOut))
	b.reservations[ref] = r
	return true
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
	if r.ListingID == nil {
		completeStay(r, store.Listing{}, b.policy(r.Source))
		return
	}
	listing, locked := b.listings[store.ListingRef{Source: r.Source, ListingID: *r.ListingID}]
	if locked {
		completeStay(r, listing, b.policy(r.Source))
	}
}

func completeStay(r *store.Reservation, l store.Listing, policy pms.Policy) {
	c := policy.Complete(text(l.TimeZone), text(l.CheckInTime), text(l.CheckOutTime))
	r.ListingGeneration = l.Generation
	r.CheckIn = completeMoment(r.CheckInSaid, c.Zone, c.CheckInTime)
	r.CheckOut = completeMoment(r.CheckOutSaid, c.Zone, c.CheckOutTime)
}

func completeMoment(said *string, zone *time.Location, clock string) *time.Time {
	if said == nil {
		return nil
	}
	m, err := pms.ParseMoment(*said)
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

func (b *batch) foldListing(e store.Event, c pms.Listing) bool {
	ref := store.ListingRef{Source: e.Source, ListingID: c.ListingID}
	l := b.listings[ref]
	at, seq := place(e)
	if l.VersionAt != nil && older(at, seq, *l.VersionAt, *l.VersionSeq) {
		return false
	}
	before := l
	l.VersionAt, l.VersionSeq, l.UpdatedAt = &at, &seq, b.now
	if !l.Known {
		l.Known, l.CreatedAt = true, b.now
	}
	l.Deleted = c.Deleted
	if !c.Deleted {
		l.AccessGroupIDs, l.Name, l.ACSSystemID = c.AccessGroupIDs, c.Name, c.ACSSystemID
		l.TimeZone, l.CheckInTime, l.CheckOutTime = c.TimeZone, c.CheckInTime, c.CheckOutTime
	}
	if listingMatters(before, l) {
		l.Generation++
	}
	b.listings[ref], b.listed[ref] = l, true
	return true
}

// listingMatters tells whether a change of a listing can change any of its stays.
func listingMatters(a, b store.Listing) bool {
	same := func(a, b *string) bool { return text(a) == text(b) }
	return a.Known != b.Known || a.Deleted != b.Deleted || !slices.Equal(a.Groups(), b.Groups()) ||
		!same(a.ACSSystemID, b.ACSSystemID) || !same(a.TimeZone, b.TimeZone) ||
		!same(a.CheckInTime, b.CheckInTime) || !same(a.CheckOutTime, b.CheckOutTime)
}

func (b *batch) save(ctx context.Context, tx pgx.Tx) error {
	var fresh, known []store.Reservation
	var made, changed []store.Wish
	for ref, before := range b.before {
		r := b.reservations[ref]
		differs := stayChanged(before, r)
		w := wish(r, b.now, differs, differs)
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
	store.FinishEvents(&writes, b.events)
	if err := store.QueueTimeline(&writes, b.entries); err != nil {
		return err
	}
	if err := tx.SendBatch(ctx, &writes).Close(); err != nil {
		return fmt.Errorf("write what %d events say: %w", len(b.events), err)
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
// another spelling of the same address ask for nothing.
func stayChanged(a, b store.Reservation) bool {
	sameTime := func(a, b *time.Time) bool { return (a == nil) == (b == nil) && (a == nil || a.Equal(*b)) }
	return a.VersionSeq == 0 || a.Status != b.Status || (a.ListingID == nil) != (b.ListingID == nil) || text(a.ListingID) != text(b.ListingID) ||
		pms.GuestAddress(text(a.GuestEmail)) != pms.GuestAddress(text(b.GuestEmail)) ||
		!sameTime(a.CheckIn, b.CheckIn) || !sameTime(a.CheckOut, b.CheckOut)
}

// fanOutSome carries the change of one listing to one page of its stays, so that events need not wait for all
// of a large one. more tells whether there was any such listing.
func (a *Applier) fanOutSome(ctx context.Context) (more bool, err error) {
	refs, err := a.store.ListingsToFanOut(ctx, 1)
	if err != nil || len(refs) == 0 {
		return false, err
	}
	n, err := a.fanOut(ctx, refs[0])
	if n > 0 {
		point.Reach(point.FanOutBehind)
		a.applied()
	}
	if err != nil {
		return false, fmt.Errorf("fan out listing %s/%s: %w", refs[0].Source, refs[0].ListingID, err)
	}
	return true, nil
}

// fanOut reaches the next stays of a listing, at most a page. It may be cut off or run twice anywhere: what a
// stay was completed with is written in its row.
func (a *Applier) fanOut(ctx context.Context, ref store.ListingRef) (reached int, err error) {
	generation := int64(0)
	err = a.store.InTx(context.WithoutCancel(ctx), func(tx pgx.Tx) error {
		now := a.now().UTC()
		listings, err := store.LockListings(ctx, tx, []store.ListingRef{ref}, true, now)
		if err != nil {
			return err
		}
		l := listings[ref]
		generation = l.Generation
		stays, err := store.LockStaysBehindListing(ctx, tx, ref, l.Generation, now, fanOutBatch)
		if err != nil {
			return err
		}
		reached = len(stays)
		wishes := make([]store.Wish, reached)
		for i := range stays {
			completeStay(&stays[i], l, a.policy(ref.Source))
			wishes[i] = wish(stays[i], now, true, false)
		}
		if err := store.UpdateReservations(ctx, tx, stays); err != nil {
			return err
		}
		var writes pgx.Batch
		store.WishKeys(&writes, wishes, now)
		return tx.SendBatch(ctx, &writes).Close()
	})
	if err != nil || reached == fanOutBatch {
		return reached, err
	}
	return reached, a.store.ListingFannedOut(ctx, ref, generation)
}

// PutListing is an admin's word on a listing. Fields that the patch doesn't say stay; groups it sets win over
// what the PMS says until it sets them to null. It has no place in the order of events.
func (a *Applier) PutListing(ctx context.Context, ref store.ListingRef, patch pms.ListingPatch) (store.Listing, error) {
	var l store.Listing
	err := a.store.InTx(ctx, func(tx pgx.Tx) error {
		now := a.now().UTC()
		listings, err := store.LockListings(ctx, tx, []store.ListingRef{ref}, true, now)
		if err != nil {
			return err
		}
		l = listings[ref]
		before := l
		l.UpdatedAt, l.Deleted = now, false
		if !l.Known {
			l.Known, l.CreatedAt = true, now
		}
		for field, set := range map[string]func(){
			"seam_access_group_ids": func() { l.AdminAccessGroupIDs = patch.Listing.AccessGroupIDs },
			"name":                  func() { l.Name = patch.Listing.Name },
			"acs_system_id":         func() { l.ACSSystemID = patch.Listing.ACSSystemID },
			"time_zone":             func() { l.TimeZone = patch.Listing.TimeZone },
			"check_in_time":         func() { l.CheckInTime = patch.Listing.CheckInTime },
			"check_out_time":        func() { l.CheckOutTime = patch.Listing.CheckOutTime },
		} {
			if patch.Said[field] {
				set()
			}
		}
		if listingMatters(before, l) {
			l.Generation++
		}
		var writes pgx.Batch
		store.SaveListing(&writes, l)
		return tx.SendBatch(ctx, &writes).Close()
	})
	if err != nil {
		return store.Listing{}, err
	}
	a.Wake()
	return a.store.Listing(ctx, ref)
}

// Reconcile is an admin's wish that a reservation be compared with Seam and repaired now.
func (a *Applier) Reconcile(ctx context.Context, ref store.Ref) error {
	err := a.store.InTx(ctx, func(tx pgx.Tx) error {
		now := a.now().UTC()
		found, err := store.LockReservations(ctx, tx, []store.Ref{ref})
		if err != nil {
			return err
		}
		r, ok := found[ref]
		if !ok || r.VersionSeq == 0 {
			return store.ErrNotFound
		}
		w := wish(r, now, false, true)
		w.Check = true
		var writes pgx.Batch
		store.WishKeys(&writes, []store.Wish{w}, now)
		err = store.QueueTimeline(&writes, []store.Entry{{
			Ref: ref, At: now, Kind: store.TimelineAction, Summary: "an admin asked to check it against Seam and repair it",
			Detail: map[string]any{"action": "reconcile"},
		}})
		if err != nil {
			return err
		}
		return tx.SendBatch(ctx, &writes).Close()
	})
	if err == nil {
		a.applied()
	}
	if errors.Is(err, store.ErrNotFound) {
		return err
	}
	if err != nil {
		return fmt.Errorf("reconcile %s/%s: %w", ref.Source, ref.ReservationID, err)
	}
	return nil
}
