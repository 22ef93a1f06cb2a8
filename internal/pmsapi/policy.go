package pmsapi

import (
	"math/rand/v2"
	"net/http"
	"time"
)

// When a PMS is asked again is decided here and nowhere else, by a pure function; others only wait as long as it says.

const (
	// giveUpAfter is how long a PMS is asked that doesn't answer, refuses the account, or fails: what is broken is
	// repaired by a person, who may have a weekend off.
	giveUpAfter = 48 * time.Hour
	// unknownAfter is how long it is asked for a document that it says it doesn't have: a document may be there a
	// little later than its webhook, and a gateway answers 404 while a new version is rolled out.
	unknownAfter = time.Hour
	// UnknownAtLeast is how often it is asked for such a document, however long ago the first time was.
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
	Failing                  // an answer that is none: a server's error, a refusal inside a 200, something missing
	Unknown                  // the PMS says that it has no such document
	Early                    // the document is older than its webhook
	Broken                   // asking again changes nothing: the program's mistake, or the event's
)

// CauseOf tells what an HTTP status that is no success says.
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
	RetryAfter time.Duration // as the PMS asks for; 0: it doesn't
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
		// Three times as long each time: six tries within a minute would all meet the same deployment.
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

// Scatter spreads what would otherwise happen at once: a wait of half to all of it.
func Scatter(wait time.Duration) time.Duration {
	return wait/2 + rand.N(wait/2+1) // #nosec G404 -- not a secret
}

// After is a wait that ends after the gate opens, spread so that the calls of an account don't all come at once.
func After(wait time.Duration) time.Duration {
	return wait + rand.N(min(wait, time.Minute)+time.Second) // #nosec G404 -- not a secret
}
