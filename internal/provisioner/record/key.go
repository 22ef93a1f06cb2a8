package record

import (
	"slices"
	"time"

	"github.com/staykey/staykey/internal/seam"
)

// KeyPhase is a phase in the life of an ACS user's mobile key:
//
//	NoKey ── MarkKey ──▶ KeyMarked ── KeyCreated, TakeKeys ──▶ KeyMade ◀── TakeKeys ──┐
//	  ▲                   │      ▲                               │                    │
//	  └── Refused ────────┤      │ MarkKey (again)               │ KeyNotSeen (once)  │
//	                      ▼      │                               ▼                    │
//	                     KeyLost ┘                             KeyMissing ────────────┘
//	                                                             │ ForgetKey (not shown, twice)
//	                                                             ▼ NoKey
type KeyPhase int

// The phases of a mobile key.
const (
	NoKey      KeyPhase = iota + 1
	KeyMarked           // its create is about to be sent, or was by a process that died since
	KeyLost             // its create was sent, and the answer was lost
	KeyMade             // it exists
	KeyMissing          // Seam did not show it once
)

// KeyPhase derives the state of the mobile key from the row.
func (u *User) KeyPhase() KeyPhase {
	switch {
	case u.CredentialID != nil && u.CredentialMissingAt != nil:
		return KeyMissing
	case u.CredentialID != nil:
		return KeyMade
	case u.CredentialMarkedAt == nil:
		return NoKey
	case u.CredentialLostAt == nil:
		return KeyMarked
	default:
		return KeyLost
	}
}

// KeyIsUncertain reports whether a create of the mobile key has been sent, or was about to be, and its result is
// not known.
func (u *User) KeyIsUncertain() bool { return u.KeyPhase() == KeyMarked || u.KeyPhase() == KeyLost }

// HasNewUsersMark reports whether the key's mark was written together with the ACS user that this attempt has
// created: then it can't have a key yet.
func (u *User) HasNewUsersMark() bool {
	return u.KeyPhase() == KeyMarked && u.MadeAt != nil && u.CredentialMarkedAt.Equal(*u.MadeAt)
}

// MarkKey records that a mobile key is about to be created.
func (u *User) MarkKey(now time.Time) {
	u.remember()
	u.CredentialMarkedAt, u.CredentialLostAt = &now, nil
}

// UnmarkKey withdraws the mark that was written with the ACS user: no key will be created now.
func (u *User) UnmarkKey() { u.CredentialMarkedAt, u.CredentialLostAt = nil, nil }

// KeyCreateLost records that the create's answer was lost. until is when "not found" may begin to count.
func (u *User) KeyCreateLost(until time.Time) { u.CredentialLostAt = &until }

// KeyCreated records the mobile key that the create returned.
func (u *User) KeyCreated(id string, problem *string, now time.Time) {
	u.CredentialID, u.CredentialLostAt, u.CredentialMissingAt, u.CredentialProblem = &id, nil, nil, problem
	u.Settled, u.ChangedAt = false, &now
	u.undo = nil
}

// TakeKeys keeps the recorded mobile key if it is among those that Seam shows, or else records the oldest. Any other
// is surplus, if it certainly is another.
func (u *User) TakeKeys(keys []seam.Credential) {
	is := func(id string) func(seam.Credential) bool {
		return func(c seam.Credential) bool { return c.ACSCredentialID == id }
	}
	if u.CredentialID == nil || !slices.ContainsFunc(keys, is(*u.CredentialID)) {
		id := keys[0].ACSCredentialID
		u.CredentialID, u.CredentialLostAt = &id, nil
	}
	u.CredentialMissingAt, u.SurplusKeys = nil, nil
	for _, c := range keys {
		if c.ACSCredentialID == *u.CredentialID {
			u.CredentialProblem = c.Problem()
		} else if c.IsSurelyMobileKey() {
			u.SurplusKeys = append(u.SurplusKeys, c.ACSCredentialID)
		}
	}
}

// ReadKeyProblem records whether Seam reports a problem of the mobile key.
func (u *User) ReadKeyProblem(from seam.Credential) { u.CredentialProblem = from.Problem() }

// KeyNotSeen records the first time that Seam did not show the mobile key.
func (u *User) KeyNotSeen(now time.Time) {
	if u.CredentialMissingAt == nil {
		u.CredentialMissingAt = &now
	}
}

// KeyDeleted records that one of the mobile keys was deleted: the recorded one, or a surplus one.
func (u *User) KeyDeleted(id string) {
	if u.CredentialID != nil && *u.CredentialID == id {
		u.ForgetKey()
	}
	u.SurplusKeys = slices.DeleteFunc(u.SurplusKeys, func(k string) bool { return k == id })
}

// ForgetKey forgets the mobile key: it is gone, or is being replaced.
func (u *User) ForgetKey() {
	u.CredentialID, u.CredentialMarkedAt, u.CredentialLostAt, u.CredentialMissingAt, u.CredentialProblem = nil,
		nil, nil, nil, nil
}
