package simulator

import (
	"encoding/json"
	"fmt"
	"net/mail"
	"net/url"
	"slices"
	"time"
)

// field is one request field as Seam's OpenAPI declares it. format uuid is not checked: real workspaces hold
// ids that are none.
type field struct {
	kind     string // string, number, integer, boolean, strings, object
	required bool
	nullable bool
	format   string // date-time, email, uri
	nonEmpty bool
	fields   schema // of an object
}

type schema map[string]field

var (
	str      = field{kind: "string"}
	reqStr   = field{kind: "string", required: true}
	nullStr  = field{kind: "string", nullable: true}
	dateTime = field{kind: "string", format: "date-time"}
	search   = field{kind: "string", nonEmpty: true}
	cursor   = field{kind: "string", nullable: true}
	integer  = field{kind: "integer"}
	nonEmpty = field{kind: "string", nonEmpty: true}

	userAddress = schema{"acs_user_id": str, "user_identity_id": str, "acs_system_id": str}
)

// schemas are the requests that the simulator understands; a check of the build compares them with Seam's
// OpenAPI, field by field.
var schemas = map[string]schema{
	"/workspaces/get": {},
	"/user_identities/create": {
		"user_identity_key": {kind: "string", nullable: true, nonEmpty: true}, "email_address": {
			kind:     "string",
			nullable: true, format: "email",
		},
		"phone_number": nullStr, "full_name": {kind: "string", nullable: true, nonEmpty: true},
		"acs_system_ids": {kind: "strings"},
	},
	"/user_identities/get": {"user_identity_id": str, "user_identity_key": str},
	"/user_identities/list": {
		"search": str, "created_before": dateTime, "user_identity_ids": {kind: "strings"},
		"credential_manager_acs_system_id": str, "limit": integer, "page_cursor": cursor,
	},
	"/user_identities/delete":         {"user_identity_id": reqStr},
	"/user_identities/add_acs_user":   {"acs_user_id": reqStr, "user_identity_id": str, "user_identity_key": str},
	"/user_identities/list_acs_users": {"user_identity_id": reqStr},
	"/acs/users/create": {
		"acs_system_id": reqStr, "full_name": reqStr, "user_identity_id": str,
		"acs_access_group_ids": {kind: "strings"},
		"access_schedule": {
			kind:   "object",
			fields: schema{"starts_at": dateTime, "ends_at": {kind: "string", format: "date-time", nullable: true}},
		},
		"email_address": {kind: "string", format: "email"}, "email": {kind: "string", format: "email"},
		"phone_number": str,
	},
	"/acs/users/get": userAddress,
	"/acs/users/list": {
		"acs_system_id": str, "user_identity_id": str, "user_identity_email_address": str,
		"user_identity_phone_number": str,
		"search":                     search, "created_before": dateTime, "limit": integer, "page_cursor": cursor,
	},
	"/acs/users/update": {
		"acs_user_id": str, "user_identity_id": str, "acs_system_id": str, "full_name": {
			kind:     "string",
			nonEmpty: true,
		},
		"access_schedule": {kind: "object", nullable: true, fields: schema{
			"starts_at": {kind: "string", format: "date-time", required: true}, "ends_at": {
				kind:   "string",
				format: "date-time", required: true,
			},
		}},
		"email_address": {kind: "string", format: "email"}, "email": {kind: "string", format: "email"},
		"phone_number": str, "hid_acs_system_id": str,
	},
	"/acs/users/delete":                   userAddress,
	"/acs/users/suspend":                  userAddress,
	"/acs/users/unsuspend":                userAddress,
	"/acs/users/add_to_access_group":      {"acs_user_id": reqStr, "acs_access_group_id": reqStr},
	"/acs/users/remove_from_access_group": {"acs_user_id": str, "user_identity_id": str, "acs_access_group_id": reqStr},
	"/acs/access_groups/list": {
		"acs_system_id": str, "acs_user_id": str, "user_identity_id": str,
		"search": search,
	},
	"/acs/access_groups/get":                       {"acs_access_group_id": reqStr},
	"/acs/access_groups/list_users":                {"acs_access_group_id": reqStr},
	"/acs/access_groups/list_accessible_entrances": {"acs_access_group_id": reqStr},
	"/acs/entrances/list": {
		"acs_credential_id": str, "acs_entrance_ids": {kind: "strings"}, "acs_system_id": str,
		"connected_account_id": str, "customer_key": str, "limit": integer, "page_cursor": cursor, "search": search,
		"space_id": str,
	},
	"/acs/systems/get":  {"acs_system_id": reqStr},
	"/acs/systems/list": {"connected_account_id": str, "customer_key": str, "search": search},
	"/acs/credentials/create": {
		"access_method": reqStr, "acs_user_id": str, "user_identity_id": str, "acs_system_id": str,
		"is_multi_phone_sync_credential": {kind: "boolean"}, "starts_at": dateTime, "ends_at": dateTime, "code": str,
		"allowed_acs_entrance_ids": {kind: "strings"}, "credential_manager_acs_system_id": str,
	},
	"/acs/credentials/list": {
		"acs_user_id": str, "acs_system_id": str, "user_identity_id": str,
		"is_multi_phone_sync_credential": {kind: "boolean"},
		"created_before":                 dateTime, "limit": integer, "page_cursor": cursor, "search": search,
	},
	"/acs/credentials/get":    {"acs_credential_id": reqStr},
	"/acs/credentials/delete": {"acs_credential_id": reqStr},
	"/user_identities/generate_instant_key": {
		"user_identity_id": reqStr, "max_use_count": {kind: "number"}, "customization_profile_id": str,
	},
	"/instant_keys/get":    {"instant_key_id": str, "instant_key_url": {kind: "string", format: "uri"}},
	"/instant_keys/list":   {"user_identity_id": str},
	"/instant_keys/delete": {"instant_key_id": reqStr},
	"/client_sessions/create": {
		"user_identity_id": str, "user_identifier_key": nonEmpty, "expires_at": dateTime,
		"connect_webview_ids": {kind: "strings"}, "connected_account_ids": {kind: "strings"},
	},
	"/client_sessions/get_or_create": {
		"user_identity_id": str, "user_identifier_key": nonEmpty, "expires_at": dateTime,
		"connect_webview_ids": {kind: "strings"}, "connected_account_ids": {kind: "strings"},
	},
	"/client_sessions/get": {"client_session_id": str, "user_identifier_key": str},
	"/client_sessions/list": {
		"client_session_id": str, "user_identity_id": str, "user_identifier_key": str,
		"without_user_identifier_key": {kind: "boolean"},
	},
	"/client_sessions/revoke":               {"client_session_id": reqStr},
	"/client_sessions/delete":               {"client_session_id": reqStr},
	"/phones/simulate/create_sandbox_phone": {"user_identity_id": reqStr},
	"/phones/list":                          {"owner_user_identity_id": str, "acs_credential_id": str},
	"/phones/get":                           {"device_id": reqStr},
	"/phones/deactivate":                    {"device_id": reqStr},
}

// check returns what is wrong with a request, in Seam's form: a tree of lists of messages.
func (s schema) check(body map[string]any) map[string]any {
	errs := map[string]any{}
	wrong := func(name, format string, args ...any) {
		errs[name] = map[string]any{"_errors": []string{fmt.Sprintf(format, args...)}}
	}
	for name, f := range s {
		value, present := body[name]
		switch {
		case !present:
			if f.required {
				wrong(name, "Required")
			}
		case value == nil:
			if !f.nullable {
				wrong(name, "Expected %s, received null", f.kind)
			}
		default:
			if message := f.check(value); message != "" {
				wrong(name, "%s", message)
			} else if f.kind == "object" {
				if inner := f.fields.check(value.(map[string]any)); inner != nil {
					errs[name] = inner
				}
			}
		}
	}
	if len(errs) == 0 {
		return nil
	}
	errs["_errors"] = []string{}
	return errs
}

// check returns what is wrong with a value, in Seam's words; "" for nothing.
func (f field) check(value any) string {
	switch f.kind {
	case "string":
		text, ok := value.(string)
		if !ok {
			return "Expected string"
		}
		return f.checkText(text)
	case "integer":
		n, ok := value.(json.Number)
		if !ok {
			return "Expected number"
		}
		if i, err := n.Int64(); err != nil || i <= 0 {
			return "Number must be a positive integer"
		}
	case "strings":
		list, ok := value.([]any)
		if !ok || slices.ContainsFunc(list, func(v any) bool { return !isA[string](v) }) {
			return "Expected array of string"
		}
	case "number":
		return expect[json.Number](value, f.kind)
	case "boolean":
		return expect[bool](value, f.kind)
	case "object":
		return expect[map[string]any](value, f.kind)
	}
	return ""
}

func isA[T any](value any) bool {
	_, ok := value.(T)
	return ok
}

func expect[T any](value any, kind string) string {
	if isA[T](value) {
		return ""
	}
	return "Expected " + kind
}

// checkText checks a text against the field's length and format.
func (f field) checkText(text string) string {
	if f.nonEmpty && text == "" {
		return "String must contain at least 1 character(s)"
	}
	switch f.format {
	case "date-time":
		if _, err := time.Parse(time.RFC3339Nano, text); err != nil {
			return "Invalid datetime"
		}
	case "email":
		if a, err := mail.ParseAddress(text); err != nil || a.Address != text {
			return "Invalid email"
		}
	case "uri":
		if u, err := url.Parse(text); err != nil || u.Scheme == "" {
			return "Invalid url"
		}
	}
	return ""
}
