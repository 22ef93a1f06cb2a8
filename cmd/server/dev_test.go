package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/staykey/staykey/internal/pms"
)

// What --dev prints: each secret that it made, because nobody else knows it, and never one that the operator set.
func TestIntroductionShowsWhatWasMade(t *testing.T) {
	t.Parallel()
	ownSecret := pms.Secret("the operator's own webhook secret").String()
	const ownToken = "the-operators-own-admin-token"
	hotel := filepath.Join(t.TempDir(), "staykey.yaml")
	if err := os.WriteFile(hotel, []byte("sources:\n  - name: hotel\n    verify: {method: standard-webhooks, secrets: [\""+ownSecret+"\"]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	for _, tc := range []struct {
		name                   string
		settings               settings
		showsSecret, showToken bool
		commands               bool
	}{
		{"nothing is set", settings{}, true, true, true},
		{"with a Seam key", settings{SeamAPIKey: "seam_x"}, true, true, true},
		{"a webhook secret is set", settings{WebhookSecret: ownSecret}, false, true, true},
		{"an admin token is set", settings{AdminToken: ownToken}, true, false, true},
		{"both are set", settings{WebhookSecret: ownSecret, AdminToken: ownToken}, false, false, true},
		{"a config file without the source default", settings{Config: hotel}, false, true, false},
		{"the same with a Seam key, so that the token is random", settings{Config: hotel, SeamAPIKey: "seam_x"}, false, true, false},
		{"a config file and an admin token", settings{Config: hotel, AdminToken: ownToken}, false, false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			tc.settings.Dev = true
			c, err := tc.settings.load(func(string) string { return "" })
			if err != nil {
				t.Fatal(err)
			}
			text := introductionOf(c)
			for _, own := range []string{ownSecret, ownToken} {
				if strings.Contains(text, own) {
					t.Errorf("the operator's own secret is printed:\n%s", text)
				}
			}
			for label, want := range map[string]bool{"Webhook secret": tc.showsSecret, "Admin token": tc.showToken, "/webhooks/default": tc.commands} {
				if strings.Contains(text, label) != want {
					t.Errorf("%s: shown %v, want %v:\n%s", label, !want, want, text)
				}
			}
			if tc.showToken && !strings.Contains(text, c.AdminTokens[0]) {
				t.Errorf("nobody can sign in: the token is not shown:\n%s", text)
			}
		})
	}
}

func TestIntroductionOfTLS(t *testing.T) {
	t.Parallel()
	c, err := settings{Dev: true}.load(func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	c.TLS = &certificate{}
	text := introductionOf(c)
	for line := range strings.Lines(text) {
		if strings.Contains(line, "http://127.0.0.1:8080") || strings.Contains(line, "curl -sS") && !strings.Contains(line, "--insecure") {
			t.Errorf("does not work with TLS: %s", line)
		}
	}
	if !strings.Contains(text, "https://127.0.0.1:8080/docs") {
		t.Errorf("no https address:\n%s", text)
	}
}

func introductionOf(c config) string {
	public, ops := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080}, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9090}
	return (&devMachine{seamURL: "http://127.0.0.1:8180"}).introduction(c, public, ops)
}
