package fetch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/store"
)

const (
	// workers is how many events are fetched for at a time.
	workers = 8
	// rounds is how often one document may lead to the next.
	rounds = 4
	// patience is how often a PMS is asked that refuses, or knows nothing of a document: what it tells of may be there a little later.
	patience = 6
	// stubborn is how often it is asked otherwise, over about two days.
	stubborn = 200
	// stale is how often a document that is older than its webhook is asked for again before it is taken as it is.
	stale = 5
)

var requests = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "staykey_fetch_requests_total", Help: "Requests to PMSs for documents, by how they were answered: a status, or failed.",
}, []string{"source", "answer"})

// Collectors returns the package's metrics.
func Collectors() []prometheus.Collector { return []prometheus.Collector{requests} }

// Fetcher fetches the documents that events wait for. It implements [intake.Fetches].
type Fetcher struct {
	store   *store.Store
	log     *slog.Logger
	source  func(name string) pms.Source
	done    func() // an event can be applied
	first   time.Duration
	clients clients
	river   *river.Client[pgx.Tx]

	mu      sync.Mutex
	started bool
}

// job is what River keeps of an event to fetch for.
type job struct {
	EventID uuid.UUID `json:"event_id"`
}

// Kind names the job.
func (job) Kind() string { return "fetch_documents" }

// InsertOpts bounds how often one is tried.
func (job) InsertOpts() river.InsertOpts { return river.InsertOpts{MaxAttempts: stubborn} }

// New returns a fetcher that is not running. source finds a source by its name; done is called when an event can be applied;
// first is the first wait behind a failed request, which doubles up to a quarter of an hour.
func New(s *store.Store, pool *pgxpool.Pool, log *slog.Logger, source func(string) pms.Source, done func(), first time.Duration) (*Fetcher, error) {
	f := &Fetcher{store: s, log: log, source: source, done: done, first: first}
	all := river.NewWorkers()
	river.AddWorker(all, &worker{fetcher: f})
	var err error
	f.river, err = river.NewClient(riverpgxv5.New(pool), &river.Config{
		Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: workers}}, Workers: all, RetryPolicy: f, JobTimeout: 5 * time.Minute,
		Logger: slog.New(quiet{log.Handler()}),
	})
	if err != nil {
		return nil, fmt.Errorf("set up fetching: %w", err)
	}
	return f, nil
}

// quiet lets only what somebody should know of River's records through.
type quiet struct{ slog.Handler }

func (q quiet) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && q.Handler.Enabled(ctx, level)
}

// start begins to fetch, unless it has begun.
func (f *Fetcher) start(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
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

// TakeUp begins to fetch if any of the sources says how, and has fetched for what waits of those that do by now.
func (f *Fetcher) TakeUp(ctx context.Context, sources []string) error {
	const page = 500
	for _, name := range sources {
		if f.source(name).Fetch == nil {
			continue
		}
		if err := f.start(ctx); err != nil {
			return err
		}
		for behind := int64(0); ; {
			list, err := f.store.FetchesWaiting(ctx, name, behind, page)
			if err != nil {
				return err
			}
			ids := make([]uuid.UUID, len(list))
			for i, e := range list {
				ids[i], behind = e.EventID, e.Seq
			}
			if err := f.store.InTx(ctx, func(tx pgx.Tx) error { return f.Enqueue(ctx, tx, ids) }); err != nil {
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
func (f *Fetcher) Enqueue(ctx context.Context, tx pgx.Tx, events []uuid.UUID) error {
	if len(events) == 0 {
		return nil
	}
	many := make([]river.InsertManyParams, len(events))
	for i, id := range events {
		many[i] = river.InsertManyParams{Args: job{EventID: id}, InsertOpts: &river.InsertOpts{UniqueOpts: river.UniqueOpts{ByArgs: true, ByState: unfinished}}}
	}
	if _, err := f.river.InsertManyTx(ctx, tx, many); err != nil {
		return fmt.Errorf("have documents fetched for %d events: %w", len(events), err)
	}
	return nil
}

// unfinished are the states of a job for which there needs to be no other one.
var unfinished = []rivertype.JobState{
	rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable, rivertype.JobStateRunning, rivertype.JobStateScheduled,
}

// NextRetry doubles the wait behind each failure, up to a quarter of an hour, and scatters it.
func (f *Fetcher) NextRetry(j *rivertype.JobRow) time.Time {
	return time.Now().Add(f.wait(len(j.Errors)))
}

func (f *Fetcher) wait(failures int) time.Duration {
	wait := min(f.first<<min(failures, 20), 15*time.Minute)
	return wait/2 + rand.N(wait/2+1) // #nosec G404 -- not a secret
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
		return nil // it is there, or the event has gone
	}
	if err != nil {
		return err
	}
	source := f.source(e.Source)
	if source.Fetch == nil || source.Format == nil {
		return f.store.NoteFetch(ctx, id, []store.Try{}, store.ReasonNeedsFetch) // taken up when the source says how
	}
	tries := []store.Try{}
	documents, err := f.collect(ctx, source, e, func(t store.Try) {
		t.Attempt = e.Attempts + 1
		tries = append(tries, t)
		answer := fmt.Sprint(t.Status)
		if t.Status == 0 {
			answer = "failed"
		}
		requests.WithLabelValues(source.Name, answer).Inc()
	})
	var encoded []byte
	if err == nil {
		encoded, err = json.Marshal(documents)
	}
	if err == nil {
		if err := f.store.Fetched(ctx, id, encoded, tries); err != nil {
			return err
		}
		f.done()
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return f.failed(ctx, e, tries, err)
}

// failed decides whether to ask again, and notes why it is not there yet.
func (f *Fetcher) failed(ctx context.Context, e store.EventFetch, tries []store.Try, cause error) error {
	log := f.log.With("source", e.Source, "event_id", e.EventID.String())
	attempts := e.Attempts + 1
	pause, most := f.wait(attempts), stubborn
	api := new(Error)
	switch {
	case errors.As(cause, &api):
		if api.RetryAfter > 0 {
			pause = min(api.RetryAfter, time.Hour)
		}
		if refused := api.Status >= 400 && api.Status < 500; refused && api.Status != http.StatusUnauthorized && api.Status != http.StatusForbidden &&
			api.Status != http.StatusTooManyRequests && api.Status != http.StatusRequestTimeout {
			most = patience
		}
	case errors.Is(cause, errStale):
	default:
		most = 1 // the format's, or the event's: asking again changes nothing
	}
	if attempts >= most {
		log.Error("an event's documents can't be had: it is rejected, replay it once they can", "attempts", attempts, "error", cause)
		return f.store.GiveUpFetch(ctx, e.EventID, "its documents could not be fetched: "+cause.Error())
	}
	if err := f.store.NoteFetch(ctx, e.EventID, tries, fmt.Sprintf("waits for the PMS's documents, asked %d times: %v", attempts, cause)); err != nil {
		return err
	}
	log.Warn("an event's documents could not be fetched; trying again", "attempts", attempts, "in", pause.Round(time.Millisecond).String(), "error", cause)
	return river.JobSnooze(pause)
}

// errStale says that a document is older than the webhook that told of it: the PMS has not got round to it.
var errStale = errors.New("the PMS's document is older than its webhook")

// collect asks for what the format wants, and for what that leads to.
func (f *Fetcher) collect(ctx context.Context, source pms.Source, e store.EventFetch, note func(store.Try)) (map[string]any, error) {
	m, err := intake.MappingOf(store.Event{Body: e.Body, Request: e.Request})
	if err != nil {
		return nil, err
	}
	c := f.clients.of(source)
	all := map[string]any{}
	for range rounds {
		event, err := source.Map(ctx, m)
		if err != nil {
			return nil, err
		}
		if len(event.Fetches) == 0 {
			return all, nil
		}
		now := map[string][]any{}
		for _, want := range event.Fetches {
			if _, have := all[want.Kind]; have {
				return nil, fmt.Errorf("the format %s asks for %q again and again", source.Format.Name, want.Kind)
			}
			documents, err := c.get(ctx, want, note)
			if err != nil {
				return nil, err
			}
			if e.Attempts < stale && isStale(source.Fetch.Documents[want.Kind], want, documents) {
				return nil, errStale
			}
			now[want.Kind] = append(now[want.Kind], documents...)
		}
		for kind, documents := range now {
			all[kind] = documents
		}
		m.Fetched = all
	}
	return nil, fmt.Errorf("the format %s wants more than %d documents one after another", source.Format.Name, rounds)
}

// isStale tells whether a document is from before what it was asked for; what can't be told is not.
func isStale(d pms.Document, want pms.Fetch, documents []any) bool {
	if d.Modified == "" || want.AsOf.IsZero() {
		return false
	}
	for _, document := range documents {
		if at, err := pms.ReadInstant(pms.Lookup(document, d.Modified)); err == nil && at.Before(want.AsOf.Truncate(time.Second)) {
			return true
		}
	}
	return false
}
