package main

import (
	"context"
	"crypto/tls"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/config"
	"github.com/staykey/staykey/internal/fetch"
	"github.com/staykey/staykey/internal/guest"
	"github.com/staykey/staykey/internal/handlers"
	guestpage "github.com/staykey/staykey/internal/handlers/guest"
	"github.com/staykey/staykey/internal/handlers/rest"
	"github.com/staykey/staykey/internal/handlers/web"
	"github.com/staykey/staykey/internal/handlers/webhook"
	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/notify"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/provisioner"
	"github.com/staykey/staykey/internal/retention"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/migrations"
)

// What clients may take of us: they share the connections (see fairListener), and a header or a request that comes too
// slowly is cut off. A proxy in front keeps its connections, so that idle ones may stay for a while.
const (
	maxConnections    = 1024
	maxOpsConnections = 64
	headerWithin      = 5 * time.Second
	requestWithin     = 15 * time.Second
	idleFor           = 90 * time.Second
)

// appliers share the inbox as replicas do: while one waits for Postgres, another computes.
const appliers = 2

// flushActivity is how often what happened is written down for the page's chart.
const flushActivity = 3 * time.Second

type serveCommand struct {
	Settings config.Settings `embed:""`
}

// Help is shown below the flags of serve --help.
func (*serveCommand) Help() string { return config.EnvironmentHelp }

// Run starts the service and serves until ctx ends.
func (s *serveCommand) Run(ctx context.Context, io *streams) error {
	c, err := s.Settings.Load(os.Getenv)
	if err != nil {
		return err
	}
	log, flush := newLogger(c, io)
	defer flush()
	ctx, end := context.WithCancel(ctx)
	defer end()
	// A trial has nothing to read again, unless it was given files.
	canReload := !c.Dev || s.Settings.Config != "" || c.TLS != nil
	reload := io.hangups.split(ctx, canReload, func() {
		log.Info("terminal closed: stopping")
		end()
	})
	tuneCollector(c)
	warnOf(c.Set, log)
	// Addresses first: anyone who has a port already should be told before anything is started.
	public, err := listen("STAYKEY_LISTEN", c.Listen)
	if err != nil {
		return err
	}
	defer func() { _ = public.Close() }()
	ops, err := listen("STAYKEY_OPS_LISTEN", c.OpsListen)
	if err != nil {
		return err
	}
	private := serveOps(ops, log)
	defer func() { _ = private.Close() }()
	var machine *devMachine
	if c.Dev {
		if machine, err = startDev(ctx, &c, log); err != nil {
			return err
		}
		defer machine.stop()
	}
	log.Info("starting", "version", version, "commit", commit, "config", c)
	stopTraces, err := startTraces(ctx, c, log)
	if err != nil {
		return err
	}
	defer stopTraces()
	db, err := openDatabase(ctx, &c, machine, log)
	if err != nil {
		return err
	}
	defer db.Close()
	service, err := newService(ctx, c, db, log)
	if err != nil {
		return err
	}
	return service.serve(ctx, public, private, reload, func() {
		if machine != nil {
			_, _ = fmt.Fprintln(io.out, machine.introduction(c, public.Addr(), ops.Addr()))
		}
	})
}

// warn shows what somebody asked for and may not want.
func warnOf(s config.Set, log *slog.Logger) {
	for name, source := range s.Sources {
		if source.Insecure {
			log.Warn("source accepts unsigned webhooks: verify.method is none", "source", name)
		}
		if source.Format != nil && source.Format.Fetch != nil && source.Fetch == nil {
			log.Warn("events wait as needs_fetch: the source has no fetch block for documents of its PMS", "source", name, "format", source.Format.Name)
		}
	}
}

// tuneCollector trades memory that nobody misses for a fifth of the time that a burst would spend on collecting
// garbage. GOGC and GOMEMLIMIT win.
func tuneCollector(c config.Config) {
	if c.TuneGC {
		debug.SetGCPercent(400)
	}
	if c.TuneMemory {
		debug.SetMemoryLimit(96 << 20)
	}
}

func listen(name, address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: is another service running there? Choose another address", name, err)
	}
	return l, nil
}

// connect connects, waiting for a Postgres that is just starting.
func connect(ctx context.Context, dsn string, log *slog.Logger) (*store.Store, error) {
	db, err := store.Open(ctx, dsn)
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(30 * time.Second)
	for {
		err := db.Ping(ctx)
		if err == nil {
			break
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			db.Close()
			return nil, fmt.Errorf("DATABASE_URL: Postgres does not answer: %w", err)
		}
		log.Warn("waiting for Postgres", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
	return db, nil
}

// migrate applies the migrations that the database lacks. It waits for locks as long as it takes; the version that runs continues meanwhile.
func migrate(ctx context.Context, db *store.Store, log *slog.Logger) error {
	sqlDB := migrationDB(db.Pool().Config().ConnConfig)
	defer func() { _ = sqlDB.Close() }()
	pending, err := migrations.Pending(ctx, sqlDB)
	if err != nil || !pending {
		return err
	}
	var said time.Time
	applied, err := migrations.Up(ctx, sqlDB, func(err error) {
		if time.Since(said) >= time.Minute {
			said = time.Now()
			log.Warn("migration waiting for a lock: find its holder in pg_stat_activity, such as a backup or an open transaction", "error", err)
		}
	})
	if len(applied) > 0 {
		log.Info("database migrated", "migrations", applied)
	}
	return err
}

// migrationDB opens connections for migrations: statements may take as long as they take, waits for locks may not.
func migrationDB(like *pgx.ConnConfig) *sql.DB {
	config := like.Copy()
	config.Tracer = nil // the service's deadlines
	config.RuntimeParams["statement_timeout"] = "0"
	config.RuntimeParams["idle_in_transaction_session_timeout"] = "0"
	config.RuntimeParams["lock_timeout"] = fmt.Sprint(migrations.LockTimeout.Milliseconds())
	config.RuntimeParams["application_name"] = "staykey migrate"
	return stdlib.OpenDB(*config)
}

// service is the running parts.
type service struct {
	config       config.Config
	log          *slog.Logger
	store        *store.Store
	seam         *seam.Client
	acceptor     *intake.Acceptor
	applier      *intake.Applier
	provisioner  *provisioner.Provisioner
	keeper       *retention.Keeper
	notifier     *notify.Notifier
	guests       *guest.Service
	fetcher      *fetch.Fetcher
	activity     *store.Activity
	sources      atomic.Pointer[config.Set]
	policies     atomic.Pointer[map[string]pms.Policy] // the decided ones
	public, ops  http.Handler
	listener     atomic.Pointer[fairListener] // the public one, once it serves
	working      atomic.Bool
	readiness    *readiness
	seamTroubles atomic.Pointer[map[string]string] // as readiness's detail has them
}

func newService(ctx context.Context, c config.Config, db *store.Store, log *slog.Logger) (*service, error) {
	s := &service{config: c, log: log, store: db, activity: store.NewActivity()}
	s.sources.Store(&c.Set)
	if err := s.decidePolicies(ctx, c.Set); err != nil {
		return nil, err
	}
	s.reportOrphans(ctx)
	salt, err := db.Setting(ctx, "identity_salt", store.NewSalt)
	if err != nil {
		return nil, err
	}
	cursorKey, err := db.Setting(ctx, "cursor_key", store.NewSalt)
	if err != nil {
		return nil, err
	}
	if s.seam, err = seam.New(seam.Config{Endpoint: c.SeamEndpoint, APIKey: c.SeamAPIKey}); err != nil {
		return nil, fmt.Errorf("SEAM_ENDPOINT: %w", err)
	}
	source := s.source
	policy := func(name string) pms.Policy { return source(name).Policy }
	var pace intake.Pace
	s.provisioner = provisioner.New(db, s.seam, salt, log, provisioner.Options{
		Activity: s.activity, DefaultSystem: c.SeamSystemID, DueWithin: c.DueWithin, Policy: policy, ReadPolicies: s.readPoliciesNow, RetryBase: c.RetryBase, SweepInterval: c.SweepInterval,
		ClockIsWrong: func() bool { return s.readiness.clockIsWrong() }, Crowded: pace.Crowded, Workers: c.Workers, Configured: func(name string) bool { return s.sources.Load().Names(name) },
	})
	if s.fetcher, err = fetch.New(db, db.Pool(), log, source, func() { s.applier.Wake() }, c.RetryBase); err != nil {
		return nil, err
	}
	s.applier = intake.NewApplier(db, log, time.Now, source, s.fetcher, &pace, s.provisioner.Wake)
	s.applier.Activity, s.applier.Traced = s.activity, c.Traced
	s.acceptor = intake.NewAcceptor(db, log, &pace, s.applier.Wake)
	s.readiness = &readiness{log: log, now: time.Now, trial: db.TryAccepting, refused: s.acceptor.Refused, full: s.full}
	s.keeper = retention.New(db, log, time.Now, c.Ages, pace.Crowded)
	if err := db.SeeSubscriptions(ctx, subscriptionNames(c.Subscriptions), time.Now()); err != nil {
		return nil, err
	}
	s.notifier = notify.New(db, log, notify.Options{
		Subscriptions: s.subscriptions, Gates: s.gates, GatedSources: s.gatedSources, PublicURL: c.PublicURL, Version: version,
		Retain: c.RetainDeliveries, Now: time.Now,
	})
	db.OnCommit(s.notifier.Committed)
	registry, err := s.newRegistry()
	if err != nil {
		return nil, err
	}
	linkSalt, err := db.Setting(ctx, "guest_link_salt", store.NewSalt)
	if err != nil {
		return nil, err
	}
	s.guests = guest.New(db, s.seam, log, guest.Options{PublicURL: c.PublicURL, Salt: salt, LinkSalt: linkSalt, Secret: c.SeamAPIKey, Source: source})
	sources := func() map[string]pms.Source { return s.sources.Load().Sources }
	tester := &webhook.Tester{Now: time.Now, PublicURL: c.PublicURL}
	service := admin.New(admin.Config{
		Store: db, Intake: s.applier, Provisioner: s.provisioner, Activity: s.activity, Log: log, Now: time.Now, CursorKey: []byte(cursorKey),
		DueWithin: c.DueWithin, PublicURL: c.PublicURL, Sources: sources, Gates: s.gates, Subscriptions: s.subscriptionSettings, Provisioning: s.provisioning,
		Diagnose: s.diagnose, TestSource: tester.Test, TestSubscription: s.testSubscription, Deliver: s.notifier.Wake,
		Guests: s.guests,
	})
	proxies := handlers.Proxies(func() pms.Addresses { return s.sources.Load().TrustedProxies })
	limits := handlers.NewLimits(proxies.Sender)
	auth := handlers.NewAuth(s.tokens, proxies, time.Now)
	s.public, s.ops = handlers.New(
		handlers.Config{
			Log: log, Metrics: registry, Profiling: c.Profiling, Ready: s.ready, PublicURL: c.PublicURL, Traced: c.Traced,
		},
		webhook.New(webhook.Config{
			Sources: sources, Inbox: s.acceptor, Store: db, Activity: s.activity, Limits: limits, Proxies: proxies, Log: log, Now: time.Now,
			SeamSecrets: func() []pms.Secret { return s.sources.Load().SeamSecrets }, SeamChanged: s.provisioner.Wake, Traced: c.Traced,
		}),
		guestpage.New(guestpage.Config{Links: s.guests, Limits: handlers.NewLimits(proxies.Sender), Log: log, Now: time.Now}),
		rest.New(rest.Config{Admin: service, Auth: auth, Limits: limits, Log: log, Version: version}),
		web.New(web.Config{
			Admin: service, Auth: auth, Limits: limits, Proxies: proxies, Log: log, Now: time.Now, FormKey: []byte(cursorKey),
			PublicURL: c.PublicURL, Done: ctx.Done(), Version: version,
		}),
	)
	tester.Public = s.public
	return s, nil
}

// reloadCertificate shows a renewed certificate from now on.
func (s *service) reloadCertificate() {
	if s.config.TLS == nil {
		return
	}
	if err := s.config.TLS.Reload(); err != nil {
		s.log.Error("certificate not reloaded, keeping the old one", "error", err)
		return
	}
	s.log.Info("certificate reloaded")
}

// tokens are those of admins by now.
func (s *service) tokens() []admin.Token {
	set := s.sources.Load()
	return slices.Concat(set.AdminSecrets, set.Tokens)
}

// countActivity writes what has been counted, every few seconds until ctx ends, and the rest then.
func (s *service) countActivity(ctx context.Context) {
	tick := time.NewTicker(flushActivity)
	defer tick.Stop()
	for running := true; running; {
		select {
		case <-ctx.Done():
			running = false
		case <-tick.C:
		}
		flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		if err := s.store.FlushActivity(flush, s.activity); err != nil {
			s.log.Warn("activity not read: the page's chart is empty", "error", err)
		}
		cancel()
	}
}

// reloadSources reads the configuration of sources again. If anything is wrong with it, or a source in use has gone from it, the
// present one stays. Policies are decided first and in one transaction: if that fails, none of the new one is in use.
func (s *service) reloadSources(ctx context.Context) {
	fresh, err := s.config.Reload()
	set := fresh.Set
	if err == nil {
		s.config.Redactor.Hide(fresh.Secrets()) // before anything can log them
		err = s.dropped(ctx, set)
	}
	if err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			s.log.Error("configuration not reloaded, keeping the current one", "problem", line)
		}
		return
	}
	warnOf(set, s.log)
	if err := s.decidePolicies(ctx, set); err != nil {
		s.log.Error("configuration not reloaded, keeping the current one: send SIGHUP again", "error", err)
		return
	}
	s.sources.Store(&set)
	for name, changed := range map[string]bool{"SEAM_API_KEY": !s.config.Simulate && fresh.SeamAPIKey != s.config.SeamAPIKey, "DATABASE_URL": !s.config.Dev && fresh.DatabaseURL != s.config.DatabaseURL} {
		if changed {
			s.log.Warn("changed setting needs a restart", "setting", name)
		}
	}
	s.reportOrphans(ctx)
	names := slices.Sorted(maps.Keys(set.Sources))
	if err := s.fetcher.TakeUp(ctx, names); err != nil {
		s.log.Error("events waiting for documents not resumed yet", "error", err)
	}
	s.applier.Wake()
	s.log.Info("configuration reloaded", "sources", names)
}

// full reports whether a new client of the public listener would be refused.
func (s *service) full() bool {
	l := s.listener.Load()
	return l != nil && l.ceiling.Full()
}

// provisioning tells how the work at Seam goes.
func (s *service) provisioning(ctx context.Context) (admin.Provisioning, error) {
	p := admin.Provisioning{Disconnected: []admin.Disconnected{}}
	if trouble := s.provisioner.Trouble(); trouble != "" {
		p.Paused = &trouble
	}
	disconnected, err := s.store.Disconnections(ctx)
	if err != nil {
		return p, err
	}
	for _, d := range disconnected {
		p.Disconnected = append(p.Disconnected, admin.Disconnected{ACSSystemID: d.ACSSystemID, Since: pms.FormatInstant(d.Since), Problem: d.Problem})
	}
	last, err := provisioner.LastSweep(ctx, s.store)
	if err == nil && !last.At.IsZero() {
		p.LastSweep = &last
	}
	return p, err
}

// troubles words what stands in the way at Seam, by the names that readiness's detail has for them.
func troubles(p admin.Provisioning) map[string]string {
	said := map[string]string{}
	if p.Paused != nil {
		said["seam"] = *p.Paused
	}
	if n := len(p.Disconnected); n > 0 {
		said["access_systems"] = fmt.Sprintf("%d disconnected, the first is %s: reconnect it in the Seam console", n, p.Disconnected[0].ACSSystemID)
	}
	if p.LastSweep != nil && p.LastSweep.HeldBack > 0 {
		said["sweep"] = fmt.Sprintf("%d keys are missing at Seam, too many at once for automatic repair: check that the access system is the right one, then reconcile reservations by hand", p.LastSweep.HeldBack)
	}
	return said
}

// serve runs until ctx ends, then stops in order: no new requests, what was accepted is finished, running
// attempts get their time.
func (s *service) serve(ctx context.Context, public net.Listener, private *privateServer, reload <-chan struct{}, started func()) error {
	// Before any worker runs: what fails here ends the process, and nothing must be left running on a database that is closed.
	if err := s.fetcher.TakeUp(ctx, slices.Sorted(maps.Keys(s.sources.Load().Sources))); err != nil {
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopFetches)
		defer cancel()
		return errors.Join(err, s.fetcher.Stop(stopping))
	}
	apply, stopApply := context.WithCancel(context.WithoutCancel(ctx))
	defer stopApply()
	provision, stopProvision := context.WithCancel(context.WithoutCancel(ctx))
	defer stopProvision()
	var workers sync.WaitGroup
	for range appliers {
		workers.Go(func() { s.applier.Run(apply) })
	}
	workers.Go(func() { s.keeper.Run(apply) })
	workers.Go(func() { s.guests.Run(provision) })
	workers.Go(func() { s.notifier.Run(provision, stopDeliveries) })
	workers.Go(func() { s.countActivity(apply) })
	workers.Go(func() { s.watchPolicies(apply) })
	s.readiness.look(ctx)
	workers.Go(func() { s.readiness.run(apply) })
	workers.Go(func() { s.watchSeam(apply) })
	workers.Go(func() { s.provisioner.Run(provision, stopJobs) })
	s.working.Store(true)
	errorLog := slog.NewLogLogger(s.log.Handler(), slog.LevelWarn)
	server := &http.Server{Handler: s.public, ErrorLog: errorLog, ReadHeaderTimeout: headerWithin, ReadTimeout: requestWithin, WriteTimeout: time.Minute, IdleTimeout: idleFor, MaxHeaderBytes: 32 << 10, ConnState: noteState}
	shared := newFairListener(public, maxConnections, func() pms.Addresses { return s.sources.Load().TrustedProxies })
	s.listener.Store(shared)
	public = shared
	if s.config.TLS != nil {
		public = tls.NewListener(public, s.config.TLS.Config())
	}
	failed := make(chan error, 1)
	go func() {
		if err := server.Serve(public); !errors.Is(err, http.ErrServerClosed) {
			failed <- fmt.Errorf("serve %s: %w", public.Addr(), err)
		}
	}()
	private.use(s.ops)
	s.log.Info("ready", "listen", public.Addr().String(), "ops_listen", private.address.String())
	started()
	var err error
	for serving := true; serving; {
		select {
		case <-ctx.Done():
			serving = false
		case err = <-failed:
			serving = false
		case err = <-private.failed:
			serving = false
		case <-reload:
			s.reloadSources(ctx)
			s.reloadCertificate()
		}
	}
	s.stop(ctx, s.config.StopDelay, server, private.Server, stopProvision, stopApply, &workers)
	return err
}
