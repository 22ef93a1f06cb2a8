package admin

import (
	"bytes"
	"encoding/csv"
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
		{2, map[string]string{"listing_id": "101", "doors": "Room 101; Pool"}},
		{3, map[string]string{"listing_id": "102", "doors": ""}},
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
	for text, want := range map[string]string{
		"": "is empty", "listing_id\n101\n": "column doors is missing",
		"listing_id,doors,Colour\n":                        `unknown column "colour": known are listing_id, doors`,
		"listing_id,doors\n" + strings.Repeat("1,2\n", 11): "more than 10 rows",
	} {
		if _, err := readSheet([]byte(text), known, required, 10); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, not %q", text, err, want)
		}
	}
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	if err := writeSheet(w, "=1", "a,b"); err != nil {
		t.Fatal(err)
	}
	w.Flush()
	if b.String() != "'=1,\"a,b\"\n" {
		t.Errorf("%q", b.String())
	}
}
