package admin

import (
	"testing"
	"time"

	"github.com/staykey/staykey/internal/store"
)

func TestQuiet(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	const hour, day = time.Hour, 24 * time.Hour
	for name, c := range map[string]struct {
		hours       int
		ago, before time.Duration
		want        Quiet
		reason      string
	}{
		"never":    {0, 0, 0, Quiet{Never: true}, "nothing is known, so nothing is unusual"},
		"just now": {200, time.Minute, 8 * hour, Quiet{For: time.Minute, Usual: 8 * hour}, ""},
		"a night": {
			200, 16 * hour, 8 * hour,
			Quiet{For: 16 * hour, Usual: 8 * hour},
			"within a day nobody is alarmed",
		},
		"a busy one, for a day": {200, 25 * hour, 8 * hour, Quiet{For: 25 * hour, Usual: 8 * hour, Long: true}, ""},
		"a calm one, for a day": {
			200, 25 * hour, 20 * hour,
			Quiet{For: 25 * hour, Usual: 20 * hour},
			"less than twice its longest pause",
		},
		"a calm one, for longer": {200, 41 * hour, 20 * hour, Quiet{For: 41 * hour, Usual: 20 * hour, Long: true}, ""},
		"a new one, for days":    {2, 6 * day, hour, Quiet{For: 6 * day}, "how often it posts isn't known yet"},
		"a new one, for a week":  {2, 8 * day, hour, Quiet{For: 8 * day, Long: true}, ""},
		"a clock that is ahead":  {200, -time.Minute, hour, Quiet{Usual: hour}, "another replica's clock"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := quietOf(store.EventIntervals{LastAt: now.Add(-c.ago), Hours: c.hours, Longest: c.before}, now)
			if got != c.want {
				t.Errorf("%+v, not %+v: %s", got, c.want, c.reason)
			}
		})
	}
}
