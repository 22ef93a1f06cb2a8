package record

import "time"

// What is known about a delete of ours, between [User.DeleteSent] and the end of the row. The package's comment says
// what MissingAt and Unsure mean meanwhile.

// DeleteKnown records that Seam has accepted the delete.
func (l *Life) DeleteKnown() { l.Unsure = false }

// DeleteLost records that the delete's answer was lost. until is when "not found" may begin to count.
func (l *Life) DeleteLost(until time.Time) { l.DeletedAt = &until }

// DeleteDoubted records that the result of the delete is in doubt: Seam didn't find what it should delete, or reports
// that the access system refused to delete it. That proves neither that it is gone nor that it will be.
func (l *Life) DeleteDoubted() {
	at := *l.DeletedAt
	l.Unsure, l.MissingAt = false, &at
}

// DeleteRefused restores the row to the time before a delete that Seam has refused. The delete may have taken effect
// all the same, at the latest now: once something else than in this generation is wanted, what is left is compared
// with Seam, and if it is gone that counts as our own doing.
func (u *User) DeleteRefused(generation int64, now time.Time) {
	u.Refused()
	if u.Exists() {
		u.Unsure, u.UnsureGeneration, u.ChangedAt, u.DeleteLostAt = true, generation, &now, &now
	}
}

// IsDeleteCertain reports whether Seam has accepted the delete, and no earlier one was without effect.
func (l *Life) IsDeleteCertain() bool { return !l.Unsure && l.MissingAt == nil && l.DeletesInVain == 0 }

// DeletedNotSeen records that neither get nor list shows what we deleted, and returns when that was first so.
func (l *Life) DeletedNotSeen(now time.Time) time.Time {
	if l.MissingAt == nil || !l.Unsure && !l.MissingAt.After(*l.DeletedAt) {
		l.MissingAt = &now
	}
	return *l.MissingAt
}

// DeletedSeen records that Seam shows what we deleted: it no longer counts as gone. refused means
// that the access system refused to delete it. It reports whether this is new.
func (l *Life) DeletedSeen(refused bool) bool {
	before := l.MissingAt
	switch {
	case l.Unsure:
		l.MissingAt = nil
	case refused || l.MissingAt != nil:
		l.DeleteDoubted()
	}
	return (before == nil) != (l.MissingAt == nil) || before != nil && !before.Equal(*l.MissingAt)
}

// StillThere records that our delete had no effect. One whose answer was lost may still have one.
func (l *Life) StillThere() {
	if l.Unsure {
		l.DeleteLostAt = l.DeletedAt
	}
	l.DeletedAt, l.MissingAt, l.Unsure = nil, nil, false
}

// DeletedInVain records that a delete of ours had no effect and is repeated.
func (l *Life) DeletedInVain() { l.DeletesInVain = min(l.DeletesInVain+1, MaxUnkept) }

// WantedBack records that what we deleted without effect is wanted again: a later delete is a first one.
func (l *Life) WantedBack() { l.DeletesInVain = 0 }

// AwaitsLateDelete reports whether a lost delete of ours, which had no effect at first, may take effect late.
func (l *Life) AwaitsLateDelete() bool { return l.DeleteLostAt != nil && l.Phase() != Removing }

// DeleteNeverCame records that a lost delete, which had no effect at first, won't have any.
func (l *Life) DeleteNeverCame() { l.DeleteLostAt = nil }
