package provisioner

import (
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/staykey/staykey/internal/pms"
)

var driftFound = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "staykey_drift_total", Help: "Differences found between what we made and what is at Seam, by kind and by what becomes of them (repaired, reported).",
}, []string{"kind", "action"})

// drift is one thing that somebody changed at Seam.
type drift struct{ kind, words string }

// differences lists what Seam has otherwise than recorded, where a person can have changed it.
func differences(recorded, read seen) []drift {
	var found []drift
	if !sameTimes(recorded, read) {
		found = append(found, drift{"access_schedule", "the access schedule is another"})
	}
	was, is := slices.Sorted(slices.Values(recorded.AccessGroupIDs)), slices.Sorted(slices.Values(read.AccessGroupIDs))
	if !slices.Equal(slices.Compact(was), slices.Compact(is)) {
		found = append(found, drift{"access_groups", fmt.Sprintf("the access groups are %q instead of %q", is, was)})
	}
	if read.unlinked {
		found = append(found, drift{"user_identity", "the ACS user is not linked to its identity"})
	}
	if recorded.CredentialID != nil && deref(read.CredentialID) != *recorded.CredentialID {
		found = append(found, drift{"credential", "the mobile key was deleted"})
	}
	if len(read.surplusKeys) > 0 {
		found = append(found, drift{"surplus_credential", "there is a second mobile key"})
	}
	return found
}

func sameTimes(a, b seen) bool {
	return (a.StartsAt == nil) == (b.StartsAt == nil) && (a.EndsAt == nil) == (b.EndsAt == nil) &&
		(a.StartsAt == nil || sameInstant(a.StartsAt, *b.StartsAt)) && (a.EndsAt == nil || sameInstant(a.EndsAt, *b.EndsAt))
}

// judgeDrift decides what becomes of what was read. What a call of ours may have done is no drift; what
// somebody else did is taken over, so that the plan mends it, or, by policy, left and reported.
func (a *attempt) judgeDrift(recorded seen, u *seen, ours bool) {
	found := differences(recorded, *u)
	if ours || len(found) == 0 {
		u.Drift = nil
		return
	}
	kinds, words := make([]string, len(found)), make([]string, len(found))
	for i, f := range found {
		kinds[i], words[i] = f.kind, f.words
	}
	said := strings.Join(words, "; ")
	action := "repaired"
	if a.policy.Drift == pms.DriftReport && !a.work.Key.Revive {
		action = "reported"
		u.StartsAt, u.EndsAt, u.AccessGroupIDs, u.unlinked = recorded.StartsAt, recorded.EndsAt, recorded.AccessGroupIDs, false
		u.CredentialID, u.CredentialMarkedAt, u.CredentialLostAt = recorded.CredentialID, recorded.CredentialMarkedAt, recorded.CredentialLostAt
		u.surplusKeys, a.lostAt = nil, a.work.Key.UncertainSince
		u.Drift = &said
	} else {
		u.Drift = nil
	}
	if a.preview || deref(recorded.Drift) == said && u.Drift != nil {
		return // known already
	}
	for _, kind := range kinds {
		driftFound.WithLabelValues(kind, action).Inc()
	}
	a.note("changed at Seam, not by us: %s (%s)", said, action)
}
