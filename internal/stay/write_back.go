package stay

import "time"

// Statuses of a write-back.
const (
	WriteBackPending = "pending" // the field waits to be written or cleared
	WriteBackWritten = "written"
	WriteBackFailed  = "failed" // tried, and tried again
	WriteBackCleared = "cleared"
)

// WriteBack is the state of a reservation's field at its PMS. It has nothing to do with the status of the key.
type WriteBack struct {
	Status    string
	Reason    *string // why it failed, for programs
	LastError *string // and for people
	At        *time.Time
	To        string // the preset
	Field     string
}
