package intake

import (
	"sync"
	"time"
)

// How accepting and applying share a machine that has not enough for both. A burst is accepted first: it costs
// least to write it down, and its sender is waiting. Once what waits has become old, accepting goes at the pace of
// applying, so that the backlog stays bounded and senders slow down instead of being refused.
const (
	// crowdedBatch is how many events of one commit tell of a crowd.
	crowdedBatch = 8
	// crowdLasts is how long a crowd counts as being there behind its last commit.
	crowdLasts = 100 * time.Millisecond
	// restShare is how many times as long as for its last batch an applier rests while a burst is accepted.
	restShare = 4
	// patience is how long an event may wait for that. Events of guests who arrive soon don't: they go first.
	patience = 30 * time.Second
	// heldPace is what share of the pace of applying is accepted while events have waited too long.
	heldPace = 0.95
	// longestHold bounds one pause of the flusher, whatever it believes of the pace.
	longestHold = 250 * time.Millisecond
)

// Pace is what the acceptor and the applier of a process know of each other. The zero Pace is ready.
type Pace struct {
	mu       sync.Mutex
	crowdAt  time.Time
	lag      time.Duration // the age of what was applied last
	applying float64       // events a second, while at it
}

// accepted notes a commit.
func (p *Pace) accepted(events int) {
	if events < crowdedBatch {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.crowdAt = time.Now()
}

// applied notes a batch: how old its events were, and how long it took.
func (p *Pace) applied(events int, lag, took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lag = lag
	if events > 0 && took > 0 {
		now := float64(events) / took.Seconds()
		if p.applying == 0 {
			p.applying = now
		}
		p.applying += (now - p.applying) / 8
	}
}

// rest is how long an applier leaves the machine to a burst behind a batch that took so long.
func (p *Pace) rest(took time.Duration) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.crowded() {
		return 0
	}
	return restShare * took
}

// Crowded tells whether a burst is being accepted that other work should give way to.
func (p *Pace) Crowded() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.crowded()
}

func (p *Pace) crowded() bool { return p.lag <= patience && time.Since(p.crowdAt) <= crowdLasts }

// hold is how long the flusher waits for the applier before its next commit, behind one of so many events that
// took so long.
func (p *Pace) hold(events int, took time.Duration) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lag <= patience || p.applying == 0 {
		return 0
	}
	due := time.Duration(float64(events) / (heldPace * p.applying) * float64(time.Second))
	return min(max(due-took, 0), longestHold)
}
