// Package notify informs subscriptions about what happens to mobile keys: programs by webhook, people by chat or
// e-mail.
//
// It is level-triggered: a message carries the current state of a stay, not a log of what happened. Changes are
// numbered and ordered in the database (store/changes.go); a row records what a subscription has been sent about a
// stay (store/delivery_claims.go); comparing the two says what to send next.
//
//	order the new changes -> which subscriptions are due -> for each, one runner:
//	    claim (commit) -> send -> record (commit), until nothing is due
//
// # What a receiver may rely on
//
//   - The last state of every stay arrives, because the change and the need to send it are one commit.
//   - At least once: a process that dies between sending and recording sends again. One webhook-id always has one
//     body.
//   - Messages about one stay are sent one after another, with a rising sequence; there is no order between stays.
//   - Bodies hold no guest data, no secrets and no links that open anything.
//
// # How receivers share a process
//
// A runner exists only while its subscription has something to deliver. It sends up to inFlight messages at once,
// about different stays; the lease of a stay's row keeps its own messages in order, across processes too. A receiver
// that fails is sent one message at a time, so that a slow or dead one costs one connection and delays nobody else.
// Pools bound the transactions of all runners together, because keys need the same database. Any number of processes
// can do this on one database.
//
//	notify.go          rounds: what is due, and starting runners
//	deliver.go         a runner: claim, send, record; test messages and pruning
//	state.go           pure: which message, if any, the state of a stay asks for
//	uncertain.go       pure: the same while it isn't known what the receiver has got
//	report.go          what a claim asks about a stay
//	body.go            what a message says
//	policy.go          pure: what follows from an answer: retry when, or disable the subscription
//	dispatch.go        one HTTP request, signed; address.go keeps it away from private addresses
//	people.go          messages for chats and mailboxes; digest.go the daily summary
//	pool.go            permits for transactions
//	subscription.go    a subscription as configured
package notify

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/point"
	"github.com/staykey/staykey/internal/store"
)

// How deliveries share a process and its database.
const (
	inFlight     = 8  // messages on their way to one receiver
	mostUntried  = 64 // stays taken up at a time, see [store.ClaimRequest]
	claimsAtOnce = 3  // transactions of deliveries at a time: keys need the other connections
	firstsAtOnce = 1  // and of them about receivers that have never been tried
	// and about receivers that have not taken their last message: those may be a thousand,
	probesAtOnce = 1
	probesRest   = 9 // so together they get a tenth of one connection's time,
	// and the more there are, the less often each is checked: this long for each
	failingRest  = 5 * time.Millisecond
	changesAtMax = 2000                  // changes ordered in one transaction
	pause        = 20 * time.Millisecond // between looks at the database, however many changes there are
	poll         = time.Second           // and at least this long, however few
	leaseFor     = 2 * answerWithin      // on a stay while its message is on its way
	leaseSpare   = 5 * time.Second       // of it, so that a message never leaves or is awaited after its end
	pruneEvery   = time.Hour
	pruneAtOnce  = 1000
	forgetAfter  = 30 * 24 * time.Hour // the state of a subscription that is no longer configured
)

// Options configure a [Notifier].
type Options struct {
	// called at each marked step, where a test ends a process; nil for nothing
	Reached       func(point.Name)
	Subscriptions func() []Subscription // of the current configuration
	Gates         func(source string) []pms.Gate
	GatedSources  func() []string // those that have gates
	AdminURL      string          // base URL of the page and REST; "" if unknown
	Version       string
	Retain        time.Duration // how long deliveries are kept with their attempts; 0: forever
	Now           func() time.Time
}

// Notifier delivers. Its methods are safe for concurrent use.
type Notifier struct {
	Options
	store   *store.Store
	log     *slog.Logger
	clients clients
	wake    chan struct{}
	claims  *pool // of transactions about receivers that work
	firsts  *pool // about receivers that have not been tried
	probes  *pool // about receivers that don't work
	// failingEvery is how often to check what is due to n receivers that don't work.
	failingEvery func(receivers int) time.Duration

	mu      sync.Mutex
	running map[string]bool // subscriptions that a runner of this process is at
	runners sync.WaitGroup

	// Of the one goroutine that runs rounds:
	roster  *roster
	seen    time.Time // when the names of the roster were noted in the database; zero: not yet
	digests time.Time // when digests were last looked for
	working []string  // the names of the roster whose receivers work, as of looked
	looked  time.Time // zero: not yet
	// When deadlines were last looked for, for how long they needn't be, and whether some are left.
	deadlines     time.Time
	deadlinesRest time.Duration
	moreDeadlines bool
}

// roster is the configured subscriptions. There may be a thousand, and many rounds a second: what rounds need to know
// of all of them is computed once for each configuration.
type roster struct {
	list   []Subscription
	names  []string
	byName map[string]Subscription
}

// configured returns the roster of the current configuration.
func (n *Notifier) configured() *roster {
	list := n.Subscriptions()
	if n.roster != nil && len(list) == len(n.roster.list) && (len(list) == 0 || &list[0] == &n.roster.list[0]) {
		return n.roster
	}
	r := &roster{list: list, names: make([]string, len(list)), byName: make(map[string]Subscription, len(list))}
	for i, s := range list {
		r.names[i], r.byName[s.Name] = s.Name, s
	}
	n.roster, n.seen, n.looked = r, time.Time{}, time.Time{}
	return r
}

var attempts = prometheus.NewHistogramVec(prometheus.HistogramOpts{
	Name:    "staykey_delivery_attempt_duration_seconds",
	Help:    "Attempts to deliver a message, by subscription and result: delivered, refused (another status), failed (no answer).",
	Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15},
}, []string{"subscription", "result"})

// Collectors returns the package's metrics.
func Collectors() []prometheus.Collector { return []prometheus.Collector{attempts} }

// New returns a notifier; [Notifier.Run] starts it.
func New(db *store.Store, log *slog.Logger, o Options) *Notifier {
	return &Notifier{
		Options: o, store: db, log: log, clients: newClients(), wake: make(chan struct{},
			1), claims: newPool(claimsAtOnce, 0),
		firsts: newPool(firstsAtOnce, 0), probes: newPool(probesAtOnce, probesRest), failingEvery: failingEvery,
		running: map[string]bool{},
	}
}

// reach marks a step at which a process that dies leaves something half done.
func (n *Notifier) reach(name point.Name) {
	point.Reach(name)
	if n.Reached != nil {
		n.Reached(name)
	}
}

// Wake makes the notifier look for changes soon.
func (n *Notifier) Wake() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// Committed makes the notifier look for changes soon. It is for [store.Store.OnCommit].
func (n *Notifier) Committed() {
	if len(n.Subscriptions()) > 0 {
		n.Wake()
	}
}

// Run delivers until ctx ends. Messages that are on their way then have patience to arrive. Those that are cut off are
// sent again, because it isn't known whether they arrived.
func (n *Notifier) Run(ctx context.Context, patience time.Duration) {
	sending, cutOff := context.WithCancel(context.WithoutCancel(ctx))
	defer n.clients.close()
	defer cutOff()
	defer n.runners.Wait()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(patience, cutOff) })()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	var pruned time.Time
	for {
		more, err := n.round(ctx, sending)
		if err != nil && ctx.Err() == nil {
			n.log.Error("deliveries delayed: database error", "error", err)
		}
		if now := n.Now(); err == nil && now.Sub(pruned) >= pruneEvery {
			pruned = now
			n.prune(ctx)
		}
		wait := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			wait.Stop()
			return
		case <-wait.C:
		}
		if more && err == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-n.wake:
		case <-tick.C:
		}
	}
}

// round orders changes and starts runners for what is due, which send until sending ends. more reports that a round
// was not enough for everything that is due.
func (n *Notifier) round(ctx, sending context.Context) (more bool, err error) {
	passing, err := n.passDeadlines(ctx)
	if err != nil {
		return false, err
	}
	ordered, err := n.store.Changes.Order(ctx, changesAtMax)
	if err != nil {
		return false, err
	}
	if ordered > 0 {
		n.reach(point.ChangesOrdered)
	}

	configured := n.configured()
	if len(configured.list) == 0 {
		return ordered == changesAtMax, nil
	}
	if err := n.see(ctx); err != nil {
		return false, err
	}

	due, err := n.due(ctx)
	if err != nil {
		return false, err
	}
	for _, d := range due {
		n.start(d.Name, func() { n.deliver(ctx, sending, configured.byName[d.Name], d) })
	}

	n.startDigests(ctx, sending, configured.list)
	return ordered == changesAtMax || passing, nil
}

const (
	// deadlinesEvery is how often to look for deadlines of gates that have passed.
	deadlinesEvery = time.Second
	// deadlinesLocked is how often while some of the keys are locked: each look waits for them.
	deadlinesLocked = 10 * time.Second
)

// passDeadlines queues stays whose check-in is near while a gate may be closed. It reports whether it
// found more than it looked at.
func (n *Notifier) passDeadlines(ctx context.Context) (more bool, err error) {
	if n.GatedSources == nil || len(n.Subscriptions()) == 0 {
		return false, nil
	}
	sources, now := n.GatedSources(), n.Now()
	if len(sources) == 0 || (now.Sub(n.deadlines).Abs() < n.deadlinesRest && !n.moreDeadlines) {
		return false, nil
	}
	n.deadlines, n.deadlinesRest = now, deadlinesEvery
	n.moreDeadlines, err = n.store.Gates.PassDeadlines(ctx, sources, deadlines, now)
	if store.IsLockWait(err) { // the others were looked at, and their messages must not wait
		n.deadlinesRest = deadlinesLocked
		n.log.Warn("gates of some stays not checked: waiting for a lock; retrying", "waits_for",
			store.LockedRow(err), "error", err)
		return false, nil
	}
	return n.moreDeadlines, err
}

func (n *Notifier) gates(source string) []pms.Gate {
	if n.Gates == nil {
		return nil
	}
	return n.Gates(source)
}

func failingEvery(receivers int) time.Duration {
	return max(poll, time.Duration(receivers)*failingRest)
}

// due returns the subscriptions with something to deliver. It checks those whose receivers don't work only now
// and then, so that they cost little, however many they are.
func (n *Notifier) due(ctx context.Context) ([]store.Subscription, error) {
	names := n.working
	all := time.Since(n.looked) >= n.failingEvery(len(n.roster.names)-len(n.working))
	if all {
		names = n.roster.names
	}
	list, err := n.store.Subscriptions.Due(ctx, names, n.Now())
	if err != nil {
		return nil, err
	}
	if all {
		n.looked, n.working = time.Now(), nil
	}
	var due []store.Subscription
	for _, s := range list {
		if all && s.Failures == 0 && s.DisabledAt == nil {
			n.working = append(n.working, s.Name)
		}
		if s.Due {
			due = append(due, s.Subscription)
		}
	}
	return due, nil
}

// see notes the configured subscriptions in the database, when they change and once an hour.
func (n *Notifier) see(ctx context.Context) error {
	now := n.Now()
	if !n.seen.IsZero() && now.Sub(n.seen).Abs() < time.Hour {
		return nil
	}
	if err := n.store.Subscriptions.See(ctx, n.roster.names, now); err != nil {
		return err
	}
	n.seen = now
	return nil
}

// start runs work, unless work of this name is running in this process.
func (n *Notifier) start(name string, work func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.running[name] {
		return
	}
	n.running[name] = true
	n.runners.Go(func() {
		defer func() {
			n.mu.Lock()
			defer n.mu.Unlock()
			delete(n.running, name)
		}()
		work()
	})
}
