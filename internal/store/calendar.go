package store

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// This file reads the calendar: listings by name, and their stays between two times.

// Calendar reads stays by listing and time.
type Calendar struct{ *db }

// CalendarListing is a row of the calendar.
type CalendarListing struct {
	ListingRef
	Name     string // its name, or else its id
	TimeZone string // "" where it has none, or isn't known
	Known    bool   // somebody has set it up
	Folded   string // the name in lower case without accents: the order of the list
}

// NameCursor is where in a list by name a page ends. The zero value is the beginning.
type NameCursor struct {
	Folded string `json:"f"` // the name as the list sorts it
	Source string `json:"s"` // of the last item
	ID     string `json:"i"` // of the last item
}

// Cursor is where in the list the listing is.
func (l CalendarListing) Cursor() NameCursor { return NameCursor{l.Folded, l.Source, l.ListingID} }

// listingName is what the index listings_name is ordered by.
const listingName = `(staykey_plain(coalesce(l.name, l.listing_id)) COLLATE "C")`

// Listings lists the listings of the sources (nil: of all) that are not deleted and whose name or id has each word of
// a text, by name, from after a cursor. Listings that nobody has set up are among them.
func (s Calendar) Listings(ctx context.Context, sources []string, text string, after NameCursor,
	limit int,
) ([]CalendarListing, error) {
	var w where
	w.add("NOT l.deleted")
	w.among("l.source", sources)
	w.words(`staykey_plain(l.listing_id || ' ' || coalesce(l.name, ''))`, text)
	if after != (NameCursor{}) {
		w.add("("+listingName+", l.source, l.listing_id) > (%s, %s, %s)", after.Folded, after.Source, after.ID)
	}
	rows, _ := s.pool.Query(ctx, `
		SELECT l.source, l.listing_id, coalesce(l.name, l.listing_id), coalesce(l.time_zone, ''), l.known, `+
		listingName+` FROM listings l`+w.sql()+` ORDER BY `+listingName+`, l.source, l.listing_id LIMIT `+w.arg(limit),
		w.planned()...)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[CalendarListing])
	return list, wrap(err, "list listings by name")
}

// CalendarStay is a bar of the calendar.
type CalendarStay struct {
	Ref
	ListingID  *string   // nil: no room is assigned
	GuestName  *string   // nil: not known
	GuestEmail *string   // nil: not known
	CheckIn    time.Time // UTC
	CheckOut   time.Time // UTC
	Status     string    // of the key
	Reason     string    // of the key; "" for none
	Attempts   int       // that failed, of the key
	ChangedAt  time.Time // when the key's status last changed
}

// longStay is the length from which stays are in the index reservations_long.
const longStay = 744 * time.Hour

// calendarStays selects the stays of a listing l (source, listing_id) that last at any time from @from until @until. Of
// those that are not long it reads only what begins after @month_before.
const calendarStays = `
	WITH l AS (SELECT * FROM unnest(@sources::text[], @ids::text[]) AS l (source, listing_id))
	SELECT l.source, r.reservation_id, <id>, r.guest_name, r.guest_email, r.check_in, r.check_out, k.status,
		coalesce(k.reason, '') AS reason, k.attempts, k.changed_at
	FROM l CROSS JOIN LATERAL (
		SELECT * FROM reservations r WHERE r.source = l.source AND <of> AND r.status = 'confirmed'
			AND r.check_in >= @month_before AND r.check_in < @until AND r.check_out >= @from
		UNION ALL
		SELECT * FROM reservations r WHERE r.source = l.source AND <of> AND r.status = 'confirmed'
			AND r.check_out - r.check_in > interval '744 hours' AND r.check_in < @month_before AND r.check_out >= @from
		OFFSET 0) r
	CROSS JOIN LATERAL (
		SELECT * FROM mobile_keys k WHERE k.source = r.source AND k.reservation_id = r.reservation_id OFFSET 0) k
	ORDER BY r.check_in, r.source, r.reservation_id LIMIT @most`

// StaysOf returns the confirmed stays of listings that last at any time between from and until, by check-in, most at
// most.
func (s Calendar) StaysOf(ctx context.Context, listings []ListingRef, from, until time.Time, most int,
) ([]CalendarStay, error) {
	sources, ids := make([]string, len(listings)), make([]string, len(listings))
	for i, l := range listings {
		sources[i], ids[i] = l.Source, l.ListingID
	}
	query, args := calendarQuery(sources, ids, from, until, most)
	rows, _ := s.pool.Query(ctx, query, args...)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[CalendarStay])
	return list, wrap(err, "find the stays of %d listings", len(listings))
}

// StaysWithoutListing is like [Calendar.StaysOf], for the stays of sources that have no listing yet.
func (s Calendar) StaysWithoutListing(ctx context.Context, sources []string, from, until time.Time, most int,
) ([]CalendarStay, error) {
	query, args := calendarQuery(sources, nil, from, until, most)
	rows, _ := s.pool.Query(ctx, query, args...)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[CalendarStay])
	return list, wrap(err, "find the stays without a listing")
}

// calendarQuery asks for the stays of listings, or, where ids is nil, for those of sources that have no listing.
func calendarQuery(sources, ids []string, from, until time.Time, most int) (query string, args []any) {
	of, id := `r.listing_id = l.listing_id`, `l.listing_id`
	if ids == nil {
		ids, of, id = make([]string, len(sources)), `r.listing_id IS NULL`, `NULL::text`
	}
	query = strings.NewReplacer("<of>", of, "<id>", id).Replace(calendarStays)
	return query, []any{pgx.QueryExecModeDescribeExec, pgx.StrictNamedArgs{
		"sources": sources, "ids": ids, "from": from, "until": until, "month_before": from.Add(-longStay), "most": most,
	}}
}
