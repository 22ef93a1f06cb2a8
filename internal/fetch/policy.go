package fetch

import (
	"math/rand/v2"
	"net/http"
	"time"
)

// When a PMS is asked again is decided here and nowhere else, by a pure function; River only runs a job when asked to.

const (
	// giveUpAfter is how long a PMS is asked that doesn't answer, refuses the account, or fails: what is broken is repaired by a
	// person, who may have a weekend off.
	giveUpAfter = 48 * time.Hour
	// unknownAfter is how long it is asked for a document that it says it doesn't have: a document may be there a little later
	// than its webhook, and a gateway answers 404 while a new version is rolled out.
	unknownAfter = time.Hour
	// unknownAtLeast is how often it is asked for such a document, however long ago the first time was.
	unknownAtLeast = 6
	// withoutAfter is how long an optional document is waited for, and withoutTries how often it is asked for.
	withoutAfter = 10 * time.Minute
	withoutTries = 4

	longestWait       = 15 * time.Minute // of one event
	longestHold       = 5 * time.Minute  // of a source that doesn't answer: guests may be on their way
	longestRetryAfter = time.Hour        // that a PMS may ask for
)

// cause is what stood between an event and its documents.
type cause int

const (
	silent  cause = iota + 1 // no answer
	busy                     // too many requests, or asked to come back later
	account                  // the credentials were refused
	failing                  // an answer that is none: a server's error, a refusal inside a 200, something missing
	unknown                  // the PMS says that it has no such document
	early                    // the document is older than its webhook
	broken                   // asking again changes nothing: the program's mistake, or the event's
)

// causeOf tells what an HTTP status other than 200 says.
func causeOf(status int) cause {
	switch {
	case status == http.StatusTooManyRequests:
		return busy
	case status == http.StatusUnauthorized:
		return account
	case status == http.StatusForbidden, status == http.StatusRequestTimeout, status == http.StatusTooEarly, status >= 500, status < 400:
		return failing
	}
	return unknown
}

// attempt is a failed attempt to get the documents of an event.
type attempt struct {
	cause      cause
	number     int           // of attempts so far, this one included
	since      time.Duration // the first one
	retryAfter time.Duration // as the PMS asks for; 0: it doesn't
}

// decision is what follows from a failed attempt.
type decision struct {
	giveUp bool
	wait   time.Duration // before the next attempt
	hold   bool          // the whole source waits, not only this event
}

// decide is the retry policy. first is the first wait; jitter is left to the caller.
func decide(a attempt, first time.Duration) decision {
	wait := backoff(first, a.number, longestWait)
	if a.retryAfter > 0 {
		wait = min(a.retryAfter, longestRetryAfter)
	}
	d := decision{wait: wait, giveUp: a.since >= giveUpAfter}
	switch a.cause {
	case broken:
		d.giveUp = true
	case unknown:
		// Three times as long each time: six tries within a minute would all meet the same deployment.
		d.wait = max(d.wait, min(first*time.Duration(pow3(min(a.number-1, 12))), longestWait))
		d.giveUp = a.since >= unknownAfter && a.number >= unknownAtLeast
	case early:
		d.wait, d.giveUp = first, false
	case silent, account, busy:
		d.hold = true
	case failing:
		d.hold = a.retryAfter > 0
	}
	return d
}

// doWithout reports whether an optional document is given up.
func doWithout(a attempt) bool {
	return a.cause == unknown || a.since >= withoutAfter || a.number >= withoutTries
}

// backoff doubles the first wait with each failure, up to the longest.
func backoff(first time.Duration, failures int, longest time.Duration) time.Duration {
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

// scatter spreads what would otherwise happen at once: a wait of half to all of it.
func scatter(wait time.Duration) time.Duration {
	return wait/2 + rand.N(wait/2+1) // #nosec G404 -- not a secret
}

// after is a wait that ends after the gate opens, spread so that the events of a source don't all come at once.
func behind(wait time.Duration) time.Duration {
	return wait + rand.N(min(wait, time.Minute)+time.Second) // #nosec G404 -- not a secret
}
