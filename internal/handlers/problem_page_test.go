package handlers_test

import (
	"net/http"
	"strings"
	"testing"
)

// A browser gets a page where a program gets a problem, with the same status.
func TestBrowsersGetPagesOfProblems(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	const browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
	for _, c := range []struct {
		why, method, path, accept string
		status                    int
		page                      bool
	}{
		{"a browser", "GET", "/nowhere", browser, 404, true},
		{"a client that wants HTML only", "GET", "/nowhere", "text/html", 404, true},
		{"a client that takes anything", "GET", "/nowhere", "*/*", 404, false},
		{"a client that doesn't say", "GET", "/nowhere", "", 404, false},
		{"JSON comes before HTML", "GET", "/nowhere", "application/json, text/html;q=0.5", 404, false},
		{"HTML is refused", "GET", "/nowhere", "text/html;q=0, */*", 404, false},
		{"a weight that isn't a number", "GET", "/nowhere", "text/html;q=x, application/problem+json", 404, false},
		{"a browser without a token", "GET", "/v1/reservations", browser, 401, true},
		{"a browser at a webhook's address", "GET", "/webhooks/default", browser, 405, true},
		{"a browser with another method", "DELETE", "/v1/reservations", browser, 405, true},
		{"a browser that asks for the headers", "HEAD", "/nowhere", browser, 404, true},
	} {
		req, err := http.NewRequest(c.method, a.url+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.accept != "" {
			req.Header.Set("Accept", c.accept)
		}
		r := a.do(req)
		if r.status != c.status || strings.HasPrefix(r.media, "text/html") != c.page {
			t.Errorf("%s: %s %s with Accept %q: %d %s", c.why, c.method, c.path, c.accept, r.status, r.media)
		}
		if !c.page {
			r.mustBeProblem(t, c.status)
			continue
		}
		if c.method != "HEAD" && (!strings.Contains(r.rawBody, "<h1>"+http.StatusText(c.status)) ||
			!strings.Contains(r.rawBody, r.header.Get("X-Request-Id"))) {
			t.Errorf("%s %s: %s", c.method, c.path, r.rawBody)
		}
		if csp := r.header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") {
			t.Errorf("%s %s: Content-Security-Policy %q", c.method, c.path, csp)
		}
		if c.status == http.StatusMethodNotAllowed && r.header.Get("Allow") == "" {
			t.Errorf("%s %s lacks Allow", c.method, c.path)
		}
	}
}
