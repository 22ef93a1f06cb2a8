package provisioner

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/staykey/staykey/internal/store"
)

// Run provisions until ctx ends, then lets attempts under way continue until patience has passed.
func (p *Provisioner) Run(ctx context.Context, patience time.Duration) {
	attempts, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	var running sync.WaitGroup
	running.Go(func() { p.learnGroups(ctx) })
	running.Go(func() { p.sweeper.run(ctx) })
	running.Go(func() { p.watcher.run(ctx) })
	running.Go(func() { p.outage.run(ctx) })
	var busy busy
	freed := make(chan struct{}, 1)
	tick := p.options.After(p.options.PollEvery)
	p.queueDue(ctx)
	for ctx.Err() == nil {
		admitted, unreachable := p.admission.admitted(ctx)
		for _, lease := range p.claim(ctx, admitted || unreachable != nil, &busy) {
			end := busy.begin(p.isLater(lease))
			running.Go(func() {
				defer func() {
					end()
					signal(freed)
				}()
				p.work(attempts, lease, unreachable)
			})
		}
		select {
		case <-ctx.Done():
		case <-p.wake:
			p.queueDue(ctx)
		case <-freed:
		case <-tick:
			tick = p.options.After(p.options.PollEvery)
			p.queueDue(ctx)
		}
	}
	timer := time.AfterFunc(patience, cut)
	defer timer.Stop()
	running.Wait()
}

// signal wakes a goroutine that waits at a channel that holds one signal.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// mostPages bounds how much is queued at once: after an outage everything may be due.
const mostPages = 50

func (p *Provisioner) queueDue(ctx context.Context) {
	for range mostPages {
		n, err := p.store.Keys.QueueDue(ctx, p.now())
		if err != nil && ctx.Err() == nil {
			p.log.Error("due keys not queued; retrying", "error", err)
		}
		if err != nil || n < store.QueueAtMost {
			return
		}
	}
}

// Guests who arrive this soon are provisioned however busy the machine is. While a burst of events is accepted, or
// their backlog is old, keys of the others get one in crowdedShare workers.
const (
	soon         = 24 * time.Hour
	crowdedShare = 8
)

// busy counts the attempts in progress.
type busy struct {
	all   atomic.Int32
	later atomic.Int32 // at keys of guests who arrive later: urgent attempts, which may hang, don't use up their share
}

// begin counts an attempt until end is called.
func (b *busy) begin(later bool) (end func()) {
	b.all.Add(1)
	if !later {
		return func() { b.all.Add(-1) }
	}
	b.later.Add(1)
	return func() {
		b.later.Add(-1)
		b.all.Add(-1)
	}
}

// isLater reports whether a key's guest doesn't arrive soon.
func (p *Provisioner) isLater(l store.Lease) bool {
	return l.RankAt == nil || !l.RankAt.Before(p.now().Add(soon))
}

// claim leases due keys for the idle workers.
func (p *Provisioner) claim(ctx context.Context, may bool, busy *busy) []store.Lease {
	free := p.options.Workers - int(busy.all.Load())
	if !may || free <= 0 {
		return nil
	}
	var leases []store.Lease
	for _, c := range p.claims(free, int(busy.later.Load())) {
		limit := min(c.most, free-len(leases))
		if limit <= 0 {
			continue
		}
		some, err := p.store.Keys.Claim(ctx, p.options.Lease, c.before, limit)
		if err != nil && ctx.Err() == nil {
			p.log.Error("due keys not claimed; retrying", "error", err)
		}
		leases = append(leases, some...)
	}
	return leases
}

// claimed is how many keys to claim at most, and which.
type claimed struct {
	most   int
	before time.Time // check-in; zero for any
}

// claims returns the claims to make while free workers are idle and later attempts at keys of guests who arrive later
// are in progress.
func (p *Provisioner) claims(free, later int) []claimed {
	if p.options.Crowded == nil || !p.options.Crowded() {
		return []claimed{{most: free}}
	}
	return []claimed{{free, p.now().Add(soon)}, {max(p.options.Workers/crowdedShare, 1) - later, time.Time{}}}
}

// learnGroups looks up the access groups of new and changed listings, so that reservations don't have to.
func (p *Provisioner) learnGroups(ctx context.Context) {
	tick := p.options.After(p.options.PollEvery)
	var since time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.wakeLearner:
		case <-tick:
			tick = p.options.After(p.options.PollEvery)
		}
		if p.admission.trouble() != "" {
			continue
		}
		groups, latest, err := p.store.AccessGroups.InUse(ctx, since)
		if err == nil && len(groups) > 0 {
			err = p.directory.learn(ctx, groups)
		}
		switch {
		case err == nil:
			since = latest
		case ctx.Err() == nil:
			p.log.Warn("access groups not looked up", "error", err)
		}
	}
}
