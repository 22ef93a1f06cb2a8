package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// inPipeline is a transaction that costs a round trip less at each end: first travels with its begin, last with its
// commit. Attempts make many small ones. Where nothing could look at what first returns, because fn and last are nil,
// all of it is one round trip.
func (s *db) inPipeline(ctx context.Context, first func(*pgx.Batch), fn func(pgx.Tx) error,
	last func(*pgx.Batch) error,
) error {
	err := s.quietly(ctx, first, fn, last)
	if err == nil {
		s.committed()
	}
	return err
}

// quietly is inPipeline for what changes no stay.
func (s *db) quietly(ctx context.Context, first func(*pgx.Batch), fn func(pgx.Tx) error,
	last func(*pgx.Batch) error,
) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release() // it closes a connection that is still in a transaction

	err = runPipeline(ctx, conn, first, fn, last)
	if err != nil && !conn.Conn().IsClosed() && conn.Conn().PgConn().TxStatus() != 'I' {
		ctx, cancel := s.prompt(context.WithoutCancel(ctx))
		defer cancel()
		_, rollback := conn.Exec(ctx, "rollback")
		return errors.Join(err, rollback)
	}
	return err
}

// runPipeline sends a transaction in its round trips. After an error it may still be open.
func runPipeline(ctx context.Context, conn *pgxpool.Conn, first func(*pgx.Batch), fn func(pgx.Tx) error,
	last func(*pgx.Batch) error,
) error {
	var batch pgx.Batch
	batch.Queue("begin")
	first(&batch)
	if fn != nil || last != nil {
		if err := conn.SendBatch(ctx, &batch).Close(); err != nil {
			return err
		}
		batch = pgx.Batch{}
	}

	if fn != nil {
		if err := fn(pipelined{conn: conn}); err != nil {
			return err
		}
	}

	if last != nil {
		if err := last(&batch); err != nil {
			return err
		}
	}
	return commitWith(ctx, conn, &batch)
}

// commitWith sends a batch and the commit.
func commitWith(ctx context.Context, conn *pgxpool.Conn, batch *pgx.Batch) error {
	var tag pgconn.CommandTag
	batch.Queue("commit").Exec(func(t pgconn.CommandTag) error { tag = t; return nil })
	if err := conn.SendBatch(ctx, batch).Close(); err != nil {
		return err
	}
	if tag.String() == "ROLLBACK" { // what Postgres makes of a commit after an unhandled error
		return fmt.Errorf("commit: %w", pgx.ErrTxCommitRollback)
	}
	return nil
}

// pipelined is the middle of such a transaction: it must neither begin nor commit.
type pipelined struct {
	pgx.Tx // nil: methods that are not below must not be called
	conn   *pgxpool.Conn
}

func (p pipelined) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	return p.conn.Exec(ctx, sql, args...)
}

func (p pipelined) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	return p.conn.Query(ctx, sql, args...)
}

func (p pipelined) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return p.conn.QueryRow(ctx, sql, args...)
}

func (p pipelined) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	return p.conn.SendBatch(ctx, b)
}
