package provisioner_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

// While events are so many that keys of later guests should wait, these keys keep an eighth of the workers, even if
// as many urgent attempts hang; and no more, even if others are idle.
func TestHangingUrgentAttemptsLeaveLaterGuestsTheirShare(t *testing.T) {
	t.Parallel()
	options := fast()
	options.Workers = 16
	options.Crowded = func() bool { return true }
	r := newRig(t, options, simulator.Options{})
	r.listing("default", "L", "555555-5555")

	const share = 2
	creates, release := make(chan struct{}, 16), make(chan struct{})
	t.Cleanup(sync.OnceFunc(func() { close(release) })) // before the rig stops, which waits for the attempts
	r.sim.Configure(func(o *simulator.Options) {
		o.Hook = func(path string, after bool) bool {
			if path == seam.PathUserCreate && !after {
				creates <- struct{}{}
				<-release
			}
			return false
		}
	})
	hang := func(name string, in time.Duration, stays, creating int) {
		t.Helper()
		for i := range stays {
			s := r.stay(name + fmtStay(i))
			s.email, s.in = "", r.now().Add(in).Truncate(time.Millisecond)
			r.book(s)
		}
		began := 0
		waitFor(t, name+" creates", func() bool {
			select {
			case <-creates:
				began++
			default:
			}
			return began == creating
		})
	}

	hang("urgent", time.Hour, share, share)
	hang("later", 30*time.Hour, share+1, share)
	hang("last", time.Hour, 1, 1) // now idle workers have looked for keys of later guests, too
	var busy int
	if err := r.store.Pool().QueryRow(context.Background(), `
		SELECT count(*) FROM mobile_keys WHERE lease_until > clock_timestamp() AND rank_at > $1`,
		r.now().Add(24*time.Hour)).Scan(&busy); err != nil || busy != share {
		t.Errorf("%d keys of later guests are worked on, want %d: %v", busy, share, err)
	}
}

// A stay is cut short, and the access system refuses to end its key, which still opens the door: the key is no cleanup
// that waits for everybody else's.
func TestAKeyThatOutlastsItsStayIsNotCleanup(t *testing.T) {
	t.Parallel()
	r, s := newStay(t, simulator.Options{})
	r.advance(s.in.Add(time.Hour).Sub(r.now()))
	r.until(s, store.KeyActive)
	for _, path := range []string{seam.PathUserUpdate, seam.PathUserDelete} {
		r.sim.Inject(simulator.Fault{Kind: simulator.Forbidden, Path: path, Count: -1})
	}
	s.out = r.now().Add(-time.Minute).Truncate(time.Millisecond)
	r.book(s)
	waitFor(t, "the refusal", func() bool { return r.view(s).Key.Status == store.KeyAttention })
	r.stop()

	if _, err := r.store.Keys.QueueDue(context.Background(), r.now().Add(24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	var queued bool
	var rank time.Time
	if err := r.store.Pool().QueryRow(context.Background(), `SELECT queued, rank_at FROM mobile_keys`).Scan(&queued,
		&rank); err != nil || !queued || !rank.Equal(s.in) {
		t.Errorf("queued: %t, with the rank %s, want that of the check-in, %s: %v", queued, rank, s.in, err)
	}
}
