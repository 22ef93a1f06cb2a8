package main

import (
	"go/scanner"
	"go/token"
	"regexp"
	"strings"
)

// mostColumns is how wide a line of Go may be, a tab counted as four columns.
const mostColumns = 120

// wideLines returns the numbers of the lines that are too wide and could be broken. Three kinds of lines can't: a
// literal that reaches beyond the last column, because people search for messages; the text of a raw string that isn't
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
