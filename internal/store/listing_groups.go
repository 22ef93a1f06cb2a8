package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// Ranks of listings in the order in which somebody sets them up.
const (
	RankUnknown = iota // reservations name it, and nobody has set it up
	RankNoDoors
	RankDoors
)

// GroupListing is a listing with what matters for choosing its groups.
type GroupListing struct {
	Listing
	Rank    int    // one of the Rank constants: what needs setting up comes first
	Folded  string // the name in lower case, or else the id: the order of the list
	Waiting int    // confirmed stays that are not over
}

// GroupFilter narrows a list of listings; empty fields don't.
type GroupFilter struct {
	Query   string   // part of a name or an id; "" for all
	Missing bool     // only those without groups
	Unknown bool     // only those that nobody has set up
	Sources []string // only of these; nil for all
}

// GroupCursor is where in the list a page ends. The zero value is the beginning.
type GroupCursor struct {
	Rank   int    `json:"r"` // of the last item
	Folded string `json:"f"` // of the last item
	Source string `json:"s"` // of the last item
	ID     string `json:"i"` // of the last item
}

// Cursor is where in the list the listing is.
func (l GroupListing) Cursor() GroupCursor {
	return GroupCursor{l.Rank, l.Folded, l.Source, l.ListingID}
}

// What the index listings_doors is ordered by.
const (
	doorRank = `(CASE WHEN NOT l.known THEN 0
		WHEN cardinality(coalesce(l.admin_access_group_ids, l.access_group_ids)) = 0 THEN 1
		ELSE 2 END)`
	doorFolded = `(staykey_fold(coalesce(l.name, l.listing_id)) COLLATE "C")`
)

// WithGroups lists the listings that are not deleted, by what is missing and then by name, from after a place. Of
// those that nobody has set up it leaves out what no stay is waiting for.
func (s Listings) WithGroups(ctx context.Context, f GroupFilter, after GroupCursor, now time.Time,
	limit int,
) ([]GroupListing, error) {
	var w where
	w.add("NOT l.deleted")
	w.among("l.source", f.Sources)
	if f.Missing {
		w.add(doorRank + " < 2")
	}
	if f.Unknown {
		w.add(doorRank + " < 1")
	}
	w.words(`staykey_plain(l.listing_id || ' ' || coalesce(l.name, ''))`, f.Query)
	if after != (GroupCursor{}) {
		w.add("("+doorRank+", "+doorFolded+", l.source, l.listing_id) > (%s, %s, %s, %s)", after.Rank, after.Folded,
			after.Source, after.ID)
	}
	w.add("(l.known OR w.waiting > 0)")
	at := w.arg(now)
	rows, _ := s.pool.Query(ctx, `
		SELECT `+prefixed("l", listingColumns)+`, `+doorRank+` AS rank, `+doorFolded+` AS folded, w.waiting
		FROM listings l CROSS JOIN LATERAL (
			SELECT count(*)::integer AS waiting FROM `+waitingStays(at)+` r) w`+
		w.sql()+` ORDER BY `+doorRank+`, `+doorFolded+`, l.source, l.listing_id LIMIT `+w.arg(limit), w.planned()...)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[GroupListing])
	return list, wrap(err, "list listings by their doors")
}

// CountMissingGroups counts, up to most, the listings of the sources (nil: of all) without groups, and those that
// reservations name and nobody has set up.
func (s Listings) CountMissingGroups(ctx context.Context, sources []string, now time.Time, most int,
) (n int, err error) {
	var w where
	w.add("NOT l.deleted")
	w.add(doorRank + " < 2")
	w.among("l.source", sources)
	w.add("(l.known OR EXISTS (SELECT FROM " + waitingStays(w.arg(now)) + " r))")
	err = s.pool.QueryRow(ctx, `SELECT count(*) FROM (SELECT FROM listings l`+w.sql()+` LIMIT `+w.arg(most)+`) m`,
		w.planned()...).Scan(&n)
	return n, wrap(err, "count listings without doors")
}

// waitingStays are the confirmed stays of the listing l that are not over at a time. Of a listing that has had guests
// for years it reads the last month and what is to come: longer stays are in an index of their own, and a stay whose
// check-in was before and whose check-out isn't known waits for nothing.
func waitingStays(at string) string {
	const of = `SELECT FROM reservations r WHERE r.source = l.source AND r.listing_id = l.listing_id
		AND r.status = 'confirmed' AND `
	month := `(` + at + `::timestamptz - interval '744 hours')`
	return `(` + of + `r.check_in >= ` + month + ` AND (r.check_out IS NULL OR r.check_out > ` + at + `)
		UNION ALL ` + of + `r.check_in IS NULL AND (r.check_out IS NULL OR r.check_out > ` + at + `)
		UNION ALL ` + of + `r.check_out - r.check_in > interval '744 hours' AND r.check_in < ` + month + `
			AND r.check_out > ` + at + `)`
}
