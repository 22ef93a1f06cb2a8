// Package app builds the service from its configuration and runs it.
//
// [Run] starts things in this order, so that the cheapest mistake is reported first:
//
//	the log
//	the listeners        a port in use ends the start at once; from here on they answer "starting"
//	--dev only           a Postgres and a simulated Seam on this machine
//	traces
//	the database         waited for, migrated, and checked to be of this start's kind (production or development)
//	the parts            newService connects them; every goroutine that works in the background belongs to serve
//	serving              settle what a changed configuration needs, start the workers, and answer for real
//
// serve runs until the process is asked to stop. stop then ends the parts in the reverse order, within 20 seconds
// whatever hangs: work that is cut off is in the database, and the next start resumes it. Run returns nil after a stop
// that was asked for, even in the middle of a start, and an error otherwise; the caller turns it into the exit status.
//
// # What may change while it runs
//
// Only configured.sources, the part of the configuration that a reload replaces: sources, admin tokens, subscriptions.
// A reload (SIGHUP, POST /-/reload, or STAYKEY_WATCH) reads everything again and replaces it as a whole or not at all.
// Everybody reads it through functions, never from a copy. What follows from a new configuration, such as comparing
// every key of a source whose policy changed, is done by settle, and repeated until it succeeds.
//
// # Where to look
//
//	start.go, service.go, serve.go, stop.go       the life of the process
//	database.go, database_kind.go                 opening Postgres
//	listeners.go, listener.go, public.go, ops.go  the listeners
//	reload.go, watch.go, policies.go, settle.go   a new configuration and its consequences
//	readiness.go, provisioning.go, metrics.go     what monitors see
//	diagnose.go                                   the checks of staykey doctor and of the page Health
//	dev.go, dev_state.go                          --dev
package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/staykey/staykey/internal/config"
	"github.com/staykey/staykey/internal/pms"
)

// Build is the version and commit, as stamped by the linker.
type Build struct{ Version, Commit string }

// Process is what the service has of the process it runs in.
type Process struct {
	Build
	Out, Err io.Writer
	Hangups  *Hangups // nil: SIGHUP is not handled
}

// Run starts the service and serves until ctx ends. Ending a start early is no failure, whatever it waits for.
func Run(ctx context.Context, c config.Config, p Process) error {
	log, flush := newLogger(c, p.Err)
	defer flush()
	ctx, end := context.WithCancel(ctx)
	defer end()
	ready, err := start(ctx, end, c, p, log)
	if err != nil && !ready && ctx.Err() != nil {
		log.Info("stopped before it was ready", "error", err)
		return nil
	}
	return err
}

// start starts the service and serves until ctx ends, which end ends too. ready reports whether it has served.
func start(ctx context.Context, end func(), c config.Config, p Process, log *slog.Logger) (ready bool, err error) {
	reload := p.Hangups.split(ctx, c.CanReload(), func() {
		log.Info("terminal closed: stopping")
		end()
	})
	tuneCollector(c)
	warnOf(c.Set, log)

	// Addresses first: a port that is in use should be reported before anything is started.
	public, err := Listen("STAYKEY_LISTEN", c.Listen)
	if err != nil {
		return false, err
	}
	defer func() { _ = public.Close() }()
	admins, err := listenForAdmins(c)
	if err != nil {
		return false, err
	}
	if admins != nil {
		defer func() { _ = admins.Close() }()
	}

	ops, err := Listen("STAYKEY_OPS_LISTEN", c.OpsListen)
	if err != nil {
		return false, err
	}
	private := serveOps(ops, log)
	defer func() { _ = private.Close() }()

	var sources atomic.Pointer[config.Set]
	sources.Store(&c.Set)
	open := listeners{public: servePublic(public, MaxConnections, c, &sources, log), private: private}
	defer func() { _ = open.public.Close() }()
	if admins != nil {
		open.admin = servePublic(admins, maxAdminConnections, c, &sources, log)
		defer func() { _ = open.admin.Close() }()
	}

	s := startup{log: log, show: private.show, now: time.Now, pause: pause}
	var machine *devMachine
	if c.Dev {
		if machine, err = startDev(ctx, &c, log); err != nil {
			return false, err
		}
		defer machine.stop()
	}

	logStart(log, p.Build, c, open)
	stopTraces, err := startTraces(ctx, c, p.Version, log)
	if err != nil {
		return false, err
	}
	defer stopTraces()

	db, err := s.openDatabase(ctx, &c, machine)
	if err != nil {
		return false, err
	}
	defer db.Close()
	service, err := s.newService(ctx, c, p.Build, db, open.public.shared, &sources)
	if err != nil {
		return false, err
	}
	err = service.serve(ctx, open, reload, func() {
		ready = true
		if machine != nil {
			_, _ = fmt.Fprintln(p.Out, machine.introduction(c, p.Version, open))
		}
	})
	return ready, err
}

// logStart logs the version, the addresses and the configuration. With --dev the configuration is at debug: the line
// would hide the introduction's first lines in a terminal.
func logStart(log *slog.Logger, b Build, c config.Config, open listeners) {
	facts := append([]any{"version", b.Version, "commit", b.Commit}, open.addresses()...)
	if c.Dev {
		log.Debug("configuration", "config", c)
	} else {
		facts = append(facts, "config", c)
	}
	log.Info("starting", facts...)
}

// listenForAdmins listens where the page and REST are served; nil if the public listener serves them.
func listenForAdmins(c config.Config) (net.Listener, error) {
	if c.AdminListen == "" {
		return nil, nil
	}
	return Listen("STAYKEY_ADMIN_LISTEN", c.AdminListen)
}

// warnOf logs what somebody asked for and may not want.
func warnOf(s config.Set, log *slog.Logger) {
	for _, owner := range s.Guessable() {
		log.Warn(
			"signing secret repeats itself and is easy to guess: make a random one (openssl rand -base64 24)",
			"of", owner)
	}
	for name, source := range s.Sources {
		if source.Insecure {
			log.Warn("source accepts unsigned webhooks: verify.method is none", "source", name)
		}
		if source.Format != nil && source.Format.Fetch != nil && source.Fetch == nil {
			log.Warn("source has no fetch block: its events wait as needs_fetch", "source",
				name, "format", source.Format.Name)
		}
		if w := source.WriteBack; w != nil && w.Preset.Quality == pms.QualityUnconfirmed {
			log.Warn("write-back preset is unconfirmed: compare a booking at the PMS with its reservation", "source",
				name, "preset", w.Preset.Name)
		}
	}
}

// tuneCollector trades spare memory for a fifth of the time that a burst would spend on collecting
// garbage. GOGC and GOMEMLIMIT win.
func tuneCollector(c config.Config) {
	if c.TuneGC {
		debug.SetGCPercent(400)
	}
	if c.TuneMemory {
		debug.SetMemoryLimit(96 << 20)
	}
}

// Listen listens on an address. The error names the setting it comes from.
func Listen(name, address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: is another service running there? Choose another address", name, err)
	}
	return l, nil
}
