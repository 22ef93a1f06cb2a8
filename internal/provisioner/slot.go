package provisioner

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/provisioner/plan"
	"github.com/staykey/staykey/internal/provisioner/record"
	"github.com/staykey/staykey/internal/provisioner/rows"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// Slots: Seam documents one ACS user per (access system, identity). A stay claims that slot in our table, where it is
// unique, before it creates anything at Seam.

// ownIdentities is how many identities of its own a reservation may need at once: one, another while the guest
// changes, and for ten minutes one for each guest and access system with a lost create.
const ownIdentities = 32

// answeredWithOthers is how many creates of a stay may be answered with other people's ACS users before a person is
// asked: one on the guest's identity, and one on an identity of the stay's own.
const answeredWithOthers = 2

// slots finds and claims the slot for a stay's new ACS user, and gives up one that turned out to be somebody else's.
// It creates user identities, through [identities], but no ACS user: that is for the [creator].
type slots struct {
	store      *store.Store
	now        func() time.Time
	log        *slog.Logger
	seam       *seam.Client
	ledger     *ledger
	belief     belief
	users      *users
	identities *identities
	finder     *finder
	work       *store.Work // as it was loaded

	fresh          map[int64]bool // rows whose identity surely has no ACS user yet
	claimed        map[int64]bool // rows whose slot was claimed in this attempt
	useOwnIdentity bool           // the guest's identity can't be used
}

// take finds the identity for the new ACS user, and claims its slot on the access system: the guest's own, if
// that slot is known to be free, otherwise one of the reservation's own.
func (s *slots) take(ctx context.Context, d plan.Desired) outcome {
	if out := s.askAboutOthers(ctx); out.stops() {
		return out
	}
	if d.GuestKey != "" && !s.useOwnIdentity && !d.PerStay {
		c, out := s.identities.ofGuest(ctx, d)
		if out.stops() {
			return out
		}
		if c.usable {
			if taken, out := s.claim(ctx, d, c); taken || out.stops() {
				return out
			}
		}
		s.useOwnIdentity = true
	}
	return s.takeOwn(ctx, d)
}

// takeOwn claims the slot of one of the reservation's own identities.
func (s *slots) takeOwn(ctx context.Context, d plan.Desired) outcome {
	for n := range ownIdentities {
		c, out := s.identities.own(ctx, n)
		if out.stops() {
			return out
		}
		// What this stay's other guest was given, or this guest for a key that is gone, shows the keys of this
		// identity until it is taken back.
		if handed, err := s.store.UserIdentities.IsHandedToOthers(ctx, *c.ID, d.GuestKey); handed || err != nil {
			if err != nil {
				return fails(err)
			}
			continue
		}
		if taken, out := s.claim(ctx, d, c); taken || out.stops() {
			return out
		}
	}
	return fails(errors.New("no user identity with a free slot could be created"))
}

// askAboutOthers stops the attempt if two creates for the stay were answered with ACS users that aren't its own, one on
// an identity of its own, and those still exist: a third would be answered no better. A person has to look at them.
func (s *slots) askAboutOthers(ctx context.Context) outcome {
	var there []string
	for i := range s.users.rows {
		u := &s.users.rows[i]
		if !u.AnsweredWithOthers() {
			continue
		}
		for _, id := range slices.Clone(u.Others) {
			other := u.Other(id)
			_, is, out := s.finder.look(ctx, &other, "whether the ACS user that isn't the stay's is still there")
			switch {
			case out.stops():
				return out
			case is != absent:
				there = append(there, id)
				continue
			}
			u.DropOther(id)
			if out := s.ledger.saveUser(ctx, u); out.stops() {
				return out
			}
		}
	}
	if len(there) < answeredWithOthers {
		return outcome{}
	}
	what := "it answers creates with ACS users that aren't the stay's: " + strings.Join(there, ", ")
	return person(&plan.Verdict{
		Status: stay.KeyAttention, Reason: stay.ReasonNotKept, Message: stay.Message(stay.ReasonNotKept, what),
		Next: plan.LookSlow,
	})
}

// claim claims the slot of an identity on the access system, with the mark for the create that follows. It returns
// false if the slot is taken, by another stay of ours or by somebody else's ACS user. An ACS user that we created for
// this very stay and have no record of, because the database was restored to an earlier time, is adopted through the
// mark like that of a lost create.
func (s *slots) claim(ctx context.Context, d plan.Desired, c candidate) (bool, outcome) {
	u := record.InSlot(s.work.Reservation.Ref(), d.GuestKey, d.SystemID, c.Key, *c.ID)
	known := false // an ACS user of this stay exists already
	if !c.fresh {
		free, ours, out := s.isFree(ctx, d, c, &u)
		if !free || out.stops() {
			return false, out
		}
		known = ours
	}
	u.MarkCreate(d.Starts, d.Ends, d.Groups, d.Generation, s.now())
	taken, out := s.ledger.saveSlot(ctx, c.Identity, &u)
	switch {
	case errors.Is(out.err, store.ErrErasing) && c.StayOnly:
		return false, outcome{} // a delete of it may still take effect
	case errors.Is(out.err, store.ErrErasing):
		return false, wait(s.now().Add(deletePoll), "The guest's data is being erased: the key is created afterwards")
	case out.stops() || !taken:
		return false, out
	}
	s.fresh[u.ID], s.claimed[u.ID] = !known, true
	s.users.rows = append(s.users.rows, u)
	return true, outcome{}
}

// isFree asks our table and Seam whether an identity has an ACS user on the access system. ours reports that it
// has one of this stay.
func (s *slots) isFree(ctx context.Context, d plan.Desired, c candidate, u *record.User) (free,
	ours bool, out outcome,
) {
	holder, err := s.store.ACSUsers.SlotHolder(ctx, d.SystemID, *c.ID)
	if err == nil {
		s.noteTaken(d, holder)
	}
	if !errors.Is(err, store.ErrNotFound) {
		return false, false, fails(err)
	}

	asking := s.ledger.because(ctx, "whether the identity has an ACS user on the access system")
	linked, out := s.finder.find(asking, u)
	if out.stops() {
		return false, false, out
	}
	if linked.gone { // begin again with another identity
		return false, false, firstOutcome(s.identities.forget(ctx, &c), again)
	}

	if c.MadeByUs {
		if ours, out = s.finder.isStillThere(ctx, linked.ours); out.stops() {
			return false, false, out
		}
	}

	if len(linked.others) > 0 || len(linked.ours) > 0 && !ours {
		if len(linked.ours) > 0 && c.MadeByUs { // listed, but gone when asked for alone: the list lags
			return len(linked.others) == 0, false, outcome{}
		}
		s.ledger.note("the user identity already has an ACS user on access system %s", d.SystemID)
		return false, false, outcome{}
	}
	return true, ours, outcome{}
}

// noteTaken records that another stay has the slot of the guest's own identity, so that this one gets an
// identity of its own, without the guest's address. A reservation of another source is not named: readers of this
// timeline may not have access to that source.
func (s *slots) noteTaken(d plan.Desired, holder stay.Ref) {
	own := s.work.Reservation.Ref()
	if holder == own {
		return
	}
	if holder.Source == own.Source {
		s.ledger.note("reservation %s already uses the guest's identity on access system %s: this stay gets its own user identity", holder.ReservationID, d.SystemID)
		return
	}
	s.ledger.note("a stay of another source already uses the guest's identity on access system %s: this stay gets its own user identity, without the guest's address", d.SystemID)
	s.log.Warn("guest's identity already used by another source; the stay gets its own", "source",
		s.work.Reservation.Source, "reservation_id", s.work.Reservation.ReservationID,
		"acs_system_id", d.SystemID, "other_source", holder.Source, "other_reservation_id", holder.ReservationID)
}

// verify makes sure that the identity of a slot that an earlier attempt claimed can still be used: no delete of it may
// take effect any more, and it is still the guest's. Somebody may have given it another address since. What a lost
// create has left there is looked for first.
func (s *slots) verify(ctx context.Context, d plan.Desired, i int) outcome {
	u := &s.users.rows[i]
	if s.claimed[u.ID] {
		return outcome{}
	}
	identity, err := s.store.UserIdentities.Get(ctx, u.UserIdentityKey)
	switch {
	case err != nil && !errors.Is(err, store.ErrNotFound):
		return fails(err)
	case identity.IsErasing(s.now()):
		return wait(identity.ErasingAt.Add(store.EraseWithin), "A delete of the user identity may still take effect")
	case d.GuestKey == "" || u.UserIdentityKey != d.GuestKey:
		return outcome{}
	}
	is, err := s.identities.read(s.ledger.because(ctx, "whether the user identity is still the guest's"),
		u.UserIdentityID, u.UserIdentityKey)
	switch {
	case seam.KindOf(err) == seam.NotFound:
		return outcome{} // neither its id nor its key is known: the create finds out
	case err != nil:
		return fails(err)
	case is.EmailAddress == "" || sameAddress(is.EmailAddress, d.Email):
		return outcome{}
	}
	s.ledger.note("user identity %s has another e-mail address now and is not used", u.UserIdentityID)
	return s.giveUp(ctx, i) // the guest's address may be free
}

// leave gives up a slot that turned out to be somebody else's, and the guest's identity with it.
func (s *slots) leave(ctx context.Context, i int) outcome {
	s.useOwnIdentity = true
	return s.giveUp(ctx, i)
}

// giveUp gives up a slot. What a lost create may have left there is still looked for.
func (s *slots) giveUp(ctx context.Context, i int) outcome {
	u := &s.users.rows[i]
	if u.MayExist() {
		u.SetAside(s.now())
		if out := s.ledger.saveUser(ctx, u); out.stops() {
			return out
		}
		return again()
	}
	return s.forget(ctx, i, nil)
}

// identityGone handles a row's identity that Seam no longer has. Whatever was linked to it is gone, too.
func (s *slots) identityGone(ctx context.Context, i int) outcome {
	u := &s.users.rows[i]
	gone, holder, out := s.identities.goneOrReplaced(ctx, u)
	if out.stops() {
		return out
	}
	if !gone {
		return contradicted(errContradiction)
	}
	s.ledger.note("user identity %s is gone from Seam", u.UserIdentityID)
	row, err := s.store.UserIdentities.Get(ctx, u.UserIdentityKey)
	if err != nil {
		return fails(err)
	}
	identity := rows.Identity(row)
	if identity.ID != nil && *identity.ID == u.UserIdentityID {
		identity.Gone(holder)
	}
	return s.forget(ctx, i, &identity)
}

// forget deletes the row of a slot that is given up, and saves the record of its identity, unless that is nil.
func (s *slots) forget(ctx context.Context, i int, identity *record.Identity) outcome {
	id := s.users.rows[i].ID
	out := s.ledger.commit(ctx, func(ctx context.Context, tx pgx.Tx, _ bool) error {
		if err := store.DeleteACSUser(ctx, tx, id); err != nil || identity == nil {
			return err
		}
		return store.SaveUserIdentity(ctx, tx, rows.UserIdentity(*identity))
	})
	if out.stops() {
		return out
	}
	s.users.drop(i)
	return again()
}
