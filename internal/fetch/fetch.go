// Package fetch asks PMSs for the documents that their webhooks only name, and keeps asking until it has them.
package fetch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/pmsapi"
	"github.com/staykey/staykey/internal/store"
)

const (
	// share is how many events of one source are fetched for at a time: a PMS that hangs takes no more than its own.
	share = 2
	// rounds is how often one document may lead to the next.
	rounds = 4
	// jobWithin bounds the work on one event: a thousand documents at the slowest pace take eight minutes.
	jobWithin = 30 * time.Minute
	// lookAgain is how soon after one look at a source's queue the next may follow.
	lookAgain = river.FetchCooldownMin
	// pollEvery is how often a source's queue is checked without a notification.
	pollEvery = time.Second
	// tolerance is how much older than its webhook a document may be: the two times are taken in different places.
	tolerance = 30 * time.Second
	// longestWait is how long a job that failed for a reason of ours waits at most.
	longestWait = 15 * time.Minute
)

var requests = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "staykey_fetch_requests_total",
	Help: "Requests to PMSs for documents, by how they were answered: a status, or failed.",
}, []string{"source", "answer"})

// Collectors returns the package's metrics.
func Collectors() []prometheus.Collector { return []prometheus.Collector{requests} }

// Fetcher fetches the documents that events wait for. It implements [intake.Fetches].
//
// Each event that waits is a row of event_fetches and a job of River's; River runs the job when it is due and knows
// nothing else. Each source has a queue with workers of its own, and the client of its account, which holds all of
// its jobs back while the PMS can't be asked and decides when to ask again (package pmsapi).
type Fetcher struct {
	store    *store.Store
	log      *slog.Logger
	source   func(name string) pms.Source
	done     func() // an event can be applied
	first    time.Duration
	accounts *pmsapi.Clients
	driver   *riverpgxv5.Driver
	river    *river.Client[pgx.Tx]
	poll     time.Duration // how often a queue is checked without a notification

	mu      sync.Mutex
	started bool
	queues  map[string]bool // that this process works
}

// job is what River keeps of an event to fetch for.
type job struct {
	EventID uuid.UUID `json:"event_id" river:"unique"`
	Source  string    `json:"source,omitempty"` // "" in jobs of versions before sources had queues
}

// Kind names the job.
func (job) Kind() string { return "fetch_documents" }

// queueOf is the name of a source's queue. River's names allow less than those of sources.
func queueOf(source string) string {
	sum := sha256.Sum256([]byte(source))
	return "fetch_" + hex.EncodeToString(sum[:8])
}

// New returns a fetcher that is not running. source finds a source by its name; done is called when an event can be
// applied; first is the first wait after a failed request, which doubles up to a quarter of an hour; accounts are
// the clients of the PMSs' accounts, shared with the other callers of PMSs.
func New(
	s *store.Store, pool *pgxpool.Pool, log *slog.Logger, accounts *pmsapi.Clients, source func(string) pms.Source,
	done func(), first time.Duration,
) (*Fetcher, error) {
	f := &Fetcher{
		store: s, log: log, source: source, done: done, first: first, accounts: accounts, driver: riverpgxv5.New(pool),
		poll: pollEvery, queues: map[string]bool{},
	}
	return f, f.setUp(lookAgain)
}

// setUp makes the client of River's, which announces the jobs of a queue once in a cooldown.
func (f *Fetcher) setUp(cooldown time.Duration) (err error) {
	all := river.NewWorkers()
	river.AddWorker(all, &worker{fetcher: f})
	f.river, err = river.NewClient(f.driver, &river.Config{
		Queues:  map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: share}}, // jobs of older versions
		Workers: all, RetryPolicy: f, JobTimeout: jobWithin, MaxAttempts: maxFailures, FetchCooldown: cooldown,
		FetchPollInterval: f.poll,
		Logger:            slog.New(quiet{f.log.Handler()}),
	})
	if err != nil {
		return fmt.Errorf("set up fetching: %w", err)
	}
	return nil
}

// maxFailures is how often a job may fail for a reason of ours, such as Postgres being away. What the PMS does is
// no failure of the job: it sleeps.
const maxFailures = 200

// quiet lets only what somebody should know of River's records through.
type quiet struct{ slog.Handler }

func (q quiet) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && q.Handler.Enabled(ctx, level)
}

// serve begins to fetch for a source, unless it has begun.
func (f *Fetcher) serve(ctx context.Context, source string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if queue := queueOf(source); !f.queues[queue] {
		if err := f.river.Queues().Add(queue, river.QueueConfig{
			MaxWorkers: share, FetchCooldown: lookAgain,
			FetchPollInterval: f.poll,
		}); err != nil {
			return fmt.Errorf("serve the queue of source %s: %w", source, err)
		}
		f.queues[queue] = true
	}
	if f.started {
		return nil
	}
	if err := f.river.Start(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("start fetching: %w", err)
	}
	f.started = true
	return nil
}

// Stop lets requests under way end, until ctx does.
func (f *Fetcher) Stop(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.started {
		return nil
	}
	if err := f.river.Stop(ctx); err != nil {
		return f.river.StopAndCancel(context.WithoutCancel(ctx))
	}
	return nil
}

// TakeUp begins to fetch for those of the sources that say how, and has fetched what waits of theirs.
func (f *Fetcher) TakeUp(ctx context.Context, sources []string) error {
	const page = 500
	for _, name := range sources {
		if f.source(name).Fetch == nil {
			continue
		}
		if err := f.serve(ctx, name); err != nil {
			return err
		}
		for after := int64(0); ; {
			list, err := f.store.FetchesWaiting(ctx, name, after, page)
			if err != nil {
				return err
			}
			events := make([]store.Event, len(list))
			for i, e := range list {
				events[i], after = store.Event{EventID: e.EventID, Source: e.Source}, e.Seq
			}
			if err := f.store.InTx(ctx, func(tx pgx.Tx) error { return f.Enqueue(ctx, tx, events) }); err != nil {
				return err
			}
			if len(list) < page {
				break
			}
		}
	}
	return nil
}

// Enqueue has documents fetched for events, once the transaction is committed.
func (f *Fetcher) Enqueue(ctx context.Context, tx pgx.Tx, events []store.Event) error {
	if len(events) == 0 {
		return nil
	}
	many := make([]river.InsertManyParams, len(events))
	for i, e := range events {
		many[i] = river.InsertManyParams{
			Args: job{EventID: e.EventID, Source: e.Source},
			InsertOpts: &river.InsertOpts{
				Queue: queueOf(e.Source), UniqueOpts: river.UniqueOpts{ByArgs: true, ByState: unfinished},
			},
		}
	}
	if _, err := f.river.InsertManyTx(ctx, tx, many); err != nil {
		return fmt.Errorf("have documents fetched for %d events: %w", len(events), err)
	}
	return f.announce(ctx, tx, events)
}

// insertTopic is the channel on which River's workers are notified of new jobs, with the payload {"queue": ...}.
const insertTopic = "river_insert"

// announce tells the workers of the events' sources of new jobs, once the transaction is committed. River does so
// too, but only for the first job of a queue within a cooldown that begins before its commit: a job soon after it
// would wait for the next poll.
func (f *Fetcher) announce(ctx context.Context, tx pgx.Tx, events []store.Event) error {
	var queues []string
	for _, e := range events {
		if told := fmt.Sprintf(`{"queue": %q}`, queueOf(e.Source)); !slices.Contains(queues, told) {
			queues = append(queues, told)
		}
	}
	if err := f.driver.UnwrapExecutor(tx).NotifyMany(ctx, &riverdriver.NotifyManyParams{
		Payload: queues,
		Topic:   insertTopic,
	}); err != nil {
		return fmt.Errorf("announce documents to fetch: %w", err)
	}
	return nil
}

// EnqueueAt has documents fetched for an event again, at a time. There may be another job for the event, whose run
// is ending just now: of two that meet, the one that comes later has nothing to do.
func (f *Fetcher) EnqueueAt(ctx context.Context, tx pgx.Tx, event store.Event, at time.Time) error {
	_, err := f.river.InsertTx(ctx, tx, job{EventID: event.EventID, Source: event.Source},
		&river.InsertOpts{Queue: queueOf(event.Source), ScheduledAt: at})
	if err != nil {
		return fmt.Errorf("have documents of event %s fetched again: %w", event.EventID, err)
	}
	return nil
}

// unfinished are the states of a job for which there needs to be no other one.
var unfinished = []rivertype.JobState{
	rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable, rivertype.JobStateRunning,
	rivertype.JobStateScheduled,
}

// NextRetry says when a job that failed for a reason of ours runs again.
func (f *Fetcher) NextRetry(j *rivertype.JobRow) time.Time {
	return time.Now().Add(pmsapi.Scatter(pmsapi.Backoff(f.first, len(j.Errors), longestWait)))
}

type worker struct {
	river.WorkerDefaults[job]
	fetcher *Fetcher
}

// Work fetches for one event.
func (w *worker) Work(ctx context.Context, j *river.Job[job]) error {
	return w.fetcher.work(ctx, j.Args.EventID)
}

func (f *Fetcher) work(ctx context.Context, id uuid.UUID) error {
	e, err := f.store.EventToFetch(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil // it is there, or the event is gone
	}
	if err != nil {
		return err
	}
	source := f.source(e.Source)
	if source.Fetch == nil || source.Format == nil {
		return f.store.HoldFetch(ctx, id, store.ReasonNeedsFetch) // taken up when the source says how
	}
	documents, err := f.collect(ctx, source, &e)
	var encoded []byte
	if err == nil {
		encoded, err = json.Marshal(documents)
	}
	if err == nil {
		if err := f.store.Fetched(ctx, e, encoded); err != nil {
			return err
		}
		f.done()
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return f.failed(ctx, e, err)
}

// failed decides whether to ask again, and notes why the documents are not there yet.
func (f *Fetcher) failed(ctx context.Context, e store.EventFetch, reason error) error {
	if held := new(pmsapi.HeldError); errors.As(reason, &held) {
		if err := f.store.HoldFetch(ctx, e.EventID, "waits for the PMS's documents: "+held.Why); err != nil {
			return err
		}
		return river.JobSnooze(pmsapi.After(held.Wait))
	}
	log := f.log.With("source", e.Source, "event_id", e.EventID.String())
	a := pmsapi.Attempt{Cause: pmsapi.Broken, Number: e.Attempts + 1, Since: e.Since(time.Now())}
	if api := new(pmsapi.Error); errors.As(reason, &api) {
		a.Cause, a.RetryAfter = api.Cause, api.RetryAfter
	}
	next := pmsapi.Decide(a, f.first)
	if next.GiveUp {
		log.Error("gave up fetching the documents of an event: replay it once the cause is removed", "attempts",
			a.Number, "error", reason)
		return f.store.GiveUpFetch(ctx, e.EventID, "its documents could not be fetched: "+reason.Error())
	}
	if err := f.store.NoteFetch(ctx, e.EventID, e.Tries, fmt.Sprintf("waits for the PMS's documents (tried %d×): %v",
		a.Number, reason)); err != nil {
		return err
	}
	wait := pmsapi.Scatter(next.Wait)
	if next.Hold {
		wait = pmsapi.After(next.Wait)
	}
	log.Warn("document fetch failed; retrying", "attempts", a.Number, "in",
		wait.Round(time.Millisecond).String(), "error", reason)
	return river.JobSnooze(wait)
}
