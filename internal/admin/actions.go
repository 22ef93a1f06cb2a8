package admin

import (
	"context"
	"errors"
	"time"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// Actions are what admins do about stays: hold, revoke, re-issue, other times, gates. Those of many stays, and those
// that can be undone, are kept as a batch.
type Actions struct{ *core }

// ActionKind is what an admin can do to a reservation.
type ActionKind = intake.ActionKind

// What an admin can do. While a reservation is held, it can only be released.
const (
	Reconcile = intake.ActionReconcile
	Revoke    = intake.ActionRevoke
	Reissue   = intake.ActionReissue
	Hold      = intake.ActionHold
	Release   = intake.ActionRelease
	Window    = intake.ActionWindow
)

// Action is what an admin does to a reservation.
type Action struct {
	Kind   ActionKind
	Author string // who uses the token, if several people do; "" for nobody in particular
	Reason string // required, except for a reconcile
	// StartsAt and EndsAt are when access begins and ends, of a window; nil as the stay does.
	StartsAt, EndsAt *time.Time
}

// Act does an action, and returns the reservation after it.
func (s Actions) Act(ctx context.Context, ref stay.Ref, action Action) (View, error) {
	if err := visible(ctx, ref); err != nil {
		return View{}, err
	}
	if err := s.intake.Act(ctx, ref, ActorOf(ctx).intakeAction(action)); err != nil {
		return View{}, refusedAction(err)
	}
	v, err := Reservations(s).view(ctx, ref)
	if err == nil && action.Kind == Reconcile {
		err = errors.Join(s.repeatWriteBack(ctx, v), s.store.Doors.Check(ctx, ref))
	}
	return v, notFound(err, noReservation)
}

// Overrides is what admins have decided about a reservation.
type Overrides struct {
	Held    *Decision       // nothing at Seam is changed while it is not nil
	Revoked *Decision       // no key, whatever the PMS says, until it is issued again
	Window  *WindowDecision // when access begins and ends instead of with the stay
}

// Decision is one thing that an admin has decided.
type Decision struct {
	By     string
	Reason string
	At     time.Time
}

// WindowDecision is a window that an admin has set.
type WindowDecision struct {
	Decision
	StartsAt *time.Time // nil: as the stay begins
	EndsAt   *time.Time // nil: as the stay ends
}

// Overrides returns what admins have decided about a reservation, as far as it applies.
func (s Actions) Overrides(ctx context.Context, v View) (Overrides, error) {
	ref := v.Reservation.Ref()
	if err := visible(ctx, ref); err != nil {
		return Overrides{}, err
	}
	o, err := s.store.Reservations.Overrides(ctx, ref)
	if err != nil {
		return Overrides{}, err
	}
	return overridesOf(o, v.Reservation), nil
}

func overridesOf(o store.Overrides, r Reservation) Overrides {
	decision := func(at *time.Time, by, why *string) *Decision {
		if at == nil {
			return nil
		}
		return &Decision{By: stay.Text(by), Reason: stay.Text(why), At: *at}
	}
	out := Overrides{
		Held:    decision(o.HeldAt, o.HeldBy, o.HeldWhy),
		Revoked: decision(o.RevokedAt, o.RevokedBy, o.RevokedWhy),
	}
	if d := decision(o.WindowAt, o.WindowBy, o.WindowWhy); d != nil && o.WindowHolds(r) {
		starts, ends := o.Window(r)
		out.Window = &WindowDecision{Decision: *d, StartsAt: nilIfZero(starts), EndsAt: nilIfZero(ends)}
	}
	return out
}

func nilIfZero(at time.Time) *time.Time {
	if at.IsZero() {
		return nil
	}
	return &at
}
