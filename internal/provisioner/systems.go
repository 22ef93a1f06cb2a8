package provisioner

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/store"
)

// askAgain is how often a process asks Seam about one disconnected access system.
const askAgain = time.Minute

// systems knows which access systems Seam can reach. It records a change, and schedules the keys that it concerns. It
// is safe for concurrent use.
type systems struct {
	store *store.Store
	seam  *seam.Client
	log   *slog.Logger
	now   func() time.Time
	wake  func() // keys may be due

	mu         sync.Mutex
	askedAfter map[string]time.Time // disconnected access systems: when Seam was last asked

	listed   []seam.System // the last list, for people to look at
	listedAt time.Time
}

// isBack asks Seam whether an access system is connected again, at most once a minute, and if so resumes its keys.
func (y *systems) isBack(ctx context.Context, systemID string) bool {
	y.mu.Lock()
	now := y.now()
	due := now.Sub(y.askedAfter[systemID]) >= askAgain
	if due {
		y.askedAfter[systemID] = now
	}
	y.mu.Unlock()
	if !due {
		return false
	}
	system, err := y.seam.System(ctx, systemID)
	if err != nil {
		y.log.Warn("disconnected access system not checked; retrying", "acs_system_id", systemID, "error", err)
		return false
	}
	return y.record(ctx, system) && system.Disconnected() == ""
}

// record records whether an access system is connected, and schedules its keys if that has changed. It reports
// whether it could.
func (y *systems) record(ctx context.Context, system seam.System) bool {
	now := y.now()
	changed, err := y.store.ACSSystems.Seen(ctx, system.ACSSystemID, system.Disconnected(), nil, now)
	if err == nil && changed {
		var keys int
		keys, err = y.store.ACSSystems.Queue(ctx, system.ACSSystemID, now)
		y.log.Warn("access system connection changed", "acs_system_id", system.ACSSystemID, "problem",
			system.Disconnected(), "keys", keys)
		y.wake()
	}
	if err != nil {
		y.log.Error("access system state not stored; asking Seam again", "acs_system_id",
			system.ACSSystemID, "error", err)
	}
	return err == nil
}

// recordAll records which access systems are connected, and returns those that are not. It covers for lost Seam
// events.
func (y *systems) recordAll(ctx context.Context) map[string]bool {
	unreachable := map[string]bool{}
	systems, err := y.seam.Systems(ctx)
	if err != nil {
		y.log.Warn("access systems not listed; keeping the known state", "error", err)
		known, _ := y.store.ACSSystems.Disconnections(ctx)
		for _, d := range known {
			unreachable[d.ACSSystemID] = true
		}
		return unreachable
	}
	for _, s := range systems {
		y.record(ctx, s)
		unreachable[s.ACSSystemID] = s.Disconnected() != ""
	}
	return unreachable
}

// list lists the access systems, at most a few seconds old.
func (y *systems) list(ctx context.Context) ([]seam.System, error) {
	y.mu.Lock()
	list, at := y.listed, y.listedAt
	y.mu.Unlock()
	if !at.IsZero() && y.now().Sub(at) < shownFor {
		return list, nil
	}
	list, err := y.seam.Systems(ctx)
	if err == nil {
		y.mu.Lock()
		y.listed, y.listedAt = list, y.now()
		y.mu.Unlock()
	}
	return list, err
}
