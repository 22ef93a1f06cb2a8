package simulator

import "time"

func (s systems) show(st *State, sys System, now time.Time) map[string]any {
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

func (s systems) get(r request) answer {
	sys, ok := s.view(gets).Systems[r.text("acs_system_id")]
	if !ok {
		return notFound("acs_system")
	}
	return accept("acs_system", s.show(s.state, sys, s.now()))
}

func (s systems) list(request) answer {
	list := []any{}
	for _, sys := range s.view(lists).Systems {
		if s.hidden(sys.ID) {
			continue
		}
		list = append(list, s.show(s.state, sys, s.now()))
	}
	return accept("acs_systems", list)
}
