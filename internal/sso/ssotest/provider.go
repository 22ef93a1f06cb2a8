// Package ssotest is an OpenID Connect provider for tests. It insists on what a strict provider insists on: registered
// redirect URLs, the client's secret, PKCE, and codes that are used once. Its answers can be spoiled in every way that
// a client must notice.
package ssotest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"
)

// The registration of staykey at the provider.
const (
	ClientID     = "staykey"
	ClientSecret = "the secret of the tests' provider"
)

// keys are shared by all providers: making one takes long.
var keys = sync.OnceValue(func() [2]*rsa.PrivateKey {
	var made [2]*rsa.PrivateKey
	for i := range made {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		made[i] = key
	}
	return made
})

// Provider is one provider. Its fields may be set between requests.
type Provider struct {
	*httptest.Server
	Redirect string // the registered redirect URL

	Claims       map[string]any                      // of the person who signs in, besides what every ID token has
	UserInfo     map[string]any                      // what the user info answers; nil: there is no such endpoint
	Refuses      string                              // the error of the authorization endpoint; "" for none
	Spoil        func(header, claims map[string]any) // changes an ID token before it is signed
	ForeignKey   bool                                // ID tokens are signed with a key that the key set lacks
	Unsigned     bool                                // ID tokens have no signature
	WithoutToken bool                                // the token endpoint answers without an ID token
	SecretInForm bool                                // the token endpoint takes the client's secret in the form only
	Document     map[string]any                      // replaces fields of the discovery document

	mu     sync.Mutex
	codes  map[string]grant // that were not used yet
	Tokens int              // how often the token endpoint was asked
	Asked  []url.Values     // what the authorization endpoint was asked
}

// grant is what a code stands for.
type grant struct{ nonce, challenge, redirect string }

// New starts a provider whose people come back to a redirect URL.
func New(t testing.TB, redirect string) *Provider {
	t.Helper()
	p := &Provider{
		Redirect: redirect, codes: map[string]grant{},
		Claims: map[string]any{
			"sub": "subject-1", "name": "Maria Ruiz", "email": "maria@hotel.example", "email_verified": true,
			"groups": []string{"everyone", "front-desk"},
		},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", p.discovery)
	mux.HandleFunc("GET /authorize", p.authorize)
	mux.HandleFunc("POST /token", p.token)
	mux.HandleFunc("GET /keys", p.keySet)
	mux.HandleFunc("GET /userinfo", p.userInfo)
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

func answer(w http.ResponseWriter, status int, body map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client may be gone
}

func (p *Provider) discovery(w http.ResponseWriter, _ *http.Request) {
	document := map[string]any{
		"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token",
		"jwks_uri": p.URL + "/keys", "response_types_supported": []string{"code"},
		"subject_types_supported":               []string{"public"},
		"id_token_signing_alg_values_supported": []string{"RS256", "none"},
	}
	if p.UserInfo != nil {
		document["userinfo_endpoint"] = p.URL + "/userinfo"
	}
	maps.Copy(document, p.Document)
	answer(w, http.StatusOK, document)
}

func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.Asked = append(p.Asked, q)
	if q.Get("client_id") != ClientID || q.Get("redirect_uri") != p.Redirect || q.Get("response_type") != "code" ||
		q.Get("code_challenge_method") != "S256" || q.Get("code_challenge") == "" {
		http.Error(w, "the request is not what is registered", http.StatusBadRequest)
		return
	}
	back := url.Values{"state": {q.Get("state")}, "iss": {p.URL}}
	if p.Refuses != "" {
		back.Set("error", p.Refuses)
	} else {
		code := rand.Text()
		p.codes[code] = grant{q.Get("nonce"), q.Get("code_challenge"), q.Get("redirect_uri")}
		back.Set("code", code)
	}
	http.Redirect(w, r, p.Redirect+"?"+back.Encode(), http.StatusFound)
}

func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.Tokens++

	id, secret, _ := r.BasicAuth()
	want := url.QueryEscape(ClientSecret) // RFC 6749 section 2.3.1
	if p.SecretInForm {
		id, secret, want = r.PostFormValue("client_id"), r.PostFormValue("client_secret"), ClientSecret
	}
	if id != ClientID || secret != want {
		answer(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client"})
		return
	}

	code := r.PostFormValue("code")
	of, known := p.codes[code]
	delete(p.codes, code)
	challenge := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if !known || of.redirect != r.PostFormValue("redirect_uri") ||
		of.challenge != base64.RawURLEncoding.EncodeToString(challenge[:]) {
		answer(w, http.StatusBadRequest, map[string]any{"error": "invalid_grant"})
		return
	}

	body := map[string]any{"access_token": "an access token", "token_type": "Bearer", "expires_in": 300}
	if !p.WithoutToken {
		body["id_token"] = p.idToken(of.nonce)
	}
	answer(w, http.StatusOK, body)
}

// idToken makes the ID token of the person (OpenID Connect Core section 2).
func (p *Provider) idToken(nonce string) string {
	now := time.Now()
	header := map[string]any{"alg": "RS256", "typ": "JWT", "kid": "key-1"}
	claims := map[string]any{
		"iss": p.URL, "aud": ClientID, "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(), "nonce": nonce,
	}
	maps.Copy(claims, p.Claims)

	if p.Unsigned {
		header["alg"] = "none"
		delete(header, "kid")
	}
	if p.Spoil != nil {
		p.Spoil(header, claims)
	}

	text := encoded(header) + "." + encoded(claims)
	if p.Unsigned {
		return text + "."
	}

	key := keys()[0]
	if p.ForeignKey {
		key = keys()[1]
	}
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		panic(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func encoded(v map[string]any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

func (p *Provider) keySet(w http.ResponseWriter, _ *http.Request) {
	key := keys()[0].PublicKey
	answer(w, http.StatusOK, map[string]any{"keys": []any{map[string]any{
		"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "key-1",
		"n": base64.RawURLEncoding.EncodeToString(key.N.Bytes()),
		"e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(key.E)).Bytes()),
	}}})
}

func (p *Provider) userInfo(w http.ResponseWriter, r *http.Request) {
	if p.UserInfo == nil || r.Header.Get("Authorization") != "Bearer an access token" {
		answer(w, http.StatusUnauthorized, map[string]any{"error": "invalid_token"})
		return
	}
	answer(w, http.StatusOK, p.UserInfo)
}
