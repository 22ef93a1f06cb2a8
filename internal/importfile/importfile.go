// Package importfile reads the files that staykey import imports: CSV with a header of field names, a JSON list, or an
// object per line. Each row has the fields of the canonical format, or is a whole event in it.
//
// A row is wrong on its own where only it is affected: the others are imported. What puts the rest of the file in
// doubt (a read error, another encoding, an unknown column, a list that isn't closed) ends the import.
//
//	importfile.go   what a row is, and which fields it may have
//	csv.go          records of CSV
//	json.go         a list, or an object per line
//	utf8.go         refuses any encoding but UTF-8, naming the line
package importfile

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/staykey/staykey/internal/pms"
)

// Row is a row of a file.
type Row struct {
	Where  string         // its line or item, for people
	Fields map[string]any // nil if Wrong is set
	Bytes  int            // about how large it is
	Wrong  error          // why it can't be read; nil if it can
}

// Event is the event that a row stands for: itself if it is a whole one, otherwise an update that is as old as the
// file.
func (r Row) Event(asOf time.Time) map[string]any {
	if _, whole := r.Fields["data"]; whole {
		return r.Fields
	}
	kind := "listing.updated"
	if _, is := r.Fields["reservation_id"]; is {
		kind = "reservation.updated"
	}
	return map[string]any{"type": kind, "timestamp": pms.FormatInstant(asOf), "data": r.Fields}
}

// importFields are those of the canonical format, and of its envelope where a row is a whole event.
var importFields = []string{
	"acs_system_id", "check_in", "check_in_time", "check_out", "check_out_time", "gates", "guest_email", "guest_name",
	"guest_phone", "listing_id", "name",
	"reservation_id", "seam_access_group_ids", "status", "time_zone",
}

var envelopeFields = []string{"data", "timestamp", "type"}

// Each calls fn with each row of a file whose name ends in extension (with its dot), and returns what ended it: fn's
// error, or why the rest of the file can't be read. Unless ignoreUnknown is set, fields of other names are wrong.
func Each(file io.Reader, extension string, ignoreUnknown bool, fn func(Row) error) error {
	text := &utf8Reader{r: bufio.NewReader(file), line: 1}
	buffered := bufio.NewReader(text)
	if mark, _ := buffered.Peek(3); bytes.Equal(mark, []byte("\ufeff")) { // spreadsheets put a mark in front
		_, _ = buffered.Discard(3)
	}
	checked := func(r Row) error {
		if r.Wrong == nil {
			r.Wrong = unknownFields(r.Fields, ignoreUnknown)
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
