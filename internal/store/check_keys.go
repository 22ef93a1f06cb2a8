package store

import (
	"context"
	"maps"
	"time"

	"github.com/jackc/pgx/v5"
)

// Flagging many keys for a look soon, because something about them may have changed at Seam. A key that somebody
// keeps locked never stops the others: each statement waits for it for a second at most, then flags the others and
// reports the wait.

// queuePage is how many keys one statement flags.
const queuePage = 5000

// compareWithSeam flags a key for a comparison with Seam. Nothing that is desired changes, and so neither does the
// status.
const compareWithSeam = `check_requested = true`

// CheckNamed schedules a comparison with Seam of the reservations of an ACS user or a credential, unless we are
// deleting it, and returns their number. Keys that somebody keeps locked are passed over: then all others are
// flagged, and the error is one of [IsLockWait].
func (s MobileKeys) CheckNamed(ctx context.Context, acsUserID, acsCredentialID string, now time.Time) (int, error) {
	n, err := s.flag(ctx, `
			SELECT source, reservation_id FROM acs_users
			WHERE deleted_at IS NULL AND (acs_user_id = nullif(@user, '')
				OR acs_credential_id = nullif(@credential, ''))
			UNION
			SELECT source, reservation_id FROM backup_codes
			WHERE deleting_at IS NULL AND acs_credential_id = nullif(@credential, '')`,
		compareWithSeam, pgx.StrictNamedArgs{"user": acsUserID, "credential": acsCredentialID}, now)
	return n, wrap(err, "check what Seam's event names")
}

// CheckMembers schedules a comparison with Seam of the reservations whose ACS users are in an access group, and
// returns their number. Keys that somebody keeps locked are passed over: then all others are flagged, and the error
// is one of [IsLockWait].
func (s MobileKeys) CheckMembers(ctx context.Context, acsSystemID, accessGroupID string, now time.Time) (int, error) {
	n, err := s.flag(ctx, `
			SELECT DISTINCT source, reservation_id FROM acs_users
			WHERE deleted_at IS NULL AND acs_system_id = @system AND acs_access_group_ids @> ARRAY[@group::text]`,
		compareWithSeam, pgx.StrictNamedArgs{"system": acsSystemID, "group": accessGroupID}, now)
	return n, wrap(err, "check the members of access group %s", accessGroupID)
}

// Check schedules a comparison of reservations with Seam. Those that somebody keeps locked are passed over: then
// all others are flagged, and the error is one of [IsLockWait].
func (s MobileKeys) Check(ctx context.Context, refs []Ref, now time.Time) error {
	sources, ids := splitRefs(refs)
	_, err := s.flag(ctx, `SELECT DISTINCT source, reservation_id
		FROM unnest(@sources::text[], @ids::text[]) AS w (source, reservation_id)`,
		compareWithSeam, pgx.StrictNamedArgs{"sources": sources, "ids": ids}, now)
	return wrap(err, "check %d reservations", len(ids))
}

// flag makes the keys due that a query names, with a change, and returns how many. It goes page by page in the
// order of the primary key; Postgres decides where the next page begins, because its order depends on the
// database's collation. Keys are locked in the order in which everything else locks them. The query has the columns
// source and reservation_id, each key once, and uses args.
func (s MobileKeys) flag(ctx context.Context, query, change string, args pgx.StrictNamedArgs,
	now time.Time,
) (flagged int, err error) {
	var locked error
	args = maps.Clone(args)
	args["now"], args["most"] = now, queuePage

	for after := (Ref{}); ; {
		args["after_source"], args["after_reservation"] = after.Source, after.ReservationID
		var found, changed int
		var last Ref
		err := s.passingLocked(ctx, func(tx pgx.Tx, skip string) error {
			return tx.QueryRow(ctx, `
			WITH named AS (`+query+`),
			page AS (
				SELECT source, reservation_id FROM named
					WHERE (source, reservation_id) > (@after_source, @after_reservation)
				ORDER BY source, reservation_id LIMIT @most),
			locked AS (
				SELECT k.source, k.reservation_id FROM mobile_keys k JOIN page USING (source, reservation_id)
				ORDER BY k.source COLLATE "C", k.reservation_id COLLATE "C" FOR NO KEY UPDATE OF k `+skip+`),
			changed AS (
				UPDATE mobile_keys k SET checks = k.checks + 1, queued = true,
					next_reconcile_at = least(k.next_reconcile_at, @now::timestamptz), `+change+`
				FROM locked l WHERE k.source = l.source AND k.reservation_id = l.reservation_id
				RETURNING 1)
			SELECT (SELECT count(*) FROM page), (SELECT count(*) FROM changed), coalesce(last.source, ''),
				coalesce(last.reservation_id, '')
			FROM (SELECT) AS always LEFT JOIN (SELECT * FROM page ORDER BY source DESC, reservation_id DESC
				LIMIT 1) AS last ON true`, args).
				Scan(&found, &changed, &last.Source, &last.ReservationID)
		})

		if IsLockWait(err) {
			locked = err
		} else if err != nil {
			return flagged, err
		}
		flagged += changed
		if found < queuePage {
			return flagged, locked
		}
		after = last
	}
}
