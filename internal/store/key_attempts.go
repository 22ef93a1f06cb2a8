package store

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/stay"
)

// Where an attempt at a key starts from, and how it ends.
//
// LoadWork reads in one snapshot, without locks: what changes afterwards raises the key's generation. Finish writes the
// verdict under the lease, and looks at what was requested since then:
//
//	current   the generation is still the one that was worked on: the status and its reason are the verdict's.
//	          Otherwise they stay as the request left them, and only what was seen at Seam is written
//	quiet     current, and nobody asked for another check: the key is next due when the verdict says. Otherwise it is
//	          due at once
//
// So no request is lost, whenever it commits: before LoadWork it is worked on, after it the key stays queued.

// Work is everything that a reconcile starts from.
type Work struct {
	Reservation Reservation                 // as the PMS last reported it
	Listing     *Listing                    // nil: the reservation names none, or an unknown one
	Key         MobileKey                   // its mobile key
	Users       []ACSUser                   // the ACS users that exist or may exist, in the order of their ids
	Codes       []BackupCode                // their PINs
	Overrides   Overrides                   // an admin's decisions
	Gates       map[string]stay.GateReports // what was reported about gates, by their name
	Unreachable []Disconnection             // access systems that Seam can't reach
	Removed     []RemovedUser               // ACS users that were removed and may come back
	GroupOwners map[string]string           // which sources used the listing's access groups first
}

// LoadWork reads a reservation with its listing, key and ACS users, in one snapshot and one round trip.
func (s MobileKeys) LoadWork(ctx context.Context, ref Ref) (Work, error) {
	var w Work
	var b pgx.Batch
	b.Queue(`begin isolation level repeatable read read only`)

	b.Queue(`
		SELECT `+prefixed("r", reservationColumns)+`, `+prefixed("k", keyColumns)+`
		FROM reservations r JOIN mobile_keys k USING (source, reservation_id)
		WHERE r.source = $1 AND r.reservation_id = $2`,
		ref.Source, ref.ReservationID).QueryRow(func(row pgx.Row) error {
		return row.Scan(append(w.Reservation.scan(), w.Key.scan()...)...)
	})

	b.Queue(`
		SELECT `+listingColumns+` FROM listings WHERE known AND source = $1
			AND listing_id = (SELECT listing_id FROM reservations WHERE source = $1
				AND reservation_id = $2)`, ref.Source, ref.ReservationID).Query(func(rows pgx.Rows) error {
		list, err := pgx.CollectRows(rows, pgx.RowToStructByName[Listing])
		if len(list) > 0 {
			w.Listing = &list[0]
		}
		return err
	})

	b.Queue(`SELECT `+userColumns+` FROM acs_users WHERE source = $1 AND reservation_id = $2
		ORDER BY id`, ref.Source, ref.ReservationID).Query(func(rows pgx.Rows) (err error) {
		w.Users, err = pgx.CollectRows(rows, pgx.RowToStructByName[ACSUser])
		return err
	})

	b.Queue(backupCodesOf, ref.Source, ref.ReservationID).Query(func(rows pgx.Rows) (err error) {
		w.Codes, err = pgx.CollectRows(rows, pgx.RowToStructByName[BackupCode])
		return err
	})

	b.Queue(removedOf, ref.Source, ref.ReservationID).Query(func(rows pgx.Rows) (err error) {
		w.Removed, err = pgx.CollectRows(rows, pgx.RowToStructByName[RemovedUser])
		return err
	})

	b.Queue(overridesOf, ref.Source, ref.ReservationID).QueryRow(func(row pgx.Row) (err error) {
		w.Overrides, err = scanOverrides(row)
		return err
	})

	b.Queue(gateReportsOfOne, ref.Source, ref.ReservationID).Query(func(rows pgx.Rows) error {
		reports, err := pgx.CollectRows(rows, pgx.RowToStructByName[gateRow])
		w.Gates = mergedGateReports(w.Reservation.Gates, reports)
		return err
	})

	b.Queue(disconnections).Query(func(rows pgx.Rows) (err error) {
		w.Unreachable, err = pgx.CollectRows(rows, pgx.RowToStructByName[Disconnection])
		return err
	})

	b.Queue(`
		SELECT o.acs_access_group_id, o.source FROM listings l,
			unnest(coalesce(l.admin_access_group_ids, l.access_group_ids)) AS g
			CROSS JOIN LATERAL (SELECT * FROM access_group_owners WHERE acs_access_group_id = g OFFSET 0) o
		WHERE l.known AND l.source = $1 AND l.listing_id = (SELECT listing_id FROM reservations WHERE source = $1
			AND reservation_id = $2)`,
		ref.Source, ref.ReservationID).Query(func(rows pgx.Rows) (err error) {
		w.GroupOwners, err = collectOwners(rows)
		return err
	})

	b.Queue(`commit`)
	return w, wrap(s.pool.SendBatch(ctx, &b).Close(), "load reservation %s/%s", ref.Source, ref.ReservationID)
}

// KeyVerdict is how a reconcile judged the key, and when the key is due next. [MobileKeys.Finish] writes it.
type KeyVerdict struct {
	Status     string // one of the Key constants
	Reason     string // "" for none
	Message    string // for people; "" for none
	LastError  string // of the last call that failed, redacted; "" for none
	Generation int64  // the one that was worked on
	Checks     int64  // the requests to look again that it knew about
	Done       bool   // no work is left
	Check      bool   // compare with Seam next time
	KeepRevive bool   // what somebody removed or suspended at Seam is still wanted back: nothing could be done now
	Attempts   int    // failed ones in a row
	AttemptsOf int64  // the generation that attempts count for
	// how many of the attempts had a create that Seam answered with an earlier ACS user
	ReturnedCreates int
	Failures        int        // without a usable answer, in a row
	FailingSince    *time.Time // since when Seam has given no usable answer; nil: it has
	Next            *time.Time // when to look again; nil: when something changes
	NextIsRetry     bool       // Next is a retry after a failure
	OverAt          *time.Time // when the stay is over; nil: not known
	UncertainSince  *time.Time // the end of the last create whose answer was lost; nil: none may have left something
	VerifiedAt      *time.Time // the last full comparison with Seam; nil: never
	SettledAt       *time.Time // when the key reached its status; nil: not settled
}

// finishKey writes a verdict. Whatever was requested in the meantime (another generation, more checks) stays due. The
// key's rank is left to the request, and to [MobileKeys.QueueDue].
const finishKey = `
	WITH before AS (
		SELECT status, reason, message, generation = @generation::bigint AS current, generation = @generation::bigint
			AND checks = @checks::bigint AS quiet
		FROM mobile_keys WHERE source = @source AND reservation_id = @reservation_id FOR NO KEY UPDATE),
	done AS (UPDATE mobile_keys k SET
		status = CASE WHEN b.current THEN @status::text ELSE k.status END,
		reason = CASE WHEN b.current THEN nullif(@reason::text, '') ELSE k.reason END,
		message = CASE WHEN b.current THEN nullif(@message::text, '') ELSE k.message END,
		last_error = CASE WHEN b.current THEN nullif(@last_error::text, '') ELSE k.last_error END,
		observed_generation = CASE WHEN @done::boolean THEN @generation::bigint ELSE k.observed_generation END,
		attempt_generation = CASE WHEN b.current THEN @attempts_of::bigint ELSE k.attempt_generation END,
		attempts = CASE WHEN b.current THEN @attempts::integer ELSE k.attempts END,
		returned_creates = CASE WHEN b.current THEN @returned_creates::smallint ELSE k.returned_creates END,
		failing_since = CASE WHEN b.current THEN @failing_since::timestamptz ELSE k.failing_since END,
		failures = CASE WHEN b.current THEN least(@failures::integer, 1000) ELSE k.failures END,
		next_reconcile_at = CASE WHEN b.quiet THEN @next::timestamptz
			ELSE least(@next::timestamptz, @now::timestamptz) END,
		queued = NOT b.quiet OR coalesce(@next::timestamptz <= @now::timestamptz, false),
		next_is_retry = @next_is_retry::boolean AND b.current,
		over_at = @over_at::timestamptz,
		check_requested = @check::boolean OR (k.check_requested AND NOT (b.quiet AND @done::boolean)),
		revive = k.revive AND (@keep_revive::boolean OR NOT (b.current AND @done::boolean)),
		uncertain_since = @uncertain_since::timestamptz, verified_at = coalesce(@verified_at::timestamptz,
			k.verified_at),
		settled_at = CASE WHEN b.current THEN @settled_at::timestamptz ELSE k.settled_at END,
		lease_token = NULL, lease_until = NULL,
		changed_at = CASE WHEN b.current AND (k.status, k.reason, k.message, k.attempts, k.last_error, k.settled_at)
			IS DISTINCT FROM (@status::text, nullif(@reason::text, ''), nullif(@message::text, ''), @attempts::integer,
				nullif(@last_error::text, ''), @settled_at::timestamptz)
			THEN greatest(@now::timestamptz, k.changed_at + interval '1 microsecond') ELSE k.changed_at END
	FROM before b
	WHERE k.source = @source AND k.reservation_id = @reservation_id AND k.lease_token = @token::uuid
	RETURNING (b.status, b.reason, b.message) IS DISTINCT FROM (k.status, k.reason, k.message) AS changed),
	reported AS (INSERT INTO timeline (source, reservation_id, at, kind, summary, detail)
		SELECT @source, @reservation_id, n.at, n.kind, n.summary, n.detail::jsonb
		FROM done CROSS JOIN unnest(@ats::timestamptz[], @kinds::text[], @summaries::text[], @details::text[],
			@if_changed::boolean[]) WITH ORDINALITY AS n (at, kind, summary, detail, if_changed, i)
		WHERE done.changed OR NOT n.if_changed ORDER BY n.i)
	SELECT staykey_require(EXISTS (SELECT FROM done), '` + codeLeaseLost + `', 'another worker has this key')`

// Finish is what ends an attempt.
type Finish struct {
	KeyVerdict
	At       time.Time        // when the attempt ended
	Entries  []Entry          // for the timeline
	OnChange Entry            // for the timeline, if the key's status, reason or message changes
	Also     func(*pgx.Batch) // other writes of the same commit; nil for none
}

// Finish writes the verdict and ends the lease. Any request made in the meantime makes the key due at once. It
// doesn't wait for the disk: what an attempt has created is recorded already, and if Postgres crashes, the key is
// looked at again.
func (s MobileKeys) Finish(ctx context.Context, l Lease, f Finish) error {
	args := pgx.StrictNamedArgs{
		"source": l.Source, "reservation_id": l.ReservationID, "token": l.Token, "now": f.At,
		"status": f.Status, "reason": f.Reason, "message": Storable(f.Message), "last_error": Storable(f.LastError),
		"generation": f.Generation, "done": f.Done, "attempts": f.Attempts, "attempts_of": f.AttemptsOf,
		"returned_creates": f.ReturnedCreates, "failing_since": f.FailingSince, "failures": f.Failures,
		"checks": f.Checks, "check": f.Check, "keep_revive": f.KeepRevive,
		"next": f.Next, "next_is_retry": f.NextIsRetry, "over_at": f.OverAt,
		"uncertain_since": f.UncertainSince, "verified_at": f.VerifiedAt, "settled_at": f.SettledAt,
	}
	rows, err := newTimelineRows(append(slices.Clone(f.Entries), f.OnChange))
	if err != nil {
		return wrap(err, "finish %s/%s", l.Source, l.ReservationID)
	}
	ifChanged := make([]bool, len(rows.at))
	ifChanged[len(f.Entries)] = true
	args["ats"], args["kinds"], args["summaries"], args["details"] = rows.at, rows.kinds, rows.summaries, rows.details
	args["if_changed"] = ifChanged
	err = s.inPipeline(ctx, func(b *pgx.Batch) {
		b.Queue(dontWaitForDisk)
		b.Queue(finishKey, args) // first: it locks the key, and ends the transaction of a worker that has lost it
		if f.Also != nil {
			f.Also(b)
		}
	}, nil, nil)
	return wrap(required(err), "finish %s/%s", l.Source, l.ReservationID)
}
