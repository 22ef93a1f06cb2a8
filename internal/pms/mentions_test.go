package pms_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"unicode/utf16"

	"pgregory.net/rapid"

	"github.com/staykey/staykey/internal/pms"
)

// escaped is a JSON text that has every character as \uXXXX, which is legal.
func escaped(s string) string {
	var b strings.Builder
	for _, unit := range utf16.Encode([]rune(s)) {
		fmt.Fprintf(&b, `\u%04x`, unit)
	}
	return `"` + b.String() + `"`
}

func quoted(s string) string {
	encoded, _ := json.Marshal(s) // a string
	return string(encoded)
}

// spellings are the ways in which PMSs write an address.
var spellings = map[string]func(address string) string{
	"JSON":               func(a string) string { return `{"data":{"guest_email":` + quoted(a) + `}}` },
	"JSON, a list":       func(a string) string { return `[{"guests":["x@y.example",` + quoted(a) + `]}]` },
	"JSON with escapes":  func(a string) string { return `{"data":{"guest_email":` + escaped(a) + `}}` },
	"JSON, a name":       func(a string) string { return `{` + quoted(a) + `: 1}` },
	"JSON, a name twice": func(a string) string { return `{"e":` + quoted(a) + `,"e":"x@y.example"}` },
	"JSON in upper case": func(a string) string { return `{"e":` + quoted(strings.ToUpper(a)) + `}` },
	"JSON with a BOM":    func(a string) string { return "\xef\xbb\xbf" + `{"e":` + quoted(a) + `}` },
	"JSON in JSON":       func(a string) string { return `{"payload":` + quoted(`{"e":`+escaped(a)+`}`) + `}` },
	"a name before it":   func(a string) string { return `{"from":` + quoted("Ann of Example <"+a+">") + `}` },
	"a note":             func(a string) string { return `{"note":` + quoted("Late arrival, write to "+a+".") + `}` },
	"a quotation": func(a string) string {
		return `{"note":` + quoted("she wrote from '"+a+"'\nthen called") +
			`}`
	},
	"a list in a text": func(a string) string { return `{"to":` + quoted("x@y.example,"+a+";z@y.example") + `}` },
	"mailto":           func(a string) string { return `{"note":` + quoted("mailto:"+a) + `}` },
	"a link": func(a string) string {
		return `{"url":` + quoted("https://h.example/?id=7&e="+url.QueryEscape(a)) + `}`
	},
	"HTML": func(a string) string {
		return `{"note":` + quoted("<p>"+strings.ReplaceAll(a, "@", "&#64;")+"</p>") + `}`
	},
	"a form":          func(a string) string { return url.Values{"id": {"7"}, "guest": {a}}.Encode() },
	"a form with one": func(a string) string { return url.Values{"guest": {a}}.Encode() },
	"a form with JSON": func(a string) string {
		return url.Values{"id": {"7"}, "payload": {`{"e":` + escaped(a) + `}`}}.Encode()
	},
	"a query that is kept": func(a string) string { return `{"kind":"query","query":{"email":` + quoted(a) + `}}` },
}

// Guests whose addresses are parts of one another, in every spelling: each is found where she is, and nowhere else.
func TestMentionsAreExact(t *testing.T) {
	t.Parallel()
	part := rapid.StringOfN(rapid.RuneFrom([]rune("abnjö9_+-")), 1, 4, -1)
	for name, spell := range spellings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(r *rapid.T) {
				local, domain := part.Draw(r, "local"), rapid.StringOfN(rapid.RuneFrom([]rune("abn9")), 1, 4,
					-1).Draw(r, "domain")
				address := local + "@" + domain + ".example"
				other := rapid.SampledFrom([]string{
					part.Draw(r, "more") + address, part.Draw(r, "more") + "." + address,
					address + rapid.StringOfN(rapid.RuneFrom([]rune("abn9")), 1, 2, -1).Draw(r, "end"),
					address + ".au", local + "+" + part.Draw(r, "tag") + "@" + domain + ".example",
					local + "@" + "mail." + domain + ".example",
					part.Draw(r, "another") + "@" + domain + ".example",
				}).Draw(r, "other")
				mentions, ok := pms.MentionsOf(address)
				if !ok {
					r.Fatalf("%q is no address", address)
				}
				if content := spell(address); !mentions.In([]byte(content)) {
					r.Errorf("%s is not found in %s", address, content)
				}
				if content := spell(other); !strings.EqualFold(other, address) && mentions.In([]byte(content)) {
					r.Errorf("%s is found in %s", address, content)
				}
			})
		})
	}
}

func TestMentionsOfWholeAddressesOnly(t *testing.T) {
	t.Parallel()
	for _, wrong := range []string{
		"", "@", "@b.", "@example.com", "jane", "jane@", "Jane <jane@example.com>",
		"jane@example.com, joe@example.com", "a b@example.com",
	} {
		if _, ok := pms.MentionsOf(wrong); ok {
			t.Errorf("%q is taken for an address", wrong)
		}
	}
	if m, ok := pms.MentionsOf(" Jane@Example.com "); !ok || m.Address() != "jane@example.com" {
		t.Errorf("%q", m.Address())
	}
}
