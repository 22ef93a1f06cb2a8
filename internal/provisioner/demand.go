package provisioner

import (
	"context"
	"slices"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/provisioner/plan"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// demand works out what should exist for a stay, from what was loaded and the access groups that are known. The rules
// are in [plan.Desire]; this type gathers what they need, and asks Seam only about access groups and access systems.
type demand struct {
	store         *store.Store
	now           func() time.Time
	directory     *directory
	keys          identityKeys
	configured    func(source string) bool // nil: every source
	systems       *systems
	defaultSystem string
	ledger        *ledger
	users         *users
	pacing        *pacing
	work          *store.Work // as it was loaded; who owns its groups and which systems are cut off is updated here
	policy        pms.Policy
}

// desired works out what should be true. Seam is asked about access groups only if a key depends on one that has not
// been seen yet; if it can't be asked, the record is enough for an existing ACS user, and a configured access system
// for a new one.
func (m *demand) desired(ctx context.Context) (plan.Desired, outcome) {
	if err := m.claimGroups(ctx); err != nil {
		return plan.Desired{}, fails(err)
	}
	d := m.known()
	d.OwnKey = m.keys.own(m.work.Reservation.Ref(), 0)
	if d.Goal != plan.Have || len(d.Listed) == 0 {
		return d, outcome{}
	}
	err := m.directory.learn(m.ledger.because(ctx, "which access system the listing's access groups are on"), d.Listed)
	d = m.known()
	d.OwnKey = m.keys.own(m.work.Reservation.Ref(), 0)
	if err != nil && (d.SystemID == "" || seam.KindOf(err) == seam.Unauthorized) {
		return d, fails(err)
	}
	return d, outcome{}
}

// disconnection returns why nothing can be done for a key now: Seam can't reach the access system that it is on, or
// should be on. Removals are tried anyway: doors must close. A disconnection that was reported long ago is checked
// again, in case the event of its end was lost.
func (m *demand) disconnection(ctx context.Context, d plan.Desired) *store.Disconnection {
	if d.Goal != plan.Have || len(m.work.Unreachable) == 0 {
		return nil
	}
	systemID := d.SystemID
	if i := m.users.standing(d); i >= 0 {
		systemID = m.users.rows[i].ACSSystemID
	}
	i := slices.IndexFunc(m.work.Unreachable, func(d store.Disconnection) bool { return d.ACSSystemID == systemID })
	if i < 0 {
		return nil
	}
	cut := m.work.Unreachable[i]
	old := m.now().Sub(cut.CheckedAt) >= max(m.pacing.slowRetry(), askAgain)
	asking := m.ledger.because(ctx, "whether the access system is connected again")
	if old && !m.ledger.preview && m.systems.isBack(asking, systemID) {
		m.work.Unreachable = slices.Delete(m.work.Unreachable, i, i+1)
		return nil
	}
	return &cut
}

// claimGroups makes the reservation's source the owner of those of the listing's groups that nobody has used before.
// Saving a listing does this; an older version, which may run at the same time, doesn't.
func (m *demand) claimGroups(ctx context.Context) error {
	l := m.work.Listing
	if l == nil || l.Deleted || m.ledger.preview || !m.policy.OwnGroups {
		return nil
	}
	for _, group := range l.Groups() {
		if _, owned := m.work.GroupOwners[group]; !owned {
			owners, err := m.store.AccessGroups.Claim(ctx, m.work.Reservation.Source, l.Groups(), m.now())
			if err == nil {
				m.work.GroupOwners = owners
			}
			return err
		}
	}
	return nil
}

// known is what should exist as far as can be known without asking Seam.
func (m *demand) known() plan.Desired { return plan.Desire(m.situation(m.directory.system)) }

// situation is what the rules depend on, with what is known of access groups.
func (m *demand) situation(group plan.GroupSystem) plan.Situation {
	r, overrides := m.work.Reservation, m.work.Overrides
	s := plan.Situation{
		Reservation: decidedBy(r),
		Decisions: plan.Decisions{
			Revoked: overrides.Revoked(), ReplaceKey: stay.Text(overrides.ReplaceCredential),
			Access: func(starts, ends time.Time) (from, until time.Time) { return overrides.Access(r, starts, ends) },
		},
		Generation: m.work.Key.Generation, Gates: m.work.Gates, Policy: m.policy,
		DefaultSystem: m.defaultSystem, GuestKey: m.keys.guest, Now: m.now(), Group: group,
		MayOpen: mayOpen(m.policy, r.Source, m.work.GroupOwners, m.configured),
	}
	if l := m.work.Listing; l != nil {
		s.Listing = &plan.Listing{Groups: l.Groups(), ACSSystemID: stay.Text(l.ACSSystemID), Deleted: l.Deleted}
	}
	return s
}

// decidedBy is what decisions depend on of a reservation.
func decidedBy(r store.Reservation) plan.Reservation {
	return plan.Reservation{
		Source: r.Source, ReservationID: r.ReservationID, Status: r.Status, ListingID: stay.Text(r.ListingID),
		GuestEmail: stay.Text(r.GuestEmail), CheckIn: r.CheckIn, CheckOut: r.CheckOut,
		HasDates: r.CheckInText != nil && r.CheckOutText != nil,
	}
}
