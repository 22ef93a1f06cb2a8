package simulator

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/google/uuid"
)

func (s credentials) show(st *State, c Credential) map[string]any {
	u := st.Users[c.UserID]
	shown := map[string]any{
		"acs_credential_id": c.ID, "acs_user_id": c.UserID, "acs_system_id": u.SystemID,
		"user_identity_id": orNull(u.IdentityID),
		"access_method":    c.AccessMethod, "display_name": displayNames[c.AccessMethod],
		"workspace_id":         st.WorkspaceID,
		"connected_account_id": "simulated",
		"created_at":           s.created(c.CreatedAt), "is_managed": true,
		"is_multi_phone_sync_credential": c.MultiPhone,
		"parent_acs_credential_id":       orNull(c.ParentID), "external_type": "salto_ks_credential",
		"errors": s.reported("error", c.ErrorCode), "warnings": s.reported("warning", c.WarningCode),
		"is_latest_desired_state_synced_with_provider": nil, "latest_desired_state_synced_with_provider_at": nil,
	}
	if c.AccessMethod != "code" {
		return shown
	}
	if shown["code"] = c.Code; s.now().Before(c.CodeAt) {
		shown["code"], shown["warnings"] = nil, s.reported("warning", cmp.Or(c.WarningCode, "waiting_to_be_issued"))
	}
	return shown
}

var displayNames = map[string]string{
	"mobile_key": "Mobile key", "code": "Access code", "card": "Card", "cloud_key": "Cloud key",
}

func (s credentials) create(r request) answer {
	u, ok := r.find(s.state)
	if !ok || !u.GoneAt.IsZero() || !s.visible(func(st *State) bool { _, ok := r.find(st); return ok }) {
		return notFound("acs_user")
	}
	if !slices.Contains([]string{"code", "card", "mobile_key", "cloud_key"}, r.text("access_method")) {
		return invalid("access_method is not one of code, card, mobile_key, cloud_key")
	}
	c := Credential{
		ID: uuid.NewString(), UserID: u.ID, AccessMethod: r.text("access_method"),
		MultiPhone: r.flag("is_multi_phone_sync_credential"), CreatedAt: s.now(),
	}
	if c.AccessMethod == "code" {
		if s.options.RefuseCodes || r.text("code") != "" { // Salto chooses the code
			return invalid("the access system can't make this code")
		}
		// #nosec G404 -- a simulation
		c.Code, c.CodeAt = fmt.Sprintf("%06d", rand.IntN(1_000_000)), s.now().Add(s.options.CodeDelay)
	}
	s.state.Credentials[c.ID] = c
	s.index.touchCredential(c.ID)
	if c.MultiPhone {
		for _, phone := range s.state.phonesOf(u.IdentityID) {
			s.addChild(c, phone)
		}
	}
	s.changed()
	return accept("acs_credential", s.show(s.state, c))
}

// addChild makes the credential of one phone.
func (s credentials) addChild(parent Credential, phone Phone) {
	child := Credential{
		ID: uuid.NewString(), UserID: parent.UserID, AccessMethod: parent.AccessMethod, ParentID: parent.ID,
		PhoneID: phone.ID, CreatedAt: s.now(),
	}
	s.state.Credentials[child.ID] = child
	s.index.touchCredential(child.ID)
}

func (s credentials) list(r request) answer {
	st := s.view(lists)
	want, present := r["is_multi_phone_sync_credential"].(bool)
	query := fmt.Sprint(r["acs_user_id"], r["acs_system_id"], r["user_identity_id"], present, want)
	list := recall(s.workspace, st, &s.listed.credentials, query, func() []Credential {
		return st.credentials(func(c Credential) bool {
			u := st.Users[c.UserID]
			return (r.text("acs_user_id") == "" || c.UserID == r.text("acs_user_id")) &&
				(r.text("acs_system_id") == "" || u.SystemID == r.text("acs_system_id")) &&
				(r.text("user_identity_id") == "" || u.IdentityID == r.text("user_identity_id")) &&
				(!present || c.MultiPhone == want)
		})
	})
	list = shown(s.workspace, list, idOfCredential)
	return s.paged(r, "acs_credentials", len(list), func(n int) any { return s.show(st, list[n]) })
}

func (s credentials) get(r request) answer {
	st := s.view(gets)
	c, ok := st.Credentials[r.text("acs_credential_id")]
	if !ok {
		return notFound("acs_credential")
	}
	return accept("acs_credential", s.show(st, c))
}

func (s credentials) delete(r request) answer {
	c, ok := s.state.Credentials[r.text("acs_credential_id")]
	if !ok || !s.visible(func(st *State) bool { _, ok := st.Credentials[c.ID]; return ok }) {
		return notFound("acs_credential")
	}
	delete(s.state.Credentials, c.ID)
	s.index.touchCredential(c.ID)
	for _, child := range s.state.credentials(func(x Credential) bool { return x.ParentID == c.ID }) {
		delete(s.state.Credentials, child.ID)
		s.index.touchCredential(child.ID)
	}
	s.changed()
	return accept("", nil)
}
