package provisioner

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/provisioner/plan"
	"github.com/staykey/staykey/internal/provisioner/record"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/store"
)

// Slots: Seam documents one ACS user per (access system, identity). A stay claims that slot in our table, where it is
// unique, before it creates anything at Seam.

// ownIdentities is how many identities of its own a reservation may need at once: one, another while the guest
// changes, and for ten minutes one for each guest and access system with a lost create.
const ownIdentities = 32

// takeSlot finds the identity for the new ACS user, and claims its slot on the access system: the guest's own, if
// that slot is known to be free, otherwise one of the reservation's own.
func (a *attempt) takeSlot(ctx context.Context, d plan.Desired) outcome {
	if d.GuestKey != "" && !a.notGuest && !d.PerStay {
		c, out := a.guestIdentity(ctx, d)
		if out.stops() {
			return out
		}
		if c.usable {
			if taken, out := a.claim(ctx, d, c); taken || out.stops() {
				return out
			}
		}
		a.notGuest = true
	}
	for n := range ownIdentities {
		c, out := a.ownIdentity(ctx, n)
		if out.stops() {
			return out
		}
		// What this stay's other guest was given, or this guest for a key that is gone, shows the keys of this
		// identity until it is taken back.
		if handed, err := a.store.IsHandedToOthers(ctx, *c.ID, d.GuestKey); handed || err != nil {
			if err != nil {
				return fails(err)
			}
			continue
		}
		if taken, out := a.claim(ctx, d, c); taken || out.stops() {
			return out
		}
	}
	return fails(errors.New("no user identity with a free slot could be created"))
}

// claim claims the slot of an identity on the access system, with the mark for the create that follows. It returns
// false if the slot is taken, by another stay of ours or by somebody else's ACS user. An ACS user that we created for
// this very stay and have no record of, because the database was restored to an earlier time, is adopted through the
// mark like that of a lost create.
func (a *attempt) claim(ctx context.Context, d plan.Desired, c candidate) (bool, outcome) {
	u := record.User{ACSUser: store.ACSUser{
		Source: a.work.Reservation.Source, ReservationID: a.work.Reservation.ReservationID, ACSSystemID: d.SystemID,
		UserIdentityKey: c.Key, UserIdentityID: *c.ID, GuestKey: d.GuestKey,
		AccessGroupIDs: []string{}, DoorsRead: true,
	}}
	known := false // an ACS user of this stay exists already
	if !c.fresh {
		free, ours, out := a.slotIsFree(ctx, d, c, &u)
		if !free || out.stops() {
			return false, out
		}
		known = ours
	}
	taken := true
	out := a.commit(ctx, func(ctx context.Context, tx pgx.Tx, stale bool) error {
		if err := store.SaveUserIdentity(ctx, tx, c.UserIdentity); err != nil || stale {
			return err // the identity is worth keeping, and the slot is not wanted now
		}
		var err error
		if taken, err = store.ClaimSlot(ctx, tx, &u.ACSUser); err != nil || !taken {
			return err
		}
		u.MarkCreate(d.Starts, d.Ends, d.Groups, a.now())
		return store.SaveACSUser(ctx, tx, u.ACSUser)
	})
	switch {
	case errors.Is(out.err, store.ErrErasing):
		return false, wait(a.now().Add(deletePoll), "The guest's data is being erased: the key is created afterwards")
	case out.stops() || !taken:
		return false, out
	}
	a.fresh[u.ID], a.claimed[u.ID] = !known, true
	a.users = append(a.users, u)
	return true, outcome{}
}

// slotIsFree asks our table and Seam whether an identity has an ACS user on the access system. ours reports that it
// has one of this stay.
func (a *attempt) slotIsFree(ctx context.Context, d plan.Desired, c candidate, u *record.User) (free,
	ours bool, out outcome,
) {
	holder, err := a.store.SlotHolder(ctx, d.SystemID, *c.ID)
	if err == nil {
		a.noteSlotTaken(d, holder)
	}
	if !errors.Is(err, store.ErrNotFound) {
		return false, false, fails(err)
	}
	found, others, out := a.find(a.because(ctx, "whether the identity has an ACS user on the access system"), u)
	if out.kind == refused && seam.KindOf(out.err) == seam.NotFound {
		return false, false, a.candidateGone(ctx, c, u)
	}
	if out.stops() {
		return false, false, out
	}
	if c.MadeByUs {
		if ours, out = a.isStillThere(ctx, found); out.stops() {
			return false, false, out
		}
	}
	if others || len(found) > 0 && !ours {
		if len(found) > 0 && c.MadeByUs { // listed, but gone when asked for alone: the list lags
			return !others, false, outcome{}
		}
		a.note("the user identity already has an ACS user on access system %s", d.SystemID)
		return false, false, outcome{}
	}
	return true, ours, outcome{}
}

// candidateGone forgets an identity that Seam says it does not have, once that is certain, and begins again with
// another one.
func (a *attempt) candidateGone(ctx context.Context, c candidate, u *record.User) outcome {
	gone, _, out := a.isIdentityGone(ctx, u)
	if out.stops() {
		return out
	}
	if !gone {
		return contradicted(errContradiction)
	}
	if out := a.forgetIdentity(ctx, &c); out.stops() {
		return out
	}
	return again()
}

// noteSlotTaken records that another stay has the slot of the guest's own identity, so that this one gets an
// identity of its own, without the guest's address. A reservation of another source is not named: readers of this
// timeline may not have access to that source.
func (a *attempt) noteSlotTaken(d plan.Desired, holder store.Ref) {
	own := a.work.Reservation.Ref()
	if holder == own {
		return
	}
	if holder.Source == own.Source {
		a.note("reservation %s already uses the guest's identity on access system %s: this stay gets its own user identity", holder.ReservationID, d.SystemID)
		return
	}
	a.note("a stay of another source already uses the guest's identity on access system %s: this stay gets its own user identity, without the guest's address", d.SystemID)
	a.log.Warn("guest's identity already used by another source; the stay gets its own", "source",
		a.work.Reservation.Source, "reservation_id", a.work.Reservation.ReservationID,
		"acs_system_id", d.SystemID, "other_source", holder.Source, "other_reservation_id", holder.ReservationID)
}

// isStillThere reports whether the first of some listed ACS users exists when asked for alone, twice if the first
// answer is no: lists may show deleted ones for a while.
func (a *attempt) isStillThere(ctx context.Context, listed []seam.ACSUser) (bool, outcome) {
	if len(listed) == 0 {
		return false, outcome{}
	}
	ctx = a.because(ctx, "whether the listed ACS user is still there")
	from, err := a.seam.ACSUser(ctx, listed[0].ACSUserID)
	if seam.KindOf(err) == seam.NotFound {
		from, err = a.seam.ACSUser(ctx, listed[0].ACSUserID)
	}
	if seam.KindOf(err) == seam.NotFound {
		return false, outcome{}
	}
	return err == nil && !isGone(from), fails(err)
}

// leaveSlot gives up a slot that turned out to be somebody else's. What a lost create may have left there is still
// looked for.
func (a *attempt) leaveSlot(ctx context.Context, i int) outcome {
	u := &a.users[i]
	a.notGuest = true
	if u.MayExist() {
		u.SetAside(a.now())
		if out := a.save(ctx, u); out.stops() {
			return out
		}
		return again()
	}
	return a.forgetSlot(ctx, i, nil)
}

// identityGone handles a row's identity that Seam no longer has. Whatever was linked to it is gone, too.
func (a *attempt) identityGone(ctx context.Context, i int) outcome {
	u := &a.users[i]
	gone, holder, out := a.isIdentityGone(ctx, u)
	if out.stops() {
		return out
	}
	if !gone {
		return contradicted(errContradiction)
	}
	a.note("user identity %s is gone from Seam", u.UserIdentityID)
	identity, err := a.store.UserIdentity(ctx, u.UserIdentityKey)
	if err != nil {
		return fails(err)
	}
	if identity.ID != nil && *identity.ID == u.UserIdentityID {
		identity.ID, identity.LostAt = holder, nil
	}
	return a.forgetSlot(ctx, i, &identity)
}

func (a *attempt) forgetSlot(ctx context.Context, i int, identity *store.UserIdentity) outcome {
	id := a.users[i].ID
	out := a.commit(ctx, func(ctx context.Context, tx pgx.Tx, _ bool) error {
		if err := store.DeleteACSUser(ctx, tx, id); err != nil || identity == nil {
			return err
		}
		return store.SaveUserIdentity(ctx, tx, *identity)
	})
	if out.stops() {
		return out
	}
	a.drop(i)
	return again()
}

// makeRoom makes sure that a new ACS user would be the stay's only one. Whatever may already serve the stay is followed
// until Seam shows what happened: a create whose result is unknown, and a delete that may not have taken effect.
// Only a deletion that Seam itself says is under way is not waited for any longer than the guest can wait: then the
// new one gets another identity.
func (a *attempt) makeRoom(ctx context.Context, d plan.Desired) outcome {
	if d.Goal != plan.Have || !d.WithFirstKeyWaiting(a.users).Create {
		return outcome{}
	}
	if i := a.standing(d); i >= 0 && (a.users[i].ACSUserID != nil || a.claimed[a.users[i].ID]) {
		return outcome{}
	}
	for i := range a.users {
		u := &a.users[i]
		if u.ACSSystemID != d.SystemID || u.GuestKey != d.GuestKey {
			continue
		}
		if out, open := a.unsettled[u.ID]; open {
			return out
		}
		if u.Phase() != record.Removing {
			continue
		}
		deletedAt := *u.DeletedAt
		if out := a.seeOff(ctx, d, u); out.stops() && !a.mayPass(d, u, deletedAt, out) {
			return out
		}
	}
	return outcome{}
}

// mayPass reports whether a new ACS user may be created although the deletion of an earlier one has not ended: if that
// one won't serve the stay in any case, and the guest can't wait.
func (a *attempt) mayPass(d plan.Desired, u *record.User, deletedAt time.Time, out outcome) bool {
	switch out.kind {
	case waiting, needsPerson, unclear:
		return (u.Leaving || !plan.Fits(d, *u)) && !a.canWait(d, deletedAt)
	default:
		return false
	}
}
