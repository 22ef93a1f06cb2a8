package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/staykey/staykey/internal/pms"
)

func readWriteBack(t *testing.T, entry string) (Set, Problems) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "staykey.yaml")
	if err := os.WriteFile(file, []byte("sources:\n  - {name: a, verify: {method: none}, insecure: true, "+entry+"}\n"),
		0o600); err != nil {
		t.Fatal(err)
	}
	var problems Problems
	set := ReadSources(file, "", "repair", func(name string) string { return "value-of-" + name }, &problems)
	return set, problems
}

func TestWriteBackOfSources(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		entry   string
		problem string // in the only one; "" for none
		check   func(*pms.WriteBackSettings) bool
	}{
		"as the contract has it": {
			`guest_links: true, write_back: {to: hostaway, url: "https://api.hostaway.com/v1", client_id: "1", client_secret: "${S}", field: doorCode}`, "",
			func(s *pms.WriteBackSettings) bool {
				return s.Preset.Name == "hostaway" && s.Field == "doorCode" && s.Account.ClientSecret == "value-of-S" &&
					s.Account.TokenAddress() == "https://api.hostaway.com/v1/accessTokens"
			},
		},
		"the token is where the API is": {
			`guest_links: true, write_back: {to: hostaway, url: "http://127.0.0.1:8080/v1/", client_id: "1", client_secret: s}`, "",
			func(s *pms.WriteBackSettings) bool {
				return s.Account.TokenAddress() == "http://127.0.0.1:8080/v1/accessTokens" && s.Field == "doorCode"
			},
		},
		"a field by its number": {
			`guest_links: true, write_back: {to: hostaway, client_id: "1", client_secret: s, field: "custom:17"}`, "",
			nil,
		},
		"an account of the source's": {
			`guest_links: true, format: beds24, fetch: {token: t}, write_back: {to: beds24}`, "",
			func(s *pms.WriteBackSettings) bool { return s.Account.Token == "t" },
		},
		"the same client as fetching": {
			`guest_links: true, format: beds24, fetch: {token: t, per_second: 3}, write_back: {to: beds24}`, "",
			func(s *pms.WriteBackSettings) bool { return s.Account.PerSecond == 3 },
		},
		"a text instead of the link": {
			`write_back: {to: beds24, token: t, text: '"Room " + .listing_id'}`, "",
			func(s *pms.WriteBackSettings) bool { return s.Text != nil },
		},
		"only cleared": {
			`guest_links: true, write_back: {to: beds24, token: t, clear: true}`, "",
			func(s *pms.WriteBackSettings) bool { return s.Clear },
		},

		"nothing to write": {
			`write_back: {to: beds24, token: t}`,
			"set guest_links: true on the source, or text", nil,
		},
		"no preset": {
			`guest_links: true, write_back: {token: t}`,
			`"" is not a write-back preset: it must be one of`, nil,
		},
		"an unknown preset": {
			`guest_links: true, write_back: {to: opera, token: t}`,
			`"opera" is not a write-back preset`, nil,
		},
		"an unknown field": {
			`guest_links: true, write_back: {to: hostaway, client_id: "1", client_secret: s, field: door_code}`,
			`"door_code" is not a field that hostaway can write`, nil,
		},
		"a name for a number": {
			`guest_links: true, write_back: {to: ownerrez, token: t, field: key}`,
			`"key" is not a field`, nil,
		},
		"no account": {`guest_links: true, write_back: {to: beds24}`, "no account", nil},
		"half an account": {
			`guest_links: true, write_back: {to: hostaway, client_id: "1"}`,
			"client_secret: is required: hostaway is written to by oauth2", nil,
		},
		"plain http": {
			`guest_links: true, write_back: {to: beds24, token: t, url: "http://beds24.com"}`,
			"must begin with https://", nil,
		},
		"a program that is wrong": {`write_back: {to: beds24, token: t, text: '.a | '}`, "write_back.text:", nil},
		"an unknown setting": {
			`guest_links: true, write_back: {to: beds24, token: t, fields: x}`,
			"write_back.fields: is unknown", nil,
		},
		"a field that is only a *": {
			`guest_links: true, write_back: {to: hostaway, client_id: "1", client_secret: s, field: "custom:*"}`,
			`is not a field`, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set, problems := readWriteBack(t, c.entry)
			if c.problem == "" && len(problems) > 0 || c.problem != "" &&
				(len(problems) != 1 || !strings.Contains(problems[0], c.problem)) {
				t.Fatalf("problems: %q, want %q", problems, c.problem)
			}
			if c.problem == "" && c.check != nil && !c.check(set.Of("a").WriteBack) {
				t.Errorf("%+v", set.Of("a").WriteBack)
			}
		})
	}
}

// A retired source writes nothing new, and can still clear what it has written.
func TestWriteBackOfRetiredSources(t *testing.T) {
	t.Parallel()
	set, problems := readWriteBack(t,
		`retired: true, guest_links: true, format: beds24, fetch: {token: the-secret-token}, write_back: {to: beds24}`)
	if len(problems) > 0 || set.Retired["a"].WriteBack == nil ||
		set.Retired["a"].WriteBack.Account.Token != "the-secret-token" {
		t.Errorf("%q %+v", problems, set.Retired["a"].WriteBack)
	}
}

// The credentials of write-back are taken out of the log.
func TestWriteBackSecrets(t *testing.T) {
	t.Parallel()
	set, _ := readWriteBack(t,
		`guest_links: true, write_back: {to: hostaway, client_id: "1", client_secret: the-client-secret}`)
	var r Redactor
	r.Hide(set.secrets())
	if got := r.Redact("x the-client-secret y"); got != "x [secret] y" {
		t.Errorf("%q", got)
	}
}
