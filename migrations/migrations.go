// Package migrations holds the database schema, embedded, and migrates a database to it.
//
// Migrations are SQL files, except those that SQL can't express: River's own schema (river.go) and the case folding of
// searches (folded.go, plain.go), whose tables of letters are computed. Numbers only rise; one that was released is
// never edited.
//
// # Rules
//
//   - The previous version of the binary works on the new schema: columns are added with defaults, and removed only
//     when no supported version reads them. That is how replicas are replaced one by one, and how to roll back.
//   - No statement waits long for a lock ([LockTimeout]), and none holds one on a large table for longer than a
//     moment: indexes are created CONCURRENTLY, in a migration of their own without a transaction.
//   - Each has a Down, for tests: they migrate up and down with rows of the previous version in the tables.
//   - A comment on each table and column that isn't obvious says what it holds.
//
// [Up] applies what is missing. Any number of processes may call it at once. One that is blocked by another session's
// lock tries again until its context ends; an index that an earlier try left invalid is dropped and built again.
// [Pending], [List] and [Latest] only read.
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

// inGo are the names of the migrations that are in Go.
var inGo = map[int64]string{5: "river", 15: "folded_texts", 75: "plain_texts"}

// LockTimeout is the lock_timeout that connections for migrations must have. While a statement waits for a table's
// lock, everybody else who wants the table queues after it, the running version included; so it gives up soon and
// tries again. A transaction may wait for two tables.
const LockTimeout = 700 * time.Millisecond

// Pauses before a statement that gave up is tried again.
const (
	shortestPause = time.Second
	longestPause  = 5 * time.Second
)

// Up applies missing migrations and returns their names. Concurrent callers wait for each other at goose's advisory
// lock, so any number of replicas may start at once. db's connections should have [LockTimeout] and no
// statement_timeout.
//
// A migration that is blocked by a lock, or that Postgres ended because of a deadlock, is tried again until ctx ends:
// a backup that reads every table for an hour delays it by an hour. waiting, if not nil, is called for each such try.
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
		if len(applied) > before { // whatever was in the way is gone
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

// upByOne applies one migration after another, so that earlier ones are kept when a later one must wait.
func upByOne(ctx context.Context, db *sql.DB, provider *goose.Provider, applied *[]string) error {
	pending, err := provider.HasPending(ctx)
	if err != nil || !pending {
		return err
	}
	dropUnfinished(ctx, db)
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

// dropUnfinished removes indexes that an earlier try began to create concurrently and could not finish: they are
// useless, and CREATE INDEX IF NOT EXISTS would take them for complete. One that another session is creating right
// now is locked, and is left alone.
func dropUnfinished(ctx context.Context, db *sql.DB) {
	rows, err := db.QueryContext(ctx, `
		SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) FROM pg_index i JOIN pg_class c
			ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE NOT i.indisvalid AND n.nspname = current_schema()`)
	if err != nil {
		return // what follows fails in the same way, and reports it
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
		// quoted by Postgres; an index that can't be dropped now is tried again
		_, _ = db.ExecContext(ctx, `DROP INDEX CONCURRENTLY IF EXISTS `+name)
	}
}

// isLocked reports whether another session's lock is all that was in the way.
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
		return fmt.Sprintf("%05d_%s", s.Version, inGo[s.Version])
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
	names, _ := fs.Glob(files, "*.sql") // fails only for a malformed pattern
	for _, name := range names {
		version, err := goose.NumericComponent(name)
		if err != nil {
			panic(err) // embedded
		}
		newest = max(newest, version)
	}
	return newest
})

// Content returns all migrations as one text, for anything that must change whenever they do.
func Content() []byte {
	var all []byte
	names, _ := fs.Glob(files, "*.sql") // fails only for a malformed pattern
	for _, name := range names {
		content, err := files.ReadFile(name)
		if err != nil {
			panic(err) // embedded
		}
		all = append(all, content...)
	}
	return fmt.Appendf(all, "river %d %s %s", riverVersion, foldFunction(), plainFunction())
}

func newProvider(db *sql.DB) (*goose.Provider, error) {
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 24*3600))
	if err != nil {
		return nil, fmt.Errorf("migration lock: %w", err)
	}
	return goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithSessionLocker(locker), goose.WithGoMigrations(riverMigration(), foldedTexts(), plainTexts()),
		goose.WithSlog(slog.New(slog.DiscardHandler)))
}
