package store

import (
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/stay"
)

// MobileKeys is the queue of keys: each row says what one stay's key should be and when a worker looks at it next.
// Keys are requested in a caller's transaction ([RequestKeys]); a worker claims some ([MobileKeys.Claim]), loads what
// is known ([MobileKeys.LoadWork]), commits each step under its lease ([MobileKeys.WithLease]) and ends the attempt
// ([MobileKeys.Finish]).
type MobileKeys struct{ *db }

// Statuses of a mobile key, under the names that this package's users know.
const (
	KeyWaiting      = stay.KeyWaiting
	KeyProvisioning = stay.KeyProvisioning
	KeyIssued       = stay.KeyIssued
	KeyActive       = stay.KeyActive
	KeyAttention    = stay.KeyAttention
	KeyRevoking     = stay.KeyRevoking
	KeyRevoked      = stay.KeyRevoked
	KeyExpired      = stay.KeyExpired
)

// MobileKey is a row of mobile_keys.
type MobileKey struct {
	Status             string     // one of the Key constants
	Reason             *string    // one of the reasons of package stay; nil for none
	Message            *string    // for people: what is wrong and what to do; nil for none
	Generation         int64      // counts changes of what is desired; requests raise it
	ObservedGeneration int64      // the last one that was completed; workers set it
	AttemptGeneration  int64      // the one that Attempts counts for
	Attempts           int        // failed ones in a row
	ReturnedCreates    int        // how many of them had a create that Seam answered with an earlier ACS user
	FailingSince       *time.Time // since when Seam has given no usable answer; nil: it has
	Failures           int        // without a usable answer, in a row
	LastError          *string    // of the last call that failed, redacted; nil for none
	NextReconcileAt    *time.Time // when it is due; nil: when something changes
	NextIsRetry        bool       // NextReconcileAt is a retry after a failure
	CheckRequested     bool       // the next attempt reads Seam instead of trusting the record
	Checks             int64      // requests to look again so far
	Revive             bool       // what somebody removed or suspended at Seam is wanted back
	UncertainSince     *time.Time // the end of the last create whose answer was lost; nil: none may have left something
	VerifiedAt         *time.Time // the last full comparison with Seam; nil: never
	SettledAt          *time.Time // when the key reached its status; nil: not settled
	ChangedAt          time.Time  // when lists last had to show something new
	EventID            *uuid.UUID // the event that last changed what is desired; nil without tracing
}

const keyColumns = `status, reason, message, generation, observed_generation, attempt_generation, attempts,
	returned_creates, failing_since, failures, last_error, next_reconcile_at, next_is_retry, check_requested, checks,
	revive, uncertain_since, verified_at, settled_at, changed_at, event_id`

func (k *MobileKey) scan() []any {
	return []any{
		&k.Status, &k.Reason, &k.Message, &k.Generation, &k.ObservedGeneration, &k.AttemptGeneration,
		&k.Attempts, &k.ReturnedCreates, &k.FailingSince, &k.Failures, &k.LastError,
		&k.NextReconcileAt, &k.NextIsRetry, &k.CheckRequested, &k.Checks, &k.Revive, &k.UncertainSince, &k.VerifiedAt,
		&k.SettledAt, &k.ChangedAt, &k.EventID,
	}
}

func prefixed(table, columns string) string {
	names := strings.Split(columns, ",")
	for i, n := range names {
		names[i] = table + "." + strings.TrimSpace(n)
	}
	return strings.Join(names, ", ")
}

// KeyRequest is what an event, a change of a listing or an admin requests for a key.
type KeyRequest struct {
	Ref
	CheckIn   *time.Time // UTC; nil while no time zone is known
	CheckOut  *time.Time // like CheckIn
	Cancelled bool       // the reservation is: no key is wanted
	RankAt    *time.Time // check-in: the nearest is provisioned first
	Interim   string     // status until a worker looks at it, "" to keep the present one
	Changed   bool       // what is desired has changed
	Revive    bool       // what somebody removed or suspended at Seam is wanted back
	Check     bool       // compare with Seam, because a person asks
	EventID   *uuid.UUID // the event that requests it, if traced
}

// LastRank is the rank of keys that nobody waits for: the stay is over.
var LastRank = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// keyRequestRows are the columns of many [KeyRequest], for unnest.
type keyRequestRows struct {
	sources, ids, interim               []string
	checkIns, checkOuts, ranks          []*time.Time
	cancelled, changed, revive, checked []bool
	events                              []*uuid.UUID
}

func newKeyRequestRows(requests []KeyRequest) keyRequestRows {
	requests = slices.Clone(requests)
	slices.SortFunc(requests, func(a, b KeyRequest) int { return a.Compare(b.Ref) }) // one order for locks
	n := len(requests)

	rows := keyRequestRows{
		sources: make([]string, n), ids: make([]string, n), interim: make([]string, n),
		checkIns: make([]*time.Time, n), checkOuts: make([]*time.Time, n), ranks: make([]*time.Time, n),
		cancelled: make([]bool, n), changed: make([]bool, n), revive: make([]bool, n), checked: make([]bool, n),
		events: make([]*uuid.UUID, n),
	}
	for i, r := range requests {
		rows.sources[i], rows.ids[i], rows.interim[i] = r.Source, r.ReservationID, r.Interim
		rows.checkIns[i], rows.checkOuts[i], rows.ranks[i] = r.CheckIn, r.CheckOut, r.RankAt
		rows.cancelled[i], rows.changed[i], rows.revive[i], rows.checked[i] = r.Cancelled, r.Changed, r.Revive, r.Check
		rows.events[i] = r.EventID
	}
	return rows
}

// InsertKeys creates the keys of new reservations, due at once.
func InsertKeys(batch *pgx.Batch, requests []KeyRequest, now time.Time) {
	if len(requests) == 0 {
		return
	}
	rows := newKeyRequestRows(requests)
	// The month is what the trigger key_listed computes. It does so only for those that come without one.
	batch.Queue(`
		INSERT INTO mobile_keys (source, reservation_id, check_in, cancelled, rank_at, status, revive, event_id,
			check_out, check_out_month, attempt_generation, next_reconcile_at, queued, changed_at)
		SELECT source, reservation_id, check_in, cancelled, rank_at, coalesce(nullif(interim, ''), 'waiting'), revive,
			event_id, check_out, coalesce((extract(year FROM check_out AT TIME ZONE 'UTC') * 12
				+ extract(month FROM check_out AT TIME ZONE 'UTC'))::integer, 0), 1, @now, true, @now
		FROM unnest(@sources::text[], @ids::text[], @check_ins::timestamptz[], @cancelled::boolean[],
			@ranks::timestamptz[], @interim::text[], @revive::boolean[], @events::uuid[], @check_outs::timestamptz[])
			AS w (source, reservation_id, check_in, cancelled, rank_at, interim, revive, event_id, check_out)`,
		pgx.StrictNamedArgs{
			"sources": rows.sources, "ids": rows.ids, "check_ins": rows.checkIns, "cancelled": rows.cancelled,
			"ranks": rows.ranks, "interim": rows.interim, "revive": rows.revive, "events": rows.events,
			"check_outs": rows.checkOuts, "now": now,
		})
}

// RequestKeys makes keys due at once if something changed, and touches the others. One call must not contain a key
// twice.
func RequestKeys(batch *pgx.Batch, requests []KeyRequest, now time.Time) {
	if len(requests) == 0 {
		return
	}
	rows := newKeyRequestRows(requests)
	// Locked first: the statements after it must see what a worker has written in the meantime.
	batch.Queue(`
		SELECT FROM mobile_keys k JOIN unnest($1::text[], $2::text[]) AS w (source, reservation_id) USING (source,
			reservation_id)
		ORDER BY k.source COLLATE "C", k.reservation_id COLLATE "C" FOR NO KEY UPDATE OF k`, rows.sources, rows.ids)
	// A status that a worker has found is kept until the next one has looked, unless it claims more than is known now.
	// It flips to the interim status if that is
	//   - revoking: where a key may still exist. One that needs a person keeps saying so, unless the stay changed;
	//   - provisioning: where access existed or was ending, and where no worker has looked at a new key yet. What
	//     waits or needs a person keeps its reason until a worker has judged it again.
	batch.Queue(`
		UPDATE mobile_keys k SET
			check_in = w.check_in,
			check_out = w.check_out,
			cancelled = w.cancelled,
			generation = k.generation + w.due::int,
			event_id = CASE WHEN w.due THEN coalesce(w.event_id, k.event_id) ELSE k.event_id END,
			next_reconcile_at = CASE WHEN w.due THEN @now ELSE k.next_reconcile_at END,
			queued = k.queued OR w.due,
			next_is_retry = k.next_is_retry AND NOT w.due,
			rank_at = coalesce(least(w.rank_at, w.opens_at), k.rank_at),
			revive = k.revive OR w.revive,
			check_requested = k.check_requested OR w.checked,
			checks = k.checks + w.checked::int,
			attempts = CASE WHEN w.due THEN 0 ELSE k.attempts END,
			returned_creates = CASE WHEN w.due THEN 0 ELSE k.returned_creates END,
			attempt_generation = CASE WHEN w.due THEN k.generation + 1 ELSE k.attempt_generation END,
			failing_since = CASE WHEN w.due THEN NULL ELSE k.failing_since END,
			failures = CASE WHEN w.due THEN 0 ELSE k.failures END,
			last_error = CASE WHEN w.due THEN NULL ELSE k.last_error END,
			status = CASE WHEN w.flips THEN w.interim ELSE k.status END,
			reason = CASE WHEN w.flips THEN NULL ELSE k.reason END,
			message = CASE WHEN w.flips THEN NULL ELSE k.message END,
			settled_at = CASE WHEN w.flips THEN NULL ELSE k.settled_at END,
			changed_at = greatest(@now, k.changed_at + interval '1 microsecond')
		FROM (
			SELECT w.*, w.changed OR w.checked AS due,
				(w.changed OR w.checked) AND CASE w.interim
					WHEN 'revoking' THEN k.status <> 'revoked' AND (w.changed OR k.status <> 'attention')
					WHEN 'provisioning' THEN k.status IN ('issued', 'active', 'revoking', 'revoked', 'expired')
						OR (k.status = 'waiting' AND k.observed_generation = 0)
					ELSE false END AS flips,
				-- a key that should go may open doors long before check-in
				CASE w.interim WHEN 'revoking' THEN (
					SELECT min(greatest(u.starts_at, @now::timestamptz + interval '24 hours')) FROM acs_users u
					WHERE u.source = w.source AND u.reservation_id = w.reservation_id AND u.acs_user_id IS NOT NULL)
				END AS opens_at
			FROM unnest(@sources::text[], @ids::text[], @check_ins::timestamptz[], @cancelled::boolean[],
				@ranks::timestamptz[], @interim::text[], @changed::boolean[], @revive::boolean[], @checked::boolean[],
				@events::uuid[], @check_outs::timestamptz[])
				AS w (source, reservation_id, check_in, cancelled, rank_at, interim, changed, revive, checked, event_id,
					check_out)
			JOIN mobile_keys k USING (source, reservation_id)) w
		WHERE k.source = w.source AND k.reservation_id = w.reservation_id`,
		pgx.StrictNamedArgs{
			"sources": rows.sources, "ids": rows.ids, "check_ins": rows.checkIns, "cancelled": rows.cancelled,
			"ranks": rows.ranks, "interim": rows.interim, "changed": rows.changed, "revive": rows.revive,
			"checked": rows.checked, "events": rows.events, "check_outs": rows.checkOuts, "now": now,
		})
}
