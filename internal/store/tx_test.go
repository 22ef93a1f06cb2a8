package store_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/store/storetest"
)

// Anyone who loses a race to another replica runs again, so that no caller has to remember to.
func TestInTxTriesRacesAgain(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	ctx := context.Background()

	t.Run("a race that is won at the third try", func(t *testing.T) {
		t.Parallel()
		tries := 0
		err := s.InTx(ctx, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, `INSERT INTO settings (name, value) VALUES ('third', '')`); err != nil {
				return err // what an earlier try wrote would be in the way
			}
			if tries++; tries < 3 {
				return store.ErrRaced
			}
			return nil
		})
		if err != nil || tries != 3 {
			t.Errorf("%d tries: %v", tries, err)
		}
	})

	t.Run("a race that is never won is reported", func(t *testing.T) {
		t.Parallel()
		tries := 0
		err := s.InTx(ctx, func(pgx.Tx) error { tries++; return store.ErrRaced })
		if !errors.Is(err, store.ErrRaced) || tries != 10 {
			t.Errorf("%d tries: %v", tries, err)
		}
	})

	t.Run("any other error is not tried again", func(t *testing.T) {
		t.Parallel()
		tries := 0
		err := s.InTx(ctx, func(pgx.Tx) error { tries++; return store.ErrNotFound })
		if !errors.Is(err, store.ErrNotFound) || tries != 1 {
			t.Errorf("%d tries: %v", tries, err)
		}
	})

	t.Run("the loser of a deadlock", func(t *testing.T) {
		t.Parallel()
		var bothHaveOne, done sync.WaitGroup
		bothHaveOne.Add(2)
		var tries atomic.Int32
		for _, order := range [][2]int{{1, 2}, {2, 1}} {
			first := sync.OnceFunc(func() { bothHaveOne.Done(); bothHaveOne.Wait() })
			done.Go(func() {
				err := s.InTx(ctx, func(tx pgx.Tx) error {
					tries.Add(1)
					if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, order[0]); err != nil {
						return err
					}
					first()
					_, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, order[1])
					return err
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		done.Wait()
		if n := tries.Load(); n != 3 {
			t.Errorf("%d tries of two transactions that wait for each other, want 3", n)
		}
	})
}
