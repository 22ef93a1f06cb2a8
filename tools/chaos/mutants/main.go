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
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
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
	atOnce := flag.Int("at-once", 4, "how many mutants run at the same time: most rigs wait for most of their time")
	list := flag.Bool("list", false, "print the names of the mutants, and run none")
	flag.Parse()
	if err := run(*only, *atOnce, *list); err != nil {
		fmt.Fprintln(os.Stderr, "chaos-mutants:", err)
		os.Exit(1)
	}
}

// run prints a row of a table for each mutant as soon as its rig ends.
func run(only string, atOnce int, list bool) error {
	which, err := regexp.Compile(only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	chosen := slices.DeleteFunc(slices.Clone(mutants), func(m mutant) bool { return !which.MatchString(m.name) })
	if list {
		for _, m := range chosen {
			fmt.Println(m.name)
		}
		return nil
	}

	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	fmt.Printf("| removed | effect | the rig that fails | its first failure |\n| --- | --- | --- | --- |\n")
	dir, err := os.MkdirTemp("", "staykey-mutants-")
	if err != nil {
		return fmt.Errorf("create a directory for the builds: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()

	together := builds(chosen)
	var mu sync.Mutex
	var failed error
	var workers errgroup.Group
	workers.SetLimit(max(atOnce, 1))

	for _, m := range chosen {
		workers.Go(func() error {
			if ctx.Err() != nil {
				return nil
			}
			started := time.Now()
			complaint, err := m.run(ctx, dir, together[m.pkg])

			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed = errors.Join(failed, fmt.Errorf("%s: %w", m.name, err))
				complaint = "**stays green or can't run**: " + err.Error()
			}
			fmt.Printf("| %s | %s | %s | %s |\n", m.name, m.what, strings.Trim(m.tests, "^$()"), complaint)
			fmt.Fprintf(os.Stderr, "%s: %s\n", m.name, time.Since(started).Round(time.Second))
			return nil
		})
	}
	_ = workers.Wait()
	return errors.Join(failed, ctx.Err())
}

// run runs a mutant's rig, and returns the first failure that it reports. Nothing runs any further after that one.
func (m mutant) run(ctx context.Context, dir string, together *build) (complaint string, err error) {
	if !together.has(m) {
		return m.runAlone(ctx, dir)
	}
	binary, err := together.make(ctx, dir)
	if err != nil {
		return m.runAlone(ctx, dir) // its own build says what is wrong with it
	}
	args := []string{
		"tool", "test2json", "-t", binary, "-test.v=test2json", "-test.paniconexit0", "-test.count=1", "-test.failfast",
		"-test.parallel=24", "-test.timeout=15m", "-test.run=" + m.tests,
	}
	return m.watch(ctx, []string{switchedBy + "=" + together.id(m)}, m.pkg, append(args, m.rapid()...)...)
}

// runAlone builds a mutant alone, in an overlay of its own.
func (m mutant) runAlone(ctx context.Context, dir string) (complaint string, err error) {
	if dir, err = os.MkdirTemp(dir, ""); err != nil {
		return "", fmt.Errorf("create a directory for the overlay: %w", err)
	}
	overlay, err := m.overlay(dir)
	if err != nil {
		return "", err
	}
	// GOFLAGS also reaches the programs that tests build. Existing flags are kept, so that the build cache is used.
	flags, err := exec.CommandContext(ctx, "go", "env", "GOFLAGS").Output()
	if err != nil {
		return "", fmt.Errorf("go env: %w", err)
	}
	env := strings.TrimSpace("GOFLAGS=" + strings.TrimSpace(string(flags)) + " -overlay=" + overlay)
	args := []string{
		"test", "-json", "-count=1", "-vet=off", "-ldflags=-s", "-failfast", "-parallel=24", "-timeout=15m",
		"-run=" + m.tests, m.pkg, "-args",
	}
	return m.watch(ctx, []string{env}, ".", append(args, m.rapid()...)...)
}

// rapid are flags for rigs that draw with rapid: it neither keeps what fails, nor looks for less that fails, too.
func (m mutant) rapid() []string {
	files, _ := filepath.Glob(filepath.Join(m.pkg, "*_test.go"))
	for _, file := range files {
		source, err := os.ReadFile(file) // #nosec G304 -- of the list of mutants
		if err == nil && strings.Contains(string(source), `"pgregory.net/rapid"`) {
			return []string{"-rapid.nofailfile", "-rapid.shrinktime=0s"}
		}
	}
	return nil
}

// watch runs a rig, with the go command, until its first failure.
func (m mutant) watch(ctx context.Context, env []string, dir string, args ...string) (string, error) {
	// Longer than a wait that only a hang can exceed (until.Patience), even on a busy machine.
	ctx, cancel := context.WithTimeout(ctx, 16*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", args...) // #nosec G204 -- of the list of mutants
	cmd.Dir = dir
	cmd.Env = slices.Concat(os.Environ(), m.env, env)
	// The tests and what they start are a group that ends together.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = time.Minute
	read := &results{failed: cancel}
	cmd.Stdout, cmd.Stderr = read, read
	err := cmd.Run()
	return read.conclude(m, err)
}

// overlay writes the mutant's files.
func (m mutant) overlay(dir string) (string, error) {
	files, err := edited(m.edits)
	if err != nil {
		return "", err
	}
	return writeOverlay(dir, files)
}

// edited are the files that edits change, by their path.
func edited(edits []edit) (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, e := range edits {
		content, changed := files[e.file]
		if !changed {
			var err error
			if content, err = os.ReadFile(e.file); err != nil { // #nosec G304 -- of the list of mutants
				return nil, fmt.Errorf("read the file to change: %w", err)
			}
		}
		if n := strings.Count(string(content), e.old); n != 1 {
			return nil, fmt.Errorf("%s contains this %d times instead of once (the list of mutants is out of date): %s",
				e.file, n, e.old)
		}
		files[e.file] = []byte(strings.Replace(string(content), e.old, e.new, 1))
	}
	return files, nil
}

// writeOverlay has the compiler see files with another content, or that don't exist, and returns what tells it so.
func writeOverlay(dir string, files map[string][]byte) (string, error) {
	replaced := map[string]string{}
	for name, content := range files {
		path, err := filepath.Abs(name)
		if err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
		to := filepath.Join(dir, fmt.Sprintf("%d%s", len(replaced), filepath.Ext(name)))
		if err := os.WriteFile(to, content, 0o600); err != nil {
			return "", fmt.Errorf("write a changed file: %w", err)
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
