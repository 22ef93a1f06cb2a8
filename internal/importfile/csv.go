package importfile

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// eachRecord reads a CSV file, separated by commas, semicolons or tabs. An empty cell is none; access groups are
// separated by spaces or semicolons.
func eachRecord(file *bufio.Reader, ignoreUnknown bool, fn func(Row) error) error {
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
			if err := fn(Row{Where: fmt.Sprintf("line %d", broken.Line), Wrong: broken.Err}); err != nil {
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

func recordOf(where string, names, record []string, ignoreUnknown bool) Row {
	r := Row{Where: where, Fields: map[string]any{}}
	for i, cell := range record {
		r.Bytes += len(cell) + len(names[i]) + 8
		switch name := names[i]; {
		case ignoreUnknown && !slices.Contains(importFields, name):
		case name == "seam_access_group_ids":
			r.Fields[name] = strings.FieldsFunc(cell, func(c rune) bool { return c == ' ' || c == ';' || c == ',' })
		case cell != "":
			r.Fields[name] = cell
		case name == "listing_id":
			r.Fields[name] = nil // no room yet
		}
	}
	if _, stays := r.Fields["check_in"]; stays && r.Fields["reservation_id"] == nil {
		r.Fields["reservation_id"] = nil // a reservation without its id, and no listing
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
