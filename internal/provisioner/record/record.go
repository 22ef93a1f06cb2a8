// Package record gives names to the states of an ACS user and of its mobile key. A row of acs_users holds about
// twenty columns that may be null; only this package decides what a combination of them means, and only its methods
// change them (TestOnlyTransitionsWriteRows).
//
// The states of an ACS user, and the methods that lead from one to the next:
//
//	            MarkCreate             Created, Adopted (Returned: Unsure)
//	Claimed ───────────────▶ Marked ──────────────────────▶ Made ◀───────────────┐
//	   ▲                      │   ▲                         │  ▲                 │
//	   │ Refused              │   │ MarkCreate              │  │ ChangeKnown,    │
//	   └──────────────────────┤   │ (again)      ChangeSent │  │ Refused         │
//	               CreateLost │   │                         ▼  │                 │
//	                          ▼   │                        Unsure (ChangeLost)   │
//	                         Lost ┘                         │                    │
//	                          │            NotSeen (once)   │                    │ Seen,
//	           SetAside       │          ┌──────────────────┘                    │ StillThere
//	Aside ◀───────────────────┘          ▼                                       │
//	                                   Missing ──────────────────────────────────┤
//	                                     │ FoundGone (seen by nobody, twice)     │
//	                                     ▼                                       │
//	            DeleteSent             Removed  (Displaced: contest.go)          │
//	       (from every state with      │                                         │
//	        an id)                     ▼                                         │
//	   Lost ◀──── LookOnly ───────── Removing ───────────────────────────────────┘
//	                                   │
//	                                   ▼ confirmed gone: the row is deleted
//
// A row that is Removing records, in missing_at, what is known about the delete besides whether its result is:
//
//	unset                        Seam accepted the delete, or its result is unknown (Unsure)
//	the time of the delete       its result is in doubt: Seam didn't find what it should delete, or didn't delete it
//	later, or Unsure             neither get nor list showed the ACS user then, for the first time
//
// Two rules hold for every transition. A state records the widest thing that may be true: a change that was sent
// counts as made (the longer hours) until its result is known. And nothing that may exist at Seam is forgotten:
// [User.Refused] restores what was before the try, so that a refusal never takes the mark of an earlier, lost
// create away.
//
// How to use it: wrap the row in a [User]; call the method that says what is about to be sent (MarkCreate, ChangeSent,
// DeleteSent, MarkKey), and commit the row before the request leaves; then call the one that says how it ended
// (Created, CreateLost, Refused and so on), and commit again. A process that dies in between finds the mark and knows
// what may exist. [User.Phase] is the only question to ask about a row. The mobile key of an ACS user has phases of
// its own (key.go), and so have its backup code ([Code]) and its identity ([Identity]). What an answer of Seam shows is
// read into the row by read.go; what a call has changed is in change.go, what somebody else has changed in drift.go
// and contest.go; several ACS users of one stay are ordered by surplus.go.
package record

import (
	"slices"
	"time"

	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// Phase is a phase in the life of an ACS user.
type Phase int

// The phases. See the package's diagram.
const (
	Claimed   Phase = iota + 1 // a slot on the access system, and nothing else
	Marked                     // its create is about to be sent, or was by a process that died since
	Lost                       // its create was sent, and the answer was lost: it may exist
	Made                       // it exists, and its record is known to be right
	Unsure                     // it exists, and a change with an unknown result was sent
	Missing                    // Seam did not show it once: that proves nothing yet
	Contested                  // it exists, and its identity was seen to be another's once: that proves nothing yet
	Displaced                  // it exists, and serves nobody: another ACS user, or another person, has its identity
	Removed                    // somebody else deleted it, or a lost delete of ours took effect late
	Removing                   // we deleted it; kept until Seam no longer has it
	Aside                      // never known by id, and not wanted: looked for, in case a lost create shows up late
)

// String returns the phase's name, for tests and logs.
func (p Phase) String() string {
	names := []string{
		"none", "claimed", "marked", "lost", "made", "unsure", "missing", "contested", "displaced", "removed",
		"removing", "aside",
	}
	if p < 0 || int(p) >= len(names) {
		return "unknown"
	}
	return names[p]
}

// User is one ACS user of a reservation: its row, and what this attempt has read about it at Seam.
type User struct {
	store.ACSUser
	Unlinked    bool     // Seam links it to an identity other than ours, or to none
	Leaving     bool     // we deleted it, and Seam says that it is removing it
	Foreign     bool     // its identity now has an e-mail address other than the guest's
	SurplusKeys []string // mobile keys in addition to the recorded one

	undo *store.ACSUser // the row before the call under way was marked
}

// Of is the record of a row, as it was loaded.
func Of(row store.ACSUser) User { return User{ACSUser: row} }

// InSlot is a new record for a slot that no row claims yet: ref's, for the guest, on an access system and an identity.
func InSlot(ref stay.Ref, guestKey, systemID, identityKey, identityID string) User {
	return Of(store.ACSUser{
		Source: ref.Source, ReservationID: ref.ReservationID, ACSSystemID: systemID, UserIdentityKey: identityKey,
		UserIdentityID: identityID, GuestKey: guestKey, AccessGroupIDs: []string{}, GroupsRead: true,
	})
}

// Other is another ACS user in the same slot, to look for at Seam. It has no row: it is never written.
func (u *User) Other(id string) User {
	return Of(store.ACSUser{ACSUserID: &id, ACSSystemID: u.ACSSystemID, UserIdentityID: u.UserIdentityID})
}

// AskedFor is the record with the hours that its last create asked for, without those of earlier, lost creates. It is
// only for comparing: it is never written.
func (u *User) AskedFor(starts, ends time.Time) User {
	asked := Of(u.ACSUser)
	asked.StartsAt, asked.EndsAt = &starts, &ends
	return asked
}

// Phase derives the state from the row. It is the one place that does.
func (u *User) Phase() Phase {
	switch {
	case u.ACSUserID == nil && u.DeletedAt != nil:
		return Aside
	case u.ACSUserID == nil && u.MarkedAt == nil:
		return Claimed
	case u.ACSUserID == nil && u.LostAt == nil:
		return Marked
	case u.ACSUserID == nil:
		return Lost
	case u.DeletedAt != nil:
		return Removing
	case u.IsDisplaced():
		return Displaced
	case u.RemovedAt != nil:
		return Removed
	case u.MissingAt != nil:
		return Missing
	case u.ContestedAt != nil:
		return Contested
	case u.Unsure:
		return Unsure
	default:
		return Made
	}
}

// Exists reports whether it exists at Seam as far as is known, can serve the stay, and is not being removed.
func (u *User) Exists() bool {
	switch u.Phase() {
	case Made, Unsure, Missing, Contested:
		return true
	default:
		return false
	}
}

// HasGuestsIdentity reports whether its identity is that of the guest it was created for, not one of the stay's own.
func (u *User) HasGuestsIdentity() bool { return u.GuestKey != "" && u.UserIdentityKey == u.GuestKey }

// AwaitsCreate reports whether a create was marked whose result isn't known. A row that only looks ([User.LookOnly])
// knows that of all its creates.
func (u *User) AwaitsCreate() bool { return u.ACSUserID == nil && u.MarkedAt != nil && !u.onlyLooks() }

// onlyLooks reports whether the ACS user of the row is gone: no create is marked with doors, and none is without.
func (u *User) onlyLooks() bool {
	return u.ACSUserID == nil && u.LostAt != nil && len(u.AccessGroupIDs) == 0
}

// MayExist reports whether anything of the row may exist at Seam. Such a row is never forgotten.
func (u *User) MayExist() bool { return u.Phase() != Claimed }

// --- Creating

// MarkCreate records what the create that follows is about to make. After a lost create the mark keeps its time,
// because anything that create made is later than that, and covers the hours of both. That of a row that only looks,
// and its hours, are another's: while that ACS user existed, other people's may have come.
func (u *User) MarkCreate(starts, ends time.Time, groups []string, generation int64, now time.Time) {
	u.remember()
	u.RevivedGeneration = generation
	earlier := u.LostAt != nil && !u.onlyLooks()
	if u.MarkedAt == nil || u.onlyLooks() {
		u.MarkedAt = &now
	}
	u.LostAt, u.DeletedAt = nil, nil
	if earlier {
		u.widen(starts, ends)
	} else {
		u.StartsAt, u.EndsAt = &starts, &ends
	}
	u.AccessGroupIDs = union(groups, u.AccessGroupIDs, earlier)
}

// CreateLost records that the create's answer was lost. until is when "not found" may begin to count.
func (u *User) CreateLost(until time.Time) { u.LostAt = &until }

// Created records the ACS user that the create returned, and the mark of the mobile key that follows it.
func (u *User) Created(id string, starts, ends time.Time, groups []string, now time.Time) {
	u.ACSUserID, u.MadeAt, u.LostAt, u.DeletedAt, u.ChangedAt = &id, &now, nil, nil, &now
	u.StartsAt, u.EndsAt, u.AccessGroupIDs = &starts, &ends, slices.Clone(groups)
	u.MissingAt, u.RemovedAt, u.SuspendedAt, u.Drift, u.DeleteLostAt = nil, nil, nil, nil, nil
	u.Kept()
	u.ContestedAt, u.DeletesInVain = nil, 0
	u.Unsure, u.Settled, u.GroupsRead, u.Unlinked = false, false, false, false
	u.ForgetKey()
	u.CredentialMarkedAt = &now
	u.undo = nil
}

// Adopted records an ACS user that a look-up after a lost create has found. The others that it found were made by the
// same create.
func (u *User) Adopted(id string, surplus []string, now time.Time) {
	u.ACSUserID, u.MadeAt, u.LostAt, u.DeletedAt = &id, &now, nil, nil
	u.GroupsRead, u.Settled = false, false
	for _, other := range surplus {
		u.AddSurplus(other)
	}
}

// Returned records an ACS user that existed before the create that returned it: its hours, doors and keys are not what
// the create asked for, and are compared before anything else.
func (u *User) Returned(from seam.ACSUser, now time.Time) {
	u.Adopted(from.ACSUserID, nil, now)
	u.Unsure, u.UnsureGeneration, u.undo = true, 0, nil
	if !u.ReadSchedule(from) {
		u.StartsAt, u.EndsAt = nil, nil
	}
	u.ReadState(from, now)
}

// NotRevived records that its create has restored nothing: the request for it is not spent.
func (u *User) NotRevived() { u.RevivedGeneration = 0 }

// CouldNotBeStored restores the record to what it was before an answer was recorded that the database refused: the id
// in it is another row's.
func (u *User) CouldNotBeStored(before User) { *u = before }

// SetAside keeps a mark for which no ACS user is wanted any more: the result of its lost create is still looked for.
func (u *User) SetAside(now time.Time) { u.DeletedAt = &now }

// Refused restores the row to the time before the mark of a call that Seam has refused, or that was never sent.
func (u *User) Refused() {
	if u.undo != nil {
		u.ACSUser = *u.undo
		u.undo = nil
	}
}

// --- Reading

// NotSeen records the first time that Seam did not show the ACS user.
func (u *User) NotSeen(now time.Time) {
	if u.MissingAt == nil {
		u.MissingAt = &now
	}
}

// Seen records that Seam shows it. That doesn't give one that is displaced its identity back.
func (u *User) Seen() {
	u.MissingAt = nil
	if u.ContestedAt == nil {
		u.RemovedAt = nil
	}
}

// FoundGone records that somebody else deleted it. Its remains may still be at Seam.
func (u *User) FoundGone(now time.Time) {
	u.removed(now)
	u.MissingAt, u.ContestedAt = nil, nil
}

// AgreedGone records that somebody else deleted it, because nothing at Seam shows it. When that was first so is kept.
func (u *User) AgreedGone(now time.Time) {
	u.removed(now)
	u.ContestedAt = nil
}

func (u *User) removed(now time.Time) {
	if u.RemovedAt == nil {
		u.RemovedAt = &now
	}
	u.Unsure, u.Settled, u.Subscribed = false, false, false
}

// IsAgreedGone reports whether somebody else deleted it, and Seam shows no trace of it.
func (u *User) IsAgreedGone() bool { return u.Phase() == Removed && u.MissingAt != nil }

// Known records that all of it was compared with Seam.
func (u *User) Known() { u.Unsure = false }

// --- Deleting

// DeleteSent marks a delete that is about to be sent: if its answer is lost, this ACS user is no longer trusted.
func (u *User) DeleteSent(now time.Time) {
	u.remember()
	u.DeletedAt, u.MissingAt, u.Settled, u.Unsure = &now, nil, false, true
}

// DeleteKnown records that Seam has accepted the delete.
func (u *User) DeleteKnown() { u.Unsure = false }

// DeleteDoubted records that the result of the delete is in doubt: Seam didn't find what it should delete, or reports
// that the access system refused to delete it. That proves neither that it is gone nor that it will be.
func (u *User) DeleteDoubted() {
	at := *u.DeletedAt
	u.Unsure, u.MissingAt = false, &at
}

// IsDeleteCertain reports whether Seam has accepted the delete, and no earlier one was without effect.
func (u *User) IsDeleteCertain() bool { return !u.Unsure && u.MissingAt == nil && u.DeletesInVain == 0 }

// DeletedNotSeen records that neither get nor list shows what we deleted, and returns when that was first so.
func (u *User) DeletedNotSeen(now time.Time) time.Time {
	if u.MissingAt == nil || !u.Unsure && !u.MissingAt.After(*u.DeletedAt) {
		u.MissingAt = &now
	}
	return *u.MissingAt
}

// DeletedSeen records that Seam shows what we deleted: it no longer counts as gone. refused means
// that the access system refused to delete it. It reports whether this is new.
func (u *User) DeletedSeen(refused bool) bool {
	before := u.MissingAt
	switch {
	case u.Unsure:
		u.MissingAt = nil
	case refused || u.MissingAt != nil:
		u.DeleteDoubted()
	}
	return (before == nil) != (u.MissingAt == nil) || before != nil && !before.Equal(*u.MissingAt)
}

// DeletedLeaving records that Seam reports that it is removing what we deleted.
func (u *User) DeletedLeaving() { u.Leaving = true }

// DeleteLost records that the delete's answer was lost. until is when "not found" may begin to count.
func (u *User) DeleteLost(until time.Time) { u.DeletedAt = &until }

// StillThere records that our delete had no effect. One whose answer was lost may still have one.
func (u *User) StillThere() {
	if u.Unsure {
		u.DeleteLostAt = u.DeletedAt
	}
	u.DeletedAt, u.MissingAt, u.Unsure = nil, nil, false
}

// DeletedInVain records that a delete of ours had no effect and is repeated.
func (u *User) DeletedInVain() { u.DeletesInVain = min(u.DeletesInVain+1, MaxUnkept) }

// WantedBack records that what we deleted without effect is wanted again: a later delete is a first one.
func (u *User) WantedBack() { u.DeletesInVain = 0 }

// AwaitsLateDelete reports whether a lost delete of ours, which had no effect at first, may take effect late.
func (u *User) AwaitsLateDelete() bool { return u.DeleteLostAt != nil && u.Phase() != Removing }

// DeleteNeverCame records that a lost delete, which had no effect at first, won't have any.
func (u *User) DeleteNeverCame() { u.DeleteLostAt = nil }

// DeletedLate reports whether it is gone because a lost delete of ours has taken effect late.
func (u *User) DeletedLate() bool { return u.Phase() == Removed && u.DeleteLostAt != nil }

// LookOnly turns the row of an ACS user that is gone into a mark: something was lost recently, and what the row's
// creates may have left is still looked for, also by its hours: the access system may have changed its name. The
// creates had all ended when the ACS user was known.
func (u *User) LookOnly() {
	marked, lostAt := u.MarkedAt, u.MadeAt
	if marked == nil {
		marked = u.MadeAt
	}
	*u = User{ACSUser: store.ACSUser{
		ID: u.ID, Source: u.Source, ReservationID: u.ReservationID, ACSSystemID: u.ACSSystemID,
		UserIdentityKey: u.UserIdentityKey,
		UserIdentityID:  u.UserIdentityID, GuestKey: u.GuestKey, MarkedAt: marked, LostAt: lostAt,
		StartsAt: u.StartsAt, EndsAt: u.EndsAt,
		AccessGroupIDs: []string{}, Surplus: u.Surplus,
	}}
}

// remember keeps the row as it was before a mark, once per call.
func (u *User) remember() {
	before := u.ACSUser
	before.AccessGroupIDs = slices.Clone(before.AccessGroupIDs)
	u.undo = &before
}

// Claimed gives the record the number of its row, which was made with the mark of a create.
func (u *User) Claimed(id int64) {
	u.ID = id
	if u.undo != nil {
		u.undo.ID = id
	}
}

// widen makes the recorded hours cover others too.
func (u *User) widen(starts, ends time.Time) {
	if u.StartsAt == nil || starts.Before(*u.StartsAt) {
		u.StartsAt = &starts
	}
	if u.EndsAt == nil || ends.After(*u.EndsAt) {
		u.EndsAt = &ends
	}
}

func union(groups, others []string, both bool) []string {
	all := slices.Clone(groups)
	if both {
		all = append(all, others...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
