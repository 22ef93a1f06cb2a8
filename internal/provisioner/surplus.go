package provisioner

import (
	"context"
	"slices"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/provisioner/plan"
	"github.com/staykey/staykey/internal/provisioner/record"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/store"
)

// ACS users that a lost create has left in addition to the stay's own open the same doors. Each is followed until Seam
// no longer has it, also if the stay ends, and one that can't be removed is reported.

// seeOffSurplus follows what was left in addition to the ACS user that serves the stay. That one's status doesn't wait
// for it, unless a person has to remove it.
func (a *attempt) seeOffSurplus(ctx context.Context, keep int) outcome {
	if keep < 0 {
		return outcome{}
	}
	out := a.followSurplus(ctx, &a.users[keep])
	if out.kind == waiting {
		a.surplusDue = &out.until
		return outcome{}
	}
	return out
}

// followSurplus stops the attempt until what was left in addition to an ACS user is gone from Seam.
func (a *attempt) followSurplus(ctx context.Context, u *record.User) outcome {
	var first outcome
	for _, s := range slices.Clone(u.Surplus) {
		switch out := a.followOne(ctx, u, s); {
		case out.kind != proceed && out.kind != waiting && out.kind != needsPerson:
			return out
		case out.stops() && (!first.stops() || out.kind == needsPerson):
			first = out
		}
	}
	return first
}

func (a *attempt) followOne(ctx context.Context, u *record.User, s store.SurplusUser) outcome {
	if s.DeletedAt == nil {
		if u.DeletedAt == nil {
			return outcome{} // the plan deletes it
		}
		return a.deleteSurplus(ctx, u, s)
	}
	if until := a.belief().countsFrom(*s.DeletedAt); a.tooEarly(until) {
		return wait(until, "Seam may still show the deleted ACS user")
	}
	one := record.User{ACSUser: store.ACSUser{
		ACSUserID: &s.ID, ACSSystemID: u.ACSSystemID, UserIdentityID: u.UserIdentityID,
	}}
	from, is, out := a.look(ctx, &one, "whether the second ACS user is gone")
	switch {
	case out.stops():
		return out
	case is == absent:
		return a.surplusNotSeen(ctx, u, s)
	case is == ambivalent:
		return contradicted(errContradiction)
	case from.BeingDeleted():
		since := a.now().Sub(*s.DeletedAt)
		if since >= removedWithin {
			return secondNotRemoved(s, "Seam has been removing it since "+pms.FormatInstant(*s.DeletedAt))
		}
		u.SurplusSeen(s.ID)
		next := a.now().Add(min(max(since/4, deletePoll), askForProblems))
		return firstOutcome(a.save(ctx, u), func() outcome { return wait(next, "Seam is removing the ACS user") })
	}
	return a.surplusStillThere(ctx, u, s, from)
}

// surplusNotSeen counts a second ACS user as gone when get and list agree on that twice, a grace apart.
func (a *attempt) surplusNotSeen(ctx context.Context, u *record.User, s store.SurplusUser) outcome {
	until := a.belief().countsFrom(u.SurplusNotSeen(s.ID, a.now()))
	if a.tooEarly(until) {
		return firstOutcome(a.save(ctx, u), func() outcome {
			return wait(until, "Checking again whether the second ACS user is gone")
		})
	}
	u.DropSurplus(s.ID)
	a.note("ACS user %s, which a lost create had left, is gone", s.ID)
	return a.save(ctx, u)
}

// surplusStillThere handles a delete that had no effect. It is repeated a few times at once, and then after a delay,
// while a person knows.
func (a *attempt) surplusStillThere(ctx context.Context, u *record.User, s store.SurplusUser,
	from seam.ACSUser,
) outcome {
	why := "it was deleted several times, and Seam still shows it"
	if from.Reports(plan.NotDeleted) {
		why = plan.NotDeleted
	}
	stuck := from.Reports(plan.NotDeleted) || s.Tries >= record.MaxUnkept
	if stuck && a.now().Before(s.DeletedAt.Add(a.slowRetry())) {
		u.SurplusSeen(s.ID)
		return firstOutcome(a.save(ctx, u), func() outcome { return secondNotRemoved(s, why) })
	}
	u.SurplusStillThere(s.ID)
	return a.deleteSurplus(ctx, u, s)
}

// deleteSurplus deletes a second ACS user. The call may be repeated without harm, so it needs no mark.
func (a *attempt) deleteSurplus(ctx context.Context, u *record.User, s store.SurplusUser) outcome {
	a.changes++
	started := a.now()
	err := a.seam.DeleteACSUser(a.because(ctx, plan.WhySurplus), s.ID)
	deleted := a.now()
	switch kind := seam.KindOf(err); {
	case kind == seam.Lost:
		deleted = a.belief().lostUntil(started, deleted)
	case err != nil && kind != seam.NotFound:
		return fails(err)
	}
	u.SurplusDeleted(s.ID, deleted)
	return firstOutcome(a.save(ctx, u), func() outcome {
		return wait(a.belief().countsFrom(deleted), "Seam may still show the deleted ACS user")
	})
}

func secondNotRemoved(s store.SurplusUser, why string) outcome {
	return notRemoved("ACS user " + s.ID + ", which a lost create left in addition: " + why)
}
