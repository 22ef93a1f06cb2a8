// Package handlers is staykey's HTTP: webhooks in, REST for admins, health. It decides nothing about
// reservations; it meets the rest of the service in the database and in the narrow interfaces below.
package handlers

import (
	"cmp"
	"context"
	"encoding/hex"
	"log/slog"
	"maps"
	"net/http"
	"net/http/pprof"
	"net/url"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/staykey/staykey/internal/admin"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/store"
)

// Inbox makes events durable.
type Inbox interface {
	// Accept returns once the event's commit is acknowledged.
	Accept(context.Context, store.Event) (store.Accepted, error)
}

// Config is what the HTTP side needs of the rest of the service.
type Config struct {
	Admin          *admin.Service
	CursorKey      []byte          // of the installation: tokens of forms are made with it
	Done           <-chan struct{} // closed when the service is to stop: what would last for longer ends then
	Activity       *store.Activity // counts what webhooks come to
	Inbox          Inbox
	Log            *slog.Logger
	Metrics        prometheus.Gatherer
	Now            func() time.Time
	Profiling      bool // pprof on the private listener
	Ready          func(context.Context) Readiness
	SeamChanged    func()              // reservations were made due by an event of Seam's
	SeamSecrets    func() []pms.Secret // of Seam's events; none: they are not taken
	PublicURL      string              // where PMSs reach the public listener, "" where that is not known
	Sources        func() map[string]pms.Source
	TrustedProxies func() pms.Addresses // whose X-Forwarded-For is believed; none if it is empty
	Store          *store.Store
	Tokens         func() []admin.Token // of admins
	Traced         bool                 // events are traced
	Version        string
}

// source finds a source of the configuration.
func (s *server) source(name string) (pms.Source, bool) {
	source, ok := s.Sources()[name]
	return source, ok
}

const webhookRoute, webhookRouteBehind = "/webhooks/{source}", "/webhooks/{source}/*"

type server struct {
	Config
	log     *slog.Logger
	limits  *limits
	guesses *guesses
	admin   *admin.Service
	watch   watch
}

var webhookSeconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
	Name: "staykey_webhook_duration_seconds", Help: "Webhooks by source and result: accepted, duplicate, rejected, malformed, refused, over_limit, unavailable, abandoned.",
	Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
}, []string{"source", "result"})

var requestSeconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
	Name: "staykey_http_request_duration_seconds", Help: "Requests to REST and the web page, by route pattern and class of status.",
	Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
}, []string{"route", "status"})

var overLimit = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "staykey_webhooks_over_limit_total", Help: "Authentic webhooks answered 429, by source.",
}, []string{"source"})

var verified = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "staykey_webhooks_verified_total", Help: "Authentic webhooks by source and matching secret, counted from 1; 0 if no secret is needed.",
}, []string{"source", "secret"})

// Collectors returns the package's metrics.
func Collectors() []prometheus.Collector {
	return []prometheus.Collector{largeEvicted, wrongTokens, overLimit, verified, webhookSeconds, requestSeconds}
}

// New returns the handlers of the public and of the private listener.
func New(c Config) (public, ops http.Handler) {
	s := &server{Config: c, admin: c.Admin, log: c.Log, guesses: newGuesses()}
	s.limits = newLimits(s.sender)
	r := chi.NewRouter()
	r.Use(s.envelope, encodedPath, middleware.GetHead)
	r.NotFound(func(w http.ResponseWriter, _ *http.Request) {
		problem(http.StatusNotFound, "not found: see /docs for the paths").write(w)
	})
	r.MethodNotAllowed(notAllowed(r))
	s.mountPage(r)
	for _, route := range []string{webhookRoute, webhookRouteBehind} {
		r.With(decodeParams).HandleFunc(route, s.measuredWebhook) // which methods there are depends on the source
	}
	r.Post("/seam/webhooks", s.seamWebhook)
	r.Get("/healthz", s.healthz)
	r.Get("/readyz", func(w http.ResponseWriter, r *http.Request) { s.readyz(w, r, false) })
	s.mountAPI(r)
	return r, s.opsRouter()
}

func (s *server) opsRouter() http.Handler {
	r := chi.NewRouter()
	r.Use(s.envelope, middleware.GetHead)
	r.MethodNotAllowed(notAllowed(r))
	r.Get("/healthz", s.healthz)
	r.Get("/readyz", func(w http.ResponseWriter, r *http.Request) { s.readyz(w, r, true) })
	r.Handle("/metrics", promhttp.HandlerFor(s.Metrics, promhttp.HandlerOpts{}))
	if s.Profiling {
		r.HandleFunc("/debug/pprof/*", pprof.Index)
		r.HandleFunc("/debug/pprof/profile", pprof.Profile)
		r.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		r.HandleFunc("/debug/pprof/trace", pprof.Trace)
		r.HandleFunc("/debug/pprof/cmdline", http.NotFound) // it may show what nobody should see
	}
	return r
}

// notAllowed answers a method that a path doesn't have, with those that it has (RFC 9110 section 15.5.6).
func notAllowed(routes chi.Routes) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var allow []string
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
			at := chi.NewRouteContext()
			if routes.Match(at, method, r.URL.EscapedPath()) {
				if pattern := at.RoutePattern(); pattern == webhookRoute || pattern == webhookRouteBehind {
					allow = []string{http.MethodPost} // what a source takes besides, its own answer says
					break
				}
				allow = append(allow, method)
				if method == http.MethodGet {
					allow = append(allow, http.MethodHead)
				}
			}
		}
		if len(allow) == 0 { // a method that nobody knows, at a path that is not there
			problem(http.StatusNotFound, "not found: see /docs for the paths").write(w)
			return
		}
		w.Header().Set("Allow", strings.Join(allow, ", "))
		problem(http.StatusMethodNotAllowed, r.Method+" isn't allowed here: see /docs").write(w)
	}
}

// envelope is around every request: its id, its log record, and an answer if a handler panics.
func (s *server) envelope(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := uuid.NewString()
		started := time.Now()
		h := w.Header()
		h.Set("X-Request-Id", id)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		if r.TLS != nil || strings.HasPrefix(s.PublicURL, "https://") {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		wrapped := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		traced, token := new(string), new(string)
		if s.Traced {
			r = r.WithContext(context.WithValue(r.Context(), traceKey{}, traced))
		}
		r = r.WithContext(context.WithValue(r.Context(), tokenKey{}, token))
		defer func() {
			if recovered := recover(); recovered != nil {
				if recovered == http.ErrAbortHandler {
					panic(recovered)
				}
				s.log.Error("handler panicked", "request_id", id, "panic", recovered, "stack", string(debug.Stack()))
				if wrapped.Status() == 0 {
					problem(http.StatusInternalServerError, "internal error; the log has request "+id).write(wrapped)
				}
			}
			// The pattern, never the path or query: they hold ids, addresses and sometimes secrets.
			pattern := ""
			if route := chi.RouteContext(r.Context()); route != nil {
				pattern = route.RoutePattern()
			}
			level := slog.LevelInfo
			switch {
			case strings.HasPrefix(pattern, "/assets/"), pattern == "/healthz", pattern == "/readyz", pattern == "/metrics":
				level = slog.LevelDebug
			case (pattern == webhookRoute || pattern == webhookRouteBehind) && wrapped.Status() < http.StatusMultipleChoices:
				level = slog.LevelDebug // the inbox has it
			}
			if !s.log.Enabled(r.Context(), level) {
				return
			}
			attrs := []any{
				"request_id", id, "method", r.Method, "route", pattern,
				"status", wrapped.Status(), "bytes", wrapped.BytesWritten(), "duration_ms", float64(time.Since(started).Microseconds()) / 1000,
			}
			if *token != "" {
				attrs = append(attrs, "token", *token)
			}
			if *traced != "" {
				attrs = append(attrs, "trace_id", *traced)
			}
			s.log.Log(r.Context(), level, "request", attrs...)
		}()
		next.ServeHTTP(wrapped, r)
	})
}

// measured measures how long the answers of a route take.
func measured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began, status := time.Now(), http.StatusInternalServerError // should it panic
		defer func() {
			requestSeconds.WithLabelValues(chi.RouteContext(r.Context()).RoutePattern(), strconv.Itoa(status/100)+"xx").Observe(time.Since(began).Seconds())
		}()
		next.ServeHTTP(w, r)
		status = cmp.Or(w.(middleware.WrapResponseWriter).Status(), http.StatusOK) // the envelope's
	})
}

type traceKey struct{}

type tokenKey struct{}

// noteToken has the request's log record name the token that it was made with.
func noteToken(ctx context.Context, name string) {
	if noted, ok := ctx.Value(tokenKey{}).(*string); ok {
		*noted = name
	}
}

// noteTrace has the request's log record name the trace of the event that it was.
func noteTrace(ctx context.Context, event uuid.UUID) {
	if id, ok := ctx.Value(traceKey{}).(*string); ok {
		*id = hex.EncodeToString(event[:])
	}
}

// encodedPath has the router always match the path as it was sent, so that every parameter is encoded and
// decoded exactly once, whatever characters it holds.
func encodedPath(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.RawPath = r.URL.EscapedPath()
		if route := chi.RouteContext(r.Context()); route != nil {
			route.RoutePath = r.URL.RawPath
		}
		next.ServeHTTP(w, r)
	})
}

// unstorable reports whether no text in the database can be equal to this one.
func unstorable(s string) bool { return !pms.IsText(s) }

// storableInput refuses what can't be read in one way only, and what no text in the database can be equal to, in path, query, form and
// JSON alike.
func storableInput(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query, err := url.ParseQuery(r.URL.RawQuery)
		if err != nil { // others would read something else into it
			unfit("query", "can't be read: "+err.Error()+"; write %3B for a semicolon, %25 for a percent sign").write(w)
			return
		}
		if p := storableValues("query.", query); p != nil {
			p.write(w)
			return
		}
		// A PUT makes what it names, and says what is wrong with the name.
		if route := chi.RouteContext(r.Context()); route != nil && r.Method != http.MethodPut && slices.ContainsFunc(route.URLParams.Values, unstorable) {
			problem(http.StatusNotFound, "not found: ids are UTF-8 text without NUL").write(w)
			return
		}
		if p := storableValues("", r.PostForm); p != nil { // a form that has been read already; JSON is looked at where it is
			p.write(w)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func storableValues(prefix string, values url.Values) *Problem {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if slices.ContainsFunc(values[name], unstorable) {
			return unfit(prefix+strings.ToValidUTF8(name, "�"), "must be UTF-8 text without NUL")
		}
	}
	return nil
}

// decodeParams decodes the parameters of a matched route in place.
func decodeParams(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if route := chi.RouteContext(r.Context()); route != nil {
			for i, value := range route.URLParams.Values {
				if decoded, err := url.PathUnescape(value); err == nil {
					route.URLParams.Values[i] = decoded
				}
			}
		}
		next.ServeHTTP(w, r)
	})
}
