// Package migrations holds the database schema and brings a database to it.
package migrations

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed *.sql
var files embed.FS

// Files returns the migrations, for tests that stop between them.
func Files() fs.FS { return files }

// Status is one migration and whether the database has it.
type Status struct {
	Name    string
	Applied bool
}

// LockTimeout is what a connection for migrations must have as its lock_timeout. A statement that waits for a table's lock has everybody else who
// wants the table wait after it, the running version included; so it gives up soon and is repeated. A transaction may wait for two tables.
const LockTimeout = 700 * time.Millisecond

// Pauses before what was given up is tried again.
const (
	shortestPause = time.Second
	longestPause  = 5 * time.Second
)

// Up applies what is missing and returns the names of what it applied. Concurrent callers wait for each other at goose's advisory lock, so that
// any number of replicas may start at once. db's connections should have [LockTimeout] and no statement_timeout.
//
// A migration that a lock is in the way of, or that Postgres ended for a deadlock, is tried again until ctx ends: a backup that reads every
// table for an hour delays it by an hour. waiting, if not nil, is called for each such try.
func Up(ctx context.Context, db *sql.DB, waiting func(error)) ([]string, error) {
	provider, err := newProvider(db)
	if err != nil {
		return nil, err
	}
	var applied []string
	for pause := shortestPause; ; {
		before := len(applied)
		err := upByOne(ctx, db, provider, &applied)
		if err == nil {
			return applied, nil
		}
		if !isLocked(err) || ctx.Err() != nil {
			return applied, fmt.Errorf("migrate: %w", err)
		}
		if waiting != nil {
			waiting(err)
		}
		if len(applied) > before { // anyone who was in the way has gone
			pause = shortestPause
		}
		next := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			next.Stop()
			return applied, fmt.Errorf("migrate: %w", errors.Join(ctx.Err(), err))
		case <-next.C:
		}
		pause = min(2*pause, longestPause)
	}
}

// upByOne applies one migration after another, so that what is done is done when a later one must wait.
func upByOne(ctx context.Context, db *sql.DB, provider *goose.Provider, applied *[]string) error {
	pending, err := provider.HasPending(ctx)
	if err != nil || !pending {
		return err
	}
	dropTorsos(ctx, db)
	for {
		result, err := provider.UpByOne(ctx)
		if errors.Is(err, goose.ErrNoNextVersion) {
			return nil
		}
		if err != nil {
			return err
		}
		*applied = append(*applied, nameOf(result.Source))
	}
}

// dropTorsos removes indexes that an earlier try began to make concurrently and could not finish: they are useless, and CREATE INDEX IF NOT EXISTS
// would take them for whole. One that another session is making right now is locked, and stays.
func dropTorsos(ctx context.Context, db *sql.DB) {
	rows, err := db.QueryContext(ctx, `
		SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE NOT i.indisvalid AND n.nspname = current_schema()`)
	if err != nil {
		return // what comes next fails likewise, and tells
	}
	var names []string
	for rows.Next() {
		var name string
		if rows.Scan(&name) == nil {
			names = append(names, name)
		}
	}
	if rows.Close() != nil || rows.Err() != nil {
		return
	}
	for _, name := range names {
		_, _ = db.ExecContext(ctx, `DROP INDEX CONCURRENTLY IF EXISTS `+name) // quoted by Postgres; what can't be dropped now is tried again
	}
}

// isLocked reports whether a lock that is held by somebody else is all that was in the way.
func isLocked(err error) bool {
	pg := new(pgconn.PgError)
	if !errors.As(err, &pg) {
		return false
	}
	switch pg.Code {
	case "55P03", // lock_not_available
		"40P01", // deadlock_detected
		"40001": // serialization_failure
		return true
	}
	return false
}

// nameOf names a migration; one in Go has no file.
func nameOf(s *goose.Source) string {
	if s.Path == "" {
		return fmt.Sprintf("%05d_%s", s.Version, map[int64]string{5: "river", 15: "folded_texts"}[s.Version])
	}
	return s.Path
}

// List returns every migration in order.
func List(ctx context.Context, db *sql.DB) ([]Status, error) {
	provider, err := newProvider(db)
	if err != nil {
		return nil, err
	}
	all, err := provider.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("read migration status: %w", err)
	}
	list := make([]Status, 0, len(all))
	for _, s := range all {
		list = append(list, Status{Name: nameOf(s.Source), Applied: s.State == goose.StateApplied})
	}
	return list, nil
}

// Pending reports whether the database lacks a migration of this binary.
func Pending(ctx context.Context, db *sql.DB) (bool, error) {
	provider, err := newProvider(db)
	if err != nil {
		return false, err
	}
	return provider.HasPending(ctx)
}

// Latest is the version of the newest migration.
func Latest() int64 { return latest() }

var latest = sync.OnceValue(func() int64 {
	newest := int64(riverMigrationVersion)
	names, _ := fs.Glob(files, "*.sql") // fails for a malformed pattern only
	for _, name := range names {
		version, err := goose.NumericComponent(name)
		if err != nil {
			panic(err) // embedded
		}
		newest = max(newest, version)
	}
	return newest
})

// Content returns all migrations in one piece, for what must change whenever they do.
func Content() []byte {
	var all []byte
	names, _ := fs.Glob(files, "*.sql") // fails for a malformed pattern only
	for _, name := range names {
		content, err := files.ReadFile(name)
		if err != nil {
			panic(err) // embedded
		}
		all = append(all, content...)
	}
	return fmt.Appendf(all, "river %d %s", riverVersion, foldFunction())
}

func newProvider(db *sql.DB) (*goose.Provider, error) {
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 24*3600))
	if err != nil {
		return nil, fmt.Errorf("migration lock: %w", err)
	}
	return goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithSessionLocker(locker), goose.WithGoMigrations(riverMigration(), foldedTexts()), goose.WithSlog(slog.New(slog.DiscardHandler)))
}
