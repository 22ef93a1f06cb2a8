package intake

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// ActionKind is what an admin can do to a reservation.
type ActionKind string

// What an admin can do. While a reservation is held, it can only be released.
const (
	ActionReconcile ActionKind = "reconcile" // compare with Seam and repair now
	ActionRevoke    ActionKind = "revoke"    // no key, whatever the PMS reports, until it is issued again
	ActionReissue   ActionKind = "reissue"   // a new mobile key, replacing the present one if there is one
	ActionHold      ActionKind = "hold"      // change nothing at Seam
	ActionRelease   ActionKind = "release"   // end the hold
	ActionWindow    ActionKind = "window"    // access begins or ends at other times than the stay
)

// Action is what an admin does to a reservation.
type Action struct {
	Kind     ActionKind  // what to do
	By       string      // who, for the timeline
	Why      string      // "" if none was given
	StartsAt *time.Time  // of a window; nil: with the stay
	EndsAt   *time.Time  // of a window; nil: as reported by the PMS
	Audit    store.Audit // by which token and through which interface; the rest is filled in
	// Batch is the request that does this to several reservations, so that it can be undone; zero for none. It does
	// nothing to a reservation twice.
	Batch uuid.UUID
}

// MaxReason is how long a reason, and what somebody gives as evidence, may be, in characters.
const MaxReason = 500

// InputError means that an action itself is invalid, for any reservation.
type InputError struct {
	Field   string // as REST names it
	Message string // what is wrong with it, for people
}

// Error implements error.
func (e InputError) Error() string { return e.Message }

// CheckLength returns an [InputError] if a text, such as a reason, is longer than [MaxReason]. field is how REST names
// it.
func CheckLength(field, text string) error {
	if utf8.RuneCountInString(text) > MaxReason {
		return InputError{field, fmt.Sprintf("must have at most %d characters", MaxReason)}
	}
	return nil
}

// check validates an action: everything but a reconcile needs a reason.
func (c Action) check() error {
	if err := CheckLength("reason", c.Why); err != nil {
		return err
	}
	if strings.TrimSpace(c.Why) == "" && c.Kind != ActionReconcile {
		return InputError{"reason", "is required: it is shown in the timeline"}
	}
	return nil
}

// ConflictError says why the reservation's present state doesn't allow an action, and what to do instead.
type ConflictError struct {
	Code    string // for programs; docs/errors.md lists them
	Message string // for people
}

// Error implements error.
func (e ConflictError) Error() string { return e.Message }

// farthestWindow is how far a window may extend beyond the stay: more would be another stay, which the PMS should
// know about.
const farthestWindow = 7 * 24 * time.Hour

// Act performs an admin's action on a reservation. It returns an [InputError] if the action itself is invalid,
// [store.ErrNotFound] if there is no such reservation, and a [ConflictError] if its present state doesn't allow the
// action.
func (a *Applier) Act(ctx context.Context, ref stay.Ref, action Action) error {
	if err := action.check(); err != nil {
		return err
	}
	err := a.store.InTx(ctx, func(tx pgx.Tx) error { return a.act(ctx, tx, ref, action) })
	if err == nil {
		a.applied()
		return nil
	}
	if conflict := (ConflictError{}); errors.Is(err, store.ErrNotFound) || errors.As(err, &conflict) {
		return err
	}
	return fmt.Errorf("%s %s/%s: %w", action.Kind, ref.Source, ref.ReservationID, err)
}

func (a *Applier) act(ctx context.Context, tx pgx.Tx, ref stay.Ref, action Action) error {
	now := a.now().UTC()
	r, err := lockReported(ctx, tx, ref)
	if err != nil {
		return err
	}

	if action.Batch != uuid.Nil {
		if _, done, err := store.LockedBatchStay(ctx, tx, action.Batch, ref); err != nil || done {
			return err
		}
	}

	before, err := store.LockedOverrides(ctx, tx, ref)
	if err != nil {
		return err
	}
	credential, err := store.CredentialOf(ctx, tx, ref)
	if err != nil {
		return err
	}
	after, err := action.on(r, before, credential, now)
	if err != nil {
		return err
	}

	var writes pgx.Batch
	if after != before {
		store.SaveOverrides(&writes, ref, after)
	}
	action.queueBatchStay(&writes, ref, before, after)
	store.RequestKeys(&writes, []store.KeyRequest{action.keyRequest(r, before, after, now)}, now)

	entry := store.Entry{
		Ref: ref, At: now, Kind: stay.TimelineAction, Summary: action.summary(),
		Detail: action.detail(),
	}
	if err := store.QueueTimeline(&writes, []store.Entry{entry}); err != nil {
		return err
	}
	if err := store.QueueAudit(&writes, action.audit(ref, before, after, now)); err != nil {
		return err
	}
	return tx.SendBatch(ctx, &writes).Close()
}

// keyRequest is the request to the provisioner, with the key's status until it is done.
func (c Action) keyRequest(r store.Reservation, before, after store.Overrides, now time.Time) store.KeyRequest {
	w := keyRequest(r, now, false, c.Kind == ActionReconcile || c.Kind == ActionReissue)
	w.Check = c.Kind == ActionReconcile || c.Kind == ActionRelease
	w.Changed = after != before || c.Kind == ActionReissue // even if there is no key to replace: one has to be created
	switch {
	case c.Kind == ActionHold:
		w.Interim = "" // unchanged
	case before.RevokedAt != nil && after.RevokedAt != nil:
		w.Interim = "" // it has been revoked: whatever is left is being removed
	case after.RevokedAt != nil:
		w.Interim = stay.KeyRevoking
	}
	return w
}

// lockReported locks a reservation that a PMS has reported; [store.ErrNotFound] for any other.
func lockReported(ctx context.Context, tx pgx.Tx, ref stay.Ref) (store.Reservation, error) {
	found, err := store.LockReservations(ctx, tx, []stay.Ref{ref})
	if err != nil {
		return store.Reservation{}, err
	}
	r, ok := found[ref]
	if !ok || r.VersionSeq == 0 {
		return r, store.ErrNotFound
	}
	return r, nil
}

// on returns an admin's decisions about a reservation after the action.
func (c Action) on(r store.Reservation, o store.Overrides, credential *string, now time.Time) (store.Overrides, error) {
	if held := o.Held(); held != "" && c.Kind != ActionRelease {
		return o, ConflictError{"reservation_held", "the reservation is held (" + held + "): release it first"}
	}
	needsKey := c.Kind == ActionRevoke || c.Kind == ActionReissue || c.Kind == ActionWindow
	if needsKey && r.Status == pms.Cancelled {
		return o, ConflictError{
			"reservation_cancelled",
			"the reservation is cancelled and has no key: reinstate it in the PMS",
		}
	}

	switch c.Kind {
	case ActionHold:
		o.HeldAt, o.HeldBy, o.HeldWhy = &now, &c.By, &c.Why
	case ActionRelease:
		o.HeldAt, o.HeldBy, o.HeldWhy = nil, nil, nil
	case ActionRevoke:
		o.RevokedAt, o.RevokedBy, o.RevokedWhy = &now, &c.By, &c.Why
	case ActionReissue:
		return reissue(r, o, credential, now)
	case ActionWindow:
		return c.window(r, o, now)
	}
	return o, nil
}

// reissue replaces a mobile key, unless access has ended: the new one would open nothing.
func reissue(r store.Reservation, o store.Overrides, credential *string, now time.Time) (store.Overrides, error) {
	ends := r.CheckOut
	if _, later := o.Window(r); !later.IsZero() {
		ends = &later
	}
	if ends != nil && !ends.After(now) {
		return o, ConflictError{
			"stay_over",
			"the stay is over: set another window, or correct check-out in the PMS",
		}
	}

	o.RevokedAt, o.RevokedBy, o.RevokedWhy, o.ReplaceCredential = nil, nil, nil, credential
	return o, nil
}

// window sets when access begins and ends, as long as the PMS does not move the stay.
func (c Action) window(r store.Reservation, o store.Overrides, now time.Time) (store.Overrides, error) {
	if c.StartsAt == nil && c.EndsAt == nil {
		o.SetWindow(r, nil, nil)
		return o, nil
	}
	if r.CheckIn == nil || r.CheckOut == nil {
		return o, ConflictError{
			"dates_unknown",
			"check-in and check-out are not known yet: complete the reservation in the PMS, or set the listing's time zone",
		}
	}
	o.SetWindow(r, inUTC(c.StartsAt), inUTC(c.EndsAt))
	starts, ends := *r.CheckIn, *r.CheckOut
	if o.StartsAt != nil {
		starts = *o.StartsAt
	}
	if o.EndsAt != nil {
		ends = *o.EndsAt
	}
	switch {
	case !ends.After(starts):
		return o, ConflictError{"window_invalid", "access would end before it begins; the stay is from " +
			pms.FormatInstant(*r.CheckIn) + " to " + pms.FormatInstant(*r.CheckOut)}
	case starts.Before(r.CheckIn.Add(-farthestWindow)), ends.After(r.CheckOut.Add(farthestWindow)):
		return o, ConflictError{"window_invalid", "access can be extended by at most seven days; the stay is from " +
			pms.FormatInstant(*r.CheckIn) + " to " + pms.FormatInstant(*r.CheckOut) +
			". To go further, change the stay in the PMS"}
	}

	o.WindowAt, o.WindowBy, o.WindowWhy = &now, &c.By, &c.Why
	return o, nil
}

func inUTC(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	utc := t.UTC()
	return &utc
}

func (c Action) summary() string {
	by := c.By
	if by == "" {
		by = "an admin"
	}
	text := by + " " + map[ActionKind]string{
		ActionReconcile: "requested a check and repair", ActionRevoke: "revoked the key",
		ActionReissue: "requested a new mobile key",
		ActionHold:    "put it on hold", ActionRelease: "released the hold", ActionWindow: "changed the access times",
	}[c.Kind]
	if c.Kind == ActionWindow && c.StartsAt == nil && c.EndsAt == nil {
		text = by + " reset the access times to the stay's"
	}
	if c.Why != "" {
		text += " (" + c.Why + ")"
	}
	return text
}

func (c Action) detail() map[string]any {
	detail := map[string]any{"action": string(c.Kind)}
	for name, value := range map[string]string{"by": c.By, "reason": c.Why} {
		if value != "" {
			detail[name] = value
		}
	}
	for name, value := range map[string]*time.Time{"starts_at": c.StartsAt, "ends_at": c.EndsAt} {
		if value != nil {
			detail[name] = pms.FormatInstant(*value)
		}
	}
	return detail
}

// audit records how an action changed the admins' decisions about a reservation.
func (c Action) audit(ref stay.Ref, before, after store.Overrides, now time.Time) store.Audit {
	a := c.Audit.About(ref.Source, ref.ReservationID, c.Why)
	a.At, a.Action, a.Author = now, string(c.Kind), c.By
	if before != after {
		a.Before, a.After = decisionsOf(before), decisionsOf(after)
	}
	return a
}

// decisionsOf lists what admins have decided about a reservation, for the audit log.
func decisionsOf(o store.Overrides) map[string]any {
	fields := map[string]any{"held": o.HeldAt != nil, "revoked": o.RevokedAt != nil}
	for name, at := range map[string]*time.Time{"starts_at": o.StartsAt, "ends_at": o.EndsAt} {
		if at != nil {
			fields[name] = pms.FormatInstant(*at)
		}
	}
	if o.ReplaceCredential != nil {
		fields["replaces_credential"] = *o.ReplaceCredential
	}
	return fields
}
