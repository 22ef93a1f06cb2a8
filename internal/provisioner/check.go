package provisioner

import (
	"context"
	"slices"

	"github.com/staykey/staykey/internal/provisioner/plan"
	"github.com/staykey/staykey/internal/provisioner/record"
	"github.com/staykey/staykey/internal/seam"
)

// check compares everything recorded of an ACS user with Seam.
func (a *attempt) check(ctx context.Context, d plan.Desired, u *record.User) outcome {
	from, is, out := a.look(ctx, u, "whether what is recorded is still true")
	if out.stops() {
		return out
	}
	switch is {
	case absent, beingGone:
		return a.notSeen(ctx, u, is)
	case ambivalent:
		a.unverified = true
		a.recheckAt(a.now().Add(a.slowRetry()))
		a.note("Seam's get does not find ACS user %s and its list shows it: nothing is changed", *u.ACSUserID)
		u.Seen()
		return a.saveUnlessPreview(ctx, u)
	}
	return a.compare(ctx, d, u, from)
}

// compare records what Seam shows of an existing ACS user, and judges what somebody has changed.
func (a *attempt) compare(ctx context.Context, d plan.Desired, u *record.User, from seam.ACSUser) outcome {
	now := a.now()
	if until := a.belief().showsFrom(u); a.tooEarly(until) {
		a.recheckAt(until) // reads may be older than our last write: good enough to begin with
	}
	ctx = a.because(ctx, "whether what is recorded is still true")
	before := *u
	ours := u.Unsure || a.lostAt != nil || a.tooEarly(a.belief().showsFrom(u))
	u.Seen()
	// What may be written before everything is judged comes first: the row must never hold only half of somebody's
	// change.
	if out := a.readLink(ctx, u, from, ours); out.stops() {
		return out
	}
	if out := a.verifyLink(ctx, d, u); out.stops() {
		return out
	}
	if u.Phase() == record.Removed {
		return a.saveUnlessPreview(ctx, u)
	}
	if out := a.checkKeys(ctx, u); out.stops() {
		return out
	}
	listed, err := a.seam.AccessGroups(ctx, *u.ACSUserID)
	if err != nil {
		return unreadable(err)
	}
	u.ReadDoors(groupIDs(listed), slices.Concat(d.Groups, d.Listed))
	hasSchedule := u.ReadSchedule(from)
	if !hasSchedule && !ours && u.Unkept == 0 {
		u.StartsAt, u.EndsAt = nil, nil // it may have none any more: it is set again
	}
	u.ReadState(from, now)
	a.judgeDrift(before, u, ours, hasSchedule)
	if a.lostAt != nil || a.work.Key.CheckRequested {
		if out := a.findSurplus(ctx, u); out.stops() {
			return out
		}
	}
	u.Known()
	return a.saveUnlessPreview(ctx, u)
}

func groupIDs(groups []seam.AccessGroup) []string {
	ids := make([]string, len(groups))
	for i, g := range groups {
		ids[i] = g.ACSAccessGroupID
	}
	return ids
}

// findSurplus looks for ACS users that a lost create has left in addition to the recorded one.
func (a *attempt) findSurplus(ctx context.Context, u *record.User) outcome {
	ours, _, out := a.find(ctx, u)
	if out.kind == refused && seam.KindOf(out.err) == seam.NotFound {
		return outcome{} // the identity is not shown, so what is linked to it can't be listed
	}
	if out.stops() {
		return out
	}
	unlinked, out := a.findUnlinked(ctx, u)
	if out.stops() {
		return out
	}
	for _, other := range append(ours, unlinked...) {
		if other.ACSUserID != *u.ACSUserID && a.belief().cameAfterMark(other, u) && u.AddSurplus(other.ACSUserID) {
			a.note("ACS user %s was left by a lost create, next to the stay's own", other.ACSUserID)
			a.noteSurplus()
		}
	}
	return outcome{}
}

// readLink finds out whether an ACS user is linked to its identity. An answer without an identity proves nothing, and
// one with another may name the identity that ours was merged into.
func (a *attempt) readLink(ctx context.Context, u *record.User, from seam.ACSUser, ours bool) outcome {
	u.Unlinked = false
	switch from.UserIdentityID {
	case u.UserIdentityID:
		return outcome{}
	case "":
		// If reads don't show our own change yet, leave it alone. But a lost change may have been the link itself:
		// linking again is harmless.
		if !u.Unsure && ours {
			return outcome{}
		}
		linked, err := a.seam.ACSUsersOfIdentity(ctx, u.UserIdentityID)
		if err != nil && seam.KindOf(err) != seam.NotFound {
			return fails(err)
		}
		u.Unlinked = !slices.ContainsFunc(linked, func(l seam.ACSUser) bool { return l.ACSUserID == *u.ACSUserID })
		return outcome{}
	}
	merged, out := a.isMergedInto(ctx, u, from.UserIdentityID)
	u.Unlinked = !merged
	return out
}

// verifyLink makes sure that an ACS user's identity still belongs to the guest it was created for: somebody may have
// given it another address. An ACS user that has also lost its link is useless, and treated as deleted. One that is
// linked may be in somebody else's app: that is reported, and it is replaced when an admin or a later event asks for
// a repair. The stay may have another guest by now, so the address is compared by its key.
func (a *attempt) verifyLink(ctx context.Context, d plan.Desired, u *record.User) outcome {
	wanted := u.GuestKey == d.GuestKey && (a.work.Key.CheckRequested || a.work.Key.Revive)
	if u.Foreign = false; !u.HasGuestsIdentity() || !u.Unlinked && !wanted {
		return outcome{}
	}
	is, err := a.seam.UserIdentity(a.because(ctx, "whether the user identity is still the guest's"), u.UserIdentityID)
	switch {
	case seam.KindOf(err) == seam.NotFound:
		return outcome{} // there is no other identity to link it to
	case err != nil:
		return fails(err)
	case is.EmailAddress == "" || a.isKeyOf(u.UserIdentityKey, is.EmailAddress) ||
		slices.Contains(is.MergedKeys, u.UserIdentityKey):
		return outcome{}
	}
	if u.Foreign = !u.Unlinked && !a.work.Key.Revive; u.Foreign {
		return outcome{}
	}
	a.note("user identity %s of ACS user %s now has another e-mail address and can't be used for the guest",
		u.UserIdentityID, *u.ACSUserID)
	u.Unlinked = false
	u.FoundGone(a.now())
	return outcome{}
}

// checkKeys compares the recorded mobile key with Seam. One that a list leaves out is confirmed by a get; one that
// neither shows counts as deleted when that is repeated after the grace.
func (a *attempt) checkKeys(ctx context.Context, u *record.User) outcome {
	keys, err := a.mobileKeys(ctx, u)
	if err != nil {
		return unreadable(err)
	}
	listed := func(id string) bool {
		return slices.ContainsFunc(keys, func(c seam.Credential) bool { return c.ACSCredentialID == id })
	}
	if u.CredentialID == nil || listed(*u.CredentialID) {
		if len(keys) > 0 {
			u.TakeKeys(keys)
		}
		return outcome{}
	}
	recorded, err := a.seam.Credential(ctx, *u.CredentialID)
	switch {
	case err == nil:
		u.TakeKeys(append(keys, recorded))
		return outcome{}
	case seam.KindOf(err) != seam.NotFound:
		return fails(err)
	}
	return a.keyNotSeen(ctx, u, keys)
}

func (a *attempt) keyNotSeen(ctx context.Context, u *record.User, others []seam.Credential) outcome {
	if u.CredentialMarkedAt != nil {
		if until := a.belief().countsFrom(*u.CredentialMarkedAt); a.tooEarly(until) {
			return wait(until, "A new credential may not show up at once")
		}
	}
	u.KeyNotSeen(a.now())
	if until := a.belief().countsFrom(*u.CredentialMissingAt); a.tooEarly(until) {
		if out := a.saveUnlessPreview(ctx, u); out.stops() {
			return out
		}
		return wait(until, "Seam does not show the mobile key: asking a second time")
	}
	a.note("credential %s has been deleted, not by us", *u.CredentialID)
	u.ForgetKey()
	if len(others) > 0 {
		u.TakeKeys(others)
	}
	a.noteLostCreate() // if the reads lagged, the surplus one is found later
	return outcome{}
}
