package intake

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// This file undoes admins' actions. What an action with a batch did to a reservation is recorded with it: the
// decisions before and after. Undoing restores those before, as long as those after are still what applies, and has
// the key follow. So what was done at Seam meanwhile is done again the other way round: a guest whose key was revoked
// gets it back, or a new one if the old one has been deleted.

// Undoing says which action to undo, and who does it.
type Undoing struct {
	Batch uuid.UUID   // whose actions are undone
	By    string      // who undoes them, for the timeline
	Audit store.Audit // the rest is filled in
}

// Refusals of [Applier.Undo].
var (
	errNothingToUndo = ConflictError{
		"nothing_to_undo",
		"there is nothing to undo: the action changed nothing that lasts, or it was undone already",
	}
	errChangedSince = ConflictError{
		"changed_since",
		"somebody has changed it since: nothing was undone",
	}
)

// queueBatchStay records what the action does to a reservation, if it is part of a batch. A new mobile key can't be
// taken back, and a check changes no decision.
func (c Action) queueBatchStay(writes *pgx.Batch, ref stay.Ref, before, after store.Overrides) {
	if c.Batch == uuid.Nil {
		return
	}
	done := store.BatchStay{Ref: ref}
	if c.Kind != ActionReissue && !before.SameDecisions(after) {
		done.Before, done.After = &before, &after
	}
	store.QueueBatchStay(writes, c.Batch, done)
}

// Undo undoes what a batch did to a reservation. It returns [store.ErrNotFound] if the batch did nothing to it, and
// a [ConflictError] if there is nothing to undo or the decisions have changed since.
func (a *Applier) Undo(ctx context.Context, ref stay.Ref, u Undoing) error {
	err := a.store.InTx(ctx, func(tx pgx.Tx) error { return a.undo(ctx, tx, ref, u) })
	if err == nil {
		a.applied()
		return nil
	}
	if conflict := (ConflictError{}); errors.Is(err, store.ErrNotFound) || errors.As(err, &conflict) {
		return err
	}
	return fmt.Errorf("undo an action on %s/%s: %w", ref.Source, ref.ReservationID, err)
}

func (a *Applier) undo(ctx context.Context, tx pgx.Tx, ref stay.Ref, u Undoing) error {
	now := a.now().UTC()
	found, err := store.LockReservations(ctx, tx, []stay.Ref{ref})
	if err != nil {
		return err
	}
	r, known := found[ref]
	if !known {
		return store.ErrNotFound
	}

	current, restored, err := decisionsBefore(ctx, tx, ref, u.Batch)
	if err != nil {
		return err
	}

	request := undoRequest(r, current, restored, now)
	var writes pgx.Batch
	store.SaveOverrides(&writes, ref, restored)
	store.QueueUndoneStay(&writes, u.Batch, ref, now)
	store.RequestKeys(&writes, []store.KeyRequest{request}, now)

	if err := store.QueueTimeline(&writes, []store.Entry{{
		Ref: ref, At: now, Kind: stay.TimelineAction, Summary: u.By + " undid the last action",
		Detail: map[string]any{"action": "undo", "by": u.By},
	}}); err != nil {
		return err
	}

	audit := u.Audit.About(ref.Source, ref.ReservationID, "")
	audit.At, audit.Action, audit.Author = now, "undo", u.By
	audit.Before, audit.After = decisionsOf(current), decisionsOf(restored)
	if err := store.QueueAudit(&writes, audit); err != nil {
		return err
	}
	return tx.SendBatch(ctx, &writes).Close()
}

// decisionsBefore returns what applies to a locked reservation, and what applied before a batch's action.
func decisionsBefore(
	ctx context.Context, tx pgx.Tx, ref stay.Ref, batch uuid.UUID,
) (current, before store.Overrides, err error) {
	done, ok, err := store.LockedBatchStay(ctx, tx, batch, ref)
	if err != nil {
		return current, before, err
	}
	current, err = store.LockedOverrides(ctx, tx, ref)
	switch {
	case err != nil:
		return current, before, err
	case !ok:
		return current, before, store.ErrNotFound
	case done.Before == nil || done.After == nil || done.UndoneAt != nil:
		return current, before, errNothingToUndo
	case !current.SameDecisions(*done.After):
		return current, before, errChangedSince
	}
	before = *done.Before
	before.ReplaceCredential = current.ReplaceCredential
	return current, before, nil
}

// undoRequest is the request to the provisioner that restored decisions need.
func undoRequest(r store.Reservation, current, restored store.Overrides, now time.Time) store.KeyRequest {
	request := keyRequest(r, now, true, current.RevokedAt != nil && restored.RevokedAt == nil)
	request.Check = current.HeldAt != nil && restored.HeldAt == nil
	switch {
	case restored.HeldAt != nil, current.RevokedAt != nil && restored.RevokedAt != nil:
		request.Interim = "" // unchanged
	case restored.RevokedAt != nil:
		request.Interim = stay.KeyRevoking
	}
	return request
}
