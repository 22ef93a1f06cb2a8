package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/staykey/staykey/internal/handlers"
	"github.com/staykey/staykey/internal/handlers/webhook"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/store"
)

// Servers to compare with, with the same HTTP stack and the same checks.
const (
	roleNothing = "nothing" // answers without storing
	roleOne     = "one"     // stores each event in a transaction of its own
)

func secret() pms.Secret { return pms.Secret(secretText) }

// secretOf is a secret of its own for each name.
func secretOf(name string) pms.Secret { return pms.Secret(fmt.Sprintf("%-32s", name)) }

type nothing struct{}

func (nothing) Accept(_ context.Context, e store.Event) (store.Accepted, error) {
	return store.Accepted{EventID: e.EventID}, nil
}

type one struct{ store *store.Store }

func (o one) Accept(ctx context.Context, e store.Event) (store.Accepted, error) {
	fates, err := o.store.Events.Insert(ctx, []store.Event{e})
	if err != nil {
		return store.Accepted{}, err
	}
	return fates[0], nil
}

// serveRole is such a server.
func serveRole(ctx context.Context, role string) error {
	var inbox webhook.Inbox = nothing{}
	if role == roleOne {
		db, err := store.Open(ctx, os.Getenv("DATABASE_URL"))
		if err != nil {
			return err
		}
		defer db.Close()
		inbox = one{db}
	}
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	sources := map[string]pms.Source{"default": {
		Name:     "default",
		Verifier: pms.StandardWebhooks{Secrets: []pms.Secret{secret()}}, Policy: pms.DefaultPolicy(),
	}}
	proxies := handlers.Proxies(func() pms.Addresses { return nil })
	public, _ := handlers.New(
		handlers.Config{Log: log, Metrics: prometheus.NewRegistry()},
		webhook.New(webhook.Config{
			Sources: func() map[string]pms.Source { return sources }, Inbox: inbox,
			Limits: handlers.NewLimits(proxies.Sender), Proxies: proxies,
			Log: log, Now: time.Now,
		}),
	)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: public, ReadHeaderTimeout: 5 * time.Second}
	go func() { <-ctx.Done(); _ = server.Close() }()
	log.Info("ready", "listen", l.Addr().String())
	if err := server.Serve(l); err != http.ErrServerClosed { //nolint:errorlint // as documented
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}
