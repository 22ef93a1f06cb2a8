// Package provisioner keeps true in Seam what reservations ask for. It is a level-triggered controller: it
// reads everything, works out what should be, and takes the steps that are missing, whatever event came and
// wherever an earlier attempt broke off. A row of mobile_keys is the queue; see docs/architecture.md.
package provisioner

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/staykey/staykey/internal/chaos/point"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/tracing"
)

var (
	reconcileSeconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "staykey_reconcile_duration_seconds", Help: "Attempts to bring one reservation to what is desired, by the status they end with.",
		Buckets: []float64{.005, .01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
	}, []string{"status"})
	paused = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "staykey_provisioner_paused", Help: "1 while Seam does not accept the API key, or it is of another workspace.",
	})
)

// Collectors returns the package's metrics.
func Collectors() []prometheus.Collector {
	return []prometheus.Collector{
		reconcileSeconds, paused, driftFound, sweepSeconds, sweepCompared, sweepHeldBack, dueWithoutKey, overdueRemovals,
	}
}

// Options of a provisioner. Zero values take the defaults.
type Options struct {
	Activity      *store.Activity                // counts keys that are made and removed; nil for nobody to count
	Crowded       func() bool                    // whether the machine has a burst to accept, nil for never
	DefaultSystem string                         // access system of listings and sources that name none
	DueWithin     time.Duration                  // arrivals so near without a key are counted and logged, default 24 h
	Grace         time.Duration                  // how long Seam's reads may lag its writes, default 5 s
	Lease         time.Duration                  // how long a killed worker delays a key, default 10 s
	Now           func() time.Time               // default time.Now
	Policy        func(source string) pms.Policy // required
	ReadPolicies  func()                         // has Policy answer with what other replicas have decided until now; may be nil
	PollEvery     time.Duration                  // how often what is due is looked for without a wake-up, default 1 s
	RetryBase     time.Duration                  // first wait behind a failure, default 2 s
	SweepInterval time.Duration                  // between comparisons of a live key with Seam, default 15 min
	Workers       int                            // attempts at a time, default 16
}

func (o Options) withDefaults() Options {
	set := func(d *time.Duration, value time.Duration) {
		if *d <= 0 {
			*d = value
		}
	}
	set(&o.DueWithin, 24*time.Hour)
	set(&o.Grace, 5*time.Second)
	set(&o.Lease, 10*time.Second)
	set(&o.PollEvery, time.Second)
	set(&o.RetryBase, 2*time.Second)
	set(&o.SweepInterval, 15*time.Minute)
	if o.Workers <= 0 {
		o.Workers = 16
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Provisioner is safe for concurrent use; any number of them may share a database and a workspace.
type Provisioner struct {
	store       *store.Store
	seam        *seam.Client
	log         *slog.Logger
	options     Options
	salt        []byte
	directory   *directory
	wake        chan struct{} // something may be due
	wakeLearner chan struct{} // a listing may have changed

	mu         sync.Mutex
	trouble    string               // why nothing is provisioned; "" while it is
	ready      bool                 // the workspace is known to be ours
	askedAfter map[string]time.Time // disconnected access systems: when Seam was last asked

	systemsSeen []seam.System // the last list, for people to look at
	systemsAt   time.Time
}

// New returns a provisioner that is not running yet. salt keys the HMAC that stands for guests in Seam's
// identity keys: it must be the same for all replicas and for ever.
func New(s *store.Store, client *seam.Client, salt string, log *slog.Logger, options Options) *Provisioner {
	options = options.withDefaults()
	p := &Provisioner{
		store: s, seam: client, log: log, options: options, salt: []byte(salt), wake: make(chan struct{}, 1), wakeLearner: make(chan struct{}, 1),
		askedAfter: map[string]time.Time{},
	}
	p.directory = newDirectory(client, p.now)
	return p
}

func (p *Provisioner) now() time.Time { return p.options.Now().UTC() }

// guestKey is the identity key of an address.
func (p *Provisioner) guestKey(address string) string {
	return "staykey_guest_" + p.hash("guest", address)
}

// ownKey is the identity key of a reservation's nth own identity.
func (p *Provisioner) ownKey(ref store.Ref, n int) string {
	return "staykey_stay_" + p.hash("stay", ref.Source, ref.ReservationID, fmt.Sprint(n))
}

func (p *Provisioner) hash(parts ...string) string {
	h := hmac.New(sha256.New, p.salt)
	for _, part := range parts {
		_, _ = fmt.Fprintf(h, "%d:%s;", len(part), part)
	}
	return hex.EncodeToString(h.Sum(nil))[:40]
}

// Wake has what is due looked for at once. It never blocks.
func (p *Provisioner) Wake() {
	signal(p.wake)
	signal(p.wakeLearner)
}

// Trouble says why nothing is being provisioned, "" while it is. Webhooks go on all the same.
func (p *Provisioner) Trouble() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.trouble
}

func (p *Provisioner) setTrouble(trouble string) {
	p.mu.Lock()
	changed := p.trouble != trouble
	p.trouble = trouble
	p.mu.Unlock()
	if !changed {
		return
	}
	if trouble == "" {
		paused.Set(0)
		p.log.Info("provisioning goes on")
	} else {
		paused.Set(1)
		p.log.Error("provisioning pauses", "reason", trouble)
	}
}

// Run provisions until ctx ends, then gives attempts under way until patience has passed.
func (p *Provisioner) Run(ctx context.Context, patience time.Duration) {
	attempts, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	var running sync.WaitGroup
	running.Go(func() { p.learnGroups(ctx) })
	running.Go(func() { p.sweepInTurn(ctx) })
	running.Go(func() { p.watch(ctx) })
	slots := make(chan struct{}, p.options.Workers)
	freed := make(chan struct{}, 1)
	tick := time.NewTicker(p.options.PollEvery)
	defer tick.Stop()
	p.queueDue(ctx)
	for ctx.Err() == nil {
		admitted, unreachable := p.admitted(ctx)
		for _, lease := range p.claim(ctx, admitted || unreachable != nil, len(slots)) {
			slots <- struct{}{}
			running.Go(func() {
				defer func() {
					<-slots
					signal(freed)
				}()
				p.work(attempts, lease, unreachable)
			})
		}
		select {
		case <-ctx.Done():
		case <-p.wake:
			p.queueDue(ctx)
		case <-freed:
		case <-tick.C:
			p.queueDue(ctx)
		}
	}
	timer := time.AfterFunc(patience, cut)
	defer timer.Stop()
	running.Wait()
}

// signal wakes whoever waits at a channel that holds one signal.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (p *Provisioner) queueDue(ctx context.Context) {
	if err := p.store.QueueDue(ctx, p.now()); err != nil && ctx.Err() == nil {
		p.log.Error("what is due can't be queued; trying again", "error", err)
	}
}

// Guests who arrive so soon are provisioned whatever else the machine has to do; for the others there are as many workers
// as one in crowdedShare while a burst is accepted.
const (
	soon         = 24 * time.Hour
	crowdedShare = 8
)

// claim leases what is due for the workers that have nothing to do.
func (p *Provisioner) claim(ctx context.Context, may bool, busy int) []store.Lease {
	free := p.options.Workers - busy
	if !may || free <= 0 {
		return nil
	}
	var leases []store.Lease
	for _, c := range p.claims(free, busy) {
		if c.most -= len(leases); c.most <= 0 {
			continue
		}
		some, err := p.store.ClaimKeys(ctx, p.options.Lease, c.before, c.most)
		if err != nil && ctx.Err() == nil {
			p.log.Error("what is due can't be claimed; trying again", "error", err)
		}
		leases = append(leases, some...)
	}
	return leases
}

// claimed is how many keys to claim at most, with those claimed before, and which.
type claimed struct {
	most   int
	before time.Time // check-in; zero for any
}

func (p *Provisioner) claims(free, busy int) []claimed {
	if p.options.Crowded == nil || !p.options.Crowded() {
		return []claimed{{most: free}}
	}
	return []claimed{{free, p.now().Add(soon)}, {max(p.options.Workers/crowdedShare, 1) - busy, time.Time{}}}
}

// settingWorkspace pins the workspace whose objects the database records.
const settingWorkspace = "seam_workspace_id"

// admitted tells whether provisioning may go on: the key is accepted, and it is of the workspace that this
// database has been used with. unreachable says that Seam could not be asked, so that no attempt can get anywhere.
func (p *Provisioner) admitted(ctx context.Context) (ok bool, unreachable error) {
	p.mu.Lock()
	ready := p.ready
	p.mu.Unlock()
	if ready {
		return true, nil
	}
	workspace, err := p.seam.WorkspaceID(ctx)
	if ctx.Err() != nil {
		return false, nil
	}
	pinned, serr := p.store.Setting(ctx, settingWorkspace, func() string { return workspace })
	if serr != nil {
		p.log.Error("the pinned workspace can't be read; trying again", "error", serr)
		return false, nil
	}
	e := new(seam.Error)
	switch errors.As(err, &e); {
	case e.Kind == seam.Unauthorized:
		p.setTrouble(troubleKey)
		return false, nil
	case e.Kind == seam.NotSent, e.Kind == seam.RateLimited, e.Kind == seam.Lost && (e.Status == 0 || pinned != ""):
		p.setTrouble("Seam can't be reached: " + err.Error())
		return false, err
	case err != nil:
		p.log.Warn("the Seam workspace can't be told; it is not pinned", "error", err)
	case pinned != workspace:
		p.setTrouble(fmt.Sprintf("SEAM_API_KEY is of workspace %s, and this database belongs to workspace %s: use its key, or another database", workspace, pinned))
		return false, nil
	}
	if err := p.directory.learnAll(ctx); err != nil {
		p.log.Warn("the access groups can't be listed; they are looked up as listings name them", "error", err)
	}
	p.mu.Lock()
	p.ready = true
	p.mu.Unlock()
	p.setTrouble("")
	return true, nil
}

// heed pauses the provisioner if a call failed because the key is not accepted; it goes on when it is again.
func (p *Provisioner) heed(err error) {
	if seam.KindOf(err) != seam.Unauthorized {
		return
	}
	p.mu.Lock()
	p.ready = false
	p.mu.Unlock()
	p.setTrouble(troubleKey)
}

const troubleKey = "Seam does not accept SEAM_API_KEY: set a valid one"

// learnGroups looks up the access groups of new and changed listings, so that reservations don't have to.
func (p *Provisioner) learnGroups(ctx context.Context) {
	tick := time.NewTicker(p.options.PollEvery)
	defer tick.Stop()
	var since time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.wakeLearner:
		case <-tick.C:
		}
		if p.Trouble() != "" {
			continue
		}
		groups, latest, err := p.store.GroupsInUse(ctx, since)
		if err == nil && len(groups) > 0 {
			err = p.directory.learn(ctx, groups)
		}
		switch {
		case err == nil:
			since = latest
		case ctx.Err() == nil:
			p.log.Warn("access groups can't be looked up now", "error", err)
		}
	}
}

// work makes one attempt at one key and writes its verdict; an unreachable Seam is a failed attempt without a
// call. Should even the writing fail, the lease runs out and the key is due again.
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
	work, err := p.store.LoadWork(ctx, lease.Ref)
	if err != nil {
		log.Error("a reservation can't be loaded; it is due again when its lease ends", "error", err)
		return
	}
	if work.Key.EventID != nil {
		log = log.With("trace_id", trace.TraceID(*work.Key.EventID).String())
	}
	attempt, span := tracing.Begin(tracing.Of(ctx, work.Key.EventID), "reconcile", attribute.String("staykey.source", lease.Source), attribute.String("staykey.reservation_id", lease.ReservationID))
	defer span.End()
	a := p.newAttempt(lease, work)
	var verdict store.Verdict
	if err = unreachable; err == nil {
		verdict, err = a.runSafely(attempt)
	}
	span.SetAttributes(attribute.String("staykey.key.status", verdict.Status))
	if errors.Is(err, store.ErrLeaseLost) {
		log.Warn("another worker has this reservation", "error", err)
		return
	}
	p.heed(err)
	if err != nil {
		verdict = a.failed(err)
	}
	point.Reach(point.FinishBefore)
	switch ferr := a.finish(ctx, verdict); {
	case errors.Is(ferr, store.ErrLeaseLost):
		log.Warn("another worker has this reservation", "error", ferr)
		return
	case ferr != nil:
		log.Error("the result of an attempt can't be written; it is due again when its lease ends", "error", ferr)
		return
	}
	point.Reach(point.FinishBehind)
	if verdict.Status == store.KeyAttention && work.Key.Status != store.KeyAttention {
		p.options.Activity.Add(lease.Source, store.ActivityAttention, p.now())
	}
	cancel()
	<-renewed
	reconcileSeconds.WithLabelValues(verdict.Status).Observe(time.Since(started).Seconds())
	attrs := []any{
		"status", verdict.Status, "reason", verdict.Reason, "generation", verdict.Generation, "attempts", verdict.Attempts,
		"changes", a.changes, "duration_ms", time.Since(started).Milliseconds(),
	}
	switch wait := new(waitError); {
	case err == nil, errors.Is(err, errStale), errors.As(err, &wait):
		log.Info("reconciled", attrs...)
	default:
		log.Warn("reconcile failed", append(attrs, "error", err)...)
	}
	if verdict.Next != nil {
		if in := verdict.Next.Sub(p.now()); in < p.options.PollEvery {
			time.AfterFunc(max(in, 0), p.Wake)
		}
	}
}

// runSafely makes an attempt. A mistake of ours that panics over one reservation must not take the others with
// it, again and again: it is that reservation's failure.
func (a *attempt) runSafely(ctx context.Context) (v store.Verdict, err error) {
	defer func() {
		if recovered := recover(); recovered != nil {
			a.log.Error("an attempt panicked: this is a mistake in staykey, please report it", "source", a.lease.Source,
				"reservation_id", a.lease.ReservationID, "panic", recovered, "stack", string(debug.Stack()))
			err = fmt.Errorf("internal error: %v", recovered)
		}
	}()
	return a.run(ctx)
}

// mayCall refuses a call that might take effect when another worker believes that it never will. A worker that
// takes over waits for the grace behind the lease's end; so a call's deadline must come before that. A process that
// was stopped for longer than its lease finds out here, before it makes anything a second time.
func (p *Provisioner) mayCall(leaseUntil time.Time) error {
	if deadline := time.Now().Add(p.seam.Timeout()); deadline.After(leaseUntil.Add(p.options.Grace)) {
		return errors.New("the lease on this reservation may end before the call does: another worker takes it over")
	}
	return nil
}

// keepLease renews a lease until ctx ends, and ends the attempt when the lease is lost.
func (p *Provisioner) keepLease(ctx context.Context, cut context.CancelFunc, lease store.Lease, until *atomic.Pointer[time.Time]) {
	keep(ctx, cut, p.options.Lease/3, func() error {
		renewed := time.Now().Add(p.options.Lease)
		err := p.store.RenewLease(ctx, lease, p.options.Lease)
		if err == nil {
			until.Store(&renewed)
		}
		return err
	})
}

// keep renews a lease every so often until ctx ends, and cuts what is done under it when it is lost.
func keep(ctx context.Context, cut context.CancelFunc, every time.Duration, renew func() error) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if errors.Is(renew(), store.ErrLeaseLost) {
			cut()
			return
		}
	}
}

// finish writes the verdict and the rest of the timeline, and ends the lease.
func (a *attempt) finish(ctx context.Context, v store.Verdict) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	defer cancel()
	now := a.now()
	return a.store.FinishKey(ctx, a.lease, v, now, func(changed bool) []store.Entry {
		if !changed {
			return a.entries
		}
		before := a.work.Key
		return append(a.entries, store.Entry{
			Ref: a.lease.Ref, At: now, Kind: store.TimelineStatus, Summary: before.Status + " → " + v.Status,
			Detail: map[string]any{"from": before.Status, "to": v.Status, "reason": v.Reason, "message": v.Message},
		})
	})
}

// PlannedCall is one changing call to Seam that a reconcile would make.
type PlannedCall struct {
	Path   string
	Body   any
	Reason string
}

// Plan compares a reservation with Seam and returns the changing calls that a reconcile would make now. It
// reads and changes nothing. [store.ErrNotFound] where there is no such reservation.
func (p *Provisioner) Plan(ctx context.Context, ref store.Ref) ([]PlannedCall, error) {
	work, err := p.store.LoadWork(ctx, ref)
	if err != nil {
		return nil, err
	}
	if work.Reservation.VersionSeq == 0 {
		return nil, store.ErrNotFound
	}
	work.Key.CheckRequested, work.Key.Revive = true, true // as an admin's reconcile has it
	a := p.newAttempt(store.Lease{Ref: ref}, work)
	a.preview = true
	d, err := a.desired(ctx)
	if err != nil {
		return nil, err
	}
	if a.disconnection(ctx, d) != nil {
		return []PlannedCall{}, nil
	}
	err = a.observe(ctx, d)
	if wait := new(waitError); errors.As(err, &wait) {
		return []PlannedCall{}, nil // until then nothing is due
	}
	if err != nil {
		return nil, err
	}
	if d.goal == have && d.guestKey != "" {
		if known, err := p.store.UserIdentity(ctx, d.guestKey); err == nil {
			d.identityID = deref(known.ID)
		}
	}
	calls := []PlannedCall{}
	for _, s := range plan(d, a.seen, work.Key.Revive) {
		calls = append(calls, PlannedCall{Path: s.path, Body: s.body, Reason: s.reason})
	}
	return calls, nil
}
