package admin

import (
	"context"
	"errors"

	"github.com/staykey/staykey/internal/guest"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// BackupCode returns the PIN of a stay. It is for a token that may write, or of the scope guest, and in the audit log.
func (s GuestAccess) BackupCode(ctx context.Context, ref stay.Ref) (guest.Code, error) {
	if err := visible(ctx, ref); err != nil {
		return guest.Code{}, err
	}
	if s.config.Guests == nil {
		return guest.Code{}, refuse(Conflict, noCode)
	}
	code, err := s.config.Guests.BackupCode(ctx, ref)
	switch {
	case errors.Is(err, guest.ErrNoCode):
		return code, &Error{Kind: Conflict, Code: CodeKeyNotReady, Reason: "no_backup_code", Message: noCode}
	case errors.Is(err, guest.ErrGone):
		return code, refuse(Conflict, "the stay is over or cancelled: its backup code opens nothing")
	case err != nil:
		return code, refusedSession(err)
	}
	audit := ActorOf(ctx).Audit(ActionShowCode, "").About(ref.Source, ref.ReservationID, "")
	audit.At = s.now().UTC()
	return code, s.store.Audit.Add(ctx, audit)
}

const noCode = "this stay has no backup code now: its source doesn't set backup_code: true, Salto has not created it yet, " +
	"or Seam still has the doors or the hours of before a move"

// withBackupCode fills in the state of a reservation's PIN; nil where it has none.
func withBackupCode(v View) View {
	c := v.BackupCodeOf
	switch {
	case c == nil || c.DeletingAt != nil || v.User.RemovedAt != nil || v.User.SuspendedAt != nil:
		return v // it opens nothing
	case c.Problem != nil:
		v.BackupCode = &stay.BackupCode{Status: stay.BackupFailed, Problem: c.Problem}
	case c.CredentialID == nil || c.Waiting || c.Sealed == nil || c.MissingAt != nil:
		v.BackupCode = &stay.BackupCode{Status: stay.BackupPending}
	default:
		v.BackupCode = &stay.BackupCode{Status: stay.BackupReady, At: c.CodeAt}
	}
	v.BackupCode.CredentialID = c.CredentialID
	return v
}

// CodeRecorded is what is recorded of a reservation's PIN; nil for one that opens no doors now.
func CodeRecorded(v View) *store.BackupCode {
	if v.BackupCode == nil || v.BackupCode.Status != stay.BackupReady {
		return nil
	}
	return v.BackupCodeOf
}
