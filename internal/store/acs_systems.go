package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

// Disconnection is an access system that Seam can't reach.
type Disconnection struct {
	ACSSystemID string `db:"acs_system_id"`
	Since       time.Time
	Problem     *string // Seam's error code
	CheckedAt   time.Time
}

const disconnections = `
	SELECT acs_system_id, disconnected_at AS since, problem, checked_at FROM acs_systems WHERE disconnected_at IS NOT NULL ORDER BY acs_system_id`

// Disconnections returns the access systems that Seam can't reach.
func (s *Store) Disconnections(ctx context.Context) ([]Disconnection, error) {
	rows, _ := s.pool.Query(ctx, disconnections)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[Disconnection])
	return list, wrap(err, "read which access systems are disconnected")
}

// SystemSeen records what Seam says of an access system: its error code if it is disconnected, "" if it is
// connected. eventAt is when the event that says so happened, nil where Seam was asked. An event older than the
// last one changes nothing, nor does what is read within a minute after an event: reads may lag. changed tells
// whether it is news.
func (s *Store) SystemSeen(ctx context.Context, acsSystemID, problem string, eventAt *time.Time, now time.Time) (changed bool, err error) {
	err = s.pool.QueryRow(ctx, `
		WITH before AS (SELECT disconnected_at FROM acs_systems WHERE acs_system_id = $1)
		INSERT INTO acs_systems AS s (acs_system_id, disconnected_at, problem, event_at, heard_at, checked_at)
		VALUES ($1, CASE WHEN $2 <> '' THEN $4::timestamptz END, nullif($2, ''), $3::timestamptz, CASE WHEN $3::timestamptz IS NOT NULL THEN $4::timestamptz END, $4)
		ON CONFLICT (acs_system_id) DO UPDATE SET
			disconnected_at = CASE WHEN $2 <> '' THEN coalesce(s.disconnected_at, $4::timestamptz) END, problem = nullif($2, ''),
			event_at = coalesce($3::timestamptz, s.event_at), heard_at = CASE WHEN $3::timestamptz IS NOT NULL THEN $4::timestamptz ELSE s.heard_at END,
			checked_at = $4
		WHERE CASE WHEN $3::timestamptz IS NULL THEN s.heard_at IS NULL OR s.heard_at < $4::timestamptz - interval '1 minute'
			ELSE s.event_at IS NULL OR s.event_at <= $3::timestamptz END
		RETURNING (s.disconnected_at IS NULL) <> ((SELECT disconnected_at FROM before) IS NULL)`, acsSystemID, Storable(problem), eventAt, now).Scan(&changed)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil // something newer is known
	}
	return changed, wrap(err, "record access system %s", acsSystemID)
}

// queuePage is how many keys one statement makes due.
const queuePage = 5000

// QueueSystem makes every key due that has an ACS user on an access system, or waits for it. It goes page by page in the order of the primary
// key, and where the next page begins is Postgres' to tell: its order depends on the database's collation. Keys are locked in the order in
// which everything else locks them.
func (s *Store) QueueSystem(ctx context.Context, acsSystemID string, now time.Time) (int, error) {
	total := 0
	after := Ref{}
	var locked error
	for {
		var found, queued int
		var last Ref
		err := s.passingLocked(ctx, func(tx pgx.Tx, skip string) error {
			return tx.QueryRow(ctx, `
			WITH page AS (
				SELECT source, reservation_id FROM (
					SELECT source, reservation_id FROM acs_users WHERE acs_system_id = @system
					UNION SELECT source, reservation_id FROM mobile_keys WHERE reason = 'access_system_disconnected') u
				WHERE (source, reservation_id) > (@source, @reservation) ORDER BY source, reservation_id LIMIT @most),
			locked AS (
				SELECT k.source, k.reservation_id FROM mobile_keys k JOIN page USING (source, reservation_id)
				ORDER BY k.source COLLATE "C", k.reservation_id COLLATE "C" FOR NO KEY UPDATE OF k `+skip+`),
			queued AS (
				UPDATE mobile_keys k SET checks = k.checks + 1, queued = true, next_reconcile_at = least(k.next_reconcile_at, @now::timestamptz), next_is_retry = false
				FROM locked l WHERE k.source = l.source AND k.reservation_id = l.reservation_id
				RETURNING 1)
			SELECT (SELECT count(*) FROM page), (SELECT count(*) FROM queued), coalesce(last.source, ''), coalesce(last.reservation_id, '')
			FROM (SELECT) AS always LEFT JOIN (SELECT * FROM page ORDER BY source DESC, reservation_id DESC LIMIT 1) AS last ON true`,
				pgx.StrictNamedArgs{"system": acsSystemID, "source": after.Source, "reservation": after.ReservationID, "most": queuePage, "now": now}).
				Scan(&found, &queued, &last.Source, &last.ReservationID)
		})
		if IsLockWait(err) {
			locked = err
		} else if err != nil {
			return total, err
		}
		total += queued
		if found < queuePage {
			return total, locked
		}
		after = last
	}
}
