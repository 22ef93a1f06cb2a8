package provisioner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// ErrAddress means that the given text is not one whole e-mail address.
var ErrAddress = errors.New("must be one whole e-mail address")

// EraseGuest removes what we hold about a guest, and at Seam what we created for the guest and nobody else uses.
// Nothing is erased while a stay of the guest lasts, anything of one is left at Seam, or an event about the guest is
// being applied. It may be repeated. It returns [ErrAddress] if the address is not one whole e-mail address.
func (p *Provisioner) EraseGuest(ctx context.Context, address string, audit store.Audit) (stay.Erasure, error) {
	e := eraser{store: p.store, seam: p.seam, now: p.now, keys: p.keys, lag: p.options.ReadLag}
	return e.erase(ctx, address, audit)
}

// eraser removes what is known about one guest, here and at Seam.
type eraser struct {
	store *store.Store
	seam  *seam.Client
	now   func() time.Time
	keys  identityKeys
	lag   time.Duration // how long Seam's reads may lag its writes
}

// erase does what [Provisioner.EraseGuest] promises.
func (e *eraser) erase(ctx context.Context, address string, audit store.Audit) (stay.Erasure, error) {
	var done stay.Erasure
	mentions, ok := pms.MentionsOf(address)
	if !ok {
		return done, ErrAddress
	}
	over, live, err := e.store.Erasure.StaysOf(ctx, mentions.Address(), e.now())
	if err != nil {
		return done, err
	}
	if done.Live = live; len(live) > 0 {
		return done, nil
	}
	erasing := store.Erasing{Address: address, Stays: over, Audit: audit}
	err = e.store.Erasure.EachContent(ctx, func(c store.EventContent) {
		switch {
		case !mentions.In(c.Body) && !mentions.In(c.Request) && !mentions.In(c.Documents):
		case c.Stage == store.EventQueued:
			done.Unsettled++
		case c.Stage == store.EventFetching:
			erasing.Fetching = append(erasing.Fetching, c.EventID)
		default:
			erasing.Settled = append(erasing.Settled, c.EventID)
		}
	})
	if err != nil || done.Unsettled > 0 {
		return done, err
	}
	// Seam first: if it fails, what names the guest here is still there for the next try.
	known := false
	if done.Identity, known, err = e.eraseIdentity(ctx, pms.GuestAddress(mentions.Address())); err != nil {
		return done, err
	}
	// The audit log identifies the guest without naming them: anyone who has the address can compute the key.
	subject := e.keys.guest(mentions.Address())
	erasing.Audit.Subject, erasing.Now = &subject, e.now()
	done.Reservations = len(over)
	done.Bodies, done.Waiting, err = e.store.Erasure.Erase(ctx, erasing)
	done.Found = known || len(over)+len(erasing.Settled)+len(erasing.Fetching) > 0
	return done, err
}

// eraseIdentity deletes the user identity that we created for an address, unless something is linked to it. Meanwhile
// no stay may take the identity: Seam deletes everything that is linked to an identity with it. known reports whether
// there was one.
func (e *eraser) eraseIdentity(ctx context.Context, address string) (what string, known bool, err error) {
	if address == "" {
		return "no user identity was created for this address: it is a relay address, or not an address", false, nil
	}

	key := e.keys.guest(address)
	recorded, err := e.store.UserIdentities.Get(ctx, key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return "", false, err
	}
	known = err == nil

	free, earlier, err := e.store.UserIdentities.BeginErasing(ctx, key, e.now())
	if err != nil {
		return "", false, err
	}
	if !free {
		return "the guest's user identity is kept: a stay uses it", true, nil
	}

	done := deletion{
		gone: true, found: true,
		what: "the guest's user identity was created by somebody else and is left alone",
	}
	if !known || recorded.MadeByUs {
		done, err = e.deleteGuest(ctx, key, address)
	}
	if done.lost { // it may still take effect: the mark stays
		return done.what, true, err
	}
	gone := done.gone && err == nil
	if ended := e.store.UserIdentities.EndErasing(context.WithoutCancel(ctx), key, gone, earlier); ended != nil {
		err = errors.Join(err, ended)
	}

	return done.what, known || done.found, err
}

// deletion is how an attempt to delete a user identity at Seam ended.
type deletion struct {
	found bool // it existed
	gone  bool // it no longer does
	lost  bool // the answer to its delete was lost
	what  string
}

// deleteGuest deletes the user identity with a key at Seam.
func (e *eraser) deleteGuest(ctx context.Context, key, address string) (deletion, error) {
	began := e.now()
	at, found, err := e.findGuest(ctx, key, address) // even if retention has removed our row
	switch {
	case err != nil:
		return deletion{}, fmt.Errorf("ask Seam for the guest's user identity: %w", err)
	case !found:
		return deletion{gone: true, what: "Seam has no user identity for the guest"}, nil
	}

	linked, err := linkedTo(ctx, e.seam, at)
	if err != nil {
		return deletion{}, fmt.Errorf("ask Seam what is linked to the guest's user identity: %w", err)
	}
	if n := len(linked); n > 0 {
		return deletion{found: true, what: fmt.Sprintf("user identity %s is kept: %d ACS users that are not ours are "+
			"linked to it", at.UserIdentityID, n)}, nil
	}
	if e.now().Add(e.seam.Timeout() + e.lag).After(began.Add(store.EraseWithin)) {
		return deletion{found: true}, errors.New("the answer of Seam came too late: run the erasure again")
	}

	err = e.seam.DeleteUserIdentity(ctx, at.UserIdentityID)
	switch seam.KindOf(err) {
	case seam.Lost:
		return deletion{found: true, lost: true}, fmt.Errorf("delete the guest's user identity: "+
			"erase the guest again: %w", err)
	case seam.NotFound:
		return deletion{found: true}, fmt.Errorf("delete the guest's user identity, which Seam has just shown: "+
			"erase the guest again: %w", err)
	}
	if err != nil {
		return deletion{found: true}, fmt.Errorf("delete the guest's user identity: %w", err)
	}
	return deletion{found: true, gone: true, what: "user identity " + at.UserIdentityID + " is deleted"}, nil
}

// findGuest asks Seam for the user identity that we created for an address: by its key and, because one wrong answer
// would leave the guest's address there, by the address.
func (e *eraser) findGuest(ctx context.Context, key, address string) (is seam.UserIdentity, found bool,
	err error,
) {
	is, err = e.seam.UserIdentityByKey(ctx, key)
	if seam.KindOf(err) != seam.NotFound {
		return is, err == nil, err
	}
	list, err := e.seam.SearchUserIdentities(ctx, address)
	if err != nil {
		return is, false, err
	}
	i := slices.IndexFunc(list, func(other seam.UserIdentity) bool { return other.Key == key })
	if i < 0 {
		return is, false, nil
	}
	return list[i], true, nil
}
