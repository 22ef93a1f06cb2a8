package provisioner

import (
	"context"
	"log/slog"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

var (
	dueWithoutKey = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "staykey_due_without_key",
		Help: "Confirmed stays that check in within STAYKEY_DUE_WITHIN, or have begun, and have no issued key.",
	})
	overdueRemovals = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "staykey_removals_overdue",
		Help: "Keys that should have been removed at least 15 minutes ago and may still open doors.",
	})
)

// watchEvery is how often guests without a key, and keys without a guest, are looked for.
const watchEvery = 15 * time.Second

// watcher counts what a person should know about, for metrics and the log, and frees what dead workers hold too long.
type watcher struct {
	store     *store.Store
	log       *slog.Logger
	now       func() time.Time
	dueWithin time.Duration // arrivals this soon should have a key
}

// run counts the stays that begin soon and have no key, and the keys that should be gone, and logs it whenever
// their number or the first of them changes.
func (w *watcher) run(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	arrivals := watched{
		gauge: dueWithoutKey, count: w.arrivalsWithoutKey,
		failed: "arrivals without a key not counted; retrying",
	}
	removals := watched{
		gauge: overdueRemovals, count: w.overdueRemovals,
		failed: "overdue removals not counted; retrying",
	}
	for {
		w.look(ctx, &arrivals)
		w.look(ctx, &removals)
		w.shortenLeases(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// shortenLeases frees keys and tasks of dead workers whose leases would last too long because the database's clock
// was set back.
func (w *watcher) shortenLeases(ctx context.Context) {
	n, err := w.store.ShortenLeases(ctx)
	if err != nil && ctx.Err() == nil {
		w.log.Warn("leases not checked; retrying", "error", err)
	}
	if n > 0 {
		w.log.Warn("leases shortened: the clock of Postgres was set back", "leases", n)
	}
}

// watched are reservations that somebody should know about.
type watched struct {
	gauge  prometheus.Gauge
	count  func(context.Context) (sighting, error)
	failed string // for the log, if they can't be counted
	last   sighting

	unknown bool // they could not be counted the last time
}

// sighting is how many there are, and what the log reports about it.
type sighting struct {
	n       int
	first   stay.Ref
	message string
	about   []any
}

// look counts some reservations, and logs a change.
func (w *watcher) look(ctx context.Context, these *watched) {
	is, err := these.count(ctx)
	if err != nil {
		these.gauge.Set(math.NaN()) // nobody must mistake it for zero, or for the previous number
		if ctx.Err() == nil && !these.unknown {
			w.log.Error(these.failed, "error", err)
		}
		these.unknown = true
		return
	}
	these.unknown = false
	these.gauge.Set(float64(is.n))
	if is.n == these.last.n && is.first == these.last.first {
		return
	}
	these.last = is
	level := slog.LevelInfo
	if is.n > 0 {
		level = slog.LevelWarn
	}
	w.log.Log(ctx, level, is.message, is.about...)
}

func (w *watcher) arrivalsWithoutKey(ctx context.Context) (sighting, error) {
	now, within := w.now(), w.dueWithin
	n, nearest, err := w.store.Keys.CountArrivalsWithoutKey(ctx, now, now.Add(within))
	if nearest == nil {
		return sighting{message: "all upcoming arrivals have a key", about: []any{"within", within.String()}}, err
	}
	var checkIn any = nearest.Sent // without a time zone
	if nearest.CheckIn != nil {
		checkIn = *nearest.CheckIn
	}
	return sighting{n, nearest.Ref, "upcoming arrivals without a key", []any{
		"count", n, "within", within.String(), "source", nearest.Source, "reservation_id", nearest.ReservationID,
		"check_in", checkIn, "status", nearest.Status, "reason", nearest.Reason,
	}}, err
}

func (w *watcher) overdueRemovals(ctx context.Context) (sighting, error) {
	n, first, err := w.store.Keys.CountOverdueRemovals(ctx, w.now().Add(-removedWithin))
	if first == nil {
		return sighting{message: "no removals overdue"}, err
	}
	return sighting{n, first.Ref, "removals overdue: keys may still open doors", []any{
		"count", n, "source", first.Source, "reservation_id", first.ReservationID, "since", first.Since, "status",
		first.Status, "reason", first.Reason,
	}}, err
}
