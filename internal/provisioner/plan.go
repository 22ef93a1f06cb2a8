package provisioner

import (
	"fmt"
	"slices"
	"time"

	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/store"
)

// seen is one ACS user of the reservation: what is recorded of it, corrected by what was read from Seam.
type seen struct {
	store.ACSUser
	unlinked     bool     // Seam links it to another identity than ours
	surplusUsers []string // ACS users that a lost create left beside it
	surplusKeys  []string // mobile keys beside the recorded one
}

// isDoubtful tells whether it is not known that the key opens doors.
func (u seen) isDoubtful() bool { return !u.Settled || u.CredentialProblem != nil }

// observed is what exists of a reservation, as far as is known.
type observed struct {
	users []seen // oldest first
}

// stepKind is what a step does.
type stepKind int

const (
	createIdentity stepKind = iota + 1
	createUser
	linkUser
	unsuspend
	setSchedule
	addGroup
	removeGroup
	createKey
	replaceKey
	deleteKey
	deleteSurplusUser
	deleteUser
)

// step is one changing call to Seam, with its reason.
type step struct {
	kind   stepKind
	user   int // index in observed.users; -1 for one that has no place yet
	path   string
	body   any
	reason string
}

// Placeholders for ids that earlier steps of the same plan will give.
const (
	newIdentityID = "{user_identity_id of the new user identity}"
	newUserID     = "{acs_user_id of the new ACS user}"
)

// standing returns the index of the ACS user that is, or is to become, the one that d asks for; -1 for none.
// Where no new one may be made, it is the newest that exists, whatever it was made for.
func standing(d desired, o observed) int {
	for i := len(o.users) - 1; i >= 0; i-- {
		u := o.users[i]
		fits := u.ACSSystemID == d.systemID && u.GuestKey == d.guestKey
		if u.DeletedAt == nil && (fits && d.create || !d.create && u.ACSUserID != nil) {
			return i
		}
	}
	return -1
}

// plan returns the changing calls that make o what d asks for, in order: open before close, extend before
// shrink, revoke last. It is pure, and empty exactly when nothing is left to do.
func plan(d desired, o observed, revive bool) []step {
	d = d.heldBack(o)
	var steps []step
	keep := -1
	if d.goal == have {
		keep = standing(d, o)
		switch {
		case keep < 0 && d.create:
			steps = append(steps, makeUser(d, -1, d.identityID)...)
		case keep >= 0:
			steps = append(steps, mendUser(d, o.users[keep], keep, revive)...)
		}
	}
	for i, u := range o.users {
		if i != keep && (u.DeletedAt == nil || u.Unsure) && removable(d, u) {
			for _, id := range u.surplusUsers {
				steps = append(steps, step{deleteSurplusUser, i, seam.PathUserDelete, seam.UserID{ACSUserID: id}, "a lost create left a second ACS user"})
			}
			if u.ACSUserID != nil {
				steps = append(steps, step{deleteUser, i, seam.PathUserDelete, seam.UserID{ACSUserID: *u.ACSUserID}, whyRemoved(d)})
			}
		}
	}
	return steps
}

// removable tells whether an ACS user that does not stand for the reservation may go now. After a stay it is
// kept for a while, unless it would open doors for longer than the stay lasted.
func removable(d desired, u seen) bool {
	if d.goal != over {
		return true
	}
	return u.EndsAt == nil || u.EndsAt.After(d.ends)
}

func whyRemoved(d desired) string {
	switch {
	case d.expired:
		return "the stay is over"
	case d.revoked != "":
		return "an admin revoked the key"
	case d.goal == gone:
		return "the reservation is cancelled"
	default:
		return "the new key is in place: this one is of another guest or access system"
	}
}

// makeUser is the way to a new ACS user with its key; identityID is "" while the guest has no place.
func makeUser(d desired, index int, identityID string) []step {
	var steps []step
	if identityID == "" {
		identityID = newIdentityID
		steps = append(steps, step{createIdentity, index, seam.PathIdentityCreate, seam.CreateUserIdentity{Key: firstOf(d.guestKey, d.ownKey), EmailAddress: d.email}, "the guest needs a user identity"})
	}
	return append(steps,
		step{createUser, index, seam.PathUserCreate, seam.CreateACSUser{
			ACSSystemID: d.systemID, UserIdentityID: identityID, FullName: d.fullName,
			AccessSchedule: seam.NewSchedule(d.starts, d.ends), ACSAccessGroupIDs: d.groups,
		}, "the stay has no ACS user"},
		step{createKey, index, seam.PathCredentialCreate, seam.MobileKeyOf(newUserID), "the ACS user has no mobile key"})
}

// mendUser brings an ACS user that exists, or has at least a place, to what d asks for.
func mendUser(d desired, u seen, index int, revive bool) []step {
	if u.RemovedAt != nil && (!revive || !d.create) {
		return nil // somebody deleted it on purpose
	}
	if u.ACSUserID == nil || u.RemovedAt != nil {
		if !d.create {
			return nil
		}
		return makeUser(d, index, u.UserIdentityID)
	}
	if u.SuspendedAt != nil && !revive {
		return nil // somebody suspended it on purpose
	}
	id := *u.ACSUserID
	var steps []step
	add := func(kind stepKind, path string, body any, reason string) {
		steps = append(steps, step{kind, index, path, body, reason})
	}
	if u.unlinked {
		add(linkUser, seam.PathIdentityAddUser, seam.LinkACSUser{UserIdentityID: u.UserIdentityID, ACSUserID: id}, "the ACS user is not linked to its identity")
	}
	if !d.starts.IsZero() && d.ends.After(d.starts) && !(sameInstant(u.StartsAt, d.starts) && sameInstant(u.EndsAt, d.ends)) {
		add(setSchedule, seam.PathUserUpdate, seam.UpdateACSUser{ACSUserID: id, AccessSchedule: seam.NewSchedule(d.starts, d.ends)}, "access lasts from check-in to check-out")
	}
	if !d.keepGroups && (len(d.groups) == 0 || u.ACSSystemID == d.systemID) {
		for _, g := range d.groups {
			if !slices.Contains(u.AccessGroupIDs, g) {
				add(addGroup, seam.PathGroupAdd, seam.GroupMembership{ACSUserID: id, ACSAccessGroupID: g}, "the listing has this access group")
			}
		}
		for _, g := range u.AccessGroupIDs {
			if !slices.Contains(d.groups, g) {
				add(removeGroup, seam.PathGroupRemove, seam.GroupMembership{ACSUserID: id, ACSAccessGroupID: g}, "the listing does not have this access group")
			}
		}
	}
	if u.CredentialID != nil && *u.CredentialID == d.replace { // first: the phone that has it may be in other hands
		add(replaceKey, seam.PathCredentialDelete, seam.CredentialID{ACSCredentialID: *u.CredentialID}, "an admin wants a new mobile key in its place")
	}
	if u.CredentialID == nil || *u.CredentialID == d.replace {
		add(createKey, seam.PathCredentialCreate, seam.MobileKeyOf(id), "the ACS user has no mobile key")
	}
	if u.SuspendedAt != nil {
		add(unsuspend, seam.PathUserUnsuspend, seam.UserID{ACSUserID: id}, "an admin or a later event wants the key back")
	}
	for _, surplus := range u.surplusKeys {
		add(deleteKey, seam.PathCredentialDelete, seam.CredentialID{ACSCredentialID: surplus}, "the ACS user has a second mobile key")
	}
	for _, surplus := range u.surplusUsers {
		add(deleteSurplusUser, seam.PathUserDelete, seam.UserID{ACSUserID: surplus}, "a lost create left a second ACS user")
	}
	return steps
}

func sameInstant(a *time.Time, b time.Time) bool {
	return a != nil && a.Truncate(time.Millisecond).Equal(b.Truncate(time.Millisecond))
}

// String names a step in errors and logs.
func (s step) String() string { return fmt.Sprintf("%s (%s)", s.path, s.reason) }
