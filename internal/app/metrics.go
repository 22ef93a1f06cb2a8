package app

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/staykey/staykey/internal/doors"
	"github.com/staykey/staykey/internal/fetch"
	"github.com/staykey/staykey/internal/guest"
	"github.com/staykey/staykey/internal/handlers"
	"github.com/staykey/staykey/internal/handlers/webhook"
	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/notify"
	"github.com/staykey/staykey/internal/provisioner"
	"github.com/staykey/staykey/internal/retention"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/writeback"
)

func (s *service) newRegistry() (*prometheus.Registry, error) {
	registry := prometheus.NewRegistry()
	all := append(s.ownCollectors(), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, c := range all {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return registry, nil
}

// notANumber is the value of a gauge that can't be read, so that nobody mistakes it for zero.
var notANumber = math.NaN()

// buildInfo shows which version runs.
func (s *service) buildInfo() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "staykey_build_info", Help: "1, with the version and commit of the program.",
		ConstLabels: prometheus.Labels{"version": s.build.Version, "commit": s.build.Commit},
	}, func() float64 { return 1 })
}

// sweepInterval is for rules that judge the age of the last sweep.
func (s *service) sweepInterval() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "staykey_sweep_interval_seconds",
		Help: "How often sweeps are due (STAYKEY_SWEEP_INTERVAL).",
	},
		func() float64 { return s.config.SweepInterval.Seconds() })
}

// ownCollectors are all metrics whose names begin with staykey_; docs/metrics.md has a line for each.
func (s *service) ownCollectors() []prometheus.Collector {
	pool := func(name, help string, of func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, of)
	}
	all := []prometheus.Collector{
		pool("staykey_database_connections_in_use", "Connections of the pool that are in use.",
			func() float64 { return float64(s.store.Pool().Stat().AcquiredConns()) }),
		pool("staykey_database_connections_max", "Connections that the pool may open.",
			func() float64 { return float64(s.store.Pool().Stat().MaxConns()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "staykey_database_connection_wait_seconds_total",
			Help: "Time that statements waited for a connection of the pool.",
		},
			func() float64 { return s.store.Pool().Stat().AcquireDuration().Seconds() }),
		newStateCollector(s.store,
			func() []string { return slices.Sorted(maps.Keys(s.configured.sources.Load().Sources)) },
			s.health.databaseGone), s.sweepInterval(),
		readyCollector{s.health},
		s.buildInfo(),
		subscriptionCollector{s.store, s.configured.subscriptions, s.health.databaseGone},
		guestCollector{s.store, s.health.databaseGone},
		writeBackCollector{s.store, s.configured.writesBack, s.health.databaseGone},
	}
	all = append(append(all, s.reloader.reloads.collectors()...), s.connectionMetrics()...)
	for _, package_ := range [][]prometheus.Collector{
		handlers.Collectors(), webhook.Collectors(), intake.Collectors(), fetch.Collectors(), notify.Collectors(),
		guest.Collectors(), writeback.Collectors(), provisioner.Collectors(), retention.Collectors(),
		seam.Collectors(), doors.Collectors(),
	} {
		all = append(all, package_...)
	}
	return all
}

// What is read from the database is the same from every replica. Keys are counted once in a while, however many ask.
const (
	stateTimeout  = 2 * time.Second
	keysCountedBy = 15 * time.Second
)

var (
	eventsWaiting = prometheus.NewDesc("staykey_events_waiting", "Events not yet applied, counted up to 10,000.",
		nil, nil)
	eventsWaitingAge = prometheus.NewDesc("staykey_events_waiting_age_seconds",
		"How long the first of the events that are not applied yet has waited, in seconds.", nil, nil)
	keysByStatus = prometheus.NewDesc("staykey_mobile_keys", "Mobile keys by status, as of some seconds ago.",
		[]string{"status"}, nil)
	keysDue = prometheus.NewDesc("staykey_mobile_keys_due",
		"Mobile keys that a worker could claim now, counted up to 10,000.", nil, nil)
	keysDueAge = prometheus.NewDesc("staykey_mobile_keys_due_age_seconds",
		"How long the first of them has been due.", nil, nil)
	sweepHeldBack = prometheus.NewDesc("staykey_sweep_held_back",
		"Keys that the last sweep of any replica found missing at Seam and left alone, because too many were missing at once.", nil, nil)
	sweepUnknown = prometheus.NewDesc("staykey_sweep_unknown",
		"ACS users that staykey created and that the database did not know in the last sweep of any replica: it was restored from an older backup.", nil, nil)
	sweepAge = prometheus.NewDesc("staykey_sweep_age_seconds",
		"How long ago the last sweep of any replica began; 0 if there was none yet.", nil, nil)
	sourceSilence = prometheus.NewDesc("staykey_source_silence_seconds",
		"Time since a configured source last sent a webhook that was stored; absent if it never did, or not for 35 days.",
		[]string{"source"}, nil)
	sourceNeverSent = prometheus.NewDesc("staykey_source_never_sent",
		"1 for a configured source that has never sent a webhook that was stored, or not for 35 days, else 0.",
		[]string{"source"}, nil)
	jobsWaiting = prometheus.NewDesc("staykey_fetch_jobs",
		"Events waiting for documents from their PMS, counted up to 10,000.", nil, nil)
)

// readingState is the context of what a scrape reads from the database. It has ended already while Postgres is
// known not to answer: a scrape that waits for Postgres each time may miss Prometheus's deadline, and then the
// metrics that name the cause are missing too.
func readingState(db *store.Store, gone func() bool) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.Background(), db.Within(stateTimeout))
	if gone() {
		cancel()
	}
	return ctx, cancel
}

// stateCollector reads gauges from the database when they are asked for.
type stateCollector struct {
	store   *store.Store
	sources func() []string // of the configuration
	gone    func() bool     // Postgres is known not to answer

	mu      sync.Mutex
	counts  map[string]int
	counted time.Time
}

func newStateCollector(s *store.Store, sources func() []string, gone func() bool) *stateCollector {
	return &stateCollector{store: s, sources: sources, gone: gone}
}

// Describe implements prometheus.Collector.
func (c *stateCollector) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		eventsWaiting, eventsWaitingAge, keysByStatus, keysDue, keysDueAge,
		jobsWaiting, sweepHeldBack, sweepUnknown, sweepAge, sourceSilence, sourceNeverSent,
	} {
		descs <- d
	}
}

// Collect implements prometheus.Collector. A value that can't be read is NaN, so that nobody mistakes it for zero.
func (c *stateCollector) Collect(metrics chan<- prometheus.Metric) {
	ctx, cancel := readingState(c.store, c.gone)
	defer cancel()
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	pair := func(number, age *prometheus.Desc, n int, oldest *time.Time, err error) {
		switch {
		case err != nil:
			gauge(number, math.NaN())
			gauge(age, math.NaN())
		case oldest == nil:
			gauge(number, float64(n))
			gauge(age, 0)
		default:
			gauge(number, float64(n))
			gauge(age, max(time.Since(*oldest), 0).Seconds())
		}
	}
	n, oldest, err := c.store.Events.Backlog(ctx, nil)
	pair(eventsWaiting, eventsWaitingAge, n, oldest, err)
	n, oldest, err = c.store.Keys.CountDue(ctx)
	pair(keysDue, keysDueAge, n, oldest, err)
	if n, err = c.store.Fetches.CountAwaiting(ctx); err != nil {
		gauge(jobsWaiting, math.NaN())
	} else {
		gauge(jobsWaiting, float64(n))
	}
	for status, n := range c.keys(ctx) {
		gauge(keysByStatus, float64(n), status)
	}
	c.collectSweep(ctx, gauge)
	c.collectSilence(ctx, gauge)
}

func (c *stateCollector) collectSweep(ctx context.Context, gauge func(*prometheus.Desc, float64, ...string)) {
	heldBack, unknown, age := notANumber, notANumber, notANumber
	if last, err := provisioner.LastSweep(ctx, c.store); err == nil {
		heldBack, unknown, age = float64(last.HeldBack), float64(last.Unknown), 0
		if !last.At.IsZero() {
			age = max(time.Since(last.At), 0).Seconds()
		}
	}
	gauge(sweepHeldBack, heldBack)
	gauge(sweepUnknown, unknown)
	gauge(sweepAge, age)
}

func (c *stateCollector) collectSilence(ctx context.Context, gauge func(*prometheus.Desc, float64, ...string)) {
	names := c.sources()
	rows, err := c.store.Activity.Last(ctx, names)
	for _, name := range names {
		switch heard := lastHeard(rows, name); {
		case err != nil:
			gauge(sourceSilence, notANumber, name)
			gauge(sourceNeverSent, notANumber, name)
		case heard.IsZero():
			gauge(sourceNeverSent, 1, name)
		default:
			gauge(sourceSilence, max(time.Since(heard), 0).Seconds(), name)
			gauge(sourceNeverSent, 0, name)
		}
	}
}

// sent are the kinds of activity that a source's webhooks cause.
var sent = []string{
	stay.EventAccepted, stay.EventApplied, stay.EventSuperseded, stay.EventIgnored,
	stay.EventRejected, store.ActivityDuplicate,
}

// lastHeard is when a source last sent something that was kept, or had been kept before; zero for never.
func lastHeard(rows []store.ActivityRow, source string) (at time.Time) {
	for _, row := range rows {
		if row.Source == source && slices.Contains(sent, row.Kind) && row.LastAt.After(at) {
			at = row.LastAt
		}
	}
	return at
}

// keys counts keys by status, at most every few seconds; a status that no key has is 0. What can't be counted is
// left out.
func (c *stateCollector) keys(ctx context.Context) map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.counted) < keysCountedBy {
		return c.counts
	}
	summary, err := c.store.Keys.Summary(ctx, nil)
	if err != nil {
		return nil
	}
	c.counts, c.counted = map[string]int{}, time.Now()
	for _, status := range stay.KeyStatuses() {
		c.counts[status] = summary.Keys[status]
	}
	return c.counts
}
