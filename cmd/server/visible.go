package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/staykey/staykey/internal/pms"
)

// What a PMS or an admin wrote is shown in terminals, which obey control characters, and show text in another order
// where direction characters say so. Both are shown as what they are: \u001b.

// visible is a text with such characters written out, line breaks included: a value is one line of a table.
func visible(s string) string {
	if !strings.ContainsFunc(s, pms.Invisible) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if pms.Invisible(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// visibleJSON is JSON whose texts are visible, for tables.
func visibleJSON(raw []byte) ([]byte, error) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, err
	}
	return json.Marshal(visibleValue(value))
}

func visibleValue(value any) any {
	switch v := value.(type) {
	case string:
		return visible(v)
	case []any:
		for i := range v {
			v[i] = visibleValue(v[i])
		}
	case map[string]any:
		for name, inner := range v {
			delete(v, name)
			v[visible(name)] = visibleValue(inner)
		}
	}
	return value
}

// escapedJSON is the same JSON with such characters as escapes, for --json. JSON itself demands that of some of
// them only.
func escapedJSON(raw []byte) []byte {
	var b bytes.Buffer
	for _, r := range string(raw) {
		if pms.Invisible(r) && r != '\n' && r != '\r' && r != '\t' {
			fmt.Fprintf(&b, `\u%04x`, r)
			continue
		}
		b.WriteRune(r)
	}
	return b.Bytes()
}
