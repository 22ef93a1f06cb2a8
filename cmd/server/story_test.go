package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/staykey/staykey/internal/handlers/rest"
)

// What staykey reservation says of admins' decisions and of the plan.
func TestStory(t *testing.T) {
	t.Parallel()
	starts := "2030-11-01T12:00:00.000Z"
	s := shownReservation{
		Reservation: rest.Reservation{
			Source: "default", ReservationID: "R1", Status: "confirmed",
			MobileKey: rest.MobileKey{Status: "waiting"},
		},
		Overrides: rest.Overrides{
			Held: &rest.Decision{By: "Maria", Reason: "h"}, Revoked: &rest.Decision{By: "Ben", Reason: "r"},
			Window: &rest.WindowDecision{Decision: rest.Decision{By: "Eva", Reason: "w"}, StartsAt: &starts},
		},
		Timeline: slices.Repeat([]rest.TimelineItem{{Summary: "x"}}, timelineShown),
	}
	printed := func() string {
		var b strings.Builder
		s.print(&b)
		return b.String()
	}
	text := printed()
	for range 20 {
		if printed() != text {
			t.Fatal("it differs from time to time")
		}
	}
	for _, want := range []string{
		"by Maria", "by Ben", "by Eva", "access from " + starts + " until check-out",
		"no changes possible at Seam now: the key is waiting", "only the last 1000 entries are shown",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q:\n%.600s", want, text)
		}
	}
	s.Reservation.MobileKey.Status, s.Timeline = "issued", nil
	if text := printed(); !strings.Contains(text, "no changes needed") || strings.Contains(text, "entries are shown") {
		t.Errorf("of a key that is issued:\n%s", text)
	}
}
