package store

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Subscriptions are the receivers of events out that the configuration names: whether each is enabled, what it may not
// have received yet, and its daily digest.
type Subscriptions struct{ *db }

// Subscription is a row of subscriptions: how far it is, and how its receiver is doing.
type Subscription struct {
	Name          string     // as the configuration names it
	DisabledAt    *time.Time // nothing is sent while it is set
	DisabledBy    *string    // who disabled it; nil if DisabledAt is
	DisabledWhy   *string    // the reason; nil if DisabledAt is
	Failures      int        // since the last success
	FailingSince  *time.Time // the first of them
	NotBefore     *time.Time // the receiver asked for silence until then
	LastSuccessAt *time.Time // nil: none so far
	LastFailureAt *time.Time // nil: none so far
	LastError     *string    // of the last failure; nil: none so far
	Unanswered    bool       // the last attempt got no answer: it failed for the receiver, whatever the message
	DigestDueAt   *time.Time // the next daily digest; nil: none is sent
	CreatedAt     time.Time  // when it was first in the configuration
}

const subscriptionColumns = `name, disabled_at, disabled_by, disabled_why, failures, failing_since, not_before,
	last_success_at, last_failure_at, last_error, unanswered, digest_due_at, created_at`

// Scope is a subscription and the sources it is about; nil for all.
type Scope struct {
	Subscription string   // its name
	Sources      []string // nil for all
}

// See adds the subscriptions that are new, and records that all of them are in the configuration. A new one receives
// what changes from now on, and the current state of stays that aren't over.
func (s Subscriptions) See(ctx context.Context, names []string, now time.Time) error {
	_, err := s.pool.Exec(ctx, `
		INSERT INTO subscriptions (name, made_at_order, seen_at, created_at)
		SELECT name, coalesce((SELECT max(position) FROM stay_positions), 0), $2, $2 FROM unnest($1::text[]) AS n (name)
			ORDER BY name COLLATE "C"
		ON CONFLICT (name) DO UPDATE SET seen_at = excluded.seen_at`, names, now)
	return wrap(err, "note the subscriptions of the configuration")
}

// Named returns those of the names that exist, by name.
func (s Subscriptions) Named(ctx context.Context, names []string) (map[string]Subscription, error) {
	rows, _ := s.pool.Query(ctx, `SELECT `+subscriptionColumns+` FROM subscriptions WHERE name = ANY ($1)`, names)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[Subscription])
	found := make(map[string]Subscription, len(list))
	for _, sub := range list {
		found[sub.Name] = sub
	}
	return found, wrap(err, "read subscriptions")
}

// sourceSeparator separates sources in one text: no name of a source contains it.
const sourceSeparator = "\x1f"

// UnreportedStays counts for each subscription the stays whose current state it may not have received, up to 10,000.
func (s Subscriptions) UnreportedStays(ctx context.Context, scopes []Scope) (map[string]int, error) {
	names, sources := make([]string, len(scopes)), make([]string, len(scopes))
	for i, scope := range scopes {
		names[i], sources[i] = scope.Subscription, strings.Join(scope.Sources, sourceSeparator)
	}
	rows, _ := s.pool.Query(ctx, `
		SELECT s.name, (SELECT count(*) FROM (
			SELECT FROM subscription_stays w WHERE w.subscription = s.name AND w.due_at IS NOT NULL LIMIT 10000) w)
			+ (SELECT count(*) FROM (
			SELECT FROM stay_positions p WHERE p.position > s.position
				AND (n.sources = '' OR p.source = ANY (string_to_array(n.sources, $3))) LIMIT 10000) p)
		FROM unnest($1::text[], $2::text[]) AS n (name, sources) JOIN subscriptions s USING (name)`,
		names, sources, sourceSeparator)
	counts, name, n := map[string]int{}, "", 0
	_, err := pgx.ForEachRow(rows, []any{&name, &n}, func() error {
		counts[name] = min(n, 10_000)
		return nil
	})
	return counts, wrap(err, "count what subscriptions have not received")
}

// Enable resumes deliveries at once. Changes made meanwhile are reported by the current state.
func (s Subscriptions) Enable(ctx context.Context, name string, now time.Time, audit Audit) error {
	err := s.inTxOn(ctx, s.pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `
			UPDATE subscriptions SET disabled_at = NULL, disabled_by = NULL, disabled_why = NULL, failures = 0,
				failing_since = NULL, not_before = NULL
			WHERE name = $1`, name)
		if err == nil && tag.RowsAffected() == 0 {
			err = ErrNotFound
		}
		if err != nil {
			return err
		}
		var b pgx.Batch
		hurry(&b, name, now)
		if err := tx.SendBatch(ctx, &b).Close(); err != nil {
			return err
		}
		return writeAudit(ctx, tx, audit)
	})
	return wrap(err, "enable subscription %s", name)
}

// hurry makes due now what waits for another try. There are seldom many, see deadHolds.
func hurry(b *pgx.Batch, name string, now time.Time) {
	b.Queue(`UPDATE subscription_stays SET due_at = $2, tries = 0 WHERE subscription = $1
		AND due_at > $2`, name, now)
}

// Disable keeps deliveries from leaving. One that is on its way still arrives. Who disabled it first
// stays its author.
func (s Subscriptions) Disable(ctx context.Context, name, by, why string, now time.Time, audit Audit) error {
	err := s.inTxOn(ctx, s.pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `
			UPDATE subscriptions SET disabled_at = coalesce(disabled_at, $4), disabled_by = coalesce(disabled_by, $2),
				disabled_why = coalesce(disabled_why, nullif($3, ''))
			WHERE name = $1`, name, by, why, now)
		if err == nil && tag.RowsAffected() == 0 {
			err = ErrNotFound
		}
		if err != nil {
			return err
		}
		return writeAudit(ctx, tx, audit)
	})
	return wrap(err, "disable subscription %s", name)
}

// DueSubscription is a subscription, and whether it has something to deliver, or to look at.
type DueSubscription struct {
	Subscription
	Due bool // it has something to do now
}

// Due returns those of the names that exist, in the order to serve them: those that
// work first. A receiver that fails is offered nothing new while a few messages wait that it has not accepted.
func (s Subscriptions) Due(ctx context.Context, names []string, now time.Time) ([]DueSubscription, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT `+subscriptionColumns+`,
			coalesce(disabled_at IS NULL AND (not_before IS NULL OR not_before <= @now) AND (
			EXISTS (SELECT FROM subscription_stays w WHERE w.subscription = s.name AND w.due_at <= @now
				AND (w.lease_until IS NULL OR w.lease_until < clock_timestamp()))
			OR (position < (SELECT max(position) FROM stay_positions) AND (
				failures < @dead_after OR last_failure_at <= @probe_before
				OR (SELECT count(*) FROM (SELECT FROM subscription_stays w WHERE w.subscription = s.name
					AND w.due_at IS NOT NULL AND w.tries > 0 LIMIT `+deadHoldsOf+`) w) < `+deadHoldsOf+
		`))), false) AS due
		FROM subscriptions s WHERE name = ANY (@names)
		ORDER BY failures, name`, pgx.StrictNamedArgs{
		"names": names, "now": now, "dead_after": deadAfter, "probe_before": now.Add(-probeEvery), "holds": deadHolds,
	})
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[DueSubscription])
	return list, wrap(err, "find subscriptions with something to deliver")
}

// StartDigest sets when a subscription's next digest is due, unless an earlier one is, or one is being tried again.
func (s Subscriptions) StartDigest(ctx context.Context, name string, at time.Time) error {
	_, err := s.pool.Exec(ctx, `
		UPDATE subscriptions SET digest_due_at = $2
		WHERE name = $1 AND (digest_due_at IS NULL OR (digest_due_at > $2 AND digest_tries = 0))`, name, at)
	return wrap(err, "plan the digest of subscription %s", name)
}

// ClaimDigest takes the digest of a subscription if it is due: nobody else does before again. tries is how often it
// has failed.
func (s Subscriptions) ClaimDigest(ctx context.Context, name string, now, again time.Time) (tries int, due bool,
	err error,
) {
	rows, _ := s.pool.Query(ctx, `
		UPDATE subscriptions SET digest_due_at = $3, digest_tries = digest_tries + 1
		WHERE name = $1 AND disabled_at IS NULL AND digest_due_at <= $2 RETURNING digest_tries - 1`, name, now, again)
	list, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil || len(list) == 0 {
		return 0, false, wrap(err, "claim the digest of subscription %s", name)
	}
	return list[0], true, nil
}

// FinishDigest plans the next digest, or the next try of this one.
func (s Subscriptions) FinishDigest(ctx context.Context, name string, sent bool, next time.Time) error {
	_, err := s.pool.Exec(ctx, `
		UPDATE subscriptions SET digest_due_at = $2, digest_tries = CASE WHEN $3::boolean THEN 0 ELSE digest_tries END
			WHERE name = $1`, name, next, sent)
	return wrap(err, "plan the next digest of subscription %s", name)
}

// Prune forgets subscriptions that left the configuration before a time, with what they received.
func (s Subscriptions) Prune(ctx context.Context, seen time.Time) (int, error) {
	tag, err := s.pool.Exec(ctx, `DELETE FROM subscriptions WHERE seen_at < $1`, seen)
	return int(tag.RowsAffected()), wrap(err, "forget subscriptions that are no longer configured")
}

// arrivesBetween narrows keys to those of stays that begin from $2 on and before $3, as mobile_keys_by_check_in has
// them.
const arrivesBetween = `(check_in AT TIME ZONE 'UTC') >= ($2::timestamptz AT TIME ZONE 'UTC')
			AND (check_in AT TIME ZONE 'UTC') < ($3::timestamptz AT TIME ZONE 'UTC')`

// DigestData is who arrives in a time, for a digest.
type DigestData struct {
	All, WithoutKey int         // arrivals, and those of them without a key
	Attention       int         // stays that need a person, whenever they arrive
	First           []StayState // the first arrivals without a key, in the order of check-in
}

// DigestData returns the arrivals of the sources (nil: of all) from a time on and before another, and the first
// ones without an issued key.
func (s Subscriptions) DigestData(ctx context.Context, sources []string, from, before time.Time,
	limit int,
) (DigestData, error) {
	var a DigestData
	err := s.pool.QueryRow(ctx, `
		SELECT count(*), count(*) FILTER (WHERE status NOT IN ('issued', 'active')) FROM mobile_keys
		WHERE NOT cancelled AND `+arrivesBetween+`
			AND ($1::text[] IS NULL OR source = ANY ($1))`, sources, from, before).Scan(&a.All, &a.WithoutKey)
	if err != nil {
		return a, wrap(err, "count arrivals")
	}
	sum, err := MobileKeys(s).Summary(ctx, sources)
	if err != nil {
		return a, err
	}
	a.Attention = sum.Keys[KeyAttention]
	rows, _ := s.pool.Query(ctx, `
		SELECT k.source, k.reservation_id, l.name, r.check_in, r.guest_name, k.status, k.reason, k.message FROM (
			SELECT * FROM mobile_keys WHERE NOT cancelled AND `+arrivesBetween+`
				AND status NOT IN ('issued', 'active')
				AND ($1::text[] IS NULL OR source = ANY ($1)) ORDER BY check_in AT TIME ZONE 'UTC' LIMIT $4) k
		JOIN reservations r USING (source, reservation_id)
		LEFT JOIN listings l ON l.source = r.source AND l.listing_id = r.listing_id
		ORDER BY k.check_in, k.source, k.reservation_id`, sources, from, before, limit)
	a.First, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (p StayState, err error) {
		return p, row.Scan(&p.Source, &p.ReservationID, &p.ListingName, &p.CheckIn, &p.GuestName, &p.KeyStatus,
			&p.Reason, &p.Message)
	})
	return a, wrap(err, "list arrivals without a key")
}
