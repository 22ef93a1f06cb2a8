package main

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/staykey/staykey/internal/app"
	"github.com/staykey/staykey/internal/config"
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
	Wait     time.Duration `help:"Wait this long for another process to apply them, such as 10m; exit 3 if one is still missing then." placeholder:"DURATION"`
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

// wait asks every second until no migration is missing, for as long as the command may wait. It also waits for a
// database that can't be reached yet.
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
