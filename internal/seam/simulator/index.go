package simulator

// index counts what the peaks are about, so that a change costs a look at what it touched and not at everything.
type index struct {
	built   bool
	users   map[string]indexed // by id
	stays   map[stayKey]int
	unbound int             // users without a schedule
	touched map[string]bool // users whose row or credentials have changed
}

type stayKey struct{ fullName, systemID, identityID string }

type indexed struct {
	key     stayKey
	unbound bool
}

// touch says that a user, or its credentials, have changed.
func (x *index) touch(userIDs ...string) {
	if x.touched == nil {
		x.touched = map[string]bool{}
	}
	for _, id := range userIDs {
		x.touched[id] = true
	}
}

// forget has everything counted anew.
func (x *index) forget() { *x = index{} }

// follow brings the index to the state, and returns the present moment of what was touched.
func (x *index) follow(st *State) Peaks {
	if !x.built {
		*x = index{built: true, users: map[string]indexed{}, stays: map[stayKey]int{}, touched: map[string]bool{}}
		for id := range st.Users {
			x.touched[id] = true
		}
	}
	keys := map[string]int{}
	for _, c := range st.Credentials {
		if x.touched[c.UserID] && c.AccessMethod == "mobile_key" && c.ParentID == "" {
			keys[c.UserID]++
		}
	}
	var now Peaks
	for id := range x.touched {
		if old, ok := x.users[id]; ok {
			x.stays[old.key]--
			if x.stays[old.key] == 0 {
				delete(x.stays, old.key)
			}
			if old.unbound {
				x.unbound--
			}
			delete(x.users, id)
		}
		u, ok := st.Users[id]
		if !ok || !u.GoneAt.IsZero() {
			continue
		}
		is := indexed{stayKey{u.FullName, u.SystemID, u.IdentityID}, u.Schedule == nil}
		x.users[id] = is
		x.stays[is.key]++
		if is.unbound {
			x.unbound++
		}
	}
	for id := range x.touched {
		if is, ok := x.users[id]; ok {
			now.UsersOfOneStay = max(now.UsersOfOneStay, x.stays[is.key])
		}
		now.KeysOfOneUser = max(now.KeysOfOneUser, keys[id])
	}
	now.UsersWithNoSchedule = x.unbound
	clear(x.touched)
	return now
}
