package main

import (
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/config"
	"github.com/staykey/staykey/internal/pms"
)

// What a source says of how its webhooks are verified is laid over what its preset says, or refused; it is never
// dropped.
func TestVerifySettingsAreLaidOverThePreset(t *testing.T) {
	t.Parallel()
	const secret = "a-secret-of-the-pms-0123456789"
	read := func(t *testing.T, entry string) (pms.Source, string) {
		t.Helper()
		file := configFile(t, "sources:\n  - name: a\n"+entry)
		var problems config.Problems
		set := config.ReadSources(file, "", pms.DriftRepair, os.Getenv, &problems)
		return set.Sources["a"], strings.Join(problems, "\n")
	}
	body := []byte(`{}`)
	for name, c := range map[string]struct {
		entry    string
		delivery pms.Post
		ok       bool
	}{
		"a parameter in place of the path": {
			"    format: beds24\n    verify: {parameter: key, secrets: [" + secret + "]}\n",
			pms.Post{Query: url.Values{"key": {secret}}},
			true,
		},
		"the path is no other way in": {
			"    format: beds24\n    verify: {parameter: key, secrets: [" + secret + "]}\n",
			pms.Post{Path: secret},
			false,
		},
		"a header of another name": {
			"    format: lodgify\n    verify: {header: x-lodgify, secrets: [" + secret + "]}\n",
			pms.Post{Header: http.Header{"X-Lodgify": {"sha256=" + signature(secret, body)}}},
			true,
		},
		"the method again": {
			"    format: lodgify\n    verify: {method: hmac, secrets: [" + secret + "]}\n",
			pms.Post{Header: http.Header{"Ms-Signature": {"sha256=" + signature(secret, body)}}},
			true,
		},
		"no prefix": {
			"    format: lodgify\n    verify: {prefix: \"\", secrets: [" + secret + "]}\n",
			pms.Post{Header: http.Header{"Ms-Signature": {signature(secret, body)}}},
			true,
		},
		"another method has none of the preset's settings": {
			"    format: lodgify\n    verify: {method: header, header: x-key, secrets: [" + secret + "]}\n",
			pms.Post{Header: http.Header{"X-Key": {secret}}},
			true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source, problems := read(t, c.entry)
			if problems != "" {
				t.Fatal(problems)
			}
			c.delivery.Body = body
			if _, err := source.Verify(c.delivery, time.Now()); (err == nil) != c.ok {
				t.Errorf("verified: %v", err)
			}
		})
	}
	for entry, want := range map[string]string{
		"    format: beds24\n    verify: {header: x-key, secrets: [" + secret +
			"]}\n": "verify.header: is not a setting of the method url-token",
		"    format: hostaway\n    verify: {prefix: x, secrets: [\"me:" + secret +
			"\"]}\n": "verify.prefix: is not a setting of the method basic",
		"    format: beds24\n    verify: {secrets: [" + secret +
			"]}\n    statuses: {hold: [block]}\n": "has no guest to create a key for",
		"    format: lodgify\n    verify: {method: header, secrets: [" + secret +
			"]}\n": "verify.header: is required",
		"    format: lodgify\n    verify: {method: url-token, encoding: hex, secrets: [" + secret +
			"]}\n": "verify.encoding: is not a setting",
		"    format: hospitable\n    verify: {algorithm: md5, secrets: [" + secret +
			"]}\n": "\"md5\" must be sha256 or sha512",
	} {
		if _, problems := read(t, entry); !strings.Contains(problems, want) {
			t.Errorf("%s: %q, want %q", entry, problems, want)
		}
	}
}
