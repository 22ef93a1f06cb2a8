package provisioner

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/provisioner/plan"
	"github.com/staykey/staykey/internal/provisioner/record"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/store"
)

// Places: Seam documents one ACS user for an (access system, identity). A stay claims that place in our table,
// which is unique, before it creates anything there.

// ownIdentities is how many identities of its own a reservation may need at once: one, another while the guest
// changes, and one for each guest and access system whose lost create is still looked for, for ten minutes.
const ownIdentities = 32

// takePlace finds the identity that the new ACS user will be linked to, and claims its place on the access
// system: the guest's own, where that is known to be free, else one of the reservation's own.
func (a *attempt) takePlace(ctx context.Context, d plan.Desired) outcome {
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
		// What another guest of the stay was given, or the same one for a key that is gone, shows this identity's keys until it is taken back.
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
	return fails(errors.New("no user identity with a free place could be created"))
}

// claim takes the place of an identity on the access system, with the mark for the create that follows. It is false
// where the place is taken, by another stay of ours or by somebody else's ACS user. An ACS user that we made for
// this very stay and know nothing of, because the database was restored to a time before, is taken over by the mark
// as a lost create's is.
func (a *attempt) claim(ctx context.Context, d plan.Desired, c candidate) (bool, outcome) {
	u := record.User{ACSUser: store.ACSUser{
		Source: a.work.Reservation.Source, ReservationID: a.work.Reservation.ReservationID, ACSSystemID: d.SystemID,
		UserIdentityKey: c.Key, UserIdentityID: *c.ID, GuestKey: d.GuestKey, AccessGroupIDs: []string{}, DoorsRead: true,
	}}
	known := false // an ACS user of this stay is there already
	if !c.fresh {
		free, ours, out := a.placeIsFree(ctx, d, c, &u)
		if !free || out.stops() {
			return false, out
		}
		known = ours
	}
	taken := true
	out := a.commit(ctx, func(ctx context.Context, tx pgx.Tx, stale bool) error {
		if err := store.SaveUserIdentity(ctx, tx, c.UserIdentity); err != nil || stale {
			return err // the identity is worth keeping, and the place is not wanted now
		}
		var err error
		if taken, err = store.ClaimPlace(ctx, tx, &u.ACSUser); err != nil || !taken {
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

// placeIsFree asks our table and Seam whether an identity has an ACS user on the access system. ours tells that it
// has one of this stay.
func (a *attempt) placeIsFree(ctx context.Context, d plan.Desired, c candidate, u *record.User) (free, ours bool, out outcome) {
	holder, err := a.store.PlaceHolder(ctx, d.SystemID, *c.ID)
	if err == nil {
		a.notePlace(d, holder)
	}
	if !errors.Is(err, store.ErrNotFound) {
		return false, false, fails(err)
	}
	found, others, out := a.find(a.because(ctx, "whether the identity has an ACS user on the access system"), u)
	if out.kind == refused && seam.KindOf(out.err) == seam.NotFound {
		gone, out := a.isIdentityGone(ctx, u)
		if out.stops() {
			return false, false, out
		}
		if !gone {
			return false, false, contradicted(errContradiction)
		}
		if out := a.forgetIdentity(ctx, &c); out.stops() {
			return false, false, out
		}
		return false, false, again()
	}
	if out.stops() {
		return false, false, out
	}
	if c.Made {
		if ours, out = a.isStillThere(ctx, found); out.stops() {
			return false, false, out
		}
	}
	if others || len(found) > 0 && !ours {
		if len(found) > 0 && c.Made { // listed, and gone when it is asked for: the list lags
			return !others, false, outcome{}
		}
		a.note("the user identity already has an ACS user on access system %s", d.SystemID)
		return false, false, outcome{}
	}
	return true, ours, outcome{}
}

// notePlace records that the guest's own place is another stay's, so that the stay gets an identity of its own: one that does not have the
// guest's address. Another source's reservation is not named: who may see this timeline may not see that source.
func (a *attempt) notePlace(d plan.Desired, holder store.Ref) {
	own := a.work.Reservation.Ref()
	if holder == own {
		return
	}
	if holder.Source == own.Source {
		a.note("reservation %s already uses the guest's identity on access system %s: this stay gets its own user identity", holder.ReservationID, d.SystemID)
		return
	}
	a.note("a stay of another source already uses the guest's identity on access system %s: this stay gets its own user identity, without the guest's address", d.SystemID)
	a.log.Warn("guest's identity already used by another source; the stay gets its own", "source", a.work.Reservation.Source, "reservation_id", a.work.Reservation.ReservationID,
		"acs_system_id", d.SystemID, "other_source", holder.Source, "other_reservation_id", holder.ReservationID)
}

// isStillThere reports whether the first of some listed ACS users is there when it is asked for on its own: lists may
// show for a while what has been deleted.
func (a *attempt) isStillThere(ctx context.Context, listed []seam.ACSUser) (bool, outcome) {
	if len(listed) == 0 {
		return false, outcome{}
	}
	from, err := a.seam.ACSUser(a.because(ctx, "whether the listed ACS user is still there"), listed[0].ACSUserID)
	if seam.KindOf(err) == seam.NotFound {
		return false, outcome{}
	}
	return err == nil && !isGone(from), fails(err)
}

// leavePlace gives up a place that turned out to be somebody else's. What a lost create may have made there is
// still looked for.
func (a *attempt) leavePlace(ctx context.Context, i int) outcome {
	u := &a.users[i]
	a.notGuest = true
	if u.MayExist() {
		u.SetAside(a.now())
		if out := a.save(ctx, u); out.stops() {
			return out
		}
		return again()
	}
	return a.forgetPlace(ctx, i, nil)
}

// identityGone follows Seam not having a row's identity any more. What was linked to it went with it.
func (a *attempt) identityGone(ctx context.Context, i int) outcome {
	u := &a.users[i]
	gone, out := a.isIdentityGone(ctx, u)
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
		identity.ID, identity.LostAt = nil, nil
	}
	return a.forgetPlace(ctx, i, &identity)
}

func (a *attempt) forgetPlace(ctx context.Context, i int, identity *store.UserIdentity) outcome {
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

// makeRoom sees off an ACS user that is being deleted where a new one will take the same place: the guest's
// identity should not be passed over for it, for as long as the guest can wait.
func (a *attempt) makeRoom(ctx context.Context, d plan.Desired) outcome {
	if d.Goal != plan.Have || !d.WithFirstKeyWaiting(a.users).Create {
		return outcome{}
	}
	if i := a.standing(d); i >= 0 && (a.users[i].ACSUserID != nil || a.claimed[a.users[i].ID]) {
		return outcome{}
	}
	for i := range a.users {
		u := a.users[i]
		if u.Phase() != record.Removing || u.ACSSystemID != d.SystemID || u.GuestKey != d.GuestKey {
			continue
		}
		deletedAt := *u.DeletedAt
		out := a.seeOff(ctx, d, &a.users[i])
		if (out.kind == waiting || out.kind == needsPerson || out.kind == unclear) && !a.canWait(d, deletedAt) {
			continue
		}
		if out.stops() {
			return out
		}
	}
	return outcome{}
}
