package store

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Tasks are what one replica does at a time, each under its lease.
type Tasks struct{ *db }

// TaskLease is a replica's turn at a task that one replica does for all.
type TaskLease struct {
	Name  string    // of the task
	Token uuid.UUID // proves the lease in later calls
}

// Schedule creates a task, or moves it forward, so that it is due no later than by.
func (s Tasks) Schedule(ctx context.Context, name string, by time.Time) error {
	_, err := s.pool.Exec(ctx, `
		INSERT INTO tasks (name, next_at) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE
			SET next_at = least(tasks.next_at, $2)`, name, by)
	return wrap(err, "schedule task %s", name)
}

// Claim leases a task; [ErrNotFound] if it is not due, or another replica has it.
func (s Tasks) Claim(ctx context.Context, name string, now time.Time, lease time.Duration) (TaskLease, error) {
	ctx, cancel := s.prompt(ctx)
	defer cancel()
	l := TaskLease{Name: name}
	err := s.pool.QueryRow(ctx, `
		UPDATE tasks SET lease_token = gen_random_uuid(), lease_until = clock_timestamp() + $3::interval
		WHERE name = $1 AND next_at <= $2 AND (lease_until IS NULL OR lease_until < clock_timestamp())
		RETURNING lease_token`, name, now, lease).Scan(&l.Token)
	return l, wrap(err, "claim task %s", name)
}

// Renew prolongs a lease; [ErrLeaseLost] if another replica has the task.
func (s Tasks) Renew(ctx context.Context, l TaskLease, lease time.Duration) error {
	ctx, cancel := s.prompt(ctx)
	defer cancel()
	tag, err := s.pool.Exec(ctx, `UPDATE tasks SET lease_until = clock_timestamp() + $3::interval WHERE name = $1
		AND lease_token = $2`, l.Name, l.Token, lease)
	if err == nil && tag.RowsAffected() == 0 {
		err = ErrLeaseLost
	}
	return wrap(err, "renew the lease of task %s", l.Name)
}

// Finish ends a lease. result is kept as JSON; nil keeps the previous one.
func (s Tasks) Finish(ctx context.Context, l TaskLease, next time.Time, result any) error {
	_, err := s.pool.Exec(ctx, `
		UPDATE tasks SET lease_token = NULL, lease_until = NULL, next_at = $3, result = coalesce($4, result)
		WHERE name = $1 AND lease_token = $2`, l.Name, l.Token, next, result)
	return wrap(err, "finish task %s", l.Name)
}

// Result reads the result of a task's last run into out, which is unchanged if there is none.
func (s Tasks) Result(ctx context.Context, name string, out any) error {
	err := s.pool.QueryRow(ctx, `SELECT result FROM tasks WHERE name = $1 AND result IS NOT NULL`, name).Scan(out)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	return wrap(err, "read the result of task %s", name)
}

// Leases are short. One that ends later than farAway was given before the database's clock was set back; it is made
// to end after soonEnough, which no lease's holder outlives by its own clock.
const (
	farAway    = 5 * time.Minute
	soonEnough = time.Minute
)

// ShortenLeases ends leases that the database's clock will not reach for a long time, because it was set back, and
// returns how many there were. Rows that somebody keeps locked are left for the next time.
func (s *Store) ShortenLeases(ctx context.Context) (n int, err error) {
	for _, t := range []struct{ table, key, leased string }{
		{"mobile_keys", "(source, reservation_id)", "queued"},
		{"subscription_stays", "(source, reservation_id, subscription)", "due_at IS NOT NULL"},
		{"guest_stays", "(source, reservation_id)", "due_at IS NOT NULL"},
		{"tasks", "(name)", "true"},
	} {
		tag, err := s.pool.Exec(ctx, `
			UPDATE `+t.table+` SET lease_until = clock_timestamp() + $2::interval
			WHERE `+t.key+` IN (
				SELECT `+strings.Trim(t.key, "()")+` FROM `+t.table+`
				WHERE `+t.leased+` AND lease_until > clock_timestamp() + $1::interval FOR UPDATE SKIP LOCKED)`, farAway,
			soonEnough)
		if err != nil {
			return n, wrap(err, "shorten leases")
		}
		n += int(tag.RowsAffected())
	}
	return n, nil
}
