package stay

import "time"

// GuestLink is the link that brings a stay's key to its guest's phone. Anyone who has it gets the key, so it is only
// for the guest and for systems that write to guests.
type GuestLink struct {
	URL      string
	OpenedAt *time.Time // first used; nil: never
	Openings int
}
