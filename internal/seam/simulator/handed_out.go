package simulator

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// This file has what phones get: instant keys, client sessions, and the phones themselves. All belong to a user
// identity, and show all of its mobile keys.
//
// Making an instant key is not idempotent: each call makes another one, with a client session of its own.
// get_or_create is, and moves the session's end.

// InstantKey is a link that puts an identity's mobile keys on a phone.
type InstantKey struct {
	ID         string    `json:"instant_key_id"`
	URL        string    `json:"instant_key_url"`
	IdentityID string    `json:"user_identity_id"`
	SessionID  string    `json:"client_session_id"`
	MaxUses    int       `json:"max_use_count"`
	Uses       int       `json:"uses"`
	CreatedAt  time.Time `json:"created_at"`
	ExpiresAt  time.Time `json:"expires_at"`
}

// ClientSession is the session with which a phone's app calls Seam.
type ClientSession struct {
	ID            string    `json:"client_session_id"`
	Token         string    `json:"token"`
	IdentityID    string    `json:"user_identity_id"`
	IdentifierKey string    `json:"user_identifier_key"`
	KeyID         string    `json:"instant_key_id"` // "" for one requested on its own
	Revoked       bool      `json:"revoked"`
	CreatedAt     time.Time `json:"created_at"`
	ExpiresAt     time.Time `json:"expires_at"`
}

// Phone is a device that has an identity's mobile keys.
type Phone struct {
	ID         string    `json:"device_id"`
	Type       string    `json:"device_type"` // ios_phone or android_phone
	IdentityID string    `json:"user_identity_id"`
	CreatedAt  time.Time `json:"created_at"`
}

// Defaults of the lives that Seam's documents don't give.
const (
	defaultInstantKeyLife = 48 * time.Hour
	defaultSessionLife    = time.Hour
)

// values returns the objects for which keep returns true, oldest first.
func values[T any](all map[string]T, keep func(T) bool, created func(T) time.Time) []T {
	var list []T
	for _, id := range slices.Sorted(maps.Keys(all)) {
		if keep(all[id]) {
			list = append(list, all[id])
		}
	}
	slices.SortStableFunc(list, func(a, b T) int { return created(a).Compare(created(b)) })
	return list
}

func (s *State) instantKeys(keep func(InstantKey) bool) []InstantKey {
	return values(s.InstantKeys, keep, func(k InstantKey) time.Time { return k.CreatedAt })
}

func (s *State) sessions(keep func(ClientSession) bool) []ClientSession {
	return values(s.Sessions, keep, func(c ClientSession) time.Time { return c.CreatedAt })
}

func (s *State) phonesOf(identityID string) []Phone {
	return values(s.Phones, func(p Phone) bool { return p.IdentityID == identityID },
		func(p Phone) time.Time { return p.CreatedAt })
}

// Shown returns the ids of the mobile keys that an instant key's URL or a session's token gives access to at a time,
// nil if it isn't valid.
func (s *State) Shown(secret string, at time.Time) []string {
	identity := ""
	for _, k := range s.InstantKeys {
		if k.URL == secret && at.Before(k.ExpiresAt) {
			identity = k.IdentityID
		}
	}
	for _, c := range s.Sessions {
		if c.Token == secret && !c.Revoked && at.Before(c.ExpiresAt) {
			identity = c.IdentityID
		}
	}
	if identity == "" {
		return nil
	}
	ids := []string{}
	for _, c := range s.credentials(func(c Credential) bool {
		return c.MultiPhone &&
			s.Users[c.UserID].IdentityID == identity
	}) {
		ids = append(ids, c.ID)
	}
	return ids
}

// deleteHandedOut removes what a deleted identity has handed out.
func (s *State) deleteHandedOut(identityID string) {
	maps.DeleteFunc(s.InstantKeys, func(_ string, k InstantKey) bool { return k.IdentityID == identityID })
	maps.DeleteFunc(s.Sessions, func(_ string, c ClientSession) bool { return c.IdentityID == identityID })
	maps.DeleteFunc(s.Phones, func(_ string, p Phone) bool { return p.IdentityID == identityID })
}

// moveHandedOut moves what an identity has handed out to the one that it is merged into.
func (s *State) moveHandedOut(from, into string) {
	for id, k := range s.InstantKeys {
		if k.IdentityID == from {
			k.IdentityID = into
			s.InstantKeys[id] = k
		}
	}
	for id, c := range s.Sessions {
		if c.IdentityID == from {
			c.IdentityID = into
			s.Sessions[id] = c
		}
	}
	for id, p := range s.Phones {
		if p.IdentityID == from {
			p.IdentityID = into
			s.Phones[id] = p
		}
	}
}

// identityOf is the identity that a write is for, as it sees it.
func (s *Simulator) identityOf(r request) (Identity, bool) {
	i, ok := s.state.survivor(r.text("user_identity_id"))
	return i, ok && s.visible(func(st *State) bool { _, ok := st.survivor(i.ID); return ok })
}

func (s *Simulator) createInstantKey(r request) answer {
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
	session := s.newSession(i.ID, "", k.ExpiresAt)
	session.KeyID, k.SessionID = k.ID, session.ID
	s.state.Sessions[session.ID], s.state.InstantKeys[k.ID] = session, k
	s.changed()
	return accept("instant_key", s.showInstantKey(s.state, k))
}

func (s *Simulator) showInstantKey(st *State, k InstantKey) map[string]any {
	return map[string]any{
		"instant_key_id": k.ID, "instant_key_url": k.URL, "client_session_id": k.SessionID,
		"user_identity_id": k.IdentityID,
		"workspace_id":     st.WorkspaceID, "created_at": stamp(k.CreatedAt), "expires_at": stamp(k.ExpiresAt),
	}
}

// forgotten reports whether an instant key has ended and is no longer shown.
func (s *Simulator) forgotten(k InstantKey) bool {
	return s.options.ForgetExpiredKeys && !s.now().Before(k.ExpiresAt)
}

func (s *Simulator) getInstantKey(r request) answer {
	st := s.view(gets)
	for _, k := range st.InstantKeys {
		if (k.ID == r.text("instant_key_id") || k.URL == r.text("instant_key_url")) && !s.forgotten(k) {
			return accept("instant_key", s.showInstantKey(st, k))
		}
	}
	return notFound("instant_key")
}

func (s *Simulator) listInstantKeys(r request) answer {
	st := s.view(lists)
	i, _ := st.survivor(r.text("user_identity_id"))
	list := []any{}
	for _, k := range st.instantKeys(func(k InstantKey) bool {
		return (r.text("user_identity_id") == "" || k.IdentityID == i.ID) && !s.hidden(k.ID) && !s.forgotten(k)
	}) {
		list = append(list, s.showInstantKey(st, k))
	}
	return accept("instant_keys", list)
}

func (s *Simulator) deleteInstantKey(r request) answer {
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

func (s *Simulator) newSession(identityID, identifierKey string, expires time.Time) ClientSession {
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

func (s *Simulator) showSession(st *State, c ClientSession) map[string]any {
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

// sessionEnd is the end that a request asks for; zero for none. ok is false if that has passed.
func (s *Simulator) sessionEnd(r request) (time.Time, bool) {
	end, _ := time.Parse(time.RFC3339Nano, r.text("expires_at"))
	return end.UTC(), r.text("expires_at") == "" || end.After(s.now())
}

// sessionOf is whose session a request asks for, and until when; refused is the answer if there can be none.
func (s *Simulator) sessionOf(r request) (identity Identity, end time.Time, refused *answer) {
	identity, ok := s.identityOf(r)
	if !ok && r.text("user_identity_id") != "" {
		a := notFound("user_identity")
		return identity, end, &a
	}
	if end, ok = s.sessionEnd(r); !ok {
		a := invalid("expires_at must be in the future")
		return identity, end, &a
	}
	return identity, end, nil
}

func (s *Simulator) createSession(r request) answer {
	identity, end, refused := s.sessionOf(r)
	if refused != nil {
		return *refused
	}
	c := s.newSession(identity.ID, r.text("user_identifier_key"), end)
	s.state.Sessions[c.ID] = c
	s.changed()
	return accept("client_session", s.showSession(s.state, c))
}

func (s *Simulator) getOrCreateSession(r request) answer {
	identity, end, refused := s.sessionOf(r)
	if refused != nil {
		return *refused
	}
	now := s.now()
	found := s.state.sessions(func(c ClientSession) bool {
		same := c.IdentifierKey == r.text("user_identifier_key") && c.KeyID == ""
		return c.IdentityID == identity.ID && !c.Revoked && now.Before(c.ExpiresAt) && (same || s.options.AnySession)
	})
	if len(found) == 0 {
		return s.createSession(r)
	}
	c := found[0]
	c.ExpiresAt = s.newSession("", "", end).ExpiresAt
	s.state.Sessions[c.ID] = c
	s.changed()
	return accept("client_session", s.showSession(s.state, c))
}

func (s *Simulator) isListed(c ClientSession) bool {
	return (!c.Revoked || s.options.ListRevokedSessions) && !s.hidden(c.ID)
}

func (s *Simulator) getSession(r request) answer {
	st := s.view(gets)
	for _, c := range st.sessions(s.isListed) {
		if c.ID == r.text("client_session_id") ||
			(c.IdentifierKey != "" && c.IdentifierKey == r.text("user_identifier_key")) {
			return accept("client_session", s.showSession(st, c))
		}
	}
	return notFound("client_session")
}

func (s *Simulator) listSessions(r request) answer {
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
		list = append(list, s.showSession(st, c))
	}
	return accept("client_sessions", list)
}

// session is the session that a write names, as it sees it.
func (s *Simulator) session(r request) (ClientSession, bool) {
	c, ok := s.state.Sessions[r.text("client_session_id")]
	return c, ok && s.visible(func(st *State) bool { _, ok := st.Sessions[c.ID]; return ok })
}

func (s *Simulator) revokeSession(r request) answer {
	c, ok := s.session(r)
	if !ok {
		return notFound("client_session")
	}
	c.Revoked = true
	s.state.Sessions[c.ID] = c
	s.changed()
	return accept("", nil)
}

func (s *Simulator) deleteSession(r request) answer {
	c, ok := s.session(r)
	if !ok {
		return notFound("client_session")
	}
	delete(s.state.Sessions, c.ID)
	s.changed()
	return accept("", nil)
}

func (s *Simulator) createPhone(r request) answer {
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
		s.addChild(c, p)
	}
	s.changed()
	return accept("phone", s.showPhone(s.state, p))
}

func (s *Simulator) showPhone(st *State, p Phone) map[string]any {
	return map[string]any{
		"device_id": p.ID, "device_type": p.Type, "display_name": "Simulated phone", "workspace_id": st.WorkspaceID,
		"created_at":      stamp(p.CreatedAt),
		"custom_metadata": map[string]any{}, "properties": map[string]any{}, "errors": []any{}, "warnings": []any{},
	}
}

func (s *Simulator) getPhone(r request) answer {
	st := s.view(gets)
	p, ok := st.Phones[r.text("device_id")]
	if !ok {
		return notFound("phone")
	}
	return accept("phone", s.showPhone(st, p))
}

func (s *Simulator) listPhones(r request) answer {
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
		list = append(list, s.showPhone(st, p))
	}
	return accept("phones", list)
}

func (s *Simulator) deactivatePhone(r request) answer {
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
