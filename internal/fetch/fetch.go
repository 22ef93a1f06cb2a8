// Package fetch reads documents from PMSs to which their webhooks only refer, and retries until it has them.
//
// An event whose format asks for documents waits outside of the queue, as a row of event_fetches and a job:
//
//	webhook ─▶ applier: the format asks for documents ─▶ row and job ─▶ fetch ─▶ queued again, with the documents
//	                                                        ▲            │
//	                                                        └── retry ───┘ or give up: the event is rejected, or stays partly applied
//
// The format is run again with each round of documents, because one document may name the next. What the event means
// is decided by internal/intake when it is applied, in its old place in the order. Documents that are older than the
// event that asks for them are not believed: they are fetched again.
//
//	fetch.go      jobs: who has to be asked, retries, giving up
//	collect.go    one attempt: the rounds of documents, and how old each may be
//	client.go     one request, through the account's client (internal/pmsapi)
//	policy.go     when to continue without an optional document
package fetch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"

	"github.com/staykey/staykey/internal/jobs"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/pmsapi"
	"github.com/staykey/staykey/internal/store"
)

const (
	// share is how many events of one source are worked on at a time: a PMS that hangs blocks only its own share.
	share = 2
	// rounds is how many times documents may refer to further documents.
	rounds = 4
	// tolerance is how much older than its webhook a document may be: the two times are taken in different places.
	tolerance = 30 * time.Second
	// longestWait is the longest wait of a job that failed because of staykey's own database.
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
// Each event that waits is a row of event_fetches and a job (package jobs), which only says when to run. Each source
// has a queue with its own workers, and the client of its account, which pauses all of the source's jobs while the
// PMS can't be called and decides when to retry (package pmsapi).
type Fetcher struct {
	store    *store.Store
	log      *slog.Logger
	source   func(name string) pms.Source
	done     func() // an event can be applied
	first    time.Duration
	accounts *pmsapi.Clients
	jobs     *jobs.Client
}

// job is River's part of a waiting event.
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

// Options are what a fetcher works with besides the store. All are required.
type Options struct {
	// Accounts are the clients of the PMSs' accounts, shared with the other callers of PMSs.
	Accounts *pmsapi.Clients
	// Source finds a source by its name.
	Source func(name string) pms.Source
	// Done is called when an event can be applied.
	Done func()
	// First is the first wait after a failed request. It doubles up to a quarter of an hour.
	First time.Duration
}

// New returns a fetcher that is not running. runner runs its jobs.
func New(s *store.Store, runner *jobs.Client, log *slog.Logger, o Options) *Fetcher {
	f := &Fetcher{
		store: s, jobs: runner, log: log, source: o.Source, done: o.Done, first: o.First, accounts: o.Accounts,
	}
	jobs.Register(runner, &worker{fetcher: f})
	return f
}

// TakeUp starts workers for the sources that configure fetching, and enqueues their waiting events.
func (f *Fetcher) TakeUp(ctx context.Context, sources []string) error {
	const page = 500
	for _, name := range sources {
		if f.source(name).Fetch == nil {
			continue
		}
		if err := f.jobs.Work(ctx, queueOf(name), share); err != nil {
			return err
		}

		for after := int64(0); ; {
			list, err := f.store.Fetches.Waiting(ctx, name, after, page)
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

// Enqueue adds jobs to fetch the documents of events. They run once the transaction is committed.
func (f *Fetcher) Enqueue(ctx context.Context, tx pgx.Tx, events []store.Event) error {
	list := make([]jobs.Job, len(events))
	for i, e := range events {
		list[i] = jobOf(e)
	}
	if err := f.jobs.Insert(ctx, tx, list); err != nil {
		return fmt.Errorf("schedule the fetches of %d events: %w", len(events), err)
	}
	return nil
}

func jobOf(e store.Event) jobs.Job {
	return jobs.Job{Queue: queueOf(e.Source), Args: job{EventID: e.EventID, Source: e.Source}}
}

// EnqueueAt adds a job for an event that runs at a given time. Another job for the event may just be ending: if two of
// them overlap, the later one has nothing to do.
func (f *Fetcher) EnqueueAt(ctx context.Context, tx pgx.Tx, event store.Event, at time.Time) error {
	if err := f.jobs.InsertAt(ctx, tx, jobOf(event), at); err != nil {
		return fmt.Errorf("schedule another fetch for event %s: %w", event.EventID, err)
	}
	return nil
}

type worker struct {
	river.WorkerDefaults[job]
	fetcher *Fetcher
}

// Work fetches the documents of one event.
func (w *worker) Work(ctx context.Context, j *river.Job[job]) error {
	return w.fetcher.work(ctx, j.Args.EventID)
}

// NextRetry says when a job that failed because of staykey's own database runs again.
func (w *worker) NextRetry(j *river.Job[job]) time.Time {
	return time.Now().Add(pmsapi.Scatter(pmsapi.Backoff(w.fetcher.first, len(j.Errors), longestWait)))
}

func (f *Fetcher) work(ctx context.Context, id uuid.UUID) error {
	e, err := f.store.Fetches.Get(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil // already fetched, or the event is gone
	}
	if err != nil {
		return err
	}

	source := f.source(e.Source)
	if source.Fetch == nil || source.Format == nil {
		return f.store.Fetches.Hold(ctx, id, store.ReasonNeedsFetch) // enqueued when the source configures fetching
	}

	documents, err := f.collect(ctx, source, &e)
	var encoded []byte
	if err == nil {
		encoded, err = json.Marshal(documents)
	}
	if err == nil {
		if err := f.store.Fetches.Fetched(ctx, e, encoded); err != nil {
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

// failed decides whether to retry, and records why the documents are still missing.
func (f *Fetcher) failed(ctx context.Context, e store.EventFetch, reason error) error {
	if paused := new(pmsapi.PausedError); errors.As(reason, &paused) {
		if err := f.store.Fetches.Hold(ctx, e.EventID, "waits for the PMS's documents: "+paused.Why); err != nil {
			return err
		}
		return river.JobSnooze(pmsapi.After(paused.Wait))
	}

	log := f.log.With("source", e.Source, "event_id", e.EventID.String(), "reservation_ids", e.ReservationIDs)
	a := pmsapi.Attempt{Cause: pmsapi.Broken, Number: e.Attempts + 1, Since: e.Since(time.Now())}
	if api := new(pmsapi.Error); errors.As(reason, &api) {
		a.Cause, a.RetryAfter = api.Cause, api.RetryAfter
	}

	next := pmsapi.Decide(a, f.first)
	if next.GiveUp {
		log.Error("gave up fetching the documents of an event: replay it once the cause is removed", "attempts",
			a.Number, "error", reason)
		return f.store.Fetches.GiveUp(ctx, e.EventID, "its documents could not be fetched: "+reason.Error())
	}

	if err := f.store.Fetches.Note(ctx, e.EventID, e.Tries, fmt.Sprintf("waits for the PMS's documents (tried %d×): %v",
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
