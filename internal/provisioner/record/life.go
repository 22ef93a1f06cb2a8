package record

import "time"

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

// Life is what is known about the existence of an ACS user: whether it was created, is being changed, was removed, or
// is being deleted. [Life.Phase] says what the columns mean together.
type Life struct {
	MarkedAt  *time.Time // set right before a create call, until its result is recorded
	LostAt    *time.Time // the end of a create call without a usable answer: the ACS user may exist
	ACSUserID *string    // nil until it is known
	MadeAt    *time.Time // when we learned its id; nil until then

	Unsure           bool       // a change was sent and its result is not recorded
	UnsureGeneration int64      // of the desired state that it was for: while current, it can be sent again
	ChangedAt        *time.Time // the end of our last change: reads within a read lag may be stale

	MissingAt   *time.Time // Seam did not show it once; counts when repeated after the read lag
	RemovedAt   *time.Time // found deleted, by somebody else, or displaced
	ContestedAt *time.Time // its identity was first found to be another's; counts when that is repeated

	DeletedAt     *time.Time // our delete was sent; the row is kept until Seam no longer has the ACS user
	DeleteLostAt  *time.Time // our last delete was lost or refused without an effect that Seam shows: it may come late
	DeletesInVain int16      // deletes in a row without effect
}

// Phase derives the state from the columns. It is the one place that does.
func (l *Life) Phase() Phase {
	switch {
	case l.ACSUserID == nil && l.DeletedAt != nil:
		return Aside
	case l.ACSUserID == nil && l.MarkedAt == nil:
		return Claimed
	case l.ACSUserID == nil && l.LostAt == nil:
		return Marked
	case l.ACSUserID == nil:
		return Lost
	case l.DeletedAt != nil:
		return Removing
	case l.RemovedAt != nil && l.ContestedAt != nil:
		return Displaced
	case l.RemovedAt != nil:
		return Removed
	case l.MissingAt != nil:
		return Missing
	case l.ContestedAt != nil:
		return Contested
	case l.Unsure:
		return Unsure
	default:
		return Made
	}
}

// Exists reports whether it exists at Seam as far as is known, can serve the stay, and is not being removed.
func (l *Life) Exists() bool {
	switch l.Phase() {
	case Made, Unsure, Missing, Contested:
		return true
	default:
		return false
	}
}

// MayExist reports whether anything of the row may exist at Seam. Such a row is never forgotten.
func (l *Life) MayExist() bool { return l.Phase() != Claimed }

// CreateLost records that the create's answer was lost. until is when "not found" may begin to count.
func (l *Life) CreateLost(until time.Time) { l.LostAt = &until }

// created is the life of an ACS user that its create returned. Of an earlier one only the mark is kept.
func (l *Life) created(id string, now time.Time) {
	*l = Life{ACSUserID: &id, MadeAt: &now, ChangedAt: &now, MarkedAt: l.MarkedAt, UnsureGeneration: l.UnsureGeneration}
}

// found records that a lost create has made it.
func (l *Life) found(id string, now time.Time) {
	l.ACSUserID, l.MadeAt, l.LostAt, l.DeletedAt = &id, &now, nil, nil
}

// SetAside keeps a mark for which no ACS user is wanted any more: the result of its lost create is still looked for.
func (l *Life) SetAside(now time.Time) { l.DeletedAt = &now }

// ChangeLost records that a change's answer was lost. until is when reads show its effect.
func (l *Life) ChangeLost(until time.Time) { l.ChangedAt = &until }

// Known records that all of it was compared with Seam.
func (l *Life) Known() { l.Unsure = false }

// NotSeen records the first time that Seam did not show the ACS user.
func (l *Life) NotSeen(now time.Time) {
	if l.MissingAt == nil {
		l.MissingAt = &now
	}
}

// Seen records that Seam shows it. That doesn't give one that is displaced its identity back.
func (l *Life) Seen() {
	l.MissingAt = nil
	if l.ContestedAt == nil {
		l.RemovedAt = nil
	}
}

// IsAgreedGone reports whether somebody else deleted it, and Seam shows no trace of it.
func (l *Life) IsAgreedGone() bool { return l.Phase() == Removed && l.MissingAt != nil }

// DeletedLate reports whether it is gone because a delete of ours that was lost or refused has taken effect.
func (l *Life) DeletedLate() bool { return l.Phase() == Removed && l.DeleteLostAt != nil }
