// Package handlers is staykey's HTTP: the routers of the listeners, and what the faces on the public one share.
//
// The faces are packages below it, each with its own narrow view of the rest of the program:
//
//	webhook   takes what PMSs and Seam post
//	rest      answers programs, under /v1
//	web       is the page for admins
//	guest     is the page of a guest's link
//
// Faces hold no rules of their own. rest and web turn a request into a call of internal/admin and its result into JSON
// or HTML, so that both always agree.
//
// # A request's way
//
// Every request passes the envelope: it gets an id (X-Request-Id), security headers, one record in the log, and an
// answer if its handler panics. Then, by the route of the face: [Measured] for the metrics, a token ([Auth.Bearer]) or
// a session of the page, [DecodeParams] and [StorableInput], which refuse what can be read in two ways or can't be in
// the database, and [Limits.OneOfFew], which keeps REST and the page from taking the database away from webhooks.
// Webhooks have no token: webhook verifies the source's signature.
//
// # Errors
//
// Every error is a [Problem] (RFC 9457), and a page of it for browsers. [ProblemOf] is the one place that turns errors
// into problems: refusals of internal/admin keep their words and their code; any other error is logged here, once, and
// the client learns no more than that the database has trouble. codes.go and docs/errors.md list the codes.
package handlers

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"strings"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Face is one of the interfaces that the public listener serves, or the admin listener if there is one.
type Face interface {
	// Mount adds the face's routes.
	Mount(chi.Router)
}

// Config is what the router needs of the rest of the program.
type Config struct {
	Log       *slog.Logger
	Metrics   prometheus.Gatherer
	Profiling bool // pprof on the private listener
	Ready     func(context.Context) Readiness
	Reload    func(context.Context) *Problem // reads the configuration again; nil if that succeeded
	PublicURL string                         // where others reach the listener, "" where that is not known
	Traced    bool                           // events are traced
}

// WebhookRoute and WebhookRouteBelow are the routes of PMSs' webhooks. Accepted ones are logged only at level debug,
// because they are in the inbox.
const (
	WebhookRoute      = "/webhooks/{source}"
	WebhookRouteBelow = "/webhooks/{source}/*"
)

type router struct {
	Config
	browsable bool // the listener has the page and /docs
}

var requestSeconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
	Name:    "staykey_http_request_duration_seconds",
	Help:    "Requests to REST and the web page, by route pattern and class of status.",
	Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
}, []string{"route", "status"})

// Collectors returns the package's metrics.
func Collectors() []prometheus.Collector {
	return []prometheus.Collector{largeEvicted, wrongTokens, SignIns, requestSeconds}
}

// New returns the handlers of a listener that serves the faces, and of the private one.
func New(c Config, faces ...Face) (public, ops http.Handler) {
	return Serve(c, faces...), (&router{Config: c}).opsRouter()
}

// Serve returns the handler of a listener that serves the faces, and health without detail.
func Serve(c Config, faces ...Face) http.Handler {
	s := &router{Config: c}
	r := chi.NewRouter()
	r.Use(s.envelope, encodedPath, middleware.GetHead)
	r.NotFound(func(w http.ResponseWriter, _ *http.Request) { notFound(r).Write(w) })
	r.MethodNotAllowed(notAllowed(r))
	for _, face := range faces {
		face.Mount(r)
	}
	s.browsable = hasDocs(r)
	r.Get("/healthz", s.healthz)
	r.Get("/readyz", func(w http.ResponseWriter, r *http.Request) { s.readyz(w, r, false) })
	return r
}

// notFound is the answer at an unknown path. A listener without REST has no /docs.
func notFound(routes chi.Routes) *Problem {
	if hasDocs(routes) {
		return NewProblem(http.StatusNotFound, "not found: see /docs for the paths")
	}
	return NewProblem(http.StatusNotFound, "not found")
}

func hasDocs(routes chi.Routes) bool {
	return routes.Match(chi.NewRouteContext(), http.MethodGet, "/docs")
}

func (s *router) opsRouter() http.Handler {
	r := chi.NewRouter()
	r.Use(s.envelope, middleware.GetHead)
	unknown := func(w http.ResponseWriter, _ *http.Request) {
		NewProblem(http.StatusNotFound,
			"not found: this listener has /metrics, /healthz, /readyz and POST /-/reload").Write(w)
	}
	r.NotFound(unknown)
	r.MethodNotAllowed(notAllowed(r))
	r.Get("/healthz", s.healthz)
	r.Get("/readyz", func(w http.ResponseWriter, r *http.Request) { s.readyz(w, r, true) })
	r.Post("/-/reload", s.reload)
	r.Handle("/metrics", promhttp.HandlerFor(s.Metrics, promhttp.HandlerOpts{}))
	if s.Profiling {
		r.HandleFunc("/debug/pprof/*", pprof.Index)
		r.HandleFunc("/debug/pprof/profile", pprof.Profile)
		r.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		r.HandleFunc("/debug/pprof/trace", pprof.Trace)
		r.HandleFunc("/debug/pprof/cmdline", unknown) // a command line may contain secrets
	}
	return r
}

// reload reads the configuration again, and answers when that has succeeded or failed.
func (s *router) reload(w http.ResponseWriter, r *http.Request) {
	if p := s.Reload(r.Context()); p != nil {
		p.Write(w)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(`{"status":"reloaded"}` + "\n")) // the client may be gone
}

// notAllowed answers 405 with the methods that the path has (RFC 9110 section 15.5.6).
func notAllowed(routes chi.Routes) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var allow []string
		for _, method := range []string{
			http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch,
			http.MethodDelete,
		} {
			at := chi.NewRouteContext()
			if routes.Match(at, method, r.URL.EscapedPath()) {
				if pattern := at.RoutePattern(); pattern == WebhookRoute || pattern == WebhookRouteBelow {
					allow = []string{http.MethodPost} // other methods depend on the source, whose own answer lists them
					break
				}
				allow = append(allow, method)
				if method == http.MethodGet {
					allow = append(allow, http.MethodHead)
				}
			}
		}

		if len(allow) == 0 { // an unknown method at an unknown path
			notFound(routes).Write(w)
			return
		}
		w.Header().Set("Allow", strings.Join(allow, ", "))
		detail := r.Method + " isn't allowed here: use " + strings.Join(allow, " or ")
		if hasDocs(routes) {
			detail += "; see /docs"
		}
		NewProblem(http.StatusMethodNotAllowed, detail).Write(w)
	}
}
