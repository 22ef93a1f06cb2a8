package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// StayInTime is what a board of the day needs to know of a stay. It is small: a day of a large installation has
// thousands.
type StayInTime struct {
	Ref
	ListingID *string   // nil: no room is assigned
	CheckIn   time.Time // UTC
	CheckOut  time.Time // UTC
	Status    string    // of the key
	Reason    string    // of the key; "" for none
	Attempts  int       // that failed, of the key
	ChangedAt time.Time // when the key's status last changed
	TimeZone  string    // of the listing; "" where it has none, or isn't known
}

// confirmedBetween selects the confirmed stays that last at any time from @from until @until. A stay of up to 8 days,
// as nearly all are, is found by its check-in: it is in a B-tree, which costs little to write. Of these stays it reads
// the index entries of 8 days more than needed. Longer ones are in an index by what they last. A stay that ends before
// it begins, by a mistake of its PMS, lasts no time.
const confirmedBetween = `
	SELECT source, reservation_id, listing_id, check_in, check_out FROM reservations
	WHERE status = 'confirmed' AND check_out - check_in <= interval '192 hours'
		AND check_in >= @from AND check_in < @until
	UNION ALL
	SELECT source, reservation_id, listing_id, check_in, check_out FROM reservations
	WHERE status = 'confirmed' AND check_out - check_in <= interval '192 hours'
		AND check_in >= @from::timestamptz - interval '192 hours' AND check_in < @from AND check_out >= @from
	UNION ALL
	SELECT source, reservation_id, listing_id, check_in, check_out FROM reservations
	WHERE status = 'confirmed' AND check_out - check_in > interval '192 hours'
		AND tstzrange(check_in, check_out, '[]') && tstzrange(@from, @until)`

// StaysBetween returns the confirmed stays of the sources (nil: of all) that last at any time between from and until,
// in no order.
func (s Calendar) StaysBetween(ctx context.Context, from, until time.Time, sources []string) ([]StayInTime, error) {
	// First the reservations, and then the key and the listing of each: whatever the planner thinks of how many
	// there are, it must not come from the keys, of which all would be read.
	rows, _ := s.pool.Query(ctx, `
		WITH r AS MATERIALIZED (
			SELECT * FROM (`+confirmedBetween+`) r WHERE @sources::text[] IS NULL OR source = ANY (@sources))
		SELECT r.source, r.reservation_id, r.listing_id, r.check_in, r.check_out, k.status,
			coalesce(k.reason, '') AS reason, k.attempts, k.changed_at,
			coalesce(l.time_zone, '') AS time_zone
		FROM r CROSS JOIN LATERAL (
			SELECT * FROM mobile_keys k WHERE k.source = r.source AND k.reservation_id = r.reservation_id OFFSET 0) k
		LEFT JOIN LATERAL (
			SELECT * FROM listings l WHERE l.source = r.source AND l.listing_id = r.listing_id AND l.known OFFSET 0) l
				ON true`,
		pgx.QueryExecModeDescribeExec, pgx.StrictNamedArgs{"from": from, "until": until, "sources": sources})
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[StayInTime])
	return list, wrap(err, "find the stays from %s until %s", from, until)
}

// Of returns the named reservations that exist, in the order of their names.
func (s Reservations) Of(ctx context.Context, refs []Ref) ([]View, error) {
	sources, ids := make([]string, len(refs)), make([]string, len(refs))
	for i, r := range refs {
		sources[i], ids[i] = r.Source, r.ReservationID
	}
	views, err := s.inOrderOf(ctx, `
		SELECT source, reservation_id FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS n (source, reservation_id,
			place) ORDER BY place`, sources, ids)
	return views, wrap(err, "read %d reservations", len(refs))
}

// CountAttention counts the keys of the sources (nil: of all) that need attention, whenever their stay is, up to most.
func (s MobileKeys) CountAttention(ctx context.Context, sources []string, most int) (n int, err error) {
	var w where
	k := kinds{
		table: "mobile_keys", columns: []string{"source", "cancelled", "status"},
		values: []any{oneOf(sources), nil, KeyAttention},
	}
	limit := ` LIMIT ` + w.arg(most)
	err = s.pool.QueryRow(ctx, `SELECT count(*) FROM `+k.merge(&w, `t.source`, limit, limit)+` t`,
		w.planned()...).Scan(&n)
	return n, wrap(err, "count the keys that need attention")
}

// Exist reports whether the sources (nil: any) have, or had, a key that opens doors.
func (s MobileKeys) Exist(ctx context.Context, sources []string) (has bool, err error) {
	var w where
	k := kinds{
		table: "mobile_keys", columns: []string{"source", "cancelled", "status"},
		values: []any{oneOf(sources), nil, []string{KeyIssued, KeyActive, KeyExpired}},
	}
	const one = ` LIMIT 1`
	err = s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM `+k.merge(&w, `t.source`, one, one)+` t)`,
		w.planned()...).Scan(&has)
	return has, wrap(err, "look for a key")
}

// Exist reports whether the sources (nil: any) have a reservation.
func (s Reservations) Exist(ctx context.Context, sources []string) (has bool, err error) {
	err = s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM mobile_keys WHERE $1::text[] IS NULL
		OR source = ANY ($1))`, sources).Scan(&has)
	return has, wrap(err, "look for a reservation")
}
