// Package migrations holds the database schema and brings a database to it.
package migrations

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"

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

// Up applies what is missing and returns the names of what it applied. Concurrent callers wait for each
// other at goose's advisory lock, so that any number of replicas may start at once.
func Up(ctx context.Context, db *sql.DB) ([]string, error) {
	provider, err := newProvider(db)
	if err != nil {
		return nil, err
	}
	results, err := provider.Up(ctx)
	if err != nil {
		return nil, fmt.Errorf("migrate: %w", err)
	}
	names := make([]string, 0, len(results))
	for _, r := range results {
		names = append(names, nameOf(r.Source))
	}
	return names, nil
}

// nameOf names a migration; one in Go has no file.
func nameOf(s *goose.Source) string {
	if s.Path == "" {
		return fmt.Sprintf("%05d_river", s.Version)
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
	return fmt.Appendf(all, "river %d", riverVersion)
}

func newProvider(db *sql.DB) (*goose.Provider, error) {
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 120))
	if err != nil {
		return nil, fmt.Errorf("migration lock: %w", err)
	}
	return goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithSessionLocker(locker), goose.WithGoMigrations(riverMigration()), goose.WithSlog(slog.New(slog.DiscardHandler)))
}
