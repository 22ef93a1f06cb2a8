// Package provisioner makes Seam match what reservations ask for. It is a level-triggered controller: it reads
// everything, works out what should be, and takes the missing steps, no matter which event arrived and where an
// earlier attempt was interrupted.
//
// A row of mobile_keys is both the desired state's version and the entry in the queue. [Provisioner.Run] claims due
// rows under a lease, and each worker makes one attempt at a time:
//
//	controller.go, work.go                claim, lease, one attempt, its verdict
//	attempt.go, outcome.go                the loop of an attempt, its parts, and how they end
//	demand.go, plan                       what is desired, and the steps to it; plan is pure
//	users.go, observation.go, ledger.go   what an attempt knows, and what it writes
//	observe.go, check.go, drift.go        read Seam: what lost calls have left, what somebody has changed
//	contest.go                            read Seam: whose the identity of an ACS user is
//	read_back.go, look.go                 read Seam: what has taken effect; what exists
//	slot.go, identity.go, create.go       take a step that creates something
//	change.go                             take a step that changes something: opens or closes a door, moves the hours
//	remove.go, surplus.go, removed.go     take a step that removes something; remove what comes back
//	refusals.go                           steps that Seam has refused
//	code.go                               backup codes
//	verdict.go, silence.go, retry.go      the key's status, and when to look again
//	belief.go                             when an answer of Seam counts
//	record, rows                          the states of an ACS user, a mobile key and an identity, and their rows
//	admission.go, systems.go              whether Seam accepts the API key; which access systems it can reach
//	outage.go                             whether Seam answers at all
//	directory.go, doors.go, keys.go       which access system a group is on; who may open it; identity keys
//	sweep.go, watch.go                    compare everything from lists; alerts
//	explain.go, preview.go, erase.go      answers for people; the end of a guest's data
//
// See docs/architecture.md.
package provisioner

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

var (
	reconcileSeconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "staykey_reconcile_duration_seconds",
		Help:    "Attempts to reconcile one reservation, by the key status at their end.",
		Buckets: []float64{.005, .01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
	}, []string{"status"})
	paused = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "staykey_provisioner_paused",
		Help: "1 while no key can be created or changed: Seam refuses the API key, the key belongs to another workspace, " +
			"or Seam gives no usable answer.",
	})
)

// Collectors returns the package's metrics.
func Collectors() []prometheus.Collector {
	return []prometheus.Collector{
		reconcileSeconds, paused, driftFound, sweepSeconds, sweepCompared, dueWithoutKey, overdueRemovals,
	}
}

// Options of a provisioner. Zero values select the defaults.
type Options struct {
	Activity *store.Activity // counts keys that are created and removed; nil: not counted
	// what waits for PollEvery and for keys that are due sooner, default time.After
	After func(time.Duration) <-chan time.Time
	// whether the configuration has the source: access groups of a removed source are free. nil: every source
	Configured func(source string) bool
	// whether keys of guests who arrive later should wait, because events come in a burst or their backlog is old; nil:
	// never
	Crowded       func() bool
	DefaultSystem string // access system for listings and sources that name none
	// arrivals within this time without a key are counted and logged, default 24 h
	DueWithin time.Duration
	ReadLag   time.Duration    // how long Seam's reads may lag its writes, default 5 s
	Lease     time.Duration    // how long a killed worker delays a key, default 10 s
	Now       func() time.Time // default time.Now
	// whether this machine's clock is known to be wrong: nothing is swept; default never
	ClockIsWrong func() bool
	Policy       func(source string) pms.Policy // required
	// makes Policy return what other replicas have decided since; may be nil
	ReadPolicies func()
	// Secret is not in the database: the digits of backup codes are sealed with a key that is derived from it
	Secret        string
	PollEvery     time.Duration // how often due keys are looked for without a wake-up, default 1 s
	RetryBase     time.Duration // first wait after a failure, default 2 s
	SweepInterval time.Duration // between comparisons of a live key with Seam, default 15 min
	Workers       int           // concurrent attempts, default 16
}

func (o Options) withDefaults() Options {
	set := func(d *time.Duration, value time.Duration) {
		if *d <= 0 {
			*d = value
		}
	}
	set(&o.DueWithin, 24*time.Hour)
	set(&o.ReadLag, 5*time.Second)
	set(&o.Lease, 10*time.Second)
	set(&o.PollEvery, time.Second)
	set(&o.RetryBase, 2*time.Second)
	set(&o.SweepInterval, 15*time.Minute)

	if o.After == nil {
		o.After = time.After
	}
	if o.Workers <= 0 {
		o.Workers = 16
	}
	if o.ClockIsWrong == nil {
		o.ClockIsWrong = func() bool { return false }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Provisioner is safe for concurrent use; any number of them may share a database and a workspace. It claims due keys
// and starts an attempt for each; what the workspace as a whole needs is in its parts.
type Provisioner struct {
	store   *store.Store
	seam    *seam.Client
	log     *slog.Logger
	options Options
	keys    identityKeys
	sealer  stay.Sealer

	directory *directory
	systems   *systems
	admission *admission
	outage    *outage
	sweeper   *sweeper
	watcher   *watcher

	wake        chan struct{} // something may be due
	wakeLearner chan struct{} // a listing may have changed
}

// New returns a provisioner that is not running yet. salt keys the HMAC that represents guests in Seam's identity
// keys: it must be the same for all replicas and never change.
func New(s *store.Store, client *seam.Client, salt string, log *slog.Logger, options Options) *Provisioner {
	options = options.withDefaults()
	p := &Provisioner{
		store: s, seam: client, log: log, options: options, keys: identityKeys{[]byte(salt)},
		sealer: stay.NewSealer(options.Secret), wake: make(chan struct{}, 1), wakeLearner: make(chan struct{}, 1),
	}
	p.directory = newDirectory(client, s, log, p.now)
	p.systems = &systems{
		store: s, seam: client, log: log, now: p.now, wake: p.Wake, askedAfter: map[string]time.Time{},
	}
	p.admission = &admission{
		store: s, seam: client, log: log, now: p.now, directory: p.directory, pollEvery: options.PollEvery,
	}
	p.outage = &outage{
		seam: client, log: log, now: p.now, after: options.After, pollEvery: options.PollEvery, admission: p.admission,
	}
	p.sweeper = &sweeper{
		store: s, seam: client, log: log, now: p.now, options: options, keys: p.keys, sealer: p.sealer,
		systems: p.systems, admission: p.admission, wake: p.Wake,
	}
	p.watcher = &watcher{store: s, log: log, now: p.now, dueWithin: options.DueWithin}
	return p
}

func (p *Provisioner) now() time.Time { return p.options.Now().UTC() }

// Wake triggers a look for due keys. It never blocks.
func (p *Provisioner) Wake() {
	signal(p.wake)
	signal(p.wakeLearner)
}

// Trouble returns why provisioning is paused, "" while it isn't. Webhooks are accepted in any case. See also
// [Provisioner.Outage].
func (p *Provisioner) Trouble() string { return p.admission.trouble() }
