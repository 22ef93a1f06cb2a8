package provisioner

import (
	"context"
	"errors"
	"slices"

	"github.com/staykey/staykey/internal/provisioner/record"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// Whether an ACS user exists at Seam. Everything that creates, changes or removes one asks here.

// presence is what Seam reports about whether an ACS user exists.
type presence int

const (
	present    presence = iota + 1
	beingGone           // Seam itself reports that it was deleted, or is being deleted
	absent              // neither get nor list shows it
	ambivalent          // get doesn't show it, and the list does
)

// These errors mean that Seam's answers can't all be true.
var (
	errContradiction = errors.New("an ACS user is in Seam's list, but asking for it alone doesn't find it")
	errNotListed     = errors.New("a user identity exists at Seam, but listing its ACS users doesn't find it")
)

// finder looks for things at Seam: an ACS user, those that a lost create may have left, and an ACS user's mobile keys.
// It decides which of them are the stay's. It changes nothing at Seam, and leaves it to its callers what is recorded.
type finder struct {
	store       *store.Store
	seam        *seam.Client
	ledger      *ledger
	belief      belief
	identities  *identities
	work        *store.Work // as it was loaded
	listedCodes listedCodes // lists of keys show codes, too
}

// look asks Seam whether an ACS user exists. If a get doesn't find it, the list is asked, too: one wrong answer
// proves nothing. An absent one is returned as the list shows it while it is being deleted.
func (f *finder) look(ctx context.Context, u *record.User, reason string) (seam.ACSUser, presence, outcome) {
	ctx = f.ledger.because(ctx, reason)
	from, err := f.seam.ACSUser(ctx, *u.ACSUserID)
	switch {
	case err == nil && isGone(from):
		return from, beingGone, outcome{}
	case err == nil:
		return from, present, outcome{}
	case seam.KindOf(err) != seam.NotFound:
		return from, 0, fails(err)
	}
	entry, out := f.listed(ctx, u)
	if out.stops() {
		return from, 0, out
	}
	switch {
	case entry == nil:
		return from, absent, outcome{}
	case isGone(*entry):
		return *entry, absent, outcome{}
	}
	switch from, err = f.seam.ACSUser(ctx, *u.ACSUserID); { // one wrong answer is soon corrected
	case err == nil && isGone(from):
		return from, beingGone, outcome{}
	case err == nil:
		return from, present, outcome{}
	case seam.KindOf(err) != seam.NotFound:
		return from, 0, fails(err)
	}
	return from, ambivalent, outcome{}
}

// listed is an ACS user as the list of its identity shows it; nil if the list doesn't show it, or if that identity no
// longer exists.
func (f *finder) listed(ctx context.Context, u *record.User) (*seam.ACSUser, outcome) {
	list, _, out := f.list(ctx, u, func() ([]seam.ACSUser, error) {
		return f.seam.ACSUsers(ctx, u.ACSSystemID, u.UserIdentityID)
	})
	return entryOf(u, list), out
}

// entryOf is an ACS user's entry in a list; nil if the list doesn't show it.
func entryOf(u *record.User, list []seam.ACSUser) *seam.ACSUser {
	i := slices.IndexFunc(list, func(l seam.ACSUser) bool { return l.ACSUserID == *u.ACSUserID })
	if i < 0 {
		return nil
	}
	return &list[i]
}

// linked is what an identity has on an access system.
type linked struct {
	ours   []seam.ACSUser // that can only be the stay's, oldest first
	others []seam.ACSUser
	gone   bool // the identity no longer exists, so that nothing can be linked to it
}

// list lists ACS users of a row's identity. A 404 is no answer while the identity exists: the list is requested again,
// and then the identity. gone reports that it no longer exists.
func (f *finder) list(ctx context.Context, u *record.User, request func() ([]seam.ACSUser, error)) (
	listed []seam.ACSUser, gone bool, out outcome,
) {
	listed, err := request()
	if seam.KindOf(err) == seam.NotFound { // one wrong answer is soon corrected
		listed, err = request()
	}
	if seam.KindOf(err) != seam.NotFound {
		return listed, false, fails(err)
	}
	if gone, out = f.identities.isGone(ctx, u); !gone && !out.stops() {
		out = contradicted(errNotListed)
	}
	return nil, gone, out
}

// find lists the ACS users of a row's identity and system, and tells those that can only be this stay's, by their exact
// name, and not recorded in another row, from others.
func (f *finder) find(ctx context.Context, u *record.User) (found linked, out outcome) {
	list, gone, out := f.list(ctx, u, func() ([]seam.ACSUser, error) {
		return f.seam.ACSUsers(ctx, u.ACSSystemID, u.UserIdentityID)
	})
	if gone || out.stops() {
		return linked{gone: gone}, out
	}

	ids := make([]string, len(list))
	for i, l := range list {
		ids[i] = l.ACSUserID
	}
	taken, err := f.store.ACSUsers.TakenElsewhere(ctx, ids, u.ID)
	if err != nil {
		return linked{}, fails(err)
	}

	for _, l := range list {
		// Some answers ignore a filter that matches nothing.
		if l.ACSSystemID != "" && l.ACSSystemID != u.ACSSystemID || l.BeingDeleted() {
			continue
		}
		if same, out := f.isLinked(ctx, u, l); out.stops() {
			return linked{}, out
		} else if !same {
			continue
		}

		shown, out := f.withName(ctx, u, l)
		if out.stops() {
			return linked{}, out
		}
		if f.belief.isOurs(shown, u, f.work.Reservation.ReservationID) && !taken[l.ACSUserID] {
			found.ours = append(found.ours, shown)
		} else {
			found.others = append(found.others, shown)
		}
	}
	slices.SortStableFunc(found.ours,
		func(x, y seam.ACSUser) int { return seam.ParseTime(x.CreatedAt).Compare(seam.ParseTime(y.CreatedAt)) })
	return found, outcome{}
}

// isLinked reports whether an ACS user that the list of a row's identity contains is linked to that identity. One that
// names another was ours before a merge; or it came of our create and has our exact name, whether Seam shows that merge
// or not. Any other may be listed only because the list isn't filtered.
func (f *finder) isLinked(ctx context.Context, u *record.User, l seam.ACSUser) (bool, outcome) {
	if l.UserIdentityID == u.UserIdentityID {
		return true, outcome{}
	}
	merged, out := f.identities.isMergedInto(ctx, u, l.UserIdentityID)
	return merged || f.identities.exists(u) && f.belief.cameOfCreates(l, u) &&
		sameName(l.FullName, f.work.Reservation.ReservationID), out
}

// withName is a listed ACS user as a get shows it, if the list leaves out its name: whose it is must not depend on
// what a list leaves out.
func (f *finder) withName(ctx context.Context, u *record.User, listed seam.ACSUser) (seam.ACSUser, outcome) {
	if listed.FullName != "" || u.ACSUserID != nil && *u.ACSUserID == listed.ACSUserID {
		return listed, outcome{}
	}
	got, err := f.seam.ACSUser(f.ledger.because(ctx, "whether an ACS user that is listed without a name is the stay's"),
		listed.ACSUserID)
	switch {
	case err == nil && got.FullName != "":
		return got, outcome{}
	case err != nil && seam.KindOf(err) != seam.NotFound:
		return listed, fails(err)
	}
	return listed, outcome{}
}

// findUnlinked lists ACS users of a lost create that no look-up by identity finds: Seam may have moved the identity's
// link to the ACS user that was created instead. Such a user has our exact name and no identity, and was created
// between the mark and the end of the lost call. Only the late look-ups search for it.
func (f *finder) findUnlinked(ctx context.Context, u *record.User) ([]seam.ACSUser, outcome) {
	if f.ledger.lostAt == nil || u.MarkedAt == nil || f.belief.tooEarly(f.ledger.lostAt.Add(firstLookup)) {
		return nil, outcome{}
	}
	name := f.work.Reservation.ReservationID
	list, err := f.seam.SearchACSUsers(f.ledger.because(ctx,
		"whether a create without an answer left an ACS user without an identity"), u.ACSSystemID, name)
	if err != nil {
		return nil, fails(err)
	}
	var ids []string
	list = slices.DeleteFunc(list, func(l seam.ACSUser) bool {
		return l.ACSSystemID != u.ACSSystemID || l.UserIdentityID != "" || l.BeingDeleted() ||
			!sameName(l.FullName, name) || !f.belief.cameOfLoss(l, u, *f.ledger.lostAt)
	})
	for _, l := range list {
		ids = append(ids, l.ACSUserID)
	}
	taken, err := f.store.ACSUsers.TakenElsewhere(ctx, ids, u.ID)
	if err != nil {
		return nil, fails(err)
	}
	return slices.DeleteFunc(list, func(l seam.ACSUser) bool { return taken[l.ACSUserID] }), outcome{}
}

// mobileKeys lists a user's mobile keys, oldest first, without the children that represent phones. One that has just
// been deleted, to be replaced, may still be listed for a while.
func (f *finder) mobileKeys(ctx context.Context, u *record.User) ([]seam.Credential, error) {
	all, err := f.seam.Credentials(ctx, *u.ACSUserID)
	if err != nil {
		return nil, err
	}
	f.listedCodes.note(u, all)
	replaced := ""
	if f.belief.tooEarly(f.belief.showsFrom(u)) &&
		stay.Text(u.CredentialID) != stay.Text(f.work.Overrides.ReplaceCredential) {
		replaced = stay.Text(f.work.Overrides.ReplaceCredential)
	}
	keys := slices.DeleteFunc(all, func(c seam.Credential) bool {
		return c.ACSUserID != *u.ACSUserID || !c.IsMobileKey() || c.ACSCredentialID == replaced
	})
	slices.SortStableFunc(keys, func(x, y seam.Credential) int {
		return seam.ParseTime(x.CreatedAt).Compare(seam.ParseTime(y.CreatedAt))
	})
	return keys, nil
}

// isStillThere reports whether the first of some listed ACS users exists when asked for alone, twice if the first
// answer is no: lists may show deleted ones for a while.
func (f *finder) isStillThere(ctx context.Context, listed []seam.ACSUser) (bool, outcome) {
	if len(listed) == 0 {
		return false, outcome{}
	}
	ctx = f.ledger.because(ctx, "whether the listed ACS user is still there")
	from, err := f.seam.ACSUser(ctx, listed[0].ACSUserID)
	if seam.KindOf(err) == seam.NotFound {
		from, err = f.seam.ACSUser(ctx, listed[0].ACSUserID)
	}
	if seam.KindOf(err) == seam.NotFound {
		return false, outcome{}
	}
	return err == nil && !isGone(from), fails(err)
}

func isGone(u seam.ACSUser) bool { return u.BeingDeleted() || u.Reports("deleted_externally") }

// unreadable is the outcome if something about an ACS user can't be read although Seam has just shown the user. A 404
// contradicts that.
func unreadable(err error) outcome {
	if seam.KindOf(err) == seam.NotFound {
		return contradicted(err)
	}
	return fails(err)
}
