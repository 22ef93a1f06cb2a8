// Package stay holds the words that every part of the service shares about a guest's stay. It imports none of our
// packages.
//
//	ref.go                 names of reservations and listings
//	status.go              statuses of mobile keys, events and deliveries
//	reason_table.go        why a key waits or needs a person: one table with code, message, who can fix it, when it is retried
//	reasons.go             reads that table
//	gates.go, doors.go     gates, and what may be wrong with a door
//	guest_link.go          a guest's link; backup_code.go and write_back.go: their statuses
//	identity.go            the keys of user identities
//	seam.go                targets, planned calls, sweeps and erasures, as they are shown
//	sealer.go              seals secrets that the database holds
//
// Messages are for REST, the timeline and logs: they name settings and ids. A reason's row also has its words for the
// front desk, which the admin page shows; the guest's page has words of its own (internal/guest). CONTRIBUTING.md says
// how to add a reason.
package stay

// Statuses of a mobile key, as REST, the page and subscriptions show them.
const (
	KeyWaiting      = "waiting"      // nothing to do yet; the reason says what is missing
	KeyProvisioning = "provisioning" // being created or changed
	KeyIssued       = "issued"       // everything was read back from Seam, doors included
	KeyActive       = "active"       // the stay has begun and Salto KS has subscribed the guest's user
	KeyAttention    = "attention"    // a person must act; the reason says who and how
	KeyRevoking     = "revoking"     // cancelled: being removed
	KeyRevoked      = "revoked"      // cancelled: nothing is left at Seam
	KeyExpired      = "expired"      // the stay is over
)

// KeyStatuses returns every status, those that need somebody first.
func KeyStatuses() []string {
	return []string{
		KeyAttention, KeyWaiting, KeyProvisioning, KeyIssued, KeyActive, KeyRevoking,
		KeyRevoked, KeyExpired,
	}
}

// Statuses of an event.
const (
	EventAccepted   = "accepted"   // durable, not applied yet
	EventApplied    = "applied"    // true of reservations or listings now
	EventSuperseded = "superseded" // older than what had been applied
	EventIgnored    = "ignored"    // of a type that has no effect here
	EventRejected   = "rejected"   // not valid; kept for its sender to correct
)

// Kinds of timeline entries.
const (
	TimelineEvent   = "event"        // something that a PMS posted
	TimelineRequest = "seam_request" // one request to Seam
	TimelineFetch   = "fetch"        // one request to the PMS for a document
	TimelineStep    = "step"         // something decided without a request of its own
	TimelineStatus  = "status"       // the mobile key's status changed
	TimelineAction  = "action"       // an admin did something
)

// Statuses of a message to a subscription.
const (
	DeliveryWaiting   = "waiting"   // not delivered yet; it is tried again
	DeliveryDelivered = "delivered" // the receiver answered with a status of 200 to 299
	// a newer state took its place before it was delivered, or it was a test that failed
	DeliveryDropped = "dropped"
)

// DeliveryStatuses returns every status of a message.
func DeliveryStatuses() []string {
	return []string{DeliveryWaiting, DeliveryDelivered, DeliveryDropped}
}
