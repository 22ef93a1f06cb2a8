package pms

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Account is an account at a PMS's API: what a preset says of the API, and the credentials.
type Account struct {
	AccountManifest
	Credentials
}

// AccountManifest says where a PMS's API is and what it takes, as a preset's author knows it.
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
	// Limits are the PMS's own, kept besides PerSecond.
	Limits []Limit `json:"limits"`
	// AtOnce is how many requests may be on their way at a time; 0: any number.
	AtOnce int `json:"at_once"`
}

// Limit is how many requests a PMS takes in any window of so many seconds.
type Limit struct {
	Requests int `json:"requests"`
	Seconds  int `json:"seconds"`
}

// Credentials are what an operator configures of an account.
type Credentials struct {
	Token        string            // for bearer and header
	Username     string            // for basic
	Password     string            // for basic
	ClientID     string            // for oauth2, by client credentials; for smoobu the API key
	ClientSecret string            // for oauth2; for smoobu the API secret
	Body         map[string]string // for body: fields that every request's body has
}

// Ways of authentication.
const (
	AuthBearer = "bearer"
	AuthHeader = "header"
	AuthBasic  = "basic"
	AuthOAuth2 = "oauth2"
	AuthBody   = "body"
	AuthSmoobu = "smoobu" // each request is signed as Smoobu asks for
)

// TokenAddress is where access tokens are.
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

// check finds what a preset's author has got wrong. block names where it is, as in "fetch.".
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
