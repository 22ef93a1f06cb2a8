package handlers_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/staykey/staykey/internal/handlers"
)

// Load balancers must keep a replica that can store webhooks, whatever is wrong at Seam. Deep health checks report it.
func TestDeepHealth(t *testing.T) {
	t.Parallel()
	ok := handlers.Readiness{Ready: true, Detail: map[string]string{"seam": "ok"}}
	degraded := handlers.Readiness{Ready: true, Degraded: true, Detail: map[string]string{"seam": "paused"}}
	down := handlers.Readiness{Detail: map[string]string{"postgres": "unreachable"}}
	for name, c := range map[string]struct {
		ready      handlers.Readiness
		path       string
		status     int
		text       string // of the public listener
		detail     string // of the private one
		unexpected string // in neither
	}{
		"all is well":       {ok, "/readyz", 200, `"ready"`, `"seam":"ok"`, "degraded"},
		"all is well, deep": {ok, "/readyz?deep=1", 200, `"ready"`, `"seam":"ok"`, "degraded"},
		"trouble at Seam":   {degraded, "/readyz", 200, `"degraded"`, `"seam":"paused"`, "not ready"},
		"trouble at Seam, deep": {
			degraded, "/readyz?deep=1", 503, "degraded: ", "degraded: seam: paused",
			"not ready",
		},
		"trouble at Seam, ?deep": {degraded, "/readyz?deep", 503, "degraded: ", "degraded: seam: paused", "not ready"},
		"not ready, deep":        {down, "/readyz?deep=1", 503, "not ready", "postgres: unreachable", "degraded"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			public, private := handlers.New(handlers.Config{
				Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
				Ready: func(context.Context) handlers.Readiness { return c.ready },
			})
			for listener, want := range map[http.Handler]string{public: c.text, private: c.detail} {
				w := httptest.NewRecorder()
				listener.ServeHTTP(w, httptest.NewRequest(http.MethodGet, c.path, nil))
				body := w.Body.String()
				if w.Code != c.status || !strings.Contains(body, want) || strings.Contains(body, c.unexpected) {
					t.Errorf("%d %s, want %d and %q", w.Code, body, c.status, want)
				}
			}
		})
	}
}
