package main

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/staykey/staykey/internal/pms"
)

// A row is wrong on its own where only it is affected: the others are imported. What puts the rest of the file in
// doubt (a read error, another encoding, an unknown column, a list that isn't closed) ends the import.

// row is a row of a file.
type row struct {
	where  string // line or item
	fields map[string]any
	bytes  int   // about
	wrong  error // why it can't be read
}

// importFields are those of the canonical format, and of its envelope where a row is a whole event.
var importFields = []string{
	"acs_system_id", "check_in", "check_in_time", "check_out", "check_out_time", "gates", "guest_email", "guest_name",
	"guest_phone", "listing_id", "name",
	"reservation_id", "seam_access_group_ids", "status", "time_zone",
}

var envelopeFields = []string{"data", "timestamp", "type"}

// eachRow calls fn with each row of a file.
func eachRow(file io.Reader, extension string, ignoreUnknown bool, fn func(row) error) error {
	text := &utf8Reader{r: bufio.NewReader(file), line: 1}
	buffered := bufio.NewReader(text)
	if mark, _ := buffered.Peek(3); bytes.Equal(mark, []byte("\ufeff")) { // spreadsheets put a mark in front
		_, _ = buffered.Discard(3)
	}
	checked := func(r row) error {
		if r.wrong == nil {
			r.wrong = unknownFields(r.fields, ignoreUnknown)
		}
		return fn(r)
	}
	switch extension {
	case ".csv", ".tsv":
		return eachRecord(buffered, ignoreUnknown, fn)
	case ".ndjson", ".jsonl":
		return eachLine(buffered, checked)
	case ".json":
		return eachItem(buffered, checked)
	}
	return fmt.Errorf("%q must be .csv, .tsv, .json or .ndjson", extension)
}

// unknownFields refuses fields of other names: most often one is misspelt, and rows are whole, so that what is not
// specified is removed.
func unknownFields(fields map[string]any, ignore bool) error {
	if ignore {
		return nil
	}
	known := importFields
	if data, whole := fields["data"].(map[string]any); whole {
		if err := unknownFields(data, false); err != nil {
			return err
		}
		known = envelopeFields
	}
	var unknown []string
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if !slices.Contains(known, name) {
			unknown = append(unknown, fmt.Sprintf("%q", name))
		}
	}
	if len(unknown) == 0 {
		return nil
	}

	noun, them := "field", "it"
	if len(unknown) > 1 {
		noun, them = "fields", "them"
	}
	return fmt.Errorf("unknown %s %s. Known fields: %s. Use --ignore-unknown to skip %s",
		noun, strings.Join(unknown, ", "), strings.Join(known, ", "), them)
}

func eachLine(file *bufio.Reader, fn func(row) error) error {
	for n := 1; ; n++ {
		line, err := file.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			fields, wrong := asObject(line)
			if err := fn(row{fmt.Sprintf("line %d", n), fields, len(line), wrong}); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func eachItem(file io.Reader, fn func(row) error) error {
	d := json.NewDecoder(file)
	if open, err := d.Token(); err != nil || open != json.Delim('[') {
		return errors.Join(errors.New("a .json file must be a list of objects"), readError(err))
	}

	n := 1
	for ; d.More(); n++ {
		var raw json.RawMessage
		if err := d.Decode(&raw); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("item %d is not complete, so the file is truncated", n)
		} else if err != nil {
			return fmt.Errorf("item %d: %w", n, err)
		}
		fields, wrong := asObject(raw)
		if err := fn(row{fmt.Sprintf("item %d", n), fields, len(raw), wrong}); err != nil {
			return err
		}
	}

	if _, err := d.Token(); err != nil {
		return fmt.Errorf("the list is not closed after item %d, so the file is truncated: %w", n-1, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("unexpected text after the list")
	}
	return nil
}

// readError is an error of the file itself; nil where its content is what is wrong.
func readError(err error) error {
	if syntax := new(json.SyntaxError); errors.As(err, &syntax) || errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func asObject(text []byte) (map[string]any, error) {
	v, err := pms.DecodeJSON(text)
	if err != nil {
		return nil, err
	}
	fields, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("must be an object")
	}
	return fields, nil
}

// eachRecord reads a CSV file, separated by commas, semicolons or tabs. An empty cell is none; access groups are
// separated by spaces or semicolons.
func eachRecord(file *bufio.Reader, ignoreUnknown bool, fn func(row) error) error {
	r := csv.NewReader(file)
	r.Comma = separatorOf(file)
	r.ReuseRecord, r.TrimLeadingSpace = true, r.Comma != '\t'

	names, err := readHead(r, ignoreUnknown)
	if err != nil {
		return err
	}
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if broken := new(csv.ParseError); errors.As(err, &broken) {
			if errors.Is(broken.Err, csv.ErrQuote) && broken.StartLine != broken.Line {
				return fmt.Errorf("line %d: a quote opened here is not closed", broken.StartLine)
			}
			if err := fn(row{where: fmt.Sprintf("line %d", broken.Line), wrong: broken.Err}); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}

		line, _ := r.FieldPos(0)
		if err := fn(recordOf(fmt.Sprintf("line %d", line), names, record, ignoreUnknown)); err != nil {
			return err
		}
	}
}

// readHead reads the first line, which names the fields.
func readHead(r *csv.Reader, ignoreUnknown bool) ([]string, error) {
	head, err := r.Read()
	if err != nil {
		return nil, fmt.Errorf("line 1 must be the names of the fields: %w", err)
	}

	names := make([]string, len(head))
	named := map[string]any{}
	for i, name := range head {
		names[i] = strings.TrimSpace(name)
		if _, twice := named[names[i]]; twice {
			return nil, fmt.Errorf("line 1: column %q appears twice", names[i])
		}
		named[names[i]] = ""
	}
	if err := unknownFields(named, ignoreUnknown); err != nil {
		return nil, fmt.Errorf("line 1 (separated by %q): %w", r.Comma, err)
	}
	return names, nil
}

func recordOf(where string, names, record []string, ignoreUnknown bool) row {
	r := row{where: where, fields: map[string]any{}}
	for i, cell := range record {
		r.bytes += len(cell) + len(names[i]) + 8
		switch name := names[i]; {
		case ignoreUnknown && !slices.Contains(importFields, name):
		case name == "seam_access_group_ids":
			r.fields[name] = strings.FieldsFunc(cell, func(c rune) bool { return c == ' ' || c == ';' || c == ',' })
		case cell != "":
			r.fields[name] = cell
		case name == "listing_id":
			r.fields[name] = nil // no room yet
		}
	}
	if _, stays := r.fields["check_in"]; stays && r.fields["reservation_id"] == nil {
		r.fields["reservation_id"] = nil // a reservation without its id, and no listing
	}
	return r
}

// separatorOf finds out what separates the names of the fields in the first line.
func separatorOf(file *bufio.Reader) rune {
	first, _ := file.Peek(4096) // less if the file is shorter
	line, _, _ := bytes.Cut(first, []byte("\n"))
	best := ','
	for _, separator := range []rune{';', '\t'} {
		if bytes.Count(line, []byte(string(separator))) > bytes.Count(line, []byte(string(best))) {
			best = separator
		}
	}
	return best
}

// utf8Reader passes UTF-8 through, and names the line that contains anything else: spreadsheets write regional
// encodings, and two ids that differ in one letter would become the same.
type utf8Reader struct {
	r    *bufio.Reader
	line int
	err  error // that ended it: anyone who looks ahead must not swallow it
}

// Read implements io.Reader.
func (u *utf8Reader) Read(p []byte) (n int, err error) {
	for u.err == nil && n+utf8.UTFMax <= len(p) {
		c, size, err := u.r.ReadRune()
		switch {
		case err != nil:
			u.err = err
		case c == utf8.RuneError && size == 1:
			u.err = fmt.Errorf("line %d is not UTF-8: save the file as UTF-8 (in Excel: \"CSV UTF-8\")", u.line)
		default:
			n += utf8.EncodeRune(p[n:], c)
		}
		if c == '\n' {
			u.line++
		}
		if n > 0 && u.r.Buffered() == 0 {
			break
		}
	}
	if n > 0 {
		return n, nil // the error comes with the next read
	}
	return 0, u.err
}
