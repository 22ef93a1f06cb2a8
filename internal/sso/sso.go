// Package sso signs people in with an OpenID Connect provider: the authorization code flow with PKCE, state and nonce.
//
// The provider says who somebody is and which groups they belong to; the configuration says what a group may do.
// The provider's tokens are read once, at the sign-in, and stored nowhere.
package sso

import (
	"crypto/sha256"
	"errors"
	"regexp"
	"slices"
	"time"
)

// Settings are those of one provider.
type Settings struct {
	Issuer       string   // the provider's URL, exactly as in its tokens
	ClientID     string   // of staykey at the provider
	ClientSecret string   // "" for a public client, which is protected by PKCE only
	Label        string   // of the button
	Scopes       []string // requested besides openid
	GroupsClaim  string   // the claim of the ID token or the user info that holds the person's groups
	Roles        []Role   // the first role with one of the person's groups applies
}

// Role is what the people of a group may do.
type Role struct {
	Group   string   // as the provider names it
	Write   bool     // they may change things
	Sources []string // they see only these; nil for all
}

// RoleOf returns the first role for one of the groups; ok is false if there is none.
func (s Settings) RoleOf(groups []string) (role Role, ok bool) {
	for _, role := range s.Roles {
		if slices.Contains(groups, role.Group) {
			return role, true
		}
	}
	return Role{}, false
}

// ID identifies the provider and staykey's registration there. It changes with either, so sessions of another
// provider can be recognized. It is not a secret.
func (s Settings) ID() [sha256.Size]byte {
	return sha256.Sum256([]byte("staykey sign-in\x00" + s.Issuer + "\x00" + s.ClientID))
}

// Identity is who has signed in.
type Identity struct {
	Subject string   // identifies the person at the provider, permanently
	Login   string   // readable and unique: the verified e-mail address, the user name, or the subject
	Name    string   // the full name; "" if the provider returns none
	Groups  []string // the person's groups that a role names
}

// Flow is a sign-in that has begun. It belongs to one browser, which must return it unread and unchanged.
type Flow struct {
	State    string    `json:"s"` // comes back in the query
	Nonce    string    `json:"n"` // comes back in the ID token
	Verifier string    `json:"v"` // of PKCE (RFC 7636)
	Next     string    `json:"p"` // the page that the person wanted
	Until    time.Time `json:"u"` // exclusive
}

// FlowLife is how long a person may take at the provider.
const FlowLife = 10 * time.Minute

// Answer is the query that the provider sends the browser back with.
type Answer struct {
	State  string
	Code   string // "" with Error
	Error  string // why there is no code; "" for none
	Issuer string // of the answer (RFC 9207); "" if the provider sends none
}

// Errors of a sign-in. No error of this package holds a token, a code or personal data.
var (
	// ErrExpired means that the flow is over, unknown, or another browser's.
	ErrExpired = errors.New("the sign-in took too long, or began in another browser")
	// ErrUnreachable means that the provider didn't answer, or not as a provider does.
	ErrUnreachable = errors.New("the identity provider can't be reached")
)

// RefusedError means that the provider didn't sign the person in.
type RefusedError struct {
	Code string // as the provider words it, such as access_denied
}

// Error implements error.
func (e RefusedError) Error() string { return "the identity provider refused the sign-in: " + e.Code }

// plainCode matches error codes that may be shown (RFC 6749 section 4.1.2.1 and OpenID Connect Core section 3.1.2.6).
var plainCode = regexp.MustCompile(`^[a-z0-9_]{1,50}$`)

// refused returns the error for a provider's code, which arrives in a query that anybody can write.
func refused(code string) RefusedError {
	if !plainCode.MatchString(code) {
		code = "unknown_error"
	}
	return RefusedError{code}
}
