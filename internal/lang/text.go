// Package lang writes a page's texts, numbers and dates in the languages of its readers.
//
// A [Text] is English, as written in templates and code, and at the same time the key of its translations: a page
// stays readable, and a text that nobody has translated is shown in English. A [Catalog] has the translations of one
// language; a [Locale] is a catalog with the dates and numbers of a region. Plural forms follow the rules of CLDR
// (golang.org/x/text/feature/plural).
//
// Texts that other packages have already written, such as messages stored in the database, are translated by their
// shape: [Locale.Foreign].
package lang

import (
	"fmt"
	"html/template"
	"regexp"
	"slices"
	"strings"
)

// Text is a text in English. It may have
//
//   - placeholders in braces, which the arguments fill in the order in which the English text first names them:
//     "{done} of {total} done";
//   - two forms, for one and for other numbers: "{n} key|{n} keys". The argument of {n} decides;
//   - a context that tells two equal English texts apart, and is not shown: "Open~gate".
type Text string

// placeholder is a value's place in a text.
var placeholder = regexp.MustCompile(`\{[a-z]+\}`)

// English returns the text without its context.
func (t Text) English() string {
	english, _, _ := strings.Cut(string(t), "~")
	return english
}

// Forms returns the forms of the text: one, or the singular and the plural.
func (t Text) Forms() []string { return strings.Split(t.English(), "|") }

// Names returns the names of the placeholders, in the order of the arguments. The plural decides the order, because it
// always has the number.
func (t Text) Names() []string {
	forms := t.Forms()
	return namesIn(forms[len(forms)-1])
}

func namesIn(form string) []string {
	var names []string
	for _, name := range placeholder.FindAllString(form, -1) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// sentenceEnd is the full stop of a form's sentence, next to its placeholder or after the elements that end there.
var sentenceEnd = regexp.MustCompile(`^((?:</[a-z]+>)*)\.(?:[\s<]|$)`)

// fill replaces the placeholders of a form by values, which are already written for their place. A value that ends with
// a full stop, such as an abbreviation's ("7 Min."), ends the sentence with it.
func fill(form string, names []string, value func(i int, before string) string) string {
	if len(names) == 0 {
		return form
	}
	var b strings.Builder
	rest := form
	for {
		at := placeholder.FindStringIndex(rest)
		if at == nil {
			b.WriteString(rest)
			return b.String()
		}
		b.WriteString(rest[:at[0]])
		if i := slices.Index(names, rest[at[0]:at[1]]); i >= 0 {
			b.WriteString(value(i, b.String()))
		} else {
			b.WriteString(rest[at[0]:at[1]])
		}
		rest = rest[at[1]:]
		if end := sentenceEnd.FindStringSubmatch(rest); end != nil && strings.HasSuffix(b.String(), ".") {
			rest = end[1] + rest[len(end[1])+1:]
		}
	}
}

// T returns the text in the language, with its placeholders filled in. Numbers are written as the region writes them.
func (l *Locale) T(t Text, args ...any) string {
	form, names := l.form(t, args)
	return fill(form, names, func(i int, _ string) string { return l.value(args, i) })
}

// HTML is [Locale.T] for texts with markup. What fills a placeholder is escaped, unless it is template.HTML; in an
// address, only paths of this site are written.
func (l *Locale) HTML(t Text, args ...any) template.HTML {
	form, names := l.form(t, args)
	filled := fill(form, names, func(i int, before string) string {
		if i < len(args) {
			if html, is := args[i].(template.HTML); is {
				return string(html)
			}
		}
		value := l.value(args, i)
		if strings.HasSuffix(before, `="`) && (!strings.HasPrefix(value, "/") || strings.HasPrefix(value, "//")) {
			return "#"
		}
		return template.HTMLEscapeString(value)
	})
	return template.HTML(filled) // #nosec G203 -- our own text; what is filled in is escaped
}

// form returns the form of a text that fits its arguments, and the names of its placeholders.
func (l *Locale) form(t Text, args []any) (form string, names []string) {
	forms, translated := l.catalog.entries[t]
	if !translated {
		forms = t.Forms()
	}
	if len(forms) == 1 && len(args) == 0 {
		return forms[0], nil
	}
	names = t.Names()
	if len(forms) == 1 {
		return forms[0], names
	}
	n := 0
	if i := slices.Index(names, "{n}"); i >= 0 && i < len(args) {
		n, _ = args[i].(int)
	}
	rules := l.catalog
	if !translated {
		rules = English
	}
	return forms[min(rules.pluralForm(n), len(forms)-1)], names
}

// value writes the argument of a placeholder.
func (l *Locale) value(args []any, i int) string {
	if i >= len(args) {
		return ""
	}
	switch v := args[i].(type) {
	case int:
		return l.Number(v)
	case string:
		return v
	case Text:
		return l.T(v)
	case template.HTML:
		return string(v)
	}
	return fmt.Sprint(args[i])
}
