package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

// This file records how attempts at deliveries ended, and how receivers are doing.

// AttemptResult is how one try ended.
type AttemptResult struct {
	At         time.Time     // when it was sent
	Duration   time.Duration // until the answer, or until it failed
	StatusCode int           // 0: no answer
	Error      string        // "" if it was delivered
	Answer     string        // the beginning of the answer's body; "" for none
}

// AttemptNext is what follows from a try.
type AttemptNext struct {
	Delivered bool       // the receiver has it
	RetryAt   time.Time  // when to try again; ignored once it is delivered
	NotBefore *time.Time // nothing is sent to the subscription before this time
	Disable   string     // why the subscription is disabled; "" if it isn't
}

// RecordAttempt records how a try of a claimed delivery ended; judge gets the subscription before it, and how often
// the stay has been tried without success. It returns [ErrLeaseLost] if the lease has ended and another process has
// the stay: then nothing is recorded. Successes don't wait for the disk: one that a crash of Postgres loses is
// delivered again, under its id.
func (s Deliveries) RecordAttempt(ctx context.Context, c ClaimedDelivery, r AttemptResult, now time.Time,
	judge func(Subscription, int) AttemptNext,
) (AttemptNext, error) {
	var next AttemptNext
	var sub Subscription
	var tries int

	err := s.quietly(ctx, func(b *pgx.Batch) {
		b.Queue(`SELECT `+subscriptionColumns+` FROM subscriptions WHERE name = $1 FOR NO KEY UPDATE`, c.Subscription).
			Query(func(rows pgx.Rows) (err error) {
				sub, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Subscription])
				return err
			})
		b.Queue(`
			SELECT tries FROM subscription_stays WHERE source = $1 AND reservation_id = $2 AND subscription = $3
				AND lease_token = $4 FOR NO KEY UPDATE`,
			c.Source, c.ReservationID, c.Subscription, c.Token).
			QueryRow(func(row pgx.Row) error { return row.Scan(&tries) })
	}, nil, func(b *pgx.Batch) error {
		next = judge(sub, tries)
		insertAttempt(b, c.Delivery, c.Attempt, r)
		recordHealth(b, sub, next, r, now)
		if next.Delivered {
			recordDelivered(b, c, now)
		} else {
			recordFailure(b, c, next)
		}
		return nil
	})

	if errors.Is(err, pgx.ErrNoRows) {
		return next, ErrLeaseLost
	}
	return next, wrap(err, "record an attempt at delivery %s", c.DeliveryID)
}

func insertAttempt(b *pgx.Batch, d Delivery, attempt int, r AttemptResult) {
	b.Queue(`
		INSERT INTO delivery_attempts (delivery_id, attempt, at, duration_ms, status_code, error, answer)
		VALUES (@delivery_id, @attempt, @at, @duration_ms, @status_code, nullif(@error, ''),
			nullif(@answer, ''))`, pgx.StrictNamedArgs{
		"delivery_id": d.DeliveryID, "attempt": attempt, "at": r.At, "duration_ms": r.Duration.Milliseconds(),
		"status_code": r.StatusCode,
		"error":       r.Error, "answer": r.Answer,
	})
}

// healthEvery is the precision with which the time of the last success is kept.
const healthEvery = time.Second

func recordHealth(b *pgx.Batch, before Subscription, next AttemptNext, r AttemptResult, now time.Time) {
	if next.Delivered {
		if before.Failures == 0 && before.LastSuccessAt != nil && now.Sub(*before.LastSuccessAt) < healthEvery {
			return
		}
		b.Queue(`
			UPDATE subscriptions SET failures = 0, failing_since = NULL, not_before = NULL, unanswered = false,
				last_success_at = greatest(last_success_at, $2)
			WHERE name = $1`, before.Name, now)
		if before.Failures >= deadAfter {
			hurry(b, before.Name, now)
		}
		return
	}
	b.Queue(`
		UPDATE subscriptions SET failures = failures + 1, failing_since = coalesce(failing_since, @at),
			not_before = @not_before,
			last_failure_at = @now, last_error = @error, unanswered = @status = 0,
			disabled_at = CASE WHEN @disable <> '' THEN coalesce(disabled_at, @now) ELSE disabled_at END,
			disabled_by = CASE WHEN @disable <> '' THEN coalesce(disabled_by, 'staykey') ELSE disabled_by END,
			disabled_why = CASE WHEN @disable <> '' THEN coalesce(disabled_why, @disable) ELSE disabled_why END
		WHERE name = @name`,
		pgx.StrictNamedArgs{
			"name": before.Name, "at": r.At, "now": now, "not_before": next.NotBefore, "error": r.Error,
			"disable": next.Disable, "status": r.StatusCode,
		})
}

func recordDelivered(b *pgx.Batch, c ClaimedDelivery, now time.Time) {
	b.Queue(dontWaitForDisk)
	b.Queue(`UPDATE deliveries SET status = 'delivered', attempts = $2, next_attempt_at = NULL, finished_at = $3
		WHERE delivery_id = $1`, c.DeliveryID, c.Attempt, now)
	b.Queue(`
		UPDATE subscription_stays w SET reported = coalesce(@state, reported),
			reported_sequence = greatest(reported_sequence, @sequence), unconfirmed = '[]', tries = 0,
			lease_token = NULL, lease_until = NULL, due_at = CASE WHEN k.sequence = @looked_at AND NOT @more::boolean
				AND NOT w.again THEN NULL ELSE @now::timestamptz END
		FROM mobile_keys k WHERE w.source = @source AND w.reservation_id = @reservation_id
			AND w.subscription = @subscription
			AND k.source = w.source AND k.reservation_id = w.reservation_id`, pgx.StrictNamedArgs{
		"state": c.State, "sequence": c.Sequence, "looked_at": c.Present.Sequence, "more": c.More, "now": now,
		"source": c.Source, "reservation_id": c.ReservationID, "subscription": c.Subscription,
	})
}

func recordFailure(b *pgx.Batch, c ClaimedDelivery, next AttemptNext) {
	b.Queue(`UPDATE deliveries SET status = 'waiting', finished_at = NULL, attempts = $2, next_attempt_at = $3
		WHERE delivery_id = $1`, c.DeliveryID, c.Attempt, next.RetryAt)
	// A resend that failed is sent again.
	b.Queue(`
		UPDATE subscription_stays SET tries = tries + 1, lease_token = NULL, lease_until = NULL, due_at = $4,
			again = again OR $5
		WHERE source = $1 AND reservation_id = $2 AND subscription = $3`,
		c.Source, c.ReservationID, c.Subscription, next.RetryAt, c.State == nil)
}
