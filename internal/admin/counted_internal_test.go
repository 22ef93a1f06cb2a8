package admin

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/staykey/staykey/internal/store"
)

// TestCountedTogether has many ask at the same time while the database hangs: they share one question and its failure.
func TestCountedTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var c counted
		var asked atomic.Int32
		hangs := errors.New("statement timeout")
		results := make(chan error, 30)
		for range 30 {
			go func() {
				r := <-c.asking.DoChan("all", func() (any, error) {
					return c.get("all", func() (store.Summary, error) {
						asked.Add(1)
						time.Sleep(15 * time.Second)
						return store.Summary{}, hangs
					})
				})
				results <- r.Err
			}()
		}
		began := time.Now()
		for range 30 {
			if err := <-results; !errors.Is(err, hangs) {
				t.Errorf("got %v", err)
			}
		}
		if took := time.Since(began); asked.Load() != 1 || took > 15*time.Second {
			t.Errorf("asked %d times in %s", asked.Load(), took)
		}
	})
}
