package simulator

import (
	"net/http"
	"strings"
	"time"
)

// request is a checked body.
type request map[string]any

func (r request) text(name string) string { s, _ := r[name].(string); return s }
func (r request) flag(name string) bool   { b, _ := r[name].(bool); return b }
func (r request) texts(name string) []string {
	list, _ := r[name].([]any)
	out := make([]string, 0, len(list))
	for _, v := range list {
		out = append(out, v.(string))
	}
	return out
}

// calls are the endpoints. Each runs under the simulator's lock with a body that fits its schema.
var calls map[string]func(*Simulator, request) answer

func init() {
	calls = map[string]func(*Simulator, request) answer{
		"/workspaces/get": func(s *Simulator, _ request) answer {
			return accept("workspace", map[string]any{
				"workspace_id": s.state.WorkspaceID, "name": "Simulated workspace", "is_sandbox": true,
				"is_suspended": false, "company_name": "Simulated",
				"connect_partner_name": nil, "connect_webview_customization": map[string]any{},
				"is_publishable_key_auth_enabled": false, "organization_id": nil,
			})
		},
		"/user_identities/create":         (*Simulator).createIdentity,
		"/user_identities/get":            (*Simulator).getIdentity,
		"/user_identities/list":           (*Simulator).listIdentities,
		"/user_identities/delete":         (*Simulator).deleteIdentity,
		"/user_identities/add_acs_user":   (*Simulator).linkUser,
		"/user_identities/list_acs_users": (*Simulator).listIdentityUsers,
		"/acs/users/create":               (*Simulator).createUser,
		"/acs/users/get":                  (*Simulator).getUser,
		"/acs/users/list":                 (*Simulator).listUsers,
		"/acs/users/update":               (*Simulator).updateUser,
		"/acs/users/delete":               (*Simulator).deleteUser,
		"/acs/users/suspend":              func(s *Simulator, r request) answer { return s.suspend(r, true) },
		"/acs/users/unsuspend":            func(s *Simulator, r request) answer { return s.suspend(r, false) },
		"/acs/users/add_to_access_group": func(s *Simulator,
			r request,
		) answer {
			return s.changeMembership(r, true)
		},
		"/acs/users/remove_from_access_group": func(s *Simulator,
			r request,
		) answer {
			return s.changeMembership(r, false)
		},
		"/acs/access_groups/list":                      (*Simulator).listGroups,
		"/acs/access_groups/get":                       (*Simulator).getGroup,
		"/acs/access_groups/list_users":                (*Simulator).listMembers,
		"/acs/access_groups/list_accessible_entrances": (*Simulator).listAccessibleEntrances,
		"/acs/entrances/list":                          (*Simulator).listEntrances,
		"/acs/systems/get":                             (*Simulator).getSystem,
		"/acs/systems/list":                            (*Simulator).listSystems,
		"/acs/credentials/create":                      (*Simulator).createCredential,
		"/acs/credentials/list":                        (*Simulator).listCredentials,
		"/acs/credentials/get":                         (*Simulator).getCredential,
		"/acs/credentials/delete":                      (*Simulator).deleteCredential,
		"/user_identities/generate_instant_key":        (*Simulator).createInstantKey,
		"/instant_keys/get":                            (*Simulator).getInstantKey,
		"/instant_keys/list":                           (*Simulator).listInstantKeys,
		"/instant_keys/delete":                         (*Simulator).deleteInstantKey,
		"/client_sessions/create":                      (*Simulator).createSession,
		"/client_sessions/get_or_create":               (*Simulator).getOrCreateSession,
		"/client_sessions/get":                         (*Simulator).getSession,
		"/client_sessions/list":                        (*Simulator).listSessions,
		"/client_sessions/revoke":                      (*Simulator).revokeSession,
		"/client_sessions/delete":                      (*Simulator).deleteSession,
		"/phones/simulate/create_sandbox_phone":        (*Simulator).createPhone,
		"/phones/list":                                 (*Simulator).listPhones,
		"/phones/get":                                  (*Simulator).getPhone,
		"/phones/deactivate":                           (*Simulator).deactivatePhone,
	}
}

func notFound(noun string) answer {
	return refuse(http.StatusNotFound, noun+"_not_found", "no "+strings.ReplaceAll(noun, "_", " ")+" with this id")
}

func invalid(message string) answer { return refuse(http.StatusBadRequest, "invalid_input", message) }

// stamp writes times as observed in Seam's answers, with microseconds.
func stamp(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format("2006-01-02T15:04:05.000000Z")
}

// orEmpty is a list that is never null.
func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}
