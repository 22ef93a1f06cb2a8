package provisioner

import (
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/provisioner/plan"
	"github.com/staykey/staykey/internal/provisioner/record"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/stay"
)

var driftFound = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "staykey_drift_total",
	Help: "Differences found between what we created and what Seam has, by kind and by action (repaired, reported).",
}, []string{"kind", "action"})

// drift is one difference from what Seam should have.
type drift struct {
	kind, text string
	part       record.Part
}

// differences lists what differs at Seam from the record, where a person can have changed it.
func differences(recorded, read *record.User) []drift {
	var found []drift
	if !recorded.SameSchedule(read.Schedule) {
		found = append(found, drift{"access_schedule", "the access schedule is " + hours(read) + " instead of " +
			hours(recorded), record.Hours})
	}
	found = append(found, otherGroups(recorded.AccessGroupIDs, read.AccessGroupIDs)...)
	if read.Unlinked {
		found = append(found, drift{"user_identity", "the ACS user is not linked to its identity", record.Link})
	}
	if read.Foreign {
		found = append(found, drift{"user_identity", plan.GivenAway, record.Link})
	}
	if recorded.CredentialID != nil && stay.Text(read.CredentialID) != *recorded.CredentialID {
		found = append(found, drift{"credential", "the mobile key was deleted", record.MobileKey})
	}
	if len(read.SurplusKeys) > 0 {
		found = append(found, drift{"surplus_credential", "there is a second mobile key", record.SecondKeys})
	}
	return found
}

// otherGroups lists the access groups that differ, each as a part. They have one text in common, of the first.
func otherGroups(was, is []string) []drift {
	was, is = slices.Compact(slices.Sorted(slices.Values(was))), slices.Compact(slices.Sorted(slices.Values(is)))
	text := fmt.Sprintf("the access groups are %q instead of %q", is, was)
	var found []drift
	for _, group := range slices.Concat(was, is) {
		if slices.Contains(was, group) != slices.Contains(is, group) {
			found = append(found, drift{"access_groups", text, record.AccessGroup(group)})
		}
	}
	return found
}

func hours(u *record.User) string {
	if u.StartsAt == nil || u.EndsAt == nil {
		return "not set"
	}
	return pms.FormatInstant(*u.StartsAt) + " to " + pms.FormatInstant(*u.EndsAt)
}

// judgeDrift decides what happens to what was read. The possible effect of our own calls is no drift; somebody else's
// change is recorded, so that the plan repairs it, or, by policy, left and reported. Each part that Seam doesn't keep
// is repaired a few times in a row, and then once an hour. hasSchedule is false if Seam has not shown a schedule.
// keyLeft reports whether the mobile key that Seam doesn't show is still recorded.
func (c *checker) judgeDrift(d plan.Desired, recorded record.User, u *record.User,
	ours, hasSchedule bool,
) (keyLeft bool) {
	found := differences(&recorded, u)
	if ours && len(found) > 0 && (d.Goal != plan.Have || c.isPending(&recorded)) {
		u.NoDrift()
		return false
	}
	c.noteKept(u, found, hasSchedule)
	u.NoDrift()
	left, repaired := c.sortDrift(d, u, found, ours)
	u.ToRepair(partsOf(repaired))
	if len(left) > 0 {
		u.LeaveDrift(&recorded, partsOf(left), textOf(left))
	}
	c.report(&recorded, left, "reported")
	if !ours { // by a lost create, perhaps
		c.report(&recorded, repaired, "repaired")
	}
	return slices.Contains(partsOf(left), record.MobileKey)
}

// otherName is the difference that somebody has renamed an ACS user.
var otherName = []drift{{"full_name", stay.WhyRenamed, record.Name}}

// judgeName decides whether an ACS user's name is restored: a few times in a row, and once more for each request. By
// policy, another name is only noted. once is false if the request was used up.
func (c *checker) judgeName(recorded, u *record.User, from seam.ACSUser, ours, once bool) {
	u.ReadName(false)
	if !isRenamed(from.FullName, c.work.Reservation.ReservationID) {
		if from.FullName != "" {
			u.NameShown()
		}
		return
	}
	asked := c.work.Key.Revive && once
	switch unkept := u.IsUnkept(record.Name); {
	case ours || unkept && !asked: // what Seam shows may be older than its name, or it doesn't keep it
	case c.policy.Drift == pms.DriftReport && !asked:
		u.LeaveName()
		c.report(recorded, otherName, "reported")
	default:
		u.ReadName(true)
	}
}

// noteKept records of which parts Seam shows what was set. An answer without a schedule doesn't show the
// hours, a list that leaves out a door that must be closed doesn't show the doors, and a mobile key that is new may
// still be dropped.
func (c *checker) noteKept(u *record.User, found []drift, hasSchedule bool) {
	parts := partsOf(found)
	if !c.belief.isKeyKept(u) {
		parts = append(parts, record.MobileKey)
	}
	if !hasSchedule {
		parts = append(parts, record.Hours)
	}
	isGroup := func(p record.Part) bool { _, is := p.Group(); return is }
	if !u.GroupsRead && !slices.ContainsFunc(parts, isGroup) {
		for p := range u.UnkeptBy {
			if isGroup(record.Part(p)) {
				parts = append(parts, record.Part(p))
			}
		}
	}
	u.KeptBut(parts)
}

// sortDrift separates what is left unchanged at Seam from what is repaired. What our own calls may have caused is
// repaired also by a policy that only reports, but not without end. A request, such as an admin's reconcile, repairs
// everything, but what Seam doesn't keep only once: as long as an old key waits for it, the same request is tried
// again.
func (c *checker) sortDrift(d plan.Desired, u *record.User, found []drift, ours bool) (left, repaired []drift) {
	reports := u.Foreign || c.policy.Drift == pms.DriftReport // the guest may have asked for the other address
	recently := u.ChangedAt != nil && c.now().Before(u.ChangedAt.Add(repairAgain))
	asked, once := c.work.Key.Revive, u.MayRepair(d.Generation)
	for _, f := range found {
		unkept := u.IsUnkept(f.part)
		switch {
		case asked && unkept && once:
			u.RepairedFor(d.Generation)
			repaired = append(repaired, f)
		case asked && !unkept:
			repaired = append(repaired, f)
		case reports && (!ours || unkept), recently && unkept:
			left = append(left, f)
		default:
			repaired = append(repaired, f)
		}
	}
	return left, repaired
}

// report counts and notes differences that were not known already.
func (c *checker) report(recorded *record.User, found []drift, action string) {
	what := textOf(found)
	if len(found) == 0 || c.ledger.preview || action == "reported" && stay.Text(recorded.Drift) == what {
		return
	}
	for _, f := range groupsAsOne(found) {
		driftFound.WithLabelValues(f.kind, action).Inc()
	}
	c.ledger.note("changed at Seam, not by us: %s (%s)", what, action)
}

func partsOf(found []drift) []record.Part {
	parts := make([]record.Part, len(found))
	for i, f := range found {
		parts[i] = f.part
	}
	return parts
}

// groupsAsOne has the doors, which share one text, as one difference.
func groupsAsOne(found []drift) []drift {
	return slices.CompactFunc(slices.Clone(found), func(a, b drift) bool { return a.text == b.text })
}

func textOf(found []drift) string {
	var words []string
	for _, f := range groupsAsOne(found) {
		words = append(words, f.text)
	}
	return strings.Join(words, "; ")
}

// isPending reports whether our own last change may not show yet.
func (c *checker) isPending(u *record.User) bool {
	return u.Unsure || c.belief.tooEarly(c.belief.showsFrom(u))
}
