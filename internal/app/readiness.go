package app

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/staykey/staykey/internal/handlers"
	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/provisioner"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/migrations"
)

// Ready means that webhooks can be stored. Three things decide:
//
//	what accepting results in  remembered by the acceptor, so that it costs nothing
//	a trial                    of all that accepting does, rolled back, every few seconds
//	the public listener        whether it still takes connections
//
// A probe reads the last result and never waits: one that asked the database itself would time out, and take a
// replica out of service, just because the database is slow.

// Causes of not being ready besides the store's. They are values of a metric's label: add to them, never rename one.
const (
	causeClock       = "clock"
	causeConnections = "connections"
	causeStopping    = "stopping"
)

const (
	lookEvery  = time.Second     // between looks at the remembered result
	trialEvery = 5 * time.Second // while all is well; else at each look
	trialTakes = 5 * time.Second // at most, see [store.Store.Within]
	// After the first commit that failed, a trial decides whether that was an exception. Senders get 503 meanwhile.
	doubtTakes = time.Second
	// failedLately is how long failures to accept count although the trial succeeds: a disk may have room for one
	// event and not for a hundred.
	failedLately = 30 * time.Second
	// clockTolerance is how far this machine's clock and the database's may differ. PMSs' signatures are refused
	// from five minutes on.
	clockTolerance = time.Minute
	// fullFor is how long the listener may be full before it counts.
	fullFor = 5 * time.Second
)

// readiness finds out whether webhooks can be stored.
type readiness struct {
	log     *slog.Logger
	now     func() time.Time
	trial   func(context.Context) (store.Accepting, error)
	within  func(time.Duration) time.Duration // stretches what a trial may take
	refused func() intake.Refusals            // what accepting resulted in
	full    func() bool                       // the public listener would refuse a new client

	mu        sync.Mutex // guards what follows, for look
	last      store.Accepting
	lastError error
	tried     time.Time
	since     time.Time // not ready since
	fullSince time.Time // zero while the listener isn't

	state atomic.Pointer[condition]
}

// condition is what was found last.
type condition struct {
	causes map[string]string // of not being ready, with what is wrong and what to do
	offset time.Duration     // of this machine's clock
	known  bool              // offset is
}

// run looks until ctx ends.
func (r *readiness) run(ctx context.Context) {
	every(ctx, lookEvery, func() { r.look(ctx) })
}

// look finds the condition, and logs when it changes between ready and not ready.
func (r *readiness) look(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	refused := r.refused()
	if !r.full() {
		r.fullSince = time.Time{}
	} else if r.fullSince.IsZero() {
		r.fullSince = r.now()
	}
	before := r.state.Load()
	if before == nil || len(before.causes) > 0 || refused.Count > 0 || r.now().Sub(r.tried) >= trialEvery {
		trial, cancel := context.WithTimeout(ctx, r.within(trialFor(refused, before)))
		r.last, r.lastError = r.trial(trial)
		cancel()
		if ctx.Err() != nil {
			return
		}
		r.tried = r.now()
	}
	next := &condition{causes: r.causes(refused), offset: r.last.ClockOffset, known: r.lastError == nil}
	r.state.Store(next)
	switch was := before != nil && len(before.causes) > 0; {
	case len(next.causes) > 0 && !was:
		r.since = r.now()
		r.log.Error("not ready: webhooks can't be stored", "causes", slices.Sorted(maps.Keys(next.causes)),
			"detail", next.text())
	case len(next.causes) == 0 && was:
		r.log.Info("ready again", "after", r.now().Sub(r.since).Round(time.Second).String())
	}
}

// trialFor is how long a trial write may take.
func trialFor(refused intake.Refusals, before *condition) time.Duration {
	if refused.Count > 0 && before != nil && len(before.causes) == 0 {
		return doubtTakes
	}
	return trialTakes
}

func (r *readiness) causes(refused intake.Refusals) map[string]string {
	causes := map[string]string{}
	switch {
	case r.lastError != nil:
		causes[store.CauseOf(r.lastError)] = r.lastError.Error()
	case r.last.SchemaVersion < migrations.Latest():
		causes[store.CauseSchema] = fmt.Sprintf(
			"the database has schema %d, but this version needs %d: run staykey migrate", r.last.SchemaVersion,
			migrations.Latest())
	}
	if refused.Count > 1 && r.now().Sub(refused.Last) < failedLately {
		causes[store.CauseOf(refused.Err)] = fmt.Sprintf("%d consecutive commits failed, the last with: %v",
			refused.Count, refused.Err)
	}
	if r.lastError == nil && r.last.ClockOffset.Abs() > clockTolerance {
		causes[causeClock] = fmt.Sprintf("this machine's clock is %s off the database's: synchronize both by NTP",
			r.last.ClockOffset.Round(time.Second))
	}
	if !r.fullSince.IsZero() && r.now().Sub(r.fullSince) > fullFor {
		causes[causeConnections] = fmt.Sprintf(
			"all %d connections of the public listener are in use: find the clients that hold them", MaxConnections)
	}
	return causes
}

// text is what is wrong, in one line.
func (c *condition) text() string {
	var lines []string
	for _, cause := range slices.Sorted(maps.Keys(c.causes)) {
		lines = append(lines, cause+": "+c.causes[cause])
	}
	return strings.Join(lines, "; ")
}

// clockIsWrong reports whether this machine's clock is known to be too far off to judge by it what is missing or over.
func (r *readiness) clockIsWrong() bool {
	c := r.state.Load()
	return c != nil && c.causes[causeClock] != ""
}

// health answers probes and monitoring. Asking costs nothing: it has what was found last.
type health struct {
	*configured
	provisioner *provisioner.Provisioner
	readiness   *readiness
	unsettled   func() string // the part of the configuration that has no effect yet; "" for none
	working     atomic.Bool

	seamTroubles atomic.Pointer[map[string]string] // as readiness's detail has them
}

// databaseGone reports whether Postgres was found not to answer.
func (h *health) databaseGone() bool { return h.notReady()[store.CauseUnreachable] != "" }

// ready is the answer of /readyz. Trouble at Seam is detail: webhooks must continue.
func (h *health) ready(context.Context) handlers.Readiness {
	r := handlers.Readiness{Ready: true, Detail: map[string]string{
		"postgres": "ok", "migrations": "ok",
		"workers": "ok", "seam": "ok",
	}}
	for name, source := range h.sources.Load().Sources {
		if source.Insecure {
			r.Detail["source "+name] = "accepts webhooks from anybody: verify.method is none"
		}
	}
	for cause, text := range h.notReady() {
		r.Ready, r.Degraded = false, false
		r.Detail[detailOf(cause)] = text
	}
	if r.Ready {
		if text := h.unsettled(); text != "" {
			r.Degraded, r.Detail["configuration"] = true, text
		}
		if trouble := h.seamTroubles.Load(); trouble != nil {
			for name, what := range *trouble {
				r.Degraded, r.Detail[name] = true, what
			}
		}
	}
	return r
}

// detailOf is where readiness's detail has a cause.
func detailOf(cause string) string {
	switch cause {
	case store.CauseSchema:
		return "migrations"
	case causeStopping:
		return "workers"
	case causeClock, causeConnections:
		return cause
	default:
		return "postgres"
	}
}

// notReady are the causes of not being ready.
func (h *health) notReady() map[string]string {
	causes := map[string]string{}
	if c := h.readiness.state.Load(); c == nil {
		causes[store.CauseUnreachable] = "Postgres was not asked yet"
	} else {
		maps.Copy(causes, c.causes)
	}
	if !h.working.Load() {
		causes[causeStopping] = "stopping or not started"
	}
	return causes
}

// watchSeam refreshes the status of Seam in readiness's detail, so that a probe needn't ask.
func (h *health) watchSeam(ctx context.Context) {
	tick := time.NewTicker(trialEvery)
	defer tick.Stop()
	for {
		asking, cancel := context.WithTimeout(ctx, h.store.Within(stateTimeout))
		if p, err := h.provisioning(asking); err == nil {
			trouble := troubles(p)
			h.seamTroubles.Store(&trouble)
		}
		cancel()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

var (
	readyDesc = prometheus.NewDesc("staykey_ready", "1 while webhooks can be stored, as /readyz reports, else 0.",
		nil, nil)
	notReadyDesc = prometheus.NewDesc("staykey_not_ready", "1 for each cause of not being ready, 0 for the others.",
		[]string{"cause"}, nil)
	clockOffsetDesc = prometheus.NewDesc("staykey_clock_offset_seconds",
		"How far this machine's clock is ahead of the database's; not a number while that can't be read.", nil, nil)
)

// readyCollector shows readiness as metrics.
type readyCollector struct{ health *health }

// Describe implements prometheus.Collector.
func (c readyCollector) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{readyDesc, notReadyDesc, clockOffsetDesc} {
		descs <- d
	}
}

// Collect implements prometheus.Collector.
func (c readyCollector) Collect(metrics chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	causes := c.health.notReady()
	gauge(readyDesc, oneIf(len(causes) == 0))
	for _, cause := range append(store.Causes(), causeClock, causeConnections, causeStopping) {
		gauge(notReadyDesc, oneIf(causes[cause] != ""), cause)
	}
	offset := notANumber
	if state := c.health.readiness.state.Load(); state != nil && state.known {
		offset = state.offset.Seconds()
	}
	gauge(clockOffsetDesc, offset)
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
