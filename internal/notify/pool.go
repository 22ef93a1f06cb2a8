package notify

import (
	"context"
	"time"
)

// pool limits the transactions of deliveries, which share the database with the keys.
type pool struct {
	permits chan struct{}
	rest    int // a permit is unavailable for this many times as long as its transaction took
}

func newPool(permits, rest int) *pool { return &pool{make(chan struct{}, permits), rest} }

// take waits for a permit, which must be given back once, when its transaction is over.
func (p *pool) take(ctx context.Context) (giveBack func(), err error) {
	select {
	case p.permits <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	began := time.Now()
	return func() {
		if p.rest == 0 {
			<-p.permits
			return
		}
		time.AfterFunc(min(time.Duration(p.rest)*time.Since(began), longestRest), func() { <-p.permits })
	}, nil
}

// longestRest bounds what a slow transaction costs the next one.
const longestRest = time.Second
