package rest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/staykey/staykey/internal/handlers"
)

// formats are the formats of bodies: only JSON, without repeated names. Which of two values was meant can't be guessed,
// and a proxy that inspects requests may use the other one.
func formats() map[string]huma.Format {
	plain := huma.DefaultJSONFormat
	f := huma.Format{Marshal: plain.Marshal, Unmarshal: func(data []byte, v any) error {
		if err := namesOnce(data); err != nil {
			return err
		}
		return plain.Unmarshal(data, v)
	}}
	return map[string]huma.Format{"application/json": f, "json": f}
}

// namesOnce refuses objects with repeated names. Invalid JSON is refused elsewhere.
func namesOnce(data []byte) error {
	d := jsontext.NewDecoder(bytes.NewBuffer(data))
	for {
		switch _, err := d.ReadToken(); {
		case err == nil:
		case errors.Is(err, jsontext.ErrDuplicateName):
			syntax := new(jsontext.SyntacticError)
			if errors.As(err, &syntax) {
				return fmt.Errorf("%s is defined twice", syntax.JSONPointer)
			}
			return errors.New("a name is defined twice")
		default:
			return nil
		}
	}
}

// judgeTheirOwn are routes that validate each part of their body on its own.
var judgeTheirOwn = map[string]bool{
	"PUT " + listingPath: true, "PUT /v1/listings": true, "POST /v1/sources/{source}/import": true,
}

// storableBody refuses a body that isn't declared as JSON, and text that Postgres can't store, which would be changed
// silently or fail later. As for webhooks, a charset parameter is ignored: JSON is UTF-8 (RFC 8259 section 8.1).
func storableBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if media := r.Header.Get("Content-Type"); r.ContentLength != 0 && media != "" {
			if !saysJSON(media) {
				handlers.NewProblem(http.StatusUnsupportedMediaType,
					"the Content-Type must be application/json").Write(w)
				return
			}
			r.Header.Set("Content-Type", "application/json") // huma compares it exactly
		}

		if r.ContentLength == 0 || judgeTheirOwn[r.Method+" "+chi.RouteContext(r.Context()).RoutePattern()] {
			next.ServeHTTP(w, r)
			return
		}

		body, ok := readBody(w, r)
		if !ok {
			return
		}
		if len(body) <= handlers.MaxBody { // others are refused
			if field, wrong := unstorable(body); wrong != "" {
				handlers.Unfit(field, wrong).Write(w)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// saysJSON reports whether a Content-Type declares JSON.
func saysJSON(contentType string) bool {
	media, _, _ := strings.Cut(contentType, ";")
	media = strings.ToLower(strings.TrimSpace(media))
	return media == "application/json" || strings.HasSuffix(media, "+json")
}

// withoutBodyDeadline keeps huma from giving a connection a deadline of 5 s for the body of its request. When net/http
// has the whole body, or there is none, it keeps reading from the connection. It takes that deadline for the client's
// end, and cancels a request that is still waiting for a lock. The server's ReadTimeout bounds how long a body may
// take, and net/http lifts that one in time.
func withoutBodyDeadline(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(&noBodyDeadline{w}, r)
	})
}

type noBodyDeadline struct{ http.ResponseWriter }

// SetReadDeadline does nothing; see [http.ResponseController].
func (*noBodyDeadline) SetReadDeadline(time.Time) error { return nil }

// Unwrap is for [http.ResponseController].
func (w *noBodyDeadline) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// readBody reads a body up to just above the limit, and leaves all of it to be read again. If it doesn't arrive,
// readBody answers the request.
func readBody(w http.ResponseWriter, r *http.Request) (body []byte, ok bool) {
	body, err := io.ReadAll(io.LimitReader(r.Body, handlers.MaxBody+1))
	if err != nil {
		handlers.NewProblem(http.StatusRequestTimeout, "the request's body did not arrive in time").Write(w)
		return nil, false
	}
	r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), r.Body))
	return body, true
}

// unstorable finds text that can't be stored: where it is, and what is wrong with it; "" for none.
func unstorable(data []byte) (field, wrong string) {
	const must = "must be UTF-8 text without NUL"
	if !utf8.Valid(data) {
		return "body", must
	}
	d := jsontext.NewDecoder(bytes.NewBuffer(data))
	for {
		token, err := d.ReadToken()
		if err != nil { // the end, or invalid JSON, which is refused elsewhere
			return "", ""
		}
		if token.Kind() == '"' && strings.ContainsRune(token.String(), 0) {
			path := strings.TrimPrefix(string(d.StackPointer()), "/")
			return strings.ReplaceAll(path, "/", "."), must
		}
	}
}
