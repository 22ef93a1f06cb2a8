package provisioner

import (
	"context"
	"fmt"
	"slices"

	"github.com/staykey/staykey/internal/provisioner/plan"
	"github.com/staykey/staykey/internal/provisioner/record"
	"github.com/staykey/staykey/internal/seam"
)

// groupUnknown is Seam's error.type for an access group that doesn't exist.
const groupUnknown = "acs_access_group_not_found"

// change makes a call that may be repeated without harm, but not forgotten: it is marked before it is sent, so that
// its effect is found if its answer is lost and something else is desired in the meantime.
func (a *attempt) change(ctx context.Context, d plan.Desired, u *record.User, s plan.Step) outcome {
	started := a.now()
	u.ChangeSent(a.work.Key.Generation, started.Add(a.seam.Timeout()))
	switch s.Kind {
	case plan.SetSchedule:
		u.ScheduleSent(d.Starts, d.Ends)
	case plan.AddGroup, plan.RemoveGroup:
		u.DoorsChanging()
	}
	if out := a.saveMark(ctx, u); out.stops() {
		return out
	}
	a.changes++
	apply, err := a.send(a.because(ctx, s.Reason), d, u, s)
	switch {
	case err == nil:
		u.ChangeKnown(a.now())
		apply()
	case seam.KindOf(err) == seam.Lost:
		a.noteLostCreate() // it may still take effect, after later calls
		u.ChangeLost(a.belief().lostUntil(started, a.now()))
	default: // nothing happened; the effect of an earlier call is as unknown as before
		u.Refused()
		// a postponed repair doesn't count as one that Seam didn't keep
		if kind := seam.KindOf(err); kind == seam.RateLimited || kind == seam.NotSent {
			u.Unkept = max(u.Unkept-1, 0)
		}
	}
	if out := a.save(ctx, u); out.stops() {
		return out
	}
	if seam.TypeOf(err) == groupUnknown && s.Kind == plan.AddGroup {
		a.directory.unknown(s.Body.(seam.GroupMembership).ACSAccessGroupID)
		return again()
	}
	if seam.KindOf(err) != seam.NotFound {
		return fails(err)
	}
	return a.objectNotFound(ctx, d, u, s, err)
}

// objectNotFound follows a 404 on a step that changes an existing ACS user, its keys or its link.
func (a *attempt) objectNotFound(ctx context.Context, d plan.Desired, u *record.User, s plan.Step, err error) outcome {
	switch s.Kind {
	case plan.ReplaceKey, plan.DeleteKey:
		return a.keyNotFound(ctx, d, u, s.Body.(seam.CredentialID).ACSCredentialID, err)
	case plan.DeleteSurplusUser:
		u.SurplusDeleted(s.Body.(seam.UserID).ACSUserID, a.now()) // that proves nothing: it is looked for
		return firstOutcome(a.save(ctx, u), again)
	case plan.LinkUser:
		if gone, _, out := a.isIdentityGone(ctx, u); gone || out.stops() {
			return firstOutcome(out, func() outcome { return a.renewIdentity(ctx, d, u) })
		}
	}
	return a.afterNotFound(ctx, d, u, err)
}

// firstOutcome is out if that stops the attempt, and otherwise what next returns.
func firstOutcome(out outcome, next func() outcome) outcome {
	if out.stops() {
		return out
	}
	return next()
}

// send makes the call of a step. apply records its effect in the row.
func (a *attempt) send(ctx context.Context, d plan.Desired, u *record.User, s plan.Step) (apply func(), err error) {
	switch body := s.Body.(type) {
	case seam.UpdateACSUser:
		return func() { u.StartsAt, u.EndsAt = &d.Starts, &d.Ends }, a.seam.UpdateACSUser(ctx, body)
	case seam.GroupMembership:
		return a.sendGroup(ctx, u, s.Kind, body)
	case seam.LinkACSUser:
		return func() { u.Unlinked = false }, a.seam.LinkACSUser(ctx, body)
	case seam.CredentialID:
		return func() { u.KeyDeleted(body.ACSCredentialID) },
			a.seam.DeleteCredential(ctx, body.ACSCredentialID)
	case seam.UserID:
		if s.Kind == plan.Unsuspend {
			return func() { u.SuspendedAt = nil }, a.seam.UnsuspendACSUser(ctx, body.ACSUserID)
		}
		return func() { u.SurplusDeleted(body.ACSUserID, a.now()) }, a.seam.DeleteACSUser(ctx, body.ACSUserID)
	default:
		return nil, fmt.Errorf("step %d has no call", s.Kind)
	}
}

// sendGroup opens or closes a group's doors. After a refusal it looks at what Seam has; a group that is gone counts
// as closed.
func (a *attempt) sendGroup(ctx context.Context, u *record.User, kind plan.Kind,
	in seam.GroupMembership,
) (apply func(), err error) {
	without := func() []string {
		return slices.DeleteFunc(slices.Clone(u.AccessGroupIDs),
			func(g string) bool { return g == in.ACSAccessGroupID })
	}
	if kind == plan.RemoveGroup {
		err := a.seam.RemoveFromAccessGroup(ctx, in)
		if seam.TypeOf(err) == groupUnknown {
			err = nil
		}
		return func() { u.AccessGroupIDs = without() }, err
	}
	err = a.seam.AddToAccessGroup(ctx, in)
	if seam.KindOf(err) == seam.Invalid {
		listed, lookup := a.seam.AccessGroups(a.because(ctx, "why Seam refused the access group"), in.ACSUserID)
		if lookup == nil && slices.Contains(groupIDs(listed), in.ACSAccessGroupID) {
			err = nil
		}
	}
	return func() {
		u.AccessGroupIDs = append(without(), in.ACSAccessGroupID)
		slices.Sort(u.AccessGroupIDs)
	}, err
}

// keyNotFound follows a 404 on the delete of a mobile key, which proves nothing: the key counts as gone when neither
// get nor list shows it, as if somebody else had deleted it. Otherwise Seam contradicts itself.
func (a *attempt) keyNotFound(ctx context.Context, d plan.Desired, u *record.User, id string, cause error) outcome {
	switch out := a.checkKeys(a.because(ctx, "whether the mobile key is gone"), u); {
	case out.kind == unclear: // the keys of the ACS user are not found either
		return a.afterNotFound(ctx, d, u, cause)
	case out.stops():
		return out
	}
	if slices.Contains(u.SurplusKeys, id) || u.CredentialID != nil && *u.CredentialID == id {
		return contradicted(cause)
	}
	a.recheckAt(a.now().Add(a.options.Grace)) // one list may leave out a surplus key
	return firstOutcome(a.save(ctx, u), again)
}

// afterNotFound follows a 404 on a change. The 404 may concern anything that the call named, so it asks whether the
// ACS user itself is gone. If it isn't, the 404 is returned, unless it names the ACS user: then Seam contradicts
// itself.
func (a *attempt) afterNotFound(ctx context.Context, d plan.Desired, u *record.User, cause error) outcome {
	_, is, out := a.look(ctx, u, "whether the ACS user is gone")
	if out.stops() {
		return out
	}
	if is == absent || is == beingGone {
		if out := a.notSeen(ctx, u, is); out.stops() {
			return out
		}
		return again()
	}
	if seam.TypeOf(cause) == "acs_user_not_found" {
		return contradicted(cause)
	}
	return fails(cause)
}
