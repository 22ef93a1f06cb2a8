package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// This file finds stays whose check-in or check-out isn't known as an instant. No range of times has them: they are
// found by the dates that the PMS sent, which are days at the property. Where a property has no time zone, that is all
// of its stays: those of a day are found by the index reservations_undated_days, and pages of their list by the indexes
// mobile_keys_undated_*.

// UndatedStay is a stay whose check-in or check-out isn't known. What isn't known is zero in CheckIn and CheckOut.
type UndatedStay struct {
	StayInTime
	CheckInText  *string // as the PMS sent it; nil for none
	CheckOutText *string // like CheckInText
}

// Conditions on the reservation r, and undatedKey on its key t. The check-out is compared with a date, such as
// 2026-11-26, and the days with two dates, as [dayNumber] writes them.
const (
	undated     = `r.status = 'confirmed' AND (r.check_in IS NULL OR r.check_out IS NULL)`
	undatedKey  = `NOT t.cancelled AND (t.check_in IS NULL OR t.check_out IS NULL)`
	undatedLast = `coalesce(r.check_out_said, '9') COLLATE "C" >= %s`
	undatedDays = sentDays + ` && int4range(%s, %s, '[]')`
	sentDays    = `staykey_sent_days(r.check_in_said, r.check_out_said)`
)

// dayNumber writes a date as the function staykey_sent_days does.
func dayNumber(day time.Time) int {
	y, m, d := day.Date()
	return (y*100+int(m))*100 + d
}

// UndatedBetween returns the undated stays of the sources (nil: of all) that last on any day between from and until,
// both included, in no order. A stay without a check-in has begun, and one without a check-out isn't over.
func (s Calendar) UndatedBetween(ctx context.Context, from, until time.Time, sources []string) ([]UndatedStay, error) {
	query, args := undatedBetween(from, until, sources)
	rows, _ := s.pool.Query(ctx, query, args...)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[UndatedStay])
	return list, wrap(err, "find the stays without a time from %s until %s", from, until)
}

func undatedBetween(from, until time.Time, sources []string) (query string, args []any) {
	var w where
	w.add(undated)
	w.add(undatedDays, dayNumber(from), dayNumber(until))
	w.among("r.source", sources)
	narrowed, zero := w.sql(), w.arg(time.Time{})
	return `
		WITH r AS MATERIALIZED (SELECT * FROM reservations r` + narrowed + `)
		SELECT r.source, r.reservation_id, r.listing_id,
			coalesce(r.check_in, ` + zero + `), coalesce(r.check_out, ` + zero + `),
			k.status, coalesce(k.reason, ''), k.attempts, k.changed_at, coalesce(l.time_zone, ''),
			r.check_in_said, r.check_out_said
		FROM r CROSS JOIN LATERAL (
			SELECT * FROM mobile_keys k WHERE k.source = r.source AND k.reservation_id = r.reservation_id OFFSET 0) k
		LEFT JOIN LATERAL (
			SELECT * FROM listings l WHERE l.source = r.source AND l.listing_id = r.listing_id AND l.known OFFSET 0) l
				ON true`, w.planned()
}

// UndatedBar is an undated stay of the calendar. Of its CheckIn and CheckOut, those that aren't known are zero.
type UndatedBar struct {
	CalendarStay
	CheckInText  *string // as the PMS sent it; nil for none
	CheckOutText *string // like CheckInText
}

// UndatedOf returns the undated stays of listings that last on any day between from and until, both included, by the
// days that were sent, most at most.
func (s Calendar) UndatedOf(ctx context.Context, listings []ListingRef, from, until time.Time, most int,
) ([]UndatedBar, error) {
	sources, ids := make([]string, len(listings)), make([]string, len(listings))
	for i, l := range listings {
		sources[i], ids[i] = l.Source, l.ListingID
	}
	return s.undatedBars(ctx, sources, ids, from, until, most)
}

// UndatedWithoutListing is like [Calendar.UndatedOf], for the stays of sources that have no listing yet.
func (s Calendar) UndatedWithoutListing(ctx context.Context, sources []string, from, until time.Time, most int,
) ([]UndatedBar, error) {
	return s.undatedBars(ctx, sources, nil, from, until, most)
}

func (s Calendar) undatedBars(ctx context.Context, sources, ids []string, from, until time.Time, most int,
) ([]UndatedBar, error) {
	query, args := undatedBars(sources, ids, from, until, most)
	rows, _ := s.pool.Query(ctx, query, args...)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[UndatedBar])
	return list, wrap(err, "find the stays without a time of the calendar from %s until %s", from, until)
}

// undatedBars asks for the undated stays of listings (sources, ids) or, where ids is nil, for those of sources that
// have no listing. It reads those of the days first, whichever listings they have.
func undatedBars(sources, ids []string, from, until time.Time, most int) (query string, args []any) {
	var w where
	w.add(undated)
	w.add(undatedDays, dayNumber(from), dayNumber(until))
	w.add("r.source = ANY (%s)", sources)
	of := ""
	if ids == nil {
		w.add("r.listing_id IS NULL")
	} else {
		of = `JOIN unnest(` + w.arg(sources) + `::text[], ` + w.arg(ids) +
			`::text[]) AS l (source, listing_id) ON l.source = r.source AND l.listing_id = r.listing_id`
	}
	narrowed, zero := w.sql(), w.arg(time.Time{})
	return `
		WITH r AS MATERIALIZED (SELECT * FROM reservations r` + narrowed + `)
		SELECT r.source, r.reservation_id, r.listing_id, r.guest_name, r.guest_email,
			coalesce(r.check_in, ` + zero + `), coalesce(r.check_out, ` + zero + `),
			k.status, coalesce(k.reason, ''), k.attempts, k.changed_at, r.check_in_said, r.check_out_said
		FROM r ` + of + ` CROSS JOIN LATERAL (
			SELECT * FROM mobile_keys k WHERE k.source = r.source AND k.reservation_id = r.reservation_id OFFSET 0) k
		ORDER BY r.check_in_said COLLATE "C" NULLS FIRST, r.source, r.reservation_id LIMIT ` + w.arg(most), w.planned()
}

// UndatedStays counts undated stays that have something in common.
type UndatedStays struct {
	ListingRef        // an empty ListingID: no room is assigned
	Reason     string // of their keys; "" for none
	Stays      int    // how many
}

// CountUndated counts the undated stays of the sources (nil: of all) that are not over on a day, by listing and
// reason. It stops at most.
func (s Calendar) CountUndated(ctx context.Context, day time.Time, sources []string, most int) ([]UndatedStays, error) {
	query, args := countUndated(day, sources, most)
	rows, _ := s.pool.Query(ctx, query, args...)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[UndatedStays])
	return list, wrap(err, "count the stays without a time")
}

func countUndated(day time.Time, sources []string, most int) (query string, args []any) {
	var w where
	w.add(undated)
	w.add(undatedLast, day.Format(time.DateOnly))
	w.among("r.source", sources)
	return `
		SELECT r.source, coalesce(r.listing_id, ''), coalesce(k.reason, ''), count(*)
		FROM (SELECT * FROM reservations r` + w.sql() + ` LIMIT ` + w.arg(most) + `) r CROSS JOIN LATERAL (
			SELECT * FROM mobile_keys k WHERE k.source = r.source AND k.reservation_id = r.reservation_id OFFSET 0) k
		GROUP BY 1, 2, 3 ORDER BY 1, 2, 3`, w.planned()
}
