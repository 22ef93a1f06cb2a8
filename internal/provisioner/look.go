package provisioner

import (
	"context"
	"errors"
	"slices"

	"github.com/staykey/staykey/internal/provisioner/record"
	"github.com/staykey/staykey/internal/seam"
)

// Whether an ACS user exists at Seam. Everything that creates, changes or removes one asks here.

// presence is what Seam reports about whether an ACS user exists.
type presence int

const (
	present    presence = iota + 1
	beingGone           // Seam itself reports that it was deleted, or is being deleted
	absent              // neither get nor list shows it
	ambivalent          // get doesn't show it, and the list does
)

// errContradiction means that Seam's answers can't all be true.
var errContradiction = errors.New("an ACS user is in Seam's list, but asking for it alone doesn't find it")

// look asks Seam whether an ACS user exists. If a get doesn't find it, the list is asked, too: one wrong answer
// proves nothing.
func (a *attempt) look(ctx context.Context, u *record.User, reason string) (seam.ACSUser, presence, outcome) {
	ctx = a.because(ctx, reason)
	from, err := a.seam.ACSUser(ctx, *u.ACSUserID)
	return a.lookFurther(ctx, u, from, err)
}

// lookFurther judges the answer to a get of an ACS user.
func (a *attempt) lookFurther(ctx context.Context, u *record.User, from seam.ACSUser, err error) (seam.ACSUser,
	presence, outcome,
) {
	switch {
	case err == nil && isGone(from):
		return from, beingGone, outcome{}
	case err == nil:
		return from, present, outcome{}
	case seam.KindOf(err) != seam.NotFound:
		return from, 0, fails(err)
	}
	list, err := a.seam.ACSUsers(ctx, u.ACSSystemID, u.UserIdentityID)
	if err != nil && seam.KindOf(err) != seam.NotFound {
		return from, 0, fails(err)
	}
	listed := slices.ContainsFunc(list, func(l seam.ACSUser) bool { return l.ACSUserID == *u.ACSUserID && !isGone(l) })
	if !listed {
		return from, absent, outcome{}
	}
	switch from, err = a.seam.ACSUser(ctx, *u.ACSUserID); { // one wrong answer is soon corrected
	case err == nil && isGone(from):
		return from, beingGone, outcome{}
	case err == nil:
		return from, present, outcome{}
	case seam.KindOf(err) != seam.NotFound:
		return from, 0, fails(err)
	}
	return from, ambivalent, outcome{}
}

// unreadable is the outcome if something about an ACS user can't be read although Seam has just shown the user. A 404
// contradicts that.
func unreadable(err error) outcome {
	if seam.KindOf(err) == seam.NotFound {
		return contradicted(err)
	}
	return fails(err)
}

func isGone(u seam.ACSUser) bool { return u.BeingDeleted() || u.Reports("deleted_externally") }

// notSeen handles an ACS user that Seam doesn't show. It counts as deleted by somebody else when that is repeated
// after the grace, or when Seam says so.
func (a *attempt) notSeen(ctx context.Context, u *record.User, is presence) outcome {
	now := a.now()
	if until := a.belief().userCountsFrom(u); a.tooEarly(until) && is == absent {
		return wait(until, "A new ACS user may not show up at once")
	}
	if is == absent && u.Phase() != record.Removed {
		u.NotSeen(now)
		if until := a.belief().countsFrom(*u.MissingAt); a.tooEarly(until) {
			if out := a.saveUnlessPreview(ctx, u); out.stops() {
				return out
			}
			return wait(until, "Seam does not show the ACS user: asking a second time")
		}
	}
	if u.Phase() != record.Removed {
		a.note("ACS user %s has been deleted, not by us", *u.ACSUserID)
	}
	if is == absent {
		u.AgreedGone(now)
	} else {
		u.FoundGone(now)
	}
	return a.saveUnlessPreview(ctx, u)
}
