package provisioner

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"go.opentelemetry.io/otel/attribute"

	"github.com/staykey/staykey/internal/chaos/point"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/tracing"
)

const (
	maxRounds = 200 // of plan and one step; more steps than a stay can need
	// commitTimeout bounds the writing of a mark or result. It doesn't end with the attempt: what Seam has
	// done must be recorded even when there is no time left for more.
	commitTimeout = 5 * time.Second
	// A lost create is looked for again so long after it was lost, because Seam's reads may lag its writes.
	firstRecheck, lastRecheck = time.Minute, 10 * time.Minute
)

// Why an attempt ends before its time.
var (
	errReplan = errors.New("what is known has changed: plan anew")
	errStale  = errors.New("what is desired has changed meanwhile")
)

// waitError ends an attempt until something can be known; it is no failure.
type waitError struct {
	until time.Time
	why   string
}

func (e *waitError) Error() string {
	return fmt.Sprintf("waiting until %s: %s", e.until.Format(time.RFC3339), e.why)
}

// personError ends an attempt that a person is needed for, although Seam has refused nothing. It is looked at again after a while.
type personError struct {
	reason, message string
	again           time.Duration
}

func (e *personError) Error() string { return e.message }

// oldKeyStays says that Seam reports an error on a stay's new key.
func oldKeyStays(reason, message string) error {
	return &personError{reason, message + "; the old key stays until the new one is there", askForProblems}
}

// notRemoved says that an ACS user that was deleted is there all the same.
func (a *attempt) notRemoved(why string) error {
	return &personError{
		reasonNotRemoved,
		"a key that should be gone may still open doors (" + why + "): see the ACS user in the Seam console, and remove it in Salto KS; it is tried again by itself",
		a.slowRetry(),
	}
}

// attempt is one go at one reservation.
type attempt struct {
	*Provisioner
	lease    store.Lease
	preview  bool // only plans: nothing is written, nothing at Seam is changed
	work     store.Work
	policy   pms.Policy
	seen     observed
	entries  []store.Entry // timeline not written yet
	reason   string        // why the calls under way are made
	changes  int           // changing calls made
	fresh    map[int64]bool
	notGuest bool       // the guest's identity turned out not to be usable
	checked  bool       // everything was compared with Seam
	recheck  *time.Time // compare with Seam again then
	lostAt   *time.Time

	started time.Time     // of the change under way
	before  store.ACSUser // the row before its mark: what a refused change leaves
}

func (p *Provisioner) newAttempt(lease store.Lease, work store.Work) *attempt {
	a := &attempt{
		Provisioner: p, lease: lease, work: work, policy: p.policyFor(work.Reservation),
		fresh: map[int64]bool{}, lostAt: work.Key.UncertainSince,
	}
	for _, u := range work.Users {
		a.seen.users = append(a.seen.users, seen{ACSUser: u})
	}
	return a
}

// policyFor is the policy of a stay's source. Where the stay was completed with another one than this replica knows, another replica
// may have decided it just now: then it is read first, since nobody would plan this key again.
func (p *Provisioner) policyFor(r store.Reservation) pms.Policy {
	policy := p.options.Policy(r.Source)
	if p.options.ReadPolicies != nil && r.Policy != nil && *r.Policy != policy.Fingerprint() {
		p.options.ReadPolicies()
		policy = p.options.Policy(r.Source)
	}
	return policy
}

// anyGroup is for who doesn't need to know on which access system groups are.
func anyGroup(string) (systemID string, known bool) { return "", true }

func (a *attempt) situation(group groupSystem) situation {
	return situation{
		reservation: a.work.Reservation, listing: a.work.Listing, overrides: a.work.Overrides, policy: a.policy, defaultSystem: a.options.DefaultSystem,
		guestKey: a.guestKey, now: a.now(), group: group,
	}
}

// desired asks Seam about access groups only where a key depends on them.
func (a *attempt) desired(ctx context.Context) (desired, error) {
	s := a.situation(anyGroup)
	if d := desire(s); d.goal == have && a.work.Listing != nil && !a.work.Listing.Deleted {
		a.reason = "which access system the listing's access groups are on"
		err := a.directory.learn(ctx, a.work.Listing.Groups())
		if err != nil && (d.systemID == "" || seam.KindOf(err) != seam.Lost) {
			return desired{}, err
		}
		if err != nil {
			// The access system is configured, and groups can't be looked up: Seam will say which it doesn't know.
			return a.withOwnKey(d), nil
		}
	}
	s.group = a.directory.system
	return a.withOwnKey(desire(s)), nil
}

func (a *attempt) withOwnKey(d desired) desired {
	d.ownKey = a.ownKey(a.work.Reservation.Ref(), 0)
	return d
}

// run brings the reservation to what is desired, or as far as it goes.
func (a *attempt) run(ctx context.Context) (store.Verdict, error) {
	ctx = seam.WithRecorder(ctx, func(c seam.Call) {
		tracing.Done(ctx, "seam "+c.Path, c.At, c.At.Add(c.Duration), c.Err, attribute.String("seam.request_id", c.RequestID), attribute.Int("http.response.status_code", c.Status))
		a.record(c)
	})
	if a.work.Listing != nil && a.work.Key.CheckRequested {
		a.directory.forget(a.work.Listing.Groups())
	}
	for round := range maxRounds {
		d, err := a.desired(ctx)
		if err != nil {
			return store.Verdict{}, err
		}
		if cut := a.disconnection(ctx, d); cut != nil {
			return a.heldBack(*cut), nil
		}
		if round == 0 {
			if err := a.observe(ctx, d); err != nil {
				return store.Verdict{}, err
			}
		}
		if held := a.work.Overrides.Held(); held != "" {
			if steps := plan(d, a.seen, false); len(steps) > 0 {
				return a.handsOff(d, held, steps), nil
			}
		}
		if err := a.makeRoom(ctx, d); errors.Is(err, errReplan) {
			continue
		} else if err != nil {
			return store.Verdict{}, err
		}
		if steps := plan(d, a.seen, a.work.Key.Revive); len(steps) > 0 {
			if err := a.do(ctx, d, steps[0]); err != nil && !errors.Is(err, errReplan) {
				return store.Verdict{}, err
			}
			continue
		}
		err = a.finishUp(ctx, d)
		switch {
		case errors.Is(err, errReplan):
			continue
		case err != nil:
			return store.Verdict{}, err
		}
		return a.verdict(d), nil
	}
	return store.Verdict{}, fmt.Errorf("no end after %d steps", maxRounds)
}

// checkDue tells whether recorded state is to be compared with Seam: somebody asked, the sweep or an event of
// Seam's has found something, or a lost create is to be looked for again.
func (a *attempt) checkDue() bool { return a.work.Key.CheckRequested || a.recheckDue() }

func (a *attempt) recheckDue() bool {
	since := a.work.Key.UncertainSince
	if since == nil {
		return false
	}
	for _, d := range []time.Duration{firstRecheck, lastRecheck} {
		at := since.Add(d)
		if !a.now().Before(at) && (a.work.Key.VerifiedAt == nil || a.work.Key.VerifiedAt.Before(at)) {
			return true
		}
	}
	return false
}

// commit writes a mark or a result with the timeline so far, if the lease still holds. errStale says that it
// is written, and that the work has been overtaken.
func (a *attempt) commit(ctx context.Context, fn func(ctx context.Context, tx pgx.Tx, stale bool) error) error {
	if a.preview {
		return errors.New("a preview must not write")
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	defer cancel()
	generation, err := a.store.WithLease(ctx, a.lease, a.entries, func(tx pgx.Tx, generation int64) error {
		return fn(ctx, tx, generation != a.work.Key.Generation)
	})
	if err != nil {
		return err
	}
	a.entries = nil
	point.Reach(point.Recorded)
	if generation != a.work.Key.Generation {
		return errStale
	}
	return nil
}

// save commits one ACS user's row.
func (a *attempt) save(ctx context.Context, u *seen) error {
	return a.commit(ctx, func(ctx context.Context, tx pgx.Tx, _ bool) error { return store.SaveACSUser(ctx, tx, u.ACSUser) })
}

// saveMark commits the mark of a create that is about to be made. If the work has been overtaken there is no
// such create, and no mark: errStale.
func (a *attempt) saveMark(ctx context.Context, u *seen) error {
	err := a.commit(ctx, func(ctx context.Context, tx pgx.Tx, stale bool) error {
		if stale {
			return errStale
		}
		return store.SaveACSUser(ctx, tx, u.ACSUser)
	})
	point.Reach(point.Marked)
	return err
}

// record takes a call to Seam into the timeline.
func (a *attempt) record(c seam.Call) {
	point.Reach(point.Called)
	result := "ok"
	detail := map[string]any{
		"path": c.Path, "reason": a.reason, "request_id": c.RequestID, "duration_ms": c.Duration.Milliseconds(), "status": c.Status,
	}
	if c.Err != nil {
		result = seam.KindOf(c.Err).String()
		detail["error"] = c.Err.Error()
	}
	detail["result"] = result
	a.entries = append(a.entries, store.Entry{
		Ref: a.work.Reservation.Ref(), At: c.At.UTC(), Kind: store.TimelineRequest, Summary: c.Path + ": " + result, Detail: detail,
	})
}

// note takes a decision without a call into the timeline.
func (a *attempt) note(format string, args ...any) {
	a.entries = append(a.entries, store.Entry{
		Ref: a.work.Reservation.Ref(), At: a.now(), Kind: store.TimelineStep, Summary: fmt.Sprintf(format, args...),
	})
}

// uncertain remembers that a create was lost, for the look-ups at 1 and 10 minutes.
func (a *attempt) uncertain() {
	now := a.now()
	a.lostAt = &now
}

// verdict judges what has been reached. Nothing is left that could be done now.
func (a *attempt) verdict(d desired) store.Verdict {
	v := store.Verdict{Generation: a.work.Key.Generation, Checks: a.work.Key.Checks, Done: true, Check: a.recheck != nil, UncertainSince: a.lostAt}
	a.count(&v, a.changes > 0)
	now := a.now()
	if a.checked {
		v.VerifiedAt = &now
	}
	if a.lostAt != nil && now.Sub(*a.lostAt) >= lastRecheck && a.checked {
		v.UncertainSince = nil
	}
	next := &earliest{}
	if a.recheck != nil {
		next.at(*a.recheck)
	}
	switch {
	case d.goal == have:
		a.judgeKey(d, &v, next)
	case d.expired:
		v.Status, v.Message = store.KeyExpired, "the stay is over"
		if d.goal == over && len(a.seen.users) > 0 {
			next.at(d.removeAt)
			v.RankAt = &d.removeAt
		}
		v.SettledAt = a.settledAt()
	case d.revoked != "":
		v.Status, v.Reason = store.KeyRevoked, reasonRevoked
		v.Message = "an admin revoked the key (" + d.revoked + "), and nothing of it is left in Seam: re-issue it to make a new one"
		v.SettledAt = a.settledAt()
	default:
		v.Status, v.Message = store.KeyRevoked, "the reservation is cancelled and nothing of it is left in Seam"
		v.SettledAt = a.settledAt()
	}
	if held := a.work.Overrides.Held(); held != "" && v.Reason == "" && (d.goal == have || len(a.seen.users) > 0) {
		v.Reason, v.Message = reasonHeld, "an admin holds it ("+held+"): nothing is changed until it is released"
	}
	if at := a.nextRecheck(v); at != nil {
		next.at(*at)
	}
	v.Next = next.time
	return v
}

// handsOff judges a key that is not as it should be while an admin holds it.
func (a *attempt) handsOff(d desired, held string, due []step) store.Verdict {
	k := a.work.Key
	v := store.Verdict{
		Status: store.KeyAttention, Reason: reasonHeld, Generation: k.Generation, Checks: k.Checks, Done: true, UncertainSince: a.lostAt,
		Message: fmt.Sprintf("an admin holds it (%s), and it is not as it should be: %s; release it to have it done, or leave it", held, due[0].reason),
	}
	a.count(&v, false)
	next := &earliest{}
	for _, edge := range []time.Time{d.starts, d.ends} {
		if edge.After(a.now()) {
			next.at(edge)
		}
	}
	if at := a.nextRecheck(v); at != nil {
		next.at(*at)
	}
	v.Next = next.time
	return v
}

// nextRecheck is when a lost create is looked for again: at once, where a look-up became due while this attempt
// was under way.
func (a *attempt) nextRecheck(v store.Verdict) *time.Time {
	if v.UncertainSince == nil {
		return nil
	}
	verified := a.work.Key.VerifiedAt
	if v.VerifiedAt != nil {
		verified = v.VerifiedAt
	}
	for _, d := range []time.Duration{firstRecheck, lastRecheck} {
		if at := v.UncertainSince.Add(d); verified == nil || verified.Before(at) {
			return &at
		}
	}
	return nil
}

// judgeKey judges a stay that is to have a key.
func (a *attempt) judgeKey(d desired, v *store.Verdict, next *earliest) {
	now := a.now()
	d = d.heldBack(a.seen)
	if !d.ends.IsZero() {
		next.at(d.ends)
	}
	set := func(status, reason, message string) { v.Status, v.Reason, v.Message = status, reason, message }
	again := func(in time.Duration) { next.at(now.Add(in)); v.NextIsRetry = true }
	i := standing(d, a.seen)
	exists := i >= 0 && a.seen.users[i].ACSUserID != nil
	if !exists {
		if d.blocked == nil { // cannot be: plan would have a step
			set(store.KeyProvisioning, "", "")
			again(a.options.RetryBase)
			return
		}
		set(d.blocked.status, d.blocked.reason, d.blocked.message)
		if d.blocked == d.waitsFor && !d.createAt.IsZero() {
			next.at(d.createAt)
		}
		if d.blocked.status == store.KeyAttention {
			again(a.slowRetry())
		}
		return
	}
	u := a.seen.users[i]
	if u.Settled {
		v.SettledAt = a.settledAt()
	}
	began := !now.Before(d.starts)
	switch {
	case u.RemovedAt != nil:
		set(store.KeyAttention, "removed_at_seam", "somebody deleted the ACS user in Seam or Salto KS: reconcile the reservation to make a new key, or leave it")
	case u.SuspendedAt != nil:
		set(store.KeyAttention, "suspended_at_seam", "somebody suspended the ACS user in Seam or Salto KS: reconcile the reservation to lift the suspension, or leave it")
	case u.Problem != nil:
		reason, message := explainProblem(*u.Problem)
		set(store.KeyAttention, reason, message)
		again(askForProblems)
	case u.CredentialProblem != nil:
		reason, message := explainKeyProblem(*u.CredentialProblem)
		set(store.KeyAttention, reason, message)
		again(askForProblems)
	case u.Drift != nil:
		set(store.KeyAttention, "drifted", "somebody changed this at Seam or in Salto KS, and the policy is to report it: "+*u.Drift+
			"; reconcile the reservation to make it as it should be, or leave it")
	case d.blocked != nil:
		set(d.blocked.held, d.blocked.reason, d.blocked.message)
		if d.blocked.held == store.KeyAttention && d.blocked.reason == reasonGroupNotFound {
			again(a.slowRetry())
		}
	case !u.Settled:
		set(store.KeyProvisioning, "", "Seam has not pushed everything to the access system yet")
		if a.recheck == nil {
			again(a.settleDelay())
		}
	case began && u.Subscribed:
		set(store.KeyActive, "", "")
	case began && now.Sub(d.starts) >= subscribeWithin && a.madeBefore(u, now.Add(-subscribeWithin)):
		set(store.KeyAttention, "not_subscribed", "the stay has begun and Salto KS has not subscribed the user: check the site's user subscriptions in Salto KS")
		again(time.Minute)
	case began:
		set(store.KeyIssued, "", "")
		next.at(now.Add(subscribePoll))
	default:
		set(store.KeyIssued, "", "")
		next.at(d.starts)
	}
}

const (
	// subscribeWithin is how long after check-in Seam may take to subscribe a user before a person should know.
	subscribeWithin = 15 * time.Minute
	subscribePoll   = 20 * time.Second
)

func (a *attempt) madeBefore(u seen, at time.Time) bool {
	return u.MadeAt == nil || u.MadeAt.Before(at)
}

// problemSubscriptions is Seam's error on an ACS user for whom the Salto KS site has no subscription left.
const problemSubscriptions = "salto_ks_subscription_limit_exceeded"

// problemRemoval is Seam's error on an ACS user that the access system has not removed.
const problemRemoval = "failed_to_delete_on_acs_system"

// askForProblems is how often Seam is asked whether an error on an ACS user is over.
const askForProblems = time.Minute

// explainProblem turns an error of Seam's on an ACS user into a reason and what to do.
func explainProblem(code string) (reason, message string) {
	switch code {
	case problemSubscriptions:
		return "subscription_limit_exceeded", "the Salto KS site has no free user subscription: raise the limit or remove users there; it is tried again by itself"
	case "failed_to_create_on_acs_system", "failed_to_update_on_acs_system", problemRemoval:
		return "rejected_by_access_system", "Salto KS refused the user (" + code + "): look at it in the Seam console, then reconcile the reservation"
	default:
		return "seam_reports_error", "Seam reports " + code + " on the ACS user: look at it in the Seam console, then reconcile the reservation"
	}
}

// explainKeyProblem is explainProblem for an error on the mobile key.
func explainKeyProblem(code string) (reason, message string) {
	return "seam_reports_error", "Seam reports " + code + " on the mobile key: look at it in the Seam console, or re-issue the key"
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

// count counts a try for what is desired now; looking at Seam, and waiting for it, is none.
func (a *attempt) count(v *store.Verdict, spent bool) {
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

// settleDelay grows with the time that Seam has been at it: most mutations take seconds.
func (a *attempt) settleDelay() time.Duration {
	if a.changes > 0 {
		return 500 * time.Millisecond
	}
	return min(max(a.now().Sub(a.work.Key.ChangedAt)/2, 500*time.Millisecond), 30*time.Second)
}

func (a *attempt) slowRetry() time.Duration { return min(a.options.SweepInterval, 5*time.Minute) }

// meanwhile is the status while something is left to do. A stay that was cut short is not over while its key lasts for longer.
func (a *attempt) meanwhile() string {
	lasts := func(u seen) bool { return u.ACSUserID != nil && u.EndsAt != nil && u.EndsAt.After(a.now()) }
	switch d := desire(a.situation(anyGroup)); {
	case d.expired && !slices.ContainsFunc(a.seen.users, lasts):
		return store.KeyExpired
	case d.expired, d.goal == gone:
		return store.KeyRevoking
	default:
		return store.KeyProvisioning
	}
}

// failed judges an attempt that ended with an error. Whatever else happens, the key is due again.
func (a *attempt) failed(err error) store.Verdict {
	k := a.work.Key
	now := a.now()
	v := store.Verdict{
		Status: a.meanwhile(), Generation: k.Generation, Checks: k.Checks, NextIsRetry: true, UncertainSince: a.lostAt, LastError: deref(k.LastError),
	}
	a.count(&v, false)
	retry := func(in time.Duration) { at := now.Add(in); v.Next = &at }
	spent := func() {
		a.count(&v, true)
		v.LastError = err.Error()
		retry(a.backoff(v.Attempts))
	}
	wait, person, api := new(waitError), new(personError), new(seam.Error)
	switch {
	case errors.Is(err, errStale):
		retry(0)
	case errors.As(err, &wait):
		v.Next, v.Message = &wait.until, wait.why
	case errors.As(err, &person):
		v.Status, v.Reason, v.Message = store.KeyAttention, person.reason, person.message
		retry(person.again)
	case errors.As(err, &api):
		switch api.Kind {
		case seam.RateLimited:
			v.Message = "Seam asks for a pause"
			retry(max(api.RetryAfter, 100*time.Millisecond))
		case seam.Unauthorized:
			v.LastError, v.Message = api.Error(), "Seam does not accept the API key: provisioning pauses until it does"
			retry(10 * time.Second)
		case seam.Forbidden, seam.Invalid, seam.NotFound:
			spent()
			v.Status = store.KeyAttention
			v.Reason, v.Message = explainRefusal(api)
			retry(a.slowRetry())
		default:
			spent()
			v.Message = "Seam could not be reached, or its answer was lost: trying again"
		}
	default:
		spent()
	}
	return v
}

// explainRefusal turns a refused call into a reason and what to do.
func explainRefusal(e *seam.Error) (reason, message string) {
	switch {
	case seam.IsDisconnection(e.Type):
		return reasonDisconnected, disconnectedMessage
	case e.Type == "acs_system_not_found":
		return "access_system_not_found", "Seam does not know the access system: correct acs_system_id of the listing or the source, or SEAM_ACS_SYSTEM_ID"
	case e.Kind == seam.Forbidden:
		return "forbidden_by_seam", "the API key may not do this on the access system: check the key in the Seam console"
	default:
		return "rejected_by_seam", "Seam refused " + e.Path + " (" + firstOf(e.Type, fmt.Sprint(e.Status)) + "): see last_error, correct the cause, then reconcile the reservation"
	}
}

const (
	reasonDisconnected  = "access_system_disconnected"
	disconnectedMessage = "the access system is disconnected from Seam: reconnect it in the Seam console; it goes on by itself then"
)

// disconnection returns why nothing can be done for a key now: the access system that it is, or is to be, on
// can't be reached by Seam. What is to be removed is tried all the same: doors must close. A disconnection
// that was said long ago is asked for again, in case the event of its end was lost.
func (a *attempt) disconnection(ctx context.Context, d desired) *store.Disconnection {
	if d.goal != have || len(a.work.Unreachable) == 0 {
		return nil
	}
	systemID := d.systemID
	if i := standing(d, a.seen); i >= 0 {
		systemID = a.seen.users[i].ACSSystemID
	}
	i := slices.IndexFunc(a.work.Unreachable, func(d store.Disconnection) bool { return d.ACSSystemID == systemID })
	if i < 0 {
		return nil
	}
	cut := a.work.Unreachable[i]
	if old := a.now().Sub(cut.CheckedAt) >= max(a.slowRetry(), askAgain); old && !a.preview && a.isBack(ctx, systemID) {
		a.work.Unreachable = slices.Delete(a.work.Unreachable, i, i+1)
		return nil
	}
	return &cut
}

// heldBack judges a key that nothing can be done for. All that is due stays due.
func (a *attempt) heldBack(cut store.Disconnection) store.Verdict {
	k, next := a.work.Key, a.now().Add(a.slowRetry())
	v := store.Verdict{
		Status: store.KeyAttention, Reason: reasonDisconnected, Message: disconnectedMessage, LastError: deref(cut.Problem),
		Generation: k.Generation, Checks: k.Checks, Next: &next, NextIsRetry: true, UncertainSince: a.lostAt,
	}
	a.count(&v, false)
	return v
}

// backoff doubles from the base up to 15 minutes, less where the guest is near.
func (a *attempt) backoff(attempts int) time.Duration {
	most := 15 * time.Minute
	if in := a.work.Reservation.CheckIn; in != nil {
		switch until := in.Sub(a.now()); {
		case until < time.Hour:
			most = 30 * time.Second
		case until < 24*time.Hour:
			most = 3 * time.Minute
		}
	}
	d := a.options.RetryBase << min(max(attempts-1, 0), 20)
	if d <= 0 || d > most {
		d = most
	}
	// #nosec G404 -- jitter
	return d*3/4 + time.Duration(rand.Int64N(int64(d)/2+1)) // 75 to 125 %
}

// earliest keeps the first of several times.
type earliest struct{ time *time.Time }

func (e *earliest) at(t time.Time) {
	if e.time == nil || t.Before(*e.time) {
		e.time = &t
	}
}

// recheckAt has the reservation compared with Seam again then.
func (a *attempt) recheckAt(t time.Time) {
	if a.recheck == nil || t.Before(*a.recheck) {
		a.recheck = &t
	}
}

// drop takes an ACS user out of what is seen.
func (a *attempt) drop(i int) { a.seen.users = slices.Delete(a.seen.users, i, i+1) }
