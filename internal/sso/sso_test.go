package sso_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/staykey/staykey/internal/sso"
	"github.com/staykey/staykey/internal/sso/ssotest"
	"github.com/staykey/staykey/internal/until"
)

const redirect = "https://keys.example.com/sign-in/callback"

// rig is a client, a provider, and a browser between them.
type rig struct {
	*ssotest.Provider
	client   *sso.Client
	settings sso.Settings
	now      time.Time
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{Provider: ssotest.New(t, redirect), now: time.Now()}
	r.client = sso.New(func() time.Time { return r.now }, until.Patience)
	r.settings = sso.Settings{
		Issuer: r.URL, ClientID: ssotest.ClientID, ClientSecret: ssotest.ClientSecret, Scopes: []string{"profile"},
		GroupsClaim: "groups", Roles: []sso.Role{{Group: "front-desk", Write: true}, {Group: "audit"}},
	}
	return r
}

// authorize begins a sign-in and takes the browser to the provider. It returns what the provider has it bring back.
func (r *rig) authorize(t *testing.T) (sso.Flow, sso.Answer) {
	t.Helper()
	address, flow, err := r.client.Begin(t.Context(), r.settings, redirect, "/events")
	if err != nil {
		t.Fatal(err)
	}
	browser := http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := browser.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	back, err := url.Parse(resp.Header.Get("Location"))
	if err != nil || resp.StatusCode != http.StatusFound || !strings.HasPrefix(back.String(), redirect) {
		t.Fatalf("the provider answers %d and sends the browser to %q", resp.StatusCode, back)
	}
	q := back.Query()
	return flow, sso.Answer{State: q.Get("state"), Code: q.Get("code"), Error: q.Get("error"), Issuer: q.Get("iss")}
}

func (r *rig) finish(t *testing.T, flow sso.Flow, answer sso.Answer) (sso.Identity, error) {
	t.Helper()
	return r.client.Finish(t.Context(), r.settings, redirect, flow, answer)
}

func TestSignIn(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	flow, answer := r.authorize(t)
	if flow.Next != "/events" {
		t.Errorf("the flow leads to %q", flow.Next)
	}
	got, err := r.finish(t, flow, answer)
	if err != nil {
		t.Fatal(err)
	}
	want := sso.Identity{
		Subject: "subject-1", Login: "maria@hotel.example", Name: "Maria Ruiz", Groups: []string{"front-desk"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if asked := r.Asked[0]; asked.Get("scope") != "openid profile" || len(asked.Get("nonce")) < 20 ||
		len(asked.Get("state")) < 20 {
		t.Errorf("the provider was asked %v", asked)
	}
}

// Every way in which an answer can be another one than the provider's answer to this sign-in.
func TestAnswersThatArentTrusted(t *testing.T) {
	t.Parallel()
	claim := func(name string, value any) func(*rig) {
		return func(r *rig) { r.Spoil = func(_, claims map[string]any) { claims[name] = value } }
	}
	for name, c := range map[string]struct {
		spoil func(*rig)
		want  string // in the error
	}{
		"wrong nonce":                {claim("nonce", "another sign-in's"), "nonce differs"},
		"no nonce":                   {claim("nonce", ""), "nonce differs"},
		"wrong audience":             {claim("aud", "another-client"), "expected audience"},
		"authorized another party":   {claim("azp", "another-client"), "another client"},
		"wrong issuer":               {claim("iss", "https://evil.example.com"), "different provider"},
		"expired":                    {claim("exp", time.Now().Add(-time.Minute).Unix()), "expired"},
		"no subject":                 {claim("sub", ""), "no subject"},
		"unsigned":                   {func(r *rig) { r.Unsigned = true }, "verify the ID token"},
		"signed with an unknown key": {func(r *rig) { r.ForeignKey = true }, "failed to verify signature"},
		"symmetric": {func(r *rig) {
			r.Spoil = func(header, _ map[string]any) { header["alg"] = "HS256" }
		}, "verify the ID token"},
		"no ID token": {func(r *rig) { r.WithoutToken = true }, "no id_token"},
		"user info of another person": {func(r *rig) {
			delete(r.Claims, "groups")
			r.UserInfo = map[string]any{"sub": "subject-2", "groups": []string{"front-desk"}}
		}, "another person"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			c.spoil(r)
			flow, answer := r.authorize(t)
			who, err := r.finish(t, flow, answer)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("signed in %+v: %v", who, err)
			}
			if errors.Is(err, sso.ErrUnreachable) || errors.Is(err, sso.ErrExpired) {
				t.Errorf("an answer that can't be trusted is another error: %v", err)
			}
		})
	}
}

// What the browser brings back must belong to its own sign-in, and is good for one.
func TestAnswersOfOtherSignIns(t *testing.T) {
	t.Parallel()
	t.Run("another state", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		flow, answer := r.authorize(t)
		other, _ := r.authorize(t)
		for _, f := range []sso.Flow{other, {}, {Until: flow.Until}} {
			if _, err := r.finish(t, f, answer); !errors.Is(err, sso.ErrExpired) {
				t.Errorf("flow %+v: %v", f, err)
			}
		}
		empty := sso.Flow{Until: flow.Until}
		if _, err := r.finish(t, empty, sso.Answer{Code: answer.Code}); !errors.Is(err, sso.ErrExpired) {
			t.Errorf("empty states match: %v", err)
		}
		if r.Tokens != 0 {
			t.Error("the code was used")
		}
	})
	t.Run("a code of another browser", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		_, victim := r.authorize(t)
		flow, answer := r.authorize(t)
		answer.Code = victim.Code
		if who, err := r.finish(t, flow, answer); !errors.As(err, &sso.RefusedError{}) {
			t.Errorf("signed in %+v: %v", who, err) // PKCE
		}
	})
	t.Run("used twice", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		flow, answer := r.authorize(t)
		if _, err := r.finish(t, flow, answer); err != nil {
			t.Fatal(err)
		}
		if who, err := r.finish(t, flow, answer); !errors.As(err, &sso.RefusedError{}) {
			t.Errorf("signed in %+v: %v", who, err)
		}
	})
	t.Run("too late", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		flow, answer := r.authorize(t)
		r.now = flow.Until
		if _, err := r.finish(t, flow, answer); !errors.Is(err, sso.ErrExpired) {
			t.Error(err)
		}
	})
	t.Run("of another provider", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		flow, answer := r.authorize(t)
		answer.Issuer = "https://evil.example.com"
		if who, err := r.finish(t, flow, answer); err == nil || r.Tokens != 0 {
			t.Errorf("signed in %+v", who)
		}
	})
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.Refuses = "access_denied"
		flow, answer := r.authorize(t)
		if _, err := r.finish(t, flow, answer); !errors.Is(err, sso.RefusedError{Code: "access_denied"}) {
			t.Error(err)
		}
		answer.Error = "<script>"
		if _, err := r.finish(t, flow, answer); !errors.Is(err, sso.RefusedError{Code: "unknown_error"}) {
			t.Error(err)
		}
	})
}

func TestIdentities(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		claims   map[string]any
		userInfo map[string]any
		groups   string // the claim
		want     sso.Identity
	}{
		"groups of the user info": {
			claims: map[string]any{"sub": "s", "preferred_username": "maria"},
			userInfo: map[string]any{
				"sub": "s", "preferred_username": "boss", "name": "Maria", "groups": []string{"audit"},
			},
			want: sso.Identity{Subject: "s", Login: "maria", Name: "Maria", Groups: []string{"audit"}},
		},
		"an unverified address identifies no one": {
			claims: map[string]any{"sub": "s", "email": "boss@hotel.example", "groups": "front-desk"},
			want:   sso.Identity{Subject: "s", Login: "s", Groups: []string{"front-desk"}},
		},
		"an unverified address is no group": {
			claims: map[string]any{"sub": "s", "email": "front-desk"}, groups: "email",
			want: sso.Identity{Subject: "s", Login: "s"},
		},
		"a login that lists can't show": {
			claims: map[string]any{"sub": "auth0|x, admin", "preferred_username": "front desk"},
			want:   sso.Identity{Subject: "auth0|x, admin", Login: "c98856c7733a3eb4"},
		},
		"groups that aren't texts": {
			claims: map[string]any{"sub": "s", "groups": []any{1, nil, "audit", []string{"front-desk"}}},
			want:   sso.Identity{Subject: "s", Login: "s", Groups: []string{"audit"}},
		},
		"a claim that is an object": {
			claims: map[string]any{"sub": "s", "groups": map[string]any{"front-desk": true}},
			want:   sso.Identity{Subject: "s", Login: "s"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.Claims, r.UserInfo = c.claims, c.userInfo
			if c.groups != "" {
				r.settings.GroupsClaim = c.groups
			}
			flow, answer := r.authorize(t)
			got, err := r.finish(t, flow, answer)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A provider that is down is asked again after a moment, and not by everybody.
func TestProviderIsDown(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	issuer, up := r.settings.Issuer, r.Config.Handler
	asked, down := 0, true
	r.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if asked++; down {
			http.Error(w, strings.Repeat("x", 10_000), http.StatusBadGateway)
			return
		}
		up.ServeHTTP(w, req)
	})
	for range 3 {
		err := r.client.Check(t.Context(), r.settings)
		if !errors.Is(err, sso.ErrUnreachable) || len(err.Error()) > 500 {
			t.Fatalf("%v", err)
		}
	}
	if asked != 1 {
		t.Errorf("it was asked %d times", asked)
	}
	down, r.now = false, r.now.Add(6*time.Second)
	if err := r.client.Check(t.Context(), r.settings); err != nil {
		t.Error(err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	other := r.settings
	other.Issuer = issuer + "/other"
	if err := r.client.Check(gone, other); !errors.Is(err, context.Canceled) {
		t.Errorf("a browser that goes away says nothing about the provider: %v", err)
	}
	if err := r.client.Check(t.Context(), other); !errors.Is(err, sso.ErrUnreachable) {
		t.Errorf("another provider: %v", err)
	}
}

// The client proves its identity as the provider's document says. A code is sent once, whatever comes of it.
func TestHowTheClientProvesItsIdentity(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		methods   []string
		inParams  bool // the provider takes the secret in the form only
		supported bool
	}{
		"nothing is named":                   {nil, false, true},
		"in the header":                      {[]string{"client_secret_post", "client_secret_basic"}, false, true},
		"in the form":                        {[]string{"private_key_jwt", "client_secret_post"}, true, true},
		"only by what staykey doesn't have":  {[]string{"private_key_jwt"}, false, false},
		"not with a secret, it's for phones": {[]string{"none"}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.SecretInForm = c.inParams
			if c.methods != nil {
				r.Document = map[string]any{"token_endpoint_auth_methods_supported": c.methods}
			}
			if err := r.client.Check(t.Context(), r.settings); (err == nil) != c.supported {
				t.Fatalf("%v", err)
			}
			if !c.supported {
				return
			}
			flow, back := r.authorize(t)
			if _, err := r.client.Finish(t.Context(), r.settings, redirect, flow, back); err != nil {
				t.Fatal(err)
			}
			// What fails is not tried in another way: the reason of the second failure would be shown.
			tokens := r.Tokens
			_, err := r.client.Finish(t.Context(), r.settings, redirect, flow, back)
			if !isRefused(err, "invalid_grant") {
				t.Errorf("a code that was used: %v", err)
			}
			if r.Tokens != tokens+1 {
				t.Errorf("a code was sent %d times", r.Tokens-tokens)
			}
		})
	}
}

func isRefused(err error, code string) bool {
	refused := sso.RefusedError{}
	return errors.As(err, &refused) && refused.Code == code
}

// The provider's document can't say that it is another provider, nor lead away from TLS.
func TestDocumentsThatArentTrusted(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Document = map[string]any{"issuer": "https://evil.example.com"}
	if err := r.client.Check(t.Context(), r.settings); err == nil {
		t.Error("another issuer is accepted")
	}
	for _, field := range []string{"authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint"} {
		err := sso.CheckDocument("https://login.example.com", map[string]any{field: "http://login.example.com"})
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s over http: %v", field, err)
		}
	}
	if err := sso.CheckDocument("https://login.example.com", nil); err != nil {
		t.Error(err)
	}
}
