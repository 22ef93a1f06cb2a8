package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/staykey/staykey/internal/config"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store/storetest"
)

// command runs the program that ships.
func command(t *testing.T, env []string, args ...string) (out, problems string, status int) {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Env = env
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		exit := new(exec.ExitError)
		if !errors.As(err, &exit) {
			t.Fatal(err)
		}
		status = exit.ExitCode()
	}
	return stdout.String(), stderr.String(), status
}

// asks runs a command that asks the service in this process: starting the program for it costs more than the command.
// What the program makes of its environment is tested by [TestCommandsForAdmins].
func (p *process) asks(args ...string) (out, problems string, status int) {
	p.t.Helper()
	var stdout, stderr bytes.Buffer
	status = run(p.t.Context(), slices.Concat(args, []string{"--url", p.url, "--token-file", inFile(p.t, e2eToken)}),
		&streams{out: &stdout, err: &stderr})
	return stdout.String(), stderr.String(), status
}

func mustSay(t *testing.T, what, text string, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("%s does not say %q:\n%s", what, word, text)
		}
	}
}

func TestCommandsForAdmins(t *testing.T) {
	t.Parallel()
	_, env := simulated(t, storetest.DSN(t))
	p := launch(t, env)
	p.deliver("default", "listing.created", seedListing())
	p.deliver("default", "reservation.created", seedReservation())
	p.deliver("default", "reservation.created", map[string]any{"reservation_id": ""})
	p.until("3333122-433", "issued")
	at := []string{"STAYKEY_URL=" + p.url, "STAYKEY_TOKEN=" + e2eToken}

	out, _, status := command(t, at, "reservations", "jane@")
	mustSay(t, "reservations", out, "3333122-433", "issued", "jane@example.com", "2222222-2222")
	if status != 0 {
		t.Errorf("exit %d", status)
	}
	if out, _, _ := command(t, at, "reservations", "nobody"); out != "no results\n" {
		t.Errorf("nobody: %q", out)
	}
	out, _, _ = command(t, at, "reservation", "default", "3333122-433")
	mustSay(t, "reservation", out, "issued", "no changes needed", "reservation.created applied",
		"/acs/credentials/create: ok (the ACS user has no mobile key)")
	if strings.Index(out, "reservation.created applied") > strings.Index(out, "/acs/credentials/create") {
		t.Error("the timeline does not start with the oldest entry")
	}
	ids := filepath.Join(t.TempDir(), "ids")
	if err := os.WriteFile(ids, []byte("default/3333122-433\n\ndefault/nobody\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, problems, status := command(t, at, "act", "hold", "default/3333122-433", "--file", ids, "--reason",
		"the owner asks")
	mustSay(t, "act", out, "default/3333122-433  done", "default/nobody       refused", "undo until")
	mustSay(t, "act", problems, "some reservations were refused")
	undo := regexp.MustCompile(`staykey undo (\S+)`).FindStringSubmatch(out)
	if status != 1 || undo == nil {
		t.Fatalf("act: exit %d\n%s%s", status, out, problems)
	}
	out, _, status = command(t, at, "undo", undo[1])
	mustSay(t, "undo", out, "default/3333122-433  undone")
	if status != 0 {
		t.Errorf("undo: exit %d", status)
	}
	_, problems, status = command(t, at, "act", "hold", "nobody")
	mustSay(t, "act without a source", problems, `"nobody" must be a source, a slash and an id`)
	if status != 2 {
		t.Errorf("act without a source: exit %d", status)
	}
	out, _, _ = command(t, at, "audit", "--action", "erase_guest")
	mustSay(t, "audit", out, "no results")
	out, _, _ = command(t, at, "events", "--status", "rejected")
	mustSay(t, "events", out, "rejected", "data.reservation_id: is required")
	out, _, _ = command(t, at, "listings", "--query", "2222222")
	mustSay(t, "listings", out, "2222222-2222", "555555-5555")
	for _, args := range [][]string{
		{"reservations"},
		{"reservation", "default", "3333122-433"},
		{"events"},
		{"listings"},
		{"doctor"},
	} {
		out, problems, status := command(t, at, append(args, "--json")...)
		if !json.Valid([]byte(out)) || status != 0 {
			t.Errorf("%v --json: exit %d, %s%s", args, status, out, problems)
		}
	}
	for what, c := range map[string]struct {
		env  []string
		args []string
		code int
		says string
	}{
		"no such reservation": {at, []string{"reservation", "default", "none"}, 1, "reservation not found"},
		"a wrong token": {
			[]string{"STAYKEY_URL=" + p.url, "STAYKEY_TOKEN=x"},
			[]string{"reservations"},
			1,
			"refuses the token",
		},
		"erasing a part": {
			at,
			[]string{"erase-guest", "@example.com"},
			1,
			"guest_email: must be one complete e-mail address",
		},
		"erasing nobody": {
			at,
			[]string{"erase-guest", "nobody@example.com"},
			1,
			"nothing is stored for nobody@example.com",
		},
		"erasing a live stay": {at, []string{"erase-guest", "jane@example.com"}, 1, "stays of this guest are not over"},
		"a wrong parameter":   {at, []string{"reservations", "--key", "lost"}, 1, "query.key_status"},
		"nobody there":        {[]string{"STAYKEY_URL=http://127.0.0.1:1"}, []string{"doctor"}, 1, "can't be reached"},
		"waiting for nobody": {
			[]string{"STAYKEY_URL=http://127.0.0.1:1"},
			[]string{"doctor", "--wait", "10ms"},
			3,
			"not ready after 10ms: http://127.0.0.1:1 can't be reached",
		},
		"no token elsewhere": {
			[]string{"STAYKEY_URL=http://staykey.example"},
			[]string{"doctor"},
			2,
			"STAYKEY_TOKEN: is required",
		},
	} {
		_, problems, status := command(t, c.env, c.args...)
		if status != c.code || !strings.Contains(problems, c.says) {
			t.Errorf("%s: exit %d, %s", what, status, problems)
		}
	}
}

// TestDoctor finds what is wrong in the real world, and says what to do.
func TestDoctor(t *testing.T) {
	t.Parallel()
	sim, env := simulated(t, storetest.DSN(t))
	p := launch(t, env)
	p.deliver("default", "listing.created", seedListing())
	at := []string{"STAYKEY_URL=" + p.url, "STAYKEY_TOKEN=" + e2eToken}
	waitUntil(t, "the listing to be applied", func() bool {
		out, _, _ := p.asks("doctor")
		return strings.Contains(out, "1 listings have access groups that Seam knows")
	})
	out, problems, status := command(t, at, "doctor", "--wait", "2m")
	mustSay(t, "the doctor of a sound service", out, "test event accepted", "its clock and ours agree",
		"Seam accepts it", "Building A", "0 errors")
	if status != 0 {
		t.Errorf("a sound service: exit %d %s", status, problems)
	}
	sim.Change(func(s *simulator.State) {
		for id, system := range s.Systems {
			system.Disconnected = true
			s.Systems[id] = system
		}
		delete(s.Groups, "666666-6666")
	})
	p.deliver("default", "listing.created", map[string]any{"listing_id": "bare", "seam_access_group_ids": []string{}})
	waitUntil(t, "the second listing to be applied", func() bool {
		out, _, status = p.asks("doctor")
		return strings.Contains(out, "default/bare")
	})
	mustSay(t, "the doctor", out, "acs_system_disconnected", "reconnect it in the Seam console",
		"default/2222222-2222: Seam does not know access group 666666-6666",
		"default/bare: no access groups: its guests get no key")
	if status != 1 {
		t.Errorf("a service with errors: exit %d", status)
	}
	events, _, _ := p.asks("events", "--type", "staykey.test")
	mustSay(t, "events", events, "ignored", "test event (no effect)")
	if strings.Contains(p.log.String(), e2eToken) {
		t.Error("the log shows the token")
	}
}

// A token of the config file works as soon as the file is read again, and no longer than it is in it.
func TestTokensOfTheConfigFile(t *testing.T) {
	t.Parallel()
	made, entry, status := command(t, nil, "token", "new", "--name", "desk", "--scope", "read", "--source", "default")
	if status != 0 || !strings.HasPrefix(made, "sk_") || strings.Contains(entry, strings.TrimSpace(made)) {
		t.Fatalf("exit %d: %q %q", status, made, entry)
	}
	token := strings.TrimSpace(made)
	file := filepath.Join(t.TempDir(), "staykey.yaml")
	write := func(text string) {
		t.Helper()
		writeConfig(t, file, text)
	}
	yaml := entry[strings.Index(entry, "tokens:"):]
	write("trusted_proxies: []\n")
	_, env := simulated(t, storetest.DSN(t))
	p := launch(t, append(env, "STAYKEY_CONFIG="+file))
	ask := func() int {
		req, err := http.NewRequest(http.MethodGet, p.url+"/v1/reservations", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	if got := ask(); got != 401 {
		t.Errorf("before it is in the file: %d", got)
	}
	for _, step := range []struct {
		text string
		want int
	}{{yaml, 200}, {"trusted_proxies: []\n", 401}} {
		write(step.text)
		if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		waitUntil(t, "the config file to be taken", func() bool { return ask() == step.want })
	}
	if strings.Contains(p.log.String(), token) {
		t.Error("the log shows the token")
	}
}

func TestConfigTokens(t *testing.T) {
	t.Parallel()
	const hash = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
	for name, c := range map[string]struct {
		yaml string
		want string
	}{
		"no name": {"tokens: [{hash: " + hash + "}]", `:1:10: tokens[0].name: is required: letters`},
		"twice": {
			"tokens: [{name: a, hash: " + hash + "}, {name: a, hash: " + hash + "}]",
			`tokens[1].name: "a" is defined twice`,
		},
		"in clear": {"tokens: [{name: a, hash: secret}]", "tokens[0].hash: must be \"sha256:\" and 64 hex digits"},
		"another scope": {
			"tokens: [{name: a, hash: " + hash + ", scope: all}]",
			`tokens[0].scope: "all" must be read, write, gates or guest`,
		},
		"no source": {
			"tokens: [{name: a, hash: " + hash + ", sources: []}]",
			"tokens[0].sources: must name at least one",
		},
		"a strange one": {
			"tokens: [{name: a, hash: " + hash + ", sources: [nobody]}]",
			`tokens[0].sources[0]: "nobody" is not a source`,
		},
		"unknown key": {"tokens: [{name: a, hash: " + hash + ", role: admin}]", "role"},
		"right":       {"tokens: [{name: a, hash: " + hash + ", scope: write, sources: [default]}]", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "c.yaml")
			if err := os.WriteFile(file, []byte(c.yaml), 0o600); err != nil {
				t.Fatal(err)
			}
			var problems config.Problems
			set := config.LoadSources(file, "whsec_x", os.Getenv, &problems)
			if c.want == "" {
				if len(problems) > 0 || len(set.Tokens) != 1 || !set.Tokens[0].Write {
					t.Errorf("%v %+v", problems, set.Tokens)
				}
				return
			}
			if !strings.Contains(problems.Error(), c.want) {
				t.Errorf("problems %v, want %s", problems, c.want)
			}
		})
	}
}
