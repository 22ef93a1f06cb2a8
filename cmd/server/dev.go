package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/staykey/staykey/internal/postgres"
	"github.com/staykey/staykey/internal/seam/simulator"
)

// devMachine is what --dev adds to make a fresh machine enough.
type devMachine struct {
	postgres  *postgres.Server
	simulator *http.Server
	seamURL   string
	workspace string // the simulated one, "" where Seam is real
}

// startDev brings up what the configuration lacks and fills in its addresses.
func startDev(ctx context.Context, c *config, log *slog.Logger) (*devMachine, error) {
	m := &devMachine{}
	if c.DatabaseURL == "" {
		err := os.MkdirAll(c.DevDir, 0o755) // #nosec G301 -- an unprivileged Postgres must get through
		if err != nil {
			return nil, fmt.Errorf("STAYKEY_DEV_DIR: %w", err)
		}
		server, err := postgres.Start(ctx, postgres.Options{Dir: filepath.Join(c.DevDir, "postgres"), Log: func(s string) { log.Info(s) }})
		if err != nil {
			return nil, err
		}
		m.postgres, c.DatabaseURL = server, server.DSN()
	}
	if c.Simulate {
		sim, err := simulator.New(simulator.Options{StateFile: filepath.Join(c.DevDir, "simulator.json")})
		if err != nil {
			m.stop()
			return nil, err
		}
		furnish(sim)
		m.workspace = sim.State().WorkspaceID
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			m.stop()
			return nil, fmt.Errorf("listen for the Seam simulator: %w", err)
		}
		m.seamURL = "http://" + l.Addr().String()
		m.simulator = &http.Server{Handler: sim, ReadHeaderTimeout: 5 * time.Second}
		go func() { _ = m.simulator.Serve(l) }()
		c.SeamEndpoint, c.SeamAPIKey = m.seamURL, "seam_test_simulated"
	}
	return m, nil
}

func (m *devMachine) stop() {
	if m.simulator != nil {
		_ = m.simulator.Close()
	}
	if m.postgres != nil {
		_ = m.postgres.Stop()
	}
}

// furnish gives a new simulator a Salto KS site with some access groups: the seed's, by their names there.
func furnish(sim *simulator.Simulator) {
	if len(sim.State().Systems) > 0 {
		return
	}
	const system = "11111111-1111-1111-1111-111111111111"
	sim.Change(func(s *simulator.State) {
		s.Systems[system] = simulator.System{ID: system, Name: "Building A"}
		for id, name := range map[string]string{"555555-5555": "Room 12", "666666-6666": "Front door", "777777-7777": "Pool and gym"} {
			s.Groups[id] = simulator.AccessGroup{ID: id, SystemID: system, Name: name}
		}
	})
}

// introduce prints what to try, with commands that work as they stand.
func (m *devMachine) introduce(io *streams, c config, public, ops net.Addr) {
	base := "http://" + loopback(public)
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	say("\nstaykey %s is ready. Ctrl-C stops it.\n", version)
	say("  Page for admins     %s/", base)
	say("  REST and its docs   %s/docs", base)
	if !c.Compose { // the private listener and the simulator are not reached from outside its container
		say("  Health in detail    http://%s/readyz", loopback(ops))
	}
	switch {
	case m.seamURL != "" && c.Compose:
		say("  Seam                simulated")
	case m.seamURL != "":
		say("  Seam (simulated)    %s/_simulator/state", m.seamURL)
	default:
		say("  Seam                %s", c.SeamEndpoint)
	}
	if m.postgres != nil {
		say("  Data                %s (delete %s to start anew)", m.postgres.Dir(), c.DevDir)
	}
	source, known := c.Sources["default"]
	// The operator's own secrets are not ours to show.
	secret, token := "$STAYKEY_WEBHOOK_SECRET", "$STAYKEY_ADMIN_TOKEN" // #nosec G101 -- the names of variables
	if c.made.webhook {
		secret = c.webhookSecret
		say("  Webhook secret      %s", secret)
	}
	if c.made.admin {
		token = c.AdminTokens[0]
		say("  Admin token         %s", token)
	}
	if !known || len(source.Secrets) == 0 || source.Format != nil {
		_, _ = fmt.Fprintln(io.out, b.String())
		return
	}
	executable, err := os.Executable()
	if err != nil {
		executable = "staykey"
	}
	if c.Compose {
		executable = "docker compose exec -T staykey " + executable
	}
	in := time.Now().UTC().AddDate(0, 0, 1)
	day := func(days int) string { return in.AddDate(0, 0, days).Format("2006-01-02") }
	post := fmt.Sprintf(`%s sign --secret "%s" "$body" | curl -sS -H @- -H 'Content-Type: application/json' -d "$body" %s/webhooks/default`, executable, secret, base)
	now := time.Now().UTC().Format("2006-01-02T15:04:05.000Z")
	say("\nIn another terminal, post a listing and a reservation, and read the key back:\n")
	say(`body='{"type":"listing.created","timestamp":"%s","data":{"listing_id":"2222222-2222","seam_access_group_ids":["555555-5555","666666-6666"]}}'`, now)
	say("%s\n", post)
	say(`body='{"type":"reservation.created","timestamp":"%s","data":{"reservation_id":"3333122-433","guest_email":"jane@example.com","listing_id":"2222222-2222","check_in":"%sT15:00:00.000Z","check_out":"%sT11:00:00.000Z"}}'`, now, day(0), day(3))
	say("%s\n", post)
	say(`curl -sS -H "Authorization: Bearer %s" %s/v1/reservations/default/3333122-433`, token, base)
	_, _ = fmt.Fprintln(io.out, b.String())
}

// loopback writes an address as a local client can use it.
func loopback(a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
