package app

import (
	"context"
	"sync"
	"time"
)

// A stop takes 20 seconds at most, whatever hangs:
//
//	readiness answers 503                     at once
//	requests are still taken                  for STAYKEY_STOP_DELAY, until load balancers have noticed
//	all but the private one close, requests end  within stopRequests
//	what was accepted is committed            within stopAccepting
//	requests for documents end                within stopFetches
//	attempts at Seam end                      within stopJobs of the beginning, meanwhile
//	appliers and the rest end                 within stopWork, and within what is left
//
// What is cut off is safe: an event that is not acknowledged is repeated, everything else is in the database, and
// another replica, or the next start, takes it up.
const (
	stopWithin    = 17 * time.Second // closing the database takes up to two more
	stopRequests  = 5 * time.Second
	stopAccepting = 2 * time.Second
	stopFetches   = 2 * time.Second
	stopWork      = 3 * time.Second
	stopJobs      = 8 * time.Second
)

// stopping is a stop under way.
type stopping struct {
	service *service
	ctx     context.Context // ends when the stop must have ended
}

// step waits for a part of the stop, for as long as it may take.
func (s stopping) step(what string, within time.Duration, do func(context.Context) error) {
	ctx, cancel := context.WithTimeout(s.ctx, within)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- do(ctx) }()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		s.service.log.Warn("stop timed out: not waiting any longer", "for", what, "error", err)
	}
}

// stop ends everything in order. The private listener is closed last, so that probes are answered until then.
func (s *service) stop(ctx context.Context, delay time.Duration, open listeners, stopProvision, stopApply func(),
	workers *sync.WaitGroup,
) {
	s.log.Info("stopping")
	began := time.Now()
	s.health.working.Store(false)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()

	stopProvision() // no new attempts; those under way end while requests do
	if delay > 0 {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		<-timer.C
	}

	stop := stopping{service: s, ctx: ctx}
	stop.step("requests", stopRequests, open.shutdown)
	stop.step("webhooks waiting for their commit", stopAccepting, s.acceptor.Close)
	stop.step("requests for documents", stopFetches, s.jobs.Stop)
	stopApply()
	stop.step("work under way", max(stopWork, stopJobs-time.Since(began)), func(context.Context) error {
		workers.Wait()
		return nil
	})
	stop.step("latest activity counts", time.Second, func(ctx context.Context) error {
		return s.store.Activity.Flush(ctx, s.activity)
	})

	_ = open.private.Close()
	s.seam.Close()
	s.log.Info("stopped")
}
