package handlers_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/staykey/staykey/internal/handlers"
)

// Each kind of problem has the code that docs/errors.md gives it.
func TestCodes(t *testing.T) {
	t.Parallel()
	documented, err := os.ReadFile("../../docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	a := newApp(t)
	a.post(hook{body: listingBody})
	a.post(hook{body: reservationBody})
	a.apply()
	a.call(http.MethodPost, onePath+"/hold", `{"reason":"asked to","author":"Ann"}`)
	for _, c := range []struct {
		code   string
		status int
		got    answered
	}{
		{"unknown_parameter", 422, a.get("/v1/reservations?colour=red")},
		{"repeated_parameter", 422, a.get("/v1/reservations?limit=1&limit=2")},
		{"invalid_request", 422, a.get("/v1/reservations?limit=0")},
		{"invalid_request", 422, a.call(http.MethodPut, "/v1/listings/default/L", `{"time_zone":"Mars"}`)},
		{
			"invalid_event", 422,
			a.post(hook{body: `{"type":"reservation.created","timestamp":"2024-10-20T09:00:00Z","data":{}}`}),
		},
		{"malformed_request", 400, a.post(hook{body: `{`})},
		{"unauthorized", 401, a.as("nobody-knows-this", "GET", "/v1/reservations", "")},
		{"not_found", 404, a.get("/v1/reservations/default/none")},
		{"not_found", 404, a.get("/nowhere")},
		{"method_not_allowed", 405, a.call(http.MethodDelete, "/v1/reservations", "")},
		{"reservation_held", 409, a.call(http.MethodPost, onePath+"/reissue", `{"reason":"lost","author":"Ann"}`)},
	} {
		c.got.mustBeProblem(t, c.status)
		if c.got.body["code"] != c.code {
			t.Errorf("code %v, want %s: %s", c.got.body["code"], c.code, c.got.rawBody)
		}
		if !regexp.MustCompile(`\| \d+ \| .` + c.code + `. \|`).Match(documented) {
			t.Errorf("docs/errors.md lacks %s", c.code)
		}
	}

	// nothing is negotiated: answers are JSON, whatever a client accepts
	asked, err := http.NewRequest(http.MethodGet, a.url+"/v1/reservations", nil)
	if err != nil {
		t.Fatal(err)
	}
	asked.Header.Set("Authorization", "Bearer "+adminToken)
	asked.Header.Set("Accept", "text/csv")
	if got := a.do(asked); got.status != http.StatusOK {
		t.Errorf("a client that accepts text/csv gets %d", got.status)
	}
	if regexp.MustCompile(`\| 406 \|`).Match(documented) {
		t.Error("docs/errors.md has 406, which no request gets")
	}
}

// The private listener's errors are problems, too, and pprof doesn't reveal the command line.
func TestPrivateListenerAnswersWithProblems(t *testing.T) {
	t.Parallel()
	_, private := handlers.New(handlers.Config{
		Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
		Profiling: true,
	})
	for _, path := range []string{"/nowhere", "/debug/pprof/cmdline"} {
		w := httptest.NewRecorder()
		private.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		var p handlers.Problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != http.StatusNotFound ||
			p.Code != "not_found" ||
			p.RequestID != w.Header().Get("X-Request-Id") ||
			w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %v %s", path, w.Code, w.Header(), w.Body)
		}
	}
}
