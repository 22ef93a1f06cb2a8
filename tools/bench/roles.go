package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/staykey/staykey/internal/handlers"
	"github.com/staykey/staykey/internal/handlers/webhook"
	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// Servers to compare with, with the same HTTP stack and the same checks.
const (
	roleNothing = "nothing" // answers without storing
	roleOne     = "one"     // stores each event in a transaction of its own
)

// Phases of cost: they do their work and end.
const (
	roleAccept = "accept" // accepts a new stay's event for each stay, as many at a time as wrk posts
	roleChange = "change" // the same with new dates
	roleCancel = "cancel" // the same with a cancellation
	roleApply  = "apply"  // applies what waits
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

// doPhase does a phase of cost.
func doPhase(ctx context.Context, role string, stays int) error {
	s, err := store.Open(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		return err
	}
	defer s.Close()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	if role == roleApply {
		source := func(string) pms.Source { return pms.Source{Policy: pms.DefaultPolicy()} }
		return intake.NewApplier(s, log, intake.Options{Source: source}).Drain(ctx)
	}
	acceptor := intake.NewAcceptor(s.Events, log, &intake.Pace{}, func() {}, intake.CommitWithin)
	var next atomic.Int64
	errs := make([]error, connections)
	var wg sync.WaitGroup
	for w := range connections {
		wg.Go(func() {
			for i := int(next.Add(1)); i <= stays && errs[w] == nil; i = int(next.Add(1)) {
				_, errs[w] = acceptor.Accept(ctx, costEvent(role, i))
			}
		})
	}
	wg.Wait()
	return errors.Join(append(errs, acceptor.Close(ctx))...)
}

// costEvent is the i-th event of a phase, as the server would have it from wrk's posts.
func costEvent(role string, i int) store.Event {
	id, listing, now := fmt.Sprintf("run1-0-%d", i), fmt.Sprintf("listing-%d", 1+i*7%listings), time.Now().UTC()
	month, day, key, kind := 1+i%12, 1+i%24, id, "reservation.created"
	if role == roleChange {
		day, key, kind = 1+(i+1)%24, id+"-changed", "reservation.updated"
	}
	body := fmt.Appendf(nil, `{"type":%q,"timestamp":%q,"data":{"reservation_id":%q,"guest_email":"guest-%s@example.com",`+
		`"guest_name":"Jane Example","listing_id":%q,"check_in":"2031-%02d-%02dT15:00:00.000Z",`+
		`"check_out":"2031-%02d-%02dT11:00:00.000Z","notes":%q}}`, kind, pms.FormatInstant(now), id, id, listing, month,
		day, month, day+3,
		strings.Repeat("The guest asks for a quiet room. ", 20))
	if role == roleCancel {
		key, kind, listing = id+"-cancelled", "reservation.cancelled", ""
		body = fmt.Appendf(nil, `{"type":%q,"timestamp":%q,"data":{"reservation_id":%q}}`, kind,
			pms.FormatInstant(now), id)
	}
	return store.Event{
		EventID: uuid.Must(uuid.NewV7()), Source: "default", EventKey: &key, Type: kind, Status: stay.EventAccepted,
		ReservationID: &id, ListingID: orNone(listing), OccurredAt: &now, ReceivedAt: now, Body: body,
	}
}

// orNone is nil for no text.
func orNone(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// serveRole is such a server, or does such a phase.
func serveRole(ctx context.Context, role string, stays int) error {
	if role != roleNothing && role != roleOne {
		return doPhase(ctx, role, stays)
	}

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
