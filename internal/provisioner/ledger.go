package provisioner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/attribute"

	"github.com/staykey/staykey/internal/point"
	"github.com/staykey/staykey/internal/provisioner/record"
	"github.com/staykey/staykey/internal/provisioner/rows"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/tracing"
)

// ledger writes for an attempt: a mark before each call that changes something, its result after it, the timeline, and
// at the end the verdict. Every commit checks that the lease is still ours and that the work has not been overtaken.
// The ledger decides nothing and makes no call to Seam; it records the calls that are made with its contexts.
type ledger struct {
	store   *store.Store
	now     func() time.Time
	lease   store.Lease
	work    *store.Work // as it was loaded
	belief  belief
	preview bool // the attempt only plans: nothing may be written

	entries []store.Entry       // of the timeline, not written yet
	pending []store.ACSUser     // what was only read, to be written with the next commit
	removed []store.RemovedUser // removed ACS users, to be written with the next commit
	changes int                 // changing calls made
	lostAt  *time.Time          // the last create whose answer was lost

	returned bool // a create was answered with an ACS user that existed before
}

// commitTimeout bounds the writing of a mark or result. It doesn't end with the attempt: what happened at Seam must be
// recorded even if no time is left for anything else.
const commitTimeout = 5 * time.Second

// commit writes a mark or a result with the timeline so far, if the lease is still ours. The outcome is stale if it
// was written, but the work has been overtaken.
func (l *ledger) commit(ctx context.Context, fn func(ctx context.Context, tx pgx.Tx, stale bool) error) outcome {
	if l.preview {
		return fails(errors.New("a preview must not write"))
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.store.Within(commitTimeout))
	defer cancel()

	pending, removed := l.takePending(), l.takeRemoved()
	write := func(tx pgx.Tx, generation int64) error {
		for _, u := range pending {
			if err := store.SaveACSUser(ctx, tx, u); err != nil {
				return err
			}
		}
		if len(removed) > 0 {
			var batch pgx.Batch
			l.queueRemoved(&batch, removed)
			if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
				return err
			}
		}
		return fn(ctx, tx, generation != l.work.Key.Generation)
	}

	generation, err := l.store.Keys.WithLease(ctx, l.lease, l.entries, l.newLoss(), write)
	if err != nil && !errors.Is(err, store.ErrOvertaken) {
		return fails(err)
	}
	return l.committed(err, generation)
}

// save is commit in one round trip, for what needs no answer before it is committed. If onlyIfDesired, nothing is
// written once the work has been overtaken.
func (l *ledger) save(ctx context.Context, onlyIfDesired bool, queue func(*pgx.Batch)) outcome {
	if l.preview {
		return fails(errors.New("a preview must not write"))
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.store.Within(commitTimeout))
	defer cancel()
	onlyIf := int64(0)
	if onlyIfDesired {
		onlyIf = l.work.Key.Generation
	}
	pending, removed := l.takePending(), l.takeRemoved()
	generation, err := l.store.Keys.SaveWithLease(ctx, l.lease, onlyIf, l.entries, l.newLoss(), func(b *pgx.Batch) {
		queueUsers(b, pending)
		l.queueRemoved(b, removed)
		queue(b)
	})
	if err != nil && !errors.Is(err, store.ErrOvertaken) {
		return fails(err)
	}
	return l.committed(err, generation)
}

// committed is the outcome of a commit that was made at that generation of the key, or refused as overtaken.
func (l *ledger) committed(overtaken error, generation int64) outcome {
	if overtaken == nil {
		l.entries = nil
		point.Reach(point.Recorded)
	}
	if overtaken != nil || generation != l.work.Key.Generation {
		return outcome{kind: stale}
	}
	return outcome{}
}

// newLoss is when the answer to a create was last lost, if the key's row doesn't have it yet.
func (l *ledger) newLoss() *time.Time {
	if l.lostAt == l.work.Key.UncertainSince {
		return nil
	}
	return l.lostAt
}

// takePending returns what was only read, for the commit that is about to be made. It is handed out once: should the
// answer to that commit be lost, an older state must not follow what was written after it.
func (l *ledger) takePending() []store.ACSUser {
	pending := l.pending
	l.pending = nil
	return pending
}

// keepRemoved has a removed ACS user written with the next commit, or with the verdict.
func (l *ledger) keepRemoved(u store.RemovedUser) { l.removed = append(l.removed, u) }

// takeRemoved returns the removed ACS users for the commit that is about to be made, once, as [ledger.takePending].
func (l *ledger) takeRemoved() []store.RemovedUser {
	removed := l.removed
	l.removed = nil
	return removed
}

func (l *ledger) queueRemoved(b *pgx.Batch, removed []store.RemovedUser) {
	for _, u := range removed {
		store.QueueRemovedUser(b, l.lease.Ref, u)
	}
}

func queueUsers(b *pgx.Batch, users []store.ACSUser) {
	for _, u := range users {
		store.QueueACSUser(b, u)
	}
}

// saveUser commits one ACS user's row.
func (l *ledger) saveUser(ctx context.Context, u *record.User) outcome {
	return l.save(ctx, false, func(b *pgx.Batch) { store.QueueACSUser(b, rows.ACSUser(u.Row)) })
}

// saveWithNext has one ACS user's row written with the next commit, or with the verdict: what was only read at Seam
// can be read again if it is lost.
func (l *ledger) saveWithNext(u *record.User) {
	l.pending = append(l.pending, rows.ACSUser(u.Row))
}

// saveUnlessPreview commits one ACS user's row if the attempt may write.
func (l *ledger) saveUnlessPreview(ctx context.Context, u *record.User) outcome {
	if l.preview {
		return outcome{}
	}
	return l.saveUser(ctx, u)
}

// saveMark commits the mark, in an ACS user's row, of a call that is about to be made. If the work has been overtaken,
// neither is made.
func (l *ledger) saveMark(ctx context.Context, u *record.User) outcome {
	out := l.save(ctx, true, func(b *pgx.Batch) { store.QueueACSUser(b, rows.ACSUser(u.Row)) })
	point.Reach(point.Marked)
	return out
}

// mark commits the mark of a call that is about to be made. If the work has been overtaken, neither is made.
func (l *ledger) mark(ctx context.Context, save func(ctx context.Context, tx pgx.Tx) error) outcome {
	out := l.commit(ctx, func(ctx context.Context, tx pgx.Tx, stale bool) error {
		if stale {
			return store.ErrOvertaken
		}
		return save(ctx, tx)
	})
	point.Reach(point.Marked)
	return out
}

// saveIdentity commits a user identity's record.
func (l *ledger) saveIdentity(ctx context.Context, identity record.Identity) outcome {
	return l.save(ctx, false, func(b *pgx.Batch) { store.QueueUserIdentity(b, rows.UserIdentity(identity)) })
}

// saveSlot commits a user identity's record, and claims its slot with a row that is marked for its create. It returns
// false if the slot is taken. If the work has been overtaken, only the identity is written, which is worth keeping.
func (l *ledger) saveSlot(ctx context.Context, identity record.Identity, u *record.User) (bool, outcome) {
	row := rows.ACSUser(u.Row)
	out := l.save(ctx, false, func(b *pgx.Batch) {
		store.QueueUserIdentity(b, rows.UserIdentity(identity))
		store.QueueSlot(b, &row, l.work.Key.Generation, l.now())
	})
	u.Claimed(row.ID)
	return u.ID != 0, out
}

// finish writes the verdict and the rest of the timeline, and ends the lease.
func (l *ledger) finish(ctx context.Context, v store.KeyVerdict) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.store.Within(commitTimeout))
	defer cancel()
	now, before := l.now(), l.work.Key
	pending, removed := l.takePending(), l.takeRemoved()
	return l.store.Keys.Finish(ctx, l.lease, store.Finish{
		KeyVerdict: v, At: now, Entries: l.entries,
		OnChange: store.Entry{
			Ref: l.lease.Ref, At: now, Kind: stay.TimelineStatus, Summary: before.Status + " → " + v.Status,
			Detail: map[string]any{"from": before.Status, "to": v.Status, "reason": v.Reason, "message": v.Message},
		},
		Also: func(b *pgx.Batch) {
			queueUsers(b, pending)
			l.queueRemoved(b, removed)
		},
	})
}

// noteLostCreate remembers that the answer to a create was lost, for later look-ups. It is written with the next
// commit.
func (l *ledger) noteLostCreate() {
	now := l.now()
	l.lostAt = &now
}

// noteSurplus remembers that a lost create has left a second ACS user: there may be a third, which is looked for as
// after a lost create. It is written with the next commit.
func (l *ledger) noteSurplus() {
	if !l.belief.mayComeLate(l.lostAt) {
		l.noteLostCreate()
	}
}

// note adds a decision without a call to the timeline.
func (l *ledger) note(format string, args ...any) {
	l.entries = append(l.entries, store.Entry{
		Ref: l.work.Reservation.Ref(), At: l.now(), Kind: stay.TimelineStep, Summary: fmt.Sprintf(format, args...),
	})
}

// because returns a context whose calls are recorded in the timeline, with their reason.
func (l *ledger) because(ctx context.Context, reason string) context.Context {
	return seam.WithRecorder(ctx, func(c seam.Call) { l.recordCall(ctx, c, reason) })
}

// discreetly returns a context whose calls are recorded in the timeline without Seam's messages: they may quote codes.
func (l *ledger) discreetly(ctx context.Context, reason string) context.Context {
	return seam.WithRecorder(ctx, func(c seam.Call) {
		if api := new(seam.Error); errors.As(c.Err, &api) {
			silent := *api
			silent.Message = ""
			c.Err = &silent
		} else if c.Err != nil {
			c.Err = fmt.Errorf("%s failed", c.Path)
		}
		l.recordCall(ctx, c, reason)
	})
}

// recordCall adds a call to Seam to the trace and the timeline.
func (l *ledger) recordCall(ctx context.Context, c seam.Call, reason string) {
	point.Reach(point.Called)
	tracing.Done(ctx, "seam "+c.Path, c.At, c.At.Add(c.Duration), c.Err,
		attribute.String("seam.request_id", c.RequestID), attribute.Int("http.response.status_code", c.Status))
	result := "ok"
	detail := map[string]any{
		"path": c.Path, "reason": reason, "request_id": c.RequestID, "duration_ms": c.Duration.Milliseconds(),
		"status": c.Status,
	}
	if c.Err != nil {
		result = seam.KindOf(c.Err).String()
		detail["error"] = c.Err.Error()
	}
	detail["result"] = result
	l.entries = append(l.entries, store.Entry{
		Ref: l.work.Reservation.Ref(), At: c.At.UTC(), Kind: stay.TimelineRequest, Summary: c.Path + ": " +
			result, Detail: detail,
	})
}
