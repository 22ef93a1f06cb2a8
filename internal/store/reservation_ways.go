package store

import (
	"context"
	"slices"
	"time"
	"unicode/utf8"
)

// How a page of the list of reservations is read: the planner's estimates of how much the filters leave decide.

// How many keys are thought few enough to be read and sorted as a whole. Where there are more, keys are read in the
// order of the list, of which so many match that a page is full soon. A key costs less if its text isn't compared.
const (
	fewKeys  = 20_000
	fewTexts = 5_000
)

// A walk reads at most mostWalked keys. A reservation that the index on texts finds costs as much as costOfText of
// them: Postgres compares its whole text once more for each word, where a walk folds the name only.
const (
	mostWalked = 40_000
	costOfText = 8
	leastTexts = 500 // fewer are read as a whole, whatever a walk would cost
)

// way is how a page is read.
type way struct {
	walks bool // along the order of the list, until the page is full
	few   bool // all that have the texts, which are sorted
}

// way decides by what the planner thinks of how much the filters leave.
func (f ReservationFilter) way(ctx context.Context, s *db, after Cursor, limit int) (way, error) {
	few := f.isExact() || f.Undated != nil && f.Query != ""
	switch {
	case few:
		return way{few: true}, nil
	case f.Undated != nil && f.Order == ByCheckIn: // by name, nearly, so that those that are over may all come first
		var w where
		f.byText(&w)
		few, err := s.fewer(ctx, fewKeys, `SELECT FROM reservations r`+w.sql(), w.args...)
		return way{few: few}, err
	case f.Query == "":
		return way{}, nil
	}
	var text, kind where
	f.byQuery(&text)
	found, err := s.estimate(ctx, `SELECT FROM reservations r`+text.sql(), text.args...)
	if err != nil || found < leastTexts {
		return way{few: true}, err
	}
	all, err := s.estimate(ctx, `SELECT FROM mobile_keys t`)
	if err != nil {
		return way{}, err
	}

	rough := f
	rough.CheckIn, rough.CheckOut = f.CheckIn.outer(), f.CheckOut.outer()
	rough.byKind(&kind)
	rough.byTimes(&kind)
	left, err := s.estimate(ctx, `SELECT FROM mobile_keys t`+kind.sql(), kind.args...)
	if err != nil {
		return way{}, err
	}
	walked := float64(limit) * max(all, 1) / found * max(all, 1) / max(left, 1)
	return way{
		walks: walked <= min(mostWalked/2, found*costOfText) && left > fewTexts && f.isSpread(after),
		few:   found*costOfText <= left,
	}, nil
}

// isSpread reports whether what the filters leave is thought to be anywhere in the list, as it isn't where they are
// about other times than those of its order. Nor does a walk have stays whose check-in is unknown.
func (f ReservationFilter) isSpread(after Cursor) bool {
	if f.Order == ByChange {
		return f.CheckIn.isEmpty() && f.CheckOut.isEmpty()
	}
	return f.CheckOut.isEmpty() && f.ChangedSince == nil && (after.isBeginning() || !after.At.IsZero())
}

// isIndexed reports whether the index on texts narrows what a query finds: it knows three letters and more.
func (f ReservationFilter) isIndexed() bool {
	return slices.ContainsFunc(wordsOf(f.Query), func(word string) bool { return utf8.RuneCountInString(word) > 2 })
}

// followsChanges reports whether the index on the last change leads to the page: newest change first, where nothing
// else narrows the list but a text, and in the order of check-in where at most half have changed.
func (f ReservationFilter) followsChanges(ctx context.Context, s *db) (bool, error) {
	if f.Order == ByChange {
		return f.Source == nil && f.Sources == nil && f.Status == nil && f.KeyStatus == nil && f.CheckIn.isEmpty() &&
			f.CheckOut.isEmpty(), nil
	}
	if f.ChangedSince == nil {
		return false, nil
	}
	all, err := s.estimate(ctx, `SELECT FROM mobile_keys t`)
	if err != nil {
		return false, err
	}
	changed, err := s.estimate(ctx, `SELECT FROM mobile_keys t WHERE t.changed_at >= $1`, *f.ChangedSince)
	return changed <= max(all/2, fewTexts), err
}

// kinds are those that the filter leaves, by the index that fits the order and the months that are asked for. small
// says that they have so few keys that all are read, and sorted.
func (f ReservationFilter) kinds(ctx context.Context, s *db) (k kinds, small bool, err error) {
	k = kinds{
		table: "mobile_keys", columns: []string{"source", "cancelled", "status", "check_out_month"},
		values: []any{oneOf(within(f.Source, f.Sources)), nil, oneOf(f.KeyStatus), nil}, months: f.CheckOut.months(),
	}
	if cancelled, one := f.cancelled(); one {
		k.values[1] = cancelled
	}
	switch {
	case f.Order == ByCheckIn:
		return k, false, nil
	case !f.CheckOut.isEmpty() && !f.CheckIn.isEmpty():
		var byCheckIn bool
		if byCheckIn, small, err = f.betweenTimes(ctx, s); small || !byCheckIn {
			return k, small, err
		}
	case !f.CheckOut.isEmpty():
		return k, false, nil
	}
	k.columns[3], k.months = "check_in_month", f.CheckIn.months()
	return k, false, err
}

// usualStay is longer than most stays: how many a range of check-outs and one of check-ins have in common is
// estimated with it.
const usualStay = 31 * 24 * time.Hour

// betweenTimes reports, where both check-in and check-out are limited, whether few stays are left, and if not, whether
// the check-in leaves fewer.
func (f ReservationFilter) betweenTimes(ctx context.Context, s *db) (byCheckIn, small bool, err error) {
	estimate := func(column string, r Range) (float64, error) {
		var w where
		r.outer().add(&w, column)
		return s.estimate(ctx, `SELECT FROM mobile_keys t`+w.sql(), w.args...)
	}
	in, out := f.CheckIn.outer(), f.CheckOut.outer()
	both := in
	if out.From != nil && (both.From == nil || both.From.At.Before(out.From.At.Add(-usualStay))) {
		both.From = &Bound{At: out.From.At.Add(-usualStay)}
	}
	if out.To != nil && (both.To == nil || both.To.At.After(out.To.At)) {
		both.To = out.To
	}
	common, err := estimate("t.check_in", both)
	if err != nil || common <= fewKeys {
		return false, true, err
	}
	ofCheckIn, err := estimate("t.check_in", in)
	if err != nil {
		return false, false, err
	}
	ofCheckOut, err := estimate("t.check_out", out)
	return ofCheckIn < ofCheckOut, false, err
}

// fewer reports whether a query leaves at most n rows, by the planner's estimate.
func (s *db) fewer(ctx context.Context, most int, query string, args ...any) (bool, error) {
	rows, err := s.estimate(ctx, query, args...)
	return err == nil && rows <= float64(most), err
}

// estimate is how many rows the planner thinks that a query has: to count them, an index might have to be read to
// its end.
func (s *db) estimate(ctx context.Context, query string, args ...any) (rows float64, err error) {
	var plan []struct {
		Plan struct {
			Rows float64 `json:"Plan Rows"`
		}
	}
	w := where{args: args}
	if err := s.pool.QueryRow(ctx, `EXPLAIN (FORMAT JSON) `+query, w.planned()...).Scan(&plan); err != nil ||
		len(plan) == 0 {
		return 0, wrap(err, "estimate a list")
	}
	return plan[0].Plan.Rows, nil
}
