package provisioner

import (
	"errors"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/seam"
)

// When calls without a usable answer amount to an outage.
func TestIsOut(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name  string
		calls int
		since time.Duration // ago
		asked time.Duration // ago; 0: never
		want  bool
	}{
		{"no call has failed", 0, 0, 0, false},
		{"one call failed long ago, and the service is idle", 1, time.Hour, time.Minute, false},
		{"two calls failed", 2, time.Hour, time.Minute, false},
		{"many calls failed within seconds", 500, 10 * time.Second, 5 * time.Second, false},
		{"many calls failed for almost a minute", 500, outageAfter - time.Millisecond, 5 * time.Second, false},
		{"calls failed for a minute", outageCalls, outageAfter, 5 * time.Second, true},
		{"the question was the first that failed", outageCalls, outageAfter, outageAfter, true},
		{"an outage that lasts", 5000, 48 * time.Hour, 5 * time.Second, true},
		{"calls of stays failed, and nothing else was asked", 50, time.Hour, 0, false},
		{"nothing else was asked since the last answer", 50, 2 * time.Minute, time.Hour, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			u := seam.Unanswered{Calls: c.calls, Last: errors.New("lost")}
			var asked time.Time
			if c.calls > 0 {
				u.Since = now.Add(-c.since)
			}
			if c.asked > 0 {
				asked = now.Add(-c.asked)
			}
			if got := isOut(u, asked, now); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}
