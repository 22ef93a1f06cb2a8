package handlers_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/staykey/staykey/internal/handlers"
	"github.com/staykey/staykey/internal/handlers/webhook"
)

// Answers of REST and of pages are measured by route, never by path.
func TestRoutesAreMeasured(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	v := a.visitor()
	v.signIn(adminToken)
	for _, path := range []string{
		"/", "/reservations", "/listings", "/events", "/sources", "/health",
		"/reservations/default/nobodys", "/listings/default/nobodys",
	} {
		v.request(http.MethodGet, path, nil, nil)
	}
	a.get("/v1/summary")
	a.get("/v1/reservations/default/nobodys")
	a.as("", http.MethodGet, "/v1/events", "")
	measured := measuredRoutes(t)
	for _, want := range []string{
		"/ 2xx", "/reservations 2xx", "/listings 2xx", "/events 2xx", "/sources 2xx", "/health 2xx", "/sign-in 3xx",
		"/reservations/{source}/{reservation_id} 4xx", "/listings/{source}/{listing_id} 2xx",
		"/v1/summary 2xx", "/v1/reservations/{source}/{reservation_id} 4xx", "/v1/events 4xx",
	} {
		if !slices.Contains(measured, want) {
			t.Errorf("%s is not measured; these are: %q", want, measured)
		}
	}
}

// measuredRoutes lists what the process has measured, by route and class of status.
func measuredRoutes(t *testing.T) []string {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(append(handlers.Collectors(), webhook.Collectors()...)...)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var routes []string
	for _, family := range families {
		if family.GetName() != "staykey_http_request_duration_seconds" {
			continue
		}
		for _, m := range family.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			routes = append(routes, labels["route"]+" "+labels["status"])
		}
	}
	return routes
}

// A request whose client hung up counts as the client's, even though its handler could only answer with 503.
func TestClientThatHungUpIsNoFailure(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	public, _ := handlers.New(handlers.Config{
		Log: slog.New(slog.NewTextHandler(&log, nil)), Metrics: prometheus.NewRegistry(),
	}, interrupted{})
	ctx, hangUp := context.WithCancel(t.Context())
	hangUp()
	public.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/interrupted", nil))
	public.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/fails", nil))
	for _, want := range []string{"/interrupted 4xx", "/fails 5xx"} {
		if measured := measuredRoutes(t); !slices.Contains(measured, want) {
			t.Errorf("%s is not measured; these are: %q", want, measured)
		}
	}
	for _, want := range []string{"route=/interrupted status=499", "route=/fails status=503"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, log.String())
		}
	}
}

// interrupted is a face whose routes can't do what they are asked for.
type interrupted struct{}

// Mount implements handlers.Face.
func (interrupted) Mount(r chi.Router) {
	fail := func(w http.ResponseWriter, _ *http.Request) {
		handlers.NewProblem(http.StatusServiceUnavailable, "no answer").Write(w)
	}
	r.With(handlers.Measured).Get("/interrupted", fail)
	r.With(handlers.Measured).Get("/fails", fail)
}

// A failure's record in the log names its request, so that the two can be read together.
func TestFailureNamesItsRequest(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	log := slog.New(slog.NewTextHandler(&text, nil))
	public, _ := handlers.New(handlers.Config{Log: log, Metrics: prometheus.NewRegistry()}, broken{log})
	answer := httptest.NewRecorder()
	public.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/broken/secret", nil))
	want := `msg="request failed" request_id=` + answer.Header().Get("X-Request-Id") +
		` method=GET route=/broken/{id} error="out of order"`
	if !strings.Contains(text.String(), want) || strings.Contains(text.String(), "secret") {
		t.Errorf("the log lacks %s, or has a path:\n%s", want, text.String())
	}
}

// broken is a face whose route meets an error that is no refusal.
type broken struct{ log *slog.Logger }

// Mount implements handlers.Face.
func (b broken) Mount(r chi.Router) {
	r.Get("/broken/{id}", func(w http.ResponseWriter, r *http.Request) {
		handlers.ProblemOf(r.Context(), b.log, errors.New("out of order")).Write(w)
	})
}
