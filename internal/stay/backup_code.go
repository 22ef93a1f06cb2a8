package stay

import "time"

// Statuses of a backup code.
const (
	BackupPending = "pending" // it is being made, or Salto has not chosen the digits yet
	BackupReady   = "ready"   // it opens the doors of the stay during the stay
	BackupFailed  = "failed"  // it can't be made, or Seam reports an error on it; tried again
)

// BackupCode is a stay's PIN for doors, without its digits. It has nothing to do with the status of the mobile key.
type BackupCode struct {
	Status       string
	Problem      *string // of BackupFailed: Seam's code, or why there is none
	CredentialID *string
	At           *time.Time // since when it is this code; nil while there is none
}
