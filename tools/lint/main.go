// Command lint checks the project's English: docs, pages, comments, messages and logs must not use the phrases of
// rules.go, each of which has a plainer replacement.
//
// It reads what people read and nothing else: in Go the comments and string literals, in Markdown the text outside
// code, in templates the text outside actions, in SQL, YAML, jq, shell and Make files the comments (in alert rules
// everything). Paths in notYetClean are counted, not reported; the list only ever gets shorter. A line with a word that
// must stay, such as a quoted text of somebody else's API, is in exceptions.
//
// It also reports lines of Go that are too wide (columns.go), and exported names without a comment in the packages that
// others build on (contracts.go).
//
// It prints one line per finding and exits with 1 if there are any. With -count it prints the number of findings per
// directory, clean or not.
package main

import (
	"flag"
	"fmt"
	"os"
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
	wide, err := checkColumns(root)
	if err != nil {
		return err
	}
	for _, line := range wide {
		fmt.Printf("%s: more than %d columns: break the line\n", line, mostColumns)
	}
	if len(wide) > 0 {
		return fmt.Errorf("%d lines of Go are too wide", len(wide))
	}
	if reported > 0 {
		return fmt.Errorf("%d phrases to replace (tools/lint/rules.go has the list)", reported)
	}
	return nil
}

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

// directory is the directory of a file; tests are counted apart from what they test.
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
