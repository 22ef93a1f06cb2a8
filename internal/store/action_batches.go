package store

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// ActionBatches are actions on several stays at once, so that they can be looked up and undone.
type ActionBatches struct{ *db }

// ActionBatch is what one request of an admin did to some reservations. While UndoUntil has not passed, it can be
// undone: each of its stays holds the admins' decisions before and after it.
type ActionBatch struct {
	BatchID   uuid.UUID       // random, or made of the request's Idempotency-Key
	At        time.Time       // when the request came
	UndoUntil time.Time       // exclusive
	Action    string          // as of the audit log
	Author    string          // who asked for it, as timelines show it
	Refused   []RefusedAction // in the order of the request; after an undo, what that left alone
	UndoneAt  *time.Time      // nil: not undone
}

// RefusedAction is a reservation to which a batch did nothing.
type RefusedAction struct {
	Source        string `json:"source"`         // of the reservation
	ReservationID string `json:"reservation_id"` // as the request has it; there may be none of that id
	Code          string `json:"code"`           // for programs; docs/errors.md lists them
	Why           string `json:"why"`            // for people
}

// Refuses reports whether a batch, or its undo, left a reservation alone.
func (b ActionBatch) Refuses(ref Ref) bool {
	return slices.ContainsFunc(b.Refused, func(r RefusedAction) bool {
		return r.Source == ref.Source && r.ReservationID == ref.ReservationID
	})
}

// BatchStay is one reservation of a batch.
type BatchStay struct {
	Ref
	Before, After *Overrides // nil: there is nothing to undo
	UndoneAt      *time.Time // nil: not undone
}

// BatchesKept is how long batches are kept, longer than any may be undone: a request that is sent again with the same
// Idempotency-Key finds what it has done already.
const BatchesKept = 24 * time.Hour

// Begin records a batch before its actions. A batch that exists is unchanged.
func (s ActionBatches) Begin(ctx context.Context, b ActionBatch) error {
	_, err := s.pool.Exec(ctx, `INSERT INTO action_batches (batch_id, at, undo_until, action, author)
		VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`, b.BatchID, b.At, b.UndoUntil, b.Action, b.Author)
	return wrap(err, "begin a batch of actions")
}

// Prune deletes up to limit batches whose request came before a time, and returns how many.
func (s ActionBatches) Prune(ctx context.Context, before time.Time, limit int) (int, error) {
	tag, err := s.pool.Exec(ctx, `
		DELETE FROM action_batches WHERE batch_id = ANY (ARRAY (
			SELECT batch_id FROM action_batches WHERE at < $1 ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED))`,
		before, limit)
	return int(tag.RowsAffected()), wrap(err, "delete old batches of actions")
}

// Finish records what a batch was refused, and when it was undone; nil leaves that as it is.
func (s ActionBatches) Finish(ctx context.Context, batch uuid.UUID, refused []RefusedAction, undone *time.Time) error {
	encoded, err := json.Marshal(refused)
	if err != nil {
		return wrap(err, "encode refused actions")
	}
	_, err = s.pool.Exec(ctx, `UPDATE action_batches SET refused = $2, undone_at = coalesce($3, undone_at)
		WHERE batch_id = $1`, batch, encoded, undone)
	return wrap(err, "finish a batch of actions")
}

// Get returns a batch with its stays, or [ErrNotFound].
func (s ActionBatches) Get(ctx context.Context, batch uuid.UUID) (ActionBatch, []BatchStay, error) {
	rows, _ := s.pool.Query(ctx, `SELECT batch_id, at, undo_until, action, author, refused, undone_at
		FROM action_batches WHERE batch_id = $1`, batch)
	b, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[ActionBatch])
	if err != nil {
		return b, nil, wrap(err, "read a batch of actions")
	}
	rows, _ = s.pool.Query(ctx, batchStays+` WHERE batch_id = $1 ORDER BY source, reservation_id`, batch)
	stays, err := pgx.CollectRows(rows, scanBatchStay)
	return b, stays, wrap(err, "read the stays of a batch of actions")
}

const batchStays = `SELECT source, reservation_id, before, after, undone_at FROM action_batch_stays`

func scanBatchStay(row pgx.CollectableRow) (b BatchStay, err error) {
	err = row.Scan(&b.Source, &b.ReservationID, &b.Before, &b.After, &b.UndoneAt)
	return b, err
}

// LockedBatchStay returns a batch's stay, whose reservation is locked; ok is false if the batch has not done
// anything to it.
func LockedBatchStay(ctx context.Context, tx pgx.Tx, batch uuid.UUID, ref Ref) (b BatchStay, ok bool, err error) {
	rows, _ := tx.Query(ctx, batchStays+` WHERE batch_id = $1 AND source = $2 AND reservation_id = $3`, batch,
		ref.Source, ref.ReservationID)
	found, err := pgx.CollectRows(rows, scanBatchStay)
	if err != nil || len(found) == 0 {
		return BatchStay{}, false, wrap(err, "read a stay of a batch of actions")
	}
	return found[0], true, nil
}

// QueueBatchStay records what a batch did to a stay.
func QueueBatchStay(b *pgx.Batch, batch uuid.UUID, n BatchStay) {
	b.Queue(`INSERT INTO action_batch_stays (batch_id, source, reservation_id, before, after)
		VALUES ($1, $2, $3, $4, $5)`, batch, n.Source, n.ReservationID, n.Before, n.After)
}

// QueueUndoneStay records that what a batch did to a stay was undone.
func QueueUndoneStay(b *pgx.Batch, batch uuid.UUID, ref Ref, at time.Time) {
	b.Queue(`UPDATE action_batch_stays SET undone_at = $4
		WHERE batch_id = $1 AND source = $2 AND reservation_id = $3`, batch, ref.Source, ref.ReservationID, at)
}

// forgetBatches removes what would bring decisions back that are no longer kept.
const forgetBatches = `DELETE FROM action_batch_stays t WHERE `
