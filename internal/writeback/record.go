package writeback

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/pmsapi"
	"github.com/staykey/staykey/internal/point"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// This file records what an attempt does, before and after its calls. An attempt ends with one of these, each in a
// commit that holds the lease:
//
//	mark      before a call that changes the field: its content is unsure from now on
//	done      after it was read back: the field is up to date
//	settle    nothing had to be done
//	again     the stays have changed since the decision: due at once
//	failed    why, and when to try again

// Reasons why a field could not be written or cleared, for programs.
const (
	ReasonNoAnswer   = "no_answer"
	ReasonRateLimit  = "rate_limited"
	ReasonAccount    = "account_refused"
	ReasonNotFound   = "not_found"   // the PMS doesn't know the booking, or the field
	ReasonRefused    = "refused"     // the PMS answered that it won't
	ReasonFailing    = "pms_failing" // a server's error
	ReasonNotKept    = "not_kept"    // accepted, but the field shows something else
	ReasonUnreadable = "unreadable"
	ReasonTooLong    = "too_long"
	ReasonProgram    = "program_failed"
)

// Reasons lists the reasons of write-backs in the order of the documentation.
func Reasons() []string {
	return []string{
		ReasonNoAnswer, ReasonRateLimit, ReasonAccount, ReasonNotFound, ReasonRefused, ReasonFailing, ReasonNotKept,
		ReasonUnreadable, ReasonTooLong,
		ReasonProgram,
	}
}

// failure is why a field could not be brought up to date.
type failure struct {
	reason   string
	err      error
	cause    pmsapi.Cause
	status   int
	retry    time.Duration // as the PMS asks
	database bool          // staykey's own database failed, not the PMS
}

// isAboutReading reports whether the PMS refused to read this field, which says nothing about the account or about
// writes.
func (f *failure) isAboutReading() bool {
	switch f.status {
	case http.StatusUnauthorized, http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	}
	return f.status >= 400 && f.status < 500
}

func failureOf(err error) *failure {
	api := new(pmsapi.Error)
	if !errors.As(err, &api) {
		return &failure{err: err, database: true}
	}
	f := &failure{err: err, cause: api.Cause, status: api.Status, retry: api.RetryAfter}
	switch {
	case api.Cause == pmsapi.Silent:
		f.reason = ReasonNoAnswer
	case api.Cause == pmsapi.Busy:
		f.reason = ReasonRateLimit
	case api.Cause == pmsapi.Account || api.Status == 403:
		f.reason = ReasonAccount
	case api.Status == 404 || api.Status == 410:
		f.reason = ReasonNotFound
	case api.Status >= 400 && api.Status < 500:
		f.reason = ReasonRefused
	default:
		f.reason = ReasonFailing
	}
	return f
}

// mark runs right before a call that changes the field. While the stays' keys are locked, it checks that they are as
// they were at the decision, and commits that the field's content is unsure from now on.
func (a *attempt) mark() error {
	if err := a.guard(); err != nil {
		return err
	}

	ctx, cancel := context.WithTimeout(context.Background(), a.store.Within(commitWithin))
	defer cancel()

	err := a.store.WriteBacks.With(ctx, a.lease, a.row.BookingID, a.refs,
		func(tx pgx.Tx, s store.WriteBackState) error {
			if stateOf(s.Stays) != a.seen || s.Row.Changes != a.row.Changes {
				return errChanged
			}
			row := s.Row
			row.Unsure, row.Target = true, encodeTarget(a.target)
			for _, part := range a.write.parts {
				if !slices.Contains(row.Parts, part) {
					row.Parts = append(row.Parts, part)
				}
			}

			var b pgx.Batch
			store.SaveWriteBack(&b, row, soon(a.Now()), a.row.Changes)
			return tx.SendBatch(ctx, &b).Close()
		})
	if err == nil {
		a.calls++
		a.reach(point.WriteBackMarked)
	}
	return err
}

// commitWithin limits how long recording a result may take. Recording continues if the attempt is cancelled.
const commitWithin = 10 * time.Second

func encodeTarget(p target) json.RawMessage {
	encoded, _ := json.Marshal(p) // texts only: it can't fail
	return encoded
}

// save changes the row and adds to the stays' timelines.
func (a *attempt) save(ctx context.Context, change func(*store.WriteBackRow) (due *time.Time),
	entry *store.Entry,
) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.store.Within(commitWithin))
	defer cancel()
	return a.store.WriteBacks.With(ctx, a.lease, a.row.BookingID, a.refs,
		func(tx pgx.Tx, s store.WriteBackState) error {
			row, before := s.Row, s.Row.Status

			due := change(&row)
			if row.Status != before {
				row.ChangedAt = a.Now()
			}

			var b pgx.Batch
			store.SaveWriteBack(&b, row, due, a.row.Changes)
			if len(s.Stays) == 0 && row.Status == store.WriteBackCleared && due == nil {
				store.ForgetWriteBack(&b, row, a.row.Changes)
			}

			if entry != nil && (row.Status != before || row.Status != store.WriteBackFailed && a.calls > 0) {
				var entries []store.Entry
				for ref := range s.Stays {
					e := *entry
					e.Ref = ref
					entries = append(entries, e)
				}
				if err := store.QueueTimeline(&b, entries); err != nil {
					return err
				}
			}
			return tx.SendBatch(ctx, &b).Close()
		})
}

// succeeded forgets the failures before.
func succeeded(row *store.WriteBackRow) {
	row.Reason, row.LastError, row.Tries, row.FailingSince = nil, nil, 0, nil
}

// settle records an attempt with nothing to do.
func (a *attempt) settle(ctx context.Context) error {
	return a.save(ctx, func(row *store.WriteBackRow) *time.Time {
		if !a.write.keep {
			succeeded(row)
			row.Status, row.Parts = store.WriteBackWritten, a.write.parts
			if len(a.write.parts) == 0 {
				row.Status = store.WriteBackCleared
			}
		}
		return nextLook(*row)
	}, nil)
}

// done records that the field is up to date.
func (a *attempt) done(ctx context.Context) error {
	summary := "write-back: " + a.set.Field + " cleared at " + a.set.Preset.Name
	if a.write.kind == write {
		summary = "write-back: " + a.set.Field + " written at " + a.set.Preset.Name
	}

	call, err := a.set.Read(ctx, pms.WriteBackStep{ID: a.row.BookingID, Route: a.target.Route})
	reads := err == nil && call != nil // after a lost call, a field that can't be read is written once more, not twice

	err = a.save(ctx, func(row *store.WriteBackRow) *time.Time {
		succeeded(row)
		row.Unsure, row.Parts = false, a.write.parts
		row.Status, row.Written, row.Target = store.WriteBackCleared, nil, nil
		if a.write.kind == write {
			row.Status, row.Written, row.Target = store.WriteBackWritten, a.hashOf(a.write.text), encodeTarget(a.target)
		}
		if a.write.look {
			row.Looks++
		}
		if row.LostAt != nil && (int(row.Looks) >= len(lateLooks) || !reads && row.Looks > 0) {
			row.LostAt, row.Looks = nil, 0
		}
		if a.write.kind == eraseOld {
			row.Status = store.WriteBackPending
			return soon(a.Now())
		}
		return nextLook(*row)
	}, a.entry(summary, nil))

	if err == nil {
		a.reach(point.WriteBackRecorded)
	}
	return err
}

// again makes the booking due at once.
func (a *attempt) again(ctx context.Context) error {
	return a.save(ctx, func(*store.WriteBackRow) *time.Time { return soon(a.Now()) }, nil)
}

// tryAgainAfter is the pause after the retry policy has given up: a person must correct something. A change of the
// stay, or a person's request, retries at once.
const tryAgainAfter = 6 * time.Hour

// failed records a failure, and when to try again.
func (a *attempt) failed(ctx context.Context, f failure) error {
	now := a.Now()
	message := a.api.Redact(f.err.Error())
	var wait time.Duration
	err := a.save(ctx, func(row *store.WriteBackRow) *time.Time {
		row.Tries++
		if row.FailingSince == nil {
			row.FailingSince = &now
		}
		row.Status, row.Reason, row.LastError = store.WriteBackFailed, &f.reason, &message
		switch {
		case a.calls > 0 && f.cause == pmsapi.Silent:
			row.LostAt, row.Looks = &now, 0
		case a.refused: // nothing changed
			row.Unsure, row.Parts, row.Target = a.row.Unsure, a.row.Parts, a.row.Target
		}
		next := pmsapi.Decide(pmsapi.Attempt{
			Cause: f.cause, Number: int(row.Tries), Since: now.Sub(*row.FailingSince),
			RetryAfter: f.retry,
		}, a.First)
		wait = pmsapi.Scatter(next.Wait)
		switch {
		case next.GiveUp:
			wait = tryAgainAfter
		case next.Hold:
			wait = pmsapi.After(next.Wait)
			a.pause(next.Wait)
		}
		due := now.Add(wait)
		return &due
	}, a.entry("write-back failed: "+message, &f))
	if err == nil {
		a.log.Warn("write-back failed; retrying", "source", a.name, "booking_id", a.row.BookingID, "reason", f.reason,
			"error", message, "in", wait.Round(time.Second).String())
	}
	return err
}

func (a *attempt) entry(summary string, f *failure) *store.Entry {
	detail := map[string]any{"preset": a.set.Preset.Name, "field": a.set.Field}
	if f != nil {
		detail["reason"] = f.reason
		if f.status != 0 {
			detail["status"] = f.status
		}
	}
	return &store.Entry{At: a.Now(), Kind: stay.TimelineStep, Summary: summary, Detail: detail}
}
