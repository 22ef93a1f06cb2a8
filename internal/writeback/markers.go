package writeback

import "strings"

// In a field that people also use, staykey's text is between two markers, and the rest of the field is never changed.
const (
	beginMark = "[staykey]"
	endMark   = "[/staykey]"
)

// splice returns a field's text with staykey's part replaced, or appended if there is none; "" removes it.
func splice(field, text string) string {
	before, after, found := cutPart(field)
	part := beginMark + " " + text + " " + endMark
	switch {
	case !found && text == "":
		return field
	case !found && strings.TrimSpace(field) == "":
		return part
	case !found:
		return strings.TrimRight(field, "\n") + "\n" + part
	case text != "":
		return before + part + withoutParts(after)
	}
	return withoutParts(field)
}

// withoutParts removes every part with the preceding line break: a lost answer may have left two.
func withoutParts(field string) string {
	for {
		before, after, found := cutPart(field)
		if !found {
			return field
		}
		if before == "" {
			after = strings.TrimPrefix(after, "\n")
		}
		field = strings.TrimSuffix(before, "\n") + after
	}
}

// cutPart finds staykey's first part. One whose end mark somebody deleted ends with its line.
func cutPart(field string) (before, after string, found bool) {
	before, rest, found := strings.Cut(field, beginMark)
	if !found {
		return field, "", false
	}
	inner, after, closed := strings.Cut(rest, endMark)
	if closed && !strings.Contains(inner, beginMark) {
		return before, after, true
	}
	if line := strings.IndexByte(rest, '\n'); line >= 0 {
		return before, rest[line:], true
	}
	return before, "", true
}
