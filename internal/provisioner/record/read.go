package record

import (
	"slices"
	"time"

	"github.com/staykey/staykey/internal/seam"
)

// Rounded is how much an access system may round a schedule: a smaller difference counts as the schedule that was
// sent.
const Rounded = time.Minute

// ReadSchedule records the schedule that Seam shows. A missing one proves nothing, because Seam doesn't always show
// it; hasSchedule is false then.
func (u *User) ReadSchedule(from seam.ACSUser) (hasSchedule bool) {
	s := from.AccessSchedule
	if s == nil {
		return false
	}
	starts, ends := seam.ParseTime(s.StartsAt), seam.ParseTime(s.EndsAt)
	if starts.IsZero() && ends.IsZero() {
		return false
	}
	u.StartsAt, u.EndsAt = asRead(u.StartsAt, starts), asRead(u.EndsAt, ends)
	return true
}

// HasNoSchedule records that Seam, which should show a schedule, shows none: it may have none any more, and it is set
// again.
func (u *User) HasNoSchedule() { u.StartsAt, u.EndsAt = nil, nil }

// asRead is a time as Seam shows it, or as it was sent if Seam has only rounded it.
func asRead(recorded *time.Time, read time.Time) *time.Time {
	switch {
	case read.IsZero():
		return nil
	case recorded != nil && recorded.Sub(read).Abs() < Rounded:
		return recorded
	default:
		return &read
	}
}

// HasSchedule reports whether Seam shows a schedule.
func HasSchedule(from seam.ACSUser) bool { return new(User).ReadSchedule(from) }

// ShowsSchedule reports whether Seam shows the recorded schedule, or none.
func (u *User) ShowsSchedule(from seam.ACSUser) bool {
	read := User{ACSUser: u.ACSUser}
	return !read.ReadSchedule(from) || read.SameSchedule(u)
}

// SameSchedule reports whether two records have the same hours.
func (u *User) SameSchedule(other *User) bool {
	same := func(a, b *time.Time) bool { return (a == nil) == (b == nil) && (a == nil || a.Equal(*b)) }
	return same(u.StartsAt, other.StartsAt) && same(u.EndsAt, other.EndsAt)
}

// ReadState records what changes on its own: subscription, problems, pending operations, suspension.
func (u *User) ReadState(from seam.ACSUser, now time.Time) {
	u.Subscribed = from.Subscribed()
	u.Problem = from.Problem()
	began := u.StartsAt != nil && !u.StartsAt.After(now)
	u.Settled = u.Problem == nil && !from.InProgress() && (!began || !from.Deferred())
	switch suspended := from.IsSuspended; {
	case suspended == nil: // not reported: unchanged
	case !*suspended:
		u.SuspendedAt = nil
	case u.SuspendedAt == nil:
		u.SuspendedAt = &now
	}
}

// ReadCreated is ReadState for the answer to the create: what it shows has not reached the access system yet.
func (u *User) ReadCreated(from seam.ACSUser, now time.Time) {
	u.ReadState(from, now)
	u.Settled = false
}

// ReadLink records whether Seam links it to its identity, as far as an answer shows that.
func (u *User) ReadLink(linked bool) { u.Unlinked = !linked }

// ReadOwner records whether its identity now has an e-mail address other than the guest's.
func (u *User) ReadOwner(foreign bool) { u.Foreign = foreign }

// ReadGroups records the access groups that Seam lists. A list may be incomplete for a while: a group that was opened
// and is no longer wanted counts as open until it is closed, and one that is wanted is simply opened again. shown
// reports whether the list is exactly what is recorded.
func (u *User) ReadGroups(listed, wanted []string) (shown bool) {
	listed = slices.Compact(slices.Sorted(slices.Values(listed)))
	recorded := slices.Compact(slices.Sorted(slices.Values(u.AccessGroupIDs)))
	if slices.Equal(listed, recorded) {
		u.AccessGroupIDs, u.GroupsRead = recorded, true
		return true
	}
	for _, g := range recorded {
		if !slices.Contains(listed, g) && !slices.Contains(wanted, g) {
			listed = append(listed, g)
		}
	}
	slices.Sort(listed)
	u.AccessGroupIDs, u.GroupsRead = listed, false
	return false
}

// ReadBackGroups records whether Seam lists exactly the recorded access groups, and reports it. What differs is not
// recorded here: it is compared after the read lag.
func (u *User) ReadBackGroups(listed []string) (shown bool) {
	recorded := slices.Clone(u.AccessGroupIDs)
	shown = u.ReadGroups(listed, listed)
	u.AccessGroupIDs = recorded
	return shown
}

// NotReadBack records that Seam doesn't show yet what was set.
func (u *User) NotReadBack() { u.Settled = false }

// IsOpen reports whether everything of the key was read back: nothing pending, no error, and every door.
func (u *User) IsOpen() bool { return u.Settled && u.GroupsRead && u.CredentialProblem == nil }
