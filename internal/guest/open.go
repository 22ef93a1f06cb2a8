package guest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/point"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// This file gives the guest of a link an instant key. An opening is one use of the link. It holds the lease on its
// stay, so that two taps at once don't make two keys, and takes these steps:
//
//	begin     locks the stay's key and judges the stay once more. It returns the instant key that the stay has, or
//	          commits the mark of one: a row without an id at Seam, which is due for the cleaner (cleaner.go)
//	again     reads a recorded instant key at Seam. One that Seam no longer has is marked as ending, and the opening
//	          begins once more
//	create    one call to Seam; the guard on it refuses to send what might be answered after the lease
//	record    locks the stay's key again, saves the id, and counts the opening. What no longer fits the stay is marked as
//	          ending instead and not handed out: the guest or the key changed during the call
//	notMade   the call failed. Where Seam refused, nothing exists and the mark is deleted; where the answer was lost,
//	          the mark says when, and the cleaner searches for what the call may have made
//
// A mark is on disk before its call. So a process that dies at any point leaves either nothing at Seam, or a mark that
// leads the cleaner there. Whatever takes a key away (a cancellation, another guest, a renewed link) locks the same key
// first: it finds the record, or record finds what it changed.

// Opened is what a link's guest is given.
type Opened struct {
	InstantKeyURL string
	ExpiresAt     time.Time // of the instant key
	Page          Page
}

// Open gives a link's guest an instant key: the one that was given before while it is good, else a new one. Errors:
// [ErrUnknown], [ErrGone], [NotReadyError], [LimitError], [ErrBusy], [ErrUnavailable].
func (s *Service) Open(ctx context.Context, id string) (Opened, error) {
	opened, err := s.open(ctx, id)
	count(byLink, err)
	return opened, err
}

func (s *Service) open(ctx context.Context, id string) (Opened, error) {
	state, source, counter, err := s.find(ctx, id)
	if err != nil {
		return Opened{}, err
	}
	if err := s.mayOpen(state, counter); err != nil {
		return Opened{}, err
	}
	lease, until, err := s.lease(ctx, state.Ref)
	if err != nil {
		return Opened{}, err
	}
	defer s.drop(ctx, lease)
	o := opening{Service: s, lease: lease, until: until, counter: counter, calls: calls{ref: state.Ref}}
	// A recorded key may turn out to be gone from Seam: then a new one is made.
	for range 2 {
		key, err := o.once(ctx)
		if errors.Is(err, errGoneAtSeam) {
			continue
		}
		if err != nil {
			return Opened{}, err
		}
		return Opened{
			InstantKeyURL: key.URL, ExpiresAt: seam.ParseTime(key.ExpiresAt),
			Page: s.page(state, source),
		}, nil
	}
	return Opened{}, ErrUnavailable
}

// opening is one use of a link.
type opening struct {
	*Service
	lease   store.GuestLease
	until   time.Time // when the lease ends, by this process's clock
	counter int32     // of the link
	calls
}

var errGoneAtSeam = errors.New("the instant key is gone from Seam")

// mayOpen judges a stay for its link: [ErrGone], [NotReadyError], [LimitError].
func (s *Service) mayOpen(state store.GuestState, counter int32) error {
	now := s.now()
	if !s.linkHolds(state, counter) || isGone(state, now) {
		return ErrGone
	}
	if err := s.mayHand(state); err != nil {
		return err
	}
	if wait := limited(state.Recent, now); wait > 0 {
		return &LimitError{After: wait}
	}
	return nil
}

// mayHand judges a stay for whatever shows its key.
func (s *Service) mayHand(state store.GuestState) error {
	if isGone(state, s.now()) {
		return ErrGone
	}
	if s.readiness(state) != Ready {
		return &NotReadyError{Page: s.page(state, s.options.Source(state.Source))}
	}
	return nil
}

// once hands out the recorded instant key, or makes one.
func (o *opening) once(ctx context.Context) (seam.InstantKey, error) {
	h, err := o.begin(ctx)
	if err != nil {
		return seam.InstantKey{}, err
	}
	if h.SeamID != nil {
		return o.again(ctx, h)
	}
	o.reach(point.GuestMarked)
	key, err := o.seam.CreateInstantKey(o.guarded(o.because(ctx, "the guest opened the link"), o.until),
		seam.CreateInstantKey{UserIdentityID: h.IdentityID, MaxUseCount: usesOfKey})
	o.reach(point.GuestMade)
	if err != nil {
		return key, o.notMade(ctx, h, err)
	}
	h.SeamID, h.SessionID, h.ExpiresAt = &key.InstantKeyID, stay.OrNil(key.ClientSessionID), timeOrNil(key.ExpiresAt)
	fits := key.UserIdentityID == h.IdentityID && key.URL != "" && h.ExpiresAt != nil
	return key, o.record(ctx, h, fits, fmt.Sprintf("instant key %s was made for the guest", key.InstantKeyID))
}

// begin judges the stay once more, with its key locked, and returns the instant key to hand out again, or the mark
// of one that must be made.
func (o *opening) begin(ctx context.Context) (h store.HandedOut, err error) {
	err = o.store.GuestStays.WithLease(ctx, o.lease, func(tx pgx.Tx, state *store.GuestState) error {
		if state == nil {
			return ErrGone
		}
		if err := o.mayOpen(*state, o.counter); err != nil {
			return err
		}
		has, err := store.GuestHas(ctx, tx, o.ref)
		if err != nil {
			return err
		}
		guest := o.guestKey(state.GuestEmail)
		if known := reusable(has, *state, guest, o.now()); known != nil {
			h = *known
			return nil
		}
		h = o.mark(store.HandedInstantKey, *state, guest)
		return store.MarkHandedOut(ctx, tx, o.ref, &h, o.lookAt(h))
	})
	return h, wrapped(err)
}

// mark is the mark of something that is about to be made of a stay's key.
func (s *Service) mark(kind string, state store.GuestState, guest string) store.HandedOut {
	return store.HandedOut{
		Kind: kind, IdentityID: *state.IdentityID, GuestKey: guest,
		CredentialID: *state.CredentialID, MarkedAt: s.now(),
	}
}

// lookAt is when a mark that nobody has recorded the result of is looked at: its call has ended by then, and Seam's
// reads show what it created.
func (s *Service) lookAt(h store.HandedOut) time.Time {
	return h.MarkedAt.Add(s.options.Lease + s.options.ReadLag)
}

// again reads the URL of an instant key that was handed out before.
func (o *opening) again(ctx context.Context, h store.HandedOut) (seam.InstantKey, error) {
	key, err := o.seam.InstantKey(o.guarded(o.because(ctx, "the guest opened the link again"), o.until), *h.SeamID)
	if seam.KindOf(err) == seam.NotFound {
		return key, o.end(ctx, h)
	}
	if err != nil {
		return key, o.failed(err)
	}
	if expires := timeOrNil(key.ExpiresAt); expires != nil {
		h.ExpiresAt = expires
	}
	fits := key.UserIdentityID == h.IdentityID && key.URL != ""
	return key, o.record(ctx, h, fits, fmt.Sprintf("instant key %s was handed to the guest again", key.InstantKeyID))
}

// record writes down what is about to be handed out, and that it is, if the stay's key still may be: whatever takes
// it away after this finds the record. What does not fit the stay's identity is not handed out, and goes.
func (o *opening) record(ctx context.Context, h store.HandedOut, fits bool, what string) error {
	var refused error
	err := o.commitLast(ctx, func(_ context.Context, _ pgx.Tx, b *pgx.Batch, state *store.GuestState) error {
		refused = o.refusal(h, state, fits)
		now := o.now()
		if refused != nil {
			h.EndingAt = &now
			store.DueGuestStay(b, o.ref, now)
			what += ", too late: it is deleted"
		} else {
			h.Uses++
			store.CountOpening(b, o.ref, now, used(state.Recent, now))
		}

		store.SaveHandedOut(b, h)
		o.note(now, what, map[string]any{"instant_key_id": *h.SeamID})
		return nil
	})
	return o.recorded(err, refused)
}

// recorded is the result once a commit has recorded what Seam made, or failed. What was refused then, the cleaner takes
// back at once.
func (o *opening) recorded(failed, refused error) error {
	if failed != nil {
		return failed
	}
	o.reach(point.GuestRecorded)
	if refused != nil {
		o.Wake()
	}
	return refused
}

// refusal is why a created key is not handed out; nil if it is.
func (o *opening) refusal(h store.HandedOut, state *store.GuestState, fits bool) error {
	if state == nil {
		return ErrGone
	}
	if err := o.mayOpen(*state, o.counter); err != nil {
		return err
	}
	if !fits || *state.CredentialID != h.CredentialID || *state.IdentityID != h.IdentityID {
		return &NotReadyError{Page: o.page(*state, o.options.Source(state.Source))}
	}
	return nil
}

// entriesOf are the lines for the timeline: none where the reservation is gone.
func (c *calls) entriesOf(state *store.GuestState) []store.Entry {
	if state == nil {
		return nil
	}
	return c.entries
}

// commit records what Seam has done, under the lease, even if the request has ended.
func (o *opening) commit(ctx context.Context, fn func(context.Context, pgx.Tx, *store.GuestState) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.store.Within(commitTimeout))
	defer cancel()
	err := o.store.GuestStays.WithLease(ctx, o.lease,
		func(tx pgx.Tx, state *store.GuestState) error { return fn(ctx, tx, state) })
	return wrapped(err)
}

// commitLast is the last commit of an opening: with what queue adds it writes the timeline, and it ends the lease.
func (o *opening) commitLast(ctx context.Context,
	queue func(context.Context, pgx.Tx, *pgx.Batch, *store.GuestState) error,
) error {
	return o.commit(ctx, func(ctx context.Context, tx pgx.Tx, state *store.GuestState) error {
		var b pgx.Batch
		if err := queue(ctx, tx, &b, state); err != nil {
			return err
		}
		if err := store.QueueTimeline(&b, o.entriesOf(state)); err != nil {
			return err
		}
		store.ReleaseGuestLease(&b, o.lease)
		return tx.SendBatch(ctx, &b).Close()
	})
}

// notMade follows a create without a result: refused by Seam it leaves nothing, and a lost one is looked for.
func (o *opening) notMade(ctx context.Context, h store.HandedOut, err error) error {
	written := o.commitLast(ctx, func(_ context.Context, _ pgx.Tx, b *pgx.Batch, _ *store.GuestState) error {
		if seam.KindOf(err) == seam.Lost {
			now := o.now()
			h.LostAt = &now
			store.SaveHandedOut(b, h)
			store.DueGuestStay(b, o.ref, now.Add(o.options.ReadLag))
		} else {
			store.DeleteHandedOut(b, h.ID)
		}
		return nil
	})
	o.log.Warn("guest key not handed out", "source", o.ref.Source, "reservation_id", o.ref.ReservationID, "error", err)
	return errors.Join(ErrUnavailable, written)
}

// end forgets an instant key that Seam no longer has: the next search deletes what is left of it.
func (o *opening) end(ctx context.Context, h store.HandedOut) error {
	err := o.commit(ctx, func(ctx context.Context, tx pgx.Tx, _ *store.GuestState) error {
		now := o.now()
		h.EndingAt = &now
		var b pgx.Batch
		store.SaveHandedOut(&b, h)
		store.DueGuestStay(&b, o.ref, now)
		return tx.SendBatch(ctx, &b).Close()
	})
	if err != nil {
		return err
	}
	return errGoneAtSeam
}

// failed follows a read without an answer.
func (o *opening) failed(err error) error {
	o.log.Warn("guest key not handed out", "source", o.ref.Source, "reservation_id", o.ref.ReservationID, "error", err)
	return ErrUnavailable
}

// wrapped turns a lost lease into what the caller gets.
func wrapped(err error) error {
	if errors.Is(err, store.ErrLeaseLost) {
		return errors.Join(ErrUnavailable, err)
	}
	return err
}

// timeOrNil reads a time of Seam's, nil where there is none.
func timeOrNil(s string) *time.Time {
	t := seam.ParseTime(s)
	if t.IsZero() {
		return nil
	}
	return &t
}
