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

// connectWithin is how long a start waits for a Postgres that doesn't answer at all. Its supervisor then starts it
// again.
const connectWithin = 30 * time.Second

// startup is what a start waits for, as it shows it.
type startup struct {
	log  *slog.Logger
	show func(string) // to those who ask the private listener; "" for nothing in particular

	now   func() time.Time
	pause func(context.Context) // between two attempts, at most until ctx ends
}

func pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(time.Second):
	}
}

// connect connects, waiting for a Postgres that is just starting, and for a standby to be promoted.
func (s startup) connect(ctx context.Context, dsn string) (*store.Store, error) {
	db, err := store.Open(ctx, dsn)
	if err != nil {
		return nil, err
	}
	err = s.until(ctx, func() error { return db.Ping(ctx) }, func(err error) string {
		if cause := store.CauseOf(err); cause == store.CauseReadOnly {
			return cause
		}
		return store.CauseUnreachable // also while Postgres is only half up
	})
	if err != nil {
		db.Close()
		return nil, fmt.Errorf("DATABASE_URL: Postgres does not answer: %w", err)
	}
	return db, nil
}

// whenAble repeats a step of the start while the database can't do what it needs. A lock may be released, and a disk
// get space, at any time, so that it waits for them for as long as it takes: a service that ends helps nobody.
func (s startup) whenAble(ctx context.Context, step func() error) error {
	return s.until(ctx, step, func(err error) string {
		if cause := store.CauseOf(err); cause != store.CauseUnreachable || store.IsConnectionError(err) {
			return cause
		}
		return "" // not Postgres' error
	})
}

// until repeats a step until it succeeds, ctx ends, or it fails for a cause that doesn't pass. It waits for a Postgres
// that is unreachable for connectWithin.
func (s startup) until(ctx context.Context, step func() error, causeOf func(error) string) error {
	defer s.show("")
	var began, logged, unreachable time.Time
	for waited := false; ; waited = true {
		err := step()
		if err == nil {
			if waited {
				s.log.Info("start continues", "after", s.now().Sub(began).Round(time.Millisecond).String())
			}
			return nil
		}
		now := s.now()
		if !waited {
			began = now
		}
		cause := causeOf(err)
		switch {
		case cause != store.CauseUnreachable:
			unreachable = time.Time{}
		case unreachable.IsZero():
			unreachable = now
		}
		what, passes := passing[cause]
		lost := !unreachable.IsZero() && now.Sub(unreachable) > connectWithin
		if !passes || lost || ctx.Err() != nil {
			return err
		}
		s.show(what + ": " + err.Error())
		if now.Sub(logged) >= time.Minute {
			logged = now
			s.log.Warn(what, "waits_for", store.LockedRow(err), "error", err)
		}
		s.pause(ctx)
	}
}

// passing describes what a start waits for, by the causes that may pass.
var passing = map[string]string{
	store.CauseUnreachable: "waiting for Postgres",
	store.CauseLocked:      "waiting for a lock: find its holder in pg_stat_activity, such as a backup or an open transaction",
	store.CauseReadOnly:    "waiting for the database to become writable",
	store.CauseDiskFull:    "waiting for space on the database's disk",
}

// migrate applies the migrations that the database lacks. It waits for locks as long as it takes; the version that
// runs continues meanwhile.
func (s startup) migrate(ctx context.Context, db *store.Store) error {
	sqlDB := MigrationDB(db.Pool().Config().ConnConfig)
	defer func() { _ = sqlDB.Close() }()
	pending, err := migrations.Pending(ctx, sqlDB)
	if err != nil || !pending {
		return err
	}
	var logged time.Time
	applied, err := migrations.Up(ctx, sqlDB, func(err error) {
		s.show("migration " + passing[store.CauseLocked] + ": " + err.Error())
		if time.Since(logged) >= time.Minute {
			logged = time.Now()
			s.log.Warn("migration "+passing[store.CauseLocked], "error", err)
		}
	})
	if len(applied) > 0 {
		s.log.Info("database migrated", "migrations", len(applied), "last", applied[len(applied)-1])
		s.log.Debug("migrations applied", "migrations", applied)
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
