package provisioner

import (
	"errors"
	"time"

	"github.com/staykey/staykey/internal/provisioner/plan"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/store"
)

// outcome is what every part of an attempt returns: how it ended, and so what happens next. The zero value means that
// the attempt continues. Only [attempt.rounds] acts on it.
type outcome struct {
	kind    outcomeKind
	until   time.Time     // when waiting
	why     string        // when waiting
	verdict *plan.Verdict // when needsPerson
	err     error         // when unclear, failed or refused
}

type outcomeKind int

const (
	proceed     outcomeKind = iota // done, or nothing to do: continue with the next part
	replan                         // what is known has changed: start again with a new plan
	stale                          // what is desired has changed: this attempt ends, the next one is due at once
	waiting                        // something can only be known later: the attempt ends without being a failure
	needsPerson                    // Seam has refused nothing, but a person is needed
	refused                        // Seam has refused a step; other steps may still be possible
	unclear                        // Seam contradicts itself: nothing is concluded, and it is asked again soon
	failed                         // anything else
)

func (o outcome) stops() bool { return o.kind != proceed }

// restarts reports whether the attempt must begin again, because what is known or desired has changed.
func (o outcome) restarts() bool { return o.kind == replan || o.kind == stale }

func again() outcome { return outcome{kind: replan} }

func wait(until time.Time, why string) outcome { return outcome{kind: waiting, until: until, why: why} }

func person(j *plan.Verdict) outcome { return outcome{kind: needsPerson, verdict: j} }

// contradicted is the outcome if Seam's answers contradict each other.
func contradicted(err error) outcome { return outcome{kind: unclear, err: err} }

// fails is the outcome of an error; none for nil.
func fails(err error) outcome {
	switch {
	case err == nil:
		return outcome{}
	case isRefusal(err):
		return outcome{kind: refused, err: err}
	default:
		return outcome{kind: failed, err: err}
	}
}

// leaseLost reports whether another worker has taken over the reservation.
func (o outcome) leaseLost() bool { return errors.Is(o.err, store.ErrLeaseLost) }

// isLocal reports whether an outcome concerns only what the attempt was about to do, so that it may continue with
// something else.
func (o outcome) isLocal() bool {
	switch o.kind {
	case waiting, needsPerson, refused, unclear, failed:
		kind := seam.KindOf(o.err)
		return !o.leaseLost() && kind != seam.Unauthorized && kind != seam.RateLimited
	default:
		return false
	}
}

// isRefusal reports whether Seam refused what a call asks for, so that the same call would be refused again.
func isRefusal(err error) bool {
	switch seam.KindOf(err) {
	case seam.Invalid, seam.NotFound, seam.Forbidden:
		return true
	default:
		return false
	}
}
