package provisioner

import (
	"time"

	"github.com/staykey/staykey/internal/provisioner/record"
)

// belief decides when something that Seam reports, or doesn't report, counts. Seam's reads may lag its writes, its
// lists may be incomplete, and its answers may lack optional fields. The rest of this package leaves these questions
// to it:
//
//   - "Not found" counts only after the read lag, from the end of the call that may have created the object, and never
//     before that call's deadline.
//   - An ACS user, or a mobile key, counts as gone only when get and list agree, twice, a read lag apart. Once is
//     enough for an ACS user if Seam has accepted our delete, no delete before it was without effect, and a search for
//     its id doesn't show it under another identity. That Seam doesn't find what it should delete is no evidence.
//   - A removed ACS user that is looked for again is not back if a get doesn't find it. If no later look follows, or if
//     it was back, that counts only twice, a read lag apart; and where there is reason for doubt, a search must agree.
//   - A user identity counts as gone only when neither its id nor its key is known. Once is enough: its key and its
//     address are unique, so that Seam refuses to create a second one.
//   - Reads show a change only after the read lag. A read is as old as the attempt that makes it: a slow answer proves
//     nothing about the time in between.
//   - An object is ours by its name, or, if the name is missing or stored otherwise, by its times and hours; a missing
//     field is never a "no", and never a "yes": nothing is adopted or deleted because nothing contradicts that it is
//     ours (whose.go).
//   - A mobile key that replaces a lost one counts as kept when it is shown after 5 minutes.
//   - What a lost create may have made is looked for again after 1 and 10 minutes.
type belief struct {
	lag     time.Duration // how long Seam's reads may lag its writes
	timeout time.Duration // of one call to Seam
	began   time.Time     // when the attempt that reads began
}

// A lost create is looked for again this long after it was lost.
const (
	firstLookup = time.Minute
	lastLookup  = 10 * time.Minute
)

// keyKept is how long after its create Seam must show a mobile key to count as keeping it: later than the first look-up
// that follows the loss of the key before it, and earlier than the last.
const keyKept = 5 * time.Minute

// tooEarly reports whether a read of this attempt may have begun before until, so that it doesn't count yet. An answer
// describes the moment of its request, however long it took to arrive.
func (b belief) tooEarly(until time.Time) bool { return b.began.Before(until) }

// lostUntil is the start of the read lag for a call that ended without an answer: the call may take effect until its
// deadline.
func (b belief) lostUntil(started, ended time.Time) time.Time {
	if byDeadline := started.Add(b.timeout - b.lag); byDeadline.After(ended) {
		return byDeadline
	}
	return ended
}

// countsFrom is when "not found" counts after something happened, or was last seen.
func (b belief) countsFrom(at time.Time) time.Time { return at.Add(b.lag) }

// userCountsFrom is when "not found" counts for an ACS user: a new one may not show up at once.
func (b belief) userCountsFrom(u *record.User) time.Time {
	if u.MadeAt == nil {
		return time.Time{}
	}
	return b.countsFrom(*u.MadeAt)
}

// showsFrom is when reads of an ACS user show our last change for certain.
func (b belief) showsFrom(u *record.User) time.Time {
	if u.ChangedAt == nil {
		return time.Time{}
	}
	return u.ChangedAt.Add(b.lag)
}

// isKeyKept reports whether Seam keeps a mobile key that it shows, or drops each one soon after it was created.
func (b belief) isKeyKept(u *record.User) bool {
	return u.CredentialID != nil &&
		(u.CredentialMarkedAt == nil || !b.tooEarly(u.CredentialMarkedAt.Add(keyKept)))
}

// mayComeLate reports whether reads of this attempt may show what a lost create made: it takes effect before its last
// look-up, or never.
func (b belief) mayComeLate(lostAt *time.Time) bool {
	return lostAt != nil && b.tooEarly(lostAt.Add(lastLookup))
}

// identitySettles is when a create of a user identity has certainly taken effect, or never will.
func (b belief) identitySettles(created time.Time) time.Time { return created.Add(b.timeout + b.lag) }

// lookupDue reports whether a lost create should be looked for again, after the last full comparison.
func lookupDue(lostAt, verifiedAt *time.Time, now time.Time) bool {
	next := nextLookup(lostAt, verifiedAt)
	return next != nil && !now.Before(*next)
}

// nextLookup is when a lost create is looked for again; nil for never.
func nextLookup(lostAt, verifiedAt *time.Time) *time.Time {
	if lostAt == nil {
		return nil
	}
	for _, d := range []time.Duration{firstLookup, lastLookup} {
		if at := lostAt.Add(d); verifiedAt == nil || verifiedAt.Before(at) {
			return &at
		}
	}
	return nil
}
