package provisioner

import (
	"context"
	"slices"
	"time"

	"github.com/staykey/staykey/internal/provisioner/plan"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/store"
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

// disconnection returns why nothing can be done for a key now: Seam can't reach the access system that it is on, or
// should be on. Removals are tried anyway: doors must close. A disconnection that was reported long ago is checked
// again, in case the event of its end was lost.
func (a *attempt) disconnection(ctx context.Context, d plan.Desired) *store.Disconnection {
	if d.Goal != plan.Have || len(a.work.Unreachable) == 0 {
		return nil
	}
	systemID := d.SystemID
	if i := a.standing(d); i >= 0 {
		systemID = a.users[i].ACSSystemID
	}
	i := slices.IndexFunc(a.work.Unreachable, func(d store.Disconnection) bool { return d.ACSSystemID == systemID })
	if i < 0 {
		return nil
	}
	cut := a.work.Unreachable[i]
	old := a.now().Sub(cut.CheckedAt) >= max(a.slowRetry(), askAgain)
	if old && !a.preview && a.isBack(a.because(ctx, "whether the access system is connected again"), systemID) {
		a.work.Unreachable = slices.Delete(a.work.Unreachable, i, i+1)
		return nil
	}
	return &cut
}
