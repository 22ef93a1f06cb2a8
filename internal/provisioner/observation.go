package provisioner

import (
	"slices"
	"time"

	"github.com/staykey/staykey/internal/provisioner/plan"
	"github.com/staykey/staykey/internal/provisioner/record"
)

// observation is how much an attempt knows of what Seam has: whether everything was compared, which lost creates are
// still unknown, and when to compare again. What was read itself is in the rows ([users]).
type observation struct {
	users *users

	unsettled  map[int64]outcome // rows of lost creates that can't be looked for now, and why
	searched   map[int64]bool    // rows whose lost creates were looked for, after everything else was compared
	checked    bool              // everything was compared with Seam
	unverified bool              // everything was compared with Seam, except what Seam contradicts itself about
	recheck    *time.Time        // compare with Seam again then
	unshown    time.Time         // when reads of what is not shown yet count; zero if all is shown
}

// firstUnsettled is why the result of a lost create is not known yet; the zero outcome if all are known.
func (o *observation) firstUnsettled() outcome {
	for i := range o.users.rows {
		if out, open := o.unsettled[o.users.rows[i].ID]; open {
			return out
		}
	}
	return outcome{}
}

// isUnsettled reports whether a step concerns a row of a lost create that is not known yet.
func (o *observation) isUnsettled(s plan.Step) bool {
	if s.User < 0 || s.User >= len(o.users.rows) {
		return false
	}
	_, open := o.unsettled[o.users.rows[s.User].ID]
	return open
}

// noteSearched records that the attempt would have seen what the lost creates of a row have left.
func (o *observation) noteSearched(u *record.User) { o.searched[u.ID] = true }

// isSearched reports whether that is so of all rows. Nothing was created yet for one that is only claimed.
func (o *observation) isSearched() bool {
	return !slices.ContainsFunc(o.users.rows, func(u record.User) bool { return u.MayExist() && !o.searched[u.ID] })
}

// recheckAt schedules another comparison with Seam.
func (o *observation) recheckAt(t time.Time) {
	if o.recheck == nil || t.Before(*o.recheck) {
		o.recheck = &t
	}
}
