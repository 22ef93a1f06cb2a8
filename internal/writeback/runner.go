package writeback

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/pmsapi"
	"github.com/staykey/staykey/internal/point"
	"github.com/staykey/staykey/internal/store"
)

// This file runs one source: its lease, what is due, and the pause while its PMS can't be called.

var errNoSettings = errors.New("the source has no write-back")

// runner works for one source, one round at a time.
type runner struct {
	*Service
	name string
	wake chan struct{}

	mu          sync.Mutex
	lease       *store.WriteBackLease
	until       time.Time // when the lease ends by this process's clock, with a margin
	fingerprint string    // of the settings that the lease was taken with
	paused      time.Time // no call before this time: the account is paused
	stopRenewal func()
}

// round is [Service.Round].
func (r *runner) round(ctx context.Context) (int, error) {
	set := r.settings()[r.name]
	if set == nil {
		r.release(ctx)
		return 0, errNoSettings
	}

	lease, err := r.hold(ctx, set)
	if err != nil || lease == nil {
		return 0, err
	}
	if err := r.takeUp(ctx, *lease); err != nil {
		return 0, r.lost(err)
	}
	if r.isPaused() {
		return 0, nil
	}

	atOnce := set.Preset.Account.AtOnce
	if atOnce <= 0 {
		atOnce = defaultAtOnce
	}
	atOnce = min(atOnce, mostAtOnce)

	due, err := r.store.WriteBacks.Due(ctx, r.name, r.Now(), nil, atOnce*4)
	if err != nil || len(due) == 0 {
		return 0, err
	}
	r.reach(point.WriteBackClaimed)

	var all errgroup.Group
	all.SetLimit(atOnce)
	for _, row := range due {
		all.Go(func() error {
			if r.isPaused() || ctx.Err() != nil {
				return nil // it stays due
			}
			return r.attempt(ctx, *lease, set, row)
		})
	}
	return len(due), r.lost(all.Wait())
}

// takeUp makes rows due whose stays have changed. It stops after some pages, so that arrivals don't wait for a whole
// backlog.
func (r *runner) takeUp(ctx context.Context, lease store.WriteBackLease) error {
	if _, err := r.store.Changes.Order(ctx, takeUpAtOnce*pagesAtOnce); err != nil {
		return err
	}
	for range pagesAtOnce {
		passed, err := r.store.WriteBacks.TakeUp(ctx, lease, r.Now(), takeUpAtOnce)
		if err != nil || passed < takeUpAtOnce {
			return err
		}
	}
	return nil
}

// hold takes or keeps the lease; nil while another replica has it.
func (r *runner) hold(ctx context.Context, set *pms.WriteBackSettings) (*store.WriteBackLease, error) {
	fingerprint := fingerprintOf(set)
	r.mu.Lock()
	same := r.lease != nil && r.fingerprint == fingerprint && time.Now().Before(r.until)
	lease := r.lease
	r.mu.Unlock()
	if same {
		return lease, nil
	}
	r.release(ctx)
	asked := time.Now()
	l, ok, err := r.store.WriteBacks.TakeLease(ctx, r.name, fingerprint, r.Lease)
	if err != nil || !ok {
		return nil, err
	}
	renewal, stop := context.WithCancel(context.WithoutCancel(ctx))
	r.mu.Lock()
	r.lease, r.until, r.fingerprint, r.stopRenewal = &l, asked.Add(r.Lease), fingerprint, stop
	r.mu.Unlock()
	go r.renew(renewal, l)
	return &l, nil
}

// renew keeps a lease until ctx ends or another replica has it.
func (r *runner) renew(ctx context.Context, l store.WriteBackLease) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.After(r.Lease / 6):
		}
		asked := time.Now()
		err := r.store.WriteBacks.RenewLease(ctx, l, r.Lease)
		r.mu.Lock()
		ours := r.lease != nil && r.lease.Token == l.Token
		switch {
		case ours && err == nil:
			r.until = asked.Add(r.Lease)
		case ours && errors.Is(err, store.ErrLeaseLost):
			r.lease, ours = nil, false
		}
		r.mu.Unlock()
		if !ours {
			return
		}
	}
}

// release gives the lease back.
func (r *runner) release(ctx context.Context) {
	r.mu.Lock()
	lease, stop := r.lease, r.stopRenewal
	r.lease, r.stopRenewal = nil, nil
	r.mu.Unlock()
	if stop != nil {
		stop()
	}
	if lease == nil {
		return
	}
	if err := r.store.WriteBacks.DropLease(context.WithoutCancel(ctx), *lease); err != nil {
		r.log.Warn("write-back lease not released: it will expire", "source", r.name, "error", err)
	}
}

// lost drops a lease that another replica has taken.
func (r *runner) lost(err error) error {
	if errors.Is(err, store.ErrLeaseLost) {
		r.mu.Lock()
		r.lease = nil
		r.mu.Unlock()
	}
	return err
}

// mayCall reports whether a call can end before the lease does.
func (r *runner) mayCall(l store.WriteBackLease) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lease != nil && r.lease.Token == l.Token && time.Now().Add(pmsapi.AnswerWithin+spare).Before(r.until)
}

func (r *runner) isPaused() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.Now().Before(r.paused)
}

// pause stops the source's calls for a while.
func (r *runner) pause(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if until := r.Now().Add(d); until.After(r.paused) {
		r.paused = until
	}
}

// fingerprintOf changes whenever the text or its destination can change. It holds no secret.
func fingerprintOf(set *pms.WriteBackSettings) string {
	text := ""
	if set.Text != nil {
		text = set.Text.Program
	}
	// strings only: it can't fail
	encoded, _ := json.Marshal([]any{set.Preset.Name, set.Account.URL, set.Field, set.With, text, set.Clear})
	sum := sha256.Sum256(encoded)
	return fmt.Sprintf("%s %s %s", set.Preset.Name, set.Field, hex.EncodeToString(sum[:8]))
}
