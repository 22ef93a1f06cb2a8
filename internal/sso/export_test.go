package sso

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"
)

type answering func(*http.Request) (*http.Response, error)

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) { return a(r) }

// CheckDocument checks the discovery document of an issuer, of which some fields are replaced.
func CheckDocument(issuer string, fields map[string]any) error {
	document := map[string]any{
		"issuer": issuer, "authorization_endpoint": issuer + "/a", "token_endpoint": issuer + "/t",
		"jwks_uri": issuer + "/k", "userinfo_endpoint": issuer + "/u",
	}
	maps.Copy(document, fields)
	text, err := json.Marshal(document)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: answering(func(*http.Request) (*http.Response, error) {
		return &http.Response{
			StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}},
			Body: io.NopCloser(strings.NewReader(string(text))),
		}, nil
	})}
	p, err := oidc.NewProvider(oidc.ClientContext(context.Background(), client), issuer)
	if err != nil {
		return err
	}
	return checkEndpoints(issuer, p)
}
