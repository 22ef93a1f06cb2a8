package main

import (
	"context"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/store/storetest"
)

// locks is another session that locks tables, until it is released.
type locks struct {
	t    *testing.T
	conn *pgx.Conn
}

func newLocks(t *testing.T, dsn string) *locks {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return &locks{t, conn}
}

func (l *locks) exec(sql string) {
	l.t.Helper()
	if _, err := l.conn.Exec(context.Background(), sql); err != nil {
		l.t.Fatalf("%s: %v", sql, err)
	}
}

// take locks tables against everything. A service that has one of them and wants another is a deadlock, which Postgres
// may end on either side.
func (l *locks) take(tables string) {
	l.t.Helper()
	waitUntil(l.t, "the locks", func() bool {
		_, err := l.conn.Exec(context.Background(), `BEGIN; LOCK TABLE `+tables+` IN ACCESS EXCLUSIVE MODE`)
		if err != nil {
			l.exec(`ROLLBACK`)
		}
		return err == nil
	})
}

func (l *locks) release() { l.t.Helper(); l.exec(`COMMIT`) }

// readOnly makes the database read-only, or writable again, for all sessions that begin, and ends the others.
func (l *locks) readOnly(is bool) {
	l.t.Helper()
	l.exec(
		`SET default_transaction_read_only = off; DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = ` +
			map[bool]string{true: "on", false: "off"}[is] + `', current_database());
		PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid(); END $$`)
}

// A start doesn't wait for locked tables that it doesn't need. It waits for others instead of failing. SIGTERM ends the
// wait.
func TestStartWhileTablesAreLocked(t *testing.T) {
	t.Parallel()
	locked := func(t *testing.T, tables string) (env []string, release func()) {
		dsn := storetest.ServiceDSN(t)
		_, env = simulated(t, dsn)
		launch(t, env).stop() // it marks the database
		l := newLocks(t, dsn)
		l.take(tables)
		return env, l.release
	}

	t.Run("of events and stays", func(t *testing.T) {
		t.Parallel()
		env, release := locked(t, "events, listings, reservations")
		p := launch(t, env)
		p.untilNotReady("lock timeout")
		release()
		waitUntil(t, "ready", func() bool { status, _ := p.probe(); return status == http.StatusOK })
		if got := p.post("default", "listing.created", seedListing()); got != http.StatusAccepted {
			t.Errorf("a webhook when ready: %d", got)
		}
	})

	t.Run("of settings", func(t *testing.T) {
		t.Parallel()
		env, release := locked(t, "settings")
		p := begin(t, env)
		p.logs("waiting for a lock")
		p.untilNotReady("waiting for a lock")
		body := webhook(t, "listing.created", seedListing())
		if got := p.postOnce("default", body); got != http.StatusServiceUnavailable {
			t.Errorf("a webhook meanwhile: %d", got)
		}
		release()
		p.logs(`"msg":"ready"`)
		waitUntil(t, "a webhook", func() bool {
			return p.post("default", "listing.created",
				seedListing()) == http.StatusAccepted
		})
	})

	t.Run("and SIGTERM", func(t *testing.T) {
		t.Parallel()
		env, _ := locked(t, "settings")
		p := begin(t, env)
		p.logs("waiting for a lock")
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		<-p.done
		if code := p.cmd.ProcessState.ExitCode(); code != 0 {
			t.Errorf("exit %d: it was asked to end", code)
		}
	})
}

// A service starts on a read-only database: it answers reads, and stores webhooks once it can. What it has to write
// about its configuration follows then. A first start waits.
func TestStartOnAReadOnlyDatabase(t *testing.T) {
	t.Parallel()

	t.Run("that it knows", func(t *testing.T) {
		t.Parallel()
		dsn := storetest.ServiceDSN(t)
		sim, env := simulated(t, dsn)
		file := filepath.Join(t.TempDir(), "staykey.yaml")
		env = append(env, "STAYKEY_CONFIG="+file)
		config := func(grace string) {
			t.Helper()
			content := "sources:\n  - {name: default, verify: {method: none}, insecure: true, grace: {after: " +
				grace + "}}\n"
			writeConfig(t, file, content)
		}
		config("0h")
		p := launch(t, env)
		p.deliver("default", "listing.created", seedListing())
		p.deliver("default", "reservation.created", seedReservation())
		p.until("3333122-433", "issued")
		p.stop()
		ends := func() time.Time { return sim.State().UsersNamed("3333122-433")[0].Schedule.EndsAt }
		before := ends()

		config("3h")
		l := newLocks(t, dsn)
		l.readOnly(true)
		p = launch(t, env)
		p.untilNotReady("read-only")
		p.until("3333122-433", "issued") // it answers reads
		body := webhook(t, "message.created", map[string]any{})
		if got := p.postOnce("default", body); got != http.StatusServiceUnavailable {
			t.Errorf("a webhook meanwhile: %d", got)
		}
		l.readOnly(false)
		waitUntil(t, "ready", func() bool { status, _ := p.probe(); return status == http.StatusOK })
		waitUntil(t, "the key to follow the new configuration",
			func() bool { return ends().Equal(before.Add(3 * time.Hour)) })
		if got := p.post("default", "message.created", map[string]any{}); got != http.StatusAccepted {
			t.Errorf("a webhook when ready: %d", got)
		}
	})

	t.Run("that is new", func(t *testing.T) {
		t.Parallel()
		dsn := storetest.EmptyDSN(t)
		_, env := simulated(t, dsn)
		l := newLocks(t, dsn)
		l.readOnly(true)
		p := begin(t, env)
		p.logs("waiting for the database to become writable")
		l.readOnly(false)
		p.logs(`"msg":"ready"`)
		waitUntil(t, "ready", func() bool { status, _ := p.probe(); return status == http.StatusOK })
	})
}

// A source that is in use and has no entry is found, however late the comparison is possible.
func TestSourceThatVanishedWhileTablesWereLocked(t *testing.T) {
	t.Parallel()
	for _, tables := range []string{"mobile_keys", "event_queue"} {
		t.Run(tables, func(t *testing.T) {
			t.Parallel()
			dsn := storetest.ServiceDSN(t)
			_, env := simulated(t, dsn)
			file := filepath.Join(t.TempDir(), "staykey.yaml")
			env = append(env, "STAYKEY_CONFIG="+file)
			const one, two = "sources:\n  - {name: default, verify: {method: none}, insecure: true}\n",
				"  - {name: villas, verify: {method: none}, insecure: true}\n"
			write := func(content string) {
				t.Helper()
				writeConfig(t, file, content)
			}
			write(one + two)
			p := launch(t, env)
			p.deliver("villas", "listing.created", seedListing())
			p.deliver("villas", "reservation.created", seedReservation())
			p.untilOf("villas", "3333122-433", "issued")
			p.stop()
			l := newLocks(t, dsn)
			l.take(tables)
			write(one)
			p = launch(t, env)
			if strings.Contains(p.log.String(), "has no entry") {
				t.Fatal("nothing was locked")
			}
			l.release()
			p.logs("has no entry")
			p.logs("configuration in full effect")
		})
	}
}

// A reload that meets a lock is done again until it succeeds, or is refused for what the configuration says.
func TestReloadWhileTablesAreLocked(t *testing.T) {
	t.Parallel()
	const one, two = "sources:\n  - {name: default, verify: {method: none}, insecure: true}\n",
		"  - {name: second, verify: {method: none}, insecure: true}\n"
	const successful = "staykey_config_last_reload_successful"
	setUp := func(t *testing.T, content string) (p *process, l *locks, write func(string)) {
		t.Helper()
		dsn := storetest.ServiceDSN(t)
		_, env := simulated(t, dsn)
		file := filepath.Join(t.TempDir(), "staykey.yaml")
		write = func(content string) {
			t.Helper()
			writeConfig(t, file, content)
		}
		write(content)
		return launch(t, append(env, "STAYKEY_CONFIG="+file)), newLocks(t, dsn), write
	}
	for _, tables := range []string{"mobile_keys", "settings"} {
		for name, ask := range map[string]func(*process){
			"SIGHUP": func(p *process) {
				if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
					p.t.Fatal(err)
				}
			},
			"POST": func(p *process) {
				resp, err := http.Post(p.ops+"/-/reload", "", nil)
				if err != nil {
					p.t.Fatal(err)
				}
				_ = resp.Body.Close()
				if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
					p.t.Errorf("the reload answers %s, Retry-After %q", resp.Status, resp.Header.Get("Retry-After"))
				}
			},
		} {
			t.Run(name+" and "+tables, func(t *testing.T) {
				t.Parallel()
				p, l, write := setUp(t, one)
				l.take(tables)
				write(one + two)
				ask(p)
				p.logs("configuration not reloaded yet")
				if got := p.metric(successful); got != "0" {
					t.Errorf("the metric is %q", got)
				}
				l.release()
				waitUntil(t, "the reload", func() bool {
					return p.post("second", "message.created",
						map[string]any{}) == http.StatusAccepted
				})
				waitUntil(t, "the metric", func() bool { return p.metric(successful) == "1" })
			})
		}
	}

	t.Run("which drops a source in use", func(t *testing.T) {
		t.Parallel()
		p, l, write := setUp(t, one+two)
		p.deliver("second", "listing.created", seedListing())
		p.deliver("second", "reservation.created", seedReservation())
		var key struct {
			MobileKey struct{ Status string } `json:"mobile_key"`
		}
		waitUntil(t, "the key", func() bool {
			return p.get("/v1/reservations/second/3333122-433", &key) == http.StatusOK &&
				key.MobileKey.Status == "issued"
		})
		l.take("mobile_keys")
		write(one)
		if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		p.logs("configuration not reloaded yet")
		l.release()
		p.logs("retired: true")
		if got := p.post("second", "message.created", map[string]any{}); got != http.StatusAccepted {
			t.Errorf("the source answers %d", got)
		}
	})
}
