package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// ErrHeld says that an ACS user or credential id is already another reservation's.
var ErrHeld = errors.New("this id belongs to another reservation")

// ACSUser is a row of acs_users: an ACS user that we made, are making, or may have made.
type ACSUser struct {
	ID                 int64
	Source             string
	ReservationID      string
	ACSSystemID        string `db:"acs_system_id"`
	UserIdentityKey    string
	UserIdentityID     string
	GuestKey           string
	MarkedAt           *time.Time
	LostAt             *time.Time
	ACSUserID          *string `db:"acs_user_id"`
	MadeAt             *time.Time
	StartsAt           *time.Time
	EndsAt             *time.Time
	AccessGroupIDs     []string `db:"acs_access_group_ids"`
	CredentialID       *string  `db:"acs_credential_id"`
	CredentialMarkedAt *time.Time
	CredentialLostAt   *time.Time
	Settled            bool
	Subscribed         bool
	Problem            *string
	RemovedAt          *time.Time
	SuspendedAt        *time.Time
	DeletedAt          *time.Time
	Unsure             bool
	UnsureGeneration   int64
	ChangedAt          *time.Time
	Drift              *string // found changed at Seam and left alone
	CredentialProblem  *string // an error that Seam reports on the mobile key
}

const userColumns = `id, source, reservation_id, acs_system_id, user_identity_key, user_identity_id, guest_key, marked_at, lost_at,
	acs_user_id, made_at, starts_at, ends_at, acs_access_group_ids, acs_credential_id, credential_marked_at, credential_lost_at,
	settled, subscribed, problem, removed_at, suspended_at, deleted_at, unsure, unsure_generation,
	changed_at, drift, credential_problem`

// Current returns the ACS user that stands for a reservation: the newest that is not being deleted.
func Current(users []ACSUser) *ACSUser {
	for i := len(users) - 1; i >= 0; i-- {
		if users[i].DeletedAt == nil {
			return &users[i]
		}
	}
	return nil
}

// ACSUsers returns the rows of each reservation, oldest first.
func (s *Store) ACSUsers(ctx context.Context, refs []Ref) (map[Ref][]ACSUser, error) {
	sources, ids := splitRefs(refs)
	rows, _ := s.pool.Query(ctx, `
		SELECT `+userColumns+` FROM acs_users
		WHERE (source, reservation_id) IN (SELECT * FROM unnest($1::text[], $2::text[])) ORDER BY id`, sources, ids)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[ACSUser])
	if err != nil {
		return nil, wrap(err, "read ACS users")
	}
	users := map[Ref][]ACSUser{}
	for _, u := range list {
		ref := Ref{u.Source, u.ReservationID}
		users[ref] = append(users[ref], u)
	}
	return users, nil
}

// ClaimPlace makes the row of an ACS user to be, marked as about to be created. ok is false where another
// stay has this (access system, identity).
func ClaimPlace(ctx context.Context, tx pgx.Tx, u *ACSUser) (ok bool, err error) {
	err = tx.QueryRow(ctx, `
		INSERT INTO acs_users (source, reservation_id, acs_system_id, user_identity_key, user_identity_id, guest_key)
		VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (acs_system_id, user_identity_id) DO NOTHING RETURNING id`,
		u.Source, u.ReservationID, u.ACSSystemID, u.UserIdentityKey, u.UserIdentityID, u.GuestKey).Scan(&u.ID)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	return err == nil, wrap(err, "claim a place")
}

// PlaceTaken tells whether any stay has this (access system, identity).
func (s *Store) PlaceTaken(ctx context.Context, acsSystemID, userIdentityID string) (taken bool, err error) {
	err = s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM acs_users WHERE acs_system_id = $1 AND user_identity_id = $2)`,
		acsSystemID, userIdentityID).Scan(&taken)
	return taken, wrap(err, "look for a place")
}

// SaveACSUser writes all that changes in a row; [ErrHeld] where an id is another reservation's.
func SaveACSUser(ctx context.Context, tx pgx.Tx, u ACSUser) error {
	_, err := tx.Exec(ctx, `
		UPDATE acs_users SET marked_at = $2, lost_at = $3, acs_user_id = $4, made_at = $5, starts_at = $6, ends_at = $7,
			acs_access_group_ids = $8, acs_credential_id = $9, credential_marked_at = $10, credential_lost_at = $11,
			settled = $12, subscribed = $13, problem = $14, removed_at = $15, suspended_at = $16, deleted_at = $17, unsure = $18,
			unsure_generation = $19, changed_at = $20, drift = $21, credential_problem = $22
		WHERE id = $1`,
		u.ID, u.MarkedAt, u.LostAt, u.ACSUserID, u.MadeAt, u.StartsAt, u.EndsAt, u.AccessGroupIDs, u.CredentialID,
		u.CredentialMarkedAt, u.CredentialLostAt, u.Settled, u.Subscribed, u.Problem, u.RemovedAt, u.SuspendedAt, u.DeletedAt, u.Unsure,
		u.UnsureGeneration, u.ChangedAt, u.Drift, u.CredentialProblem)
	if pg := new(pgconn.PgError); errors.As(err, &pg) && pg.Code == "23505" {
		return ErrHeld
	}
	return wrap(err, "save ACS user %d", u.ID)
}

// DeleteACSUser forgets a row, and with it its place.
func DeleteACSUser(ctx context.Context, tx pgx.Tx, id int64) error {
	_, err := tx.Exec(ctx, `DELETE FROM acs_users WHERE id = $1`, id)
	return wrap(err, "forget ACS user %d", id)
}

// HeldElsewhere returns those of the ids that rows other than except have.
func (s *Store) HeldElsewhere(ctx context.Context, acsUserIDs []string, except int64) (map[string]bool, error) {
	rows, _ := s.pool.Query(ctx, `SELECT acs_user_id FROM acs_users WHERE acs_user_id = ANY ($1) AND id <> $2`, acsUserIDs, except)
	held := map[string]bool{}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	for _, id := range ids {
		held[id] = true
	}
	return held, wrap(err, "look who holds ACS users")
}

// RecordedUser is what a sweep compares with Seam.
type RecordedUser struct {
	ID                int64
	Source            string
	ReservationID     string
	UserIdentityID    string
	ACSUserID         string `db:"acs_user_id"`
	StartsAt          *time.Time
	EndsAt            *time.Time
	AccessGroupIDs    []string `db:"acs_access_group_ids"`
	CredentialID      *string  `db:"acs_credential_id"`
	Problem           *string
	CredentialProblem *string
	Removed           bool
	Suspended         bool
	Drifted           bool // something else than recorded is known to be at Seam, and left alone
}

// RecordedUsers returns up to limit ACS users of an access system that exist as far as we know, were not touched
// since, and whose access has not ended by then, by identity from behind after.
func (s *Store) RecordedUsers(ctx context.Context, acsSystemID string, since time.Time, after string, limit int) ([]RecordedUser, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT id, source, reservation_id, user_identity_id, acs_user_id, starts_at, ends_at, acs_access_group_ids, acs_credential_id, problem, credential_problem,
			removed_at IS NOT NULL AS removed, suspended_at IS NOT NULL AS suspended, drift IS NOT NULL AS drifted
		FROM acs_users
		WHERE acs_system_id = $1 AND user_identity_id > $3 AND acs_user_id IS NOT NULL AND deleted_at IS NULL AND NOT unsure
			AND (ends_at IS NULL OR ends_at > $2)
			AND coalesce(changed_at, made_at, 'epoch') < $2 AND coalesce(credential_marked_at, 'epoch') < $2
		ORDER BY user_identity_id LIMIT $4`, acsSystemID, since, after, limit)
	users, err := pgx.CollectRows(rows, pgx.RowToStructByName[RecordedUser])
	return users, wrap(err, "read the ACS users of access system %s", acsSystemID)
}

// SystemsInUse returns the access systems on which we have ACS users, with their numbers.
func (s *Store) SystemsInUse(ctx context.Context) (map[string]int, error) {
	rows, _ := s.pool.Query(ctx, `SELECT acs_system_id, count(*) FROM acs_users WHERE acs_user_id IS NOT NULL GROUP BY 1`)
	systems := map[string]int{}
	var id string
	var n int
	_, err := pgx.ForEachRow(rows, []any{&id, &n}, func() error { systems[id] = n; return nil })
	return systems, wrap(err, "count ACS users by access system")
}

// UserIdentity is a row of user_identities.
type UserIdentity struct {
	Key       string  `db:"user_identity_key"`
	ID        *string `db:"user_identity_id"` // nil: being made, or the answer was lost
	Made      bool
	Own       bool
	LostAt    *time.Time
	CreatedAt time.Time
}

const identityColumns = `user_identity_key, user_identity_id, made, own, lost_at, created_at`

// UserIdentity returns what is known of an identity, or [ErrNotFound].
func (s *Store) UserIdentity(ctx context.Context, key string) (UserIdentity, error) {
	rows, _ := s.pool.Query(ctx, `SELECT `+identityColumns+` FROM user_identities WHERE user_identity_key = $1`, key)
	i, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[UserIdentity])
	return i, wrap(err, "user identity %s", key)
}

// UserIdentities returns those of the identities that are known.
func (s *Store) UserIdentities(ctx context.Context, keys []string) ([]UserIdentity, error) {
	rows, _ := s.pool.Query(ctx, `SELECT `+identityColumns+` FROM user_identities WHERE user_identity_key = ANY ($1) ORDER BY created_at`, keys)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[UserIdentity])
	return list, wrap(err, "read user identities")
}

// SaveUserIdentity makes or writes a row.
func SaveUserIdentity(ctx context.Context, tx pgx.Tx, i UserIdentity) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO user_identities (user_identity_key, user_identity_id, made, own, lost_at, created_at) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (user_identity_key) DO UPDATE SET user_identity_id = $2, made = $3, lost_at = $5`,
		i.Key, i.ID, i.Made, i.Own, i.LostAt, i.CreatedAt)
	return wrap(err, "save user identity %s", i.Key)
}

// DeleteUserIdentity forgets an identity that no ACS user of ours is linked to.
func DeleteUserIdentity(ctx context.Context, tx pgx.Tx, key string) error {
	_, err := tx.Exec(ctx, `
		DELETE FROM user_identities i WHERE user_identity_key = $1
		AND NOT EXISTS (SELECT FROM acs_users u WHERE u.user_identity_key = i.user_identity_key)`, key)
	return wrap(err, "forget user identity %s", key)
}

// CredentialOf returns the mobile key of the ACS user that stands for a reservation, nil if there is none.
func CredentialOf(ctx context.Context, tx pgx.Tx, ref Ref) (*string, error) {
	rows, _ := tx.Query(ctx, `SELECT `+userColumns+` FROM acs_users WHERE source = $1 AND reservation_id = $2 ORDER BY id`, ref.Source, ref.ReservationID)
	users, err := pgx.CollectRows(rows, pgx.RowToStructByName[ACSUser])
	if u := Current(users); u != nil {
		return u.CredentialID, err
	}
	return nil, wrap(err, "mobile key of %s/%s", ref.Source, ref.ReservationID)
}
