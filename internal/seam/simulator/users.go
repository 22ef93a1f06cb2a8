package simulator

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

func (s users) show(st *State, u User) map[string]any {
	now := s.now()
	in, over := st.subscription(u, now, s.options.SubscribeDelay)
	errs, warnings, pending := s.reported("error", u.ErrorCode), s.reported("warning", u.WarningCode), []any{}
	issue := func(kind, code, message string) map[string]any { return s.issue(kind, code, message, now) }

	if over {
		errs = append(errs, issue("error", "salto_ks_subscription_limit_exceeded",
			"the site's user subscription limit is exceeded"))
	}
	if !in {
		warnings = append(warnings, issue("warning", "salto_ks_user_not_subscribed", "the user cannot unlock doors"))
	}
	if !u.GoneAt.IsZero() {
		warnings = append(warnings, issue("warning", "being_deleted", "the user is being deleted"))
	}

	for _, p := range u.Pending {
		if now.Before(p.Until) {
			pending = append(pending, map[string]any{
				"mutation_code": p.Code, "created_at": stamp(now),
				"message": "in progress",
			})
		}
	}
	if at := startOf(u).Add(s.options.SubscribeDelay); s.options.Defer && now.Before(at) {
		pending = append(pending, map[string]any{
			"mutation_code": "deferring_creation",
			"created_at":    stamp(u.CreatedAt), "scheduled_at": stamp(at), "message": "put off",
		})
	}

	name, identity := s.storedName(u), u.IdentityID
	if identity != "" {
		identity = cmp.Or(s.options.ShownIdentity, identity)
	}
	m := map[string]any{
		"acs_user_id": u.ID, "acs_system_id": u.SystemID, "user_identity_id": orNull(identity),
		"workspace_id":         st.WorkspaceID,
		"connected_account_id": "simulated", "created_at": s.created(u.CreatedAt), "display_name": name,
		"full_name":     name,
		"email_address": u.Email, "is_suspended": u.Suspended, "is_managed": true, "external_type": "salto_site_user",
		"external_type_display_name": "Salto site user", "salto_ks_metadata": map[string]any{"is_subscribed": in},
		"errors": errs, "warnings": warnings, "pending_mutations": pending, "last_successful_sync_at": nil,
	}

	if u.Schedule != nil {
		m["access_schedule"] = map[string]any{
			"starts_at": s.scheduled(u.Schedule.StartsAt),
			"ends_at":   s.scheduled(u.Schedule.EndsAt),
		}
	}
	return m
}

func (s users) pend(u *User, code string) {
	if s.options.Pending > 0 {
		u.Pending = append(slices.Clone(u.Pending), Pending{Code: code, Until: s.now().Add(s.options.Pending)})
	}
}

// scheduled writes a time of a schedule.
func (s users) scheduled(t time.Time) any {
	if !s.options.TimesWithOffset || t.IsZero() {
		return stamp(t)
	}
	return t.In(time.FixedZone("", 2*3600)).Format(time.RFC3339)
}

// readSchedule reads a schedule as it is stored, and says what is wrong with it.
func (s users) readSchedule(v any) (*Schedule, string) {
	now := s.now()
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

	if every := s.options.Rounding; every > 0 {
		schedule.StartsAt = schedule.StartsAt.Truncate(every)
		if !schedule.EndsAt.IsZero() {
			schedule.EndsAt = schedule.EndsAt.Truncate(every)
		}
	}
	return schedule, ""
}

func (s users) create(r request) answer {
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

	schedule, problem := s.readSchedule(r["access_schedule"])
	if problem != "" {
		return invalid(problem)
	}
	groups, ok := s.readGroups(system.ID, r.texts("acs_access_group_ids"))
	if !ok {
		return notFound("acs_access_group")
	}

	identity := r.text("user_identity_id")
	if identity != "" {
		i, ok := s.state.survivor(identity)
		identity = i.ID
		if !ok || !s.visible(func(st *State) bool { _, ok := st.survivor(i.ID); return ok }) {
			return refuse(http.StatusBadRequest, "user_identity_not_found", "no user identity with this id")
		}
		if a, done := s.second(identity, system.ID); done {
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
	return accept("acs_user", s.show(s.state, u))
}

// readGroups returns the groups of a new user, each once. One that the system doesn't have is an error, or is
// ignored: see [Options].IgnoreUnknownGroups.
func (s users) readGroups(system string, ids []string) (groups []string, ok bool) {
	for _, id := range ids {
		switch g, known := s.state.Groups[id]; {
		case known && g.SystemID == system:
			if !slices.Contains(groups, id) {
				groups = append(groups, id)
			}
		case !s.options.IgnoreUnknownGroups:
			return nil, false
		}
	}
	return groups, true
}

// second does what the switch says where the identity has a user on the system; done means answered.
func (s users) second(identity, system string) (answer, bool) {
	existing := slices.DeleteFunc(s.usersOf(s.state, identity), func(u User) bool {
		return u.SystemID != system ||
			(!u.GoneAt.IsZero() && !s.options.DeletingBlocks)
	})
	if len(existing) == 0 {
		return answer{}, false
	}
	switch s.options.SecondUser {
	case Refuse:
		return refuse(http.StatusBadRequest, "user_identity_already_has_acs_user",
			"the user identity has an ACS user on this system"), true
	case ReturnExisting:
		return accept("acs_user", s.show(s.state, existing[0])), true
	case MoveLink:
		s.unlink(existing)
	}
	return answer{}, false
}

// unlink takes users' identity away.
func (s *workspace) unlink(linked []User) {
	for _, u := range linked {
		u.IdentityID = ""
		s.state.Users[u.ID] = u
		s.index.touch(u.ID)
	}
}

// find returns the user that a request addresses, by id or by identity and system.
func (r request) find(st *State) (User, bool) {
	if id := r.text("acs_user_id"); id != "" {
		u, ok := st.Users[id]
		return u, ok
	}
	i, _ := st.survivor(r.text("user_identity_id"))
	identity, system := i.ID, r.text("acs_system_id")
	list := st.users(func(u User) bool {
		return identity != "" && u.IdentityID == identity && (system == "" || u.SystemID == system)
	})
	if len(list) == 0 {
		return User{}, false
	}
	return list[0], true
}

// named returns the user that a write names, as the write sees it: a user created too recently isn't found, and a write
// to a user deleted too recently is accepted without effect. If ok is false, the call returns the answer.
func (s *workspace) named(r request) (User, answer, bool) {
	u, ok := r.find(s.state)
	if ok = ok && u.GoneAt.IsZero(); ok == s.visible(func(st *State) bool {
		u, ok := r.find(st)
		return ok &&
			u.GoneAt.IsZero()
	}) {
		return u, notFound("acs_user"), ok
	}
	if ok {
		return User{}, notFound("acs_user"), false
	}
	if s.options.WriteLag > 0 {
		return User{}, accept("", nil), false
	}
	return User{}, notFound("acs_user"), false
}

// visible reports whether a write sees an existing object.
func (s *workspace) visible(is func(*State) bool) bool { return is(s.view(writes)) }

func (s users) get(r request) answer {
	st := s.view(gets)
	u, ok := r.find(st)
	if !ok {
		return notFound("acs_user")
	}
	return accept("acs_user", s.show(st, u))
}

func (s users) list(r request) answer {
	st := s.view(lists)
	search := strings.ToLower(r.text("search"))
	identity, given := r.text("user_identity_id"), r.text("user_identity_id") != ""
	if i, ok := st.survivor(identity); ok {
		identity = i.ID
	} else if given && s.options.UnknownIdentity == NotFound {
		return notFound("user_identity")
	} else if given && s.options.UnknownIdentity == Everything {
		given = false
	}
	query := fmt.Sprint("users ", r["acs_system_id"], r["user_identity_id"], search)
	list := recall(s.workspace, st, &s.listed.users, query,
		func() []User {
			return st.users(func(u User) bool {
				return (r.text("acs_system_id") == "" || u.SystemID == r.text("acs_system_id")) &&
					(!given || u.IdentityID == identity) &&
					(search == "" || containsFold(search, s.storedName(u), u.Email, u.ID, u.IdentityID))
			})
		})
	list = shown(s.workspace, list, idOfUser)
	return s.paged(r, "acs_users", len(list), func(n int) any { return s.show(st, list[n]) })
}

func (s users) update(r request) answer {
	u, a, ok := s.named(r)
	if !ok {
		return a
	}
	if v, present := r["access_schedule"]; present {
		schedule, problem := s.readSchedule(v)
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

func (s users) delete(r request) answer {
	u, a, ok := s.named(r)
	if !ok {
		return a
	}
	switch {
	case s.options.RefuseDeletes:
		u.ErrorCode = "failed_to_delete_on_acs_system"
		s.state.Users[u.ID] = u
	case s.options.RefuseDeletesAfter > 0:
		u.ErrorCode = "failed_to_delete_on_acs_system"
		s.returning = append(s.returning, returningUser{
			at: s.now().Add(s.options.RefuseDeletesAfter), user: u,
			credentials: s.state.credentials(func(c Credential) bool { return c.UserID == u.ID }),
		})
		s.state.deleteUser(u.ID)
	case max(s.options.Pending, s.options.DeleteHang) > 0:
		s.state.deleteUser(u.ID)
		u.GoneAt = s.now().Add(cmp.Or(s.options.DeleteHang, s.options.Pending))
		s.pend(&u, "deleting")
		s.state.Users[u.ID] = u
	default:
		s.state.deleteUser(u.ID)
	}
	s.index.touch(u.ID)
	s.changed()
	return accept("", nil)
}

// returningUser is an ACS user that is shown nowhere until Salto KS has refused its deletion.
type returningUser struct {
	at          time.Time
	user        User
	credentials []Credential
}

// bringBack shows the ACS users again whose deletion Salto KS has refused: they are no longer being deleted.
func (s *workspace) bringBack() {
	now := s.now()
	s.returning = slices.DeleteFunc(s.returning, func(r returningUser) bool {
		if now.Before(r.at) {
			return false
		}
		u := r.user
		if u.WarningCode == "being_deleted" {
			u.WarningCode = ""
		}
		u.Pending = slices.DeleteFunc(slices.Clone(u.Pending), func(p Pending) bool { return p.Code == "deleting" })
		u.GoneAt = time.Time{}
		s.state.Users[u.ID] = u
		for _, c := range r.credentials {
			s.state.Credentials[c.ID] = c
		}
		s.index.touch(u.ID)
		s.changed()
		return true
	})
}

func (s users) suspend(r request) answer   { return s.setSuspended(r, true) }
func (s users) unsuspend(r request) answer { return s.setSuspended(r, false) }

func (s users) setSuspended(r request, suspended bool) answer {
	u, a, ok := s.named(r)
	if !ok {
		return a
	}
	u.Suspended = suspended
	s.pend(&u, "updating_suspension_state")
	s.state.Users[u.ID] = u
	s.changed()
	return accept("", nil)
}

func (s users) addToGroup(r request) answer      { return s.changeMembership(r, true) }
func (s users) removeFromGroup(r request) answer { return s.changeMembership(r, false) }

func (s users) changeMembership(r request, member bool) answer {
	u, a, ok := s.named(r)
	if !ok {
		return a
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
