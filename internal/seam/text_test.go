package seam_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/staykey/staykey/internal/seam"
)

// unfit says why a text of Seam's can't be stored or shown, "" if it can.
func unfit(s string) string {
	switch {
	case !utf8.ValidString(s):
		return "not UTF-8"
	case strings.Contains(s, "\x00"):
		return "NUL"
	case len(s) > 1000:
		return "too long"
	case strings.Contains(s, "jane@"):
		return "guest data"
	}
	return ""
}

func TestRedact(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"jane@example.com is taken":                         "[e-mail] is taken",
		"call +34 600 111 222 now":                          "call [number] now",
		"+34.600.111.222":                                   "[number]",
		"0034/600/111222":                                   "[number]",
		"(+34) 600-111-222":                                 "([number]",
		"+49 (0)30 1234567":                                 "[number]",
		"600\u00a0111\u00a0222":                             "[number]",
		"600\u2011111\u2011222":                             "[number]",
		"ends_at 2024-11-01T15:00:00.000Z is over":          "ends_at 2024-11-01T15:00:00.000Z is over",
		"since 2024-11-01 15:00:00+02:00":                   "since 2024-11-01 15:00:00+02:00",
		"user 12345678-1234-1234-1234-123456789012 unknown": "user 12345678-1234-1234-1234-123456789012 unknown",
		"12345678 is the 3rd of 500":                        "12345678 is the 3rd of 500",
		strings.Repeat("x", 490) + " jane@example.com":      strings.Repeat("x", 490) + " [e-mail]",
		// cut first, half an address would stay
		strings.Repeat("x", 494) + " jane@example.com": strings.Repeat("x", 494) + " [e-ma",
		strings.Repeat("x", 499) + "é":                 strings.Repeat("x", 499),
		"a\x00b\xff":                                   "a\uFFFDb\uFFFD",
	} {
		if got := seam.Redact(in); got != want {
			t.Errorf("%q\ngot  %q\nwant %q", in, got, want)
		}
	}
}

// TestRedactAnything has any bytes redacted: what comes out can be stored, is bounded, and holds no address that went
// in.
func TestRedactAnything(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		before := rapid.SliceOfN(rapid.Byte(), 0, 600).Draw(t, "before")
		filler := strings.Repeat(rapid.SampledFrom([]string{"", "x", "é ", "日本", "joe@x.org "}).Draw(t, "filler"),
			rapid.IntRange(0, 3000).Draw(t, "times"))
		got := seam.Redact(string(before) + filler + " jane@example.com " + filler)
		if wrong := unfit(got); wrong != "" || len(got) > 500 {
			t.Fatalf("%s, %d bytes: %q", wrong, len(got), got)
		}
	})
}
