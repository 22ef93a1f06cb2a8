package provisioner

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/provisioner/plan"
	"github.com/staykey/staykey/internal/provisioner/record"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// This file follows an ACS user from the decision that it goes until its row is forgotten:
//
//	deleteUser      once opensInstead and lastsLonger don't object: mark, delete at Seam, record the answer. A lost
//	                answer counts as deleted, and a 404 as doubtful, until Seam has shown which it is. A refusal
//	                changes nothing, but may be wrong: if the user is wanted again, it is compared with Seam first
//	finishRemoval   in later attempts, by the row's phase (record.Phase):
//	                  claimed          nothing was ever created: forget it
//	                  marked, lost     a create that has not shown up: forget it after the last look-up
//	                  removing         confirmDeleted, below
//	                  others           kept: the stay has only just ended
//	confirmDeleted  gone (a delete that Seam accepted, and neither get nor list shows the user): forget it
//	                not shown: count that as gone after the read lag, if it is repeated
//	                going: wait, at growing intervals, until a person is notified
//	                there, after the read lag: the delete had no effect. Delete it again if the plan still does
//	forgetUser      delete the row, which frees its slot, and the identity if it was the stay's own; keep the id
//
// Two rules hold throughout. A guest in the house never loses the old key before the new one opens doors
// (opensInstead). And a row is forgotten only when Seam shows nothing that it names any more. The id of its ACS user is
// kept even then, as it may come back (removed.go).

// remover deletes ACS users at Seam and follows each to its end: an old one goes only when its replacement opens doors,
// and a row is forgotten only when Seam no longer has what it names. It doesn't choose what goes: the plan does.
type remover struct {
	seam       *seam.Client
	now        func() time.Time
	activity   *store.Activity
	ledger     *ledger
	belief     belief
	users      *users
	observed   *observation
	finder     *finder
	checker    *checker
	identities *identities
	surplus    *surplus
	removed    *removed
	pacing     *pacing
	work       *store.Work // as it was loaded
	policy     pms.Policy
}

// deleteUser removes an ACS user that is no longer wanted: in a stay that lasts, only once its replacement is known
// to open doors.
func (r *remover) deleteUser(ctx context.Context, d plan.Desired, u *record.User, reason string) outcome {
	wasGone := u.IsAgreedGone()
	if out := r.opensInstead(ctx, d, u); out.stops() {
		return out
	}
	if out := r.lastsLonger(ctx, d, u); out.stops() {
		return out
	}
	// Marked before the call: if its answer is lost and the reservation is reinstated, this ACS user is not trusted.
	started := r.now()
	u.DeleteSent(started)
	if out := r.ledger.saveMark(ctx, u); out.stops() {
		return out
	}
	r.ledger.changes++
	err := r.seam.DeleteACSUser(r.ledger.because(ctx, reason), *u.ACSUserID)
	switch seam.KindOf(err) {
	case 0:
		if err == nil {
			u.DeleteKnown()
			r.activity.Add(r.work.Reservation.Source, store.ActivityRemoved, started)
		}
	case seam.Lost:
		u.DeleteLost(r.belief.lostUntil(started, r.now()))
	case seam.NotFound:
		if until := r.belief.userCountsFrom(u); r.belief.tooEarly(until) {
			u.DeleteRefused(r.work.Key.Generation, r.now())
			if out := r.ledger.saveUser(ctx, u); out.stops() {
				return out
			}
			return wait(until, "A new ACS user may not show up at once")
		}
		if err = nil; wasGone { // nothing had shown it, twice, and this answer confirms that
			u.DeleteKnown()
		} else {
			u.DeleteDoubted()
		}
	default:
		if madeNothing(err) {
			u.Refused()
		} else {
			u.DeleteRefused(r.work.Key.Generation, r.now())
		}
	}
	if out := r.ledger.saveUser(ctx, u); out.stops() {
		return out
	}
	return fails(err)
}

// opensInstead stops the deletion of an old ACS user while its replacement is not known to open doors. If the
// replacement lacks only a subscription, which the old key may be occupying, the old one is deleted: it is another
// guest's.
func (r *remover) opensInstead(ctx context.Context, d plan.Desired, old *record.User) outcome {
	i := r.users.standing(d)
	if i < 0 || r.users.rows[i].ID == old.ID {
		return outcome{}
	}
	u := &r.users.rows[i]
	if old.IsOut() || u.IsOut() {
		return outcome{} // nobody should get in with what somebody has taken away, and nothing is under way
	}
	if r.checker.needsReadBack(d, u) && (!u.IsOpen() || r.awaitsSubscription(d, u, old)) {
		if out := r.checker.readBack(ctx, d, u); out.stops() {
			return out
		}
	}
	return r.replaces(d, u, old)
}

// replaces lets an old ACS user go if its replacement opens doors, as far as is known.
func (r *remover) replaces(d plan.Desired, u, old *record.User) outcome {
	switch {
	case u.Problem != nil && *u.Problem == plan.SubscriptionLimit && u.ACSSystemID == old.ACSSystemID:
		return outcome{}
	case u.Problem != nil:
		return oldKeyStays(plan.UserProblem(*u.Problem))
	case u.CredentialProblem != nil:
		return oldKeyStays(plan.KeyProblem(*u.CredentialProblem))
	case u.IsOpen() && r.awaitsSubscription(d, u, old):
		return wait(r.now().Add(subscribePoll),
			"Salto KS has not subscribed the new user yet: the old key stays until it has")
	case u.IsOpen():
		return outcome{}
	default:
		if j := plan.Judge(plan.State{Desired: d, User: u, Now: r.now()}); u.Settled && j.Reason != "" {
			j.Next = plan.LookSlow // waiting alone won't open the new key's doors
			return oldKeyStays(&j)
		}
		// What Seam doesn't show would be set again by each attempt before its reads count, and none of them counted.
		return wait(later(r.now().Add(r.pacing.settleDelay(u)), r.observed.unshown),
			"The new key is not on the access system yet: the old one stays until it is")
	}
}

// awaitsSubscription reports whether the old ACS user is the only way in for a guest in the house: no door opens to
// the new one before Salto KS has subscribed it. That takes moments; if it takes long, the old one is deleted anyway,
// because it may be another guest's.
func (r *remover) awaitsSubscription(d plan.Desired, u, old *record.User) bool {
	now := r.now()
	return !now.Before(d.Starts) && old.Exists() && old.Subscribed && !u.Subscribed && u.MadeAt != nil &&
		now.Before(u.MadeAt.Add(plan.SubscribeWithin))
}

// lastsLonger stops the removal of an ACS user after the stay if access at Seam lasts longer than recorded and the
// policy is to report such differences: the database may have been restored to a time before the stay was extended.
// It is removed when its access ends, or when the PMS or an admin says so.
func (r *remover) lastsLonger(ctx context.Context, d plan.Desired, u *record.User) outcome {
	isUnsure := u.Unsure && !u.AwaitsLateDelete() // a refused delete leaves no doubt about the hours
	if !d.Expired || r.policy.Drift != pms.DriftReport || r.work.Key.Revive || isUnsure || u.EndsAt == nil {
		return outcome{}
	}
	from, is, out := r.finder.look(ctx, u, "whether an earlier call extended the access")
	if out.stops() || is != present || from.AccessSchedule == nil {
		return out
	}
	ends := seam.ParseTime(from.AccessSchedule.EndsAt)
	if !ends.After(r.now()) || ends.Sub(*u.EndsAt) < record.Rounded {
		return outcome{}
	}
	what := "access lasts until " + pms.FormatInstant(ends) + ", and the stay was over at " + pms.FormatInstant(d.Ends)
	return person(&plan.Verdict{
		Status: stay.KeyAttention, Reason: stay.ReasonDrifted, Message: stay.Message(stay.ReasonDrifted, what,
			stay.UndoChange), Next: plan.LookSlow,
	})
}

func oldKeyStays(j *plan.Verdict) outcome {
	j.Message += " The old key stays until the new one exists."
	return person(j)
}

// notRemoved reports an ACS user that still exists after it was deleted.
func notRemoved(why string) outcome {
	return person(&plan.Verdict{
		Status: stay.KeyAttention, Reason: stay.ReasonNotRemoved, Message: stay.Message(stay.ReasonNotRemoved,
			why), Next: plan.LookSlow,
	})
}

// finishRemoval follows an ACS user that is no longer wanted to its end. It plans again if something has changed: the
// row is deleted, or the user turned out to exist.
func (r *remover) finishRemoval(ctx context.Context, d plan.Desired, u *record.User) outcome {
	surplus := r.surplus.follow(ctx, u)
	if surplus.restarts() {
		return surplus
	}
	switch u.Phase() {
	case record.Claimed:
	case record.Marked, record.Lost, record.Aside:
		// A lost create that has not shown up; the row is kept for later look-ups.
		if r.ledger.lostAt != nil && (r.belief.tooEarly(r.ledger.lostAt.Add(lastLookup)) || !r.observed.checked) {
			return surplus
		}
	case record.Removing:
		// Also while what was left in addition to it can't be removed: it opens the same doors.
		if out := firstOutcome(r.confirmDeleted(ctx, d, u), func() outcome { return surplus }); out.stops() {
			return out
		}
		if r.ledger.lostAt != nil { // even long ago: while this one existed, nobody looked for another
			r.observed.checked = false
			r.removed.remember(u)
			u.LookOnly()
			if i := r.users.standing(d); i >= 0 && r.users.rows[i].ACSUserID != nil {
				u.SetAside(r.now()) // the stay has its ACS user: no other is created in this slot
			}
			if out := r.ledger.saveUser(ctx, u); out.stops() {
				return out
			}
			return again()
		}
	default:
		return surplus // kept for a while after the stay
	}
	return firstOutcome(surplus, func() outcome { return r.forgetUser(ctx, u) })
}

// forgetUser deletes the row of an ACS user that is gone, and its identity if that was the reservation's own.
func (r *remover) forgetUser(ctx context.Context, u *record.User) outcome {
	forget, out := r.identities.removeOwn(ctx, u)
	if out.stops() {
		return out
	}
	r.removed.remember(u)
	id, key := u.ID, u.UserIdentityKey
	out = r.ledger.commit(ctx, func(ctx context.Context, tx pgx.Tx, _ bool) error {
		if err := store.DeleteACSUser(ctx, tx, id); err != nil || !forget {
			return err
		}
		return store.DeleteUserIdentity(ctx, tx, key)
	})
	if out.stops() {
		return out
	}
	r.users.drop(r.users.indexOf(u))
	return again()
}

// confirmDeleted stops the attempt until an ACS user that we deleted is gone from Seam: get and list agree on that. If
// Seam accepted the delete, once is enough, unless the user is so new that reads may not show it yet; otherwise they
// must agree twice, a lag apart.
func (r *remover) confirmDeleted(ctx context.Context, d plan.Desired, u *record.User) outcome {
	from, is, out := r.finder.look(ctx, u, "whether the ACS user is gone")
	certain := u.IsDeleteCertain()
	if !out.stops() && is == absent && from.ACSUserID == "" && certain {
		from, is, certain, out = r.searchDeleted(ctx, u)
	}
	if is == absent && from.ACSUserID != "" { // the list shows it as it is being deleted, which may yet be refused
		is = beingGone
	}
	switch {
	case out.stops():
		return out
	case is == absent:
		return r.deletedNotSeen(ctx, u, certain)
	default:
		return r.deletedSeen(ctx, d, u, from, is)
	}
}

// searchDeleted searches for an ACS user whose identity's list doesn't show it: it may have another identity, or
// none. certain is false if Seam has no answer, so that not seeing it must be repeated.
func (r *remover) searchDeleted(ctx context.Context, u *record.User) (
	from seam.ACSUser, is presence, certain bool, out outcome,
) {
	if r.belief.tooEarly(r.belief.userCountsFrom(u)) {
		return from, absent, true, outcome{} // it is asked again then
	}
	asking := r.ledger.because(ctx, "whether the ACS user is gone")
	list, err := r.seam.SearchACSUsers(asking, u.ACSSystemID, *u.ACSUserID)
	if seam.KindOf(err) == seam.NotFound {
		return from, absent, false, outcome{}
	}
	entry := entryOf(u, list)
	switch {
	case err != nil:
		return from, 0, true, fails(err)
	case entry == nil:
		return from, absent, true, outcome{}
	case isGone(*entry):
		return *entry, absent, true, outcome{}
	}
	return from, ambivalent, true, outcome{}
}

// deletedSeen handles an ACS user that we deleted and that get or list still shows.
func (r *remover) deletedSeen(ctx context.Context, d plan.Desired, u *record.User, from seam.ACSUser,
	is presence,
) outcome {
	if u.DeletedSeen(from.Reports(seam.NotDeleted)) {
		if out := r.ledger.saveUser(ctx, u); out.stops() {
			return out
		}
	}
	counts := r.belief.countsFrom(*u.DeletedAt)
	switch {
	case is == ambivalent && r.belief.tooEarly(counts):
		return wait(counts, "Seam still lists the deleted ACS user")
	case is == ambivalent:
		return contradicted(errContradiction)
	case is == beingGone && from.BeingDeleted():
		u.DeletedLeaving()
		return r.stillGoing(u)
	}
	if why := r.deletedInVain(from, u); why != "" && r.isToBeDeleted(d, u) {
		return notRemoved(why) // after a delay, it is deleted again
	}
	if r.belief.tooEarly(counts) {
		return wait(counts, "Seam still shows the deleted ACS user")
	}
	return r.stillThere(ctx, d, u)
}

// deletedNotSeen handles an ACS user that we deleted and that neither get nor list shows. It counts as gone at once if
// the delete is certain, and otherwise when that is repeated after the read lag.
func (r *remover) deletedNotSeen(ctx context.Context, u *record.User, certain bool) outcome {
	if until := r.belief.userCountsFrom(u); r.belief.tooEarly(until) {
		return wait(until, "A new ACS user may not show up at once")
	}
	if certain {
		return outcome{}
	}
	until := r.belief.countsFrom(u.DeletedNotSeen(r.now()))
	if !r.belief.tooEarly(until) {
		return outcome{}
	}
	return firstOutcome(r.ledger.saveUser(ctx, u), func() outcome {
		return wait(until,
			"It is uncertain whether the delete took effect: checking again whether the ACS user is gone")
	})
}

// deletedInVain is why a recent delete had no effect, as far as Seam shows it or its repetition does; "" otherwise.
func (r *remover) deletedInVain(from seam.ACSUser, u *record.User) string {
	if !r.now().Before(u.DeletedAt.Add(r.pacing.slowRetry())) {
		return ""
	}
	return inVain(from, int(u.DeletesInVain))
}

// inVain is why another delete of an ACS user that Seam still shows would have no effect either; "" if it may have.
// deletes is how many in a row had none.
func inVain(from seam.ACSUser, deletes int) string {
	switch {
	case from.Reports(seam.NotDeleted):
		return seam.NotDeleted
	case deletes >= record.MaxUnkept:
		return "it was deleted several times, and Seam still shows it"
	default:
		return ""
	}
}

// stillThere handles a delete that had no effect: the ACS user exists, and is deleted again if that is still desired.
// Such deletes are counted: after a few in a row a person is notified. Only if it is wanted back is it compared with
// Seam first: a delete must not depend on reads that may be refused.
func (r *remover) stillThere(ctx context.Context, d plan.Desired, u *record.User) outcome {
	unwanted := r.isToBeDeleted(d, u)
	u.StillThere()
	if u.AwaitsLateDelete() {
		r.ledger.noteLostCreate() // what a lost call does late is looked for at the same times
	}
	if unwanted {
		u.DeletedInVain()
		return firstOutcome(r.ledger.saveUser(ctx, u), again)
	}
	u.WantedBack()
	if out := r.checker.check(ctx, d, u); out.stops() {
		return out
	}
	return firstOutcome(r.ledger.saveUser(ctx, u), again)
}

// isToBeDeleted reports whether the plan deletes an ACS user that we deleted before, if it still exists.
func (r *remover) isToBeDeleted(d plan.Desired, u *record.User) bool {
	users, i := slices.Clone(r.users.rows), r.users.indexOf(u)
	users[i].StillThere()
	return slices.ContainsFunc(plan.Plan(d, users, r.work.Key.Revive), func(s plan.Step) bool {
		return s.Kind == plan.DeleteUser && s.User == i
	})
}

// stillGoing is the wait for a deletion that Seam has under way: it grows with time, until a person is notified.
func (r *remover) stillGoing(u *record.User) outcome {
	next, late := leaving(*u.DeletedAt, r.now())
	if late != "" {
		return notRemoved(late)
	}
	return wait(next, removing)
}

// removing is what is waited for while Seam has a deletion under way.
const removing = "Seam is removing the ACS user"

// leaving is when a deletion that Seam has under way is looked at next, and what a person should know if it takes too
// long, "" before that.
func leaving(deletedAt, now time.Time) (next time.Time, late string) {
	since := now.Sub(deletedAt)
	if since >= removedWithin {
		late = "Seam has been removing it since " + pms.FormatInstant(deletedAt)
	}
	return now.Add(min(max(since/4, deletePoll), askForProblems)), late
}
