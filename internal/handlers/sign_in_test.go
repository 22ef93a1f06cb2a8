package handlers_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/staykey/staykey/internal/handlers"
	"github.com/staykey/staykey/internal/sso"
	"github.com/staykey/staykey/internal/sso/ssotest"
)

// withProvider is an app whose people can sign in with an identity provider.
func withProvider(t *testing.T) (*app, *ssotest.Provider) {
	t.Helper()
	a := two(t)
	p := ssotest.New(t, a.url+"/sign-in/callback")
	a.signIns.Store(providerSettings(p))
	return a, p
}

func providerSettings(p *ssotest.Provider, roles ...sso.Role) *sso.Settings {
	if roles == nil {
		roles = []sso.Role{{Group: "front-desk", Write: true, Sources: []string{"default"}}, {Group: "audit"}}
	}
	return &sso.Settings{
		Issuer: p.URL, ClientID: ssotest.ClientID, ClientSecret: ssotest.ClientSecret, Label: "Hotel account",
		GroupsClaim: "groups", Roles: roles,
	}
}

// signInWithProvider follows the button of the sign-in page, to the provider and back.
func (v *visitor) signInWithProvider(next string) shown {
	v.t.Helper()
	page := v.see("/sign-in/provider?next=" + url.QueryEscape(next))
	if found := csrfField.FindStringSubmatch(page.body); found != nil {
		v.csrf = found[1]
	}
	return page
}

func TestSignInWithTheProvider(t *testing.T) {
	t.Parallel()
	a, _ := withProvider(t)
	v := a.visitor()
	page := v.see("/listings")
	if !strings.Contains(page.body, `href="/sign-in/provider?next=%2Flistings">Hotel account</a>`) ||
		!strings.Contains(page.body, `name="token"`) {
		t.Fatalf("the page offers no provider, or no token:\n%s", page.body)
	}
	if page := v.signInWithProvider("/listings"); page.status != 200 || page.path != "/listings" ||
		!strings.Contains(page.body, "Maria Ruiz (maria@hotel.example)") {
		t.Fatalf("%d at %s:\n%s", page.status, page.path, page.body)
	}
	for _, next := range []string{"https://evil.example", "//evil.example/x", `/\evil.example`} {
		if page := v.signInWithProvider(next); page.path != "/" {
			t.Errorf("next=%q leads to %s", next, page.path)
		}
	}
	// The name is the provider's, whatever a form says.
	path := "/reservations/default/3333122-433"
	if page := v.post(path+"/hold", url.Values{"reason": {"asks"}, "author": {"The boss"}}); page.status != 200 {
		t.Fatalf("hold: %d\n%s", page.status, page.body)
	}
	v.post(path+"/notes", url.Values{"text": {"Called twice"}, "author": {"The boss"}})
	page = v.see(path)
	if strings.Contains(page.body, "The boss") || !strings.Contains(page.body, "Maria Ruiz (maria@hotel.example)") {
		t.Errorf("who held the key:\n%s", page.body)
	}
	for _, entry := range a.audits() {
		if entry.Via != "page" {
			continue
		}
		if entry.Token != "maria@hotel.example" || entry.Author != "Maria Ruiz (maria@hotel.example)" {
			t.Errorf("%s by %q with %q", entry.Action, entry.Author, entry.Token)
		}
		if entry.Action == "sign_in" && fmt.Sprint(entry.After) != "map[groups:front-desk subject:subject-1]" {
			t.Errorf("the sign-in is recorded as %v", entry.After)
		}
	}
	// The role's sources are those of the session.
	if page := v.see("/listings/open/x"); page.status != 404 {
		t.Errorf("a listing of another source: %d", page.status)
	}
	v.post("/sign-out", nil)
	if page := v.see("/listings"); page.path != "/sign-in" {
		t.Errorf("signed out, %s is shown", page.path)
	}
}

func TestReadersOfTheProviderChangeNothing(t *testing.T) {
	t.Parallel()
	a, p := withProvider(t)
	p.Claims["groups"] = []string{"audit"}
	v := a.visitor()
	v.signInWithProvider("/")
	if page := v.post("/reservations/default/3333122-433/hold", nil); page.status != http.StatusForbidden {
		t.Errorf("a reader holds a key: %d", page.status)
	}
}

// Each sign-in that must not succeed, with what the person reads.
func TestSignInsThatFail(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil  func(*app, *ssotest.Provider)
		status int
		words  string
	}{
		"no group with a role": {
			func(_ *app, p *ssotest.Provider) { p.Claims["groups"] = []string{"everyone"} }, 403,
			"none of its groups may use staykey",
		},
		"no groups at all": {
			func(_ *app, p *ssotest.Provider) { delete(p.Claims, "groups") }, 403, "none of its groups may use staykey",
		},
		"refused by the provider": {
			func(_ *app, p *ssotest.Provider) { p.Refuses = "access_denied" }, 403, "refused the sign-in (access_denied)",
		},
		"unsigned": {func(_ *app, p *ssotest.Provider) { p.Unsigned = true }, 502, "can&#39;t be trusted"},
		"wrong nonce": {func(_ *app, p *ssotest.Provider) {
			p.Spoil = func(_, claims map[string]any) { claims["nonce"] = "another" }
		}, 502, "can&#39;t be trusted"},
		"the provider is down": {
			func(_ *app, p *ssotest.Provider) { p.Close() }, 503, "can&#39;t be reached",
		},
		"not set up": {func(a *app, _ *ssotest.Provider) { a.signIns.Store(nil) }, 404, "isn&#39;t set up"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, p := withProvider(t)
			c.spoil(a, p)
			v := a.visitor()
			page := v.signInWithProvider("/listings")
			if page.status != c.status || !strings.Contains(page.body, c.words) ||
				strings.Contains(page.header.Get("Set-Cookie"), "session") {
				t.Errorf("%d:\n%s", page.status, page.body)
			}
			if page := v.see("/"); page.path != "/sign-in" {
				t.Errorf("there is a session: %s", page.path)
			}
			if page := v.signIn(adminToken); page.path != "/events" {
				t.Errorf("a token signs in nobody now: %s", page.path)
			}
		})
	}
}

// A callback belongs to the browser that began the sign-in, and to one sign-in.
func TestCallbacksOfOthers(t *testing.T) {
	t.Parallel()
	a, p := withProvider(t)
	// a stranger begins a sign-in, and has somebody else's browser end it
	stranger, callback := a.visitor(), ""
	stranger.client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if r.URL.Path == "/sign-in/callback" {
			callback = r.URL.RequestURI()
			return http.ErrUseLastResponse
		}
		return nil
	}
	stranger.signInWithProvider("/")
	if callback == "" {
		t.Fatal("the provider sent nobody back")
	}
	v := a.visitor()
	if page := v.see(callback); page.status != 400 || !strings.Contains(page.body, "began in another browser") {
		t.Errorf("without a sign-in: %d\n%s", page.status, page.body)
	}
	v.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	began := v.see("/sign-in/provider")
	if page := v.see(callback); page.status != 400 {
		t.Errorf("with another sign-in: %d", page.status)
	}
	forged := v.request("GET", callback, nil, func(r *http.Request) {
		r.Header.Set("Cookie", "staykey_sign_in=e30")
	})
	if forged.status != 400 || p.Tokens != 0 {
		t.Errorf("with a cookie that isn't ours: %d, %d codes used", forged.status, p.Tokens)
	}
	// used once, by the one whose it is
	stranger.client.CheckRedirect = v.client.CheckRedirect
	if page := stranger.see(callback); page.status != 303 || page.header.Get("Location") != "/" {
		t.Fatalf("its own: %d", page.status)
	}
	if page := stranger.see(callback); page.status != 400 || p.Tokens != 1 {
		t.Errorf("a second time: %d, %d codes used", page.status, p.Tokens)
	}
	cookie := began.header.Get("Set-Cookie")
	for _, word := range []string{"staykey_sign_in=", "HttpOnly", "SameSite=Lax", "Max-Age=600"} {
		if !strings.Contains(cookie, word) {
			t.Errorf("the cookie of a sign-in lacks %s: %s", word, cookie)
		}
	}
	to, err := url.Parse(began.header.Get("Location"))
	if err != nil || strings.Contains(cookie, to.Query().Get("state")) {
		t.Errorf("the cookie can be read: %s", cookie)
	}
}

// What a session may do is decided at each request, by the configuration of now.
func TestProviderSessionsEndWithTheConfiguration(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]func(*app, *ssotest.Provider) *sso.Settings{
		"sign_in is removed": func(*app, *ssotest.Provider) *sso.Settings { return nil },
		"the role is removed": func(_ *app, p *ssotest.Provider) *sso.Settings {
			return providerSettings(p, sso.Role{Group: "audit"})
		},
		"another provider": func(_ *app, p *ssotest.Provider) *sso.Settings {
			s := providerSettings(p)
			s.Issuer = "https://login.example.com"
			return s
		},
		"another client": func(_ *app, p *ssotest.Provider) *sso.Settings {
			s := providerSettings(p)
			s.ClientID = "another"
			return s
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, p := withProvider(t)
			v := a.visitor()
			v.signInWithProvider("/")
			lines := v.stream("")
			a.signIns.Store(after(a, p))
			if page := v.see("/listings"); page.path != "/sign-in" {
				t.Fatalf("%s is shown", page.path) // and its stream wouldn't end
			}
			if _, err := io.Copy(io.Discard, lines); err != nil { // until the service ends it
				t.Errorf("the stream broke off: %v", err)
			}
		})
	}
	t.Run("the role is narrowed", func(t *testing.T) {
		t.Parallel()
		a, p := withProvider(t)
		v := a.visitor()
		v.signInWithProvider("/")
		a.signIns.Store(providerSettings(p, sso.Role{Group: "front-desk", Sources: []string{"open"}}))
		if page := v.see("/reservations/default/3333122-433"); page.status != 404 {
			t.Errorf("a reservation of a source that is gone: %d", page.status)
		}
		if page := v.post("/events/replay", nil); page.status != 403 {
			t.Errorf("a change by a reader: %d", page.status)
		}
	})
}

// A provider's ID, which is no secret, is no token either.
func TestProvidersIDIsNoToken(t *testing.T) {
	t.Parallel()
	a, p := withProvider(t)
	id := providerSettings(p).ID()
	for _, secret := range []string{string(id[:]), p.URL, "staykey sign-in\x00" + p.URL + "\x00" + ssotest.ClientID} {
		if page := a.visitor().signIn(secret); page.status != 401 {
			t.Errorf("%q signs in: %d", secret, page.status)
		}
	}
}

func TestSignInsAreCounted(t *testing.T) { //nolint:paralleltest // it reads a counter of the process
	a, p := withProvider(t)
	before := testutil.ToFloat64(handlers.SignIns.WithLabelValues("no_role"))
	p.Claims["groups"] = nil
	a.visitor().signInWithProvider("/")
	if got := testutil.ToFloat64(handlers.SignIns.WithLabelValues("no_role")) - before; got < 1 {
		t.Errorf("%v sign-ins without a role", got)
	}
}
