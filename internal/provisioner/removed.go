package provisioner

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/provisioner/plan"
	"github.com/staykey/staykey/internal/provisioner/record"
	"github.com/staykey/staykey/internal/seam"
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
// gets another ACS user, and when a sweep finds the id in a list. The old key may open its doors again, so only a hold
// delays this.

// removed follows the removed ACS users of a stay that Seam shows again. It knows only ids: whatever such an ACS user
// is, it was the stay's, and is wanted no longer.
type removed struct {
	seam   *seam.Client
	now    func() time.Time
	ledger *ledger
	belief belief
	pacing *pacing
	work   *store.Work // as it was loaded

	users  []store.RemovedUser // with those that this attempt has removed
	looked bool                // by this attempt
	asked  map[string]bool     // the ids that this attempt has asked for
	out    outcome             // what is left to wait for, or for a person to do
	due    earliest            // when to look again
}

// remember keeps the id of an ACS user whose row is about to be deleted, with the same commit.
func (r *removed) remember(u *record.User) {
	if u.ACSUserID == nil {
		return
	}
	gone := store.RemovedUser{
		ACSUserID: *u.ACSUserID, ACSSystemID: u.ACSSystemID, RemovedAt: r.now(), EndsAt: u.EndsAt,
	}
	r.users = append(r.users, gone)
	r.ledger.keepRemoved(gone)
}

// look asks Seam for the removed ACS users that are due, once in an attempt, and deletes those that it shows again.
// needsUserOn is the access system on which the stay is about to get an ACS user, "" for none: what is back there is
// left to the look-up before the create, which adopts it, and to [removed.makeWay]; what was just deleted there is
// waited for, so that it is not adopted. Otherwise it stops the attempt only for what stops everything else, too; what
// remains is for [removed.end].
func (r *removed) look(ctx context.Context, d plan.Desired, needsUserOn string) outcome {
	if r.looked {
		return outcome{}
	}
	r.looked = true
	for i := range r.users {
		u := &r.users[i]
		isNeeded := u.ACSSystemID == needsUserOn
		if !r.isDue(*u) {
			continue
		}
		if isNeeded && u.Deletes == 0 {
			r.due.at(r.now().Add(r.pacing.slowRetry()))
			continue
		}
		out, err := r.follow(ctx, u)
		if err != nil { // whether it is there is no reason for anything else of the stay to wait
			if out = fails(err); !out.isLocal() {
				return out
			}
			r.lookAgain(out)
			continue
		}
		switch {
		case !out.stops():
			continue
		case !out.isLocal(), isNeeded && out.kind == waiting && r.pacing.canWait(d, *u.DeletedAt, u.Deletes > 1):
			return out
		}
		r.keepOutcome(out)
	}
	return outcome{}
}

// lookAgain has an ACS user that is back followed, whatever else the attempt ends with.
func (r *removed) lookAgain(out outcome) {
	if out.kind == waiting {
		r.due.at(out.until)
		return
	}
	r.due.at(r.now().Add(r.pacing.slowRetry()))
}

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

// makeWay deletes what is back on the access system where the stay is about to get another ACS user, so that it never
// has two. What the look-up before the create would adopt is not back any more. The create doesn't wait for a delete
// that is somebody else's, that Seam refuses, or that takes longer than the guest can wait, nor, in the last hour
// before check-in, for answers that don't come. asked reports whether Seam was asked for anything: what was marked
// before that must be marked again.
func (r *removed) makeWay(ctx context.Context, d plan.Desired, acsSystemID string) (asked bool, out outcome) {
	var waits outcome
	for i := range r.users {
		u := &r.users[i]
		if u.ACSSystemID != acsSystemID || r.asked[u.ACSUserID] {
			continue
		}
		asked = true
		out, err := r.follow(ctx, u)
		if err != nil {
			out = fails(err)
		}
		switch {
		case !out.stops():
			continue
		case !out.isLocal():
			return asked, out
		case out.kind == waiting && u.Deletes > 0 && r.pacing.canWait(d, *u.DeletedAt, u.Deletes > 1):
			waits = out // and the others are deleted meanwhile
			continue
		case r.now().Before(urgentFrom(d)) && (out.kind == failed || out.kind == unclear): // it may still be there
			return asked, out
		case err != nil:
			r.lookAgain(out)
		default:
			r.keepOutcome(out)
		}
	}
	return asked, waits
}

// keepOutcome keeps what is left to do for the end of the attempt.
func (r *removed) keepOutcome(out outcome) {
	if !r.out.stops() || r.out.kind == waiting {
		r.out = out
	}
	r.lookAgain(out)
}

// follow asks Seam for one ACS user, and deletes it if it is back. The error is that of asking.
func (r *removed) follow(ctx context.Context, u *store.RemovedUser) (outcome, error) {
	if u.DeletedAt != nil {
		if until := r.belief.countsFrom(*u.DeletedAt); r.belief.tooEarly(until) {
			r.asked[u.ACSUserID] = true
			return wait(until, "Seam may still show the deleted ACS user"), nil
		}
	}
	from, err := r.seam.ACSUser(r.ledger.because(ctx, "whether a removed ACS user is back"), u.ACSUserID)
	r.asked[u.ACSUserID] = err == nil || isRefusal(err)
	switch {
	case seam.KindOf(err) == seam.NotFound:
		return r.notFound(ctx, u)
	case err != nil:
		return outcome{}, err
	}
	return r.isShown(ctx, u, from), nil
}

// isShown handles one that Seam shows.
func (r *removed) isShown(ctx context.Context, u *store.RemovedUser, from seam.ACSUser) outcome {
	if u.MissingAt != nil {
		u.MissingAt = nil
		r.ledger.keepRemoved(*u)
	}
	switch {
	case from.BeingDeleted():
		return r.isLeaving(u)
	case isGone(from):
		r.isGone(u)
		return outcome{}
	}
	return r.isBack(ctx, u, from)
}

// notFound handles one that a get doesn't find. That counts when it is repeated after the read lag, unless a later look
// follows anyway. If there is reason to doubt it, because it was back, or a comparison was requested, a search for the
// id must agree. Only one that was back is waited for.
func (r *removed) notFound(ctx context.Context, u *store.RemovedUser) (outcome, error) {
	if u.DeletedAt != nil || r.work.Key.CheckRequested {
		listed, err := r.search(ctx, u)
		if err != nil {
			return outcome{}, err
		}
		if listed != nil {
			return r.isShown(ctx, u, *listed), nil
		}
	}
	now, after := r.now(), *u
	after.LookedAt = &now
	if u.DeletedAt == nil && nextLookAt(after) != nil {
		r.isGone(u)
		return outcome{}, nil
	}
	if u.MissingAt == nil {
		u.MissingAt = &now
		r.ledger.keepRemoved(*u)
	}
	until := r.belief.countsFrom(*u.MissingAt)
	switch {
	case !r.belief.tooEarly(until):
		r.isGone(u)
	case u.DeletedAt != nil:
		return wait(until, "Seam does not show the ACS user: asking a second time"), nil
	default:
		r.due.at(until)
	}
	return outcome{}, nil
}

// search searches for an ACS user that a get doesn't find; nil if Seam doesn't list it, either.
func (r *removed) search(ctx context.Context, u *store.RemovedUser) (*seam.ACSUser, error) {
	list, err := r.seam.SearchACSUsers(r.ledger.because(ctx, "whether a removed ACS user is back"), u.ACSSystemID,
		u.ACSUserID)
	for i := range list {
		if list[i].ACSUserID == u.ACSUserID {
			return &list[i], err
		}
	}
	return nil, err
}

// isGone records that Seam doesn't show it. If it was back, the looks that follow a removal begin again.
func (r *removed) isGone(u *store.RemovedUser) {
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

// isLeaving handles one that Seam is removing. That may yet be refused, or never end.
func (r *removed) isLeaving(u *store.RemovedUser) outcome {
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

// isBack deletes an ACS user that Seam shows again. If that has no effect, it is repeated after a delay, while a person
// knows.
func (r *removed) isBack(ctx context.Context, u *store.RemovedUser, from seam.ACSUser) outcome {
	if u.Deletes > 0 && r.now().Before(u.DeletedAt.Add(r.pacing.slowRetry())) {
		if why := inVain(from, int(u.Deletes)); why != "" {
			return comesBack(*u, why)
		}
	}
	return r.deleteAgain(ctx, u)
}

// deleteAgain deletes it, marked before: another worker, or a hold, may have the stay since.
func (r *removed) deleteAgain(ctx context.Context, u *store.RemovedUser) outcome {
	started, before := r.now(), *u
	u.DeletedAt, u.Deletes = &started, u.Deletes+1
	mayDelete := false
	out := r.ledger.mark(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
		mayDelete, err = store.MarkRemovedUser(ctx, tx, r.ledger.lease.Ref, *u)
		return err
	})
	if out.stops() || !mayDelete {
		return out
	}
	r.ledger.note("ACS user %s, which was removed, is back at Seam", u.ACSUserID)
	err := r.seam.DeleteACSUser(r.ledger.because(ctx, "a removed ACS user is back"), u.ACSUserID)
	deleted := r.now()
	switch kind := seam.KindOf(err); {
	case kind == seam.Lost:
		deleted = r.belief.lostUntil(started, deleted)
	case err != nil && kind != seam.NotFound: // nothing happened
		*u = before
		r.ledger.keepRemoved(*u)
		if isRefusal(err) {
			return comesBack(*u, "Seam refuses to delete it")
		}
		return fails(err)
	}
	r.ledger.changes++
	u.DeletedAt = &deleted
	r.ledger.keepRemoved(*u)
	return wait(r.belief.countsFrom(deleted), "An ACS user that was removed is back at Seam: it is deleted again")
}

func comesBack(u store.RemovedUser, why string) outcome {
	return notRemoved("ACS user " + u.ACSUserID + ", which was removed before, is back: " + why)
}
