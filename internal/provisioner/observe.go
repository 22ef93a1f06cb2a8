package provisioner

import (
	"context"
	"slices"
	"time"

	"github.com/staykey/staykey/internal/provisioner/plan"
	"github.com/staykey/staykey/internal/provisioner/record"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// observer finds out at the beginning of an attempt what can't be trusted as recorded: what calls without an answer
// have left at Seam, and, when a comparison is due, everything, through the [checker]. It creates and deletes nothing.
type observer struct {
	now        func() time.Time
	ledger     *ledger
	belief     belief
	users      *users
	finder     *finder
	identities *identities
	checker    *checker
	observed   *observation
	work       *store.Work // as it was loaded
}

// observe reads from Seam what can't be trusted as recorded: marks without an id, what was missing, and everything
// when a comparison is due.
func (o *observer) observe(ctx context.Context, d plan.Desired) outcome {
	due := o.work.Key.CheckRequested || lookupDue(o.work.Key.UncertainSince, o.work.Key.VerifiedAt, o.belief.began)
	for i := range o.users.rows {
		out := o.observeUser(ctx, d, &o.users.rows[i], due)
		if out.stops() && !o.leaveUnsettled(d, i, out) {
			return out
		}
	}
	o.observed.checked = due && !o.observed.unverified && o.observed.isSearched()
	return outcome{}
}

// leaveUnsettled reports whether the attempt can continue without knowing what a lost create has left, and remembers
// it as unknown: deleting other ACS users of the stay, and serving it by the present one, must not wait for that.
func (o *observer) leaveUnsettled(d plan.Desired, i int, out outcome) bool {
	u := &o.users.rows[i]
	if u.ACSUserID != nil || len(o.users.rows) == 1 || o.users.standing(d) == i || o.ledger.preview ||
		o.work.Overrides.Held() != "" {
		return false
	}
	if !out.isLocal() {
		return false
	}
	o.observed.unsettled[u.ID] = out
	return true
}

// observeUser reads from Seam what can't be trusted of one ACS user. due is true if everything must be compared.
func (o *observer) observeUser(ctx context.Context, d plan.Desired, u *record.User, due bool) outcome {
	switch u.Phase() {
	case record.Marked, record.Lost, record.Aside:
		if out := o.settleUserMark(ctx, d, u); out.stops() {
			return out
		}
		o.observed.noteSearched(u)
	case record.Removing:
		return o.searchRemoved(ctx, u, due)
	}
	if d.Goal != plan.Have {
		return outcome{}
	}
	if u.Exists() && u.KeyIsUncertain() {
		if out := o.settleKeyMark(ctx, d, u); out.stops() {
			return out
		}
	}
	if u.ACSUserID == nil {
		return outcome{}
	}

	return o.compare(ctx, d, u, due)
}

// compare compares an ACS user with Seam where that is due, or what is recorded may not be true.
func (o *observer) compare(ctx context.Context, d plan.Desired, u *record.User, due bool) outcome {
	overtaken := o.isOvertaken(d, u)
	if !due && !overtaken && !o.mustCheck(u) {
		return outcome{}
	}
	if until := o.belief.showsFrom(u); overtaken && o.belief.tooEarly(until) && !o.ledger.preview {
		return wait(until, "Seam's reads may lag what was just written")
	}
	out := o.checker.check(ctx, d, u)
	if out.kind == refused && !due && !overtaken && hadRefusal(o.work.Key) {
		return outcome{} // what is desired must not wait for reads that Seam refuses, too
	}
	return out
}

// searchRemoved looks for what a lost create has left in addition to an ACS user that we deleted, and that is not gone
// yet: that may take long. What is left of the ACS user itself is for the [remover].
func (o *observer) searchRemoved(ctx context.Context, u *record.User, due bool) outcome {
	if !due || o.ledger.lostAt == nil {
		return outcome{}
	}
	if out := o.checker.search(ctx, u); out.stops() && !out.isLocal() {
		return out
	}
	return outcome{} // a delete must not depend on reads that may be refused
}

// mustCheck reports whether an ACS user is compared with Seam although no check is due: because what Seam showed once
// must be repeated to count, because an admin asked for a repair, or after a refusal.
func (o *observer) mustCheck(u *record.User) bool {
	once := u.Phase() == record.Missing || u.Phase() == record.Contested || u.KeyPhase() == record.KeyMissing
	return once || u.Drift != nil && o.work.Key.Revive || hadRefusal(o.work.Key)
}

// hadRefusal reports whether something else is desired than when Seam refused a call. The call may have taken effect
// all the same, and nothing that is planned now would show that. While the same is desired, the call is simply sent
// again: then it has been tried.
func hadRefusal(k store.MobileKey) bool {
	return k.Attempts == 0 && slices.Contains(refusalReasons, stay.Text(k.Reason))
}

// isOvertaken reports whether the effect of a change without a recorded result must be known before anything else.
// While it is still desired it is simply sent again. A listing may have its doors back before its stays are
// updated: then no step is left that would show the effect of the lost change.
func (o *observer) isOvertaken(d plan.Desired, u *record.User) bool {
	return u.Unsure && (u.UnsureGeneration != o.work.Key.Generation || !u.GroupsRead && plan.GroupsFit(d, *u))
}

// settleUserMark finds out what a create without an answer has left. It stops the attempt until that is known.
func (o *observer) settleUserMark(ctx context.Context, d plan.Desired, u *record.User) outcome {
	if u.Phase() == record.Marked { // the process died between mark and answer
		u.CreateLost(o.now())
		o.ledger.noteLostCreate()
		if out := o.ledger.saveUnlessPreview(ctx, u); out.stops() {
			return out
		}
	}

	linked, out := o.finder.find(o.ledger.because(ctx, "whether a create without an answer made an ACS user"), u)
	if out.stops() {
		return out
	}

	found := linked.ours
	if len(found) == 0 {
		if found, out = o.finder.findUnlinked(ctx, u); out.stops() {
			return out
		}
	}
	if len(found) > 0 {
		return o.adopt(ctx, d, u, found)
	}

	if u.LostAt != nil && o.belief.tooEarly(o.belief.countsFrom(*u.LostAt)) {
		return wait(o.belief.countsFrom(*u.LostAt), "A create without an answer may still show up")
	}
	return outcome{} // the next create looks once more: one list may be incomplete
}

// adopt records the oldest of the ACS users that a look-up has found; the others were created by the same lost
// create, as far as Seam shows that.
func (o *observer) adopt(ctx context.Context, d plan.Desired, u *record.User, found []seam.ACSUser) outcome {
	var surplus []string
	for _, other := range found[1:] {
		if o.belief.isSurplus(other, u, o.ledger.lostAt) {
			surplus = append(surplus, other.ACSUserID)
		}
	}
	if len(surplus) > 0 {
		o.ledger.noteSurplus()
	}
	now := o.now()
	u.Adopted(found[0].ACSUserID, surplus, now)
	u.ReadSchedule(found[0])
	u.ReadState(found[0], now)
	o.ledger.note("ACS user %s was created for this stay by an unrecorded create", *u.ACSUserID)
	if o.ledger.preview {
		return outcome{}
	}
	if out := o.ledger.saveUser(ctx, u); out.stops() {
		return out
	}
	return o.checker.check(ctx, d, u)
}

// settleKeyMark finds out what a create of a credential without an answer has left.
func (o *observer) settleKeyMark(ctx context.Context, d plan.Desired, u *record.User) outcome {
	if u.KeyPhase() == record.KeyMarked {
		u.KeyCreateLost(o.now())
		o.ledger.noteLostCreate()
		if out := o.ledger.saveUnlessPreview(ctx, u); out.stops() {
			return out
		}
	}
	keys, err := o.finder.mobileKeys(o.ledger.because(ctx, "whether a create without an answer made a credential"), u)
	if seam.KindOf(err) == seam.NotFound {
		return o.checker.check(ctx, d, u) // the user may be gone
	}
	if err != nil {
		return fails(err)
	}
	if len(keys) > 0 {
		u.TakeKeys(keys)
		o.ledger.note("credential %s was created by a call whose answer was lost", *u.CredentialID)
		return o.ledger.saveUnlessPreview(ctx, u)
	}
	if until := o.belief.countsFrom(*u.CredentialLostAt); o.belief.tooEarly(until) {
		return wait(until, "A create without an answer may still show up")
	}
	return outcome{}
}
