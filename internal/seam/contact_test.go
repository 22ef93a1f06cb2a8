package seam_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/seam"
)

// What counts as an answer of Seam: one that can be used, or a refusal with Seam's own error body.
func TestUnanswered(t *testing.T) {
	t.Parallel()
	const refusal = `{"error": {"type": "invalid_input", "message": "no"}}`
	const user = `{"acs_user": {"acs_user_id": "u", "acs_system_id": "s"}}`
	for _, c := range []struct {
		name   string
		status int
		body   string
		counts bool // as unanswered
	}{
		{"a usable answer", 200, user, false},
		{"Seam refuses the call", 400, refusal, false},
		{"Seam doesn't know the object", 404, refusal, false},
		{"Seam forbids it", 403, refusal, false},
		{"the API key is refused, which pauses provisioning", 401, "", false},
		{"Seam fails", 500, refusal, true},
		{"a gateway fails", 503, "<html>", true},
		{"Seam limits calls", 429, refusal, true},
		{"a gateway doesn't know the path", 404, "<html>", true},
		{"a firewall forbids it", 403, "<html>", true},
		{"a redirect to a page", 302, "", true},
		{"a page instead of an answer", 200, "<html>", true},
		{"the object is missing", 200, "{}", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			client := serve(t, answer(c.status, c.body))
			_, err := client.ACSUser(context.Background(), "u")
			switch u := client.Unanswered(); {
			case c.counts && (u.Calls != 1 || u.Last == nil || u.Since.IsZero()):
				t.Errorf("got %+v, want one call without an answer: %v", u, err)
			case !c.counts && u != (seam.Unanswered{}):
				t.Errorf("got %+v, want none: %v", u, err)
			}
		})
	}
	t.Run("nobody listens", func(t *testing.T) {
		t.Parallel()
		client, err := seam.New(seam.Config{Endpoint: "http://127.0.0.1:1"})
		if err != nil {
			t.Fatal(err)
		}
		_, err = client.ACSUser(context.Background(), "u")
		if u := client.Unanswered(); u.Calls != 1 {
			t.Errorf("got %+v: %v", u, err)
		}
	})
	t.Run("the caller gives up", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(context.Background())
		release := make(chan struct{})
		defer close(release)
		client := serve(t, func(http.ResponseWriter, *http.Request) {
			cancel()
			<-release
		})
		if _, err := client.ACSUser(ctx, "u"); err == nil {
			t.Error("the call was answered")
		}
		if u := client.Unanswered(); u != (seam.Unanswered{}) {
			t.Errorf("got %+v", u)
		}
	})
}

// Calls without an answer count from the first, and the first answer ends them. Calls that wait for the rate limit
// weren't made, so they don't count.
func TestUnansweredSince(t *testing.T) {
	t.Parallel()
	var status atomic.Int64
	status.Store(500)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "900")
		answer(int(status.Load()), `{"acs_user": {"acs_user_id": "u", "acs_system_id": "s"}}`)(w, r)
	}))
	t.Cleanup(server.Close)
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	now := start
	client, err := seam.New(seam.Config{Endpoint: server.URL, Timeout: patience, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	call := func(result int, wantCalls int, wantSince time.Time) {
		t.Helper()
		status.Store(int64(result))
		_, err := client.ACSUser(context.Background(), "u")
		if u := client.Unanswered(); u.Calls != wantCalls || !u.Since.Equal(wantSince) {
			t.Errorf("after %d: %+v, want %d calls since %s: %v", result, u, wantCalls, wantSince, err)
		}
		now = now.Add(time.Minute)
	}
	call(500, 1, start)
	call(500, 2, start)
	call(200, 0, time.Time{})
	call(500, 1, start.Add(3*time.Minute))
	call(429, 2, start.Add(3*time.Minute))
	call(200, 2, start.Add(3*time.Minute)) // not made: Seam has asked for a pause
}
