package admin

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Tables for spreadsheets. A spreadsheet takes a cell that begins with one of these for a formula, which could send
// what else is in the table to somebody: such a cell gets an apostrophe in front, which spreadsheets hide, and
// which is taken off again when a table comes back.
const formulaStart = "=+-@\t\r|%"

// sheetCell is a text as a cell that no spreadsheet takes for a formula.
func sheetCell(text string) string {
	text = strings.ReplaceAll(text, "\x00", "")
	if trimmed := strings.TrimLeft(text, " "); trimmed != "" && strings.ContainsRune(formulaStart, rune(trimmed[0])) {
		return "'" + text
	}
	return text
}

// sheetText is the text of a cell that [sheetCell] or a person wrote.
func sheetText(cell string) string {
	cell = strings.TrimSpace(cell)
	if rest, quoted := strings.CutPrefix(cell, "'"); quoted && sheetCell(rest) != rest {
		return strings.TrimSpace(rest)
	}
	return cell
}

// writeSheet writes a row of a table.
func writeSheet(w *csv.Writer, cells ...string) error {
	row := make([]string, len(cells))
	for i, c := range cells {
		row[i] = sheetCell(c)
	}
	return w.Write(row)
}

// sheetRow is a row of a table by the names of its columns.
type sheetRow struct {
	Line  int
	Cells map[string]string
}

// readSheet reads a table as spreadsheets write it: separated by commas, semicolons or tabs, with or without a byte
// order mark. known are the columns that it may have, required those that it must have.
func readSheet(text []byte, known, required []string, most int) ([]sheetRow, error) {
	text = bytes.TrimPrefix(text, []byte("\xEF\xBB\xBF"))
	r := csv.NewReader(bytes.NewReader(text))
	r.FieldsPerRecord, r.LazyQuotes, r.Comma = -1, true, separatorOf(text)

	header, err := r.Read()
	if err != nil {
		return nil, errors.New("the file is empty: its first line must name the columns " +
			strings.Join(required, ", "))
	}
	for i, name := range header {
		header[i] = strings.ReplaceAll(strings.ToLower(strings.TrimSpace(name)), " ", "_")
	}
	if err := checkColumns(header, known, required); err != nil {
		return nil, err
	}

	var rows []sheetRow
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err != nil {
			return nil, fmt.Errorf("can't be read as CSV: %w", err)
		}

		line, _ := r.FieldPos(0)
		row := sheetRow{Line: line, Cells: map[string]string{}}
		for i, cell := range record[:min(len(record), len(header))] {
			row.Cells[header[i]] = sheetText(cell)
		}

		if len(rows) == most {
			return nil, fmt.Errorf("more than %d rows: split the file", most)
		}
		rows = append(rows, row)
	}
}

// separatorOf is what the first line separates its columns by.
func separatorOf(text []byte) rune {
	first, _, _ := bytes.Cut(text, []byte("\n"))
	most := ','
	for _, separator := range ";\t" {
		if bytes.Count(first, []byte(string(separator))) > bytes.Count(first, []byte(string(most))) {
			most = separator
		}
	}
	return most
}

func checkColumns(header, known, required []string) error {
	for _, name := range header {
		if !slices.Contains(known, name) {
			return fmt.Errorf("unknown column %q: known are %s", name, strings.Join(known, ", "))
		}
	}
	for _, name := range required {
		if !slices.Contains(header, name) {
			return fmt.Errorf("the column %s is missing: the first line names the columns", name)
		}
	}
	return nil
}
