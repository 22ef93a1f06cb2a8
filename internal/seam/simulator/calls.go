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

// The endpoints' handlers are methods of one type per noun, each a view of the workspace.
type (
	identities  struct{ *workspace }
	users       struct{ *workspace }
	groups      struct{ *workspace }
	systems     struct{ *workspace }
	credentials struct{ *workspace }
	entrances   struct{ *workspace }
	instantKeys struct{ *workspace }
	sessions    struct{ *workspace }
	phones      struct{ *workspace }
)

// on makes a noun's method a call of the workspace.
func on[T ~struct{ *workspace }](method func(T, request) answer) func(*workspace, request) answer {
	return func(w *workspace, r request) answer { return method(T{w}, r) }
}

// calls are the endpoints. Each runs under the simulator's lock with a body that fits its schema.
var calls map[string]func(*workspace, request) answer

func init() {
	calls = map[string]func(*workspace, request) answer{
		"/workspaces/get": func(s *workspace, _ request) answer {
			return accept("workspace", map[string]any{
				"workspace_id": s.state.WorkspaceID, "name": "Simulated workspace", "is_sandbox": true,
				"is_suspended": false, "company_name": "Simulated",
				"connect_partner_name": nil, "connect_webview_customization": map[string]any{},
				"is_publishable_key_auth_enabled": false, "organization_id": nil,
			})
		},
		"/user_identities/create":                      on(identities.create),
		"/user_identities/get":                         on(identities.get),
		"/user_identities/list":                        on(identities.list),
		"/user_identities/delete":                      on(identities.delete),
		"/user_identities/add_acs_user":                on(identities.link),
		"/user_identities/list_acs_users":              on(identities.listUsers),
		"/acs/users/create":                            on(users.create),
		"/acs/users/get":                               on(users.get),
		"/acs/users/list":                              on(users.list),
		"/acs/users/update":                            on(users.update),
		"/acs/users/delete":                            on(users.delete),
		"/acs/users/suspend":                           on(users.suspend),
		"/acs/users/unsuspend":                         on(users.unsuspend),
		"/acs/users/add_to_access_group":               on(users.addToGroup),
		"/acs/users/remove_from_access_group":          on(users.removeFromGroup),
		"/acs/access_groups/list":                      on(groups.list),
		"/acs/access_groups/get":                       on(groups.get),
		"/acs/access_groups/list_users":                on(groups.listMembers),
		"/acs/access_groups/list_accessible_entrances": on(entrances.listAccessible),
		"/acs/entrances/list":                          on(entrances.list),
		"/acs/systems/get":                             on(systems.get),
		"/acs/systems/list":                            on(systems.list),
		"/acs/credentials/create":                      on(credentials.create),
		"/acs/credentials/list":                        on(credentials.list),
		"/acs/credentials/get":                         on(credentials.get),
		"/acs/credentials/delete":                      on(credentials.delete),
		"/user_identities/generate_instant_key":        on(instantKeys.create),
		"/instant_keys/get":                            on(instantKeys.get),
		"/instant_keys/list":                           on(instantKeys.list),
		"/instant_keys/delete":                         on(instantKeys.delete),
		"/client_sessions/create":                      on(sessions.create),
		"/client_sessions/get_or_create":               on(sessions.getOrCreate),
		"/client_sessions/get":                         on(sessions.get),
		"/client_sessions/list":                        on(sessions.list),
		"/client_sessions/revoke":                      on(sessions.revoke),
		"/client_sessions/delete":                      on(sessions.delete),
		"/phones/simulate/create_sandbox_phone":        on(phones.create),
		"/phones/list":                                 on(phones.list),
		"/phones/get":                                  on(phones.get),
		"/phones/deactivate":                           on(phones.deactivate),
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
