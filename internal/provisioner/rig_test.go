package provisioner_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

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
	loaded  func()                               // called whenever an attempt has loaded what it works on, if not nil
	log     *slog.Logger
	stop    func()

	mu     sync.Mutex
	offset time.Duration
	lastAt time.Time
	timers map[*rigTimer]bool
	missed time.Duration // of the last advance, by an attempt that was in progress; see pass
	idle   int           // looks since then at a service that does nothing
}

// fast are options under which faults pass in a moment.
func fast() provisioner.Options {
	return provisioner.Options{
		ReadLag: 5 * time.Second, Lease: 10 * time.Second, PollEvery: time.Second,
		RetryBase: 20 * time.Millisecond, SweepInterval: time.Hour, Workers: 8,
	}
}

// patient are fast options with a read lag that ends only when a test's clock is moved on, however slow the machine is.
// They are for calls that take effect some seconds late, but within the read lag.
func patient() provisioner.Options {
	o := fast()
	o.ReadLag = 5 * time.Minute
	return o
}

func newRig(t testing.TB, options provisioner.Options, simulated simulator.Options) *rig {
	t.Helper()
	return newRigWith(t, rigKind{timeout: callTimeout}, options, simulated)
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
	return newRigWith(t, rigKind{timeout: lossyTimeout}, options, simulated)
}

// rigKind is what rigs differ in.
type rigKind struct {
	timeout     time.Duration // of a call to Seam
	hasty       bool          // calls are given up after timeout
	overTLS     bool          // calls go over TLS with HTTP/2, not over HTTP/1.1
	connections int           // to Postgres, default 1
	locks       bool          // the test is about a lock that isn't released
}

// racing is how many connections a rig has in which transactions meet: what happens there is drawn at random. In all
// others a test decides what meets what, and a second connection would only load the catalog and plan everything again.
const racing = 2

func newRigWith(t testing.TB, k rigKind, options provisioner.Options, simulated simulator.Options) *rig {
	t.Helper()
	sim, err := simulator.New(simulated)
	if err != nil {
		t.Fatal(err)
	}
	sim.AddSystem(system, "Casa Azul", "555555-5555", "666666-6666", "lobby")
	sim.AddSystem(systemB, "Casa Verde", "verde-1", "verde-2")
	open, connections := storetest.NewSmall, cmp.Or(k.connections, 1)
	if k.locks {
		open = storetest.NewWithBriefLockWaits
	}
	r := &rig{
		t: t, store: open(t, connections), sim: sim, options: options,
		timeout: k.timeout, hasty: k.hasty,
		policy: func(string) pms.Policy { return pms.DefaultPolicy() },
	}
	if !k.hasty {
		sim.Configure(func(o *simulator.Options) { o.HangFor = k.timeout })
	}
	rigs.Lock()
	rigs.of[t] = append(rigs.of[t], r)
	rigs.Unlock()
	t.Cleanup(func() {
		rigs.Lock()
		defer rigs.Unlock()
		delete(rigs.of, t)
	})
	r.advance(simulated.ReadLag) // reads show the access systems
	r.serve(k.overTLS)
	r.start()
	until.True(t, "the first sweep to be scheduled", func() bool { // moving the clock first would postpone it
		var scheduled bool
		err := r.store.Pool().QueryRow(context.Background(),
			`SELECT EXISTS (SELECT FROM tasks WHERE name = 'sweep')`).Scan(&scheduled)
		return err == nil && scheduled
	})
	return r
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
	patience := 2 * until.Patience // a call that a test has hang outlasts the test's wait
	if r.hasty {
		patience = r.timeout
	}
	client, err := seam.New(seam.Config{
		Endpoint: r.server.URL, APIKey: "k", Timeout: r.timeout, Patience: patience,
		RootCAs: r.server.RootCAs, Now: r.now, After: r.after,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	options := r.options
	options.Now, options.After = r.now, r.timer
	options.Policy = func(s string) pms.Policy {
		if r.loaded != nil {
			r.loaded()
		}
		return r.policy(s)
	}
	if r.log == nil {
		r.log = slog.New(slog.NewTextHandler(writerFunc(func(p []byte) (int, error) {
			if bytes.Contains(p, []byte("attempt panicked")) {
				r.t.Errorf("%s", p)
			}
			return r.t.Output().Write(p)
		}), &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	r.prov = provisioner.New(r.store, client, "salt", r.log, options)
	r.applier = intake.NewApplier(r.store, r.log, intake.Options{
		Now: r.now, Applied: r.prov.Wake,
		Source: func(name string) pms.Source { return pms.Source{Policy: r.policy(name)} },
	})
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

// stopAndSettle stops the service, and waits for the calls that it had sent to take effect: the service relies on that
// before their deadline, and rigs let that pass at once.
func (r *rig) stopAndSettle() {
	r.t.Helper()
	r.stop()
	until.True(r.t, "the calls that were sent to take effect", func() bool { return !r.server.IsBusy() })
}

// logTo redirects the log of the next start to a text, which the returned function returns.
func (r *rig) logTo() (logged func() string) {
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

func str(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func fmtStay(i int) string { return fmt.Sprintf("R%d", i) }
