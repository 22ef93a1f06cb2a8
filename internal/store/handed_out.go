package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// What is handed out to guests.
const (
	HandedInstantKey = "instant_key"
	HandedSession    = "session"
)

// HandedOut is an instant key or a client session that a stay's guest was given, or the mark of one that is being
// created. It holds ids and never a URL or token.
//
//	marked ──▶ lost ──▶ (looked for three times, forgotten)
//	   │
//	   ▼
//	given ──▶ ending ──▶ deleted at Seam ──▶ (confirmed, forgotten)
type HandedOut struct {
	ID           int64      // our own number
	Kind         string     // an instant key or a client session: HandedInstantKey or HandedSession
	IdentityID   string     `db:"user_identity_id"` // Seam's id of the user identity that it was created for
	GuestKey     string     // the guest who got it, as [ACSUser.GuestKey]
	CredentialID string     `db:"acs_credential_id"` // Seam's id of the mobile key that it leads to
	MarkedAt     time.Time  // set right before the create
	LostAt       *time.Time // the end of a create without an answer; nil: it was answered
	Looks        int32      // how often Seam was searched for what a lost create may have left
	SeamID       *string    // nil until it is known
	SessionID    *string    // of an instant key: the client session that Seam created with it; nil for none
	ExpiresAt    *time.Time // by Seam's answer; nil: not known
	Uses         int32      // how often it was handed out
	EndingAt     *time.Time // since when it must be taken back; nil: it is good
	DeletedAt    *time.Time // when Seam accepted the delete; the row is kept until that is confirmed
}

const handedColumns = `id, kind, user_identity_id, guest_key, acs_credential_id, marked_at, lost_at, looks, seam_id,
	session_id, expires_at, uses, ending_at, deleted_at`

// GuestHas returns what a stay's guest was given, oldest first.
func GuestHas(ctx context.Context, tx pgx.Tx, ref Ref) ([]HandedOut, error) {
	rows, _ := tx.Query(ctx, `SELECT `+handedColumns+` FROM handed_out WHERE source = $1 AND reservation_id = $2
		ORDER BY id`, ref.Source, ref.ReservationID)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[HandedOut])
	return list, wrap(err, "what was handed out of %s/%s", ref.Source, ref.ReservationID)
}

// LiveKey is a mobile key of a stay that is not being removed.
type LiveKey struct {
	CredentialID string `db:"acs_credential_id"` // Seam's id
	IdentityID   string `db:"user_identity_id"`  // Seam's id of its user identity
	GuestKey     string // as [ACSUser.GuestKey]
}

// LiveKeys returns the mobile keys of a stay that are not being removed.
func LiveKeys(ctx context.Context, tx pgx.Tx, ref Ref) ([]LiveKey, error) {
	rows, _ := tx.Query(ctx, `
		SELECT acs_credential_id, user_identity_id, guest_key FROM acs_users
		WHERE source = $1 AND reservation_id = $2 AND acs_credential_id IS NOT NULL AND deleted_at IS NULL
			AND removed_at IS NULL`, ref.Source, ref.ReservationID)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[LiveKey])
	return list, wrap(err, "the mobile keys of %s/%s", ref.Source, ref.ReservationID)
}

// MarkHandedOut records that something is about to be created, and when to look for the result if nobody records it.
func MarkHandedOut(ctx context.Context, tx pgx.Tx, ref Ref, h *HandedOut, look time.Time) error {
	err := tx.QueryRow(ctx, `
		INSERT INTO handed_out (source, reservation_id, kind, user_identity_id, guest_key, acs_credential_id, marked_at)
		VALUES (@source, @id, @kind, @identity, @guest, @credential, @now) RETURNING id`, pgx.StrictNamedArgs{
		"source": ref.Source, "id": ref.ReservationID, "kind": h.Kind, "identity": h.IdentityID, "guest": h.GuestKey,
		"credential": h.CredentialID, "now": h.MarkedAt,
	}).Scan(&h.ID)
	if err == nil {
		_, err = tx.Exec(ctx, `UPDATE guest_stays SET due_at = least(due_at, $3) WHERE source = $1
			AND reservation_id = $2`, ref.Source, ref.ReservationID, look)
	}
	return wrap(err, "mark what is handed out of %s/%s", ref.Source, ref.ReservationID)
}

// SaveHandedOut writes all columns of a row that may change.
func SaveHandedOut(b *pgx.Batch, h HandedOut) {
	b.Queue(`
		UPDATE handed_out SET lost_at = @lost_at, looks = @looks, seam_id = @seam_id, session_id = @session_id,
			expires_at = @expires_at, uses = @uses,
			ending_at = coalesce(ending_at, @ending_at), deleted_at = @deleted_at
		WHERE id = @id`, pgx.StrictNamedArgs{
		"id": h.ID, "lost_at": h.LostAt, "looks": h.Looks, "seam_id": h.SeamID, "session_id": h.SessionID,
		"expires_at": h.ExpiresAt, "uses": h.Uses,
		"ending_at": h.EndingAt, "deleted_at": h.DeletedAt,
	})
}

// DeleteHandedOut forgets a row.
func DeleteHandedOut(b *pgx.Batch, id int64) { b.Queue(`DELETE FROM handed_out WHERE id = $1`, id) }

// CountOpening counts one more use of a stay's link. recent are the last uses.
func CountOpening(b *pgx.Batch, ref Ref, now time.Time, recent []time.Time) {
	b.Queue(`
		UPDATE guest_stays SET opened_at = coalesce(opened_at, $3), openings = openings + 1, recent = $4
		WHERE source = $1 AND reservation_id = $2`, ref.Source, ref.ReservationID, now, recent)
}

// DueGuestStay schedules a look at what a stay's guest has, no later than at the given time.
func DueGuestStay(b *pgx.Batch, ref Ref, at time.Time) {
	b.Queue(`UPDATE guest_stays SET due_at = least(due_at, $3) WHERE source = $1
		AND reservation_id = $2`, ref.Source, ref.ReservationID, at)
}

// ReleaseGuestLease releases a lease as part of the transaction that holds it.
func ReleaseGuestLease(b *pgx.Batch, l GuestLease) {
	b.Queue(releaseGuestLease, l.Source, l.ReservationID, l.Token)
}

// IsHandedToOthers reports whether something that shows an identity's keys was handed to a guest other than this one,
// or has ended, and is not taken back yet.
func (s UserIdentities) IsHandedToOthers(ctx context.Context, identityID, guest string) (bool, error) {
	var is bool
	err := s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM handed_out WHERE user_identity_id = $1
		AND (guest_key <> $2 OR ending_at IS NOT NULL))`, identityID, guest).Scan(&is)
	return is, wrap(err, "whether something of user identity %s is handed out", identityID)
}
