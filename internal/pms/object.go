package pms

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// This file reads the objects of the canonical format, field by field, so that every wrong field can be reported.

// object reads the fields of one JSON object. Each field gets at most one error.
type object struct {
	prefix string
	is     bool // false: not an object
	fields []field
	errs   *[]FieldError
}

type field struct {
	name  string
	value jsontext.Value // of the body itself
}

// field returns the value of a field; of a repeated one, the last.
func (o object) field(name string) (value jsontext.Value, present bool) {
	for i := len(o.fields) - 1; i >= 0; i-- {
		if o.fields[i].name == name {
			return o.fields[i].value, true
		}
	}
	return nil, false
}

// readBody reads a body, which must be an object. The error is [ErrNotJSON].
func readBody(body []byte, known []string, errs *[]FieldError) (object, error) {
	text := withoutMark(body)
	d := lenient(text)
	o, ok := readFields(d, text, "", known, errs)
	if ok {
		_, err := d.ReadToken()
		ok = errors.Is(err, io.EOF) && utf8.Valid(text)
	}
	if ok {
		return o, nil
	}
	if err := CheckJSON(body); err != nil { // its error says what is wrong, and where
		return object{}, err
	}
	*errs = append(*errs, FieldError{"body", "must be a JSON object"})
	return object{}, nil
}

// readObject reads a value that is known to be valid JSON. The result reports whether it is an object.
func readObject(v jsontext.Value, prefix string, known []string, errs *[]FieldError) object {
	d := lenient(v)
	o, ok := readFields(d, v, prefix, known, errs)
	if !ok {
		*errs = append(*errs, FieldError{strings.TrimSuffix(prefix, "."), "must be a JSON object"})
	}
	return o
}

// readFields splits an object into its fields; false if the value is not an object or not JSON. A known name that is
// repeated is an error: which value was meant can't be guessed.
func readFields(d *jsontext.Decoder, of []byte, prefix string, known []string, errs *[]FieldError) (object, bool) {
	if d.PeekKind() != '{' {
		return object{}, false
	}
	o := object{prefix: prefix, is: true, errs: errs, fields: make([]field, 0, len(known))}
	_, _ = d.ReadToken() // the brace
	for d.PeekKind() == '"' {
		token, err := d.ReadToken()
		if err != nil {
			return object{}, false
		}
		name := token.String()
		value, err := d.ReadValue()
		if err != nil {
			return object{}, false
		}
		end := int(d.InputOffset())
		if slices.Contains(known, name) {
			if _, twice := o.field(name); twice {
				o.fail(name, "is defined twice")
			}
		}
		o.fields = append(o.fields, field{name, of[end-len(value) : end]})
	}

	_, err := d.ReadToken()
	return o, err == nil
}

func (o object) fail(name, message string) {
	field := o.prefix + name
	if !slices.ContainsFunc(*o.errs, func(e FieldError) bool { return e.Field == field }) {
		*o.errs = append(*o.errs, FieldError{field, message})
	}
}

// failMissing reports that a required field is absent or null, and the name that the sender may have used in its place.
func (o object) failMissing(name, message string) {
	for _, f := range o.fields {
		if f.name != name && strings.EqualFold(f.name, name) {
			message += fmt.Sprintf("; field names are case-sensitive: %q is another field", f.name)
			break
		}
	}
	o.fail(name, message)
}

// misspelled returns a note for each known field that the object has only in another case. Like every unknown field
// that one is ignored, but its sender hardly meant that.
func (o object) misspelled(known ...string) []Note {
	var notes []Note
	for _, name := range known {
		if _, present := o.field(name); present {
			continue
		}
		if i := slices.IndexFunc(o.fields, func(f field) bool { return strings.EqualFold(f.name, name) }); i >= 0 {
			notes = append(notes, Note{
				o.prefix + o.fields[i].name,
				fmt.Sprintf("is ignored: field names are case-sensitive, write %q", name),
			})
		}
	}
	return notes
}

// text returns a string field, trimmed; false if it has no value. most limits its length in characters; 0 means the
// general limit of texts.
func (o object) text(name string, required bool, most int) (string, bool) {
	v, present := o.field(name)
	if !present || v.Kind() == 'n' {
		if required {
			o.failMissing(name, "is required")
		}
		return "", false
	}

	if v.Kind() != '"' {
		o.fail(name, "must be a string")
		return "", false
	}

	s := strings.TrimSpace(unquoted(v))
	if s == "" {
		if required {
			o.fail(name, "is required and must not be empty")
		}
		return "", false
	}

	if most == 0 {
		most = maxText
	}
	if err := checkText(s, most); err != nil {
		o.fail(name, err.Error())
		return "", false
	}
	return s, true
}

// unquoted is the text of a valid JSON string. Lone surrogates become U+FFFD.
func unquoted(v jsontext.Value) string {
	text, _ := jsontext.AppendUnquote(nil, v) // the only error is about such surrogates
	return string(text)
}

// id reads the id of a reservation, a listing or a group.
func (o object) id(name string, required bool) (string, bool) {
	s, ok := o.text(name, required, maxID)
	if !ok {
		return "", false
	}
	if err := CheckID(s); err != nil {
		o.fail(name, err.Error())
		return "", false
	}
	return s, true
}

func (o object) ids(name string, required bool) []string {
	v, present := o.field(name)
	if !present || v.Kind() == 'n' || string(bytes.TrimSpace(v)) == `""` {
		if required {
			o.failMissing(name, "is required; [] for none")
		}
		return nil
	}

	var raw []jsontext.Value
	if v.Kind() != '[' || json.Unmarshal(v, &raw, jsontext.AllowDuplicateNames(true),
		jsontext.AllowInvalidUTF8(true)) != nil {
		o.fail(name, "must be a list of strings")
		return nil
	}

	if len(raw) > maxIDs {
		o.fail(name, fmt.Sprintf("must hold at most %d ids", maxIDs))
		return nil
	}

	ids := []string{}
	for i, item := range raw {
		element := object{prefix: "", is: true, fields: []field{{"id", item}}, errs: new([]FieldError)}
		id, ok := element.id("id", true)
		if !ok {
			o.fail(name, fmt.Sprintf("item %d %s", i, (*element.errs)[0].Message))
			return nil
		}
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

func (o object) moment(name string, required bool) *Moment {
	s, ok := o.text(name, required, 0)
	if !ok {
		return nil
	}
	m, err := ParseMoment(s)
	if err != nil {
		o.fail(name, err.Error())
		return nil
	}
	return &m
}

func (o object) clock(name string) *string {
	s, ok := o.text(name, false, 0)
	if !ok {
		return nil
	}
	clock, err := ParseClock(s)
	if err != nil {
		o.fail(name, err.Error())
		return nil
	}
	return &clock
}
