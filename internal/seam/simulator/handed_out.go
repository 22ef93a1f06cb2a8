package simulator

import (
	"maps"
	"slices"
	"time"
)

// This file has what phones get: instant keys, client sessions, and the phones themselves. All belong to a user
// identity, and show all of its mobile keys.
//
// Making an instant key is not idempotent: each call makes another one, with a client session of its own.
// get_or_create is, and moves the session's end.

// InstantKey is a link that puts an identity's mobile keys on a phone.
type InstantKey struct {
	ID         string    `json:"instant_key_id"`
	URL        string    `json:"instant_key_url"`
	IdentityID string    `json:"user_identity_id"`
	SessionID  string    `json:"client_session_id"`
	MaxUses    int       `json:"max_use_count"`
	Uses       int       `json:"uses"`
	CreatedAt  time.Time `json:"created_at"`
	ExpiresAt  time.Time `json:"expires_at"`
}

// ClientSession is the session with which a phone's app calls Seam.
type ClientSession struct {
	ID            string    `json:"client_session_id"`
	Token         string    `json:"token"`
	IdentityID    string    `json:"user_identity_id"`
	IdentifierKey string    `json:"user_identifier_key"`
	KeyID         string    `json:"instant_key_id"` // "" for one requested on its own
	Revoked       bool      `json:"revoked"`
	CreatedAt     time.Time `json:"created_at"`
	ExpiresAt     time.Time `json:"expires_at"`
}

// Phone is a device that has an identity's mobile keys.
type Phone struct {
	ID         string    `json:"device_id"`
	Type       string    `json:"device_type"` // ios_phone or android_phone
	IdentityID string    `json:"user_identity_id"`
	CreatedAt  time.Time `json:"created_at"`
}

// Defaults of the lives that Seam's documents don't give.
const (
	defaultInstantKeyLife = 48 * time.Hour
	defaultSessionLife    = time.Hour
)

// values returns the objects for which keep returns true, oldest first.
func values[T any](all map[string]T, keep func(T) bool, created func(T) time.Time) []T {
	var list []T
	for _, id := range slices.Sorted(maps.Keys(all)) {
		if keep(all[id]) {
			list = append(list, all[id])
		}
	}
	slices.SortStableFunc(list, func(a, b T) int { return created(a).Compare(created(b)) })
	return list
}

func (s *State) instantKeys(keep func(InstantKey) bool) []InstantKey {
	return values(s.InstantKeys, keep, func(k InstantKey) time.Time { return k.CreatedAt })
}

func (s *State) sessions(keep func(ClientSession) bool) []ClientSession {
	return values(s.Sessions, keep, func(c ClientSession) time.Time { return c.CreatedAt })
}

func (s *State) phonesOf(identityID string) []Phone {
	return values(s.Phones, func(p Phone) bool { return p.IdentityID == identityID },
		func(p Phone) time.Time { return p.CreatedAt })
}

// Shown returns the ids of the mobile keys that an instant key's URL or a session's token gives access to at a time,
// nil if it isn't valid.
func (s *State) Shown(secret string, at time.Time) []string {
	identity := ""
	for _, k := range s.InstantKeys {
		if k.URL == secret && at.Before(k.ExpiresAt) {
			identity = k.IdentityID
		}
	}
	for _, c := range s.Sessions {
		if c.Token == secret && !c.Revoked && at.Before(c.ExpiresAt) {
			identity = c.IdentityID
		}
	}
	if identity == "" {
		return nil
	}
	ids := []string{}
	for _, c := range s.credentials(func(c Credential) bool {
		return c.MultiPhone &&
			s.Users[c.UserID].IdentityID == identity
	}) {
		ids = append(ids, c.ID)
	}
	return ids
}

// deleteHandedOut removes what a deleted identity has handed out.
func (s *State) deleteHandedOut(identityID string) {
	maps.DeleteFunc(s.InstantKeys, func(_ string, k InstantKey) bool { return k.IdentityID == identityID })
	maps.DeleteFunc(s.Sessions, func(_ string, c ClientSession) bool { return c.IdentityID == identityID })
	maps.DeleteFunc(s.Phones, func(_ string, p Phone) bool { return p.IdentityID == identityID })
}

// moveHandedOut moves what an identity has handed out to the one that it is merged into.
func (s *State) moveHandedOut(from, into string) {
	for id, k := range s.InstantKeys {
		if k.IdentityID == from {
			k.IdentityID = into
			s.InstantKeys[id] = k
		}
	}
	for id, c := range s.Sessions {
		if c.IdentityID == from {
			c.IdentityID = into
			s.Sessions[id] = c
		}
	}
	for id, p := range s.Phones {
		if p.IdentityID == from {
			p.IdentityID = into
			s.Phones[id] = p
		}
	}
}
