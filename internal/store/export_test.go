package store

import (
	"context"
	"errors"
	"time"
)

// errQuery ends what only asks for a statement.
var errQuery = errors.New("a statement was asked for")

// PageQuery is the statement of a page of reservations, for tests that look at its plan.
func (s *Store) PageQuery(ctx context.Context, f ReservationFilter, after Cursor, limit int) (query string, args []any,
	err error,
) {
	err = f.read(ctx, s.db, after, limit, f.page, func(refs string, w where) (int, error) {
		query, args = refs, w.planned()
		return 0, errQuery
	})
	if errors.Is(err, errQuery) {
		err = nil
	}
	return query, args, err
}

// Walked reads a page by a walk along the order of the list, whatever the planner thinks of the filter. ok: it may be.
func (s *Store) Walked(ctx context.Context, f ReservationFilter, after Cursor, limit int) (views []View, ok bool,
	err error,
) {
	if f.Query == "" || f.GuestEmail != "" || f.ListingID != "" || !f.isSpread(after) {
		return nil, false, nil
	}
	var w where
	page := f.walk(&w, after, limit)
	views, err = s.Reservations.viewsBy(ctx, f.Order, page, w.planned()...)
	return views, true, err
}

// ClaimQuery is the statement with which up to limit keys are claimed.
func ClaimQuery(before time.Time, limit int) (string, []any) {
	return claimQuery(time.Minute, before, limit)
}

// DeliveriesQuery is the statement of a page of deliveries.
func DeliveriesQuery(f DeliveryFilter, below int64, limit int) (string, []any) {
	var w where
	page := f.page(&w, below, limit)
	return page, w.planned()
}

// AnsweringSince is Answering for a request that came at some time.
func AnsweringSince(ctx context.Context, came time.Time) context.Context {
	return context.WithValue(ctx, answeringKey{}, came)
}

// AnsweringFrom is when a request of that context came.
func AnsweringFrom(ctx context.Context) time.Time {
	came, _ := ctx.Value(answeringKey{}).(time.Time)
	return came
}

// CalendarQuery is the statement of [Calendar.StaysOf], or, where ids is nil, of [Calendar.StaysWithoutListing].
func CalendarQuery(sources, ids []string, from, until time.Time, most int) (query string, args []any) {
	return calendarQuery(sources, ids, from, until, most)
}

// UndatedBetweenQuery is the statement of [Calendar.UndatedBetween].
func UndatedBetweenQuery(from, until time.Time, sources []string) (query string, args []any) {
	return undatedBetween(from, until, sources)
}

// UndatedBarsQuery is the statement of [Calendar.UndatedOf], and of [Calendar.UndatedWithoutListing] where ids is nil.
func UndatedBarsQuery(sources, ids []string, from, until time.Time, most int) (query string, args []any) {
	return undatedBars(sources, ids, from, until, most)
}

// CountUndatedQuery is the statement of [Calendar.CountUndated].
func CountUndatedQuery(day time.Time, sources []string, most int) (query string, args []any) {
	return countUndated(day, sources, most)
}

// ArrivalsQuery is the statement of [MobileKeys.CountArrivalsWithoutKey], without the nearest.
func ArrivalsQuery(now, until time.Time) (query string, args []any) {
	return arrivalsWithoutKey + ` SELECT source FROM arrivals WHERE @sources::text[] IS NULL` + nearestFirst,
		[]any{arrivalArgs(now, until, nil, 1)}
}
