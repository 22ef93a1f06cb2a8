package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
)

// mostDense is how many lines of a function may follow each other without a blank line or a comment.
const mostDense = 25

// denseLines returns the lines of functions at which so many have come without a break that a reader can't see where
// one thought ends and the next begins. A case of a switch is a break too. What is a table, such as a composite literal
// or SQL, counts as its first line.
func denseLines(source []byte) []int {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, "", source, 0)
	if err != nil {
		return nil // the compiler reports it
	}
	line := func(pos token.Pos) int { return files.Position(pos).Line }
	lines, table := strings.Split(string(source), "\n"), tableLines(file, line)

	var dense []int
	for _, d := range file.Decls {
		f, is := d.(*ast.FuncDecl)
		if !is {
			continue
		}
		run := 0
		for n := line(f.Pos()); n <= line(f.End()); n++ {
			switch text := strings.TrimSpace(lines[n-1]); {
			case isBreak(text):
				run = 0
			case !table[n]:
				run++
			}
			if run == mostDense+1 && !table[n] {
				dense = append(dense, n)
			}
		}
	}
	return dense
}

// tableLines are the lines of composite literals and raw strings after their first, without those of functions inside.
func tableLines(file *ast.File, line func(token.Pos) int) map[int]bool {
	table := map[int]bool{}
	mark := func(n ast.Node, from int, is bool) {
		for i := from; i <= line(n.End()); i++ {
			table[i] = is
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CompositeLit, *ast.BasicLit:
			mark(n, line(n.Pos())+1, true)
		case *ast.FuncLit:
			mark(n, line(n.Pos()), false)
		}
		return true
	})
	return table
}

// isBreak reports whether a line divides those before it from those after it.
func isBreak(text string) bool {
	return text == "" || text == "default:" || strings.HasPrefix(text, "case ") || strings.HasPrefix(text, "//")
}
