package provisioner

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/provisioner/plan"
	"github.com/staykey/staykey/internal/provisioner/record"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// This file turns the end of an attempt into the key's status and the time of its next look. There are four ends:
//
//	verdict        nothing is left that can be done now: plan.Judge says what the state is worth
//	onHold         something is left, and an admin holds the reservation
//	disconnected   something is left, and Seam can't reach the access system
//	conclude       the attempt was stopped: overtaken, waiting for a time, in need of a person, contradicted by Seam's
//	               answers, or failed (concludeError, by the class of the error)
//
// The key is due at the earliest of what each part asks for: edges of the stay, a check after a change, look-ups after
// a lost create (lookAgain), the backup code, a second ACS user, a retry. Only tries that failed or changed something
// count as attempts. An attempt that only looked never takes a status away (keepStatus).

// ending is everything that the verdict on an attempt depends on, as it is when the attempt ends. Its methods only
// compute the key's new status and when it is due again: they read nothing else, and they write nothing.
type ending struct {
	key    store.MobileKey // as it was loaded
	held   string          // why an admin holds the reservation; "" if nobody does
	users  *users
	known  plan.Desired // what should exist as far as is known without asking Seam
	now    time.Time
	belief belief
	pacing *pacing

	changes      int        // changing calls made
	returned     bool       // a create was answered with an ACS user that existed before
	lostAt       *time.Time // the last create whose answer was lost
	checked      bool       // everything was compared with Seam
	unverified   bool       // Seam's answers contradict each other: what is wanted back is not known to exist
	keyConfirmed bool       // Seam has just accepted the API key, so that a 401 concerns only that call

	recheck    earliest   // when to compare with Seam again
	codeDue    *time.Time // when the backup code is due
	surplusDue *time.Time // when a second ACS user is looked at next
	removalDue earliest   // when a deletion under way is looked at next
	removedDue *time.Time // when removed ACS users are looked for next
}

// newVerdict is what all verdicts have in common.
func (e *ending) newVerdict() store.KeyVerdict {
	k := e.key
	v := store.KeyVerdict{
		Generation: k.Generation, Checks: k.Checks, UncertainSince: e.lostAt, OverAt: e.overAt(),
		KeepRevive: e.held != "" || e.unverified && k.Revive,
	}
	if e.unverified {
		if v.FailingSince = k.FailingSince; v.FailingSince == nil {
			v.FailingSince = &e.now
		}
	}
	e.count(&v, false)
	e.noteComparison(&v)
	return v
}

// wantedBackFor is how long a request that could be followed but for contradicting answers stays open. What somebody
// suspends or removes after that was not meant by it.
const wantedBackFor = 24 * time.Hour

// isOutdated reports whether a request to restore what somebody removed or suspended at Seam is that old.
func isOutdated(k store.MobileKey, now time.Time) bool {
	return k.ObservedGeneration == k.Generation && k.FailingSince != nil &&
		!now.Before(k.FailingSince.Add(wantedBackFor))
}

// overAt is when the stay is over, and so is its key, which may last longer if the stay was cut short: then anything
// due becomes cleanup.
func (e *ending) overAt() *time.Time {
	d := e.known
	if d.Ends.IsZero() || d.Goal == plan.Gone && !d.Expired {
		return nil
	}
	over := d.Ends
	for _, u := range e.users.rows {
		if u.ACSUserID != nil && u.EndsAt != nil && u.EndsAt.After(over) {
			over = *u.EndsAt
		}
	}
	return &over
}

// verdict judges what has been reached, when nothing is left that can be done now.
func (e *ending) verdict(d plan.Desired) store.KeyVerdict {
	v := e.newVerdict()
	v.Done = true
	e.count(&v, e.changes > 0)

	next := &earliest{}
	switch {
	case d.Goal == plan.Have:
		e.judgeKey(d, &v, next)
	case d.Expired:
		v.Status, v.Message, v.SettledAt = stay.KeyExpired, "The stay is over.", e.settledAt()
		if d.Goal == plan.Over && len(e.users.rows) > 0 {
			v.Message = fmt.Sprintf("%s Its ACS user will be removed from Seam at %s.", accessIsOver,
				pms.FormatInstant(d.RemoveAt))
			next.at(d.RemoveAt)
		}
	case d.Revoked != "":
		v.Status, v.Reason, v.SettledAt = stay.KeyRevoked, stay.ReasonRevokedByAdmin, e.settledAt()
		v.Message = stay.Message(v.Reason, d.Revoked)
	default:
		v.Status, v.Message, v.SettledAt = stay.KeyRevoked,
			"The reservation is cancelled and its key is removed from Seam.", e.settledAt()
	}
	e.explainHold(d, &v)
	if e.recheck.time != nil {
		e.recheck.time = e.whenReadsCount(*e.recheck.time)
		v.Check = true
		next.at(*e.recheck.time)
	}
	if e.codeDue != nil {
		next.at(e.afterLag(*e.codeDue))
	}
	for _, due := range []*time.Time{e.surplusDue, e.removedDue} {
		if due != nil {
			next.at(*due)
		}
	}
	e.lookAgain(&v, next)
	return v
}

// noteComparison records that everything was compared with Seam, if it was, however the attempt ended. The last
// comparison after a lost create ends the search for what that may have left.
func (e *ending) noteComparison(v *store.KeyVerdict) {
	if !e.checked {
		return
	}
	v.VerifiedAt = &e.belief.began
	if !e.belief.mayComeLate(e.lostAt) {
		v.UncertainSince = nil
	}
}

// whenReadsCount puts off a comparison until reads show what this attempt has changed: none would count before, so that
// what Seam doesn't show would be set again by each attempt, and so on without end.
func (e *ending) whenReadsCount(at time.Time) *time.Time {
	for i := range e.users.rows {
		at = later(at, e.belief.showsFrom(&e.users.rows[i]))
	}
	return &at
}

// afterLag puts off what isn't urgent if the next attempt is to compare the key with Seam: right after a change,
// reads may not show it yet, and the attempt would make it again, and so on without end.
func (e *ending) afterLag(due time.Time) time.Time {
	if e.recheck.time == nil {
		return due
	}
	shows := e.now.Add(e.belief.lag)
	if e.recheck.time.Before(shows) {
		shows = *e.recheck.time
	}
	return later(due, shows)
}

// explainHold adds to a good verdict that an admin holds the reservation.
func (e *ending) explainHold(d plan.Desired, v *store.KeyVerdict) {
	held := e.held
	if held != "" && v.Reason == "" && (d.Goal == plan.Have || len(e.users.rows) > 0) {
		v.Reason, v.Message = stay.ReasonHeld, stay.Message(stay.ReasonHeld, held)
	}
}

// lookAgain sets when the key is due again: the earliest of the given times and of the next look-up after a lost
// create. If this attempt was that look-up and couldn't compare everything, the next one comes later the longer the
// create is ago.
func (e *ending) lookAgain(v *store.KeyVerdict, next *earliest) {
	verified := e.key.VerifiedAt
	if v.VerifiedAt != nil {
		verified = v.VerifiedAt
	}
	if at := nextLookup(v.UncertainSince, verified); at != nil {
		if !at.After(e.now) {
			most := slowest
			if e.known.Goal == plan.Gone { // what is left may open doors
				most = e.pacing.slowRetry()
			}
			next.at(e.now.Add(min(max(e.now.Sub(*v.UncertainSince)/2, firstLookup), most)))
		} else {
			next.at(*at)
		}
	}
	v.Next = next.time
}

// judgeKey judges a stay that should have a key.
func (e *ending) judgeKey(d plan.Desired, v *store.KeyVerdict, next *earliest) {
	d = d.WithFirstKeyWaiting(e.users.rows)
	s := plan.State{Desired: d, Now: e.now}
	if i := e.users.standing(d); i >= 0 && e.users.rows[i].ACSUserID != nil {
		s.User = &e.users.rows[i]
	}
	j := plan.Judge(s)
	v.Status, v.Reason, v.Message = j.Status, j.Reason, j.Message
	if s.User != nil && s.User.IsOpen() {
		v.SettledAt = e.settledAt()
	}
	for _, edge := range []time.Time{d.Starts, d.Ends, d.CreateAt} {
		if edge.After(s.Now) {
			next.at(edge)
		}
	}
	if j.Reason == stay.ReasonNotKept && s.User.ChangedAt != nil {
		e.recheck.at(s.Now.Add(min(max(s.Now.Sub(*s.User.ChangedAt)/2, time.Minute), repairAgain)))
	}
	if in, isRetry := e.pacing.after(j.Next, s.User); in > 0 && (j.Next != plan.LookSettling || e.recheck.time == nil) {
		next.at(s.Now.Add(in))
		v.NextIsRetry = isRetry
	}
}

// onHold judges a key that is not as it should be while an admin holds it.
func (e *ending) onHold(d plan.Desired, held, due string) store.KeyVerdict {
	v := e.newVerdict()
	v.Status, v.Reason, v.Done = stay.KeyAttention, stay.ReasonHeld, true
	v.Message = stay.Message(v.Reason, held) + fmt.Sprintf(" Changes are pending (%s): release the hold to apply them.",
		due)

	next := &earliest{}
	for _, edge := range []time.Time{d.Starts, d.Ends} {
		if edge.After(e.now) {
			next.at(edge)
		}
	}
	if e.removedDue != nil {
		next.at(*e.removedDue)
	}
	e.lookAgain(&v, next)
	return v
}

// notAtOnce puts the next attempt off by a moment if this one has changed nothing and yet the key is due already:
// nothing would be different, so that it would be tried without end. Only what has changed meanwhile is due at once.
func (e *ending) notAtOnce(v store.KeyVerdict, out outcome) store.KeyVerdict {
	soonest := e.now.Add(e.pacing.retryBase)
	if v.Next != nil && v.Next.Before(soonest) && e.changes == 0 && out.kind != stale {
		v.Next = &soonest
	}
	return v
}

// disconnected judges a key that can't be changed, because its access system can't be reached. Everything due remains
// due.
func (e *ending) disconnected(cut store.Disconnection) store.KeyVerdict {
	v, next := e.newVerdict(), e.now.Add(e.pacing.slowRetry())
	if e.removedDue != nil && e.removedDue.Before(next) {
		next = *e.removedDue
	}
	v.Status, v.Reason, v.Message = stay.KeyAttention, stay.ReasonDisconnected, stay.Message(stay.ReasonDisconnected)
	v.LastError, v.Next, v.NextIsRetry = stay.Text(cut.Problem), &next, true
	return v
}

// conclude judges an attempt that was stopped. In every case the key is due again.
func (e *ending) conclude(out outcome) store.KeyVerdict {
	k := e.key
	v := e.newVerdict()
	v.Status, v.NextIsRetry, v.LastError = e.meanwhile(), true, stay.Text(k.LastError)
	v.Check = e.recheck.time != nil
	retry := func(in time.Duration) { at := e.now.Add(max(in, 0)); v.Next = &at }
	switch out.kind {
	case stale:
		retry(0)
	case waiting:
		v.Next, v.Message = &out.until, out.why
		e.keepStatus(&v)
		e.reportSilence(&v, false)
	case needsPerson:
		j := out.verdict
		v.Status, v.Reason, v.Message = j.Status, j.Reason, j.Message
		in, _ := e.pacing.after(j.Next, nil)
		retry(in)
	case unclear:
		e.spend(&v, out.err)
		v.Message = "Seam's answers contradict each other: nothing is changed, and staykey asks again."
		retry(e.pacing.backoff(v.Attempts))
		e.keepStatus(&v)
		e.reportSilence(&v, true)
	default:
		e.concludeError(&v, out.err, retry)
	}
	e.explainRemoval(&v, out)
	for _, due := range []*time.Time{e.removalDue.time, e.surplusDue, e.removedDue} {
		if due != nil && due.Before(*v.Next) {
			v.Next = due
		}
	}
	return v
}

const accessIsOver = "The stay is over, and so is its access."

// explainRemoval describes a removal that is pending after the end of a stay, where no reason does.
func (e *ending) explainRemoval(v *store.KeyVerdict, out outcome) {
	if v.Status != stay.KeyExpired || v.Reason != "" {
		return
	}
	switch out.kind {
	case stale:
	case waiting:
		v.Message = accessIsOver + " " + out.why + "."
	default:
		v.Message = accessIsOver + " Its ACS user could not be removed from Seam yet: retrying."
	}
}

// manyAttempts is after how many attempts with an unexpected error a person should know.
const manyAttempts = 3

// concludeError judges an attempt that an error has stopped, by its class.
func (e *ending) concludeError(v *store.KeyVerdict, err error, retry func(time.Duration)) {
	api := new(seam.Error)
	if !errors.As(err, &api) {
		e.spend(v, err)
		if v.Attempts >= manyAttempts {
			v.Status, v.Reason = stay.KeyAttention, stay.ReasonUnexpected
			v.Message = stay.Message(stay.ReasonUnexpected)
		}
		retry(e.pacing.backoff(v.Attempts))
		return
	}
	switch {
	case api.Kind == seam.RateLimited:
		v.Message = "Seam is rate limiting requests: waiting."
		retry(e.limitedFor(api))
		e.keepStatus(v)
		if e.reportSilence(v, true); v.Reason == stay.ReasonNoAnswer {
			v.LastError = api.Error()
		}
	case api.Kind == seam.Unauthorized && !e.keyConfirmed:
		v.LastError, v.Message = api.Error(), "Seam refuses the API key: provisioning is paused until it accepts it."
		retry(10 * time.Second)
	case isRefusal(err) || api.Kind == seam.Unauthorized:
		e.spend(v, err)
		v.Status = stay.KeyAttention
		v.Reason, v.Message = explainRefusal(api)
		retry(e.pacing.slowRetry())
	default:
		e.spend(v, err)
		v.Message = "Seam could not be reached, or its answer was lost: retrying."
		retry(e.pacing.backoff(v.Attempts))
		e.keepStatus(v)
		e.reportSilence(v, true)
	}
}

// spend counts a try that has failed.
func (e *ending) spend(v *store.KeyVerdict, err error) {
	e.count(v, true)
	v.LastError = err.Error()
}

// keepStatus leaves a key's status unchanged if nothing was desired and nothing was changed: only looking must not
// take anything away.
func (e *ending) keepStatus(v *store.KeyVerdict) {
	k := e.key
	if k.ObservedGeneration != k.Generation || e.changes > 0 {
		return
	}
	v.Status, v.Reason, v.Message, v.SettledAt = k.Status, stay.Text(k.Reason), stay.Text(k.Message), k.SettledAt
}

// refusalReasons are those of [explainRefusal].
var refusalReasons = []string{
	stay.ReasonDisconnected, stay.ReasonSystemNotFound, stay.ReasonForbidden, stay.ReasonRejected,
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
func (e *ending) meanwhile() string {
	lasts := func(u record.User) bool { return u.ACSUserID != nil && u.EndsAt != nil && u.EndsAt.After(e.now) }
	switch d := e.known; {
	case d.Expired && !slices.ContainsFunc(e.users.rows, lasts):
		return stay.KeyExpired
	case d.Expired, d.Goal == plan.Gone, d.WithFirstKeyWaiting(e.users.rows).NoKey && len(e.users.rows) > 0:
		return stay.KeyRevoking
	default:
		return stay.KeyProvisioning
	}
}

// settledAt is when the present state was first reached.
func (e *ending) settledAt() *time.Time {
	k := e.key
	if k.SettledAt != nil && e.changes == 0 && k.ObservedGeneration == k.Generation {
		return k.SettledAt
	}
	now := e.now
	return &now
}

// count counts a try for what is desired now; looking at Seam, or waiting for it, doesn't count. An attempt is one try
// at most.
func (e *ending) count(v *store.KeyVerdict, spent bool) {
	k := e.key
	v.Attempts, v.ReturnedCreates, v.AttemptsOf = k.Attempts, k.ReturnedCreates, k.AttemptGeneration
	if !spent && !e.returned {
		return
	}
	if v.AttemptsOf != k.Generation {
		v.Attempts, v.ReturnedCreates, v.AttemptsOf = 0, 0, k.Generation
	}
	v.Attempts++
	if e.returned {
		v.ReturnedCreates++
	}
}
