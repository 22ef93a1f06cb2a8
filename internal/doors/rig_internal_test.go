package doors

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/store/storetest"
	"github.com/staykey/staykey/internal/until"
)

const site = "11111111-1111-1111-1111-111111111111"

// rig is a checker between a database and a simulated Seam. Nothing runs on its own: a test takes the turns.
type rig struct {
	t       *testing.T
	store   *store.Store
	sim     *simulator.Simulator
	checker *Checker

	mu  sync.Mutex
	now time.Time
}

// newRig is a rig at noon UTC of 1 November 2024, a Friday, with a door "door" that the group "room" opens.
func newRig(t *testing.T) *rig {
	t.Helper()
	sim, err := simulator.New(simulator.Options{})
	if err != nil {
		t.Fatal(err)
	}
	server, err := simulator.Serve(sim, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	sim.AddSystem(site, "Casa Azul", "room", "gate", "empty")
	sim.AddEntrance(site, "door", "Room 12", "room")
	r := &rig{t: t, store: storetest.NewSmall(t, 1), sim: sim, now: time.Date(2024, 11, 1, 12, 0, 0, 0, time.UTC)}
	client, err := seam.New(seam.Config{
		Endpoint: server.URL, APIKey: "k", Timeout: until.Patience, Patience: until.Patience,
		After: func(time.Duration) <-chan time.Time { return closed },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	r.checker = New(r.store, client, slog.New(slog.NewTextHandler(t.Output(), nil)), Options{
		Now: r.clock, Policy: func(string) pms.Policy { return pms.Policy{TimeZone: "Europe/Madrid"} },
	})
	return r
}

// closed is ready at once, so that repeated calls don't wait.
var closed = func() <-chan time.Time {
	c := make(chan time.Time)
	close(c)
	return c
}()

func (r *rig) clock() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

func (r *rig) pass(d time.Duration) {
	r.mu.Lock()
	r.now = r.now.Add(d)
	r.mu.Unlock()
	r.sim.Advance(d)
}

func (r *rig) exec(sql string, args ...any) {
	r.t.Helper()
	if _, err := r.store.Pool().Exec(context.Background(), sql, args...); err != nil {
		r.t.Fatal(err)
	}
}

// book makes a stay whose key is issued and opens groups; check-in is so long from now.
func (r *rig) book(id string, in time.Duration, groups ...string) {
	r.t.Helper()
	starts := r.clock().Add(in)
	r.exec(`INSERT INTO listings (source, listing_id, known, time_zone, access_group_ids, created_at, updated_at)
		VALUES ('default', 'L', true, 'Europe/Madrid', $1, now(), now()) ON CONFLICT DO NOTHING`, groups)
	r.exec(`INSERT INTO reservations (source, reservation_id, status, listing_id, check_in, check_out, version_at,
		version_seq, created_at, updated_at)
		VALUES ('default', $1, 'confirmed', 'L', $2, $3, $2, 1, $2, $2)`, id, starts, starts.Add(3*24*time.Hour))
	r.exec(`INSERT INTO mobile_keys (source, reservation_id, status, changed_at, check_in) VALUES ('default', $1, 'issued', $2, $3)`, id, r.clock(), starts)
	r.exec(`INSERT INTO user_identities (user_identity_key, user_identity_id, own, created_at) VALUES ($1, $1, true, now())`, id)
	r.exec(`INSERT INTO acs_users (source, reservation_id, acs_system_id, user_identity_key, user_identity_id,
		guest_key, acs_user_id, made_at, acs_credential_id, acs_access_group_ids)
		VALUES ('default', $1, $2, $1, $1, '', $1, now(), $1, $3)`, id, site, groups)
}

// turn takes a turn after a minute, and forgets the calls before it.
func (r *rig) turn() {
	r.t.Helper()
	r.sim.Forget()
	r.pass(time.Minute + time.Second)
	r.exec(`INSERT INTO tasks (name, next_at) VALUES ('doors', '2000-01-01') ON CONFLICT (name) DO UPDATE SET next_at = excluded.next_at`)
	r.checker.turn(context.Background())
}

// settle takes turns until what a reading has shown is confirmed.
func (r *rig) settle() {
	r.t.Helper()
	for range confirmAfter/time.Minute + 3 {
		r.turn()
	}
}

// calls counts the calls of the last turn.
func (r *rig) calls() map[string]int {
	n := map[string]int{}
	for _, c := range r.sim.Records() {
		n[c.Path]++
	}
	return n
}

// stay is what is known of a stay.
func (r *rig) stay(id string) store.View {
	r.t.Helper()
	v, err := r.store.Reservations.View(context.Background(), stay.Ref{Source: "default", ReservationID: id})
	if err != nil {
		r.t.Fatal(err)
	}
	return v
}

// problems are those of a stay, in words.
func (r *rig) problems(id string) string {
	r.t.Helper()
	risk := r.stay(id).DoorRisk
	if risk == nil {
		return ""
	}
	return stay.DescribeDoors(risk.Doors)
}

func (r *rig) want(id, problems string) {
	r.t.Helper()
	if got := r.problems(id); got != problems {
		r.t.Errorf("the doors of %s: %q, want %q", id, got, problems)
	}
}

func (r *rig) sequence(id string) (n int64) {
	r.t.Helper()
	if err := r.store.Pool().QueryRow(context.Background(), `SELECT sequence FROM mobile_keys WHERE reservation_id = $1`, id).Scan(&n); err != nil {
		r.t.Fatal(err)
	}
	return n
}

// door changes the door.
func (r *rig) door(edit func(*simulator.Entrance)) { r.sim.EditEntrance("door", edit) }
