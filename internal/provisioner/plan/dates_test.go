package plan

import (
	"testing"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
)

// A stay that ends at or before its start is over at once if it has begun, whatever the grace, and invalid if it has
// not. One without dates waits for dates, not for a time zone.
func TestDatesOfAStay(t *testing.T) {
	t.Parallel()
	at := func(hours int) *time.Time { return ptr(noon.Add(time.Duration(hours) * time.Hour)) }
	for name, c := range map[string]struct {
		in, out *time.Time
		dated   bool
		goal    Goal
		reason  string
	}{
		"begun and cut short":        {at(-5), at(-6), true, Over, ""},
		"cut short to its start":     {at(-1), at(-1), true, Over, ""},
		"not begun":                  {at(5), at(5), true, Have, stay.ReasonInvalidStay},
		"not begun, an end before":   {at(5), at(4), true, Have, stay.ReasonInvalidStay},
		"a late check-out of a stay": {at(-9), at(-1), true, Have, ""},
		"no dates":                   {nil, nil, false, Have, stay.ReasonNoDates},
		"no zone":                    {nil, nil, true, Have, stay.ReasonNoTimeZone},
	} {
		d := Desire(Situation{
			Policy: pms.Policy{GraceBefore: time.Hour, GraceAfter: 2 * time.Hour, KeepAfter: 24 * time.Hour}, Now: noon,
			GuestKey: func(a string) string { return a }, Group: func(string) (string, bool) { return "s1", true },
			Listing: &Listing{Groups: []string{"a"}},
			Reservation: Reservation{
				Source: "s", ReservationID: "R", Status: pms.Confirmed, ListingID: "L",
				CheckIn: c.in, CheckOut: c.out, HasDates: c.dated,
			},
		})
		reason := ""
		if d.Blocked != nil {
			reason = d.Blocked.Reason
		}
		if d.Goal != c.goal || reason != c.reason {
			t.Errorf("%s: goal %v, reason %q; want %v and %q", name, d.Goal, reason, c.goal, c.reason)
		}
	}
}
