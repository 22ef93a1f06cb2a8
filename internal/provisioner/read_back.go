package provisioner

import (
	"context"
	"time"

	"github.com/staykey/staykey/internal/provisioner/plan"
	"github.com/staykey/staykey/internal/provisioner/record"
	"github.com/staykey/staykey/internal/seam"
)

// What was changed is read back: a key is issued only when Seam has settled it and shows every door.

// needsReadBack reports whether it is not certain yet that the key opens all its doors.
func (c *checker) needsReadBack(d plan.Desired, u *record.User) bool {
	if !u.Exists() {
		return false
	}
	began := !c.now().Before(d.Starts) && !d.Starts.IsZero()
	return !u.IsOpen() || u.Unlinked || began && !u.Subscribed
}

// readBack reads the state of an ACS user, and its doors if they were changed: both in parallel, because a guest is
// waiting. What differs from our writes may still be under way; it is compared after the read lag.
func (c *checker) readBack(ctx context.Context, d plan.Desired, u *record.User) outcome {
	doors := c.askForGroups(ctx, u)
	from, is, out := c.finder.look(ctx, u, "whether everything has reached the access system")
	listed, err := doors()
	switch {
	case out.stops():
		return out
	case is == ambivalent:
		return contradicted(errContradiction)
	case is != present:
		if out := c.notSeen(ctx, u, is); out.stops() {
			return out
		}
		return again()
	case err != nil:
		return unreadable(err)
	}
	if until := c.belief.showsFrom(u); c.mayShowOldSuspension(d, u, from) && c.belief.tooEarly(until) {
		return wait(until, "Seam's reads may lag what was just written")
	}
	now := c.now()
	u.Seen()
	wasSuspended := u.SuspendedAt != nil
	u.ReadState(from, now)
	u.ReadLink(true)
	groupsListed := !u.GroupsRead
	c.noteShown(u, from, groupsListed, readsBack(u, from, listed))
	if out := c.readKeyProblem(ctx, d, u); out.stops() {
		return out
	}
	c.ledger.saveWithNext(u)
	if u.SuspendedAt != nil && !wasSuspended && c.work.Key.Revive && u.MayRevive(d.Generation) {
		return again() // only this answer shows that it is suspended, and an admin or a later event wants it back
	}
	return outcome{}
}

// noteShown records whether Seam shows what was set: the hours, and the doors if they were listed. If it doesn't, it is
// compared once its reads count. Nothing new would come from another comparison right after one that counts and has
// left nothing to do, as when a stay moves to an unknown listing while lists leave out one of its doors: then the
// verdict decides when Seam is asked again.
func (c *checker) noteShown(u *record.User, from seam.ACSUser, groupsListed, shown bool) {
	shows := c.belief.showsFrom(u)
	switch {
	case !shown:
		c.observed.unshown = later(shows, c.now().Add(c.belief.lag))
		if !c.observed.checked || c.belief.tooEarly(shows) {
			c.observed.recheckAt(c.observed.unshown)
		}
	case u.Drift == nil: // what is left at Seam counts as read
		u.KeptShown(record.HasSchedule(from), groupsListed)
		if u.IsUnkept(record.Link) || u.IsUnkept(record.SecondKeys) { // only a comparison shows whether that is over
			c.observed.recheckAt(later(shows, c.now().Add(c.belief.lag)))
		}
	}
}

// mayShowOldSuspension reports whether an answer may show the suspension that a request of this generation has ended.
func (c *checker) mayShowOldSuspension(d plan.Desired, u *record.User, from seam.ACSUser) bool {
	suspended := from.IsSuspended != nil && *from.IsSuspended
	return suspended && u.SuspendedAt == nil && c.work.Key.Revive && !u.MayRevive(d.Generation)
}

// readsBack records whether Seam shows the schedule and the doors that were set, and reports whether it shows both.
func readsBack(u *record.User, from seam.ACSUser, listed []seam.AccessGroup) bool {
	shown := u.ShowsSchedule(from)
	if !shown {
		u.NotReadBack()
	}
	return (u.GroupsRead || u.ReadBackGroups(groupIDs(listed))) && shown
}

// readKeyProblem asks whether a mobile key still has a problem.
func (c *checker) readKeyProblem(ctx context.Context, d plan.Desired, u *record.User) outcome {
	if u.CredentialProblem == nil {
		return outcome{}
	}
	key, err := c.seam.Credential(c.ledger.because(ctx, "whether the mobile key still has a problem"), *u.CredentialID)
	switch {
	case seam.KindOf(err) == seam.NotFound:
		if out := c.check(ctx, d, u); out.stops() {
			return out
		}
		return again()
	case err != nil:
		return fails(err)
	}
	u.ReadKeyProblem(key)
	return outcome{}
}

// askForGroups asks for the access groups of an ACS user whose doors are not read back yet, and returns how to wait
// for the answer. It runs in the background and doesn't touch the attempt: the call is recorded once its answer is
// waited for.
func (c *checker) askForGroups(ctx context.Context, u *record.User) (answer func() ([]seam.AccessGroup, error)) {
	if u.GroupsRead {
		return func() ([]seam.AccessGroup, error) { return nil, nil }
	}
	var calls []seam.Call
	var groups []seam.AccessGroup
	var err error
	done := make(chan struct{})
	asking := seam.WithRecorder(ctx, func(call seam.Call) { calls = append(calls, call) })
	id := *u.ACSUserID
	go func() {
		defer close(done)
		groups, err = c.seam.AccessGroups(asking, id)
	}()
	return func() ([]seam.AccessGroup, error) {
		<-done
		for _, call := range calls {
			c.ledger.recordCall(ctx, call, "whether every door was opened")
		}
		return groups, err
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
