package guest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/store"
)

// After a call without an answer, something may have been handed out that no row names. A cleaning searches the
// identities that may have it, and takes back what isn't recorded.

// toSearch lists the identities that are searched now.
func (c *cleaning) toSearch() []string {
	var identities []string
	now := c.now()
	for _, h := range c.has {
		if at := c.nextLook(h); !at.IsZero() && !now.Before(at) && !slices.Contains(identities, h.IdentityID) {
			identities = append(identities, h.IdentityID)
		}
	}
	return identities
}

// search deletes whatever an identity has that is not recorded, or has ended. The identity is of this stay alone
// and was created by us, so nothing on it belongs to anybody else.
func (c *cleaning) search(ctx context.Context, identity string) error {
	keep := c.live()
	if err := c.extend(ctx); err != nil {
		return err
	}
	if err := c.searchKeys(ctx, identity, keep); err != nil {
		return err
	}
	return c.searchSessions(ctx, identity, keep)
}

func (c *cleaning) searchKeys(ctx context.Context, identity string, keep map[string]bool) error {
	keys, err := c.seam.InstantKeys(c.guarded(c.because(ctx, "what the stay's user identity has handed out"), c.until),
		identity)
	if err := c.mayBeEmpty(ctx, identity, err); err != nil {
		return err
	}
	for _, k := range keys {
		if k.UserIdentityID != identity || keep[k.InstantKeyID] {
			continue
		}
		if err := c.deleteKey(ctx, k.InstantKeyID); err != nil {
			return err
		}
	}
	return nil
}

func (c *cleaning) searchSessions(ctx context.Context, identity string, keep map[string]bool) error {
	sessions, err := c.seam.ClientSessions(c.guarded(c.because(ctx, "which sessions the stay's user identity has"),
		c.until), identity)
	if err := c.mayBeEmpty(ctx, identity, err); err != nil {
		return err
	}
	for _, session := range sessions {
		if !session.Of(identity) || keep[session.ClientSessionID] {
			continue
		}
		if err := c.revoke(ctx, session.ClientSessionID); err != nil {
			return err
		}
	}
	return nil
}

// mayBeEmpty judges the result of a list of what an identity has handed out: a 404 counts as an empty list only if Seam
// doesn't know the identity itself either.
func (c *cleaning) mayBeEmpty(ctx context.Context, identity string, listed error) error {
	if seam.KindOf(listed) != seam.NotFound {
		return listed
	}
	_, err := c.seam.UserIdentity(c.guarded(c.because(ctx, "whether the stay's user identity still exists"), c.until),
		identity)
	switch {
	case err == nil:
		return fmt.Errorf("list what user identity %s, which Seam shows, has handed out: %w", identity, listed)
	case seam.KindOf(err) == seam.NotFound:
		return nil
	}
	return err
}

// live has the ids of the instant keys and sessions that the stay has and keeps.
func (c *cleaning) live() map[string]bool {
	ids := map[string]bool{}
	for _, h := range c.has {
		if h.SeamID == nil || h.EndingAt != nil {
			continue
		}
		ids[*h.SeamID] = true
		if h.SessionID != nil {
			ids[*h.SessionID] = true
		}
	}
	return ids
}

// searched counts a search of an identity for the rows that needed it when it began: what Seam answers is as old as
// the question.
func (c *cleaning) searched(identity string, began time.Time) {
	for i := range c.has {
		h := &c.has[i]
		if at := c.nextLook(*h); h.IdentityID != identity || at.IsZero() || began.Before(at) {
			continue
		}
		if h.SeamID == nil {
			h.Looks++
			continue
		}
		now := c.now()
		h.DeletedAt = &now
		if deleted := c.done[*h.SeamID] || c.doubted[*h.SeamID]; deleted && h.Kind == store.HandedInstantKey {
			continue // it was still there: once more
		}
		h.Looks++
	}
}
