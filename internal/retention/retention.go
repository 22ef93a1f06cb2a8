// Package retention deletes what is no longer needed: raw bodies and guests' data, events, timelines and finally the
// reservations of stays that are over. Ages ([Ages], the settings STAYKEY_RETAIN_*) count from check-out; what belongs
// to no stay counts from when it was received.
//
// One replica at a time deletes, in small batches that rest between them, so that it never competes with webhooks.
// Nothing is deleted that a stay which isn't over needs, or that may still exist at Seam. A crash loses nothing: the
// next turn finds the same rows.
package retention

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// Ages are how long things are kept after check-out. Each is at least as long as the one before it.
type Ages struct {
	Bodies       time.Duration // raw bodies of events, and a reservation's guest
	Events       time.Duration // events, and with them what tells a duplicate
	Timeline     time.Duration
	Reservations time.Duration
}

// Never is an age that nothing reaches.
const Never = time.Duration(math.MaxInt64)

// Defaults are enough for a complaint, a season, and a year's comparison.
func Defaults() Ages {
	const day = 24 * time.Hour
	return Ages{Bodies: 30 * day, Events: 90 * day, Timeline: 180 * day, Reservations: 400 * day}
}

// leastUnknown is how long at least what has no known check-out is kept: bookings are made a year ahead.
const leastUnknown = 400 * 24 * time.Hour

const (
	task     = "retention"
	lease    = time.Minute
	lookFor  = time.Minute // how often a replica looks whether it is its turn
	every    = time.Hour
	pageSize = 200
	// restShare is the rest after a page, as a multiple of the time that the page took.
	restShare = 4
)

var pruned = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "staykey_pruned_total",
	Help: "What retention has removed, by kind: bodies, events, timeline and reservations count stays.",
}, []string{"kind"})

// Collectors returns the package's metrics.
func Collectors() []prometheus.Collector { return []prometheus.Collector{pruned} }

// Keeper removes what is too old, in small steps. Any number may run; one at a time works.
type Keeper struct {
	store   *store.Store
	log     *slog.Logger
	now     func() time.Time
	ages    Ages
	crowded func() bool // there is a burst to accept: steps wait
}

// New returns a keeper that is not running yet.
func New(s *store.Store, log *slog.Logger, now func() time.Time, ages Ages, crowded func() bool) *Keeper {
	return &Keeper{store: s, log: log, now: now, ages: ages, crowded: crowded}
}

// Run works whenever it is due and no other replica does it, until ctx ends. Each replica folds the counts of keys,
// which add up quickly in a burst.
func (k *Keeper) Run(ctx context.Context) {
	tick := time.NewTicker(lookFor)
	defer tick.Stop()
	for {
		if err := k.store.Keys.FoldCounts(ctx); err != nil && ctx.Err() == nil {
			k.log.Error("key counts not folded; retrying", "error", err)
		}
		if err := k.turn(ctx); err != nil && ctx.Err() == nil {
			k.log.Error("retention failed; retrying", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// progress is what the task remembers from one run to the next.
type progress struct {
	LooseTo  int64 `json:"loose_to"`  // events up to here belong to a reservation, or are gone
	BodiesTo int64 `json:"bodies_to"` // events up to here belong to a reservation, or have lost their bodies
	// when both began at the first event, see lookAgain
	Began time.Time `json:"began,omitzero"`
}

// lookAgain is how often everything is looked at again from the first event. A result may come back below the
// position reached: an event is applied again and turns out to be of no reservation, or its documents never come.
const lookAgain = 7 * 24 * time.Hour

func (k *Keeper) turn(ctx context.Context) error {
	if err := k.store.Tasks.Schedule(ctx, task, k.now().Add(every)); err != nil {
		return err
	}

	claimed, err := k.store.Tasks.Claim(ctx, task, k.now(), lease)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}

	var p progress
	if err := k.store.Tasks.Result(ctx, task, &p); err != nil {
		return err
	}
	if now := k.now(); now.Sub(p.Began) >= lookAgain {
		p = progress{Began: now}
	}

	counts, err := k.prune(ctx, &p, func() error { return k.store.Tasks.Renew(ctx, claimed, lease) })
	if len(counts) > 0 {
		attrs := make([]any, 0, 2*len(counts))
		for kind, n := range counts {
			attrs = append(attrs, kind, n)
		}
		k.log.Info("retention deleted old data", attrs...)
	}

	if err != nil {
		return err
	}
	return k.store.Tasks.Finish(ctx, claimed, k.now().Add(every), p)
}

// Prune removes everything that is too old now, without taking turns with other replicas.
func (k *Keeper) Prune(ctx context.Context) error {
	var p progress
	_, err := k.prune(ctx, &p, func() error { return nil })
	return err
}

func (k *Keeper) prune(ctx context.Context, p *progress, renew func() error) (counts map[string]int, err error) {
	counts = map[string]int{}
	now := k.now()
	step := func(kind string, age time.Duration, remove func() (n int, err error)) {
		for err == nil && age < Never {
			if err = renew(); err != nil {
				return
			}

			began := time.Now()
			var n int
			// one that is locked must not stop the others: it is for the next time
			if n, err = remove(); store.IsLockWait(err) {
				k.log.Warn("retention skipped locked rows; retrying later", "kind", kind, "waits_for",
					store.LockedRow(err), "error", err)
				err = nil
				return
			}

			if n == 0 {
				return
			}
			counts[kind] += n
			pruned.WithLabelValues(kind).Add(float64(n))
			if n < pageSize {
				return
			}
			err = k.rest(ctx, restShare*time.Since(began))
		}
	}

	for _, stage := range []struct {
		kind  string
		stage int
		age   time.Duration
	}{
		{"bodies", store.PruneBodies, k.ages.Bodies},
		{"events", store.PruneEvents, k.ages.Events},
		{"timeline", store.PruneTimeline, k.ages.Timeline},
		{"reservations", store.PruneReservations, k.ages.Reservations},
	} {
		step(stage.kind, stage.age, func() (int, error) {
			return k.pruneStays(ctx, stage.stage, now.Add(-stage.age), now.Add(-max(stage.age, leastUnknown)))
		})
	}

	step("waiting_events", k.ages.Bodies, func() (int, error) {
		return k.store.Retention.PruneWaiting(ctx, now.Add(-k.ages.Bodies), pageSize)
	})
	step("loose_bodies", k.ages.Bodies, func() (n int, err error) {
		p.BodiesTo, n, err = k.store.Retention.PruneLooseBodies(ctx, p.BodiesTo, now.Add(-k.ages.Bodies), pageSize)
		return n, err
	})
	step("guests", k.ages.Bodies, func() (int, error) {
		return k.store.Retention.PruneGuests(ctx, now.Add(-k.ages.Bodies), pageSize)
	})

	step("loose_events", k.ages.Events, func() (n int, err error) {
		p.LooseTo, n, err = k.store.Retention.PruneLooseEvents(ctx, p.LooseTo,
			now.Add(-max(k.ages.Events, leastUnknown)),
			pageSize)
		return n, err
	})

	step("identities", k.ages.Reservations, func() (int, error) {
		return k.store.Retention.PruneIdentities(ctx, now.Add(-max(k.ages.Reservations, store.IdentitiesKept)),
			pageSize)
	})
	step("audit", k.ages.Reservations, func() (int, error) {
		return k.store.Audit.Prune(ctx, now.Add(-max(k.ages.Reservations, leastUnknown)), pageSize)
	})

	step("requests", store.RequestsKept, func() (int, error) {
		return k.store.Requests.Prune(ctx, pageSize)
	})
	step("action_batches", store.BatchesKept, func() (int, error) {
		return k.store.Batches.Prune(ctx, now.Add(-store.BatchesKept), pageSize)
	})

	if err == nil {
		err = k.store.Activity.Prune(ctx, now)
	}
	return counts, err
}

// pruneStays brings a page of stays to a stage. Where something of them is locked, they go one by one, and those
// that are locked are passed over.
func (k *Keeper) pruneStays(ctx context.Context, stage int, ended, changed time.Time) (n int, err error) {
	n, err = k.store.Retention.PruneStays(ctx, stage, ended, changed, pageSize)
	if !store.IsLockWait(err) {
		return n, err
	}
	n = 0
	var locked []stay.Ref
	for range pageSize {
		refs, err := k.store.Retention.PruneStaysExcept(ctx, stage, ended, changed, 1, locked)
		switch {
		case store.IsLockWait(err) && len(refs) > 0:
			k.log.Warn("retention skipped a locked stay; retrying later", "source", refs[0].Source, "reservation_id",
				refs[0].ReservationID, "waits_for", store.LockedRow(err))
			locked = append(locked, refs...)
		case err != nil:
			return n, err
		case len(refs) == 0:
			return n, nil
		default:
			n++
		}
	}
	return n, nil
}

// rest leaves the machine to others, for as long as a burst lasts at least.
func (k *Keeper) rest(ctx context.Context, d time.Duration) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(min(d, lease/4)):
		}
		if !k.crowded() {
			return nil
		}
	}
}
