package provisioner

import (
	"context"
	"slices"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/provisioner/plan"
	"github.com/staykey/staykey/internal/provisioner/record"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/store"
)

// checker compares what is recorded of an ACS user, its link, doors and keys with what Seam shows, and records the
// difference: as drift, as our own change that reads don't show yet, or as something that is gone. It only reads from
// Seam; the plan decides what is repaired.
type checker struct {
	seam       *seam.Client
	now        func() time.Time
	ledger     *ledger
	belief     belief
	finder     *finder
	identities *identities
	observed   *observation
	pacing     *pacing
	work       *store.Work // as it was loaded
	policy     pms.Policy
}

// check compares everything recorded of an ACS user with Seam. Whatever that shows, it ends with a search for what a
// lost create has left in addition.
func (c *checker) check(ctx context.Context, d plan.Desired, u *record.User) outcome {
	from, is, out := c.finder.look(ctx, u, "whether what is recorded is still true")
	if out.stops() {
		return out
	}
	switch is {
	case absent, beingGone:
		out = c.notSeen(ctx, u, is)
	case ambivalent:
		c.observed.unverified = true
		c.observed.recheckAt(c.now().Add(c.pacing.slowRetry()))
		c.ledger.note("Seam's get does not find ACS user %s and its list shows it: nothing is changed", *u.ACSUserID)
		u.Seen()
	default:
		out = c.compare(ctx, d, u, from)
	}
	if out.stops() {
		return out
	}
	return c.search(ctx, u)
}

// search looks for what a lost create has left in addition to an ACS user, and commits the row.
func (c *checker) search(ctx context.Context, u *record.User) outcome {
	if out := c.findSurplus(ctx, u); out.stops() {
		return out
	}
	c.observed.noteSearched(u)
	return c.ledger.saveUnlessPreview(ctx, u)
}

// compare records what Seam shows of an existing ACS user, and judges what somebody has changed.
func (c *checker) compare(ctx context.Context, d plan.Desired, u *record.User, from seam.ACSUser) outcome {
	now := c.now()
	if until := c.belief.showsFrom(u); c.belief.tooEarly(until) {
		c.observed.recheckAt(until) // reads may be older than our last write: good enough to begin with
	}
	if hadRefusal(c.work.Key) {
		c.observed.recheckAt(now.Add(c.belief.lag)) // reads may not show yet what the refused call did all the same
	}
	ctx = c.ledger.because(ctx, "whether what is recorded is still true")
	before, lostBefore := *u, c.ledger.lostAt
	ours := c.isPending(u) || c.ledger.lostAt != nil || hadRefusal(c.work.Key)
	c.seen(u)

	// What may be written before everything is judged comes first: the row must never hold only half of somebody's
	// change.
	if out := c.readLink(ctx, u, from, ours); out.stops() {
		return out
	}
	if out := c.verifyIdentity(ctx, d, u); out.stops() {
		return out
	}
	if u.Phase() == record.Displaced {
		return c.compareDisplaced(ctx, u, from)
	}
	if out := c.checkKeys(ctx, u); out.stops() {
		return out
	}

	listed, err := c.seam.AccessGroups(ctx, *u.ACSUserID)
	if err != nil {
		return unreadable(err)
	}
	u.ReadGroups(groupIDs(listed), slices.Concat(d.Groups, d.Listed))
	hasSchedule := u.ReadSchedule(from)
	if !hasSchedule && !ours && !u.WasRepaired(record.Hours) {
		u.HasNoSchedule()
	}
	u.ReadState(from, now)
	mayRepair := u.MayRepair(d.Generation)
	if c.judgeDrift(d, before, u, ours, hasSchedule) {
		c.ledger.lostAt = lostBefore // the mobile key is left as recorded: no other is looked for
	}
	c.judgeName(&before, u, from, ours, mayRepair)
	u.Known()
	return outcome{}
}

// seen records that Seam shows an ACS user: a delete whose answer was lost long ago won't take effect any more.
func (c *checker) seen(u *record.User) {
	u.Seen()
	if u.AwaitsLateDelete() && !c.belief.tooEarly(u.DeleteLostAt.Add(lastLookup)) {
		u.DeleteNeverCame()
	}
}

// findSurplus looks for ACS users that a lost create has left in addition to the recorded one: after a loss, and when
// somebody asked for a comparison.
func (c *checker) findSurplus(ctx context.Context, u *record.User) outcome {
	if c.ledger.lostAt == nil && !c.work.Key.CheckRequested {
		return outcome{}
	}
	ours, out := c.listOurs(ctx, u)
	if out.stops() {
		return out
	}
	unlinked, out := c.finder.findUnlinked(ctx, u)
	if out.stops() {
		return out
	}
	for _, other := range append(ours, unlinked...) {
		switch {
		case other.ACSUserID == *u.ACSUserID:
		case c.belief.isSurplus(other, u, c.ledger.lostAt):
			if u.AddSurplus(other.ACSUserID) {
				c.ledger.note("ACS user %s was left by a lost create, next to the stay's own", other.ACSUserID)
				c.ledger.noteSurplus()
			}
		case u.NameOther(other.ACSUserID):
			c.ledger.note("ACS user %s has the reservation's number as its name, and staykey did not create it: "+
				"it is left unchanged", other.ACSUserID)
		}
	}
	return outcome{}
}

// listOurs lists the ACS users of a row's identity that are the stay's. If Seam doesn't list them although the identity
// exists, the search continues at the next look-up.
func (c *checker) listOurs(ctx context.Context, u *record.User) ([]seam.ACSUser, outcome) {
	linked, out := c.finder.find(ctx, u)
	if out.kind == unclear {
		c.observed.unverified = true
		c.ledger.note("Seam shows user identity %s and does not list its ACS users: what a lost create may have left "+
			"is looked for later", u.UserIdentityID)
		return nil, outcome{}
	}
	return linked.ours, out
}

// readLink finds out whether an ACS user is linked to its identity. An answer without an identity proves nothing, and
// one with another may name the identity that ours was merged into: also if Seam shows ours unchanged, and lists the
// ACS user under it.
func (c *checker) readLink(ctx context.Context, u *record.User, from seam.ACSUser, ours bool) outcome {
	u.ReadLink(true)
	switch from.UserIdentityID {
	case u.UserIdentityID:
		return outcome{}
	case "":
		// If reads don't show our own change yet, leave it alone. But a lost change may have been the link itself:
		// linking again is harmless. One that has lost its identity to another needs evidence that it has it again.
		if !u.Unsure && ours && u.Phase() != record.Displaced {
			return outcome{}
		}
		return c.readListedLink(ctx, u)
	}
	merged, out := c.identities.isMergedInto(ctx, u, from.UserIdentityID)
	if out.stops() || merged || !c.identities.exists(u) {
		u.ReadLink(merged)
		return out
	}
	return c.readListedLink(ctx, u)
}

// readListedLink finds out whether an identity's ACS users include u.
func (c *checker) readListedLink(ctx context.Context, u *record.User) outcome {
	linked, _, out := c.finder.list(ctx, u, func() ([]seam.ACSUser, error) {
		return c.seam.ACSUsersOfIdentity(ctx, u.UserIdentityID)
	})
	if out.kind == unclear {
		return outcome{}
	}
	u.ReadLink(slices.ContainsFunc(linked, func(l seam.ACSUser) bool { return l.ACSUserID == *u.ACSUserID }))
	return out
}

// checkKeys compares the recorded mobile key with Seam. One that a list leaves out is confirmed by a get; one that
// neither shows counts as deleted when that is repeated after the read lag.
func (c *checker) checkKeys(ctx context.Context, u *record.User) outcome {
	keys, err := c.finder.mobileKeys(ctx, u)
	if err != nil {
		return unreadable(err)
	}
	listed := func(id string) bool {
		return slices.ContainsFunc(keys, func(c seam.Credential) bool { return c.ACSCredentialID == id })
	}
	if u.CredentialID == nil || listed(*u.CredentialID) {
		if len(keys) > 0 {
			u.TakeKeys(keys)
		}
		return outcome{}
	}
	recorded, err := c.seam.Credential(ctx, *u.CredentialID)
	switch {
	case err == nil:
		u.TakeKeys(append(keys, recorded))
		return outcome{}
	case seam.KindOf(err) != seam.NotFound:
		return fails(err)
	}
	return c.keyNotSeen(ctx, u, keys)
}

// keyNotSeen handles a recorded mobile key that neither list nor get shows. others are the keys that the list shows.
func (c *checker) keyNotSeen(ctx context.Context, u *record.User, others []seam.Credential) outcome {
	if u.CredentialMarkedAt != nil {
		if until := c.belief.countsFrom(*u.CredentialMarkedAt); c.belief.tooEarly(until) {
			return wait(until, "A new credential may not show up at once")
		}
	}
	u.KeyNotSeen(c.now())
	if until := c.belief.countsFrom(*u.CredentialMissingAt); c.belief.tooEarly(until) {
		if out := c.ledger.saveUnlessPreview(ctx, u); out.stops() {
			return out
		}
		return wait(until, "Seam does not show the mobile key: asking a second time")
	}
	c.ledger.note("credential %s has been deleted, not by us", *u.CredentialID)
	u.ForgetKey()
	if len(others) > 0 {
		u.TakeKeys(others)
	}
	c.ledger.noteLostCreate() // if the reads lagged, the surplus one is found later
	return outcome{}
}

// notSeen handles an ACS user that Seam doesn't show. It counts as deleted by somebody else when that is repeated
// after the read lag, or when Seam says so.
func (c *checker) notSeen(ctx context.Context, u *record.User, is presence) outcome {
	now := c.now()
	if until := c.belief.userCountsFrom(u); c.belief.tooEarly(until) && is == absent {
		return wait(until, "A new ACS user may not show up at once")
	}
	if is == absent && u.Phase() != record.Removed {
		u.NotSeen(now)
		if until := c.belief.countsFrom(*u.MissingAt); c.belief.tooEarly(until) {
			if out := c.ledger.saveUnlessPreview(ctx, u); out.stops() {
				return out
			}
			return wait(until, "Seam does not show the ACS user: asking a second time")
		}
	}
	switch {
	case u.Phase() == record.Removed:
	case u.AwaitsLateDelete():
		c.ledger.note("ACS user %s has been deleted by a call of ours that was lost or refused", *u.ACSUserID)
	default:
		c.ledger.note("ACS user %s has been deleted, not by us", *u.ACSUserID)
	}
	if is == absent {
		u.AgreedGone(now)
	} else {
		u.FoundGone(now)
	}
	return c.ledger.saveUnlessPreview(ctx, u)
}

// afterNotFound follows a 404 on a change. The 404 may concern anything that the call named, so it asks whether the
// ACS user itself is gone. If it isn't, the 404 is returned, unless it names the ACS user: then Seam contradicts
// itself.
func (c *checker) afterNotFound(ctx context.Context, d plan.Desired, u *record.User, cause error) outcome {
	_, is, out := c.finder.look(ctx, u, "whether the ACS user is gone")
	if out.stops() {
		return out
	}
	if is == absent || is == beingGone {
		if out := c.notSeen(ctx, u, is); out.stops() {
			return out
		}
		return again()
	}
	if seam.TypeOf(cause) == "acs_user_not_found" {
		return contradicted(cause)
	}
	return fails(cause)
}

func groupIDs(groups []seam.AccessGroup) []string {
	ids := make([]string, len(groups))
	for i, g := range groups {
		ids[i] = g.ACSAccessGroupID
	}
	return ids
}
