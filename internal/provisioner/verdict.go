package provisioner

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/staykey/staykey/internal/provisioner/plan"
	"github.com/staykey/staykey/internal/provisioner/record"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// newVerdict is what all verdicts have in common.
func (a *attempt) newVerdict() store.KeyOutcome {
	k := a.work.Key
	v := store.KeyOutcome{
		Generation: k.Generation, Checks: k.Checks, UncertainSince: a.lostAt, OverAt: a.overAt(),
		KeepRevive: a.work.Overrides.Held() != "",
	}
	a.count(&v, false)
	return v
}

// overAt is when the stay is over, and anything due becomes cleanup.
func (a *attempt) overAt() *time.Time {
	d := plan.Desire(a.situation(a.directory.system))
	if d.Ends.IsZero() || d.Goal == plan.Gone && !d.Expired {
		return nil
	}
	return &d.Ends
}

// verdict judges what has been reached, when nothing is left that can be done now.
func (a *attempt) verdict(d plan.Desired) store.KeyOutcome {
	v := a.newVerdict()
	v.Done = true
	a.count(&v, a.changes > 0)
	if a.checked {
		v.VerifiedAt = &a.began
	}
	if a.lostAt != nil && !a.tooEarly(a.lostAt.Add(lastLookup)) && a.checked {
		v.UncertainSince = nil
	}
	next := &earliest{}
	switch {
	case d.Goal == plan.Have:
		a.judgeKey(d, &v, next)
	case d.Expired:
		v.Status, v.Message, v.SettledAt = stay.KeyExpired, "The stay is over.", a.settledAt()
		if d.Goal == plan.Over && len(a.users) > 0 {
			next.at(d.RemoveAt)
		}
	case d.Revoked != "":
		v.Status, v.Reason, v.SettledAt = stay.KeyRevoked, stay.ReasonRevokedByAdmin, a.settledAt()
		v.Message = stay.Message(v.Reason, d.Revoked)
	default:
		v.Status, v.Message, v.SettledAt = stay.KeyRevoked,
			"The reservation is cancelled and its key is removed from Seam.", a.settledAt()
	}
	a.explainHold(d, &v)
	if a.recheck != nil {
		v.Check = true
		next.at(*a.recheck)
	}
	if a.codeDue != nil {
		next.at(a.afterGrace(*a.codeDue))
	}
	if a.surplusDue != nil {
		next.at(*a.surplusDue)
	}
	a.lookAgain(&v, next)
	return v
}

// afterGrace puts off what isn't urgent if the next attempt is to compare the key with Seam: right after a change,
// reads may not show it yet, and the attempt would make it again, and so on without end.
func (a *attempt) afterGrace(due time.Time) time.Time {
	if a.recheck == nil {
		return due
	}
	shows := a.now().Add(a.options.Grace)
	if a.recheck.Before(shows) {
		shows = *a.recheck
	}
	return later(due, shows)
}

// explainHold adds to a good verdict that an admin holds the reservation.
func (a *attempt) explainHold(d plan.Desired, v *store.KeyOutcome) {
	held := a.work.Overrides.Held()
	if held != "" && v.Reason == "" && (d.Goal == plan.Have || len(a.users) > 0) {
		v.Reason, v.Message = stay.ReasonHeld, stay.Message(stay.ReasonHeld, held)
	}
}

// lookAgain sets when the key is due again: the earliest of the given times and of the next look-up after a lost
// create.
func (a *attempt) lookAgain(v *store.KeyOutcome, next *earliest) {
	verified := a.work.Key.VerifiedAt
	if v.VerifiedAt != nil {
		verified = v.VerifiedAt
	}
	if at := nextLookup(v.UncertainSince, verified); at != nil {
		next.at(*at)
	}
	v.Next = next.time
}

// judgeKey judges a stay that should have a key.
func (a *attempt) judgeKey(d plan.Desired, v *store.KeyOutcome, next *earliest) {
	d = d.WithFirstKeyWaiting(a.users)
	s := plan.State{Desired: d, Now: a.now()}
	if i := a.standing(d); i >= 0 && a.users[i].ACSUserID != nil {
		s.User = &a.users[i]
	}
	j := plan.Judge(s)
	v.Status, v.Reason, v.Message = j.Status, j.Reason, j.Message
	if s.User != nil && s.User.IsOpen() {
		v.SettledAt = a.settledAt()
	}
	for _, edge := range []time.Time{d.Starts, d.Ends, d.CreateAt} {
		if edge.After(s.Now) {
			next.at(edge)
		}
	}
	if j.Reason == stay.ReasonNotKept && s.User.ChangedAt != nil {
		a.recheckAt(s.Now.Add(min(max(s.Now.Sub(*s.User.ChangedAt)/2, time.Minute), repairAgain)))
	}
	if in, isRetry := a.pace(j.Pace, s.User); in > 0 && (j.Pace != plan.PaceSettling || a.recheck == nil) {
		next.at(s.Now.Add(in))
		v.NextIsRetry = isRetry
	}
}

// onHoldOutcome judges a key that is not as it should be while an admin holds it.
func (a *attempt) onHoldOutcome(d plan.Desired, held, due string) store.KeyOutcome {
	v := a.newVerdict()
	v.Status, v.Reason, v.Done = stay.KeyAttention, stay.ReasonHeld, true
	v.Message = stay.Message(v.Reason, held) + fmt.Sprintf(" Changes are pending (%s): release the hold to apply them.",
		due)
	next := &earliest{}
	for _, edge := range []time.Time{d.Starts, d.Ends} {
		if edge.After(a.now()) {
			next.at(edge)
		}
	}
	a.lookAgain(&v, next)
	return v
}

// disconnected judges a key that can't be changed, because its access system can't be reached. Everything due remains
// due.
func (a *attempt) disconnected(d plan.Desired, cut store.Disconnection) store.KeyOutcome {
	v, next := a.newVerdict(), a.now().Add(a.slowRetry())
	v.Status, v.Reason, v.Message = stay.KeyAttention, stay.ReasonDisconnected, stay.Message(stay.ReasonDisconnected)
	v.LastError, v.Next, v.NextIsRetry = stay.Text(cut.Problem), &next, true
	return v
}

// conclude judges an attempt that was stopped. In every case the key is due again.
func (a *attempt) conclude(out outcome) store.KeyOutcome {
	k := a.work.Key
	v := a.newVerdict()
	v.Status, v.NextIsRetry, v.LastError = a.meanwhile(), true, stay.Text(k.LastError)
	v.Check = a.recheck != nil
	retry := func(in time.Duration) { at := a.now().Add(max(in, 0)); v.Next = &at }
	switch out.kind {
	case stale:
		retry(0)
	case waiting:
		v.Next, v.Message = &out.until, out.why
		a.keepStatus(&v)
	case needsPerson:
		j := out.judgment
		v.Status, v.Reason, v.Message = j.Status, j.Reason, j.Message
		in, _ := a.pace(j.Pace, nil)
		retry(in)
	case unclear:
		a.spend(&v, out.err)
		v.Message = "Seam's answers contradict each other: nothing is changed, and staykey asks again."
		retry(a.backoff(v.Attempts))
		a.keepStatus(&v)
	default:
		a.concludeError(&v, out.err, retry)
	}
	return v
}

// manyAttempts is after how many attempts with an unexpected error a person should know.
const manyAttempts = 3

func (a *attempt) concludeError(v *store.KeyOutcome, err error, retry func(time.Duration)) {
	api := new(seam.Error)
	if !errors.As(err, &api) {
		a.spend(v, err)
		if v.Attempts >= manyAttempts {
			v.Status, v.Reason = stay.KeyAttention, stay.ReasonUnexpected
			v.Message = stay.Message(stay.ReasonUnexpected)
		}
		retry(a.backoff(v.Attempts))
		return
	}
	switch {
	case api.Kind == seam.RateLimited:
		v.Message = "Seam is rate limiting requests: waiting."
		in := max(api.RetryAfter, minPause)
		if a.isUrgent() {
			in = min(in, seam.ProbeEvery) // the pause may end earlier
		}
		retry(in)
	case api.Kind == seam.Unauthorized && !a.keyConfirmed():
		v.LastError, v.Message = api.Error(), "Seam refuses the API key: provisioning is paused until it accepts it."
		retry(10 * time.Second)
	case isRefusal(err) || api.Kind == seam.Unauthorized:
		a.spend(v, err)
		v.Status = stay.KeyAttention
		v.Reason, v.Message = explainRefusal(api)
		retry(a.slowRetry())
	default:
		a.spend(v, err)
		v.Message = "Seam could not be reached, or its answer was lost: retrying."
		retry(a.backoff(v.Attempts))
	}
}

func (a *attempt) spend(v *store.KeyOutcome, err error) {
	a.count(v, true)
	v.LastError = err.Error()
}

// keepStatus leaves a key's status unchanged if nothing was desired and nothing was changed: only looking must not
// take anything away.
func (a *attempt) keepStatus(v *store.KeyOutcome) {
	k := a.work.Key
	if k.ObservedGeneration != k.Generation || a.changes > 0 {
		return
	}
	v.Status, v.Reason, v.Message, v.SettledAt = k.Status, stay.Text(k.Reason), stay.Text(k.Message), k.SettledAt
}

// explainRefusal turns a refused call into a reason and what to do.
func explainRefusal(e *seam.Error) (reason, message string) {
	switch {
	case seam.IsDisconnection(e.Type):
		reason = stay.ReasonDisconnected
	case e.Type == "acs_system_not_found":
		reason = stay.ReasonSystemNotFound
	case e.Kind == seam.Forbidden, e.Kind == seam.Unauthorized:
		reason = stay.ReasonForbidden
	default:
		return stay.ReasonRejected, stay.Message(stay.ReasonRejected, e.Path, cmp.Or(e.Type, fmt.Sprint(e.Status)))
	}
	return reason, stay.Message(reason)
}

// meanwhile is the status while something is left to do. A stay that was cut short is not over while its key may last
// longer.
func (a *attempt) meanwhile() string {
	lasts := func(u record.User) bool { return u.ACSUserID != nil && u.EndsAt != nil && u.EndsAt.After(a.now()) }
	switch d := plan.Desire(a.situation(a.directory.system)); {
	case d.Expired && !slices.ContainsFunc(a.users, lasts):
		return stay.KeyExpired
	case d.Expired, d.Goal == plan.Gone, d.WithFirstKeyWaiting(a.users).NoKey && len(a.users) > 0:
		return stay.KeyRevoking
	default:
		return stay.KeyProvisioning
	}
}

// settledAt is when the present state was first reached.
func (a *attempt) settledAt() *time.Time {
	k := a.work.Key
	if k.SettledAt != nil && a.changes == 0 && k.ObservedGeneration == k.Generation {
		return k.SettledAt
	}
	now := a.now()
	return &now
}

// count counts a try for what is desired now; looking at Seam, or waiting for it, doesn't count.
func (a *attempt) count(v *store.KeyOutcome, spent bool) {
	k := a.work.Key
	v.Attempts, v.AttemptsOf = k.Attempts, k.AttemptGeneration
	if !spent {
		return
	}
	if v.AttemptsOf != k.Generation {
		v.Attempts, v.AttemptsOf = 0, k.Generation
	}
	v.Attempts++
}
