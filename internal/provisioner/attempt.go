package provisioner

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/provisioner/plan"
	"github.com/staykey/staykey/internal/provisioner/record"
	"github.com/staykey/staykey/internal/provisioner/rows"
	"github.com/staykey/staykey/internal/store"
)

const (
	maxRounds = 200 // of plan and one step; more steps than any stay needs
	// attemptTimeout bounds an attempt as a whole: whatever hangs, its worker becomes free.
	attemptTimeout = 5 * time.Minute
)

// attempt is one try to reconcile one reservation. It reads everything, works out what is desired, plans, takes the
// first step, commits its result, and plans again, until nothing is left to do or something stops it:
//
//	desired ─▶ observe ─▶ plan ─▶ first step ─┐
//	   ▲                                      │
//	   └──────────────────────────────────────┘
//	nothing planned ─▶ finish up ─▶ backup code ─▶ verdict ─▶ names
//
// The attempt only decides what comes next. What is done is in its parts. Each part is given what it works with, and
// doesn't know the attempt:
//
//	demand                  what should exist
//	users, observation      what is known: the rows, and how far they can be trusted
//	observer, checker       read Seam into the rows; finder looks things up for them
//	identities, slots       the user identity, and its slot on the access system
//	creator, changer        create and change the ACS user and its mobile key
//	remover, surplus        delete ACS users, and follow each to its end
//	removed                 deletes again what comes back after that
//	backupCodes             the PIN on the same ACS user
//	refusals                what Seam has refused, and what follows for the other steps
//	ledger                  commits marks and results, and keeps the timeline
//	ending, pacing          the verdict, and when to look again
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
// Methods return an [outcome]. Only [attempt.rounds] acts on it; a method that gets one that stops returns it
// unchanged.
type attempt struct {
	log  *slog.Logger
	now  func() time.Time
	work *store.Work // as it was loaded, and updated by demand

	demand     *demand
	users      *users
	observed   *observation
	observer   *observer
	checker    *checker
	identities *identities
	slots      *slots
	creator    *creator
	changer    *changer
	remover    *remover
	surplus    *surplus
	removed    *removed
	codes      *backupCodes
	refusals   *refusals
	ledger     *ledger
	pacing     *pacing

	removalDue   earliest    // when a deletion under way is looked at next
	keyConfirmed func() bool // whether Seam has just accepted the API key
}

// newAttempt puts an attempt together. Parts come after those that they work with.
func (p *Provisioner) newAttempt(lease store.Lease, loaded store.Work) *attempt {
	belief := belief{lag: p.options.ReadLag, timeout: p.seam.Timeout(), began: p.now()}
	loaded.Key.Revive = loaded.Key.Revive && !isOutdated(loaded.Key, p.now())

	work, policy := &loaded, p.policyFor(loaded.Reservation)
	users := &users{}
	for _, u := range work.Users {
		users.rows = append(users.rows, rows.User(u))
	}
	listed := listedCodes{}
	ledger := &ledger{
		store: p.store, now: p.now, lease: lease, work: work, belief: belief, lostAt: work.Key.UncertainSince,
	}
	observed := &observation{users: users, unsettled: map[int64]outcome{}, searched: map[int64]bool{}}
	pacing := &pacing{
		now: p.now, work: work, belief: belief, ledger: ledger, sweepEvery: p.options.SweepInterval,
		retryBase: p.options.RetryBase,
	}
	demand := &demand{
		store: p.store, now: p.now, directory: p.directory, keys: p.keys,
		configured: p.options.Configured, systems: p.systems, defaultSystem: p.options.DefaultSystem, ledger: ledger,
		users: users, pacing: pacing, work: work, policy: policy,
	}
	identities := &identities{
		store: p.store, seam: p.seam, now: p.now, keys: p.keys, ledger: ledger,
		belief: belief, users: users, reservation: work.Reservation.Ref(), survivors: map[string]string{},
	}
	finder := &finder{
		store: p.store, seam: p.seam, ledger: ledger, belief: belief, identities: identities, work: work,
		listedCodes: listed,
	}
	checker := &checker{
		seam: p.seam, now: p.now, ledger: ledger, belief: belief, finder: finder, identities: identities,
		observed: observed, pacing: pacing, work: work, policy: policy,
	}
	slots := &slots{
		store: p.store, now: p.now, log: p.log, seam: p.seam, ledger: ledger, belief: belief, users: users,
		identities: identities, finder: finder, work: work, fresh: map[int64]bool{}, claimed: map[int64]bool{},
	}
	observer := &observer{
		now: p.now, ledger: ledger, belief: belief, users: users, finder: finder, identities: identities,
		checker: checker, observed: observed, work: work,
	}
	removed := &removed{
		seam: p.seam, now: p.now, ledger: ledger, belief: belief, pacing: pacing, work: work, users: work.Removed,
		lookOnly: work.Overrides.Held() != "", found: map[string]outcome{},
	}
	creator := &creator{
		seam: p.seam, now: p.now, activity: p.options.Activity, directory: p.directory, systems: p.systems,
		demand: demand, ledger: ledger, belief: belief, users: users, slots: slots, removed: removed, finder: finder,
		observer: observer, checker: checker, work: work,
	}
	changer := &changer{
		seam: p.seam, now: p.now, directory: p.directory, ledger: ledger, belief: belief, observed: observed,
		identities: identities, checker: checker, work: work,
	}
	surplus := &surplus{
		seam: p.seam, now: p.now, ledger: ledger, belief: belief, users: users, finder: finder, pacing: pacing,
		removed: removed,
	}
	remover := &remover{
		seam: p.seam, now: p.now, activity: p.options.Activity, ledger: ledger, belief: belief, users: users,
		observed: observed, finder: finder, checker: checker, identities: identities, surplus: surplus,
		removed: removed, pacing: pacing, work: work, policy: policy,
	}
	a := &attempt{
		log: p.log, now: p.now, work: work, demand: demand, users: users, observed: observed, observer: observer,
		checker: checker, identities: identities, slots: slots, creator: creator, changer: changer,
		remover: remover, surplus: surplus, removed: removed, refusals: &refusals{users: users},
		ledger: ledger, pacing: pacing,
		keyConfirmed: p.admission.keyConfirmed,
	}
	a.codes = &backupCodes{
		codeTools: codeTools{
			seam: p.seam, now: p.now, sealer: p.sealer, ledger: ledger, belief: belief, observed: observed,
			pacing: pacing, work: work, policy: policy, codes: codesOf(loaded), listed: listed,
		},
		users: users, refusals: a.refusals, verdict: a.verdict,
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

// run brings the reservation as close to what is desired as possible now.
func (a *attempt) run(ctx context.Context) (store.KeyVerdict, outcome) {
	v, out := a.rounds(ctx)
	return a.ending().notAtOnce(v, out), out
}

// rounds plans and acts until nothing is left that can be done now, or something stops it. Only it acts on outcomes.
func (a *attempt) rounds(ctx context.Context) (store.KeyVerdict, outcome) {
	if a.work.Listing != nil && a.work.Key.CheckRequested {
		a.demand.directory.forget(a.work.Listing.Groups())
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
			return a.ending().conclude(out), out
		}
	}
	out := outcome{kind: failed, err: fmt.Errorf("no end after %d steps", maxRounds)}
	return a.ending().conclude(out), out
}

// round plans once, and takes the first step of the plan or, if there is none, finishes.
func (a *attempt) round(ctx context.Context, observed *bool) (store.KeyVerdict, outcome) {
	d, out := a.demand.desired(ctx)
	if out.stops() {
		return store.KeyVerdict{}, out
	}
	if cut := a.demand.disconnection(ctx, d); cut != nil {
		if out := a.removed.lookElsewhere(ctx, d, cut.ACSSystemID); out.stops() {
			return store.KeyVerdict{}, out
		}
		return a.ending().disconnected(*cut), outcome{}
	}

	if !*observed {
		if out := a.observer.observe(ctx, d); out.stops() {
			return store.KeyVerdict{}, out
		}
		*observed = true
	}
	if held := a.work.Overrides.Held(); held != "" {
		return a.onHold(ctx, d, held)
	}

	back := a.removed.look(ctx, d, a.needsUserOn(d))
	if out := firstOutcome(back, func() outcome { return a.makeRoom(ctx, d) }); out.stops() {
		return store.KeyVerdict{}, out
	}

	if s, ok := a.nextStep(d); ok {
		out := a.execute(ctx, d, s)
		if out.kind == refused && !endsWith(s) {
			a.refusals.add(s, out.err)
			return store.KeyVerdict{}, again()
		}
		if out.stops() {
			return store.KeyVerdict{}, out
		}
		return store.KeyVerdict{}, again()
	}

	if out := a.finishUp(ctx, d); out.stops() {
		return store.KeyVerdict{}, out
	}
	if out := a.codes.follow(ctx, d); out.stops() {
		return store.KeyVerdict{}, out
	}

	if len(a.refusals.all) > 0 {
		return store.KeyVerdict{}, outcome{kind: failed, err: a.refusals.all[0].err}
	}
	v := a.verdict(d)
	return v, a.giveNames(ctx, d)
}

// giveNames restores the names of ACS users, after everything else.
func (a *attempt) giveNames(ctx context.Context, d plan.Desired) outcome {
	for _, s := range plan.Names(d, a.users.rows) {
		if out := a.changer.rename(ctx, d, &a.users.rows[s.User], s); out.stops() {
			return out
		}
	}
	return outcome{}
}

// makeRoom makes sure that a new ACS user would be the stay's only one. Whatever may already serve the stay is followed
// until Seam shows what happened: a create whose result is unknown, and a delete that may not have taken effect. What
// was removed before is left to [creator.makeRoom]. Only a deletion that Seam itself says is under way is not waited
// for any longer than the guest can wait: then the new one gets another identity.
func (a *attempt) makeRoom(ctx context.Context, d plan.Desired) outcome {
	if d.Goal != plan.Have || !d.WithFirstKeyWaiting(a.users.rows).Create {
		return outcome{}
	}
	if i := a.users.standing(d); i >= 0 && (a.users.rows[i].ACSUserID != nil || a.slots.claimed[a.users.rows[i].ID]) {
		return outcome{}
	}
	for i := range a.users.rows {
		u := &a.users.rows[i]
		if u.ACSSystemID != d.SystemID || u.GuestKey != d.GuestKey {
			continue
		}
		if out, open := a.observed.unsettled[u.ID]; open {
			return out
		}
		if u.Phase() != record.Removing {
			continue
		}
		deletedAt := *u.DeletedAt
		if out := a.remover.finishRemoval(ctx, d, u); out.stops() && !a.mayPass(d, u, deletedAt, out) {
			return out
		}
	}
	return outcome{}
}

// needsUserOn is the access system on which the stay should get an ACS user now, and has none that is known; "" for
// none.
func (a *attempt) needsUserOn(d plan.Desired) string {
	if d.Goal != plan.Have || !d.WithFirstKeyWaiting(a.users.rows).Create {
		return ""
	}
	if i := a.users.standing(d); i >= 0 && a.users.rows[i].ACSUserID != nil {
		return ""
	}
	return d.SystemID
}

// mayPass reports whether a new ACS user may be created although the deletion of an earlier one has not ended: if that
// one won't serve the stay in any case, and the guest can't wait.
func (a *attempt) mayPass(d plan.Desired, u *record.User, deletedAt time.Time, out outcome) bool {
	switch out.kind {
	case waiting, needsPerson, unclear:
		return (u.Leaving || !plan.Fits(d, *u)) && !a.pacing.canWait(d, deletedAt, u.DeletesInVain > 0)
	default:
		return false
	}
}

// nextStep is the first planned step that Seam has not refused in this attempt, and that depends on none that it has
// refused.
func (a *attempt) nextStep(d plan.Desired) (plan.Step, bool) {
	for _, s := range plan.Plan(d, a.users.rows, a.work.Key.Revive) {
		if a.refusals.has(s) || a.observed.isUnsettled(s) {
			continue
		}
		if d.Goal == plan.Have && (a.refusals.locksOut(s) || a.refusals.doubles(s)) {
			continue
		}
		return s, true
	}
	return plan.Step{}, false
}

// endsWith reports whether nothing can follow a refused step: without an identity or an ACS user there is nothing to
// change.
func endsWith(s plan.Step) bool {
	return s.Kind == plan.CreateIdentity || s.Kind == plan.CreateUser
}

// execute takes one step: its call, and the commit of its result.
func (a *attempt) execute(ctx context.Context, d plan.Desired, s plan.Step) outcome {
	switch s.Kind {
	case plan.CreateIdentity:
		return a.slots.take(ctx, d)
	case plan.CreateUser:
		return a.creator.createUser(ctx, d, s.User)
	case plan.CreateKey:
		return a.creator.createKey(ctx, d, &a.users.rows[s.User])
	case plan.DeleteUser:
		return a.remover.deleteUser(ctx, d, &a.users.rows[s.User], s.Reason)
	default:
		return a.changer.change(ctx, d, &a.users.rows[s.User], s)
	}
}

// finishUp does what no plan contains: it reads back changes, and follows deletions to their end.
func (a *attempt) finishUp(ctx context.Context, d plan.Desired) outcome {
	keep := a.users.standing(d)
	if out := a.readBackIfNeeded(ctx, d, keep); out.stops() {
		return out
	}
	surplus := a.surplus.finishRemoval(ctx, keep)
	if surplus.restarts() {
		return surplus
	}
	if out := a.finishRemovals(ctx, d, keep); out.stops() {
		return out
	}
	back := func() outcome { return a.removed.end(d.Goal) }
	if d.Goal == plan.Gone && len(a.users.rows) == 0 {
		return firstOutcome(a.identities.removeStrays(ctx), back)
	}
	return firstOutcome(firstOutcome(surplus, a.observed.firstUnsettled), back)
}

// finishRemovals follows each deletion to its end. One that is stuck, on one access system, delays no other: the
// attempt ends with what needs attention most, and the key is due when the first of the others is.
func (a *attempt) finishRemovals(ctx context.Context, d plan.Desired, keep int) outcome {
	var stuck outcome
	a.removalDue = earliest{}
	for i := range a.users.rows {
		u := &a.users.rows[i]
		if _, open := a.observed.unsettled[u.ID]; i == keep || open || d.Goal == plan.Have && u.AnsweredWithOthers() {
			continue
		}
		out := a.remover.finishRemoval(ctx, d, u)
		switch {
		case !out.stops():
			continue
		case !out.isLocal():
			return out
		case out.kind == waiting:
			a.removalDue.at(out.until)
		}
		if !stuck.stops() || stuck.kind == waiting && out.kind != waiting ||
			stuck.kind != needsPerson && out.kind == needsPerson {
			stuck = out
		}
	}
	return stuck
}

// readBackIfNeeded reads back the ACS user that serves the stay, unless it is known to open every door.
func (a *attempt) readBackIfNeeded(ctx context.Context, d plan.Desired, keep int) outcome {
	if keep < 0 || !a.checker.needsReadBack(d, &a.users.rows[keep]) {
		return outcome{}
	}
	return a.checker.readBack(ctx, d, &a.users.rows[keep])
}

// onHold looks at a reservation that an admin holds, and changes nothing at Seam, cleanup included.
func (a *attempt) onHold(ctx context.Context, d plan.Desired, held string) (store.KeyVerdict, outcome) {
	if out := a.removed.look(ctx, d, ""); out.stops() {
		return store.KeyVerdict{}, out
	}
	if steps := plan.Plan(d, a.users.rows, a.work.Key.Revive); len(steps) > 0 {
		return a.ending().onHold(d, held, steps[0].Reason), outcome{}
	}
	keep := a.users.standing(d)
	if out := a.readBackIfNeeded(ctx, d, keep); out.stops() {
		return store.KeyVerdict{}, out
	}
	for i := range a.users.rows {
		going := i != keep && (a.users.rows[i].Phase() == record.Removing || d.Goal == plan.Gone)
		if going || len(a.users.rows[i].Surplus) > 0 {
			return a.ending().onHold(d, held, "the deletion of an ACS user is not confirmed yet"), outcome{}
		}
	}
	if a.removed.isBack() {
		return a.ending().onHold(d, held, whyDeletedAgain), outcome{}
	}
	return a.verdict(d), outcome{}
}

// verdict judges what has been reached, when nothing is left that can be done now.
func (a *attempt) verdict(d plan.Desired) store.KeyVerdict {
	e := a.ending()
	v := e.verdict(d)
	a.observed.recheck = e.recheck.time
	return v
}

// ending is what the attempt has reached so far.
func (a *attempt) ending() *ending {
	return &ending{
		key: a.work.Key, held: a.work.Overrides.Held(), users: a.users, known: a.demand.known(), now: a.now(),
		belief: a.ledger.belief, pacing: a.pacing,
		changes: a.ledger.changes, returned: a.ledger.returned, lostAt: a.ledger.lostAt, checked: a.observed.checked,
		unverified:   a.observed.unverified,
		keyConfirmed: a.keyConfirmed(),
		recheck:      earliest{a.observed.recheck}, codeDue: a.codes.due, surplusDue: a.surplus.due,
		removalDue: a.removalDue, removedDue: a.removed.nextLook(),
	}
}
