package intake

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/point"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

const (
	// applyBatch is the maximum number of events in one batch. Its statements cost the same for few events as for many,
	// and many events name a listing once. Its locks are held for about a tenth of a second.
	applyBatch = 500
	// crowdedApply is that maximum during a burst: an applier pauses for a multiple of what its batch took.
	crowdedApply = 250
	// applyBytes bounds the bodies and documents of one batch: decoded, they take several times as much memory.
	applyBytes = 4 << 20
	// lockWait is how long a batch waits for a lock: its rows belong to many stays, and one of them must not hold up
	// the others.
	lockWait    = time.Second
	fanOutBatch = 500
	pollEvery   = time.Second
	// lookEvery is how often an applier looks for changes that arrive in other ways, while batch follows batch.
	lookEvery = time.Second
	// clockLead is how far an event's timestamp may be ahead of its receipt and still count; a sender whose clock is
	// wrong must not block the reservation forever (contract section 3).
	clockLead = 5 * time.Minute
)

// An applier's turn: a batch of events, then what changed in other ways (stays that move to their next room, a page of
// a changed listing's stays, a page of a changed policy's), and again until nothing is left. While batch follows batch,
// it looks for the others once a second. What an error of a batch
// results in:
//
//	several events        half as many next time, so that the faulty one is soon alone; after a lock, one by one
//	one, a lock           postponed, and the log says what it waits for; later events about the same objects step back
//	one, bad data, panic  set aside as rejected, for somebody to replay
//	Postgres is gone      everything stays in the queue, and Run tries again
//
// So one event never blocks others, and the order of events about one object holds.

// Applier takes events from the inbox, in the order of receipt, and applies them. Any number may run.
type Applier struct {
	store   *store.Store
	log     *slog.Logger
	now     func() time.Time
	source  func(name string) pms.Source
	fetches Fetches
	pace    *Pace
	applied func() // something may be due for the provisioner
	wake    chan struct{}

	activity *store.Activity
	traced   bool
}

// Options are what an applier needs besides the store.
type Options struct {
	// Source finds a source by its name, even one that is no longer in the configuration. Required.
	Source func(name string) pms.Source
	// Fetches fetches the documents that events need. Nil refuses such events: this process doesn't fetch.
	Fetches Fetches
	// Pace is shared with the process's acceptor. Nil: nothing is accepted meanwhile.
	Pace *Pace
	// Applied is called after something may be due for the provisioner. Nil: nobody is notified.
	Applied func()
	// Activity counts what happens to events. Nil: nothing is counted.
	Activity *store.Activity
	// Traced adds applying to the traces of events.
	Traced bool
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// Fetches fetches the documents that events need before they can be applied.
type Fetches interface {
	// Enqueue schedules the fetches; they start after the transaction is committed.
	Enqueue(ctx context.Context, tx pgx.Tx, events []store.Event) error
	// EnqueueAt schedules another fetch of one event's documents, at a given time.
	EnqueueAt(ctx context.Context, tx pgx.Tx, event store.Event, at time.Time) error
}

// NewApplier returns an applier that is not running yet.
func NewApplier(s *store.Store, log *slog.Logger, o Options) *Applier {
	a := &Applier{
		store: s, log: log, now: o.Now, source: o.Source, fetches: o.Fetches, applied: o.Applied,
		pace: cmp.Or(o.Pace, &Pace{}), activity: o.Activity, traced: o.Traced, wake: make(chan struct{}, 1),
	}
	if a.now == nil {
		a.now = time.Now
	}
	if a.applied == nil {
		a.applied = func() {}
	}
	return a
}

// Wake makes the applier look for work at once. It never blocks.
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
	t := newTurn()
	for {
		if err := a.drain(ctx, t); err != nil && ctx.Err() == nil {
			a.log.Error("applying events failed; retrying", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-a.wake:
		case <-tick.C:
		}
	}
}

// turn is what an applying goroutine remembers from batch to batch.
type turn struct {
	portion portion
	skipped map[stay.ListingRef]time.Time // listings whose fan-out failed, and until when they are skipped
	looked  time.Time                     // when it last looked for changes that arrive in other ways, and found none
}

func newTurn() *turn {
	return &turn{portion: portion{limit: applyBatch}, skipped: map[stay.ListingRef]time.Time{}}
}

// Drain applies everything that waits, and carries changes of listings, policies and rooms to their stays.
func (a *Applier) Drain(ctx context.Context) error { return a.drain(ctx, newTurn()) }

func (a *Applier) drain(ctx context.Context, t *turn) error {
	for {
		began := time.Now()
		n, again, err := a.applySome(ctx, &t.portion)
		if err != nil {
			return err
		}

		took := time.Since(began)
		if n > 0 {
			point.Reach(point.ApplyAfter)
			a.applied()
			a.giveWay(ctx, took)
		}

		if ctx.Err() != nil {
			return nil
		}

		if n == 0 && !again { // known whatever happens next: otherwise the provisioner and senders stay held back
			a.pace.applied(0, 0)
		}

		if n > 0 && time.Since(t.looked) < lookEvery {
			continue
		}
		more, err := a.lookForMore(ctx, t)
		if err != nil {
			return err
		}

		if n == 0 && !again && !more {
			return nil
		}
	}
}

// lookForMore carries a page of each of the changes that arrive in other ways to its stays. more reports whether there
// may be others.
func (a *Applier) lookForMore(ctx context.Context, t *turn) (more bool, err error) {
	for _, some := range []func(context.Context, *turn) (bool, error){a.moveSome, a.fanOutSome, a.followSome} {
		further, err := some(ctx, t)
		if err != nil {
			return false, err
		}
		more = more || further
	}
	if t.looked = time.Now(); more {
		t.looked = time.Time{} // the next page follows the next batch
	}
	return more, nil
}

// giveWay pauses for a while, to leave the machine to a burst.
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

// portion is how many events a batch takes. An error halves it, down to one event, and success doubles it again. If a
// batch meets a lock, its events are applied one by one from then on: otherwise all of them would wait for the same
// lock.
type portion struct {
	limit   int
	singles int // the number of events to apply one by one
}

func (p *portion) next() int {
	if p.singles > 0 {
		return 1
	}
	return p.limit
}

func (p *portion) succeeded(n int) {
	if p.singles > 0 {
		p.singles = max(0, p.singles-n)
		return
	}
	p.limit = min(p.limit*2, applyBatch)
}

func (p *portion) failed(n int, err error) {
	if store.IsLockWait(err) {
		p.singles = n
		return
	}
	p.limit = max(1, min(p.limit, n)/2)
}

// found records that the faulty event is out of the way.
func (p *portion) found() { p.singles = 0 }

// applySome applies one batch. again reports that more can be tried, although nothing was applied. An event that
// fails alone is rejected, if trying again can't help, or postponed, so that it never holds up the others.
func (a *Applier) applySome(ctx context.Context, p *portion) (n int, again bool, err error) {
	ctx = context.WithoutCancel(ctx) // a batch is short; it ends on its own
	t := try{limit: p.next()}
	if a.pace.Crowded() {
		t.limit = min(t.limit, crowdedApply)
	}
	if err = a.applyBatch(ctx, &t); err == nil {
		p.succeeded(t.claimed)
		return t.claimed, false, nil
	}
	ours := isOurs(err)
	switch {
	case t.claimed > 1:
		p.failed(t.claimed, err)
		if !ours && !errors.Is(err, store.ErrRaced) { // a smaller batch of a booking's events may fit
			return 0, false, err // Postgres is probably unreachable: not at once
		}
		return 0, true, nil
	case t.claimed == 0 || !ours:
		return 0, false, err
	case isPoison(err):
		a.log.Error("event not applied: set aside as rejected", "event_id", t.first.EventID, "source",
			t.first.Source, "error", err)
		err = a.store.Events.SetAside(ctx, t.first.Seq, "it could not be applied: "+err.Error())
	default:
		err = a.postpone(ctx, t, err)
	}
	p.found()
	return 1, true, err
}

var errPanicked = errors.New("this is a bug in staykey, please report it")

// isOurs reports whether an error is caused by what was tried, and not by an unreachable Postgres.
func isOurs(err error) bool {
	pg := new(pgconn.PgError)
	return errors.As(err, &pg) || errors.Is(err, errPanicked)
}

// isPoison reports whether trying again can't help.
func isPoison(err error) bool { return store.IsDataError(err) || errors.Is(err, errPanicked) }

// try is an attempt to apply a batch, and how far it got.
type try struct {
	limit    int
	claimed  int
	first    store.Event
	about    []string // what the first event is about, if it was mapped
	blockers []store.Blocker
}

const (
	// longestPutBack is the longest postponement of an event: its lock may be released at any time.
	longestPutBack = 5 * time.Second
	// retryLockWait replaces lockWait for a batch with a postponed event: its rows are probably still locked, and
	// others wait for this batch.
	retryLockWait = lockWait / 5
)

// postpone postpones an event that can't be applied now, keeping its order, and records what it waits for.
func (a *Applier) postpone(ctx context.Context, t try, cause error) error {
	wait := min(time.Second<<min(t.first.Tries, 10), longestPutBack)
	args := []any{
		"event_id", t.first.EventID.String(), "source", t.first.Source, "about", t.about, "tries", t.first.Tries + 1,
		"in", wait.String(),
		"waits_for", store.LockedRow(cause), "error", cause,
	}
	for _, b := range t.blockers {
		since := ""
		if b.Since != nil {
			since = b.Since.UTC().Format(time.RFC3339)
		}
		args = append(args, slog.Group("blocked_by", "pid", b.PID, "application", b.Application, "user", b.User,
			"state", b.State, "transaction_since", since))
	}
	a.log.Warn("event postponed: waiting for a lock, others continue", args...)
	return a.store.Events.Postpone(ctx, t.first.Seq, a.now().UTC().Add(wait), t.about)
}

func (a *Applier) applyBatch(ctx context.Context, t *try) (err error) {
	now := a.now().UTC()
	defer func() { // a panic over one event must not stop the others
		if recovered := recover(); recovered != nil {
			a.log.Error("applying events panicked", "panic", recovered, "stack", string(debug.Stack()))
			err = fmt.Errorf("%w: %v", errPanicked, recovered)
		}
	}()

	var b *batch
	err = a.store.InTx(ctx, func(tx pgx.Tx) error {
		b, t.claimed = nil, 0
		got, err := store.ClaimEvents(ctx, tx, store.Claim{
			Events: t.limit, Bytes: applyBytes, Now: now,
			LockWait: lockWait,
		})
		if err != nil || len(got.Events) == 0 {
			return err
		}

		t.claimed, t.first = len(got.Events), got.Events[0]
		if slices.ContainsFunc(got.Events, func(e store.Event) bool { return e.Tries > 0 }) {
			if err := store.LimitLockWait(ctx, tx, retryLockWait); err != nil {
				return err
			}
		}

		if t.claimed == 1 {
			watch := a.watchBlockers(ctx, got.PID)
			defer func() { t.blockers = watch() }()
		}

		b = &batch{now: now, source: a.source, log: a.log, lag: got.Lag}
		err = b.run(ctx, tx, got.Events, got.SomePutBack, a.fetches, a.traced)
		if len(b.events) > 0 {
			t.about = b.events[0].about()
		}
		return err
	})
	if err != nil || b == nil {
		return err
	}
	b.finish(ctx, a)
	return nil
}

// watchBlockers finds out which connections block one of ours, until the returned function is called.
func (a *Applier) watchBlockers(ctx context.Context, pid int) (stop func() []store.Blocker) {
	ctx, cancel := context.WithCancel(ctx)
	found := make(chan []store.Blocker, 1)
	go func() {
		var last []store.Blocker
		tick := time.NewTicker(retryLockWait / 2) // most batches end before the first look, which costs a connection
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				found <- last
				return
			case <-tick.C:
			}
			if now, err := a.store.Blockers(ctx, pid); err == nil && len(now) > 0 {
				last = now
			}
		}
	}()
	return func() []store.Blocker {
		cancel()
		return <-found
	}
}
