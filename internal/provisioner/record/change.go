package record

import (
	"slices"
	"time"
)

// A change of an ACS user that exists is marked before it is sent (ChangeSent, with ScheduleSent or GroupsChanging),
// and its result recorded after it: ChangeKnown and then what it has changed, ChangeLost, or [User.Refused].

// ChangeSent marks a change that is about to be sent. By deadline it has certainly taken effect or never will;
// generation is the desired state that it belongs to: while that is the same, sending it again is enough.
func (u *User) ChangeSent(generation int64, deadline time.Time) {
	u.remember()
	u.Unsure, u.UnsureGeneration, u.ChangedAt = true, generation, &deadline
}

// ScheduleSent is part of the mark of a change of schedule: until the result is known, the wider hours count.
func (u *User) ScheduleSent(starts, ends time.Time) { u.widen(starts, ends) }

// GroupsChanging is part of the mark of a change of access groups: they have to be read back.
func (u *User) GroupsChanging() { u.GroupsRead = false }

// ChangeKnown records that a change took effect.
func (u *User) ChangeKnown(now time.Time) {
	u.Unsure, u.ChangedAt, u.Settled = false, &now, false
	u.undo = nil
}

// ChangeLost records that a change's answer was lost. until is when reads show its effect.
func (u *User) ChangeLost(until time.Time) { u.ChangedAt = &until }

// ScheduleSet records that Seam has accepted a schedule. What an earlier, lost change may have set is overwritten.
func (u *User) ScheduleSet(starts, ends time.Time) { u.StartsAt, u.EndsAt = &starts, &ends }

// GroupAdded records that Seam has accepted an access group.
func (u *User) GroupAdded(group string) {
	u.AccessGroupIDs = append(u.groupsWithout(group), group)
	slices.Sort(u.AccessGroupIDs)
}

// GroupRemoved records that an access group was removed, or doesn't exist any more.
func (u *User) GroupRemoved(group string) { u.AccessGroupIDs = u.groupsWithout(group) }

// groupsWithout is a copy: what [User.Refused] restores may share the list.
func (u *User) groupsWithout(group string) []string {
	return slices.DeleteFunc(slices.Clone(u.AccessGroupIDs), func(g string) bool { return g == group })
}

// Linked records that Seam has accepted the link to the row's identity.
func (u *User) Linked() { u.Unlinked = false }

// Unsuspended records that Seam has lifted the suspension, for this generation of the desired state.
func (u *User) Unsuspended(generation int64) { u.SuspendedAt, u.RevivedGeneration = nil, generation }

// RepairedFor records that a request of this generation had repaired what Seam has not kept before.
func (u *User) RepairedFor(generation int64) { u.RepairedGeneration = generation }

// MayRepair reports whether a request of this generation may repair what Seam has not kept before. It may do so once,
// whatever else it has brought back.
func (u *User) MayRepair(generation int64) bool { return u.RepairedGeneration < generation }

// MayRevive reports whether a request of this generation may bring back what somebody removed or suspended at Seam. It
// may do so once: what is gone again was removed in spite of it.
func (u *User) MayRevive(generation int64) bool { return u.RevivedGeneration < generation }

// HasIdentity records which identity at Seam the row's identity key has now: it was merged into that one, or replaced
// by it, because the earlier one is gone.
func (u *User) HasIdentity(id string) { u.UserIdentityID = id }
