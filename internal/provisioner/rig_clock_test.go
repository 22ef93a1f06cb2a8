package provisioner_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"
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

// advance moves the clocks of Seam and of the service, Seam's first: what its lags hide must be visible when the
// service relies on it.
func (r *rig) advance(d time.Duration) {
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

// pass moves the clocks on to when the next key is due, if that is soon and the service is doing nothing else. So a
// test waits for a grace or a retry, however long it is, only as long as the machine needs; and no grace ends while the
// machine is slow. It always returns false.
func (r *rig) pass() bool {
	now := r.now()
	var busy bool
	var next *time.Time
	err := r.store.Pool().QueryRow(context.Background(), `
		SELECT coalesce(bool_or(queued OR lease_until > clock_timestamp()), false), min(next_reconcile_at)
		FROM mobile_keys`).Scan(&busy, &next)
	if err != nil || busy || next == nil || !next.After(now) || next.After(now.Add(r.options.Grace+time.Second)) {
		return false
	}
	r.advance(next.Sub(now))
	return false
}
