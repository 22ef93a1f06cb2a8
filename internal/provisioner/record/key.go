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

// Key is the mobile key of an ACS user: its credential at Seam.
type Key struct {
	CredentialID        *string    // nil until it is known
	CredentialMarkedAt  *time.Time // set right before a create call, until its result is recorded
	CredentialLostAt    *time.Time // the end of a create call without a usable answer: the key may exist
	CredentialMissingAt *time.Time // Seam did not show it once; counts when repeated after the read lag
	CredentialProblem   *string    // an error that Seam reports on it
}

// KeyPhase derives the state of the mobile key from the columns.
func (k *Key) KeyPhase() KeyPhase {
	switch {
	case k.CredentialID != nil && k.CredentialMissingAt != nil:
		return KeyMissing
	case k.CredentialID != nil:
		return KeyMade
	case k.CredentialMarkedAt == nil:
		return NoKey
	case k.CredentialLostAt == nil:
		return KeyMarked
	default:
		return KeyLost
	}
}

// KeyIsUncertain reports whether a create of the mobile key has been sent, or was about to be, and its result is
// not known.
func (k *Key) KeyIsUncertain() bool { return k.KeyPhase() == KeyMarked || k.KeyPhase() == KeyLost }

// mark records that it is about to be created.
func (k *Key) mark(now time.Time) { k.CredentialMarkedAt, k.CredentialLostAt = &now, nil }

// UnmarkKey withdraws the mark that was written with the ACS user: no key will be created now.
func (k *Key) UnmarkKey() { k.CredentialMarkedAt, k.CredentialLostAt = nil, nil }

// KeyCreateLost records that the create's answer was lost. until is when "not found" may begin to count.
func (k *Key) KeyCreateLost(until time.Time) { k.CredentialLostAt = &until }

// created records the key that the create returned.
func (k *Key) created(id string, problem *string) {
	k.CredentialID, k.CredentialLostAt, k.CredentialMissingAt, k.CredentialProblem = &id, nil, nil, problem
}

// take keeps the recorded key if it is among those that Seam shows, or else records the oldest. It returns those that
// certainly are others.
func (k *Key) take(keys []seam.Credential) (surplus []string) {
	is := func(id string) func(seam.Credential) bool {
		return func(c seam.Credential) bool { return c.ACSCredentialID == id }
	}
	if k.CredentialID == nil || !slices.ContainsFunc(keys, is(*k.CredentialID)) {
		id := keys[0].ACSCredentialID
		k.CredentialID, k.CredentialLostAt = &id, nil
	}
	k.CredentialMissingAt = nil
	for _, c := range keys {
		if c.ACSCredentialID == *k.CredentialID {
			k.CredentialProblem = c.Problem()
		} else if c.IsSurelyMobileKey() {
			surplus = append(surplus, c.ACSCredentialID)
		}
	}
	return surplus
}

// ReadKeyProblem records whether Seam reports a problem of the mobile key.
func (k *Key) ReadKeyProblem(from seam.Credential) { k.CredentialProblem = from.Problem() }

// KeyNotSeen records the first time that Seam did not show the mobile key.
func (k *Key) KeyNotSeen(now time.Time) {
	if k.CredentialMissingAt == nil {
		k.CredentialMissingAt = &now
	}
}

// ForgetKey forgets the mobile key: it is gone, or is being replaced.
func (k *Key) ForgetKey() { *k = Key{} }

// leaveKey restores which mobile key was recorded.
func (k *Key) leaveKey(recorded Key) {
	k.CredentialID, k.CredentialMarkedAt, k.CredentialLostAt = recorded.CredentialID, recorded.CredentialMarkedAt,
		recorded.CredentialLostAt
}
