package record

// What Seam has may differ from the record although no call of ours is under way: somebody has changed it. It is
// repaired, or left and reported. What Seam doesn't keep is counted (unkept):
//
//	ToRepair                       counts one more, up to MaxUnkept
//	RepairPostponed                takes that back: the repair was not made
//	Kept                           starts again from zero: Seam shows what was set

// MaxUnkept is how many repairs in a row are made of something that Seam doesn't keep, and how many deletes without
// effect, before a person is notified and the next one waits.
const MaxUnkept = 3

// IsUnkept reports whether that many repairs had no lasting effect.
func (u *User) IsUnkept() bool { return u.Unkept >= MaxUnkept }

// NoDrift records that what Seam has is as recorded, or may differ by our own doing.
func (u *User) NoDrift() { u.Drift = nil }

// ToRepair records that what differs at Seam will be repaired.
func (u *User) ToRepair() {
	u.Drift, u.Unkept = nil, min(u.Unkept+1, MaxUnkept)
}

// LeaveDrift restores what was recorded before Seam was read, because what differs is left there, and records what
// that is.
func (u *User) LeaveDrift(recorded *User, what string) {
	u.StartsAt, u.EndsAt, u.AccessGroupIDs = recorded.StartsAt, recorded.EndsAt, recorded.AccessGroupIDs
	u.Unlinked, u.DoorsRead = false, true
	u.CredentialID, u.CredentialMarkedAt = recorded.CredentialID, recorded.CredentialMarkedAt
	u.CredentialLostAt = recorded.CredentialLostAt
	u.SurplusKeys, u.Drift = nil, &what
}

// Kept records that Seam shows what was set.
func (u *User) Kept() { u.Unkept = 0 }

// RepairPostponed records that a repair was not made, through no fault of what it repairs.
func (u *User) RepairPostponed() { u.Unkept = max(u.Unkept-1, 0) }
