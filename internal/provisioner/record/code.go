package record

import (
	"slices"
	"time"

	"github.com/staykey/staykey/internal/seam"
)

// CodePhase is the state of the PIN of an ACS user.
type CodePhase int

// The phases of a PIN.
const (
	NoCode       CodePhase = iota + 1 // there is none
	CodeLost                          // a create is under way, was refused or its answer was lost: it may have made one
	CodeMade                          // it exists; its digits may not be known yet
	CodeDeleting                      // we delete it
)

// Sealer encrypts digits for the database.
type Sealer interface {
	// encrypts text; id is bound to the result, and must be the same to open it
	Seal(text, id string) []byte
	// is the inverse of Seal; false if the text was sealed for another id or with a key that is gone
	Open(sealed []byte, id string) (text string, ok bool)
}

// Code is the PIN of an ACS user, with transitions as its only writers:
//
//	NoCode ── Mark ──▶ CodeLost ── Created, Found ──▶ CodeMade ── DeleteSent ──▶ CodeDeleting ── Gone ──▶ NoCode
//	   ▲                  │                              │
//	   └ Unmark, Looked ──┘        NoCode ◀── Gone ──────┘  somebody deleted it
//
// It has no influence on the mobile key: it is deleted with its ACS user, and its row is not needed for longer.
type Code struct {
	CodeRow
	before *CodeRow // as it was before the mark of a call
}

// CodeRow is what is stored of a PIN.
type CodeRow struct {
	UserRow       int64      // the row of the ACS user
	Source        string     // with ReservationID: the stay
	ReservationID string     // see Source
	ACSUserID     string     // Seam's id of the user whose PIN it is; it is deleted with that user
	KeyID         string     // the mobile key that it was made next to; "" for none
	MarkedAt      *time.Time // set right before a create, until its result is recorded
	LostAt        *time.Time // the end of a create without an answer: the PIN may exist
	Looks         int16      // how often Seam was searched for what a lost create may have left
	CredentialID  *string    // Seam's id; nil until it is known
	MadeByUs      bool       // staykey made it; nobody else did, at Seam or Salto
	Sealed        []byte     // the digits, sealed by a [Sealer]; nil while Seam shows none
	CodeAt        *time.Time // since when it has these digits
	Waiting       bool       // Seam has not issued it yet
	Problem       *string    // why there is no PIN that opens doors, or Seam's error on it
	MissingAt     *time.Time // Seam did not show it once; counts when that is repeated
	DeletingAt    *time.Time // since when it is being deleted; nil: it isn't
	Surplus       []string   // Seam's ids of further PINs that a lost create left
	Tries         int32      // failed or fruitless ones in a row
	DueAt         *time.Time // when to look at it again; nil: when something changes
}

// NewCode is the record of the PIN of an ACS user that has none yet.
func NewCode(u *User) *Code {
	return CodeOf(CodeRow{
		UserRow: u.ID, Source: u.Source, ReservationID: u.ReservationID, ACSUserID: *u.ACSUserID,
	})
}

// CodeOf is the record of a row, as it was loaded.
func CodeOf(row CodeRow) *Code { return &Code{CodeRow: row} }

// Phase is the PIN's phase.
func (c *Code) Phase() CodePhase {
	switch {
	case c.CredentialID != nil && c.DeletingAt != nil:
		return CodeDeleting
	case c.CredentialID != nil:
		return CodeMade
	case c.LostAt != nil:
		return CodeLost
	default:
		return NoCode
	}
}

// Mark records that a PIN is about to be made next to a mobile key. Until its answer is recorded the create counts as
// lost: deadline is when it has taken effect or never will. The time of an earlier mark is kept, because anything
// that a lost create made is later than that.
func (c *Code) Mark(keyID string, now, deadline time.Time) {
	before := c.CodeRow
	c.before = &before
	if c.MarkedAt == nil {
		c.MarkedAt = &now
	}
	c.KeyID, c.LostAt, c.Looks, c.Problem = keyID, &deadline, 0, nil
}

// Lost records that the create's answer was lost, or a refusal of it that doesn't say that nothing was made. until is
// when "not found" may begin to count.
func (c *Code) Lost(until time.Time) { c.LostAt = &until }

// Unmark restores the row to what it was before the mark: the call was refused, or never sent.
func (c *Code) Unmark() {
	if c.before != nil {
		c.CodeRow, c.before = *c.before, nil
	}
}

// Refused records why Seam makes none.
func (c *Code) Refused(problem string) { c.Problem = &problem }

// Created records the PIN that the create returned. What an earlier, lost create may have left is still looked for.
func (c *Code) Created(id string) {
	if c.before != nil {
		c.LostAt, c.Looks, c.before = c.before.LostAt, c.before.Looks, nil
	}
	c.Found(id, true)
}

// Found records a PIN that a look-up has found; madeByUs reports whether staykey made it.
func (c *Code) Found(id string, madeByUs bool) {
	c.CredentialID, c.MadeByUs, c.Waiting = &id, madeByUs, true
	c.Sealed, c.CodeAt, c.MissingAt, c.DeletingAt, c.Problem = nil, nil, nil, nil, nil
}

// BelongsTo records which mobile key a PIN was made next to, unless its mark has done so.
func (c *Code) BelongsTo(keyID string) {
	if c.KeyID == "" {
		c.KeyID = keyID
	}
}

// Read records what Seam shows of the PIN, and reports whether its digits are others than before. An answer without
// digits proves nothing about those that are known.
func (c *Code) Read(from seam.Credential, sealer Sealer, now time.Time) (changed bool) {
	c.MissingAt, c.Problem = nil, from.Problem()
	id := *c.CredentialID
	known, readable := sealer.Open(c.Sealed, id)
	if from.Code != "" && (!readable || known != from.Code) {
		changed = readable
		c.Sealed = sealer.Seal(from.Code, id)
		if changed || c.CodeAt == nil {
			c.CodeAt = &now
		}
	}
	c.Waiting = from.Waits() || c.Sealed == nil
	return changed
}

// NotSeen records the first time that Seam did not show it.
func (c *Code) NotSeen(now time.Time) {
	if c.MissingAt == nil {
		c.MissingAt = &now
	}
}

// DeleteSent records that it is being deleted: from now on nobody is given its digits.
func (c *Code) DeleteSent(now time.Time) {
	c.DeletingAt, c.Sealed, c.CodeAt, c.MissingAt = &now, nil, nil, nil
}

// DeleteKnown records that Seam has accepted the delete: that counts like the first time that Seam did not show it,
// unless an earlier one failed or was without effect.
func (c *Code) DeleteKnown(now time.Time) {
	if c.Tries == 0 {
		c.NotSeen(now)
	}
}

// Gone records that it doesn't exist any more. What a lost create may have left is still looked for.
func (c *Code) Gone() {
	c.CredentialID, c.MissingAt, c.DeletingAt, c.Sealed, c.CodeAt = nil, nil, nil, nil, nil
	c.Waiting, c.Problem, c.MadeByUs, c.KeyID = false, nil, false, ""
	if c.LostAt == nil {
		c.MarkedAt = nil
	}
}

// Looked records a late look-up of what a lost create may have left; the last one ends the search.
func (c *Code) Looked(last int16) {
	if c.Looks++; c.Looks < last {
		return
	}
	if c.LostAt, c.Looks = nil, 0; c.CredentialID == nil {
		c.MarkedAt = nil
	}
}

// LookAgain repeats the look-ups after a lost create from the first one: what it left may still be there.
func (c *Code) LookAgain(now time.Time) { c.LostAt, c.Looks = &now, 0 }

// AddSurplus records a further PIN that a lost create has left.
func (c *Code) AddSurplus(id string) {
	if !slices.Contains(c.Surplus, id) {
		c.Surplus = append(c.Surplus, id)
	}
}

// DropSurplus records that a surplus PIN is gone.
func (c *Code) DropSurplus(id string) {
	c.Surplus = slices.DeleteFunc(slices.Clone(c.Surplus), func(x string) bool { return x == id })
}

// Due records when the PIN is looked at again; nil is for when something changes.
func (c *Code) Due(at *time.Time) { c.DueAt = at }

// Failed counts a try that has failed or was fruitless: the next one waits longer.
func (c *Code) Failed() { c.Tries++ }

// Succeeded records that the last try had its effect: the next one that fails is the first in a row.
func (c *Code) Succeeded() { c.Tries = 0 }
