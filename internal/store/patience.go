package store

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// For a database that is slow, or a machine that is busy, the operator raises statement_timeout in the DSN. Every other
// wait on Postgres is then stretched in proportion, by the store's patience: for connections, answers, pings, commits
// and locks. Otherwise a statement could take a minute, and those that wait for its lock would
// give up after a second.

// patience is by how much waits are stretched: 1 with [StatementTimeout] or less.
type patience float64

// patienceOf is the patience for connections with these parameters.
func patienceOf(params map[string]string) patience {
	return max(1, patience(statementTimeout(params["statement_timeout"]))/patience(StatementTimeout))
}

// longestWait is the longest timeout that Postgres can have.
const longestWait = math.MaxInt32 * time.Millisecond

// of stretches a wait.
func (p patience) of(d time.Duration) time.Duration {
	return time.Duration(min(float64(d)*float64(p), float64(longestWait)))
}

// lockPatience is the patience for locks of a store whose patience is p.
func (o Options) lockPatience(p patience) patience {
	if o.BriefLockWaits {
		return 1
	}
	return p
}

// Within returns how long something may take that needs d where statements have [StatementTimeout]: if the DSN gives
// them more, because the database is slow, whatever waits for it gets more in proportion.
func (s *Store) Within(d time.Duration) time.Duration { return s.within(d) }

func (s *db) within(d time.Duration) time.Duration { return s.patience.of(d) }

// prompt is for round trips that others wait for.
func (s *db) prompt(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, s.within(promptTimeout))
}

// LimitLockWait bounds how long each further statement of a transaction may wait for a lock: for wait where statements
// have [StatementTimeout], and longer in proportion if the DSN gives them more.
func LimitLockWait(ctx context.Context, tx pgx.Tx, wait time.Duration) error {
	_, err := tx.Exec(ctx, `SELECT set_config('lock_timeout', $1, true)`, lockTimeout(tx.Conn(), wait))
	return wrap(err, "limit the wait for locks")
}

// lockTimeout is the lock_timeout for a wait on a connection, stretched if it is one of a store.
func lockTimeout(conn *pgx.Conn, wait time.Duration) string {
	if p, ok := conn.PgConn().CustomData()[lockPatience].(patience); ok {
		wait = p.of(wait)
	}
	return fmt.Sprint(wait.Milliseconds())
}

// statementTimeout reads a statement_timeout as Postgres does: a number with a unit, or one of milliseconds. One that
// has no end, or that Postgres will refuse, counts as [StatementTimeout]: a silent server must still be noticed.
func statementTimeout(setting string) time.Duration {
	digits := len(setting) - len(strings.TrimLeft(setting, "0123456789"))
	n, err := strconv.Atoi(setting[:digits])
	unit, known := map[string]time.Duration{
		"": time.Millisecond, "us": time.Microsecond, "ms": time.Millisecond, "s": time.Second, "min": time.Minute,
		"h": time.Hour, "d": 24 * time.Hour,
	}[strings.TrimSpace(setting[digits:])]
	if err != nil || !known || n == 0 || time.Duration(n) > math.MaxInt32*time.Millisecond/unit {
		return StatementTimeout
	}
	return time.Duration(n) * unit
}
