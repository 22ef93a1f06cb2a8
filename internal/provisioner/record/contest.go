package record

import "time"

// An ACS user whose identity another ACS user, or another person, has taken over exists and serves nobody. Its key may
// still be in a phone: its access is narrowed with the stay's, and it is deleted with the stay or before it is
// replaced.
//
//	Made ── Contest (once) ──▶ Contested ── Displace (twice) ──▶ Displaced ── FoundGone ──▶ Removed
//	  ▲                           │                                  │
//	  └──────── Uncontested ──────┴──────────────────────────────────┘

// IsOut reports whether it can't serve the stay any more: somebody deleted it, or its identity is another's. Only a
// request replaces it.
func (l *Life) IsOut() bool { return l.Phase() == Removed || l.Phase() == Displaced }

// Contest records that Seam shows that its identity is another ACS user's or another person's, and returns when that
// was first so.
func (l *Life) Contest(now time.Time) (since time.Time) {
	if l.ContestedAt == nil {
		l.ContestedAt = &now
	}
	return *l.ContestedAt
}

// Uncontested records that its identity is its own: earlier signs of the opposite no longer count.
func (l *Life) Uncontested() {
	if l.ContestedAt != nil {
		l.ContestedAt, l.RemovedAt = nil, nil
	}
}
