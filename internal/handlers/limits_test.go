package handlers_test

import (
	"context"
	"net/http"
	"strconv"
	"testing"

	"github.com/staykey/staykey/internal/store"
)

const ignored = `{"type":"message.created","timestamp":"2026-01-01T00:00:00Z","data":{}}`

// TestRateLimit: only authentic webhooks count, refused ones aren't stored, and other sources are unaffected.
func TestRateLimit(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	for range 5 {
		if got := a.post(hook{
			source: "limited", secret: secretB,
			body: ignored,
		}); got.status != http.StatusUnauthorized {
			t.Fatalf("forged: %d", got.status)
		}
	}
	for i := range 2 {
		if got := a.post(hook{
			source: "limited", id: "msg_" + strconv.Itoa(i),
			body: ignored,
		}); got.status != http.StatusAccepted {
			t.Fatalf("webhook %d: %d %s", i, got.status, got.rawBody)
		}
	}
	refused := a.post(hook{source: "limited", id: "msg_2", body: ignored})
	if seconds, err := strconv.Atoi(refused.header.Get("Retry-After")); refused.status != http.StatusTooManyRequests ||
		err != nil || seconds < 900 || seconds > 1000 {
		t.Errorf("over the limit: %d, Retry-After %q", refused.status, refused.header.Get("Retry-After"))
	}
	if refused.media != "application/problem+json" || refused.body["detail"] == "" {
		t.Errorf("over the limit: %s %s", refused.media, refused.rawBody)
	}
	kept, err := a.store.Events.List(context.Background(), store.EventFilter{Source: []string{"limited"}}, 0, 10)
	if err != nil || len(kept) != 2 {
		t.Errorf("%d events are kept, want 2: %v", len(kept), err)
	}
	if got := a.post(hook{body: ignored}); got.status != http.StatusAccepted {
		t.Errorf("another source: %d", got.status)
	}
}
