package provisioner

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/provisioner/plan"
	"github.com/staykey/staykey/internal/provisioner/record"
	"github.com/staykey/staykey/internal/provisioner/rows"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// User identities: the guest's, whose key is an HMAC of the address, and a reservation's own, for stays that can't
// use the guest's. Their keys are unique at Seam: a repeated create conflicts, and the existing identity is found.

// identities finds, creates, follows and removes the user identities of one stay at Seam, and keeps their records. It
// neither chooses between them nor knows whether one is free on an access system: that is for [slots].
type identities struct {
	store       *store.Store
	seam        *seam.Client
	now         func() time.Time
	keys        identityKeys
	ledger      *ledger
	belief      belief
	users       *users
	reservation stay.Ref

	survivors map[string]string // user identities that were merged, and the surviving one
}

// candidate is an identity that a new ACS user may be linked to.
type candidate struct {
	record.Identity
	fresh  bool // created just now: it can't have an ACS user yet
	usable bool
}

// ofGuest returns the identity of the guest's address: a known one, one that we create, or one that somebody
// else created. It is not usable if the address can't be used.
func (r *identities) ofGuest(ctx context.Context, d plan.Desired) (candidate, outcome) {
	c, out := r.known(ctx, d.GuestKey, false)
	if out.stops() {
		return c, out
	}
	if c.ID != nil {
		if out := r.verifyGuest(ctx, d, &c); out.stops() || c.ID != nil {
			return c, out
		}
	}
	out, refusal := r.create(ctx, &c, seam.CreateUserIdentity{Key: d.GuestKey, EmailAddress: d.Email})
	if refusal == nil || out.stops() {
		return c, out
	}
	// The key or the address exists already, or Seam rejects the address.
	return c, r.existingGuest(ctx, d, &c)
}

// verifyGuest makes sure that a known identity is still the guest's: somebody may have given it another address, or
// merged it into another identity. One that was deleted is forgotten, and so is one with another address, unless it has
// our key.
func (r *identities) verifyGuest(ctx context.Context, d plan.Desired, c *candidate) outcome {
	is, err := r.read(r.ledger.because(ctx, "whether the user identity is still the guest's"), *c.ID, c.Key)
	switch {
	case seam.KindOf(err) == seam.NotFound:
		return r.forget(ctx, c)
	case err != nil:
		return fails(err)
	case is.EmailAddress != "" && !sameAddress(is.EmailAddress, d.Email):
		r.ledger.note("user identity %s has another e-mail address now and is not used", *c.ID)
		if c.MadeByUs && (is.Key == "" || is.Key == c.Key) {
			return outcome{} // it has our key, so no other can
		}
		c.Gone(nil) // it stays at Seam: another can have the guest's key and address
		return r.ledger.saveIdentity(ctx, c.Identity)
	case is.UserIdentityID != *c.ID:
		r.ledger.note("user identity %s was merged into %s", *c.ID, is.UserIdentityID)
		c.Merged(is.UserIdentityID, is.Key == c.Key)
		c.usable = true
		return r.ledger.saveIdentity(ctx, c.Identity)
	}
	c.usable = true
	return outcome{}
}

// existingGuest finds the identity that made Seam refuse ours: by our key, or else by the guest's exact address.
func (r *identities) existingGuest(ctx context.Context, d plan.Desired, c *candidate) outcome {
	ctx = r.ledger.because(ctx, "who has the guest's user identity")
	byKey, err := r.seam.UserIdentityByKey(ctx, d.GuestKey)
	switch {
	case err == nil && byKey.EmailAddress != "" && !sameAddress(byKey.EmailAddress, d.Email):
		r.ledger.note("the user identity with our key has another e-mail address now and is left unchanged")
		return outcome{}
	case err == nil:
		c.take(byKey.UserIdentityID, !slices.Contains(byKey.MergedKeys, d.GuestKey))
		return outcome{}
	case seam.KindOf(err) != seam.NotFound:
		return fails(err)
	}
	list, err := r.seam.SearchUserIdentities(ctx, d.Email)
	if err != nil {
		return fails(err)
	}
	for _, other := range list {
		if sameAddress(other.EmailAddress, d.Email) {
			c.take(other.UserIdentityID, other.Key == d.GuestKey)
			r.ledger.note("user identity %s, which has this address already, is linked", other.UserIdentityID)
			return outcome{}
		}
	}
	return r.unseen(ctx, c)
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
func (r *identities) isKeyOf(key, address string) bool {
	guest := pms.GuestAddress(address)
	return guest != "" && r.keys.guest(guest) == key && sameAddress(address, guest)
}

// take makes a candidate the identity that Seam has.
func (c *candidate) take(id string, made bool) {
	c.Is(id, made)
	c.usable = true
}

// own returns the reservation's nth own identity.
func (r *identities) own(ctx context.Context, n int) (candidate, outcome) {
	return r.ownOf(ctx, r.keys.own(r.reservation, n))
}

// ownOf returns the reservation's own identity with a key. It is found or created.
func (r *identities) ownOf(ctx context.Context, key string) (candidate, outcome) {
	c, out := r.known(ctx, key, true)
	if out.stops() || c.ID != nil {
		c.usable = true
		return c, out
	}
	out, refusal := r.create(r.ledger.because(ctx, "the guest's own user identity can't be used for this stay"), &c,
		seam.CreateUserIdentity{Key: key})
	if refusal == nil || out.stops() {
		return c, out
	}
	asking := r.ledger.because(ctx, "whether the reservation's own user identity exists")
	byKey, err := r.seam.UserIdentityByKey(asking, key)
	switch {
	case err == nil:
		c.take(byKey.UserIdentityID, !slices.Contains(byKey.MergedKeys, key))
		return c, outcome{}
	case seam.KindOf(err) != seam.NotFound:
		return c, fails(err)
	}
	if out := r.unseen(ctx, &c); out.stops() {
		return c, out
	}
	return c, fails(refusal)
}

// unseen handles a create that was refused although no look-up shows why. Reads may lag: that counts only
// after the read lag.
func (r *identities) unseen(ctx context.Context, c *candidate) outcome {
	if c.LostAt == nil {
		c.Unseen(r.now())
		if out := r.ledger.saveIdentity(ctx, c.Identity); out.stops() {
			return out
		}
	}
	if until := r.belief.countsFrom(*c.LostAt); r.belief.tooEarly(until) {
		return wait(until, "Seam refuses a user identity that it doesn't show yet")
	}
	return outcome{}
}

// known returns what is recorded of the identity with a key: a new record if nothing is.
func (r *identities) known(ctx context.Context, key string, own bool) (candidate, outcome) {
	identity, err := r.store.UserIdentities.Get(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return candidate{Identity: record.NewIdentity(key, own, r.now())}, outcome{}
	}
	return candidate{Identity: rows.Identity(identity)}, fails(err)
}

// create marks and creates an identity. refusal is Seam's answer if it refused, nil if the identity was
// created.
func (r *identities) create(ctx context.Context, c *candidate, in seam.CreateUserIdentity) (out outcome,
	refusal error,
) {
	c.Create(r.now())
	if out := r.ledger.saveIdentity(ctx, c.Identity); out.stops() {
		return out, nil
	}
	r.ledger.changes++
	created, err := r.seam.CreateUserIdentity(r.ledger.because(ctx, "the guest needs a user identity"), in)
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

// forget handles an identity that Seam reports as gone.
func (r *identities) forget(ctx context.Context, c *candidate) outcome {
	r.ledger.note("user identity %s is gone from Seam", stay.Text(c.ID))
	c.Gone(nil)
	return r.ledger.saveIdentity(ctx, c.Identity)
}
