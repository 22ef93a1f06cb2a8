package provisioner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/provisioner/plan"
	"github.com/staykey/staykey/internal/provisioner/record"
	"github.com/staykey/staykey/internal/provisioner/rows"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/store"
)

// creator creates the stay's ACS user and its mobile key at Seam. It looks before each create, commits a mark before
// the call and the id after it, and finds out why Seam refuses one. The identity and its slot exist already: they are
// found by [slots].
type creator struct {
	seam      *seam.Client
	now       func() time.Time
	activity  *store.Activity
	directory *directory
	systems   *systems
	demand    *demand
	ledger    *ledger
	belief    belief
	users     *users
	slots     *slots
	removed   *removed
	finder    *finder
	observer  *observer
	checker   *checker
	work      *store.Work // as it was loaded
}

// createUser creates the ACS user of a slot that is ours. Seam has no idempotency keys: unless this attempt has
// created the identity, it looks first; a mark is committed before the call, and the id after it.
func (c *creator) createUser(ctx context.Context, d plan.Desired, i int) outcome {
	u := &c.users.rows[i]
	if out := c.slots.verify(ctx, d, i); out.stops() {
		return out
	}
	if !c.slots.fresh[u.ID] {
		if out := c.lookBeforeCreate(ctx, d, i); out.stops() {
			return out
		}
	}

	if out := c.makeRoom(ctx, d, u); out.stops() {
		return out
	}
	if u.Phase() != record.Marked || !c.slots.fresh[u.ID] {
		u.MarkCreate(d.Starts, d.Ends, d.Groups, d.Generation, c.now())
		if out := c.ledger.saveMark(ctx, u); out.stops() {
			return out
		}
	}
	c.slots.fresh[u.ID] = false

	c.ledger.changes++
	started := c.now()
	made, err := c.seam.CreateACSUser(c.ledger.because(ctx, "the stay has no ACS user"), seam.CreateACSUser{
		ACSSystemID: u.ACSSystemID, UserIdentityID: u.UserIdentityID, FullName: d.FullName,
		AccessSchedule: seam.NewSchedule(d.Starts, d.Ends), ACSAccessGroupIDs: d.Groups,
	})
	switch seam.KindOf(err) {
	case 0:
		if err != nil {
			return fails(err)
		}
		return c.recordUser(ctx, d, i, made, started)
	case seam.Lost:
		u.CreateLost(c.belief.lostUntil(started, c.now()))
		c.ledger.noteLostCreate()
		if out := c.ledger.saveUser(ctx, u); out.stops() {
			return out
		}
		return fails(err)
	default:
		return c.userRefused(ctx, d, i, err)
	}
}

// makeRoom has the stay's removed ACS users deleted that are back, see [removed.makeRoom]. A mark that was made with
// the identity is taken back if anything was asked since: it must be committed directly before its call.
func (c *creator) makeRoom(ctx context.Context, d plan.Desired, u *record.User) outcome {
	asked, out := c.removed.makeRoom(ctx, d, u.ACSSystemID)
	if (asked || out.stops()) && u.Phase() == record.Marked && c.slots.fresh[u.ID] {
		u.Refused() // nothing was sent
	}
	if out.stops() {
		return firstOutcome(c.ledger.saveUser(ctx, u), func() outcome { return out })
	}
	return outcome{}
}

// lookBeforeCreate makes sure that the slot is free: an ACS user that an earlier create has left is adopted, and
// somebody else's is left alone.
func (c *creator) lookBeforeCreate(ctx context.Context, d plan.Desired, i int) outcome {
	u := &c.users.rows[i]
	asking := c.ledger.because(ctx, "whether the identity has an ACS user on the access system")
	linked, out := c.find(asking, u)
	switch {
	case out.stops():
		return out
	case linked.gone:
		return c.slots.identityGone(ctx, i)
	case len(linked.ours) > 0:
		return c.adopt(ctx, d, u, linked.ours)
	case len(linked.others) > 0:
		c.ledger.note("the user identity has an ACS user of somebody else on access system %s", u.ACSSystemID)
		return c.slots.leave(ctx, i)
	}
	return outcome{}
}

// recordUser records the answer to a create that was sent then, unless it is somebody else's user: some systems may
// return the ACS user that the identity already has. An earlier one of this stay is adopted: it has the hours, doors
// and keys of then. Somebody else's is only remembered.
func (c *creator) recordUser(ctx context.Context, d plan.Desired, i int, made seam.ACSUser, sent time.Time) outcome {
	u := &c.users.rows[i]
	asked := u.AskedFor(d.Starts, d.Ends)
	if !c.belief.isAnothers(made, &asked, d.FullName, sent) {
		marked := *u
		if c.belief.existedBefore(made, u) {
			u.Returned(made, c.now())
			c.keepRequest(u)
			c.ledger.note("Seam answered with ACS user %s, which existed before: it is compared first", *u.ACSUserID)
		} else {
			c.created(d, u, made)
		}
		out := c.ledger.commit(ctx, func(ctx context.Context, tx pgx.Tx, stale bool) error {
			if stale {
				u.UnmarkKey() // which is no longer about to be created
			}
			return store.SaveACSUser(ctx, tx, rows.ACSUser(u.Row))
		})
		switch {
		case errors.Is(out.err, store.ErrIDTaken):
			u.CouldNotBeStored(marked)
		case out.stops() || u.Phase() == record.Made:
			return out
		default:
			return c.checker.check(ctx, d, u)
		}
	}
	c.ledger.note("Seam answered with ACS user %s, which isn't the stay's", made.ACSUserID)
	u.CreateLost(c.now())
	u.NameOther(made.ACSUserID)
	c.ledger.noteLostCreate() // if later answers show that it is the stay's after all, the late look-ups find it
	return c.slots.leave(ctx, i)
}

// keepRequest follows a create that was answered with an earlier ACS user, and so has restored nothing: if that one
// turns out to be gone, the request that wants it back is not spent. These creates are counted, so that a Seam that
// answers each one like that is asked a few times and no more.
func (c *creator) keepRequest(u *record.User) {
	k := c.work.Key
	if !c.ledger.returned && (k.AttemptGeneration != k.Generation || k.ReturnedCreates < manyAttempts) {
		u.NotRevived()
	}
	c.ledger.returned = true
}

// created records a new ACS user. Its mobile key is looked for before one is created, unless it can't have one yet.
func (c *creator) created(d plan.Desired, u *record.User, made seam.ACSUser) {
	now, canHaveKey := c.now(), c.belief.canHaveKey(made, u)
	u.Created(made.ACSUserID, d.Starts, d.Ends, d.Groups, now)
	u.ReadCreated(made, now)
	if canHaveKey {
		u.UnmarkKey()
	}
}

// find is [finder.find] where no create was lost: the stay's ACS users are asked for alone, too, because lists may show
// for a while what was deleted.
func (c *creator) find(ctx context.Context, u *record.User) (linked, outcome) {
	found, out := c.finder.find(ctx, u)
	if out.stops() || len(found.ours) == 0 {
		return found, out
	}
	if there, out := c.finder.isStillThere(ctx, found.ours); !there {
		return found, firstOutcome(out, func() outcome { return contradicted(errContradiction) })
	}
	return found, outcome{}
}

// adopt records ACS users of this stay that were found in its slot. Without a mark of a lost create, one that Seam
// refused made them.
func (c *creator) adopt(ctx context.Context, d plan.Desired, u *record.User, found []seam.ACSUser) outcome {
	if u.MarkedAt == nil {
		u.MarkCreate(d.Starts, d.Ends, d.Groups, d.Generation, c.now())
	}
	return firstOutcome(c.observer.adopt(ctx, d, u, found), again)
}

// userRefused finds out why Seam refused an ACS user, by looking at what exists: the create may have made it before
// something else failed. So its mark is kept, unless the refusal itself says that nothing was made: then the row is
// restored to its state before the call, with the mark of an earlier, lost create.
func (c *creator) userRefused(ctx context.Context, d plan.Desired, i int, cause error) outcome {
	u := &c.users.rows[i]
	if madeNothing(cause) {
		u.Refused()
	} else {
		u.CreateLost(c.now())
	}
	if out := c.ledger.saveUser(ctx, u); out.stops() {
		return out
	}
	if !isRefusal(cause) {
		return fails(cause)
	}
	switch kind := seam.TypeOf(cause); {
	case kind == identityNotFound:
		return c.slots.identityGone(ctx, i)
	case madeNothing(cause):
		return fails(cause)
	}
	if out := c.blameSystem(ctx, u, cause); out.stops() {
		return out
	}
	linked, out := c.find(c.ledger.because(ctx, "why Seam refused the ACS user"), u)
	switch {
	case out.kind == unclear:
		return fails(cause)
	case out.stops():
		return out
	case linked.gone:
		return c.slots.identityGone(ctx, i)
	case len(linked.ours) > 0:
		return c.adopt(ctx, d, u, linked.ours)
	case len(linked.others) > 0:
		return c.leaveOnce(ctx, i)
	}
	return c.blameGroups(ctx, d, cause)
}

// leaveOnce gives up the slot of a refused create for somebody else's ACS user, once lists would show what the create
// has made: another create in another slot would double it.
func (c *creator) leaveOnce(ctx context.Context, i int) outcome {
	if lost := c.users.rows[i].LostAt; lost != nil && c.belief.tooEarly(c.belief.countsFrom(*lost)) {
		return wait(c.belief.countsFrom(*lost), "A create that Seam refused may still show up")
	}
	return c.slots.leave(ctx, i)
}

const identityNotFound = "user_identity_not_found"

// madeNothing reports whether the refusal of a create says that it was refused as a whole.
func madeNothing(cause error) bool {
	kind := seam.TypeOf(cause)
	switch seam.KindOf(cause) {
	case seam.NotSent, seam.Unauthorized:
		return true
	case seam.RateLimited:
		return kind == "" || kind == "too_many_requests"
	default:
		return kind == identityNotFound || kind == "acs_system_not_found" || seam.IsDisconnection(kind)
	}
}

// blameSystem explains a refusal by the access system only if that is disconnected. Its other errors, a full site for
// instance, may have nothing to do with the refusal.
func (c *creator) blameSystem(ctx context.Context, u *record.User, cause error) outcome {
	system, err := c.seam.System(c.ledger.because(ctx, "why Seam refused the ACS user"), u.ACSSystemID)
	if err != nil {
		return outcome{}
	}
	c.systems.record(ctx, system)
	if code := system.Disconnected(); code != "" {
		api := new(seam.Error)
		if errors.As(cause, &api) {
			blamed := *api
			blamed.Type = code
			return fails(&blamed)
		}
	}
	return outcome{}
}

// blameGroups looks the listing's access groups up again, and plans again if they are not what was assumed.
func (c *creator) blameGroups(ctx context.Context, d plan.Desired, cause error) outcome {
	before := fmt.Sprint(d.Groups, d.SystemID)
	c.directory.forget(c.work.Listing.Groups())
	after, out := c.demand.desired(ctx)
	if out.stops() {
		return out
	}
	if fmt.Sprint(after.Groups, after.SystemID) != before {
		return again()
	}
	return fails(cause)
}

// createKey makes the mobile key of an ACS user.
func (c *creator) createKey(ctx context.Context, d plan.Desired, u *record.User) outcome {
	// If this attempt created the user, the mark is already set: the user can't have a key yet.
	if !u.HasNewUsersMark() {
		keys, err := c.finder.mobileKeys(c.ledger.because(ctx, "whether the ACS user has a mobile key"), u)
		if seam.KindOf(err) == seam.NotFound {
			return c.checker.afterNotFound(ctx, d, u, err)
		}
		if err != nil {
			return fails(err)
		}
		if len(keys) > 0 {
			u.TakeKeys(keys)
			return c.ledger.saveUser(ctx, u)
		}
		u.MarkKey(c.now())
		if out := c.ledger.saveMark(ctx, u); out.stops() {
			return out
		}
	}
	c.ledger.changes++
	started := c.now()
	made, err := c.seam.CreateCredential(c.ledger.because(ctx, "the ACS user has no mobile key"),
		seam.MobileKeyOf(*u.ACSUserID))
	switch {
	case err == nil:
		now := c.now()
		u.KeyCreated(made.ACSCredentialID, made.Problem(), now)
		c.activity.Add(c.work.Reservation.Source, store.ActivityMade, now)
		return c.ledger.saveUser(ctx, u)
	case seam.KindOf(err) == seam.Lost:
		u.KeyCreateLost(c.belief.lostUntil(started, c.now()))
		c.ledger.noteLostCreate()
	case !madeNothing(err): // the create may have made the key before something else failed
		u.KeyCreateLost(c.now())
	case u.HasNewUsersMark():
		u.UnmarkKey()
	default:
		u.Refused()
	}
	if out := c.ledger.saveUser(ctx, u); out.stops() {
		return out
	}
	if seam.KindOf(err) == seam.NotFound {
		return c.checker.afterNotFound(ctx, d, u, err)
	}
	return fails(err)
}
