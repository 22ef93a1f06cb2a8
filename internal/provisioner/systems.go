package provisioner

import (
	"context"
	"time"

	"github.com/staykey/staykey/internal/seam"
)

// askAgain is how often a process asks Seam about one disconnected access system.
const askAgain = time.Minute

// isBack asks Seam whether an access system is connected again, at most once a minute, and if so resumes its keys.
func (p *Provisioner) isBack(ctx context.Context, systemID string) bool {
	p.mu.Lock()
	now := p.now()
	due := now.Sub(p.askedAfter[systemID]) >= askAgain
	if due {
		p.askedAfter[systemID] = now
	}
	p.mu.Unlock()
	if !due {
		return false
	}
	system, err := p.seam.System(ctx, systemID)
	if err != nil {
		p.log.Warn("disconnected access system not checked; retrying", "acs_system_id", systemID, "error", err)
		return false
	}
	return p.systemSeen(ctx, system) && system.Disconnected() == ""
}

// systemSeen records whether an access system is connected, and schedules its keys if that has changed. It reports
// whether it could.
func (p *Provisioner) systemSeen(ctx context.Context, system seam.System) bool {
	now := p.now()
	changed, err := p.store.SystemSeen(ctx, system.ACSSystemID, system.Disconnected(), nil, now)
	if err == nil && changed {
		var keys int
		keys, err = p.store.QueueSystem(ctx, system.ACSSystemID, now)
		p.log.Warn("access system connection changed", "acs_system_id", system.ACSSystemID, "problem",
			system.Disconnected(), "keys", keys)
		p.Wake()
	}
	if err != nil {
		p.log.Error("access system state not stored; asking Seam again", "acs_system_id",
			system.ACSSystemID, "error", err)
	}
	return err == nil
}
