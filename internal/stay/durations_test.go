package stay_test

import (
	"testing"
	"time"

	"github.com/staykey/staykey/internal/stay"
)

func TestDurationsForPeople(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		30 * 24 * time.Hour:     "30 days",
		24 * time.Hour:          "1 day",
		36 * time.Hour:          "36 hours",
		90 * time.Minute:        "90 minutes",
		time.Minute:             "1 minute",
		1500 * time.Millisecond: "1.5s",
		0:                       "0s",
	} {
		if got := stay.DescribeDuration(d); got != want {
			t.Errorf("%s: got %q, want %q", d, got, want)
		}
	}
}
