package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/staykey/staykey/internal/store/storetest"
)

// withAdminListener starts the program with listeners of their own for admins, and hosts for both.
func withAdminListener(t *testing.T) *process {
	t.Helper()
	_, env := simulated(t, storetest.DSN(t))
	return launch(t, append(env, "STAYKEY_ADMIN_LISTEN="+ownLoopback()+":0",
		"STAYKEY_PUBLIC_URL=http://keys.example.com", "STAYKEY_ADMIN_URL=http://admin.keys.example.com"))
}

// statusOf is what a GET is answered with, without following redirects.
func statusOf(t *testing.T, url string) int {
	t.Helper()
	resp, err := http.DefaultTransport.RoundTrip(request(t, http.MethodGet, url))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

func request(t *testing.T, method, url string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestAdminListener asks each listener for the paths of all: it answers its own, and health; the others are 404.
func TestAdminListener(t *testing.T) {
	t.Parallel()
	p := withAdminListener(t)
	if p.page == p.url {
		t.Fatal("the log doesn't name the admin listener")
	}
	for _, c := range []struct {
		path                   string
		public, page, ops, all int // all: of a service without an admin listener
	}{
		{"/healthz", 200, 200, 200, 200},
		{"/readyz", 200, 200, 200, 200},
		{"/readyz?deep=1", 200, 200, 200, 200},
		{"/webhooks/default", 405, 404, 404, 405},
		{"/seam/webhooks", 405, 404, 404, 405},
		{"/k/unknown", 404, 404, 404, 404},
		{"/", 404, 303, 404, 303},
		{"/sign-in", 404, 200, 404, 200},
		{"/docs", 404, 200, 404, 200},
		{"/openapi.json", 404, 200, 404, 200},
		{"/v1/summary", 404, 401, 404, 401},
		{"/metrics", 404, 404, 200, 404},
		{"/-/reload", 404, 404, 405, 404},
	} {
		for listener, want := range map[string]int{p.url: c.public, p.page: c.page, p.ops: c.ops} {
			if got := statusOf(t, listener+c.path); got != want {
				t.Errorf("%s of %s: %d, want %d", c.path, listener, got, want)
			}
		}
	}
	// A listener without /docs doesn't send anybody there.
	for address, want := range map[string]string{
		p.url + "/seam/webhooks": "GET isn't allowed here: use POST",
		p.page + "/sign-out":     "GET isn't allowed here: use POST; see /docs",
	} {
		resp, err := http.Get(address)
		if err != nil {
			t.Fatal(err)
		}
		var problem struct{ Detail string }
		err = json.NewDecoder(resp.Body).Decode(&problem)
		_ = resp.Body.Close()
		if err != nil || problem.Detail != want {
			t.Errorf("%s answers %q (%v), not %q", address, problem.Detail, err, want)
		}
	}
	if got := p.post("default", "listing.created", seedListing()); got != http.StatusAccepted {
		t.Errorf("a webhook: %d", got)
	}
	// A guest's link that is unknown is a page of the guest's face, not the router's 404.
	for listener, want := range map[string]bool{p.url: true, p.page: false} {
		if body := bodyAt(t, listener+"/k/unknown", "text/html"); strings.Contains(body, "noindex, nofollow") != want {
			t.Errorf("/k/unknown of %s: a guest's page %t, want %t:\n%s", listener, !want, want, body)
		}
	}
}

// bodyAt is a GET's body.
func bodyAt(t *testing.T, url, accept string) string {
	t.Helper()
	r := request(t, http.MethodGet, url)
	r.Header.Set("Accept", accept)
	_, body := answerTo(t, r)
	return body
}

// answerTo sends a request, and returns the status and the body of the answer.
func answerTo(t *testing.T, r *http.Request) (status int, body string) {
	t.Helper()
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(raw)
}
