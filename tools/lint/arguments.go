package main

import (
	"go/scanner"
	"go/token"
	"regexp"
	"slices"
	"strconv"
)

// mostArguments is how many arguments of a statement may be counted ($1, $2) and not named (@source).
const mostArguments = 5

var argument = regexp.MustCompile(`\$([0-9]+)`)

// countedArguments returns the lines of string literals that have an argument beyond the last that may be counted.
func countedArguments(source []byte) []int {
	files := token.NewFileSet()
	file := files.AddFile("", files.Base(), len(source))
	var s scanner.Scanner
	s.Init(file, source, nil, 0)

	var found []int // ascending
	for {
		pos, t, text := s.Scan()
		if t == token.EOF {
			return slices.Compact(found)
		}
		if t != token.STRING {
			continue
		}
		for _, at := range argument.FindAllStringSubmatchIndex(text, -1) {
			n, err := strconv.Atoi(text[at[2]:at[3]])
			if err == nil && n > mostArguments {
				found = append(found, file.Line(pos+token.Pos(at[0])))
			}
		}
	}
}
