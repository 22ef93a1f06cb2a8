package admin

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// This file does one action to several reservations, each in a transaction of its own, and undoes it for a while.

const (
	// MostActedOn bounds how many reservations one request acts on.
	MostActedOn = 100
	// UndoWithin is how long an action can be undone.
	UndoWithin = 15 * time.Minute
)

// BulkAction is what an admin does to several reservations.
type BulkAction struct {
	Action // without times
	// Of a window: how much earlier than check-in access begins, and how much later than check-out it ends.
	Earlier, Later time.Duration
}

// RefusedAction is a reservation that was left alone, and why.
type RefusedAction = store.RefusedAction

// Batch is what one request did.
type Batch struct {
	ID        string
	Action    ActionKind
	Done      []stay.Ref
	Refused   []RefusedAction
	UndoUntil *time.Time // nil: nothing can be undone
	Undone    bool
}

// ActOnMany does an action to some reservations. Those that refuse it don't stop the others. An action that is
// invalid for any reservation, such as one without a reason, is refused as a whole.
func (s Actions) ActOnMany(ctx context.Context, refs []stay.Ref, action BulkAction) (Batch, error) {
	refs = unique(refs)
	if n := len(refs); n == 0 || n > MostActedOn {
		return Batch{}, InvalidField("reservations", "must name 1 to 100 reservations")
	}
	if action.Kind == Window && action.Earlier <= 0 && action.Later <= 0 {
		return Batch{}, InvalidField("later_minutes", "must be above 0, or earlier_minutes must")
	}
	a := ActorOf(ctx)
	id := uuid.New()
	if a.RequestKey != nil { // sent again, it is the same batch, and does nothing twice
		id = uuid.NewHash(sha256.New(), uuid.Nil, a.RequestKey, 5)
	}
	now := s.now().UTC()
	err := s.store.Batches.Begin(ctx, store.ActionBatch{
		BatchID: id, At: now, UndoUntil: now.Add(UndoWithin), Action: string(action.Kind),
		Author: a.Author(plainText(action.Author)),
	})
	if err != nil {
		return Batch{}, err
	}
	// Who closes the page doesn't leave half of it done, with no way to undo that.
	refused, err := s.actOnEach(context.WithoutCancel(ctx), refs, action, id)
	if err != nil {
		return Batch{}, err
	}
	if err := s.store.Batches.Finish(ctx, id, refused, nil); err != nil {
		return Batch{}, err
	}
	done, err := s.Batch(ctx, id.String())
	if _, nothing := IsRefusal(err); err != nil && !nothing {
		return Batch{}, err
	}
	done.ID, done.Action, done.Refused = id.String(), action.Kind, refused // also of sources that the actor doesn't see
	return done, nil
}

// actOnEach does an action to each reservation, and returns those that refuse it.
func (s Actions) actOnEach(
	ctx context.Context, refs []stay.Ref, action BulkAction, batch uuid.UUID,
) ([]RefusedAction, error) {
	refused := []RefusedAction{}
	for _, ref := range refs {
		err := s.actOne(ctx, ref, action, batch)
		if err != nil && store.CauseOf(err) == store.CauseLocked {
			err = lockedAway
		}
		why, is := IsRefusal(err)
		if err != nil && (!is || why.Kind == Invalid) {
			return nil, err
		}
		if is {
			refused = append(refused, RefusedAction{
				Source: ref.Source, ReservationID: ref.ReservationID,
				Code: cmp.Or(why.Code, "not_found"), Why: withoutReason(why),
			})
		}
	}
	return refused, nil
}

// lockedAway refuses one of several reservations. The others are not affected.
var lockedAway = &Error{
	Kind: Unavailable, Code: "unavailable",
	Message: "another transaction in the database holds it: try again in a moment",
}

// withoutReason says why an action was refused, as it may be kept: the reason of a hold may be about the guest.
func withoutReason(why *Error) string {
	if why.Code == "reservation_held" {
		return "the reservation is held: release it first"
	}
	return why.Message
}

func unique(refs []stay.Ref) (once []stay.Ref) {
	seen := map[stay.Ref]bool{}
	for _, ref := range refs {
		if !seen[ref] {
			once = append(once, ref)
		}
		seen[ref] = true
	}
	return once
}

func (s Actions) actOne(ctx context.Context, ref stay.Ref, action BulkAction, batch uuid.UUID) error {
	if err := visible(ctx, ref); err != nil {
		return err
	}

	if action.Kind == Window {
		v, err := s.store.Reservations.View(ctx, ref)
		if err != nil {
			return notFound(err, noReservation)
		}
		if v.Reservation.CheckIn == nil || v.Reservation.CheckOut == nil {
			return &Error{Kind: Conflict, Code: "dates_unknown", Message: "check-in and check-out are not known yet"}
		}
		o, err := s.store.Reservations.Overrides(ctx, ref)
		if err != nil {
			return err
		}
		starts, ends := o.Window(v.Reservation) // the end that isn't moved stays as an admin has set it
		action.StartsAt = cmp.Or(moved(v.Reservation.CheckIn, -action.Earlier), nilIfZero(starts))
		action.EndsAt = cmp.Or(moved(v.Reservation.CheckOut, action.Later), nilIfZero(ends))
	}

	what := ActorOf(ctx).intakeAction(action.Action)
	what.Batch = batch
	if err := s.intake.Act(ctx, ref, what); err != nil {
		return refusedAction(err)
	}
	return nil
}

// moved is a time of a stay, moved; nil where it isn't.
func moved(at *time.Time, by time.Duration) *time.Time {
	if at == nil || by == 0 {
		return nil
	}
	other := at.Add(by)
	return &other
}

// ActUndoably does an action to one reservation, as [Actions.Act] does, and returns the batch by which it can be
// undone; "" where there is nothing to undo.
func (s Actions) ActUndoably(ctx context.Context, ref stay.Ref, action Action) (batch string, err error) {
	if action.Kind == Reconcile {
		_, err = s.Act(ctx, ref, action)
		return "", err
	}
	if err := visible(ctx, ref); err != nil {
		return "", err
	}
	id, now := uuid.New(), s.now().UTC()
	what := ActorOf(ctx).intakeAction(action)
	what.Batch = id
	err = s.store.Batches.Begin(ctx, store.ActionBatch{
		BatchID: id, At: now, UndoUntil: now.Add(UndoWithin), Action: string(action.Kind), Author: what.By,
	})
	if err == nil {
		err = s.intake.Act(ctx, ref, what)
	}
	return id.String(), refusedAction(err)
}

const noBatch = "nothing to undo: actions can be undone for 15 minutes, by tokens that see their reservations"

// Batch returns what a request did, as far as the actor sees it.
func (s Actions) Batch(ctx context.Context, id string) (Batch, error) {
	batch, err := uuid.Parse(id)
	if err != nil {
		return Batch{}, refuse(NotFound, noBatch)
	}
	b, stays, err := s.store.Batches.Get(ctx, batch)
	if err != nil {
		return Batch{}, notFound(err, noBatch)
	}

	out := Batch{ID: b.BatchID.String(), Action: ActionKind(b.Action)}
	a := ActorOf(ctx)
	left := false // somebody who doesn't see all of its stays has undone it
	for _, one := range stays {
		if !a.Sees(one.Source) {
			continue
		}
		out.Done = append(out.Done, one.Ref)
		if one.Before == nil || one.UndoneAt != nil {
			continue
		}
		left = left || !b.Refuses(one.Ref)
		if b.UndoUntil.After(s.now()) {
			out.UndoUntil = &b.UndoUntil
		}
	}

	out.Undone = b.UndoneAt != nil && !left
	for _, one := range b.Refused {
		if a.Sees(one.Source) {
			out.Refused = append(out.Refused, one)
		}
	}

	if len(out.Done)+len(out.Refused) == 0 {
		return Batch{}, refuse(NotFound, noBatch)
	}
	return out, nil
}

// Undo undoes what a request did. Reservations whose decisions have changed since are left alone. author is as for
// [Actor.Author].
func (s Actions) Undo(ctx context.Context, id, author string) (Batch, error) {
	b, err := s.Batch(ctx, id)
	if err != nil {
		return Batch{}, err
	}
	if b.Undone {
		return b, nil
	}
	if b.UndoUntil == nil {
		return Batch{}, &Error{Kind: Conflict, Code: "nothing_to_undo", Message: noBatch}
	}
	a, person := ActorOf(ctx), plainText(author)
	batch := uuid.MustParse(b.ID)
	refused := []RefusedAction{}
	for _, ref := range b.Done {
		undoing := intake.Undoing{Batch: batch, By: a.Author(person), Audit: a.Audit("undo", person)}
		err := s.intake.Undo(ctx, ref, undoing)
		conflict := intake.ConflictError{}
		switch {
		case errors.As(err, &conflict) && conflict.Code == "nothing_to_undo", errors.Is(err, store.ErrNotFound):
		case errors.As(err, &conflict):
			refused = append(refused, RefusedAction{
				Source: ref.Source, ReservationID: ref.ReservationID,
				Code: conflict.Code, Why: conflict.Message,
			})
		case err != nil:
			return Batch{}, err
		}
	}
	now := s.now().UTC()
	if err := s.store.Batches.Finish(ctx, batch, refused, &now); err != nil {
		return Batch{}, err
	}
	return s.Batch(ctx, b.ID)
}
