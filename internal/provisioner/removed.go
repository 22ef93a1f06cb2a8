package provisioner

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/provisioner/plan"
	"github.com/staykey/staykey/internal/provisioner/record"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// What was removed may come back. Seam accepts a delete and stops showing the ACS user, and then Salto KS refuses it
// (failed_to_delete_on_acs_system), or get, list and search have agreed wrongly that it is gone. Its row in acs_users
// ends when it is gone, as that row occupies the guest's slot; its id is kept until its access would have ended:
//
//	removed ── Seam shows it ──▶ deleted again ── Seam doesn't show it ──▶ removed
//	                                   └── still there ──▶ deleted again; after a few times a person is notified
//
// One that Seam shows with a delete under way is waited for like one that was deleted again.
//
// Seam is asked for each id one and ten minutes after the removal, whenever the stay is compared with Seam, before it
// gets another ACS user, and when a sweep finds the id in a list. An id about which Seam gives no answer stays due. The
// old key may open its doors again, so only a hold delays this.
//
// Whatever Seam is asked for, each one is followed in the same way, with one of these outcomes:
//
//	proceed             Seam doesn't show it
//	waiting             its delete is under way, ours or somebody else's; or it is back, and only a look is allowed
//	needsPerson         it is back, and can't be removed
//	refused or failed   nobody knows: Seam gave no answer about it, or its delete was not sent

// removed follows the removed ACS users of a stay that Seam shows again. It knows only ids: whatever such an ACS user
// is, it was the stay's, and is wanted no longer.
type removed struct {
	seam     *seam.Client
	now      func() time.Time
	ledger   *ledger
	belief   belief
	pacing   *pacing
	work     *store.Work // as it was loaded
	lookOnly bool        // nothing may be deleted: an admin holds the stay, or the attempt only plans

	users   []store.RemovedUser // with those that this attempt has removed
	looked  bool                // by this attempt
	asked   int                 // how often this attempt has asked Seam for one
	found   map[string]outcome  // what is known about those that this attempt has asked for, by their ids
	planned []stay.PlannedCall  // the deletes of those that are back, if lookOnly
	out     outcome             // what is left to wait for, or for a person to do
	due     earliest            // when to look again
}

// remember keeps the id of an ACS user whose row is about to be deleted, with the same commit.
func (r *removed) remember(u *record.User) {
	if u.ACSUserID == nil {
		return
	}
	r.rememberOne(*u.ACSUserID, u)
}

// rememberOne keeps the id of an ACS user that is gone: the one of a row, or another that its creates have left.
func (r *removed) rememberOne(id string, u *record.User) {
	gone := store.RemovedUser{ACSUserID: id, ACSSystemID: u.ACSSystemID, RemovedAt: r.now(), EndsAt: u.EndsAt}
	r.users = append(r.users, gone)
	r.ledger.keepRemoved(gone)
}

// look asks Seam for the removed ACS users that are due, once in an attempt, and deletes those that it shows again.
// needsUserOn is the access system on which the stay is about to get an ACS user, "" for none: what is back there is
// left to the look-up before the create, which adopts it, and to [removed.makeRoom]; what was deleted again there is
// waited for, so that it is not adopted.
func (r *removed) look(ctx context.Context, d plan.Desired, needsUserOn string) outcome {
	if r.looked {
		return outcome{}
	}
	r.looked = true
	return r.followEach(ctx, d, needsUserOn, func(u store.RemovedUser) bool {
		switch {
		case !r.isDue(u):
			return false
		case u.ACSSystemID == needsUserOn && u.Deletes == 0:
			r.due.at(r.now().Add(r.pacing.slowRetry()))
			return false
		default:
			return true
		}
	})
}

// lookElsewhere is look while Seam can't reach the access system that the stay is on: what is back on others is
// deleted, and a person is notified if that fails.
func (r *removed) lookElsewhere(ctx context.Context, d plan.Desired, acsSystemID string) outcome {
	out := r.followEach(ctx, d, "", func(u store.RemovedUser) bool {
		return u.ACSSystemID != acsSystemID && r.isDue(u)
	})
	return firstOutcome(out, func() outcome { return r.end(d.Goal) })
}

// makeRoom deletes what is back on the access system where the stay is about to get another ACS user, so that it never
// has two. What the look-up before the create would adopt is not back any more. asked reports whether Seam was asked
// for anything: what was marked before that must be marked again.
func (r *removed) makeRoom(ctx context.Context, d plan.Desired, acsSystemID string) (asked bool, out outcome) {
	before := r.asked
	out = r.followEach(ctx, d, acsSystemID, func(u store.RemovedUser) bool { return u.ACSSystemID == acsSystemID })
	return r.asked > before, out
}

// followEach follows the removed ACS users that which selects. It stops the attempt for what stops everything else,
// too, and while a new ACS user on the access system newOn, "" for none, has to wait for one of them. What else remains
// is for [removed.end].
func (r *removed) followEach(ctx context.Context, d plan.Desired, newOn string,
	which func(store.RemovedUser) bool,
) outcome {
	var first outcome
	for i := range r.users {
		u := &r.users[i]
		if !which(*u) {
			continue
		}
		isNeeded := u.ACSSystemID == newOn
		out, isKnown := r.found[u.ACSUserID]
		if !isKnown {
			out = r.follow(ctx, d, u, isNeeded)
		}
		switch {
		case !out.stops():
		case !out.isLocal():
			return out
		case !isNeeded || !r.isInTheWay(d, *u, out):
			r.keepOutcome(out)
		case !first.stops() || first.kind == waiting: // and the others are deleted meanwhile
			first = out
		}
	}
	return first
}

// isInTheWay reports whether a new ACS user has to wait for a removed one on its access system. It doesn't wait for a
// delete that is somebody else's, that Seam refuses, or that takes longer than the guest can wait, nor, in the last
// hour before check-in, for answers that don't come.
func (r *removed) isInTheWay(d plan.Desired, u store.RemovedUser, out outcome) bool {
	switch out.kind {
	case waiting:
		return u.Deletes > 0 && r.pacing.canWait(d, *u.DeletedAt, u.Deletes > 1)
	case needsPerson:
		return false
	default: // it may still be there
		return r.now().Before(urgentFrom(d))
	}
}

// keepOutcome keeps what is left to do for the end of the attempt, and has it followed whatever else that ends with.
func (r *removed) keepOutcome(out outcome) {
	if !r.out.stops() || r.out.kind == waiting || out.kind == needsPerson {
		r.out = out
	}
	if out.kind == waiting {
		r.due.at(out.until)
		return
	}
	r.due.at(r.now().Add(r.pacing.slowRetry()))
}

// isBack reports whether Seam shows a removed ACS user, as far as this attempt has asked.
func (r *removed) isBack() bool { return r.out.kind == waiting || r.out.kind == needsPerson }

// end stops the attempt while a removed ACS user is there again. The status of a stay that should have a key doesn't
// wait for that, unless a person has to remove it.
func (r *removed) end(goal plan.Goal) outcome {
	if goal == plan.Have && r.out.kind != needsPerson {
		return outcome{}
	}
	return r.out
}

// nextLook is when the stay's removed ACS users are looked for again; nil for never.
func (r *removed) nextLook() *time.Time {
	next := r.due
	for _, u := range r.users {
		if at := nextLookAt(u); at != nil && at.After(r.now()) {
			next.at(*at)
		}
	}
	return next.time
}

// nextLookAt is when a removed ACS user is looked for again, without anybody asking; nil for never. One whose access
// had ended opens nothing: the sweeps are enough.
func nextLookAt(u store.RemovedUser) *time.Time {
	if u.EndsAt != nil && !u.EndsAt.After(u.RemovedAt) {
		return nil
	}
	return nextLookup(&u.RemovedAt, u.LookedAt)
}

func (r *removed) isDue(u store.RemovedUser) bool {
	if r.work.Key.CheckRequested || u.DeletedAt != nil || u.MissingAt != nil {
		return true
	}
	at := nextLookAt(u)
	return at != nil && !at.After(r.now())
}

// follow asks Seam for one ACS user, and deletes it if it is back. isNeeded: the stay gets another one on the same
// access system next.
func (r *removed) follow(ctx context.Context, d plan.Desired, u *store.RemovedUser, isNeeded bool) outcome {
	if u.DeletedAt != nil {
		if until := r.belief.countsFrom(*u.DeletedAt); r.belief.tooEarly(until) {
			return r.know(u, wait(until, "Seam may still show the deleted ACS user"))
		}
	}
	r.asked++
	isInDoubt := isNeeded || u.DeletedAt != nil || r.work.Key.CheckRequested
	mayAskTwice := !isNeeded || r.now().Before(urgentFrom(d))
	from, err := r.ask(ctx, u, isInDoubt, mayAskTwice)
	switch {
	case err != nil:
		return r.unanswered(u, err)
	case from != nil:
		return r.know(u, r.handleShown(ctx, u, *from))
	case isInDoubt:
		return r.know(u, r.handleMissing(u))
	default:
		return r.handleMissing(u)
	}
}

// know remembers what this attempt has found out about an ACS user, unless that is nothing.
func (r *removed) know(u *store.RemovedUser, out outcome) outcome {
	if !out.stops() || out.kind == waiting || out.kind == needsPerson {
		r.found[u.ACSUserID] = out
	}
	return out
}

// ask asks Seam for one ACS user, and returns nil if Seam doesn't know it. If that is in doubt, a search for its id
// must agree. A search is also made if a get gives no answer and mayAskTwice: that something is deleted must not depend
// on a read that may be refused. One that the search doesn't show may exist all the same.
func (r *removed) ask(ctx context.Context, u *store.RemovedUser, isInDoubt, mayAskTwice bool) (*seam.ACSUser, error) {
	asking := r.ledger.because(ctx, "whether a removed ACS user is back")
	from, err := r.seam.ACSUser(asking, u.ACSUserID)
	isMissing := seam.KindOf(err) == seam.NotFound
	switch {
	case err == nil:
		return &from, nil
	case isMissing && !isInDoubt:
		return nil, nil
	case !isMissing && (!mayAskTwice || !fails(err).isLocal()):
		return nil, err
	}

	list, unlisted := r.seam.SearchACSUsers(asking, u.ACSSystemID, u.ACSUserID)
	for i := range list {
		if list[i].ACSUserID == u.ACSUserID {
			return &list[i], nil
		}
	}
	if isMissing {
		return nil, unlisted
	}
	return nil, err
}

// unanswered handles one about which Seam gives no answer, or whose delete was not sent: it stays due.
func (r *removed) unanswered(u *store.RemovedUser, err error) outcome {
	r.stayDue(u)
	return fails(err)
}

// stayDue has an ACS user looked for again, although a requested look, or one that was due, has been made.
func (r *removed) stayDue(u *store.RemovedUser) {
	u.LookedAt = nil
	r.ledger.keepRemoved(*u)
}

// handleShown handles one that Seam shows.
func (r *removed) handleShown(ctx context.Context, u *store.RemovedUser, from seam.ACSUser) outcome {
	if u.MissingAt != nil {
		u.MissingAt = nil
		r.ledger.keepRemoved(*u)
	}
	switch {
	case from.BeingDeleted():
		return r.waitUntilGone(u)
	case isGone(from):
		r.recordGone(u)
		return outcome{}
	case r.lookOnly:
		return r.leaveAlone(u)
	}
	return r.deleteUnlessInVain(ctx, u, from)
}

// handleMissing handles one that Seam doesn't find. That counts when it is repeated after the read lag, unless a later
// look follows anyway. Only one that was back is waited for.
func (r *removed) handleMissing(u *store.RemovedUser) outcome {
	now, after := r.now(), *u
	after.LookedAt = &now
	if u.DeletedAt == nil && nextLookAt(after) != nil {
		r.recordGone(u)
		return outcome{}
	}
	if u.MissingAt == nil {
		u.MissingAt = &now
		r.ledger.keepRemoved(*u)
	}
	until := r.belief.countsFrom(*u.MissingAt)
	switch {
	case !r.belief.tooEarly(until):
		r.recordGone(u)
	case u.DeletedAt != nil:
		return wait(until, "Seam does not show the ACS user: asking a second time")
	default:
		r.due.at(until)
	}
	return outcome{}
}

// recordGone records that Seam doesn't show it. If it was back, the looks that follow a removal begin again.
func (r *removed) recordGone(u *store.RemovedUser) {
	now := r.now()
	if u.DeletedAt == nil {
		u.LookedAt = &now
	} else {
		if u.Deletes > 0 {
			r.ledger.note("removed ACS user %s is gone again", u.ACSUserID)
		}
		u.RemovedAt, u.LookedAt, u.DeletedAt, u.Deletes = now, nil, nil, 0
	}
	u.MissingAt = nil
	r.ledger.keepRemoved(*u)
}

// waitUntilGone handles one that Seam is removing. That may yet be refused, or never end.
func (r *removed) waitUntilGone(u *store.RemovedUser) outcome {
	if u.DeletedAt == nil {
		now := r.now()
		u.DeletedAt = &now
		r.ledger.keepRemoved(*u)
	}
	next, late := leaving(*u.DeletedAt, r.now())
	if late != "" {
		return comesBack(*u, late)
	}
	return wait(next, removing)
}

// leaveAlone handles one that is back and may only be looked at: it is due when it may be deleted.
func (r *removed) leaveAlone(u *store.RemovedUser) outcome {
	r.stayDue(u)
	r.planned = append(r.planned, stay.PlannedCall{
		Path: seam.PathUserDelete, Body: seam.UserID{ACSUserID: u.ACSUserID}, Reason: whyDeletedAgain,
	})
	return wait(r.now().Add(repairAgain), "An ACS user that was removed is back at Seam")
}

// deleteUnlessInVain deletes an ACS user that Seam shows again. If that has no effect, it is repeated after a delay,
// while a person knows.
func (r *removed) deleteUnlessInVain(ctx context.Context, u *store.RemovedUser, from seam.ACSUser) outcome {
	if u.Deletes > 0 && r.now().Before(u.DeletedAt.Add(r.pacing.slowRetry())) {
		if why := inVain(from, int(u.Deletes)); why != "" {
			return comesBack(*u, why)
		}
	}
	return r.deleteAgain(ctx, u)
}

// whyDeletedAgain is the reason of a delete of an ACS user that was removed before.
const whyDeletedAgain = "a removed ACS user is back"

// deleteAgain deletes it, marked before: another worker, or a hold, may have the stay since.
func (r *removed) deleteAgain(ctx context.Context, u *store.RemovedUser) outcome {
	started, before := r.now(), *u
	u.DeletedAt, u.Deletes = &started, u.Deletes+1
	mayDelete := false
	out := r.ledger.mark(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
		mayDelete, err = store.MarkRemovedUser(ctx, tx, r.ledger.lease.Ref, *u)
		return err
	})
	if out.stops() { // nothing was sent
		*u = before
		r.stayDue(u)
		return out
	}
	if !mayDelete {
		return outcome{}
	}
	r.ledger.note("ACS user %s, which was removed, is back at Seam", u.ACSUserID)
	err := r.seam.DeleteACSUser(r.ledger.because(ctx, whyDeletedAgain), u.ACSUserID)
	deleted := r.now()
	switch kind := seam.KindOf(err); {
	case kind == seam.Lost:
		deleted = r.belief.lostUntil(started, deleted)
	case err != nil && kind != seam.NotFound: // nothing happened
		*u = before
		if isRefusal(err) {
			r.ledger.keepRemoved(*u)
			return comesBack(*u, "Seam refuses to delete it")
		}
		return r.unanswered(u, err)
	}
	r.ledger.changes++
	u.DeletedAt = &deleted
	r.ledger.keepRemoved(*u)
	return wait(r.belief.countsFrom(deleted), "An ACS user that was removed is back at Seam: it is deleted again")
}

func comesBack(u store.RemovedUser, why string) outcome {
	return notRemoved("ACS user " + u.ACSUserID + ", which was removed before, is back: " + why)
}
