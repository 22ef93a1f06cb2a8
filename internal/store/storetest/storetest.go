// Package storetest gives each test a migrated database of its own, cloned from a template, so that all
// tests run in parallel against a real Postgres.
package storetest

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"net/url"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver that goose uses

	"github.com/staykey/staykey/internal/postgres/pgtest"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/migrations"
)

var server = sync.OnceValues(func() (string, error) {
	ctx := context.Background()
	// Never stopped here: a server that we start ends with this process, a container with its reaper.
	dsn, _, err := pgtest.Start(ctx, func(string) {})
	if err != nil {
		return "", err
	}
	return dsn, makeTemplate(ctx, dsn)
})

// templateName changes with the migrations, so that a database server may outlive them.
func templateName() string {
	h := sha256.New()
	h.Write(migrations.Content())
	return "staykey_template_" + hex.EncodeToString(h.Sum(nil))[:16]
}

// makeTemplate migrates one database that the others are cloned from. Processes that share the server take
// turns at an advisory lock.
func makeTemplate(ctx context.Context, dsn string) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return fmt.Errorf("connect to the Postgres for tests: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock(7820)`); err != nil {
		return err
	}
	name := templateName()
	var ready bool
	if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1 AND datistemplate)`, name).Scan(&ready); err != nil || ready {
		return err
	}
	if _, err := conn.Exec(ctx, `DROP DATABASE IF EXISTS `+name); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, `CREATE DATABASE `+name); err != nil {
		return fmt.Errorf("the tests' role must be allowed to create databases: %w", err)
	}
	db, err := sql.Open("pgx", databaseDSN(dsn, name))
	if err != nil {
		return err
	}
	if _, err := migrations.Up(ctx, db); err != nil {
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
func DSN(t testing.TB) string { return clone(t, templateName()) }

// EmptyDSN is like DSN without the schema.
func EmptyDSN(t testing.TB) string { return clone(t, "template0") }

func clone(t testing.TB, template string) string {
	t.Helper()
	dsn, err := server()
	if err != nil {
		t.Fatalf("no Postgres for this test: %v", err)
	}
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatalf("connect to the Postgres for tests: %v", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	name := "test_" + uuid.NewString()[:13]
	name = pgx.Identifier{name}.Sanitize()
	if _, err := conn.Exec(ctx, `CREATE DATABASE `+name+` TEMPLATE `+template); err != nil {
		t.Fatalf("make a database for this test: %v", err)
	}
	t.Cleanup(func() {
		conn, err := pgx.Connect(ctx, dsn)
		if err != nil {
			t.Errorf("drop the test's database: %v", err)
			return
		}
		defer func() { _ = conn.Close(ctx) }()
		if _, err := conn.Exec(ctx, `DROP DATABASE `+name+` WITH (FORCE)`); err != nil {
			t.Errorf("drop the test's database: %v", err)
		}
	})
	return databaseDSN(dsn, name[1:len(name)-1])
}

// New opens a store on a database of the test's own.
func New(t testing.TB) *store.Store {
	t.Helper()
	s, err := store.Open(context.Background(), DSN(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// Copy makes another database of the test's own, as the one of a store is now, which must be closed: what a restore of a back-up
// begins with.
func Copy(t testing.TB, closed *store.Store) string {
	t.Helper()
	return clone(t, pgx.Identifier{closed.Pool().Config().ConnConfig.Database}.Sanitize())
}

// Of is the DSN of a database of the test's own, by its name.
func Of(t testing.TB, name string) string {
	t.Helper()
	dsn, err := server()
	if err != nil {
		t.Fatalf("no Postgres for this test: %v", err)
	}
	return databaseDSN(dsn, name)
}
