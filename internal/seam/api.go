package seam

import (
	"cmp"
	"context"
)

// Paths of the calls that change something.
const (
	PathIdentityCreate   = "/user_identities/create"
	PathIdentityDelete   = "/user_identities/delete"
	PathIdentityAddUser  = "/user_identities/add_acs_user"
	PathUserCreate       = "/acs/users/create"
	PathUserUpdate       = "/acs/users/update"
	PathUserDelete       = "/acs/users/delete"
	PathUserUnsuspend    = "/acs/users/unsuspend"
	PathGroupAdd         = "/acs/users/add_to_access_group"
	PathGroupRemove      = "/acs/users/remove_from_access_group"
	PathCredentialCreate = "/acs/credentials/create"
	PathCredentialDelete = "/acs/credentials/delete"
)

// CreateUserIdentity is the body of [Client.CreateUserIdentity]. Phone numbers are never sent: they are unique in a
// workspace.
type CreateUserIdentity struct {
	Key          string `json:"user_identity_key"`
	EmailAddress string `json:"email_address,omitempty"`
}

// CreateUserIdentity creates a user identity.
func (c *Client) CreateUserIdentity(ctx context.Context, in CreateUserIdentity) (UserIdentity, error) {
	var out UserIdentity
	err := c.post(ctx, PathIdentityCreate, in, "user_identity", &out)
	return out, err
}

// UserIdentityByKey finds a user identity by the key that it was created with.
func (c *Client) UserIdentityByKey(ctx context.Context, key string) (UserIdentity, error) {
	var out UserIdentity
	err := c.post(ctx, "/user_identities/get", map[string]string{"user_identity_key": key}, "user_identity", &out)
	return out, err
}

// UserIdentity returns a user identity by its id, or the one that it was merged into.
func (c *Client) UserIdentity(ctx context.Context, id string) (UserIdentity, error) {
	var out UserIdentity
	err := c.post(ctx, "/user_identities/get", map[string]string{"user_identity_id": id}, "user_identity", &out)
	return out, err
}

// SearchUserIdentities lists identities that match a text in part; the caller compares exactly.
func (c *Client) SearchUserIdentities(ctx context.Context, search string) ([]UserIdentity, error) {
	return list[UserIdentity](ctx, c, "/user_identities/list", "user_identities", map[string]any{"search": search})
}

// EachUserIdentity calls take with the user identities of the workspace, page by page, until it fails. Of identities
// that were merged only the survivor is listed.
func (c *Client) EachUserIdentity(ctx context.Context, take func([]UserIdentity) error) error {
	return eachPage(ctx, c, "/user_identities/list", "user_identities", map[string]any{}, take)
}

// DeleteUserIdentity deletes an identity and everything that is linked to it.
func (c *Client) DeleteUserIdentity(ctx context.Context, id string) error {
	return c.post(ctx, PathIdentityDelete, map[string]string{"user_identity_id": id}, "", nil)
}

// ACSUsersOfIdentity lists the ACS users that are linked to an identity, on every system.
func (c *Client) ACSUsersOfIdentity(ctx context.Context, id string) ([]ACSUser, error) {
	return whole[ACSUser](ctx, c, "/user_identities/list_acs_users", "acs_users",
		map[string]any{"user_identity_id": id})
}

// LinkACSUser is the body of [Client.LinkACSUser].
type LinkACSUser struct {
	UserIdentityID string `json:"user_identity_id"`
	ACSUserID      string `json:"acs_user_id"`
}

// LinkACSUser links an ACS user to an identity.
func (c *Client) LinkACSUser(ctx context.Context, in LinkACSUser) error {
	return c.post(ctx, PathIdentityAddUser, in, "", nil)
}

// CreateACSUser is the body of [Client.CreateACSUser]: user, schedule and groups in one, so that no ACS user ever
// exists without its schedule.
type CreateACSUser struct {
	ACSSystemID       string   `json:"acs_system_id"`
	UserIdentityID    string   `json:"user_identity_id"`
	FullName          string   `json:"full_name"`
	AccessSchedule    Schedule `json:"access_schedule"`
	ACSAccessGroupIDs []string `json:"acs_access_group_ids"`
}

// CreateACSUser creates an ACS user.
func (c *Client) CreateACSUser(ctx context.Context, in CreateACSUser) (ACSUser, error) {
	var out ACSUser
	err := c.post(ctx, PathUserCreate, in, "acs_user", &out)
	return out, err
}

// ACSUser returns one ACS user.
func (c *Client) ACSUser(ctx context.Context, id string) (ACSUser, error) {
	var out ACSUser
	err := c.post(ctx, "/acs/users/get", map[string]string{"acs_user_id": id}, "acs_user", &out)
	return out, asked("/acs/users/get", id, out.ACSUserID, err)
}

// ACSUsers lists the ACS users of an identity on a system. One whose identity the answer leaves out is taken to be
// of the identity asked for. The caller compares: a list may hold others, where Seam ignores the filter.
func (c *Client) ACSUsers(ctx context.Context, acsSystemID, userIdentityID string) ([]ACSUser, error) {
	in := map[string]any{"acs_system_id": acsSystemID, "user_identity_id": userIdentityID}
	users, err := list[ACSUser](ctx, c, "/acs/users/list", "acs_users", in)
	for i := range users {
		users[i].UserIdentityID = cmp.Or(users[i].UserIdentityID, userIdentityID)
	}
	return users, err
}

// SearchACSUsers lists the ACS users of a system that match a text in part; the caller compares exactly.
func (c *Client) SearchACSUsers(ctx context.Context, acsSystemID, search string) ([]ACSUser, error) {
	return list[ACSUser](ctx, c, "/acs/users/list", "acs_users",
		map[string]any{"acs_system_id": acsSystemID, "search": search})
}

// EachACSUser calls take with the ACS users of a system, page by page, until it fails.
func (c *Client) EachACSUser(ctx context.Context, acsSystemID string, take func([]ACSUser) error) error {
	return eachPage(ctx, c, "/acs/users/list", "acs_users", map[string]any{"acs_system_id": acsSystemID}, take)
}

// UpdateACSUser is the body of [Client.UpdateACSUser]. Seam refuses a schedule without both ends.
type UpdateACSUser struct {
	ACSUserID      string   `json:"acs_user_id"`
	AccessSchedule Schedule `json:"access_schedule"`
}

// UpdateACSUser changes an ACS user's schedule.
func (c *Client) UpdateACSUser(ctx context.Context, in UpdateACSUser) error {
	return c.post(ctx, PathUserUpdate, in, "", nil)
}

// RenameACSUser is the body of [Client.RenameACSUser].
type RenameACSUser struct {
	ACSUserID string `json:"acs_user_id"`
	FullName  string `json:"full_name"`
}

// RenameACSUser changes an ACS user's name. What an update leaves out is unchanged.
func (c *Client) RenameACSUser(ctx context.Context, in RenameACSUser) error {
	return c.post(ctx, PathUserUpdate, in, "", nil)
}

// UserID is the body of calls that name an ACS user and nothing else.
type UserID struct {
	ACSUserID string `json:"acs_user_id"`
}

// DeleteACSUser deletes an ACS user and invalidates its credentials.
func (c *Client) DeleteACSUser(ctx context.Context, id string) error {
	return c.post(ctx, PathUserDelete, UserID{id}, "", nil)
}

// UnsuspendACSUser lifts a suspension.
func (c *Client) UnsuspendACSUser(ctx context.Context, id string) error {
	return c.post(ctx, PathUserUnsuspend, UserID{id}, "", nil)
}

// GroupMembership is the body of [Client.AddToAccessGroup] and [Client.RemoveFromAccessGroup].
type GroupMembership struct {
	ACSUserID        string `json:"acs_user_id"`
	ACSAccessGroupID string `json:"acs_access_group_id"`
}

// AddToAccessGroup opens a group's doors to an ACS user. Repeating it changes nothing.
func (c *Client) AddToAccessGroup(ctx context.Context, in GroupMembership) error {
	return c.post(ctx, PathGroupAdd, in, "", nil)
}

// RemoveFromAccessGroup closes a group's doors to an ACS user. Repeating it changes nothing.
func (c *Client) RemoveFromAccessGroup(ctx context.Context, in GroupMembership) error {
	return c.post(ctx, PathGroupRemove, in, "", nil)
}

// AccessGroups lists the groups of the workspace, or those of one ACS user.
func (c *Client) AccessGroups(ctx context.Context, acsUserID string) ([]AccessGroup, error) {
	in := map[string]any{}
	if acsUserID != "" {
		in["acs_user_id"] = acsUserID
	}
	return whole[AccessGroup](ctx, c, "/acs/access_groups/list", "acs_access_groups", in)
}

// AccessGroupsOf lists the groups of an access system.
func (c *Client) AccessGroupsOf(ctx context.Context, acsSystemID string) ([]AccessGroup, error) {
	return whole[AccessGroup](ctx, c, "/acs/access_groups/list", "acs_access_groups",
		map[string]any{"acs_system_id": acsSystemID})
}

// Members lists the ACS users in an access group.
func (c *Client) Members(ctx context.Context, accessGroupID string) ([]ACSUser, error) {
	return whole[ACSUser](ctx, c, "/acs/access_groups/list_users", "acs_users",
		map[string]any{"acs_access_group_id": accessGroupID})
}

// AccessGroup returns one group.
func (c *Client) AccessGroup(ctx context.Context, id string) (AccessGroup, error) {
	var out AccessGroup
	err := c.post(ctx, "/acs/access_groups/get", map[string]string{"acs_access_group_id": id}, "acs_access_group", &out)
	return out, asked("/acs/access_groups/get", id, out.ACSAccessGroupID, err)
}

// System returns one access system.
func (c *Client) System(ctx context.Context, id string) (System, error) {
	var out System
	err := c.post(ctx, "/acs/systems/get", map[string]string{"acs_system_id": id}, "acs_system", &out)
	return out, asked("/acs/systems/get", id, out.ACSSystemID, err)
}

// Systems lists the access systems of the workspace.
func (c *Client) Systems(ctx context.Context) ([]System, error) {
	return whole[System](ctx, c, "/acs/systems/list", "acs_systems", map[string]any{})
}

// CreateCredential is the body of [Client.CreateCredential].
type CreateCredential struct {
	ACSUserID        string `json:"acs_user_id"`
	AccessMethod     string `json:"access_method"`
	IsMultiPhoneSync bool   `json:"is_multi_phone_sync_credential,omitempty"`
}

// CodeOf is the body that creates a PIN for an ACS user. Salto chooses the digits and refuses a requested code.
func CodeOf(acsUserID string) CreateCredential {
	return CreateCredential{ACSUserID: acsUserID, AccessMethod: "code"}
}

// MobileKeyOf is the body that creates an ACS user's mobile key.
func MobileKeyOf(acsUserID string) CreateCredential {
	return CreateCredential{ACSUserID: acsUserID, AccessMethod: "mobile_key", IsMultiPhoneSync: true}
}

// CreateCredential creates a credential.
func (c *Client) CreateCredential(ctx context.Context, in CreateCredential) (Credential, error) {
	var out Credential
	err := c.post(ctx, PathCredentialCreate, in, "acs_credential", &out)
	if err == nil {
		out.ACSUserID = cmp.Or(out.ACSUserID, in.ACSUserID)
	}
	return out, err
}

// Credentials lists an ACS user's credentials. One whose ACS user the answer leaves out is taken to be of the one
// asked for. The caller compares.
func (c *Client) Credentials(ctx context.Context, acsUserID string) ([]Credential, error) {
	keys, err := list[Credential](ctx, c, "/acs/credentials/list", "acs_credentials",
		map[string]any{"acs_user_id": acsUserID})
	for i := range keys {
		keys[i].ACSUserID = cmp.Or(keys[i].ACSUserID, acsUserID)
	}
	return keys, err
}

// EachMobileKey calls take with the multi-phone credentials of a system, page by page, until it fails.
func (c *Client) EachMobileKey(ctx context.Context, acsSystemID string, take func([]Credential) error) error {
	return eachPage(ctx, c, "/acs/credentials/list", "acs_credentials",
		map[string]any{"acs_system_id": acsSystemID, "is_multi_phone_sync_credential": true}, take)
}

// EachCredential calls take with the credentials of a system, page by page, until it fails.
func (c *Client) EachCredential(ctx context.Context, acsSystemID string, take func([]Credential) error) error {
	return eachPage(ctx, c, "/acs/credentials/list", "acs_credentials",
		map[string]any{"acs_system_id": acsSystemID}, take)
}

// Credential returns one credential.
func (c *Client) Credential(ctx context.Context, id string) (Credential, error) {
	var out Credential
	err := c.post(ctx, "/acs/credentials/get", CredentialID{id}, "acs_credential", &out)
	return out, asked("/acs/credentials/get", id, out.ACSCredentialID, err)
}

// CredentialID is the body of calls that name a credential and nothing else.
type CredentialID struct {
	ACSCredentialID string `json:"acs_credential_id"`
}

// DeleteCredential deletes a credential.
func (c *Client) DeleteCredential(ctx context.Context, id string) error {
	return c.post(ctx, PathCredentialDelete, CredentialID{id}, "", nil)
}

// WorkspaceID returns the workspace that the key belongs to. It is never "" without an error.
func (c *Client) WorkspaceID(ctx context.Context) (string, error) {
	var out workspace
	err := c.post(ctx, "/workspaces/get", struct{}{}, "workspace", &out)
	return out.WorkspaceID, err
}

type workspace struct {
	WorkspaceID string `json:"workspace_id"`
}

func (w workspace) check() string { return checkID(w.WorkspaceID) }

// asked refuses an answer about another object than the one asked for.
func asked(path, want, got string, err error) error {
	if err == nil && got != want {
		return &Error{Path: path, Kind: Lost, Message: "the answer is about another object than the one asked for"}
	}
	return err
}
