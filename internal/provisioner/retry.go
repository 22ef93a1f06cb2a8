package provisioner

import (
	"math/rand/v2"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/provisioner/plan"
	"github.com/staykey/staykey/internal/provisioner/record"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

const (
	minPause       = 100 * time.Millisecond
	settleFirst    = 500 * time.Millisecond // most of what is pending at Seam takes seconds
	askWhileNear   = 30 * time.Second
	askForProblems = time.Minute // checks whether an error that Seam reports has passed
	subscribePoll  = 20 * time.Second
	slowest        = 6 * time.Hour
	daily          = 24 * time.Hour
	repairAgain    = time.Hour // after which a difference that Seam doesn't keep repaired is repaired again
	// deletePoll is how soon a deletion that Seam has under way is checked.
	deletePoll = 2 * time.Second
	// removedWithin is how long a removal may take before a person should know that the key may still open doors.
	removedWithin = 15 * time.Minute
)

// earliest keeps the earliest of several times.
type earliest struct{ time *time.Time }

func (e *earliest) at(t time.Time) {
	if e.time == nil || t.Before(*e.time) {
		e.time = &t
	}
}

// pacing decides how soon a reservation is looked at again: soon if its guest arrives soon, and ever later while
// nothing changes. It only computes; nothing is written or sent here.
type pacing struct {
	now        func() time.Time
	work       *store.Work // as it was loaded
	belief     belief
	ledger     *ledger       // what the attempt has changed
	sweepEvery time.Duration // between comparisons of a live key with Seam
	retryBase  time.Duration // the first wait after a failure
}

// untilCheckIn is how long the guest can wait; zero or less once the stay has begun.
func (p *pacing) untilCheckIn() time.Duration {
	if in := p.work.Reservation.CheckIn; in != nil {
		return in.Sub(p.now())
	}
	return 0
}

// isUrgent reports whether a guest arrives soon, or is in the house.
func (p *pacing) isUrgent() bool {
	r := p.work.Reservation
	return r.CheckIn != nil && p.untilCheckIn() < soon && r.Status == pms.Confirmed && (r.CheckOut == nil ||
		r.CheckOut.After(p.now()))
}

// patience bounds a delay by how soon the guest arrives: to least within a day of check-in, and otherwise to an
// eighth of the remaining time.
func (p *pacing) patience(least time.Duration) time.Duration {
	until := p.untilCheckIn()
	if until < soon {
		return least
	}
	return min(max(until/8, least), slowest)
}

// after is when a key is looked at again, for a verdict about it.
func (p *pacing) after(next plan.NextLook, u *record.User) (in time.Duration, isRetry bool) {
	since := time.Duration(0)
	if u != nil && u.ChangedAt != nil {
		since = p.now().Sub(*u.ChangedAt)
	}
	switch next {
	case plan.LookSettling:
		if p.ledger.changes > 0 {
			return settleFirst, true
		}
		return min(max(since/2, settleFirst), p.patience(askWhileNear)), true
	case plan.LookProblem:
		return min(max(p.inTrouble()/2, askForProblems), p.patience(askForProblems)), true
	case plan.LookSubscribe:
		return subscribePoll, false
	case plan.LookSlow:
		return p.slowRetry(), true
	case plan.LookDaily:
		return daily, false
	default:
		return 0, false
	}
}

// inTrouble is how long the key has needed a person for the same reason.
func (p *pacing) inTrouble() time.Duration {
	if k := p.work.Key; k.Status == stay.KeyAttention {
		return p.now().Sub(k.ChangedAt)
	}
	return 0
}

// settleDelay is how long to wait for pending operations of an ACS user.
func (p *pacing) settleDelay(u *record.User) time.Duration {
	in, _ := p.after(plan.LookSettling, u)
	return in
}

// slowRetry is the delay after a problem that only a person can solve.
func (p *pacing) slowRetry() time.Duration { return min(p.sweepEvery, 5*time.Minute) }

// backoff doubles from the base up to 15 minutes, with a lower limit if the guest arrives soon.
func (p *pacing) backoff(attempts int) time.Duration {
	most := 15 * time.Minute
	if p.work.Reservation.CheckIn != nil {
		switch until := p.untilCheckIn(); {
		case until < time.Hour:
			most = 30 * time.Second
		case until < soon:
			most = 3 * time.Minute
		}
	}
	d := p.retryBase << min(max(attempts-1, 0), 20)
	if d <= 0 || d > most {
		d = most
	}
	// #nosec G404 -- jitter
	return d*3/4 + time.Duration(rand.Int64N(int64(d)/2+1)) // 75 to 125 %
}

// urgentFrom is when the guest no longer waits for what is only better: an hour before check-in.
func urgentFrom(d plan.Desired) time.Time { return d.Starts.Add(-time.Hour) }

// canWait reports whether the guest can wait for a deletion to free its slot: until 15 minutes after it began or an
// hour before check-in, whichever is first, and always for the read lag. If an earlier delete was in vain, the guest
// has waited for the read lag before, and such waits must not add up.
func (p *pacing) canWait(d plan.Desired, deletedAt time.Time, inVain bool) bool {
	until := deletedAt.Add(removedWithin)
	if urgent := urgentFrom(d); urgent.Before(until) {
		until = urgent
	}
	if lagged := p.belief.countsFrom(deletedAt); lagged.After(until) && !inVain {
		until = lagged
	}
	return p.now().Before(until)
}
