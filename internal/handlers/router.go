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
	"cmp"
	"context"
	"encoding/hex"
	"errors"
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

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/logs"
	"github.com/staykey/staykey/internal/pms"
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

// envelope wraps every request: it sets an id, writes the log record, and answers if a handler panics.
func (s *router) envelope(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := uuid.NewString()
		record := requestRecord{id: id, method: r.Method, started: time.Now()}
		s.setHeaders(w.Header(), r, id)
		finish := func() {}

		if asksForPage(r) {
			page := &pageWriter{ResponseWriter: w, browsable: s.browsable}
			w, finish = page, page.finish
		}
		record.answer = middleware.NewWrapResponseWriter(w, r.ProtoMajor)

		if s.Traced {
			r = r.WithContext(context.WithValue(r.Context(), traceKey{}, &record.trace))
		}
		r = r.WithContext(context.WithValue(admin.Answering(r.Context()), recordKey{}, &record))

		defer func() {
			if recovered := recover(); recovered != nil {
				if recovered == http.ErrAbortHandler {
					panic(recovered)
				}
				s.Log.Error("handler panicked", "request_id", id, "panic", recovered, "stack", string(debug.Stack()))
				if record.answer.Status() == 0 {
					NewProblem(http.StatusInternalServerError, "internal error; the log has request "+
						id).Write(record.answer)
				}
			}
			finish()
			record.write(s.Log, r)
		}()
		next.ServeHTTP(record.answer, r)
	})
}

// setHeaders sets the headers that every answer has.
func (s *router) setHeaders(h http.Header, r *http.Request, id string) {
	h.Set("X-Request-Id", id)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	if r.TLS != nil || strings.HasPrefix(s.PublicURL, "https://") {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
}

// requestRecord is a request's record in the log.
type requestRecord struct {
	id, method   string
	started      time.Time
	answer       middleware.WrapResponseWriter
	trace, token string // set by handlers: see [NoteTrace] and [NoteToken]
}

func (q *requestRecord) write(log *slog.Logger, r *http.Request) {
	pattern := routeOf(r.Context())
	status := statusFor(r, q.answer)
	level := requestLevel(pattern, status)
	if !log.Enabled(r.Context(), level) {
		return
	}
	attrs := []any{
		"request_id", q.id, "method", q.method, "route", pattern, "status", status,
		"bytes", q.answer.BytesWritten(), "duration_ms", float64(time.Since(q.started).Microseconds()) / 1000,
	}
	if q.token != "" {
		attrs = append(attrs, "token", q.token)
	}
	if q.trace != "" {
		attrs = append(attrs, "trace_id", q.trace)
	}
	log.Log(r.Context(), level, "request", attrs...)
}

// requestLevel keeps probes, assets and accepted webhooks (they are in the inbox) out of the normal log.
func requestLevel(pattern string, status int) slog.Level {
	switch {
	case strings.HasPrefix(pattern, "/assets/"), pattern == "/healthz", pattern == "/readyz", pattern == "/metrics":
		return slog.LevelDebug
	case (pattern == WebhookRoute || pattern == WebhookRouteBelow) && status < http.StatusMultipleChoices:
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// statusFor returns the status of an answer. If the client is gone, a 5xx means only that the handler was interrupted.
func statusFor(r *http.Request, answer middleware.WrapResponseWriter) int {
	status := cmp.Or(answer.Status(), http.StatusOK)
	if status >= http.StatusInternalServerError && errors.Is(r.Context().Err(), context.Canceled) {
		return logs.StatusClientGone
	}
	return status
}

// Measured adds a route's requests to the metric of request durations.
func Measured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began, status := time.Now(), http.StatusInternalServerError // in case it panics
		defer func() {
			requestSeconds.WithLabelValues(chi.RouteContext(r.Context()).RoutePattern(),
				strconv.Itoa(status/100)+"xx").Observe(time.Since(began).Seconds())
		}()
		next.ServeHTTP(w, r)
		status = statusFor(r, w.(middleware.WrapResponseWriter)) // the envelope's
	})
}

type traceKey struct{}

// recordKey is the key of a request's [requestRecord] in its context.
type recordKey struct{}

// routeOf returns the pattern of a request's route, never the path or query: they hold ids, addresses and sometimes
// secrets. It is "" outside of a request.
func routeOf(ctx context.Context) string {
	if route := chi.RouteContext(ctx); route != nil {
		return route.RoutePattern()
	}
	return ""
}

// requestAttrs identify a request in log records other than its own; nil outside of a request.
func requestAttrs(ctx context.Context) []any {
	record, ok := ctx.Value(recordKey{}).(*requestRecord)
	if !ok {
		return nil
	}
	return []any{"request_id", record.id, "method", record.method, "route", routeOf(ctx)}
}

// NoteToken adds the name of the request's token to its log record.
func NoteToken(ctx context.Context, name string) {
	if record, ok := ctx.Value(recordKey{}).(*requestRecord); ok {
		record.token = name
	}
}

// NoteTrace adds the id of the event's trace to the request's log record.
func NoteTrace(ctx context.Context, event uuid.UUID) {
	if id, ok := ctx.Value(traceKey{}).(*string); ok {
		*id = hex.EncodeToString(event[:])
	}
}

// encodedPath makes the router match the path as it was sent, so that every parameter is decoded exactly once.
func encodedPath(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.RawPath = r.URL.EscapedPath()
		if route := chi.RouteContext(r.Context()); route != nil {
			route.RoutePath = r.URL.RawPath
		}
		next.ServeHTTP(w, r)
	})
}

// unstorable reports whether the database can't hold this text, so that nothing there equals it.
func unstorable(s string) bool { return !pms.IsText(s) }

// StorableInput refuses ambiguous queries, and text that the database can't hold, in path, query and form.
func StorableInput(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query, err := url.ParseQuery(r.URL.RawQuery)
		if err != nil { // other programs would read it differently
			Unfit("query", "can't be read: "+err.Error()+"; write %3B for a semicolon, %25 for a percent sign").Write(w)
			return
		}
		if p := StorableValues("query.", query); p != nil {
			p.Write(w)
			return
		}
		// A PUT creates what its path names, and reports invalid names itself.
		if route := chi.RouteContext(r.Context()); route != nil && r.Method != http.MethodPut &&
			slices.ContainsFunc(route.URLParams.Values, unstorable) {
			NewProblem(http.StatusNotFound, "not found: ids are UTF-8 text without NUL").Write(w)
			return
		}
		// a form that was parsed before; JSON is checked where it is read
		if p := StorableValues("", r.PostForm); p != nil {
			p.Write(w)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Repeated refuses a query with a parameter that is given more than once, of which only one value would count; nil: it
// has none.
func Repeated(query url.Values) *Problem {
	var twice []pms.FieldError
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if len(query[name]) > 1 {
			twice = append(twice, pms.FieldError{Field: "query." + name, Message: "must be given only once"})
		}
	}
	if len(twice) == 0 {
		return nil
	}
	return NewProblem(http.StatusUnprocessableEntity, "the request is invalid", twice...).Coded(CodeRepeatedParameter)
}

// StorableValues refuses query or form values that the database can't hold. prefix is put before the fields' names.
func StorableValues(prefix string, values url.Values) *Problem {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if slices.ContainsFunc(values[name], unstorable) {
			return Unfit(prefix+strings.ToValidUTF8(name, "�"), "must be UTF-8 text without NUL")
		}
	}
	return nil
}

// DecodeParams decodes the parameters of a matched route in place.
func DecodeParams(next http.Handler) http.Handler {
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
