package main

import (
	"context"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/store/storetest"
)

// A start doesn't wait for locked tables that it doesn't need. It waits for others, and for a database that is read-only, instead of failing. SIGTERM ends
// the wait.
func TestStartWhileTablesAreLocked(t *testing.T) {
	t.Parallel()
	locked := func(t *testing.T, tables string) (env []string, release func()) {
		ctx := context.Background()
		dsn := storetest.DSN(t)
		_, env = simulated(t, dsn)
		launch(t, env).stop() // it marks the database
		conn, err := pgx.Connect(ctx, dsn)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close(ctx) })
		if _, err := conn.Exec(ctx, `BEGIN; LOCK TABLE `+tables+` IN ACCESS EXCLUSIVE MODE`); err != nil {
			t.Fatal(err)
		}
		return env, func() {
			if _, err := conn.Exec(ctx, `COMMIT`); err != nil {
				t.Error(err)
			}
		}
	}

	t.Run("of events and stays", func(t *testing.T) {
		t.Parallel()
		env, release := locked(t, "events, listings, reservations")
		p := launch(t, env)
		if status, text := p.probe(); status != http.StatusServiceUnavailable || !strings.Contains(text, "lock") {
			t.Errorf("readiness: %d %s", status, text)
		}
		release()
		waitUntil(t, "ready", func() bool { status, _ := p.probe(); return status == http.StatusOK })
		if got := p.post("default", "listing.created", seedListing()); got != http.StatusAccepted {
			t.Errorf("a webhook when ready: %d", got)
		}
	})

	t.Run("of settings", func(t *testing.T) {
		t.Parallel()
		env, release := locked(t, "settings")
		p, _ := inTerminal(t, env, "serve")
		p.logs("waiting for a lock")
		release()
		p.logs(`"msg":"ready"`)
	})

	t.Run("and the database is read-only", func(t *testing.T) {
		t.Parallel()
		ctx := context.Background()
		dsn := storetest.DSN(t)
		_, env := simulated(t, dsn)
		launch(t, env).stop()
		conn, err := pgx.Connect(ctx, dsn)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close(ctx) })
		readOnly := func(is string) {
			t.Helper()
			if _, err := conn.Exec(ctx, `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = `+is+`', current_database()); END $$`); err != nil {
				t.Fatal(err)
			}
		}
		readOnly("on")
		p, _ := inTerminal(t, env, "serve")
		p.logs("waiting for the database to become writable")
		readOnly("off")
		p.logs(`"msg":"ready"`)
	})

	t.Run("and SIGTERM", func(t *testing.T) {
		t.Parallel()
		env, _ := locked(t, "settings")
		p, _ := inTerminal(t, env, "serve")
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
