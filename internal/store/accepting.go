package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
)

// Causes of webhooks not being kept. They are values of a metric's label: add to them, never rename one.
const (
	CauseUnreachable = "postgres_unreachable" // no connection, or no answer in time
	CauseReadOnly    = "postgres_read_only"
	CauseLocked      = "postgres_locked" // a lock or a slow statement is in the way
	CauseDiskFull    = "disk_full"
	CauseSchema      = "schema" // a table, a column or a privilege is missing, or the schema is older than the binary
	CauseRefused     = "postgres_refuses"
)

// Causes are all of them.
func Causes() []string {
	return []string{CauseUnreachable, CauseReadOnly, CauseLocked, CauseDiskFull, CauseSchema, CauseRefused}
}

// CauseOf classifies an error of Postgres.
func CauseOf(err error) string {
	pg := new(pgconn.PgError)
	switch {
	case !errors.As(err, &pg):
		return CauseUnreachable
	case pg.Code == "25006":
		return CauseReadOnly
	case pg.Code == "55P03", pg.Code == "57014", pg.Code == "40P01":
		return CauseLocked
	case pg.Code == "53100":
		return CauseDiskFull
	case pg.Code == "53300", strings.HasPrefix(pg.Code, "57P"), strings.HasPrefix(pg.Code, "08"):
		return CauseUnreachable
	case strings.HasPrefix(pg.Code, "42"):
		return CauseSchema
	default:
		return CauseRefused
	}
}

// Accepting is what a trial of accepting a webhook found besides that it works.
type Accepting struct {
	SchemaVersion int64         // of the newest migration
	ClockOffset   time.Duration // how far this machine's clock is ahead of the database's; a slow answer makes it uncertain by half its time
}

// trialLockTimeout is how long a trial waits for a lock: longer than anything that the service itself locks.
const trialLockTimeout = `SET LOCAL lock_timeout = '2s'`

// TryAccepting does what accepting a webhook does, on the connections that accepting uses, and rolls it back. So it meets a database that is
// read-only, full, locked, or lacks a table, as a webhook would.
func (s *Store) TryAccepting(ctx context.Context) (Accepting, error) {
	var a Accepting
	tx, err := s.intake.Begin(ctx)
	if err != nil {
		return a, fmt.Errorf("connect to Postgres: %w", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	var clock time.Time
	sent := time.Now()
	if err := tx.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&clock); err != nil {
		return a, fmt.Errorf("read the database's clock: %w", err)
	}
	took := time.Since(sent)
	a.ClockOffset = sent.Add(took / 2).Sub(clock)
	if _, err := tx.Exec(ctx, trialLockTimeout); err != nil {
		return a, fmt.Errorf("set a lock timeout: %w", err)
	}
	var version *int64
	if err := tx.QueryRow(ctx, `SELECT max(version_id) FROM goose_db_version`).Scan(&version); err != nil {
		return a, fmt.Errorf("read the schema's version: %w", err)
	}
	if version != nil {
		a.SchemaVersion = *version
	}
	trial := Event{EventID: uuid.New(), Source: "readiness", Type: "trial", Status: EventAccepted, ReceivedAt: sent, Body: []byte("{}")}
	if _, err := tx.Exec(ctx, insertWaiting, newEventRows([]Event{trial}).stored()...); err != nil {
		return a, fmt.Errorf("insert an event: %w", err)
	}
	return a, nil
}
