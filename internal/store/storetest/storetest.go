// Package storetest gives each test a migrated database of its own, cloned from a template, so that all
// tests run in parallel against a real Postgres.
//
// # Databases that are kept
//
// Most of what a short test of the provisioner cost was not its statements: of 20 s of Postgres' processor time, 14.5 s
// were spent by new sessions on loading the catalog of a new database, and 0.6 s on planning what another session had
// planned. So [New] and [NewSmall] keep databases and sessions for the next test of the same process:
//
//   - A test knows a name that doesn't exist at the server. Connections are made in this process (kept.go), and none is
//     made after the test: what it has leaked can't reach the database of the next test. A connection that it has left
//     open is closed, and the database is dropped.
//   - A connection leads to a session that an earlier one has ended (session.go). DISCARD ALL ends everything that a
//     client can see: settings, locks, temporary tables, prepared statements and their plans. The caches of the catalog
//     remain. Keeping plans too would need to know which statements a session has, for a tenth of what is left.
//   - After the test its rows are deleted and its sequences reset (restore.go). A database whose catalogs, settings or
//     rows from migrations have changed is dropped, and one that has become large or was used often.
//
// A test whose subject is the database itself, or that has other processes connect, uses [DSN], which is always new.
// [Of] gives the real name of a kept database away, and [Copy] copies one: it is then dropped after the test.
//
// # Waits
//
// A test may insert thousands of rows while many others do the same, and a busy machine may stop it for half a minute
// between two statements. So all DSNs have deadlines that only a hang can miss (statement_timeout=1h), and the store
// stretches its other waits in proportion. A test whose subject is a lock that isn't released opens its store by
// [NewWithBriefLockWaits]; one whose subject is what the service does about a silent Postgres, or that starts the
// program to see it give up, uses [ServiceDSN].
package storetest

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver that goose uses

	"github.com/staykey/staykey/internal/localpg/pgtest"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/migrations"
)

// shared is the server of all tests.
type shared struct {
	dsn, locale, template string
	superuser             bool
	stop                  func()        // never called, but the server runs as long as it is referenced
	admin                 *pgxpool.Pool // makes and drops the tests' databases; it lasts as long as the process
}

var server = sync.OnceValues(func() (shared, error) {
	ctx := context.Background()
	dsn, stop, err := pgtest.Start(ctx)
	if err != nil {
		return shared{}, err
	}
	if dsn, err = patient(dsn); err != nil {
		return shared{}, err
	}
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return shared{}, fmt.Errorf("connect to the Postgres for tests: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	s := shared{dsn: dsn, stop: stop}
	if s.locale, err = locale(ctx, conn); err != nil {
		return shared{}, fmt.Errorf("choose the locale of the tests' databases: %w", err)
	}
	if err := conn.QueryRow(ctx, `SELECT rolsuper FROM pg_roles WHERE rolname = current_user`).
		Scan(&s.superuser); err != nil {
		return shared{}, err
	}
	s.template = templateName(s.locale)
	if err := s.makeTemplate(ctx, conn); err != nil {
		return shared{}, err
	}
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return shared{}, err
	}
	config.MaxConns = 2 // the server makes databases one after another, mostly
	s.admin, err = pgxpool.NewWithConfig(ctx, config)
	return s, err
})

// patience are the parameters of a DSN with deadlines that a busy machine can't miss.
var patience = map[string]string{"statement_timeout": "1h", "idle_in_transaction_session_timeout": "1h"}

// patient gives everything that waits for Postgres a deadline that a busy machine can't miss.
func patient(dsn string) (string, error) {
	if _, err := url.Parse(dsn); err != nil {
		return "", fmt.Errorf("TEST_DATABASE_URL must be a URL: %w", err)
	}
	return Patient(dsn), nil
}

// Patient returns the DSN of another server than that of the tests with deadlines that a busy machine can't miss.
func Patient(dsn string) string {
	dsn = with(dsn, "connect_timeout", "120")
	for name, value := range patience {
		dsn = with(dsn, name, value)
	}
	return dsn
}

// WithServiceWaits returns a DSN of a test with the deadlines that the service has by default, see [ServiceDSN].
// Connecting has one that a busy machine can't miss.
func WithServiceWaits(dsn string) string {
	u, err := url.Parse(dsn)
	if err != nil {
		panic("TEST_DATABASE_URL must be a URL: " + err.Error())
	}
	query := u.Query()
	for name := range patience {
		query.Del(name)
	}
	u.RawQuery = query.Encode()
	return u.String()
}

// with sets a parameter of a DSN that is known to be a URL.
func with(dsn, name, value string) string {
	u, err := url.Parse(dsn)
	if err != nil {
		panic("TEST_DATABASE_URL must be a URL: " + err.Error())
	}
	query := u.Query()
	query.Set(name, value)
	u.RawQuery = query.Encode()
	return u.String()
}

// localeSetting names the collation of the tests' databases: "C", an ICU locale after "icu:", or one of the
// machine's own, such as en_US.UTF-8. By default it is one that sorts as people do, where Postgres has it: that is
// what most installations use, and the order in which it sorts ids is not that of their bytes.
const (
	localeSetting = "STAYKEY_TEST_LOCALE"
	defaultLocale = "icu:en-US"
)

// locale is that of the tests' databases.
func locale(ctx context.Context, conn *pgx.Conn) (string, error) {
	if set := os.Getenv(localeSetting); set != "" {
		return set, nil
	}
	var icu bool
	if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_collation
		WHERE collprovider = 'i')`).Scan(&icu); err != nil {
		return "", err
	}
	if !icu {
		return "C", nil
	}
	return defaultLocale, nil
}

// empty is how a database without our schema is made.
func empty(locale string) string {
	if icu, is := strings.CutPrefix(locale, "icu:"); is {
		return ` TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER icu ICU_LOCALE ` + quote(icu) + ` LOCALE 'C'`
	}
	return ` TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER libc LOCALE ` + quote(locale)
}

// clone is how a database like another one is made: by copying its files, which costs half as much as writing every
// page to the WAL too.
func clone(database string) string { return ` TEMPLATE ` + database + ` STRATEGY FILE_COPY` }

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// templateName changes with the migrations and the locale, so that a database server may outlive them.
func templateName(locale string) string {
	h := sha256.New()
	h.Write(migrations.Content())
	h.Write([]byte(locale))
	return "staykey_template_" + hex.EncodeToString(h.Sum(nil))[:16]
}

// makeTemplate migrates one database that the others are cloned from. Processes that share the server take
// turns at an advisory lock.
func (s shared) makeTemplate(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock(7820)`); err != nil {
		return err
	}

	name := s.template
	var ready bool
	if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1
		AND datistemplate)`, name).Scan(&ready); err != nil || ready {
		return err
	}

	if _, err := conn.Exec(ctx, `DROP DATABASE IF EXISTS `+name); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, `CREATE DATABASE `+name+empty(s.locale)); err != nil {
		return fmt.Errorf("the tests' role must be allowed to create databases: %w", err)
	}

	db, err := sql.Open("pgx", databaseDSN(s.dsn, name))
	if err != nil {
		return err
	}
	if _, err := migrations.Up(ctx, db, nil); err != nil {
		return err
	}
	if err := db.Close(); err != nil {
		return err
	}

	_, err = conn.Exec(ctx, `ALTER DATABASE `+name+` IS_TEMPLATE true ALLOW_CONNECTIONS false`)
	return err
}

func databaseDSN(dsn, name string) string {
	u, err := url.Parse(dsn)
	if err != nil {
		panic("TEST_DATABASE_URL must be a URL: " + err.Error())
	}
	u.Path = "/" + name
	return u.String()
}

// DSN makes a database for the test, dropped when it ends. It fails the test, never skips it, where there is
// no Postgres.
func DSN(t testing.TB) string {
	t.Helper()
	return create(t, func(s shared) string { return clone(s.template) })
}

// ServiceDSN is [DSN] with the deadlines that the service has by default, which a busy machine can miss: for tests of
// what the service does when Postgres doesn't answer or something is locked.
func ServiceDSN(t testing.TB) string {
	t.Helper()
	return WithServiceWaits(DSN(t))
}

// EmptyDSN is like DSN without the schema.
func EmptyDSN(t testing.TB) string {
	t.Helper()
	return create(t, func(s shared) string { return empty(s.locale) })
}

// Postgres returns the DSN of the server that tests share, as a role that may create databases.
func Postgres(t testing.TB) string {
	t.Helper()
	s, err := server()
	if err != nil {
		t.Fatalf("no Postgres for this test: %v", err)
	}
	return s.dsn
}

func create(t testing.TB, from func(shared) string) string {
	t.Helper()
	dsn := Postgres(t)
	s, _ := server()
	ctx := context.Background()
	name := "test_" + uuid.NewString()[:13]
	database := pgx.Identifier{name}.Sanitize()
	if _, err := s.admin.Exec(ctx, `CREATE DATABASE `+database+from(s)); err != nil {
		t.Fatalf("make a database for this test: %v", err)
	}
	t.Cleanup(func() {
		if _, err := s.admin.Exec(ctx, `DROP DATABASE `+database+` WITH (FORCE)`); err != nil {
			t.Errorf("drop the test's database: %v", err)
		}
	})
	return databaseDSN(dsn, name)
}

// New opens a store on a database of the test's own, as [Open] does. The DSN in the configuration of its pool leads
// nowhere; see [Of].
func New(t testing.TB) *store.Store {
	t.Helper()
	return Open(t, keptDSN(t))
}

// NewSmall is [New] with a pool of so many connections. Each of them plans the test's statements. Transactions
// wait for each other with one, so rigs that look for races have more.
func NewSmall(t testing.TB, connections int) *store.Store {
	t.Helper()
	return Open(t, Small(keptDSN(t), connections))
}

// Small returns a DSN with a pool of so many connections, see [NewSmall].
func Small(dsn string, connections int) string {
	return with(dsn, "pool_max_conns", strconv.Itoa(connections))
}

// Open opens a store on a database of a test.
func Open(t testing.TB, dsn string) *store.Store {
	t.Helper()
	return opened(t, dsn, false)
}

// NewWithBriefLockWaits is [New] with waits for locks that are as short as the service's: for tests of what happens
// when a lock isn't released. Everything else has deadlines that only a hang can miss.
// The pool has so many connections.
func NewWithBriefLockWaits(t testing.TB, connections int) *store.Store {
	t.Helper()
	return OpenWithBriefLockWaits(t, Small(keptDSN(t), connections))
}

// OpenWithBriefLockWaits is [NewWithBriefLockWaits] on a database that exists.
func OpenWithBriefLockWaits(t testing.TB, dsn string) *store.Store {
	t.Helper()
	return opened(t, dsn, true)
}

// opened opens a store for a test, through the lease if the DSN is that of a kept database.
func opened(t testing.TB, dsn string, briefLockWaits bool) *store.Store {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	options := store.Options{BriefLockWaits: briefLockWaits}
	if l := leaseOf(strings.TrimPrefix(u.Path, "/")); l != nil {
		options.Dial = l.dial
	}
	s, err := store.OpenWith(context.Background(), dsn, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// Copy makes another database of the test's own, as the one of a store is now, which must be closed: what a restore
// of a backup begins with.
func Copy(t testing.TB, closed *store.Store) string {
	t.Helper()
	source := realName(closed.Pool().Config().ConnConfig.Database)
	return create(t, func(shared) string { return clone(pgx.Identifier{source}.Sanitize()) })
}

// Of is the DSN of a database of the test's own, by its name. A database that would have been kept is dropped after
// the test then.
func Of(t testing.TB, name string) string {
	t.Helper()
	return databaseDSN(Postgres(t), realName(name))
}

// realName is the name at the server of a database that a test knows by name.
func realName(name string) string {
	if l := leaseOf(name); l != nil {
		return l.expose()
	}
	return name
}

// Begin begins a transaction in which a test plays somebody who keeps locks, on a connection that isn't the store's.
// Postgres doesn't end it for being idle, however slow the machine is; at the latest the end of the test does.
func Begin(t testing.TB, s *store.Store) pgx.Tx {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.ConnectConfig(ctx, s.Pool().Config().ConnConfig)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(ctx) })
	tx, err := conn.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(ctx, `SET LOCAL idle_in_transaction_session_timeout = 0`); err != nil {
		t.Fatal(err)
	}
	return tx
}
