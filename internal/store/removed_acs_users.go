package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/stay"
)

// RemovedUser is an ACS user that Seam no longer showed when its row in acs_users was deleted. Its id is kept as long
// as it could open a door, because Seam may show it again: Salto KS can refuse a delete later than Seam accepted it,
// and answers can agree wrongly that something is gone. No guest is recorded with it.
type RemovedUser struct {
	ACSUserID   string     `db:"acs_user_id"`   // Seam's id
	ACSSystemID string     `db:"acs_system_id"` // Seam's id of the access system that it was on
	RemovedAt   time.Time  // when Seam was found to have it no longer
	EndsAt      *time.Time // the end of its access; nil: not known
	LookedAt    *time.Time // the last look for it since RemovedAt; nil: none, or one is due that Seam hasn't answered
	MissingAt   *time.Time // a look didn't find it then for the first time; nil: it did, or that has counted since
	DeletedAt   *time.Time // our last delete since Seam showed it again; nil: Seam doesn't
	Deletes     int16      // since Seam showed it again, without effect
}

const removedColumns = `acs_user_id, acs_system_id, removed_at, ends_at, looked_at, missing_at, deleted_at,
	deletes`

// How long the id of a removed ACS user is kept: until its access would have ended, and a day longer; a month if that
// end isn't known.
const (
	removedKept        = 24 * time.Hour
	removedKeptUnknown = 30 * 24 * time.Hour
)

// QueueRemovedUser records a removed ACS user of a stay, or what was found out about it since.
func QueueRemovedUser(batch *pgx.Batch, ref Ref, u RemovedUser) {
	until := u.RemovedAt.Add(removedKept)
	if u.EndsAt == nil {
		until = u.RemovedAt.Add(removedKeptUnknown)
	} else if end := u.EndsAt.Add(removedKept); end.After(until) {
		until = end
	}
	batch.Queue(`
		INSERT INTO removed_acs_users (source, reservation_id, `+removedColumns+`, kept_until)
		VALUES (@source, @reservation_id, @acs_user_id, @acs_system_id, @removed_at, @ends_at, @looked_at,
			@missing_at, @deleted_at, @deletes, @kept_until)
		ON CONFLICT (acs_user_id) DO UPDATE SET source = @source, reservation_id = @reservation_id,
			removed_at = @removed_at, ends_at = @ends_at, looked_at = @looked_at, missing_at = @missing_at,
			deleted_at = @deleted_at, deletes = @deletes, kept_until = @kept_until`, pgx.StrictNamedArgs{
		"source": ref.Source, "reservation_id": ref.ReservationID, "acs_user_id": u.ACSUserID,
		"acs_system_id": u.ACSSystemID, "removed_at": u.RemovedAt, "ends_at": u.EndsAt, "looked_at": u.LookedAt,
		"missing_at": u.MissingAt, "deleted_at": u.DeletedAt, "deletes": u.Deletes, "kept_until": until,
	})
}

// MarkRemovedUser records a removed ACS user that is about to be deleted again, and returns true. If the ACS user is a
// stay's again, because Seam answered a create with it, the record is deleted instead, and false is returned.
func MarkRemovedUser(ctx context.Context, tx pgx.Tx, ref Ref, u RemovedUser) (mayDelete bool, err error) {
	var taken bool
	err = tx.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM acs_users WHERE acs_user_id = $1) OR EXISTS (SELECT FROM acs_users
			WHERE source = $2 AND reservation_id = $3 AND surplus @> jsonb_build_array(jsonb_build_object('id', $1)))`,
		u.ACSUserID, ref.Source, ref.ReservationID).Scan(&taken)
	switch {
	case err != nil:
	case taken:
		_, err = tx.Exec(ctx, `DELETE FROM removed_acs_users WHERE acs_user_id = $1`, u.ACSUserID)
	default:
		err = sendOne(ctx, tx, func(batch *pgx.Batch) { QueueRemovedUser(batch, ref, u) })
	}
	return !taken, wrap(err, "mark removed ACS user %s", u.ACSUserID)
}

// removedOf selects the removed ACS users of one reservation.
const removedOf = `SELECT ` + removedColumns + ` FROM removed_acs_users
	WHERE source = $1 AND reservation_id = $2 AND kept_until > now() ORDER BY acs_user_id COLLATE "C"`

// RemovedFrom returns the stays of the ACS users that were removed from an access system before a time, by the ids of
// these ACS users. Those that are a stay's again are left out, also as a second ACS user: those are followed anyway.
func (s ACSUsers) RemovedFrom(ctx context.Context, acsSystemID string, before time.Time) (map[string]Ref, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT acs_user_id, source, reservation_id FROM removed_acs_users r WHERE acs_system_id = $1
			AND removed_at < $2 AND NOT EXISTS (SELECT FROM acs_users u WHERE u.acs_user_id = r.acs_user_id)
			AND NOT EXISTS (SELECT FROM acs_users u
				WHERE u.source = r.source AND u.reservation_id = r.reservation_id
					AND u.surplus @> jsonb_build_array(jsonb_build_object('id', r.acs_user_id)))`,
		acsSystemID, before)
	removed := map[string]Ref{}
	var id string
	var ref stay.Ref
	_, err := pgx.ForEachRow(rows, []any{&id, &ref.Source, &ref.ReservationID}, func() error {
		removed[id] = ref
		return nil
	})
	return removed, wrap(err, "read the ACS users removed from access system %s", acsSystemID)
}

// ForgetRemoved deletes the ids of removed ACS users that can't open anything any more.
func (s ACSUsers) ForgetRemoved(ctx context.Context, now time.Time) error {
	_, err := s.pool.Exec(ctx, `DELETE FROM removed_acs_users WHERE kept_until < $1`, now)
	return wrap(err, "forget removed ACS users")
}
