package app

import (
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/staykey/staykey/internal/config"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/seam/simulator"
)

// What --dev prints: each secret that it made, because nobody else knows it, and never one that the operator set.
func TestIntroductionShowsWhatWasMade(t *testing.T) {
	t.Parallel()
	ownSecret := pms.Secret("the operator's own webhook secret").String()
	const ownToken = "the-operators-own-admin-token"
	hotel := filepath.Join(t.TempDir(), "staykey.yaml")
	if err := os.WriteFile(hotel,
		[]byte("sources:\n  - name: hotel\n    verify: {method: standard-webhooks, secrets: [\""+ownSecret+"\"]}\n"),
		0o600); err != nil {
		t.Fatal(err)
	}

	for _, tc := range []struct {
		name                   string
		settings               config.Settings
		showsSecret, showToken bool
		commands               bool
	}{
		{"nothing is set", config.Settings{}, true, true, true},
		{"with a Seam key", config.Settings{SeamAPIKey: "seam_x"}, true, true, true},
		{"a webhook secret is set", config.Settings{WebhookSecret: ownSecret}, false, true, true},
		{"an admin token is set", config.Settings{AdminToken: ownToken}, true, false, true},
		{"both are set", config.Settings{WebhookSecret: ownSecret, AdminToken: ownToken}, false, false, true},
		{"a config file without the source default", config.Settings{Config: hotel}, false, true, false},
		{
			"the same with a Seam key, so that the token is random",
			config.Settings{Config: hotel, SeamAPIKey: "seam_x"},
			false, true, false,
		},
		{"a config file and an admin token", config.Settings{Config: hotel, AdminToken: ownToken}, false, false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			tc.settings.Dev = true
			c, err := tc.settings.Load(func(string) string { return "" })
			if err != nil {
				t.Fatal(err)
			}
			text := introductionOf(c)
			for _, own := range []string{ownSecret, ownToken} {
				if strings.Contains(text, own) {
					t.Errorf("the operator's own secret is printed:\n%s", text)
				}
			}
			for label, want := range map[string]bool{
				"Webhook secret": tc.showsSecret, "Admin token": tc.showToken,
				"/webhooks/default": tc.commands,
			} {
				if strings.Contains(text, label) != want {
					t.Errorf("%s: shown %v, want %v:\n%s", label, !want, want, text)
				}
			}
			if tc.showToken && !strings.Contains(text, c.AdminTokens[0]) {
				t.Errorf("nobody can sign in: the token is not shown:\n%s", text)
			}
		})
	}
}

func TestIntroductionOfTLS(t *testing.T) {
	t.Parallel()
	c, err := config.Settings{Dev: true}.Load(func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	c.TLS = &config.Certificate{}
	text := introductionOf(c)
	for line := range strings.Lines(text) {
		if strings.Contains(line, "http://127.0.0.1:8080") || strings.Contains(line, "curl -sS") &&
			!strings.Contains(line, "--insecure") {
			t.Errorf("does not work with TLS: %s", line)
		}
	}
	if !strings.Contains(text, "https://127.0.0.1:8080/docs") {
		t.Errorf("no https address:\n%s", text)
	}
}

// Each access group of the simulated site opens a door with mobile keys: without one, Today would warn of the group. A
// site that was kept from before it had doors gets them.
func TestFurnishedGroupsOpenDoors(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "simulator.json")
	furnished := func() *simulator.Simulator {
		t.Helper()
		sim, err := simulator.New(simulator.Options{StateFile: file})
		if err != nil {
			t.Fatal(err)
		}
		Furnish(sim)
		return sim
	}
	check := func(when string, state *simulator.State) {
		t.Helper()
		if len(state.Groups) == 0 {
			t.Errorf("%s: no access groups", when)
		}
		for id := range state.Groups {
			if !opensWithMobileKeys(state, id) {
				t.Errorf("%s: no door of %s opens with mobile keys", when, id)
			}
		}
	}

	sim := furnished()
	check("a new site", sim.State())
	sim.Change(func(s *simulator.State) { clear(s.Entrances) })
	check("one kept from before", furnished().State())
}

func opensWithMobileKeys(state *simulator.State, group string) bool {
	for _, door := range state.Entrances {
		if slices.Contains(door.GroupIDs, group) && door.MobileKeys != nil && *door.MobileKeys {
			return true
		}
	}
	return false
}

func introductionOf(c config.Config) string {
	public, ops := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080}, &net.TCPAddr{
		IP:   net.IPv4(127, 0, 0, 1),
		Port: 9090,
	}
	return (&devMachine{seamURL: "http://127.0.0.1:8180"}).introduction(c, "1.2.3", listeners{
		public: &publicServer{address: public}, private: &privateServer{address: ops},
	})
}

// The database and the simulated Seam of --dev belong together: both are unchanged, or both are new.
func TestDevStateIsWholeOrNew(t *testing.T) {
	t.Parallel()
	made, err := os.MkdirTemp("", "staykey-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(made) })
	if err := os.Chmod(made, 0o755); err != nil { //nolint:gosec // the unprivileged Postgres must get through
		t.Fatal(err)
	}
	dir := filepath.Join(made, "dev")
	state := devState{dir}
	start := func(key string) (fresh bool, workspace string) {
		t.Helper()
		c := config.Config{Dev: true, DevDir: dir, Simulate: key == "", SeamAPIKey: key}
		m, err := startDev(t.Context(), &c, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		m.stop()
		return m.postgres.Fresh(), m.workspace
	}
	clean := func() {
		t.Helper()
		if err := CleanDevState(dir); err != nil {
			t.Fatal(err)
		}
		if exists(dir) {
			t.Fatal("the clean-up leaves the directory")
		}
	}

	running := config.Config{Dev: true, DevDir: dir, Simulate: true, DatabaseURL: "postgres://u@localhost/x"}
	m, err := startDev(t.Context(), &running, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	again := running
	if _, err := startDev(t.Context(), &again, slog.New(slog.DiscardHandler)); err == nil ||
		!strings.Contains(err.Error(), "another staykey is running") {
		t.Errorf("a second one in the same directory: %v", err)
	}
	m.stop()

	fresh, first := start("")
	if !fresh {
		t.Error("the first start is not a new one")
	}
	if fresh, workspace := start(""); fresh || workspace != first {
		t.Errorf("the second start: new database %v, workspace %s after %s", fresh, workspace, first)
	}
	if err := os.Remove(state.simulator()); err != nil {
		t.Fatal(err)
	}
	fresh, second := start("")
	if !fresh || second == first {
		t.Errorf("without the simulator's state: new database %v, workspace %s after %s", fresh, second, first)
	}
	if err := os.RemoveAll(state.postgres()); err != nil {
		t.Fatal(err)
	}
	fresh, third := start("")
	if !fresh || third == second {
		t.Errorf("without the database: new database %v, workspace %s after %s", fresh, third, second)
	}
	if fresh, _ := start("seam_a_real_key"); fresh {
		t.Error("a start with a key has another database")
	}
	if err := os.Remove(state.simulator()); err != nil {
		t.Fatal(err)
	}
	if fresh, _ := start(""); fresh {
		t.Error("a database that knows the real Seam was removed")
	}
	clean()
	if fresh, _ := start(""); !fresh {
		t.Error("after dev clean the database is an old one")
	}
	clean()
}
