package pms

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Invisible reports whether a character must not appear in texts for people: control characters, which terminals
// execute, and Unicode's direction marks, which can make a text look like another one (CVE-2021-42574).
func Invisible(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)
}

// Plain is a text without invisible characters: line breaks and tabs become spaces, the others are removed.
func Plain(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case Invisible(r):
			return -1
		}
		return r
	}, s)
}

// IsText reports whether a text is valid UTF-8 without NUL. No text in the database can be equal to one that isn't.
func IsText(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }
