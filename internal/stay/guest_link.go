package stay

import "time"

// GuestLink is the link that brings a stay's key to its guest's phone. Anyone who has it gets the key: it is for
// the guest, and for who writes to guests.
type GuestLink struct {
	URL      string
	OpenedAt *time.Time // first used; nil: never
	Openings int
}
