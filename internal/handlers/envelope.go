package handlers

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/google/uuid"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/logs"
)

// The envelope around every request: its id, its headers, its one record in the log, its metrics and its trace.

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
