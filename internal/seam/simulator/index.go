package simulator

import "strings"

// index avoids a search through the whole state at every call, and keeps the counts for the peaks. Calls report what
// they touched; after a change by anybody else, everything is read again.
type index struct {
	built      bool
	users      map[string]indexed // by id
	stays      map[stayKey]int
	unbound    int                 // users without a schedule
	going      set                 // users that are being deleted
	ofIdentity map[string]set      // users, by identity
	ofUser     map[string]set      // credentials, by user
	owner      map[string]string   // users, by credential
	identities map[string]set      // by what is unique to them, see uniques
	uniques    map[string][]string // by identity
	touched    struct{ users, credentials, identities set }
}

type set map[string]bool

type stayKey struct{ fullName, systemID, identityID string }

type indexed struct {
	key     stayKey
	unbound bool
	gone    bool
}

// touch reports that users have changed, or were deleted with everything that they had.
func (x *index) touch(userIDs ...string) { add(&x.touched.users, userIDs...) }

func (x *index) touchCredential(id string) { add(&x.touched.credentials, id) }

func (x *index) touchIdentity(id string) { add(&x.touched.identities, id) }

func add(s *set, ids ...string) {
	if *s == nil {
		*s = set{}
	}
	for _, id := range ids {
		(*s)[id] = true
	}
}

// forget makes the index read everything again.
func (x *index) forget() { *x = index{} }

// uniques are the values that no two identities may share. An option decides whether the case of e-mail addresses
// counts.
func uniques(i Identity) []string {
	var keys []string
	if i.Key != "" {
		keys = append(keys, "key "+i.Key)
	}
	if i.Email != "" {
		keys = append(keys, "email "+strings.ToLower(i.Email))
	}
	if i.Phone != "" {
		keys = append(keys, "phone "+i.Phone)
	}
	return keys
}

// alike returns the identities that have something in common with this one, the case of e-mail addresses aside.
func (x *index) alike(st *State, i Identity) []Identity {
	var list []Identity
	for _, key := range uniques(i) {
		for id := range x.identities[key] {
			list = append(list, st.Identities[id])
		}
	}
	return list
}

// follow brings the index up to date, and returns the current counts of what was touched.
func (x *index) follow(st *State) Peaks {
	if !x.built {
		*x = index{
			built: true, users: map[string]indexed{}, stays: map[stayKey]int{}, going: set{},
			ofIdentity: map[string]set{},
			ofUser:     map[string]set{}, owner: map[string]string{}, identities: map[string]set{},
			uniques: map[string][]string{},
		}
		for id := range st.Users {
			x.touch(id)
		}
		for id := range st.Credentials {
			x.touchCredential(id)
		}
		for id := range st.Identities {
			x.touchIdentity(id)
		}
	}

	x.followIdentities(st)
	x.followCredentials(st)
	x.followUsers(st)

	var now Peaks
	for id := range x.touched.users {
		if is, ok := x.users[id]; ok && !is.gone {
			now.UsersOfOneStay = max(now.UsersOfOneStay, x.stays[is.key])
		}
		of := map[string]int{}
		for c := range x.ofUser[id] {
			if c := st.Credentials[c]; c.ParentID == "" {
				of[c.AccessMethod]++
			}
		}
		now.KeysOfOneUser = max(now.KeysOfOneUser, of["mobile_key"])
		now.CodesOfOneUser = max(now.CodesOfOneUser, of["code"])
	}

	now.UsersWithNoSchedule = x.unbound
	clear(x.touched.users)
	clear(x.touched.credentials)
	clear(x.touched.identities)
	return now
}

func (x *index) followIdentities(st *State) {
	for id := range x.touched.identities {
		for _, key := range x.uniques[id] {
			remove(x.identities, key, id)
		}
		delete(x.uniques, id)
		if i, ok := st.Identities[id]; ok {
			x.uniques[id] = uniques(i)
			for _, key := range x.uniques[id] {
				insert(x.identities, key, id)
			}
		}
	}
}

func (x *index) followCredentials(st *State) {
	for id := range x.touched.credentials {
		if user, ok := x.owner[id]; ok {
			remove(x.ofUser, user, id)
			delete(x.owner, id)
		}
		if c, ok := st.Credentials[id]; ok {
			x.owner[id] = c.UserID
			insert(x.ofUser, c.UserID, id)
			x.touch(c.UserID)
		}
	}
}

func (x *index) followUsers(st *State) {
	for id := range x.touched.users {
		if old, ok := x.users[id]; ok {
			remove(x.ofIdentity, old.key.identityID, id)
			delete(x.going, id)
			if !old.gone {
				x.stays[old.key]--
				if x.stays[old.key] == 0 {
					delete(x.stays, old.key)
				}
			}
			if old.unbound {
				x.unbound--
			}
			delete(x.users, id)
		}

		u, ok := st.Users[id]
		if !ok {
			for c := range x.ofUser[id] {
				delete(x.owner, c)
			}
			delete(x.ofUser, id)
			continue
		}

		is := indexed{
			stayKey{u.FullName, u.SystemID, u.IdentityID},
			u.Schedule == nil && u.GoneAt.IsZero(),
			!u.GoneAt.IsZero(),
		}
		x.users[id] = is
		insert(x.ofIdentity, u.IdentityID, id)
		if is.gone {
			x.going[id] = true
			continue
		}

		x.stays[is.key]++
		if is.unbound {
			x.unbound++
		}
	}
}

func insert(sets map[string]set, key, id string) {
	if sets[key] == nil {
		sets[key] = set{}
	}
	sets[key][id] = true
}

func remove(sets map[string]set, key, id string) {
	if delete(sets[key], id); len(sets[key]) == 0 {
		delete(sets, key)
	}
}
