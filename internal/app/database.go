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

// connect connects, waiting for a Postgres that is just starting.
func connect(ctx context.Context, dsn string, log *slog.Logger) (*store.Store, error) {
	db, err := store.Open(ctx, dsn)
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(30 * time.Second)
	for {
		err := db.Ping(ctx)
		if err == nil {
			break
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			db.Close()
			return nil, fmt.Errorf("DATABASE_URL: Postgres does not answer: %w", err)
		}
		log.Warn("waiting for Postgres", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
	return db, nil
}

// migrate applies the migrations that the database lacks. It waits for locks as long as it takes; the version that runs continues meanwhile.
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

// migrationDB opens connections for migrations: statements may take as long as they take, waits for locks may not.
func MigrationDB(like *pgx.ConnConfig) *sql.DB {
	config := like.Copy()
	config.Tracer = nil // the service's deadlines
	config.RuntimeParams["statement_timeout"] = "0"
	config.RuntimeParams["idle_in_transaction_session_timeout"] = "0"
	config.RuntimeParams["lock_timeout"] = fmt.Sprint(migrations.LockTimeout.Milliseconds())
	config.RuntimeParams["application_name"] = "staykey migrate"
	return stdlib.OpenDB(*config)
}
