package provisioner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/attribute"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/point"
	"github.com/staykey/staykey/internal/provisioner/plan"
	"github.com/staykey/staykey/internal/provisioner/record"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/tracing"
)

const (
	maxRounds = 200 // of plan and one step; more steps than any stay needs
	// commitTimeout bounds the writing of a mark or result. It doesn't end with the attempt: what happened at Seam
	// must be recorded even if no time is left for anything else.
	commitTimeout = 5 * time.Second
	// attemptTimeout bounds an attempt as a whole: whatever hangs, its worker becomes free.
	attemptTimeout = 5 * time.Minute
)

// attempt is one try to reconcile one reservation. It reads everything, works out what is desired, plans, takes the
// first step, commits its result, and plans again, until nothing is left to do or something stops it:
//
//	desired ─▶ observe ─▶ plan ─▶ first step ─┐        slot.go, identity.go, create.go, change.go, remove.go
//	   ▲                                      │
//	   └──────────────────────────────────────┘
//	nothing planned ─▶ finish up ─▶ verdict           check.go, remove.go, verdict.go
//
// The order keeps it safe to be interrupted anywhere:
//
//   - A create is marked before its call and its id recorded after it. A mark without an id means that Seam may have
//     an object that we don't know: observe finds out before anything else is created in its place.
//   - A change or a delete is marked, too, but needs no look-up while the same thing is still desired: it is sent
//     again.
//   - Every commit checks the lease, and whether the work has been overtaken by newer work. In that case the attempt
//     ends, and the next one starts from the new state.
//   - What can't be known yet (a read that may lag, a deletion under way) is no failure: the outcome says until when
//     to wait, and the worker turns to other reservations.
//
// Methods return an [outcome]. Only [attempt.run] acts on it; a method that gets one that stops returns it unchanged.
type attempt struct {
	*Provisioner
	lease   store.Lease
	preview bool // only plans: nothing is written, nothing at Seam is changed
	began   time.Time
	work    store.Work
	policy  pms.Policy
	users   []record.User // oldest first

	entries    []store.Entry     // of the timeline, not written yet
	changes    int               // changing calls made
	fresh      map[int64]bool    // rows whose identity surely has no ACS user yet
	claimed    map[int64]bool    // rows whose slot was claimed in this attempt
	notGuest   bool              // the guest's identity can't be used
	refusals   []refusal         // steps that Seam has refused in this attempt
	unsettled  map[int64]outcome // rows of lost creates that can't be looked for now, and why
	checked    bool              // everything was compared with Seam
	unverified bool              // everything was compared with Seam, except what Seam contradicts itself about
	recheck    *time.Time        // compare with Seam again then
	lostAt     *time.Time        // the last create whose answer was lost
	survivors  map[string]string // user identities that were merged, and the surviving one

	surplusDue *time.Time // when a surplus ACS user is looked at next

	codes       map[int64]*record.Code      // backup codes, by the rows of their ACS users
	listedCodes map[int64][]seam.Credential // those that were listed in this attempt
	codeDue     *time.Time                  // when the code is due next
}

// refusal is a step that Seam has refused, and its answer.
type refusal struct {
	step plan.Step
	user int64 // the row
	err  error
}

func (p *Provisioner) newAttempt(lease store.Lease, work store.Work) *attempt {
	a := &attempt{
		Provisioner: p, lease: lease, began: p.now(), work: work, policy: p.policyFor(work.Reservation),
		fresh: map[int64]bool{}, claimed: map[int64]bool{}, lostAt: work.Key.UncertainSince,
		survivors: map[string]string{},
		unsettled: map[int64]outcome{},
		codes:     codesOf(work), listedCodes: map[int64][]seam.Credential{},
	}
	for _, u := range work.Users {
		a.users = append(a.users, record.User{ACSUser: u})
	}
	return a
}

// policyFor is the policy of a stay's source. If the stay was completed with a policy unknown to this replica,
// another replica may just have recorded it: then it is read first, because nobody would plan this key again.
func (p *Provisioner) policyFor(r store.Reservation) pms.Policy {
	policy := p.options.Policy(r.Source)
	if p.options.ReadPolicies != nil && r.Policy != nil && *r.Policy != policy.Fingerprint() {
		p.options.ReadPolicies()
		policy = p.options.Policy(r.Source)
	}
	return policy
}

func (a *attempt) situation(group plan.GroupSystem) plan.Situation {
	return plan.Situation{
		Reservation: a.work.Reservation, Listing: a.work.Listing, Overrides: a.work.Overrides,
		Gates: a.work.Gates, Policy: a.policy,
		DefaultSystem: a.options.DefaultSystem, GuestKey: a.guestKey, Now: a.now(), Group: group,
		MayOpen: a.mayOpen(a.policy, a.work.Reservation.Source, a.work.GroupOwners),
	}
}

// desired works out what should be true. Seam is asked about access groups only if a key depends on one that has not
// been seen yet; if it can't be asked, the record is enough for an existing ACS user, and a configured access system
// for a new one.
func (a *attempt) desired(ctx context.Context) (plan.Desired, outcome) {
	if err := a.claimGroups(ctx); err != nil {
		return plan.Desired{}, fails(err)
	}
	d := plan.Desire(a.situation(a.directory.system))
	d.OwnKey = a.ownKey(a.work.Reservation.Ref(), 0)
	if d.Goal != plan.Have || len(d.Listed) == 0 {
		return d, outcome{}
	}
	err := a.directory.learn(a.because(ctx, "which access system the listing's access groups are on"), d.Listed)
	d = plan.Desire(a.situation(a.directory.system))
	d.OwnKey = a.ownKey(a.work.Reservation.Ref(), 0)
	if err != nil && (d.SystemID == "" || seam.KindOf(err) == seam.Unauthorized) {
		return d, fails(err)
	}
	return d, outcome{}
}

// because returns a context whose calls are recorded in the timeline, with their reason.
func (a *attempt) because(ctx context.Context, reason string) context.Context {
	return seam.WithRecorder(ctx, func(c seam.Call) { a.recordCall(ctx, c, reason) })
}

// run brings the reservation as close to what is desired as possible now. Only run acts on outcomes.
func (a *attempt) run(ctx context.Context) (store.KeyOutcome, outcome) {
	if a.work.Listing != nil && a.work.Key.CheckRequested {
		a.directory.forget(a.work.Listing.Groups())
	}
	observed := false
	for range maxRounds {
		v, out := a.round(ctx, &observed)
		switch out.kind {
		case proceed:
			return v, out
		case replan:
			continue
		default:
			return a.conclude(out), out
		}
	}
	out := outcome{kind: failed, err: fmt.Errorf("no end after %d steps", maxRounds)}
	return a.conclude(out), out
}

// round plans once, and takes the first step of the plan or, if there is none, finishes.
func (a *attempt) round(ctx context.Context, observed *bool) (store.KeyOutcome, outcome) {
	d, out := a.desired(ctx)
	if out.stops() {
		return store.KeyOutcome{}, out
	}
	if cut := a.disconnection(ctx, d); cut != nil {
		return a.disconnected(d, *cut), outcome{}
	}
	if !*observed {
		if out := a.observe(ctx, d); out.stops() {
			return store.KeyOutcome{}, out
		}
		*observed = true
	}
	if held := a.work.Overrides.Held(); held != "" {
		return a.onHold(ctx, d, held)
	}
	if out := a.makeRoom(ctx, d); out.stops() {
		return store.KeyOutcome{}, out
	}
	if s, ok := a.nextStep(d); ok {
		out := a.execute(ctx, d, s)
		if out.kind == refused && !a.endsWith(s) {
			a.refuse(s, out.err)
			return store.KeyOutcome{}, again()
		}
		if out.stops() {
			return store.KeyOutcome{}, out
		}
		return store.KeyOutcome{}, again()
	}
	if out := a.finishUp(ctx, d); out.stops() {
		return store.KeyOutcome{}, out
	}
	if out := a.backupCode(ctx, d); out.stops() {
		return store.KeyOutcome{}, out
	}
	if len(a.refusals) > 0 {
		return store.KeyOutcome{}, outcome{kind: failed, err: a.refusals[0].err}
	}
	return a.verdict(d), outcome{}
}

// endsWith reports whether nothing can follow a refused step: without an identity or an ACS user there is nothing to
// change.
func (a *attempt) endsWith(s plan.Step) bool {
	return s.Kind == plan.CreateIdentity || s.Kind == plan.CreateUser
}

// nextStep is the first planned step that Seam has not refused in this attempt, and that depends on none that it has
// refused.
func (a *attempt) nextStep(d plan.Desired) (plan.Step, bool) {
	for _, s := range plan.Plan(d, a.users, a.work.Key.Revive) {
		if !a.wasRefused(s) && !a.isUnsettled(s) && !(d.Goal == plan.Have && (a.locksOut(s) || a.doubles(s))) {
			return s, true
		}
	}
	return plan.Step{}, false
}

// locksOut reports whether a step would take away the guest's way in while Seam refuses the new one. After a refusal
// of a step that a guest may need to get in, no ACS user of a stay that still lasts is deleted; after a refusal of a
// door, no other door is closed.
func (a *attempt) locksOut(s plan.Step) bool {
	return slices.ContainsFunc(a.refusals, func(r refusal) bool {
		return s.Kind == plan.DeleteUser && r.step.Kind.Opens() ||
			s.Kind == plan.RemoveGroup && r.step.Kind == plan.AddGroup
	})
}

// doubles reports whether a step belongs to the creation of a second ACS user or mobile key, because Seam refuses to
// delete what is left of the one that it replaces.
func (a *attempt) doubles(s plan.Step) bool {
	if s.Kind == plan.CreateKey && slices.ContainsFunc(a.refusals, func(r refusal) bool {
		return r.step.Kind == plan.ReplaceKey && r.step.User == s.User
	}) {
		return true
	}
	creates := s.User < 0 || a.users[s.User].ACSUserID == nil
	return creates && slices.ContainsFunc(a.refusals, func(r refusal) bool { return r.step.Kind == plan.DeleteUser })
}

func (a *attempt) isUnsettled(s plan.Step) bool {
	if s.User < 0 || s.User >= len(a.users) {
		return false
	}
	_, open := a.unsettled[a.users[s.User].ID]
	return open
}

func (a *attempt) refuse(s plan.Step, err error) {
	r := refusal{step: s, err: err}
	if s.User >= 0 && s.User < len(a.users) {
		r.user = a.users[s.User].ID
	}
	a.refusals = append(a.refusals, r)
}

func (a *attempt) wasRefused(s plan.Step) bool {
	return slices.ContainsFunc(a.refusals, func(r refusal) bool {
		return r.step.Kind == s.Kind && s.User >= 0 && a.users[s.User].ID == r.user &&
			fmt.Sprint(r.step.Body) == fmt.Sprint(s.Body)
	})
}

// execute takes one step: its call, and the commit of its result.
func (a *attempt) execute(ctx context.Context, d plan.Desired, s plan.Step) outcome {
	switch s.Kind {
	case plan.CreateIdentity:
		return a.takeSlot(ctx, d)
	case plan.CreateUser:
		return a.createUser(ctx, d, s.User)
	case plan.CreateKey:
		return a.createKey(ctx, d, &a.users[s.User])
	case plan.DeleteUser:
		return a.deleteUser(ctx, d, &a.users[s.User], s.Reason)
	default:
		return a.change(ctx, d, &a.users[s.User], s)
	}
}

// commit writes a mark or a result with the timeline so far, if the lease is still ours. The outcome is stale if it
// was written, but the work has been overtaken.
func (a *attempt) commit(ctx context.Context, fn func(ctx context.Context, tx pgx.Tx, stale bool) error) outcome {
	if a.preview {
		return fails(errors.New("a preview must not write"))
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.store.Within(commitTimeout))
	defer cancel()
	lostAt := a.lostAt
	if lostAt == a.work.Key.UncertainSince {
		lostAt = nil
	}
	generation, err := a.store.WithLease(ctx, a.lease, a.entries, lostAt, func(tx pgx.Tx, generation int64) error {
		return fn(ctx, tx, generation != a.work.Key.Generation)
	})
	if err != nil && !errors.Is(err, errStale) {
		return fails(err)
	}
	if err == nil {
		a.entries = nil
		point.Reach(point.Recorded)
	}
	if err != nil || generation != a.work.Key.Generation {
		return outcome{kind: stale}
	}
	return outcome{}
}

// errStale rolls a commit back, because what is desired has changed.
var errStale = errors.New("what is desired has changed in the meantime")

// save commits one ACS user's row.
func (a *attempt) save(ctx context.Context, u *record.User) outcome {
	return a.commit(ctx, func(ctx context.Context, tx pgx.Tx,
		_ bool,
	) error {
		return store.SaveACSUser(ctx, tx, u.ACSUser)
	})
}

func (a *attempt) saveUnlessPreview(ctx context.Context, u *record.User) outcome {
	if a.preview {
		return outcome{}
	}
	return a.save(ctx, u)
}

// saveMark commits the mark of a call that is about to be made. If the work has been overtaken, neither is made.
func (a *attempt) saveMark(ctx context.Context, u *record.User) outcome {
	out := a.commit(ctx, func(ctx context.Context, tx pgx.Tx, stale bool) error {
		if stale {
			return errStale
		}
		return store.SaveACSUser(ctx, tx, u.ACSUser)
	})
	point.Reach(point.Marked)
	return out
}

// recordCall adds a call to Seam to the trace and the timeline.
func (a *attempt) recordCall(ctx context.Context, c seam.Call, reason string) {
	point.Reach(point.Called)
	tracing.Done(ctx, "seam "+c.Path, c.At, c.At.Add(c.Duration), c.Err,
		attribute.String("seam.request_id", c.RequestID), attribute.Int("http.response.status_code", c.Status))
	result := "ok"
	detail := map[string]any{
		"path": c.Path, "reason": reason, "request_id": c.RequestID, "duration_ms": c.Duration.Milliseconds(),
		"status": c.Status,
	}
	if c.Err != nil {
		result = seam.KindOf(c.Err).String()
		detail["error"] = c.Err.Error()
	}
	detail["result"] = result
	a.entries = append(a.entries, store.Entry{
		Ref: a.work.Reservation.Ref(), At: c.At.UTC(), Kind: store.TimelineRequest, Summary: c.Path + ": " +
			result, Detail: detail,
	})
}

// note adds a decision without a call to the timeline.
func (a *attempt) note(format string, args ...any) {
	a.entries = append(a.entries, store.Entry{
		Ref: a.work.Reservation.Ref(), At: a.now(), Kind: store.TimelineStep, Summary: fmt.Sprintf(format, args...),
	})
}

// noteLostCreate remembers that the answer to a create was lost, for later look-ups. It is written with the next
// commit.
func (a *attempt) noteLostCreate() {
	now := a.now()
	a.lostAt = &now
}

// noteSurplus remembers that a lost create has left a second ACS user: there may be a third, which is looked for as
// after a lost create. It is written with the next commit.
func (a *attempt) noteSurplus() {
	if a.lostAt == nil || !a.tooEarly(a.lostAt.Add(lastLookup)) {
		a.noteLostCreate()
	}
}

// recheckAt schedules another comparison with Seam.
func (a *attempt) recheckAt(t time.Time) {
	if a.recheck == nil || t.Before(*a.recheck) {
		a.recheck = &t
	}
}

// standing is the index of the ACS user that serves the stay; -1 if there is none, or if none should exist.
func (a *attempt) standing(d plan.Desired) int {
	if d.Goal != plan.Have {
		return -1
	}
	return plan.Standing(d.WithFirstKeyWaiting(a.users), a.users)
}

func (a *attempt) indexOf(u *record.User) int {
	return slices.IndexFunc(a.users, func(x record.User) bool { return x.ID == u.ID })
}

// drop forgets an ACS user.
func (a *attempt) drop(i int) { a.users = slices.Delete(a.users, i, i+1) }
