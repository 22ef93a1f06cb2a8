package provisioner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/staykey/staykey/internal/point"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/tracing"
)

// work makes one attempt at one key and writes its verdict; an unreachable Seam is a failed attempt without a call.
// If even the writing fails, the lease expires and the key is due again.
func (p *Provisioner) work(ctx context.Context, lease store.Lease, unreachable error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var until atomic.Pointer[time.Time]
	until.Store(&lease.Until)
	ctx = seam.WithGuard(ctx, func() error { return p.mayCall(*until.Load()) })

	renewed := make(chan struct{})
	go func() {
		defer close(renewed)
		p.keepLease(ctx, cancel, lease, &until)
	}()
	point.Reach(point.Claimed)

	started := time.Now()
	log := p.log.With("source", lease.Source, "reservation_id", lease.ReservationID)
	work, err := p.store.Keys.LoadWork(ctx, lease.Ref)
	if err != nil {
		log.Error("reservation not loaded; retrying when its lease ends", "error", err)
		return
	}
	if work.Key.EventID != nil {
		log = log.With("trace_id", trace.TraceID(*work.Key.EventID).String())
	}

	attempt, span := tracing.Begin(tracing.Of(ctx, work.Key.EventID), "reconcile",
		attribute.String("staykey.source", lease.Source),
		attribute.String("staykey.reservation_id", lease.ReservationID))
	defer span.End()

	a := p.newAttempt(lease, work)
	verdict, out := a.runOrFail(attempt, unreachable)
	span.SetAttributes(attribute.String("staykey.key.status", verdict.Status))
	if out.leaseLost() {
		log.Warn("reservation taken over by another worker", "error", out.err)
		return
	}

	p.admission.heed(out.err)
	point.Reach(point.FinishBefore)

	err = a.ledger.finish(ctx, verdict)
	if store.IsDataError(err) || errors.Is(err, store.ErrIDTaken) {
		// What was read last can never be stored: a failed attempt, too. Any other error says nothing about the key.
		out = fails(err)
		verdict = a.ending().conclude(out)
		err = a.ledger.finish(ctx, verdict)
	}

	switch {
	case errors.Is(err, store.ErrLeaseLost):
		log.Warn("reservation taken over by another worker", "error", err)
		return
	case err != nil:
		log.Error("attempt result not stored; retrying when its lease ends", "error", err)
		return
	}

	point.Reach(point.FinishAfter)
	if verdict.Status == stay.KeyAttention && work.Key.Status != stay.KeyAttention {
		p.options.Activity.Add(lease.Source, store.ActivityAttention, p.now())
	}

	cancel()
	<-renewed
	a.report(log, verdict, out, time.Since(started))

	if verdict.Next != nil {
		if in := verdict.Next.Sub(p.now()); in < p.options.PollEvery {
			go func() {
				<-p.options.After(max(in, 0))
				p.Wake()
			}()
		}
	}
}

// runOrFail makes an attempt within [attemptTimeout]; an unreachable Seam is a failed attempt without a call. A bug
// of ours that panics on one reservation must not affect the others, over and over: it counts as that reservation's
// failure.
func (a *attempt) runOrFail(ctx context.Context, unreachable error) (v store.KeyVerdict, out outcome) {
	fail := func(err error) (store.KeyVerdict, outcome) {
		out := fails(err)
		return a.ending().conclude(out), out
	}
	if unreachable != nil {
		return fail(unreachable)
	}
	defer func() {
		if recovered := recover(); recovered != nil {
			a.log.Error("attempt panicked: this is a bug in staykey, please report it", "source", a.ledger.lease.Source,
				"reservation_id", a.ledger.lease.ReservationID, "panic", recovered, "stack", string(debug.Stack()))
			v, out = fail(fmt.Errorf("internal error: %v", recovered))
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	if a.pacing.isUrgent() {
		ctx = seam.Urgent(ctx)
	}
	return a.run(ctx)
}

// report logs and measures an attempt.
func (a *attempt) report(log *slog.Logger, v store.KeyVerdict, out outcome, took time.Duration) {
	reconcileSeconds.WithLabelValues(v.Status).Observe(took.Seconds())
	attrs := []any{
		"status", v.Status, "reason", v.Reason, "generation", v.Generation, "attempts", v.Attempts,
		"changes", a.ledger.changes, "duration_ms", took.Milliseconds(),
	}
	if out.err != nil {
		log.Warn("reconcile failed", append(attrs, "error", out.err)...)
		return
	}
	log.Info("reconciled", attrs...)
}

// mayCall refuses a call that could take effect after another worker believes that it never will. A worker that takes
// over waits for the read lag after the lease's end, so a call's deadline must be before that. A process that was
// stopped for longer than its lease finds out here, before it creates anything a second time.
func (p *Provisioner) mayCall(leaseUntil time.Time) error {
	until, deadline := leaseUntil.Add(p.options.ReadLag), time.Now().Add(p.seam.Timeout())
	// By the wall clock too: the monotonic clock stops while a machine is suspended.
	if deadline.After(until) || deadline.Round(0).After(until.Round(0)) {
		return errors.New("the lease on this reservation may end before the call does: another worker takes over")
	}
	return nil
}

// keepLease renews a lease until ctx ends, and ends the attempt when the lease is lost.
func (p *Provisioner) keepLease(ctx context.Context, cut context.CancelFunc, lease store.Lease,
	until *atomic.Pointer[time.Time],
) {
	store.KeepLease(ctx, cut, p.options.Lease/3, func() error {
		renewed := time.Now().Add(p.options.Lease)
		err := p.store.Keys.RenewLease(ctx, lease, p.options.Lease)
		if err == nil {
			until.Store(&renewed)
		}
		return err
	})
}
