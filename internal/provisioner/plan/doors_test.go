package plan

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/staykey/staykey/internal/stay"
)

// In any situation, what a source may not open is neither opened, nor kept open, nor passed over silently.
func TestForbiddenDoors(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := drawSituation(t)
		forbidden := rapid.SliceOfDistinct(rapid.SampledFrom(groups), rapid.ID).Draw(t, "forbidden")
		s.MayOpen = func(group, _ string) bool { return !slices.Contains(forbidden, group) }
		d := Desire(s)
		for _, group := range forbidden {
			if slices.Contains(d.Groups, group) || slices.Contains(d.Listed, group) {
				t.Fatalf("%s is opened or kept: %+v", group, d)
			}
		}
		if d.Goal != Have || s.Listing == nil || s.Listing.Deleted {
			return
		}
		denied := slices.ContainsFunc(s.Listing.Groups, func(g string) bool { return slices.Contains(forbidden, g) })
		if denied && d.KeepGroups {
			t.Fatalf("an existing key keeps its doors: %+v", d)
		}
		reported := []string{
			stay.ReasonGroupNotAllowed, stay.ReasonInvalidStay, stay.ReasonNoTimeZone,
			stay.ReasonNoDates,
		}
		if denied && (d.Blocked == nil || !slices.Contains(reported, d.Blocked.Reason)) {
			t.Fatalf("nothing is reported: %+v", d.Blocked)
		}
	})
}
