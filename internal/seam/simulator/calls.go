package simulator

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// request is a checked body.
type request map[string]any

func (r request) text(name string) string { s, _ := r[name].(string); return s }
func (r request) flag(name string) bool   { b, _ := r[name].(bool); return b }
func (r request) texts(name string) []string {
	list, _ := r[name].([]any)
	out := make([]string, 0, len(list))
	for _, v := range list {
		out = append(out, v.(string))
	}
	return out
}

// calls are the endpoints. Each runs under the simulator's lock with a body that fits its schema.
var calls map[string]func(*Simulator, request) answer

func init() {
	calls = map[string]func(*Simulator, request) answer{
		"/workspaces/get": func(s *Simulator, _ request) answer {
			return accept("workspace", map[string]any{"workspace_id": s.state.WorkspaceID, "name": "Simulated workspace", "is_sandbox": true})
		},
		"/user_identities/create":               (*Simulator).createIdentity,
		"/user_identities/get":                  (*Simulator).getIdentity,
		"/user_identities/list":                 (*Simulator).listIdentities,
		"/user_identities/delete":               (*Simulator).deleteIdentity,
		"/user_identities/add_acs_user":         (*Simulator).linkUser,
		"/user_identities/list_acs_users":       (*Simulator).listIdentityUsers,
		"/acs/users/create":                     (*Simulator).createUser,
		"/acs/users/get":                        (*Simulator).getUser,
		"/acs/users/list":                       (*Simulator).listUsers,
		"/acs/users/update":                     (*Simulator).updateUser,
		"/acs/users/delete":                     (*Simulator).deleteUser,
		"/acs/users/suspend":                    func(s *Simulator, r request) answer { return s.suspend(r, true) },
		"/acs/users/unsuspend":                  func(s *Simulator, r request) answer { return s.suspend(r, false) },
		"/acs/users/add_to_access_group":        func(s *Simulator, r request) answer { return s.changeMembership(r, true) },
		"/acs/users/remove_from_access_group":   func(s *Simulator, r request) answer { return s.changeMembership(r, false) },
		"/acs/access_groups/list":               (*Simulator).listGroups,
		"/acs/access_groups/get":                (*Simulator).getGroup,
		"/acs/access_groups/list_users":         (*Simulator).listMembers,
		"/acs/systems/get":                      (*Simulator).getSystem,
		"/acs/systems/list":                     (*Simulator).listSystems,
		"/acs/credentials/create":               (*Simulator).createCredential,
		"/acs/credentials/list":                 (*Simulator).listCredentials,
		"/acs/credentials/get":                  (*Simulator).getCredential,
		"/acs/credentials/delete":               (*Simulator).deleteCredential,
		"/phones/simulate/create_sandbox_phone": (*Simulator).createPhone,
	}
}

func notFound(noun string) answer {
	return refuse(http.StatusNotFound, noun+"_not_found", "no "+strings.ReplaceAll(noun, "_", " ")+" with this id")
}

func invalid(message string) answer { return refuse(http.StatusBadRequest, "invalid_input", message) }

// stamp writes times as Seam's answers have been seen to: with microseconds.
func stamp(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format("2006-01-02T15:04:05.000000Z")
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// --- user identities

func (s *Simulator) showIdentity(st *State, i Identity) map[string]any {
	ids := []string{}
	for _, u := range s.usersOf(st, i.ID) {
		ids = append(ids, u.ID)
	}
	return map[string]any{
		"user_identity_id": i.ID, "user_identity_key": orNull(i.Key), "email_address": orNull(i.Email), "phone_number": orNull(i.Phone),
		"full_name": orNull(i.FullName), "display_name": cmp.Or(i.FullName, i.Email, i.ID), "created_at": stamp(i.CreatedAt),
		"workspace_id": st.WorkspaceID, "acs_user_ids": ids, "errors": []any{}, "warnings": []any{},
	}
}

func (s *Simulator) createIdentity(r request) answer {
	i := Identity{
		ID: uuid.NewString(), Key: r.text("user_identity_key"), Email: r.text("email_address"), Phone: r.text("phone_number"),
		FullName: strings.TrimSpace(r.text("full_name")), CreatedAt: s.now(),
	}
	if s.options.RefuseEmail != "" && strings.EqualFold(i.Email, s.options.RefuseEmail) {
		return invalid("email_address is not accepted")
	}
	for _, other := range s.index.alike(s.state, i) {
		sameEmail := i.Email != "" && (i.Email == other.Email || (!s.options.CaseSensitiveEmail && strings.EqualFold(i.Email, other.Email)))
		if (i.Key != "" && i.Key == other.Key) || sameEmail || (i.Phone != "" && i.Phone == other.Phone) {
			return refuse(cmp.Or(s.options.UniqueStatus, http.StatusBadRequest), "user_identity_already_exists",
				"a user identity with this key, e-mail address ("+i.Email+") or phone number exists")
		}
	}
	s.state.Identities[i.ID] = i
	s.index.touchIdentity(i.ID)
	s.changed()
	return accept("user_identity", s.showIdentity(s.state, i))
}

func (s *Simulator) getIdentity(r request) answer {
	st := s.view()
	for _, i := range st.Identities {
		if (i.ID == r.text("user_identity_id") && i.ID != "") || (i.Key == r.text("user_identity_key") && i.Key != "") {
			return accept("user_identity", s.showIdentity(st, i))
		}
	}
	return notFound("user_identity")
}

func (s *Simulator) listIdentities(r request) answer {
	st := s.view()
	search := strings.ToLower(r.text("search"))
	var list []Identity
	for _, i := range st.Identities {
		if search == "" || containsFold(search, i.FullName, i.Phone, i.Email, i.ID) {
			list = append(list, i)
		}
	}
	slices.SortFunc(list, func(a, b Identity) int { return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID)) })
	return s.paged(r, "user_identities", len(list), func(n int) any { return s.showIdentity(st, list[n]) })
}

func containsFold(search string, values ...string) bool {
	return slices.ContainsFunc(values, func(v string) bool { return strings.Contains(strings.ToLower(v), search) })
}

// listed are the last lists, because the pages of a large one are asked for one after another.
type listed struct {
	users       remembered[User]
	credentials remembered[Credential]
}

type remembered[T any] struct {
	query string
	list  []T
}

// recall returns a list as it was for the page before, unless something has changed since.
func recall[T any](s *Simulator, st *State, last *remembered[T], query string, list func() []T) []T {
	if st != s.state {
		return list()
	}
	if last.list == nil || last.query != query {
		*last = remembered[T]{query, list()}
	}
	return last.list
}

// paged answers a list page by page; the cursor is the offset.
func (s *Simulator) paged(r request, key string, total int, show func(int) any) answer {
	limit := cmp.Or(s.options.PageSize, 500)
	if n, ok := r["limit"].(json.Number); ok {
		if i, err := n.Int64(); err == nil {
			limit = min(limit, int(i))
		}
	}
	from, _ := strconv.Atoi(r.text("page_cursor"))
	to := min(from+limit, total)
	items := []any{}
	for n := min(from, total); n < to; n++ {
		items = append(items, show(n))
	}
	a := accept(key, items)
	var next any
	if to < total {
		next = strconv.Itoa(to)
	}
	a.body["pagination"] = map[string]any{"has_next_page": to < total, "next_page_cursor": next, "next_page_url": nil}
	return a
}

func (s *Simulator) deleteIdentity(r request) answer {
	id := r.text("user_identity_id")
	if _, ok := s.state.Identities[id]; !ok {
		return notFound("user_identity")
	}
	delete(s.state.Identities, id)
	s.index.touchIdentity(id)
	for _, u := range s.usersOf(s.state, id) {
		s.state.deleteUser(u.ID)
		s.index.touch(u.ID)
	}
	s.changed()
	return accept("", nil)
}

func (s *Simulator) linkUser(r request) answer {
	u, ok := s.state.Users[r.text("acs_user_id")]
	if !ok {
		return notFound("acs_user")
	}
	i, ok := s.state.Identities[r.text("user_identity_id")]
	if !ok {
		return notFound("user_identity")
	}
	u.IdentityID = i.ID
	s.state.Users[u.ID] = u
	s.index.touch(u.ID)
	s.changed()
	return accept("", nil)
}

func (s *Simulator) listIdentityUsers(r request) answer {
	st := s.view()
	if _, ok := st.Identities[r.text("user_identity_id")]; !ok {
		return notFound("user_identity")
	}
	list := []any{}
	for _, u := range s.usersOf(st, r.text("user_identity_id")) {
		list = append(list, s.showUser(st, u))
	}
	return accept("acs_users", list)
}

// usersOf returns the ACS users of an identity, oldest first.
func (s *Simulator) usersOf(st *State, identityID string) []User {
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

// --- ACS users

func (s *Simulator) showUser(st *State, u User) map[string]any {
	now := s.now()
	in, over := st.subscription(u, now, s.options.SubscribeDelay)
	errs, warnings, pending := []any{}, []any{}, []any{}
	issue := func(kind, code, message string) map[string]any {
		return map[string]any{kind + "_code": code, "message": message, "created_at": stamp(now)}
	}
	if over {
		errs = append(errs, issue("error", "salto_ks_subscription_limit_exceeded", "the site's user subscription limit is exceeded"))
	}
	if u.ErrorCode != "" {
		errs = append(errs, issue("error", u.ErrorCode, "simulated"))
	}
	if !in {
		warnings = append(warnings, issue("warning", "salto_ks_user_not_subscribed", "the user cannot unlock doors"))
	}
	if !u.GoneAt.IsZero() {
		warnings = append(warnings, issue("warning", "being_deleted", "the user is being deleted"))
	}
	for _, p := range u.Pending {
		if now.Before(p.Until) {
			pending = append(pending, map[string]any{"mutation_code": p.Code, "created_at": stamp(now), "message": "in progress"})
		}
	}
	if at := startOf(u).Add(s.options.SubscribeDelay); s.options.Defer && now.Before(at) {
		pending = append(pending, map[string]any{"mutation_code": "deferring_creation", "created_at": stamp(u.CreatedAt), "scheduled_at": stamp(at), "message": "put off"})
	}
	m := map[string]any{
		"acs_user_id": u.ID, "acs_system_id": u.SystemID, "user_identity_id": orNull(u.IdentityID), "workspace_id": st.WorkspaceID,
		"connected_account_id": "simulated", "created_at": stamp(u.CreatedAt), "display_name": u.FullName, "full_name": u.FullName,
		"email_address": u.Email, "is_suspended": u.Suspended, "is_managed": true, "external_type": "salto_site_user",
		"external_type_display_name": "Salto site user", "salto_ks_metadata": map[string]any{"is_subscribed": in},
		"errors": errs, "warnings": warnings, "pending_mutations": pending, "last_successful_sync_at": nil,
	}
	if u.Schedule != nil {
		m["access_schedule"] = map[string]any{"starts_at": stamp(u.Schedule.StartsAt), "ends_at": stamp(u.Schedule.EndsAt)}
	}
	return m
}

func (s *Simulator) pend(u *User, code string) {
	if s.options.Pending > 0 {
		u.Pending = append(slices.Clone(u.Pending), Pending{Code: code, Until: s.now().Add(s.options.Pending)})
	}
}

func readSchedule(v any, now time.Time) (*Schedule, string) {
	m, ok := v.(map[string]any)
	if !ok {
		return nil, ""
	}
	at := func(name string) time.Time {
		text, _ := m[name].(string)
		t, _ := time.Parse(time.RFC3339Nano, text)
		return t.UTC()
	}
	schedule := &Schedule{StartsAt: at("starts_at"), EndsAt: at("ends_at")}
	if schedule.StartsAt.IsZero() {
		schedule.StartsAt = now
	}
	if !schedule.EndsAt.IsZero() && (!schedule.EndsAt.After(now) || !schedule.EndsAt.After(schedule.StartsAt)) {
		return nil, "ends_at must be in the future and after starts_at"
	}
	return schedule, ""
}

func (s *Simulator) createUser(r request) answer {
	system, ok := s.state.Systems[r.text("acs_system_id")]
	if !ok {
		return notFound("acs_system")
	}
	if system.Disconnected {
		return refuse(http.StatusBadRequest, "acs_system_disconnected", "the access system is disconnected")
	}
	name := strings.TrimSpace(r.text("full_name"))
	if name == "" {
		return refuse(http.StatusBadRequest, "full_name_required", "full_name must not be empty")
	}
	schedule, problem := readSchedule(r["access_schedule"], s.now())
	if problem != "" {
		return invalid(problem)
	}
	var groups []string
	for _, id := range r.texts("acs_access_group_ids") {
		g, ok := s.state.Groups[id]
		if (!ok || g.SystemID != system.ID) && s.options.IgnoreUnknownGroups {
			continue
		}
		if !ok || g.SystemID != system.ID {
			return notFound("acs_access_group")
		}
		if !slices.Contains(groups, id) {
			groups = append(groups, id)
		}
	}
	identity := r.text("user_identity_id")
	if identity != "" {
		if _, ok := s.state.Identities[identity]; !ok {
			return refuse(http.StatusBadRequest, "user_identity_not_found", "no user identity with this id")
		}
		if a, done := s.secondUser(identity, system.ID); done {
			return a
		}
	}
	u := User{
		ID: uuid.NewString(), SystemID: system.ID, IdentityID: identity, FullName: name, Email: r.text("email_address"),
		Schedule: schedule, GroupIDs: groups, CreatedAt: s.now(),
	}
	s.pend(&u, "creating")
	s.state.Users[u.ID] = u
	s.index.touch(u.ID)
	s.changed()
	return accept("acs_user", s.showUser(s.state, u))
}

// secondUser does what the switch says where the identity has a user on the system; done means answered.
func (s *Simulator) secondUser(identity, system string) (answer, bool) {
	existing := slices.DeleteFunc(s.usersOf(s.state, identity), func(u User) bool { return u.SystemID != system || !u.GoneAt.IsZero() })
	if len(existing) == 0 {
		return answer{}, false
	}
	switch s.options.SecondUser {
	case Refuse:
		return refuse(http.StatusBadRequest, "user_identity_already_has_acs_user", "the user identity has an ACS user on this system"), true
	case ReturnExisting:
		return accept("acs_user", s.showUser(s.state, existing[0])), true
	case MoveLink:
		for _, u := range existing {
			u.IdentityID = ""
			s.state.Users[u.ID] = u
			s.index.touch(u.ID)
		}
	}
	return answer{}, false
}

// find returns the user that a request addresses, by id or by identity and system.
func (r request) find(st *State) (User, bool) {
	if id := r.text("acs_user_id"); id != "" {
		u, ok := st.Users[id]
		return u, ok
	}
	identity, system := r.text("user_identity_id"), r.text("acs_system_id")
	list := st.users(func(u User) bool {
		return identity != "" && u.IdentityID == identity && (system == "" || u.SystemID == system)
	})
	if len(list) == 0 {
		return User{}, false
	}
	return list[0], true
}

func (s *Simulator) getUser(r request) answer {
	st := s.view()
	u, ok := r.find(st)
	if !ok {
		return notFound("acs_user")
	}
	return accept("acs_user", s.showUser(st, u))
}

func (s *Simulator) listUsers(r request) answer {
	st := s.view()
	search := strings.ToLower(r.text("search"))
	list := recall(s, st, &s.listed.users, fmt.Sprint("users ", r["acs_system_id"], r["user_identity_id"], search), func() []User {
		return st.users(func(u User) bool {
			return (r.text("acs_system_id") == "" || u.SystemID == r.text("acs_system_id")) &&
				(r.text("user_identity_id") == "" || u.IdentityID == r.text("user_identity_id")) &&
				(search == "" || containsFold(search, u.FullName, u.Email, u.ID, u.IdentityID))
		})
	})
	return s.paged(r, "acs_users", len(list), func(n int) any { return s.showUser(st, list[n]) })
}

func (s *Simulator) updateUser(r request) answer {
	u, ok := r.find(s.state)
	if !ok || !u.GoneAt.IsZero() {
		return notFound("acs_user")
	}
	if v, said := r["access_schedule"]; said {
		schedule, problem := readSchedule(v, s.now())
		if problem != "" {
			return invalid(problem)
		}
		u.Schedule = schedule
		s.pend(&u, "updating_access_schedule")
	}
	if name := strings.TrimSpace(r.text("full_name")); name != "" {
		u.FullName = name
		s.pend(&u, "updating_user_information")
	}
	s.state.Users[u.ID] = u
	s.index.touch(u.ID)
	s.changed()
	return accept("", nil)
}

func (s *Simulator) deleteUser(r request) answer {
	u, ok := r.find(s.state)
	if !ok || !u.GoneAt.IsZero() {
		return notFound("acs_user")
	}
	switch {
	case s.options.RefuseDeletes:
		u.ErrorCode = "failed_to_delete_on_acs_system"
		s.state.Users[u.ID] = u
	case s.options.Pending > 0:
		s.state.deleteUser(u.ID)
		u.GoneAt = s.now().Add(s.options.Pending)
		s.pend(&u, "deleting")
		s.state.Users[u.ID] = u
	default:
		s.state.deleteUser(u.ID)
	}
	s.index.touch(u.ID)
	s.changed()
	return accept("", nil)
}

func (s *Simulator) suspend(r request, suspended bool) answer {
	u, ok := r.find(s.state)
	if !ok {
		return notFound("acs_user")
	}
	u.Suspended = suspended
	s.pend(&u, "updating_suspension_state")
	s.state.Users[u.ID] = u
	s.changed()
	return accept("", nil)
}

func (s *Simulator) changeMembership(r request, member bool) answer {
	u, ok := r.find(s.state)
	if !ok || !u.GoneAt.IsZero() {
		return notFound("acs_user")
	}
	g, ok := s.state.Groups[r.text("acs_access_group_id")]
	if !ok || g.SystemID != u.SystemID {
		return notFound("acs_access_group")
	}
	at := slices.Index(u.GroupIDs, g.ID)
	switch {
	case member && at < 0:
		u.GroupIDs = append(slices.Clone(u.GroupIDs), g.ID)
	case !member && at >= 0:
		u.GroupIDs = slices.Delete(slices.Clone(u.GroupIDs), at, at+1)
	}
	s.pend(&u, "updating_group_membership")
	s.state.Users[u.ID] = u
	s.changed()
	return accept("", nil)
}

// --- access groups and systems

func showGroup(st *State, g AccessGroup) map[string]any {
	return map[string]any{
		"acs_access_group_id": g.ID, "acs_system_id": g.SystemID, "workspace_id": st.WorkspaceID, "connected_account_id": "simulated",
		"name": g.Name, "display_name": g.Name, "external_type": "salto_ks_access_group", "external_type_display_name": "Salto KS access group",
		"access_group_type": "salto_ks_access_group", "created_at": stamp(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)),
		"is_managed": true, "errors": []any{}, "warnings": []any{}, "pending_mutations": []any{},
	}
}

func (s *Simulator) listGroups(r request) answer {
	st := s.view()
	var member []string
	byUser := r.text("acs_user_id") != "" || r.text("user_identity_id") != ""
	if byUser {
		u, ok := r.find(st)
		if !ok {
			return notFound("acs_user")
		}
		member = u.GroupIDs
	}
	ids := make([]string, 0, len(st.Groups))
	for id, g := range st.Groups {
		if (!byUser || slices.Contains(member, id)) && (r.text("acs_system_id") == "" || g.SystemID == r.text("acs_system_id")) &&
			containsFold(strings.ToLower(r.text("search")), g.Name, g.ID) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	list := []any{}
	for _, id := range ids {
		list = append(list, showGroup(st, st.Groups[id]))
	}
	return accept("acs_access_groups", list)
}

func (s *Simulator) getGroup(r request) answer {
	g, ok := s.view().Groups[r.text("acs_access_group_id")]
	if !ok {
		return notFound("acs_access_group")
	}
	return accept("acs_access_group", showGroup(s.state, g))
}

func (s *Simulator) listMembers(r request) answer {
	st := s.view()
	id := r.text("acs_access_group_id")
	if _, ok := st.Groups[id]; !ok {
		return notFound("acs_access_group")
	}
	list := []any{}
	for _, u := range st.users(func(u User) bool { return slices.Contains(u.GroupIDs, id) }) {
		list = append(list, s.showUser(st, u))
	}
	return accept("acs_users", list)
}

func showSystem(st *State, sys System, now time.Time) map[string]any {
	errs := []any{}
	if sys.Disconnected {
		errs = append(errs, map[string]any{"error_code": "acs_system_disconnected", "message": "reconnect the access system"})
	}
	warnings := []any{}
	if used := st.subscribedOf(sys.ID, now); sys.SubscriptionLimit > 0 && used >= sys.SubscriptionLimit {
		errs = append(errs, map[string]any{"error_code": "salto_ks_subscription_limit_exceeded", "message": "the site's limit of subscribed users is reached"})
	} else if sys.SubscriptionLimit > 0 && used*5 > sys.SubscriptionLimit*4 {
		warnings = append(warnings, map[string]any{"warning_code": "salto_ks_subscription_limit_almost_reached", "message": "more than 80 % of the site's subscriptions are taken"})
	}
	return map[string]any{
		"acs_system_id": sys.ID, "name": sys.Name, "workspace_id": st.WorkspaceID, "connected_account_id": "simulated",
		"external_type": "salto_ks_site", "external_type_display_name": "Salto KS site", "is_credential_manager": false,
		"location": map[string]any{"time_zone": nil}, "created_at": stamp(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)),
		"image_url": "", "image_alt_text": "", "errors": errs, "warnings": warnings,
	}
}

func (s *Simulator) getSystem(r request) answer {
	sys, ok := s.view().Systems[r.text("acs_system_id")]
	if !ok {
		return notFound("acs_system")
	}
	return accept("acs_system", showSystem(s.state, sys, s.now()))
}

func (s *Simulator) listSystems(request) answer {
	list := []any{}
	for _, sys := range s.view().Systems {
		list = append(list, showSystem(s.state, sys, s.now()))
	}
	return accept("acs_systems", list)
}

// --- credentials and phones

func (s *Simulator) showCredential(st *State, c Credential) map[string]any {
	u, errs := st.Users[c.UserID], []any{}
	if c.ErrorCode != "" {
		errs = append(errs, map[string]any{"error_code": c.ErrorCode, "message": "simulated", "created_at": stamp(s.now())})
	}
	return map[string]any{
		"acs_credential_id": c.ID, "acs_user_id": c.UserID, "acs_system_id": u.SystemID, "user_identity_id": orNull(u.IdentityID),
		"access_method": c.AccessMethod, "display_name": "Mobile key", "workspace_id": st.WorkspaceID, "connected_account_id": "simulated",
		"created_at": stamp(c.CreatedAt), "is_managed": true, "is_multi_phone_sync_credential": c.MultiPhone,
		"parent_acs_credential_id": orNull(c.ParentID), "external_type": "salto_ks_credential", "errors": errs, "warnings": []any{},
		"is_latest_desired_state_synced_with_provider": nil, "latest_desired_state_synced_with_provider_at": nil,
	}
}

func (s *Simulator) createCredential(r request) answer {
	u, ok := r.find(s.state)
	if !ok || !u.GoneAt.IsZero() {
		return notFound("acs_user")
	}
	if !slices.Contains([]string{"code", "card", "mobile_key", "cloud_key"}, r.text("access_method")) {
		return invalid("access_method is not one of code, card, mobile_key, cloud_key")
	}
	c := Credential{ID: uuid.NewString(), UserID: u.ID, AccessMethod: r.text("access_method"), MultiPhone: r.flag("is_multi_phone_sync_credential"), CreatedAt: s.now()}
	s.state.Credentials[c.ID] = c
	s.index.touchCredential(c.ID)
	if c.MultiPhone {
		for range s.state.Identities[u.IdentityID].Phones {
			s.addChild(c)
		}
	}
	s.changed()
	return accept("acs_credential", s.showCredential(s.state, c))
}

// addChild makes the credential of one phone.
func (s *Simulator) addChild(parent Credential) {
	child := Credential{ID: uuid.NewString(), UserID: parent.UserID, AccessMethod: parent.AccessMethod, ParentID: parent.ID, CreatedAt: s.now()}
	s.state.Credentials[child.ID] = child
	s.index.touchCredential(child.ID)
}

func (s *Simulator) listCredentials(r request) answer {
	st := s.view()
	want, said := r["is_multi_phone_sync_credential"].(bool)
	list := recall(s, st, &s.listed.credentials, fmt.Sprint(r["acs_user_id"], r["acs_system_id"], r["user_identity_id"], said, want), func() []Credential {
		return st.credentials(func(c Credential) bool {
			u := st.Users[c.UserID]
			return (r.text("acs_user_id") == "" || c.UserID == r.text("acs_user_id")) && (r.text("acs_system_id") == "" || u.SystemID == r.text("acs_system_id")) &&
				(r.text("user_identity_id") == "" || u.IdentityID == r.text("user_identity_id")) && (!said || c.MultiPhone == want)
		})
	})
	return s.paged(r, "acs_credentials", len(list), func(n int) any { return s.showCredential(st, list[n]) })
}

func (s *Simulator) getCredential(r request) answer {
	st := s.view()
	c, ok := st.Credentials[r.text("acs_credential_id")]
	if !ok {
		return notFound("acs_credential")
	}
	return accept("acs_credential", s.showCredential(st, c))
}

func (s *Simulator) deleteCredential(r request) answer {
	c, ok := s.state.Credentials[r.text("acs_credential_id")]
	if !ok {
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

func (s *Simulator) createPhone(r request) answer {
	i, ok := s.state.Identities[r.text("user_identity_id")]
	if !ok {
		return notFound("user_identity")
	}
	i.Phones++
	s.state.Identities[i.ID] = i
	for _, c := range s.state.credentials(func(c Credential) bool {
		return c.MultiPhone && s.state.Users[c.UserID].IdentityID == i.ID
	}) {
		s.addChild(c)
	}
	s.changed()
	return accept("phone", map[string]any{"device_id": uuid.NewString()})
}
