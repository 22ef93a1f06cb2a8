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

// Changes of a user identity at Seam while an ACS user of ours is linked to it: it may be deleted, or merged into
// another.

// isIdentityGone asks Seam for a row's identity alone, and reports whether it no longer exists: its id is not known,
// and its key either isn't, or belongs to another one, the holder.
func (a *attempt) isIdentityGone(ctx context.Context, u *record.User) (gone bool, holder *string, out outcome) {
	_, err := a.seam.UserIdentity(a.because(ctx, "whether the user identity still exists"), u.UserIdentityID)
	switch {
	case err == nil:
		return false, nil, outcome{}
	case seam.KindOf(err) == seam.NotFound:
		return a.isKeyFree(ctx, u.UserIdentityKey, u.UserIdentityID)
	default:
		return false, nil, fails(err)
	}
}

// isKeyFree reports whether the identity of an id doesn't have one of our keys any more. It is asked when a get by id
// has not found that identity: a second answer, by another way. Keys are unique, so it doesn't exist either if another
// one, the holder, has the key as its own. One into which it was merged is no holder: the get by id should have found
// that one.
func (a *attempt) isKeyFree(ctx context.Context, key, id string) (free bool, holder *string, out outcome) {
	is, err := a.seam.UserIdentityByKey(a.because(ctx, "whether the user identity still exists"), key)
	switch {
	case seam.KindOf(err) == seam.NotFound:
		return true, nil, outcome{}
	case err != nil:
		return false, nil, fails(err)
	case is.Key == key && is.UserIdentityID != id:
		return true, &is.UserIdentityID, outcome{}
	}
	return false, nil, outcome{}
}

// isMergedInto reports whether a row's identity was merged into another one at Seam, and follows it: from then on,
// answers carry the survivor's id.
func (a *attempt) isMergedInto(ctx context.Context, u *record.User, other string) (bool, outcome) {
	survivor, known := a.survivors[u.UserIdentityID]
	if !known {
		is, err := a.seam.UserIdentity(a.because(ctx, "whether the user identity was merged into another"),
			u.UserIdentityID)
		switch {
		case err == nil:
			survivor = is.UserIdentityID
		case seam.KindOf(err) != seam.NotFound:
			return false, fails(err)
		}
		a.survivors[u.UserIdentityID] = survivor
	}
	if survivor != other || survivor == u.UserIdentityID {
		return false, outcome{}
	}
	if a.preview {
		return true, outcome{}
	}
	return true, a.followMerge(ctx, u, survivor)
}

// followMerge replaces the merged identity by the survivor in the record. If another stay already has the survivor's
// slot, the row keeps the old id.
func (a *attempt) followMerge(ctx context.Context, u *record.User, survivor string) outcome {
	identity, err := a.store.UserIdentity(ctx, u.UserIdentityKey)
	if err != nil {
		return fails(err)
	}
	a.note("user identity %s was merged into %s", u.UserIdentityID, survivor)
	merged := u.UserIdentityID
	identity.ID, identity.MadeByUs = &survivor, false // it may be somebody else's: it is never deleted
	u.UserIdentityID = survivor
	out := a.commit(ctx, func(ctx context.Context, tx pgx.Tx, _ bool) error {
		if err := store.SaveUserIdentity(ctx, tx, identity); err != nil {
			return err
		}
		return store.SaveACSUser(ctx, tx, u.ACSUser)
	})
	if errors.Is(out.err, store.ErrIDTaken) {
		u.UserIdentityID = merged
		return outcome{}
	}
	return out
}

// renewIdentity replaces an ACS user's identity that was deleted at Seam, by the guest's or by one of the stay's own.
// One that was created for an earlier guest counts as deleted: the address to create that guest's identity with is no
// longer known.
func (a *attempt) renewIdentity(ctx context.Context, d plan.Desired, u *record.User) outcome {
	c, out := a.knownIdentity(ctx, u.UserIdentityKey, u.UserIdentityKey != d.GuestKey)
	if out.stops() {
		return out
	}
	a.note("user identity %s is gone from Seam", u.UserIdentityID)
	if c.ID != nil && *c.ID == u.UserIdentityID {
		c.ID, c.LostAt = nil, nil
		if out := a.saveIdentity(ctx, c.UserIdentity); out.stops() {
			return out
		}
	}
	switch {
	case u.UserIdentityKey == d.GuestKey:
		c, out = a.guestIdentity(ctx, d)
	case u.HasGuestsIdentity():
		u.FoundGone(a.now())
		return firstOutcome(a.save(ctx, u), again)
	default:
		c, out = a.ownIdentityOf(ctx, u.UserIdentityKey)
	}
	if out.stops() {
		return out
	}
	if !c.usable {
		return outcome{kind: failed, err: errors.New("no user identity can be used for the guest")}
	}
	u.UserIdentityID = *c.ID
	out = a.commit(ctx, func(ctx context.Context, tx pgx.Tx, _ bool) error {
		if err := store.SaveUserIdentity(ctx, tx, c.UserIdentity); err != nil {
			return err
		}
		return store.SaveACSUser(ctx, tx, u.ACSUser)
	})
	return firstOutcome(out, again)
}
