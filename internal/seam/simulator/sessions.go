package simulator

import (
	"cmp"
	"crypto/rand"
	"strings"
	"time"

	"github.com/google/uuid"
)

func (s sessions) new(identityID, identifierKey string, expires time.Time) ClientSession {
	now := s.now()
	if expires.IsZero() {
		expires = now.Add(cmp.Or(s.options.SessionLife, defaultSessionLife))
	}
	if longest := s.options.SessionLongest; longest > 0 && expires.After(now.Add(longest)) {
		expires = now.Add(longest)
	}
	return ClientSession{
		ID: uuid.NewString(), Token: "seam_cst1" + rand.Text() + strings.ToLower(rand.Text()), IdentityID: identityID,
		IdentifierKey: identifierKey,
		CreatedAt:     now, ExpiresAt: expires,
	}
}

func (s sessions) show(st *State, c ClientSession) map[string]any {
	identities := []string{}
	if c.IdentityID != "" {
		identities = append(identities, c.IdentityID)
	}
	return map[string]any{
		"client_session_id": c.ID, "token": c.Token, "user_identity_id": orNull(c.IdentityID),
		"user_identity_ids":   identities,
		"user_identifier_key": orNull(c.IdentifierKey), "device_count": 0, "connected_account_ids": []string{},
		"connect_webview_ids": []string{},
		"workspace_id":        st.WorkspaceID, "created_at": stamp(c.CreatedAt), "expires_at": stamp(c.ExpiresAt),
	}
}

// endOf is the end that a request asks for; zero for none. ok is false if that has passed.
func (s sessions) endOf(r request) (time.Time, bool) {
	end, _ := time.Parse(time.RFC3339Nano, r.text("expires_at"))
	return end.UTC(), r.text("expires_at") == "" || end.After(s.now())
}

// asked is whose session a request asks for, and until when; refused is the answer if there can be none.
func (s sessions) asked(r request) (identity Identity, end time.Time, refused *answer) {
	identity, ok := s.identityOf(r)
	if !ok && r.text("user_identity_id") != "" {
		a := notFound("user_identity")
		return identity, end, &a
	}
	if end, ok = s.endOf(r); !ok {
		a := invalid("expires_at must be in the future")
		return identity, end, &a
	}
	return identity, end, nil
}

func (s sessions) create(r request) answer {
	identity, end, refused := s.asked(r)
	if refused != nil {
		return *refused
	}
	c := s.new(identity.ID, r.text("user_identifier_key"), end)
	s.state.Sessions[c.ID] = c
	s.changed()
	return accept("client_session", s.show(s.state, c))
}

func (s sessions) getOrCreate(r request) answer {
	identity, end, refused := s.asked(r)
	if refused != nil {
		return *refused
	}
	now := s.now()
	found := s.state.sessions(func(c ClientSession) bool {
		same := c.IdentifierKey == r.text("user_identifier_key") && c.KeyID == ""
		return c.IdentityID == identity.ID && !c.Revoked && now.Before(c.ExpiresAt) && (same || s.options.AnySession)
	})
	if len(found) == 0 {
		return s.create(r)
	}
	c := found[0]
	c.ExpiresAt = s.new("", "", end).ExpiresAt
	s.state.Sessions[c.ID] = c
	s.changed()
	return accept("client_session", s.show(s.state, c))
}

func (s sessions) isListed(c ClientSession) bool {
	return (!c.Revoked || s.options.ListRevokedSessions) && !s.hidden(c.ID)
}

func (s sessions) get(r request) answer {
	st := s.view(gets)
	for _, c := range st.sessions(s.isListed) {
		if c.ID == r.text("client_session_id") ||
			(c.IdentifierKey != "" && c.IdentifierKey == r.text("user_identifier_key")) {
			return accept("client_session", s.show(st, c))
		}
	}
	return notFound("client_session")
}

func (s sessions) list(r request) answer {
	st := s.view(lists)
	i, _ := st.survivor(r.text("user_identity_id"))
	fits := func(name, value string) bool { return r.text(name) == "" || r.text(name) == value }
	list := []any{}
	for _, c := range st.sessions(func(c ClientSession) bool {
		return s.isListed(c) && fits("client_session_id", c.ID) && (r.text("user_identity_id") == "" ||
			c.IdentityID == i.ID) &&
			fits("user_identifier_key", c.IdentifierKey) && (!r.flag("without_user_identifier_key") ||
			c.IdentifierKey == "")
	}) {
		list = append(list, s.show(st, c))
	}
	return accept("client_sessions", list)
}

// named is the session that a write names, as it sees it.
func (s sessions) named(r request) (ClientSession, bool) {
	c, ok := s.state.Sessions[r.text("client_session_id")]
	return c, ok && s.visible(func(st *State) bool { _, ok := st.Sessions[c.ID]; return ok })
}

func (s sessions) revoke(r request) answer {
	c, ok := s.named(r)
	if !ok {
		return notFound("client_session")
	}
	c.Revoked = true
	s.state.Sessions[c.ID] = c
	s.changed()
	return accept("", nil)
}

func (s sessions) delete(r request) answer {
	c, ok := s.named(r)
	if !ok {
		return notFound("client_session")
	}
	delete(s.state.Sessions, c.ID)
	s.changed()
	return accept("", nil)
}
