package pmsapi

import (
	"regexp"
	"strings"
	"unicode"

	"github.com/staykey/staykey/internal/pms"
)

// longestQuote limits how much of a PMS's message is quoted.
const longestQuote = 200

// messagePaths are where APIs put the reason of a refusal, the most specific first.
var messagePaths = []string{
	"message", "error_description", "error.message", "errors.message", "errors.detail", "error.description", "detail",
	"Message", "Details",
	"description", "error", "title", "errors",
}

var anAddress = regexp.MustCompile(`[^\s"'<>:,;()]+@[^\s"'<>:,;()]+`)

// Quote is the PMS's own message in an answer, after a colon; "" if there is none. message is its path; "" tries the
// usual places. Credentials and e-mail addresses are redacted: a reason is kept for longer than a body.
func (c *Client) Quote(text []byte, message string) string {
	if len(text) > MaxAnswer {
		return ""
	}
	v, err := pms.DecodeJSON(text)
	if err != nil {
		return ""
	}
	at := messagePaths
	if message != "" {
		at = []string{message}
	}
	for _, path := range at {
		if words := messageAt(v, path); words != "" {
			return ": " + c.Redact(words)
		}
	}
	return ""
}

// messageAt is a text at a path, or the first text of a list there.
func messageAt(v any, path string) string {
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

// Redact removes the account's credentials and e-mail addresses from a text, and shortens it.
func (c *Client) Redact(words string) string {
	s := c.account
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
