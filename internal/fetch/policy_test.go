package fetch

import (
	"testing"
	"time"

	"github.com/staykey/staykey/internal/pmsapi"
)

func TestDoWithout(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reason string
		in     pmsapi.Attempt
		want   bool
	}{
		{"the PMS doesn't have it", pmsapi.Attempt{Cause: pmsapi.Unknown, Number: 1}, true},
		{"an error may pass", pmsapi.Attempt{Cause: pmsapi.Failing, Number: 1}, false},
		{"but not forever", pmsapi.Attempt{Cause: pmsapi.Failing, Number: 4}, true},
		{
			"nor does a source that is paused cost the key",
			pmsapi.Attempt{Cause: pmsapi.Silent, Since: 10 * time.Minute},
			true,
		},
		{"", pmsapi.Attempt{Cause: pmsapi.Silent, Since: 9 * time.Minute}, false},
	} {
		if got := doWithout(c.in); got != c.want {
			t.Errorf("%+v: %v (%s)", c.in, got, c.reason)
		}
	}
}
