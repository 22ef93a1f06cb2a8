package provisioner

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/staykey/staykey/internal/provisioner/plan"
	"github.com/staykey/staykey/internal/provisioner/record"
	"github.com/staykey/staykey/internal/seam"
)

// presence is what Seam says about whether an ACS user exists.
type presence int

const (
	present    presence = iota + 1
	beingGone           // Seam says itself that it was deleted, or is being deleted
	absent              // neither get nor list shows it
	ambivalent          // get doesn't show it, and the list does
)

// errContradiction says that Seam's answers can't all be true.
var errContradiction = errors.New("the get of Seam doesn't find an ACS user that its list shows")

// look asks Seam whether an ACS user exists. A get that doesn't find it is compared with the list: one wrong answer
// proves nothing.
func (a *attempt) look(ctx context.Context, u *record.User, reason string) (seam.ACSUser, presence, outcome) {
	ctx = a.because(ctx, reason)
	from, err := a.seam.ACSUser(ctx, *u.ACSUserID)
	return a.lookFurther(ctx, u, from, err)
}

// lookFurther judges what a get of an ACS user has answered.
func (a *attempt) lookFurther(ctx context.Context, u *record.User, from seam.ACSUser, err error) (seam.ACSUser, presence, outcome) {
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

// unreadable is the outcome where something about an ACS user can't be read that Seam has just shown. A 404
// contradicts that.
func unreadable(err error) outcome {
	if seam.KindOf(err) == seam.NotFound {
		return contradicted(err)
	}
	return fails(err)
}

func isGone(u seam.ACSUser) bool { return u.BeingDeleted() || u.Reports("deleted_externally") }

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

// notSeen follows Seam not showing an ACS user. It counts as deleted by somebody when that happens again after the
// grace, or when Seam says so.
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
			return wait(until, "Seam does not show the ACS user: it is asked a second time")
		}
	}
	if u.Phase() != record.Removed {
		a.note("ACS user %s has been deleted, not by us", *u.ACSUserID)
	}
	u.FoundGone(now)
	return a.saveUnlessPreview(ctx, u)
}

// compare takes over what Seam shows of an ACS user that exists, and judges what somebody has changed.
func (a *attempt) compare(ctx context.Context, d plan.Desired, u *record.User, from seam.ACSUser) outcome {
	now := a.now()
	if until := a.belief().showsFrom(u); a.tooEarly(until) {
		a.recheckAt(until) // what is read now may be older than what we wrote: good enough to begin with
	}
	ctx = a.because(ctx, "whether what is recorded is still true")
	before := *u
	ours := u.Unsure || a.lostAt != nil || a.tooEarly(a.belief().showsFrom(u))
	u.Seen()
	// What may be written before everything is judged comes first: the row must not take over half of what somebody has changed.
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
	told := u.ReadSchedule(from)
	if !told && !ours && u.Unkept == 0 {
		u.StartsAt, u.EndsAt = nil, nil // perhaps it has none any more: it is set once more
	}
	u.ReadState(from, now)
	a.judgeDrift(before, u, ours, told)
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

// findSurplus looks for ACS users that a lost create has left next to the recorded one.
func (a *attempt) findSurplus(ctx context.Context, u *record.User) outcome {
	ours, _, out := a.find(ctx, u)
	if out.kind == refused && seam.KindOf(out.err) == seam.NotFound {
		return outcome{} // the identity is not shown: what is linked to it can't be listed
	}
	if out.stops() {
		return out
	}
	unlinked, out := a.findUnlinked(ctx, u)
	if out.stops() {
		return out
	}
	for _, other := range append(ours, unlinked...) {
		if other.ACSUserID != *u.ACSUserID && a.belief().cameAfterMark(other, u) && !slices.Contains(u.SurplusUsers, other.ACSUserID) {
			u.SurplusUsers = append(u.SurplusUsers, other.ACSUserID)
		}
	}
	return outcome{}
}

// readLink finds out whether an ACS user is linked to its identity. An answer without the identity proves nothing,
// and one with another may name the identity that ours was merged into.
func (a *attempt) readLink(ctx context.Context, u *record.User, from seam.ACSUser, ours bool) outcome {
	u.Unlinked = false
	switch from.UserIdentityID {
	case u.UserIdentityID:
		return outcome{}
	case "":
		// What reads don't show of our own change yet is left alone, but a lost change may have been the link itself: linking again is harmless.
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

// verifyLink makes sure that an ACS user's identity is still that of the guest it was made for: somebody may have given it another address. An ACS
// user that has also lost its link is of no use to anybody, as if it were deleted. One that is linked may be in somebody else's app: that is
// reported, and it is replaced when an admin, or a later event, wants it put right. The stay may have another guest by now, so that the address
// is compared by its key.
func (a *attempt) verifyLink(ctx context.Context, d plan.Desired, u *record.User) outcome {
	wanted := u.GuestKey == d.GuestKey && (a.work.Key.CheckRequested || a.work.Key.Revive)
	if u.Foreign = false; !u.HasGuestsIdentity() || !u.Unlinked && !wanted {
		return outcome{}
	}
	is, err := a.seam.UserIdentity(a.because(ctx, "whether the user identity is still the guest's"), u.UserIdentityID)
	switch {
	case seam.KindOf(err) == seam.NotFound:
		return outcome{} // there is nobody else to link it to
	case err != nil:
		return fails(err)
	case is.EmailAddress == "" || a.isKeyOf(u.UserIdentityKey, is.EmailAddress) || slices.Contains(is.MergedKeys, u.UserIdentityKey):
		return outcome{}
	}
	if u.Foreign = !u.Unlinked && !a.work.Key.Revive; u.Foreign {
		return outcome{}
	}
	a.note("user identity %s of ACS user %s has another e-mail address by now: it can't stay the guest's", u.UserIdentityID, *u.ACSUserID)
	u.Unlinked = false
	u.FoundGone(a.now())
	return outcome{}
}

// checkKeys compares the recorded mobile key with Seam. One that a list leaves out is confirmed by a get; one that
// neither shows counts as deleted when that happens again after the grace.
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
		return wait(until, "Seam does not show the mobile key: it is asked a second time")
	}
	a.note("credential %s has been deleted, not by us", *u.CredentialID)
	u.ForgetKey()
	if len(others) > 0 {
		u.TakeKeys(others)
	}
	a.uncertain() // should the reads have lagged, the surplus one is found again
	return outcome{}
}

// needsReadBack reports whether it is not known for certain that the key opens all its doors.
func (a *attempt) needsReadBack(d plan.Desired, u *record.User) bool {
	if !u.Exists() {
		return false
	}
	began := !a.now().Before(d.Starts) && !d.Starts.IsZero()
	return !u.IsOpen() || u.Unlinked || began && !u.Subscribed
}

// readBack asks Seam how an ACS user is doing, and for its doors where they were changed: both at once, because a
// guest waits for them. What differs from what we wrote may still be on its way; it is compared after the grace.
func (a *attempt) readBack(ctx context.Context, d plan.Desired, u *record.User) outcome {
	doors := a.askForDoors(ctx, u)
	from, is, out := a.look(ctx, u, "whether everything has reached the access system")
	listed, err := doors()
	switch {
	case out.stops():
		return out
	case is == ambivalent:
		return contradicted(errContradiction)
	case is != present:
		if out := a.notSeen(ctx, u, is); out.stops() {
			return out
		}
		return again()
	case err != nil:
		return unreadable(err)
	}
	now := a.now()
	u.Seen()
	wasSuspended := u.SuspendedAt != nil
	u.ReadState(from, now)
	u.Unlinked = false
	shown := u.ShowsSchedule(from)
	if !shown {
		u.Settled = false
	}
	if !u.DoorsRead {
		shown = showsDoors(u, groupIDs(listed)) && shown
	}
	if !shown {
		a.recheckAt(later(a.belief().showsFrom(u), now.Add(a.options.Grace)))
	} else if from.AccessSchedule != nil {
		u.Unkept = 0
	}
	if out := a.readKeyProblem(ctx, d, u); out.stops() {
		return out
	}
	if out := a.save(ctx, u); out.stops() {
		return out
	}
	if u.SuspendedAt != nil && !wasSuspended && a.work.Key.Revive {
		return again() // only this answer tells that it is suspended, and an admin, or a later event, wants it back
	}
	return outcome{}
}

// readKeyProblem asks whether a mobile key is still in trouble.
func (a *attempt) readKeyProblem(ctx context.Context, d plan.Desired, u *record.User) outcome {
	if u.CredentialProblem == nil {
		return outcome{}
	}
	key, err := a.seam.Credential(a.because(ctx, "whether the mobile key is still in trouble"), *u.CredentialID)
	switch {
	case seam.KindOf(err) == seam.NotFound:
		if out := a.check(ctx, d, u); out.stops() {
			return out
		}
		return again()
	case err != nil:
		return fails(err)
	}
	u.CredentialProblem = key.Problem()
	return outcome{}
}

// askForDoors asks for the access groups of an ACS user whose doors are not read back yet, and returns how to wait
// for the answer. The attempt itself is not used meanwhile: the call is recorded when its answer is waited for.
func (a *attempt) askForDoors(ctx context.Context, u *record.User) (answer func() ([]seam.AccessGroup, error)) {
	if u.DoorsRead {
		return func() ([]seam.AccessGroup, error) { return nil, nil }
	}
	var calls []seam.Call
	var groups []seam.AccessGroup
	var err error
	done := make(chan struct{})
	asking := seam.WithRecorder(ctx, func(c seam.Call) { calls = append(calls, c) })
	id := *u.ACSUserID
	go func() {
		defer close(done)
		groups, err = a.seam.AccessGroups(asking, id)
	}()
	return func() ([]seam.AccessGroup, error) {
		<-done
		for _, c := range calls {
			a.recordCall(ctx, c, "whether every door was opened")
		}
		return groups, err
	}
}

// showsDoors reports whether Seam lists exactly the recorded doors. Nothing is taken over: what differs is compared
// after the grace.
func showsDoors(u *record.User, listed []string) bool {
	recorded := slices.Clone(u.AccessGroupIDs)
	shown := u.ReadDoors(listed, listed)
	u.AccessGroupIDs = recorded
	return shown
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
