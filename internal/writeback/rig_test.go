package writeback_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/staykey/staykey/internal/guest"
	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/pmsapi"
	"github.com/staykey/staykey/internal/point"
	"github.com/staykey/staykey/internal/provisioner"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/store/storetest"
	"github.com/staykey/staykey/internal/until"
	"github.com/staykey/staykey/internal/writeback"
)

const (
	system = "11111111-1111-1111-1111-111111111111"
	links  = "https://keys.example.com/k/"
)

// rig is everything from an event to a field of a PMS: a database, the applier, a provisioner with a simulated Seam,
// the guest's links, and the write-back. Its clock stands still unless a test moves it.
type rig struct {
	t       testing.TB
	dsn     string
	store   *store.Store
	sim     *simulator.Simulator
	prov    *provisioner.Provisioner
	applier *intake.Applier
	guests  *guest.Service
	writer  *writeback.Service
	source  pms.Source
	offset  atomic.Int64

	mu     sync.Mutex
	lastAt time.Time
}

// newRig makes a rig whose source writes to a PMS. change changes its settings.
func newRig(t testing.TB, preset, url string, change func(*pms.WriteBackSettings)) *rig {
	t.Helper()
	sim, err := simulator.New(simulator.Options{})
	if err != nil {
		t.Fatal(err)
	}
	sim.AddSystem(system, "Casa Azul", "g1", "g2")
	server, err := simulator.Serve(sim, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	dsn := storetest.DSN(t)
	db := storetest.Open(t, storetest.Small(dsn, 1))
	r := &rig{t: t, dsn: dsn, store: db, sim: sim}
	r.source = pms.Source{
		Name: "default", GuestLinks: true, Policy: pms.DefaultPolicy(),
		Statuses: pms.DefaultStatuses(), WriteBack: settings(t, preset, url),
	}
	r.source.Policy.OwnIdentity, r.source.Policy.TimeZone = true, "Europe/Madrid"
	if change != nil {
		change(r.source.WriteBack)
	}
	client, err := seam.New(seam.Config{Endpoint: server.URL, APIKey: "k", Now: r.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	source := func(string) pms.Source { return r.source }
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))
	r.prov = provisioner.New(db, client, "salt", log, provisioner.Options{
		ReadLag: 50 * time.Millisecond, PollEvery: 500 * time.Millisecond, RetryBase: 20 * time.Millisecond,
		SweepInterval: time.Hour, Workers: 4, Now: r.now,
		Policy: func(string) pms.Policy { return r.source.Policy },
	})
	r.applier = intake.NewApplier(db, log, intake.Options{Now: r.now, Source: source, Applied: r.prov.Wake})
	r.guests = guest.New(db, client, log, guest.Options{
		PublicURL: "https://keys.example.com", Salt: "salt",
		LinkSalt: "links", Secret: "k", Source: source, Now: r.now,
	})
	r.writer = r.replica(db, nil)
	r.run(func(ctx context.Context) { r.prov.Run(ctx, time.Second) })
	return r
}

// settings are those of a preset whose PMS is at url, with credentials that the fakes accept, without the pace that the
// PMS asks for.
func settings(t testing.TB, preset, url string) *pms.WriteBackSettings {
	t.Helper()
	p, err := pms.LoadWriteBack(preset)
	if err != nil {
		t.Fatal(err)
	}
	set := &pms.WriteBackSettings{Preset: p, Field: p.Field, Account: pms.Account{
		AccountManifest: p.Account,
		Credentials: pms.Credentials{
			Token: "the-token", ClientID: "the-client", ClientSecret: "the-client-secret", Username: "user",
			Password: "the-password",
			Body: map[string]string{
				"ClientToken": "the-client-token", "AccessToken": "the-access-token",
				"Client": "staykey",
			},
		},
	}}
	set.Account.URL, set.Account.PerSecond, set.Account.Limits = url, 10000, nil
	if strings.Contains(set.Account.TokenURL, "://") {
		set.Account.TokenURL = "oauth2/token"
	}
	if len(p.With) > 0 {
		set.With = map[string]string{}
		for _, name := range p.With {
			set.With[name] = "the-" + name
		}
	}
	return set
}

// replica is another process's write-back.
func (r *rig) replica(db *store.Store, reached func(point.Name)) *writeback.Service {
	return writeback.New(db, slog.New(slog.DiscardHandler), writeback.Options{
		Sources:      func() map[string]pms.Source { return map[string]pms.Source{"default": r.source} },
		Accounts:     new(pmsapi.Clients),
		Reservations: r.shown, HashKey: []byte("hash"), First: time.Second, Now: r.now, Reached: reached,
		// Rounds are made by the test. A lease isn't renewed then, so it must last as long as the test.
		After: func(time.Duration) <-chan time.Time { return nil }, Lease: time.Hour,
	})
}

// shown are reservations as far as texts need them.
func (r *rig) shown(ctx context.Context, refs []stay.Ref) (map[stay.Ref]any, error) {
	out := map[stay.Ref]any{}
	for _, ref := range refs {
		v, err := r.store.Reservations.View(ctx, ref)
		if err != nil {
			continue
		}
		found, err := r.guests.Links(ctx, []guest.Stay{guest.StayOf(v.Reservation)})
		if err != nil {
			return nil, err
		}
		shown := map[string]any{"reservation_id": ref.ReservationID, "guest_name": nil, "guest_link": nil}
		if v.Reservation.GuestName != nil {
			shown["guest_name"] = *v.Reservation.GuestName
		}
		if link, has := found[ref]; has {
			shown["guest_link"] = map[string]any{"url": link.URL}
		}
		out[ref] = shown
	}
	return out, nil
}

func (r *rig) now() time.Time { return time.Now().Add(time.Duration(r.offset.Load())).UTC() }

// advance moves every clock.
func (r *rig) advance(d time.Duration) {
	r.sim.Advance(d)
	r.offset.Add(int64(d))
	r.prov.Wake()
}

func (r *rig) run(fn func(context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { fn(ctx) })
	r.t.Cleanup(func() {
		cancel()
		running.Wait()
	})
}

func (r *rig) send(eventType string, data map[string]any) {
	r.t.Helper()
	body, err := json.Marshal(map[string]any{
		"type":      eventType,
		"timestamp": r.stamp().Format("2006-01-02T15:04:05.000Z"), "data": data,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.post(body, `{"format": "staykey"}`)
}

// stamp is a time after every one before.
func (r *rig) stamp() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at := r.now(); at.After(r.lastAt.Add(time.Millisecond)) {
		r.lastAt = at
	} else {
		r.lastAt = r.lastAt.Add(time.Millisecond)
	}
	return r.lastAt
}

// post takes an event from the inbox to its effect.
func (r *rig) post(body []byte, request string) {
	r.t.Helper()
	key, at := uuid.NewString(), r.now()
	e := store.Event{
		EventID: uuid.New(), Source: "default", EventKey: &key, Status: stay.EventAccepted,
		OccurredAt: &at, ReceivedAt: at, Body: body, Request: []byte(request),
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
		"listing_id": "L", "name": "Garden suite",
		"seam_access_group_ids": append([]string{}, groups...),
	})
}

// book posts a reservation; what extra says wins.
func (r *rig) book(id string, extra map[string]any) {
	r.t.Helper()
	in := r.now().Add(48 * time.Hour).Truncate(24 * time.Hour)
	data := map[string]any{
		"reservation_id": id, "listing_id": "L", "guest_email": "jane" + id + "@example.com",
		"check_in": in.Format(time.RFC3339), "check_out": in.Add(72 * time.Hour).Format(time.RFC3339),
	}
	for key, value := range extra {
		data[key] = value
	}
	r.send("reservation.updated", data)
}

// issued books a reservation and waits for its key.
func (r *rig) issued(id string) {
	r.t.Helper()
	r.book(id, nil)
	r.until(id, stay.KeyIssued, stay.KeyActive)
}

func (r *rig) cancel(id string) {
	r.t.Helper()
	r.send("reservation.cancelled", map[string]any{"reservation_id": id})
	r.until(id, stay.KeyRevoked)
}

func (r *rig) view(id string) store.View {
	r.t.Helper()
	v, err := r.store.Reservations.View(context.Background(), stay.Ref{Source: "default", ReservationID: id})
	if err != nil {
		r.t.Fatal(err)
	}
	return v
}

func (r *rig) until(id string, statuses ...string) {
	r.t.Helper()
	until.Reached(r.t, func() bool {
		v := r.view(id)
		for _, status := range statuses {
			if v.Key.Status == status && v.Key.ObservedGeneration == v.Key.Generation {
				return true
			}
		}
		return false
	}, func() {
		v := r.view(id)
		r.t.Fatalf("%s: not %v in time, but %s %v", id, statuses, v.Key.Status, v.Key.Reason)
	})
}

// round makes the writer look once, and again until nothing is due.
func (r *rig) settle() {
	r.t.Helper()
	for range 1000 {
		n, err := r.writer.Round(context.Background(), "default")
		if err != nil {
			r.t.Fatal(err)
		}
		if n == 0 {
			return
		}
	}
	r.t.Fatal("after a thousand rounds something is due still")
}

// mustBe checks the status of a reservation's write-back.
func (r *rig) mustBe(id, status, reason string) {
	r.t.Helper()
	row := r.view(id).WriteBackOf
	if row == nil {
		r.t.Fatalf("%s: no write-back, want %s", id, status)
	}
	got := ""
	if row.Reason != nil {
		got = *row.Reason
	}
	if row.Status != status || got != reason || (row.LastError == nil) != (reason == "") {
		words := ""
		if row.LastError != nil {
			words = *row.LastError
		}
		r.t.Errorf("%s: %s %q (%s), want %s %q", id, row.Status, got, words, status, reason)
	}
}

func (r *rig) exec(statement string, args ...any) {
	r.t.Helper()
	if _, err := r.store.Pool().Exec(context.Background(), statement, args...); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) link(id string) string {
	r.t.Helper()
	shown, err := r.shown(context.Background(), []stay.Ref{{Source: "default", ReservationID: id}})
	if err != nil {
		r.t.Fatal(err)
	}
	url, _ := pms.Lookup(shown[stay.Ref{Source: "default", ReservationID: id}], "guest_link.url").(string)
	if !strings.HasPrefix(url, links) {
		r.t.Fatalf("%s has the link %q", id, url)
	}
	return url
}
