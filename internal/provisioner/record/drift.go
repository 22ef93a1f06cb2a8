package record

import (
	"maps"
	"slices"
)

// What Seam has may differ from the record although no call of ours is under way: somebody has changed it. It is
// repaired, or left and reported. What Seam doesn't keep is counted (unkept), for each part of the ACS user by
// itself, so that one that Seam doesn't keep delays no other:
//
//	ToRepair           counts one more for each part, up to MaxUnkept
//	RepairPostponed    takes that back: the repair was not made
//	KeptBut, KeptShown starts again from zero: Seam shows what was set
//	Kept               starts again from zero: the ACS user is a new one
//
// A name opens no door: one that Seam refuses or doesn't keep stays unchanged, and nobody is notified. Its
// tries are counted separately (RenameSent, LeaveName, NameShown).

// Part is a part of an ACS user that somebody may change at Seam.
type Part string

// The parts. Each access group is one of its own, too: [AccessGroup].
const (
	Hours      Part = "access_schedule"
	Name       Part = "full_name"
	Link       Part = "user_identity"
	MobileKey  Part = "credential"
	SecondKeys Part = "surplus_credential"
)

const groupPrefix = "access_group:"

// AccessGroup is the part that is an access group.
func AccessGroup(group string) Part { return Part(groupPrefix + group) }

// Group returns the access group of a part that is one.
func (p Part) Group() (group string, is bool) {
	if len(p) <= len(groupPrefix) || p[:len(groupPrefix)] != groupPrefix {
		return "", false
	}
	return string(p[len(groupPrefix):]), true
}

// MaxUnkept is how many repairs in a row are made of something that Seam doesn't keep, and how many deletes without
// effect, before a person is notified and the next one waits.
const MaxUnkept = 3

// Repairs are what Seam has otherwise than recorded, and how often that was repaired in vain.
type Repairs struct {
	Drift    *string          // found changed at Seam and left alone; nil: nothing is
	Unkept   int16            // repairs in a row that Seam did not keep, of the part but [Name] that it kept least
	UnkeptBy map[string]int16 // the same, by part
}

// IsUnkept reports whether [MaxUnkept] repairs of a part in a row had no lasting effect.
func (r *Repairs) IsUnkept(p Part) bool { return r.UnkeptBy[string(p)] >= MaxUnkept }

// HasUnkept reports whether any part but [Name] [Repairs.IsUnkept].
func (r *Repairs) HasUnkept() bool { return r.Unkept >= MaxUnkept }

// WasRepaired reports whether a part was repaired since Seam last showed it as it was set.
func (r *Repairs) WasRepaired(p Part) bool { return r.UnkeptBy[string(p)] > 0 }

// NoDrift records that what Seam has is as recorded, or may differ by our own doing.
func (r *Repairs) NoDrift() { r.Drift = nil }

// ToRepair records that the parts that differ at Seam will be repaired.
func (r *Repairs) ToRepair(parts []Part) {
	r.Drift = nil
	r.count(func(unkept map[string]int16) {
		for _, p := range parts {
			unkept[string(p)] = min(unkept[string(p)]+1, MaxUnkept)
		}
	})
}

// Kept records that the ACS user is a new one: no part was repaired yet.
func (r *Repairs) Kept() { r.count(func(unkept map[string]int16) { clear(unkept) }) }

// KeptBut records that Seam shows everything as it was set, except some parts.
func (r *Repairs) KeptBut(parts []Part) {
	r.count(func(unkept map[string]int16) {
		maps.DeleteFunc(unkept, func(p string, _ int16) bool {
			return Part(p) != Name && !slices.Contains(parts, Part(p))
		})
	})
}

// KeptShown records that a read-back shows the hours, the groups, or both as they were set. It doesn't look at the
// other parts: they count as kept when a comparison shows them.
func (r *Repairs) KeptShown(hours, groups bool) {
	r.count(func(unkept map[string]int16) {
		maps.DeleteFunc(unkept, func(p string, _ int16) bool {
			_, isGroup := Part(p).Group()
			return groups && isGroup || hours && Part(p) == Hours
		})
	})
}

// RepairPostponed records that a repair was not made, through no fault of the part that it repairs.
func (r *Repairs) RepairPostponed(p Part) {
	r.count(func(unkept map[string]int16) {
		if unkept[string(p)]--; unkept[string(p)] <= 0 {
			delete(unkept, string(p))
		}
	})
}

// RenameSent records that the ACS user was given its name.
func (r *Repairs) RenameSent() {
	r.count(func(unkept map[string]int16) { unkept[string(Name)] = min(unkept[string(Name)]+1, MaxUnkept) })
}

// LeaveName records that the ACS user keeps the name that somebody gave it.
func (r *Repairs) LeaveName() {
	r.count(func(unkept map[string]int16) { unkept[string(Name)] = MaxUnkept })
}

// NameShown records that Seam shows the stay's name.
func (r *Repairs) NameShown() {
	r.count(func(unkept map[string]int16) { delete(unkept, string(Name)) })
}

// count changes a copy: what [User.Refused] restores shares the map.
func (r *Repairs) count(change func(map[string]int16)) {
	unkept := maps.Clone(r.UnkeptBy)
	if unkept == nil {
		unkept = map[string]int16{}
	}
	change(unkept)
	r.UnkeptBy, r.Unkept = unkept, 0
	for p, n := range unkept {
		if Part(p) != Name {
			r.Unkept = max(r.Unkept, n)
		}
	}
}

// LeaveDrift restores what was recorded of some parts before Seam was read, because what differs is left there, and
// records what that is.
func (u *User) LeaveDrift(recorded *User, parts []Part, what string) {
	u.Drift = &what
	for _, p := range parts {
		switch p {
		case Hours:
			u.Schedule = recorded.Schedule
		case Link:
			u.Unlinked = false
		case MobileKey:
			u.Key.leaveKey(recorded.Key)
		case SecondKeys:
			u.SurplusKeys = nil
		default:
			group, _ := p.Group()
			u.leaveGroup(recorded.Groups, group)
		}
	}
	u.GroupsRead = u.sameGroups(recorded.Groups)
}
