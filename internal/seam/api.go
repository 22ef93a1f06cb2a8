package seam

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// timeLayout is what Seam's own examples use: UTC, milliseconds, Z.
const timeLayout = "2006-01-02T15:04:05.000Z"

// FormatTime writes an instant as Seam documents it.
func FormatTime(t time.Time) string { return t.UTC().Format(timeLayout) }

// ParseTime reads an instant with any fraction; zero where there is none or it is not one.
func ParseTime(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}

// Schedule is when an ACS user has access.
type Schedule struct {
	StartsAt string `json:"starts_at"`
	EndsAt   string `json:"ends_at"`
}

// NewSchedule returns the schedule of a stay.
func NewSchedule(starts, ends time.Time) Schedule {
	return Schedule{StartsAt: FormatTime(starts), EndsAt: FormatTime(ends)}
}

// Issue is an entry of an object's errors or warnings.
type Issue struct {
	ErrorCode   string `json:"error_code"`
	WarningCode string `json:"warning_code"`
	Message     string `json:"message"`
}

// Mutation is something that Seam has not pushed to the access system yet.
type Mutation struct {
	Code string `json:"mutation_code"`
}

// UserIdentity is a person as Seam knows them.
type UserIdentity struct {
	UserIdentityID string   `json:"user_identity_id"`
	Key            string   `json:"user_identity_key"`
	EmailAddress   string   `json:"email_address"`
	ACSUserIDs     []string `json:"acs_user_ids"`
	WorkspaceID    string   `json:"workspace_id"`
	Warnings       []Issue  `json:"warnings"`
}

// ACSUser is a user of an access system.
type ACSUser struct {
	ACSUserID        string     `json:"acs_user_id"`
	ACSSystemID      string     `json:"acs_system_id"`
	UserIdentityID   string     `json:"user_identity_id"`
	FullName         string     `json:"full_name"`
	CreatedAt        string     `json:"created_at"`
	AccessSchedule   *Schedule  `json:"access_schedule"`
	IsSuspended      bool       `json:"is_suspended"`
	Errors           []Issue    `json:"errors"`
	Warnings         []Issue    `json:"warnings"`
	PendingMutations []Mutation `json:"pending_mutations"`
	SaltoKS          *struct {
		IsSubscribed bool `json:"is_subscribed"`
	} `json:"salto_ks_metadata"`
}

// Subscribed tells whether the user holds a subscription slot of its Salto KS site; only then do doors open.
// Where Seam leaves out the flag, it is the lack of a warning that says so.
func (u ACSUser) Subscribed() bool {
	if u.SaltoKS != nil {
		return u.SaltoKS.IsSubscribed
	}
	return !slices.ContainsFunc(u.Warnings, func(w Issue) bool {
		return w.WarningCode == "salto_ks_user_not_subscribed" || w.WarningCode == "acs_user_inactive"
	})
}

// Problem returns the code of the first error that Seam reports on the user, nil for none.
func (u ACSUser) Problem() *string { return firstProblem(u.Errors) }

// Reports tells whether Seam has an error of this code on the user.
func (u ACSUser) Reports(code string) bool {
	return slices.ContainsFunc(u.Errors, func(e Issue) bool { return e.ErrorCode == code })
}

// BeingDeleted tells whether Seam is removing the user.
func (u ACSUser) BeingDeleted() bool {
	for _, w := range u.Warnings {
		if w.WarningCode == "being_deleted" {
			return true
		}
	}
	for _, m := range u.PendingMutations {
		if m.Code == "deleting" {
			return true
		}
	}
	return false
}

// InProgress tells whether Seam has changes of the user under way to the access system.
func (u ACSUser) InProgress() bool {
	return slices.ContainsFunc(u.PendingMutations, func(m Mutation) bool { return !m.deferred() })
}

// Deferred tells whether Seam has put changes of the user off, to make them by itself: of one whose access begins later, or whose
// credential nobody has taken up yet (Seam's OpenAPI, acs_user.pending_mutations).
func (u ACSUser) Deferred() bool { return slices.ContainsFunc(u.PendingMutations, Mutation.deferred) }

func (m Mutation) deferred() bool { return strings.HasPrefix(m.Code, "deferring_") }

// AccessGroup is a group of doors of an access system.
type AccessGroup struct {
	ACSAccessGroupID string `json:"acs_access_group_id"`
	ACSSystemID      string `json:"acs_system_id"`
	Name             string `json:"name"`
}

// System is an access system.
type System struct {
	ACSSystemID  string  `json:"acs_system_id"`
	Name         string  `json:"name"`
	ExternalType string  `json:"external_type"`
	Errors       []Issue `json:"errors"`
	Warnings     []Issue `json:"warnings"`
}

// IsDisconnection tells whether a code, of an access system's errors or of a refused call, says that Seam can't
// reach it. The codes are of Seam's OpenAPI, acs_system.errors.
func IsDisconnection(code string) bool {
	return slices.Contains([]string{"acs_system_disconnected", "account_disconnected", "bridge_disconnected", "seam_bridge_disconnected"}, code)
}

// Disconnected returns the error code that says that Seam can't reach the access system, "" while it can.
func (s System) Disconnected() string {
	for _, e := range s.Errors {
		if IsDisconnection(e.ErrorCode) {
			return e.ErrorCode
		}
	}
	return ""
}

// Credential is a means of opening doors.
type Credential struct {
	ACSCredentialID       string  `json:"acs_credential_id"`
	ACSUserID             string  `json:"acs_user_id"`
	AccessMethod          string  `json:"access_method"`
	IsMultiPhoneSync      bool    `json:"is_multi_phone_sync_credential"`
	ParentACSCredentialID string  `json:"parent_acs_credential_id"`
	CreatedAt             string  `json:"created_at"`
	Errors                []Issue `json:"errors"`
}

// IsMobileKey tells a stay's mobile key from cards, codes, and from the children that Seam makes for each phone.
func (c Credential) IsMobileKey() bool {
	return c.AccessMethod == "mobile_key" && c.IsMultiPhoneSync && c.ParentACSCredentialID == ""
}

// Problem returns the code of the first error that Seam reports on the credential, nil for none. There is no list of them.
func (c Credential) Problem() *string { return firstProblem(c.Errors) }

func firstProblem(errors []Issue) *string {
	if len(errors) == 0 {
		return nil
	}
	code := cmp.Or(errors[0].ErrorCode, "an error without a code")
	return &code
}

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

// CreateUserIdentity is the body of that call. Phone numbers are never sent: they are unique in a workspace.
type CreateUserIdentity struct {
	Key          string `json:"user_identity_key"`
	EmailAddress string `json:"email_address,omitempty"`
}

// CreateUserIdentity makes a user identity.
func (c *Client) CreateUserIdentity(ctx context.Context, in CreateUserIdentity) (UserIdentity, error) {
	var out UserIdentity
	err := c.post(ctx, PathIdentityCreate, in, "user_identity", &out)
	return out, err
}

// UserIdentityByKey finds a user identity by the key that it was made with.
func (c *Client) UserIdentityByKey(ctx context.Context, key string) (UserIdentity, error) {
	var out UserIdentity
	err := c.post(ctx, "/user_identities/get", map[string]string{"user_identity_key": key}, "user_identity", &out)
	return out, err
}

// SearchUserIdentities lists identities that match a text in part; the caller compares exactly.
func (c *Client) SearchUserIdentities(ctx context.Context, search string) ([]UserIdentity, error) {
	return list[UserIdentity](ctx, c, "/user_identities/list", "user_identities", map[string]any{"search": search})
}

// DeleteUserIdentity deletes an identity and everything that is linked to it.
func (c *Client) DeleteUserIdentity(ctx context.Context, id string) error {
	return c.post(ctx, PathIdentityDelete, map[string]string{"user_identity_id": id}, "", nil)
}

// ACSUsersOfIdentity lists the ACS users that are linked to an identity, on every system.
func (c *Client) ACSUsersOfIdentity(ctx context.Context, id string) ([]ACSUser, error) {
	var out []ACSUser
	err := c.post(ctx, "/user_identities/list_acs_users", map[string]string{"user_identity_id": id}, "acs_users", &out)
	return out, err
}

// LinkACSUser is the body of add_acs_user.
type LinkACSUser struct {
	UserIdentityID string `json:"user_identity_id"`
	ACSUserID      string `json:"acs_user_id"`
}

// LinkACSUser links an ACS user to an identity.
func (c *Client) LinkACSUser(ctx context.Context, in LinkACSUser) error {
	return c.post(ctx, PathIdentityAddUser, in, "", nil)
}

// CreateACSUser is the body of that call: user, schedule and groups in one, so that no ACS user ever exists
// without its schedule.
type CreateACSUser struct {
	ACSSystemID       string   `json:"acs_system_id"`
	UserIdentityID    string   `json:"user_identity_id"`
	FullName          string   `json:"full_name"`
	AccessSchedule    Schedule `json:"access_schedule"`
	ACSAccessGroupIDs []string `json:"acs_access_group_ids"`
}

// CreateACSUser makes an ACS user.
func (c *Client) CreateACSUser(ctx context.Context, in CreateACSUser) (ACSUser, error) {
	var out ACSUser
	err := c.post(ctx, PathUserCreate, in, "acs_user", &out)
	return out, err
}

// ACSUser returns one ACS user.
func (c *Client) ACSUser(ctx context.Context, id string) (ACSUser, error) {
	var out ACSUser
	err := c.post(ctx, "/acs/users/get", map[string]string{"acs_user_id": id}, "acs_user", &out)
	return out, err
}

// ACSUsers lists the ACS users of an identity on a system.
func (c *Client) ACSUsers(ctx context.Context, acsSystemID, userIdentityID string) ([]ACSUser, error) {
	return list[ACSUser](ctx, c, "/acs/users/list", "acs_users", map[string]any{"acs_system_id": acsSystemID, "user_identity_id": userIdentityID})
}

// EachACSUser gives take every ACS user of a system, page by page, until it fails.
func (c *Client) EachACSUser(ctx context.Context, acsSystemID string, take func([]ACSUser) error) error {
	return eachPage(ctx, c, "/acs/users/list", "acs_users", map[string]any{"acs_system_id": acsSystemID}, take)
}

// UpdateACSUser is the body of that call. A schedule without both ends is refused by Seam.
type UpdateACSUser struct {
	ACSUserID      string   `json:"acs_user_id"`
	AccessSchedule Schedule `json:"access_schedule"`
}

// UpdateACSUser changes an ACS user's schedule.
func (c *Client) UpdateACSUser(ctx context.Context, in UpdateACSUser) error {
	return c.post(ctx, PathUserUpdate, in, "", nil)
}

// UserID is the body of the calls that name an ACS user and nothing else.
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

// GroupMembership is the body of the two calls that change one.
type GroupMembership struct {
	ACSUserID        string `json:"acs_user_id"`
	ACSAccessGroupID string `json:"acs_access_group_id"`
}

// AddToAccessGroup opens a group's doors to an ACS user. Repeating it changes nothing.
func (c *Client) AddToAccessGroup(ctx context.Context, in GroupMembership) error {
	return c.post(ctx, PathGroupAdd, in, "", nil)
}

// RemoveFromAccessGroup closes them. Repeating it changes nothing.
func (c *Client) RemoveFromAccessGroup(ctx context.Context, in GroupMembership) error {
	return c.post(ctx, PathGroupRemove, in, "", nil)
}

// AccessGroups lists the groups of the workspace, or those of one ACS user.
func (c *Client) AccessGroups(ctx context.Context, acsUserID string) ([]AccessGroup, error) {
	in := map[string]string{}
	if acsUserID != "" {
		in["acs_user_id"] = acsUserID
	}
	var out []AccessGroup
	err := c.post(ctx, "/acs/access_groups/list", in, "acs_access_groups", &out)
	return out, err
}

// AccessGroupsOf lists the groups of an access system.
func (c *Client) AccessGroupsOf(ctx context.Context, acsSystemID string) ([]AccessGroup, error) {
	var out []AccessGroup
	err := c.post(ctx, "/acs/access_groups/list", map[string]string{"acs_system_id": acsSystemID}, "acs_access_groups", &out)
	return out, err
}

// Members lists the ACS users in an access group.
func (c *Client) Members(ctx context.Context, accessGroupID string) ([]ACSUser, error) {
	var out []ACSUser
	err := c.post(ctx, "/acs/access_groups/list_users", map[string]string{"acs_access_group_id": accessGroupID}, "acs_users", &out)
	return out, err
}

// AccessGroup returns one group.
func (c *Client) AccessGroup(ctx context.Context, id string) (AccessGroup, error) {
	var out AccessGroup
	err := c.post(ctx, "/acs/access_groups/get", map[string]string{"acs_access_group_id": id}, "acs_access_group", &out)
	return out, err
}

// System returns one access system.
func (c *Client) System(ctx context.Context, id string) (System, error) {
	var out System
	err := c.post(ctx, "/acs/systems/get", map[string]string{"acs_system_id": id}, "acs_system", &out)
	return out, err
}

// Systems lists the access systems of the workspace.
func (c *Client) Systems(ctx context.Context) ([]System, error) {
	var out []System
	err := c.post(ctx, "/acs/systems/list", struct{}{}, "acs_systems", &out)
	return out, err
}

// CreateCredential is the body of that call.
type CreateCredential struct {
	ACSUserID        string `json:"acs_user_id"`
	AccessMethod     string `json:"access_method"`
	IsMultiPhoneSync bool   `json:"is_multi_phone_sync_credential"`
}

// MobileKeyOf is the body that makes an ACS user's mobile key.
func MobileKeyOf(acsUserID string) CreateCredential {
	return CreateCredential{ACSUserID: acsUserID, AccessMethod: "mobile_key", IsMultiPhoneSync: true}
}

// CreateCredential makes a credential.
func (c *Client) CreateCredential(ctx context.Context, in CreateCredential) (Credential, error) {
	var out Credential
	err := c.post(ctx, PathCredentialCreate, in, "acs_credential", &out)
	return out, err
}

// Credentials lists an ACS user's credentials.
func (c *Client) Credentials(ctx context.Context, acsUserID string) ([]Credential, error) {
	return list[Credential](ctx, c, "/acs/credentials/list", "acs_credentials", map[string]any{"acs_user_id": acsUserID})
}

// EachMobileKey gives take every multi-phone credential of a system, page by page, until it fails.
func (c *Client) EachMobileKey(ctx context.Context, acsSystemID string, take func([]Credential) error) error {
	return eachPage(ctx, c, "/acs/credentials/list", "acs_credentials",
		map[string]any{"acs_system_id": acsSystemID, "is_multi_phone_sync_credential": true}, take)
}

// Credential returns one credential.
func (c *Client) Credential(ctx context.Context, id string) (Credential, error) {
	var out Credential
	err := c.post(ctx, "/acs/credentials/get", CredentialID{id}, "acs_credential", &out)
	return out, err
}

// CredentialID is the body of the calls that name a credential and nothing else.
type CredentialID struct {
	ACSCredentialID string `json:"acs_credential_id"`
}

// DeleteCredential deletes a credential.
func (c *Client) DeleteCredential(ctx context.Context, id string) error {
	return c.post(ctx, PathCredentialDelete, CredentialID{id}, "", nil)
}

// WorkspaceID returns the workspace that the key belongs to.
func (c *Client) WorkspaceID(ctx context.Context) (string, error) {
	var out struct {
		WorkspaceID string `json:"workspace_id"`
	}
	err := c.post(ctx, "/workspaces/get", struct{}{}, "workspace", &out)
	return out.WorkspaceID, err
}

// page is one page of a list.
type page[T any] struct {
	items  []T
	cursor string
}

func (p *page[T]) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, &p.items) }

func (p *page[T]) next(pagination json.RawMessage) {
	var out struct {
		HasNextPage bool   `json:"has_next_page"`
		NextCursor  string `json:"next_page_cursor"`
	}
	p.cursor = ""
	if json.Unmarshal(pagination, &out) == nil && out.HasNextPage {
		p.cursor = out.NextCursor
	}
}

// list reads every page into one slice.
func list[T any](ctx context.Context, c *Client, path, key string, in map[string]any) ([]T, error) {
	var all []T
	err := eachPage(ctx, c, path, key, in, func(items []T) error {
		all = append(all, items...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// eachPage reads every page; the other parameters stay the same between pages, as Seam asks.
func eachPage[T any](ctx context.Context, c *Client, path, key string, in map[string]any, take func([]T) error) error {
	for {
		var p page[T]
		if err := c.post(ctx, path, in, key, &p); err != nil {
			return err
		}
		if err := take(p.items); err != nil || p.cursor == "" {
			return err
		}
		in["page_cursor"] = p.cursor
	}
}
