package provisioner

import (
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/provisioner/plan"
	"github.com/staykey/staykey/internal/provisioner/record"
	"github.com/staykey/staykey/internal/stay"
)

var driftFound = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "staykey_drift_total",
	Help: "Differences found between what we created and what Seam has, by kind and by action (repaired, reported).",
}, []string{"kind", "action"})

// drift is one difference from what Seam should have.
type drift struct{ kind, text string }

// differences lists what differs at Seam from the record, where a person can have changed it.
func differences(recorded, read *record.User) []drift {
	var found []drift
	if !recorded.SameSchedule(read) {
		found = append(found, drift{"access_schedule", "the access schedule is " + window(read) + " instead of " +
			window(recorded)})
	}
	was, is := slices.Sorted(slices.Values(recorded.AccessGroupIDs)), slices.Sorted(slices.Values(read.AccessGroupIDs))
	if !slices.Equal(slices.Compact(was), slices.Compact(is)) {
		found = append(found, drift{"access_groups", fmt.Sprintf("the access groups are %q instead of %q", is, was)})
	}
	if read.Unlinked {
		found = append(found, drift{"user_identity", "the ACS user is not linked to its identity"})
	}
	if read.Foreign {
		found = append(found, drift{"user_identity", plan.GivenAway})
	}
	if recorded.CredentialID != nil && stay.Text(read.CredentialID) != *recorded.CredentialID {
		found = append(found, drift{"credential", "the mobile key was deleted"})
	}
	if len(read.SurplusKeys) > 0 {
		found = append(found, drift{"surplus_credential", "there is a second mobile key"})
	}
	return found
}

func window(u *record.User) string {
	if u.StartsAt == nil || u.EndsAt == nil {
		return "not set"
	}
	return pms.FormatInstant(*u.StartsAt) + " to " + pms.FormatInstant(*u.EndsAt)
}

// judgeDrift decides what happens to what was read. The possible effect of our own calls is no drift; somebody else's
// change is recorded, so that the plan repairs it, or, by policy, left and reported. What Seam doesn't keep is
// repaired a few times in a row, and then once an hour. hasSchedule is false if Seam has not shown a schedule. left
// reports whether the record is the same as before Seam was read.
func (c *checker) judgeDrift(d plan.Desired, recorded record.User, u *record.User, ours, hasSchedule bool) (left bool) {
	found := differences(&recorded, u)
	switch {
	case len(found) == 0:
		u.NoDrift()
		if hasSchedule && u.DoorsRead {
			u.Kept()
		}
		return false
	case ours && (d.Goal != plan.Have || c.isPending(&recorded)):
		u.NoDrift()
		return false
	case ours && !u.IsUnkept(): // by a lost create, perhaps: repaired, but not without end
		u.ToRepair()
		return false
	}

	kinds, words := make([]string, len(found)), make([]string, len(found))
	for i, f := range found {
		kinds[i], words[i] = f.kind, f.text
	}
	what := strings.Join(words, "; ")
	action := "repaired"
	if left = c.leavesDrift(d, u); left {
		action = "reported"
		u.LeaveDrift(&recorded, what)
	} else {
		c.toRepair(d, u)
	}

	if c.ledger.preview || stay.Text(recorded.Drift) == what && u.Drift != nil {
		return left // known already
	}

	for _, kind := range kinds {
		driftFound.WithLabelValues(kind, action).Inc()
	}
	c.ledger.note("changed at Seam, not by us: %s (%s)", what, action)
	return left
}

// isPending reports whether our own last change may not show yet.
func (c *checker) isPending(u *record.User) bool {
	return u.Unsure || c.belief.tooEarly(c.belief.showsFrom(u))
}

// toRepair records that what differs will be repaired, and for which request, if Seam has not kept it before.
func (c *checker) toRepair(d plan.Desired, u *record.User) {
	if c.work.Key.Revive && u.IsUnkept() {
		u.RepairedFor(d.Generation)
	}
	u.ToRepair()
}

// leavesDrift reports whether what differs is left unchanged: by policy, or because repairing it has not helped. A
// request, such as an admin's reconcile, repairs everything, but what Seam doesn't keep only once: as long as an old
// key waits for it, the same request is tried again.
func (c *checker) leavesDrift(d plan.Desired, u *record.User) bool {
	unkept := u.IsUnkept()
	switch {
	case c.work.Key.Revive && (!unkept || u.MayRevive(d.Generation)):
		return false
	case u.Foreign: // the guest may have asked for the other address
		return true
	case c.policy.Drift == pms.DriftReport:
		return true
	default:
		return unkept && u.ChangedAt != nil && c.now().Before(u.ChangedAt.Add(repairAgain))
	}
}
