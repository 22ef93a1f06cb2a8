package simulator

import (
	"slices"
	"strings"
	"time"
)

func (s *Simulator) showGroup(st *State, g AccessGroup) map[string]any {
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

func (s *Simulator) listGroups(r request) answer {
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
		list = append(list, s.showGroup(st, st.Groups[id]))
	}
	return accept("acs_access_groups", list)
}

func (s *Simulator) getGroup(r request) answer {
	g, ok := s.view(gets).Groups[r.text("acs_access_group_id")]
	if !ok {
		return notFound("acs_access_group")
	}
	return accept("acs_access_group", s.showGroup(s.state, g))
}

func (s *Simulator) listMembers(r request) answer {
	st := s.view(lists)
	id := r.text("acs_access_group_id")
	if _, ok := st.Groups[id]; !ok {
		return notFound("acs_access_group")
	}
	list := []any{}
	for _, u := range shown(s, st.users(func(u User) bool { return slices.Contains(u.GroupIDs, id) }), idOfUser) {
		list = append(list, s.showUser(st, u))
	}
	return accept("acs_users", list)
}

func (s *Simulator) showSystem(st *State, sys System, now time.Time) map[string]any {
	errs, warnings := s.reported("error", sys.ErrorCode), s.reported("warning", sys.WarningCode)
	if sys.Disconnected {
		errs = append(errs, s.issue("error", "acs_system_disconnected", "reconnect the access system", now))
	}
	if used := st.subscribedOf(sys.ID, now); sys.SubscriptionLimit > 0 && used >= sys.SubscriptionLimit {
		errs = append(errs, s.issue("error", "salto_ks_subscription_limit_exceeded",
			"the site's limit of subscribed users is reached", now))
	} else if sys.SubscriptionLimit > 0 && used*5 > sys.SubscriptionLimit*4 {
		warnings = append(warnings, s.issue("warning", "salto_ks_subscription_limit_almost_reached",
			"more than 80 % of the site's subscriptions are taken", now))
	}
	return map[string]any{
		"acs_system_id": sys.ID, "name": sys.Name, "workspace_id": st.WorkspaceID, "connected_account_id": "simulated",
		"external_type": "salto_ks_site", "external_type_display_name": "Salto KS site", "is_credential_manager": false,
		"location": map[string]any{"time_zone": nil}, "created_at": stamp(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)),
		"connected_account_ids": []any{}, "image_url": "", "image_alt_text": "", "errors": errs, "warnings": warnings,
	}
}

func (s *Simulator) getSystem(r request) answer {
	sys, ok := s.view(gets).Systems[r.text("acs_system_id")]
	if !ok {
		return notFound("acs_system")
	}
	return accept("acs_system", s.showSystem(s.state, sys, s.now()))
}

func (s *Simulator) listSystems(request) answer {
	list := []any{}
	for _, sys := range s.view(lists).Systems {
		if s.hidden(sys.ID) {
			continue
		}
		list = append(list, s.showSystem(s.state, sys, s.now()))
	}
	return accept("acs_systems", list)
}
