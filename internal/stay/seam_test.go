package stay_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/staykey/staykey/internal/stay"
)

// The time of a sweep has milliseconds also where they are zero, and is read back as it was written.
func TestASweepIsWrittenWithMilliseconds(t *testing.T) {
	t.Parallel()
	want := stay.Sweep{
		At: time.Date(2026, 11, 28, 14, 0, 0, 0, time.FixedZone("CET", 3600)), Compared: 3, Failed: []string{"a: gone"},
	}
	data, err := json.Marshal(&want)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(data), `"at":"2026-11-28T13:00:00.000Z"`) {
		t.Errorf("written as %s", data)
	}
	var got stay.Sweep
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("read back differently (-want +got):\n%s", diff)
	}
}
