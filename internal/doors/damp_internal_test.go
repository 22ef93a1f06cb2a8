package doors

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/stay"
)

// A lock that is offline for a moment isn't reported; one that stays offline is reported once two readings agree.
func TestOfflineForAMoment(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	yes, no := true, false
	r.book("R1", 90*time.Minute, "room")
	r.door(func(e *simulator.Entrance) { e.Online = &no })
	r.turn()
	r.want("R1", "")
	before := r.sequence("R1")
	r.door(func(e *simulator.Entrance) { e.Online = &yes })
	r.settle()
	r.want("R1", "")
	if n := r.sequence("R1"); n != before {
		t.Errorf("a moment without a connection is reported: sequence %d after %d", n, before)
	}
	r.pass(time.Hour)
	r.door(func(e *simulator.Entrance) { e.Online = &no })
	r.pass(24 * time.Hour)
	r.exec(`UPDATE reservations SET check_in = check_in + interval '1 day', check_out = check_out + interval '1 day'`)
	r.settle()
	r.want("R1", "Room 12: the lock is offline")
}

// A lock that comes and goes is reported, ends once, and is reported once more until it has been good for a day: its
// changes are few, however often it is read.
func TestALockThatFlaps(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ bad, good func(*simulator.Entrance) }{
		"offline": {
			func(e *simulator.Entrance) { no := false; e.Online = &no },
			func(e *simulator.Entrance) { yes := true; e.Online = &yes },
		},
		"battery": {
			func(e *simulator.Entrance) { e.BatteryLevel = "low" },
			func(e *simulator.Entrance) { e.BatteryLevel = "fresh" },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.sim.AddEntrance(site, "gate", "Gate", "gate") // whose battery is low: the doors are read each hour
			r.sim.EditEntrance("gate", func(e *simulator.Entrance) { e.BatteryLevel = "low" })
			r.book("R1", 90*time.Minute, "room")
			r.book("R2", 90*time.Minute, "gate")
			r.turn()
			before := r.sequence("R1")
			for range 16 { // a day and a half
				r.door(c.bad)
				r.pass(time.Hour)
				r.turn()
				r.pass(confirmAfter)
				r.turn()
				r.door(c.good)
				r.pass(time.Hour)
				r.turn()
			}
			if n := r.sequence("R1") - before; n < 1 || n > 3 {
				t.Errorf("a lock that flaps tells %d changes, want reported, ended, and reported again", n)
			}
			for range 26 { // and then it is good for a day
				r.pass(time.Hour)
				r.turn()
			}
			r.want("R1", "")
		})
	}
}

// An access system whose doors are all offline is one problem: the stays show it, no subscriber is notified
// of each of them, and the doors that were reported before stay reported.
func TestAWholeSystemOffline(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	no, yes := false, true
	doors := []string{"door"}
	for i := range 4 {
		group := fmt.Sprintf("room-%d", i)
		r.sim.AddEntrance(site, "door-"+group, "Room "+group, "gate")
		doors = append(doors, "door-"+group)
	}
	r.book("R1", 90*time.Minute, "gate")
	r.book("before", 90*time.Minute, "room")
	r.door(func(e *simulator.Entrance) { e.Online = &no })
	r.settle()
	r.want("before", "Room 12: the lock is offline")
	for _, id := range doors {
		r.sim.EditEntrance(id, func(e *simulator.Entrance) { e.Online = &no })
	}
	r.pass(time.Hour)
	r.settle()
	risks, err := r.store.Doors.Risks(context.Background(), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	systems := map[string][]string{}
	for ref, problems := range risks {
		for _, p := range problems {
			if p.Problem != stay.DoorOffline {
				t.Errorf("%s: %+v", ref.ReservationID, p)
			}
			systems[ref.ReservationID] = append(systems[ref.ReservationID], p.SystemID)
		}
	}
	want := map[string][]string{"R1": {site, site, site, site}, "before": {""}}
	if diff := cmp.Diff(want, systems); diff != "" {
		t.Errorf("whose problems they are (-want +got):\n%s", diff)
	}
	for _, id := range doors[:4] {
		r.sim.EditEntrance(id, func(e *simulator.Entrance) { e.Online = &yes })
	}
	r.pass(time.Hour)
	r.settle()
	r.want("R1", "Room room-3: the lock is offline")
	r.want("before", "")
	if risks, err = r.store.Doors.Risks(context.Background(), nil, 0); err != nil {
		t.Fatal(err)
	}
	for ref, problems := range risks {
		if problems[0].SystemID != "" {
			t.Errorf("%s: one lock that is left is still the system's problem: %+v", ref.ReservationID, problems)
		}
	}
}

// Guests switch privacy mode on and off every day. Once it is off, the door is not at risk for the next guest.
func TestPrivacyModeOfTheGuestBefore(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	private := func(on bool) { r.door(func(e *simulator.Entrance) { e.PrivacyMode = &on }) }
	r.book("before", -time.Hour, "room")
	r.exec(`UPDATE reservations SET check_out = '2024-11-03 11:00Z'`)
	r.book("next", 50*time.Hour, "room")
	r.turn()
	for day := range 2 {
		private(true)
		r.pass(20 * time.Hour) // in the morning
		r.turn()
		private(false)
		r.pass(4 * time.Hour)
		r.book(fmt.Sprint("elsewhere-", day), 90*time.Minute, "gate") // the doors are read before an arrival
		r.turn()
	}
	r.want("next", "")
}

// A door that no key opens isn't reported: if it is offline, the access system isn't read more often.
func TestOfflineWhereNoKeyOpens(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	no := false
	r.sim.AddEntrance(site, "store", "Store room", "gate")
	r.sim.EditEntrance("store", func(e *simulator.Entrance) { e.Online = &no })
	r.book("R1", 20*time.Hour, "room")
	r.turn()
	for range 3 {
		r.pass(confirmAfter)
		r.turn()
		if n := r.calls(); len(n) > 0 {
			t.Errorf("the doors are read again at %s: %v", r.clock(), n)
		}
	}
}

// Doors that no key opens any more recover like the others: they don't hide a lock that is offline on its own later.
func TestOfflineAfterAnOutage(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	doors := []string{"door"}
	for i := range 3 {
		doors = append(doors, fmt.Sprint("gate-", i))
		r.sim.AddEntrance(site, doors[i+1], "Gate", "gate")
	}
	online := func(is bool, doors ...string) {
		for _, id := range doors {
			r.sim.EditEntrance(id, func(e *simulator.Entrance) { e.Online = &is })
		}
		r.pass(time.Hour)
		r.settle()
	}
	r.book("leaves", 90*time.Minute, "gate")
	r.book("stays", 90*time.Minute, "room")
	online(false, doors...)
	if risk := r.stay("stays").DoorRisk; risk == nil || risk.Doors[0].SystemID != site {
		t.Fatalf("in the outage: %+v", risk)
	}
	r.exec(`UPDATE reservations SET status = 'cancelled' WHERE reservation_id = 'leaves'`)
	online(true, doors...)
	r.want("stays", "")
	r.pass(24 * time.Hour) // another morning
	online(false, "door")
	if risk := r.stay("stays").DoorRisk; risk == nil || risk.Doors[0].SystemID != "" {
		t.Errorf("one lock of four is offline: %+v", risk)
	}
}
