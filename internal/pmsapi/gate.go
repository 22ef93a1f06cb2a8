package pmsapi

import (
	"sync"
	"time"
)

// gate pauses the requests of one account while its PMS asks for a pause or doesn't answer. After a failure one
// request goes through as a probe; the others follow once it has been answered.
//
//	open --failure--> closed until T --T passes, one enters--> probing --answered--> open
//	                     ^                                        |
//	                     +----------------failure-----------------+
type gate struct {
	mu       sync.Mutex
	until    time.Time
	why      string
	failures int  // without an answer between them
	probing  bool // one request finds out whether the PMS is back
}

// enter admits a request, or returns how long it must wait. The request ends with exactly one of pass, shut and leave.
func (g *gate) enter(now time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case now.Before(g.until):
		return &PausedError{g.until.Sub(now), g.why}
	case g.failures == 0:
		return nil
	case g.probing:
		return &PausedError{AnswerWithin, g.why}
	}
	g.probing = true
	return nil
}

// pass notes that the PMS has answered.
func (g *gate) pass() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.failures, g.probing, g.why = 0, false, ""
}

// leave ends a request that was cut off, which says nothing about the PMS.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.probing = false
}

// shut pauses the account for as long as the PMS asks for, or else for longer with each failure. A request that was
// already under way when the gate was shut doesn't count again.
func (g *gate) shut(now time.Time, first, retryAfter time.Duration, why string) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if now.Before(g.until) && retryAfter == 0 {
		return g.until.Sub(now)
	}
	g.failures++
	wait := Backoff(first, g.failures, longestHold)
	if retryAfter > 0 {
		wait = min(retryAfter, longestRetryAfter)
	}
	if until := now.Add(wait); until.After(g.until) {
		g.until = until
	}
	g.probing, g.why = false, why
	return g.until.Sub(now)
}
