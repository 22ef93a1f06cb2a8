package webhook

import (
	"net/http"
	"testing"
	"time"
)

// TestWebhookResult names outcomes of webhooks. StaykeyWebhooksUnavailable fires on "unavailable": a sender that hangs
// up at once must not set it off, and one that waited in vain must.
func TestWebhookResult(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status int
		took   time.Duration
		gone   bool
		want   string
	}{
		"stored":                         {http.StatusAccepted, time.Millisecond, false, "accepted"},
		"stored, and the sender is gone": {http.StatusAccepted, time.Millisecond, true, "accepted"},
		"not stored": {
			http.StatusServiceUnavailable, time.Millisecond, false,
			"unavailable",
		},
		"the sender hung up at once":      {http.StatusServiceUnavailable, time.Millisecond, true, "abandoned"},
		"the sender hung up just in time": {http.StatusServiceUnavailable, impatience - 1, true, "abandoned"},
		"the sender waited in vain":       {http.StatusServiceUnavailable, impatience, true, "unavailable"},
		"not stored, slowly":              {http.StatusServiceUnavailable, time.Minute, false, "unavailable"},
		"refused, and the sender is gone": {http.StatusUnauthorized, time.Millisecond, true, "refused"},
		"a status without a name of its own": {
			http.StatusUnsupportedMediaType, time.Millisecond, false,
			"malformed",
		},
		"a body that its sender did not finish": {http.StatusBadRequest, time.Millisecond, true, "malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := webhookResult(c.status, c.took, c.gone); got != c.want {
				t.Errorf("%d after %s, gone %t: %q, want %q", c.status, c.took, c.gone, got, c.want)
			}
		})
	}
}
