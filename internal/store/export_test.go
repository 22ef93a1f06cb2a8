package store

import (
	"context"
	"time"
)

// PageQuery is the statement of a page of reservations, for tests that look at its plan.
func (s *Store) PageQuery(ctx context.Context, f ReservationFilter, after Cursor, limit int) (string, []any, error) {
	var w where
	page, err := f.page(ctx, s.db, &w, after, limit)
	return page, w.planned(), err
}

// DeliveriesQuery is the statement of a page of deliveries.
func DeliveriesQuery(f DeliveryFilter, below int64, limit int) (string, []any) {
	var w where
	page := f.page(&w, below, limit)
	return page, w.planned()
}

// AnsweringSince is Answering for a request that came at some time.
func AnsweringSince(ctx context.Context, came time.Time) context.Context {
	return context.WithValue(ctx, answeringKey{}, came.Add(LockTimeout))
}

// AnsweringUntil is how long a request of that context may wait for locks.
func AnsweringUntil(ctx context.Context) time.Time {
	until, _ := ctx.Value(answeringKey{}).(time.Time)
	return until
}

// CalendarQuery is the statement of [Calendar.StaysOf], or, where ids is nil, of [Calendar.StaysWithoutListing].
func CalendarQuery(sources, ids []string, from, until time.Time, most int) (query string, args []any) {
	return calendarQuery(sources, ids, from, until, most)
}
