package intake

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// How accepting and applying share a machine that is too slow for both. A burst is accepted first: writing it down
// costs least, and its sender is waiting. Once the backlog has become old, accepting slows down to the rate of
// applying, so that the backlog stays bounded and senders slow down instead of being refused.
const (
	// crowdedBatch is how many events in one commit indicate a burst.
	crowdedBatch = 8
	// crowdLasts is how long a burst is assumed to last after its last such commit.
	crowdLasts = 100 * time.Millisecond
	// restShare is how many times the duration of its last batch an applier pauses while a burst is accepted.
	restShare = 8
	// patience is how old the backlog may become because of that. Events of guests who arrive soon don't wait: they
	// are first.
	patience = 30 * time.Second
	// keysWait is how old the backlog may become before keys of guests who arrive later give way to it.
	keysWait = time.Second
	// pacedShare is the share of the rate of applying at which events are accepted while the backlog is too old.
	pacedShare = 0.95
	// paceOver is the period over which the rates of accepting and applying are measured.
	paceOver = 500 * time.Millisecond
	// longestRest bounds one pause of an applier, whatever its last batch waited for: the next one may be about a guest
	// who arrives soon.
	longestRest = 500 * time.Millisecond
	// longestHold bounds one pause of the flusher, whatever rate it assumes.
	longestHold = 250 * time.Millisecond
)

// Pace is what the acceptor and the applier of a process know about each other. The zero Pace is ready to use.
type Pace struct {
	mu      sync.Mutex
	crowdAt time.Time
	lag     time.Duration // how long the events that were applied last had waited
	// the rate of accepting while the lag is beyond patience; nil before the rate of applying is known
	limiter *rate.Limiter
	yield   yielding  // how long appliers pause for accepting, whatever the lag
	since   time.Time // the start of the measurement
	counted int       // events applied since then
	taken   int       // events accepted since then
	crowded int       // those of them whose commits indicate a burst
}

// accepted records a commit.
func (p *Pace) accepted(events int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken += events
	if events >= crowdedBatch {
		p.crowdAt = time.Now()
		p.crowded += events
	}
}

// overtaken records a batch that shows nothing about how long others wait: see [store.Claimed].
func (p *Pace) overtaken(events int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.note(events, p.lag)
}

// applied records a batch, and how long its events have waited in the queue.
func (p *Pace) applied(events int, lag time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.note(events, lag)
}

func (p *Pace) note(events int, lag time.Duration) {
	now := time.Now()
	if events == 0 {
		p.yield = yielding{}
	}
	if p.since.IsZero() || (lag > patience) != (p.lag > patience) {
		p.limiter, p.lag = nil, lag
		p.measureFrom(now) // this batch began before
		return
	}
	p.lag = lag
	p.counted += events
	if took := now.Sub(p.since); took >= paceOver {
		p.yield = p.yield.after(measured{
			over: took, accepted: p.taken, applied: p.counted, crowded: p.crowded > p.taken/2,
		})
		if lag > patience {
			p.limit(now, pacedShare*float64(p.counted)/took.Seconds())
		}
		p.measureFrom(now)
	}
}

func (p *Pace) measureFrom(now time.Time) {
	p.since, p.counted, p.taken, p.crowded = now, 0, 0, 0
}

// limit sets the rate of accepting.
func (p *Pace) limit(now time.Time, perSecond float64) {
	pace := rate.Limit(perSecond)
	if p.limiter == nil {
		p.limiter = rate.NewLimiter(pace, batchSize)
	}
	p.limiter.SetLimitAt(now, pace)
}

// rest is how long an applier pauses for accepting after a batch that took this long. In a burst, the pause is the
// shorter, the closer the lag is to the limit, so that an endless burst settles at a rate that both can keep.
func (p *Pace) rest(took time.Duration) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	share := p.yield.pause()
	if p.inBurst() {
		used := float64(p.lag) / float64(patience)
		share = max(share, restShare*(1-used*used*used*used))
	}
	return min(time.Duration(share*float64(took)), longestRest)
}

// Crowded reports whether a burst is being accepted that other work should give way to.
func (p *Pace) Crowded() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.inBurst()
}

func (p *Pace) inBurst() bool { return p.lag < patience && time.Since(p.crowdAt) <= crowdLasts }

// Pressed reports whether events are so many that keys of guests who arrive later should wait: a burst is being
// accepted, or the backlog that it left is being applied. What waits may change or cancel the stays that these keys are
// for, and a key costs many times as much as applying an event.
func (p *Pace) Pressed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.inBurst() || p.lag >= keysWait
}

// delay is how long the flusher waits for the appliers before its next commit, after one of that many events.
func (p *Pace) delay(events int) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lag <= patience || p.limiter == nil {
		return 0
	}
	return min(p.limiter.ReserveN(time.Now(), min(events, batchSize)).Delay(), longestHold)
}
