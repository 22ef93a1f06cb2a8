package intake

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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
	source  func(name string) pms.Source
	fetches Fetches
	pace    *Pace
	applied func() // something may be due for the provisioner
	wake    chan struct{}

	// Activity counts what becomes of events; nil for nobody to count. It is set before Run.
	Activity *store.Activity
	// Traced has events traced. It is set before Run.
	Traced bool
}

// Fetches has documents fetched that events need before they can be applied.
type Fetches interface {
	// Enqueue has them fetched once the transaction is committed.
	Enqueue(ctx context.Context, tx pgx.Tx, events []store.Event) error
}

// NewApplier returns an applier that is not running yet. source finds a source by its name, also one that has gone from the
// configuration; pace is the one of the process's acceptor.
func NewApplier(s *store.Store, log *slog.Logger, now func() time.Time, source func(string) pms.Source, fetches Fetches, pace *Pace, applied func()) *Applier {
	return &Applier{store: s, log: log, now: now, source: source, fetches: fetches, pace: pace, applied: applied, wake: make(chan struct{}, 1)}
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
		following, err := a.followSome(ctx)
		if err != nil {
			return err
		}
		more = more || following
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

func (a *Applier) applyBatch(ctx context.Context, limit int) (n int, first store.Event, err error) {
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
		if n, b = len(events), nil; err != nil || n == 0 {
			return err
		}
		first = events[0]
		b = newBatch(now, a.source, a.log)
		if events = b.mapEvents(ctx, events); len(events) > 0 { // those that take too long together are for the next batch
			if err := store.Unclaim(ctx, tx, events); err != nil {
				return err
			}
			n -= len(events)
		}
		if err := b.lock(ctx, tx); err != nil {
			return err
		}
		point.Reach(point.ApplyLocked)
		b.fold()
		defer point.Reach(point.ApplyBefore)
		if err := b.await(ctx, tx, a.fetches); err != nil {
			return err
		}
		return b.save(ctx, tx, a.Traced)
	})
	if err != nil || b == nil {
		return n, first, err
	}
	if a.Traced {
		b.trace(ctx, a.now())
	}
	b.count(a.Activity)
	if oldest := slices.IndexFunc(b.events, func(e store.Event) bool { return !e.Urgent }); oldest >= 0 {
		a.pace.applied(n, now.Sub(b.events[oldest].ReceivedAt))
	} else {
		a.pace.overtaken(n)
	}
	return n, first, nil
}
