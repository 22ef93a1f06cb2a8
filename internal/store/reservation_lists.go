package store

import (
	"context"
	"strings"
)

// This file lists reservations. A list has one of two orders and any filters, and each page of it must cost about
// the same, however deep it is and however rare the matches are. Four ways lead to a page:
//
//   - filters on texts that leave few reservations: those are read, and sorted;
//   - stays without times, where many aren't over: two indexes have only these, in the orders of the list
//     ([ReservationFilter.undatedPage]);
//   - filters on what has few values, or none: an index has every combination of these values, by month, in the
//     order of the list, and the page is merged from them ([kinds]);
//   - a text that many have: the index on the list's order is followed until a page is full, and what doesn't match is
//     left out ([ReservationFilter.walk]). Where the planner was wrong and they are few, the page isn't full soon, and
//     the first way is taken.
//
// Days are days of each property: where their beginnings differ, only stays in the hours between the first and the
// last of them look up their property's time zone ([Bound]).

// TimeZones returns the time zones of listings.
func (s Listings) TimeZones(ctx context.Context) ([]string, error) {
	var zones []string
	err := s.pool.QueryRow(ctx, `
		WITH RECURSIVE zones AS (
			(SELECT time_zone FROM listings WHERE time_zone IS NOT NULL ORDER BY time_zone LIMIT 1)
			UNION ALL
			SELECT n.time_zone FROM zones z CROSS JOIN LATERAL (SELECT time_zone FROM listings
				WHERE time_zone > z.time_zone ORDER BY time_zone LIMIT 1) n)
		SELECT array_agg(time_zone) FROM zones`).Scan(&zones)
	return zones, wrap(err, "read the time zones of listings")
}

// Snapshot names what is committed now, for [Cursor].
func (s Reservations) Snapshot(ctx context.Context) (string, error) {
	var snapshot string
	err := s.pool.QueryRow(ctx, `SELECT pg_current_snapshot()::text`).Scan(&snapshot)
	return snapshot, wrap(err, "take a snapshot")
}

// List lists reservations in the filter's order, from after a place.
func (s Reservations) List(ctx context.Context, f ReservationFilter, after Cursor, limit int) ([]View, error) {
	var views []View
	err := f.read(ctx, s.db, after, limit, f.page, func(page string, w where) (n int, err error) {
		views, err = s.viewsBy(ctx, f.Order, page, w.planned()...)
		return len(views), err
	})
	return views, wrap(err, "list reservations")
}

// pager selects the refs of a page, without a walk. few: its texts leave few reservations.
type pager func(ctx context.Context, s *db, w *where, after Cursor, limit int, few bool) (string, error)

// read has a function read the refs of a page; it returns how many there are.
func (f ReservationFilter) read(ctx context.Context, s *db, after Cursor, limit int, page pager,
	rows func(refs string, w where) (int, error),
) error {
	way, err := f.way(ctx, s, after, limit)
	if err != nil {
		return err
	}
	if way.walks {
		var w where
		refs := f.walk(&w, after, limit)
		if n, err := rows(refs, w); err != nil || n == limit {
			return err
		}
		way.few = f.isIndexed() // they are fewer than the planner thought
	}
	var w where
	refs, err := page(ctx, s, &w, after, limit, way.few)
	if err != nil {
		return err
	}
	_, err = rows(refs, w)
	return err
}

// Count counts what [Reservations.List] lists on all its pages, up to most.
func (s Reservations) Count(ctx context.Context, f ReservationFilter, most int) (n int, err error) {
	// in any order, all that have a text needn't be read
	unordered := func(ctx context.Context, s *db, w *where, after Cursor, limit int, few bool) (string, error) {
		if few || f.Undated != nil {
			return f.found(w, after, ` LIMIT `+w.arg(limit)), nil
		}
		return f.page(ctx, s, w, after, limit, few)
	}
	err = f.read(ctx, s.db, Cursor{}, most, unordered, func(page string, w where) (int, error) {
		err := s.pool.QueryRow(ctx, `SELECT count(*) FROM (`+page+`) found`, w.planned()...).Scan(&n)
		return n, err
	})
	return n, wrap(err, "count reservations")
}

// walk selects the refs of a page from the first mostWalked keys in the order of the list. A page that isn't full may
// lack something.
func (f ReservationFilter) walk(w *where, after Cursor, limit int) string {
	const checkedIn, utc = `(t.check_in AT TIME ZONE 'UTC')`, ` (%s::timestamptz AT TIME ZONE 'UTC')`
	at, order := checkedIn, ` ORDER BY at, t.source, t.reservation_id`
	if f.Order == ByChange {
		at, order = changeOrder, ` ORDER BY at DESC, t.source, t.reservation_id`
		f.byRecency(w, after)
	} else {
		w.add(checkedIn + ` IS NOT NULL`) // the others come last
		if !after.isBeginning() {
			w.add(checkedIn+` >=`+utc, after.At)
			f.afterCheckIn(w, after)
		}

		wide := f.CheckIn.outer()
		if wide.From != nil {
			w.add(checkedIn+` >=`+utc, wide.From.At)
		}
		if wide.To != nil {
			w.add(checkedIn+` <`+utc, wide.To.At)
		}
	}

	keys := `SELECT t.*, ` + at + ` AS at FROM mobile_keys t` + w.sql() + order + ` LIMIT ` + w.arg(mostWalked)
	w.restart()
	f.byKind(w)
	f.byTimes(w)
	return `SELECT t.source, t.reservation_id FROM (` + keys + `) t CROSS JOIN LATERAL (` + f.matching(w) +
		` OFFSET 0) r` + w.sql() + order + ` LIMIT ` + w.arg(limit)
}

// matching selects the reservation of the key t if it has each word of the query. It is for reservations that are read
// one by one: without the index on texts, the name is folded alone, and what is ASCII without the table of accents.
func (f ReservationFilter) matching(w *where) string {
	plain := func(text string) string {
		return `CASE WHEN octet_length(` + text + `) = char_length(` + text + `) THEN lower(` + text +
			` COLLATE "C") ELSE staykey_plain(` + text + `) END`
	}

	has := func(part string) string {
		like := ` LIKE staykey_plain(` + w.arg(containing(part)) + `)`
		if strings.Contains(part, " ") { // what is between two texts
			return reservationText + like
		}
		return `(` + plain(`coalesce(r.guest_name, '')`) + like + ` OR ` + plain(otherTexts) + like + `)`
	}

	var each []string
	for _, word := range wordsOf(f.Query) {
		each = append(each, has(word))
	}
	matches := strings.Join(each, " AND ")
	if number := phoneNumber(f.Query); number != "" {
		matches = `(` + matches + ` OR ` + has(number) + `)`
	}
	return `SELECT FROM reservations r WHERE r.source = t.source AND r.reservation_id = t.reservation_id AND ` + matches
}

// page is the [pager] of a list.
func (f ReservationFilter) page(ctx context.Context, s *db, w *where, after Cursor, limit int, few bool) (string,
	error,
) {
	order := f.Order.by("t")
	limited := ` LIMIT ` + w.arg(limit)
	if few {
		return f.found(w, after, order+limited), nil
	}
	if f.Undated != nil {
		return f.undatedPage(w, after, limited), nil
	}

	if f.Query != "" {
		w.conditions = append(w.conditions, `EXISTS (`+f.matching(w)+`)`)
	}

	recent, err := f.followsChanges(ctx, s)
	if err != nil {
		return "", err
	}
	if recent {
		f.byRecency(w, after)
		f.ChangedSince = nil
		f.byTimes(w)
		f.byKind(w)
		if f.Order == ByChange {
			order = ` ORDER BY ` + changeOrder + ` DESC, t.source, t.reservation_id`
		}
		return `SELECT t.source, t.reservation_id FROM mobile_keys t` + w.sql() + order + limited, nil
	}

	k, small, err := f.kinds(ctx, s)
	if err != nil {
		return "", err
	}

	f.from(w, after)
	const columns = `t.source, t.reservation_id, t.changed_at, t.check_in`
	if small {
		f.CheckIn.add(w, checkInOrder("t")) // as the index has it
		return `SELECT source, reservation_id FROM ` + k.merge(w, columns, "", order+limited) + ` t`, nil
	}
	return `SELECT source, reservation_id FROM ` + k.merge(w, columns, order+limited, order+limited) + ` t`, nil
}

// undatedPage selects the refs of a page of stays without times. Most of them have the same place in the order of
// check-in, so a page begins there after a name, too.
func (f ReservationFilter) undatedPage(w *where, after Cursor, limited string) string {
	order := ` ORDER BY ` + changeOrder + ` DESC, t.source, t.reservation_id`
	w.add(undatedKey)
	if f.Order == ByCheckIn {
		order = f.Order.by("t")
		if !after.isBeginning() {
			w.add(`(`+checkInOrder("t")+`, t.source, t.reservation_id) > (coalesce(%s::timestamptz, 'infinity'), %s, %s)`,
				pointerTo(after.At), after.Source, after.ID)
			f.afterCheckIn(w, after)
		}
	} else {
		f.byRecency(w, after)
	}
	f.byTimes(w)
	f.byKind(w)
	keys := w.sql()
	w.restart()
	f.byText(w)
	w.add(`r.source = t.source AND r.reservation_id = t.reservation_id`)
	return `SELECT t.source, t.reservation_id FROM mobile_keys t CROSS JOIN LATERAL (
		SELECT FROM reservations r` + w.sql() + ` OFFSET 0) r` + keys + order + limited
}

// found selects the refs of reservations by their texts: first the reservations, and then the key of each, whatever the
// planner thinks of how many there are. It must not come from the keys, of which all would be read.
func (f ReservationFilter) found(w *where, after Cursor, tail string) string {
	texts := f
	if f.Undated != nil && f.Query == "" && !f.isExact() {
		texts.Source, texts.Sources = nil, nil // those of the key: an index on sources would lead to all that are over
	}
	texts.byText(w)
	found := `SELECT source, reservation_id FROM reservations r` + w.sql()
	w.restart()
	f.from(w, after)
	f.byKind(w)
	return `WITH r AS (` + found + ` OFFSET 0) SELECT t.source, t.reservation_id FROM r CROSS JOIN LATERAL (
		SELECT * FROM mobile_keys k WHERE k.source = r.source
			AND k.reservation_id = r.reservation_id OFFSET 0) t` + w.sql() + tail
}

// byRecency narrows keys by the index on their last change, to those after a place.
func (f ReservationFilter) byRecency(w *where, after Cursor) {
	if f.Order == ByChange && !after.isBeginning() {
		w.add(changeOrder+` <= (%s::timestamptz AT TIME ZONE 'UTC')`, after.At)
	}
	if f.ChangedSince != nil {
		w.add(changeOrder+` >= (%s::timestamptz AT TIME ZONE 'UTC')`, *f.ChangedSince)
	}
	f.after(w, after)
}
