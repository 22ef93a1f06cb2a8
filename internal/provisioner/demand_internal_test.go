package provisioner

import (
	"testing"

	"github.com/staykey/staykey/internal/store"
)

// A reservation of which only one date is known waits for dates, not for a time zone.
func TestOneDateIsNotEnough(t *testing.T) {
	t.Parallel()
	date := "2026-01-01"
	for name, c := range map[string]struct {
		in, out *string
		want    bool
	}{
		"both":      {&date, &date, true},
		"check-in":  {&date, nil, false},
		"check-out": {nil, &date, false},
		"none":      {nil, nil, false},
	} {
		if got := decidedBy(store.Reservation{CheckInText: c.in, CheckOutText: c.out}).HasDates; got != c.want {
			t.Errorf("%s: has dates is %t", name, got)
		}
	}
}
