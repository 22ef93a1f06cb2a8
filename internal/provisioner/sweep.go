package provisioner

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

var (
	sweepSeconds = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "staykey_sweep_duration_seconds", Help: "How long this process's last sweep took.",
	})
	sweepCompared = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "staykey_sweep_compared_total",
		Help: "Keys that sweeps compared with Seam, by result (same, different, missing).",
	}, []string{"result"})
)

const (
	sweepTask  = "sweep"
	sweepLease = 30 * time.Second // how long a killed replica delays it
	sweepPage  = 1000             // of our own rows
	// groupReads is how many access groups are read at a time. Their members are the one list that Seam doesn't offer
	// by system.
	groupReads = 4
	// A list that lacks many keys at once is more likely to be wrong itself: over one in twenty, and at least five.
	missingShare, missingLeast = 20, 5
	// Seam redelivers an event for about 28 hours (its retry schedule).
	seamEventsKept = 4 * 24 * time.Hour
)

// LastSweep returns the last sweep of any replica; the zero value if there was none.
func LastSweep(ctx context.Context, s *store.Store) (stay.Sweep, error) {
	var last stay.Sweep
	err := s.Tasks.Result(ctx, sweepTask, &last)
	return last, err
}

// swept is a sweep's result as it is stored. What a sweep couldn't judge is unknown, not none: it stays as the last
// sweep that could judge it left it, system by system.
type swept struct {
	stay.Sweep
	Systems map[string]sweptSystem `json:"systems,omitempty"`
}

// sweptSystem is what was found out last about one access system. Its fields are those of [stay.Sweep].
type sweptSystem struct {
	HeldBack int `json:"held_back"`
	Unknown  int `json:"unknown"`
}

// total sums up what is known of each system.
func (s *swept) total() {
	s.HeldBack, s.Unknown = 0, 0
	for _, system := range s.Systems {
		s.HeldBack += system.HeldBack
		s.Unknown += system.Unknown
	}
}

// sweeper compares all keys with Seam from lists, in turn with the other replicas. What differs it only marks as due:
// an attempt judges and repairs it.
type sweeper struct {
	store     *store.Store
	seam      *seam.Client
	log       *slog.Logger
	now       func() time.Time
	options   Options
	keys      identityKeys
	sealer    stay.Sealer
	systems   *systems
	admission *admission
	wake      func() // keys may be due
}

// run sweeps whenever it is due and no other replica does it.
func (w *sweeper) run(ctx context.Context) {
	schedule := func() bool {
		return w.store.Tasks.Schedule(ctx, sweepTask, w.now().Add(w.options.SweepInterval)) == nil
	}
	scheduled := schedule()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.options.After(w.options.PollEvery):
		}
		scheduled = scheduled || schedule()
		// with a wrong clock, current stays look over, and finished ones look missing
		if w.admission.trouble() != "" || w.options.ClockIsWrong() {
			continue
		}
		lease, err := w.store.Tasks.Claim(ctx, sweepTask, w.now(), sweepLease)
		switch {
		case err == nil:
			w.once(ctx, lease)
		case !errors.Is(err, store.ErrNotFound) && ctx.Err() == nil:
			w.log.Error("sweep not claimed; retrying", "error", err)
		}
	}
}

// once makes one sweep under a lease, and schedules the next.
func (w *sweeper) once(ctx context.Context, lease store.TaskLease) {
	started, clock := w.now(), time.Now()
	sweeping, cancel := context.WithCancel(ctx)
	var renewing sync.WaitGroup
	renewing.Go(func() {
		store.KeepLease(sweeping, cancel, sweepLease/3, func() error {
			return w.store.Tasks.Renew(sweeping, lease, sweepLease)
		})
	})

	var before swept
	err := w.store.Tasks.Result(sweeping, sweepTask, &before)
	var result swept
	if err == nil {
		result = w.sweep(sweeping, started, before)
	}

	cancel()
	renewing.Wait()
	if ctx.Err() != nil {
		return // another replica takes over when the lease ends
	}

	if err != nil {
		w.log.Error("last sweep's result not read; retrying", "error", err)
		next := w.now().Add(min(w.options.SweepInterval, time.Minute))
		if err := w.store.Tasks.Finish(ctx, lease, next, nil); err != nil {
			w.log.Error("sweep not postponed", "error", err)
		}
		return
	}

	result.TookMS = time.Since(clock).Milliseconds()
	sweepSeconds.Set(time.Since(clock).Seconds())
	next := started.Add(w.options.SweepInterval)
	if len(result.Failed) > 0 {
		next = w.now().Add(min(w.options.SweepInterval, time.Minute))
	}

	if err := w.store.Tasks.Finish(ctx, lease, next, result); err != nil {
		w.log.Error("sweep result not stored", "error", err)
	}
	w.log.Info("swept", "compared", result.Compared, "different", result.Different, "missing", result.Missing,
		"held_back", result.HeldBack,
		"failed", result.Failed, "duration_ms", result.TookMS)
}

// sweep compares everything recorded with Seam, system by system, from lists. Each key that differs is compared again
// by an attempt of its own, which judges and repairs it. before is the last sweep's result.
func (w *sweeper) sweep(ctx context.Context, started time.Time, before swept) swept {
	result := swept{
		Sweep:   stay.Sweep{At: started.Truncate(time.Millisecond), Failed: []string{}},
		Systems: map[string]sweptSystem{},
	}
	if err := w.store.SeamEvents.Forget(ctx, started.Add(-seamEventsKept)); err != nil {
		w.log.Warn("old Seam events not deleted", "error", err)
	}
	if err := w.store.ACSUsers.ForgetRemoved(ctx, started); err != nil {
		w.log.Warn("ids of removed ACS users not deleted", "error", err)
	}

	ctx = seam.Background(ctx)
	unreachable := w.systems.recordAll(ctx)
	systems, err := w.store.ACSSystems.InUse(ctx)
	if err != nil {
		result.Failed = append(result.Failed, err.Error())
		result.HeldBack, result.Unknown, result.Systems = before.HeldBack, before.Unknown, before.Systems
		return result
	}

	seed := maphash.MakeSeed()
	identities := w.listIdentities(ctx, seed)
	suspects := map[string][]uint64{} // by access system, if it was listed

	for _, id := range slices.Sorted(maps.Keys(systems)) {
		result.Systems[id] = before.Systems[id]
		if ctx.Err() != nil {
			break
		}
		if unreachable[id] {
			continue // what Seam would report about it is old
		}

		s := &systemSweep{
			store: w.store, seam: w.seam, log: w.log, now: w.now, sealer: w.sealer, policy: w.options.Policy,
			wake: w.wake, systemID: id, recorded: systems[id], since: started.Add(-w.options.ReadLag), seed: seed,
			listedIdentities: identities,
		}

		if err := s.run(ctx); err != nil {
			w.admission.heed(err)
			result.Failed = append(result.Failed, fmt.Sprintf("%s: %v", id, err))
			w.log.Warn("sweep of an access system failed; retrying", "acs_system_id", id, "error", err)
		}
		if s.locked != nil {
			result.Failed = append(result.Failed, fmt.Sprintf("%s: a key that differs is locked: %v", id, s.locked))
			w.log.Warn("sweep skipped a locked key; retrying", "acs_system_id", id, "waits_for",
				store.LockedRow(s.locked), "error", s.locked)
		}

		result.Compared += s.compared
		result.Different += s.different
		result.Missing += s.missing
		if s.judged {
			result.Systems[id] = sweptSystem{HeldBack: s.heldBack, Unknown: before.Systems[id].Unknown}
		}
		if s.listed && identities.unknown != nil {
			suspects[id] = s.suspects
		}
	}

	w.judgeUnknown(ctx, seed, suspects, &result)
	return result
}

// judgeUnknown reports signs of a database that was restored from an older backup. Nothing is stopped: a sweep that
// is wrong about it must not keep the doors of every hotel as they are.
func (w *sweeper) judgeUnknown(ctx context.Context, seed maphash.Seed, suspects map[string][]uint64,
	result *swept,
) {
	all := slices.Concat(slices.Collect(maps.Values(suspects))...)
	known, err := w.knownHere(ctx, seed, all)
	if err != nil {
		w.log.Warn("sweep found ACS users of unknown user identities and could not check them; retrying", "suspects",
			len(all), "error", err)
		suspects = nil // they count as in the sweep before
	}
	for id, list := range suspects {
		system := result.Systems[id]
		system.Unknown = len(slices.DeleteFunc(list, func(suspect uint64) bool { return known[suspect] }))
		result.Systems[id] = system
	}
	if result.total(); err == nil && result.Unknown > 0 {
		w.log.Error("database older than Seam: it doesn't know ACS users that staykey created; if it was restored from a backup, restart with STAYKEY_DRIFT=report "+
			"and have the PMS resend what changed since", "unknown", result.Unknown)
	}
}
