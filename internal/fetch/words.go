package fetch

import (
	"regexp"
	"strings"
	"unicode"

	"github.com/staykey/staykey/internal/pms"
)

// longestQuote bounds what is quoted of a PMS.
const longestQuote = 200

// usualWords are where APIs put why they refuse, the most telling first.
var usualWords = []string{
	"message", "error_description", "error.message", "errors.message", "errors.detail", "error.description", "detail", "Message", "Details",
	"description", "error", "title", "errors",
}

var anAddress = regexp.MustCompile(`[^\s"'<>:,;()]+@[^\s"'<>:,;()]+`)

// quote is the PMS's own words in an answer, with a colon before them; "" where there are none. Credentials and e-mail addresses are
// redacted: a reason is kept for longer than a body.
func (c *client) quote(text []byte, d pms.Document) string {
	if len(text) > maxDocument {
		return ""
	}
	v, err := pms.DecodeJSON(text)
	if err != nil {
		return ""
	}
	at := usualWords
	if d.Message != "" {
		at = []string{d.Message}
	}
	for _, path := range at {
		if words := wordsAt(v, path); words != "" {
			return ": " + c.blackened(words)
		}
	}
	return ""
}

// wordsAt is a text at a path, or the first text of a list there.
func wordsAt(v any, path string) string {
	found := pms.Lookup(v, path)
	if list, ok := found.([]any); ok && len(list) > 0 {
		found = list[0]
	}
	words, _ := found.(string)
	words = strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(words, "")))
	return words
}

func (c *client) blackened(words string) string {
	s := c.settings
	secrets := []string{s.Token, s.Username, s.Password, s.ClientID, s.ClientSecret}
	for _, value := range s.Body {
		secrets = append(secrets, value)
	}
	for _, secret := range secrets {
		if len(secret) > 3 {
			words = strings.ReplaceAll(words, secret, "[redacted]")
		}
	}
	words = anAddress.ReplaceAllString(words, "[redacted]")
	if runes := []rune(words); len(runes) > longestQuote {
		words = string(runes[:longestQuote]) + "..."
	}
	return words
}
