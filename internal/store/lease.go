package store

import (
	"context"
	"errors"
	"time"
)

// KeepLease renews a lease every so often until ctx ends, and cuts the work under it when it is lost: renew answers
// [ErrLeaseLost]. Other errors change nothing: the lease is still ours, and is renewed at the next turn or ends.
func KeepLease(ctx context.Context, cut context.CancelFunc, every time.Duration, renew func() error) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if errors.Is(renew(), ErrLeaseLost) {
			cut()
			return
		}
	}
}
