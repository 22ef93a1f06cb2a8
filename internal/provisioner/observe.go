package provisioner

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/staykey/staykey/internal/seam"
)

// observe reads from Seam what can't be trusted as recorded: marks without an id, and everything when a
// comparison is due.
func (a *attempt) observe(ctx context.Context, d desired) error {
	due := a.checkDue()
	for i := range a.seen.users {
		u := &a.seen.users[i]
		if u.ACSUserID == nil && u.MarkedAt != nil && u.RemovedAt == nil {
			if err := a.settleUserMark(ctx, u); err != nil {
				return err
			}
		}
		if u.ACSUserID != nil && u.DeletedAt == nil && u.RemovedAt == nil && u.CredentialID == nil && u.CredentialMarkedAt != nil && d.goal == have {
			if err := a.settleKeyMark(ctx, u); err != nil {
				return err
			}
		}
		// A change whose result is not known is simply sent again while it is still wanted. If something else is
		// wanted by now, what it has done must be known first.
		overtaken := u.Unsure && u.UnsureGeneration != a.work.Key.Generation
		if mend := u.Drift != nil && a.work.Key.Revive; (due || overtaken || mend) && d.goal == have && u.ACSUserID != nil && u.DeletedAt == nil {
			if until := a.readableFrom(u); overtaken && a.now().Before(until) && !a.preview {
				return &waitError{until, "Seam's reads may lag what was just written"}
			}
			if err := a.check(ctx, u); err != nil {
				return err
			}
		}
	}
	a.checked = due
	return nil
}

// readableFrom is when reads of an ACS user show our last change for certain.
func (a *attempt) readableFrom(u *seen) time.Time {
	if u.ChangedAt == nil {
		return time.Time{}
	}
	return u.ChangedAt.Add(a.options.Grace)
}

// lostUntil is when "not found" may be believed after a call that started then and has just ended: a grace
// behind its end, and never before its deadline.
func (a *attempt) lostUntil(started time.Time) time.Time {
	end := a.now()
	if byDeadline := started.Add(a.seam.Timeout() - a.options.Grace); byDeadline.After(end) {
		return byDeadline
	}
	return end
}

// settleUserMark finds out what a create without an answer has left. It returns nil when that is known.
func (a *attempt) settleUserMark(ctx context.Context, u *seen) error {
	if u.LostAt == nil { // the process died between mark and answer
		now := a.now()
		u.LostAt = &now
		a.uncertain()
		if !a.preview {
			if err := a.save(ctx, u); err != nil {
				return err
			}
		}
	}
	a.reason = "whether a create without an answer made an ACS user"
	found, others, err := a.find(ctx, u)
	if err != nil {
		return err
	}
	switch {
	case len(found) > 0:
		a.adopt(u, found)
		if a.preview {
			return nil
		}
		if err := a.save(ctx, u); err != nil {
			return err
		}
		return a.check(ctx, u)
	case a.now().Before(u.LostAt.Add(a.options.Grace)):
		return &waitError{u.LostAt.Add(a.options.Grace), "a create without an answer may still show up"}
	default:
		a.fresh[u.ID] = !others
		return nil
	}
}

// find lists the ACS users that can only be this stay's, oldest first: of its identity and system, with its
// exact name, and of no other row of ours. others tells whether the identity has any other user there.
func (a *attempt) find(ctx context.Context, u *seen) (ours []seam.ACSUser, others bool, err error) {
	list, err := a.seam.ACSUsers(ctx, u.ACSSystemID, u.UserIdentityID)
	if err != nil {
		return nil, false, err
	}
	ids := make([]string, len(list))
	for i, l := range list {
		ids[i] = l.ACSUserID
	}
	held, err := a.store.HeldElsewhere(ctx, ids, u.ID)
	if err != nil {
		return nil, false, err
	}
	for _, l := range list {
		// Some answers ignore a filter that they can't match (reference: the vendor's own fake does).
		if l.ACSSystemID != u.ACSSystemID || l.UserIdentityID != u.UserIdentityID || l.BeingDeleted() {
			continue
		}
		if strings.TrimSpace(l.FullName) == strings.TrimSpace(a.work.Reservation.ReservationID) && !held[l.ACSUserID] {
			ours = append(ours, l)
		} else {
			others = true
		}
	}
	slices.SortStableFunc(ours, func(x, y seam.ACSUser) int { return seam.ParseTime(x.CreatedAt).Compare(seam.ParseTime(y.CreatedAt)) })
	return ours, others, nil
}

// adopt records the oldest of the found ACS users; the others came of the same lost create.
func (a *attempt) adopt(u *seen, found []seam.ACSUser) {
	now := a.now()
	id := found[0].ACSUserID
	u.ACSUserID, u.MadeAt, u.LostAt, u.DeletedAt = &id, &now, nil, nil
	u.read(found[0], now)
	for _, surplus := range found[1:] {
		u.surplusUsers = append(u.surplusUsers, surplus.ACSUserID)
	}
	a.note("ACS user %s was made for this stay before, by a create that nothing is recorded of", id)
}

// read corrects what is recorded by what Seam says of the user.
func (u *seen) read(from seam.ACSUser, now time.Time) {
	u.StartsAt, u.EndsAt = nil, nil
	if s := from.AccessSchedule; s != nil {
		if t := seam.ParseTime(s.StartsAt); !t.IsZero() {
			u.StartsAt = &t
		}
		if t := seam.ParseTime(s.EndsAt); !t.IsZero() {
			u.EndsAt = &t
		}
	}
	u.readState(from, now)
}

// readState takes over what changes by itself: subscription, problems, what is pending, suspension.
func (u *seen) readState(from seam.ACSUser, now time.Time) {
	u.Subscribed = from.Subscribed()
	u.Problem = from.Problem()
	began := u.StartsAt != nil && !u.StartsAt.After(now)
	u.Settled = u.Problem == nil && !from.InProgress() && (!began || !from.Deferred())
	switch {
	case from.IsSuspended == nil: // not known
	case !*from.IsSuspended:
		u.SuspendedAt = nil
	case u.SuspendedAt == nil:
		u.SuspendedAt = &now
	}
	u.unlinked = from.UserIdentityID != u.UserIdentityID
}

// settleKeyMark finds out what a create of a credential without an answer has left.
func (a *attempt) settleKeyMark(ctx context.Context, u *seen) error {
	if u.CredentialLostAt == nil {
		now := a.now()
		u.CredentialLostAt = &now
		a.uncertain()
		if !a.preview {
			if err := a.save(ctx, u); err != nil {
				return err
			}
		}
	}
	a.reason = "whether a create without an answer made a credential"
	keys, err := a.mobileKeys(ctx, u)
	if seam.KindOf(err) == seam.NotFound {
		return nil // the user is gone; the next step finds out
	}
	if err != nil {
		return err
	}
	if len(keys) > 0 {
		u.takeKeys(keys)
		a.note("credential %s was made by a create whose answer was lost", *u.CredentialID)
		if a.preview {
			return nil
		}
		return a.save(ctx, u)
	}
	if until := u.CredentialLostAt.Add(a.options.Grace); a.now().Before(until) {
		return &waitError{until, "a create without an answer may still show up"}
	}
	return nil
}

// mobileKeys lists a user's mobile keys, oldest first, without the children that stand for phones. One that has just been
// deleted, for a new one to take its place, may be read for a while longer.
func (a *attempt) mobileKeys(ctx context.Context, u *seen) ([]seam.Credential, error) {
	all, err := a.seam.Credentials(ctx, *u.ACSUserID)
	if err != nil {
		return nil, err
	}
	replaced := ""
	if a.now().Before(a.readableFrom(u)) && deref(u.CredentialID) != deref(a.work.Overrides.ReplaceCredential) {
		replaced = deref(a.work.Overrides.ReplaceCredential)
	}
	keys := slices.DeleteFunc(all, func(c seam.Credential) bool {
		return c.ACSUserID != *u.ACSUserID || !c.IsMobileKey() || c.ACSCredentialID == replaced
	})
	slices.SortStableFunc(keys, func(x, y seam.Credential) int {
		return seam.ParseTime(x.CreatedAt).Compare(seam.ParseTime(y.CreatedAt))
	})
	return keys, nil
}

// takeKeys keeps the recorded mobile key, or else the oldest; the others are surplus.
func (u *seen) takeKeys(keys []seam.Credential) {
	if u.CredentialID == nil || !slices.ContainsFunc(keys, func(c seam.Credential) bool { return c.ACSCredentialID == *u.CredentialID }) {
		id := keys[0].ACSCredentialID
		u.CredentialID, u.CredentialLostAt = &id, nil
	}
	u.surplusKeys = nil
	for _, c := range keys {
		if c.ACSCredentialID == *u.CredentialID {
			u.CredentialProblem = c.Problem()
		} else if c.IsSurelyMobileKey() {
			u.surplusKeys = append(u.surplusKeys, c.ACSCredentialID)
		}
	}
}

// forgetKey forgets the mobile key: it is gone, or another one takes its place.
func (u *seen) forgetKey() {
	u.CredentialID, u.CredentialMarkedAt, u.CredentialLostAt, u.CredentialProblem = nil, nil, nil, nil
}

// check compares everything recorded of an ACS user with Seam.
func (a *attempt) check(ctx context.Context, u *seen) error {
	a.reason = "whether what is recorded is still true"
	id := *u.ACSUserID
	now := a.now()
	if until := a.readableFrom(u); now.Before(until) {
		a.recheckAt(until) // what is read now may be older than what we wrote: good enough to begin with
	}
	from, err := a.seam.ACSUser(ctx, id)
	if seam.KindOf(err) == seam.NotFound || (err == nil && isGone(from)) {
		if err := a.tooNew(u); err != nil {
			return err
		}
		a.foundRemoved(u)
		return a.saveUnlessPreview(ctx, u)
	}
	if err != nil {
		return err
	}
	before, ours := *u, u.Unsure || a.lostAt != nil || now.Before(a.readableFrom(u))
	u.RemovedAt = nil
	u.read(from, now)
	groups, err := a.seam.AccessGroups(ctx, id)
	if err != nil {
		return err
	}
	u.AccessGroupIDs = []string{}
	for _, g := range groups {
		u.AccessGroupIDs = append(u.AccessGroupIDs, g.ACSAccessGroupID)
	}
	slices.Sort(u.AccessGroupIDs)
	if err := a.checkKeys(ctx, u); err != nil {
		return err
	}
	a.judgeDrift(before, u, ours)
	if a.lostAt != nil || a.work.Key.CheckRequested {
		ours, _, err := a.find(ctx, u)
		if err != nil {
			return err
		}
		for _, other := range ours {
			// Only what came after our mark can be of a lost create; clocks may differ by a minute.
			if other.ACSUserID != id && u.MarkedAt != nil && seam.ParseTime(other.CreatedAt).After(u.MarkedAt.Add(-time.Minute)) {
				u.surplusUsers = append(u.surplusUsers, other.ACSUserID)
			}
		}
	}
	u.Unsure = false
	return a.saveUnlessPreview(ctx, u)
}

// tooNew returns a wait while a 404 proves nothing, because the ACS user may not be known everywhere yet.
func (a *attempt) tooNew(u *seen) error {
	if u.MadeAt != nil && a.now().Before(u.MadeAt.Add(a.options.Grace)) {
		return &waitError{u.MadeAt.Add(a.options.Grace), "a new ACS user may not show up at once"}
	}
	return nil
}

// foundRemoved records that somebody else deleted an ACS user.
func (a *attempt) foundRemoved(u *seen) {
	u.Unsure = false
	if u.RemovedAt != nil {
		return
	}
	now := a.now()
	u.RemovedAt, u.Settled, u.Subscribed = &now, false, false
	a.note("ACS user %s has been deleted, not by us", *u.ACSUserID)
}

func isGone(u seam.ACSUser) bool {
	return u.BeingDeleted() || u.Reports("deleted_externally")
}

// checkKeys compares the recorded mobile key with Seam. One that a list leaves out is confirmed by a get.
func (a *attempt) checkKeys(ctx context.Context, u *seen) error {
	keys, err := a.mobileKeys(ctx, u)
	if err != nil {
		return err
	}
	listed := func(id string) bool {
		return slices.ContainsFunc(keys, func(c seam.Credential) bool { return c.ACSCredentialID == id })
	}
	if u.CredentialID == nil || listed(*u.CredentialID) {
		if len(keys) > 0 {
			u.takeKeys(keys)
		}
		return nil
	}
	recorded, err := a.seam.Credential(ctx, *u.CredentialID)
	switch {
	case err == nil:
		u.takeKeys(append(keys, recorded))
		return nil
	case seam.KindOf(err) != seam.NotFound:
		return err
	case u.CredentialMarkedAt != nil && a.now().Before(u.CredentialMarkedAt.Add(a.options.Grace)):
		return &waitError{u.CredentialMarkedAt.Add(a.options.Grace), "a new credential may not show up at once"}
	}
	a.note("credential %s has been deleted, not by us", *u.CredentialID)
	u.forgetKey()
	if len(keys) > 0 {
		u.takeKeys(keys)
	}
	a.uncertain() // should the reads have lagged, the surplus one is found again
	return nil
}

func (a *attempt) saveUnlessPreview(ctx context.Context, u *seen) error {
	if a.preview {
		return nil
	}
	return a.save(ctx, u)
}
