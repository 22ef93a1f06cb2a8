package handlers

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestLargeBodiesTakeTurns: while as many large webhooks are held as may be, another one is refused in the end, small ones
// are read, and what is released can be taken again.
func TestLargeBodiesTakeTurns(t *testing.T) {
	t.Parallel()
	l := newLimits()
	read := func(ctx context.Context, size int) (int, func(), *Problem) {
		r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/", strings.NewReader(strings.Repeat("x", size)))
		body, release, p := l.readBody(httptest.NewRecorder(), r)
		return len(body), release, p
	}
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	var last func()
	for range largeBodies {
		n, release, p := read(t.Context(), maxBody)
		if n != maxBody || p != nil {
			t.Fatalf("read %d: %v", n, p)
		}
		last = release
	}
	if _, _, p := read(impatient, smallBody+1); p == nil || p.Status != http.StatusServiceUnavailable || p.retryAfter != largeWait {
		t.Errorf("one too many: %+v", p)
	}
	if n, _, p := read(impatient, smallBody-1); n != smallBody-1 || p != nil {
		t.Errorf("a small one: %d %v", n, p)
	}
	last()
	if n, _, p := read(t.Context(), maxBody); n != maxBody || p != nil {
		t.Errorf("behind a release: %d %v", n, p)
	}
}

// TestRequestsTakeTurns: a REST request that would wait too long is refused, and says when to come back.
func TestRequestsTakeTurns(t *testing.T) {
	t.Parallel()
	l := newLimits()
	handler := l.oneOfFew(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	serve := func(ctx context.Context) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil))
		return w
	}
	if got := serve(t.Context()); got.Code != http.StatusNoContent {
		t.Errorf("the first: %d", got.Code)
	}
	if !l.rest.TryAcquire(maxREST) {
		t.Fatal("a turn was not given back")
	}
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	if got := serve(impatient); got.Code != http.StatusServiceUnavailable || got.Header().Get("Retry-After") != "2" {
		t.Errorf("one too many: %d %v", got.Code, got.Header())
	}
}
