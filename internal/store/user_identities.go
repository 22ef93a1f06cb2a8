package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

// UserIdentities are the record of guests' identities at Seam, by the key that staykey gives each. A worker writes it
// in the transaction of its lease: [SaveUserIdentity].
type UserIdentities struct{ *db }

// ErrErasing means that the guest's identity is being erased right now: nothing may be linked to it.
var ErrErasing = errors.New("the user identity is being erased")

// UserIdentity is a row of user_identities.
type UserIdentity struct {
	Key      string  `db:"user_identity_key"` // HMAC of the guest's address, or of the stay; unique at Seam
	ID       *string `db:"user_identity_id"`  // nil: being created, or the answer was lost
	MadeByUs bool    `db:"made"`              // false: found at Seam and linked; never changed or deleted
	// belongs to one stay, without an e-mail address, and is deleted with it
	StayOnly  bool       `db:"own"`
	LostAt    *time.Time // the end of a create whose answer was lost; nil: none, or known since
	CreatedAt time.Time  // when it was last marked to be created
	ErasingAt *time.Time // when a delete of ours was last marked whose result is unknown; written by [MarkErasing]
}

// IsErasing reports whether a delete of ours may still take effect.
func (i UserIdentity) IsErasing(now time.Time) bool {
	return i.ErasingAt != nil && now.Before(i.ErasingAt.Add(EraseWithin))
}

const identityColumns = `user_identity_key, user_identity_id, made, own, lost_at, created_at, erasing_at`

// EraseWithin is how long no new ACS user may use an identity after its deletion was marked, in case the deleting
// process dies or the answer to the delete is lost.
const EraseWithin = time.Minute

// BeginErasing keeps new stays from using a guest's identity until [UserIdentities.EndErasing], for at most
// [EraseWithin]. It returns false, and does nothing, while a stay uses the identity. earlier is when an earlier erasure
// began that has not ended, nil for none.
func (s UserIdentities) BeginErasing(ctx context.Context, key string, now time.Time) (free bool, earlier *time.Time,
	err error,
) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			INSERT INTO user_identities (user_identity_key, made, own, created_at) VALUES ($1, true, false, $2)
				ON CONFLICT DO NOTHING`, key, now)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `SELECT FROM user_identities
			WHERE user_identity_key = $1 FOR UPDATE`, key); err != nil {
			return err
		}
		err = tx.QueryRow(ctx, `SELECT NOT EXISTS (SELECT FROM acs_users
			WHERE user_identity_key = $1)`, key).Scan(&free)
		if err != nil || !free {
			return err
		}
		earlier, err = MarkErasing(ctx, tx, key, now)
		return err
	})
	return free, earlier, wrap(err, "begin to erase user identity %s", key)
}

// MarkErasing keeps new ACS users from using an identity that is about to be deleted at Seam, for at most
// [EraseWithin]. earlier is the mark that it replaces, nil for none.
func MarkErasing(ctx context.Context, tx pgx.Tx, key string, now time.Time) (earlier *time.Time,
	err error,
) {
	err = tx.QueryRow(ctx, `
		UPDATE user_identities i SET erasing_at = $2
		FROM (SELECT erasing_at FROM user_identities WHERE user_identity_key = $1 FOR UPDATE) before
		WHERE i.user_identity_key = $1 RETURNING before.erasing_at`, key, now).Scan(&earlier)
	return earlier, wrap(err, "mark the deletion of user identity %s", key)
}

const restoreErasing = `UPDATE user_identities SET erasing_at = $2 WHERE user_identity_key = $1`

// QueueRestoreErasing puts back the mark that [MarkErasing] has replaced, because Seam has refused the delete: an
// earlier one, whose answer was lost, may still take effect.
func QueueRestoreErasing(batch *pgx.Batch, key string, earlier *time.Time) {
	batch.Queue(restoreErasing, key, earlier)
}

// EndErasing releases an identity for stays, as far as an earlier erasure allows, or deletes its row if it is gone from
// Seam.
func (s UserIdentities) EndErasing(ctx context.Context, key string, gone bool, earlier *time.Time) error {
	if gone {
		_, err := s.pool.Exec(ctx, `
			DELETE FROM user_identities i WHERE user_identity_key = $1 AND erasing_at IS NOT NULL
			AND NOT EXISTS (SELECT FROM acs_users u WHERE u.user_identity_key = i.user_identity_key)`, key)
		return wrap(err, "forget user identity %s", key)
	}
	_, err := s.pool.Exec(ctx, restoreErasing, key, earlier)
	return wrap(err, "end erasing user identity %s", key)
}

// Get returns the record of an identity, or [ErrNotFound].
func (s UserIdentities) Get(ctx context.Context, key string) (UserIdentity, error) {
	rows, _ := s.pool.Query(ctx, `SELECT `+identityColumns+` FROM user_identities WHERE user_identity_key = $1`, key)
	i, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[UserIdentity])
	return i, wrap(err, "user identity %s", key)
}

// List returns those of the identities that are known.
func (s UserIdentities) List(ctx context.Context, keys []string) ([]UserIdentity, error) {
	rows, _ := s.pool.Query(ctx, `SELECT `+identityColumns+` FROM user_identities WHERE user_identity_key = ANY ($1)
		ORDER BY created_at`, keys)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[UserIdentity])
	return list, wrap(err, "read user identities")
}

const saveUserIdentity = `
	INSERT INTO user_identities (user_identity_key, user_identity_id, made, own, lost_at, created_at)
		VALUES (@key, @id, @made, @own, @lost_at, @created_at)
	ON CONFLICT (user_identity_key) DO UPDATE SET user_identity_id = @id, made = @made, lost_at = @lost_at,
		created_at = @created_at`

// QueueUserIdentity inserts or updates a row, as part of a batch.
func QueueUserIdentity(batch *pgx.Batch, i UserIdentity) {
	batch.Queue(saveUserIdentity, pgx.StrictNamedArgs{
		"key": i.Key, "id": i.ID, "made": i.MadeByUs, "own": i.StayOnly, "lost_at": i.LostAt,
		"created_at": i.CreatedAt,
	})
}

// SaveUserIdentity is [QueueUserIdentity] at once.
func SaveUserIdentity(ctx context.Context, tx pgx.Tx, i UserIdentity) error {
	err := sendOne(ctx, tx, func(batch *pgx.Batch) { QueueUserIdentity(batch, i) })
	return wrap(err, "save user identity %s", i.Key)
}

// identityPage is how many user identities are read at a time.
const identityPage = 1000

// EachID calls take with the id at Seam of each user identity that has one.
func (s UserIdentities) EachID(ctx context.Context, take func(id string)) error {
	for after, n := "", identityPage; n == identityPage; {
		n = 0
		rows, _ := s.pool.Query(ctx, `
			SELECT user_identity_key, coalesce(user_identity_id, '') FROM user_identities WHERE user_identity_key > $1
				ORDER BY user_identity_key LIMIT $2`, after, identityPage)
		var id string
		if _, err := pgx.ForEachRow(rows, []any{&after, &id}, func() error {
			if n++; id != "" {
				take(id)
			}
			return nil
		}); err != nil {
			return wrap(err, "read the ids of user identities")
		}
	}
	return nil
}

// Known returns those of the keys that user identities have.
func (s UserIdentities) Known(ctx context.Context, keys []string) ([]string, error) {
	rows, _ := s.pool.Query(ctx, `SELECT user_identity_key FROM user_identities
		WHERE user_identity_key = ANY ($1)`, keys)
	known, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return known, wrap(err, "look for %d user identities", len(keys))
}

// DeleteUserIdentity deletes the row of an identity that no ACS user of ours is linked to.
func DeleteUserIdentity(ctx context.Context, tx pgx.Tx, key string) error {
	_, err := tx.Exec(ctx, `
		DELETE FROM user_identities i WHERE user_identity_key = $1
		AND NOT EXISTS (SELECT FROM acs_users u WHERE u.user_identity_key = i.user_identity_key)`, key)
	return wrap(err, "forget user identity %s", key)
}
