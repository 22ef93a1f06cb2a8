// Package writeback writes guests' links, or other texts, into fields of PMSs, where operators' own message templates
// can use them, and clears them when the key is removed.
//
// It is level-triggered: what a field should hold follows from the present state of its booking's stays (decide.go,
// pure) and is compared with what is known of the field (a row of write_backs). Changes of stays are read in the order
// that package notify established, so a crash loses none, and a burst of changes costs one write.
//
//	changes in order ─▶ take up ─▶ due rows ─▶ attempt: load, decide ─▶ read ─▶ mark (commit) ─▶ write ─▶ read back ─▶ record (commit)
//
// One replica at a time has the lease of a source and writes for it, because PMSs count all requests of an account.
// A call leaves only while the lease lasts until after its deadline, and only after a commit that holds the stays'
// keys locked, finds that the decision still holds, and marks the row unsure. So nothing is written for a key that
// was taken away before; and whatever a process that dies leaves behind is compared again.
//
// Calls share the accounts, the pace and the retry policy of the fetching side (package pmsapi).
package writeback

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/pmsapi"
	"github.com/staykey/staykey/internal/point"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// How much is done at a time.
const (
	takeUpAtOnce  = 500 // changes taken up in one transaction
	pagesAtOnce   = 20  // of them before something is written
	defaultAtOnce = 2   // calls at a time to a PMS that states no number
	mostAtOnce    = 4
	pause         = 50 * time.Millisecond // between looks at the database, however many changes there are
)

// Options of a service. Zero durations take the defaults.
type Options struct {
	// Sources are those of the current configuration, including retired ones, whose fields are still cleared.
	Sources func() map[string]pms.Source
	// Accounts are the clients of PMSs' accounts, shared with other callers.
	Accounts *pmsapi.Clients
	// Reservations returns reservations as REST shows them, decoded from JSON, with their guests' links. One that
	// is missing is gone.
	Reservations func(ctx context.Context, refs []stay.Ref) (map[stay.Ref]any, error)
	// HashKey keys the hashes of texts in the database.
	HashKey []byte
	// First is the first wait after a failure, which doubles. Default 2 s.
	First time.Duration
	// Lease is how long a killed process delays others, at least [minLease]. Default 45 s.
	Lease     time.Duration
	PollEvery time.Duration // how often changes are looked for without a wake-up. Default 1 s
	Now       func() time.Time
	After     func(d time.Duration) <-chan time.Time // what waits, default time.After
	// called at each marked step, where a test ends a process; nil for nothing
	Reached func(point.Name)
}

// spare is how much of a lease must be left after a call's deadline.
const spare = 5 * time.Second

// minLease is the shortest lease in which a call can leave.
const minLease = pmsapi.AnswerWithin + 2*spare

// Service is safe for concurrent use; any number of processes may run one on one database.
type Service struct {
	Options
	store *store.Store
	log   *slog.Logger
	wake  chan struct{}

	mu      sync.Mutex
	running map[string]*runner
}

var requests = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "staykey_write_back_requests_total",
	Help: "Requests of write-back to PMSs, by call (read, change, ...) and result: a status, or failed.",
}, []string{"source", "call", "answer"})

// Collectors returns the package's metrics.
func Collectors() []prometheus.Collector { return []prometheus.Collector{requests} }

// New returns a service; [Service.Run] starts it.
func New(db *store.Store, log *slog.Logger, o Options) *Service {
	set := func(d *time.Duration, value time.Duration) {
		if *d <= 0 {
			*d = value
		}
	}
	set(&o.First, 2*time.Second)
	set(&o.Lease, 45*time.Second)
	set(&o.PollEvery, time.Second)
	o.Lease = max(o.Lease, minLease)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.After == nil {
		o.After = time.After
	}
	return &Service{Options: o, store: db, log: log, wake: make(chan struct{}, 1), running: map[string]*runner{}}
}

// Wake makes the service look for changes soon. It never blocks.
func (s *Service) Wake() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Committed makes the service look for changes soon. It is for [store.Store.OnCommit].
func (s *Service) Committed() {
	if len(s.settings()) > 0 {
		s.Wake()
	}
}

// settings are those of the sources that write back, by their names.
func (s *Service) settings() map[string]*pms.WriteBackSettings {
	found := map[string]*pms.WriteBackSettings{}
	for name, source := range s.Sources() {
		if source.WriteBack != nil {
			found[name] = source.WriteBack
		}
	}
	return found
}

// reach marks a step at which a process that dies leaves something half done.
func (s *Service) reach(name point.Name) {
	point.Reach(name)
	if s.Reached != nil {
		s.Reached(name)
	}
}

// Run writes until ctx ends. Running attempts then have patience to end; those that are cut off are compared again
// later.
func (s *Service) Run(ctx context.Context, patience time.Duration) {
	working, cutOff := context.WithCancel(context.WithoutCancel(ctx))
	defer cutOff()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(patience, cutOff) })()
	var runners sync.WaitGroup
	defer runners.Wait()
	busy := map[string]chan struct{}{} // closed when the source's goroutine has ended
	for ctx.Err() == nil {
		for name := range s.settings() {
			if done := busy[name]; done != nil {
				select {
				case <-done:
				default:
					continue
				}
			}
			done := make(chan struct{})
			busy[name] = done
			runners.Go(func() {
				defer close(done)
				s.runSource(ctx, working, name)
			})
		}
		select {
		case <-ctx.Done():
		case <-s.wake:
			s.nudge()
		case <-s.After(s.PollEvery):
			s.nudge()
		}
	}
}

// nudge makes every runner look for changes.
func (s *Service) nudge() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.running {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

// runSource writes for one source until ctx ends or the source no longer writes back.
func (s *Service) runSource(ctx, working context.Context, name string) {
	r := s.runner(name)
	defer r.release(context.WithoutCancel(ctx))
	for ctx.Err() == nil {
		n, err := r.round(working)
		switch {
		case errors.Is(err, errNoSettings):
			return
		case err != nil && ctx.Err() == nil && !errors.Is(err, store.ErrLeaseLost):
			s.log.Error("write-back delayed: database error", "source", name, "error", err)
		case n > 0:
			continue
		}
		select {
		case <-ctx.Done():
		case <-s.After(pause):
		}
		select {
		case <-ctx.Done():
		case <-r.wake:
		}
	}
}

// Round works on a source once: it reads changes and brings every due booking up to date. It returns how many were due.
func (s *Service) Round(ctx context.Context, name string) (int, error) {
	return s.runner(name).round(ctx)
}

// runner returns what this process knows of a source.
func (s *Service) runner(name string) *runner {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running[name] == nil {
		s.running[name] = &runner{Service: s, name: name, wake: make(chan struct{}, 1)}
	}
	return s.running[name]
}
