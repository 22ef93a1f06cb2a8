package record

// Slot is the stay's claim of one (access system, user identity): no other row has it. Only its identity may change.
type Slot struct {
	ID              int64  // our own number, ascending: the order of locks
	Source          string // with ReservationID: the stay
	ReservationID   string // see Source
	ACSSystemID     string // Seam's id of the access system
	UserIdentityKey string // of the identity's record
	UserIdentityID  string // Seam's id of the identity
	GuestKey        string // HMAC of the guest that it was created for, "" without an e-mail address
}

// HasGuestsIdentity reports whether its identity is that of the guest it was created for, not one of the stay's own.
func (s *Slot) HasGuestsIdentity() bool { return s.GuestKey != "" && s.UserIdentityKey == s.GuestKey }

// HasIdentity records which identity at Seam the row's identity key has now: it was merged into that one, or replaced
// by it, because the earlier one is gone.
func (s *Slot) HasIdentity(id string) { s.UserIdentityID = id }
