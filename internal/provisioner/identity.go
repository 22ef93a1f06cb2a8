package provisioner

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/provisioner/plan"
	"github.com/staykey/staykey/internal/provisioner/record"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/store"
)

// User identities: the guest's, whose key is an HMAC of the address, and a reservation's own, for stays that can't
// use the guest's. Their keys are unique at Seam: a repeated create conflicts, and the existing identity is found.

// candidate is an identity that a new ACS user may be linked to.
type candidate struct {
	store.UserIdentity
	fresh  bool // created just now: it can't have an ACS user yet
	usable bool
}

// guestIdentity returns the identity of the guest's address: a known one, one that we create, or one that somebody
// else created. It is not usable if the address can't be used.
func (a *attempt) guestIdentity(ctx context.Context, d plan.Desired) (candidate, outcome) {
	c, out := a.knownIdentity(ctx, d.GuestKey, false)
	if out.stops() {
		return c, out
	}
	if c.ID != nil {
		if out := a.verifyGuest(ctx, d, &c); out.stops() || c.ID != nil {
			return c, out
		}
	}
	out, refusal := a.makeIdentity(ctx, &c, seam.CreateUserIdentity{Key: d.GuestKey, EmailAddress: d.Email})
	if refusal == nil || out.stops() {
		return c, out
	}
	// The key or the address exists already, or Seam rejects the address.
	return c, a.existingGuest(ctx, d, &c)
}

// verifyGuest makes sure that a known identity is still the guest's: somebody may have given it another address, or
// merged it into another identity. A deleted one is forgotten.
func (a *attempt) verifyGuest(ctx context.Context, d plan.Desired, c *candidate) outcome {
	is, err := a.seam.UserIdentity(a.because(ctx, "whether the user identity is still the guest's"), *c.ID)
	switch {
	case seam.KindOf(err) == seam.NotFound:
		return a.forgetIdentity(ctx, c)
	case err != nil:
		return fails(err)
	case is.EmailAddress != "" && !sameAddress(is.EmailAddress, d.Email):
		a.note("user identity %s has another e-mail address now and is not used", *c.ID)
		c.usable = false
		return outcome{}
	case is.UserIdentityID != *c.ID:
		a.note("user identity %s was merged into %s", *c.ID, is.UserIdentityID)
		c.ID, c.Made = &is.UserIdentityID, is.Key == c.Key
		c.usable = true
		return a.saveIdentity(ctx, c.UserIdentity)
	}
	c.usable = true
	return outcome{}
}

// existingGuest finds the identity that made Seam refuse ours: by our key, or else by the guest's exact address.
func (a *attempt) existingGuest(ctx context.Context, d plan.Desired, c *candidate) outcome {
	ctx = a.because(ctx, "who has the guest's user identity")
	byKey, err := a.seam.UserIdentityByKey(ctx, d.GuestKey)
	switch {
	case err == nil && byKey.EmailAddress != "" && !sameAddress(byKey.EmailAddress, d.Email):
		a.note("the user identity with our key has another e-mail address now and is left unchanged")
		return outcome{}
	case err == nil:
		c.take(byKey.UserIdentityID, true)
		return outcome{}
	case seam.KindOf(err) != seam.NotFound:
		return fails(err)
	}
	list, err := a.seam.SearchUserIdentities(ctx, d.Email)
	if err != nil {
		return fails(err)
	}
	for _, other := range list {
		if sameAddress(other.EmailAddress, d.Email) {
			c.take(other.UserIdentityID, other.Key == d.GuestKey)
			a.note("user identity %s, which has this address already, is linked", other.UserIdentityID)
			return outcome{}
		}
	}
	return a.unseenIdentity(ctx, c)
}

// sameAddress compares addresses in any case. Letters that only fold to the same letter, such as ſ and s, are
// different: the other address may be somebody else's.
func sameAddress(a, b string) bool {
	a, b = strings.TrimSpace(a), strings.TrimSpace(b)
	//lint:ignore SA6005 EqualFold equates letters that only fold to the same
	return strings.ToLower(a) == strings.ToLower(b) && strings.ToUpper(a) == strings.ToUpper(b)
}

// isKeyOf reports whether an identity key was made from an address. One that only folds to that address belongs to
// another person.
func (a *attempt) isKeyOf(key, address string) bool {
	guest := pms.GuestAddress(address)
	return guest != "" && a.guestKey(guest) == key && sameAddress(address, guest)
}

func (c *candidate) take(id string, made bool) {
	c.ID, c.Made, c.LostAt, c.usable = &id, made, nil, true
}

// ownIdentity returns the reservation's nth own identity.
func (a *attempt) ownIdentity(ctx context.Context, n int) (candidate, outcome) {
	return a.ownIdentityOf(ctx, a.ownKey(a.work.Reservation.Ref(), n))
}

func (a *attempt) ownIdentityOf(ctx context.Context, key string) (candidate, outcome) {
	c, out := a.knownIdentity(ctx, key, true)
	if out.stops() || c.ID != nil {
		c.usable = true
		return c, out
	}
	out, refusal := a.makeIdentity(a.because(ctx, "the guest's own user identity can't be used for this stay"), &c, seam.CreateUserIdentity{Key: key})
	if refusal == nil || out.stops() {
		return c, out
	}
	byKey, err := a.seam.UserIdentityByKey(a.because(ctx, "whether the reservation's own user identity exists"), key)
	switch {
	case err == nil:
		c.take(byKey.UserIdentityID, true)
		return c, outcome{}
	case seam.KindOf(err) != seam.NotFound:
		return c, fails(err)
	}
	if out := a.unseenIdentity(ctx, &c); out.stops() {
		return c, out
	}
	return c, fails(refusal)
}

// unseenIdentity handles a create that was refused although no look-up shows why. Reads may lag: that counts only
// after the grace.
func (a *attempt) unseenIdentity(ctx context.Context, c *candidate) outcome {
	if c.LostAt == nil {
		now := a.now()
		c.LostAt = &now
		if out := a.saveIdentity(ctx, c.UserIdentity); out.stops() {
			return out
		}
	}
	if until := a.belief().countsFrom(*c.LostAt); a.tooEarly(until) {
		return wait(until, "Seam refuses a user identity that it doesn't show yet")
	}
	return outcome{}
}

func (a *attempt) knownIdentity(ctx context.Context, key string, own bool) (candidate, outcome) {
	identity, err := a.store.UserIdentity(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return candidate{UserIdentity: store.UserIdentity{Key: key, Own: own, CreatedAt: a.now()}}, outcome{}
	}
	return candidate{UserIdentity: identity}, fails(err)
}

// makeIdentity marks and creates an identity. refusal is Seam's answer if it refused, nil if the identity was
// created.
func (a *attempt) makeIdentity(ctx context.Context, c *candidate, in seam.CreateUserIdentity) (out outcome, refusal error) {
	c.Made = true
	if out := a.saveIdentity(ctx, c.UserIdentity); out.stops() {
		return out, nil
	}
	a.changes++
	created, err := a.seam.CreateUserIdentity(a.because(ctx, "the guest needs a user identity"), in)
	switch seam.KindOf(err) {
	case 0:
		c.take(created.UserIdentityID, true)
		c.fresh = true
		return fails(err), nil
	case seam.Invalid, seam.NotFound:
		return outcome{}, err
	default:
		return fails(err), nil
	}
}

func (a *attempt) saveIdentity(ctx context.Context, identity store.UserIdentity) outcome {
	return a.commit(ctx, func(ctx context.Context, tx pgx.Tx, _ bool) error { return store.SaveUserIdentity(ctx, tx, identity) })
}

// forgetIdentity handles an identity that Seam reports as gone.
func (a *attempt) forgetIdentity(ctx context.Context, c *candidate) outcome {
	a.note("user identity %s is gone from Seam", deref(c.ID))
	c.ID, c.LostAt = nil, nil
	return a.saveIdentity(ctx, c.UserIdentity)
}

// isIdentityGone asks Seam for a row's identity alone, and reports whether it no longer exists.
func (a *attempt) isIdentityGone(ctx context.Context, u *record.User) (bool, outcome) {
	_, err := a.seam.UserIdentity(a.because(ctx, "whether the user identity still exists"), u.UserIdentityID)
	switch {
	case err == nil:
		return false, outcome{}
	case seam.KindOf(err) == seam.NotFound:
		return true, outcome{}
	default:
		return false, fails(err)
	}
}

// isMergedInto reports whether a row's identity was merged into another one at Seam, and follows it: from then on,
// answers carry the survivor's id.
func (a *attempt) isMergedInto(ctx context.Context, u *record.User, other string) (bool, outcome) {
	survivor, known := a.survivors[u.UserIdentityID]
	if !known {
		is, err := a.seam.UserIdentity(a.because(ctx, "whether the user identity was merged into another"), u.UserIdentityID)
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
	identity.ID, identity.Made = &survivor, false // it may be somebody else's: it is never deleted
	u.UserIdentityID = survivor
	out := a.commit(ctx, func(ctx context.Context, tx pgx.Tx, _ bool) error {
		if err := store.SaveUserIdentity(ctx, tx, identity); err != nil {
			return err
		}
		return store.SaveACSUser(ctx, tx, u.ACSUser)
	})
	if errors.Is(out.err, store.ErrHeld) {
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

// removeOwnIdentity deletes the identity of an ACS user that is gone, if it is the reservation's own and nothing else
// is linked to it. It reports whether the identity can be forgotten.
func (a *attempt) removeOwnIdentity(ctx context.Context, u *record.User) (bool, outcome) {
	identity, err := a.store.UserIdentity(ctx, u.UserIdentityKey)
	if errors.Is(err, store.ErrNotFound) {
		return false, outcome{}
	}
	if err != nil || !identity.Own || !identity.Made {
		return false, fails(err)
	}
	if slices.ContainsFunc(a.users, func(x record.User) bool { return x.ID != u.ID && x.UserIdentityKey == u.UserIdentityKey }) {
		return false, outcome{}
	}
	return a.deleteIdentity(ctx, identity, u)
}

// deleteIdentity deletes an own identity that nothing is linked to; deleting it would delete linked ACS users, too. u
// is the last one that was linked; nil for none.
func (a *attempt) deleteIdentity(ctx context.Context, identity store.UserIdentity, u *record.User) (forget bool, out outcome) {
	if identity.ID == nil {
		return true, outcome{}
	}
	asking := a.because(ctx, "whether anything is linked to the reservation's own user identity")
	is, err := a.seam.UserIdentity(asking, *identity.ID)
	if seam.KindOf(err) == seam.NotFound {
		return true, outcome{}
	}
	if err != nil {
		return false, fails(err)
	}
	if is.UserIdentityID != *identity.ID {
		a.note("user identity %s was merged into %s, which is left alone", *identity.ID, is.UserIdentityID)
		return true, outcome{}
	}
	linked, err := a.linkedTo(asking, is)
	if err != nil {
		return false, fails(err)
	}
	if len(linked) > 0 {
		if u != nil && u.DeletedAt != nil {
			if until := a.belief().countsFrom(*u.DeletedAt); a.tooEarly(until) {
				return false, wait(until, "Seam still shows something linked to the user identity")
			}
		}
		a.note("user identity %s is kept: somebody linked another ACS user to it", *identity.ID)
		return false, outcome{}
	}
	// The lease must still be ours: anything that another worker has linked since would be deleted, too.
	if out := a.commit(ctx, func(context.Context, pgx.Tx, bool) error { return nil }); out.stops() {
		return false, out
	}
	a.changes++
	err = unlessGone(a.seam.DeleteUserIdentity(a.because(ctx, "nothing is linked to the reservation's own user identity any more"), *identity.ID))
	return err == nil, fails(err)
}

// linkedTo returns the ids of the ACS users that are linked to an identity and are not being deleted: those that Seam
// lists, and those that the identity itself names. Deleting an identity deletes them too, and a list may be
// incomplete.
func (p *Provisioner) linkedTo(ctx context.Context, identity seam.UserIdentity) ([]string, error) {
	listed, err := p.seam.ACSUsersOfIdentity(ctx, identity.UserIdentityID)
	if err != nil && seam.KindOf(err) != seam.NotFound {
		return nil, err
	}
	var linked []string
	seen := map[string]bool{}
	for _, u := range listed {
		if seen[u.ACSUserID] = true; !u.BeingDeleted() {
			linked = append(linked, u.ACSUserID)
		}
	}
	for _, id := range identity.ACSUserIDs {
		if seen[id] {
			continue
		}
		switch u, err := p.seam.ACSUser(ctx, id); {
		case err == nil && !u.BeingDeleted():
			linked = append(linked, id)
		case err != nil && seam.KindOf(err) != seam.NotFound:
			return nil, err
		}
	}
	return linked, nil
}

// removeStrays deletes the reservation's own identities that never got an ACS user.
func (a *attempt) removeStrays(ctx context.Context) outcome {
	keys := make([]string, ownIdentities)
	for n := range keys {
		keys[n] = a.ownKey(a.work.Reservation.Ref(), n)
	}
	strays, err := a.store.UserIdentities(ctx, keys)
	if err != nil {
		return fails(err)
	}
	for _, identity := range strays {
		if out := a.removeStray(ctx, identity); out.stops() {
			return out
		}
	}
	return outcome{}
}

func (a *attempt) removeStray(ctx context.Context, identity store.UserIdentity) outcome {
	if identity.ID == nil {
		byKey, err := a.seam.UserIdentityByKey(a.because(ctx, "whether a create without an answer made a user identity"), identity.Key)
		until := a.belief().identitySettles(identity.CreatedAt)
		switch {
		case err == nil:
			identity.ID = &byKey.UserIdentityID
		case seam.KindOf(err) != seam.NotFound:
			return fails(err)
		case a.tooEarly(until):
			return wait(until, "A user identity may still show up")
		}
	}
	forget, out := a.deleteIdentity(ctx, identity, nil)
	if out.stops() || !forget {
		return out
	}
	return a.commit(ctx, func(ctx context.Context, tx pgx.Tx, _ bool) error {
		return store.DeleteUserIdentity(ctx, tx, identity.Key)
	})
}

// unlessGone treats a 404 on a delete as success.
func unlessGone(err error) error {
	if seam.KindOf(err) == seam.NotFound {
		return nil
	}
	return err
}
