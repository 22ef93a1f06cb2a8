package seam

import (
	"cmp"
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

// UserIdentity is a person as Seam knows them. One that was merged into another is answered as that other one: its
// id and key differ from those asked for.
type UserIdentity struct {
	UserIdentityID string   `json:"user_identity_id"`
	Key            string   `json:"user_identity_key"`
	EmailAddress   string   `json:"email_address"`
	ACSUserIDs     []string `json:"acs_user_ids"`
	MergedKeys     []string `json:"merged_user_identity_keys"` // of those that were merged into it
	WorkspaceID    string   `json:"workspace_id"`
	CreatedAt      string   `json:"created_at"`
	Warnings       []Issue  `json:"warnings"`
}

// ACSUser is a user of an access system. Only its id, system and creation time are in every answer; what an answer
// leaves out, or gives as null, is zero here, and not known.
type ACSUser struct {
	ACSUserID        string     `json:"acs_user_id"`
	ACSSystemID      string     `json:"acs_system_id"`
	UserIdentityID   string     `json:"user_identity_id"`
	FullName         string     `json:"full_name"`
	CreatedAt        string     `json:"created_at"`
	AccessSchedule   *Schedule  `json:"access_schedule"`
	IsSuspended      *bool      `json:"is_suspended"` // nil: not in the answer
	Errors           []Issue    `json:"errors"`
	Warnings         []Issue    `json:"warnings"`
	PendingMutations []Mutation `json:"pending_mutations"`
	SaltoKS          struct {
		IsSubscribed *bool `json:"is_subscribed"`
	} `json:"salto_ks_metadata"`
}

// Subscribed reports whether the user holds a subscription slot of its Salto KS site; only then do doors open.
// Where Seam leaves out the flag, the warnings decide.
func (u ACSUser) Subscribed() bool {
	if u.SaltoKS.IsSubscribed != nil {
		return *u.SaltoKS.IsSubscribed
	}
	return !slices.ContainsFunc(u.Warnings, func(w Issue) bool {
		return w.WarningCode == "salto_ks_user_not_subscribed" || w.WarningCode == "acs_user_inactive"
	})
}

// NotDeleted is the error on an ACS user that the access system has not removed although Seam deleted it.
const NotDeleted = "failed_to_delete_on_acs_system"

// Problem returns the code of the first error that Seam reports on the user, nil for none. A deletion that has failed
// is no error of a user that should exist.
func (u ACSUser) Problem() *string {
	deletion := func(e Issue) bool { return e.ErrorCode == NotDeleted }
	return firstProblem(slices.DeleteFunc(slices.Clone(u.Errors), deletion))
}

// Reports reports whether Seam has an error of this code on the user.
func (u ACSUser) Reports(code string) bool {
	return slices.ContainsFunc(u.Errors, func(e Issue) bool { return e.ErrorCode == code })
}

// BeingDeleted reports whether Seam is removing the user.
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

// InProgress reports whether Seam has changes of the user under way to the access system.
func (u ACSUser) InProgress() bool {
	return slices.ContainsFunc(u.PendingMutations, func(m Mutation) bool { return !m.deferred() })
}

// Deferred reports whether Seam has deferred changes of the user, to make them on its own: of one whose access
// begins later, or whose credential nobody has taken up yet (Seam's OpenAPI, acs_user.pending_mutations).
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

// IsDisconnection reports whether a code, of an access system's errors or of a refused call, says that Seam can't
// reach it. The codes are of Seam's OpenAPI, acs_system.errors.
func IsDisconnection(code string) bool {
	return slices.Contains([]string{
		"acs_system_disconnected", "account_disconnected", "bridge_disconnected",
		"seam_bridge_disconnected",
	}, code)
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

// Credential is a means of opening doors. As with [ACSUser], what is zero is not known.
type Credential struct {
	ACSCredentialID       string  `json:"acs_credential_id"`
	ACSUserID             string  `json:"acs_user_id"`
	AccessMethod          string  `json:"access_method"`
	IsMultiPhoneSync      *bool   `json:"is_multi_phone_sync_credential"` // nil: not in the answer
	ParentACSCredentialID string  `json:"parent_acs_credential_id"`
	CreatedAt             string  `json:"created_at"`
	Code                  string  `json:"code"` // of a PIN; "" while Salto hasn't made it
	Errors                []Issue `json:"errors"`
	Warnings              []Issue `json:"warnings"`
}

// IsCode reports whether the credential is a PIN.
func (c Credential) IsCode() bool { return c.AccessMethod == "code" }

// Waits reports whether Seam has not issued the credential yet.
func (c Credential) Waits() bool { return c.warns("waiting_to_be_issued") }

// BeingDeleted reports whether Seam is removing the credential.
func (c Credential) BeingDeleted() bool { return c.warns("being_deleted") }

func (c Credential) warns(code string) bool {
	return slices.ContainsFunc(c.Warnings, func(w Issue) bool { return w.WarningCode == code })
}

// IsMobileKey reports whether the credential is, or may be, a stay's mobile key: not a card, a code, or one of the
// children that Seam makes for each phone. An answer may leave out what tells a child; see
// [Credential.IsSurelyMobileKey].
func (c Credential) IsMobileKey() bool {
	return c.AccessMethod == "mobile_key" && c.ParentACSCredentialID == "" && (c.IsMultiPhoneSync == nil ||
		*c.IsMultiPhoneSync)
}

// IsSurelyMobileKey reports whether the answer leaves no doubt that it is a mobile key. Only such a one may be deleted
// as a second key.
func (c Credential) IsSurelyMobileKey() bool { return c.IsMobileKey() && c.IsMultiPhoneSync != nil }

// Problem returns the code of the first error that Seam reports on the credential, nil for none. There is no list
// of them.
func (c Credential) Problem() *string { return firstProblem(c.Errors) }

func firstProblem(errors []Issue) *string {
	if len(errors) == 0 {
		return nil
	}
	problem := cmp.Or(code(errors[0].ErrorCode), "an error without a code")
	return &problem
}

// An object without its id can't be identified.
const noID = "it has no id"

func checkID(id string) string {
	if id == "" {
		return noID
	}
	return ""
}

func (i UserIdentity) check() string { return checkID(i.UserIdentityID) }
func (u ACSUser) check() string      { return checkID(u.ACSUserID) }
func (g AccessGroup) check() string  { return checkID(g.ACSAccessGroupID) }
func (s System) check() string       { return checkID(s.ACSSystemID) }
func (c Credential) check() string   { return checkID(c.ACSCredentialID) }
