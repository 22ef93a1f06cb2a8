package sso

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

const (
	// AnswerWithin is how long a provider may take to answer a request of the service's.
	AnswerWithin = 10 * time.Second
	// maxAnswer is the largest answer that is read. Key sets and user info have a few kilobytes.
	maxAnswer = 1 << 20
	// keptFor is how long a provider's endpoints are used before they are read again.
	keptFor = time.Hour
	// failedFor is how long a failure is remembered, so that a provider that is down isn't asked by everybody.
	failedFor = 5 * time.Second
)

// A sign-in has two requests of the browser, which any replica may answer:
//
//	Begin     endpoints (known) ─▶ state, nonce, PKCE verifier: the Flow, for the browser to keep ─▶ the provider's URL
//	Finish    state of the answer = state of the Flow ─▶ exchange the code ─▶ verify the ID token, its nonce ─▶ claims
//
// The endpoints are remembered for a while. A failure to read them is, too, but shortly: many people who sign in
// while a provider is down ask it once.

// Client signs people in. It is safe for concurrent use. It reads a provider's endpoints when they are first needed,
// so a provider that is down delays nothing else.
type Client struct {
	http *http.Client
	now  func() time.Time

	turn chan struct{} // held while endpoints are read
	mu   sync.Mutex    // guards what follows
	last discovery
}

// discovery is what reading a provider's endpoints resulted in.
type discovery struct {
	issuer   string
	provider *oidc.Provider // nil with err
	err      error
	until    time.Time // it is used before then
}

// New returns a client. Sign-ins expire by the clock; within is how long a provider may take to answer a request.
func New(now func() time.Time, within time.Duration) *Client {
	return &Client{
		http: &http.Client{
			Timeout: within, Transport: bounded{http.DefaultTransport.(*http.Transport).Clone()},
			// A redirect would send the secret and the code somewhere else.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		now: now, turn: make(chan struct{}, 1),
	}
}

// bounded limits how much of an answer is read.
type bounded struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, maxAnswer), resp.Body}
	}
	return resp, err
}

// Check reads the provider's endpoints. Its error is [ErrUnreachable], or says what is wrong with them.
func (c *Client) Check(ctx context.Context, s Settings) error {
	_, err := c.known(ctx, s.Issuer)
	return err
}

// known returns the provider's endpoints and keys.
func (c *Client) known(ctx context.Context, issuer string) (*oidc.Provider, error) {
	if d, ok := c.remembered(issuer); ok {
		return d.provider, d.err
	}
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if d, ok := c.remembered(issuer); ok { // somebody else has read it
		return d.provider, d.err
	}
	found, err := c.discover(ctx, issuer)
	if ctx.Err() != nil {
		return nil, ctx.Err() // says nothing about the provider
	}
	d := discovery{issuer: issuer, provider: found, err: err, until: c.now().Add(keptFor)}
	if err != nil {
		d.until = c.now().Add(failedFor)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = d
	return found, err
}

func (c *Client) remembered(issuer string) (discovery, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last, c.last.issuer == issuer && c.now().Before(c.last.until)
}

// discover reads <issuer>/.well-known/openid-configuration (OpenID Connect Discovery 1.0 section 4).
func (c *Client) discover(ctx context.Context, issuer string) (*oidc.Provider, error) {
	found, err := oidc.NewProvider(oidc.ClientContext(ctx, c.http), issuer)
	if err != nil {
		return nil, fmt.Errorf("%w: read its discovery document: %.200s", ErrUnreachable, err) // with the whole answer
	}
	if err := checkEndpoints(issuer, found); err != nil {
		return nil, err
	}
	if _, err := authStyle(found); err != nil {
		return nil, err
	}
	return found, nil
}

// authStyle is how the client proves its identity at the token endpoint (OpenID Connect Discovery 1.0 section 3,
// token_endpoint_auth_methods_supported: client_secret_basic if it is absent). oauth2 would find out by trying both,
// which sends a code twice, and replaces the reason why the first try failed.
func authStyle(p *oidc.Provider) (oauth2.AuthStyle, error) {
	var document struct {
		Methods []string `json:"token_endpoint_auth_methods_supported"`
	}
	if err := p.Claims(&document); err != nil {
		return 0, fmt.Errorf("read the provider's document: %w", err)
	}
	switch methods := document.Methods; {
	case methods == nil, slices.Contains(methods, "client_secret_basic"):
		return oauth2.AuthStyleInHeader, nil
	case slices.Contains(methods, "client_secret_post"):
		return oauth2.AuthStyleInParams, nil
	default:
		return 0, fmt.Errorf("the provider takes no client secret, only %.200q (token_endpoint_auth_methods_supported); "+
			"register staykey with client_secret_basic or client_secret_post", methods)
	}
}

// checkEndpoints refuses endpoints that are reached in the clear although the issuer is not: codes, secrets and the
// keys that everything is verified with would travel over them.
func checkEndpoints(issuer string, p *oidc.Provider) error {
	var document struct {
		Keys string `json:"jwks_uri"`
	}
	if err := p.Claims(&document); err != nil {
		return fmt.Errorf("read the provider's document: %w", err)
	}
	if !strings.HasPrefix(issuer, "https://") {
		return nil // a provider on this machine, see the configuration
	}
	for name, address := range map[string]string{
		"authorization_endpoint": p.Endpoint().AuthURL, "token_endpoint": p.Endpoint().TokenURL,
		"jwks_uri": document.Keys, "userinfo_endpoint": cmp.Or(p.UserInfoEndpoint(), issuer),
	} {
		if u, err := url.Parse(address); err != nil || u.Scheme != "https" || u.Host == "" {
			return fmt.Errorf("the provider's %s is not an https URL", name)
		}
	}
	return nil
}

func (s Settings) oauth(p *oidc.Provider, redirect string) oauth2.Config {
	endpoint := p.Endpoint()
	endpoint.AuthStyle, _ = authStyle(p) // checked when the provider was discovered
	return oauth2.Config{
		ClientID: s.ClientID, ClientSecret: s.ClientSecret, Endpoint: endpoint, RedirectURL: redirect,
		Scopes: append([]string{oidc.ScopeOpenID}, s.Scopes...),
	}
}

// Begin begins a sign-in, and returns the provider's URL to send the browser to. redirect is the URL that the browser
// comes back to, next the page that the person wanted. Errors are those of [Client.Check].
func (c *Client) Begin(ctx context.Context, s Settings, redirect, next string) (string, Flow, error) {
	p, err := c.known(ctx, s.Issuer)
	if err != nil {
		return "", Flow{}, err
	}
	flow := Flow{
		State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), Next: next,
		Until: c.now().Add(FlowLife),
	}
	settings := s.oauth(p, redirect)
	address := settings.AuthCodeURL(flow.State, oidc.Nonce(flow.Nonce), oauth2.S256ChallengeOption(flow.Verifier))
	return address, flow, nil
}

// Finish finishes a sign-in. It returns [ErrExpired], a [RefusedError], [ErrUnreachable], or another error if the
// provider's answer can't be trusted.
func (c *Client) Finish(ctx context.Context, s Settings, redirect string, flow Flow, a Answer) (Identity, error) {
	if !same(flow.State, a.State) || !flow.Until.After(c.now()) {
		return Identity{}, ErrExpired
	}
	if a.Issuer != "" && a.Issuer != s.Issuer {
		return Identity{}, errors.New("the answer comes from another identity provider")
	}
	if a.Error != "" || a.Code == "" {
		return Identity{}, refused(a.Error)
	}

	p, err := c.known(ctx, s.Issuer)
	if err != nil {
		return Identity{}, err
	}

	ctx = oidc.ClientContext(ctx, c.http)
	tokens, err := s.exchange(ctx, p, redirect, flow, a.Code)
	if err != nil {
		return Identity{}, err
	}

	verified, err := c.verify(ctx, s, p, tokens, flow)
	if err != nil {
		return Identity{}, err
	}
	claims, err := claimsOf(ctx, s, p, tokens, verified)
	if err != nil {
		return Identity{}, err
	}
	return identityOf(s, verified.Subject, claims), nil
}

// exchange exchanges the code for tokens.
func (s Settings) exchange(
	ctx context.Context, p *oidc.Provider, redirect string, flow Flow, code string,
) (*oauth2.Token, error) {
	settings := s.oauth(p, redirect)
	tokens, err := settings.Exchange(ctx, code, oauth2.VerifierOption(flow.Verifier))
	if no := new(oauth2.RetrieveError); errors.As(err, &no) {
		if no.Response != nil && no.Response.StatusCode >= http.StatusInternalServerError {
			return nil, fmt.Errorf("%w: exchange the code: HTTP %d", ErrUnreachable, no.Response.StatusCode)
		}
		return nil, refused(no.ErrorCode) // its text may hold the provider's whole answer
	}
	if err != nil {
		return nil, fmt.Errorf("%w: exchange the code: %w", ErrUnreachable, err)
	}
	return tokens, nil
}

// verify checks the ID token (OpenID Connect Core section 3.1.3.7).
func (c *Client) verify(
	ctx context.Context, s Settings, p *oidc.Provider, tokens *oauth2.Token, flow Flow,
) (*oidc.IDToken, error) {
	raw, _ := tokens.Extra("id_token").(string)
	if raw == "" {
		return nil, errors.New("the identity provider's answer has no id_token")
	}
	verified, err := p.Verifier(&oidc.Config{ClientID: s.ClientID, Now: c.now}).Verify(ctx, raw)
	if err != nil {
		return nil, fmt.Errorf("verify the ID token: %w", err)
	}
	var party struct {
		Authorized string `json:"azp"`
	}
	switch err := verified.Claims(&party); {
	case err != nil:
		return nil, fmt.Errorf("read the ID token: %w", err)
	case party.Authorized != "" && party.Authorized != s.ClientID:
		return nil, errors.New("the ID token was issued to another client (azp)")
	case !same(verified.Nonce, flow.Nonce):
		return nil, errors.New("the ID token belongs to another sign-in: its nonce differs")
	case verified.Subject == "":
		return nil, errors.New("the ID token has no subject")
	}
	return verified, nil
}

// same compares secrets in constant time. Empty ones are never the same.
func same(a, b string) bool {
	return a != "" && subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}

// claimsOf returns the claims of the ID token, and those of the user info if the ID token lacks the groups.
func claimsOf(
	ctx context.Context, s Settings, p *oidc.Provider, tokens *oauth2.Token, verified *oidc.IDToken,
) (map[string]any, error) {
	claims := map[string]any{}
	if err := verified.Claims(&claims); err != nil {
		return nil, fmt.Errorf("read the ID token: %w", err)
	}
	if _, has := claims[s.GroupsClaim]; has || p.UserInfoEndpoint() == "" {
		return claims, nil
	}
	info, err := p.UserInfo(ctx, oauth2.StaticTokenSource(tokens))
	if err != nil {
		// not its text: it may be the provider's whole answer, which is personal data
		return nil, fmt.Errorf("%w: the user info can't be read", ErrUnreachable)
	}
	if info.Subject != verified.Subject { // OpenID Connect Core section 5.3.2
		return nil, errors.New("the user info belongs to another person than the ID token")
	}
	more := map[string]any{}
	if err := info.Claims(&more); err != nil {
		return nil, errors.New("the user info is not a JSON object")
	}
	for name, value := range claims { // the ID token is signed
		more[name] = value
	}
	return more, nil
}

// plainLogin matches logins that lists and logs can show as they are.
var plainLogin = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9@._+-]{0,99}$`)

func identityOf(s Settings, subject string, claims map[string]any) Identity {
	text := func(name string) string {
		value, _ := claims[name].(string)
		return value
	}
	if sure := claims["email_verified"]; sure != true && sure != "true" {
		delete(claims, "email") // anybody could claim it
	}
	who := Identity{Subject: subject, Name: text("name")}
	sum := sha256.Sum256([]byte(subject))
	who.Login = hex.EncodeToString(sum[:8])
	for _, login := range []string{text("email"), text("preferred_username"), subject} {
		if plainLogin.MatchString(login) {
			who.Login = login
			break
		}
	}
	for _, group := range texts(claims[s.GroupsClaim]) {
		if slices.ContainsFunc(s.Roles, func(r Role) bool { return r.Group == group }) {
			who.Groups = append(who.Groups, group)
		}
	}
	return who
}

// texts reads a claim that is a list of texts, or one text.
func texts(claim any) []string {
	switch value := claim.(type) {
	case string:
		return []string{value}
	case []any:
		var list []string
		for _, one := range value {
			if text, is := one.(string); is {
				list = append(list, text)
			}
		}
		return list
	}
	return nil
}
