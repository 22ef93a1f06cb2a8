// Package record gives names to the states of an ACS user and of its mobile key. A row of acs_users holds about
// twenty columns that may be null; only this package decides what a combination of them means, and only its methods
// change them (TestOnlyTransitionsWriteRows).
//
// A [User] is that row, divided by subject, and what the present attempt has read at Seam:
//
//	User ─┬─ Row ─┬─ Slot       whose row it is: the stay, the access system, the identity
//	      │       ├─ Life       whether the ACS user exists: its create, changes, removal and delete
//	      │       ├─ Schedule   when it opens doors
//	      │       ├─ Groups     which doors
//	      │       ├─ Key        its mobile key
//	      │       ├─ Report     what Seam reported last: problems, subscription, suspension
//	      │       ├─ Repairs    what Seam has otherwise than recorded, and what it doesn't keep
//	      │       ├─ Requests   which requests were used up
//	      │       └─ Leftovers  second ACS users of lost creates, and other people's
//	      └─ Reading            what was read in this attempt and is not stored
//
// The methods of a part know its columns and no others. What concerns several parts is a method of User: marking a
// call, so that a refusal can restore the row, and recording an answer that replaces much of it at once.
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
// How to use it: call the method of a [User] that says what is about to be sent (MarkCreate, ChangeSent, DeleteSent,
// MarkKey), and commit its [Row] before the request leaves; then call the one that says how it ended (Created,
// CreateLost, Refused and so on), and commit again. A process that dies in between finds the mark and knows what may
// exist. [Life.Phase] is the only question to ask about a row. The mobile key of an ACS user has phases of its own
// ([Key]), and so have its backup code ([Code]) and its identity ([Identity]). Package rows converts all of them from
// and to rows of the database.
package record

import (
	"slices"
	"time"

	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/stay"
)

// User is one ACS user of a reservation: its row, and what this attempt has read about it at Seam.
type User struct {
	Row
	Reading
	undo *Row // the row before the call under way was marked
}

// Row is what is stored of an ACS user.
type Row struct {
	Slot
	Life
	Schedule
	Groups
	Key
	Report
	Repairs
	Requests
	Leftovers
}

// Of is the record of a row, as it was loaded.
func Of(row Row) User { return User{Row: row} }

// InSlot is a new record for a slot that no row claims yet: ref's, for the guest, on an access system and an identity.
func InSlot(ref stay.Ref, guestKey, systemID, identityKey, identityID string) User {
	return Of(Row{
		Slot: Slot{
			Source: ref.Source, ReservationID: ref.ReservationID, ACSSystemID: systemID, UserIdentityKey: identityKey,
			UserIdentityID: identityID, GuestKey: guestKey,
		},
		Groups: Groups{AccessGroupIDs: []string{}, GroupsRead: true},
	})
}

// Other is another ACS user in the same slot, to look for at Seam. It has no row: it is never written.
func (u *User) Other(id string) User {
	return Of(Row{
		Slot: Slot{ACSSystemID: u.ACSSystemID, UserIdentityID: u.UserIdentityID},
		Life: Life{ACSUserID: &id},
	})
}

// AskedFor is the record with the hours that its last create asked for, without those of earlier, lost creates. It is
// only for comparing: it is never written.
func (u *User) AskedFor(starts, ends time.Time) User {
	asked := Of(u.Row)
	asked.ScheduleSet(starts, ends)
	return asked
}

// Claimed gives the record the number of its row, which was made with the mark of a create.
func (u *User) Claimed(id int64) {
	u.ID = id
	if u.undo != nil {
		u.undo.ID = id
	}
}

// AwaitsCreate reports whether a create was marked whose result isn't known. A row that only looks ([User.LookOnly])
// knows that of all its creates.
func (u *User) AwaitsCreate() bool { return u.ACSUserID == nil && u.MarkedAt != nil && !u.onlyLooks() }

// onlyLooks reports whether the ACS user of the row is gone: no create is marked with doors, and none is without.
func (u *User) onlyLooks() bool {
	return u.ACSUserID == nil && u.LostAt != nil && len(u.AccessGroupIDs) == 0
}

// AnsweredWithOthers reports whether the row's create was answered with an ACS user of other people, so that nothing
// but that is known of it.
func (u *User) AnsweredWithOthers() bool { return u.ACSUserID == nil && len(u.Others) > 0 }

// IsOpen reports whether everything of the key was read back: nothing pending, no error, and every door.
func (u *User) IsOpen() bool { return u.Settled && u.GroupsRead && u.CredentialProblem == nil }

// --- Creating

// MarkCreate records what the create that follows is about to make. After a lost create the mark keeps its time,
// because anything that create made is later than that, and covers the hours of both. A row that only looks
// ([User.LookOnly]) gets a new mark and new hours: its own are those of an earlier ACS user, and while that existed,
// other people's may have come.
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
		u.ScheduleSet(starts, ends)
	}
	u.AccessGroupIDs = union(groups, u.AccessGroupIDs, earlier)
}

// Created records the ACS user that the create returned, and the mark of the mobile key that follows it.
func (u *User) Created(id string, starts, ends time.Time, groups []string, now time.Time) {
	u.Life.created(id, now)
	u.ScheduleSet(starts, ends)
	u.Groups = Groups{AccessGroupIDs: slices.Clone(groups)}
	u.Settled, u.SuspendedAt = false, nil
	u.Drift, u.Unlinked = nil, false
	u.Kept()
	u.ForgetKey()
	u.Key.mark(now)
	u.undo = nil
}

// Adopted records an ACS user that a look-up after a lost create has found. The others that it found were made by the
// same create.
func (u *User) Adopted(id string, surplus []string, now time.Time) {
	u.Life.found(id, now)
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
		u.HasNoSchedule()
	}
	u.ReadState(from, now)
}

// CouldNotBeStored restores the record to what it was before an answer was recorded that the database refused: the id
// in it is another row's.
func (u *User) CouldNotBeStored(before User) { *u = before }

// Refused restores the row to the time before the mark of a call that Seam has refused, or that was never sent.
func (u *User) Refused() {
	if u.undo != nil {
		u.Row = *u.undo
		u.undo = nil
	}
}

// remember keeps the row as it was before a mark, once per call.
func (u *User) remember() {
	before := u.Row
	before.AccessGroupIDs = slices.Clone(before.AccessGroupIDs)
	u.undo = &before
}

// --- Changing

// A change of an ACS user that exists is marked before it is sent (ChangeSent, with ScheduleSent or GroupsChanging),
// and its result recorded after it: ChangeKnown and then what it has changed, ChangeLost, or [User.Refused].

// ChangeSent marks a change that is about to be sent. By deadline it has certainly taken effect or never will;
// generation is the desired state that it belongs to: while that is the same, sending it again is enough.
func (u *User) ChangeSent(generation int64, deadline time.Time) {
	u.remember()
	u.Unsure, u.UnsureGeneration, u.ChangedAt = true, generation, &deadline
}

// ChangeKnown records that a change took effect.
func (u *User) ChangeKnown(now time.Time) {
	u.Unsure, u.ChangedAt, u.Settled = false, &now, false
	u.undo = nil
}

// Unsuspended records that Seam has lifted the suspension, for this generation of the desired state.
func (u *User) Unsuspended(generation int64) { u.SuspendedAt, u.RevivedGeneration = nil, generation }

// --- The mobile key

// MarkKey records that a mobile key is about to be created.
func (u *User) MarkKey(now time.Time) {
	u.remember()
	u.Key.mark(now)
}

// HasNewUsersMark reports whether the key's mark was written together with the ACS user that this attempt has
// created: then it can't have a key yet.
func (u *User) HasNewUsersMark() bool {
	return u.KeyPhase() == KeyMarked && u.MadeAt != nil && u.CredentialMarkedAt.Equal(*u.MadeAt)
}

// KeyCreated records the mobile key that the create returned.
func (u *User) KeyCreated(id string, problem *string, now time.Time) {
	u.Key.created(id, problem)
	u.Settled, u.ChangedAt = false, &now
	u.undo = nil
}

// TakeKeys keeps the recorded mobile key if it is among those that Seam shows, or else records the oldest. Any other
// is surplus, if it certainly is another.
func (u *User) TakeKeys(keys []seam.Credential) { u.SurplusKeys = u.Key.take(keys) }

// KeyDeleted records that one of the mobile keys was deleted: the recorded one, or a surplus one.
func (u *User) KeyDeleted(id string) {
	if u.CredentialID != nil && *u.CredentialID == id {
		u.ForgetKey()
	}
	u.SurplusKeys = slices.DeleteFunc(u.SurplusKeys, func(k string) bool { return k == id })
}

// --- Reading

// ReadState records what changes on its own: subscription, problems, pending operations, suspension.
func (u *User) ReadState(from seam.ACSUser, now time.Time) { u.Report.read(from, u.hasBegun(now), now) }

// ReadCreated is ReadState for the answer to the create: what it shows has not reached the access system yet.
func (u *User) ReadCreated(from seam.ACSUser, now time.Time) {
	u.ReadState(from, now)
	u.Settled = false
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

// Displace records that its identity is another's: it can't be linked again, and serves nobody.
func (u *User) Displace(now time.Time) {
	u.removed(now)
	u.MissingAt, u.Unlinked, u.Drift = nil, false, nil
}

func (u *User) removed(now time.Time) {
	if u.RemovedAt == nil {
		u.RemovedAt = &now
	}
	u.Unsure, u.Settled, u.Subscribed = false, false, false
}

// --- Deleting

// DeleteSent marks a delete that is about to be sent: if its answer is lost, this ACS user is no longer trusted.
func (u *User) DeleteSent(now time.Time) {
	u.remember()
	u.DeletedAt, u.MissingAt, u.Settled, u.Unsure = &now, nil, false, true
}

// SurplusDeleteSent marks a delete of what a lost create left that is about to be sent. An earlier one had no effect.
func (u *User) SurplusDeleteSent(id string, now time.Time) {
	u.remember()
	u.Leftovers.deleteSent(id, now)
}

// LookOnly turns the row of an ACS user that is gone into a mark, because something was lost recently. What the row's
// creates may have left is still looked for, also by its hours, as the access system may have changed its name. All of
// these creates had ended when the ACS user became known.
func (u *User) LookOnly() {
	marked, lostAt := u.MarkedAt, u.MadeAt
	if marked == nil {
		marked = u.MadeAt
	}
	*u = Of(Row{
		Slot:      u.Slot,
		Life:      Life{MarkedAt: marked, LostAt: lostAt},
		Schedule:  u.Schedule,
		Groups:    Groups{AccessGroupIDs: []string{}},
		Leftovers: Leftovers{Surplus: u.Surplus},
	})
}
