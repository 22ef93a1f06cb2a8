package web

import (
	"testing"
	"time"

	"github.com/staykey/staykey/internal/lang"
)

var english = lang.English.Locale("", lang.RegionsClock)

// Days have their year unless it is the current one at the property, however near they are.
func TestClockFaces(t *testing.T) {
	t.Parallel()
	madrid, err := time.LoadLocation("Europe/Madrid")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 12, 30, 12, 0, 0, 0, time.UTC)
	at := func(text string) *time.Time {
		parsed, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return &parsed
	}
	hours24, hours12 := english, lang.English.Locale("", lang.Clock12)
	for _, c := range []struct {
		face *lang.Locale
		at   *time.Time
		want string
	}{
		{hours24, at("2026-12-31T14:00:00Z"), "Thu 31 Dec, 15:00"},
		{hours24, at("2026-12-31T23:30:00Z"), "Fri 1 Jan 2027, 00:30"},
		{hours24, at("2026-01-02T08:05:00Z"), "Fri 2 Jan, 09:05"},
		{hours12, at("2026-12-31T14:00:00Z"), "Thu 31 Dec, 3:00 pm"},
		{hours12, at("2027-01-01T11:00:00Z"), "Fri 1 Jan 2027, 12:00 pm"},
		{hours12, nil, ""},
	} {
		if got := dayAt(c.face, c.at, madrid, now); got != c.want {
			t.Errorf("%v: %q, not %q", c.at, got, c.want)
		}
		if c.at == nil {
			continue
		}
		if got := exactly(c.face, *c.at, madrid, now); got != c.want+" CET" {
			t.Errorf("%v: %q, not %q", c.at, got, c.want+" CET")
		}
	}
	if got := locally(hours12, "ends at 2026-12-31T14:00:00.000Z", madrid, now); got != "ends at Thu 31 Dec, 3:00 pm CET" {
		t.Error(got)
	}
}
