package store

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestStorable(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"NUL":                           "bad \x00 value",
		"half a letter":                 "caf\xc3",
		"cut in the middle of a letter": strings.Repeat("x", maxStored-1) + "é is long",
		"plain":                         "plain",
	} {
		got := Storable(text)
		if !utf8.ValidString(got) || strings.Contains(got, "\x00") || len(got) > maxStored {
			t.Errorf("%s: %q can't be stored", name, got)
		}
	}
	detail := storableDetail(map[string]any{
		"a\x00": "b\x00", "list": []any{"c\x00", 1},
		"texts": []string{"d\xc3"},
	}).(map[string]any)
	if detail["a"] != "b" || detail["list"].([]any)[0] != "c" || !utf8.ValidString(detail["texts"].([]string)[0]) {
		t.Errorf("the detail of a timeline entry can't be stored: %q", detail)
	}
}
