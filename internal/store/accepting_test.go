package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/store/storetest"
)

// TestTryAccepting breaks a database in the ways in which databases break: a trial meets what a webhook meets, and
// names the cause.
func TestTryAccepting(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for name, c := range map[string]struct{ breakage, cause string }{
		"whole":             {"", ""},
		"a table has gone":  {`ALTER TABLE event_queue RENAME TO gone`, store.CauseSchema},
		"a column has gone": {`ALTER TABLE events RENAME COLUMN body TO gone`, store.CauseSchema},
		"read-only": {
			`DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$`, store.CauseReadOnly,
		},
		"a table is locked":   {`BEGIN; LOCK TABLE events IN ACCESS EXCLUSIVE MODE`, store.CauseLocked},
		"the queue is locked": {`BEGIN; LOCK TABLE event_queue IN SHARE MODE`, store.CauseLocked},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := storetest.DSN(t)
			admin, err := pgconn.Connect(ctx, dsn)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = admin.Close(ctx) })
			if _, err := admin.Exec(ctx, c.breakage).ReadAll(); err != nil {
				t.Fatal(err)
			}
			s := storetest.OpenWithBriefLockWaits(t, dsn)
			a, err := s.Events.TryAccepting(ctx)
			if c.cause == "" {
				if err != nil || a.SchemaVersion == 0 || a.ClockOffset.Abs() > time.Minute {
					t.Errorf("%+v %v", a, err)
				}
			} else if err == nil || store.CauseOf(err) != c.cause {
				t.Errorf("got %v, cause %q, want %q", err, store.CauseOf(err), c.cause)
			}
			var kept int
			if err := s.Pool().QueryRow(ctx, `SELECT count(*) FROM event_results`).Scan(&kept); err != nil ||
				kept != 0 {
				t.Errorf("a trial leaves %d events: %v", kept, err)
			}
			if c.breakage == "" {
				if err := s.Pool().QueryRow(ctx, `SELECT count(*) FROM events`).Scan(&kept); err != nil || kept != 0 {
					t.Errorf("a trial leaves %d events: %v", kept, err)
				}
			}
		})
	}
	for code, want := range map[string]string{
		"53100": store.CauseDiskFull, "57P01": store.CauseUnreachable,
		"53300": store.CauseUnreachable, "57014": store.CauseLocked, "XX000": store.CauseRefused,
	} {
		if got := store.CauseOf(&pgconn.PgError{Code: code}); got != want {
			t.Errorf("%s is %s, want %s", code, got, want)
		}
	}
	if got := store.CauseOf(errors.New("dial tcp: connection refused")); got != store.CauseUnreachable {
		t.Errorf("no connection is %s", got)
	}
}

// TestReadOnlyServerThatIsRefused has target_session_attrs refuse a database that is read-only, as with several hosts.
func TestReadOnlyServerThatIsRefused(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	dsn := storetest.DSN(t)
	admin, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close(ctx) }()
	if _, err := admin.Exec(ctx,
		`DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$`); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(ctx, dsn+"&target_session_attrs=read-write")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Events.TryAccepting(ctx); store.CauseOf(err) != store.CauseReadOnly {
		t.Errorf("it is %s: %v", store.CauseOf(err), err)
	}
}

// TestConnectionsThatBeganReadOnly has connections begin while the database is read-only, and only read. The first
// write after that has ended succeeds.
func TestConnectionsThatBeganReadOnly(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	dsn := storetest.DSN(t)
	admin, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close(ctx) }()
	set := func(to string) {
		t.Helper()
		if _, err := admin.Exec(ctx,
			`DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = `+to+
				`', current_database()); END $$`); err != nil {
			t.Fatal(err)
		}
	}
	set("on")
	s, err := store.Open(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Ping(ctx); err != nil {
		t.Fatal(err)
	}
	set("off")
	began := s.Pool().AcquireAllIdle(ctx)
	for _, conn := range began {
		conn.Conn().PgConn().CustomData()["staykey.connected_at"] = time.Now().Add(-time.Minute)
		conn.Release()
	}
	if len(began) == 0 {
		t.Fatal("no connection began while the database was read-only")
	}
	if _, err := s.Pool().Exec(ctx, `CREATE TABLE written ()`); err != nil {
		t.Error(err)
	}
}

// TestIntakeHasItsOwnConnections has somebody borrow all connections of the pool: webhooks are kept, and readiness
// answers.
func TestIntakeHasItsOwnConnections(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := storetest.New(t)
	for range s.Pool().Config().MaxConns {
		conn, err := s.Pool().Acquire(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Release()
	}
	key := "k"
	e := store.Event{
		EventID: uuid.New(), Source: "default", EventKey: &key, Type: "x", Status: stay.EventRejected,
		ReceivedAt: time.Now(), Body: []byte("{}"),
	}
	for range 2 { // the second time it is tried again, over the same connections
		if _, err := s.Events.Insert(ctx, []store.Event{e}); err != nil {
			t.Error(err)
		}
		e.EventID = uuid.New()
	}
	if _, err := s.Events.TryAccepting(ctx); err != nil {
		t.Error(err)
	}
}
