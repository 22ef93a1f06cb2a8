package guest_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/staykey/staykey/internal/guest"
	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/provisioner"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/store/storetest"
	"github.com/staykey/staykey/internal/until"
)

const (
	system  = "11111111-1111-1111-1111-111111111111"
	systemB = "77777777-7777-7777-7777-777777777777"
)

// Deadlines of a call to the simulated Seam: one that only a hang misses, for whatever must succeed, since a call that
// a busy machine makes late is looked for, for minutes of the rig's clock; and a short one where calls are lost on
// purpose.
const (
	callTimeout  = until.Patience
	lossyTimeout = 500 * time.Millisecond
	leaseFor     = 2 * callTimeout // calls leave only if they end before their lease
)

// rig is everything from an event to what a guest is given: a database, the applier, a provisioner, the guest's side
// and a simulated Seam. Its clock is moved by advance.
type rig struct {
	t       testing.TB
	dsn     string
	store   *store.Store
	sim     *simulator.Simulator
	seamURL string
	client  *seam.Client
	prov    *provisioner.Provisioner
	applier *intake.Applier
	guest   *guest.Service
	source  pms.Source
	log     *slog.Logger

	mu     sync.Mutex
	offset time.Duration
	lastAt time.Time
}

func newRig(t testing.TB, simulated simulator.Options) *rig {
	t.Helper()
	return newRigWith(t, 1, simulated)
}

// newRigWith is a rig with so many connections to Postgres: more than one where transactions must meet.
func newRigWith(t testing.TB, connections int, simulated simulator.Options) *rig {
	t.Helper()
	sim, err := simulator.New(simulated)
	if err != nil {
		t.Fatal(err)
	}
	sim.AddSystem(system, "Casa Azul", "g1", "g2", "g3")
	sim.AddSystem(systemB, "Casa Verde", "verde")
	sim.Advance(simulated.ReadLag) // reads show the access systems
	server, err := simulator.Serve(sim, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	dsn := storetest.DSN(t)
	db := storetest.Open(t, storetest.Small(dsn, connections))
	r := &rig{
		t: t, dsn: dsn, store: db, sim: sim, seamURL: server.URL,
		log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError})),
	}
	r.source = pms.Source{Name: "default", GuestLinks: true, Policy: pms.DefaultPolicy()}
	r.source.Policy.OwnIdentity = true
	r.client, err = seam.New(seam.Config{Endpoint: server.URL, APIKey: "k", Timeout: callTimeout, Now: r.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.client.Close)
	source := func(string) pms.Source { return r.source }
	r.prov = provisioner.New(r.store, r.client, "salt", r.log, provisioner.Options{
		Secret: "seam_key", ReadLag: 300 * time.Millisecond, Lease: leaseFor, PollEvery: 500 * time.Millisecond,
		RetryBase: 20 * time.Millisecond, SweepInterval: time.Hour,
		Workers: 4, Now: r.now, Policy: func(string) pms.Policy { return r.source.Policy },
	})
	r.applier = intake.NewApplier(r.store, r.log, intake.Options{Now: r.now, Source: source, Applied: r.prov.Wake})
	r.guest = r.service()
	r.run(func(ctx context.Context) { r.prov.Run(ctx, time.Second) })
	return r
}

// service is another replica's guest's side.
func (r *rig) service() *guest.Service {
	o := optionsOf(func(string) pms.Source { return r.source }, r.now)
	o.Lease, o.Patience, o.PollEvery = leaseFor, until.Patience, 100*time.Millisecond
	return guest.New(r.store, r.client, r.log, o)
}

// optionsOf are those of a replica's guest's side, in any process.
func optionsOf(source func(string) pms.Source, now func() time.Time) guest.Options {
	return guest.Options{
		PublicURL: "https://keys.example.com", Salt: "salt", LinkSalt: "links", Secret: "seam_key",
		ReadLag: 300 * time.Millisecond,
		Source:  source, Now: now,
	}
}

// run runs something until the test ends.
func (r *rig) run(fn func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { fn(ctx) })
	stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
	r.t.Cleanup(stop)
	return stop
}

func (r *rig) now() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Now().Add(r.offset).UTC()
}

// advance moves the clocks of Seam and of the service.
func (r *rig) advance(d time.Duration) {
	r.sim.Advance(d)
	r.mu.Lock()
	r.offset += d
	r.mu.Unlock()
	r.prov.Wake()
	r.guest.Wake()
}

func (r *rig) send(eventType string, data map[string]any) {
	r.t.Helper()
	r.mu.Lock()
	at := time.Now().Add(r.offset).UTC()
	if !at.After(r.lastAt) {
		at = r.lastAt.Add(time.Millisecond)
	}
	r.lastAt = at
	r.mu.Unlock()
	body, err := json.Marshal(map[string]any{
		"type": eventType, "timestamp": at.Format("2006-01-02T15:04:05.000Z"),
		"data": data,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	key := uuid.NewString()
	e := store.Event{
		EventID: uuid.New(), Source: "default", EventKey: &key, Type: eventType,
		Status: stay.EventAccepted, OccurredAt: &at, ReceivedAt: r.now(), Body: body,
	}
	if _, err := r.store.Events.Insert(context.Background(), []store.Event{e}); err != nil {
		r.t.Fatal(err)
	}
	if err := r.applier.Drain(context.Background()); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) listing(groups ...string) {
	r.t.Helper()
	r.send("listing.updated", map[string]any{
		"listing_id": "L", "name": "Garden suite", "time_zone": "Europe/Madrid",
		"seam_access_group_ids": append([]string{}, groups...),
	})
}

// booking is a reservation in the making.
type booking struct {
	id, email string
	in, out   time.Time
}

func (r *rig) booking(id string) booking {
	in := r.now().Add(48 * time.Hour).Truncate(time.Millisecond)
	return booking{id: id, email: "jane@example.com", in: in, out: in.Add(72 * time.Hour)}
}

func (r *rig) book(b booking) {
	r.t.Helper()
	data := map[string]any{
		"reservation_id": b.id, "listing_id": "L", "check_in": b.in.Format(time.RFC3339Nano),
		"check_out": b.out.Format(time.RFC3339Nano),
	}
	if b.email != "" {
		data["guest_email"] = b.email
	}
	r.send("reservation.updated", data)
}

func (r *rig) cancel(b booking) {
	r.t.Helper()
	r.send("reservation.cancelled", map[string]any{"reservation_id": b.id})
}

func (b booking) ref() stay.Ref { return stay.Ref{Source: "default", ReservationID: b.id} }

func (r *rig) view(b booking) store.View {
	r.t.Helper()
	v, err := r.store.Reservations.View(context.Background(), b.ref())
	if err != nil {
		r.t.Fatal(err)
	}
	return v
}

// until waits for a status of what is desired now.
func (r *rig) until(b booking, statuses ...string) store.View {
	r.t.Helper()
	var v store.View
	until.Reached(r.t, func() bool {
		v = r.view(b)
		for _, status := range statuses {
			if v.Key.Status == status && v.Key.ObservedGeneration == v.Key.Generation {
				return true
			}
		}
		return false
	}, func() {
		reason := ""
		if v.Key.Reason != nil {
			reason = *v.Key.Reason
		}
		r.t.Fatalf("%s: not %v in time, but %s: %s", b.id, statuses, v.Key.Status, reason)
	})
	return v
}

// issued books a stay and waits for its key.
func (r *rig) issued(b booking) booking {
	r.t.Helper()
	r.book(b)
	r.until(b, stay.KeyIssued, stay.KeyActive)
	return b
}

// link is the id in a stay's link.
func (r *rig) link(b booking) string {
	r.t.Helper()
	v := r.view(b)
	links, err := r.guest.Links(context.Background(), []guest.Stay{guest.StayOf(v.Reservation)})
	if err != nil {
		r.t.Fatal(err)
	}
	return strings.TrimPrefix(links[b.ref()].URL, "https://keys.example.com/k/")
}

func (r *rig) open(link string) (guest.Opened, error) {
	return r.guest.Open(context.Background(), link)
}

// mustOpen opens a link that must give a key which shows exactly the stay's mobile key.
func (r *rig) mustOpen(b booking) guest.Opened {
	r.t.Helper()
	o, err := r.open(r.link(b))
	if err != nil {
		r.t.Fatalf("open %s: %v", b.id, err)
	}
	r.mustShow(o.InstantKeyURL, b)
	return o
}

func (r *rig) mustShow(secret string, b booking) {
	r.t.Helper()
	shown := r.sim.State().Shown(secret, r.now())
	if want := r.view(b).User.CredentialID; len(shown) != 1 || want == nil || shown[0] != *want {
		wanted := "none"
		if want != nil {
			wanted = *want
		}
		r.t.Errorf("%s: what was handed out shows %v, want %s", b.id, shown, wanted)
	}
}

// mustBeClean waits until nothing is handed out of a stay, here and at Seam.
func (r *rig) mustBeClean() {
	r.t.Helper()
	until.Reached(r.t, func() bool {
		_, err := r.guest.Clean(context.Background())
		if err != nil {
			r.t.Fatal(err)
		}
		return r.rows() == 0 && r.good() == 0
	}, func() {
		state := r.sim.State()
		r.t.Fatalf("%d rows are left, and at Seam %v and %v", r.rows(), state.InstantKeys, state.Sessions)
	})
}

// settle lets everything that is due happen, without faults.
func (r *rig) settle() {
	r.t.Helper()
	for _, by := range []time.Duration{0, time.Second, time.Second, 10 * time.Minute, 10 * time.Minute, time.Second} {
		r.advance(by)
		for {
			n, err := r.guest.Clean(context.Background())
			if err != nil {
				r.t.Fatal(err)
			}
			if n == 0 {
				break
			}
		}
	}
}

// rows counts what is recorded as handed out.
func (r *rig) rows() (n int) {
	r.t.Helper()
	if err := r.store.Pool().QueryRow(context.Background(), `SELECT count(*) FROM handed_out`).Scan(&n); err != nil {
		r.t.Fatal(err)
	}
	return n
}

// good counts what opens anything at Seam now.
func (r *rig) good() (n int) {
	state := r.sim.State()
	for _, k := range state.InstantKeys {
		if k.ExpiresAt.After(r.now()) {
			n++
		}
	}
	for _, c := range state.Sessions {
		if !c.Revoked && c.ExpiresAt.After(r.now()) {
			n++
		}
	}
	return n
}

func (r *rig) exec(statement string, args ...any) {
	r.t.Helper()
	if _, err := r.store.Pool().Exec(context.Background(), statement, args...); err != nil {
		r.t.Fatal(err)
	}
}
