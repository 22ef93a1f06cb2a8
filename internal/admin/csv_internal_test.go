package admin

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCellsAreNoFormulas(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"=HYPERLINK(\"http://x\")", "+34612340001", "-1", "@SUM(A1)", "\t=1", "  =1", "|x",
		"%x", "plain", "", "O'Neil", "'quoted",
	} {
		cell := sheetCell(text)
		if trimmed := strings.TrimLeft(cell, " "); trimmed != "" && strings.ContainsAny(trimmed[:1], "=+-@\t\r") {
			t.Errorf("%q is written as %q", text, cell)
		}
		if got := sheetText(cell); got != strings.TrimSpace(text) {
			t.Errorf("%q is written as %q and read as %q", text, cell, got)
		}
	}
}

func TestTablesOfSpreadsheets(t *testing.T) {
	t.Parallel()
	known, required := []string{"listing_id", "doors"}, []string{"listing_id", "doors"}
	want := []sheetRow{
		{2, map[string]string{"listing_id": "101", "doors": "Room 101; Pool"}, nil, ""},
		{3, map[string]string{"listing_id": "102", "doors": ""}, nil, ""},
	}
	for name, text := range map[string]string{
		"commas":                                "listing_id,doors\n101,Room 101; Pool\n102,\n",
		"semicolons, as Excel writes in Europe": "\xEF\xBB\xBFListing ID;Doors\r\n101;\"Room 101; Pool\"\r\n102;\r\n",
		"tabs, another order":                   "doors\tlisting_id\nRoom 101; Pool\t101\n\t102\n",
	} {
		got, err := readSheet([]byte(text), known, required, 10)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
	named := "sep=;\r\nlisting_id,doors;doors\r\n"
	if _, err := readSheet([]byte(named), known, required, 10); err == nil ||
		!strings.Contains(err.Error(), `unknown column "listing_id,doors"`) {
		t.Errorf("the first line names the separator: %v", err)
	}
	named = "\uFEFFsep=;\r\nlisting_id;doors\r\n101;Room\r\n"
	got, err := readSheet([]byte(named), known, required, 10)
	if diff := cmp.Diff([]sheetRow{{3, map[string]string{"listing_id": "101", "doors": "Room"}, nil, ""}},
		got); diff != "" || err != nil {
		t.Errorf("after a line that names the separator: %v (-want +got):\n%s", err, diff)
	}
	for text, want := range map[string]string{
		"caf\xe9": "CSV UTF-8", "\xff\xfel\x00": "CSV UTF-8", "\"listing_id,doors\n": "the first line can't be read",
		"": "is empty", "listing_id\n101\n": "column doors is missing",
		"listing_id,doors,Colour\n":                        `unknown column "colour": expected one of listing_id, doors`,
		"listing_id,doors\n" + strings.Repeat("1,2\n", 11): "more than 10 rows",
	} {
		if _, err := readSheet([]byte(text), known, required, 10); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, not %q", text, err, want)
		}
	}
	var b bytes.Buffer
	w, err := newSheet(&b, "=1", "a,b")
	if err != nil {
		t.Fatal(err)
	}
	w.Flush()
	if b.String() != "\uFEFF'=1,\"a,b\"\n" {
		t.Errorf("%q", b.String())
	}
}

// A line that can't be read is reported with its number, and the lines around it are read.
func TestLinesThatCannotBeRead(t *testing.T) {
	t.Parallel()
	const head = "listing_id,doors\n"
	for name, c := range map[string]struct{ text, want string }{
		"short":                        {head + "1,A\n2\n3,C\n", "2 1, 3 short, 4 3"},
		"an open quote":                {head + "1,A\n2,\"B\n3,C\n4,D\n", "2 1, 3 quote, 4 3, 5 4"},
		"in the last line":             {head + "1,A\n2,\"B", "2 1, 3 quote"},
		"after empty lines":            {head + "\n\r\n1,\"A\n\n2,B\n3,\"C\n", "4 quote, 6 2, 7 quote"},
		"two, which seem to be a pair": {head + "1,\"A\n2,\"B\n3,C\n", "2 quote, 3 quote, 4 3"},
		"in the middle of a cell":      {head + "1,A\"B\n2,B\n", "2 quote, 3 2"},
		"lines of a cell":              {head + "1,\"A\nB\"\n2,B\n", "2 1, 4 2"},
		"a comma too many":             {head + "1,A, B\n2,B,,\n3,C, \n", "2 long, 3 2, 4 3"},
		"after sep":                    {"sep=,\n" + head + "1,\"A\n2\n", "3 quote, 4 short"},
	} {
		rows, err := readSheet([]byte(c.text), []string{"listing_id", "doors"}, nil, 10)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var got []string
		for _, r := range rows {
			what := map[string]string{
				shortRow: "short", longRow: "long", openQuote: "quote", "": r.Cells["listing_id"],
			}[r.Problem]
			got = append(got, fmt.Sprint(r.Line, " ", what))
		}
		if diff := cmp.Diff(c.want, strings.Join(got, ", ")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}

	many := head + strings.Repeat("1,\"A\n2,B\n", mostOpenQuotes+1)
	if _, err := readSheet([]byte(many), []string{"listing_id", "doors"}, nil, 100); err == nil ||
		!strings.Contains(err.Error(), "more than 20 lines have a quote") {
		t.Errorf("many open quotes: %v", err)
	}
}
