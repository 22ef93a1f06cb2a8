package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// A request that somebody waits for is answered in a bounded time, whatever is locked. Postgres bounds each wait for a
// lock ([LockTimeout]), but a request may meet several: one row after another in one transaction, and one transaction
// after another. So the transactions of a request share one budget of waiting, and none lasts longer than
// answerWithin. Both are stretched as [Store.Within] says.

const answerWithin = 8 * time.Second

// shortestWait is what a transaction gets whose request has waited for too long already: most locks are held for
// milliseconds.
const shortestWait = 200 * time.Millisecond

// ErrTooLong is why a transaction was given up that somebody waited for.
var ErrTooLong = errors.New("transaction timed out: blocked by locks, or the database is slow")

type answeringKey struct{}

// Answering returns the context of a request that somebody waits for from now on. Its transactions ([Store.InTx]) wait
// for locks for 4 s in all, and each ends within 8 s (both: see [Store.Within]), with an error of [CauseLocked].
func Answering(ctx context.Context) context.Context {
	return context.WithValue(ctx, answeringKey{}, time.Now())
}

// Unhurried returns a context without the bounds of [Answering], for work that may have to take longer.
func Unhurried(ctx context.Context) context.Context {
	return context.WithValue(ctx, answeringKey{}, time.Time{})
}

// begin runs fn in a transaction, within the bounds of ctx.
func (s *db) begin(ctx context.Context, pool *pgxpool.Pool, fn func(pgx.Tx) error) error {
	came, _ := ctx.Value(answeringKey{}).(time.Time)
	if came.IsZero() {
		return pgx.BeginFunc(ctx, pool, fn)
	}
	within, cancel := context.WithTimeout(ctx, s.within(answerWithin))
	defer cancel()
	var options pgx.TxOptions
	budget := s.lockPatience.of(LockTimeout)
	left := max(budget-time.Since(came), s.lockPatience.of(shortestWait))
	if left < budget*9/10 { // the session's own is good otherwise
		options.BeginQuery = fmt.Sprintf("BEGIN; SET LOCAL lock_timeout = %d", left.Milliseconds())
	}
	deadline, _ := within.Deadline()
	err := pgx.BeginTxFunc(within, pool, options, func(tx pgx.Tx) error {
		// fn's statements run under the request's context, which doesn't end with the transaction
		data := tx.Conn().PgConn().CustomData()
		data[endsBy] = deadline
		defer delete(data, endsBy)
		return fn(tx)
	})
	if err != nil && !time.Now().Before(deadline) && ctx.Err() == nil {
		return fmt.Errorf("%w: %w", ErrTooLong, err)
	}
	return err
}
