package intake

import (
	"context"
	"fmt"
	"maps"
	"runtime/debug"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/point"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

const (
	// fanOutChoice is among how many listings one to fan out is searched for.
	fanOutChoice = 64
	// fanOutRest is how long a listing is skipped after its fan-out failed.
	fanOutRest = 10 * time.Second
)

// fanOutSome carries the change of one listing to one page of its stays, so that events need not wait for all stays
// of a large one. A listing whose fan-out fails now is skipped for a while. more reports whether there may be others.
func (a *Applier) fanOutSome(ctx context.Context, t *turn) (more bool, err error) {
	refs, err := a.store.Listings.ToFanOut(ctx, fanOutChoice)
	if err != nil {
		return false, err
	}

	now := time.Now()
	maps.DeleteFunc(t.skipped, func(_ stay.ListingRef, until time.Time) bool { return !now.Before(until) })
	for _, ref := range refs {
		if _, skip := t.skipped[ref]; skip {
			continue
		}
		reached, err := a.fanOut(ctx, ref)
		if reached > 0 {
			point.Reach(point.FanOutAfter)
			a.applied()
		}
		if err == nil {
			return true, nil
		}

		t.skipped[ref] = now.Add(fanOutRest)
		a.log.Warn("listing change not applied to all stays; retrying", "source", ref.Source,
			"listing_id", ref.ListingID,
			"waits_for", store.LockedRow(err), "error", err)
	}
	return false, nil
}

// fanOut updates the next stays of a listing, at most a page. It may be interrupted or run twice at any point: each
// row records what it was completed with. If all remaining stays are locked it waits for one of them; reached is 0 if
// somebody else updated that one in the meantime.
func (a *Applier) fanOut(ctx context.Context, ref stay.ListingRef) (reached int, err error) {
	defer func() { // a panic over one listing must not stop the others
		if recovered := recover(); recovered != nil {
			a.log.Error("fan-out of a listing change panicked", "panic", recovered, "stack", string(debug.Stack()))
			err = fmt.Errorf("%w: %v", errPanicked, recovered)
		}
	}()

	generation, done := int64(0), false
	err = a.store.InTx(context.WithoutCancel(ctx), func(tx pgx.Tx) error {
		now := a.now().UTC()
		if err := store.LimitLockWait(ctx, tx, lockWait); err != nil {
			return err
		}

		rs := newRows(now, a.source)
		if err := rs.lockListings(ctx, tx, []stay.ListingRef{ref}, true); err != nil {
			return err
		}
		generation = rs.listings[ref].Generation
		stays, err := store.LockStaysOfGeneration(ctx, tx, ref, generation, now, fanOutBatch)
		if err != nil {
			return err
		}

		reached = len(stays)
		policy := nameOf(a.source(ref.Source).Policy)
		requests := make([]store.KeyRequest, reached)
		for i := range stays {
			// the listing that it was merged into, possibly repeatedly
			stays[i].ListingID = rs.present(ref.Source, stays[i].ListingID)
			completeStay(&stays[i], rs.listings[stay.ListingRef{Source: ref.Source, ListingID: *stays[i].ListingID}],
				policy, now)
			// with another time zone, the present room may be another one: see move, which locks it too
			if stays[i].Segments != nil {
				stays[i].SegmentDue = &now
			}
			requests[i] = keyRequest(stays[i], now, true, false)
		}

		var writes pgx.Batch
		store.SaveCompletions(&writes, stays)
		store.RequestKeys(&writes, requests, now)
		if err := tx.SendBatch(ctx, &writes).Close(); err != nil {
			return err
		}

		left, err := store.StaysOfGenerationLeft(ctx, tx, ref, generation, now)
		if done = !left; err != nil || !done {
			return err
		}
		return store.MarkUnassigned(ctx, tx, ref, now)
	})
	if err != nil || !done {
		return reached, err
	}
	return reached, a.store.Listings.FannedOut(ctx, ref, generation)
}

// moveBatch is how many stays move to their next room in one transaction.
const moveBatch = 100

// moveSome moves stays to their next room if its time has come.
func (a *Applier) moveSome(ctx context.Context, _ *turn) (more bool, err error) {
	due, err := a.store.Reservations.SegmentsDue(ctx, a.now().UTC(), moveBatch)
	if err != nil || len(due) == 0 {
		return false, err
	}
	moved := 0
	for _, r := range due {
		n, err := a.move(ctx, r)
		if err != nil && !isOurs(err) {
			return false, fmt.Errorf("move the stay %s/%s to its next room: %w", r.Source, r.ReservationID, err)
		}
		if err != nil {
			a.log.Warn("move to the next room failed; retrying", "source", r.Source, "reservation_id", r.ReservationID,
				"waits_for", store.LockedRow(err), "error", err)
		}
		moved += n
	}
	if moved > 0 {
		a.applied()
	}
	return moved > 0, nil
}

// move moves one stay to its present room, and completes its times from the listings that it has then. It may run
// twice, or on any replica.
func (a *Applier) move(ctx context.Context, seen store.Reservation) (moved int, err error) {
	defer func() { // a panic over one stay must not stop the others
		if recovered := recover(); recovered != nil {
			a.log.Error("move to the next room panicked", "panic", recovered, "stack", string(debug.Stack()))
			err = fmt.Errorf("%w: %v", errPanicked, recovered)
		}
	}()
	err = a.store.InTx(context.WithoutCancel(ctx), func(tx pgx.Tx) error {
		moved = 0
		rs := newRows(a.now().UTC(), a.source)
		before, err := rs.lockToMove(ctx, tx, seen)
		if err != nil || before == nil {
			return err
		}
		after := *before
		rs.complete(&after)
		if after.SegmentDue != nil && !after.SegmentDue.After(rs.now) {
			return nil // it has changed in the meantime: another listing has to be locked
		}
		after.UpdatedAt = rs.now
		moved = 1
		return rs.saveMove(ctx, tx, *before, after)
	})
	return moved, err
}

// lockToMove locks the listings of a stay's rooms, and then the stay. It returns nil if the stay is no longer due to
// move.
func (rs *rows) lockToMove(ctx context.Context, tx pgx.Tx, seen store.Reservation) (*store.Reservation, error) {
	if err := store.LimitLockWait(ctx, tx, lockWait); err != nil {
		return nil, err
	}
	if err := rs.lockListings(ctx, tx, roomsOf(seen.Source, seen.ListingID, seen.Segments), false); err != nil {
		return nil, err
	}
	var err error
	if rs.reservations, err = store.LockReservations(ctx, tx, []stay.Ref{seen.Ref()}); err != nil {
		return nil, err
	}
	r, known := rs.reservations[seen.Ref()]
	if !known || r.SegmentDue == nil || r.SegmentDue.After(rs.now) {
		return nil, nil
	}
	return &r, nil
}

// saveMove writes a stay in its present room, and has its key follow.
func (rs *rows) saveMove(ctx context.Context, tx pgx.Tx, before, after store.Reservation) error {
	if err := store.UpdateReservations(ctx, tx, []store.Reservation{after}); err != nil {
		return err
	}
	var writes pgx.Batch
	changed := stayChanged(before, after)
	store.RequestKeys(&writes, []store.KeyRequest{keyRequest(after, rs.now, changed, false)}, rs.now)
	if stay.Text(before.ListingID) != stay.Text(after.ListingID) { // otherwise only its times were completed again
		if err := store.QueueTimeline(&writes, []store.Entry{moveEntry(before, after, rs.now)}); err != nil {
			return err
		}
	}
	return tx.SendBatch(ctx, &writes).Close()
}

// roomsOf are the listings of a stay: the present one and those of its segments.
func roomsOf(source string, present *string, segments []byte) []stay.ListingRef {
	var rooms []stay.ListingRef
	add := func(id *string) {
		if id != nil {
			rooms = append(rooms, stay.ListingRef{Source: source, ListingID: *id})
		}
	}
	add(present)
	for _, s := range segmentsOf(segments) {
		add(s.ListingID)
	}
	return rooms
}

func moveEntry(before, after store.Reservation, now time.Time) store.Entry {
	e := store.Entry{
		Ref: after.Ref(), At: now, Kind: stay.TimelineStep, Summary: "the stay moves from listing " +
			stay.Text(before.ListingID) + " to " + stay.Text(after.ListingID) + ", as planned by the PMS",
		Detail: map[string]any{"from": stay.Text(before.ListingID), "to": stay.Text(after.ListingID)},
	}
	if after.SegmentDue != nil {
		e.Detail["next_at"] = pms.FormatInstant(*after.SegmentDue)
	}
	return e
}
