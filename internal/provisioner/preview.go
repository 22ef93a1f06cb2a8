package provisioner

import (
	"context"
	"slices"

	"github.com/staykey/staykey/internal/provisioner/plan"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// Plan compares a reservation with Seam and returns the changing calls that a reconcile would make now. It only
// reads. It returns [store.ErrNotFound] if there is no such reservation.
func (p *Provisioner) Plan(ctx context.Context, ref stay.Ref) ([]stay.PlannedCall, error) {
	work, err := p.store.Keys.LoadWork(ctx, ref)
	if err != nil {
		return nil, err
	}
	if work.Reservation.VersionSeq == 0 {
		return nil, store.ErrNotFound
	}
	// as in an admin's reconcile
	work.Key.CheckRequested, work.Key.Revive = true, true
	work.Key.Generation++
	a := p.newAttempt(store.Lease{Ref: ref}, work)
	a.ledger.preview, a.removed.lookOnly = true, true
	calls := []stay.PlannedCall{}
	d, out := a.demand.desired(ctx)
	if out.stops() {
		return nil, out.err
	}
	if cut := a.demand.disconnection(ctx, d); cut != nil {
		a.removed.lookElsewhere(ctx, d, cut.ACSSystemID)
		return append(calls, a.removed.planned...), nil
	}
	switch out := a.observer.observe(ctx, d); out.kind {
	case proceed:
	case failed, refused:
		return nil, out.err
	default:
		return calls, nil // nothing is due until Seam is asked again
	}
	if out := a.removed.look(ctx, d, a.needsUserOn(d)); out.stops() && !out.isLocal() {
		return nil, out.err
	}
	calls = append(calls, a.removed.planned...)
	key := d.GuestKey
	if d.PerStay {
		key = d.OwnKey
	}
	if d.Goal == plan.Have && key != "" {
		if known, err := p.store.UserIdentities.Get(ctx, key); err == nil {
			d.IdentityID = stay.Text(known.ID)
		}
	}
	for _, s := range slices.Concat(plan.Plan(d, a.users.rows, work.Key.Revive), plan.Names(d, a.users.rows)) {
		calls = append(calls, stay.PlannedCall{Path: s.Path, Body: s.Body, Reason: s.Reason})
	}
	return append(calls, a.codes.planned(d)...), nil
}
