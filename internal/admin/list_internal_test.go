package admin

import (
	"testing"
	"time"

	"github.com/staykey/staykey/internal/pms"
)

func TestRelativeDayIsThePropertysOwn(t *testing.T) {
	t.Parallel()
	b := bounds{
		now:     time.Date(2026, 12, 31, 23, 30, 0, 0, time.UTC),
		zones:   []string{"Europe/Madrid", "America/New_York"},
		sources: map[string]pms.Source{},
	}
	for text, want := range map[string]map[string]string{
		"today":    {"Europe/Madrid": "2026-12-31T23:00:00Z", "America/New_York": "2026-12-31T05:00:00Z"},
		"today+1":  {"Europe/Madrid": "2027-01-01T23:00:00Z", "America/New_York": "2027-01-01T05:00:00Z"},
		"today-31": {"Europe/Madrid": "2026-11-30T23:00:00Z", "America/New_York": "2026-11-30T05:00:00Z"},
	} {
		bound, err := b.parse("query.check_in_from", text)
		if err != nil {
			t.Fatal(err)
		}
		for zone, at := range want {
			if got := bound.Zones[zone].Format(time.RFC3339); got != at {
				t.Errorf("%s in %s: %s, not %s", text, zone, got, at)
			}
		}
	}
	for _, text := range []string{"yesterday", "today+", "today+1000", "today 1"} {
		if _, err := b.parse("query.check_in_from", text); err == nil {
			t.Errorf("%q is read", text)
		}
	}
}
