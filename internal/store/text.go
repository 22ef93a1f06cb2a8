package store

import (
	"strings"
	"unicode/utf8"
)

// textAtMost bounds a text that comes from outside, in bytes.
const textAtMost = 2000

// Text makes a text from outside storable: valid UTF-8 without NUL, which Postgres refuses in text and jsonb alike, and
// of bounded length, cut between two letters. Everything that Seam or a PMS says goes through it before it is written.
func Text(s string) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
	if len(s) <= textAtMost {
		return s
	}
	end := textAtMost
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}

func textOrNil(s *string) *string {
	if s == nil {
		return nil
	}
	t := Text(*s)
	return &t
}

// storable makes the texts in a timeline entry's detail storable.
func storable(v any) any {
	switch v := v.(type) {
	case string:
		return Text(v)
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, x := range v {
			out[Text(k)] = storable(x)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = storable(x)
		}
		return out
	case []string:
		out := make([]string, len(v))
		for i, x := range v {
			out[i] = Text(x)
		}
		return out
	default:
		return v
	}
}
