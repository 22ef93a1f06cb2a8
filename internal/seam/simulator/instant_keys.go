package simulator

import (
	"cmp"
	"crypto/rand"
	"encoding/json"

	"github.com/google/uuid"
)

func (s instantKeys) create(r request) answer {
	i, ok := s.identityOf(r)
	if !ok {
		return notFound("user_identity")
	}
	uses := 1
	if n, given := r["max_use_count"].(json.Number); given {
		f, err := n.Float64()
		if uses = int(f); err != nil || uses < 1 {
			return invalid("max_use_count must be at least 1")
		}
	}
	now := s.now()
	k := InstantKey{
		ID: uuid.NewString(), URL: "https://ik.seam.co/" + rand.Text()[:12], IdentityID: i.ID, MaxUses: uses,
		CreatedAt: now, ExpiresAt: now.Add(cmp.Or(s.options.InstantKeyLife, defaultInstantKeyLife)),
	}
	session := sessions(s).new(i.ID, "", k.ExpiresAt)
	session.KeyID, k.SessionID = k.ID, session.ID
	s.state.Sessions[session.ID], s.state.InstantKeys[k.ID] = session, k
	s.changed()
	return accept("instant_key", s.show(s.state, k))
}

func (s instantKeys) show(st *State, k InstantKey) map[string]any {
	return map[string]any{
		"instant_key_id": k.ID, "instant_key_url": k.URL, "client_session_id": k.SessionID,
		"user_identity_id": k.IdentityID,
		"workspace_id":     st.WorkspaceID, "created_at": stamp(k.CreatedAt), "expires_at": stamp(k.ExpiresAt),
	}
}

// forgotten reports whether an instant key has ended and is no longer shown.
func (s instantKeys) forgotten(k InstantKey) bool {
	return s.options.ForgetExpiredKeys && !s.now().Before(k.ExpiresAt)
}

func (s instantKeys) get(r request) answer {
	st := s.view(gets)
	for _, k := range st.InstantKeys {
		if (k.ID == r.text("instant_key_id") || k.URL == r.text("instant_key_url")) && !s.forgotten(k) {
			return accept("instant_key", s.show(st, k))
		}
	}
	return notFound("instant_key")
}

func (s instantKeys) list(r request) answer {
	st := s.view(lists)
	i, _ := st.survivor(r.text("user_identity_id"))
	list := []any{}
	for _, k := range st.instantKeys(func(k InstantKey) bool {
		return (r.text("user_identity_id") == "" || k.IdentityID == i.ID) && !s.hidden(k.ID) && !s.forgotten(k)
	}) {
		list = append(list, s.show(st, k))
	}
	return accept("instant_keys", list)
}

func (s instantKeys) delete(r request) answer {
	k, ok := s.state.InstantKeys[r.text("instant_key_id")]
	if !ok || s.forgotten(k) || !s.visible(func(st *State) bool { _, ok := st.InstantKeys[k.ID]; return ok }) {
		return notFound("instant_key")
	}
	delete(s.state.InstantKeys, k.ID)
	if !s.options.KeepSessionOfKey {
		delete(s.state.Sessions, k.SessionID)
	}
	s.changed()
	return accept("", nil)
}
