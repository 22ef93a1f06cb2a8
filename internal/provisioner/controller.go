package provisioner

import (
	"context"
	"sync"
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
	slots := make(chan struct{}, p.options.Workers)
	freed := make(chan struct{}, 1)
	tick := p.options.After(p.options.PollEvery)
	p.queueDue(ctx)
	for ctx.Err() == nil {
		admitted, unreachable := p.admission.admitted(ctx)
		for _, lease := range p.claim(ctx, admitted || unreachable != nil, len(slots)) {
			slots <- struct{}{}
			running.Go(func() {
				defer func() {
					<-slots
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

// Guests who arrive this soon are provisioned however busy the machine is; for the others, one in crowdedShare
// workers remains while a burst is accepted.
const (
	soon         = 24 * time.Hour
	crowdedShare = 8
)

// claim leases due keys for the idle workers.
func (p *Provisioner) claim(ctx context.Context, may bool, busy int) []store.Lease {
	free := p.options.Workers - busy
	if !may || free <= 0 {
		return nil
	}
	var leases []store.Lease
	for _, c := range p.claims(free, busy) {
		if c.most -= len(leases); c.most <= 0 {
			continue
		}
		some, err := p.store.Keys.Claim(ctx, p.options.Lease, c.before, c.most)
		if err != nil && ctx.Err() == nil {
			p.log.Error("due keys not claimed; retrying", "error", err)
		}
		leases = append(leases, some...)
	}
	return leases
}

// claimed is how many keys to claim at most, including those claimed before, and which.
type claimed struct {
	most   int
	before time.Time // check-in; zero for any
}

func (p *Provisioner) claims(free, busy int) []claimed {
	if p.options.Crowded == nil || !p.options.Crowded() {
		return []claimed{{most: free}}
	}
	return []claimed{{free, p.now().Add(soon)}, {max(p.options.Workers/crowdedShare, 1) - busy, time.Time{}}}
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
