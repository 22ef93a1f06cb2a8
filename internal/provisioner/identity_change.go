package provisioner

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/provisioner/plan"
	"github.com/staykey/staykey/internal/provisioner/record"
	"github.com/staykey/staykey/internal/provisioner/rows"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/store"
)

// Changes of a user identity at Seam while an ACS user of ours is linked to it: it may be deleted, or merged into
// another.

// read returns an identity, or what it was merged into. One that a get by id doesn't find is asked for by its key, too:
// after one wrong 404, a key would be linked to an identity that may have become somebody else's.
func (r *identities) read(ctx context.Context, id, key string) (seam.UserIdentity, error) {
	is, notFound := r.seam.UserIdentity(ctx, id)
	if seam.KindOf(notFound) != seam.NotFound {
		return is, notFound
	}
	is, err := r.seam.UserIdentityByKey(ctx, key)
	if err == nil && is.Key == key && is.UserIdentityID != id {
		return is, notFound // another one has the key as its own, so this one is gone
	}
	return is, err
}

// isGone asks Seam for a row's identity alone, and reports whether it no longer exists.
func (r *identities) isGone(ctx context.Context, u *record.User) (gone bool, out outcome) {
	gone, _, out = r.goneOrReplaced(ctx, u)
	return gone, out
}

// goneOrReplaced reports whether a row's identity no longer exists: its id is not known, and its key either isn't known
// either, or belongs to another identity, the holder.
func (r *identities) goneOrReplaced(ctx context.Context, u *record.User) (gone bool, holder *string, out outcome) {
	_, err := r.seam.UserIdentity(r.ledger.because(ctx, "whether the user identity still exists"), u.UserIdentityID)
	switch {
	case err == nil:
		return false, nil, outcome{}
	case seam.KindOf(err) == seam.NotFound:
		return r.isKeyFree(ctx, u.UserIdentityKey, u.UserIdentityID)
	default:
		return false, nil, fails(err)
	}
}

// isKeyFree reports whether the identity of an id doesn't have one of our keys any more. It is asked when a get by id
// has not found that identity: a second answer, by another way. Keys are unique, so it doesn't exist either if another
// one, the holder, has the key as its own. One into which it was merged is no holder: the get by id should have found
// that one.
func (r *identities) isKeyFree(ctx context.Context, key, id string) (free bool, holder *string, out outcome) {
	is, err := r.seam.UserIdentityByKey(r.ledger.because(ctx, "whether the user identity still exists"), key)
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
func (r *identities) isMergedInto(ctx context.Context, u *record.User, other string) (bool, outcome) {
	survivor, known := r.survivors[u.UserIdentityID]
	if !known {
		is, err := r.read(r.ledger.because(ctx, "whether the user identity was merged into another"), u.UserIdentityID,
			u.UserIdentityKey)
		switch {
		case err == nil:
			survivor = is.UserIdentityID
		case seam.KindOf(err) != seam.NotFound:
			return false, fails(err)
		}
		r.survivors[u.UserIdentityID] = survivor
	}
	if survivor != other || survivor == u.UserIdentityID {
		return false, outcome{}
	}
	if r.ledger.preview {
		return true, outcome{}
	}
	return true, r.followMerge(ctx, u, survivor)
}

// exists reports whether the identity of a row has its own id at Seam, as [identities.isMergedInto] has found.
func (r *identities) exists(u *record.User) bool {
	return r.survivors[u.UserIdentityID] == u.UserIdentityID
}

// followMerge replaces the merged identity by the survivor in the record. If another stay already has the survivor's
// slot, the row keeps the old id.
func (r *identities) followMerge(ctx context.Context, u *record.User, survivor string) outcome {
	row, err := r.store.UserIdentities.Get(ctx, u.UserIdentityKey)
	if err != nil {
		return fails(err)
	}
	identity := rows.Identity(row)
	r.ledger.note("user identity %s was merged into %s", u.UserIdentityID, survivor)
	merged := u.UserIdentityID
	identity.Merged(survivor, false) // it may be somebody else's: it is never deleted
	u.HasIdentity(survivor)
	out := r.ledger.commit(ctx, func(ctx context.Context, tx pgx.Tx, _ bool) error {
		if err := store.SaveUserIdentity(ctx, tx, rows.UserIdentity(identity)); err != nil {
			return err
		}
		return store.SaveACSUser(ctx, tx, rows.ACSUser(u.Row))
	})
	if errors.Is(out.err, store.ErrIDTaken) {
		u.HasIdentity(merged)
		return outcome{}
	}
	return out
}

// renew replaces an ACS user's identity that was deleted at Seam, by the guest's or by one of the stay's own.
// One that was created for an earlier guest counts as deleted: the address to create that guest's identity with is no
// longer known.
func (r *identities) renew(ctx context.Context, d plan.Desired, u *record.User) outcome {
	c, out := r.known(ctx, u.UserIdentityKey, u.UserIdentityKey != d.GuestKey)
	if out.stops() {
		return out
	}
	r.ledger.note("user identity %s is gone from Seam", u.UserIdentityID)
	if c.ID != nil && *c.ID == u.UserIdentityID {
		c.Gone(nil)
		if out := r.ledger.saveIdentity(ctx, c.Identity); out.stops() {
			return out
		}
	}
	switch {
	case u.UserIdentityKey == d.GuestKey:
		c, out = r.ofGuest(ctx, d)
	case u.HasGuestsIdentity():
		u.FoundGone(r.now())
		return firstOutcome(r.ledger.saveUser(ctx, u), again)
	default:
		c, out = r.ownOf(ctx, u.UserIdentityKey)
	}
	if out.stops() {
		return out
	}
	if !c.usable {
		return outcome{kind: failed, err: errors.New("no user identity can be used for the guest")}
	}
	u.HasIdentity(*c.ID)
	out = r.ledger.commit(ctx, func(ctx context.Context, tx pgx.Tx, _ bool) error {
		if err := store.SaveUserIdentity(ctx, tx, rows.UserIdentity(c.Identity)); err != nil {
			return err
		}
		return store.SaveACSUser(ctx, tx, rows.ACSUser(u.Row))
	})
	return firstOutcome(out, again)
}
