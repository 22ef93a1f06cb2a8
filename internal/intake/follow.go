package intake

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// mostLocked is how many locked stays of a page are passed over: each costs a wait.
const mostLocked = 3

// followSome updates a page of stays that were completed with a policy other than their source's present one. It does
// not matter why they differ: the policy changed, a replica with an older configuration applied an event, or the
// stays were imported before the source had an entry. A replica whose own policy is not the recorded one leaves them
// to the others. If some of a source's stays are locked, the source is skipped for a while, so that events don't
// wait. more reports whether there may be others.
func (a *Applier) followSome(ctx context.Context, t *turn) (more bool, err error) {
	stale, err := a.store.Policies.Stale(ctx)
	if err != nil {
		return false, err
	}
	for _, p := range stale {
		policy, source := nameOf(a.source(p.Source).Policy), stay.ListingRef{Source: p.Source}
		if _, skip := t.skipped[source]; skip || policy.fingerprint != p.Fingerprint {
			continue
		}

		n, err := a.follow(ctx, p, policy)
		if n > 0 {
			a.applied()
		}

		if store.IsLockWait(err) {
			t.skipped[source] = time.Now().Add(fanOutRest)
			a.log.Warn("stays not updated to the source's policy; retrying", "source", p.Source, "waits_for",
				store.LockedRow(err), "error", err)
			continue
		}
		if err != nil {
			return false, fmt.Errorf("update the stays of source %s to its policy: %w", p.Source, err)
		}
		if n > 0 {
			return true, nil
		}
	}
	return false, nil
}

// follow completes up to a page of a source's stays with its policy, and returns how many. If some are locked, they
// are updated one by one.
func (a *Applier) follow(ctx context.Context, p store.SourcePolicy, policy namedPolicy) (n int, err error) {
	var stays []store.StayOfOtherPolicy
	now := a.now().UTC()
	err = a.store.InTx(context.WithoutCancel(ctx), func(tx pgx.Tx) (err error) {
		stays, err = store.StaysOfOtherPolicy(ctx, tx, p, now, fanOutBatch)
		return err
	})
	if err != nil || len(stays) == 0 {
		return 0, err
	}
	if err = a.followAll(ctx, stays, policy); !store.IsLockWait(err) {
		return len(stays), err
	}
	locked := 0
	for i := range stays {
		switch alone := a.followAll(ctx, stays[i:i+1], policy); {
		case alone == nil:
			n++
		case !store.IsLockWait(alone):
			return n, alone
		default:
			if locked++; locked == mostLocked {
				return n, alone
			}
		}
	}
	return n, err
}

// followAll completes stays with the policy of their source, in one transaction.
func (a *Applier) followAll(ctx context.Context, stays []store.StayOfOtherPolicy, policy namedPolicy) error {
	return a.store.InTx(context.WithoutCancel(ctx), func(tx pgx.Tx) error {
		if err := store.LimitLockWait(ctx, tx, lockWait); err != nil {
			return err
		}
		rs := newRows(a.now().UTC(), a.source)
		if err := rs.lockStays(ctx, tx, stays); err != nil {
			return err
		}

		var completed []store.Reservation
		var requests []store.KeyRequest
		for _, s := range stays {
			before := rs.reservations[stay.Ref{Source: s.Source, ReservationID: s.ReservationID}]
			r, followed := rs.followed(before, s, policy)
			if !followed {
				continue
			}
			completed = append(completed, r)
			if s.Live && (s.Before != policy.fingerprint || stayChanged(before, r)) {
				requests = append(requests, keyRequest(r, rs.now, true, false))
			}
		}

		var writes pgx.Batch
		store.SaveCompletions(&writes, completed)
		store.RequestKeys(&writes, requests, rs.now)
		return tx.SendBatch(ctx, &writes).Close()
	})
}

// lockStays locks stays and, before them, the listings that they had when they were read.
func (rs *rows) lockStays(ctx context.Context, tx pgx.Tx, stays []store.StayOfOtherPolicy) (err error) {
	var listings []stay.ListingRef
	refs := make([]stay.Ref, len(stays))
	for i, s := range stays {
		refs[i] = stay.Ref{Source: s.Source, ReservationID: s.ReservationID}
		listings = append(listings, roomsOf(s.Source, s.ListingID, s.Segments)...)
	}
	if err := rs.lockListings(ctx, tx, listings, false); err != nil {
		return err
	}
	rs.reservations, err = store.LockReservations(ctx, tx, refs)
	return err
}

// followed returns a locked stay completed with the policy. A stay that has been updated in the meantime, or was
// cancelled or moved to a listing that is not locked, is left unchanged: the next look finds it, if it still needs
// updating.
func (rs *rows) followed(r store.Reservation, seen store.StayOfOtherPolicy,
	policy namedPolicy,
) (store.Reservation, bool) {
	if r.Status != pms.Confirmed || stay.Text(r.Policy) == policy.fingerprint {
		return r, false
	}
	if !seen.Live { // its times are no longer needed
		r.Policy = &policy.fingerprint
		return r, true
	}
	listing, locked := rs.listingOf(&r)
	if !locked || !bytes.Equal(r.Segments, seen.Segments) {
		return r, false
	}
	if r.Segments != nil { // with another time zone, the present room may be another one
		rs.complete(&r)
		return r, stay.Text(r.Policy) == policy.fingerprint
	}
	if listing.MergedInto != nil { // it continues there, as in the listing's own fan-out
		r.ListingID = rs.present(r.Source, r.ListingID)
		listing = rs.listings[stay.ListingRef{Source: r.Source, ListingID: *r.ListingID}]
	}
	completeStay(&r, listing, policy, rs.now)
	return r, true
}
