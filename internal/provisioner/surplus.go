package provisioner

import (
	"context"
	"slices"
	"time"

	"github.com/staykey/staykey/internal/provisioner/plan"
	"github.com/staykey/staykey/internal/provisioner/record"
	"github.com/staykey/staykey/internal/seam"
)

// ACS users that a lost create has left in addition to the stay's own open the same doors. Each is followed until Seam
// no longer has it, also if the stay ends, and one that can't be removed is reported.

// surplus follows the second ACS users of a stay to their end at Seam. It doesn't find them: the [checker] and the
// [observer] do.
type surplus struct {
	seam    *seam.Client
	now     func() time.Time
	ledger  *ledger
	belief  belief
	users   *users
	finder  *finder
	pacing  *pacing
	removed *removed

	due *time.Time // when one next to the ACS user that serves the stay is looked at next
}

// finishRemoval follows what was left in addition to the ACS user that serves the stay. That one's status doesn't wait
// for it, unless a person has to remove it.
func (s *surplus) finishRemoval(ctx context.Context, keep int) outcome {
	if keep < 0 {
		return outcome{}
	}
	out := s.follow(ctx, &s.users.rows[keep])
	if out.kind == waiting {
		s.due = &out.until
		return outcome{}
	}
	return out
}

// follow stops the attempt until what was left in addition to an ACS user is gone from Seam.
func (s *surplus) follow(ctx context.Context, u *record.User) outcome {
	var first outcome
	for _, second := range slices.Clone(u.Surplus) {
		switch out := s.followOne(ctx, u, second); {
		case out.kind != proceed && out.kind != waiting && out.kind != needsPerson:
			return out
		case out.stops() && (!first.stops() || out.kind == needsPerson):
			first = out
		}
	}
	return first
}

// followOne stops the attempt until one second ACS user is gone from Seam. One that is still there is deleted again.
func (s *surplus) followOne(ctx context.Context, u *record.User, second record.SurplusUser) outcome {
	if second.DeletedAt == nil {
		if u.DeletedAt == nil {
			return outcome{} // the plan deletes it
		}
		return s.remove(ctx, u, second)
	}
	if until := s.belief.countsFrom(*second.DeletedAt); s.belief.tooEarly(until) {
		return wait(until, "Seam may still show the deleted ACS user")
	}
	one := u.Other(second.ID)
	from, is, out := s.finder.look(ctx, &one, "whether the second ACS user is gone")
	switch {
	case out.stops():
		return out
	case is == absent:
		return s.notSeen(ctx, u, second)
	case is == ambivalent:
		return contradicted(errContradiction)
	case from.BeingDeleted():
		next, late := leaving(*second.DeletedAt, s.now())
		if late != "" {
			return secondNotRemoved(second, late)
		}
		u.SurplusSeen(second.ID)
		return firstOutcome(s.ledger.saveUser(ctx, u), func() outcome { return wait(next, removing) })
	}
	return s.stillThere(ctx, u, second, from)
}

// notSeen counts a second ACS user as gone when get and list agree on that twice, a read lag apart.
func (s *surplus) notSeen(ctx context.Context, u *record.User, second record.SurplusUser) outcome {
	until := s.belief.countsFrom(u.SurplusNotSeen(second.ID, s.now()))
	if s.belief.tooEarly(until) {
		return firstOutcome(s.ledger.saveUser(ctx, u), func() outcome {
			return wait(until, "Checking again whether the second ACS user is gone")
		})
	}
	u.DropSurplus(second.ID)
	s.removed.rememberOne(second.ID, u)
	s.ledger.note("ACS user %s, which a lost create had left, is gone", second.ID)
	return s.ledger.saveUser(ctx, u)
}

// stillThere handles a delete that had no effect. It is repeated a few times at once, and then after a delay,
// while a person knows.
func (s *surplus) stillThere(ctx context.Context, u *record.User, second record.SurplusUser,
	from seam.ACSUser,
) outcome {
	why := inVain(from, second.Tries)
	stuck := why != ""
	if stuck && s.now().Before(second.DeletedAt.Add(s.pacing.slowRetry())) {
		u.SurplusSeen(second.ID)
		return firstOutcome(s.ledger.saveUser(ctx, u), func() outcome { return secondNotRemoved(second, why) })
	}
	out := s.remove(ctx, u, second)
	if stuck && out.kind == waiting { // nothing is better until this delete has an effect
		s.due = &out.until
		return secondNotRemoved(second, why)
	}
	return out
}

// remove deletes a second ACS user. It is marked first: an admin may hold the stay since, or another worker have it.
func (s *surplus) remove(ctx context.Context, u *record.User, second record.SurplusUser) outcome {
	started := s.now()
	u.SurplusDeleteSent(second.ID, started)
	if out := s.ledger.saveMark(ctx, u); out.stops() {
		return out
	}
	s.ledger.changes++
	err := s.seam.DeleteACSUser(s.ledger.because(ctx, plan.WhySurplus), second.ID)
	deleted := s.now()
	switch kind := seam.KindOf(err); {
	case kind == seam.Lost:
		deleted = s.belief.lostUntil(started, deleted)
	case err != nil && kind != seam.NotFound:
		u.Refused()
		return firstOutcome(s.ledger.saveUser(ctx, u), func() outcome { return fails(err) })
	}
	u.SurplusDeleted(second.ID, deleted)
	return firstOutcome(s.ledger.saveUser(ctx, u), func() outcome {
		return wait(s.belief.countsFrom(deleted), "Seam may still show the deleted ACS user")
	})
}

func secondNotRemoved(second record.SurplusUser, why string) outcome {
	return notRemoved("ACS user " + second.ID + ", which a lost create left in addition: " + why)
}
