package app

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/config"
	"github.com/staykey/staykey/internal/doors"
	"github.com/staykey/staykey/internal/fetch"
	"github.com/staykey/staykey/internal/guest"
	"github.com/staykey/staykey/internal/handlers"
	guestpage "github.com/staykey/staykey/internal/handlers/guest"
	"github.com/staykey/staykey/internal/handlers/rest"
	"github.com/staykey/staykey/internal/handlers/web"
	"github.com/staykey/staykey/internal/handlers/webhook"
	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/jobs"
	"github.com/staykey/staykey/internal/notify"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/pmsapi"
	"github.com/staykey/staykey/internal/provisioner"
	"github.com/staykey/staykey/internal/retention"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/sso"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/writeback"
)

// service is the running parts. What is asked of it while it runs has types of its own:
//
//	configured   the current configuration: sources with their policies, subscriptions, tokens (policies.go)
//	reloader     reads it again, and settles what the database must know of it (reload.go, settle.go, watch.go)
//	health       whether webhooks can be stored, and whether Seam works (readiness.go)
//
// The service itself makes the parts (here), runs them (serve.go), stops them in order (stop.go), and shows them as
// metrics (metrics.go) and to staykey doctor (diagnose.go).
type service struct {
	configured *configured
	reloader   *reloader
	health     *health

	build       Build
	config      config.Config
	log         *slog.Logger
	store       *store.Store
	seam        *seam.Client
	acceptor    *intake.Acceptor
	applier     *intake.Applier
	provisioner *provisioner.Provisioner
	doors       *doors.Checker
	keeper      *retention.Keeper
	notifier    *notify.Notifier
	guests      *guest.Service
	writer      *writeback.Service
	jobs        *jobs.Client
	fetcher     *fetch.Fetcher
	accounts    pmsapi.Clients // of PMSs, for all callers of their APIs
	activity    *store.Activity
	signIns     *sso.Client // of people with the identity provider
	public, ops http.Handler
	admin       http.Handler  // nil: public has its routes
	listener    *fairListener // the public one
}

// installation is what a database keeps for all who use it.
type installation struct{ identitySalt, cursorKey, linkSalt string }

// read reads what a service needs from the database: the installation's secrets, which the first start creates, and the
// policies that were decided, without which keys of sources that were removed from the configuration would change.
func (s *service) read(ctx context.Context) (in installation, err error) {
	for name, value := range map[string]*string{
		"identity_salt": &in.identitySalt, "cursor_key": &in.cursorKey, "guest_link_salt": &in.linkSalt,
	} {
		if *value, err = s.store.Setting(ctx, name, store.NewSalt); err != nil {
			return in, err
		}
	}
	return in, s.configured.readPolicies(ctx)
}

// newService builds a service that does nothing yet: it waits for what the database must hold, then makes the parts
// that work, and last the faces that listeners serve.
func (start startup) newService(ctx context.Context, c config.Config, build Build, db *store.Store,
	listener *fairListener, set *atomic.Pointer[config.Set],
) (*service, error) {
	s := newIdle(start.log, c, build, db, listener, set)
	var kept installation
	err := start.whenAble(ctx, func() (err error) {
		kept, err = s.read(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	if s.seam, err = seam.New(seam.Config{Endpoint: c.SeamEndpoint, APIKey: c.SeamAPIKey}); err != nil {
		return nil, fmt.Errorf("SEAM_ENDPOINT: %w", err)
	}

	if err := s.addWorkers(kept); err != nil {
		return nil, err
	}
	registry, err := s.newRegistry()
	if err != nil {
		return nil, err
	}
	s.addFaces(ctx, kept, registry)
	return s, nil
}

// newIdle is a service with its configuration and no parts.
func newIdle(log *slog.Logger, c config.Config, build Build, db *store.Store, listener *fairListener,
	set *atomic.Pointer[config.Set],
) *service {
	s := &service{
		build: build, config: c, log: log, store: db, activity: store.NewActivity(), listener: listener,
		signIns:    sso.New(time.Now, sso.AnswerWithin),
		configured: &configured{store: db, log: log, sources: set},
	}
	s.configured.sources.Store(&c.Set)
	s.reloader = &reloader{
		configured: s.configured, config: c, wake: func() { s.applier.Wake() },
		resume: func(ctx context.Context, sources []string) error { return s.fetcher.TakeUp(ctx, sources) },
	}
	s.reloader.reloads.turn, s.reloader.reloads.succeeded = make(chan struct{}, 1), time.Now()
	return s
}

// addWorkers makes what applies events, provisions keys, checks doors, reports and prunes.
func (s *service) addWorkers(kept installation) (err error) {
	c, db, log := s.config, s.store, s.log
	var pace intake.Pace

	s.provisioner = provisioner.New(db, s.seam, kept.identitySalt, log, s.provisionerOptions(&pace))
	s.doors = doors.New(db, s.seam, log, doors.Options{
		Every: min(time.Minute, c.SweepInterval), Policy: s.policy,
		Idle: func() bool { return s.provisioner.Trouble() != "" || s.health.readiness.clockIsWrong() },
	})

	if s.jobs, err = jobs.New(db.Pool(), log, jobs.Options{}); err != nil {
		return err
	}
	s.fetcher = fetch.New(db, s.jobs, log, fetch.Options{
		Accounts: &s.accounts, Source: s.configured.source, Done: func() { s.applier.Wake() }, First: c.RetryBase,
	})
	s.applier = intake.NewApplier(db, log, intake.Options{
		Source: s.configured.source, Fetches: s.fetcher, Pace: &pace, Applied: s.provisioner.Wake, Activity: s.activity,
		Traced: c.Traced,
	})
	s.acceptor = intake.NewAcceptor(db.Events, log, &pace, s.applier.Wake, db.Within(intake.CommitWithin))
	s.health = &health{
		configured: s.configured, provisioner: s.provisioner, unsettled: s.reloader.unsettled,
		readiness: &readiness{
			log: log, now: time.Now, trial: db.Events.TryAccepting, within: db.Within, refused: s.acceptor.Refused,
			full: s.full,
		},
	}
	s.keeper = retention.New(db, log, time.Now, c.Ages, pace.Crowded)

	s.notifier = notify.New(db, log, notify.Options{
		Subscriptions: s.configured.subscriptions, Gates: s.configured.gates,
		GatedSources: s.configured.gatedSources, AdminURL: c.AdminURL, Version: s.build.Version,
		Retain: c.RetainDeliveries, Now: time.Now,
	})
	s.guests = guest.New(db, s.seam, log, guest.Options{
		PublicURL: c.PublicURL, Salt: kept.identitySalt, LinkSalt: kept.linkSalt, Secret: c.SeamAPIKey,
		Source: s.configured.source,
	})
	return nil
}

// policy is a source's.
func (s *service) policy(name string) pms.Policy { return s.configured.source(name).Policy }

// provisionerOptions are the provisioner's, which makes way for events at the pace that the applier shares.
func (s *service) provisionerOptions(pace *intake.Pace) provisioner.Options {
	c := s.config
	return provisioner.Options{
		Secret: c.SeamAPIKey, Activity: s.activity, DefaultSystem: c.SeamSystemID, DueWithin: c.DueWithin,
		Policy: s.policy, ReadPolicies: s.configured.readPoliciesNow, RetryBase: c.RetryBase,
		SweepInterval: c.SweepInterval, Workers: c.Workers, Crowded: pace.Pressed,
		ClockIsWrong: func() bool { return s.health.readiness.clockIsWrong() },
		Configured:   func(name string) bool { return s.configured.sources.Load().Names(name) },
	}
}

// addFaces makes what answers requests, and the write-back, which writes what REST shows.
func (s *service) addFaces(ctx context.Context, kept installation, registry *prometheus.Registry) {
	c, log, key := s.config, s.log, []byte(kept.cursorKey)
	sources := func() map[string]pms.Source { return s.configured.sources.Load().Sources }
	signIn := func() *sso.Settings { return s.configured.sources.Load().SignIn }
	tester := &webhook.Tester{Now: time.Now, Key: key, PublicURL: c.PublicURL}

	service := admin.New(admin.Config{
		Store: s.store, Intake: s.applier, Provisioner: s.provisioner, Activity: s.activity, Log: log, Now: time.Now,
		CursorKey: key, DueWithin: c.DueWithin, PublicURL: c.PublicURL, Sources: sources, Gates: s.configured.gates,
		Subscriptions: s.configured.subscriptionSettings, Provisioning: s.health.provisioning,
		Stopped: s.health.stopped, Guests: s.guests,
		Diagnose: s.diagnose, TestSource: tester.Test, TestSubscription: s.testSubscription, Deliver: s.notifier.Wake,
	})
	s.writer = s.newWriter(service.Reservations.Shown, c.SeamAPIKey+kept.linkSalt)
	s.store.OnCommit(func() {
		s.notifier.Committed()
		s.writer.Committed()
	})

	proxies := handlers.Proxies(func() pms.Addresses { return s.configured.sources.Load().TrustedProxies })
	limits := handlers.NewLimits(proxies.Sender)
	auth := handlers.NewAuth(s.configured.tokens, proxies, time.Now)
	forAll := []handlers.Face{
		webhook.New(webhook.Config{
			Sources: sources, Inbox: s.acceptor, Store: s.store, Activity: s.activity, Limits: limits, Proxies: proxies,
			Log: log, Now: time.Now,
			SeamSecrets: func() []pms.Secret { return s.configured.sources.Load().SeamSecrets },
			SeamChanged: s.provisioner.Wake, Traced: c.Traced, TestKey: key,
		}),
		guestpage.New(guestpage.Config{
			Links: s.guests, Limits: handlers.NewLimits(proxies.Sender), Log: log, Now: time.Now,
		}),
	}
	forAdmins := []handlers.Face{
		rest.New(rest.Config{Admin: service, Auth: auth, Limits: limits, Log: log, Version: s.build.Version}),
		web.New(web.Config{
			Admin: service, Auth: auth, Limits: limits, Proxies: proxies, Log: log, Now: time.Now, FormKey: key,
			SSO:       &web.SSO{Client: s.signIns, Settings: signIn},
			PublicURL: c.PublicURL, AdminURL: c.AdminURL, Done: ctx.Done(), Version: s.build.Version,
		}),
	}

	s.serveFaces(handlers.Config{
		Log: log, Metrics: registry, Profiling: c.Profiling, Ready: s.health.ready, Reload: s.reloader.reloadByHTTP,
		PublicURL: c.PublicURL, Traced: c.Traced,
	}, forAll, forAdmins)
	tester.Public = s.public
}

// serveFaces decides which listener serves what: the public one everything, unless admins have their own.
func (s *service) serveFaces(routes handlers.Config, forAll, forAdmins []handlers.Face) {
	if s.config.AdminListen == "" {
		s.public, s.ops = handlers.New(routes, slices.Concat(forAll, forAdmins)...)
		return
	}
	s.public, s.ops = handlers.New(routes, forAll...)
	routes.PublicURL = s.config.AdminURL
	s.admin = handlers.Serve(routes, forAdmins...)
}

// full reports whether a new client of the public listener would be refused.
func (s *service) full() bool {
	return s.listener != nil && s.listener.ceiling.Full()
}
