package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/localpg"
	"github.com/staykey/staykey/internal/point"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/store/storetest"
	"github.com/staykey/staykey/internal/until"
	"github.com/staykey/staykey/tools/chaos"
)

// crashRig is everything that ships, in pieces that can be broken: replicas of the real program, the cables to
// Postgres and Seam, and a PMS that sends each event until it is acknowledged.
type crashRig struct {
	t    *testing.T
	sim  *simulator.Simulator
	seam *cable
	db   *cable
	env  []string

	mu       sync.Mutex
	replicas []*process

	posters sync.WaitGroup
	stop    chan struct{}
	events  atomic.Int64 // acknowledged
	keys    sync.Map     // of the acknowledged events
	truths  sync.Map     // of each reservation, its crashStay
	kills   int
	pgKills int
	faults  atomic.Int64
	disturb func(path string, after bool) bool
	codes   bool                                 // the source has backup codes
	answers func(status int, took time.Duration) // if set, called for each answer to a webhook; status 0 is none
	result  chaos.Result
}

// crashStay is what a reservation should be.
type crashStay struct {
	listing, out string
	cancelled    bool
}

var crashGroups = map[string][]string{"A": {"555555-5555"}, "A2": {"555555-5555", "666666-6666"}, "B": {"b-1"}}

const buildingB = "77777777-7777-7777-7777-777777777777"

// newCrashRig starts replicas of a program on a database. extra is added to the environment of each.
func newCrashRig(t *testing.T, dsn string, replicas int, extra ...string) *crashRig {
	t.Helper()
	r := layRig(t, dsn, extra...)
	for range replicas {
		r.replicas = append(r.replicas, launch(t, r.env))
	}
	r.furnish()
	return r
}

// layRig is a rig without replicas yet.
func layRig(t *testing.T, dsn string, extra ...string) *crashRig {
	t.Helper()
	r := &crashRig{t: t, stop: make(chan struct{})}
	sim, env := simulated(t, pooled(t, dsn, fewer))
	sim.AddSystem(buildingB, "Building B", "b-1", "b-2")
	sim.Configure(func(o *simulator.Options) {
		o.Latency = 5 * time.Millisecond
		o.Hook = func(path string, after bool) bool {
			r.mu.Lock()
			disturb := r.disturb
			r.mu.Unlock()
			return disturb != nil && disturb(path, after)
		}
	})
	r.sim = sim
	for i, e := range env {
		if endpoint, ok := strings.CutPrefix(e, "SEAM_ENDPOINT=http://"); ok {
			r.seam = lay(t, endpoint)
			env[i] = "SEAM_ENDPOINT=http://" + r.seam.addr()
		}
		if database, ok := strings.CutPrefix(e, "DATABASE_URL="); ok {
			u, err := url.Parse(database)
			if err != nil {
				t.Fatal(err)
			}
			r.db = lay(t, u.Host)
			u.Host = r.db.addr()
			env[i] = "DATABASE_URL=" + u.String()
		}
	}
	r.env = append(env, "STAYKEY_SWEEP_INTERVAL=3s", "STAYKEY_RETRY_BASE=200ms")
	r.env = append(r.env, extra...)
	return r
}

// newCodedRig is a rig whose source has backup codes.
func newCodedRig(t *testing.T, dsn string, replicas int) *crashRig {
	t.Helper()
	r := newCrashRig(t, dsn, replicas, withGuestLinks(t, nil, "    backup_code: true")...)
	r.codes = true
	return r
}

// furnish posts the listings.
func (r *crashRig) furnish() {
	for id, groups := range crashGroups {
		r.post("listing.created", map[string]any{"listing_id": id, "seam_access_group_ids": groups})
	}
}

// any returns a replica that is up, as far as is known.
func (r *crashRig) any() *process {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.replicas[rand.IntN(len(r.replicas))]
}

// post sends an event until it is acknowledged, as a PMS does: always under the same id. It gives up when the test
// ends.
func (r *crashRig) post(eventType string, data map[string]any) {
	now, body := time.Now(), webhook(r.t, eventType, data)
	id := fmt.Sprintf("msg_%d_%d", now.UnixNano(), rand.Int64())
	deadline := now.Add(until.Patience)
	for pause := 5 * time.Millisecond; time.Now().Before(deadline); pause = min(2*pause, 200*time.Millisecond) {
		if r.deliver(r.any().url, id, body, false) {
			r.events.Add(1)
			r.keys.Store(id, true)
			return
		}
		select {
		case <-r.t.Context().Done():
			return
		case <-time.After(pause): // between a sender's tries
		}
	}
	r.t.Errorf("%s was not acknowledged in minutes", body)
}

// impatient gives up on an answer now and then, as senders do.
var impatient = &http.Client{Timeout: 3 * time.Second}

func (r *crashRig) deliver(base, id string, body []byte, patient bool) bool {
	ctx := r.t.Context()
	if !patient && rand.IntN(20) == 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(rand.IntN(4000))*time.Microsecond)
		defer cancel()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/webhooks/default", bytes.NewReader(body))
	if err != nil {
		r.t.Error(err)
		return false
	}
	now := time.Now()
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("webhook-id", id)
	req.Header.Set("webhook-timestamp", fmt.Sprint(now.Unix()))
	req.Header.Set("webhook-signature", e2eSecret.Sign(id, now, body))
	resp, err := impatient.Do(req)
	if r.answers != nil {
		status := 0
		if err == nil {
			status = resp.StatusCode
		}
		r.answers(status, time.Since(now))
	}
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusAccepted
}

// reserve has a reservation be at a listing for some nights from in three days.
func (r *crashRig) reserve(id, listing, guest string, nights int) {
	in := time.Now().UTC().AddDate(0, 0, 3)
	s := crashStay{listing: listing, out: in.AddDate(0, 0, nights).Format("2006-01-02") + "T11:00:00.000Z"}
	r.post("reservation.updated", map[string]any{
		"reservation_id": id, "listing_id": s.listing, "guest_email": guest + "@example.com",
		"check_in": in.Format("2006-01-02") + "T15:00:00.000Z", "check_out": s.out,
	})
	r.truths.Store(id, s)
}

// load has stays change until the rig stops or the test ends; each poster has stays of its own, guests are shared. Some
// stays stay unchanged. No poster outlives the test, however it ends.
func (r *crashRig) load(posters, stays int) {
	for i := range 3 {
		r.reserve(fmt.Sprintf("quiet-%d", i), "A2", fmt.Sprintf("quiet%d", i), 4)
	}
	r.t.Cleanup(r.posters.Wait)
	for p := range posters {
		r.posters.Go(func() {
			pace := time.NewTicker(25 * time.Millisecond)
			defer pace.Stop()
			for {
				select {
				case <-r.stop:
					return
				case <-r.t.Context().Done():
					return
				case <-pace.C:
				}
				id := fmt.Sprintf("K%d-%d", p, rand.IntN(stays))
				before, known := r.truths.Load(id)
				if known && rand.IntN(4) == 0 {
					r.post("reservation.cancelled", map[string]any{"reservation_id": id})
					s := before.(crashStay)
					s.cancelled = true
					r.truths.Store(id, s)
					continue
				}
				r.reserve(id, []string{"A", "A2", "B"}[rand.IntN(3)], fmt.Sprintf("guest%d", rand.IntN(6)),
					1+rand.IntN(9))
			}
		})
	}
}

// restart starts a replica again in the place of one that is dead, with more in its environment.
func (r *crashRig) restart(i int, extra ...string) {
	p := launch(r.t, append(slices.Clone(r.env), extra...))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.replicas[i] = p
}

// kill kills a replica and waits for its end.
func (r *crashRig) kill(i int) {
	r.mu.Lock()
	p := r.replicas[i]
	r.mu.Unlock()
	_ = p.cmd.Process.Kill()
	<-p.done
	r.kills++
}

// finish ends the load and checks that every acknowledged event is true in Seam, once.
func (r *crashRig) finish(rig string) {
	r.t.Helper()
	close(r.stop)
	r.posters.Wait()
	quiet := time.Now()
	result := r.result
	result.Rig, result.Kills, result.PostgresKills, result.Events, result.Faults = rig, r.kills, r.pgKills,
		int(r.events.Load()), int(r.faults.Load())
	r.truths.Range(func(key, value any) bool {
		id, want := key.(string), value.(crashStay)
		if problem := r.await(id, want, quiet.Add(until.Patience)); problem != "" {
			result.Wrong++
			r.t.Error(problem)
		}
		result.Converge = append(result.Converge, time.Since(quiet))
		return true
	})
	if lost := r.lost(); lost > 0 {
		result.Wrong += lost
		r.t.Errorf("%d acknowledged events are lost", lost)
	}
	peaks := r.sim.Peaks()
	if peaks.UsersOfOneStay > 1 || peaks.KeysOfOneUser > 1 || peaks.CodesOfOneUser > 1 ||
		peaks.UsersWithNoSchedule > 0 {
		result.Duplicates++
		r.t.Errorf("the worst moment: %+v", peaks)
	}
	chaos.Record(r.t, result)
}

// lost counts acknowledged events that are not in the inbox: a later one may hide that in the result.
func (r *crashRig) lost() int {
	var keys []string
	r.keys.Range(func(key, _ any) bool {
		keys = append(keys, key.(string))
		return true
	})
	dsn := ""
	for _, e := range r.env {
		if value, ok := strings.CutPrefix(e, "DATABASE_URL="); ok {
			dsn = value
		}
	}
	db, err := store.Open(context.Background(), dsn)
	if err != nil {
		r.t.Fatal(err)
	}
	defer db.Close()

	kept := 0
	for some := range slices.Chunk(keys, 500) { // the store's statements have a deadline, also on a busy machine
		var n int
		if err := db.Pool().QueryRow(context.Background(), `SELECT count(*) FROM events WHERE event_key = ANY ($1)`,
			some).Scan(&n); err != nil {
			r.t.Fatal(err)
		}
		kept += n
	}
	return len(keys) - kept
}

// await waits until REST and Seam say what should be, and returns what is wrong in the end.
func (r *crashRig) await(id string, want crashStay, deadline time.Time) string {
	status := "issued"
	if want.cancelled {
		status = "revoked"
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		key := r.any().key(id)
		state := r.sim.State()
		users := state.UsersNamed(id)
		right := len(users) == 0
		if !want.cancelled {
			right = len(users) == 1 && len(state.MobileKeys(users[0].ID)) == 1 &&
				users[0].Schedule.EndsAt.Format("2006-01-02T15:04:05.000Z") == want.out &&
				slices.Equal(slices.Sorted(slices.Values(users[0].GroupIDs)), crashGroups[want.listing]) &&
				r.hasRightCode(id, state, users[0].ID)
		}
		if right && key != nil && key["status"] == status {
			return ""
		}
		if time.Now().After(deadline) {
			return fmt.Sprintf("%s should be %+v; REST says %v, Seam holds %+v", id, want, key, users)
		}
		<-tick.C
	}
}

// hasRightCode reports whether an ACS user has one backup code, of which REST knows that it is ready, or none if the
// source has none.
func (r *crashRig) hasRightCode(id string, state *simulator.State, userID string) bool {
	codes := state.Codes(userID)
	if !r.codes {
		return len(codes) == 0
	}
	_, body := r.any().rest("GET", "/v1/reservations/default/"+id)
	shown, _ := body["backup_code"].(map[string]any)
	return len(codes) == 1 && shown["acs_credential_id"] == codes[0].ID && shown["status"] == "ready"
}

// until waits for something under load.
func (r *crashRig) until(what string, reached func() bool) { waitUntil(r.t, what, reached) }

// busy waits until the posters have had some more events acknowledged.
func (r *crashRig) busy(events int64) {
	from := r.events.Load()
	r.until("the load to continue", func() bool { return r.events.Load() >= from+events })
}

// TestKilledAtRandom kills replicas at random calls to Seam, before or after their effect, in turn, under load.
// With two replicas the stays have backup codes. STAYKEY_CRASH_KILLS makes it longer.
func TestKilledAtRandom(t *testing.T) {
	t.Parallel()
	kills := chaos.Size("STAYKEY_CRASH_KILLS", 5)
	for _, replicas := range []int{1, 2, 3} {
		t.Run(fmt.Sprintf("%d replicas", replicas), func(t *testing.T) {
			t.Parallel()
			var r *crashRig
			if dsn := storetest.DSN(t); replicas == 2 {
				r = newCodedRig(t, dsn, replicas)
			} else {
				r = newCrashRig(t, dsn, replicas)
			}
			r.load(3, 5)
			for n := range kills {
				r.busy(5)
				struck, once := make(chan struct{}), sync.Once{}
				r.mu.Lock()
				r.disturb = func(string, bool) (drop bool) {
					if rand.IntN(15) > 0 {
						return false
					}
					once.Do(func() {
						drop = rand.IntN(2) == 0 // else the call continues although its caller is dead
						r.kill(n % replicas)
						close(struck)
					})
					return drop
				}
				r.mu.Unlock()
				received(t, "a call to Seam under load", struck)
				r.mu.Lock()
				r.disturb = nil
				r.mu.Unlock()
				r.restart(n % replicas)
			}
			r.finish(fmt.Sprintf("killed at random, %d replicas", replicas))
		})
	}
}

// TestKilledAtMarkedPoints has the program, built with marks, kill itself at so many of them, drawn again each time,
// under load of stays with backup codes. STAYKEY_CRASH_POINTS makes it longer.
func TestKilledAtMarkedPoints(t *testing.T) {
	t.Parallel()
	markedProgram(t)
	r := newCodedRig(t, storetest.DSN(t), 1)
	r.load(3, 5)
	// An event passes them; those of the guest's side are passed when a guest comes.
	points := slices.DeleteFunc(slices.Clone(point.All), func(n point.Name) bool {
		return strings.HasPrefix(string(n),
			"guest:")
	})
	order, struck := rand.Perm(len(points)), map[point.Name]bool{}
	for n := range chaos.Size("STAYKEY_CRASH_POINTS", 4) {
		name := points[order[n%len(order)]]
		r.kill(0)
		r.kills-- // this one makes room only
		at := 1 + n/len(order)%7
		if slices.Contains([]point.Name{point.FanOutAfter, point.SweepRead, point.SweepFlagged, point.SeamEventActed},
			name) {
			at = 1 // a sweep comes round in seconds, not in milliseconds
		}
		p := launchMarked(t, append(slices.Clone(r.env), "STAYKEY_CHAOS_POINT="+string(name),
			fmt.Sprintf("STAYKEY_CHAOS_AT=%d", at)))
		r.mu.Lock()
		r.replicas[0] = p
		r.mu.Unlock()
		var provoking sync.WaitGroup
		provoking.Go(func() { provoke(r, p, name) })
		received(t, "the point "+string(name), p.done)
		r.kills++
		struck[name] = true
		r.restart(0)
		provoking.Wait()
	}
	r.result.Cells, r.result.Fired = len(points), len(struck)
	r.finish("killed at marked points")
}

// provoke makes happen what the load alone does not, until the process is dead.
func provoke(r *crashRig, p *process, name point.Name) {
	ended := func() bool {
		select {
		case <-p.done:
			return true
		default:
			return false
		}
	}
	var once func()
	switch name {
	case point.FanOutAfter: // names alone change nothing; a listing's time zone reaches its stays
		zones := []string{"Europe/Madrid", "Europe/Paris"}
		once = func() {
			r.post("listing.updated", map[string]any{
				"listing_id": "A", "seam_access_group_ids": crashGroups["A"],
				"time_zone": zones[rand.IntN(2)],
			})
		}
	case point.SweepFlagged: // somebody takes a door away; where each repair is undone at once, repairs end
		once = func() {
			id := fmt.Sprintf("quiet-%d", rand.IntN(3))
			if key := p.key(id); key == nil || key["status"] != "issued" {
				return
			}
			r.sim.Change(func(st *simulator.State) {
				for _, u := range st.UsersNamed(id) {
					if len(u.GroupIDs) == 2 {
						u.GroupIDs = u.GroupIDs[:1]
						st.Users[u.ID] = u
					}
				}
			})
		}
	case point.SeamEventActed:
		once = func() { postSeamEvent(p, `{"event_type":"acs_user.deleted","acs_user_id":"nobody's"}`) }
	default:
		return
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(until.Patience); !ended() && time.Now().Before(deadline); <-tick.C {
		once()
	}
}

// TestPostgresKilled ends Postgres as a power cut would, under load, and brings it back.
// STAYKEY_POSTGRES_KILLS makes it longer.
func TestPostgresKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server := startPostgres(t, dir)
	r := newCrashRig(t, storetest.Patient(server.DSN()), 2)
	r.load(3, 5)
	for range chaos.Size("STAYKEY_POSTGRES_KILLS", 2) {
		r.busy(20)
		server.Crash()
		r.pgKills++
		server = startPostgres(t, dir)
		u, err := url.Parse(server.DSN())
		if err != nil {
			t.Fatal(err)
		}
		r.db.lead(u.Host)
	}
	r.finish("Postgres killed")
}

func startPostgres(t *testing.T, dir string) *localpg.Server {
	t.Helper()
	server, err := localpg.Start(context.Background(), localpg.Options{Dir: dir, Log: func(s string) { t.Log(s) }})
	if err != nil {
		t.Fatalf("no Postgres for this test: %v", err)
	}
	t.Cleanup(func() {
		_ = server.Stop()
		_ = localpg.Clean(dir) // Postgres' own account can't get to a test's directory, so that the data is elsewhere
	})
	return server
}

// TestNetworkCut cuts the cables between the service and Postgres, and the service and Seam, at random, or lets
// them go silent. STAYKEY_NETWORK_CUTS makes it longer.
func TestNetworkCut(t *testing.T) {
	t.Parallel()
	r := newCrashRig(t, storetest.ServiceDSN(t), 2) // connections that go silent must be given up
	r.load(3, 5)
	for range chaos.Size("STAYKEY_NETWORK_CUTS", 4) {
		r.busy(8)
		c := []*cable{r.seam, r.db}[rand.IntN(2)]
		mode := broken
		if rand.IntN(3) == 0 {
			mode = silent
		}
		c.set(mode)
		r.faults.Add(1)
		time.Sleep(time.Duration(rand.IntN(1500)) * time.Millisecond) // the length of the cut is the fault
		c.set(whole)
	}
	r.finish("network cut")
}

// TestStalledWorker stops a replica (SIGSTOP) at each point of an attempt until another one has taken over its
// reservation and created the key, and then resumes it: it must find that its lease is gone, and change nothing.
func TestStalledWorker(t *testing.T) {
	t.Parallel()
	markedProgram(t)
	for name, at := range map[point.Name]int{
		point.Claimed: 1, point.FinishBefore: 1,
		point.Recorded: 2, // the mark of the ACS user: its create is next
		point.Called:   2, // the create of the ACS user
	} {
		t.Run(string(name), func(t *testing.T) {
			t.Parallel()
			sim, env := simulated(t, storetest.ServiceDSN(t))
			other := launch(t, env)
			if got := other.post("default", "listing.created", seedListing()); got != 202 {
				t.Fatalf("listing: %d", got)
			}
			waitUntil(t, "the access groups to be known", func() bool { return sim.Calls() >= 2 })
			// The one that is to stall alone takes the reservation: the other one stands still until it has.
			_ = other.cmd.Process.Signal(syscall.SIGSTOP)
			stalled := launchMarked(t, append(slices.Clone(env), "STAYKEY_CHAOS_ACTION=stop",
				"STAYKEY_CHAOS_POINT="+string(name), fmt.Sprintf("STAYKEY_CHAOS_AT=%d", at)))
			go (&crashRig{t: t, replicas: []*process{stalled}}).post("reservation.created", seedReservation())
			waitUntil(t, "it to stand still", func() bool { return isStopped(stalled.cmd.Process.Pid) })
			_ = other.cmd.Process.Signal(syscall.SIGCONT)
			other.until("3333122-433", "issued")
			_ = stalled.cmd.Process.Signal(syscall.SIGCONT)
			waitUntil(t, "it to find out", func() bool {
				log := stalled.log.String()
				return slices.ContainsFunc([]string{
					"reservation taken over by another worker",
					"attempt result not stored", "reservation not loaded",
				},
					func(text string) bool { return strings.Contains(log, text) })
			})
			result := chaos.Result{Rig: "stalled worker", Cells: 1, Fired: 1, Faults: 1, Events: 2}
			state, key := sim.State(), other.until("3333122-433", "issued")
			users := state.UsersNamed("3333122-433")
			if len(users) != 1 || len(state.MobileKeys(users[0].ID)) != 1 || key["acs_user_id"] != users[0].ID {
				result.Wrong++
				t.Errorf("REST says %v, Seam holds %+v", key, users)
			}
			if peaks := sim.Peaks(); peaks.UsersOfOneStay > 1 || peaks.KeysOfOneUser > 1 {
				result.Duplicates++
				t.Errorf("the worst moment: %+v", peaks)
			}
			chaos.Record(t, result)
		})
	}
}

// isStopped reports whether a process stands still (proc(5)).
func isStopped(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(rest, "T")
}
