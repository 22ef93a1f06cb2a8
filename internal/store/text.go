package store

import (
	"strings"
	"unicode/utf8"
)

// maxStored bounds a text that comes from outside, in bytes.
const maxStored = 2000

// Storable makes a text from outside storable: valid UTF-8 without NUL, which Postgres refuses in text and jsonb
// alike, and of bounded length, cut between two letters. Every text from Seam or a PMS passes through it before
// it is written.
func Storable(s string) string {
	s = strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "\uFFFD")
	if len(s) <= maxStored {
		return s
	}
	end := maxStored
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}

func textOrNil(s *string) *string {
	if s == nil {
		return nil
	}
	t := Storable(*s)
	return &t
}

// storableDetail makes the texts in a timeline entry's detail storable.
func storableDetail(v any) any {
	switch v := v.(type) {
	case string:
		return Storable(v)
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, x := range v {
			out[Storable(k)] = storableDetail(x)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = storableDetail(x)
		}
		return out
	case []string:
		out := make([]string, len(v))
		for i, x := range v {
			out[i] = Storable(x)
		}
		return out
	default:
		return v
	}
}
