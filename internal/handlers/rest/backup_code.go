package rest

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/staykey/staykey/internal/stay"
)

// BackupCode is the PIN of a reservation, without its digits.
type BackupCode struct {
	Status  string  `json:"status" enum:"pending,ready,failed" doc:"pending: Salto KS hasn't created it yet. failed: see problem; it is retried. It never changes the status of the key."`
	Problem *string `json:"problem" doc:"Why it failed: Seam's code, or removed_at_seam." example:"invalid_input"`
	ID      *string `json:"acs_credential_id"`
	At      *string `json:"at" format:"date-time" doc:"When the code got its digits."`
	Code    *string `json:"code,omitempty" doc:"Only for text programs of write_back. REST never returns it."`
}

func showBackupCode(c *stay.BackupCode) *BackupCode {
	if c == nil {
		return nil
	}
	return &BackupCode{Status: c.Status, Problem: c.Problem, ID: c.CredentialID, At: stampOrNull(c.At)}
}

// ShownCode is a reservation's PIN.
type ShownCode struct {
	Code           string   `json:"code" example:"846201" doc:"For the guest alone. Salto may change it: ask when it is needed."`
	AccessSchedule Schedule `json:"access_schedule" doc:"When it opens doors, within the hours of the stay."`
}

func (s *API) backupCodeOperation(api huma.API) {
	op := operation("show-backup-code", http.MethodPost, reservationPath+"/backup-code", "Guests",
		"Get the digits of a reservation's backup code",
		http.StatusForbidden, http.StatusNotFound, http.StatusConflict)
	op.Description = "For programs that show it to the guest. Needs a token with scope guest or write. Each request " +
		"reads the digits from Seam. Returns 409 while there is no code, a gate is closed, or the stay was moved and " +
		"Salto KS has only its earlier hours. Each request is in the audit log. Nothing is created: it is a POST so " +
		"that the digits are in no cache."
	huma.Register(api, op, func(ctx context.Context, in *ReservationPath) (*Output[ShownCode], error) {
		got, err := s.Admin.GuestAccess.BackupCode(ctx, in.ref())
		if err != nil {
			return nil, s.problemOf(ctx, err)
		}
		return &Output[ShownCode]{ShownCode{
			Code: got.Digits, AccessSchedule: Schedule{StartsAt: stamp(got.OpensAt), EndsAt: stamp(got.OpensTo)},
		}}, nil
	})
}
