package rest

import (
	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/stay"
)

// WriteBack is the state of the reservation's field at its PMS.
type WriteBack struct {
	Status    string  `json:"status" enum:"pending,written,failed,cleared" doc:"pending: to be written once the key is issued, or to be cleared. failed: is retried. It never changes the status of the key."`
	Reason    *string `json:"reason" enum:"no_answer,rate_limited,account_refused,not_found,refused,pms_failing,not_kept,unreadable,too_long,program_failed" doc:"Why it failed, for machines. docs/write-back.md explains each."`
	At        *string `json:"at" format:"date-time" doc:"Since when the status holds."`
	LastError *string `json:"last_error" doc:"Why it failed, for people."`
}

func showWriteBack(w *stay.WriteBack) *WriteBack {
	if w == nil {
		return nil
	}
	return &WriteBack{Status: w.Status, Reason: w.Reason, At: stampOrNull(w.At), LastError: w.LastError}
}

// ShowWithCode returns a reservation as REST shows it, with the digits of its backup code if that opens doors. It is
// for what is written into the PMS.
func ShowWithCode(v admin.View, sealer stay.Sealer) Reservation {
	r := showReservation(v)
	c := admin.CodeRecorded(v)
	if c == nil {
		return r
	}
	if digits, readable := sealer.Open(c.Sealed, *c.CredentialID); readable {
		r.BackupCode.Code = &digits
	}
	return r
}
