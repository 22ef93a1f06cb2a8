package pms

import (
	"bytes"
	"encoding/json"
	"html"
	"net/mail"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Mentions finds one e-mail address in anything that a PMS has sent, in any encoding: JSON with escapes, a form, a
// query, or text that quotes it. It compares whole addresses, in any case: ann@example.com is not in joann@example.com,
// nor in ann@example.com.au.
type Mentions struct{ address string }

// MentionsOf looks for an address; ok is false if it is not one whole address.
func MentionsOf(address string) (m Mentions, ok bool) {
	address = strings.TrimSpace(address)
	parsed, err := mail.ParseAddress(address)
	if err != nil || parsed.Address != address || parsed.Name != "" {
		return Mentions{}, false
	}
	return Mentions{strings.ToLower(address)}, true
}

// Address is the address in lower case.
func (m Mentions) Address() string { return m.address }

// nestedReadings limits how deep texts within texts are decoded.
const nestedReadings = 3

// In reports whether a body, a document or a kept request holds the address. JSON is read as JSON, including repeated
// names; anything else as a form and as text.
func (m Mentions) In(content []byte) bool {
	if len(content) == 0 {
		return false
	}
	content = bytes.TrimPrefix(content, []byte("\xef\xbb\xbf"))
	if json.Valid(content) {
		return m.inJSON(content, nestedReadings)
	}
	return m.inText(strings.ToValidUTF8(string(content), "�"), nestedReadings)
}

// inJSON checks every string and name. It reads tokens, because decoding into values would lose repeated names.
func (m Mentions) inJSON(content []byte, depth int) bool {
	decoder := json.NewDecoder(bytes.NewReader(content))
	for {
		token, err := decoder.Token()
		if err != nil {
			return false // the end: the content is valid
		}
		if s, is := token.(string); is && m.inText(s, depth) {
			return true
		}
	}
}

func (m Mentions) inText(s string, depth int) bool {
	s = strings.TrimSpace(s)
	if m.is(s) {
		return true
	}
	if depth > 0 && m.inside(s, depth-1) {
		return true
	}
	if _, err := mail.ParseAddress(s); err == nil { // one address, and another one
		return false
	}
	return m.quoted(s)
}

// is reports whether the text is the address, with or without a display name.
func (m Mentions) is(s string) bool {
	if strings.ToLower(s) == m.address {
		return true
	}
	parsed, err := mail.ParseAddress(s)
	return err == nil && strings.ToLower(parsed.Address) == m.address
}

// inside decodes a text as what programs embed in texts: JSON, a form or the query of a link, percent-encoding, HTML.
func (m Mentions) inside(s string, depth int) bool {
	if (strings.HasPrefix(s, "{") || strings.HasPrefix(s, "[")) && json.Valid([]byte(s)) && m.inJSON([]byte(s), depth) {
		return true
	}
	path, query := splitForm(s)
	if query != "" && m.inForm(query, depth) {
		return true
	}
	if decoded, err := url.PathUnescape(path); err == nil && decoded != path && m.inText(decoded, depth) {
		return true // what was read as a form must not be decoded twice
	}
	if strings.Contains(s, "&") {
		if decoded := html.UnescapeString(s); decoded != s && m.inText(decoded, depth) {
			return true
		}
	}
	return false
}

// splitForm splits a text into a form or a link's query, and the part before it. query is "" for a text without either.
func splitForm(s string) (path, query string) {
	path, query, isLink := strings.Cut(s, "?")
	if !isLink {
		path, query = "", s
	}
	if strings.Contains(query, "=") && (isLink || strings.ContainsAny(query, "&%")) {
		return path, query
	}
	return s, ""
}

func (m Mentions) inForm(s string, depth int) bool {
	values, _ := url.ParseQuery(s) // what can't be read of it is left out
	for name, list := range values {
		for _, text := range append(list, name) {
			if text != s && m.inText(text, depth) {
				return true
			}
		}
	}
	return false
}

// quoted reports whether a longer text quotes the address, and neither its local part nor its domain continues there.
func (m Mentions) quoted(s string) bool {
	s = strings.ToLower(s)
	for from := 0; ; {
		i := strings.Index(s[from:], m.address)
		if i < 0 {
			return false
		}
		i += from
		if beginsAt(s[:i]) && endsAt(s[i+len(m.address):]) {
			return true
		}
		from = i + 1
	}
}

// beginsAt reports whether an address can begin after the text before it.
func beginsAt(before string) bool {
	last, size := utf8.DecodeLastRuneInString(before)
	switch {
	case size == 0:
		return true
	case last == '.' || last == '\'':
		// the end of a sentence or a quotation mark, unless it continues from a local part
		return beginsAt(before[:len(before)-size])
	}
	return !unicode.IsLetter(last) && !unicode.IsDigit(last) && !unicode.IsMark(last) &&
		!strings.ContainsRune("_%+-!#$^~", last)
}

// endsAt reports whether an address can end before the text after it.
func endsAt(after string) bool {
	next, size := utf8.DecodeRuneInString(after)
	switch {
	case size == 0:
		return true
	case next == '.':
		following, _ := utf8.DecodeRuneInString(after[1:])
		return !unicode.IsLetter(following) && !unicode.IsDigit(following)
	}
	return !unicode.IsLetter(next) && !unicode.IsDigit(next) && !unicode.IsMark(next) && next != '-' &&
		next != '_' && next != '@'
}
