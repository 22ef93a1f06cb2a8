// Package intake takes what PMSs post and applies it to reservations and listings. Two parts meet in the inbox (the
// tables events and event_queue) and nowhere else:
//
//	Acceptor   makes an event durable before its webhook is answered (accept.go)
//	Applier    takes events from the queue in batches: map, lock, fold, save (apply.go, batch.go)
//
// The Applier also carries changes that arrive in other ways to the stays that they affect: changes of listings
// (fanout.go), of policies (follow.go), moves between rooms, and what admins and programs decide (admin.go,
// gates.go). Imports (import.go) and replays (replay.go) use the same batches.
//
// Events of a reservation, listing or guest take effect in the order of (sender's time, receipt), so the order of
// arrival and the division into batches don't matter.
package intake

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/staykey/staykey/internal/point"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// Errors of Accept. With both, the sender must try again.
var (
	// ErrBusy: nothing is kept.
	ErrBusy = errors.New("the inbox is full")
	// ErrUnavailable: the event may be kept, after a commit whose result is unknown. Then the next try finds it.
	ErrUnavailable = errors.New("the event could not be committed")
)

const (
	// batchSize is the maximum number of events in one commit. Beyond about a hundred a commit's fixed cost no longer
	// matters.
	batchSize = 128
	// waitingRoom is how many requests may wait for their commit; on the slowest disk worth waiting for, the last of
	// them is answered within a second or two.
	waitingRoom = 1024
	// CommitWithin is what one commit gets; after it the result is unknown, and the sender tries again.
	CommitWithin = 5 * time.Second
)

var (
	acceptBatch = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "staykey_accept_batch_size", Help: "Events committed together.", Buckets: []float64{
			1, 2, 4,
			8, 16, 32, 64, 128,
		},
	})
	appliedEvents = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "staykey_events_applied_total", Help: "Events processed from the inbox, by result.",
	}, []string{"source", "status"})
	unknownStatuses = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "staykey_unknown_statuses_total",
		Help: "Reservation changes with a status that their format doesn't know. They neither create nor remove a key.",
	}, []string{"source"})
	droppedFields = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "staykey_dropped_fields_total",
		Help: "Fields of events that could not be read and were dropped, by their name.",
	}, []string{"source", "field"})
	rejectedItems = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "staykey_rejected_items_total",
		Help: "Items of events that could not be read and were rejected, with or without the rest of their event.",
	}, []string{"source"})
)

// Collectors returns the package's metrics.
func Collectors() []prometheus.Collector {
	return []prometheus.Collector{acceptBatch, appliedEvents, unknownStatuses, droppedFields, rejectedItems}
}

// inserter is [store.Events], as far as accepting needs it.
type inserter interface {
	Insert(context.Context, []store.Event) ([]store.Accepted, error)
}

// Acceptor commits events in groups: events that arrive during a commit wait for the next one, so that a burst costs
// one commit per hundred events and a single event waits for nothing.
type Acceptor struct {
	store  inserter
	log    *slog.Logger
	pace   *Pace
	wake   func()
	queue  chan *waiting
	done   chan struct{}
	hurry  chan struct{} // closed by Close: no more pauses
	mu     sync.RWMutex  // guards closed, and with it sends to queue
	closed bool
	within time.Duration // of one commit

	outcome  sync.Mutex // guards the fields below
	refusals Refusals
	lost     int       // events of the refusals
	began    time.Time // the first of the refusals
	logged   time.Time // the last log record about them
}

type waiting struct {
	event  store.Event
	result chan result // buffered: the flusher never waits for a request that went away
}

type result struct {
	accepted store.Accepted
	err      error
}

// NewAcceptor starts the flusher. pace is shared with the process's applier; wake is called after each commit that
// leaves something to apply; within is what one commit gets, [CommitWithin] in service.
func NewAcceptor(s inserter, log *slog.Logger, pace *Pace, wake func(), within time.Duration) *Acceptor {
	a := &Acceptor{
		store: s, log: log, pace: pace, wake: wake, within: within, queue: make(chan *waiting, waitingRoom),
		done: make(chan struct{}), hurry: make(chan struct{}),
	}
	go a.run()
	return a
}

// Close accepts no more events and returns when the waiting ones are committed, or with the error of ctx when that
// ends.
func (a *Acceptor) Close(ctx context.Context) error {
	a.mu.Lock()
	if !a.closed {
		a.closed = true
		close(a.hurry)
		close(a.queue)
	}
	a.mu.Unlock()
	select {
	case <-a.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Refusals are the failed commits since the last successful one. Events whose content Postgres refuses don't count.
type Refusals struct {
	Count int       // 0: the last commit succeeded
	Last  time.Time // when the last one failed; zero if none did
	Err   error     // of the last one
}

// Refused returns the failed commits since the last successful one.
func (a *Acceptor) Refused() Refusals {
	a.outcome.Lock()
	defer a.outcome.Unlock()
	return a.refusals
}

// remember records the result of a commit, and logs when an outage begins, each minute of it, and its end.
func (a *Acceptor) remember(err error, events int) {
	a.outcome.Lock()
	defer a.outcome.Unlock()
	now := time.Now()
	if err == nil {
		if a.refusals.Count > 0 {
			a.log.Info("commits of events resumed", "refused", a.lost, "failed_commits", a.refusals.Count, "after",
				now.Sub(a.began).Round(time.Second).String())
		}
		a.refusals, a.lost = Refusals{}, 0
		return
	}
	if a.refusals.Count == 0 {
		a.began = now
	}
	a.refusals = Refusals{Count: a.refusals.Count + 1, Last: now, Err: err}
	a.lost += events
	if a.refusals.Count == 1 || now.Sub(a.logged) >= time.Minute {
		a.logged = now
		a.log.Error("events not committed: answering 503", "refused", a.lost, "failed_commits",
			a.refusals.Count, "error", err)
	}
}

// Accept makes an event durable and returns its result once the commit that holds it has been acknowledged. A context
// that ends earlier doesn't remove the event from its batch.
func (a *Acceptor) Accept(ctx context.Context, e store.Event) (store.Accepted, error) {
	w := &waiting{event: e, result: make(chan result, 1)}
	if err := a.enqueue(w); err != nil {
		return store.Accepted{}, err
	}
	select {
	case r := <-w.result:
		return r.accepted, r.err
	case <-ctx.Done():
		return store.Accepted{}, fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	}
}

func (a *Acceptor) enqueue(w *waiting) error {
	a.mu.RLock()
	defer a.mu.RUnlock()
	if a.closed {
		return fmt.Errorf("%w: shutting down", ErrUnavailable)
	}
	select {
	case a.queue <- w:
		return nil
	default:
		return ErrBusy
	}
}

func (a *Acceptor) run() {
	defer close(a.done)
	var deferred []*waiting // a second event with the same key waits for the first one's commit
	for {
		batch := deferred
		deferred = nil
		if len(batch) == 0 {
			w, ok := <-a.queue
			if !ok {
				return
			}
			batch = append(batch, w)
		}
	fill:
		for len(batch) < batchSize {
			select {
			case w, ok := <-a.queue:
				if !ok {
					break fill
				}
				batch = append(batch, w)
			default:
				break fill
			}
		}
		batch, deferred = splitRepeated(batch)
		a.flush(batch)
		a.pace.accepted(len(batch))
		if delay := a.pace.delay(len(batch)); delay > 0 {
			select {
			case <-time.After(delay):
			case <-a.hurry:
			}
		}
	}
}

// splitRepeated keeps the first event of each (source, key): one statement can't insert a row twice.
func splitRepeated(batch []*waiting) (first, repeated []*waiting) {
	type key struct{ source, key string }
	seen := make(map[key]bool, len(batch))
	for _, w := range batch {
		if w.event.EventKey != nil {
			k := key{w.event.Source, *w.event.EventKey}
			if seen[k] {
				repeated = append(repeated, w)
				continue
			}
			seen[k] = true
		}
		first = append(first, w)
	}
	return first, repeated
}

// flush commits a batch. If Postgres refuses a value, the batch is halved until the faulty event is alone, so that
// its neighbors are committed.
func (a *Acceptor) flush(batch []*waiting) {
	ctx, cancel := context.WithTimeout(context.Background(), a.within)
	defer cancel()
	events := make([]store.Event, len(batch))
	for i, w := range batch {
		events[i] = w.event
	}

	point.Reach(point.AcceptBefore)
	accepted, err := a.store.Insert(ctx, events)

	if store.IsDataError(err) && len(batch) > 1 {
		a.flush(batch[:len(batch)/2])
		a.flush(batch[len(batch)/2:])
		return
	}

	if err != nil {
		if !store.IsDataError(err) {
			a.remember(err, len(batch))
		} else {
			a.log.Error("event not committed: Postgres refuses its content", "error", err)
		}
		for _, w := range batch {
			w.result <- result{err: fmt.Errorf("%w: %w", ErrUnavailable, err)}
		}
		return
	}

	a.remember(nil, 0)
	point.Reach(point.AcceptAfter)
	acceptBatch.Observe(float64(len(batch)))

	toApply := false
	for i, w := range batch {
		toApply = toApply || (!accepted[i].Duplicate && w.event.Status == stay.EventAccepted)
		w.result <- result{accepted: accepted[i]}
	}
	if toApply {
		a.wake()
	}
}
