package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/staykey/staykey/internal/localpg"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/migrations"
)

//go:embed events.lua
var eventsLua []byte

// How the load looks: as many connections as a busy PMS keeps, bodies of 1 KB, and the listings that they name.
const (
	connections = 32
	listings    = 1000
	secretText  = "benchmark-secret-of-32-bytes-len"
	adminToken  = "benchmark-admin-token-0123456789" // #nosec G101 -- of a server that lives for a minute, on loopback
	system      = "bench-system"
	group       = "bench-group"
)

// Settings of the Postgres that is measured: those of deploy/postgres/postgresql.conf, or Postgres' own defaults.
// Durability is on in both.
const (
	recommended = "recommended"
	stock       = "stock"
)

// recommendedFile is what docker-compose.yml uses.
const recommendedFile = "deploy/postgres/postgresql.conf"

// settingsOf returns settings as name=value. Which addresses to listen on is the run's own decision.
func settingsOf(which string) ([]string, error) {
	if which == stock {
		return nil, nil
	}
	if which != recommended {
		return nil, fmt.Errorf("-settings: %q is neither %s nor %s", which, recommended, stock)
	}
	content, err := os.ReadFile(recommendedFile)
	if err != nil {
		return nil, fmt.Errorf("run it in the repository's root: %w", err)
	}
	var settings []string
	for line := range strings.Lines(string(content)) {
		name, value, found := strings.Cut(strings.TrimSpace(line), " = ")
		if found && !strings.HasPrefix(name, "#") && name != "listen_addresses" {
			settings = append(settings, name+"="+strings.Trim(value, "'"))
		}
	}
	return settings, nil
}

// bench is a run: what it runs on, and its results.
type bench struct {
	plan
	dir      string
	postgres *localpg.Server
	admin    *pgx.Conn
	lines    []line
	notes    []string
	lost     int
	made     int // databases
	costs    []cost
}

// line is a row of the table.
type line struct {
	what, value, p50, p99, against, base, ratio, target string
}

// newBench starts a Postgres. load says that wrk and pgbench are needed.
func newBench(ctx context.Context, p plan, load bool) (b *bench, err error) {
	b = &bench{plan: p}
	if load {
		if err := need(ctx, "wrk", "wrk"); err != nil {
			return nil, err
		}
		if err := need(ctx, "pgbench", "postgresql-contrib"); err != nil {
			return nil, err
		}
	}

	if b.dir, err = os.MkdirTemp("", "staykey-bench-"); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(b.dir, "events.lua"), eventsLua, 0o600); err != nil {
		return nil, err
	}

	if b.postgres, err = localpg.Start(ctx,
		localpg.Options{Settings: b.settings, Log: func(m string) { say("%s", m) }}); err != nil {
		return nil, err
	}

	if err := b.migrate(ctx); err != nil {
		b.stop()
		return nil, err
	}
	return b, nil
}

// migrate makes the database that the others are cloned from.
func (b *bench) migrate(ctx context.Context) (err error) {
	if b.admin, err = pgx.Connect(ctx, b.postgres.DSN()); err != nil {
		return err
	}
	if _, err := b.admin.Exec(ctx, `CREATE DATABASE migrated`); err != nil {
		return err
	}
	config, err := pgx.ParseConfig(b.dsn("migrated"))
	if err != nil {
		return err
	}
	db := stdlib.OpenDB(*config)
	defer func() { _ = db.Close() }()
	_, err = migrations.Up(ctx, db, nil)
	return err
}

// need finds a program, or has the distribution install it, as root on Debian or Ubuntu.
func need(ctx context.Context, program, pkg string) error {
	if _, err := exec.LookPath(program); err == nil {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err == nil && os.Geteuid() == 0 {
		say("installing %s", pkg)
		_ = exec.CommandContext(ctx, "apt-get", "update", "-q").Run()
		if out, err := exec.CommandContext(ctx, "apt-get", "install", "-y", "-q", "--no-install-recommends",
			pkg).CombinedOutput(); err != nil { // #nosec G204 -- constants
			return fmt.Errorf("apt-get install %s: %w: %s", pkg, err, lastLine(out))
		}
	}
	if _, err := exec.LookPath(program); err != nil {
		return fmt.Errorf("%s is needed and not installed: install the package %s", program, pkg)
	}
	return nil
}

func (b *bench) stop() {
	if b.admin != nil {
		_ = b.admin.Close(context.Background())
	}
	if b.postgres != nil {
		_ = b.postgres.Stop()
	}
	_ = os.RemoveAll(b.dir)
}

func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
}

func lastLine(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}

// dsn is the URL of a database of the run's Postgres.
func (b *bench) dsn(name string) string {
	return strings.Replace(b.postgres.DSN(), "/staykey?", "/"+name+"?", 1)
}

// database clones a database and returns its name and a connection.
func (b *bench) database(ctx context.Context, template string) (name string, db *pgx.Conn, err error) {
	b.made++
	name = fmt.Sprintf("bench_%d", b.made)
	if _, err := b.admin.Exec(ctx, `CREATE DATABASE `+name+` TEMPLATE `+template); err != nil {
		return "", nil, err
	}
	if db, err = pgx.Connect(ctx, b.dsn(name)); err != nil {
		return "", nil, err
	}
	return name, db, nil
}

// drop forgets a database, so that the next measurement finds the machine as this one did.
func (b *bench) drop(ctx context.Context, name string, db *pgx.Conn) {
	_ = db.Close(ctx)
	_, _ = b.admin.Exec(ctx, `DROP DATABASE `+name+` WITH (FORCE)`)
	_, _ = b.admin.Exec(ctx, `CHECKPOINT`)
}

// simulatedSeam is a workspace with an access system and a group, that answers after a while.
func simulatedSeam(latency time.Duration) (*simulator.Simulator, *httptest.Server, error) {
	sim, err := simulator.New(simulator.Options{Latency: latency})
	if err != nil {
		return nil, nil, err
	}
	sim.Change(func(s *simulator.State) {
		s.Systems[system] = simulator.System{ID: system, Name: "Bench"}
		s.Groups[group] = simulator.AccessGroup{ID: group, SystemID: system, Name: "Doors"}
	})
	return sim, httptest.NewServer(sim), nil
}

// program is a running server.
type program struct {
	cmd  *exec.Cmd
	log  *os.File
	url  string
	ops  string // "" of what is only compared with
	done chan error
}

// start runs a program that logs its address, and waits until it is ready.
func (b *bench) start(ctx context.Context, path string, env []string, args ...string) (*program, error) {
	log, err := os.CreateTemp(b.dir, "log-")
	if err != nil {
		return nil, err
	}
	p := &program{cmd: exec.CommandContext(ctx, path, args...), log: log, done: make(chan error, 1)} // #nosec G204 -- our own binaries
	p.cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "STAYKEY_LISTEN=127.0.0.1:0",
		"STAYKEY_OPS_LISTEN=127.0.0.1:0",
	}, env...)
	p.cmd.Stderr = log
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { p.done <- p.cmd.Wait() }()
	address := regexp.MustCompile(`"msg":"ready","listen":"([^"]+)"(?:,"ops_listen":"([^"]+)")?`)
	for {
		content, err := os.ReadFile(log.Name())
		if err != nil {
			return nil, err
		}
		if found := address.FindSubmatch(content); found != nil {
			p.url, p.ops = "http://"+string(found[1]), "http://"+string(found[2])
			return p, nil
		}
		select {
		case <-p.done:
			content, _ = os.ReadFile(log.Name())
			return nil, fmt.Errorf("%s did not start: %s", filepath.Base(path), lastLine(content))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// peak is the most memory that a program has held, in MiB; 0 where the system doesn't say.
func (p *program) peak() int {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	found := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	if found == nil {
		return 0
	}
	kilobytes, _ := strconv.Atoi(string(found[1]))
	return kilobytes / 1024
}

// forgetPeak begins to measure a program's memory from now on, where the system can.
func (p *program) forgetPeak() {
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.cmd.Process.Pid), []byte("5"), 0o600)
}

// profile writes what a server's CPU does for some seconds, meanwhile, where profiles are wanted.
func (b *bench) profile(ctx context.Context, p *program, name string, lasts time.Duration) {
	if b.profiles == "" {
		return
	}
	go func() {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/debug/pprof/profile?seconds=%.0f",
			p.ops, lasts.Seconds()), nil)
		if err != nil {
			return
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			say("no profile of %s: %v", name, err)
			return
		}
		defer func() { _ = resp.Body.Close() }()
		if profile, err := io.ReadAll(resp.Body); err == nil && resp.StatusCode == http.StatusOK {
			_ = os.WriteFile(filepath.Join(b.profiles, name+".pprof"), profile, 0o600)
		}
	}()
}

func (p *program) stop() error {
	_ = p.cmd.Process.Signal(os.Interrupt)
	defer func() { _ = p.log.Close(); _ = os.Remove(p.log.Name()) }()
	select {
	case err := <-p.done:
		return err
	case <-time.After(30 * time.Second):
		_ = p.cmd.Process.Kill()
		return errors.New("a server did not stop within 30 s")
	}
}

// server starts the built staykey on a database.
func (b *bench) server(ctx context.Context, database, seam string, env ...string) (*program, error) {
	return b.serverOn(ctx, b.dsn(database), seam, env...)
}

// serverOn is server by a connection string.
func (b *bench) serverOn(ctx context.Context, dsn, seam string, env ...string) (*program, error) {
	return b.start(ctx, "bin/staykey", append([]string{
		"DATABASE_URL=" + dsn, "SEAM_API_KEY=seam_bench", "SEAM_ENDPOINT=" +
			seam, "SEAM_ACS_SYSTEM_ID=" + system,
		"STAYKEY_WEBHOOK_SECRET=" + secret().String(), "STAYKEY_ADMIN_TOKEN=" + adminToken,
	}, env...), "serve")
}

// load is what wrk says.
type load struct {
	Requests int   `json:"requests"`
	Micros   int64 `json:"duration_us"`
	Refused  int   `json:"refused"`
	Broken   int   `json:"broken"`
	P50      int64 `json:"p50_us"`
	P99      int64 `json:"p99_us"`

	wrk time.Duration // its processor time
}

func (l load) perSecond() float64 { return float64(l.Requests-l.Refused) / (float64(l.Micros) / 1e6) }

// posts are what wrk posts.
type posts struct {
	repeated int  // how many in a hundred were posted before
	gates    bool // they open the gate of [featureSource]
}

// wrk posts events for a while.
func (b *bench) wrk(ctx context.Context, url string, connections int, lasts, pause time.Duration,
	what posts,
) (load, error) {
	b.made++
	cmd := exec.CommandContext(ctx, "wrk", "-t", strconv.Itoa(min(connections, 2)), "-c",
		strconv.Itoa(connections), // #nosec G204 -- our own arguments
		"-d", fmt.Sprintf("%ds", max(int(lasts.Seconds()), 1)), "-s", filepath.Join(b.dir, "events.lua"), url+
			"/webhooks/default", "--",
		fmt.Sprintf("%x", secretText), fmt.Sprintf("run%d", b.made), strconv.Itoa(listings),
		strconv.FormatInt(pause.Milliseconds(), 10), strconv.Itoa(what.repeated),
		strconv.FormatBool(what.gates))
	out, err := cmd.CombinedOutput()
	if err != nil {
		return load{}, fmt.Errorf("wrk: %w: %s", err, lastLine(out))
	}
	var l load
	if err := json.Unmarshal([]byte(lastLine(out)), &l); err != nil {
		return load{}, fmt.Errorf("wrk: %w: %s", err, bytes.TrimSpace(out))
	}
	if l.Broken > 0 {
		return l, fmt.Errorf("wrk: %d requests broke", l.Broken)
	}
	l.wrk = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return l, nil
}

// median is the middle one of an odd number.
func median[T int | int64 | float64](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
}

func (b *bench) add(l line) {
	b.lines = append(b.lines, l)
	if l.against == "" {
		say("%s: %s", l.what, l.value)
		return
	}
	say("%s: %s (%s %s, ratio %s)", l.what, l.value, l.against, l.base, l.ratio)
}

func (b *bench) note(format string, args ...any) {
	b.notes = append(b.notes, fmt.Sprintf(format, args...))
	say(format, args...)
}

// print writes the table as docs/performance.md keeps it.
func (b *bench) print(took time.Duration) {
	fmt.Printf("\n%s, %d CPUs (%s), Postgres with its %s settings; rounds: %d, of which medians are shown; %s in all\n\n",
		time.Now().Format(time.DateOnly), runtime.NumCPU(), cpu(), b.which, b.rounds, took.Round(time.Second))
	fmt.Println("| what | measured | p50 | p99 | baseline | result | ratio | goal |")
	fmt.Println("| --- | --- | --- | --- | --- | --- | --- | --- |")
	for _, l := range b.lines {
		fmt.Printf("| %s | %s | %s | %s | %s | %s | %s | %s |\n", l.what, l.value, l.p50, l.p99, l.against, l.base,
			l.ratio, l.target)
	}
	fmt.Println()
	b.printCosts()
	for _, n := range b.notes {
		fmt.Println("-", n)
	}
	fmt.Printf("- acknowledged events that are not in the database: %d\n", b.lost)
}

func cpu() string {
	content, _ := os.ReadFile("/proc/cpuinfo")
	if found := regexp.MustCompile(`model name\s*: (.+)`).FindSubmatch(content); found != nil {
		return string(found[1])
	}
	return runtime.GOARCH
}
