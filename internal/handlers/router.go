// Package handlers is staykey's HTTP: webhooks in, REST for admins, health. It decides nothing about
// reservations; it meets the rest of the service in the database and in the narrow interfaces below.
package handlers

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

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

// Admin is what admins ask of intake.
type Admin interface {
	PutListing(context.Context, store.ListingRef, pms.ListingPatch) (store.Listing, error)
	Reconcile(context.Context, store.Ref) error
	Wake()
}

// PlannedCall is one changing call to Seam that a reconcile would make.
type PlannedCall struct {
	Path   string `json:"path" example:"/acs/users/update" doc:"The Seam endpoint."`
	Body   any    `json:"body" doc:"The request body. Ids that an earlier call of the plan will give stand in braces."`
	Reason string `json:"reason" example:"access lasts from check-in to check-out"`
}

// Config is what the HTTP side needs of the rest of the service.
type Config struct {
	Admin        Admin
	AdminTokens  []string
	DueWithin    time.Duration // arrivals so near are in the summary while they have no key
	Inbox        Inbox
	Log          *slog.Logger
	Metrics      prometheus.Gatherer
	Now          func() time.Time
	Plan         func(context.Context, store.Ref) ([]PlannedCall, error)
	Provisioning func(context.Context) (Provisioning, error)
	Ready        func(context.Context) Readiness
	SeamChanged  func() // reservations were made due by an event of Seam's
	SeamSecrets  []pms.Secret
	Source       func(name string) (pms.Source, bool)
	// TrustedProxies are the proxies whose X-Forwarded-For is believed; none if it is empty.
	TrustedProxies func() pms.Addresses
	Store          *store.Store
	Version        string
}

const webhookRoute, webhookRouteBehind = "/webhooks/{source}", "/webhooks/{source}/*"

type server struct {
	Config
	log    *slog.Logger
	limits *limits

	counted counted
	tokens  [][sha256.Size]byte
}

var overLimit = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "staykey_webhooks_over_limit_total", Help: "Authentic webhooks answered 429, by source.",
}, []string{"source"})

var verified = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "staykey_webhooks_verified_total", Help: "Authentic webhooks by source and by which of its secrets matched, counted from 1; 0 where none is needed.",
}, []string{"source", "secret"})

// Collectors returns the package's metrics.
func Collectors() []prometheus.Collector { return []prometheus.Collector{overLimit, verified} }

// New returns the handlers of the public and of the private listener.
func New(c Config) (public, ops http.Handler) {
	s := &server{Config: c, log: c.Log, limits: newLimits()}
	for _, t := range c.AdminTokens {
		s.tokens = append(s.tokens, sha256.Sum256([]byte(t)))
	}
	r := chi.NewRouter()
	r.Use(s.envelope, encodedPath)
	r.NotFound(func(w http.ResponseWriter, _ *http.Request) {
		problem(http.StatusNotFound, "there is nothing at this path: see /docs").write(w)
	})
	r.MethodNotAllowed(func(w http.ResponseWriter, r *http.Request) {
		problem(http.StatusMethodNotAllowed, r.Method+" is not a method of this path: see /docs").write(w)
	})
	r.Get("/", http.RedirectHandler("/docs", http.StatusFound).ServeHTTP)
	for _, route := range []string{webhookRoute, webhookRouteBehind} {
		r.With(decodeParams).Post(route, s.webhook)
		r.With(decodeParams).Get(route, s.webhook)
	}
	r.Post("/seam/webhooks", s.seamWebhook)
	r.Get("/healthz", s.healthz)
	r.Get("/readyz", func(w http.ResponseWriter, r *http.Request) { s.readyz(w, r, false) })
	s.mountAPI(r)
	return r, s.opsRouter()
}

func (s *server) opsRouter() http.Handler {
	r := chi.NewRouter()
	r.Use(s.envelope)
	r.Get("/healthz", s.healthz)
	r.Get("/readyz", func(w http.ResponseWriter, r *http.Request) { s.readyz(w, r, true) })
	r.Handle("/metrics", promhttp.HandlerFor(s.Metrics, promhttp.HandlerOpts{}))
	r.HandleFunc("/debug/pprof/*", pprof.Index)
	r.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	r.HandleFunc("/debug/pprof/profile", pprof.Profile)
	r.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	r.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return r
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
		wrapped := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		defer func() {
			if recovered := recover(); recovered != nil {
				if recovered == http.ErrAbortHandler {
					panic(recovered)
				}
				s.log.Error("a handler panicked", "request_id", id, "panic", recovered, "stack", string(debug.Stack()))
				if wrapped.Status() == 0 {
					problem(http.StatusInternalServerError, "something went wrong here; the log has request "+id).write(wrapped)
				}
			}
			// The pattern, never the path or query: they hold ids, addresses and sometimes secrets.
			pattern := ""
			if route := chi.RouteContext(r.Context()); route != nil {
				pattern = route.RoutePattern()
			}
			level := slog.LevelInfo
			switch {
			case pattern == "/healthz", pattern == "/readyz", pattern == "/metrics":
				level = slog.LevelDebug
			case (pattern == webhookRoute || pattern == webhookRouteBehind) && wrapped.Status() < http.StatusMultipleChoices:
				level = slog.LevelDebug // the inbox has it
			}
			if !s.log.Enabled(r.Context(), level) {
				return
			}
			s.log.Log(r.Context(), level, "request", "request_id", id, "method", r.Method, "route", pattern,
				"status", wrapped.Status(), "bytes", wrapped.BytesWritten(), "duration_ms", float64(time.Since(started).Microseconds())/1000)
		}()
		next.ServeHTTP(wrapped, r)
	})
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

// authenticated lets requests with an admin token pass. Every token is compared, in constant time.
func (s *server) authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		given := sha256.Sum256([]byte(strings.TrimSpace(token)))
		matched := 0
		for _, known := range s.tokens {
			matched |= subtle.ConstantTimeCompare(given[:], known[:])
		}
		if !strings.EqualFold(scheme, "Bearer") || matched == 0 {
			w.Header().Set("WWW-Authenticate", `Bearer realm="staykey"`)
			problem(http.StatusUnauthorized, "this needs the header \"Authorization: Bearer <admin token>\" with one of STAYKEY_ADMIN_TOKEN").write(w)
			return
		}
		next.ServeHTTP(w, r)
	})
}
