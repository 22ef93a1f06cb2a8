package app

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/staykey/staykey/internal/config"
	"github.com/staykey/staykey/internal/localpg"
	"github.com/staykey/staykey/internal/seam/simulator"
)

// devMachine is what --dev adds to make a fresh machine enough.
type devMachine struct {
	lock      *os.File // held while the directory is in use
	postgres  *localpg.Server
	simulator *http.Server
	seamURL   string
	workspace string // the simulated one, "" where Seam is real
}

// startDev brings up what the configuration lacks and fills in its addresses.
func startDev(ctx context.Context, c *config.Config, log *slog.Logger) (*devMachine, error) {
	m := &devMachine{}
	state := devState{c.DevDir}
	var err error
	if m.lock, err = state.lock(); err != nil {
		return nil, err
	}

	if c.DatabaseURL == "" {
		server, err := state.start(ctx, c.Simulate, log)
		if err != nil {
			m.stop()
			return nil, err
		}
		m.postgres, c.DatabaseURL = server, server.DSN()
	}

	if c.Simulate {
		sim, err := simulator.New(simulator.Options{StateFile: state.simulator()})
		if err != nil {
			m.stop()
			return nil, err
		}
		Furnish(sim)

		if m.postgres != nil && m.postgres.Fresh() {
			if err := state.markSimulated(); err != nil {
				m.stop()
				return nil, err
			}
		}
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
	if m.lock != nil {
		_ = m.lock.Close()
	}
}

// Furnish gives a new simulator a Salto KS site with some access groups, the seed's, by their names there. Each opens a
// door of its name with mobile keys; a site that was kept from before simulators had doors gets them, too.
func Furnish(sim *simulator.Simulator) {
	const system = "11111111-1111-1111-1111-111111111111"
	names := map[string]string{"555555-5555": "Room 12", "666666-6666": "Front door", "777777-7777": "Pool and gym"}

	if len(sim.State().Systems) == 0 {
		sim.Change(func(s *simulator.State) {
			s.Systems[system] = simulator.System{ID: system, Name: "Building A"}
			for id, name := range names {
				s.Groups[id] = simulator.AccessGroup{ID: id, SystemID: system, Name: name}
			}
		})
	}

	if furnished := sim.State(); len(furnished.Entrances) == 0 {
		for id, name := range names {
			if furnished.Groups[id].SystemID == system {
				sim.AddEntrance(system, "door-"+id, name, id)
			}
		}
	}
}

// introduction is what --dev prints when it is ready: addresses, the secrets that it made, and commands that work
// as they are.
func (m *devMachine) introduction(c config.Config, version string, open listeners) string {
	scheme := "http"
	if c.TLS != nil {
		scheme = "https"
	}
	base := scheme + "://" + Loopback(open.public.address)
	admin := base
	if open.admin != nil {
		admin = scheme + "://" + Loopback(open.admin.address)
	}
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	say("\nstaykey %s is ready. Ctrl-C stops it.\n", version)
	say("  Admin page          %s/", admin)
	say("  API reference       %s/docs", admin)
	if !c.Compose { // the private listener and the simulator can't be reached from outside its container
		say("  Health              http://%s/readyz", Loopback(open.private.address))
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
		say("  Data                %s (make clean, or staykey dev clean, removes it)", m.postgres.Dir())
		say("  Postgres            %s", c.DatabaseURL)
	}
	// The operator's own secrets are not ours to show; what was made here nobody else can know.
	if c.Made.Webhook {
		say("  Webhook secret      %s", c.WebhookSecret)
	}
	if c.Made.Admin {
		say("  Admin token         %s", c.AdminTokens[0])
	}
	b.WriteString(exports(c, admin))
	if source := c.Sources["default"]; len(source.Secrets) > 0 && source.Format == nil {
		b.WriteString(firstCommands(c, base, admin))
	}
	return b.String()
}

// exports sets what the other commands of staykey need in another terminal. An operator's own secrets are set there
// already.
func exports(c config.Config, base string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nIn another terminal, set these for staykey's other commands and the ones below:\n\nexport STAYKEY_URL=%s\n", base)
	if c.Made.Admin {
		fmt.Fprintf(&b, "export STAYKEY_ADMIN_TOKEN=%s\n", c.AdminTokens[0])
	}
	if c.Made.Webhook {
		fmt.Fprintf(&b, "export STAYKEY_WEBHOOK_SECRET=%s\n", c.WebhookSecret)
	}
	return b.String()
}

// firstCommands post a listing and a reservation, and read the key back. They work alone, too, without the exports.
func firstCommands(c config.Config, base, admin string) string {
	secret, token := "", "$STAYKEY_ADMIN_TOKEN" // #nosec G101 -- the name of a variable
	if c.Made.Webhook {
		secret = fmt.Sprintf(`STAYKEY_WEBHOOK_SECRET="%s" `, c.WebhookSecret)
	}
	if c.Made.Admin {
		token = c.AdminTokens[0]
	}
	executable, err := os.Executable()
	if err != nil {
		executable = "staykey"
	}

	sign := secret + executable + " sign"
	if c.Compose {
		if secret != "" { // an operator's own is in the container's environment
			secret = "-e " + secret
		}
		sign = "docker compose exec -T " + secret + "staykey " + executable + " sign"
	}
	curl := "curl -sS"
	if c.TLS != nil {
		curl += " --insecure" // the certificate is for another name than this machine's loopback address
	}

	now := time.Now().UTC()
	day := func(days int) string { return now.AddDate(0, 0, days).Format("2006-01-02") }
	event := func(kind, data string) string {
		return fmt.Sprintf(`body='{"type":"%s","timestamp":"%s","data":{%s}}'`, kind,
			now.Format("2006-01-02T15:04:05.000Z"), data)
	}
	post := fmt.Sprintf(`%s "$body" | %s -H @- -H 'Content-Type: application/json' -d "$body" %s/webhooks/default`,
		sign, curl, base)
	return strings.Join([]string{
		"\nPost a listing and a reservation, and read the key back:\n",
		event("listing.created", `"listing_id":"2222222-2222","seam_access_group_ids":["555555-5555","666666-6666"]`),
		post + "\n",
		event("reservation.created",
			fmt.Sprintf(`"reservation_id":"3333122-433","guest_email":"jane@example.com","listing_id":"2222222-2222",`+
				`"check_in":"%sT15:00:00.000Z","check_out":"%sT11:00:00.000Z"`, day(1), day(4))),
		post + "\n",
		"sleep 2   # the key takes a moment",
		fmt.Sprintf(`%s -H "Authorization: Bearer %s" %s/v1/reservations/default/3333122-433`, curl,
			token, admin) + "\n",
	}, "\n")
}

// Loopback writes an address as a local client can use it.
func Loopback(a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
