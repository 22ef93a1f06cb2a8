package provisioner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/store"
)

// Erasure is what erasing a guest came to.
type Erasure struct {
	Reservations int         // whose guest's data was removed
	Bodies       int         // raw bodies that were removed beside theirs
	Live         []store.Ref // stays that are not over: then nothing is erased
	Identity     string      // what became of the guest's user identity at Seam
}

// EraseGuest removes what we hold of a guest, and at Seam what we made for the guest and nobody else uses. While a stay of the
// guest's lasts, or anything of one is left at Seam, nothing is erased. It may be repeated.
func (p *Provisioner) EraseGuest(ctx context.Context, address string, audit store.Audit) (Erasure, error) {
	var e Erasure
	address = strings.TrimSpace(address)
	over, live, err := p.store.GuestStays(ctx, address, p.now())
	if err != nil {
		return e, err
	}
	if e.Live = live; len(live) > 0 {
		return e, nil
	}
	// Seam first: should it fail, what names the guest here is still there for the next try.
	if e.Identity, err = p.eraseIdentity(ctx, pms.GuestAddress(address)); err != nil {
		return e, err
	}
	if err := p.store.EraseStays(ctx, over, audit, p.now()); err != nil {
		return e, err
	}
	e.Reservations = len(over)
	e.Bodies, err = p.store.EraseBodies(ctx, address)
	return e, err
}

// eraseIdentity deletes the user identity that we made for an address, unless something is linked to it.
func (p *Provisioner) eraseIdentity(ctx context.Context, address string) (string, error) {
	if address == "" {
		return "the address is a relay's or none: no user identity was made for it", nil
	}
	key := p.guestKey(address)
	known, err := p.store.UserIdentity(ctx, key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return "", err
	}
	if err == nil && !known.Made {
		if err := p.store.DeleteUserIdentity(ctx, key); err != nil {
			return "", err
		}
		return "the guest's user identity was made by somebody else, and is left alone", nil
	}
	at, err := p.seam.UserIdentityByKey(ctx, key) // also where our row was removed by its age
	switch {
	case seam.KindOf(err) == seam.NotFound:
		return "there is no user identity of the guest at Seam", p.store.DeleteUserIdentity(ctx, key)
	case err != nil:
		return "", fmt.Errorf("ask Seam for the guest's user identity: %w", err)
	}
	linked, err := p.seam.ACSUsersOfIdentity(ctx, at.UserIdentityID)
	if err != nil && seam.KindOf(err) != seam.NotFound {
		return "", fmt.Errorf("ask Seam what is linked to the guest's user identity: %w", err)
	}
	if n := len(slices.DeleteFunc(linked, seam.ACSUser.BeingDeleted)); n > 0 {
		return fmt.Sprintf("user identity %s stays: %d ACS users that are not ours are linked to it", at.UserIdentityID, n), nil
	}
	if err := unlessGone(p.seam.DeleteUserIdentity(ctx, at.UserIdentityID)); err != nil {
		return "", fmt.Errorf("delete the guest's user identity: %w", err)
	}
	return "user identity " + at.UserIdentityID + " is deleted", p.store.DeleteUserIdentity(ctx, key)
}
