package simulator

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"
)

func (s identities) show(st *State, i Identity) map[string]any {
	ids := []string{}
	for _, u := range s.usersOf(st, i.ID) {
		ids = append(ids, u.ID)
	}
	return map[string]any{
		"user_identity_id": i.ID, "user_identity_key": orNull(i.Key), "email_address": orNull(i.Email),
		"phone_number": orNull(i.Phone),
		"full_name":    orNull(i.FullName), "display_name": cmp.Or(i.FullName, i.Email,
			i.ID), "created_at": s.created(i.CreatedAt),
		"workspace_id": st.WorkspaceID, "acs_user_ids": ids, "errors": s.reported("error",
			i.ErrorCode), "warnings": s.reported("warning", i.WarningCode),
		"merged_user_identity_ids": orEmpty(i.MergedIDs), "merged_user_identity_keys": orEmpty(i.MergedKeys),
	}
}

func (s identities) create(r request) answer {
	i := Identity{
		ID: uuid.NewString(), Key: r.text("user_identity_key"), Email: r.text("email_address"),
		Phone:    r.text("phone_number"),
		FullName: strings.TrimSpace(r.text("full_name")), CreatedAt: s.now(),
	}
	if s.options.RefuseEmail != "" && strings.EqualFold(i.Email, s.options.RefuseEmail) {
		return invalid("email_address is not accepted")
	}
	for _, other := range s.index.alike(s.state, i) {
		sameEmail := i.Email != "" && (i.Email == other.Email ||
			(!s.options.CaseSensitiveEmail && strings.EqualFold(i.Email, other.Email)))
		if (i.Key != "" && i.Key == other.Key) || sameEmail || (i.Phone != "" && i.Phone == other.Phone) {
			return refuse(cmp.Or(s.options.UniqueStatus, http.StatusBadRequest),
				cmp.Or(s.options.UniqueType, "user_identity_already_exists"),
				"a user identity with this key, e-mail address ("+i.Email+") or phone number exists")
		}
	}
	s.state.Identities[i.ID] = i
	s.index.touchIdentity(i.ID)
	s.changed()
	return accept("user_identity", s.show(s.state, i))
}

func (s identities) get(r request) answer {
	st := s.view(gets)
	if i, ok := st.survivor(r.text("user_identity_id")); ok {
		return accept("user_identity", s.show(st, i))
	}
	if key := r.text("user_identity_key"); key != "" {
		for _, i := range st.Identities {
			if i.Key == key || slices.Contains(i.MergedKeys, key) {
				return accept("user_identity", s.show(st, i))
			}
		}
	}
	return notFound("user_identity")
}

func (s identities) list(r request) answer {
	st := s.view(lists)
	search := strings.ToLower(r.text("search"))
	var list []Identity
	for _, i := range st.Identities {
		if search == "" || containsFold(search, i.FullName, i.Phone, i.Email, i.ID) {
			list = append(list, i)
		}
	}
	slices.SortFunc(list, func(a, b Identity) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt),
			cmp.Compare(a.ID, b.ID))
	})
	list = shown(s.workspace, list, idOfIdentity)
	return s.paged(r, "user_identities", len(list), func(n int) any { return s.show(st, list[n]) })
}

func (s identities) delete(r request) answer {
	id := r.text("user_identity_id")
	if _, ok := s.state.Identities[id]; !ok ||
		!s.visible(func(st *State) bool { _, ok := st.Identities[id]; return ok }) {
		return notFound("user_identity")
	}
	delete(s.state.Identities, id)
	s.index.touchIdentity(id)
	s.state.deleteHandedOut(id)
	for _, u := range s.usersOf(s.state, id) {
		s.state.deleteUser(u.ID)
		s.index.touch(u.ID)
	}
	s.changed()
	return accept("", nil)
}

func (s identities) link(r request) answer {
	u, a, ok := s.named(r)
	if !ok {
		return a
	}
	i, ok := s.state.survivor(r.text("user_identity_id"))
	if !ok || !s.visible(func(st *State) bool { _, ok := st.survivor(i.ID); return ok }) {
		return notFound("user_identity")
	}
	if s.options.SecondUser == MoveLink {
		s.unlink(slices.DeleteFunc(s.usersOf(s.state, i.ID), func(other User) bool {
			return other.SystemID != u.SystemID || other.ID == u.ID
		}))
	}
	u.IdentityID = i.ID
	s.state.Users[u.ID] = u
	s.index.touch(u.ID)
	s.changed()
	return accept("", nil)
}

func (s identities) listUsers(r request) answer {
	st := s.view(lists)
	i, ok := st.survivor(r.text("user_identity_id"))
	if !ok {
		return notFound("user_identity")
	}
	list := []any{}
	for _, u := range shown(s.workspace, s.usersOf(st, i.ID), idOfUser) {
		list = append(list, users(s).show(st, u))
	}
	return accept("acs_users", list)
}

// usersOf returns the ACS users of an identity, oldest first.
func (s *workspace) usersOf(st *State, identityID string) []User {
	if st != s.state {
		return st.users(func(u User) bool { return u.IdentityID == identityID })
	}
	var list []User
	for id := range s.index.ofIdentity[identityID] {
		list = append(list, st.Users[id])
	}
	slices.SortFunc(list, oldestFirst)
	return list
}

// identityOf is the identity that a write is for, as it sees it.
func (s *workspace) identityOf(r request) (Identity, bool) {
	i, ok := s.state.survivor(r.text("user_identity_id"))
	return i, ok && s.visible(func(st *State) bool { _, ok := st.survivor(i.ID); return ok })
}
