package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/staykey/staykey/internal/app"
	"github.com/staykey/staykey/internal/config"
	"github.com/staykey/staykey/internal/handlers"
	"github.com/staykey/staykey/internal/handlers/rest"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/migrations"
)

type migrateCommand struct {
	Up     migrateUpCommand     `cmd:"" default:"withargs" help:"Apply missing migrations (the default)."`
	Status migrateStatusCommand `cmd:"" help:"List migrations and whether the database has them; exit 1 if one is missing."`
}

// database is the one setting that migrations need: DATABASE_URL, in the environment or in a file.
type database struct{}

// open opens the database.
func (database) open(ctx context.Context) (*store.Store, error) {
	dsn, err := config.DatabaseFromEnvironment()
	if err != nil {
		return nil, err
	}
	return store.Open(ctx, dsn)
}

// with opens the database for fn, as goose wants it.
func (d database) with(ctx context.Context, fn func(*sql.DB) error) error {
	db, err := d.open(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	sqlDB := app.MigrationDB(db.Pool().Config().ConnConfig)
	defer func() { _ = sqlDB.Close() }()
	return fn(sqlDB)
}

type migrateUpCommand struct {
	Database database `embed:""`
}

// Run applies what is missing.
func (m *migrateUpCommand) Run(ctx context.Context, io *streams) error {
	return m.Database.with(ctx, func(db *sql.DB) error {
		applied, err := migrations.Up(ctx, db,
			func(err error) { _, _ = fmt.Fprintln(io.err, "waiting for a lock:", err) })
		if err != nil {
			return err
		}
		for _, name := range applied {
			_, _ = fmt.Fprintln(io.out, "applied", name)
		}
		if len(applied) == 0 {
			_, _ = fmt.Fprintln(io.out, "the database is up to date")
		}
		return nil
	})
}

type migrateStatusCommand struct {
	Database database      `embed:""`
	Wait     time.Duration `help:"Wait this long for somebody else to apply them, such as 10m; exit 3 if one is still missing then." placeholder:"DURATION"`
}

// Run lists the migrations, and waits for those that are missing if it may.
func (m *migrateStatusCommand) Run(ctx context.Context, io *streams) error {
	if m.Wait > 0 {
		if err := m.wait(ctx, io); err != nil {
			return err
		}
	}
	return m.Database.with(ctx, func(db *sql.DB) error {
		list, err := migrations.List(ctx, db)
		if err != nil {
			return err
		}

		missing := 0
		for _, s := range list {
			state := "applied"
			if !s.Applied {
				state = "missing"
				missing++
			}
			_, _ = fmt.Fprintf(io.out, "%-8s %s\n", state, s.Name)
		}
		if missing > 0 {
			return fmt.Errorf("%d migrations are missing: run staykey migrate", missing)
		}
		return nil
	})
}

// wait asks every second until no migration is missing, for as long as the command may wait. A database that can't be
// reached yet is waited for, too.
func (m *migrateStatusCommand) wait(ctx context.Context, io *streams) error {
	waiting, cancel := context.WithTimeout(ctx, m.Wait)
	defer cancel()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()

	reported := ""
	for {
		err := m.Database.with(waiting, func(db *sql.DB) error {
			list, err := migrations.List(waiting, db)
			if err != nil {
				return err
			}
			for _, s := range list {
				if !s.Applied {
					return fmt.Errorf("migration %s is missing", s.Name)
				}
			}
			return nil
		})

		if problems := config.Problems(nil); err == nil || errors.As(err, &problems) {
			return err
		}
		if waiting.Err() == nil && err.Error() != reported {
			reported = err.Error()
			_, _ = fmt.Fprintln(io.err, "waiting:", reported)
		}

		select {
		case <-waiting.Done():
			return statusError{
				fmt.Errorf("not migrated after %s: %s", m.Wait, cmp.Or(reported, err.Error())),
				exitNotReady,
			}
		case <-tick.C:
		}
	}
}

type signCommand struct {
	Body       string `arg:"" optional:"" help:"The body exactly as you will send it; @FILE reads a file, - or nothing reads standard input."`
	SecretFile string `placeholder:"FILE" help:"File with the secret; default: STAYKEY_WEBHOOK_SECRET."`
	ID         string `help:"webhook-id; default a random one." placeholder:"ID"`
}

// Run prints the headers, one a line, as curl -H @- takes them.
func (s *signCommand) Run(io *streams) error {
	text, err := config.SecretText(s.SecretFile, "STAYKEY_WEBHOOK_SECRET")
	if err != nil {
		return err
	}
	secrets := config.SplitList(text)
	if len(secrets) == 0 {
		return config.Problems{
			"STAYKEY_WEBHOOK_SECRET: is required to sign: whsec_... (if there are several, comma-separated, the first signs)",
		}
	}

	secret, err := pms.ParseSecret(secrets[0])
	if err != nil {
		return config.Problems{cmp.Or(s.SecretFile, "STAYKEY_WEBHOOK_SECRET") + ": " + err.Error()}
	}
	body, err := s.body(io)
	if err != nil {
		return err
	}

	id := cmp.Or(s.ID, "msg_"+strings.ReplaceAll(uuid.NewString(), "-", ""))
	if err := pms.CheckWebhookID(id); err != nil {
		return err
	}

	now := time.Now()
	_, err = fmt.Fprintf(io.out, "webhook-id: %s\nwebhook-timestamp: %d\nwebhook-signature: %s\n", id, now.Unix(),
		secret.Sign(id, now, body))
	return err
}

func (s *signCommand) body(in *streams) ([]byte, error) {
	switch {
	case s.Body == "" || s.Body == "-":
		return io.ReadAll(in.in)
	case strings.HasPrefix(s.Body, "@"):
		return os.ReadFile(s.Body[1:]) // #nosec G304 -- the user names it
	default:
		return []byte(s.Body), nil
	}
}

type simulatorCommand struct {
	Listen string `default:"127.0.0.1:8180" help:"Where to listen; default ${default}."`
	APIKey string `name:"api-key" placeholder:"KEY" help:"Accept only this API key; default any."`
	State  string `placeholder:"FILE" help:"Keep the workspace in this file across restarts."`
	Second string `name:"second-user" enum:"allow,refuse,return_existing,move_link" default:"allow" help:"A second ACS user for an identity on one system: allow, refuse, return_existing or move_link; default ${default}."`
}

// Run serves until ctx ends.
func (s *simulatorCommand) Run(ctx context.Context, io *streams) error {
	sim, err := simulator.New(simulator.Options{
		APIKey: s.APIKey, StateFile: s.State,
		SecondUser: simulator.SecondUser(s.Second),
	})
	if err != nil {
		return err
	}
	app.Furnish(sim)
	l, err := app.Listen("--listen", s.Listen)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: sim, ReadHeaderTimeout: 5 * time.Second}
	_, _ = fmt.Fprintf(io.out,
		"Seam simulator on http://%s\n  SEAM_ENDPOINT=http://%s SEAM_API_KEY=%s staykey serve\n  state: curl http://%s/_simulator/state\n",
		l.Addr(), l.Addr(), cmp.Or(s.APIKey, "seam_test_simulated"), l.Addr())
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	if err := server.Serve(l); ctx.Err() == nil {
		return err
	}
	return nil
}

type openAPICommand struct {
	EventSchema bool `help:"Print the JSON Schema of events in the canonical format instead."`
}

// Run prints the document.
func (c openAPICommand) Run(io *streams) error {
	document, err := rest.OpenAPI("1")
	if c.EventSchema {
		document, err = rest.EventSchemaDocument()
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(io.out, string(document))
	return err
}

type healthcheckCommand struct {
	URL string `placeholder:"URL" help:"Default: /readyz at STAYKEY_LISTEN, on loopback if that has no host."`
}

// Run asks /readyz; for a container that has no shell.
func (h *healthcheckCommand) Run(ctx context.Context, io *streams) error {
	target := h.URL
	if target == "" {
		listen, secure := config.ListenAddress()
		address, err := net.ResolveTCPAddr("tcp", listen)
		if err != nil {
			return config.Problems{"STAYKEY_LISTEN: " + err.Error()}
		}
		scheme := "http"
		if secure {
			scheme = "https"
		}
		target = scheme + "://" + app.Loopback(address) + "/readyz"
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return err
	}
	client := http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		// #nosec G402 -- it asks itself, by an address that the certificate need not have
	}}
	resp, err := client.Do(req) // #nosec G704 -- the operator's own service
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		var p handlers.Problem
		_ = json.NewDecoder(http.MaxBytesReader(nil, resp.Body, 64<<10)).Decode(&p) // the status says enough
		return fmt.Errorf("not ready: %s answers %s: %s", target, resp.Status, p.Detail)
	}
	_, _ = fmt.Fprintln(io.out, "ready")
	return nil
}

type versionCommand struct{}

// Run prints version and commit.
func (versionCommand) Run(io *streams) error {
	_, err := fmt.Fprintln(io.out, versionLine())
	return err
}

// versionLine is what version and --version print.
func versionLine() string { return fmt.Sprintf("staykey %s (%s)", version, commit) }
