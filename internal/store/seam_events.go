package store

import (
	"context"
	"time"
)

// SeamEvents are the names of Seam's webhooks that were handled, so that a repeated one changes nothing.
type SeamEvents struct{ *db }

// Taken reports whether an event of Seam's was acted upon.
func (s SeamEvents) Taken(ctx context.Context, name string) (taken bool, err error) {
	err = s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM seam_events WHERE name = $1)`, name).Scan(&taken)
	return taken, wrap(err, "look for an event of Seam's")
}

// Take records that an event of Seam's was acted upon.
func (s SeamEvents) Take(ctx context.Context, name string, now time.Time) error {
	_, err := s.pool.Exec(ctx, `INSERT INTO seam_events (name, received_at) VALUES ($1, $2)
		ON CONFLICT DO NOTHING`, name, now)
	return wrap(err, "remember an event of Seam's")
}

// Forget deletes the names of events received before a time, which Seam doesn't send again.
func (s SeamEvents) Forget(ctx context.Context, before time.Time) error {
	_, err := s.pool.Exec(ctx, `DELETE FROM seam_events WHERE received_at < $1`, before)
	return wrap(err, "forget old events of Seam's")
}
