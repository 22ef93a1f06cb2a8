package admin

import (
	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/store"
)

// Rows that admins get as the database has them. Faces show them, and ask for them here, where the actor's token is
// checked: they never ask the store.
type (
	// View is a reservation with its mobile key, and what is known of it at Seam.
	View = store.View
	// Reservation is the reservation of a [View].
	Reservation = store.Reservation
	// MobileKey is the mobile key of a [View].
	MobileKey = store.MobileKey
	// ACSUser is what a [View] has at Seam.
	ACSUser = store.ACSUser
	// TimelineItem is one entry of a reservation's timeline.
	TimelineItem = store.TimelineItem
	// Listing is a listing.
	Listing = store.Listing
	// Event is an event of the inbox.
	Event = store.Event
	// FieldNote is a field of an event that could not be read and was dropped.
	FieldNote = store.FieldNote
	// RejectedItem is an item of an event that could not be read while the others were applied.
	RejectedItem = store.RejectedItem
	// Delivery is a message to a subscription.
	Delivery = store.Delivery
	// DeliveryAttempt is one try to deliver a message.
	DeliveryAttempt = store.DeliveryAttempt
	// AuditEntry is an entry of the audit log.
	AuditEntry = store.Audit
	// Note is something that could not be read of a reservation's last events.
	Note = intake.Note
	// Difference is what a replay would change of a reservation or a listing.
	Difference = intake.Difference
	// FieldDifference is one field of a [Difference].
	FieldDifference = intake.FieldDifference
)

// NotesOf reads the notes of a reservation.
func NotesOf(encoded []byte) []Note { return intake.ReadNotes(encoded) }
