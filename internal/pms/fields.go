package pms

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"net/mail"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/language"
)

// item collects what is wrong with one output: errors reject it, notes say which fields were dropped.
type item struct {
	errs  *[]FieldError
	notes *[]Note
}

// fields are the fields of one object in a program's output.
type fields struct {
	prefix string
	values map[string]any
	item
	lenient bool // it takes something away: only its id must be readable
}

func (f fields) path(name string) string {
	if name == "" {
		return f.prefix
	}
	return f.prefix + "." + name
}

// fail rejects the item.
func (f fields) fail(name, message string) {
	*f.errs = append(*f.errs, FieldError{f.path(name), f.because(name, message)})
}

// drop notes that a field was ignored.
func (f fields) drop(name, problem string) {
	*f.notes = append(*f.notes, Note{f.path(name), f.because(name, problem)})
}

// because is what is wrong with a field: that the program failed to compute it, or what its value is.
func (f fields) because(name, problem string) string {
	if why, is := failure(f.values[name]); is {
		return why
	}
	return problem
}

// overlooked notes fields that the program failed to compute and that would otherwise look absent.
func (f fields) overlooked(names ...string) {
	for _, name := range names {
		if name == failedKey { // a part of the object itself
			if f.values[name] != nil {
				why, _ := failure(map[string]any{failedKey: f.values[name]})
				*f.notes = append(*f.notes, Note{f.prefix, why})
			}
		} else if why, is := failure(f.values[name]); is {
			f.drop(name, why)
		}
	}
}

// refuse rejects an item that gives a key, and drops the field of one that takes a key away.
func (f fields) refuse(name, message string) {
	if f.lenient {
		f.drop(name, message)
		return
	}
	f.fail(name, message)
}

// only refuses fields of other names: most often one is misspelt.
func (f fields) only(known ...string) {
	var unknown []string
	for name := range f.values {
		if name != failedKey && !slices.Contains(known, name) {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	for _, name := range unknown {
		f.refuse(printable(name, maxID), "is not a field of it: it has "+strings.Join(known, ", "))
	}
}

var wholeNumber = regexp.MustCompile(`^-?[0-9]+\.0+$`)

// readID reads a text or a number as an id; "" where there is none. A number that was written as 7.0 is 7.
func readID(v any) (string, error) {
	s, ok := asText(v)
	if !ok {
		return "", errors.New("must be a text or a number")
	}
	if _, text := v.(string); !text && wholeNumber.MatchString(s) {
		s, _, _ = strings.Cut(s, ".")
	}
	s = strings.TrimSpace(s)
	return s, CheckID(s)
}

// id reads an id; "" if it is absent, which is an error if it is required.
func (f fields) id(name string, required bool) string {
	s, err := readID(f.values[name])
	switch {
	case err != nil:
		f.fail(name, err.Error())
		return ""
	case s == "" && required:
		f.fail(name, "is required")
	}
	return s
}

// room reads the id of a listing: it must be readable where a key is given.
func (f fields) room(name string) *string {
	s, err := readID(f.values[name])
	if err != nil {
		f.refuse(name, err.Error())
		return nil
	}
	return orNone(s)
}

// dropID reads an optional id. An invalid one is dropped.
func (f fields) dropID(name string) *string {
	s, err := readID(f.values[name])
	if err != nil {
		f.drop(name, err.Error())
		return nil
	}
	return orNone(s)
}

func orNone(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// mostIDs is how many ids one request may ask for.
const mostIDs = 1000

func (f fields) ids(name string) []string {
	v := f.values[name]
	if v == nil {
		return nil
	}
	list, ok := v.([]any)
	if !ok || len(list) > mostIDs {
		f.fail(name, fmt.Sprintf("must be a list of at most %d ids", mostIDs))
		return nil
	}
	ids, seen := []string{}, make(map[string]bool, len(list))
	for i, v := range list {
		id, err := readID(v)
		switch {
		case err != nil:
			f.fail(fmt.Sprintf("%s[%d]", name, i), err.Error())
		case id == "":
			f.fail(fmt.Sprintf("%s[%d]", name, i), "is required")
		case !seen[id]:
			ids, seen[id] = append(ids, id), true
		}
	}
	return ids
}

// text reads a text for people. Neither the PMS nor staykey can correct it, so it is cut to what can be stored.
func (f fields) text(name string) *string {
	s, ok := asText(f.values[name])
	if !ok {
		f.drop(name, "must be a text")
	}
	return orNone(printable(s, maxText))
}

func printable(s string, most int) string {
	s = strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "�")))
	if len(s) > most {
		if runes := []rune(s); len(runes) > most {
			return string(runes[:most])
		}
	}
	return s
}

// contactKeys are where PMSs keep an address or a number that is an object.
var contactKeys = []string{"address", "email", "number", "phone", "phone_number", "value"}

// contact reads an address or a number, also the first of a list, and one that is an object.
func (f fields) contact(name string) string {
	v := f.values[name]
	if list, ok := v.([]any); ok {
		v = nil
		if len(list) > 0 {
			v = list[0]
		}
	}
	if object, ok := v.(map[string]any); ok {
		for _, key := range contactKeys {
			if text, is := object[key].(string); is {
				return printable(text, maxText)
			}
		}
	}
	s, ok := asText(v)
	if !ok {
		f.drop(name, "must be a text")
	}
	return printable(s, maxText)
}

// email reads a guest's address. An invalid one is dropped; of several the first counts.
func (f fields) email() *string {
	const name = "guest_email"
	s := strings.TrimPrefix(f.contact(name), "mailto:")
	if s == "" {
		return nil
	}
	addresses := addressesIn(s)
	if len(addresses) == 0 {
		f.drop(name, "is no e-mail address, so the reservation has none")
		return nil
	}
	if len(addresses) > 1 {
		f.drop(name, "holds several addresses, of which the first is used")
	}
	return &addresses[0]
}

// addressesIn finds the e-mail addresses of a text: most often the text is one.
func addressesIn(s string) []string {
	if isAddress(s) {
		return []string{s}
	}
	if list, err := mail.ParseAddressList(strings.ReplaceAll(s, ";", ",")); err == nil {
		var found []string
		for _, a := range list {
			if isAddress(a.Address) {
				found = append(found, a.Address)
			}
		}
		return found
	}
	return slices.DeleteFunc(strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(";,/| \t", r) }),
		func(part string) bool {
			return !isAddress(part)
		})
}

func isAddress(s string) bool {
	if len(s) > maxEmail {
		return false
	}
	a, err := mail.ParseAddress(s)
	return err == nil && a.Address == s
}

// phoneMarks removes what people write between the digits of a number.
var phoneMarks = strings.NewReplacer(" ", "", "-", "", "(", "", ")", "", ".", "", "/", "")

// phone reads a number, without what people put between its digits.
func (f fields) phone() *string {
	s := f.contact("guest_phone")
	if bare := phoneMarks.Replace(s); e164.MatchString(bare) {
		return &bare
	}
	return orNone(s)
}

// language reads a BCP 47 tag, with hyphens or underscores (de_AT).
func (f fields) language(name string) *string {
	s := f.text(name)
	if s == nil {
		return nil
	}
	tag, err := language.Parse(*s)
	if err != nil || tag.IsRoot() {
		f.drop(name, "is no language tag such as de or pt-BR")
		return nil
	}
	text := tag.String()
	return &text
}

// clock reads a listing's check-in or check-out time, as HH:MM.
func (f fields) clock(name string) *string {
	v := f.values[name]
	if s, isText := v.(string); v == nil || (isText && strings.TrimSpace(s) == "") {
		return nil
	}
	end := startOfStay
	if name == "check_out_time" {
		end = endOfStay
	}
	d, ok := readHour(v, end)
	if !ok || d < 0 || d >= 24*time.Hour {
		f.drop(name, errHour.Error())
		return nil
	}
	clock := fmt.Sprintf("%02d:%02d", int(d.Hours()), int(d.Minutes())%60)
	return &clock
}

// version is when the PMS made the change; zero if that is absent or can't be read, and then the time of receipt
// counts.
func (f fields) version() time.Time { return f.instant("version") }

func (f fields) instant(name string) time.Time {
	v := f.values[name]
	if s, isText := v.(string); v == nil || (isText && (strings.TrimSpace(s) == "" || isZeroDate(s))) {
		return time.Time{}
	}
	t, err := ReadInstant(v)
	if err != nil {
		f.drop(name, err.Error())
	}
	return t
}

var errInstant = errors.New(
	`must be an RFC 3339 date-time, "2026-11-01 15:00" or "2026-11-01 15:00:30" of UTC, or seconds or milliseconds since 1970`)

// ReadInstant reads a time in any of the ways in which PMSs say when something changed. A time without a zone is UTC.
func ReadInstant(v any) (time.Time, error) {
	text, ok := asText(v)
	if !ok {
		return time.Time{}, errInstant
	}

	text = strings.TrimSpace(text)
	for _, layout := range []string{"2006-01-02 15:04:05", "2006-01-02T15:04:05"} { // with or without a fraction
		if t, err := time.Parse(layout, text); err == nil && plausible(t) {
			return t.Truncate(time.Millisecond), nil
		}
	}

	if m, err := readTime(text); err == nil {
		if m.IsLocal() {
			return m.local, nil
		}
		return m.instant, nil
	}

	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || seconds < 1e8 || math.IsInf(seconds, 0) {
		return time.Time{}, errInstant
	}
	if seconds > 1e11 { // milliseconds
		seconds /= 1000
	}

	t := time.UnixMilli(int64(math.Round(seconds * 1000))).UTC()
	if !plausible(t) {
		return time.Time{}, errInstant
	}
	return t, nil
}

// asText reads a text, or a number as it was written; null is "".
func asText(v any) (string, bool) {
	switch v := v.(type) {
	case nil:
		return "", true
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case int:
		return strconv.Itoa(v), true
	case *big.Int:
		return v.String(), true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), true
	}
	return "", false
}
