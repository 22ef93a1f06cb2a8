package simulator

import (
	"testing"
	"time"
)

// A door opens for those whose groups and hours let them in, and says why not to others.
func TestTryDoor(t *testing.T) {
	t.Parallel()
	r := newRig(t, Options{})
	r.AddEntrance("sys", "door", "Room 12", "g1")
	r.AddEntrance("sys", "other", "Room 13", "g2")
	now := r.Now()
	_, made := r.user(r.identity(), map[string]any{
		"acs_access_group_ids": []string{"g1"},
		"access_schedule": map[string]any{
			"starts_at": now.Add(time.Hour).Format(time.RFC3339),
			"ends_at":   now.Add(3 * time.Hour).Format(time.RFC3339),
		},
	})
	user, _ := made["acs_user_id"].(string)
	try := func(user, door, kind, reason string) {
		t.Helper()
		e := r.TryDoor(user, door)
		got, _ := e["reason"].(string)
		if e["event_type"] != kind || got != reason || e["acs_user_id"] != user || e["acs_entrance_id"] != door {
			t.Errorf("%s at %s: %v, want %s %s", user, door, e, kind, reason)
		}
	}
	try(user, "door", "lock.access_denied", "outside_access_schedule")
	r.Advance(2 * time.Hour)
	try(user, "door", "lock.unlocked", "")
	try(user, "other", "lock.access_denied", "no_access")
	try("nobody", "door", "lock.access_denied", "unknown_user")
}
