package main

import (
	"context"
	_ "embed"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
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

// rig is what measurements run on: a Postgres, databases that are cloned from a migrated one, and programs.
type rig struct {
	dir      string // for logs, configurations and scripts
	profiles string // where CPU profiles go; "": none are written
	postgres *localpg.Server
	admin    *pgx.Conn
	made     int // databases and loads, for their names
}

// newRig starts a Postgres with a migrated database. load says that wrk and pgbench are needed.
func newRig(ctx context.Context, p plan, load bool) (r *rig, err error) {
	r = &rig{profiles: p.profiles}
	if load {
		if err := need(ctx, "wrk", "wrk"); err != nil {
			return nil, err
		}
		if err := need(ctx, "pgbench", "postgresql-contrib"); err != nil {
			return nil, err
		}
	}

	if r.dir, err = os.MkdirTemp("", "staykey-bench-"); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(r.dir, "events.lua"), eventsLua, 0o600); err != nil {
		return nil, err
	}
	if err := r.startPostgres(ctx, p.settings); err != nil {
		r.stop()
		return nil, err
	}
	return r, nil
}

// another starts a second Postgres, with settings of its own. Its stop leaves the files of the first one.
func (r *rig) another(ctx context.Context, settings []string) (*rig, error) {
	own := &rig{dir: r.dir, profiles: r.profiles}
	if err := own.startPostgres(ctx, settings); err != nil {
		own.stopPostgres()
		return nil, err
	}
	return own, nil
}

func (r *rig) startPostgres(ctx context.Context, settings []string) (err error) {
	r.postgres, err = localpg.Start(ctx, localpg.Options{Settings: settings, Log: func(m string) { say("%s", m) }})
	if err != nil {
		return err
	}
	return r.migrate(ctx)
}

// migrate makes the database that the others are cloned from.
func (r *rig) migrate(ctx context.Context) (err error) {
	if r.admin, err = pgx.Connect(ctx, r.postgres.DSN()); err != nil {
		return err
	}
	if _, err := r.admin.Exec(ctx, `CREATE DATABASE migrated`); err != nil {
		return err
	}
	config, err := pgx.ParseConfig(r.dsn("migrated"))
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

func (r *rig) stop() {
	r.stopPostgres()
	_ = os.RemoveAll(r.dir)
}

func (r *rig) stopPostgres() {
	if r.admin != nil {
		_ = r.admin.Close(context.Background())
	}
	if r.postgres != nil {
		_ = r.postgres.Stop()
	}
}

func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
}

func lastLine(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}

// dsn is the URL of a database of the run's Postgres.
func (r *rig) dsn(name string) string {
	return strings.Replace(r.postgres.DSN(), "/staykey?", "/"+name+"?", 1)
}

// database clones a database and returns its name and a connection.
func (r *rig) database(ctx context.Context, template string) (name string, db *pgx.Conn, err error) {
	r.made++
	name = fmt.Sprintf("bench_%d", r.made)
	if _, err := r.admin.Exec(ctx, `CREATE DATABASE `+name+` TEMPLATE `+template); err != nil {
		return "", nil, err
	}
	if db, err = pgx.Connect(ctx, r.dsn(name)); err != nil {
		return "", nil, err
	}
	return name, db, nil
}

// drop forgets a database, so that the next measurement finds the machine as this one did.
func (r *rig) drop(ctx context.Context, name string, db *pgx.Conn) {
	_ = db.Close(ctx)
	_, _ = r.admin.Exec(ctx, `DROP DATABASE `+name+` WITH (FORCE)`)
	_, _ = r.admin.Exec(ctx, `CHECKPOINT`)
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
