package notify

import (
	"context"
	"time"
)

// pool limits the transactions of deliveries, which share the database with the keys.
type pool struct {
	places chan struct{}
	rest   int // a place rests so many times as long as its transaction took
}

func newPool(places, rest int) *pool { return &pool{make(chan struct{}, places), rest} }

// take waits for a place. It is given back, once, when its transaction is over.
func (p *pool) take(ctx context.Context) (giveBack func(), err error) {
	select {
	case p.places <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	began := time.Now()
	return func() {
		if p.rest == 0 {
			<-p.places
			return
		}
		time.AfterFunc(min(time.Duration(p.rest)*time.Since(began), longestRest), func() { <-p.places })
	}, nil
}

// longestRest bounds what a slow transaction costs the next one.
const longestRest = time.Second
