package handlers

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/staykey/staykey/internal/pms"
)

// What a request may say, before a handler reads it: paths, parameters and forms that have one meaning, and texts that
// the database can hold.

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
