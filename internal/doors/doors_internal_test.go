package doors

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/staykey/staykey/internal/seam/simulator"
)

const (
	listPath  = "/acs/entrances/list"
	groupPath = "/acs/access_groups/list_accessible_entrances"
)

// Each problem is found, is that of the stay, changes its sequence once, leaves its key alone, and ends.
func TestProblemsOfDoors(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	for name, c := range map[string]struct {
		edit  func(*simulator.Entrance)
		words string
	}{
		"offline":      {func(e *simulator.Entrance) { e.Online = &no }, "Room 12: the lock is offline"},
		"battery":      {func(e *simulator.Entrance) { e.BatteryLevel = "low" }, "Room 12: the lock's battery is low"},
		"privacy mode": {func(e *simulator.Entrance) { e.PrivacyMode = &yes }, "Room 12: privacy mode is on"},
		"warning":      {func(e *simulator.Entrance) { e.WarningCode = "salto_ks_privacy_mode" }, "Room 12: privacy mode is on"},
		"no door":      {func(e *simulator.Entrance) { e.MobileKeys = &no }, "room: no door of the access group opens with a mobile key"},
		"no entrances": {func(e *simulator.Entrance) { e.GroupIDs = nil }, "room: no door of the access group opens with a mobile key"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.book("R1", 90*time.Minute, "room")
			good := r.sim.State().Entrances["door"]
			r.turn()
			r.want("R1", "")
			before := r.sequence("R1")

			r.door(c.edit)
			r.pass(24 * time.Hour) // another morning; the stay has begun by then
			r.exec(`UPDATE reservations SET check_in = check_in + interval '1 day', check_out = check_out + interval '1 day'`)
			r.settle()
			r.want("R1", c.words)
			v := r.stay("R1")
			if v.Key.Status != "issued" || v.Key.Reason != nil || r.sequence("R1") != before+1 {
				t.Errorf("the key is %s %v, its sequence %d after %d",
					v.Key.Status, v.Key.Reason, r.sequence("R1"), before)
			}

			r.door(func(e *simulator.Entrance) { *e = good })
			r.turn()
			r.want("R1", c.words) // it is not due yet
			r.pass(follow)
			r.turn()
			r.want("R1", "")
			if n := r.sequence("R1"); n != before+2 {
				t.Errorf("after the end of the problem the sequence is %d, want %d", n, before+2)
			}
		})
	}
}

// An answer that leaves out what it should say about a door neither reports a problem nor ends one.
func TestUnknownIsNoNews(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	fails := func(kind simulator.FaultKind, path string) func(*simulator.Simulator) {
		return func(s *simulator.Simulator) { s.Inject(simulator.Fault{Kind: kind, Path: path, Count: -1}) }
	}
	lacks := func(fields ...string) func(*simulator.Simulator) {
		return func(s *simulator.Simulator) { s.Configure(func(o *simulator.Options) { o.Omit = fields }) }
	}
	nulls := func(fields ...string) func(*simulator.Simulator) {
		return func(s *simulator.Simulator) { s.Configure(func(o *simulator.Options) { o.Null = fields }) }
	}
	both := func(a, b func(*simulator.Simulator)) func(*simulator.Simulator) {
		return func(s *simulator.Simulator) { a(s); b(s) }
	}
	everywhere := func(kind simulator.FaultKind) func(*simulator.Simulator) {
		return both(fails(kind, listPath), fails(kind, groupPath))
	}
	for name, hide := range map[string]func(*simulator.Simulator){
		"list refused":        fails(simulator.Refused, listPath),
		"wrong 404":           everywhere(simulator.WrongNotFound),
		"no endpoint":         fails(simulator.NoEndpoint, listPath),
		"error":               fails(simulator.Error500After, listPath),
		"error of groups":     both(fails(simulator.Error500After, groupPath), fails(simulator.EmptyObject, listPath)),
		"no list":             fails(simulator.NoObject, listPath),
		"null list":           fails(simulator.NullObject, listPath),
		"empty lists":         both(fails(simulator.EmptyObject, listPath), fails(simulator.Refused, groupPath)),
		"page without a next": both(fails(simulator.NoCursor, listPath), fails(simulator.WrongNotFound, groupPath)),
		"fields left out":     lacks("optional"),
		"fields null":         nulls("optional"),
		"no optional":         everywhere(simulator.NoOptional),
		"null optional":       everywhere(simulator.NullOptional),
		"metadata left out":   lacks("acs_entrance.salto_ks_metadata", "acs_entrance.can_unlock_with_mobile_key"),
		"metadata null":       nulls("acs_entrance.salto_ks_metadata", "acs_entrance.can_unlock_with_mobile_key"),
		"garbage":             fails(simulator.Garbage, listPath),
		"undocumented": func(s *simulator.Simulator) {
			s.Configure(func(o *simulator.Options) { o.Unknown = true; o.Omit = []string{"optional"} })
		},
		"another word":         func(s *simulator.Simulator) { unknownFacts(s) },
		"system not connected": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.sim.AddEntrance(site, "door2", "Room 13", "gate")
			bad := func(e *simulator.Entrance) { e.Online, e.BatteryLevel = &no, "low" }
			good := func(e *simulator.Entrance) { e.Online, e.BatteryLevel = &yes, "fresh" }
			const words = "Room 13: the lock's battery is low; Room 13: the lock is offline"
			r.sim.EditEntrance("door2", bad)
			r.book("good", 90*time.Minute, "room")
			r.book("bad", 90*time.Minute, "gate")
			r.settle()
			r.want("good", "")
			r.want("bad", words)
			before := [2]int64{r.sequence("good"), r.sequence("bad")}
			r.door(bad)
			r.sim.EditEntrance("door2", good)
			if hide == nil {
				r.exec(`INSERT INTO acs_systems (acs_system_id, disconnected_at, problem, checked_at) VALUES ($1, now(), 'account_disconnected', now())`, site)
			} else {
				hide(r.sim)
			}
			r.pass(20 * time.Hour) // it is morning again
			for range 3 {          // and doors at risk are due each hour
				r.turn()
				r.pass(time.Hour)
			}
			r.want("good", "")
			r.want("bad", words)
			if after := [2]int64{r.sequence("good"), r.sequence("bad")}; after != before {
				t.Errorf("the sequences are %d, want %d", after, before)
			}
		})
	}
}

func unknownFacts(s *simulator.Simulator) {
	for _, id := range []string{"door", "door2"} {
		s.EditEntrance(id, func(e *simulator.Entrance) {
			e.Online, e.PrivacyMode, e.MobileKeys, e.BatteryLevel = nil, nil, nil, "amber"
		})
	}
}

// A group that no list shows with a door is believed to open none only when two lists, a read lag apart, say so.
func TestOneListProvesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.book("R1", 90*time.Minute, "room")
	r.turn()
	r.sim.Inject(simulator.Fault{Kind: simulator.EmptyObject, Path: groupPath, Count: 1})
	r.pass(24 * time.Hour)
	for range 4 {
		r.turn()
		r.want("R1", "")
	}
	_, groups, err := r.store.Doors.Of(context.Background(), site)
	if err != nil || len(groups) != 1 || !cmp.Equal(groups[0].EntranceIDs, []string{"door"}) ||
		len(groups[0].Missing) > 0 {
		t.Errorf("known of the group: %+v, %v", groups, err)
	}
}

// A door that is taken out of its group isn't reported any more, once two lists lack it.
func TestDoorTakenOut(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	no := false
	r.sim.AddEntrance(site, "other", "Room 13", "room")
	r.door(func(e *simulator.Entrance) { e.Online = &no })
	r.book("R1", 90*time.Minute, "room")
	r.settle()
	r.want("R1", "Room 12: the lock is offline")
	r.door(func(e *simulator.Entrance) { e.GroupIDs = nil })
	r.pass(24 * time.Hour)
	r.turn()
	r.want("R1", "Room 12: the lock is offline")
	r.turn()
	r.want("R1", "")
}

// How often Seam is asked: a list of the access system's doors, and once a day each group that keys open.
func TestCallsAreBounded(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	groups := []string{"room", "gate"}
	r.sim.AddEntrance(site, "gate", "Gate", "gate")
	for i := range 40 { // they arrive from 14:00 on, one every ten minutes
		r.book(fmt.Sprint("R", i), 2*time.Hour+time.Duration(i)*10*time.Minute, groups...)
	}
	r.turn()
	if diff := cmp.Diff(map[string]int{listPath: 1, groupPath: 2}, r.calls()); diff != "" {
		t.Errorf("the first reading (-want +got):\n%s", diff)
	}
	r.turn()
	if calls := r.calls(); len(calls) > 0 {
		t.Errorf("nothing is due, and the calls are %v", calls)
	}
	total := map[string]int{}
	for range 24 * 6 { // a day, in steps of ten minutes
		r.pass(9 * time.Minute)
		r.turn()
		for path, n := range r.calls() {
			total[path] += n
		}
	}
	// from two hours before the first arrival, at 14:00, to two hours before the last, at 20:30: every half an hour;
	// and once more the next morning
	if total[groupPath] != 2 || total[listPath] < 12 || total[listPath] > 16 || len(total) != 2 {
		t.Errorf("the calls of a day are %v", total)
	}
}

// Doors are read when it becomes morning at the property, whose clock changes.
func TestMornings(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.book("R1", 5*24*time.Hour, "room") // in no hurry, and not at risk
	r.turn()
	var at []string
	for range 49 {
		r.pass(59 * time.Minute)
		r.turn()
		if r.calls()[listPath] > 0 {
			at = append(at, r.clock().Format("2 15"))
		}
	}
	if diff := cmp.Diff([]string{"2 07", "3 07"}, at); diff != "" { // 08:00 in Madrid
		t.Errorf("doors were read at (-want +got):\n%s", diff)
	}
}

// Privacy mode is the guest's own, or the one before's; it matters when the next one is at the door.
func TestPrivacyModeOfOthers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	yes := true
	r.door(func(e *simulator.Entrance) { e.PrivacyMode = &yes })
	r.book("R1", 6*time.Hour, "room")
	r.book("in house", -time.Hour, "room")
	r.turn()
	r.want("R1", "")
	r.want("in house", "")
	r.pass(5 * time.Hour)
	r.turn()
	r.want("R1", "Room 12: privacy mode is on")
	r.want("in house", "")
}

// A stay that is not near, is cancelled, or whose key opens other doors is not at risk; the listing is.
func TestWhoseDoors(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	no := false
	r.door(func(e *simulator.Entrance) { e.Online = &no })
	r.sim.AddEntrance(site, "gate", "Gate", "gate")
	r.book("near", 10*time.Hour, "room", "gate")
	r.book("far", 30*time.Hour, "room")
	r.book("other", 10*time.Hour, "gate")
	r.settle()
	r.want("near", "Room 12: the lock is offline")
	r.want("far", "")
	r.want("other", "")
	found, err := r.store.Doors.Problems(context.Background(), []string{"room"})
	if err != nil || len(found["room"]) != 1 {
		t.Errorf("of the group: %v, %v", found, err)
	}
	before := r.sequence("near")
	r.exec(`UPDATE mobile_keys SET status = 'revoked' WHERE reservation_id = 'near'`)
	r.exec(`UPDATE reservations SET status = 'cancelled' WHERE reservation_id = 'near'`)
	r.want("near", "")
	r.pass(8 * time.Hour)
	r.turn()
	r.want("near", "")
	r.want("far", "Room 12: the lock is offline")
	if n := r.sequence("near"); n != before+1 {
		t.Errorf("the end of the key counts %d times", n-before)
	}
}

// An admin who repairs a door has it read at once.
func TestCheckDoorsNow(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	yes, no := true, false
	r.door(func(e *simulator.Entrance) { e.Online = &no })
	r.book("R1", 90*time.Minute, "room")
	r.settle()
	r.want("R1", "Room 12: the lock is offline")
	r.door(func(e *simulator.Entrance) { e.Online = &yes })
	if err := r.store.Doors.Check(context.Background(), r.stay("R1").Reservation.Ref()); err != nil {
		t.Fatal(err)
	}
	r.turn()
	r.want("R1", "")
}

// What no key opens any more is forgotten.
func TestForgotten(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.book("R1", time.Hour, "room")
	r.turn()
	r.pass(kept + 4*24*time.Hour)
	r.turn()
	doors, groups, err := r.store.Doors.Of(context.Background(), site)
	if err != nil || len(doors)+len(groups) > 0 {
		t.Errorf("left: %v, %v, %v", doors, groups, err)
	}
}
