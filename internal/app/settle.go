package app

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/staykey/staykey/internal/store"
)

// A configuration has its full effect once the database knows it and was compared with it. That may have to wait:
// for a lock, for a database that is read-only, for Postgres itself. So what a start or a reload can't do at once is
// done again every few seconds until it succeeds, however long that takes, and a reload that the database prevented
// is done again as a whole. Nobody has to send SIGHUP twice.

// settleEvery is how often the remaining steps are retried.
const settleEvery = 5 * time.Second

// step is something that the configuration in use needs for its full effect. It works with the configuration of the
// moment when it runs.
type step struct {
	name string
	do   func(context.Context) error
}

// settling is the list of remaining steps.
type settling struct {
	mu   sync.Mutex
	left []step
	why  error // why the first of them is left
}

// unsettled returns the first step that is left, and why it is; "" for none.
func (s *settling) unsettled() (name string, why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.left) == 0 {
		return "", nil
	}
	return s.left[0].name, s.why
}

// unsettled describes the part of the configuration that has no effect yet; "" for none.
func (r *reloader) unsettled() string {
	if err := r.reloads.prevented(); err != nil {
		return "not reloaded yet, retrying: " + err.Error()
	}
	if name, err := r.settling.unsettled(); err != nil {
		return "not in full effect yet, retrying to " + name + ": " + err.Error()
	}
	return ""
}

// settle takes steps at once, since each may wait for a lock, and leaves those that fail for later. They replace what
// was left of an earlier configuration.
func (r *reloader) settle(ctx context.Context, steps ...step) {
	results := make([]error, len(steps))
	var taking sync.WaitGroup
	for i, step := range steps {
		taking.Go(func() { results[i] = step.do(ctx) })
	}
	taking.Wait()

	var left []step
	var why error
	for i, step := range steps {
		err := results[i]
		if err == nil {
			continue
		}
		if ctx.Err() == nil {
			r.log.Warn("configuration not in full effect yet: retrying", "step", step.name, "every",
				settleEvery.String(), "waits_for", store.LockedRow(err), "error", err)
		}
		if left = append(left, step); why == nil {
			why = err
		}
	}
	r.settling.mu.Lock()
	defer r.settling.mu.Unlock()
	r.settling.left, r.settling.why = left, why
}

// settleLater retries the remaining steps until ctx ends.
func (r *reloader) settleLater(ctx context.Context) {
	every(ctx, settleEvery, func() { r.settleAgain(ctx) })
}

// every calls do after each pause until ctx ends.
func every(ctx context.Context, pause time.Duration, do func()) {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			do()
		}
	}
}

// settleAgain runs the remaining steps once.
func (r *reloader) settleAgain(ctx context.Context) {
	if r.reloads.prevented() != nil {
		_, _ = r.reload(ctx) // it is logged
		return
	}
	if name, _ := r.settling.unsettled(); name == "" || !r.reloads.takeTurn(ctx) {
		return
	}
	defer r.reloads.leaveTurn()
	r.settling.mu.Lock()
	left := slices.Clone(r.settling.left)
	r.settling.mu.Unlock()
	if r.settle(ctx, left...); len(left) > 0 {
		if name, _ := r.settling.unsettled(); name == "" {
			r.log.Info("configuration in full effect")
		}
	}
}

// decided makes the configuration's policies those of their sources.
func (r *reloader) decided() step {
	return step{"store the policies of the sources", func(ctx context.Context) error {
		return r.decidePolicies(ctx, *r.sources.Load())
	}}
}

// noted records which subscriptions there are.
func (r *reloader) noted() step {
	return step{"store the names of the subscriptions", func(ctx context.Context) error {
		return r.store.Subscriptions.See(ctx, subscriptionNames(r.subscriptions()), time.Now())
	}}
}

// compared looks for sources in use that have no entry, and logs them.
func (r *reloader) compared() step {
	return step{"compare the sources in use with the configuration", r.reportOrphans}
}

// takenUp begins to fetch the documents that events of the sources wait for.
func (r *reloader) takenUp() step {
	return step{"resume events that wait for documents", func(ctx context.Context) error {
		return r.resume(ctx, slices.Sorted(maps.Keys(r.sources.Load().Sources)))
	}}
}
