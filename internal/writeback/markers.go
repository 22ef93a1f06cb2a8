package writeback

import "strings"

// A field that people write into as well holds staykey's text between two markers, and everything else stays as
// people wrote it.
const (
	beginMark = "[staykey]"
	endMark   = "[/staykey]"
)

// splice returns a field's text with staykey's part replaced where it is, or added at the end; "" takes it out.
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

// withoutParts takes every part out, with the line break before it: a lost answer may leave two.
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
