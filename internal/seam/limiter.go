package seam

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
)

// How long a call waits for its turn before it is given up: one that occupies a worker, and one that nobody waits for.
const (
	patience           = 2 * time.Second
	backgroundPatience = time.Minute
)

var rateLimit = prometheus.NewGauge(prometheus.GaugeOpts{
	Name: "staykey_seam_rate_limit",
	Help: "Calls a second to Seam that are let through since it answered 429; +Inf: no limit is known.",
})

// limiter is the one place where a workspace's calls queue. Seam documents no limit for what we call, so that
// it is learnt: a 429 stops all calls for as long as Seam asks, halves the pace, and every quiet second raises
// it again. It knows two classes: what a guest waits for, and, at half the pace, everything else.
type limiter struct {
	now func() time.Time

	mu       sync.Mutex
	closed   time.Time     // no call before this: Seam answered 429
	probeAt  time.Time     // when an urgent call may find out whether that is still so
	pace     *rate.Limiter // of all calls
	back     *rate.Limiter // of those that nobody waits for
	raisedAt time.Time
	second   time.Time // that count counts
	count    int
	before   int // calls of the second before
}

const (
	slowest = rate.Limit(10)  // calls a second; where even that is too much, only the pause that Seam asks for holds
	fastest = rate.Limit(500) // beyond it there is no limit worth keeping
	burst   = 10
)

func newLimiter(now func() time.Time) *limiter {
	rateLimit.Set(math.Inf(1))
	return &limiter{now: now, pace: rate.NewLimiter(rate.Inf, burst), back: rate.NewLimiter(rate.Inf, 1)}
}

// ProbeEvery is how often an urgent call may ask during a long pause: the pause that Seam asks for may be far
// longer than the guest can wait, or than Seam needs.
const ProbeEvery = 30 * time.Second

type urgentKey struct{}

// Urgent marks the calls that somebody who arrives soon waits for. While Seam asks for a long pause, one of them is
// let through every [ProbeEvery], and if Seam answers it, the pause is over for all.
func Urgent(ctx context.Context) context.Context { return context.WithValue(ctx, urgentKey{}, true) }

func isUrgent(ctx context.Context) bool { return ctx.Value(urgentKey{}) != nil }

type probeKey struct{}

// Probe marks a call that finds out whether Seam answers at all. It waits for no pause that Seam asks for, so that its
// caller limits how often it is made; if Seam answers it, the pause is over for all.
func Probe(ctx context.Context) context.Context { return context.WithValue(ctx, probeKey{}, true) }

func isProbe(ctx context.Context) bool { return ctx.Value(probeKey{}) != nil }

type backgroundKey struct{}

// Background marks reads that nobody waits for: while Seam limits us they let the other calls go first, and one
// that is lost is repeated a few times.
func Background(ctx context.Context) context.Context {
	return context.WithValue(ctx, backgroundKey{}, true)
}

func isBackground(ctx context.Context) bool { return ctx.Value(backgroundKey{}) != nil }

// admit waits for a call's turn. If that would take too long, it returns a [RateLimited] error at once. probes tells
// that Seam has asked for a pause, and that the call is to find out whether Seam answers again.
func (l *limiter) admit(ctx context.Context, path string) (probes bool, err error) {
	if isProbe(ctx) && l.isShut() || isUrgent(ctx) && l.mayProbe() {
		return true, nil
	}
	return false, l.queue(ctx, path)
}

// mayProbe takes the turn of a probe, if there is one.
func (l *limiter) mayProbe() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if l.closed.Sub(now) <= patience || now.Before(l.probeAt) {
		return false
	}
	l.probeAt = now.Add(ProbeEvery)
	return true
}

// isShut reports whether Seam has asked for a pause that lasts.
func (l *limiter) isShut() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now().Before(l.closed)
}

// open ends the pause: Seam has answered a probe.
func (l *limiter) open() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := l.now(); now.Before(l.closed) {
		l.closed, l.raisedAt = now, now
		l.set(now, l.pace.Limit())
	}
}

func (l *limiter) queue(ctx context.Context, path string) error {
	background := isBackground(ctx)
	wait, undo := l.reserve(background)
	if wait > backgroundPatience || (wait > patience && !background) {
		undo()
		return &Error{Path: path, Kind: RateLimited, Message: "waiting for Seam's rate limit", RetryAfter: wait}
	}
	if wait <= 0 {
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		undo()
		return &Error{Path: path, Kind: NotSent, Message: ctx.Err().Error()}
	}
}

func (l *limiter) reserve(background bool) (wait time.Duration, undo func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	l.tick(now)
	l.count++
	at := now
	if l.closed.After(at) {
		at = l.closed
	}
	reserved := []*rate.Reservation{l.pace.ReserveN(at, 1)}
	if background {
		reserved = append(reserved, l.back.ReserveN(at, 1))
	}
	for _, r := range reserved {
		wait = max(wait, at.Sub(now)+r.DelayFrom(at))
	}
	return wait, func() {
		for _, r := range reserved {
			r.CancelAt(l.now())
		}
	}
}

// tick counts seconds, and raises the pace by a quarter for each that was quiet. The caller holds the lock.
func (l *limiter) tick(now time.Time) {
	if second := now.Truncate(time.Second); !second.Equal(l.second) {
		l.before = 0
		if second.Sub(l.second) == time.Second {
			l.before = l.count
		}
		l.second, l.count = second, 0
	}
	if l.pace.Limit() == rate.Inf || now.Before(l.closed) {
		return
	}
	for ; now.Sub(l.raisedAt) >= time.Second; l.raisedAt = l.raisedAt.Add(time.Second) {
		l.set(now, l.pace.Limit()*1.25+1)
		if l.pace.Limit() == rate.Inf {
			return
		}
	}
}

// shut follows a 429.
func (l *limiter) shut(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	first := !now.Before(l.closed) // the others of a burst say nothing new
	if until := now.Add(d); until.After(l.closed) {
		l.closed = until
	}
	if first {
		l.set(now, max(slowest, min(l.pace.Limit(), rate.Limit(max(l.before, l.count)))/2))
	}
	l.raisedAt, l.probeAt = l.closed, now.Add(ProbeEvery)
}

func (l *limiter) set(now time.Time, pace rate.Limit) {
	if pace > fastest {
		pace = rate.Inf
	}
	l.pace.SetLimitAt(now, pace)
	l.back.SetLimitAt(now, pace/2)
	rateLimit.Set(float64(pace))
}
