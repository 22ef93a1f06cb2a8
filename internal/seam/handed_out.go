package seam

import (
	"context"
	"slices"
)

// Paths of the calls that hand out an identity's mobile keys to phones, or take them back.
const (
	PathInstantKeyCreate = "/user_identities/generate_instant_key"
	PathInstantKeyDelete = "/instant_keys/delete"
	PathSessionGet       = "/client_sessions/get_or_create"
	PathSessionRevoke    = "/client_sessions/revoke"
)

// InstantKey is a link that puts all mobile keys of an identity on a phone, without an app. Anyone who has the URL
// has the keys.
type InstantKey struct {
	InstantKeyID    string `json:"instant_key_id"`
	URL             string `json:"instant_key_url"`
	ClientSessionID string `json:"client_session_id"` // of the phones that open it
	UserIdentityID  string `json:"user_identity_id"`
	CreatedAt       string `json:"created_at"`
	ExpiresAt       string `json:"expires_at"`
}

// ClientSession is what an app with Seam's SDK speaks to Seam with. Anyone who has the token has the keys of its
// identity.
type ClientSession struct {
	ClientSessionID string `json:"client_session_id"`
	Token           string `json:"token"`
	UserIdentityID  string `json:"user_identity_id"`
	// UserIdentityIDs is required in Seam's OpenAPI, and deprecated; UserIdentityID is optional.
	UserIdentityIDs   []string `json:"user_identity_ids"`
	UserIdentifierKey string   `json:"user_identifier_key"`
	CreatedAt         string   `json:"created_at"`
	ExpiresAt         string   `json:"expires_at"`
}

// Of reports whether the session shows the keys of this identity and of no other.
func (c ClientSession) Of(identityID string) bool {
	return (c.UserIdentityID == identityID || c.UserIdentityID == "" && len(c.UserIdentityIDs) > 0) &&
		!slices.ContainsFunc(c.UserIdentityIDs, func(id string) bool { return id != identityID })
}

func (k InstantKey) check() string    { return checkID(k.InstantKeyID) }
func (c ClientSession) check() string { return checkID(c.ClientSessionID) }

// CreateInstantKey is the body of [Client.CreateInstantKey].
type CreateInstantKey struct {
	UserIdentityID string `json:"user_identity_id"`
	MaxUseCount    int    `json:"max_use_count,omitempty"` // how often it may be opened; 0 is Seam's default, once
}

// CreateInstantKey creates an instant key. Each call creates another one: a call without an answer may have left a key
// that nobody knows.
func (c *Client) CreateInstantKey(ctx context.Context, in CreateInstantKey) (InstantKey, error) {
	var out InstantKey
	err := c.post(ctx, PathInstantKeyCreate, in, "instant_key", &out)
	return out, err
}

// InstantKey returns an instant key by its id, with its URL.
func (c *Client) InstantKey(ctx context.Context, id string) (InstantKey, error) {
	var out InstantKey
	err := c.post(ctx, "/instant_keys/get", map[string]string{"instant_key_id": id}, "instant_key", &out)
	return out, asked("/instant_keys/get", id, out.InstantKeyID, err)
}

// InstantKeys lists the instant keys of an identity. The caller compares: a list may hold others, because Seam may
// ignore the filter.
func (c *Client) InstantKeys(ctx context.Context, userIdentityID string) ([]InstantKey, error) {
	return whole[InstantKey](ctx, c, "/instant_keys/list", "instant_keys",
		map[string]any{"user_identity_id": userIdentityID})
}

// DeleteInstantKey deletes an instant key. Its session may outlive it: revoke that too.
func (c *Client) DeleteInstantKey(ctx context.Context, id string) error {
	return c.post(ctx, PathInstantKeyDelete, map[string]string{"instant_key_id": id}, "", nil)
}

// GetClientSession is the body of [Client.GetClientSession].
type GetClientSession struct {
	UserIdentityID string `json:"user_identity_id"`
	// UserIdentifierKey distinguishes the session from those of instant keys.
	UserIdentifierKey string `json:"user_identifier_key"`
	ExpiresAt         string `json:"expires_at"`
}

// GetClientSession returns the session of an identity and key, which ends at expires_at from then on, and creates it
// if there is none. Repeating the call creates no second one.
func (c *Client) GetClientSession(ctx context.Context, in GetClientSession) (ClientSession, error) {
	var out ClientSession
	err := c.post(ctx, PathSessionGet, in, "client_session", &out)
	return out, err
}

// ClientSessions lists the sessions of an identity, those of its instant keys among them. The caller compares.
func (c *Client) ClientSessions(ctx context.Context, userIdentityID string) ([]ClientSession, error) {
	return whole[ClientSession](ctx, c, "/client_sessions/list", "client_sessions",
		map[string]any{"user_identity_id": userIdentityID})
}

// RevokeClientSession revokes a session: its token stops working.
func (c *Client) RevokeClientSession(ctx context.Context, id string) error {
	return c.post(ctx, PathSessionRevoke, map[string]string{"client_session_id": id}, "", nil)
}
