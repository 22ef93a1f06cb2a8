package app

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/migrations"
)

// connectWithin is how long a start waits for Postgres.
const connectWithin = 30 * time.Second

// connect connects, waiting for a Postgres that is just starting.
func connect(ctx context.Context, dsn string, log *slog.Logger) (*store.Store, error) {
	db, err := store.Open(ctx, dsn)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	for waiting := false; ; waiting = true {
		err := db.Ping(ctx)
		if err == nil {
			if waiting {
				log.Info("Postgres answers", "after", time.Since(began).Round(time.Millisecond))
			}
			return db, nil
		}
		if ctx.Err() != nil || time.Since(began) > connectWithin {
			db.Close()
			return nil, fmt.Errorf("DATABASE_URL: Postgres does not answer: %w", err)
		}
		if !waiting {
			log.Warn("waiting for Postgres", "at_most", connectWithin, "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// whenWritable repeats a step of the start that needs what the database can't do now, for as long as a start waits for
// Postgres: a lock may be released, and a disk get space, at any time.
func whenWritable(ctx context.Context, log *slog.Logger, step func() error) error {
	began := time.Now()
	for {
		err := step()
		if err == nil {
			return nil
		}
		what, passes := passing[store.CauseOf(err)]
		if !passes || ctx.Err() != nil || time.Since(began) > connectWithin {
			return err
		}
		log.Warn(what, "at_most", connectWithin, "waits_for", store.LockedRow(err), "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// passing says what a start waits for, by the causes that may pass.
var passing = map[string]string{
	store.CauseLocked:   "waiting for a lock: find its holder in pg_stat_activity, such as a backup or an open transaction",
	store.CauseReadOnly: "waiting for the database to become writable",
	store.CauseDiskFull: "waiting for space on the database's disk",
}

// migrate applies the migrations that the database lacks. It waits for locks as long as it takes; the version that
// runs continues meanwhile.
func migrate(ctx context.Context, db *store.Store, log *slog.Logger) error {
	sqlDB := MigrationDB(db.Pool().Config().ConnConfig)
	defer func() { _ = sqlDB.Close() }()
	pending, err := migrations.Pending(ctx, sqlDB)
	if err != nil || !pending {
		return err
	}
	var said time.Time
	applied, err := migrations.Up(ctx, sqlDB, func(err error) {
		if time.Since(said) >= time.Minute {
			said = time.Now()
			log.Warn("migration waiting for a lock: find its holder in pg_stat_activity, such as a backup or an open transaction", "error", err)
		}
	})
	if len(applied) > 0 {
		log.Info("database migrated", "migrations", applied)
	}
	return err
}

// MigrationDB opens connections for migrations: statements may take as long as they take, waits for locks may not.
func MigrationDB(like *pgx.ConnConfig) *sql.DB {
	config := like.Copy()
	config.Tracer = nil // the service's deadlines
	config.RuntimeParams["statement_timeout"] = "0"
	config.RuntimeParams["idle_in_transaction_session_timeout"] = "0"
	config.RuntimeParams["lock_timeout"] = fmt.Sprint(migrations.LockTimeout.Milliseconds())
	config.RuntimeParams["application_name"] = "staykey migrate"
	return stdlib.OpenDB(*config)
}
