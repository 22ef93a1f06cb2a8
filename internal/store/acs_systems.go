package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

// ACSSystems are the access systems that staykey has ACS users on, and whether Seam can reach them.
type ACSSystems struct{ *db }

// Disconnection is an access system that Seam can't reach.
type Disconnection struct {
	ACSSystemID string    `db:"acs_system_id"` // Seam's id
	Since       time.Time // when it was first found disconnected
	Problem     *string   // Seam's error code
	CheckedAt   time.Time // when that was last confirmed
}

const disconnections = `
	SELECT acs_system_id, disconnected_at AS since, problem, checked_at FROM acs_systems
		WHERE disconnected_at IS NOT NULL ORDER BY acs_system_id`

// Disconnections returns the access systems that Seam can't reach.
func (s ACSSystems) Disconnections(ctx context.Context) ([]Disconnection, error) {
	rows, _ := s.pool.Query(ctx, disconnections)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[Disconnection])
	return list, wrap(err, "read which access systems are disconnected")
}

// Seen records what Seam reports about an access system: problem is its error code if it is disconnected, "" if
// it is connected. eventAt is when the reporting event happened, nil if Seam was asked. An event older than the last
// one changes nothing, and neither does an answer within a minute after an event: reads may lag. changed reports
// whether the state is new.
func (s ACSSystems) Seen(ctx context.Context, acsSystemID, problem string, eventAt *time.Time,
	now time.Time,
) (changed bool, err error) {
	err = s.pool.QueryRow(ctx, `
		WITH before AS (SELECT disconnected_at FROM acs_systems WHERE acs_system_id = $1)
		INSERT INTO acs_systems AS s (acs_system_id, disconnected_at, problem, event_at, heard_at, checked_at)
		VALUES ($1, CASE WHEN $2 <> '' THEN $4::timestamptz END, nullif($2, ''), $3::timestamptz, CASE
			WHEN $3::timestamptz IS NOT NULL THEN $4::timestamptz END, $4)
		ON CONFLICT (acs_system_id) DO UPDATE SET
			disconnected_at = CASE WHEN $2 <> '' THEN coalesce(s.disconnected_at, $4::timestamptz) END,
				problem = nullif($2, ''),
			event_at = coalesce($3::timestamptz, s.event_at), heard_at = CASE WHEN $3::timestamptz IS NOT NULL
				THEN $4::timestamptz ELSE s.heard_at END,
			checked_at = $4
		WHERE CASE WHEN $3::timestamptz IS NULL THEN s.heard_at IS NULL
			OR s.heard_at < $4::timestamptz - interval '1 minute'
			ELSE s.event_at IS NULL OR s.event_at <= $3::timestamptz END
		RETURNING (s.disconnected_at IS NULL) <> ((SELECT disconnected_at FROM before) IS NULL)`,
		acsSystemID, Storable(problem), eventAt, now).Scan(&changed)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil // something newer is known
	}
	return changed, wrap(err, "record access system %s", acsSystemID)
}

// Queue makes every key due that has an ACS user on an access system, or waits for it, and returns their
// number. Keys that somebody keeps locked are passed over: then all others are due, and the error is one of
// [IsLockWait].
func (s ACSSystems) Queue(ctx context.Context, acsSystemID string, now time.Time) (int, error) {
	n, err := MobileKeys(s).flag(ctx, `
			SELECT source, reservation_id FROM (
				SELECT source, reservation_id FROM acs_users WHERE acs_system_id = @system
				UNION SELECT source, reservation_id FROM mobile_keys WHERE reason = 'access_system_disconnected') u`,
		`next_is_retry = false`, pgx.StrictNamedArgs{"system": acsSystemID}, now)
	return n, wrap(err, "check the keys of access system %s", acsSystemID)
}
