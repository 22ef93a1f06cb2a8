package provisioner

import (
	"context"
	"slices"

	"github.com/staykey/staykey/internal/provisioner/plan"
	"github.com/staykey/staykey/internal/provisioner/record"
	"github.com/staykey/staykey/internal/seam"
)

// Whose the identity of an ACS user is. Somebody may have given it another e-mail address, or have linked it to
// another ACS user. Then ours serves nobody: linking it again would put the key in somebody else's app, or take the
// link, and the key in somebody's app, from the other one. It is displaced: left at Seam, narrowed with the stay, and
// replaced when an admin or a later event asks for a repair.

// contest is what a look at the identity of an ACS user shows.
type contest struct {
	taken   string // how somebody else got it, for the timeline; "" if nobody did
	unknown bool   // Seam's answers don't tell
}

// verifyIdentity records whether the identity of an ACS user has become another's. That counts when it is repeated
// after the read lag: one list may leave ours out, or show what was linked before.
func (c *checker) verifyIdentity(ctx context.Context, d plan.Desired, u *record.User) outcome {
	is, out := c.isGivenAway(ctx, d, u)
	if !out.stops() && is.taken == "" {
		is, out = c.isLinkedElsewhere(ctx, u)
	}
	switch {
	case out.stops():
		return out
	case is.unknown:
		c.observed.unverified = true
		c.observed.recheckAt(c.now().Add(c.pacing.slowRetry()))
		u.ReadLink(true) // no link is taken from others on a guess
		return outcome{}
	case is.taken == "":
		u.Uncontested()
		return outcome{}
	case u.Phase() == record.Displaced:
		return outcome{}
	}
	if until := c.belief.countsFrom(u.Contest(c.now())); c.belief.tooEarly(until) {
		return firstOutcome(c.ledger.saveUnlessPreview(ctx, u), func() outcome {
			return wait(until, "The user identity of the ACS user may be another's: asking a second time")
		})
	}
	c.ledger.note("%s", is.taken)
	u.Displace(c.now())
	return outcome{}
}

// isGivenAway finds out whether an ACS user's identity still belongs to the guest it was created for: somebody may have
// given it another address. An ACS user that is still linked to it may be in somebody else's app: that is reported, and
// it is replaced when an admin or a later event asks for a repair. The stay may have another guest since, so the
// address is compared by its key.
func (c *checker) isGivenAway(ctx context.Context, d plan.Desired, u *record.User) (contest, outcome) {
	wanted := u.GuestKey == d.GuestKey && (c.work.Key.CheckRequested || c.work.Key.Revive)
	if u.ReadOwner(false); !u.HasGuestsIdentity() || !u.Unlinked && !wanted {
		return contest{}, outcome{}
	}
	is, err := c.identities.read(c.ledger.because(ctx, "whether the user identity is still the guest's"),
		u.UserIdentityID, u.UserIdentityKey)
	switch {
	case seam.KindOf(err) == seam.NotFound:
		return contest{}, outcome{} // there is no other identity to link it to
	case err != nil:
		return contest{}, fails(err)
	case is.EmailAddress == "" || c.identities.isKeyOf(u.UserIdentityKey, is.EmailAddress) ||
		slices.Contains(is.MergedKeys, u.UserIdentityKey):
		return contest{}, outcome{}
	}
	if u.ReadOwner(!u.Unlinked && !c.work.Key.Revive); u.Foreign {
		return contest{}, outcome{}
	}
	return contest{taken: "user identity " + u.UserIdentityID + " of ACS user " + *u.ACSUserID +
		" now has another e-mail address and can't be used for the guest"}, outcome{}
}

// isLinkedElsewhere finds out whether the identity of an ACS user that has lost its link is linked to another one, by
// what that one's own get shows.
func (c *checker) isLinkedElsewhere(ctx context.Context, u *record.User) (contest, outcome) {
	if !u.Unlinked {
		return contest{}, outcome{}
	}
	ctx = c.ledger.because(ctx, "whether the identity was linked to another ACS user")
	linked, out := c.finder.find(ctx, u)
	switch {
	case out.kind == unclear:
		return contest{unknown: true}, outcome{}
	case out.stops():
		return contest{}, out
	}
	var is contest
	for _, other := range linked.others {
		if other.ACSUserID == *u.ACSUserID {
			continue
		}
		linked, known, out := c.isLinked(ctx, u, other.ACSUserID)
		switch {
		case out.stops():
			return contest{}, out
		case linked:
			return contest{taken: "user identity " + u.UserIdentityID + " was linked to ACS user " + other.ACSUserID +
				", which is left unchanged, instead of " + *u.ACSUserID}, outcome{}
		}
		is.unknown = is.unknown || !known
	}
	return is, outcome{}
}

// isLinked reports whether another ACS user's own get names the identity of u. An answer without an identity tells
// nothing.
func (c *checker) isLinked(ctx context.Context, u *record.User, other string) (linked, known bool, out outcome) {
	got, err := c.seam.ACSUser(ctx, other)
	switch {
	case seam.KindOf(err) == seam.NotFound || err == nil && isGone(got):
		return false, true, outcome{} // lists may show what is gone
	case err != nil:
		return false, false, fails(err)
	case got.UserIdentityID == "":
		return false, false, outcome{}
	case got.UserIdentityID == u.UserIdentityID:
		return true, true, outcome{}
	}
	linked, out = c.identities.isMergedInto(ctx, u, got.UserIdentityID)
	return linked, true, out
}

// compareDisplaced records what Seam shows of an ACS user whose identity is another's: what it still opens.
func (c *checker) compareDisplaced(ctx context.Context, u *record.User, from seam.ACSUser) outcome {
	if out := c.checkKeys(ctx, u); out.stops() {
		return out
	}
	listed, err := c.seam.AccessGroups(ctx, *u.ACSUserID)
	if err != nil {
		return unreadable(err)
	}
	u.ReadGroups(groupIDs(listed), nil) // none is opened again: what was open counts as open
	u.ReadSchedule(from)
	u.ReadState(from, c.now())
	u.NotReadBack()
	u.Known()
	return outcome{}
}
