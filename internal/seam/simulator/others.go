package simulator

import "slices"

// EditIdentity changes the e-mail address of a user identity, as somebody in the Seam console may.
func (s *Simulator) EditIdentity(id, email string) {
	s.Change(func(st *State) {
		if i, ok := st.Identities[id]; ok {
			i.Email = email
			st.Identities[id] = i
		}
	})
}

// MergeIdentities merges user identities into one, as /user_identities/merge does: it gets their ACS users, and their
// ids and keys then refer to it.
func (s *Simulator) MergeIdentities(into string, from ...string) {
	s.Change(func(st *State) {
		survivor, ok := st.Identities[into]
		if !ok {
			return
		}
		for _, id := range from {
			merged, ok := st.Identities[id]
			if !ok || id == into {
				continue
			}
			survivor.MergedIDs = append(append(slices.Clone(survivor.MergedIDs), id), merged.MergedIDs...)
			survivor.MergedKeys = append(append(slices.Clone(survivor.MergedKeys), merged.Key), merged.MergedKeys...)
			delete(st.Identities, id)
			for _, u := range st.users(func(u User) bool { return u.IdentityID == id }) {
				u.IdentityID = into
				st.Users[u.ID] = u
			}
			st.moveHandedOut(id, into)
		}
		st.Identities[into] = survivor
	})
}

// survivor returns the identity of an id, or the one that it was merged into.
func (s *State) survivor(id string) (Identity, bool) {
	if i, ok := s.Identities[id]; ok || id == "" {
		return i, ok
	}
	for _, i := range s.Identities {
		if slices.Contains(i.MergedIDs, id) {
			return i, true
		}
	}
	return Identity{}, false
}
