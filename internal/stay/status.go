// Package stay holds the words that every part of the service shares about a guest's stay: the statuses of a mobile
// key, and one table of the reasons for them. It imports nothing of ours.
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
	return []string{KeyAttention, KeyWaiting, KeyProvisioning, KeyIssued, KeyActive, KeyRevoking, KeyRevoked, KeyExpired}
}
