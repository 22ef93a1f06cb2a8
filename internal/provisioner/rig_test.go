package provisioner_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/provisioner"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/store/storetest"
	"github.com/staykey/staykey/internal/until"
)

const (
	system  = "11111111-1111-1111-1111-111111111111"
	systemB = "77777777-7777-7777-7777-777777777777"
)

// Deadlines of a call to the simulated Seam, as the service knows them. No call is given up by the service: the
// simulator ends those that it hangs, after the deadline, so that no answer is lost and no effect is late because the
// machine is busy.
const (
	lossyTimeout = 500 * time.Millisecond
	callTimeout  = 5 * time.Second
)

// rig is everything between an event and Seam: a database, the applier, a provisioner and a simulated Seam.
type rig struct {
	t       testing.TB
	store   *store.Store
	sim     *simulator.Simulator
	server  *simulator.Server
	applier *intake.Applier
	prov    *provisioner.Provisioner
	policy  func(string) pms.Policy
	options provisioner.Options
	timeout time.Duration                        // of a call to Seam
	hasty   bool                                 // calls are given up after timeout
	after   func(time.Duration) <-chan time.Time // waits between background retries, nil for real time
	log     *slog.Logger
	stop    func()

	mu     sync.Mutex
	offset time.Duration
	lastAt time.Time
}

// fast are options under which faults pass in a moment.
func fast() provisioner.Options {
	return provisioner.Options{
		Grace: 500 * time.Millisecond, Lease: 10 * time.Second, PollEvery: 50 * time.Millisecond,
		RetryBase: 20 * time.Millisecond, SweepInterval: time.Hour, Workers: 8,
	}
}

func newRig(t testing.TB, options provisioner.Options, simulated simulator.Options) *rig {
	t.Helper()
	return newRigWith(t, callTimeout, options, simulated, false, false)
}

// newStay is a rig with one stay that has its key.
func newStay(t testing.TB, simulated simulator.Options) (*rig, stay) {
	t.Helper()
	r := newRig(t, fast(), simulated)
	r.listing("default", "L", "555555-5555")
	s := r.stay("R1")
	issued(r, &s)
	return r, s
}

// newLossyRig is for tests in which calls get lost.
func newLossyRig(t testing.TB, options provisioner.Options, simulated simulator.Options) *rig {
	t.Helper()
	return newRigWith(t, lossyTimeout, options, simulated, false, false)
}

// newRigWith is a rig whose calls to Seam may take up to timeout, over HTTP/1.1, or over TLS with HTTP/2.
func newRigWith(t testing.TB, timeout time.Duration, options provisioner.Options, simulated simulator.Options, overTLS, hasty bool) *rig {
	t.Helper()
	sim, err := simulator.New(simulated)
	if err != nil {
		t.Fatal(err)
	}
	sim.AddSystem(system, "Casa Azul", "555555-5555", "666666-6666", "lobby")
	sim.AddSystem(systemB, "Casa Verde", "verde-1", "verde-2")
	r := &rig{t: t, store: openStore(t), sim: sim, options: options, timeout: timeout, hasty: hasty, policy: func(string) pms.Policy { return pms.DefaultPolicy() }}
	if !hasty {
		sim.Configure(func(o *simulator.Options) { o.HangFor = timeout })
	}
	r.advance(simulated.ReadLag) // reads show the access systems
	r.serve(overTLS)
	r.start()
	return r
}

// openStore opens a database of the test's own. Its statements are planned once per connection and not at their first
// uses: a rig's connections live for seconds, and planning would cost as much as the statements themselves.
func openStore(t testing.TB) *store.Store {
	t.Helper()
	s, err := store.Open(context.Background(), storetest.DSN(t)+"&plan_cache_mode=force_generic_plan")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// serve has Seam listen.
func (r *rig) serve(overTLS bool) {
	server, err := simulator.Serve(r.sim, overTLS)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(server.Close)
	r.server = server
}

// start runs an applier and a provisioner until stop.
func (r *rig) start() {
	patience := until.Patience
	if r.hasty {
		patience = r.timeout
	}
	client, err := seam.New(seam.Config{Endpoint: r.server.URL, APIKey: "k", Timeout: r.timeout, Patience: patience, RootCAs: r.server.RootCAs, Now: r.now, After: r.after})
	if err != nil {
		r.t.Fatal(err)
	}
	options := r.options
	options.Now, options.Policy = r.now, func(s string) pms.Policy { return r.policy(s) }
	if r.log == nil {
		r.log = slog.New(slog.NewTextHandler(writerFunc(func(p []byte) (int, error) {
			if bytes.Contains(p, []byte("attempt panicked")) {
				r.t.Errorf("%s", p)
			}
			return r.t.Output().Write(p)
		}), &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	r.prov = provisioner.New(r.store, client, "salt", r.log, options)
	r.applier = intake.NewApplier(r.store, r.log, r.now, func(name string) pms.Source { return pms.Source{Policy: options.Policy(name)} }, nil, &intake.Pace{}, r.prov.Wake)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	prov := r.prov
	running.Go(func() { prov.Run(ctx, time.Second) })
	r.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		client.Close()
	})
	r.t.Cleanup(r.stop)
}

// logTo redirects the log of the next start to a text, which the returned function returns.
func (r *rig) logTo() (said func() string) {
	var mu sync.Mutex
	var log strings.Builder
	r.log = slog.New(slog.NewTextHandler(writerFunc(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return log.Write(p)
	}), nil))
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		return log.String()
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func (r *rig) now() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Now().Add(r.offset).UTC()
}

// advance moves the clocks of Seam and of the service, Seam's first: what its lags hide must be visible when the
// service relies on it.
func (r *rig) advance(d time.Duration) {
	r.sim.Advance(d)
	r.mu.Lock()
	r.offset += d
	r.mu.Unlock()
	if r.prov != nil {
		r.prov.Wake() // for what has become due
	}
}

// send puts an event through inbox and apply. Timestamps are distinct and in the order of sending.
func (r *rig) send(source, eventType string, data map[string]any) store.Event {
	r.t.Helper()
	r.mu.Lock()
	at := time.Now().Add(r.offset).UTC()
	if !at.After(r.lastAt) {
		at = r.lastAt.Add(time.Millisecond)
	}
	r.lastAt = at
	r.mu.Unlock()
	return r.sendAt(source, eventType, at, data)
}

func (r *rig) sendAt(source, eventType string, at time.Time, data map[string]any) store.Event {
	r.t.Helper()
	e := r.accept(source, eventType, at, data)
	r.drain()
	return e
}

// drain applies all waiting events.
func (r *rig) drain() {
	r.t.Helper()
	if err := r.applier.Drain(context.Background()); err != nil {
		r.t.Fatal(err)
	}
}

// accept puts an event into the inbox, as the handler does.
func (r *rig) accept(source, eventType string, at time.Time, data map[string]any) store.Event {
	r.t.Helper()
	body, err := json.Marshal(map[string]any{"type": eventType, "timestamp": at.Format("2006-01-02T15:04:05.000Z"), "data": data})
	if err != nil {
		r.t.Fatal(err)
	}
	parsed, err := pms.ParseStaykey(body)
	if err != nil || len(parsed.Invalid) > 0 {
		r.t.Fatalf("the test's event is not valid: %v %v", err, parsed.Invalid)
	}
	key := uuid.NewString()
	e := store.Event{EventID: uuid.New(), Source: source, EventKey: &key, Type: eventType, Status: store.EventAccepted, OccurredAt: &parsed.OccurredAt, ReceivedAt: r.now(), Body: body}
	if s := parsed.Change().Reservation; s != nil {
		e.Urgent = s.ArrivesWithin(e.ReceivedAt, 24*time.Hour)
	}
	if _, err := r.store.InsertEvents(context.Background(), []store.Event{e}); err != nil {
		r.t.Fatal(err)
	}
	return e
}

func (r *rig) listing(source, id string, groups ...string) {
	r.t.Helper()
	if groups == nil {
		groups = []string{}
	}
	r.send(source, "listing.updated", map[string]any{"listing_id": id, "seam_access_group_ids": groups})
}

// stay is a reservation as the test will book it.
type stay struct {
	source, id, listing, email string
	in, out                    time.Time
	own                        bool              // the guest's identity is taken, or not used: the stay has one of its own
	gates                      map[string]string // what the PMS says about gates
}

func (r *rig) stay(id string) stay {
	in := r.now().Add(48 * time.Hour).Truncate(time.Millisecond)
	return stay{source: "default", id: id, listing: "L", email: "jane@example.com", in: in, out: in.Add(72 * time.Hour)}
}

func (r *rig) book(s stay) {
	r.t.Helper()
	data := map[string]any{"reservation_id": s.id, "check_in": s.in.Format(time.RFC3339Nano), "check_out": s.out.Format(time.RFC3339Nano), "listing_id": nil}
	if s.listing != "" {
		data["listing_id"] = s.listing
	}
	if s.email != "" {
		data["guest_email"] = s.email
	}
	if s.gates != nil {
		data["gates"] = s.gates
	}
	r.send(s.source, "reservation.updated", data)
}

func (r *rig) cancel(s stay) {
	r.t.Helper()
	r.send(s.source, "reservation.cancelled", map[string]any{"reservation_id": s.id})
}

func (r *rig) view(s stay) store.View {
	r.t.Helper()
	v, err := r.store.View(context.Background(), store.Ref{Source: s.source, ReservationID: s.id})
	if err != nil {
		r.t.Fatal(err)
	}
	return v
}

// until waits for a status to be reached for the generation that is desired now.
func (r *rig) until(s stay, status string) store.View {
	r.t.Helper()
	return r.untilThat(s, status, func(v store.View) bool { return v.Key.Status == status })
}

func (r *rig) untilThat(s stay, what string, reached func(store.View) bool) store.View {
	r.t.Helper()
	var v store.View
	until.Told(r.t, func() bool {
		var err error
		v, err = r.store.View(context.Background(), store.Ref{Source: s.source, ReservationID: s.id})
		if err != nil && !errors.Is(err, store.ErrNotFound) { // another applier may be applying its event right now
			r.t.Fatal(err)
		}
		return err == nil && v.Key.ObservedGeneration == v.Key.Generation && reached(v)
	}, func() {
		r.tell(s)
		r.t.Fatalf("%s/%s: not %s in time, but %s/%s %q (generation %d, observed %d, last error %q)", s.source, s.id, what,
			v.Key.Status, str(v.Key.Reason), str(v.Key.Message), v.Key.Generation, v.Key.ObservedGeneration, str(v.Key.LastError))
	})
	return v
}

// tell logs a stay's history.
func (r *rig) tell(s stay) {
	items, _ := r.store.Timeline(context.Background(), store.Ref{Source: s.source, ReservationID: s.id}, 0, 120)
	slices.Reverse(items)
	for _, item := range items {
		r.t.Logf("%s %-12s %s %v", item.At.Format("05.000"), item.Kind, item.Summary, item.Detail["reason"])
	}
}

func str(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// held is what Seam holds for one stay, in the contract's terms.
type held struct {
	System   string
	Identity string // e-mail, or "own"
	Starts   time.Time
	Ends     time.Time
	Groups   []string
	Keys     int
}

// holds lists what Seam holds under a full name.
func (r *rig) holds(id string) []held {
	state := r.sim.State()
	var list []held
	for _, u := range state.UsersNamed(id) {
		h := held{System: u.SystemID, Identity: "own", Groups: slices.Sorted(slices.Values(u.GroupIDs)), Keys: len(state.MobileKeys(u.ID))}
		if email := state.Identities[u.IdentityID].Email; email != "" {
			h.Identity = email
		}
		if u.Schedule != nil {
			h.Starts, h.Ends = u.Schedule.StartsAt, u.Schedule.EndsAt
		}
		list = append(list, h)
	}
	return list
}

// wants is what the contract's section 4 requires for a stay.
func (s stay) wants(systemID string, groups ...string) held {
	h := held{System: systemID, Identity: s.email, Starts: s.in, Ends: s.out, Groups: slices.Sorted(slices.Values(groups)), Keys: 1}
	if s.email == "" {
		h.Identity = "own"
	}
	return h
}

func (r *rig) mustHold(id string, want ...held) {
	r.t.Helper()
	if diff := cmp.Diff(want, r.holds(id)); diff != "" {
		r.t.Errorf("Seam holds for %s (-want +got):\n%s", id, diff)
	}
}

// mustBeSound checks what must be true at every moment, not only at the end.
func (r *rig) mustBeSound() {
	r.t.Helper()
	want := simulator.Peaks{UsersOfOneStay: min(1, r.sim.Peaks().UsersOfOneStay), KeysOfOneUser: min(1, r.sim.Peaks().KeysOfOneUser)}
	if diff := cmp.Diff(want, r.sim.Peaks()); diff != "" {
		r.t.Errorf("the worst moment (-want +got):\n%s", diff)
	}
}

// changing lists the changing calls that Seam received, in order.
func (r *rig) changing() []string {
	var paths []string
	for _, c := range r.sim.Records() {
		switch c.Path {
		case seam.PathIdentityCreate, seam.PathIdentityDelete, seam.PathIdentityAddUser, seam.PathUserCreate, seam.PathUserUpdate, seam.PathUserDelete,
			seam.PathUserUnsuspend, seam.PathGroupAdd, seam.PathGroupRemove, seam.PathCredentialCreate, seam.PathCredentialDelete:
			paths = append(paths, c.Path)
		}
	}
	return paths
}

func (r *rig) mustCall(want ...string) {
	r.t.Helper()
	got := make([]string, 0)
	for _, c := range r.sim.Records() {
		got = append(got, c.Path)
	}
	if want == nil {
		want = []string{}
	}
	// The two reads of a read-back are made at the same time, in any order.
	for i := range len(got) - 1 {
		if got[i] == "/acs/access_groups/list" && got[i+1] == "/acs/users/get" {
			got[i], got[i+1] = got[i+1], got[i]
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		r.t.Errorf("requests to Seam (-want +got):\n%s", diff)
	}
}

func fmtStay(i int) string { return fmt.Sprintf("R%d", i) }
