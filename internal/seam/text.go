package seam

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// Maximum lengths of Seam's texts, in bytes. Longer ones are cut.
const (
	maxMessage = 500
	maxCode    = 100     // of error types, codes and request ids
	maxLooked  = 8 << 10 // how much of a text is searched for guests' data at all
)

// Redact makes a text from Seam safe to store and show: it takes out e-mail addresses and phone numbers, is
// valid UTF-8 without NUL, and has at most 500 bytes.
func Redact(s string) string { return redact(s, maxMessage) }

// redact searches the text before it cuts it: half an address at the end is still a guest's, and no pattern finds it.
func redact(s string, most int) string {
	if len(s) > maxLooked {
		s = cut(s, maxLooked)
		// The end may be half an address. No address is longer than 320 bytes (RFC 3696, erratum 1690).
		if at := strings.LastIndexAny(s, " \t\r\n"); at > len(s)-320 {
			s = s[:at]
		} else {
			s = cut(s, len(s)-320)
		}
	}
	s = address.ReplaceAllString(storable(s), "[e-mail]")
	s = number.ReplaceAllStringFunc(s, func(found string) string {
		if kept.MatchString(found) || digits(found) < fewestDigits {
			return found
		}
		return "[number]"
	})
	return cut(s, most)
}

var (
	address = regexp.MustCompile(`[^\s@"'<>(),:;]+@[^\s@"'<>(),:;]+`)
	// Ids and times come first, so that no part of them is taken for a phone number.
	number = regexp.MustCompile(keptPattern + `|` + phonePattern)
	kept   = regexp.MustCompile(`^(?:` + keptPattern + `)$`)
)

const (
	keptPattern = `\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b` +
		`|\b\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?)?(?:Z\b|[+\-]\d{2}:\d{2}\b|\b)`
	phonePattern = `\+?\(?\d[\d ().\-/\x{a0}\x{2010}-\x{2015}]{7,}\d`
	fewestDigits = 9
)

func digits(s string) int {
	n := 0
	for _, r := range s {
		if r >= '0' && r <= '9' {
			n++
		}
	}
	return n
}

// storable returns the text as valid UTF-8 without NUL, neither of which Postgres takes otherwise.
func storable(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// code makes an error type, a code or a request id fit to be stored: they are identifiers, but nothing says that
// they are short.
func code(s string) string { return redact(s, maxCode) }

// cut returns at most n bytes of a text, and never half a character.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}

// withoutNUL replaces NUL inside JSON strings, where it is written \u0000: no text of Seam's that holds it could be
// stored.
func withoutNUL(answer []byte) []byte {
	for i := 0; i+6 <= len(answer); i++ {
		if answer[i] != '\\' {
			continue
		}
		if string(answer[i:i+6]) == `\u0000` {
			copy(answer[i:], `\ufffd`)
		}
		i++ // whatever is escaped, a backslash among it, belongs to this one
	}
	return answer
}
