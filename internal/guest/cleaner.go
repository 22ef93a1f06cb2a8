package guest

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/staykey/staykey/internal/point"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/store"
)

// This file takes back what guests were handed once it no longer holds. A row of handed_out is an instant key or a
// session of the guest's app, in one of these states:
//
//	marked    no id, no lost_at: a call is under way. Once the lease is free, its process is gone: the row becomes lost
//	lost      no id, lost_at: the call may have made something. The identity is searched at the times of looks
//	live      an id: the guest has it
//	ending    an id and ending_at: it no longer holds. It is deleted or revoked at Seam, and tried again until it is
//	deleted   deleted_at: Seam has confirmed. After the read lag one search makes sure that nothing came back
//
// Rows go when nothing can be left of them (over). A cleaning is one look at one stay, under its lease:
//
//	load      locks the stay's key; marks become lost, and what no longer holds becomes ending, in one commit: from
//	          then on an opening hands it out no more
//	takeBack  deletes what is ending, then searches the identities of lost and deleted rows. The identity is of this
//	          stay alone, so whatever it has that no live row names is deleted, too
//	finish    saves the rows, the timeline, and when the next look is due
//
// A failure at Seam makes the stay due again after a pause that grows; rows that were finished stay so.

// Limits of the cleaner.
const (
	cleaners     = 4 // stays at a time
	firstBackoff = 2 * time.Second
	lastBackoff  = 5 * time.Minute
)

// looks are the times after a lost call at which Seam is searched for what it may have created: reads may lag, and a
// call may take effect late.
func (s *Service) looks() []time.Duration {
	return []time.Duration{s.options.ReadLag, time.Minute, 10 * time.Minute}
}

// Run takes back what guests may no longer have, until ctx ends.
func (s *Service) Run(ctx context.Context) {
	for ctx.Err() == nil {
		n, err := s.Clean(ctx)
		if err != nil && ctx.Err() == nil {
			s.log.Error("guest keys not checked: database error", "error", err)
		}
		if n > 0 && err == nil {
			continue
		}
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-s.options.After(s.options.PollEvery):
		}
	}
}

// Clean looks at the stays that are due, and returns how many there were.
func (s *Service) Clean(ctx context.Context) (int, error) {
	asked := time.Now()
	due, err := s.store.GuestStays.Claim(ctx, s.now(), s.options.Lease, cleaners)
	if err != nil {
		return 0, err
	}
	if len(due) > 0 {
		s.reach(point.GuestClaimed)
	}
	var group errgroup.Group
	for _, lease := range due {
		group.Go(func() error { return s.clean(ctx, lease, asked.Add(s.options.Lease)) })
	}
	return len(due), group.Wait()
}

// clean looks at one stay.
func (s *Service) clean(ctx context.Context, lease store.GuestLease, until time.Time) error {
	c := cleaning{
		Service: s, lease: lease, until: until, calls: calls{ref: lease.Ref}, done: map[string]bool{},
		doubted: map[string]bool{},
	}
	if err := c.load(ctx); err != nil {
		return ignoreLost(err)
	}
	var failure error
	if !c.held {
		failure = c.takeBack(ctx)
	}
	if ctx.Err() != nil {
		s.drop(ctx, lease)
		return nil
	}
	if c.held {
		failure = nil // the rest is due when the hold ends, which changes the stay's key
	}
	if failure != nil {
		s.log.Warn("guest key not taken back yet", "source", lease.Source, "reservation_id",
			lease.ReservationID, "error", failure)
	}
	return ignoreLost(c.finish(ctx, failure))
}

func ignoreLost(err error) error {
	if errors.Is(err, store.ErrLeaseLost) {
		return nil // anyone who has the lease now does it
	}
	return err
}

// cleaning is one look at what a stay's guest has.
type cleaning struct {
	*Service
	lease store.GuestLease
	until time.Time // when the lease ends, by this process's clock
	gone  bool      // the reservation no longer exists
	held  bool      // an admin holds the stay: nothing may change at Seam
	has   []store.HandedOut
	// deleted or revoked in this look: those that Seam accepted, and those that it answered it doesn't have
	done, doubted map[string]bool
	calls
}

// load reads what the guest has, and writes down what ends: from then on it is not handed out.
func (c *cleaning) load(ctx context.Context) error {
	return c.store.GuestStays.WithLease(ctx, c.lease, func(tx pgx.Tx, state *store.GuestState) error {
		has, err := store.GuestHas(ctx, tx, c.ref)
		if err != nil {
			return err
		}
		live, err := store.LiveKeys(ctx, tx, c.ref)
		if err != nil {
			return err
		}
		now := c.now()
		var b pgx.Batch
		for i := range has {
			h := &has[i]
			switch {
			case h.SeamID == nil && h.LostAt == nil: // anyone who marked it is gone: nobody else has the lease
				lost := h.MarkedAt.Add(c.options.Lease)
				h.LostAt = &lost
			case h.SeamID != nil && h.EndingAt == nil && !c.holds(*h, state, live):
				h.EndingAt = &now
			default:
				continue
			}
			store.SaveHandedOut(&b, *h)
		}
		c.gone, c.has, c.held = state == nil, has, state != nil && state.OnHold
		return tx.SendBatch(ctx, &b).Close()
	})
}

// takeBack deletes and revokes at Seam what has ended, and looks for what lost calls have left.
func (c *cleaning) takeBack(ctx context.Context) error {
	var failure error
	for i := range c.has {
		if h := &c.has[i]; h.SeamID != nil && h.EndingAt != nil && h.DeletedAt == nil {
			if err := c.delete(ctx, h); err != nil {
				failure = errors.Join(failure, err)
				continue
			}
			now := c.now()
			h.DeletedAt, h.Looks = &now, int32(len(c.looks()))-c.confirmations(*h)
		}
	}
	for _, identity := range c.toSearch() {
		began := c.now()
		if err := c.search(ctx, identity); err != nil {
			failure = errors.Join(failure, err)
			continue
		}
		c.searched(identity, began)
	}
	return failure
}

// confirmations is how many searches, a read lag apart, have to confirm that something is gone: one if Seam has
// accepted its delete, and two if Seam answered that it doesn't have it, because one wrong 404 would lose it.
func (c *cleaning) confirmations(h store.HandedOut) int32 {
	if c.done[*h.SeamID] {
		return 1
	}
	return 2
}

// delete removes one recorded thing at Seam.
func (c *cleaning) delete(ctx context.Context, h *store.HandedOut) error {
	if h.Kind == store.HandedSession {
		return c.revoke(ctx, *h.SeamID)
	}
	if err := c.deleteKey(ctx, *h.SeamID); err != nil || h.SessionID == nil {
		return err
	}
	return c.revoke(ctx, *h.SessionID)
}

const whyEnds = "the key that it shows is not the guest's any more"

func (c *cleaning) deleteKey(ctx context.Context, id string) error {
	return c.once(ctx, id, func(ctx context.Context) error { return c.seam.DeleteInstantKey(ctx, id) })
}

func (c *cleaning) revoke(ctx context.Context, id string) error {
	return c.once(ctx, id, func(ctx context.Context) error { return c.seam.RevokeClientSession(ctx, id) })
}

var errOnHold = errors.New("an admin holds the stay")

// once sends a deleting call, at most once in this look, unless an admin has put the stay on hold. Whether a 404 is
// true, the searches find out.
func (c *cleaning) once(ctx context.Context, id string, call func(context.Context) error) (err error) {
	if c.done[id] || c.doubted[id] {
		return nil
	}
	if c.held, err = c.store.GuestStays.IsOnHold(ctx, c.ref); err != nil {
		return err
	}
	if c.held {
		return errOnHold
	}
	if err := c.extend(ctx); err != nil {
		return err
	}

	err = call(c.guarded(c.because(ctx, whyEnds), c.until))
	switch {
	case err == nil:
		c.done[id] = true
	case seam.KindOf(err) == seam.NotFound:
		c.doubted[id] = true
	default:
		return err
	}
	c.reach(point.GuestDeleted)
	return nil
}

// extend keeps the lease for another call.
func (c *cleaning) extend(ctx context.Context) error {
	if time.Until(c.until) > c.options.Lease/2 {
		return nil
	}
	until := time.Now().Add(c.options.Lease)
	if err := c.store.GuestStays.ExtendLease(ctx, c.lease, c.options.Lease); err != nil {
		return err
	}
	c.until = until
	return nil
}

// nextLook is when a row needs its identity to be searched; zero where it doesn't.
func (c *cleaning) nextLook(h store.HandedOut) time.Time {
	switch {
	case h.SeamID == nil && h.LostAt != nil:
		looks := c.looks()
		return h.LostAt.Add(looks[min(int(h.Looks), len(looks)-1)])
	case h.DeletedAt != nil:
		return h.DeletedAt.Add(c.options.ReadLag)
	default:
		return time.Time{}
	}
}

// over reports whether nothing can be left of a row at Seam.
func (c *cleaning) over(h store.HandedOut) bool {
	return h.Looks >= int32(len(c.looks())) && (h.SeamID == nil || h.DeletedAt != nil)
}

// finish writes what this look has brought, and when the next one is due.
func (c *cleaning) finish(ctx context.Context, failure error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.store.Within(commitTimeout))
	defer cancel()

	var b pgx.Batch
	left, due := c.queueRows(&b)
	tries := int32(0)
	switch {
	case c.held:
		due = nil
	case failure != nil:
		tries = c.lease.Tries + 1
		at := c.now().Add(backoff(tries))
		due = &at
	}
	if c.gone {
		c.entries = nil
	}

	return c.store.GuestStays.WithLease(ctx, c.lease, func(tx pgx.Tx, state *store.GuestState) error {
		if state == nil {
			c.entries = nil
		}
		if err := store.QueueTimeline(&b, c.entries); err != nil {
			return err
		}
		store.FinishGuestStay(&b, c.lease, due, tries)
		if c.gone && !left && failure == nil {
			store.ForgetGuestStay(&b, c.ref)
		}
		return tx.SendBatch(ctx, &b).Close()
	})
}

// queueRows saves the rows that are not over and deletes the others. It returns whether any is left, and when the next
// of them is due, nil for never.
func (c *cleaning) queueRows(b *pgx.Batch) (left bool, due *time.Time) {
	for _, h := range c.has {
		if c.over(h) {
			store.DeleteHandedOut(b, h.ID)
			continue
		}
		left = true
		store.SaveHandedOut(b, h)
		if at := c.nextLook(h); !at.IsZero() && (due == nil || at.Before(*due)) {
			due = &at
		}
	}
	return left, due
}

// backoff is how long to wait after n failures in a row.
func backoff(tries int32) time.Duration {
	wait := min(firstBackoff<<min(tries-1, 10), lastBackoff)
	return wait - rand.N(wait/4) // #nosec G404 -- jitter
}
