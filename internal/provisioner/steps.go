package provisioner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/store"
)

// do makes one step's call and commits what came of it before anything else is done.
func (a *attempt) do(ctx context.Context, d desired, s step) error {
	a.reason = s.reason
	var u *seen
	if s.user >= 0 {
		u = &a.seen.users[s.user]
	}
	switch s.kind {
	case createIdentity:
		return a.takePlace(ctx, d)
	case createUser:
		return a.createUser(ctx, d, s.user)
	case createKey:
		return a.createKey(ctx, u)
	case deleteUser:
		return a.deleteUser(ctx, d, u)
	}
	// What follows may be repeated without harm, but not forgotten: should its answer be lost and the wish
	// change, what it did must still be found.
	a.before, a.started = u.ACSUser, a.now()
	deadline := a.started.Add(a.seam.Timeout())
	u.Unsure, u.UnsureGeneration, u.ChangedAt = true, a.work.Key.Generation, &deadline
	if err := a.saveMark(ctx, u); err != nil {
		return err
	}
	switch s.kind {
	case setSchedule:
		return a.change(ctx, u, a.seam.UpdateACSUser(ctx, s.body.(seam.UpdateACSUser)), func() {
			u.StartsAt, u.EndsAt = &d.starts, &d.ends
		})
	case addGroup:
		return a.addGroup(ctx, u, s.body.(seam.GroupMembership))
	case removeGroup:
		return a.removeGroup(ctx, u, s.body.(seam.GroupMembership))
	case linkUser:
		return a.change(ctx, u, a.seam.LinkACSUser(ctx, s.body.(seam.LinkACSUser)), func() { u.unlinked = false })
	case unsuspend:
		return a.change(ctx, u, a.seam.UnsuspendACSUser(ctx, *u.ACSUserID), func() { u.SuspendedAt = nil })
	case replaceKey:
		return a.change(ctx, u, unlessGone(a.seam.DeleteCredential(ctx, *u.CredentialID)), func() {
			u.forgetKey()
		})
	case deleteKey:
		id := s.body.(seam.CredentialID).ACSCredentialID
		return a.change(ctx, u, unlessGone(a.seam.DeleteCredential(ctx, id)), func() {
			u.surplusKeys = slices.DeleteFunc(u.surplusKeys, func(k string) bool { return k == id })
		})
	case deleteSurplusUser:
		id := s.body.(seam.UserID).ACSUserID
		return a.change(ctx, u, unlessGone(a.seam.DeleteACSUser(ctx, id)), func() {
			u.surplusUsers = slices.DeleteFunc(u.surplusUsers, func(k string) bool { return k == id })
		})
	default:
		return fmt.Errorf("unknown step %d", s.kind)
	}
}

// unlessGone takes a 404 on a delete for its success.
func unlessGone(err error) error {
	if seam.KindOf(err) == seam.NotFound {
		return nil
	}
	return err
}

// change commits the result of a call that may be repeated without harm. A user that is not there any more is
// looked at closely.
func (a *attempt) change(ctx context.Context, u *seen, err error, apply func()) error {
	a.changes++
	switch {
	case err == nil:
		now := a.now()
		u.Unsure, u.ChangedAt, u.Settled = false, &now, false
		apply()
	case seam.KindOf(err) == seam.Lost:
		a.uncertain() // it may yet take effect, behind what comes next
		lost := a.lostUntil(a.started)
		u.ChangedAt = &lost
	default: // nothing happened; what an earlier one may have done is as unknown as it was
		u.Unsure, u.UnsureGeneration, u.ChangedAt = a.before.Unsure, a.before.UnsureGeneration, a.before.ChangedAt
	}
	if saved := a.save(ctx, u); saved != nil {
		return saved
	}
	if seam.KindOf(err) == seam.NotFound {
		return a.confirmRemoved(ctx, u, err)
	}
	return err
}

// confirmRemoved follows a 404 on a change: if the ACS user is gone, that is what the attempt finds; else the
// 404 was about something else and stands.
func (a *attempt) confirmRemoved(ctx context.Context, u *seen, cause error) error {
	if seam.TypeOf(cause) == "acs_user_not_found" {
		// A write that doesn't find it is better evidence than any read, once it must be known everywhere.
		if err := a.tooNew(u); err != nil {
			return err
		}
		a.foundRemoved(u)
		if err := a.save(ctx, u); err != nil {
			return err
		}
		return errReplan
	}
	if err := a.check(ctx, u); err != nil {
		return err
	}
	if u.RemovedAt != nil {
		return errReplan
	}
	return cause
}

// takePlace finds the identity that the new ACS user will be linked to, and claims its place on the access
// system: the guest's own, where that is known to be free, else one of the reservation's own.
func (a *attempt) takePlace(ctx context.Context, d desired) error {
	if d.guestKey != "" && !a.notGuest {
		identity, fresh, err := a.guestIdentity(ctx, d)
		switch {
		case errors.Is(err, errReplan):
			a.notGuest = true
		case err != nil:
			return err
		default:
			ok, err := a.claim(ctx, d, identity, fresh)
			if ok || err != nil {
				return err
			}
			a.notGuest = true
		}
	}
	for n := range ownIdentities {
		identity, fresh, err := a.ownIdentity(ctx, n)
		if err != nil {
			return err
		}
		if ok, err := a.claim(ctx, d, identity, fresh); ok || err != nil {
			return err
		}
	}
	return errors.New("no identity with a free place could be made")
}

// ownIdentities is how many identities of its own a reservation may need at once: one, another while the guest
// changes, and one for each guest and access system whose lost create is still looked after, for ten minutes.
const ownIdentities = 32

// claim takes the place of an identity on the access system, with the mark for the create that follows. It is
// false where the place is taken, by another stay of ours or by somebody else's ACS user. An ACS user that we made for this very
// stay and know nothing of, because the database was restored to a time before, is taken over by the mark as a lost create's is.
func (a *attempt) claim(ctx context.Context, d desired, identity store.UserIdentity, fresh bool) (bool, error) {
	u := seen{ACSUser: store.ACSUser{
		Source: a.work.Reservation.Source, ReservationID: a.work.Reservation.ReservationID, ACSSystemID: d.systemID,
		UserIdentityKey: identity.Key, UserIdentityID: *identity.ID, GuestKey: d.guestKey,
	}}
	known := false // an ACS user of this stay is there already
	if !fresh {
		taken, err := a.store.PlaceTaken(ctx, d.systemID, *identity.ID)
		if taken || err != nil {
			return false, err
		}
		a.reason = "whether the identity has an ACS user on the access system"
		ours, others, err := a.find(ctx, &u)
		if seam.KindOf(err) == seam.NotFound {
			return false, a.forgetIdentity(ctx, identity)
		}
		if err != nil {
			return false, err
		}
		if known, err = a.isStillThere(ctx, ours, identity); err != nil {
			return false, err
		}
		if others || (len(ours) > 0 && !known) {
			a.note("the user identity already has an ACS user on access system %s", d.systemID)
			return false, nil
		}
	}
	taken := false
	err := a.commit(ctx, func(ctx context.Context, tx pgx.Tx, stale bool) error {
		if stale { // the identity is worth keeping; the place is not wanted now
			return store.SaveUserIdentity(ctx, tx, identity)
		}
		if err := store.SaveUserIdentity(ctx, tx, identity); err != nil {
			return err
		}
		ok, err := store.ClaimPlace(ctx, tx, &u.ACSUser)
		if err != nil || !ok {
			taken = !ok
			return err
		}
		a.mark(&u, d)
		return store.SaveACSUser(ctx, tx, u.ACSUser)
	})
	if taken {
		return false, err
	}
	if err != nil {
		return false, err
	}
	a.fresh[u.ID] = !known
	a.seen.users = append(a.seen.users, u)
	return true, nil
}

// isStillThere tells whether the first of some listed ACS users, of an identity that we made, is there when it is asked for by
// itself: lists may show for a while what has been deleted.
func (a *attempt) isStillThere(ctx context.Context, listed []seam.ACSUser, identity store.UserIdentity) (bool, error) {
	if len(listed) == 0 || !identity.Made {
		return false, nil
	}
	from, err := a.seam.ACSUser(ctx, listed[0].ACSUserID)
	if seam.KindOf(err) == seam.NotFound {
		return false, nil
	}
	return err == nil && !isGone(from), err
}

// mark writes down what the create that follows is about to make. A mark that an earlier create left keeps
// its time: what that one may have made came after it.
func (a *attempt) mark(u *seen, d desired) {
	if u.MarkedAt == nil {
		now := a.now()
		u.MarkedAt = &now
	}
	u.LostAt = nil
	u.StartsAt, u.EndsAt, u.AccessGroupIDs = &d.starts, &d.ends, slices.Clone(d.groups)
}

// guestIdentity returns the identity of the guest's address: the one we know, one that we make, or one that
// somebody else made. fresh means that it was made just now, so that it can't have an ACS user yet. errReplan
// says that the address can't be used.
func (a *attempt) guestIdentity(ctx context.Context, d desired) (identity store.UserIdentity, fresh bool, err error) {
	identity, err = a.knownIdentity(ctx, d.guestKey, false)
	if err != nil || identity.ID != nil {
		return identity, false, err
	}
	created, err := a.makeIdentity(ctx, &identity, seam.CreateUserIdentity{Key: d.guestKey, EmailAddress: d.email})
	if err == nil {
		id := created.UserIdentityID
		identity.ID, identity.Made, identity.LostAt = &id, true, nil
		return identity, true, nil
	}
	if kind := seam.KindOf(err); kind != seam.Invalid && kind != seam.NotFound {
		return identity, false, err
	}
	// Refused: the key or the address exists already, or Seam doesn't take the address.
	a.reason = "who has the guest's user identity"
	byKey, lookup := a.seam.UserIdentityByKey(ctx, d.guestKey)
	switch {
	case lookup == nil && strings.EqualFold(byKey.EmailAddress, d.email):
		id := byKey.UserIdentityID
		identity.ID, identity.Made, identity.LostAt = &id, true, nil
		return identity, false, nil
	case lookup == nil:
		a.note("the user identity with our key has another e-mail address by now and is left alone")
		return identity, false, errReplan
	case seam.KindOf(lookup) != seam.NotFound:
		return identity, false, lookup
	}
	list, lookup := a.seam.SearchUserIdentities(ctx, d.email)
	if lookup != nil {
		return identity, false, lookup
	}
	for _, other := range list {
		if strings.EqualFold(strings.TrimSpace(other.EmailAddress), d.email) {
			id := other.UserIdentityID
			identity.ID, identity.Made, identity.LostAt = &id, false, nil
			a.note("user identity %s, made by somebody else for this address, is linked", id)
			return identity, false, nil
		}
	}
	return identity, false, a.unseenIdentity(ctx, &identity, errReplan)
}

// ownIdentity returns the nth identity of the reservation's own.
func (a *attempt) ownIdentity(ctx context.Context, n int) (identity store.UserIdentity, fresh bool, err error) {
	key := a.ownKey(a.work.Reservation.Ref(), n)
	identity, err = a.knownIdentity(ctx, key, true)
	if err != nil || identity.ID != nil {
		return identity, false, err
	}
	a.reason = "the guest's own user identity can't be used for this stay"
	created, err := a.makeIdentity(ctx, &identity, seam.CreateUserIdentity{Key: key})
	if err == nil {
		id := created.UserIdentityID
		identity.ID, identity.Made, identity.LostAt = &id, true, nil
		return identity, true, nil
	}
	if kind := seam.KindOf(err); kind != seam.Invalid && kind != seam.NotFound {
		return identity, false, err
	}
	a.reason = "whether the reservation's own user identity exists"
	byKey, lookup := a.seam.UserIdentityByKey(ctx, key)
	switch seam.KindOf(lookup) {
	case 0:
		id := byKey.UserIdentityID
		identity.ID, identity.Made, identity.LostAt = &id, true, nil
		return identity, false, nil
	case seam.NotFound:
		return identity, false, a.unseenIdentity(ctx, &identity, err)
	default:
		return identity, false, lookup
	}
}

// unseenIdentity handles a create that was refused although no look-up finds why. Reads may lag: that is
// believed, and otherwise returned, only after the grace.
func (a *attempt) unseenIdentity(ctx context.Context, identity *store.UserIdentity, otherwise error) error {
	if identity.LostAt == nil {
		now := a.now()
		identity.LostAt = &now
		if err := a.saveIdentity(ctx, *identity); err != nil {
			return err
		}
	}
	if until := identity.LostAt.Add(a.options.Grace); a.now().Before(until) {
		return &waitError{until, "Seam refuses a user identity that it doesn't show yet"}
	}
	return otherwise
}

func (a *attempt) knownIdentity(ctx context.Context, key string, own bool) (store.UserIdentity, error) {
	identity, err := a.store.UserIdentity(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return store.UserIdentity{Key: key, Own: own, CreatedAt: a.now()}, nil
	}
	return identity, err
}

// makeIdentity marks and creates an identity. Its key is unique at Seam, so that a lost create is found when
// it is tried again.
func (a *attempt) makeIdentity(ctx context.Context, identity *store.UserIdentity, in seam.CreateUserIdentity) (seam.UserIdentity, error) {
	identity.Made = true
	if err := a.saveIdentity(ctx, *identity); err != nil {
		return seam.UserIdentity{}, err
	}
	a.changes++
	return a.seam.CreateUserIdentity(ctx, in)
}

func (a *attempt) saveIdentity(ctx context.Context, identity store.UserIdentity) error {
	return a.commit(ctx, func(ctx context.Context, tx pgx.Tx, _ bool) error { return store.SaveUserIdentity(ctx, tx, identity) })
}

// forgetIdentity follows Seam saying that an identity does not exist any more.
func (a *attempt) forgetIdentity(ctx context.Context, identity store.UserIdentity) error {
	a.note("user identity %s is gone from Seam", deref(identity.ID))
	identity.ID, identity.LostAt = nil, nil
	if err := a.saveIdentity(ctx, identity); err != nil {
		return err
	}
	return errReplan
}

// createUser makes the ACS user of a place that is ours.
func (a *attempt) createUser(ctx context.Context, d desired, i int) error {
	u := &a.seen.users[i]
	if u.RemovedAt != nil { // deleted by somebody, and wanted back
		u.ACSUserID, u.MadeAt, u.MarkedAt, u.LostAt, u.RemovedAt, u.SuspendedAt, u.Problem = nil, nil, nil, nil, nil, nil, nil
		u.surplusKeys = nil
		u.forgetKey()
	}
	if !a.fresh[u.ID] {
		a.reason = "whether the identity has an ACS user on the access system"
		found, others, err := a.find(ctx, u)
		switch {
		case seam.KindOf(err) == seam.NotFound:
			return a.release(ctx, i, true)
		case err != nil:
			return err
		case len(found) > 0 && u.MarkedAt != nil:
			a.adopt(u, found)
			if err := a.save(ctx, u); err != nil {
				return err
			}
			return a.check(ctx, u)
		case others || len(found) > 0:
			a.note("the user identity has an ACS user of somebody else on access system %s", u.ACSSystemID)
			a.notGuest = true
			return a.release(ctx, i, false)
		}
	}
	if u.MarkedAt == nil || !a.fresh[u.ID] || u.LostAt != nil {
		a.mark(u, d)
		if err := a.saveMark(ctx, u); err != nil {
			return err
		}
	}
	a.fresh[u.ID] = false
	a.reason = "the stay has no ACS user"
	a.changes++
	started := a.now()
	made, err := a.seam.CreateACSUser(ctx, seam.CreateACSUser{
		ACSSystemID: u.ACSSystemID, UserIdentityID: u.UserIdentityID, FullName: d.fullName,
		AccessSchedule: seam.NewSchedule(d.starts, d.ends), ACSAccessGroupIDs: d.groups,
	})
	switch seam.KindOf(err) {
	case 0:
		return a.recordUser(ctx, d, i, made)
	case seam.Lost:
		lost := a.lostUntil(started)
		u.LostAt = &lost
		a.uncertain()
		if saved := a.save(ctx, u); saved != nil {
			return saved
		}
		return err
	default:
		return a.userRefused(ctx, d, i, err)
	}
}

// recordUser takes over what the create answered, unless that is somebody else's: some systems may answer
// with the ACS user that the identity already has.
func (a *attempt) recordUser(ctx context.Context, d desired, i int, made seam.ACSUser) error {
	u := &a.seen.users[i]
	foreign := strings.TrimSpace(made.FullName) != strings.TrimSpace(d.fullName) || made.ACSSystemID != u.ACSSystemID || made.ACSUserID == ""
	if !foreign {
		now := a.now()
		u.ACSUserID, u.MadeAt, u.LostAt, u.ChangedAt, u.Unsure = &made.ACSUserID, &now, nil, &now, false
		u.forgetKey()
		u.CredentialMarkedAt = &now
		u.readState(made, now)
		u.Settled, u.unlinked = false, false
		err := a.commit(ctx, func(ctx context.Context, tx pgx.Tx, stale bool) error {
			if stale { // no credential will be made now
				u.CredentialMarkedAt = nil
			}
			return store.SaveACSUser(ctx, tx, u.ACSUser)
		})
		if !errors.Is(err, store.ErrHeld) {
			return err
		}
		u.ACSUserID, u.MadeAt, u.CredentialMarkedAt = nil, nil, nil
	}
	a.note("Seam answered with the ACS user of another stay: this one gets an identity of its own")
	a.notGuest = true
	return a.release(ctx, i, false)
}

// userRefused finds out why Seam refused an ACS user, and judges by what is there.
func (a *attempt) userRefused(ctx context.Context, d desired, i int, cause error) error {
	u := &a.seen.users[i]
	if u.LostAt == nil { // nothing can have been made: no mark is needed
		u.MarkedAt = nil
		if err := a.save(ctx, u); err != nil {
			return err
		}
	}
	api := new(seam.Error)
	if kind := seam.KindOf(cause); (kind != seam.Invalid && kind != seam.NotFound) || !errors.As(cause, &api) {
		return cause
	}
	if api.Type == "user_identity_not_found" {
		return a.release(ctx, i, true)
	}
	if api.Type == "acs_system_not_found" {
		return cause
	}
	if system, err := a.seam.System(ctx, u.ACSSystemID); err == nil && len(system.Errors) > 0 {
		a.systemSeen(ctx, system)
		api.Type = firstOf(system.Disconnected(), system.Errors[0].ErrorCode, api.Type)
		return cause
	}
	if seam.IsDisconnection(api.Type) {
		return cause
	}
	a.reason = "why Seam refused the ACS user"
	ours, others, err := a.find(ctx, u)
	if err != nil {
		return err
	}
	if others && len(ours) == 0 {
		a.notGuest = true
		return a.release(ctx, i, false)
	}
	before := fmt.Sprint(d.groups, d.systemID)
	a.directory.forget(a.work.Listing.Groups())
	again, err := a.desired(ctx)
	if err != nil {
		return err
	}
	if fmt.Sprint(again.groups, again.systemID) != before {
		return errReplan
	}
	return cause
}

// release gives a place back; with the identity, where Seam says that it is gone.
func (a *attempt) release(ctx context.Context, i int, identityGone bool) error {
	u := a.seen.users[i]
	identity, err := a.store.UserIdentity(ctx, u.UserIdentityKey)
	if err != nil {
		return err
	}
	if identityGone {
		a.note("user identity %s is gone from Seam", u.UserIdentityID)
		identity.ID, identity.LostAt = nil, nil
	}
	err = a.commit(ctx, func(ctx context.Context, tx pgx.Tx, _ bool) error {
		if err := store.DeleteACSUser(ctx, tx, u.ID); err != nil {
			return err
		}
		return store.SaveUserIdentity(ctx, tx, identity)
	})
	if err != nil {
		return err
	}
	a.drop(i)
	return errReplan
}

// createKey makes the mobile key of an ACS user.
func (a *attempt) createKey(ctx context.Context, u *seen) error {
	// The mark stands already where this attempt made the user: it can have no key yet.
	justMade := u.CredentialMarkedAt != nil && u.CredentialLostAt == nil && u.MadeAt != nil && u.CredentialMarkedAt.Equal(*u.MadeAt)
	if !justMade {
		a.reason = "whether the ACS user has a mobile key"
		keys, err := a.mobileKeys(ctx, u)
		if seam.KindOf(err) == seam.NotFound {
			return a.confirmRemoved(ctx, u, err)
		}
		if err != nil {
			return err
		}
		if len(keys) > 0 {
			u.takeKeys(keys)
			return a.save(ctx, u)
		}
		now := a.now()
		u.CredentialMarkedAt, u.CredentialLostAt = &now, nil
		if err := a.saveMark(ctx, u); err != nil {
			return err
		}
	}
	a.reason = "the ACS user has no mobile key"
	a.changes++
	started := a.now()
	made, err := a.seam.CreateCredential(ctx, seam.MobileKeyOf(*u.ACSUserID))
	switch seam.KindOf(err) {
	case 0:
		now := a.now()
		u.CredentialID, u.CredentialLostAt, u.Settled, u.ChangedAt = &made.ACSCredentialID, nil, false, &now
		u.CredentialProblem = made.Problem()
		a.options.Activity.Add(a.work.Reservation.Source, store.ActivityMade, now)
		return a.save(ctx, u)
	case seam.Lost:
		lost := a.lostUntil(started)
		u.CredentialLostAt = &lost
		a.uncertain()
	default:
		u.CredentialMarkedAt = nil
	}
	if saved := a.save(ctx, u); saved != nil {
		return saved
	}
	if seam.KindOf(err) == seam.NotFound {
		return a.confirmRemoved(ctx, u, err)
	}
	return err
}

// errGroupUnknown is Seam's error.type for an access group that it doesn't have.
const errGroupUnknown = "acs_access_group_not_found"

// addGroup opens a group's doors. After a refusal it judges by what is there.
func (a *attempt) addGroup(ctx context.Context, u *seen, in seam.GroupMembership) error {
	err := a.seam.AddToAccessGroup(ctx, in)
	if seam.TypeOf(err) == errGroupUnknown {
		a.directory.put(in.ACSAccessGroupID, "", false)
		err = errReplan
	}
	if seam.KindOf(err) == seam.Invalid {
		a.reason = "why Seam refused the access group"
		groups, lookup := a.seam.AccessGroups(ctx, in.ACSUserID)
		if lookup == nil && slices.ContainsFunc(groups, func(g seam.AccessGroup) bool { return g.ACSAccessGroupID == in.ACSAccessGroupID }) {
			err = nil
		}
	}
	return a.change(ctx, u, err, func() {
		u.AccessGroupIDs = append(slices.Clone(u.AccessGroupIDs), in.ACSAccessGroupID)
		slices.Sort(u.AccessGroupIDs)
	})
}

// removeGroup closes a group's doors. A group that is gone is closed.
func (a *attempt) removeGroup(ctx context.Context, u *seen, in seam.GroupMembership) error {
	err := a.seam.RemoveFromAccessGroup(ctx, in)
	if seam.TypeOf(err) == errGroupUnknown {
		err = nil
	}
	return a.change(ctx, u, err, func() {
		u.AccessGroupIDs = slices.DeleteFunc(slices.Clone(u.AccessGroupIDs), func(g string) bool { return g == in.ACSAccessGroupID })
	})
}

// deleteUser removes an ACS user that is not wanted any more: of a stay that goes on only after the one that
// takes its place is known to open doors.
func (a *attempt) deleteUser(ctx context.Context, d desired, u *seen) error {
	if d.goal == have {
		if i := standing(d, a.seen); i >= 0 && a.needsReadBack(d, a.seen.users[i]) && a.seen.users[i].isDoubtful() {
			if err := a.readBack(ctx, d, i); err != nil {
				return err
			}
			if err := a.opensYet(a.seen.users[i], *u); err != nil {
				return err
			}
		}
	}
	// Marked before: should the answer be lost and the reservation be reinstated, this ACS user is not trusted.
	now, before := a.now(), u.ACSUser
	u.DeletedAt, u.Settled, u.Unsure = &now, false, true
	if err := a.saveMark(ctx, u); err != nil {
		return err
	}
	a.reason = whyRemoved(d)
	a.changes++
	err := a.seam.DeleteACSUser(ctx, *u.ACSUserID)
	switch seam.KindOf(err) {
	case 0:
		u.Unsure = false
		a.options.Activity.Add(a.work.Reservation.Source, store.ActivityRemoved, now)
	case seam.Lost:
		lost := a.lostUntil(now)
		u.DeletedAt = &lost
	case seam.NotFound:
		if err = a.tooNew(u); err != nil {
			u.DeletedAt, u.Unsure = before.DeletedAt, before.Unsure
			break
		}
		u.Unsure = false
	default: // nothing happened; what an earlier one may have done is as unknown as it was
		u.DeletedAt, u.Unsure = before.DeletedAt, before.Unsure
	}
	if saved := a.save(ctx, u); saved != nil {
		return saved
	}
	return err
}

// opensYet returns what the old key of a stay stays for: until the new one is on the access system. Where that lacks nothing but a
// subscription, and the old key may have the one it waits for, the old one goes: it is another guest's.
func (a *attempt) opensYet(u, old seen) error {
	switch {
	case u.Problem != nil && *u.Problem == problemSubscriptions && u.ACSSystemID == old.ACSSystemID:
		return nil
	case u.Problem != nil:
		return oldKeyStays(explainProblem(*u.Problem))
	case u.CredentialProblem != nil:
		return oldKeyStays(explainKeyProblem(*u.CredentialProblem))
	case u.Settled:
		return nil
	default:
		return &waitError{a.now().Add(a.settleDelay()), "the new key is not on the access system yet: the old one stays until it is"}
	}
}

// finishUp does what no plan shows: it reads back what was changed, and sees what was deleted off. errReplan
// says that the plan may have more now.
func (a *attempt) finishUp(ctx context.Context, d desired) error {
	keep := -1
	if d.goal == have {
		keep = standing(d, a.seen)
	}
	if keep >= 0 && a.needsReadBack(d, a.seen.users[keep]) {
		if err := a.readBack(ctx, d, keep); err != nil {
			return err
		}
	}
	for i, u := range a.seen.users {
		if i == keep {
			continue
		}
		if err := a.seeOff(ctx, u); err != nil {
			return err
		}
	}
	if d.goal == gone && len(a.seen.users) == 0 {
		return a.removeStrays(ctx)
	}
	return nil
}

func (a *attempt) needsReadBack(d desired, u seen) bool {
	if u.ACSUserID == nil || u.RemovedAt != nil {
		return false
	}
	began := !a.now().Before(d.starts) && !d.starts.IsZero()
	return u.isDoubtful() || u.unlinked || (began && !u.Subscribed)
}

// readBack asks Seam how an ACS user is doing. What differs from what we wrote may still be on its way; it is
// looked at again after the grace.
func (a *attempt) readBack(ctx context.Context, d desired, i int) error {
	u := &a.seen.users[i]
	a.reason = "whether everything has reached the access system"
	from, err := a.seam.ACSUser(ctx, *u.ACSUserID)
	if seam.KindOf(err) == seam.NotFound || (err == nil && isGone(from)) {
		return a.checkAnew(ctx, u)
	}
	if err != nil {
		return err
	}
	u.readState(from, a.now())
	u.unlinked = false
	if s := from.AccessSchedule; s == nil || !sameInstant(u.StartsAt, seam.ParseTime(s.StartsAt)) || !sameInstant(u.EndsAt, seam.ParseTime(s.EndsAt)) {
		u.Settled = false
		a.recheckAt(a.now().Add(a.options.Grace))
	}
	if u.CredentialProblem != nil {
		a.reason = "whether the mobile key is still in trouble"
		key, err := a.seam.Credential(ctx, *u.CredentialID)
		if seam.KindOf(err) == seam.NotFound {
			return a.checkAnew(ctx, u)
		}
		if err != nil {
			return err
		}
		u.CredentialProblem = key.Problem()
	}
	return a.save(ctx, u)
}

// checkAnew compares everything, because something is not there any more: errReplan.
func (a *attempt) checkAnew(ctx context.Context, u *seen) error {
	if err := a.check(ctx, u); err != nil {
		return err
	}
	return errReplan
}

// seeOff follows an ACS user that is not wanted any more to its end. errReplan says that something has moved:
// its row is gone, or it turned out to be there still.
func (a *attempt) seeOff(ctx context.Context, u seen) error {
	switch {
	case u.ACSUserID == nil && u.MarkedAt == nil:
	case u.ACSUserID == nil:
		// A lost create that has not shown up; the row stays for the look-ups to come.
		if a.lostAt != nil && (a.now().Sub(*a.lostAt) < lastRecheck || !a.checked) {
			return nil
		}
	case u.DeletedAt == nil:
		return nil // kept for a while after its stay
	default:
		if err := a.confirmDeleted(ctx, u); err != nil {
			return err
		}
		if a.lostAt != nil && a.now().Sub(*a.lostAt) < lastRecheck {
			return a.keepLooking(ctx, u)
		}
	}
	forget, err := a.removeOwnIdentity(ctx, u)
	if err != nil {
		return err
	}
	err = a.commit(ctx, func(ctx context.Context, tx pgx.Tx, _ bool) error {
		if err := store.DeleteACSUser(ctx, tx, u.ID); err != nil || !forget {
			return err
		}
		return store.DeleteUserIdentity(ctx, tx, u.UserIdentityKey)
	})
	if err != nil {
		return err
	}
	a.drop(a.indexOf(u))
	return errReplan
}

// keepLooking turns the row of an ACS user that is gone back into a mark: a create was lost not long ago, and
// should reads have lagged by more than the grace, what it made still has to be found, and deleted.
func (a *attempt) keepLooking(ctx context.Context, u seen) error {
	mark := seen{ACSUser: store.ACSUser{
		ID: u.ID, Source: u.Source, ReservationID: u.ReservationID, ACSSystemID: u.ACSSystemID, UserIdentityKey: u.UserIdentityKey,
		UserIdentityID: u.UserIdentityID, GuestKey: u.GuestKey, MarkedAt: u.MarkedAt, LostAt: a.lostAt, AccessGroupIDs: []string{},
	}}
	if mark.MarkedAt == nil {
		mark.MarkedAt = u.MadeAt
	}
	if err := a.save(ctx, &mark); err != nil {
		return err
	}
	a.seen.users[a.indexOf(u)] = mark
	return errReplan
}

// confirmDeleted returns nil once Seam doesn't have an ACS user any more that we deleted.
func (a *attempt) confirmDeleted(ctx context.Context, u seen) error {
	a.reason = "whether the ACS user is gone"
	from, err := a.seam.ACSUser(ctx, *u.ACSUserID)
	switch {
	case seam.KindOf(err) == seam.NotFound && u.Unsure: // the delete's answer was lost, and the read may be older than the user
		return a.tooNew(&u)
	case seam.KindOf(err) == seam.NotFound:
		return nil
	case err != nil:
		return err
	case isGone(from):
		return a.stillGoing(u)
	case from.Reports(problemRemoval) && a.now().Before(u.DeletedAt.Add(a.slowRetry())): // behind it, it is deleted again
		return a.notRemoved(problemRemoval)
	case a.now().Before(u.DeletedAt.Add(a.options.Grace)):
		return &waitError{u.DeletedAt.Add(a.options.Grace), "Seam still shows the deleted ACS user"}
	}
	u.DeletedAt, u.Unsure = nil, false
	if err := a.check(ctx, &u); err != nil {
		return err
	}
	a.seen.users[a.indexOf(u)] = u
	return errReplan
}

// stillGoing is the wait for a deletion that Seam has under way: longer the longer it takes, and a person is told in the end.
func (a *attempt) stillGoing(u seen) error {
	since := a.now().Sub(*u.DeletedAt)
	if since >= removedWithin {
		return a.notRemoved("Seam has been at it since " + pms.FormatInstant(*u.DeletedAt))
	}
	return &waitError{a.now().Add(min(max(since/4, deletePoll), askForProblems)), "Seam is removing the ACS user"}
}

func (a *attempt) indexOf(u seen) int {
	return slices.IndexFunc(a.seen.users, func(x seen) bool { return x.ID == u.ID })
}

// makeRoom sees off an ACS user that is being deleted where a new one is to take the same place: the guest's
// identity should not be passed over for it. errReplan says that something has moved.
func (a *attempt) makeRoom(ctx context.Context, d desired) error {
	if d.goal != have || !d.create || standing(d, a.seen) >= 0 {
		return nil
	}
	for _, u := range a.seen.users {
		if u.DeletedAt == nil || u.ACSSystemID != d.systemID || u.GuestKey != d.guestKey {
			continue
		}
		if err := a.seeOff(ctx, u); err != nil {
			return err
		}
	}
	return nil
}

const (
	// deletePoll is how soon a deletion that Seam has under way is looked at.
	deletePoll = 2 * time.Second
	// removedWithin is how long it may take before a person should know that the key may still open doors.
	removedWithin = 15 * time.Minute
)

// removeOwnIdentity deletes the identity of an ACS user that is gone, if it is the reservation's own and
// nothing else is linked to it. It returns whether the identity can be forgotten.
func (a *attempt) removeOwnIdentity(ctx context.Context, u seen) (bool, error) {
	identity, err := a.store.UserIdentity(ctx, u.UserIdentityKey)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil || !identity.Own || !identity.Made {
		return false, err
	}
	if slices.ContainsFunc(a.seen.users, func(x seen) bool { return x.ID != u.ID && x.UserIdentityKey == u.UserIdentityKey }) {
		return false, nil
	}
	return a.deleteIdentity(ctx, identity, u.DeletedAt)
}

func (a *attempt) deleteIdentity(ctx context.Context, identity store.UserIdentity, deletedAt *time.Time) (bool, error) {
	if identity.ID == nil {
		return true, nil
	}
	a.reason = "whether anything is linked to the reservation's own user identity"
	linked, err := a.seam.ACSUsersOfIdentity(ctx, *identity.ID)
	if seam.KindOf(err) == seam.NotFound {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	if len(linked) > 0 { // deleting the identity would delete them too
		if deletedAt != nil && a.now().Before(deletedAt.Add(a.options.Grace)) {
			return false, &waitError{deletedAt.Add(a.options.Grace), "Seam still shows something linked to the user identity"}
		}
		a.note("user identity %s is kept: somebody linked another ACS user to it", *identity.ID)
		return false, nil
	}
	a.reason = "nothing is linked to the reservation's own user identity any more"
	a.changes++
	err = unlessGone(a.seam.DeleteUserIdentity(ctx, *identity.ID))
	return err == nil, err
}

// removeStrays deletes own identities of the reservation that no ACS user was ever made for.
func (a *attempt) removeStrays(ctx context.Context) error {
	keys := make([]string, ownIdentities)
	for n := range keys {
		keys[n] = a.ownKey(a.work.Reservation.Ref(), n)
	}
	strays, err := a.store.UserIdentities(ctx, keys)
	if err != nil {
		return err
	}
	for _, identity := range strays {
		if identity.ID == nil {
			a.reason = "whether a create without an answer made a user identity"
			byKey, err := a.seam.UserIdentityByKey(ctx, identity.Key)
			switch {
			case err == nil:
				identity.ID = &byKey.UserIdentityID
			case seam.KindOf(err) != seam.NotFound:
				return err
			case a.now().Before(identity.CreatedAt.Add(a.seam.Timeout() + a.options.Grace)):
				return &waitError{identity.CreatedAt.Add(a.seam.Timeout() + a.options.Grace), "a user identity may still show up"}
			}
		}
		forget, err := a.deleteIdentity(ctx, identity, nil)
		if err != nil {
			return err
		}
		if !forget {
			continue
		}
		if err := a.commit(ctx, func(ctx context.Context, tx pgx.Tx, _ bool) error {
			return store.DeleteUserIdentity(ctx, tx, identity.Key)
		}); err != nil {
			return err
		}
	}
	return nil
}
