package simulator

import (
	"slices"
	"strings"
	"time"
)

func (s groups) show(st *State, g AccessGroup) map[string]any {
	return map[string]any{
		"acs_access_group_id": g.ID, "acs_system_id": g.SystemID, "workspace_id": st.WorkspaceID,
		"connected_account_id": "simulated",
		"name":                 g.Name, "display_name": g.Name, "external_type": "salto_ks_access_group",
		"external_type_display_name": "Salto KS access group",
		"access_group_type":          "salto_ks_access_group", "created_at": stamp(time.Date(2024, 1, 1, 0,
			0, 0, 0, time.UTC)),
		"access_group_type_display_name": "Salto KS access group", "is_managed": true, "pending_mutations": []any{},
		"errors": s.reported("error", g.ErrorCode), "warnings": s.reported("warning", g.WarningCode),
	}
}

func (s groups) list(r request) answer {
	st := s.view(lists)
	var member []string
	byUser := r.text("acs_user_id") != "" || r.text("user_identity_id") != ""
	if byUser {
		u, ok := r.find(st)
		if !ok {
			return notFound("acs_user")
		}
		member = u.GroupIDs
	}

	ids := make([]string, 0, len(st.Groups))
	for id, g := range st.Groups {
		if !s.hidden(id) && (!byUser || slices.Contains(member, id)) && (r.text("acs_system_id") == "" ||
			g.SystemID == r.text("acs_system_id")) &&
			containsFold(strings.ToLower(r.text("search")), g.Name, g.ID) {
			ids = append(ids, id)
		}
	}

	slices.Sort(ids)
	list := []any{}
	for _, id := range ids {
		list = append(list, s.show(st, st.Groups[id]))
	}
	return accept("acs_access_groups", list)
}

func (s groups) get(r request) answer {
	g, ok := s.view(gets).Groups[r.text("acs_access_group_id")]
	if !ok {
		return notFound("acs_access_group")
	}
	return accept("acs_access_group", s.show(s.state, g))
}

func (s groups) listMembers(r request) answer {
	st := s.view(lists)
	id := r.text("acs_access_group_id")
	if _, ok := st.Groups[id]; !ok {
		return notFound("acs_access_group")
	}
	list := []any{}
	members := st.users(func(u User) bool { return slices.Contains(u.GroupIDs, id) })
	for _, u := range shown(s.workspace, members, idOfUser) {
		list = append(list, users(s).show(st, u))
	}
	return accept("acs_users", list)
}
