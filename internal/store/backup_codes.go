package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/stay"
)

// PINs of ACS users, with which their guests open doors without a phone.

// BackupCodes are the PIN codes that guests have in addition to their mobile keys. Codes themselves are sealed.
type BackupCodes struct{ *db }

// BackupCode is the PIN of an ACS user, or the mark of one that is being made. Only package provisioner writes it.
type BackupCode struct {
	UserRow       int64  // the row of the ACS user
	Source        string // with ReservationID: the stay
	ReservationID string // see Source
	// Seam's id of the user whose code it is; the code is deleted with that user
	ACSUserID    string     `db:"acs_user_id"`
	KeyID        string     // the mobile key that it was made next to; "" for none
	MarkedAt     *time.Time // set right before a create, until its result is recorded
	LostAt       *time.Time // the end of a create without an answer: the code may exist
	Looks        int16      // how often Seam was searched for what a lost create may have left
	CredentialID *string    `db:"acs_credential_id"` // Seam's id; nil until it is known
	MadeByUs     bool       // staykey made it; nobody else did, at Seam or Salto
	Sealed       []byte     // the code, sealed by [stay.Sealer]; nil while Seam shows none
	CodeAt       *time.Time // since when it is this code
	Waiting      bool       // Seam has not issued it yet
	Problem      *string    // why there is no code that opens doors, or Seam's error on it
	MissingAt    *time.Time // Seam did not show it once; counts when that is repeated
	DeletingAt   *time.Time // since when it is being deleted; nil: it isn't
	Surplus      []string   // Seam's ids of further codes that a lost create left
	Tries        int32      // failed or fruitless ones in a row
	DueAt        *time.Time // when to look at it again; nil: when something changes
}

const backupCodeColumns = `user_row, source, reservation_id, acs_user_id, key_id, marked_at, lost_at, looks,
	acs_credential_id, made_by_us, sealed, code_at, waiting, problem, missing_at, deleting_at, surplus, tries, due_at`

const backupCodesOf = `SELECT ` + backupCodeColumns + ` FROM backup_codes WHERE source = $1 AND reservation_id = $2`

// SaveBackupCode inserts or updates a row. The caller holds the lease on the stay's key.
func SaveBackupCode(ctx context.Context, tx pgx.Tx, c BackupCode) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO backup_codes (`+backupCodeColumns+`)
		VALUES (@user_row, @source, @reservation_id, @acs_user_id, @key_id, @marked_at, @lost_at, @looks,
			@credential_id, @made_by_us, @sealed, @code_at, @waiting, @problem,
			@missing_at, @deleting_at, @surplus, @tries,
			@due_at)
		ON CONFLICT (user_row) DO UPDATE SET acs_user_id = excluded.acs_user_id, key_id = excluded.key_id,
			marked_at = excluded.marked_at, lost_at = excluded.lost_at, looks = excluded.looks,
			acs_credential_id = excluded.acs_credential_id, made_by_us = excluded.made_by_us, sealed = excluded.sealed,
			code_at = excluded.code_at, waiting = excluded.waiting, problem = excluded.problem,
			missing_at = excluded.missing_at, deleting_at = excluded.deleting_at, surplus = excluded.surplus,
			tries = excluded.tries, due_at = excluded.due_at`, pgx.StrictNamedArgs{
		"user_row": c.UserRow, "source": c.Source, "reservation_id": c.ReservationID, "acs_user_id": c.ACSUserID,
		"key_id": c.KeyID, "marked_at": c.MarkedAt, "lost_at": c.LostAt, "looks": c.Looks,
		"credential_id": c.CredentialID, "made_by_us": c.MadeByUs, "sealed": c.Sealed, "code_at": c.CodeAt,
		"waiting": c.Waiting, "problem": textOrNil(c.Problem), "missing_at": c.MissingAt,
		"deleting_at": c.DeletingAt, "surplus": notNil(c.Surplus), "tries": c.Tries, "due_at": c.DueAt,
	})
	return wrap(err, "save the backup code of ACS user %s", c.ACSUserID)
}

// DeleteBackupCode forgets a PIN that is gone from Seam.
func DeleteBackupCode(ctx context.Context, tx pgx.Tx, userRow int64) error {
	_, err := tx.Exec(ctx, `DELETE FROM backup_codes WHERE user_row = $1`, userRow)
	return wrap(err, "forget a backup code")
}

// Of returns the PINs of ACS users, by the ids of their rows.
func (s BackupCodes) Of(ctx context.Context, userRows []int64) (map[int64]BackupCode, error) {
	rows, _ := s.pool.Query(ctx, `SELECT `+backupCodeColumns+` FROM backup_codes WHERE user_row = ANY ($1)`, userRows)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[BackupCode])
	codes := map[int64]BackupCode{}
	for _, c := range list {
		codes[c.UserRow] = c
	}
	return codes, wrap(err, "read the backup codes of %d ACS users", len(userRows))
}

// Exist reports whether any ACS user of an access system has a PIN.
func (s BackupCodes) Exist(ctx context.Context, acsSystemID string) (has bool, err error) {
	err = s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM backup_codes c JOIN acs_users u ON u.id = c.user_row
		WHERE u.acs_system_id = $1 AND c.acs_credential_id IS NOT NULL)`, acsSystemID).Scan(&has)
	return has, wrap(err, "look for backup codes of access system %s", acsSystemID)
}

// LookAt makes a PIN due for a look, because Seam has issued it, or again has. One that is known and issued only
// needs one when it was issued again. It returns how many keys are due for it.
func (s BackupCodes) LookAt(ctx context.Context, credentialID string, again bool, now time.Time) (int, error) {
	var due bool
	err := s.pool.QueryRow(ctx, `
		WITH due AS (
			UPDATE backup_codes SET due_at = least(due_at, $3)
			WHERE acs_credential_id = $1 AND deleting_at IS NULL AND (waiting OR $2) RETURNING 1)
		SELECT EXISTS (SELECT FROM due)`, credentialID, again, now).Scan(&due)
	if err != nil || !due {
		return 0, wrap(err, "look at a backup code")
	}
	n, err := MobileKeys(s).flag(ctx, `
		SELECT source, reservation_id FROM backup_codes WHERE acs_credential_id = @credential`,
		`check_requested = check_requested`, pgx.StrictNamedArgs{"credential": credentialID}, now)
	return n, wrap(err, "look at a backup code")
}

// NoteShown records in the timeline that a guest was shown a PIN, and the last uses of the link, oldest first.
func (s BackupCodes) NoteShown(ctx context.Context, ref Ref, recent []time.Time, e Entry) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		var b pgx.Batch
		b.Queue(`UPDATE guest_stays SET recent = $3 WHERE source = $1
			AND reservation_id = $2`, ref.Source, ref.ReservationID, recent)
		if err := QueueTimeline(&b, []Entry{e}); err != nil {
			return err
		}
		return tx.SendBatch(ctx, &b).Close()
	})
	return wrap(err, "record that a backup code was shown")
}

// addBackupCodes fills in the PINs of the ACS users that serve reservations.
func (s Reservations) addBackupCodes(ctx context.Context, views []View) error {
	var rows []int64
	for _, v := range views {
		if v.User != nil {
			rows = append(rows, v.User.ID)
		}
	}
	if len(rows) == 0 {
		return nil
	}
	codes, err := BackupCodes(s).Of(ctx, rows)
	for i, v := range views {
		if v.User == nil {
			continue
		}
		if c, has := codes[v.User.ID]; has && stay.Text(v.User.ACSUserID) == c.ACSUserID {
			views[i].BackupCodeOf = &c
		}
	}
	return err
}
