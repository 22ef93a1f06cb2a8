package store

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/stay"
)

// Listings are what is rented. They are written in a caller's transaction: [LockListings], then [SaveListing].
type Listings struct{ *db }

// ListingRef names one listing.
type ListingRef = stay.ListingRef

// Listing is a row of listings.
type Listing struct {
	Source              string     // with ListingID: the listing
	ListingID           string     // the PMS's id
	Known               bool       // false: only reservations name it, and nobody has set it up
	Deleted             bool       // at the PMS
	Name                *string    // nil: none
	ACSSystemID         *string    `db:"acs_system_id"` // nil: it follows from the access groups, or from the source
	TimeZone            *string    // an IANA name; nil: the source's
	CheckInTime         *string    // local, as 15:04; nil: the source's
	CheckOutTime        *string    // like CheckInTime
	AccessGroupIDs      []string   `db:"access_group_ids"`       // as the PMS reported them
	AdminAccessGroupIDs []string   `db:"admin_access_group_ids"` // nil: none set by an admin
	VersionAt           *time.Time // the timestamp of the last event applied; nil: none was
	VersionSeq          *int64     // the order of receipt, between events with the same timestamp
	Generation          int64      // counts changes of what its reservations depend on
	FannedGeneration    int64      // the last one that has reached all of its reservations
	MergedInto          *string    // the listing that it was merged into
	CreatedAt           time.Time  // when the row was written
	UpdatedAt           time.Time  // when it last changed

	DoorRisk *stay.DoorRisk `db:"-"` // its doors that may not open; admin fills it in
}

const listingColumns = `source, listing_id, known, deleted, name, acs_system_id, time_zone, check_in_time,
	check_out_time, access_group_ids, admin_access_group_ids, version_at, version_seq, generation, fanned_generation,
	merged_into, created_at, updated_at`

// Groups are the effective access groups: those set by an admin, or else the PMS's.
func (l Listing) Groups() []string {
	if l.AdminAccessGroupIDs != nil {
		return l.AdminAccessGroupIDs
	}
	return l.AccessGroupIDs
}

// LockListings locks the named listings in a fixed order for the rest of the transaction, and creates missing ones as
// unknown, so that a row exists to lock. If none of them will be changed, a shared lock is enough: their stays may be
// changed by several transactions at once, but not during a change of the listing.
func LockListings(ctx context.Context, tx pgx.Tx, refs []ListingRef, change bool,
	now time.Time,
) (map[ListingRef]Listing, error) {
	found := map[ListingRef]Listing{}
	if len(refs) == 0 {
		return found, nil
	}
	refs = slices.Clone(refs)
	slices.SortFunc(refs, ListingRef.Compare)
	refs = slices.Compact(refs)
	sources, ids := make([]string, len(refs)), make([]string, len(refs))
	for i, r := range refs {
		sources[i], ids[i] = r.Source, r.ListingID
	}

	lock := "FOR SHARE"
	if change {
		lock = "FOR NO KEY UPDATE"
	}
	read := func() error {
		rows, _ := tx.Query(ctx, `
			SELECT `+listingColumns+` FROM listings
			WHERE (source, listing_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))
			ORDER BY source COLLATE "C", listing_id COLLATE "C" `+lock, sources, ids)
		listings, err := pgx.CollectRows(rows, pgx.RowToStructByName[Listing])
		for _, l := range listings {
			found[ListingRef{Source: l.Source, ListingID: l.ListingID}] = l
		}
		return wrap(err, "lock listings")
	}
	if err := read(); err != nil || len(found) == len(refs) {
		return found, err
	}
	tag, err := tx.Exec(ctx, `
		INSERT INTO listings (source, listing_id, created_at, updated_at)
		SELECT source, listing_id, $3, $3 FROM unnest($1::text[], $2::text[]) AS r (source, listing_id)
		ON CONFLICT DO NOTHING`, sources, ids, now)
	if err != nil {
		return nil, wrap(err, "make listings")
	}
	if int(tag.RowsAffected()) < len(refs)-len(found) {
		return nil, ErrRaced // locked out of order: start over
	}
	return found, read()
}

// SaveListing writes all columns of a locked listing.
func SaveListing(batch *pgx.Batch, l Listing) {
	batch.Queue(`
		UPDATE listings SET known = @known, deleted = @deleted, name = @name, acs_system_id = @acs_system_id,
			time_zone = @time_zone, check_in_time = @check_in_time, check_out_time = @check_out_time,
			access_group_ids = @access_group_ids, admin_access_group_ids = @admin_access_group_ids,
			version_at = @version_at, version_seq = @version_seq, generation = @generation,
			created_at = @created_at, updated_at = greatest(@updated_at, updated_at + interval '1 microsecond'),
			merged_into = @merged_into
		WHERE source = @source AND listing_id = @listing_id`,
		pgx.StrictNamedArgs{
			"source": l.Source, "listing_id": l.ListingID, "known": l.Known, "deleted": l.Deleted, "name": l.Name,
			"acs_system_id": l.ACSSystemID, "time_zone": l.TimeZone, "check_in_time": l.CheckInTime,
			"check_out_time": l.CheckOutTime, "access_group_ids": l.AccessGroupIDs,
			"admin_access_group_ids": l.AdminAccessGroupIDs, "version_at": l.VersionAt,
			"version_seq": l.VersionSeq, "generation": l.Generation, "created_at": l.CreatedAt,
			"updated_at": l.UpdatedAt, "merged_into": l.MergedInto,
		})
	claimGroupsOf(batch, l)
}

// Get returns one known listing, or [ErrNotFound].
func (s Listings) Get(ctx context.Context, ref ListingRef) (Listing, error) {
	rows, _ := s.pool.Query(ctx, `SELECT `+listingColumns+` FROM listings WHERE source = $1 AND listing_id = $2
		AND known`, ref.Source, ref.ListingID)
	l, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Listing])
	return l, wrap(err, "listing %s/%s", ref.Source, ref.ListingID)
}

// ListingFilter narrows a list of listings; empty fields don't.
type ListingFilter struct {
	Source           []string   // any of them; nil for all
	ListingID, Query string     // exactly; "" for all. Query is a part of a name or an id
	Deleted          *bool      // nil: both
	ChangedSince     *time.Time // included; nil: no limit
	Sources          []string   // those that may be seen; nil for all
}

// Cursor is where in a list a page ends. The zero value is the beginning.
type Cursor struct {
	At     time.Time `json:"t,omitzero"` // zero where what the list is sorted by is not known: such items come last
	Source string    `json:"s"`          // of the last item
	ID     string    `json:"i"`          // of the last item
	// What was committed when the first page was read, where items may move towards the end of the list; "" elsewhere.
	Snapshot string `json:"v,omitempty"`
	ReadAs   ReadAs `json:"r,omitempty"` // of the first page's query
}

func (p Cursor) isBeginning() bool { return p == Cursor{} }

// listingText is what a search looks into, as the index listings_text_plain has it.
const listingText = `staykey_plain(t.listing_id || ' ' || coalesce(t.name, ''))`

// narrow adds the filters of known listings to a query, but for those by source and whether a listing is deleted.
func (f ListingFilter) narrow(w *where) {
	w.add("t.known")
	w.equal("t.listing_id", f.ListingID)
	if f.ChangedSince != nil {
		w.add("t.updated_at >= %s", *f.ChangedSince)
	}
	if f.Query != "" {
		w.words(listingText, f.Query)
	}
}

// amongSources adds the filters that narrow leaves out.
func (f ListingFilter) amongSources(w *where) {
	w.among("t.source", within(f.Source, f.Sources))
	if f.Deleted != nil {
		w.add("t.deleted = %s", *f.Deleted)
	}
}

// Count counts known listings, most at most.
func (s Listings) Count(ctx context.Context, f ListingFilter, most int) (n int, err error) {
	var w where
	f.narrow(&w)
	f.amongSources(&w)
	query := `SELECT count(*) FROM (SELECT FROM listings t` + w.sql() + ` LIMIT ` + w.arg(most) + `) found`
	err = s.pool.QueryRow(ctx, query, w.planned()...).Scan(&n)
	return n, wrap(err, "count listings")
}

// List lists known listings, newest change first, from after a cursor.
func (s Listings) List(ctx context.Context, f ListingFilter, after Cursor, limit int) ([]Listing, error) {
	var w where
	f.narrow(&w)
	if !after.isBeginning() {
		w.add("t.updated_at <= %s", after.At)
		w.notUpTo("t.updated_at = %s", after.At, "t.source, t.listing_id", after.Source, after.ID)
	}

	sources := within(f.Source, f.Sources)
	few := f.ListingID != ""
	if f.Query != "" {
		var named where
		named.add("t.known")
		named.words(listingText, f.Query)
		found, err := s.fewer(ctx, fewTexts, `SELECT FROM listings t`+named.sql(), named.args...)
		if err != nil {
			return nil, wrap(err, "list listings")
		}
		few = few || found
	}

	newest := ` ORDER BY t.updated_at DESC, t.source, t.listing_id LIMIT ` + w.arg(limit)
	var query string
	if few {
		f.amongSources(&w)
		query = `SELECT ` + listingColumns + ` FROM listings t` + w.sql() + newest
	} else {
		k := kinds{
			table: "listings", only: "t.known", columns: []string{"source", "deleted"},
			values: []any{oneOf(sources), nil},
		}
		if f.Deleted != nil {
			k.values[1] = *f.Deleted
		}
		query = `SELECT * FROM ` + k.merge(&w, listingColumns, newest, newest) + ` t` + newest
	}

	rows, _ := s.pool.Query(ctx, query, w.planned()...)
	listings, err := pgx.CollectRows(rows, pgx.RowToStructByName[Listing])
	return listings, wrap(err, "list listings")
}

// WrongGroups lists the listings that have no access groups, or one that isn't among the known ones, by name, and
// counts all that were looked at: those that aren't deleted.
func (s Listings) WrongGroups(ctx context.Context, known []string, limit int) (wrong []Listing, looked int, err error) {
	err = s.pool.QueryRow(ctx, `SELECT count(*) FROM listings WHERE known AND NOT deleted`).Scan(&looked)
	if err != nil {
		return nil, 0, wrap(err, "count listings")
	}
	rows, _ := s.pool.Query(ctx, `
		WITH l AS (
			SELECT source, listing_id, coalesce(admin_access_group_ids, access_group_ids) AS groups FROM listings
			WHERE known AND NOT deleted)
		SELECT `+listingColumns+` FROM listings t WHERE (source, listing_id) IN (
			SELECT source, listing_id FROM l WHERE cardinality(groups) = 0
			UNION
			SELECT source, listing_id FROM l CROSS JOIN LATERAL unnest(groups) AS g (id)
			LEFT JOIN (SELECT DISTINCT id FROM unnest($1::text[]) AS n (id)) n USING (id) WHERE n.id IS NULL)
		ORDER BY source COLLATE "C", listing_id COLLATE "C" LIMIT $2`, known, limit)
	wrong, err = pgx.CollectRows(rows, pgx.RowToStructByName[Listing])
	return wrong, looked, wrap(err, "find listings whose access groups are wrong")
}

// ToFanOut returns listings whose last change has not reached all their reservations.
func (s Listings) ToFanOut(ctx context.Context, limit int) ([]ListingRef, error) {
	rows, _ := s.pool.Query(ctx, `SELECT source, listing_id FROM listings WHERE generation <> fanned_generation
		ORDER BY source, listing_id LIMIT $1`, limit)
	refs, err := pgx.CollectRows(rows, pgx.RowToStructByPos[ListingRef])
	return refs, wrap(err, "find listings to fan out")
}

// FannedOut records that a generation has reached every reservation.
func (s Listings) FannedOut(ctx context.Context, ref ListingRef, generation int64) error {
	_, err := s.pool.Exec(ctx, `
		UPDATE listings SET fanned_generation = $3 WHERE source = $1 AND listing_id = $2 AND fanned_generation < $3`,
		ref.Source, ref.ListingID, generation)
	return wrap(err, "record the fan-out of listing %s/%s", ref.Source, ref.ListingID)
}

// InUse returns the access groups of listings changed since a time, so that their access systems are known
// before a reservation needs them.
func (s AccessGroups) InUse(ctx context.Context, since time.Time) (groups []string, latest time.Time, err error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT coalesce(admin_access_group_ids, access_group_ids), updated_at FROM listings
		WHERE known AND NOT deleted AND updated_at > $1 ORDER BY updated_at DESC LIMIT 1000`, since)
	latest = since
	var ids []string
	var at time.Time
	_, err = pgx.ForEachRow(rows, []any{&ids, &at}, func() error {
		groups = append(groups, ids...)
		if at.After(latest) {
			latest = at
		}
		return nil
	})
	slices.Sort(groups)
	return slices.Compact(groups), latest, wrap(err, "read access groups in use")
}

// Named returns those of the named listings that are known.
func (s Listings) Named(ctx context.Context, refs []ListingRef) (map[ListingRef]Listing, error) {
	found := map[ListingRef]Listing{}
	if len(refs) == 0 {
		return found, nil
	}
	sources, ids := make([]string, len(refs)), make([]string, len(refs))
	for i, r := range refs {
		sources[i], ids[i] = r.Source, r.ListingID
	}
	rows, _ := s.pool.Query(ctx, `
		SELECT `+listingColumns+` FROM listings
		WHERE known AND (source, listing_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))`, sources, ids)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[Listing])
	for _, l := range list {
		found[ListingRef{Source: l.Source, ListingID: l.ListingID}] = l
	}
	return found, wrap(err, "read %d listings", len(refs))
}

// StaysUsing counts the confirmed stays that are not over and are in a listing, or move there later. A key that
// lasts beyond check-out counts, too.
func StaysUsing(ctx context.Context, tx pgx.Tx, ref ListingRef, now time.Time) (n int, err error) {
	err = tx.QueryRow(ctx, `
		SELECT count(*) FROM (
			SELECT source, reservation_id, check_out FROM reservations WHERE source = $1 AND listing_id = $2
				AND status = 'confirmed'
			UNION
			SELECT source, reservation_id, check_out FROM reservations
			WHERE source = $1 AND segment_due IS NOT NULL AND status = 'confirmed'
				AND segments @> jsonb_build_array(jsonb_build_object('listing_id', $2::text))) r
		WHERE r.check_out IS NULL OR r.check_out > $3 OR EXISTS (
			SELECT FROM acs_users u WHERE u.source = r.source AND u.reservation_id = r.reservation_id
				AND `+isAtSeam+` AND u.ends_at > $3)`,
		ref.Source, ref.ListingID, now).Scan(&n)
	return n, wrap(err, "count the stays of listing %s/%s", ref.Source, ref.ListingID)
}
