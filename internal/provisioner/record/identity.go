package record

import "time"

// Identity is a user identity: the guest's, or one of a stay's own. Its key is unique at Seam, so that a repeated
// create conflicts and finds what exists:
//
//	Unknown ── Create ──▶ (the create is sent) ── Is ──▶ Known ── Merged, Replaced ──▶ Known
//	   ▲                      │   ▲                        │
//	   │                 Unseen   │                        │
//	   │    (refused, and nothing shows why: asked again)  │
//	   └───────────────────────── Gone ────────────────────┘
type Identity struct {
	Key       string     // HMAC of the guest's address, or of the stay; unique at Seam
	ID        *string    // nil: being created, or the answer was lost
	MadeByUs  bool       // false: found at Seam and linked; never changed or deleted
	StayOnly  bool       // belongs to one stay, without an e-mail address, and is deleted with it
	LostAt    *time.Time // the end of a create whose answer was lost; nil: none, or known since
	CreatedAt time.Time  // when it was last marked to be created
	ErasingAt *time.Time // when a delete of ours was last marked whose result is unknown
}

// NewIdentity is an identity that isn't recorded yet. stayOnly is one of a stay's own, without an e-mail address.
func NewIdentity(key string, stayOnly bool, now time.Time) Identity {
	return Identity{Key: key, StayOnly: stayOnly, CreatedAt: now}
}

// Create records that it is about to be created: what has its key from now on is ours.
func (i *Identity) Create(now time.Time) { i.MadeByUs, i.CreatedAt = true, now }

// Is records which identity Seam has. madeByUs is false if somebody else created it: it is never changed nor deleted.
func (i *Identity) Is(id string, madeByUs bool) { i.ID, i.MadeByUs, i.LostAt = &id, madeByUs, nil }

// Unseen records that Seam refuses to create it, and shows no reason yet. The first time counts.
func (i *Identity) Unseen(now time.Time) {
	if i.LostAt == nil {
		i.LostAt = &now
	}
}

// Merged records that it was merged into another at Seam, which is ours only if madeByUs.
func (i *Identity) Merged(survivor string, madeByUs bool) { i.ID, i.MadeByUs = &survivor, madeByUs }

// Found records the identity that has its key: a create without an answer made it, or it came in place of one that is
// gone.
func (i *Identity) Found(id string) { i.ID = &id }

// Gone records that Seam doesn't have it any more. holder is the identity that has its key now; nil for none.
func (i *Identity) Gone(holder *string) { i.ID, i.LostAt = holder, nil }
