package importfile

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// Which files can be read, and what is reported of others. "| " begins what is wrong with one row.
func TestFilesToImport(t *testing.T) {
	t.Parallel()
	const head = "reservation_id,listing_id,check_in,check_out\n"
	for name, c := range map[string]struct{ file, extension, want string }{
		"commas":                        {head + "A,L,2030-01-01,2030-01-02\n", ".csv", "line 2 A L"},
		"semicolons":                    {"reservation_id;listing_id\nA;L\n", ".csv", "line 2 A L"},
		"tabs":                          {"reservation_id\tlisting_id\nA\tL\n", ".tsv", "line 2 A L"},
		"no room yet":                   {head + "A,,2030-01-01,2030-01-02\n", ".csv", "line 2 A <nil>"},
		"a mark before a quoted header": {"\ufeff\"reservation_id\",listing_id\nA,L\n", ".csv", "line 2 A L"},
		"a mark before an object": {
			"\ufeff{\"reservation_id\":\"A\",\"listing_id\":\"L\"}\n", ".ndjson",
			"line 1 A L",
		},
		"a mark before a list": {
			"\ufeff[{\"reservation_id\":\"A\",\"listing_id\":\"L\"}]", ".json",
			"item 1 A L",
		},
		"a bare quote": {
			head + "A\"B,L,,\nC,L,,\n", ".csv",
			`line 2 | bare " in non-quoted-field, line 3 C L`,
		},
		"a quote that is never closed": {
			head + "A,L,,\n\"B,L,,\nC,L,,\n", ".csv",
			"line 2 A L; line 3: a quote opened here is not closed",
		},
		"too few cells": {head + "A,L\n", ".csv", "line 2 | wrong number of fields"},
		"an unknown column": {
			"reservation_id,guest_mail\nA,x\n", ".csv",
			`; line 1 (separated by ','): unknown field "guest_mail"`,
		},
		"two unknown columns": {
			"Reservation ID,guest_mail\nA,x\n", ".csv",
			`unknown fields "Reservation ID", "guest_mail". Known fields: `,
		},
		"a column twice": {
			"reservation_id,reservation_id\nA,B\n", ".csv",
			`; line 1: column "reservation_id" appears twice`,
		},
		"an unknown field": {
			`{"reservation_id":"A","guest_mail":"x"}`, ".ndjson",
			`line 1 | unknown field "guest_mail"`,
		},
		"an unknown field of an event": {
			`{"type":"t","timestamp":"x","data":{"mail":"x"}}`, ".ndjson",
			`line 1 | unknown field "mail"`,
		},
		"letters of a country's encoding": {
			head + "A,L,,\n\xc41,L,,\n", ".csv",
			"line 3 is not UTF-8: save the file as UTF-8",
		},
		"UTF-16":        {"\xff\xfer\x00e\x00", ".csv", "line 1 is not UTF-8"},
		"an empty file": {"", ".csv", "; line 1 must be the names of the fields"},
		"a list that is cut off": {
			`[{"reservation_id":"A","listing_id":"L"},{"reservation_id":"B","listing_id":"L"}`,
			".json", "item 1 A L, item 2 B L; the list is not closed after item 2",
		},
		"a list that is cut in an item": {
			`[{"reservation_id":"A","listing_id":"L"},{"reser`, ".json",
			"item 1 A L; item 2 is not complete, so the file is truncated",
		},
		"no list": {
			`{"reservation_id":"A"}`, ".json",
			"; a .json file must be a list of objects",
		},
		"something after the list": {`[] []`, ".json", "; unexpected text after the list"},
		"an item that is no object": {
			`[1, {"reservation_id":"A","listing_id":"L"}]`, ".json",
			"item 1 | must be an object, item 2 A L",
		},
		"of another kind": {"", ".xls", `; ".xls" must be .csv`},
	} {
		for reader, file := range map[string]io.Reader{
			"":               strings.NewReader(c.file),
			", byte by byte": iotest.OneByteReader(strings.NewReader(c.file)),
		} {
			t.Run(name+reader, func(t *testing.T) {
				t.Parallel()
				if got := rowsOf(file, c.extension); !strings.Contains(got, c.want) {
					t.Errorf("got  %s\nwant %s", got, c.want)
				}
			})
		}
	}
}

// rowsOf are a file's rows in a line, and the error that ended it.
func rowsOf(file io.Reader, extension string) string {
	var rows []string
	err := Each(file, extension, false, func(r Row) error {
		if len(rows) > 100 {
			return errors.New("it doesn't end")
		}
		if r.Wrong != nil {
			rows = append(rows, r.Where+" | "+r.Wrong.Error())
		} else {
			rows = append(rows, fmt.Sprint(r.Where, " ", r.Fields["reservation_id"], " ", r.Fields["listing_id"]))
		}
		return nil
	})
	text := strings.Join(rows, ", ")
	if err != nil {
		text += "; " + err.Error()
	}
	return text
}

// A disk that fails in the middle ends the import: it isn't read forever.
func TestImportOfAFailingDisk(t *testing.T) {
	t.Parallel()
	for extension, start := range map[string]string{
		".csv":    "reservation_id,listing_id\nA,L\n",
		".ndjson": `{"reservation_id":"A","listing_id":"L"}` + "\n",
		".json":   `[{"reservation_id":"A","listing_id":"L"},`,
	} {
		got := rowsOf(io.MultiReader(strings.NewReader(start), iotest.ErrReader(errors.New("input/output error"))),
			extension)
		if !strings.Contains(got, " A L; ") || !strings.Contains(got, "input/output error") {
			t.Errorf("%s: %s", extension, got)
		}
	}
}
