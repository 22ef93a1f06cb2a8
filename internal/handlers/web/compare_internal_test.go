package web

import (
	"slices"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/stay"
)

// A key that waits is no difference; one that should exist and doesn't is.
func TestComparisonOfAKeyThatWaits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reason, why string
		differs     bool
	}{
		{"before its horizon nothing is missing", stay.ReasonBeforeHorizon, false},
		{"without a cause, what is missing differs", "", true},
	} {
		from, until := time.Unix(1_900_000_000, 0), time.Unix(1_900_086_400, 0)
		target := stay.Target{Key: true, Reason: c.why, StartsAt: &from, EndsAt: &until, GroupIDs: []string{"g"}}
		rows := compare(english, target, admin.View{}, admin.AccessGroups{}, time.Time.String)
		if len(rows) != 5 || slices.ContainsFunc(rows, func(r comparison) bool { return r.Same == c.differs }) {
			t.Errorf("%s: %+v", c.reason, rows)
		}
	}
}

// An ACS user whose identity is another's still exists, with its doors; one that somebody deleted doesn't.
func TestComparisonOfAUserThatIsOut(t *testing.T) {
	t.Parallel()
	id, key, from, until := "u", "k", time.Unix(1_900_000_000, 0), time.Unix(1_900_086_400, 0)
	target := stay.Target{Key: true, StartsAt: &from, EndsAt: &until, GroupIDs: []string{"g"}}
	for name, c := range map[string]struct {
		contested *time.Time
		guest     string
		doors     bool
	}{
		"displaced": {&from, "somebody else's", true},
		"removed":   {nil, "none", false},
	} {
		rows := compare(english, target, admin.View{User: &admin.ACSUser{
			ACSUserID: &id, CredentialID: &key, StartsAt: &from, EndsAt: &until, AccessGroupIDs: []string{"g"},
			RemovedAt: &from, ContestedAt: c.contested,
		}}, admin.AccessGroups{}, time.Time.String)
		if rows[0].Is != c.guest || rows[0].Same {
			t.Errorf("%s: the guest is %q, as it should be: %t", name, rows[0].Is, rows[0].Same)
		}
		if doors := rows[len(rows)-1]; doors.Same != c.doors {
			t.Errorf("%s: the doors are %q instead of %q", name, doors.Is, doors.Should)
		}
	}
}
