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
