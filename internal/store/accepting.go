package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Causes why webhooks can't be stored. They are values of a metric's label: add to them, never rename one.
const (
	CauseUnreachable = "postgres_unreachable" // no connection, or no answer in time
	CauseReadOnly    = "postgres_read_only"
	CauseLocked      = "postgres_locked" // a lock or a slow statement blocks
	CauseDiskFull    = "disk_full"
	CauseSchema      = "schema" // a table, a column or a privilege is missing, or the schema is older than the binary
	CauseRefused     = "postgres_refuses"
)

// Causes lists all causes.
func Causes() []string {
	return []string{CauseUnreachable, CauseReadOnly, CauseLocked, CauseDiskFull, CauseSchema, CauseRefused}
}

// readOnlyTransaction is the code of the error of a statement that would write in a read-only transaction.
const readOnlyTransaction = "25006"

// CauseOf classifies an error of Postgres. One that isn't Postgres' own counts as postgres_unreachable.
func CauseOf(err error) string {
	pg := new(pgconn.PgError)
	switch {
	// the first is with target_session_attrs
	case errors.Is(err, pgconn.ErrReadOnlyConnection), errors.Is(err, ErrStandby):
		return CauseReadOnly
	case errors.Is(err, ErrTooLong):
		return CauseLocked
	case !errors.As(err, &pg):
		return CauseUnreachable
	case pg.Code == readOnlyTransaction:
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

// IsConnectionError reports whether err is that Postgres can't be reached, refuses connections, or doesn't answer.
func IsConnectionError(err error) bool {
	var network net.Error
	var connect *pgconn.ConnectError
	return errors.As(err, &network) || errors.As(err, &connect) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		pgconn.SafeToRetry(err) || (errors.As(err, new(*pgconn.PgError)) && CauseOf(err) == CauseUnreachable)
}

// Accepting is what a trial of accepting a webhook found out.
type Accepting struct {
	SchemaVersion int64 // of the newest migration
	// how far this machine's clock is ahead of the database's; uncertain by half the time of the answer
	ClockOffset time.Duration
}

// trialLockWait is how long a trial waits for a lock: longer than the service itself ever holds one.
const trialLockWait = 2 * time.Second

// TryAccepting does what accepting a webhook does, on the connections that accepting uses, and rolls it back. So a
// database that is read-only, full, locked, or lacks a table fails it like a webhook. It takes few round trips, so
// that a slow network isn't mistaken for a missing Postgres.
func (s Events) TryAccepting(ctx context.Context) (Accepting, error) {
	var a Accepting
	conn, err := s.intake.Acquire(ctx)
	if err != nil {
		return a, fmt.Errorf("connect to Postgres: %w", err)
	}
	defer conn.Release() // it closes a connection that is still in a transaction

	begin := "BEGIN; SET LOCAL lock_timeout = " + lockTimeout(conn.Conn(), trialLockWait) // in one round trip
	if _, err := conn.Exec(ctx, begin, pgx.QueryExecModeSimpleProtocol); err != nil {
		return a, fmt.Errorf("begin a transaction: %w", err)
	}
	defer func() {
		rollback, cancel := s.prompt(context.WithoutCancel(ctx))
		defer cancel()
		_, _ = conn.Exec(rollback, `ROLLBACK`, pgx.QueryExecModeSimpleProtocol)
	}()

	sent := time.Now()
	trial := Event{
		EventID: uuid.New(), Source: "readiness", Type: "trial", Status: EventAccepted, ReceivedAt: sent,
		Body: []byte("{}"),
	}

	var batch pgx.Batch
	batch.Queue(`SELECT clock_timestamp(), (SELECT max(version_id) FROM goose_db_version)`).QueryRow(
		func(row pgx.Row) error {
			var clock time.Time
			var version *int64
			if err := row.Scan(&clock, &version); err != nil {
				return fmt.Errorf("read the database's clock and the schema's version: %w", err)
			}
			a.ClockOffset = sent.Add(time.Since(sent) / 2).Sub(clock)
			if version != nil {
				a.SchemaVersion = *version
			}
			return nil
		})

	batch.Queue(insertWaiting,
		newEventRows([]Event{trial}).waiting()).Exec(func(pgconn.CommandTag) error { return nil })
	if err := conn.SendBatch(ctx, &batch).Close(); err != nil {
		return a, fmt.Errorf("insert an event: %w", err)
	}
	return a, nil
}
