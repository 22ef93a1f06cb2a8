package app

import (
	"context"
	"sync"
	"time"
)

// Limits of what clients can use: they share the connections (see fairListener), and a header or a request that comes
// too slowly is cut off. A proxy in front keeps its connections, so that idle ones may stay for a while.
const (
	MaxConnections      = 1024
	maxAdminConnections = 256
	maxOpsConnections   = 64
	HeaderWithin        = 5 * time.Second
	RequestWithin       = 15 * time.Second
	idleFor             = 90 * time.Second
)

// appliers share the inbox as replicas do: while one waits for Postgres, another computes.
const appliers = 2

// flushActivity is how often what happened is written down for the page's chart.
const flushActivity = 3 * time.Second

// serve runs until ctx ends, then stops in order: no new requests, what was accepted is finished, running
// attempts get their time.
func (s *service) serve(ctx context.Context, open listeners, reload <-chan struct{}, started func()) error {
	s.reloader.settle(ctx, s.reloader.decided(), s.reloader.noted(), s.reloader.compared(), s.reloader.takenUp())
	apply, stopApply := context.WithCancel(context.WithoutCancel(ctx))
	defer stopApply()
	provision, stopProvision := context.WithCancel(context.WithoutCancel(ctx))
	defer stopProvision()

	var workers sync.WaitGroup
	for range appliers {
		workers.Go(func() { s.applier.Run(apply) })
	}
	workers.Go(func() { s.keeper.Run(apply) })
	workers.Go(func() { s.guests.Run(provision) })
	workers.Go(func() { s.notifier.Run(provision, stopDeliveries) })
	workers.Go(func() { s.writer.Run(provision, stopWriting) })
	workers.Go(func() { s.countActivity(apply) })
	workers.Go(func() { s.configured.watchPolicies(apply) })
	workers.Go(func() { s.reloader.settleLater(apply) })
	workers.Go(func() { s.reloader.watchFiles(apply) })

	s.health.readiness.look(ctx)
	workers.Go(func() { s.health.readiness.run(apply) })
	workers.Go(func() { s.health.watchSeam(apply) })
	workers.Go(func() { s.provisioner.Run(provision, stopJobs) })
	workers.Go(func() { s.doors.Run(provision) })

	s.health.working.Store(true)
	open.use(s)
	s.log.Info("ready", open.addresses()...)
	started()

	var err error
	for serving := true; serving; {
		select {
		case <-ctx.Done():
			serving = false
		case err = <-open.public.failed:
			serving = false
		case err = <-open.adminFailed():
			serving = false
		case err = <-open.private.failed:
			serving = false
		case <-reload:
			workers.Go(func() { _, _ = s.reloader.reload(ctx) }) // it is logged; nothing it waits for may delay a stop
		}
	}
	s.stop(ctx, s.config.StopDelay, open, stopProvision, stopApply, &workers)
	return err
}

// countActivity writes what has been counted, every few seconds until ctx ends, and the rest then.
func (s *service) countActivity(ctx context.Context) {
	tick := time.NewTicker(flushActivity)
	defer tick.Stop()
	for running := true; running; {
		select {
		case <-ctx.Done():
			running = false
		case <-tick.C:
		}
		flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		if err := s.store.Activity.Flush(flush, s.activity); err != nil {
			s.log.Warn("activity not read: the page's chart is empty", "error", err)
		}
		cancel()
	}
}
