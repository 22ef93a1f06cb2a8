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

// presence is what Seam reports about whether an ACS user exists.
type presence int

const (
	present    presence = iota + 1
	beingGone           // Seam itself reports that it was deleted, or is being deleted
	absent              // neither get nor list shows it
	ambivalent          // get doesn't show it, and the list does
)

// errContradiction means that Seam's answers can't all be true.
var errContradiction = errors.New("Seam's get doesn't find an ACS user that its list shows")

// look asks Seam whether an ACS user exists. If a get doesn't find it, the list is asked, too: one wrong answer
// proves nothing.
func (a *attempt) look(ctx context.Context, u *record.User, reason string) (seam.ACSUser, presence, outcome) {
	ctx = a.because(ctx, reason)
	from, err := a.seam.ACSUser(ctx, *u.ACSUserID)
	return a.lookFurther(ctx, u, from, err)
}

// lookFurther judges the answer to a get of an ACS user.
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

// unreadable is the outcome if something about an ACS user can't be read although Seam has just shown the user. A 404
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
	u.FoundGone(now)
	return a.saveUnlessPreview(ctx, u)
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
	told := u.ReadSchedule(from)
	if !told && !ours && u.Unkept == 0 {
		u.StartsAt, u.EndsAt = nil, nil // it may have none any more: it is set again
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
		if other.ACSUserID != *u.ACSUserID && a.belief().cameAfterMark(other, u) && !slices.Contains(u.SurplusUsers, other.ACSUserID) {
			u.SurplusUsers = append(u.SurplusUsers, other.ACSUserID)
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
	case is.EmailAddress == "" || a.isKeyOf(u.UserIdentityKey, is.EmailAddress) || slices.Contains(is.MergedKeys, u.UserIdentityKey):
		return outcome{}
	}
	if u.Foreign = !u.Unlinked && !a.work.Key.Revive; u.Foreign {
		return outcome{}
	}
	a.note("user identity %s of ACS user %s now has another e-mail address and can't be used for the guest", u.UserIdentityID, *u.ACSUserID)
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
	a.uncertain() // if the reads lagged, the surplus one is found later
	return outcome{}
}

// needsReadBack reports whether it is not certain yet that the key opens all its doors.
func (a *attempt) needsReadBack(d plan.Desired, u *record.User) bool {
	if !u.Exists() {
		return false
	}
	began := !a.now().Before(d.Starts) && !d.Starts.IsZero()
	return !u.IsOpen() || u.Unlinked || began && !u.Subscribed
}

// readBack reads the state of an ACS user, and its doors if they were changed: both in parallel, because a guest is
// waiting. What differs from our writes may still be under way; it is compared after the grace.
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
		return again() // only this answer shows that it is suspended, and an admin or a later event wants it back
	}
	return outcome{}
}

// readKeyProblem asks whether a mobile key still has a problem.
func (a *attempt) readKeyProblem(ctx context.Context, d plan.Desired, u *record.User) outcome {
	if u.CredentialProblem == nil {
		return outcome{}
	}
	key, err := a.seam.Credential(a.because(ctx, "whether the mobile key still has a problem"), *u.CredentialID)
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
// for the answer. It runs in the background and doesn't touch the attempt: the call is recorded once its answer is
// waited for.
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

// showsDoors reports whether Seam lists exactly the recorded doors. Nothing is recorded here: what differs is
// compared after the grace.
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
