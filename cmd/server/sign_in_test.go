package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/staykey/staykey/internal/sso/ssotest"
	"github.com/staykey/staykey/internal/store/storetest"
)

// signInConfig is a config file whose people sign in with a provider.
func signInConfig(p *ssotest.Provider) string {
	return fmt.Sprintf(`sign_in:
  issuer: %s
  client_id: %s
  client_secret: "${OIDC_SECRET}"
  label: Sign in with Casa Azul
  roles:
    - {group: front-desk, scope: write}
`, p.URL, ssotest.ClientID)
}

// withProvider starts the program behind a proxy, whose URL is the public one, with an identity provider. file is the
// config file.
func withProvider(t *testing.T) (p *process, public string, provider *ssotest.Provider, file string) {
	t.Helper()
	var target atomic.Pointer[url.URL]
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target.Load())
		r.Out.Host = r.In.Host
	}})
	t.Cleanup(proxy.Close)
	provider = ssotest.New(t, proxy.URL+"/sign-in/callback")
	file = configFile(t, signInConfig(provider))
	_, env := simulated(t, storetest.DSN(t))
	p = launch(t, append(env, "STAYKEY_CONFIG="+file, "STAYKEY_PUBLIC_URL="+proxy.URL,
		"OIDC_SECRET="+ssotest.ClientSecret))
	to, err := url.Parse(p.url)
	if err != nil {
		t.Fatal(err)
	}
	target.Store(to)
	return p, proxy.URL, provider, file
}

// TestPeopleSignInWithTheProvider signs in, sees the doctor content, and is signed out by a reload without sign_in.
func TestPeopleSignInWithTheProvider(t *testing.T) {
	t.Parallel()
	p, public, provider, file := withProvider(t)
	at := []string{"STAYKEY_URL=" + p.url, "STAYKEY_TOKEN=" + e2eToken, "OIDC_SECRET=x"}
	out, _, _ := p.asks("doctor")
	mustSay(t, "doctor", out, "sign in", "the identity provider answers; groups with a role: 1")
	at = append(at, "STAYKEY_WEBHOOK_SECRET="+e2eSecret.String())
	out, problems, status := command(t, at, "config", "check", file)
	if status != 0 {
		t.Fatalf("config check: %d %s", status, problems)
	}
	mustSay(t, "config check", out, "sign_in ("+provider.URL+"): 1 role", "/sign-in/callback")

	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := http.Client{Jar: jar}
	see := func(path string) (at, body string) {
		t.Helper()
		resp, err := browser.Get(public + path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		raw, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.Request.URL.Path, string(raw)
	}
	if path, page := see("/listings"); path != "/sign-in" || !strings.Contains(page, "Sign in with Casa Azul") {
		t.Fatalf("%s:\n%s", path, page)
	}
	path, page := see("/sign-in/provider?next=/listings")
	for strings.Contains(page, "The identity provider can&#39;t be reached") { // in 10 s, on a busy machine
		path, page = see("/sign-in/provider?next=/listings")
	}
	if path != "/listings" || !strings.Contains(page, "Maria Ruiz") {
		t.Fatalf("%s:\n%s", path, page)
	}
	if err := os.WriteFile(file, []byte("tokens: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "the session to end", func() bool {
		path, _ := see("/listings")
		return path == "/sign-in"
	})
	if _, page := see("/sign-in"); strings.Contains(page, "Casa Azul") {
		t.Error("the provider is still offered")
	}
	for _, secret := range []string{"maria@hotel.example", "Maria Ruiz", ssotest.ClientSecret, "an access token"} {
		if strings.Contains(p.log.String(), secret) {
			t.Errorf("the log has %q", secret)
		}
	}
	if !strings.Contains(p.log.String(), `"token":"sso:subject-1"`) {
		t.Error("no record of the log names who asked")
	}
}
