package store

import (
	"context"
	"crypto/subtle"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// KeptRequests are requests with an Idempotency-Key and their answers, so that a repeated request is answered again
// instead of being carried out again.
type KeptRequests struct{ *db }

// RequestsKept is how long a request with an Idempotency-Key is remembered.
const RequestsKept = 24 * time.Hour

// RequestState is how far a request with an Idempotency-Key is.
type RequestState int

// States of such a request.
const (
	RequestClaimed  RequestState = iota // the caller does it, and then calls Finish or Release
	RequestRunning                      // another process, or another request of this one, is doing it
	RequestFinished                     // it was done, and its answer is kept
	RequestOther                        // the key belongs to another request
)

// KeptRequest is the record of a request with an Idempotency-Key.
type KeptRequest struct {
	State     RequestState // whether the caller must act, wait, or repeat the answer
	Lease     uuid.UUID    // of RequestClaimed
	Committed bool         // of RequestClaimed: an earlier try committed a change, and its answer was lost
	Status    int          // of RequestFinished
	MediaType string       // like Status
	Body      []byte       // like Status
}

// Claim claims a request until the lease ends, unless another has it or it was done within [RequestsKept].
// Both run by the database's clock.
func (s KeptRequests) Claim(ctx context.Context, key, fingerprint []byte,
	lease time.Duration,
) (k KeptRequest, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		k = KeptRequest{}
		var token *uuid.UUID
		err := tx.QueryRow(ctx, `
			INSERT INTO idempotent_requests AS i (request_key, fingerprint, lease_token, lease_until, created_at)
			VALUES (@key, @fingerprint, gen_random_uuid(), clock_timestamp() + @lease::interval, now())
			ON CONFLICT (request_key) DO UPDATE SET fingerprint = excluded.fingerprint,
				lease_token = excluded.lease_token, lease_until = excluded.lease_until,
				status = NULL, media_type = NULL, body = NULL, created_at = excluded.created_at
			WHERE i.created_at < now() - @keep::interval OR (i.status IS NULL AND i.lease_until < clock_timestamp()
				AND i.fingerprint = excluded.fingerprint)
			RETURNING lease_token`,
			pgx.StrictNamedArgs{
				"key": key, "fingerprint": fingerprint, "lease": lease,
				"keep": RequestsKept,
			}).Scan(&token)
		if err == nil {
			k.State, k.Lease = RequestClaimed, *token
			return tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM audit WHERE request_key = $1
				AND at > now() - $2::interval)`, key, RequestsKept).Scan(&k.Committed)
		}
		if !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		var of []byte
		var status *int
		var media *string
		err = tx.QueryRow(ctx, `SELECT fingerprint, status, media_type, body FROM idempotent_requests
			WHERE request_key = $1`, key).Scan(&of, &status, &media, &k.Body)
		switch {
		case errors.Is(err, pgx.ErrNoRows): // released meanwhile
			k.State = RequestRunning
			return nil
		case err != nil:
			return err
		case subtle.ConstantTimeCompare(of, fingerprint) == 0:
			k = KeptRequest{State: RequestOther}
		case status == nil:
			k.State = RequestRunning
		default:
			k.State, k.Status = RequestFinished, *status
			if media != nil {
				k.MediaType = *media
			}
		}
		return nil
	})
	return k, wrap(err, "claim a request by its Idempotency-Key")
}

// Finish keeps the answer to a claimed request.
func (s KeptRequests) Finish(ctx context.Context, key []byte, k KeptRequest) error {
	_, err := s.pool.Exec(ctx, `
		UPDATE idempotent_requests SET status = $3, media_type = $4, body = $5, lease_token = NULL, lease_until = NULL
		WHERE request_key = $1 AND lease_token = $2`, key, k.Lease, k.Status, unlessEmpty(k.MediaType), k.Body)
	return wrap(err, "keep the answer to a request")
}

// Release gives up the claim of a request that changed nothing.
func (s KeptRequests) Release(ctx context.Context, key []byte, lease uuid.UUID) error {
	_, err := s.pool.Exec(ctx, `DELETE FROM idempotent_requests WHERE request_key = $1
		AND lease_token = $2`, key, lease)
	return wrap(err, "release a request")
}

// Prune forgets up to limit requests that were made longer than [RequestsKept] ago, and returns how many.
func (s KeptRequests) Prune(ctx context.Context, limit int) (int, error) {
	tag, err := s.pool.Exec(ctx, `
		DELETE FROM idempotent_requests WHERE request_key = ANY (ARRAY (
			SELECT request_key FROM idempotent_requests WHERE created_at < now() - $1::interval ORDER BY created_at
				LIMIT $2 FOR UPDATE SKIP LOCKED))`, RequestsKept, limit)
	return int(tag.RowsAffected()), wrap(err, "forget requests")
}
