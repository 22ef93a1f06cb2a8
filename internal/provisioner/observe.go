package provisioner

import (
	"context"
	"slices"

	"github.com/staykey/staykey/internal/provisioner/plan"
	"github.com/staykey/staykey/internal/provisioner/record"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/stay"
)

// observe reads from Seam what can't be trusted as recorded: marks without an id, what was missing, and everything
// when a comparison is due.
func (a *attempt) observe(ctx context.Context, d plan.Desired) outcome {
	due := a.work.Key.CheckRequested || lookupDue(a.work.Key.UncertainSince, a.work.Key.VerifiedAt, a.began)
	for i := range a.users {
		out := a.observeUser(ctx, d, &a.users[i], due)
		if out.stops() && !a.leaveUnsettled(d, i, out) {
			return out
		}
	}
	a.checked = due && !a.unverified && len(a.unsettled) == 0
	return outcome{}
}

// leaveUnsettled reports whether the attempt can continue without knowing what a lost create has left, and remembers
// it as unknown: deleting other ACS users of the stay, and serving it by the present one, must not wait for that.
func (a *attempt) leaveUnsettled(d plan.Desired, i int, out outcome) bool {
	u := &a.users[i]
	if u.ACSUserID != nil || len(a.users) == 1 || a.standing(d) == i || a.preview || a.work.Overrides.Held() != "" {
		return false
	}
	switch out.kind {
	case waiting, refused, unclear, failed:
	default:
		return false
	}
	if out.leaseLost() || seam.KindOf(out.err) == seam.Unauthorized {
		return false
	}
	a.unsettled[u.ID] = out
	return true
}

// firstUnsettled is why the result of a lost create is not known yet; the zero outcome if all are known.
func (a *attempt) firstUnsettled() outcome {
	for i := range a.users {
		if out, open := a.unsettled[a.users[i].ID]; open {
			return out
		}
	}
	return outcome{}
}

func (a *attempt) observeUser(ctx context.Context, d plan.Desired, u *record.User, due bool) outcome {
	switch u.Phase() {
	case record.Marked, record.Lost, record.Aside:
		if out := a.settleUserMark(ctx, d, u); out.stops() {
			return out
		}
	}
	if d.Goal != plan.Have {
		return outcome{}
	}
	if u.Exists() && u.KeyIsUncertain() {
		if out := a.settleKeyMark(ctx, d, u); out.stops() {
			return out
		}
	}
	if u.ACSUserID == nil || u.Phase() == record.Removing {
		return outcome{}
	}

	overtaken := a.isOvertaken(d, u)
	if !due && !overtaken && !a.mustCheck(u) {
		return outcome{}
	}
	if until := a.belief().showsFrom(u); overtaken && a.tooEarly(until) && !a.preview {
		return wait(until, "Seam's reads may lag what was just written")
	}
	return a.check(ctx, d, u)
}

// mustCheck reports whether an ACS user is compared with Seam although no check is due: because something of it is
// missing, or because an admin asked for a repair.
func (a *attempt) mustCheck(u *record.User) bool {
	missing := u.Phase() == record.Missing || u.KeyPhase() == record.KeyMissing
	return missing || u.Drift != nil && a.work.Key.Revive
}

// isOvertaken reports whether the effect of a change without a recorded result must be known before anything else.
// While it is still desired it is simply sent again. A listing may have its doors back before its stays are
// updated: then no step is left that would show the effect of the lost change.
func (a *attempt) isOvertaken(d plan.Desired, u *record.User) bool {
	return u.Unsure && (u.UnsureGeneration != a.work.Key.Generation || !u.DoorsRead && plan.DoorsFit(d, *u))
}

// settleUserMark finds out what a create without an answer has left. It stops the attempt until that is known.
func (a *attempt) settleUserMark(ctx context.Context, d plan.Desired, u *record.User) outcome {
	if u.Phase() == record.Marked { // the process died between mark and answer
		u.CreateLost(a.now())
		a.noteLostCreate()
		if out := a.saveUnlessPreview(ctx, u); out.stops() {
			return out
		}
	}
	found, others, out := a.find(a.because(ctx, "whether a create without an answer made an ACS user"), u)
	gone := false // the identity, and what was linked to it
	if out.kind == refused && seam.KindOf(out.err) == seam.NotFound {
		if gone, _, out = a.isIdentityGone(ctx, u); !gone && !out.stops() {
			return contradicted(errContradiction)
		}
	}
	if out.stops() {
		return out
	}
	if len(found) == 0 {
		if found, out = a.findUnlinked(ctx, u); out.stops() {
			return out
		}
	}
	if len(found) > 0 {
		return a.adopt(ctx, d, u, found)
	}
	if u.LostAt != nil && a.tooEarly(a.belief().countsFrom(*u.LostAt)) {
		return wait(a.belief().countsFrom(*u.LostAt), "A create without an answer may still show up")
	}
	a.fresh[u.ID] = !others && !gone && u.Phase() == record.Lost
	return outcome{}
}

// adopt records the oldest of the ACS users that a look-up has found; the others were created by the same lost
// create.
func (a *attempt) adopt(ctx context.Context, d plan.Desired, u *record.User, found []seam.ACSUser) outcome {
	var surplus []string
	for _, other := range found[1:] {
		if a.belief().cameAfterMark(other, u) {
			surplus = append(surplus, other.ACSUserID)
		}
	}
	if len(surplus) > 0 {
		a.noteSurplus()
	}
	now := a.now()
	u.Adopted(found[0].ACSUserID, surplus, now)
	u.ReadSchedule(found[0])
	u.ReadState(found[0], now)
	a.note("ACS user %s was created for this stay by an unrecorded create", *u.ACSUserID)
	if a.preview {
		return outcome{}
	}
	if out := a.save(ctx, u); out.stops() {
		return out
	}
	return a.check(ctx, d, u)
}

// find lists the ACS users that can only be this stay's, oldest first: of its identity and system, with its exact
// name, and not recorded in another row. others reports whether the identity has any other user there.
func (a *attempt) find(ctx context.Context, u *record.User) (ours []seam.ACSUser, others bool, out outcome) {
	list, err := a.seam.ACSUsers(ctx, u.ACSSystemID, u.UserIdentityID)
	if err != nil {
		return nil, false, fails(err)
	}
	ids := make([]string, len(list))
	for i, l := range list {
		ids[i] = l.ACSUserID
	}
	held, err := a.store.TakenElsewhere(ctx, ids, u.ID)
	if err != nil {
		return nil, false, fails(err)
	}
	for _, l := range list {
		// Some answers ignore a filter that matches nothing.
		if l.ACSSystemID != "" && l.ACSSystemID != u.ACSSystemID || l.BeingDeleted() {
			continue
		}
		if l.UserIdentityID != u.UserIdentityID {
			same, out := a.isMergedInto(ctx, u, l.UserIdentityID)
			if out.stops() {
				return nil, false, out
			}
			if !same {
				continue
			}
		}
		if a.belief().isOurs(l, u, a.work.Reservation.ReservationID) && !held[l.ACSUserID] {
			ours = append(ours, l)
		} else {
			others = true
		}
	}
	slices.SortStableFunc(ours,
		func(x, y seam.ACSUser) int { return seam.ParseTime(x.CreatedAt).Compare(seam.ParseTime(y.CreatedAt)) })
	return ours, others, outcome{}
}

// findUnlinked lists ACS users of a lost create that no look-up by identity finds: Seam may have moved the identity's
// link to the ACS user that was created instead. Such a user has our exact name and no identity, and was created
// between the mark and the end of the lost call. Only the late look-ups search for it.
func (a *attempt) findUnlinked(ctx context.Context, u *record.User) ([]seam.ACSUser, outcome) {
	if a.lostAt == nil || u.MarkedAt == nil || a.tooEarly(a.lostAt.Add(firstLookup)) {
		return nil, outcome{}
	}
	name := a.work.Reservation.ReservationID
	list, err := a.seam.SearchACSUsers(a.because(ctx,
		"whether a create without an answer left an ACS user without an identity"), u.ACSSystemID, name)
	if err != nil {
		return nil, fails(err)
	}
	var ids []string
	list = slices.DeleteFunc(list, func(l seam.ACSUser) bool {
		return l.ACSSystemID != u.ACSSystemID || l.UserIdentityID != "" || l.BeingDeleted() ||
			!sameName(l.FullName, name) || !a.belief().cameOfLoss(l, u, *a.lostAt)
	})
	for _, l := range list {
		ids = append(ids, l.ACSUserID)
	}
	held, err := a.store.TakenElsewhere(ctx, ids, u.ID)
	if err != nil {
		return nil, fails(err)
	}
	return slices.DeleteFunc(list, func(l seam.ACSUser) bool { return held[l.ACSUserID] }), outcome{}
}

// settleKeyMark finds out what a create of a credential without an answer has left.
func (a *attempt) settleKeyMark(ctx context.Context, d plan.Desired, u *record.User) outcome {
	if u.KeyPhase() == record.KeyMarked {
		u.KeyCreateLost(a.now())
		a.noteLostCreate()
		if out := a.saveUnlessPreview(ctx, u); out.stops() {
			return out
		}
	}
	keys, err := a.mobileKeys(a.because(ctx, "whether a create without an answer made a credential"), u)
	if seam.KindOf(err) == seam.NotFound {
		return a.check(ctx, d, u) // the user may be gone
	}
	if err != nil {
		return fails(err)
	}
	if len(keys) > 0 {
		u.TakeKeys(keys)
		a.note("credential %s was created by a call whose answer was lost", *u.CredentialID)
		return a.saveUnlessPreview(ctx, u)
	}
	if until := a.belief().countsFrom(*u.CredentialLostAt); a.tooEarly(until) {
		return wait(until, "A create without an answer may still show up")
	}
	return outcome{}
}

// mobileKeys lists a user's mobile keys, oldest first, without the children that represent phones. One that has just
// been deleted, to be replaced, may still be listed for a while.
func (a *attempt) mobileKeys(ctx context.Context, u *record.User) ([]seam.Credential, error) {
	all, err := a.seam.Credentials(ctx, *u.ACSUserID)
	if err != nil {
		return nil, err
	}
	a.noteCodes(u, all)
	replaced := ""
	if a.tooEarly(a.belief().showsFrom(u)) &&
		stay.Text(u.CredentialID) != stay.Text(a.work.Overrides.ReplaceCredential) {
		replaced = stay.Text(a.work.Overrides.ReplaceCredential)
	}
	keys := slices.DeleteFunc(all, func(c seam.Credential) bool {
		return c.ACSUserID != *u.ACSUserID || !c.IsMobileKey() || c.ACSCredentialID == replaced
	})
	slices.SortStableFunc(keys, func(x, y seam.Credential) int {
		return seam.ParseTime(x.CreatedAt).Compare(seam.ParseTime(y.CreatedAt))
	})
	return keys, nil
}
