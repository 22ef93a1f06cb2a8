// Package rest is the interface for programs, under /v1: it turns requests into calls of internal/admin, and the
// results into JSON.
//
// One file per noun holds its shapes and registers its operations with huma, which checks parameters and bodies
// against the schemas of those shapes. The same declarations are the OpenAPI document (openapi.go), whose examples are
// built with the code that builds answers (examples.go), and the page /docs (docs.go). What clients may rely on:
// fields and operations are only added within /v1; lists are pages with an opaque cursor; every error is a problem
// with a stable code; unknown and repeated parameters are refused; times are RFC 3339, UTC, milliseconds; a changing
// request with an Idempotency-Key is done once (once.go).
package rest

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/handlers"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
)

// Config is what REST needs of the rest of the program.
type Config struct {
	Admin   *admin.Service
	Auth    *handlers.Auth
	Limits  *handlers.Limits
	Log     *slog.Logger
	Version string
}

// API answers programs.
type API struct{ Config }

// New returns the API.
func New(c Config) *API { return &API{c} }

func (s *API) problemOf(ctx context.Context, err error) *handlers.Problem {
	return handlers.ProblemOf(ctx, s.Log, err)
}

// Mount implements [handlers.Face]. It adds the OpenAPI document and its page too.
func (s *API) Mount(r chi.Router) {
	api := s.newAPI(r.With(handlers.Measured, s.Auth.Bearer, s.Limits.OneOfFew, handlers.DecodeParams,
		withoutBodyDeadline, handlers.StorableInput, oneOfEach, storableBody, s.once))

	document, err := json.Marshal(api.OpenAPI())
	if err != nil {
		panic("the OpenAPI document can't be encoded: " + err.Error()) // a mistake in this package; any test shows it
	}

	page := renderDocs(api.OpenAPI())

	r.Get("/openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(document)
	})

	eventSchema, err := EventSchemaDocument()
	if err != nil {
		panic(err) // a mistake in this package; any test shows it
	}
	r.Get("/event.schema.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/schema+json")
		_, _ = w.Write(eventSchema)
	})

	r.Get("/docs", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy",
			"default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		_, _ = w.Write(page)
	})
	r.Get("/docs.css", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/css; charset=utf-8")
		_, _ = w.Write(docsStyle)
	})
}

// oneOfEach refuses repeated query parameters.
func oneOfEach(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p := handlers.Repeated(r.URL.Query()); p != nil {
			p.Write(w)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// operation is what all operations have in common.
func operation(id, method, path, tag, summary string, more ...int) huma.Operation {
	return huma.Operation{
		OperationID: id, Method: method, Path: path, Tags: []string{tag}, Summary: summary,
		Errors: append([]int{
			http.StatusUnauthorized, http.StatusUnprocessableEntity, http.StatusTooManyRequests,
			http.StatusServiceUnavailable,
		}, more...),
	}
}

// described is an operation with a paragraph on what its answer has and how to use it.
func described(o huma.Operation, text string) huma.Operation {
	o.Description = text
	return o
}

// withBody adds the errors of operations with a body: invalid JSON, too slow, too large, wrong media type.
func withBody(more ...int) []int {
	return append([]int{
		http.StatusBadRequest, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge,
		http.StatusUnsupportedMediaType,
	}, more...)
}

// Output is an answer with a body.
type Output[T any] struct{ Body T }

// List is a page of a list.
type List[T any] struct {
	Items      []T     `json:"items" nullable:"false"`
	NextCursor *string `json:"next_cursor" doc:"Pass it as cursor to get the next page. Null on the last page."`
}

// ReservationPath has the path parameters of one reservation.
type ReservationPath struct {
	Source        string `path:"source" example:"default"`
	ReservationID string `path:"reservation_id" example:"3333122-433"`
}

func (n ReservationPath) ref() stay.Ref {
	return stay.Ref{Source: n.Source, ReservationID: n.ReservationID}
}

// listOf is the answer with one page of a list.
func listOf[R, T any](p admin.Page[R], show func(R) T) *Output[List[T]] {
	list := List[T]{Items: make([]T, len(p.Items)), NextCursor: stay.OrNil(p.Next)}
	for i, row := range p.Items {
		list.Items[i] = show(row)
	}
	return &Output[List[T]]{list}
}

// stamp writes an instant as the contract does: RFC 3339, UTC, milliseconds.
func stamp(t time.Time) string { return pms.FormatInstant(t) }

func stampOrNull(t *time.Time) *string {
	if t == nil {
		return nil
	}
	s := stamp(*t)
	return &s
}
