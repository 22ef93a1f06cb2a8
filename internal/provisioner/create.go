package provisioner

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/provisioner/plan"
	"github.com/staykey/staykey/internal/provisioner/record"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/store"
)

// createUser creates the ACS user of a slot that is ours. Seam has no idempotency keys: unless this attempt has
// created the identity, it looks first; a mark is committed before the call, and the id after it.
func (a *attempt) createUser(ctx context.Context, d plan.Desired, i int) outcome {
	u := &a.users[i]
	if out := a.verifySlot(ctx, d, i); out.stops() {
		return out
	}
	if !a.fresh[u.ID] {
		if out := a.lookBeforeCreate(ctx, d, i); out.stops() {
			return out
		}
	}
	if u.Phase() != record.Marked || !a.fresh[u.ID] {
		u.MarkCreate(d.Starts, d.Ends, d.Groups, a.now())
		if out := a.saveMark(ctx, u); out.stops() {
			return out
		}
	}
	a.fresh[u.ID] = false
	a.changes++
	started := a.now()
	made, err := a.seam.CreateACSUser(a.because(ctx, "the stay has no ACS user"), seam.CreateACSUser{
		ACSSystemID: u.ACSSystemID, UserIdentityID: u.UserIdentityID, FullName: d.FullName,
		AccessSchedule: seam.NewSchedule(d.Starts, d.Ends), ACSAccessGroupIDs: d.Groups,
	})
	switch seam.KindOf(err) {
	case 0:
		if err != nil {
			return fails(err)
		}
		return a.recordUser(ctx, d, i, made)
	case seam.Lost:
		u.CreateLost(a.belief().lostUntil(started, a.now()))
		a.noteLostCreate()
		if out := a.save(ctx, u); out.stops() {
			return out
		}
		return fails(err)
	default:
		return a.userRefused(ctx, d, i, err)
	}
}

// verifySlot makes sure that the identity of a slot that an earlier attempt claimed is still the guest's: somebody
// may have given it another address since. What a lost create has left there is looked for first.
func (a *attempt) verifySlot(ctx context.Context, d plan.Desired, i int) outcome {
	u := &a.users[i]
	if a.claimed[u.ID] || d.GuestKey == "" || u.UserIdentityKey != d.GuestKey {
		return outcome{}
	}
	is, err := a.seam.UserIdentity(a.because(ctx, "whether the user identity is still the guest's"), u.UserIdentityID)
	switch {
	case seam.KindOf(err) == seam.NotFound:
		return outcome{} // the create finds out
	case err != nil:
		return fails(err)
	case is.EmailAddress == "" || sameAddress(is.EmailAddress, d.Email):
		return outcome{}
	}
	a.note("user identity %s has another e-mail address now and is not used", u.UserIdentityID)
	return a.leaveSlot(ctx, i)
}

// lookBeforeCreate makes sure that the slot is free: an ACS user that an earlier create has left is adopted, and
// somebody else's is left alone.
func (a *attempt) lookBeforeCreate(ctx context.Context, d plan.Desired, i int) outcome {
	u := &a.users[i]
	found, others, out := a.find(a.because(ctx, "whether the identity has an ACS user on the access system"), u)
	switch {
	case out.kind == refused && seam.KindOf(out.err) == seam.NotFound:
		return a.identityGone(ctx, i)
	case out.stops():
		return out
	case len(found) > 0 && u.MarkedAt != nil:
		if out := a.adopt(ctx, d, u, found); out.stops() {
			return out
		}
		return again()
	case others || len(found) > 0:
		a.note("the user identity has an ACS user of somebody else on access system %s", u.ACSSystemID)
		return a.leaveSlot(ctx, i)
	}
	return outcome{}
}

// recordUser records the answer to a create, unless it is somebody else's user: some systems may return the ACS user
// that the identity already has.
func (a *attempt) recordUser(ctx context.Context, d plan.Desired, i int, made seam.ACSUser) outcome {
	u := &a.users[i]
	if !a.belief().isAnothers(made, u, d.FullName) {
		marked := *u
		now := a.now()
		u.Created(made.ACSUserID, d.Starts, d.Ends, d.Groups, now)
		u.ReadState(made, now)
		u.Settled = false
		out := a.commit(ctx, func(ctx context.Context, tx pgx.Tx, stale bool) error {
			if stale {
				u.UnmarkKey()
			}
			return store.SaveACSUser(ctx, tx, u.ACSUser)
		})
		if !errors.Is(out.err, store.ErrIDTaken) {
			return out
		}
		*u = marked
	}
	a.note("Seam answered with the ACS user of another stay: this one gets an identity of its own")
	u.Refused() // nothing was created
	return a.leaveSlot(ctx, i)
}

// userRefused finds out why Seam refused an ACS user, by looking at what exists. The row is restored to its state
// before the call: the mark of an earlier, lost create is kept.
func (a *attempt) userRefused(ctx context.Context, d plan.Desired, i int, cause error) outcome {
	u := &a.users[i]
	u.Refused()
	if out := a.save(ctx, u); out.stops() {
		return out
	}
	if kind := seam.KindOf(cause); kind != seam.Invalid && kind != seam.NotFound {
		return fails(cause)
	}
	switch kind := seam.TypeOf(cause); {
	case kind == "user_identity_not_found":
		return a.identityGone(ctx, i)
	case kind == "acs_system_not_found", seam.IsDisconnection(kind):
		return fails(cause)
	}
	if out := a.blameSystem(ctx, u, cause); out.stops() {
		return out
	}
	ours, others, out := a.find(a.because(ctx, "why Seam refused the ACS user"), u)
	if out.stops() {
		return out
	}
	if others && len(ours) == 0 {
		return a.leaveSlot(ctx, i)
	}
	return a.blameGroups(ctx, d, cause)
}

// blameSystem explains a refusal by the access system only if that is disconnected. Its other errors, a full site for
// instance, may have nothing to do with the refusal.
func (a *attempt) blameSystem(ctx context.Context, u *record.User, cause error) outcome {
	system, err := a.seam.System(a.because(ctx, "why Seam refused the ACS user"), u.ACSSystemID)
	if err != nil {
		return outcome{}
	}
	a.systemSeen(ctx, system)
	if code := system.Disconnected(); code != "" {
		api := new(seam.Error)
		if errors.As(cause, &api) {
			blamed := *api
			blamed.Type = code
			return fails(&blamed)
		}
	}
	return outcome{}
}

// blameGroups looks the listing's access groups up again, and plans again if they are not what was assumed.
func (a *attempt) blameGroups(ctx context.Context, d plan.Desired, cause error) outcome {
	before := fmt.Sprint(d.Groups, d.SystemID)
	a.directory.forget(a.work.Listing.Groups())
	after, out := a.desired(ctx)
	if out.stops() {
		return out
	}
	if fmt.Sprint(after.Groups, after.SystemID) != before {
		return again()
	}
	return fails(cause)
}

// createKey makes the mobile key of an ACS user.
func (a *attempt) createKey(ctx context.Context, d plan.Desired, u *record.User) outcome {
	// If this attempt created the user, the mark is already set: the user can't have a key yet.
	if !u.HasNewUsersMark() {
		keys, err := a.mobileKeys(a.because(ctx, "whether the ACS user has a mobile key"), u)
		if seam.KindOf(err) == seam.NotFound {
			return a.afterNotFound(ctx, d, u, err)
		}
		if err != nil {
			return fails(err)
		}
		if len(keys) > 0 {
			u.TakeKeys(keys)
			return a.save(ctx, u)
		}
		u.MarkKey(a.now())
		if out := a.saveMark(ctx, u); out.stops() {
			return out
		}
	}
	a.changes++
	started := a.now()
	made, err := a.seam.CreateCredential(a.because(ctx, "the ACS user has no mobile key"),
		seam.MobileKeyOf(*u.ACSUserID))
	switch {
	case err == nil:
		now := a.now()
		u.KeyCreated(made.ACSCredentialID, made.Problem(), now)
		a.options.Activity.Add(a.work.Reservation.Source, store.ActivityMade, now)
		return a.save(ctx, u)
	case seam.KindOf(err) == seam.Lost:
		u.KeyCreateLost(a.belief().lostUntil(started, a.now()))
		a.noteLostCreate()
	case u.HasNewUsersMark():
		u.UnmarkKey()
	default:
		u.Refused()
	}
	if out := a.save(ctx, u); out.stops() {
		return out
	}
	if seam.KindOf(err) == seam.NotFound {
		return a.afterNotFound(ctx, d, u, err)
	}
	return fails(err)
}
