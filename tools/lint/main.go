// Command lint checks the project's English: docs, pages, comments, messages and logs must not use the phrases of
// rules.go, each of which has a plainer replacement.
//
// It reads what people read and nothing else: in Go the comments and string literals, in Markdown the text outside
// code, in templates the text outside actions, in SQL, YAML, jq, shell and Make files the comments (in alert rules
// everything). Paths in notYetClean are counted, not reported; the list only ever gets shorter. A line with a word that
// must stay, such as a quoted text of somebody else's API, is in exceptions.
//
// It also reports lines of Go that are too wide (columns.go), functions that run on without a blank line (density.go),
// SQL whose arguments are counted instead of named (arguments.go), and exported names without a comment in the packages
// that others build on (contracts.go).
//
// It prints one line per finding and exits with 1 if there are any. With -count it prints the number of findings per
// directory, clean or not.
package main

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	count := flag.Bool("count", false, "print the number of findings per directory")
	all := flag.Bool("all", false, "also report findings in directories that are not yet clean")
	root := flag.String("root", ".", "the repository")
	flag.Parse()
	if err := run(*root, *count, *all); err != nil {
		fmt.Fprintln(os.Stderr, "lint:", err)
		os.Exit(1)
	}
}

func run(root string, count, all bool) error {
	findings, err := check(root)
	if err != nil {
		return err
	}
	if count {
		printCounts(findings)
		return nil
	}

	reported, waiting := 0, 0
	for _, f := range findings {
		if !all && within(f.file, notYetClean) {
			waiting++
			continue
		}
		reported++
		fmt.Printf("%s:%d: %q: write %s\n", f.file, f.line, f.text, f.rule.Instead)
	}

	if len(notYetClean) > 0 {
		fmt.Printf("English: %d findings in %d directories that are not yet clean\n", waiting, len(notYetClean))
	}

	if err := reportContracts(root); err != nil {
		return err
	}
	if err := reportGo(root); err != nil {
		return err
	}
	if reported > 0 {
		return fmt.Errorf("%d phrases to replace (tools/lint/rules.go has the list)", reported)
	}
	return nil
}

// goRules are the rules for the text of Go files.
var goRules = []struct {
	lines   func(source []byte) []int // the lines that break the rule
	inTests bool
	fix     string // what is wrong, and how to repair it
}{
	{wideLines, true, fmt.Sprintf("more than %d columns: break the line", mostColumns)},
	{wideTexts, false, fmt.Sprintf(
		"SQL beyond column %d, or a text of more than %d: break it", mostColumns, mostText)},
	{countedArguments, false, fmt.Sprintf("SQL with more than %d arguments: name them", mostArguments)},
	{denseLines, false, fmt.Sprintf("%d lines without a blank one: add one where a thought ends", mostDense)},
}

// reportGo prints the lines that break a rule for Go.
func reportGo(root string) error {
	reported := 0
	err := eachGoFile(root, func(path string, source []byte) error {
		for _, r := range goRules {
			if isTest(path) && !r.inTests {
				continue
			}
			for _, line := range r.lines(source) {
				fmt.Printf("%s:%d: %s\n", path, line, r.fix)
				reported++
			}
		}
		return nil
	})
	if err == nil && reported > 0 {
		err = fmt.Errorf("%d places in Go to repair", reported)
	}
	return err
}

// eachGoFile calls visit with every Go file below a directory that a person wrote.
func eachGoFile(root string, visit func(path string, source []byte) error) error {
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (within(filepath.ToSlash(entry.Name()), skipped) || entry.Name() == "node_modules") {
			return fs.SkipDir
		}
		if entry.IsDir() || !strings.HasSuffix(path, ".go") {
			return nil
		}

		source, err := os.ReadFile(path) // #nosec G304 G122 -- the project's own files
		if err != nil || strings.Contains(string(source), "\n// Code generated ") {
			return err
		}
		return visit(filepath.ToSlash(path), source)
	})
}

func isTest(path string) bool { return strings.HasSuffix(path, "_test.go") }

func printCounts(findings []finding) {
	byDirectory, byRule := map[string]int{}, map[string]int{}
	for _, f := range findings {
		byDirectory[directory(f.file)]++
		byRule[f.rule.Phrase]++
	}
	for _, counts := range []map[string]int{byDirectory, byRule} {
		names := make([]string, 0, len(counts))
		for name := range counts {
			names = append(names, name)
		}
		slices.SortFunc(names, func(a, b string) int {
			if counts[a] != counts[b] {
				return counts[b] - counts[a]
			}
			return strings.Compare(a, b)
		})
		for _, name := range names {
			fmt.Printf("%6d %s\n", counts[name], name)
		}
		fmt.Println()
	}
	fmt.Printf("%6d in all\n", len(findings))
}

// directory is the directory of a file; tests are counted separately from what they test.
func directory(file string) string {
	dir := "."
	if i := strings.LastIndexByte(file, '/'); i >= 0 {
		dir = file[:i]
	}
	if strings.HasSuffix(file, "_test.go") {
		return dir + " (tests)"
	}
	return dir
}
