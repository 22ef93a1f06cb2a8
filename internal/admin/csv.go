package admin

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
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

// byteOrderMark begins each table: without it Excel takes UTF-8 for another encoding.
const byteOrderMark = "\uFEFF"

// newSheet begins a table with the names of its columns.
func newSheet(to io.Writer, columns ...string) (*csv.Writer, error) {
	if _, err := io.WriteString(to, byteOrderMark); err != nil {
		return nil, err
	}
	w := csv.NewWriter(to)
	return w, writeSheet(w, columns...)
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
	Line    int
	Cells   map[string]string
	Lacks   []string // columns that the row doesn't reach: spreadsheets leave out the last cells if they are empty
	Problem string   // why it can't be read; "" where it can
}

// What is wrong with rows and files.
const (
	shortRow  = "the line has fewer columns than the first one"
	longRow   = "the line has more columns than the first one: put a text that contains commas in quotes"
	openQuote = "the quotes in this line don't match"
	notUTF8   = `must be UTF-8: in the spreadsheet program, save it as "CSV UTF-8" and upload it again`

	mostOpenQuotes = 20 // each is read to the file's end
)

// readSheet reads a table as spreadsheets write it: separated by commas, semicolons or tabs, with or without a byte
// order mark and a first line that names the separator. known are the columns that it may have, required those that it
// must have. A row that can't be read is among the rows, with its problem.
func readSheet(text []byte, known, required []string, most int) ([]sheetRow, error) {
	if !utf8.Valid(text) || bytes.ContainsRune(text, 0) {
		return nil, errors.New(notUTF8)
	}
	r := newSheetReader(text)

	header, err := r.csv.Read()
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.New("the first line can't be read: its quotes don't match")
	}
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
		row, err := r.next(header)
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err != nil {
			return nil, err
		}
		if len(rows) == most {
			return nil, fmt.Errorf("more than %d rows: split the file", most)
		}
		rows = append(rows, row)
	}
}

// sheetReader reads the rows of a table.
type sheetReader struct {
	csv        *csv.Reader
	separator  rune
	text       []byte // that csv reads
	before     int    // the lines before it
	openQuotes int
}

// newSheetReader begins to read a table. Its first line may name the separator, as "sep=;".
func newSheetReader(text []byte) *sheetReader {
	r := &sheetReader{text: bytes.TrimPrefix(text, []byte(byteOrderMark))}
	first, rest, _ := bytes.Cut(r.text, []byte("\n"))
	named, is := bytes.CutPrefix(bytes.ToLower(bytes.Trim(first, "\r\" ")), []byte("sep="))
	if is {
		r.text, r.before = rest, 1
	}

	r.separator = separatorOf(r.text)
	if is && len(named) == 1 && bytes.ContainsAny(named, ",;\t") {
		r.separator = rune(named[0])
	}
	r.begin()
	return r
}

func (r *sheetReader) begin() {
	r.csv = csv.NewReader(bytes.NewReader(r.text))
	r.csv.FieldsPerRecord, r.csv.Comma = -1, r.separator
}

// next reads a row; [io.EOF] after the last. A quote that isn't closed spoils only its own line.
func (r *sheetReader) next(header []string) (sheetRow, error) {
	start := r.csv.InputOffset()
	record, err := r.csv.Read()

	if broken := new(csv.ParseError); errors.As(err, &broken) {
		if errors.Is(err, csv.ErrQuote) {
			r.openQuotes++
		}
		if r.openQuotes > mostOpenQuotes {
			return sheetRow{}, fmt.Errorf("more than %d lines have a quote that isn't closed", mostOpenQuotes)
		}
		row := sheetRow{Line: r.before + broken.StartLine, Problem: openQuote}
		r.skipLine(start, broken.StartLine)
		return row, nil
	}
	if err != nil {
		return sheetRow{}, err
	}

	line, _ := r.csv.FieldPos(0)
	row := sheetRow{Line: r.before + line, Cells: map[string]string{}}
	for i, cell := range record[:min(len(record), len(header))] {
		row.Cells[header[i]] = sheetText(cell)
	}
	if len(record) < len(header) {
		row.Problem, row.Lacks = shortRow, header[len(record):]
	}
	for _, cell := range record[min(len(record), len(header)):] {
		if strings.TrimSpace(cell) != "" {
			row.Problem = longRow
		}
	}
	return row, nil
}

// skipLine continues after the line of a row that starts at an offset, perhaps after empty lines.
func (r *sheetReader) skipLine(offset int64, line int) {
	rest := r.text[offset:]
	for empty := true; empty && len(rest) > 0; {
		var skipped []byte
		skipped, rest, _ = bytes.Cut(rest, []byte("\n"))
		empty = len(bytes.TrimSpace(skipped)) == 0
	}

	r.text, r.before = rest, r.before+line
	r.begin()
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
			return fmt.Errorf("unknown column %q: expected one of %s", name, strings.Join(known, ", "))
		}
	}
	for _, name := range required {
		if !slices.Contains(header, name) {
			return fmt.Errorf("the column %s is missing: the first line names the columns", name)
		}
	}
	return nil
}
