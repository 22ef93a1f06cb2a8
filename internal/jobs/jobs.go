// Package jobs has the service's one client of River, which runs work that must be repeated until it succeeds.
//
// A package that has such work registers a worker for its kind of job ([Register]), inserts jobs in the transaction
// that makes them necessary ([Client.Insert]), and names the queues that this process works ([Client.Work]). The first
// queue starts the client; [Client.Stop] ends it. A job is run when it is due, by one process at a time, and again
// until it succeeds; its data belongs in a table of its own, which the job only refers to.
//
// Work that follows from a row's current state (mobile keys, deliveries, write-backs) needs no job: the row itself is
// the queue.
package jobs

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"
)

const (
	// within bounds one run of a job: a thousand documents of a PMS at the slowest pace take eight minutes.
	within = 30 * time.Minute
	// maxFailures is how often a job may fail for internal reasons, such as Postgres being down. Trouble of another
	// system is not a failure of the job: it sleeps.
	maxFailures = 200
	// insertTopic is the channel on which River's workers are notified of new jobs, with the payload {"queue": ...}.
	insertTopic = "river_insert"
)

// Client inserts jobs and runs them.
type Client struct {
	driver  *riverpgxv5.Driver
	workers *river.Workers
	river   *river.Client[pgx.Tx]
	options Options

	mu      sync.Mutex
	started bool
	queues  map[string]bool // that this process works
}

// Options say when queues are read. Zero values are the defaults.
type Options struct {
	// Cooldown is the least time between two of River's own announcements of a queue's new jobs; default: its minimum.
	Cooldown time.Duration
	// Poll is how often a queue is read without an announcement; default: every second.
	Poll time.Duration
}

// New returns a client that runs nothing yet.
func New(pool *pgxpool.Pool, log *slog.Logger, o Options) (*Client, error) {
	if o.Cooldown == 0 {
		o.Cooldown = river.FetchCooldownMin
	}
	if o.Poll == 0 {
		o.Poll = time.Second
	}
	c := &Client{
		driver: riverpgxv5.New(pool), workers: river.NewWorkers(), options: o, queues: map[string]bool{},
	}

	var err error
	c.river, err = river.NewClient(c.driver, &river.Config{
		Queues:  map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 2}}, // jobs of older versions
		Workers: c.workers, JobTimeout: within, MaxAttempts: maxFailures,
		FetchCooldown: o.Cooldown, FetchPollInterval: o.Poll,
		Logger: slog.New(quiet{log.Handler()}),
	})
	if err != nil {
		return nil, fmt.Errorf("set up the job queue: %w", err)
	}
	return c, nil
}

// quiet passes on only River's log records that concern an operator.
type quiet struct{ slog.Handler }

func (q quiet) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && q.Handler.Enabled(ctx, level)
}

// Register makes w run the jobs of its kind. It must be called before the first [Client.Work] and the first insert.
func Register[T river.JobArgs](c *Client, w river.Worker[T]) { river.AddWorker(c.workers, w) }

// Work starts running the jobs of a queue, up to the given number at a time, unless it is running them already. The
// context applies only to the start.
func (c *Client) Work(ctx context.Context, queue string, workers int) error {
	c.mu.Lock()
	defer c.mu.Unlock()

	if !c.queues[queue] {
		if err := c.river.Queues().Add(queue, river.QueueConfig{
			MaxWorkers: workers, FetchCooldown: river.FetchCooldownMin, FetchPollInterval: c.options.Poll,
		}); err != nil {
			return fmt.Errorf("work the job queue %s: %w", queue, err)
		}
		c.queues[queue] = true
	}
	if c.started {
		return nil
	}

	if err := c.river.Start(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("start the job queues: %w", err)
	}
	c.started = true
	return nil
}

// Stop takes no more jobs and waits for those that run, until ctx ends; then it cancels them. They run again later.
func (c *Client) Stop(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.started {
		return nil
	}
	if err := c.river.Stop(ctx); err != nil {
		return c.river.StopAndCancel(context.WithoutCancel(ctx))
	}
	return nil
}

// Job is one piece of work. The fields of Args tagged `river:"unique"` distinguish it from others of its kind.
type Job struct {
	Queue string
	Args  river.JobArgs
}

// unfinished are the states in which a job makes another equal one unnecessary.
var unfinished = []rivertype.JobState{
	rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable, rivertype.JobStateRunning,
	rivertype.JobStateScheduled,
}

// Insert adds jobs that are due once tx is committed. Jobs that equal an unfinished one are not added.
func (c *Client) Insert(ctx context.Context, tx pgx.Tx, list []Job) error {
	if len(list) == 0 {
		return nil
	}
	many := make([]river.InsertManyParams, len(list))
	for i, j := range list {
		many[i] = river.InsertManyParams{Args: j.Args, InsertOpts: &river.InsertOpts{
			Queue: j.Queue, UniqueOpts: river.UniqueOpts{ByArgs: true, ByState: unfinished},
		}}
	}
	if _, err := c.river.InsertManyTx(ctx, tx, many); err != nil {
		return fmt.Errorf("insert %d jobs: %w", len(list), err)
	}
	return c.announce(ctx, tx, list)
}

// announce notifies the workers of the jobs' queues when tx is committed. River also does, but only for a queue's first
// job within a cooldown that begins before its commit: a job soon after that would wait for the next poll.
func (c *Client) announce(ctx context.Context, tx pgx.Tx, list []Job) error {
	var payloads []string
	for _, j := range list {
		if p := fmt.Sprintf(`{"queue": %q}`, j.Queue); !slices.Contains(payloads, p) {
			payloads = append(payloads, p)
		}
	}
	if err := c.driver.UnwrapExecutor(tx).NotifyMany(ctx, &riverdriver.NotifyManyParams{
		Payload: payloads, Topic: insertTopic,
	}); err != nil {
		return fmt.Errorf("announce %d jobs: %w", len(list), err)
	}
	return nil
}

// InsertAt adds a job that is due at the given time, even if an equal one is unfinished, because that may just be
// ending. If two overlap, the later one must find nothing to do.
func (c *Client) InsertAt(ctx context.Context, tx pgx.Tx, j Job, at time.Time) error {
	if _, err := c.river.InsertTx(ctx, tx, j.Args, &river.InsertOpts{Queue: j.Queue, ScheduledAt: at}); err != nil {
		return fmt.Errorf("insert a job for %s: %w", at.UTC().Format(time.RFC3339), err)
	}
	return nil
}
