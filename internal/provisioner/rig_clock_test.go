package provisioner_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

// rigTimer is what the service waits for.
type rigTimer struct {
	due  time.Time
	fire chan time.Time
}

func (r *rig) now() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Now().Add(r.offset).UTC()
}

// timer is what the service waits with: it fires when the service's clock is d later, whether time has passed or the
// test has moved the clock.
func (r *rig) timer(d time.Duration) <-chan time.Time {
	w := &rigTimer{fire: make(chan time.Time, 1)}
	r.mu.Lock()
	defer r.mu.Unlock()
	w.due = time.Now().Add(r.offset + d)
	if r.timers == nil {
		r.timers = map[*rigTimer]bool{}
	}
	r.timers[w] = true
	time.AfterFunc(d, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.expire(w)
	})
	return w.fire
}

// expire has a timer fire once. The caller holds the lock.
func (r *rig) expire(w *rigTimer) {
	if r.timers[w] {
		delete(r.timers, w)
		w.fire <- w.due
	}
}

// advance moves the clocks of Seam and of the service on. An attempt that is in progress may look at the clock before
// or after that, and what it waits for then may begin only now: in that case [rig.pass] lets as much time pass once
// more.
func (r *rig) advance(d time.Duration) {
	var missed time.Duration
	if busy, _ := r.work(); busy {
		missed = d
	}
	r.mu.Lock()
	r.missed, r.idle = missed, 0
	r.mu.Unlock()
	r.move(d)
}

// work reports whether the service works on a key, or is about to, and when the next one is due; nil for none.
func (r *rig) work() (busy bool, next *time.Time) {
	if err := r.store.Pool().QueryRow(context.Background(), `
		SELECT coalesce(bool_or(queued OR lease_until > clock_timestamp()), false), min(next_reconcile_at)
		FROM mobile_keys`).Scan(&busy, &next); err != nil {
		return false, nil // the rig starts the service again right now
	}
	return busy, next
}

// move moves the clocks of Seam and of the service, Seam's first: what its lags hide must be visible when the service
// relies on it.
func (r *rig) move(d time.Duration) {
	r.sim.Advance(d)
	r.mu.Lock()
	r.offset += d
	now := time.Now().Add(r.offset)
	for w := range r.timers {
		if !w.due.After(now) {
			r.expire(w)
		}
	}
	r.mu.Unlock()
	if r.prov != nil {
		r.prov.Wake() // for what has become due
	}
}

// rigs are those of each test that is running.
var rigs = struct {
	sync.Mutex
	of map[testing.TB][]*rig
}{of: map[testing.TB][]*rig{}}

func rigsOf(t testing.TB) []*rig {
	rigs.Lock()
	defer rigs.Unlock()
	return slices.Clone(rigs.of[t])
}

// An attempt that is in progress while a test moves the clock waits from then on: the test needn't know of it.
func TestTimeThatAnAttemptMissesPassesAgain(t *testing.T) {
	t.Parallel()
	r, s := newStay(t, simulator.Options{})
	r.rest(s)
	r.sim.Inject(simulator.Fault{Kind: simulator.Forbidden, Path: seam.PathUserDelete})
	var once sync.Once
	r.sim.Configure(func(o *simulator.Options) {
		o.Hook = func(path string, _ bool) bool {
			if path == seam.PathUserDelete {
				once.Do(func() { r.advance(6 * time.Minute) })
			}
			return false
		}
	})
	r.cancel(s)
	r.until(s, store.KeyRevoked)
}

// idlePasses is how often a wait looks at a service that does nothing before the time that an attempt missed passes
// again.
const idlePasses = 20

// pass moves the clocks on to when the next key is due, if that is soon and the service is doing nothing else. So a
// test waits for a read lag or a retry, however long it is, only as long as the machine needs; and no read lag
// ends while the machine is slow. It always returns false.
func (r *rig) pass() bool {
	now := r.now()
	switch busy, next := r.work(); {
	case busy || next == nil || !next.After(now):
	case !next.After(now.Add(r.options.ReadLag + time.Second)):
		r.move(next.Sub(now))
	default:
		if d := r.missedTime(); d > 0 {
			r.move(d)
		}
	}
	return false
}

// missedTime is what an attempt may have missed of the last [rig.advance], once a wait has looked often enough at a
// service that does nothing; zero otherwise.
func (r *rig) missedTime() (d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.missed == 0 {
		return 0
	}
	if r.idle++; r.idle >= idlePasses {
		d, r.missed = r.missed, 0
	}
	return d
}
