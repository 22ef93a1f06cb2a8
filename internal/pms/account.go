package pms

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Account is an account at a PMS's API: the API as the preset describes it, and the credentials.
type Account struct {
	AccountManifest
	Credentials
}

// AccountManifest describes a PMS's API as the preset's author knows it: address, authentication, limits.
type AccountManifest struct {
	URL    string `json:"url"`    // of the API
	Auth   string `json:"auth"`   // bearer, header, basic, oauth2, body or smoobu
	Header string `json:"header"` // for header: its name
	// TokenURL is where oauth2's access tokens are. One without a scheme is relative to URL, as in "oauth2/token"
	// and "../oauth2/token".
	TokenURL string   `json:"token_url"`
	Scopes   []string `json:"scopes"` // for oauth2
	// PerSecond is the pace of requests; 0: two.
	PerSecond float64 `json:"per_second"`
	// Limits are the PMS's own, in addition to PerSecond.
	Limits []Limit `json:"limits"`
	// AtOnce is the maximum number of concurrent requests; 0: no limit.
	AtOnce int `json:"at_once"`
}

// Limit is the number of requests that a PMS accepts in any window of Seconds.
type Limit struct {
	Requests int `json:"requests"`
	Seconds  int `json:"seconds"`
}

// Credentials are the operator's credentials for an account.
type Credentials struct {
	Token        string            // for bearer and header
	Username     string            // for basic
	Password     string            // for basic
	ClientID     string            // for oauth2, by client credentials; for smoobu the API key
	ClientSecret string            // for oauth2; for smoobu the API secret
	Body         map[string]string // for body: fields that every request's body has
}

// Authentication methods.
const (
	AuthBearer = "bearer"
	AuthHeader = "header"
	AuthBasic  = "basic"
	AuthOAuth2 = "oauth2"
	AuthBody   = "body"
	AuthSmoobu = "smoobu" // each request is signed in Smoobu's way
)

// TokenAddress is the URL that issues access tokens.
func (m AccountManifest) TokenAddress() string {
	if m.TokenURL == "" || strings.Contains(m.TokenURL, "://") {
		return m.TokenURL
	}
	base, err := url.Parse(strings.TrimSuffix(m.URL, "/") + "/")
	if err != nil {
		return m.TokenURL
	}
	at, err := base.Parse(m.TokenURL)
	if err != nil {
		return m.TokenURL
	}
	return at.String()
}

// check reports mistakes of a preset's author. block is where in the preset it is, as in "fetch.".
func (m AccountManifest) check(block string) error {
	if err := CheckFetchURL(m.URL); err != nil {
		return fmt.Errorf("%surl: %w", block, err)
	}
	if !slices.Contains([]string{AuthBearer, AuthHeader, AuthBasic, AuthOAuth2, AuthBody, AuthSmoobu}, m.Auth) {
		return fmt.Errorf("%sauth: %q must be bearer, header, basic, oauth2, body or smoobu", block, m.Auth)
	}
	if m.Auth == AuthHeader && m.Header == "" {
		return errors.New(block + "header: is required: the name of the header that holds the key")
	}
	if m.Auth == AuthOAuth2 {
		if err := CheckFetchURL(m.TokenAddress()); err != nil {
			return fmt.Errorf("%stoken_url: %w", block, err)
		}
	}
	if m.AtOnce < 0 {
		return fmt.Errorf("%sat_once: %d must not be negative", block, m.AtOnce)
	}
	for i, l := range m.Limits {
		if l.Requests < 1 || l.Seconds < 1 {
			return fmt.Errorf("%slimits[%d]: requests and seconds must be at least 1", block, i)
		}
	}
	return nil
}

// Secrets are the credentials that must never be shown.
func (c Credentials) Secrets() []string {
	list := []string{c.Token, c.Password, c.ClientSecret}
	for _, value := range c.Body {
		list = append(list, value)
	}
	return slices.DeleteFunc(list, func(s string) bool { return s == "" })
}
