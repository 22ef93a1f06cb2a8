package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func good() settings {
	return settings{
		DatabaseURL: "postgres://u:p@localhost/db", SeamAPIKey: "seam_x",
		WebhookSecret: e2eSecret.String(), AdminToken: e2eToken,
	}
}

func TestConfigurationProblems(t *testing.T) {
	t.Parallel()
	write := func(content string) string {
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	for name, c := range map[string]struct {
		change func(*settings)
		env    map[string]string
		want   []string // the beginnings of the lines
	}{
		"nothing wrong":         {func(*settings) {}, nil, nil},
		"nothing set":           {func(s *settings) { *s = settings{} }, nil, []string{"DATABASE_URL: is required", "SEAM_API_KEY: is required", "STAYKEY_WEBHOOK_SECRET: is required", "STAYKEY_ADMIN_TOKEN: is required"}},
		"nothing set, with dev": {func(s *settings) { *s = settings{Dev: true} }, nil, nil},
		"the key makes dev-without-key an ordinary start": {
			func(s *settings) {
				*s = settings{DevWithoutKey: true, SeamAPIKey: "seam_x", DatabaseURL: "postgres://x/y"}
			}, nil,
			[]string{"STAYKEY_WEBHOOK_SECRET: is required", "STAYKEY_ADMIN_TOKEN: is required"},
		},
		"everything wrong at once": {func(s *settings) {
			s.DatabaseURL, s.SeamEndpoint, s.Listen, s.OpsListen = "postgres://host:port/db", "connect.getseam.com", "8080", "localhost:nowhere"
			s.RetryBase, s.SweepInterval, s.LogLevel, s.LogFormat = "2", "-1m", "loud", "xml"
			s.WebhookSecret, s.AdminToken, s.SeamSecret = "secret", "short,"+e2eToken, "whsec_!"
		}, nil, []string{
			"DATABASE_URL:", "SEAM_ENDPOINT:", "SEAM_WEBHOOK_SECRET: secret 1", "STAYKEY_WEBHOOK_SECRET: secret 1", "STAYKEY_ADMIN_TOKEN: token 1 has 5",
			"STAYKEY_LISTEN:", "STAYKEY_OPS_LISTEN:", "STAYKEY_RETRY_BASE:", "STAYKEY_SWEEP_INTERVAL:", "STAYKEY_LOG_LEVEL:", "STAYKEY_LOG_FORMAT:",
		}},
		"a secret from a file":     {func(s *settings) { s.AdminToken = "" }, map[string]string{"STAYKEY_ADMIN_TOKEN_FILE": write(e2eToken + "\n")}, nil},
		"a file that is not there": {func(s *settings) { s.AdminToken = "" }, map[string]string{"STAYKEY_ADMIN_TOKEN_FILE": "/nowhere"}, []string{"STAYKEY_ADMIN_TOKEN_FILE: open /nowhere", "STAYKEY_ADMIN_TOKEN: is required"}},
		"both":                     {func(*settings) {}, map[string]string{"SEAM_API_KEY_FILE": write("x")}, []string{"SEAM_API_KEY_FILE: SEAM_API_KEY is set too"}},
		"unknown keys": {
			func(s *settings) { s.Config = write("sources:\n  - name: a\n    verfy: {}\n") }, nil,
			[]string{"STAYKEY_CONFIG: "},
		},
		"ages that are none": {
			func(s *settings) { s.RetainBodies, s.RetainEvents = "30", "0d" }, nil,
			[]string{"STAYKEY_RETAIN_BODIES: \"30\" must be days such as 30d, or never", "STAYKEY_RETAIN_EVENTS: \"0d\" must be days"},
		},
		"an age shorter than what is shown with it": {
			func(s *settings) { s.RetainBodies, s.RetainStory = "never", "5d" }, nil, []string{"STAYKEY_RETAIN_TIMELINE: \"5d\" is shorter than STAYKEY_RETAIN_EVENTS"},
		},
		"a longer age takes the others along": {func(s *settings) { s.RetainBodies = "500d" }, nil, nil},
		"numbers out of range": {
			func(s *settings) { s.Workers = "0" }, nil, []string{"STAYKEY_WORKERS: \"0\" must be a number from 1 to 256"},
		},
		"a rate limit of nothing": {
			func(s *settings) {
				s.Config = write("sources:\n  - name: a\n    verify: {method: standard-webhooks, secrets: [\"whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\"]}\n    rate_limit: {burst: 5}\n")
			}, nil, []string{"STAYKEY_CONFIG: "},
		},
		"a source without a verifier": {func(s *settings) { s.Config = write("sources:\n  - name: a\n") }, nil, []string{"STAYKEY_CONFIG: "}},
		"none without insecure":       {func(s *settings) { s.Config = write("sources:\n  - name: a\n    verify: {method: none}\n") }, nil, []string{"STAYKEY_CONFIG: "}},
		"a variable that is not set": {func(s *settings) {
			s.Config = write("sources:\n  - name: a\n    verify: {method: standard-webhooks, secrets: ['${NOT_SET}']}\n")
		}, nil, []string{"STAYKEY_CONFIG: "}},
		"one secret in two sources": {func(s *settings) {
			s.Config = write("sources:\n  - name: a\n    verify: {method: standard-webhooks, secrets: ['" + e2eSecret.String() + "']}\n")
		}, nil, []string{"STAYKEY_CONFIG: sources \"a\" and \"default\" have a secret in common"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := good()
			c.change(&s)
			loaded, err := s.load(func(name string) string { return c.env[name] })
			var problems configProblems
			if err != nil && !errors.As(err, &problems) {
				t.Fatal(err)
			}
			var got []string
			for i, line := range problems {
				if strings.Contains(line, "\n") {
					t.Errorf("more than one line: %q", line)
				}
				if i < len(c.want) && strings.HasPrefix(line, c.want[i]) {
					line = c.want[i]
				}
				got = append(got, line)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if err == nil {
				shown := loaded.LogValue().String()
				for _, secret := range []string{e2eToken, e2eSecret.String(), "seam_x", "u:p@"} {
					if strings.Contains(shown, secret) {
						t.Errorf("the log shows %q: %s", secret, shown)
					}
				}
			}
		})
	}
}
