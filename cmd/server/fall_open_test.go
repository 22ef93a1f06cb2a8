package main

import (
	"context"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/staykey/staykey/internal/config"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/store/storetest"
)

// refusedStart runs the program, which must end on its own with one line that holds the words.
func refusedStart(t *testing.T, env []string, words ...string) {
	t.Helper()
	env = append([]string{
		"STAYKEY_LISTEN=127.0.0.1:0", "STAYKEY_OPS_LISTEN=127.0.0.1:0", "STAYKEY_LOG_LEVEL=error",
		"STAYKEY_DEV_DIR=" + filepath.Join(t.TempDir(), "dev"),
	}, env...)
	_, problems, status := command(t, env, "serve")
	if status == 0 {
		t.Error("exit 0")
	}
	if strings.Count(strings.TrimSpace(problems), "\n") != 0 {
		t.Errorf("more than one line: %s", problems)
	}
	mustSay(t, "the refusal", problems, words...)
}

// A production service that loses its environment does not come up again with development secrets on the guests' data,
// and what a development start took is not provisioned by a production one.
func TestEnvironmentIsLost(t *testing.T) {
	t.Parallel()
	dsn := storetest.DSN(t)
	_, env := simulated(t, dsn)
	p := launch(t, env)
	p.deliver("default", "listing.created", seedListing())
	p.deliver("default", "reservation.created", seedReservation())
	p.stop()
	lost := []string{"DATABASE_URL=" + dsn, "STAYKEY_DEV_WITHOUT_KEY=true"}
	refusedStart(t, append(lost, "STAYKEY_DEV_LOOPBACK=true"),
		"DATABASE_URL: this database belongs to a production service", "set SEAM_API_KEY")
	refusedStart(t, append(lost, "STAYKEY_WEBHOOK_SECRET="+e2eSecret.String(), "STAYKEY_ADMIN_TOKEN="+e2eToken),
		"belongs to a production service")
	refusedStart(t, []string{"DATABASE_URL=" + dsn, "STAYKEY_DEV=true", "SEAM_API_KEY=seam_test_e2e"},
		"belongs to a production service")
	launch(t, env).stop()
}

func TestDevelopmentDatabaseIsRefused(t *testing.T) {
	t.Parallel()
	dsn := fewConnections(t, storetest.DSN(t))
	p := launch(t, []string{"DATABASE_URL=" + dsn, "STAYKEY_DEV_DIR=" + filepath.Join(t.TempDir(), "dev")},
		"serve", "--dev")
	p.stop()
	_, env := simulated(t, dsn)
	refusedStart(t, env, "DATABASE_URL: this database was created by a development start", "name another database")
}

// Elsewhere than on loopback, a development start makes secrets that nobody can know, and keeps them.
func TestDevelopmentSecretsBeyondLoopback(t *testing.T) {
	t.Parallel()
	if !(config.Config{Simulate: true, Listen: "127.0.0.1:0"}).WellKnownFit() ||
		(config.Config{Simulate: true, Listen: ":8080"}).WellKnownFit() ||
		(config.Config{Listen: "127.0.0.1:0"}).WellKnownFit() {
		t.Error("the well-known secrets fit where they should not")
	}
	load := func(seed string) config.Config {
		c, err := config.Settings{Dev: true, Listen: "0.0.0.0:8080"}.Load(func(string) string { return "" })
		if err != nil {
			t.Fatal(err)
		}
		if err := c.UseDatabaseSecrets(seed); err != nil {
			t.Fatal(err)
		}
		return c
	}
	first, again, other := load("seed"), load("seed"), load("another seed")
	if first.AdminTokens[0] != again.AdminTokens[0] || first.WebhookSecret != again.WebhookSecret ||
		first.Sources["default"].Secrets[0] != first.WebhookSecret {
		t.Error("one database's secrets change from start to start")
	}
	if first.AdminTokens[0] == other.AdminTokens[0] || first.WebhookSecret == other.WebhookSecret ||
		config.IsWellKnown(first.AdminTokens[0]) || config.IsWellKnown(first.WebhookSecret) {
		t.Error("two databases have the same secrets")
	}
	dir := filepath.Join(t.TempDir(), "dev")
	dsn := fewConnections(t, storetest.DSN(t))
	p := launch(t, []string{"DATABASE_URL=" + dsn, "STAYKEY_DEV_DIR=" + dir, "STAYKEY_LISTEN=:0"}, "serve", "--dev")
	waitUntil(t, "the introduction", func() bool {
		return strings.Contains(p.out.String(),
			"curl -sS -H \"Authorization")
	})
	if strings.Contains(p.out.String(), config.DevAdminToken) ||
		strings.Contains(p.out.String(), config.DevWebhookSecret) {
		t.Errorf("it uses well-known secrets on every address:\n%s", p.out)
	}
	req, err := http.NewRequest(http.MethodGet, p.url+"/v1/reservations", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+config.DevAdminToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("the well-known token is answered %s", resp.Status)
	}
	db, err := store.Open(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	seed, err := db.Setting(context.Background(), "development_seed", func() string { return "" })
	if err != nil || seed == "" {
		t.Fatalf("seed %q: %v", seed, err)
	}
	if c := load(seed); !strings.Contains(p.out.String(), c.AdminTokens[0]) || strings.Contains(p.out.String(), seed) {
		t.Errorf("the database's own secrets are not printed:\n%s", p.out)
	}
}

// stop ends the program as an operator does, and waits for it.
func (p *process) stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	<-p.done
}
