package config

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/staykey/staykey/internal/notify"
	"github.com/staykey/staykey/internal/pms"
)

var testSecret = pms.Secret("an end-to-end secret of 32 bytes")

const testToken = "an-end-to-end-admin-token"

func good() Settings {
	return Settings{
		DatabaseURL: "postgres://u:p@localhost/db", SeamAPIKey: "seam_x",
		WebhookSecret: testSecret.String(), AdminToken: testToken,
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
		change func(*Settings)
		env    map[string]string
		want   []string // the beginnings of the lines
	}{
		"nothing wrong": {func(*Settings) {}, nil, nil},
		"nothing set": {func(s *Settings) { *s = Settings{} }, nil, []string{
			"DATABASE_URL: is required",
			"SEAM_API_KEY: is required", "STAYKEY_WEBHOOK_SECRET: is required", "STAYKEY_ADMIN_TOKEN: is required",
		}},
		"an admin listener alone": {
			func(s *Settings) { s.AdminListen = ":8081" }, nil,
			[]string{"STAYKEY_ADMIN_URL: is required with STAYKEY_ADMIN_LISTEN", "STAYKEY_PUBLIC_URL: is required with STAYKEY_ADMIN_URL"},
		},
		"an admin listener with its URLs": {
			func(s *Settings) {
				s.AdminListen, s.AdminURL, s.PublicURL = ":8081", "https://admin.example.com", "https://keys.example.com"
			}, nil, nil,
		},
		"an admin listener and URL that are none": {
			func(s *Settings) {
				s.AdminListen, s.AdminURL, s.PublicURL = "8081", "admin", "https://keys.example.com"
			}, nil,
			[]string{`STAYKEY_ADMIN_LISTEN: "8081" must be an address`, `STAYKEY_ADMIN_URL: "admin" must be a URL`},
		},
		"nothing set, with dev": {func(s *Settings) { *s = Settings{Dev: true} }, nil, nil},
		"the key makes dev-without-key an ordinary start": {
			func(s *Settings) {
				*s = Settings{DevWithoutKey: true, SeamAPIKey: "seam_x", DatabaseURL: "postgres://x/y"}
			}, nil,
			[]string{"STAYKEY_WEBHOOK_SECRET: is required", "STAYKEY_ADMIN_TOKEN: is required"},
		},
		"a password with an @": {
			func(s *Settings) { s.DatabaseURL = "postgres://u:pass@word@localhost/db" }, nil,
			[]string{"DATABASE_URL: has an @ in its user or password: write it as %40"},
		},
		"a password with an encoded @": {
			func(s *Settings) { s.DatabaseURL = "postgres://u:pass%40word@localhost/db" },
			nil, nil,
		},
		"everything wrong at once": {func(s *Settings) {
			s.DatabaseURL, s.SeamEndpoint, s.Listen, s.OpsListen = "postgres://host:port/db", "connect.getseam.com",
				"8080", "localhost:nowhere"
			s.RetryBase, s.SweepInterval, s.LogLevel, s.LogFormat = "2", "-1m", "loud", "xml"
			s.WebhookSecret, s.AdminToken, s.SeamSecret = "secret", "short,"+testToken, "whsec_!"
		}, nil, []string{
			"DATABASE_URL:", "SEAM_ENDPOINT:", "SEAM_WEBHOOK_SECRET: secret 1", "STAYKEY_ADMIN_TOKEN: token 1 has 5",
			"STAYKEY_WEBHOOK_SECRET: secret 1",
			"STAYKEY_LISTEN:", "STAYKEY_OPS_LISTEN:", "STAYKEY_RETRY_BASE:", "STAYKEY_SWEEP_INTERVAL:",
			"STAYKEY_LOG_LEVEL:", "STAYKEY_LOG_FORMAT:",
		}},
		"a secret from a file": {
			func(s *Settings) { s.AdminToken = "" },
			map[string]string{"STAYKEY_ADMIN_TOKEN_FILE": write(testToken + "\n")},
			nil,
		},
		"a file that is not there": {
			func(s *Settings) { s.AdminToken = "" },
			map[string]string{"STAYKEY_ADMIN_TOKEN_FILE": "/nowhere"},
			[]string{"STAYKEY_ADMIN_TOKEN_FILE: open /nowhere", "STAYKEY_ADMIN_TOKEN: is required"},
		},
		"both": {
			func(*Settings) {},
			map[string]string{"SEAM_API_KEY_FILE": write("x")},
			[]string{"SEAM_API_KEY_FILE: SEAM_API_KEY is set too"},
		},
		"unknown keys": {
			func(s *Settings) { s.Config = write("sources:\n  - name: a\n    verfy: {}\n") }, nil,
			[]string{
				"STAYKEY_CONFIG: FILE:2:9: sources[0].verify: is required",
				"STAYKEY_CONFIG: FILE:3:5: sources[0].verfy: is unknown; expected one of",
			},
		},
		"a misspelled preset: nothing is reported for lacking what a preset specifies": {
			func(s *Settings) {
				s.Config = write("sources:\n  - name: a\n    format: hostawy\n" +
					"    verify: {secrets: [\"user:a long password of the tests\"]}\n    fetch: {token: x}\n")
			}, nil,
			[]string{"STAYKEY_CONFIG: FILE:3:13: sources[0].format: \"hostawy\" is not a format: it must be staykey, one of"},
		},
		"fetch without a format": {
			func(s *Settings) {
				s.Config = write("sources:\n  - name: a\n    insecure: true\n    verify: {method: none}\n" +
					"    fetch: {token: x}\n")
			}, nil,
			[]string{"STAYKEY_CONFIG: FILE:5:"},
		},
		"everything wrong with a file": {
			func(s *Settings) {
				s.Config = write(`sources:
  - name: "a b"
    format: hostawy
    verify: {method: hmac, secrets: [short], prefix: "x", encoding: octal}
    time_zone: Mars
    check_in_time: 3pm
    grace: {before: soon, between: 1h}
    statuses: {hold: [confirmed, paid], revoke: [other]}
    listings: {"12": {grace: {after: -1h}}}
    rate_limit: {per_second: none}
    fetch: {token: x}
trusted_proxies: [nowhere]
`)
			}, nil, []string{
				"STAYKEY_CONFIG: FILE:2:11: sources[0].name: \"a b\" must be letters",
				"STAYKEY_CONFIG: FILE:3:13: sources[0].format: \"hostawy\" is not a format: it must be staykey, one of apaleo,",
				"STAYKEY_CONFIG: FILE:4:38: sources[0].verify.secrets[0]: must be at least 6",
				"STAYKEY_CONFIG: FILE:4:69: sources[0].verify.encoding: \"octal\" must be hex or base64",
				"STAYKEY_CONFIG: FILE:5:16: sources[0].time_zone: \"Mars\" must be an IANA",
				"STAYKEY_CONFIG: FILE:6:20: sources[0].check_in_time: \"3pm\" must be a time of day",
				"STAYKEY_CONFIG: FILE:7:21: sources[0].grace.before: \"soon\" must be a duration",
				"STAYKEY_CONFIG: FILE:7:27: sources[0].grace.between: is unknown; expected one of after, before",
				"STAYKEY_CONFIG: FILE:9:38: sources[0].listings.12.grace.after: \"-1h\" must be a duration",
				"STAYKEY_CONFIG: FILE:8:34: sources[0].statuses.hold[1]: \"paid\" must be one of",
				"STAYKEY_CONFIG: FILE:8:50: sources[0].statuses.revoke[0]: an unknown status",
				"STAYKEY_CONFIG: FILE:10:30: sources[0].rate_limit.per_second: \"none\" must be a number",
				"STAYKEY_CONFIG: FILE:12:19: trusted_proxies[0]: \"nowhere\" must be an address",
			},
		},
		"wrong subscriptions": {
			func(s *Settings) {
				s.Config = write(`subscriptions:
  - name: "a b"
    url: http://app.example.com/secret-path
    events: [mobile_key.redy]
    sources: [hotel]
    secret: x
  - name: app
    url: ftp://secret-path
    secrets: [whsec_short]
  - name: app
    url: https://app.example.com
    secrets: ["whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"]
    insecure: maybe
    events: []
`)
			}, nil, []string{
				"STAYKEY_CONFIG: FILE:2:11: subscriptions[0].name: \"a b\" must be letters",
				"STAYKEY_CONFIG: FILE:3:10: subscriptions[0].url: must begin with https://",
				"STAYKEY_CONFIG: FILE:2:9: subscriptions[0].secrets: is required",
				"STAYKEY_CONFIG: FILE:4:14: subscriptions[0].events[0]: \"mobile_key.redy\" is not an event type; expected one of mobile_key.ready",
				"STAYKEY_CONFIG: FILE:5:15: subscriptions[0].sources[0]: \"hotel\" is not a source of this configuration", "STAYKEY_CONFIG: FILE:6:5: subscriptions[0].secret: is unknown",
				"STAYKEY_CONFIG: FILE:8:10: subscriptions[1].url: must be a URL",
				"STAYKEY_CONFIG: FILE:9:15: subscriptions[1].secrets[0]: must",
				"STAYKEY_CONFIG: FILE:13:15: subscriptions[2].insecure: \"maybe\" must be true or false",
				"STAYKEY_CONFIG: FILE:14:13: subscriptions[2].events: must name at least one",
				"STAYKEY_CONFIG: FILE:10:11: subscriptions[2].name: \"app\" is defined twice, first at FILE:7:11: remove one, or change its name",
			},
		},
		"entries without a name, and some with that of another": {
			func(s *Settings) {
				s.Config = write(`sources:
  - {insecure: true, verify: {method: none}}
  - {insecure: true, verify: {method: none}}
  - name: hotel
    insecure: true
    verify: {method: none}
    gates: [{holds: key}, {holds: key}, {name: paid, holds: key}, {name: paid, holds: link}]
tokens:
  - {hash: "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}
  - {hash: "sha256:1123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}
  - {name: desk, hash: "sha256:2123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}
  - {name: desk, hash: "sha256:3123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}
subscriptions:
  - {url: "https://app.example.com", secrets: ["whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"]}
  - {url: "https://app.example.com", secrets: ["whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"]}
`)
			}, nil, []string{
				"STAYKEY_CONFIG: FILE:2:5: sources[0].name: is required",
				"STAYKEY_CONFIG: FILE:3:5: sources[1].name: is required",
				"STAYKEY_CONFIG: FILE:7:13: sources[2].gates[0].name: is required",
				"STAYKEY_CONFIG: FILE:7:27: sources[2].gates[1].name: is required",
				"STAYKEY_CONFIG: FILE:7:74: sources[2].gates[3].name: \"paid\" is defined twice, first at FILE:7:48: remove one, or change its name",
				"STAYKEY_CONFIG: FILE:9:5: tokens[0].name: is required",
				"STAYKEY_CONFIG: FILE:10:5: tokens[1].name: is required",
				"STAYKEY_CONFIG: FILE:12:12: tokens[3].name: \"desk\" is defined twice, first at FILE:11:12: remove one, or change its name",
				"STAYKEY_CONFIG: FILE:14:5: subscriptions[0].name: is required",
				"STAYKEY_CONFIG: FILE:15:5: subscriptions[1].name: is required",
			},
		},
		"wrong subscriptions of people": {
			func(s *Settings) {
				s.Config = write(`subscriptions:
  - {name: a, kind: fax}
  - {name: b, kind: slack, url: "https://hooks.example.com/x", guest: all, digest: "25:00", time_zone: Mars, secrets: [x]}
  - {name: c, kind: email, from: desk, to: [], smtp: {host: "mail:25", tls: maybe, username: u}}
  - {name: d, kind: email, from: a@example.com, to: [b@example.com]}
`)
			}, nil, []string{
				"STAYKEY_CONFIG: FILE:2:21: subscriptions[0].kind: \"fax\" must be webhook, slack or email",
				"STAYKEY_CONFIG: FILE:3:71: subscriptions[1].guest: \"all\" must be none or name",
				"STAYKEY_CONFIG: FILE:3:104: subscriptions[1].time_zone: \"Mars\" must be an IANA",
				"STAYKEY_CONFIG: FILE:3:84: subscriptions[1].digest: \"25:00\" must be a time of day",
				"STAYKEY_CONFIG: FILE:3:110: subscriptions[1].secrets: is unknown",
				"STAYKEY_CONFIG: FILE:4:34: subscriptions[2].from: \"desk\" must be an e-mail address",
				"STAYKEY_CONFIG: FILE:4:44: subscriptions[2].to: is required",
				"STAYKEY_CONFIG: FILE:4:61: subscriptions[2].smtp.host: is required",
				"STAYKEY_CONFIG: FILE:4:77: subscriptions[2].smtp.tls: \"maybe\" must be starttls, tls or none",
				"STAYKEY_CONFIG: FILE:4:54: subscriptions[2].smtp.password: username and password go together",
				"STAYKEY_CONFIG: FILE:5:5: subscriptions[3].smtp: is required",
			},
		},
		"subscriptions of people": {
			func(s *Settings) {
				s.Config = write(`subscriptions:
  - {name: b, kind: slack, url: "https://hooks.example.com/x", guest: name, digest: "08:00", time_zone: Europe/Madrid}
  - {name: c, kind: email, from: a@example.com, to: [b@example.com], smtp: {host: mail.example.com, port: 2525, tls: none}}
`)
			}, nil, nil,
		},
		"subscriptions": {
			func(s *Settings) {
				s.Config = write(
					"subscriptions:\n  - name: app\n    url: http://127.0.0.1:1/hook\n    secrets: [\"whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3\"]\n    events: [mobile_key.held]\n    sources: [default]\n    insecure: true\n")
			}, nil, nil,
		},
		"ages that are none": {
			func(s *Settings) { s.RetainBodies, s.RetainEvents = "30", "0d" }, nil,
			[]string{
				"STAYKEY_RETAIN_BODIES: \"30\" must be days such as 30d, or never",
				"STAYKEY_RETAIN_EVENTS: \"0d\" must be days",
			},
		},
		"an age shorter than what is shown with it": {
			func(s *Settings) { s.RetainBodies, s.RetainTimeline = "never", "5d" }, nil,
			[]string{"STAYKEY_RETAIN_TIMELINE: \"5d\" is shorter than STAYKEY_RETAIN_EVENTS"},
		},
		"a longer age takes the others along": {func(s *Settings) { s.RetainBodies = "500d" }, nil, nil},
		"numbers out of range": {
			func(s *Settings) { s.Workers = "0" }, nil,
			[]string{"STAYKEY_WORKERS: \"0\" must be a number from 1 to 256"},
		},
		"a rate limit of nothing": {
			func(s *Settings) {
				s.Config = write(
					"sources:\n  - name: a\n    verify: {method: standard-webhooks, secrets: [\"whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\"]}\n    rate_limit: {burst: 5}\n")
			}, nil, []string{"STAYKEY_CONFIG: "},
		},
		"a source without a verifier": {
			func(s *Settings) { s.Config = write("sources:\n  - name: a\n") }, nil,
			[]string{"STAYKEY_CONFIG: "},
		},
		"none without insecure": {func(s *Settings) {
			s.Config = write(
				"sources:\n  - name: a\n    verify: {method: none}\n")
		}, nil, []string{"STAYKEY_CONFIG: "}},
		"a variable that is not set": {func(s *Settings) {
			s.Config = write(
				"sources:\n  - name: a\n    verify: {method: standard-webhooks, secrets: ['${NOT_SET}']}\n")
		}, nil, []string{"STAYKEY_CONFIG: "}},
		"well-known secrets": {func(s *Settings) {
			s.AdminToken, s.WebhookSecret, s.SeamSecret = DevAdminToken, strings.TrimRight(DevWebhookSecret, "="),
				DevWebhookSecret
		}, nil, []string{
			"SEAM_WEBHOOK_SECRET: is a well-known development secret",
			"STAYKEY_ADMIN_TOKEN: token 1 is a well-known development secret",
			"STAYKEY_WEBHOOK_SECRET: a secret of source \"default\" is a well-known",
		}},
		"well-known secrets, with dev and a real key": {func(s *Settings) {
			*s = Settings{Dev: true, SeamAPIKey: "seam_x", AdminToken: DevAdminToken}
		}, nil, []string{"STAYKEY_ADMIN_TOKEN: token 1 is a well-known"}},
		"well-known secrets, with dev on every address": {func(s *Settings) {
			*s = Settings{Dev: true, Listen: ":8080", AdminToken: DevAdminToken}
		}, nil, []string{"STAYKEY_ADMIN_TOKEN: token 1 is a well-known"}},
		"well-known secrets, with dev on every address that is published on loopback": {func(s *Settings) {
			*s = Settings{Dev: true, Listen: ":8080", DevLoopback: true, AdminToken: DevAdminToken}
		}, nil, nil},
		"well-known secrets of the config file": {func(s *Settings) {
			s.Config = write(fmt.Sprintf(
				"sources:\n  - name: a\n    verify: {method: standard-webhooks, secrets: ['%s']}\ntokens:\n  - {name: t, hash: 'sha256:%x'}\nsubscriptions:\n  - {name: s, url: 'https://app.example.com/', secrets: ['%[1]s']}\n", DevWebhookSecret, sha256.Sum256([]byte(DevAdminToken))))
		}, nil, []string{
			"STAYKEY_CONFIG: FILE:2:11: a secret of source \"a\" is a well-known",
			"STAYKEY_CONFIG: FILE:7:12: a secret of subscription \"s\" is a well-known",
			"STAYKEY_CONFIG: FILE:5:12: the hash of token \"t\" is a well-known",
		}},
		"tokens that are easy to guess": {func(s *Settings) {
			s.AdminToken = strings.Repeat("a", 24) + "," + strings.Repeat("abc", 10) + "," + strings.Repeat("staykey-",
				4) + ",0123456789abcdef01234567"
		}, nil, []string{
			"STAYKEY_ADMIN_TOKEN: token 1 repeats itself", "STAYKEY_ADMIN_TOKEN: token 2 repeats itself",
			"STAYKEY_ADMIN_TOKEN: token 3 repeats itself",
		}},
		"tokens that are not distinct": {func(s *Settings) {
			s.Config = write(fmt.Sprintf(
				"sources:\n  - name: a\n    verify: {method: standard-webhooks, secrets: ['whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=']}\ntokens:\n"+
					"  - {name: one, hash: 'sha256:%[1]x'}\n  - {name: two, hash: 'sha256:%[1]x', scope: write}\n  - {name: three, hash: 'sha256:%[2]x'}\n  - {name: Admin, hash: 'sha256:%[3]x'}\n",
				sha256.Sum256([]byte("one")), sha256.Sum256([]byte(testToken)), sha256.Sum256([]byte("four"))))
		}, nil, []string{
			"STAYKEY_CONFIG: FILE:8:12: tokens[3].name: \"Admin\" is the name",
			"STAYKEY_CONFIG: FILE:6:12: token \"two\" has the hash of token one",
			"STAYKEY_CONFIG: FILE:7:12: token \"three\" has the hash of STAYKEY_ADMIN_TOKEN",
		}},
		"compose's password with a real key": {func(s *Settings) {
			s.DatabaseURL = "postgres://staykey:staykey@postgres:5432/staykey"
		}, nil, []string{"DATABASE_URL: has the password of docker-compose.yml's trial: set POSTGRES_PASSWORD"}},
		"compose's password with the simulator": {func(s *Settings) {
			*s = Settings{DevWithoutKey: true, DatabaseURL: "postgres://staykey:staykey@postgres:5432/staykey"}
		}, nil, nil},
		"another Postgres that has such a password": {func(s *Settings) {
			s.DatabaseURL = "postgres://staykey:staykey@127.0.0.1:5432/staykey"
		}, nil, nil},
		"lists of doors": {func(s *Settings) {
			s.Config = write(
				"sources:\n  - name: a\n    verify: {method: none}\n    insecure: true\n    access_groups: []\n    access_systems: [\"\"]\n")
		}, nil, []string{
			"STAYKEY_CONFIG: FILE:6:22: sources[0].access_systems[0]: \"\" must be an id",
			"STAYKEY_CONFIG: FILE:5:20: sources[0].access_groups: must name at least one",
		}},
		"one secret in two sources": {func(s *Settings) {
			s.Config = write("sources:\n  - name: a\n    verify: {method: standard-webhooks, secrets: ['" +
				testSecret.String() + "']}\n")
		}, nil, []string{"STAYKEY_CONFIG: FILE:2:11: sources \"a\" and \"default\" have a secret in common"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := good()
			c.change(&s)
			loaded, err := s.Load(func(name string) string { return c.env[name] })
			var problems Problems
			if err != nil && !errors.As(err, &problems) {
				t.Fatal(err)
			}
			var got []string
			for i, line := range problems {
				if strings.Contains(line, "\n") {
					t.Errorf("more than one line: %q", line)
				}
				if s.Config != "" {
					line = strings.ReplaceAll(line, s.Config, "FILE")
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
				for _, secret := range []string{testToken, testSecret.String(), "seam_x", "u:p@"} {
					if strings.Contains(shown, secret) {
						t.Errorf("the log shows %q: %s", secret, shown)
					}
				}
			}
		})
	}
}

// Several sources without lists open what is theirs only; one alone, and one with lists, are not limited so.
func TestDoorsOfSources(t *testing.T) {
	t.Parallel()
	const entry = "  - {name: %s, verify: {method: none}, insecure: true%s}\n"
	read := func(entries ...string) Set {
		file := filepath.Join(t.TempDir(), "staykey.yaml")
		if err := os.WriteFile(file, []byte("sources:\n"+strings.Join(entries, "")), 0o600); err != nil {
			t.Fatal(err)
		}
		var problems Problems
		set := ReadSources(file, "", "repair", func(string) string { return "" }, &problems)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		return set
	}
	a, b, listed := fmt.Sprintf(entry, "a", ""), fmt.Sprintf(entry, "b", ""),
		fmt.Sprintf(entry, "c", ", access_groups: [g2, g1, g1]")
	if read(a).Of("a").Policy.OwnGroups {
		t.Error("a source that is alone is limited")
	}
	set := read(a, b, listed)
	if !set.Of("a").Policy.OwnGroups || !set.Of("b").Policy.OwnGroups || set.Of("c").Policy.OwnGroups {
		t.Errorf("of several sources: %+v", set.Sources)
	}
	if groups := set.Of("c").Policy.AccessGroups; !slices.Equal(groups, []string{"g1", "g2"}) {
		t.Errorf("the list is %v", groups)
	}
	if read(a).Of("a").Policy.Fingerprint() == set.Of("a").Policy.Fingerprint() {
		t.Error("stays don't follow when another source comes")
	}
}

// Sources share what they have in common, as YAML lets them; what an entry says itself counts.
func TestAliasesAndMergeKeys(t *testing.T) {
	t.Parallel()
	read := func(content string) (Set, Problems) {
		file := filepath.Join(t.TempDir(), "staykey.yaml")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		var problems Problems
		set := ReadSources(file, "", "repair", func(string) string { return "" }, &problems)
		return set, problems
	}
	set, problems := read(`sources:
  - &hotel
    name: a
    verify: {method: none}
    insecure: true
    grace: &grace {after: 3h}
    access_groups: &doors [g1, g2]
  - <<: *hotel
    name: b
    grace: *grace
    access_groups: *doors
    time_zone: Europe/Madrid
`)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	a, b := set.Of("a").Policy, set.Of("b").Policy
	if !slices.Equal(b.AccessGroups, []string{"g1", "g2"}) || b.GraceAfter != a.GraceAfter || b.GraceAfter == 0 ||
		b.TimeZone != "Europe/Madrid" || a.TimeZone != "" {
		t.Errorf("a: %+v, b: %+v", a, b)
	}
	for content, want := range map[string]string{
		"sources:\n  - {<<: [1], name: a}\n":         "sources[0].<<: must be a mapping",
		"sources: *nobody\n":                         "must be a list",
		"sources:\n  - {name: &n a, format: [*n]}\n": "must be a single value",
	} {
		if _, problems := read(content); !strings.Contains(fmt.Sprint(problems), want) {
			t.Errorf("%q: %v, want %q", content, problems, want)
		}
	}
}

// Profiles are served on loopback, and elsewhere only where somebody asks for them.
func TestProfilesAreForLoopback(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"127.0.0.1:9090": true, "[::1]:9090": true, "localhost:9090": true,
		":9090": false, "0.0.0.0:9090": false, "[::]:9090": false, "10.0.0.1:9090": false,
		"metrics.example.com:9090": false, "127.0.0.1.example.com:9090": false,
	} {
		for _, asked := range []bool{false, true} {
			s := good()
			s.OpsListen, s.Profiling = address, asked
			c, err := s.Load(func(string) string { return "" })
			if err != nil || c.Profiling != (want || asked) {
				t.Errorf("%s, asked for %t: %t, want %t (%v)", address, asked, c.Profiling, want || asked, err)
			}
		}
	}
}

// Secrets that somebody made by mistake are named. The ones of development and random ones are not.
func TestGuessableSecrets(t *testing.T) {
	t.Parallel()
	secret := func(text string) string { return pms.Secret(text).String() }
	zeros, pattern, good := pms.Secret(make([]byte, 24)), "0123456701234567", "kJ3-9sLqWz7!aP0xVbN2mC5t"
	set := Set{
		Sources: map[string]pms.Source{
			"zeros":       {Secrets: []string{secret(good), zeros.String()}},
			"pattern":     {Secrets: []string{secret(pattern)}},
			"good":        {Secrets: []string{secret(good)}},
			"development": {Secrets: []string{DevWebhookSecret}},
			"a password":  {Secrets: []string{"aaaaaaaaaaaa"}}, // its verifier judges it
		},
		Subscriptions: []notify.Subscription{
			{Name: "app", Secrets: []pms.Secret{zeros}}, {Name: "fine", Secrets: []pms.Secret{pms.Secret(good)}},
		},
		SeamSecrets: []pms.Secret{zeros},
	}
	want := []string{"SEAM_WEBHOOK_SECRET", "source pattern", "source zeros", "subscription app"}
	if got := set.Guessable(); !slices.Equal(got, want) {
		t.Errorf("guessable: %q, want %q", got, want)
	}
}
