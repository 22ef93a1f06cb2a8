package guest

// This file has the public form of a link: its route, and what programs get. REST documents it, handlers/guest answers
// with it.

// Route is the pattern of the page's path. It, and never the path, is in logs and metrics.
const Route = Path + "{id}"

// Key is the answer to POST for a program.
type Key struct {
	InstantKeyURL string `json:"instant_key_url"`
	ExpiresAt     string `json:"expires_at"`
}

// State is the answer to GET for a program.
type State struct {
	Ready     bool    `json:"ready"`
	Reason    *string `json:"reason"` // null while it is ready
	Property  *string `json:"property"`
	CheckIn   *string `json:"check_in"`
	CheckOut  *string `json:"check_out"`
	ReadyFrom *string `json:"ready_from"` // null where that is not known
	// ReadySince is null unless it is ready.
	ReadySince *string `json:"ready_since"`
	// BackupCode is whether POST with show=code answers a code now.
	BackupCode bool `json:"backup_code"`
}
