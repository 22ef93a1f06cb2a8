package provisioner

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/staykey/staykey/internal/provisioner/plan"
	"github.com/staykey/staykey/internal/provisioner/record"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/store"
)

// groupUnknown is Seam's error.type for an access group that doesn't exist.
const groupUnknown = "acs_access_group_not_found"

// changer changes an ACS user that exists: its hours, doors, link and keys. Each change is marked before it is sent,
// and its result recorded after it. The ACS user itself is deleted by the [remover].
type changer struct {
	seam       *seam.Client
	now        func() time.Time
	directory  *directory
	ledger     *ledger
	belief     belief
	observed   *observation
	identities *identities
	checker    *checker
	work       *store.Work // as it was loaded
}

// change makes a call that may be repeated without harm, but not forgotten: it is marked before it is sent, so that
// its effect is found if its answer is lost and something else is desired in the meantime.
func (c *changer) change(ctx context.Context, d plan.Desired, u *record.User, s plan.Step) outcome {
	started := c.now()
	u.ChangeSent(c.work.Key.Generation, started.Add(c.seam.Timeout()))
	switch s.Kind {
	case plan.SetSchedule:
		u.ScheduleSent(d.Starts, d.Ends)
	case plan.AddGroup, plan.RemoveGroup:
		u.GroupsChanging()
	}
	if out := c.ledger.saveMark(ctx, u); out.stops() {
		return out
	}
	c.ledger.changes++
	apply, err := c.send(c.ledger.because(ctx, s.Reason), d, u, s)
	switch {
	case err == nil:
		u.ChangeKnown(c.now())
		apply()
	case seam.KindOf(err) == seam.Lost:
		c.ledger.noteLostCreate() // it may still take effect, after later calls
		u.ChangeLost(c.belief.lostUntil(started, c.now()))
	default: // the effect of an earlier call is as unknown as before
		u.Refused()
		// a postponed repair doesn't count as one that Seam didn't keep
		if kind := seam.KindOf(err); kind == seam.RateLimited || kind == seam.NotSent {
			u.RepairPostponed(s.Part())
		}
	}
	if out := c.ledger.saveUser(ctx, u); out.stops() {
		return out
	}
	if seam.TypeOf(err) == groupUnknown && s.Kind == plan.AddGroup {
		c.directory.unknown(s.Body.(seam.GroupMembership).ACSAccessGroupID)
		return again()
	}
	if seam.KindOf(err) != seam.NotFound {
		return fails(err)
	}
	return c.objectNotFound(ctx, d, u, s, err)
}

// objectNotFound follows a 404 on a step that changes an existing ACS user, its keys or its link.
func (c *changer) objectNotFound(ctx context.Context, d plan.Desired, u *record.User, s plan.Step, err error) outcome {
	switch s.Kind {
	case plan.ReplaceKey, plan.DeleteKey:
		return c.keyNotFound(ctx, d, u, s.Body.(seam.CredentialID).ACSCredentialID, err)
	case plan.DeleteSurplusUser:
		u.SurplusDeleted(s.Body.(seam.UserID).ACSUserID, c.now()) // that proves nothing: it is looked for
		return firstOutcome(c.ledger.saveUser(ctx, u), again)
	case plan.LinkUser:
		if gone, out := c.identities.isGone(ctx, u); gone || out.stops() {
			return firstOutcome(out, func() outcome { return c.identities.renew(ctx, d, u) })
		}
	}
	return c.checker.afterNotFound(ctx, d, u, err)
}

// firstOutcome is out if that stops the attempt, and otherwise what next returns.
func firstOutcome(out outcome, next func() outcome) outcome {
	if out.stops() {
		return out
	}
	return next()
}

// send makes the call of a step. apply records its effect in the row.
func (c *changer) send(ctx context.Context, d plan.Desired, u *record.User, s plan.Step) (apply func(), err error) {
	switch body := s.Body.(type) {
	case seam.UpdateACSUser:
		return func() { u.ScheduleSet(d.Starts, d.Ends) }, c.seam.UpdateACSUser(ctx, body)
	case seam.GroupMembership:
		return c.sendGroup(ctx, u, s.Kind, body)
	case seam.LinkACSUser:
		return u.Linked, c.seam.LinkACSUser(ctx, body)
	case seam.CredentialID:
		return func() { u.KeyDeleted(body.ACSCredentialID) },
			c.seam.DeleteCredential(ctx, body.ACSCredentialID)
	case seam.UserID:
		if s.Kind == plan.Unsuspend {
			return func() { u.Unsuspended(c.work.Key.Generation) }, c.seam.UnsuspendACSUser(ctx, body.ACSUserID)
		}
		return func() { u.SurplusDeleted(body.ACSUserID, c.now()) }, c.seam.DeleteACSUser(ctx, body.ACSUserID)
	default:
		return nil, fmt.Errorf("step %d has no call", s.Kind)
	}
}

// rename restores an ACS user's name. Nothing depends on that: it is no part of the verdict whether Seam accepts it,
// and the next sweeps try again, a few times in all.
func (c *changer) rename(ctx context.Context, d plan.Desired, u *record.User, s plan.Step) outcome {
	if u.IsUnkept(record.Name) {
		u.RepairedFor(d.Generation)
	}
	if out := c.ledger.saveMark(ctx, u); out.stops() { // nothing is changed once the stay has been overtaken
		return out
	}
	c.checker.report(u, otherName, "repaired")
	c.ledger.changes++
	err := c.seam.RenameACSUser(c.ledger.because(ctx, s.Reason), s.Body.(seam.RenameACSUser))
	u.ReadName(false)
	if kind := seam.KindOf(err); kind != seam.RateLimited && kind != seam.NotSent {
		u.RenameSent()
	}
	if err != nil {
		c.ledger.note("ACS user %s could not be renamed: a sweep tries again, or leaves it", *u.ACSUserID)
	}
	return c.ledger.saveUser(ctx, u)
}

// sendGroup opens or closes a group's doors. After a refusal it looks at what Seam has; a group that is gone counts
// as closed.
func (c *changer) sendGroup(ctx context.Context, u *record.User, kind plan.Kind,
	in seam.GroupMembership,
) (apply func(), err error) {
	if kind == plan.RemoveGroup {
		err := c.seam.RemoveFromAccessGroup(ctx, in)
		if seam.TypeOf(err) == groupUnknown {
			err = nil
		}
		return func() { u.GroupRemoved(in.ACSAccessGroupID) }, err
	}

	err = c.seam.AddToAccessGroup(ctx, in)
	if seam.KindOf(err) == seam.Invalid {
		listed, lookup := c.seam.AccessGroups(c.ledger.because(ctx, "why Seam refused the access group"), in.ACSUserID)
		if lookup == nil && slices.Contains(groupIDs(listed), in.ACSAccessGroupID) {
			err = nil
		}
	}
	return func() { u.GroupAdded(in.ACSAccessGroupID) }, err
}

// keyNotFound follows a 404 on the delete of a mobile key, which proves nothing: the key counts as gone when neither
// get nor list shows it, as if somebody else had deleted it. Otherwise Seam contradicts itself.
func (c *changer) keyNotFound(ctx context.Context, d plan.Desired, u *record.User, id string, cause error) outcome {
	switch out := c.checker.checkKeys(c.ledger.because(ctx, "whether the mobile key is gone"), u); {
	case out.kind == unclear: // the keys of the ACS user are not found either
		return c.checker.afterNotFound(ctx, d, u, cause)
	case out.stops():
		return out
	}
	if slices.Contains(u.SurplusKeys, id) || u.CredentialID != nil && *u.CredentialID == id {
		return contradicted(cause)
	}
	c.observed.recheckAt(c.now().Add(c.belief.lag)) // one list may leave out a surplus key
	return firstOutcome(c.ledger.saveUser(ctx, u), again)
}
