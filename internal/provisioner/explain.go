package provisioner

import (
	"cmp"
	"context"
	"slices"

	"github.com/staykey/staykey/internal/provisioner/plan"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// Explain works out what should be true for a reservation from what is known, without asking Seam. It returns
// [store.ErrNotFound] if there is no such reservation.
func (p *Provisioner) Explain(ctx context.Context, ref stay.Ref) (stay.Target, error) {
	work, err := p.store.Keys.LoadWork(ctx, ref)
	if err != nil {
		return stay.Target{}, err
	}
	a := p.newAttempt(store.Lease{Ref: ref}, work)
	d := a.demand.known().WithFirstKeyWaiting(a.users.rows)
	t := stay.Target{Key: d.Goal == plan.Have, ACSSystemID: d.SystemID, GroupIDs: d.Groups}
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

// AccessGroups lists the workspace's access groups by access system and name, at most a few seconds old.
func (p *Provisioner) AccessGroups(ctx context.Context) ([]stay.AccessGroup, error) {
	groups, err := p.directory.all(ctx)
	if err != nil {
		return nil, err
	}
	systems, err := p.systems.list(ctx)
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	for _, system := range systems {
		names[system.ACSSystemID] = system.Name
	}

	list := make([]stay.AccessGroup, len(groups))
	for i, g := range groups {
		list[i] = stay.AccessGroup{
			ID: g.ACSAccessGroupID, Name: g.Name, SystemID: g.ACSSystemID,
			SystemName: names[g.ACSSystemID],
		}
	}
	slices.SortFunc(list, func(a, b stay.AccessGroup) int {
		return cmp.Or(cmp.Compare(a.SystemName, b.SystemName), cmp.Compare(a.SystemID, b.SystemID),
			cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	return list, nil
}
