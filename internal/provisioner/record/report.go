package record

import (
	"time"

	"github.com/staykey/staykey/internal/seam"
)

// Report is what Seam last reported about an ACS user, besides its hours, doors and key.
type Report struct {
	Settled     bool       // read back since it last changed: no error, nothing in progress
	Subscribed  bool       // the subscription of Salto KS is reported
	Problem     *string    // Seam's error code, as last read
	SuspendedAt *time.Time // found suspended
}

// read records what an answer shows. begun means that access has started.
func (r *Report) read(from seam.ACSUser, begun bool, now time.Time) {
	r.Subscribed = from.Subscribed()
	r.Problem = from.Problem()
	r.Settled = r.Problem == nil && !from.InProgress() && (!begun || !from.Deferred())
	switch suspended := from.IsSuspended; {
	case suspended == nil: // not reported: unchanged
	case !*suspended:
		r.SuspendedAt = nil
	case r.SuspendedAt == nil:
		r.SuspendedAt = &now
	}
}

// NotReadBack records that Seam doesn't show yet what was set.
func (r *Report) NotReadBack() { r.Settled = false }

// Reading is what was read at Seam in this attempt and is not stored.
type Reading struct {
	Unlinked    bool     // Seam links it to an identity other than ours, or to none
	Renamed     bool     // Seam shows another name than the stay's, and this attempt may restore it
	Leaving     bool     // we deleted it, and Seam says that it is removing it
	Foreign     bool     // its identity now has an e-mail address other than the guest's
	SurplusKeys []string // mobile keys in addition to the recorded one
}

// ReadLink records whether Seam links it to its identity, as far as an answer shows that.
func (r *Reading) ReadLink(linked bool) { r.Unlinked = !linked }

// Linked records that Seam has accepted the link to the row's identity.
func (r *Reading) Linked() { r.Unlinked = false }

// ReadName records whether Seam shows another name than the stay's, and this attempt may restore it.
func (r *Reading) ReadName(renamed bool) { r.Renamed = renamed }

// ReadOwner records whether its identity now has an e-mail address other than the guest's.
func (r *Reading) ReadOwner(foreign bool) { r.Foreign = foreign }

// DeletedLeaving records that Seam reports that it is removing what we deleted.
func (r *Reading) DeletedLeaving() { r.Leaving = true }
