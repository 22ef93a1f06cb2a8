package provisioner

import (
	"context"
	"time"

	"github.com/staykey/staykey/internal/provisioner/plan"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/store"
)

// Target is what should be true in Seam for one reservation, in words that a page can show beside what is.
type Target struct {
	Key         bool       // there is to be an ACS user with a mobile key
	Why         string     // there is to be none: why
	ACSSystemID string     // "" while it is not known
	StartsAt    *time.Time // access; nil while it is not known
	EndsAt      *time.Time
	GroupIDs    []string
	RemoveAt    *time.Time // when what is left of it goes
	Reason      string     // what stands in the way, for machines; "" for nothing
	Message     string     // and for people
}

// Explain works out what should be true for a reservation, from what is known: Seam is not asked.
// [store.ErrNotFound] where there is no such reservation.
func (p *Provisioner) Explain(ctx context.Context, ref store.Ref) (Target, error) {
	work, err := p.store.LoadWork(ctx, ref)
	if err != nil {
		return Target{}, err
	}
	a := p.newAttempt(store.Lease{Ref: ref}, work)
	d := plan.Desire(a.situation(p.directory.system)).WithFirstKeyWaiting(a.users)
	t := Target{Key: d.Goal == plan.Have, ACSSystemID: d.SystemID, GroupIDs: d.Groups}
	if !d.Starts.IsZero() && (t.Key || d.Expired) {
		t.StartsAt, t.EndsAt, t.RemoveAt = &d.Starts, &d.Ends, &d.RemoveAt
	}
	switch {
	case !t.Key:
		t.Why = plan.WhyRemoved(d)
	case d.Blocked != nil:
		t.Reason, t.Message = d.Blocked.Reason, d.Blocked.Message
	}
	return t, nil
}

// AccessGroups lists the workspace's access groups and access systems, as they were some seconds ago at most.
func (p *Provisioner) AccessGroups(ctx context.Context) ([]seam.AccessGroup, []seam.System, error) {
	groups, err := p.directory.all(ctx)
	if err != nil {
		return nil, nil, err
	}
	systems, err := p.systems(ctx)
	return groups, systems, err
}

// systems lists the access systems, as they were some seconds ago at most.
func (p *Provisioner) systems(ctx context.Context) ([]seam.System, error) {
	p.mu.Lock()
	list, at := p.systemsSeen, p.systemsAt
	p.mu.Unlock()
	if !at.IsZero() && p.now().Sub(at) < shownFor {
		return list, nil
	}
	list, err := p.seam.Systems(ctx)
	if err == nil {
		p.mu.Lock()
		p.systemsSeen, p.systemsAt = list, p.now()
		p.mu.Unlock()
	}
	return list, err
}
