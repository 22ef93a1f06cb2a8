package simulator

import (
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Entrance is a door of a Salto KS site. What is null is unknown to Seam.
type Entrance struct {
	ID           string   `json:"acs_entrance_id"`
	SystemID     string   `json:"acs_system_id"`
	Name         string   `json:"display_name"`
	GroupIDs     []string `json:"acs_access_group_ids"` // that open it
	MobileKeys   *bool    `json:"can_unlock_with_mobile_key"`
	Codes        *bool    `json:"can_unlock_with_code"`
	Online       *bool    `json:"online"`
	PrivacyMode  *bool    `json:"privacy_mode"`
	BatteryLevel string   `json:"battery_level"` // "" is unknown
	ErrorCode    string   `json:"error_code"`
	WarningCode  string   `json:"warning_code"`
}

// AddEntrance adds a door that works, with mobile keys and codes, to the groups that open it.
func (s *Simulator) AddEntrance(systemID, id, name string, groups ...string) {
	yes, no := true, false
	s.Change(func(st *State) {
		st.Entrances[id] = Entrance{
			ID: id, SystemID: systemID, Name: name, GroupIDs: groups, MobileKeys: &yes, Codes: &yes, Online: &yes,
			PrivacyMode: &no, BatteryLevel: "fresh",
		}
	})
}

// EditEntrance changes a door: its battery, whether it is online, the groups that open it.
func (s *Simulator) EditEntrance(id string, edit func(*Entrance)) {
	s.Change(func(st *State) {
		e := st.Entrances[id]
		edit(&e)
		st.Entrances[id] = e
	})
}

// TryDoor simulates a guest at a door, and returns the event that Seam posts: an opening if the ACS user's schedule and
// groups allow it, otherwise a refusal with its reason. Whether Salto KS reports openings by Bluetooth is undocumented;
// the simulator does.
func (s *Simulator) TryDoor(userID, entranceID string) map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	u, known := s.state.Users[userID]
	event := map[string]any{
		"event_id": uuid.NewString(), "event_type": "lock.unlocked", "workspace_id": s.state.WorkspaceID,
		"connected_account_id": "simulated", "created_at": stamp(now), "occurred_at": stamp(now),
		"acs_system_id": u.SystemID, "acs_user_id": userID, "acs_entrance_id": entranceID,
		"user_identity_id": u.IdentityID, "method": "unknown", "is_via_bluetooth": true,
	}
	reason := ""
	switch in, over := s.state.subscription(u, now, s.options.SubscribeDelay); {
	case !known:
		reason = "unknown_user"
	case over:
		reason = "no_subscription"
	case !in:
		reason = "outside_access_schedule"
	case !opens(s.state.Entrances[entranceID], u):
		reason = "no_access"
	}
	if reason != "" {
		event["event_type"], event["reason"] = "lock.access_denied", reason
		delete(event, "method")
		delete(event, "is_via_bluetooth")
	}
	return event
}

// opens reports whether an ACS user's groups open a door.
func opens(e Entrance, u User) bool {
	return slices.ContainsFunc(e.GroupIDs, func(id string) bool { return slices.Contains(u.GroupIDs, id) })
}

func (s entrances) show(e Entrance) map[string]any {
	shown := map[string]any{
		"acs_entrance_id": e.ID, "acs_system_id": e.SystemID, "display_name": e.Name,
		"connected_account_id": "simulated", "space_ids": []any{},
		"created_at": stamp(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)),
		"errors":     s.reported("error", e.ErrorCode), "warnings": s.reported("warning", e.WarningCode),
	}
	optional(shown, "can_unlock_with_mobile_key", e.MobileKeys)
	optional(shown, "can_unlock_with_code", e.Codes)
	salto := map[string]any{"door_name": e.Name, "lock_type": "cylinder", "locked_state": "locked"}
	optional(salto, "online", e.Online)
	optional(salto, "privacy_mode", e.PrivacyMode)
	if e.BatteryLevel != "" {
		salto["battery_level"] = e.BatteryLevel
	}
	shown["salto_ks_metadata"] = salto
	return shown
}

func optional(shown map[string]any, name string, value *bool) {
	if value != nil {
		shown[name] = *value
	}
}

// those lists the wanted entrances by id.
func (s entrances) those(st *State, wanted func(Entrance) bool) []any {
	ids := make([]string, 0, len(st.Entrances))
	for id, e := range st.Entrances {
		if !s.hidden(id) && wanted(e) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	list := make([]any, len(ids))
	for i, id := range ids {
		list[i] = s.show(st.Entrances[id])
	}
	return list
}

func (s entrances) list(r request) answer {
	st, ids := s.view(lists), r.texts("acs_entrance_ids")
	list := s.those(st, func(e Entrance) bool {
		return (r.text("acs_system_id") == "" || e.SystemID == r.text("acs_system_id")) &&
			(len(ids) == 0 || slices.Contains(ids, e.ID)) &&
			containsFold(strings.ToLower(r.text("search")), e.Name)
	})
	return s.paged(r, "acs_entrances", len(list), func(i int) any { return list[i] })
}

func (s entrances) listAccessible(r request) answer {
	st, group := s.view(lists), r.text("acs_access_group_id")
	if _, ok := st.Groups[group]; !ok {
		return notFound("acs_access_group")
	}
	return accept("acs_entrances", s.those(st, func(e Entrance) bool { return slices.Contains(e.GroupIDs, group) }))
}
