package pmsapi

import (
	"sync"
	"time"
)

// breaker pauses the requests of one account while its PMS asks for a pause or doesn't answer. After a failure one
// request goes through as a probe; the others follow once it has been answered.
//
//	closed --failure--> open until T --T passes, one enters--> probing --answered--> closed
//	                       ^                                      |
//	                       +----------------failure---------------+
type breaker struct {
	mu       sync.Mutex
	until    time.Time
	why      string
	failures int  // without an answer between them
	probing  bool // one request finds out whether the PMS is back
}

// enter admits a request, or returns how long it must wait. The request ends with exactly one of pass, trip and leave.
func (b *breaker) enter(now time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case now.Before(b.until):
		return &PausedError{b.until.Sub(now), b.why}
	case b.failures == 0:
		return nil
	case b.probing:
		return &PausedError{AnswerWithin, b.why}
	}
	b.probing = true
	return nil
}

// pass notes that the PMS has answered.
func (b *breaker) pass() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures, b.probing, b.why = 0, false, ""
}

// leave ends a request that was cut off, which says nothing about the PMS.
func (b *breaker) leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.probing = false
}

// trip pauses the account for as long as the PMS asks for, or else for longer with each failure. A request that was
// already under way when the breaker opened doesn't count again.
func (b *breaker) trip(now time.Time, first, retryAfter time.Duration, why string) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Before(b.until) && retryAfter == 0 {
		return b.until.Sub(now)
	}
	b.failures++
	wait := Backoff(first, b.failures, longestHold)
	if retryAfter > 0 {
		wait = min(retryAfter, longestRetryAfter)
	}
	if until := now.Add(wait); until.After(b.until) {
		b.until = until
	}
	b.probing, b.why = false, why
	return b.until.Sub(now)
}
