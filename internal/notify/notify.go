// Package notify tells subscriptions what becomes of mobile keys.
//
// It is level-triggered: a message carries the current state of a stay, not a log of what happened. Changes are numbered and ordered in the
// database (store/changes.go); what a subscription was told of a stay is a row there (store/deliveries.go); state.go decides by the two what is
// told next; policy.go decides what follows from an answer; dispatch.go sends.
//
//	OrderChanges -> DueSubscriptions -> one runner per subscription: claim (commit) -> send -> record (commit), until nothing is due
//
// A runner exists only while its subscription has something to deliver. It sends up to inFlight messages at once, about different stays: those of one
// stay go one after another, by the lease of its row. A receiver that fails is sent one at a time, so that a slow or dead one costs one
// connection and delays nobody else. Any number of processes can do this on one database.
package notify

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/store"
)

// How deliveries share a process and its database.
const (
	inFlight     = 8                     // messages on their way to one receiver
	window       = 64                    // stays taken up at a time, see [store.ClaimRequest]
	probesAtOnce = 1                     // of them to receivers that have not taken their last message: those may be a thousand
	claimsAtOnce = 3                     // transactions of deliveries at a time: keys need the other connections
	changesAtMax = 2000                  // changes ordered in one transaction
	pause        = 20 * time.Millisecond // between looks at the database, however many changes there are
	poll         = time.Second           // and however few
	leaseFor     = 2 * answerWithin      // on a stay while its message is on its way
	leaseSpare   = 5 * time.Second       // of it, so that a message never leaves or is awaited after its end
	pruneEvery   = time.Hour
	pruneAtOnce  = 1000
	forgetAfter  = 30 * 24 * time.Hour // what was told to a subscription that is no longer configured
)

// Subscription is one of the configuration.
type Subscription struct {
	Name     string
	URL      string
	Secrets  []pms.Secret
	Events   []string // types; nil for all
	Sources  []string // nil for all
	Insecure bool     // it may use plain http, or be at a private or loopback address

	Kind      string         // KindWebhook unless it is set
	GuestName bool           // messages for people may name the guest
	Zone      *time.Location // of times in messages for people, and of the digest; nil for UTC
	Digest    *Digest        // nil: none
	Mail      *Mail          // of KindEmail
}

// Wants reports whether the subscription is about events of a type.
func (s Subscription) Wants(kind string) bool {
	return s.Events == nil || slices.Contains(s.Events, kind)
}

// Place is where the subscription's messages go, without what may be secret in it.
func (s Subscription) Place() string {
	if s.Mail != nil {
		return "smtp://" + s.Mail.Host
	}
	u, err := url.Parse(s.URL)
	if err != nil {
		return ""
	}
	if u.Path == "" || u.Path == "/" {
		return u.Scheme + "://" + u.Host
	}
	return u.Scheme + "://" + u.Host + "/…"
}

// Hidden are the texts of the subscription that must never be shown: its secrets, and its address, whose path may be one.
func (s Subscription) Hidden() []string {
	hidden := []string{}
	switch {
	case s.Mail != nil:
		hidden = append(hidden, s.Mail.Password)
	case s.Place() != s.URL:
		hidden = append(hidden, s.URL)
	}
	for _, secret := range s.Secrets {
		hidden = append(hidden, secret.String())
	}
	return hidden
}

func (s Subscription) scope() store.Scope {
	return store.Scope{Subscription: s.Name, Sources: s.Sources}
}

// Options are what a [Notifier] needs to know.
type Options struct {
	Subscriptions func() []Subscription // of the configuration, as it is now
	PublicURL     string                // where REST is reached; "" if that is not known
	Version       string
	Retain        time.Duration // how long deliveries are kept with their attempts; 0: for ever
	Now           func() time.Time
}

// Notifier delivers. Its methods are safe for concurrent use.
type Notifier struct {
	Options
	store   *store.Store
	log     *slog.Logger
	clients clients
	wake    chan struct{}
	claims  chan struct{} // a place for each transaction about receivers that work
	probes  chan struct{} // and about others
	// failingEvery is how often it is looked for what is due to receivers that don't work.
	failingEvery time.Duration

	mu      sync.Mutex
	running map[string]bool // subscriptions that a runner of this process is at
	seen    string          // the names that are noted in the database
	digests time.Time       // when digests were last looked for
	failing map[string]bool // subscriptions whose receivers don't work, as of looked
	looked  time.Time
	runners sync.WaitGroup
}

var attempts = prometheus.NewHistogramVec(prometheus.HistogramOpts{
	Name: "staykey_delivery_attempt_duration_seconds", Help: "Attempts to deliver a message, by subscription and result: delivered, refused (another status), failed (no answer).",
	Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15},
}, []string{"subscription", "result"})

// Collectors returns the package's metrics.
func Collectors() []prometheus.Collector { return []prometheus.Collector{attempts} }

// New makes a notifier; [Notifier.Run] has it work.
func New(db *store.Store, log *slog.Logger, o Options) *Notifier {
	return &Notifier{
		Options: o, store: db, log: log, clients: newClients(), wake: make(chan struct{}, 1), claims: make(chan struct{}, claimsAtOnce),
		probes: make(chan struct{}, probesAtOnce), failingEvery: poll, failing: map[string]bool{},
		running: map[string]bool{},
	}
}

// Wake has the notifier look for changes soon.
func (n *Notifier) Wake() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// Committed is for [store.Store.OnCommit].
func (n *Notifier) Committed() {
	if len(n.Subscriptions()) > 0 {
		n.Wake()
	}
}

// Run delivers until ctx ends. Messages on their way then have a grace to arrive. What is cut off is sent again: whether it arrived is not known.
func (n *Notifier) Run(ctx context.Context, grace time.Duration) {
	sending, cutOff := context.WithCancel(context.WithoutCancel(ctx))
	defer n.clients.close()
	defer cutOff()
	defer n.runners.Wait()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(grace, cutOff) })()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	var pruned time.Time
	for {
		more, err := n.round(ctx, sending)
		if err != nil && ctx.Err() == nil {
			n.log.Error("deliveries are delayed: the database does not answer as it should", "error", err)
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

// round orders changes and starts runners for what is due, which send until sending ends. more tells that there was more than one round takes.
func (n *Notifier) round(ctx, sending context.Context) (more bool, err error) {
	ordered, err := n.store.OrderChanges(ctx, changesAtMax)
	if err != nil {
		return false, err
	}
	subscriptions := n.Subscriptions()
	if len(subscriptions) == 0 {
		return ordered == changesAtMax, nil
	}
	names := make([]string, len(subscriptions))
	byName := make(map[string]Subscription, len(subscriptions))
	for i, s := range subscriptions {
		names[i], byName[s.Name] = s.Name, s
	}
	if err := n.see(ctx, names); err != nil {
		return false, err
	}
	due, err := n.due(ctx, names)
	if err != nil {
		return false, err
	}
	for _, d := range due {
		n.start(d.Name, func() { n.deliver(ctx, sending, byName[d.Name], d) })
	}
	n.startDigests(ctx, sending, subscriptions)
	return ordered == changesAtMax, nil
}

// due returns the subscriptions with something to deliver. It looks for those whose receivers don't work only now and then, so that they cost
// little, however many they are.
func (n *Notifier) due(ctx context.Context, names []string) ([]store.Subscription, error) {
	n.mu.Lock()
	all := time.Since(n.looked) >= n.failingEvery
	if !all {
		names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return n.failing[name] })
	}
	n.mu.Unlock()
	due, err := n.store.DueSubscriptions(ctx, names, n.Now())
	if err != nil || !all {
		return due, err
	}
	states, err := n.store.Subscriptions(ctx, names)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.looked = time.Now()
	clear(n.failing)
	for name, state := range states {
		if state.Failures > 0 || state.DisabledAt != nil {
			n.failing[name] = true
		}
	}
	return due, nil
}

// see notes the configured subscriptions in the database, when they change and once an hour.
func (n *Notifier) see(ctx context.Context, names []string) error {
	now := n.Now()
	state := now.Truncate(time.Hour).String()
	for _, name := range names {
		state += "\x00" + name
	}
	n.mu.Lock()
	known := n.seen == state
	n.mu.Unlock()
	if known {
		return nil
	}
	if err := n.store.SeeSubscriptions(ctx, names, now); err != nil {
		return err
	}
	n.mu.Lock()
	n.seen = state
	n.mu.Unlock()
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

// deliver sends what is due to one subscription, until nothing is, or a message fails: then the next round decides how to go on.
func (n *Notifier) deliver(ctx, sending context.Context, s Subscription, state store.Subscription) {
	atOnce, places := inFlight, n.claims
	if state.Failures > 0 || state.LastSuccessAt == nil {
		places = n.probes // until it has taken a message
	}
	if s.ForPeople() {
		n.deliverTogether(ctx, sending, s, places)
		return
	}
	if state.Dead() || state.LastSuccessAt == nil {
		atOnce = 1
	}
	done := make(chan bool, inFlight)
	onTheirWay := 0
	defer func() {
		for range onTheirWay {
			<-done
		}
		n.Wake()
	}()
	for ctx.Err() == nil {
		claimed, looked, err := n.claim(ctx, places, s, atOnce-onTheirWay)
		if err != nil {
			if ctx.Err() == nil {
				n.log.Error("deliveries of a subscription are delayed", "subscription", s.Name, "error", err)
			}
			return
		}
		for _, c := range claimed {
			onTheirWay++
			taken := places // it is given back to the pool that it was taken from, whichever is in use by then
			go func() { done <- n.attempt(sending, taken, s, c) }()
		}
		switch {
		case onTheirWay == 0 && looked == 0:
			return
		case onTheirWay < atOnce && looked > 0:
			continue // there may be more
		}
		delivered := <-done
		onTheirWay--
		if !delivered {
			return
		}
		atOnce, places = inFlight, n.claims
	}
}

// deliverTogether sends what is due to people, in as few messages as it fits into.
func (n *Notifier) deliverTogether(ctx, sending context.Context, s Subscription, places chan struct{}) {
	defer n.Wake()
	for ctx.Err() == nil {
		claimed, looked, err := n.claim(ctx, places, s, togetherAtMost)
		if err != nil && ctx.Err() == nil {
			n.log.Error("deliveries of a subscription are delayed", "subscription", s.Name, "error", err)
		}
		if err != nil || looked == 0 || (len(claimed) > 0 && !n.attemptTogether(sending, places, s, claimed)) {
			return
		}
	}
}

// attemptTogether sends one message for several deliveries and records how it ended for each.
func (n *Notifier) attemptTogether(ctx context.Context, places chan struct{}, s Subscription, claimed []store.ClaimedDelivery) (delivered bool) {
	if time.Until(claimed[0].Until) < answerWithin+leaseSpare {
		return false
	}
	o, result := n.clients.sendLetter(ctx, s, claimed[0].DeliveryID.String(), s.compose(claimed, n.PublicURL), n.agent(), n.Now)
	if ctx.Err() != nil {
		return false
	}
	observe(s.Name, o, result)
	jitter := rand.Float64() // #nosec G404 -- jitter; the same for all, so that they are tried again together
	for _, c := range claimed {
		if err := n.record(ctx, places, c, o, result, jitter); err != nil && ctx.Err() == nil {
			n.log.Error("the result of a delivery is not stored: it may be sent again", "subscription", s.Name, "delivery_id", c.DeliveryID, "error", err)
			return false
		}
	}
	return o.delivered()
}

// agent is how the service calls itself.
func (n *Notifier) agent() string { return "staykey/" + n.Version }

// claim takes up to limit messages.
func (n *Notifier) claim(ctx context.Context, places chan struct{}, s Subscription, limit int) ([]store.ClaimedDelivery, int, error) {
	select {
	case places <- struct{}{}:
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
	defer func() { <-places }()
	return n.store.ClaimDeliveries(ctx, store.ClaimRequest{Scope: s.scope(), Now: n.Now(), Lease: leaseFor, Limit: limit, Window: window},
		func(in store.StayToTell) (store.Telling, error) { return s.tell(in, n.address(in.Present.Ref)) })
}

// address is where REST shows a stay; "" if that is not known.
func (n *Notifier) address(ref store.Ref) string {
	if n.PublicURL == "" {
		return ""
	}
	return n.PublicURL + "/v1/reservations/" + url.PathEscape(ref.Source) + "/" + url.PathEscape(ref.ReservationID)
}

// attempt sends a message and records how it ended. One whose lease would end before the answer must come doesn't leave.
func (n *Notifier) attempt(ctx context.Context, places chan struct{}, s Subscription, c store.ClaimedDelivery) (delivered bool) {
	if time.Until(c.Until) < answerWithin+leaseSpare {
		return false
	}
	o, result := n.clients.send(ctx, s, post{c.DeliveryID.String(), c.Body}, n.agent(), n.Now)
	if ctx.Err() != nil {
		return false // the lease ends, and it is sent again
	}
	observe(s.Name, o, result)
	err := n.record(ctx, places, c, o, result, rand.Float64()) // #nosec G404 -- jitter
	if err != nil && ctx.Err() == nil {
		n.log.Error("the result of a delivery is not stored: it may be sent again", "subscription", s.Name, "delivery_id", c.DeliveryID, "error", err)
		return false
	}
	return o.delivered()
}

func observe(name string, o outcome, r store.AttemptResult) {
	result := "refused"
	switch {
	case o.delivered():
		result = "delivered"
	case o.status == 0:
		result = "failed"
	}
	attempts.WithLabelValues(name, result).Observe(r.Duration.Seconds())
}

func (n *Notifier) record(ctx context.Context, places chan struct{}, c store.ClaimedDelivery, o outcome, r store.AttemptResult, jitter float64) error {
	select {
	case places <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-places }()
	now := n.Now()
	v, err := n.store.RecordAttempt(ctx, c, r, now, func(sub store.Subscription, tries int) store.AttemptVerdict {
		return judge(o, sub, tries, now, jitter)
	})
	switch {
	case errors.Is(err, store.ErrLeaseLost):
		return nil // somebody else has it, and sends it again
	case err != nil:
		return err
	case v.Disable != "":
		n.log.Error("subscription disabled", "subscription", c.Subscription, "reason", v.Disable)
	case !v.Delivered:
		n.log.Warn("delivery failed", "subscription", c.Subscription, "delivery_id", c.DeliveryID, "attempt", c.Attempt, "status", r.StatusCode,
			"error", r.Error, "retry_at", v.RetryAt)
	}
	return nil
}

// Test sends a test message to a subscription at once, and stores it with what became of it. A failure is not tried again.
func (n *Notifier) Test(ctx context.Context, s Subscription) (store.Delivery, store.AttemptResult, error) {
	now := n.Now()
	d := store.Delivery{DeliveryID: uuid.New(), Subscription: s.Name, Type: TypeTest, Status: store.DeliveryDropped, CreatedAt: now, Attempts: 1, FinishedAt: &now}
	d.Body = encode(Envelope{Type: TypeTest, Timestamp: instant(now), Data: map[string]string{"subscription": s.Name}})
	var o outcome
	var result store.AttemptResult
	if s.ForPeople() {
		l := letter{"test message", "This is a test message to the subscription " + s.Name + ": it works."}
		o, result = n.clients.sendLetter(ctx, s, d.DeliveryID.String(), l, n.agent(), n.Now)
	} else {
		o, result = n.clients.send(ctx, s, post{d.DeliveryID.String(), d.Body}, n.agent(), n.Now)
	}
	observe(s.Name, o, result)
	if o.delivered() {
		d.Status = store.DeliveryDelivered
	} else {
		d.Reason = &result.Error
	}
	return d, result, n.store.SaveDelivery(ctx, d, result, n.Now())
}

// prune forgets deliveries whose age has come.
func (n *Notifier) prune(ctx context.Context) {
	now := n.Now()
	if _, err := n.store.PruneSubscriptions(ctx, now.Add(-forgetAfter)); err != nil {
		n.log.Error("subscriptions that are no longer configured are not forgotten yet", "error", err)
	}
	for removed := pruneAtOnce; n.Retain > 0 && removed == pruneAtOnce && ctx.Err() == nil; {
		var err error
		if removed, err = n.store.PruneDeliveries(ctx, now.Add(-n.Retain), pruneAtOnce); err != nil {
			n.log.Error("old deliveries are not removed yet", "error", err)
			return
		}
	}
}
