package plan

import (
	"fmt"
	"slices"

	"github.com/staykey/staykey/internal/provisioner/record"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/stay"
)

// Kind is what a step does.
type Kind int

// The kinds of steps.
const (
	CreateIdentity Kind = iota + 1
	CreateUser
	LinkUser
	Unsuspend
	SetSchedule
	AddGroup
	RemoveGroup
	CreateKey
	ReplaceKey
	DeleteKey
	DeleteSurplusUser
	DeleteUser
	Rename // never in a [Plan]: see [Names]
)

// Opens reports whether a guest may need the step to get in: if Seam refuses it, the key that it would replace is
// kept.
func (k Kind) Opens() bool {
	switch k {
	case CreateIdentity, CreateUser, Unsuspend, SetSchedule, AddGroup, CreateKey, LinkUser:
		return true
	default:
		return false
	}
}

// Step is one changing call to Seam, with its reason.
type Step struct {
	Kind   Kind   // which call
	User   int    // index among the users; -1 for one without a slot yet
	Path   string // of the request
	Body   any    // of the request, to be encoded as JSON: the type of package seam for that path
	Reason string // for the timeline
}

// Part is the part of an ACS user that the step changes; "" for none that could be repaired.
func (s Step) Part() record.Part {
	switch s.Kind {
	case SetSchedule:
		return record.Hours
	case LinkUser:
		return record.Link
	case AddGroup, RemoveGroup:
		return record.AccessGroup(s.Body.(seam.GroupMembership).ACSAccessGroupID)
	case DeleteKey:
		return record.SecondKeys
	default:
		return ""
	}
}

// String names a step in errors and logs.
func (s Step) String() string { return fmt.Sprintf("%s (%s)", s.Path, s.Reason) }

// Placeholders for ids that earlier steps of the same plan will return.
const (
	newIdentityID = "{user_identity_id of the new user identity}"
	newUserID     = "{acs_user_id of the new ACS user}"
)

// Standing returns the index of the ACS user that is, or will become, the one that d asks for; -1 for none. users are
// sorted oldest first. It is the newest that fits; one that exists comes before a slot where one could be created,
// because a newer row may only be kept to look for the result of a lost create, and must not lead to a second ACS
// user. If no new one may be created, it is the newest that exists, whatever it was created for, or else the newest
// that somebody deleted.
func Standing(d Desired, users []record.User) int {
	if d.NoKey || d.Stays > 0 {
		return d.Stays - 1
	}
	second := -1 // a slot, or one that somebody deleted
	for i, u := range slices.Backward(users) {
		may := d.Create && Fits(d, u) || !d.Create && u.ACSUserID != nil
		switch {
		case u.DeletedAt != nil || !may:
		case u.Exists():
			return i
		case second < 0:
			second = i
		}
	}
	return second
}

// Fits reports whether an ACS user that exists can be the one that d asks for.
func Fits(d Desired, u record.User) bool {
	return u.ACSSystemID == d.SystemID && u.GuestKey == d.GuestKey && !leavesShared(d, u)
}

// leavesShared reports whether an ACS user that is linked to its guest's identity, which the guest's other stays may
// use too, is replaced by one with an identity of the stay's own: before the stay has begun, or when its mobile key
// is replaced anyway.
func leavesShared(d Desired, u record.User) bool {
	return d.PerStay && u.HasGuestsIdentity() && (d.Moves || d.Replace != "" && stay.Text(u.CredentialID) == d.Replace)
}

// Plan returns the changing calls that turn users, oldest first, into what d asks for. Hours are first, then doors
// (open before close), then the key, then the link; an ACS user that is no longer wanted is last. The plan is empty
// exactly when nothing is left to do. revive means that an admin, or a later event, wants back what somebody removed or
// suspended at Seam: once, for each generation.
func Plan(d Desired, users []record.User, revive bool) []Step {
	d = d.WithFirstKeyWaiting(users)
	var steps []Step
	keep := -1
	if d.Goal == Have {
		keep = Standing(d, users)
		switch {
		case keep < 0 && d.Create:
			steps = append(steps, makeUser(d, -1, d.IdentityID)...)
		case keep >= 0:
			steps = append(steps, repairUser(d, users[keep], keep, revive)...)
		}
	}
	left := onlyWayIn(users, keep)
	for i, u := range users {
		if i != keep && i != left && (u.DeletedAt == nil || u.Unsure) && removable(d, u) {
			steps = append(steps, deleteUser(u, i, WhyRemoved(d))...)
		}
	}
	return steps
}

// Names returns the calls that restore the names of ACS users. They come after everything else, and nothing depends on
// them: a name opens no door.
func Names(d Desired, users []record.User) []Step {
	d = d.WithFirstKeyWaiting(users)
	keep := Standing(d, users)
	if d.Goal != Have || keep < 0 || !users[keep].Renamed || !users[keep].Exists() || users[keep].SuspendedAt != nil {
		return nil
	}
	s := stepsOf{user: keep}
	body := seam.RenameACSUser{ACSUserID: *users[keep].ACSUserID, FullName: d.FullName}
	s.add(Rename, seam.PathUserUpdate, body, stay.WhyRenamed)
	return s.steps
}

// removable reports whether an ACS user other than the standing one may be deleted now. After a stay it is kept for a
// while, unless it would open doors longer than the stay lasted, or it is not known to be somebody else's leftover.
func removable(d Desired, u record.User) bool {
	if d.Goal != Over {
		return true
	}
	return u.EndsAt == nil || u.EndsAt.After(d.Ends) || u.Unsure
}

// onlyWayIn is the ACS user that is all its guest has left, because somebody deleted the one that replaces it; -1 for
// none. Of several it is the newest that nobody suspended, or else the newest: a guest needs one.
func onlyWayIn(users []record.User, keep int) int {
	left := -1
	if keep < 0 || !users[keep].IsOut() {
		return left
	}
	for i, u := range users {
		if i == keep || !u.Exists() || u.GuestKey != users[keep].GuestKey {
			continue
		}
		if left < 0 || u.SuspendedAt == nil || users[left].SuspendedAt != nil {
			left = i
		}
	}
	return left
}

// WhyRemoved is the reason for a deletion.
func WhyRemoved(d Desired) string {
	switch {
	case d.Expired:
		return "the stay is over"
	case d.Revoked != "":
		return "an admin revoked the key"
	case d.Goal == Gone:
		return "the reservation is cancelled"
	case d.NoKey:
		return "a gate is closed"
	default:
		return "the new key exists: this one belongs to another guest, user identity or access system"
	}
}

// stepsOf collects the steps for one ACS user.
type stepsOf struct {
	user  int
	steps []Step
}

func (s *stepsOf) add(kind Kind, path string, body any, reason string) {
	s.steps = append(s.steps, Step{kind, s.user, path, body, reason})
}

func deleteUser(u record.User, index int, reason string) []Step {
	s := stepsOf{user: index}
	s.deleteSurplus(u)
	if u.ACSUserID != nil {
		s.add(DeleteUser, seam.PathUserDelete, seam.UserID{ACSUserID: *u.ACSUserID}, reason)
	}
	return s.steps
}

// WhySurplus is the reason for the deletion of an ACS user that no stay needs.
const WhySurplus = "a lost create left a second ACS user"

// deleteSurplus deletes what a lost create left in addition. Whether that had an effect is found out after the plan.
func (s *stepsOf) deleteSurplus(u record.User) {
	for _, other := range u.Surplus {
		if other.DeletedAt == nil {
			s.add(DeleteSurplusUser, seam.PathUserDelete, seam.UserID{ACSUserID: other.ID}, WhySurplus)
		}
	}
}

func (s *stepsOf) createKey(userID string) {
	s.add(CreateKey, seam.PathCredentialCreate, seam.MobileKeyOf(userID), "the ACS user has no mobile key")
}

// makeUser lists the steps to a new ACS user with its key; identityID is "" while the guest has no slot.
func makeUser(d Desired, index int, identityID string) []Step {
	s := stepsOf{user: index}
	if identityID == "" {
		identityID = newIdentityID
		body := seam.CreateUserIdentity{Key: d.OwnKey}
		if d.GuestKey != "" && !d.PerStay {
			body = seam.CreateUserIdentity{Key: d.GuestKey, EmailAddress: d.Email}
		}
		s.add(CreateIdentity, seam.PathIdentityCreate, body, "the guest needs a user identity")
	}
	s.add(CreateUser, seam.PathUserCreate, seam.CreateACSUser{
		ACSSystemID: d.SystemID, UserIdentityID: identityID, FullName: d.FullName,
		AccessSchedule: seam.NewSchedule(d.Starts, d.Ends), ACSAccessGroupIDs: d.Groups,
	}, "the stay has no ACS user")
	s.createKey(newUserID)
	return s.steps
}

// The reasons for removing the remains of an ACS user that is gone.
const (
	whyCleared     = "somebody deleted it and it must be restored: its remains are removed first"
	whyDeletedLate = "a delete that was lost or refused took effect: the remains are removed first"
)

// repairUser lists the steps that turn an ACS user that exists, or at least has a slot, into what d asks for.
func repairUser(d Desired, u record.User, index int, revive bool) []Step {
	revive = revive && u.MayRevive(d.Generation)
	switch u.Phase() {
	case record.Removed, record.Displaced:
		reason := whyCleared
		if u.DeletedLate() {
			reason, revive = whyDeletedLate, true
		}
		if !revive || !d.Create { // somebody did that on purpose
			return narrowUser(d, u, index)
		}
		// What is left of it at Seam is removed first; then its slot is free for a new one.
		return append(deleteUser(u, index, reason), makeUser(d, -1, "")...)
	case record.Claimed, record.Marked, record.Lost:
		if !d.Create {
			return nil
		}
		return makeUser(d, index, u.UserIdentityID)
	}
	if u.SuspendedAt != nil && !revive {
		return narrowUser(d, u, index) // somebody suspended it on purpose
	}
	s := stepsOf{user: index}
	s.setSchedule(d, u)
	s.setGroups(d, u)
	s.setKey(d, u)
	s.tidy(u)
	return s.steps
}

// narrowUser lists the steps that take away what an ACS user that serves nobody should not open: its key may be in a
// phone. What somebody deleted or suspended opens nothing, but what a lost create left in addition may.
func narrowUser(d Desired, u record.User, index int) []Step {
	s := stepsOf{user: index}
	s.deleteSurplus(u)
	if u.Phase() != record.Displaced {
		return s.steps
	}
	if u.StartsAt == nil || u.EndsAt == nil || u.StartsAt.Before(d.Starts) || u.EndsAt.After(d.Ends) {
		s.setSchedule(d, u)
	}
	s.closeGroups(d, u)
	return s.steps
}

// setSchedule sets the hours. While the result of a change is unknown the recorded hours are the widest possible ones,
// which may not be the present ones: then they are set again.
func (s *stepsOf) setSchedule(d Desired, u record.User) {
	known := !u.Unsure && stay.SameInstant(u.StartsAt, &d.Starts) && stay.SameInstant(u.EndsAt, &d.Ends)
	if d.Starts.IsZero() || !d.Ends.After(d.Starts) || known {
		return
	}
	body := seam.UpdateACSUser{ACSUserID: *u.ACSUserID, AccessSchedule: seam.NewSchedule(d.Starts, d.Ends)}
	s.add(SetSchedule, seam.PathUserUpdate, body, "access lasts from check-in to check-out")
}

// GroupsFit reports whether the recorded doors of an ACS user need no change.
func GroupsFit(d Desired, u record.User) bool {
	s := stepsOf{}
	s.setGroups(d, u)
	return len(s.steps) == 0
}

// setGroups opens before it closes.
func (s *stepsOf) setGroups(d Desired, u record.User) {
	if keepsGroups(d, u) {
		return
	}
	for _, g := range d.Groups {
		if !slices.Contains(u.AccessGroupIDs, g) {
			body := seam.GroupMembership{ACSUserID: *u.ACSUserID, ACSAccessGroupID: g}
			s.add(AddGroup, seam.PathGroupAdd, body, "the listing has this access group")
		}
	}
	s.closeGroups(d, u)
}

// closeGroups closes the doors that the stay should not have. It never closes what the listing has, even if Seam
// doesn't know it right now.
func (s *stepsOf) closeGroups(d Desired, u record.User) {
	if keepsGroups(d, u) {
		return
	}
	for _, g := range u.AccessGroupIDs {
		if !slices.Contains(d.Groups, g) && !slices.Contains(d.Listed, g) {
			body := seam.GroupMembership{ACSUserID: *u.ACSUserID, ACSAccessGroupID: g}
			s.add(RemoveGroup, seam.PathGroupRemove, body, "the listing does not have this access group")
		}
	}
}

func keepsGroups(d Desired, u record.User) bool {
	return d.KeepGroups || len(d.Groups) > 0 && u.ACSSystemID != d.SystemID
}

func (s *stepsOf) setKey(d Desired, u record.User) {
	replace := u.CredentialID != nil && *u.CredentialID == d.Replace
	if replace { // the phone that has it may be in other hands
		body := seam.CredentialID{ACSCredentialID: *u.CredentialID}
		s.add(ReplaceKey, seam.PathCredentialDelete, body, "an admin requested a new mobile key")
	}
	if u.CredentialID == nil || replace {
		s.createKey(*u.ACSUserID)
	}
}

// tidy lifts a suspension, removes what was created twice, and links. Links are last: no change of doors or hours
// waits for one.
func (s *stepsOf) tidy(u record.User) {
	id := *u.ACSUserID
	if u.SuspendedAt != nil {
		s.add(Unsuspend, seam.PathUserUnsuspend, seam.UserID{ACSUserID: id},
			"an admin or a later event restores the key")
	}
	for _, key := range u.SurplusKeys {
		s.add(DeleteKey, seam.PathCredentialDelete, seam.CredentialID{ACSCredentialID: key},
			"the ACS user has a second mobile key")
	}
	s.deleteSurplus(u)
	if u.Unlinked {
		body := seam.LinkACSUser{UserIdentityID: u.UserIdentityID, ACSUserID: id}
		s.add(LinkUser, seam.PathIdentityAddUser, body, "the ACS user is not linked to its identity")
	}
}
