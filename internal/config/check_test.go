package config

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestCheckedFileNamesPlaces breaks a config file in the ways in which people do: every problem has a line and a
// column, so that a program can show it there.
func TestCheckedFileNamesPlaces(t *testing.T) {
	t.Parallel()
	const source = "  - {name: a, verify: {method: standard-webhooks, secrets: ['${PMS_SECRET}']}}\n"
	hash := "sha256:" + strings.Repeat("ab", 32)
	for name, c := range map[string]struct {
		content string
		want    []string // after the file's name
	}{
		"a tab": {
			"sources:\n  - name: a\n\tverify: {method: none}\n",
			[]string{":3:1: a tab can't be used for indentation: use spaces"},
		},
		"an open quote": {"sources:\n  - name: \"a\n", []string{":2:11: could not find end character"}},
		"an empty file": {"", []string{":1:1: must be one YAML document"}},
		"one secret in two sources": {
			"sources:\n" + source + strings.Replace(source, "name: a", "name: b", 1),
			[]string{`:3:12: sources "a" and "b" have a secret in common`},
		},
		"one hash of two tokens": {
			"sources:\n" + source + "tokens:\n  - {name: x, hash: '" + hash + "'}\n  - {name: y, hash: '" + hash +
				"'}\n",
			[]string{`:5:12: token "y" has the hash of token x`},
		},
		"a well-known secret": {
			"sources:\n" + strings.Replace(source, "${PMS_SECRET}", DevWebhookSecret, 1),
			[]string{`:2:12: a secret of source "a" is a well-known development secret`},
		},
		"a well-known secret of the source default": {
			"sources:\n" + strings.NewReplacer("${PMS_SECRET}", DevWebhookSecret,
				"name: a", "name: default").Replace(source),
			[]string{`:2:12: a secret of source "default" is a well-known development secret`},
		},
		"entries without names": {
			"sources:\n" + strings.Replace(source, "name: a, ", "", 1) + "tokens:\n  - {hash: '" + hash + "'}\n" +
				"subscriptions:\n  - {url: 'https://a.example.com', secrets: ['${APP}']}\n",
			[]string{
				":2:5: sources[0].name: is required", ":4:5: tokens[0].name: is required",
				":6:5: subscriptions[0].name: is required",
			},
		},
		"a value in place of a mapping": {
			"sources:\n" + strings.Replace(source, "verify", "rate_limit: fast, verify", 1),
			[]string{":2:27: sources[0].rate_limit: must be a mapping: fields with values"},
		},
		"an unknown key at the top": {
			"source:\n" + source, []string{":1:1: source: is unknown; expected one of", ":1:7: sources: at least one"},
		},
		"no sources": {
			"trusted_proxies: []\n", []string{":1:16: sources: at least one is needed; for the source default alone, leave the key out and set STAYKEY_WEBHOOK_SECRET"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "staykey.yaml")
			if err := os.WriteFile(file, []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
			_, _, err := CheckFile(file, true)
			var problems Problems
			if !errors.As(err, &problems) || len(problems) != len(c.want) {
				t.Fatalf("%v, want %q", err, c.want)
			}
			for i, problem := range problems {
				rest := strings.TrimPrefix(problem, file)
				if !placed.MatchString(rest) || !strings.HasPrefix(rest, c.want[i]) {
					t.Errorf("%s, want FILE%s", problem, c.want[i])
				}
			}
		})
	}
}

var placed = regexp.MustCompile(`^:\d+:\d+: `)
