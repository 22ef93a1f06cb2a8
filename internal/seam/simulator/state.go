package simulator

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"time"
)

// State is everything that the simulated workspace holds. Values are never changed in place, only replaced,
// so that a shallow copy of the maps is a snapshot.
type State struct {
	WorkspaceID string                 `json:"workspace_id"`
	Systems     map[string]System      `json:"acs_systems"`
	Groups      map[string]AccessGroup `json:"acs_access_groups"`
	Identities  map[string]Identity    `json:"user_identities"`
	Users       map[string]User        `json:"acs_users"`
	Credentials map[string]Credential  `json:"acs_credentials"`

	InstantKeys map[string]InstantKey    `json:"instant_keys"`
	Sessions    map[string]ClientSession `json:"client_sessions"`
	Phones      map[string]Phone         `json:"phones"`
	Entrances   map[string]Entrance      `json:"acs_entrances"`
}

// System is a Salto KS site.
type System struct {
	ID                string `json:"acs_system_id"`
	Name              string `json:"name"`
	SubscriptionLimit int    `json:"subscription_limit"` // 0: none
	Disconnected      bool   `json:"disconnected"`
	ErrorCode         string `json:"error_code"`   // one more error that is reported
	WarningCode       string `json:"warning_code"` // one more warning
}

// AccessGroup is a group of doors.
type AccessGroup struct {
	ID          string `json:"acs_access_group_id"`
	SystemID    string `json:"acs_system_id"`
	Name        string `json:"name"`
	ErrorCode   string `json:"error_code"`
	WarningCode string `json:"warning_code"`
}

// Identity is a user identity.
type Identity struct {
	ID          string    `json:"user_identity_id"`
	Key         string    `json:"user_identity_key"`
	Email       string    `json:"email_address"`
	Phone       string    `json:"phone_number"`
	FullName    string    `json:"full_name"`
	CreatedAt   time.Time `json:"created_at"`
	MergedIDs   []string  `json:"merged_user_identity_ids"`
	MergedKeys  []string  `json:"merged_user_identity_keys"`
	ErrorCode   string    `json:"error_code"`
	WarningCode string    `json:"warning_code"`
}

// Schedule is when an ACS user has access. A zero end is none.
type Schedule struct {
	StartsAt time.Time `json:"starts_at"`
	EndsAt   time.Time `json:"ends_at"`
}

// Pending is a mutation that Seam has not pushed to Salto yet.
type Pending struct {
	Code  string    `json:"mutation_code"`
	Until time.Time `json:"until"`
}

// User is an ACS user.
type User struct {
	ID          string    `json:"acs_user_id"`
	SystemID    string    `json:"acs_system_id"`
	IdentityID  string    `json:"user_identity_id"`
	FullName    string    `json:"full_name"`
	Email       string    `json:"email_address"`
	Phone       string    `json:"phone_number"`
	Schedule    *Schedule `json:"access_schedule"`
	GroupIDs    []string  `json:"acs_access_group_ids"`
	Suspended   bool      `json:"is_suspended"`
	ErrorCode   string    `json:"error_code"` // set by a test: what Salto refused
	WarningCode string    `json:"warning_code"`
	Pending     []Pending `json:"pending"`
	GoneAt      time.Time `json:"gone_at"` // being deleted until then
	CreatedAt   time.Time `json:"created_at"`
}

// Credential is a credential of an ACS user; children stand for one phone each.
type Credential struct {
	ID           string    `json:"acs_credential_id"`
	UserID       string    `json:"acs_user_id"`
	AccessMethod string    `json:"access_method"`
	MultiPhone   bool      `json:"is_multi_phone_sync_credential"`
	ParentID     string    `json:"parent_acs_credential_id"`
	PhoneID      string    `json:"device_id"` // of a child
	CreatedAt    time.Time `json:"created_at"`
	ErrorCode    string    `json:"error_code"` // set by a test
	WarningCode  string    `json:"warning_code"`
	Code         string    `json:"code"`    // of the access method code
	CodeAt       time.Time `json:"code_at"` // when Salto has made it; until then it is not shown
}

func newState(workspaceID string) *State {
	return &State{
		WorkspaceID: workspaceID, Systems: map[string]System{}, Groups: map[string]AccessGroup{},
		Identities: map[string]Identity{}, Users: map[string]User{}, Credentials: map[string]Credential{},
		InstantKeys: map[string]InstantKey{}, Sessions: map[string]ClientSession{}, Phones: map[string]Phone{},
		Entrances: map[string]Entrance{},
	}
}

func (s *State) clone() *State {
	return &State{
		WorkspaceID: s.WorkspaceID, Systems: maps.Clone(s.Systems), Groups: maps.Clone(s.Groups),
		Identities: maps.Clone(s.Identities), Users: maps.Clone(s.Users), Credentials: maps.Clone(s.Credentials),
		InstantKeys: maps.Clone(s.InstantKeys), Sessions: maps.Clone(s.Sessions), Phones: maps.Clone(s.Phones),
		Entrances: maps.Clone(s.Entrances),
	}
}

// UsersNamed returns the ACS users of that full name, oldest first.
func (s *State) UsersNamed(fullName string) []User {
	return s.users(func(u User) bool { return u.FullName == fullName })
}

// MobileKeys returns the multi-phone mobile keys of an ACS user, without the children, oldest first.
func (s *State) MobileKeys(userID string) []Credential {
	return s.credentials(func(c Credential) bool {
		return c.UserID == userID && c.AccessMethod == "mobile_key" && c.MultiPhone && c.ParentID == ""
	})
}

// HasDigits reports whether a text has a code's digits. The same digits by chance, as a part of a longer number, of an
// id or of a second, aren't the code.
func HasDigits(text, digits string) bool {
	return regexp.MustCompile(`(^|[^0-9A-Za-z.])` + regexp.QuoteMeta(digits) + `([^0-9A-Za-z]|$)`).MatchString(text)
}

// Codes returns the PINs of an ACS user, oldest first.
func (s *State) Codes(userID string) []Credential {
	return s.credentials(func(c Credential) bool { return c.UserID == userID && c.AccessMethod == "code" })
}

func (s *State) users(keep func(User) bool) []User {
	var list []User
	for _, u := range s.Users {
		if keep(u) {
			list = append(list, u)
		}
	}
	slices.SortFunc(list, oldestFirst)
	return list
}

func oldestFirst(a, b User) int {
	return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
}

func (s *State) credentials(keep func(Credential) bool) []Credential {
	var list []Credential
	for _, c := range s.Credentials {
		if keep(c) {
			list = append(list, c)
		}
	}
	slices.SortFunc(list, func(a, b Credential) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt),
			cmp.Compare(a.ID, b.ID))
	})
	return list
}

// subscription reports whether a user has one of its site's subscriptions now: its time has come, and it is within the
// site's limit. over means that only the limit prevents it.
func (s *State) subscription(u User, now time.Time, delay time.Duration) (in, over bool) {
	due := func(u User) bool {
		return !u.Suspended && u.GoneAt.IsZero() &&
			(u.Schedule == nil || (!now.Before(startOf(u).Add(delay)) && (u.Schedule.EndsAt.IsZero() ||
				now.Before(u.Schedule.EndsAt))))
	}
	limit := s.Systems[u.SystemID].SubscriptionLimit
	if !due(u) || limit == 0 {
		return due(u), false
	}
	list := s.users(func(other User) bool { return other.SystemID == u.SystemID && due(other) })
	slices.SortStableFunc(list, func(a, b User) int { return startOf(a).Compare(startOf(b)) })
	in = slices.ContainsFunc(list[:min(limit, len(list))], func(other User) bool { return other.ID == u.ID })
	return in, !in
}

func startOf(u User) time.Time {
	if u.Schedule == nil || u.Schedule.StartsAt.Before(u.CreatedAt) {
		return u.CreatedAt
	}
	return u.Schedule.StartsAt
}

// deleteUser removes a user and everything that belongs to it.
func (s *State) deleteUser(id string) {
	delete(s.Users, id)
	for _, c := range s.credentials(func(c Credential) bool { return c.UserID == id }) {
		delete(s.Credentials, c.ID)
	}
}

// subscribedOf counts the users that hold a subscription of an access system.
func (s *State) subscribedOf(systemID string, now time.Time) int {
	if s.Systems[systemID].SubscriptionLimit == 0 {
		return 0 // nobody counts
	}
	return len(s.users(func(u User) bool {
		if u.SystemID != systemID {
			return false
		}
		in, _ := s.subscription(u, now, 0)
		return in
	}))
}
