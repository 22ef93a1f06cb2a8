package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every secret that a configuration can hold is taken out of the log: each in the forms in which a library may show it.
func TestEverySecretIsHidden(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "staykey.yaml")
	content := `
sources:
  - name: signed
    verify: {method: standard-webhooks, secrets: ["whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"]}
  - name: basic
    format: hostaway
    verify: {method: basic, secrets: ["desk:basic-pass", "desk:short6"]}
  - name: fetches
    format: beds24
    verify: {method: none}
    insecure: true
    fetch: {token: fetch-secret}
subscriptions:
  - name: app
    url: https://app.example.com/hooks/secret-path
    secrets: ["whsec_QUJDREVGR0hJSktMTU5PUFFSU1RVVldY"]
  - {name: chat, kind: slack, url: "https://chat.example.com/services/T1/secret-hook"}
  - name: mail
    kind: email
    from: a@hotel.example
    to: [b@hotel.example]
    smtp: {host: smtp.hotel.example, username: u, password: smtp-pass}
sign_in:
  issuer: https://login.hotel.example
  client_id: staykey
  client_secret: provider-secret
  roles: [{group: front-desk}]
`
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	s := good()
	s.Config, s.WebhookSecret, s.AdminToken = file, "", testToken
	s.DatabaseURL, s.SeamAPIKey = "postgres://u:data%40base@localhost/db", "seam_key_x"
	s.PublicURL = "https://keys.hotel.example"
	s.SeamSecret = "whsec_MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1u"
	c, err := s.Load(func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	c.Redactor = &Redactor{}
	c.HideSecrets()
	for _, secret := range []string{
		"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3", "basic-pass", "short6", "fetch-secret",
		"https://app.example.com/hooks/secret-path",
		"QUJDREVGR0hJSktMTU5PUFFSU1RVVldY", "https://chat.example.com/services/T1/secret-hook", "smtp-pass",
		"provider-secret",
		"data@base", "data%40base", "seam_key_x",
		"MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1u", testToken,
	} {
		if got := c.Redactor.Redact(fmt.Sprintf("Post %q: EOF", secret)); strings.Contains(got, secret) {
			t.Errorf("%q stays in %q", secret, got)
		}
	}
}
