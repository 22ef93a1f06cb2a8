package lang

import (
	"strconv"
	"strings"
)

// shape is a text of another package with its translation, to recognize what that package has written.
type shape struct {
	text     Text
	names    []string // of the placeholders, in the order of the text
	literals []string // between the placeholders: one more than their number
}

// prefixLength is how much of a text's beginning its shapes are found by.
const prefixLength = 6

// shapesOf indexes texts by their first characters; those that begin with a placeholder are under "".
func shapesOf(texts []Text, translated map[Text][]string) map[string][]shape {
	index := map[string][]shape{}
	for _, t := range texts {
		if _, has := translated[t]; !has {
			continue
		}
		s := shape{t, placeholder.FindAllString(t.English(), -1), placeholder.Split(t.English(), -1)}
		key := ""
		if len(s.literals[0]) >= prefixLength {
			key = s.literals[0][:prefixLength]
		}
		index[key] = append(index[key], s)
	}
	return index
}

// values returns what fills the placeholders, if written has this shape. A placeholder takes as little as
// it can, so the first of two equal separators ends it.
func (s shape) values(written string) (values []any, ok bool) {
	rest, ok := strings.CutPrefix(written, s.literals[0])
	if !ok {
		return nil, false
	}
	last := len(s.literals) - 1
	for i, literal := range s.literals[1:] {
		at := strings.Index(rest, literal)
		if i+1 == last {
			at = len(rest) - len(literal)
			if at < 0 || rest[at:] != literal {
				return nil, false
			}
		}
		if at < 1 || !fits(s.names[i], rest[:at]) { // not found, or the placeholder is empty
			return nil, false
		}
		values = append(values, rest[:at])
		rest = rest[at+len(literal):]
	}
	return values, rest == ""
}

// fits reports whether a placeholder can have a value: {n} is a number, and {event} one word, so that short shapes with
// them don't match any other text.
func fits(name, value string) bool {
	switch name {
	case "{n}":
		_, err := strconv.Atoi(value)
		return err == nil
	case "{event}":
		return !strings.Contains(value, " ")
	}
	return true
}

// Foreign returns a text that another package has written in English in the language, if it has the shape of a text
// that the catalog knows; otherwise as it is. What fills its placeholders is translated too, if it is a known text.
func (l *Locale) Foreign(written string) string {
	if len(l.catalog.foreign) == 0 || written == "" {
		return written
	}
	keys := []string{""}
	if len(written) >= prefixLength {
		keys = []string{written[:prefixLength], ""}
	}
	for _, key := range keys {
		for _, s := range l.catalog.foreign[key] {
			if values, is := s.values(written); is {
				for i, v := range values {
					values[i] = l.Foreign(v.(string))
				}
				return l.T(s.text, values...)
			}
		}
	}
	return written
}
