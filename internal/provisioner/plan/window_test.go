package plan

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/store"
)

// A window never makes a stay invalid, and never makes it expire before it has begun: neither one that was set for
// other days, nor one whose end the listing's new hours have moved before its beginning.
func TestWindowNeverSpoilsAStay(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		hour := func(label string, from, to int) *time.Time {
			return ptr(noon.Add(time.Duration(rapid.IntRange(from, to).Draw(t, label)) * time.Hour))
		}
		in := hour("check-in", 0, 100)
		out := in.Add(time.Duration(rapid.IntRange(1, 100).Draw(t, "hours")) * time.Hour)
		r := store.Reservation{CheckIn: in, CheckOut: &out, CheckInText: ptr("in"), CheckOutText: ptr("out")}
		window := store.Overrides{
			WindowAt: ptr(noon), StartsAt: hour("starts", -50, 150), EndsAt: hour("ends", -50, 250), OfCheckIn: in,
			OfCheckOut:     &out,
			OfCheckInText:  ptr(rapid.SampledFrom([]string{"in", "moved"}).Draw(t, "text")),
			OfCheckOutText: ptr("out"),
		}
		if rapid.Bool().Draw(t, "moved") {
			window.OfCheckIn = ptr(in.Add(-50 * time.Hour))
		}
		if rapid.Bool().Draw(t, "no start") {
			window.StartsAt = nil
		}
		s := Situation{
			Policy: pms.DefaultPolicy(), GuestKey: func(a string) string { return a },
			Group:   func(string) (string, bool) { return "s1", true },
			Listing: &Listing{Groups: []string{"a"}},
			Reservation: Reservation{
				Source: "default", ReservationID: "R", Status: pms.Confirmed,
				ListingID: "L", CheckIn: in, CheckOut: &out, HasDates: true,
			},
			Decisions: Decisions{Access: func(starts, ends time.Time) (from, until time.Time) {
				return window.Access(r, starts, ends)
			}},
		}
		d := Desire(s)
		if !d.Ends.After(d.Starts) || d.Blocked != nil {
			t.Fatalf("from %s until %s, blocked by %v", d.Starts, d.Ends, d.Blocked)
		}
		s.Now = d.Starts
		if d := Desire(s); d.Goal != Have || d.Expired {
			t.Fatalf("when access begins the goal is %v, expired %v", d.Goal, d.Expired)
		}
	})
}
