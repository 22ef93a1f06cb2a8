package store_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/staykey/staykey/internal/store"
)

// Whatever window an admin has set, and whatever happens to the stay and to the hours that complete it: access ends
// after it begins, and where the window does not count, access is what it would be without one.
func TestAccessIsAlwaysValid(t *testing.T) {
	t.Parallel()
	day := time.Date(2030, 11, 1, 0, 0, 0, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		instant := func(label string) *time.Time {
			at := day.Add(time.Duration(rapid.IntRange(-72, 240).Draw(t, label)) * time.Hour)
			return &at
		}
		maybe := func(label string) *time.Time {
			if rapid.Bool().Draw(t, "no "+label) {
				return nil
			}
			return instant(label)
		}
		localDate := func(label string) *string {
			s := rapid.SampledFrom([]string{"2030-11-01", "2030-11-02", "2030-11-03", "2030-11-04"}).Draw(t, label)
			return &s
		}
		stay := func(label string) store.Reservation {
			in := instant(label + " check-in")
			out := in.Add(time.Duration(rapid.IntRange(1, 200).Draw(t, label+" hours")) * time.Hour)
			return store.Reservation{
				CheckInText: localDate(label + " set in"), CheckOutText: localDate(label + " set out"),
				CheckIn: in, CheckOut: &out,
			}
		}
		o := store.Overrides{WindowAt: &day}
		before := stay("before")
		o.SetWindow(before, maybe("starts"), maybe("ends"))
		now := stay("now")
		grace := time.Duration(rapid.IntRange(0, 5).Draw(t, "grace")) * time.Hour
		starts, ends := now.CheckIn.Add(-grace), now.CheckOut.Add(grace)

		from, until := o.Access(now, starts, ends)
		if !until.After(from) {
			t.Fatalf("access from %s until %s", from, until)
		}
		moved := *before.CheckInText != *now.CheckInText && !before.CheckIn.Equal(*now.CheckIn) ||
			*before.CheckOutText != *now.CheckOutText && !before.CheckOut.Equal(*now.CheckOut)
		if own := from.Equal(starts) && until.Equal(ends); moved && !own {
			t.Fatalf("the PMS moved the stay, and access is from %s until %s, not from %s until %s", from, until,
				starts, ends)
		}
	})
}
