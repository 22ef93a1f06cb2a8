package pmsapi

import (
	"math/rand/v2"
	"net/http"
	"time"
)

// This file alone decides when a PMS is called again. The decision is a pure function; callers only wait as long as it
// says.

const (
	// giveUpAfter is how long to retry if a PMS doesn't answer, refuses the account, or fails: a person must repair it,
	// possibly after a weekend.
	giveUpAfter = 48 * time.Hour
	// unknownAfter is how long to retry if the PMS says that a document doesn't exist: it may appear a little later
	// than its webhook, and gateways answer 404 during a rollout.
	unknownAfter = time.Hour
	// UnknownAtLeast is how many times such a document is requested, however long ago the first time was.
	UnknownAtLeast    = 6
	longestWait       = 15 * time.Minute // of one event
	longestHold       = 5 * time.Minute  // of an account that doesn't answer: guests may be on their way
	longestRetryAfter = time.Hour        // that a PMS may ask for
)

// Cause is why a call failed.
type Cause int

const (
	Silent  Cause = iota + 1 // no answer
	Busy                     // too many requests, or asked to come back later
	Account                  // the credentials were refused
	Failing                  // an unusable answer: a server's error, a refusal inside a 200, something missing
	Unknown                  // the PMS says that it has no such document
	Early                    // the document is older than its webhook
	Broken                   // retrying is useless: the program or the event is wrong
)

// CauseOf returns the cause that an unsuccessful HTTP status stands for.
func CauseOf(status int) Cause {
	switch {
	case status == http.StatusTooManyRequests:
		return Busy
	case status == http.StatusUnauthorized:
		return Account
	case status == http.StatusForbidden, status == http.StatusRequestTimeout, status == http.StatusTooEarly,
		status >= 500, status < 400:
		return Failing
	}
	return Unknown
}

// Attempt is a failed attempt.
type Attempt struct {
	Cause      Cause
	Number     int           // of attempts so far, this one included
	Since      time.Duration // the first one
	RetryAfter time.Duration // requested by the PMS; 0: not
}

// Decision is what follows from a failed attempt.
type Decision struct {
	GiveUp bool
	Wait   time.Duration // before the next attempt
	Hold   bool          // the whole account waits, not only this attempt
}

// Decide is the retry policy. first is the first wait; jitter is left to the caller.
func Decide(a Attempt, first time.Duration) Decision {
	wait := Backoff(first, a.Number, longestWait)
	if a.RetryAfter > 0 {
		wait = min(a.RetryAfter, longestRetryAfter)
	}
	d := Decision{Wait: wait, GiveUp: a.Since >= giveUpAfter}
	switch a.Cause {
	case Broken:
		d.GiveUp = true
	case Unknown:
		// Three times as long each time: six tries within a minute would all fall into the same deployment.
		d.Wait = max(d.Wait, min(first*time.Duration(pow3(min(a.Number-1, 12))), longestWait))
		d.GiveUp = a.Since >= unknownAfter && a.Number >= UnknownAtLeast
	case Early:
		d.Wait, d.GiveUp = first, false
	case Silent, Account, Busy:
		d.Hold = true
	case Failing:
		d.Hold = a.RetryAfter > 0
	}
	return d
}

// Backoff doubles the first wait with each failure, up to the longest.
func Backoff(first time.Duration, failures int, longest time.Duration) time.Duration {
	if failures > 20 {
		return longest
	}
	return min(first<<max(failures, 0), longest)
}

func pow3(n int) int64 {
	p := int64(1)
	for range n {
		p *= 3
	}
	return p
}

// Scatter randomizes a wait to between half and all of it, so that not everything happens at once.
func Scatter(wait time.Duration) time.Duration {
	return wait/2 + rand.N(wait/2+1) // #nosec G404 -- not a secret
}

// After is a wait that ends after the pause, randomized so that the account's calls don't all come at once.
func After(wait time.Duration) time.Duration {
	return wait + rand.N(min(wait, time.Minute)+time.Second) // #nosec G404 -- not a secret
}
