package admin_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/stay"
)

// The time of a sweep has milliseconds also where they are zero; everything else is as in the sweep.
func TestASweepIsShownWithMilliseconds(t *testing.T) {
	t.Parallel()
	data, err := json.Marshal(admin.ShowSweep(stay.Sweep{
		At: time.Date(2026, 11, 28, 14, 0, 0, 0, time.FixedZone("CET", 3600)), Compared: 3, HeldBack: 2,
		Failed: []string{"a: gone"},
	}))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"at":"2026-11-28T13:00:00.000Z","took_ms":0,"compared":3,"different":0,"missing":0,"held_back":2,` +
		`"unknown":0,"failed":["a: gone"]}`
	if diff := cmp.Diff(want, string(data)); diff != "" {
		t.Errorf("written differently (-want +got):\n%s", diff)
	}
}
