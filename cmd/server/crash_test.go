package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store/storetest"
)

// TestKilledAtRandom kills the service (SIGKILL) at random calls to Seam while reservations change, and starts
// it again. Afterwards every acknowledged event is true in Seam, once. STAYKEY_CRASH_KILLS makes it longer.
func TestKilledAtRandom(t *testing.T) {
	t.Parallel()
	kills := 6
	if n, err := strconv.Atoi(os.Getenv("STAYKEY_CRASH_KILLS")); err == nil {
		kills = n
	}
	sim, env := simulated(t, storetest.DSN(t))
	sim.AddSystem("77777777-7777-7777-7777-777777777777", "Building B", "b-1", "b-2")
	var current atomic.Pointer[process]
	killed := make(chan struct{})
	var lock sync.Mutex
	armed := false // until somebody is there to restart it
	sim.Configure(func(o *simulator.Options) {
		o.Latency = 10 * time.Millisecond
		o.Hook = func(string, bool) (drop bool) {
			lock.Lock()
			defer lock.Unlock()
			if !armed || rand.IntN(40) > 0 {
				return false
			}
			armed = false
			p := current.Load()
			_ = p.cmd.Process.Kill()
			<-p.done
			killed <- struct{}{}
			return rand.IntN(2) == 0 // else the call goes on although its caller is dead
		}
	})
	current.Store(launch(t, env))
	post := func(eventType string, data map[string]any) {
		body, err := json.Marshal(map[string]any{"type": eventType, "timestamp": time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), "data": data})
		if err != nil {
			t.Fatal(err)
		}
		waitUntil(t, "an event to be acknowledged", func() bool {
			status := current.Load().postBody("default", body)
			return status == 202 || status == 200
		})
	}
	groups := map[string][]string{"A": {"555555-5555"}, "A2": {"555555-5555", "666666-6666"}, "B": {"b-1"}}
	for id, g := range groups {
		post("listing.created", map[string]any{"listing_id": id, "seam_access_group_ids": g})
	}
	type stay struct {
		listing, out string
		cancelled    bool
	}
	stays := map[string]stay{}
	acknowledged, stopped := 0, make(chan struct{})
	go func() { // the restarts
		defer close(stopped)
		for n := range kills {
			<-killed
			current.Store(launch(t, env))
			lock.Lock()
			armed = n < kills-1
			lock.Unlock()
		}
	}()
	lock.Lock()
	armed = true
	lock.Unlock()
	in := time.Now().UTC().AddDate(0, 0, 3)
	pace := time.NewTicker(15 * time.Millisecond) // of the load
	defer pace.Stop()
	for running := true; running; {
		select {
		case <-stopped:
			running = false
		default:
		}
		id := fmt.Sprintf("K%d", rand.IntN(12))
		if rand.IntN(4) == 0 {
			post("reservation.cancelled", map[string]any{"reservation_id": id})
			s := stays[id]
			s.cancelled = true
			stays[id] = s
		} else {
			s := stay{listing: []string{"A", "A2", "B"}[rand.IntN(3)], out: in.AddDate(0, 0, 1+rand.IntN(9)).Format("2006-01-02") + "T11:00:00.000Z"}
			post("reservation.updated", map[string]any{
				"reservation_id": id, "listing_id": s.listing, "guest_email": fmt.Sprintf("guest%d@example.com", rand.IntN(4)),
				"check_in": in.Format("2006-01-02") + "T15:00:00.000Z", "check_out": s.out,
			})
			stays[id] = s
		}
		acknowledged++
		<-pace.C
	}
	p := current.Load()
	for id, want := range stays {
		if want.cancelled {
			p.until(id, "revoked", 90*time.Second)
			if users := sim.State().UsersNamed(id); len(users) != 0 {
				t.Errorf("%s is cancelled and has %+v", id, users)
			}
			continue
		}
		p.until(id, "issued", 90*time.Second)
		state := sim.State()
		users := state.UsersNamed(id)
		if len(users) != 1 || len(state.MobileKeys(users[0].ID)) != 1 || users[0].Schedule.EndsAt.Format("2006-01-02T15:04:05.000Z") != want.out ||
			!slices.Equal(slices.Sorted(slices.Values(users[0].GroupIDs)), groups[want.listing]) {
			t.Errorf("%s should be %+v, and Seam holds %+v", id, want, users)
		}
	}
	if peaks := sim.Peaks(); peaks.UsersOfOneStay > 1 || peaks.KeysOfOneUser > 1 || peaks.UsersWithNoSchedule > 0 {
		t.Errorf("the worst moment: %+v", peaks)
	}
	t.Logf("%d kills, %d acknowledged events, %d stays", kills, acknowledged, len(stays))
}
