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
	"github.com/staykey/staykey/internal/seam"
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

	entries []store.Entry // of the timeline, not written yet
	changes int           // changing calls made
	lostAt  *time.Time    // the last create whose answer was lost
}

// commitTimeout bounds the writing of a mark or result. It doesn't end with the attempt: what happened at Seam must be
// recorded even if no time is left for anything else.
const commitTimeout = 5 * time.Second

// errStale rolls a commit back, because what is desired has changed.
var errStale = errors.New("what is desired has changed in the meantime")

// commit writes a mark or a result with the timeline so far, if the lease is still ours. The outcome is stale if it
// was written, but the work has been overtaken.
func (l *ledger) commit(ctx context.Context, fn func(ctx context.Context, tx pgx.Tx, stale bool) error) outcome {
	if l.preview {
		return fails(errors.New("a preview must not write"))
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.store.Within(commitTimeout))
	defer cancel()
	lostAt := l.lostAt
	if lostAt == l.work.Key.UncertainSince {
		lostAt = nil
	}
	generation, err := l.store.Keys.WithLease(ctx, l.lease, l.entries, lostAt, func(tx pgx.Tx, generation int64) error {
		return fn(ctx, tx, generation != l.work.Key.Generation)
	})
	if err != nil && !errors.Is(err, errStale) {
		return fails(err)
	}
	if err == nil {
		l.entries = nil
		point.Reach(point.Recorded)
	}
	if err != nil || generation != l.work.Key.Generation {
		return outcome{kind: stale}
	}
	return outcome{}
}

// saveUser commits one ACS user's row.
func (l *ledger) saveUser(ctx context.Context, u *record.User) outcome {
	return l.commit(ctx, func(ctx context.Context, tx pgx.Tx, _ bool) error {
		return store.SaveACSUser(ctx, tx, u.ACSUser)
	})
}

// saveUnlessPreview commits one ACS user's row if the attempt may write.
func (l *ledger) saveUnlessPreview(ctx context.Context, u *record.User) outcome {
	if l.preview {
		return outcome{}
	}
	return l.saveUser(ctx, u)
}

// saveMark commits the mark, in an ACS user's row, of a call that is about to be made.
func (l *ledger) saveMark(ctx context.Context, u *record.User) outcome {
	return l.mark(ctx, func(ctx context.Context, tx pgx.Tx) error { return store.SaveACSUser(ctx, tx, u.ACSUser) })
}

// mark commits the mark of a call that is about to be made. If the work has been overtaken, neither is made.
func (l *ledger) mark(ctx context.Context, save func(ctx context.Context, tx pgx.Tx) error) outcome {
	out := l.commit(ctx, func(ctx context.Context, tx pgx.Tx, stale bool) error {
		if stale {
			return errStale
		}
		return save(ctx, tx)
	})
	point.Reach(point.Marked)
	return out
}

// saveIdentity commits a user identity's record.
func (l *ledger) saveIdentity(ctx context.Context, identity store.UserIdentity) outcome {
	return l.commit(ctx, func(ctx context.Context, tx pgx.Tx, _ bool) error {
		return store.SaveUserIdentity(ctx, tx, identity)
	})
}

// finish writes the verdict and the rest of the timeline, and ends the lease.
func (l *ledger) finish(ctx context.Context, v store.KeyOutcome) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.store.Within(commitTimeout))
	defer cancel()
	now := l.now()
	return l.store.Keys.Finish(ctx, l.lease, v, now, func(changed bool) []store.Entry {
		if !changed {
			return l.entries
		}
		before := l.work.Key
		return append(l.entries, store.Entry{
			Ref: l.lease.Ref, At: now, Kind: store.TimelineStatus, Summary: before.Status + " → " + v.Status,
			Detail: map[string]any{"from": before.Status, "to": v.Status, "reason": v.Reason, "message": v.Message},
		})
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
	if l.lostAt == nil || !l.belief.tooEarly(l.lostAt.Add(lastLookup)) {
		l.noteLostCreate()
	}
}

// note adds a decision without a call to the timeline.
func (l *ledger) note(format string, args ...any) {
	l.entries = append(l.entries, store.Entry{
		Ref: l.work.Reservation.Ref(), At: l.now(), Kind: store.TimelineStep, Summary: fmt.Sprintf(format, args...),
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
		Ref: l.work.Reservation.Ref(), At: c.At.UTC(), Kind: store.TimelineRequest, Summary: c.Path + ": " +
			result, Detail: detail,
	})
}
