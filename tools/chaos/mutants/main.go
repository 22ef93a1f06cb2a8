// Command mutants is make chaos-mutants: it removes each protection from the program in turn, in an overlay that
// only the compiler sees, and runs a rig that must then fail. A rig that stays green proves nothing.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// edit replaces a text that must be in a file exactly once.
type edit struct{ file, old, new string }

// mutant is the program without one protection.
type mutant struct {
	name  string
	what  string // what the program does without it
	edits []edit
	pkg   string
	tests string
	env   []string
}

func main() {
	only := flag.String("only", "", "regular expression: run only mutants with such a name")
	flag.Parse()
	if err := run(*only); err != nil {
		fmt.Fprintln(os.Stderr, "chaos-mutants:", err)
		os.Exit(1)
	}
}

func run(only string) error {
	which, err := regexp.Compile(only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	fmt.Printf("| removed | effect | the rig that fails | its first failure |\n| --- | --- | --- | --- |\n")
	var failed error
	for _, m := range mutants {
		if !which.MatchString(m.name) || ctx.Err() != nil {
			continue
		}
		complaint, err := m.run(ctx)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", m.name, err))
			complaint = "**stays green or can't run**: " + err.Error()
		}
		fmt.Printf("| %s | %s | %s | %s |\n", m.name, m.what, strings.Trim(m.tests, "^$()"), complaint)
	}
	return errors.Join(failed, ctx.Err())
}

// run builds the overlay, and returns the first failure that the rig reports.
func (m mutant) run(ctx context.Context) (complaint string, err error) {
	dir, err := os.MkdirTemp("", "staykey-mutant-")
	if err != nil {
		return "", fmt.Errorf("create a directory for the overlay: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	overlay, err := m.overlay(dir)
	if err != nil {
		return "", err
	}
	// Longer than a wait that only a hang can exceed (until.Patience), even on a busy machine.
	ctx, cancel := context.WithTimeout(ctx, 16*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-parallel", "24", "-timeout", "15m", "-run", m.tests,
		m.pkg) // #nosec G204 -- of the list below
	// GOFLAGS also reaches the programs that tests build. Existing flags are kept, so that the build cache is used.
	flags, err := exec.CommandContext(ctx, "go", "env", "GOFLAGS").Output()
	if err != nil {
		return "", fmt.Errorf("go env: %w", err)
	}
	cmd.Env = append(append(os.Environ(), m.env...),
		strings.TrimSpace("GOFLAGS="+strings.TrimSpace(string(flags))+" -overlay="+overlay))
	out, err := cmd.CombinedOutput()
	switch {
	case strings.Contains(string(out), "[build failed]"), strings.Contains(string(out),
		"go build:"), strings.Contains(string(out), "[setup failed]"):
		return "", fmt.Errorf("the mutant doesn't build: %s", out)
	case strings.Contains(string(out), "[no tests to run]"):
		return "", fmt.Errorf("no test matches %s", m.tests)
	case err == nil:
		return "", errors.New("the rig is green without the protection")
	case !strings.Contains(string(out), "--- FAIL"):
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return firstComplaint(string(out)), nil
}

func (m mutant) overlay(dir string) (string, error) {
	replaced := map[string]string{}
	for _, e := range m.edits {
		path, err := filepath.Abs(e.file)
		if err != nil {
			return "", fmt.Errorf("%s: %w", e.file, err)
		}

		from := path
		if earlier, ok := replaced[path]; ok {
			from = earlier
		}
		content, err := os.ReadFile(from) // #nosec G304 -- of the list below
		if err != nil {
			return "", fmt.Errorf("read the file to change: %w", err)
		}

		if n := strings.Count(string(content), e.old); n != 1 {
			return "", fmt.Errorf("%s contains this %d times instead of once (the list of mutants is out of date): %s",
				e.file, n, e.old)
		}

		to := filepath.Join(dir, fmt.Sprintf("%d%s", len(replaced), filepath.Ext(path)))
		if earlier, ok := replaced[path]; ok {
			to = earlier
		}
		if err := os.WriteFile(to, []byte(strings.Replace(string(content), e.old, e.new, 1)), 0o600); err != nil {
			return "", fmt.Errorf("write the changed file: %w", err)
		}
		replaced[path] = to
	}

	encoded, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		return "", fmt.Errorf("encode the overlay: %w", err)
	}
	path := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(path, encoded, 0o600); err != nil {
		return "", fmt.Errorf("write the overlay: %w", err)
	}
	return path, nil
}

// complaint is a failure of a test, not a line of the service's log.
var complaint = regexp.MustCompile(`(?m)^\s+(?:\w+_test|until)\.go:\d+: (.*)$`)

func firstComplaint(out string) string {
	for _, match := range complaint.FindAllStringSubmatch(out, -1) {
		line := strings.TrimSpace(match[1])
		if line == "" || strings.Contains(line, " wrong, ") ||
			regexp.MustCompile(`^\d\d\.\d{3} |^[^:]+: /[a-z_/ ]+$|STAYKEY_WORLD_SEED|log of the service`).MatchString(
				line) {
			continue // a history, or figures
		}
		if len(line) > 160 {
			line = line[:160] + "…"
		}
		return strings.ReplaceAll(line, "|", "\\|")
	}
	return "it fails"
}
