package simulator

import (
	"time"

	"github.com/google/uuid"
)

func (s phones) create(r request) answer {
	i, ok := s.identityOf(r)
	if !ok {
		return notFound("user_identity")
	}
	p := Phone{ID: uuid.NewString(), Type: "android_phone", IdentityID: i.ID, CreatedAt: s.now()}
	s.state.Phones[p.ID] = p
	for _, c := range s.state.credentials(func(c Credential) bool {
		return c.MultiPhone &&
			s.state.Users[c.UserID].IdentityID == i.ID
	}) {
		credentials(s).addChild(c, p)
	}
	s.changed()
	return accept("phone", s.show(s.state, p))
}

func (s phones) show(st *State, p Phone) map[string]any {
	return map[string]any{
		"device_id": p.ID, "device_type": p.Type, "display_name": "Simulated phone", "workspace_id": st.WorkspaceID,
		"created_at":      stamp(p.CreatedAt),
		"custom_metadata": map[string]any{}, "properties": map[string]any{}, "errors": []any{}, "warnings": []any{},
	}
}

func (s phones) get(r request) answer {
	st := s.view(gets)
	p, ok := st.Phones[r.text("device_id")]
	if !ok {
		return notFound("phone")
	}
	return accept("phone", s.show(st, p))
}

func (s phones) list(r request) answer {
	st := s.view(lists)
	owner := r.text("owner_user_identity_id")
	i, _ := st.survivor(owner)
	has := map[string]bool{}
	for _, c := range st.credentials(func(c Credential) bool {
		return c.ParentID == r.text("acs_credential_id") &&
			c.PhoneID != ""
	}) {
		has[c.PhoneID] = true
	}
	list := []any{}
	for _, p := range values(st.Phones, func(p Phone) bool {
		return (owner == "" || p.IdentityID == i.ID) && (r.text("acs_credential_id") == "" ||
			has[p.ID]) && !s.hidden(p.ID)
	}, func(p Phone) time.Time { return p.CreatedAt }) {
		list = append(list, s.show(st, p))
	}
	return accept("phones", list)
}

func (s phones) deactivate(r request) answer {
	p, ok := s.state.Phones[r.text("device_id")]
	if !ok || !s.visible(func(st *State) bool { _, ok := st.Phones[p.ID]; return ok }) {
		return notFound("phone")
	}
	delete(s.state.Phones, p.ID)
	for _, c := range s.state.credentials(func(c Credential) bool { return c.PhoneID == p.ID }) {
		delete(s.state.Credentials, c.ID)
		s.index.touchCredential(c.ID)
	}
	s.changed()
	return accept("", nil)
}
