package notify

import (
	"net/http"
	"time"

	"github.com/staykey/staykey/internal/store"
)

// retryAfter are the waits between attempts; the last one repeats.
var retryAfter = []time.Duration{
	5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour, 12 * time.Hour, 24 * time.Hour,
}

// When a subscription is disabled, unless its receiver answers 410: after so long a time of only failures, and so
// many of them.
const (
	disableAfter    = 5 * 24 * time.Hour
	disableFailures = 10
)

// maxSilence is the longest pause that a receiver can ask for.
const maxSilence = 24 * time.Hour

// outcome is the part of the result of an attempt that decides what follows.
type outcome struct {
	status     int           // 0: no answer
	retryAfter time.Duration // as the receiver asks; 0: it didn't
}

func (o outcome) delivered() bool { return o.status >= 200 && o.status < 300 }

// judge decides what follows from a try: of a subscription as it was before, of a stay that has failed tries times
// in a row. jitter is from 0 up to 1.
func judge(o outcome, sub store.Subscription, tries int, now time.Time, jitter float64) store.AttemptNext {
	if o.delivered() {
		return store.AttemptNext{Delivered: true}
	}
	wait := retryAfter[min(tries, len(retryAfter)-1)]
	wait += time.Duration(float64(wait) * 0.2 * jitter)
	next := store.AttemptNext{}
	if asked := min(o.retryAfter, maxSilence); asked > 0 {
		wait = max(wait, asked)
		if o.status == http.StatusTooManyRequests || o.status == http.StatusServiceUnavailable {
			until := now.Add(asked)
			next.NotBefore = &until // the answer is about the receiver, not about one message
		}
	}
	next.RetryAt = now.Add(wait)
	switch {
	case o.status == http.StatusGone:
		next.Disable = "the receiver answered 410 Gone"
	case sub.FailingSince != nil && now.Sub(*sub.FailingSince) >= disableAfter && sub.Failures+1 >= disableFailures:
		next.Disable = "nothing was delivered for 5 days"
	}
	return next
}
