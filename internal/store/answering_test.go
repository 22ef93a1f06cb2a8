package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/store/storetest"
)

// A request that somebody waits for doesn't wait for locks without end: what one of its transactions has waited, the
// next one has less, and none lasts longer than a few seconds. Work that is unhurried has the session's bounds.
func TestAnsweringIsBounded(t *testing.T) {
	t.Parallel()
	s, err := store.Open(t.Context(), storetest.ServiceDSN(t)) // with the deadlines of the service
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	lockTimeout := func(ctx context.Context) (wait string) {
		t.Helper()
		if err := s.InTx(ctx, func(tx pgx.Tx) error {
			return tx.QueryRow(ctx, `SELECT current_setting('lock_timeout')`).Scan(&wait)
		}); err != nil {
			t.Fatal(err)
		}
		return wait
	}
	long := func(ctx context.Context, statement string) error {
		return s.InTx(ctx, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, `SELECT set_config('statement_timeout', $1, true)`, statement); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, `SELECT pg_sleep(3600)`)
			return err
		})
	}

	t.Run("a request's first transaction", func(t *testing.T) {
		t.Parallel()
		// As if it came when its transaction begins, however long a busy machine takes to open a connection.
		if got := lockTimeout(store.AnsweringSince(t.Context(), time.Now().Add(time.Hour))); got != "4s" {
			t.Errorf("it waits for a lock for %s", got)
		}
	})
	t.Run("a request waits from when it comes", func(t *testing.T) {
		t.Parallel()
		before := time.Now()
		from := store.AnsweringFrom(store.Answering(t.Context()))
		if from.Before(before) || from.After(time.Now()) {
			t.Errorf("a request that came at %s waits for locks from %s", before, from)
		}
	})
	t.Run("one of a request that has waited", func(t *testing.T) {
		t.Parallel()
		if got := lockTimeout(store.AnsweringSince(t.Context(), time.Now().Add(-time.Hour))); got != "200ms" {
			t.Errorf("it waits for a lock for %s", got)
		}
	})
	t.Run("unhurried work", func(t *testing.T) {
		t.Parallel()
		ctx := store.Unhurried(store.AnsweringSince(t.Context(), time.Now().Add(-time.Hour)))
		if got := lockTimeout(ctx); got != "4s" {
			t.Errorf("it waits for a lock for %s", got)
		}
		err := long(ctx, "10s")
		if pg := new(pgconn.PgError); !errors.As(err, &pg) || pg.Code != "57014" {
			t.Errorf("it ends with %v, want Postgres's own deadline", err)
		}
	})
	t.Run("a transaction that takes long", func(t *testing.T) {
		t.Parallel()
		err := long(store.Answering(t.Context()), "1h") // ends before the statement's own deadline
		if pg := new(pgconn.PgError); errors.As(err, &pg) {
			t.Errorf("Postgres ended its statement: %v", err)
		}
		if !errors.Is(err, store.ErrTooLong) || store.CauseOf(err) != store.CauseLocked {
			t.Errorf("it ends with %v, cause %s", err, store.CauseOf(err))
		}
	})
	t.Run("a client that goes away", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		err := s.InTx(store.Answering(ctx), func(pgx.Tx) error {
			cancel()
			return ctx.Err()
		})
		if !errors.Is(err, context.Canceled) || errors.Is(err, store.ErrTooLong) {
			t.Errorf("it ends with %v", err)
		}
	})
}
