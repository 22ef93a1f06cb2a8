package store

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// What admins and alerts ask about many keys: counts by status, arrivals, removals that are overdue.

// Summary counts reservations and keys.
type Summary struct {
	Reservations map[string]int // how many, by status
	Keys         map[string]int // how many, by status
}

// Summary returns the counts by status of the sources (nil: of all). Triggers count as keys change, so it costs the
// same however many keys there are.
func (s MobileKeys) Summary(ctx context.Context, sources []string) (Summary, error) {
	sum := Summary{Reservations: map[string]int{}, Keys: map[string]int{}}
	rows, _ := s.pool.Query(ctx, `SELECT CASE WHEN cancelled THEN 'cancelled' ELSE 'confirmed' END, status,
		sum(n)::bigint
		FROM key_counts
		WHERE $1::text[] IS NULL OR source = ANY ($1) GROUP BY 1, 2 HAVING sum(n) <> 0`, sources)
	var status, keyStatus string
	var n int
	_, err := pgx.ForEachRow(rows, []any{&status, &keyStatus, &n}, func() error {
		sum.Reservations[status] += n
		sum.Keys[keyStatus] += n
		return nil
	})
	return sum, wrap(err, "count by status")
}

// FoldCounts merges the rows that belong to the same count, so that [MobileKeys.Summary] reads few. Rows that another
// replica merges are passed over.
func (s MobileKeys) FoldCounts(ctx context.Context) error {
	_, err := s.pool.Exec(ctx, `
		WITH folded AS (DELETE FROM key_counts
			WHERE ctid = ANY (ARRAY(SELECT ctid FROM key_counts FOR UPDATE SKIP LOCKED))
			RETURNING source, cancelled, status, n)
		INSERT INTO key_counts SELECT source, cancelled, status, sum(n) FROM folded
			GROUP BY 1, 2, 3 HAVING sum(n) <> 0`)
	return wrap(err, "fold the counts of keys")
}

// OldestWaiting returns the key of the sources (nil: of all) that has waited longest, or [ErrNotFound].
func (s MobileKeys) OldestWaiting(ctx context.Context, sources []string) (View, error) {
	var w where
	k := kinds{
		table: "mobile_keys", columns: []string{"source", "cancelled", "status", "check_in_month"},
		values: []any{oneOf(sources), nil, KeyWaiting, nil},
	}
	const oldest = ` ORDER BY t.changed_at, t.source, t.reservation_id DESC LIMIT 1`
	views, err := Reservations(s).views(ctx, `SELECT source, reservation_id FROM `+
		k.merge(&w, `t.source, t.reservation_id, t.changed_at`, oldest, oldest)+` t`, w.planned()...)
	if err == nil && len(views) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return View{}, wrap(err, "find the oldest waiting")
	}
	return views[0], nil
}

// arrivalsWithoutKey selects from arrivals: by an index on what has no key, which is never much, and by the index on
// the days of undated stays. Of these it leaves out those without either day: nobody knows whether they come.
const arrivalsWithoutKey = `
	WITH arrivals AS (
		SELECT source, reservation_id, r.check_in, to_char(r.check_in AT TIME ZONE 'UTC', 'YYYYMMDD')::integer AS day,
			r.check_in_said, k.status, coalesce(k.reason, '') AS reason
		FROM mobile_keys k JOIN reservations r USING (source, reservation_id)
		WHERE k.status IN ('waiting', 'provisioning', 'attention') AND k.rank_at <= @until
			AND r.status = 'confirmed' AND r.check_in <= @until AND r.check_out > @now
		UNION ALL
		SELECT r.source, r.reservation_id, r.check_in, lower(` + sentDays + `), r.check_in_said, k.status,
			coalesce(k.reason, '')
		FROM reservations r CROSS JOIN LATERAL (
			SELECT * FROM mobile_keys k WHERE k.source = r.source AND k.reservation_id = r.reservation_id OFFSET 0) k
		WHERE ` + undated + ` AND ` + sentDays + ` && int4range(@first_day, @last_day, '[]')
			AND NOT lower_inf(` + sentDays + `) AND NOT upper_inf(` + sentDays + `)
			AND k.status IN ('waiting', 'provisioning', 'attention'))`

const nearestFirst = ` ORDER BY day, check_in, source, reservation_id LIMIT @limit`

// A day at a property begins so much before it does in UTC, or after.
const (
	zoneAhead  = 14 * time.Hour
	zoneBehind = 12 * time.Hour
)

// arrivalArgs are the arguments of arrivalsWithoutKey, with those of what selects from it.
func arrivalArgs(now, until time.Time, sources []string, limit int) pgx.StrictNamedArgs {
	return pgx.StrictNamedArgs{
		"now": now, "until": until, "limit": limit,
		"first_day": dayNumber(now.UTC().Add(-zoneBehind)), "last_day": dayNumber(until.UTC().Add(zoneAhead)),
		"sources": sources,
	}
}

// ArrivalsWithoutKey returns confirmed stays of the sources (nil: of all) that begin before until, or have begun
// and last, without an issued key; the nearest first. Undated stays are among them by the days that their PMS sent.
func (s MobileKeys) ArrivalsWithoutKey(ctx context.Context, now, until time.Time, sources []string,
	limit int,
) ([]View, error) {
	views, err := Reservations(s).inOrderOf(ctx, arrivalsWithoutKey+`
		SELECT source, reservation_id FROM arrivals WHERE @sources::text[] IS NULL OR source = ANY (@sources)`+
		nearestFirst, arrivalArgs(now, until, sources, limit))
	return views, wrap(err, "find arrivals without a key")
}

// inOrderOf reads what a query names, in its order.
func (s Reservations) inOrderOf(ctx context.Context, query string, args ...any) ([]View, error) {
	rows, _ := s.pool.Query(ctx, query, args...)
	refs, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Ref])
	if err != nil || len(refs) == 0 {
		return []View{}, err
	}
	sources, ids := make([]string, len(refs)), make([]string, len(refs))
	place := make(map[Ref]int, len(refs))
	for i, r := range refs {
		sources[i], ids[i], place[r] = r.Source, r.ReservationID, i
	}
	views, err := s.views(ctx, `SELECT * FROM unnest($1::text[], $2::text[]) AS n (source,
		reservation_id)`, sources, ids)
	slices.SortFunc(views, func(a, b View) int { return place[a.Reservation.Ref()] - place[b.Reservation.Ref()] })
	return views, err
}

// Arrival is a stay that begins soon and has no key.
type Arrival struct {
	Ref
	CheckIn *time.Time // UTC; nil where it isn't known
	Sent    string     // the check-in as the PMS sent it
	Status  string     // of the key
	Reason  string     // of the key; "" for none
}

// CountArrivalsWithoutKey counts what [MobileKeys.ArrivalsWithoutKey] returns, and returns the nearest, nil for none.
func (s MobileKeys) CountArrivalsWithoutKey(ctx context.Context, now, until time.Time) (count int,
	nearest *Arrival, err error,
) {
	var a Arrival
	err = s.pool.QueryRow(ctx, arrivalsWithoutKey+`
		SELECT count(*) OVER (), source, reservation_id, check_in, coalesce(check_in_said, ''), status, reason
		FROM arrivals WHERE @sources::text[] IS NULL`+nearestFirst, arrivalArgs(now, until, nil, 1)).
		Scan(&count, &a.Source, &a.ReservationID, &a.CheckIn, &a.Sent, &a.Status, &a.Reason)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil, nil
	}
	return count, &a, wrap(err, "count arrivals without a key")
}

// Removal is a key that should be gone.
type Removal struct {
	Ref
	Since  time.Time // it should
	Status string    // of the key
	Reason string    // of the key; "" for none
}

// CountOverdueRemovals counts the keys that should have been gone at a time and are not, or not for certain, and
// returns the one that should have been first, nil for none.
func (s MobileKeys) CountOverdueRemovals(ctx context.Context, by time.Time) (count int, first *Removal, err error) {
	var r Removal
	err = s.pool.QueryRow(ctx, `
		SELECT count(*) OVER (), source, reservation_id, since, status, reason FROM (
			SELECT source, reservation_id, coalesce(remove_since, revoked_at, changed_at) AS since, status,
				coalesce(reason, '') AS reason
			FROM (
				SELECT k.*, (
					SELECT o.revoked_at FROM overrides o
					WHERE o.source = k.source AND o.reservation_id = k.reservation_id) AS revoked_at
				FROM mobile_keys k WHERE k.status IN ('revoking', 'attention')) keys
			WHERE status = 'revoking' OR cancelled OR reason = 'not_removed' OR revoked_at IS NOT NULL) removals
		WHERE since < $1 ORDER BY since, source, reservation_id LIMIT 1`, by).
		Scan(&count, &r.Source, &r.ReservationID, &r.Since, &r.Status, &r.Reason)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil, nil
	}
	return count, &r, wrap(err, "count overdue removals")
}
