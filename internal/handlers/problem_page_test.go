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
		method, path, accept string
		status               int
		page                 bool
	}{
		{"GET", "/nowhere", browser, 404, true},
		{"GET", "/nowhere", "text/html", 404, true},
		{"GET", "/nowhere", "*/*", 404, false},
		{"GET", "/nowhere", "", 404, false},
		{"GET", "/nowhere", "application/json, text/html;q=0.5", 404, false},
		{"GET", "/nowhere", "text/html;q=0, */*", 404, false},
		{"GET", "/nowhere", "text/html;q=x, application/problem+json", 404, false},
		{"GET", "/v1/reservations", browser, 401, true},
		{"GET", "/webhooks/default", browser, 405, true},
		{"DELETE", "/v1/reservations", browser, 405, true},
		{"HEAD", "/nowhere", browser, 404, true},
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
			t.Errorf("%s %s with Accept %q: %d %s", c.method, c.path, c.accept, r.status, r.media)
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
