package main

import (
	"go/scanner"
	"go/token"
	"regexp"
	"strings"
)

const (
	// mostColumns is how wide a line of Go may be, a tab counted as four columns.
	mostColumns = 120
	// mostText is how wide a text in quotes may be that makes its line wider than that. People search for messages,
	// and nobody for a paragraph.
	mostText = 160
)

// wideLines returns the numbers of the lines that are too wide and could be broken. Three kinds of lines can't: a
// literal that reaches beyond the last column, unless it is one of [wideTexts]; the text of a raw string that isn't
// SQL; and a directive or a diagram in a comment.
func wideLines(source []byte) []int {
	whole := map[int]bool{}
	files := token.NewFileSet()
	file := files.AddFile("", files.Base(), len(source))
	var s scanner.Scanner
	s.Init(file, source, nil, scanner.ScanComments)
	lines := strings.Split(string(source), "\n")
	for {
		pos, t, text := s.Scan()
		if t == token.EOF {
			break
		}
		first := file.Position(pos)
		for i := range strings.Count(text, "\n") + 1 {
			whole[first.Line+i] = whole[first.Line+i] || staysWhole(t, text, lines[first.Line-1][:first.Column-1])
		}
	}
	var wide []int
	for i, line := range lines {
		if columns(line) > mostColumns && !whole[i+1] {
			wide = append(wide, i+1)
		}
	}
	return wide
}

// wideTexts returns the numbers of the lines that are too wide because of a statement of SQL, or a text in quotes that
// is wider than mostText. Tests may have such lines: a case is one line, and its text one piece.
func wideTexts(source []byte) []int {
	files := token.NewFileSet()
	file := files.AddFile("", files.Base(), len(source))
	var s scanner.Scanner
	s.Init(file, source, nil, 0)
	lines := strings.Split(string(source), "\n")
	var wide []int
	for {
		pos, t, text := s.Scan()
		if t == token.EOF {
			return wide
		}
		first := file.Position(pos)
		end := columns(lines[first.Line-1][:first.Column-1] + text)
		if t != token.STRING || strings.Contains(text, "\n") || end <= mostColumns {
			continue
		}

		raw := strings.HasPrefix(text, "`")
		if raw && isSQL.MatchString(text) || !raw && columns(text) > mostText {
			wide = append(wide, first.Line)
		}
	}
}

// staysWhole reports whether a token can't be broken to make its line narrower; before is what its line has before it.
func staysWhole(t token.Token, text, before string) bool {
	switch t {
	case token.STRING:
		crosses := columns(before) < mostColumns && columns(before+text)+len(",") > mostColumns
		if strings.Contains(text, "\n") {
			return !isSQL.MatchString(text)
		}
		return len(text) > 20 && crosses
	case token.COMMENT:
		return strings.Contains(text, "#nosec") || strings.HasPrefix(text, "//go:") || strings.HasPrefix(text, "//\t")
	default:
		return false
	}
}

// isSQL matches a raw string of SQL, or of a part of a statement.
var isSQL = regexp.MustCompile(`\b(?:SELECT|INSERT INTO|UPDATE|DELETE FROM|WITH|FROM|WHERE|JOIN|CREATE|ALTER)\b`)

// columns is how wide a line is shown.
func columns(line string) int {
	return len([]rune(strings.ReplaceAll(line, "\t", "    ")))
}
