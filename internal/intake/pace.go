package intake

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// How accepting and applying share a machine that has not enough for both. A burst is accepted first: it costs
// least to write it down, and its sender is waiting. Once what waits has become old, accepting goes at the pace of
// applying, so that the backlog stays bounded and senders slow down instead of being refused.
const (
	// crowdedBatch is how many events of one commit report a crowd.
	crowdedBatch = 8
	// crowdLasts is how long a crowd counts as being there after its last commit.
	crowdLasts = 100 * time.Millisecond
	// restShare is how many times as long as for its last batch an applier rests while a burst is accepted.
	restShare = 8
	// patience is how long an event may wait for that. Events of guests who arrive soon don't: they go first.
	patience = 30 * time.Second
	// heldPace is what share of the pace of applying is accepted while events have waited too long.
	heldPace = 0.95
	// paceOver is how long applied events are counted for their pace.
	paceOver = 500 * time.Millisecond
	// longestHold bounds one pause of the flusher, whatever it believes of the pace.
	longestHold = 250 * time.Millisecond
)

// Pace is what the acceptor and the applier of a process know of each other. The zero Pace is ready.
type Pace struct {
	mu      sync.Mutex
	crowdAt time.Time
	lag     time.Duration // the age of what was applied last
	held    *rate.Limiter // what may be accepted while the lag is beyond patience; nil before the pace of applying is known
	since   time.Time     // when counting for it began
	counted int
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

// overtaken notes a batch of urgent events alone, which say nothing about how old the others are.
func (p *Pace) overtaken(events int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.note(events, p.lag)
}

// applied notes a batch and how old its events were.
func (p *Pace) applied(events int, lag time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.note(events, lag)
}

func (p *Pace) note(events int, lag time.Duration) {
	now := time.Now()
	if p.lag <= patience {
		p.held, p.since, p.counted = nil, now, 0
	}
	p.lag = lag
	p.counted += events
	if took := now.Sub(p.since); took >= paceOver {
		pace := rate.Limit(heldPace * float64(p.counted) / took.Seconds())
		if p.held == nil {
			p.held = rate.NewLimiter(pace, batchSize)
		}
		p.held.SetLimitAt(now, pace)
		p.since, p.counted = now, 0
	}
}

// rest is how long an applier leaves the machine to a burst after a batch that took so long: the less, the nearer
// the lag is to what is tolerated, so that a burst that doesn't end finds the pace that both can keep.
func (p *Pace) rest(took time.Duration) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.crowded() {
		return 0
	}
	used := float64(p.lag) / float64(patience)
	return time.Duration(restShare * (1 - used*used*used*used) * float64(took))
}

// Crowded reports whether a burst is being accepted that other work should give way to.
func (p *Pace) Crowded() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.crowded()
}

func (p *Pace) crowded() bool { return p.lag < patience && time.Since(p.crowdAt) <= crowdLasts }

// hold is how long the flusher waits for the appliers before its next commit, after one of so many events.
func (p *Pace) hold(events int) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lag <= patience || p.held == nil {
		return 0
	}
	return min(p.held.ReserveN(time.Now(), min(events, batchSize)).Delay(), longestHold)
}
